//! Whatever a policy was built from, it decides about any failure without a panic and keeps to its limits; its faults are
//! named with their place, and its preview shows what it would decide.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use redeliver::{Cause, Decision, Failure, Headers, PolicyError, RetryPolicy, RetryPolicyExt};
use redeliver_fuzz::policy::Spec;
use redeliver_fuzz::time::Time;
use std::error::Error;
use std::io;

#[derive(Arbitrary, Debug)]
struct Input {
    spec: Spec,
    failures: Vec<Attempt>,
    preview: u8,
}

#[derive(Arbitrary, Debug)]
struct Attempt {
    attempt: u32,
    elapsed: Time,
    previous: Option<Time>,
    cause: u8,
    key: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    random: u64,
}

fuzz_target!(|input: Input| {
    let policy = input.spec.build();
    assert!(!policy.name().is_empty());
    let checked = policy.check();
    if let Err(error) = &checked {
        assert_names_its_place(error);
    }
    let promise = policy.promise();
    for attempt in &input.failures {
        look(&input.spec, &*policy, attempt);
    }
    let preview = policy.preview(u32::from(input.preview));
    let steps = preview.steps();
    assert!(steps.len() <= usize::from(input.preview));
    for (n, step) in steps.iter().enumerate() {
        assert_eq!(step.attempt() as usize, n + 1);
        assert!(step.shortest() <= step.longest());
        match step.decision() {
            Decision::Retry { after } => assert!(step.shortest() <= after && after <= step.longest()),
            _ => assert_eq!(n + 1, steps.len(), "nothing comes after the end"),
        }
    }
    assert!(!format!("{preview}{preview:?}").is_empty());
    // As texts, for a factor that is not a number is not equal to itself.
    let again = (policy.check(), policy.promise());
    assert_eq!(format!("{:?}", (checked, promise)), format!("{again:?}"), "a policy does not change its mind");
});

fn look(spec: &Spec, policy: &dyn RetryPolicy, attempt: &Attempt) {
    let headers: Headers = attempt.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let storage = io::Error::other("no space");
    let reason: Box<dyn Error + Send + Sync> = "no such user".into();
    let cause = match attempt.cause % 7 {
        0 => Cause::Dropped,
        1 => Cause::Full,
        2 => Cause::LeaseExpired,
        3 => Cause::Panicked,
        4 => Cause::ProcessDied,
        5 => Cause::Storage(&storage),
        _ => Cause::Nack(&*reason),
    };
    let mut failure = Failure::new(attempt.attempt, cause)
        .with_elapsed(attempt.elapsed.get())
        .with_headers(&headers)
        .with_random(attempt.random);
    if let Some(previous) = attempt.previous {
        failure = failure.with_previous_delay(previous.get());
    }
    if let Some(key) = &attempt.key {
        failure = failure.with_key(key);
    }
    let decision = policy.decide(&failure);
    assert_eq!(decision, policy.decide(&failure), "the same failure, the same decision");
    assert!(!decision.to_string().is_empty());
    spec.assert_bounds(&failure, decision);
}

fn assert_names_its_place(error: &PolicyError) {
    let text = error.to_string();
    let what = text.strip_prefix(error.place()).and_then(|rest| rest.strip_prefix(": "));
    assert!(!error.place().is_empty() && what.is_some_and(|what| !what.is_empty()), "{text:?}");
}
