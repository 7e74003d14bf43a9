//! No setting and no failure makes a policy panic, overflow, leave its bounds or contradict its preview.

use std::fmt;
use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use super::{SECOND, is_retry, lost};

/// Any duration, with the corners far more often than chance would bring them.
fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::MAX),
        any::<Duration>(),
        (0..100_000_u64).prop_map(Duration::from_millis),
    ]
}

fn any_factor() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), 0.5..4.0, Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)]
}

fn any_jitter() -> impl Strategy<Value = Jitter> {
    prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Decorrelated),
        any::<u8>().prop_map(Jitter::Percent),
    ]
}

fn any_failure() -> impl Strategy<Value = Failure<'static>> {
    let attempt = prop_oneof![1..100_u32, any::<u32>(), Just(u32::MAX)];
    let random = prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)];
    (attempt, any_duration(), proptest::option::of(any_duration()), random).prop_map(
        |(attempt, elapsed, previous, random)| {
            let failure = lost(attempt).with_elapsed(elapsed).with_random(random);
            previous.map_or(failure, |delay| failure.with_previous_delay(delay))
        },
    )
}

/// Any policy, with its settings as text for proptest to show.
struct Any {
    policy: Box<dyn RetryPolicy>,
    settings: String,
}

impl Any {
    fn new(policy: impl RetryPolicy + fmt::Debug) -> Self {
        Self { settings: format!("{policy:?}"), policy: Box::new(policy) }
    }
}

impl fmt::Debug for Any {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.settings)
    }
}

impl RetryPolicy for Any {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        self.policy.decide(failure)
    }
}

/// Any built-in policy with any settings, sane or not.
fn any_policy() -> impl Strategy<Value = Limited<Any>> {
    let policy = prop_oneof![
        Just(()).prop_map(|()| Any::new(Immediate)),
        any_duration().prop_map(|delay| Any::new(Fixed::new(delay))),
        (any_duration(), any_duration()).prop_map(|(first, step)| Any::new(Linear::new(first, step))),
        (any_duration(), any_factor()).prop_map(|(first, factor)| Any::new(Exponential::new(first).factor(factor))),
        proptest::collection::vec(any_duration(), 0..20).prop_map(|delays| Any::new(Schedule::new(delays))),
    ];
    let limit = || proptest::option::of(any_duration());
    let attempts = proptest::option::of(prop_oneof![0..40_u32, any::<u32>()]);
    (policy, limit(), limit(), attempts, any_jitter()).prop_map(|(policy, delay, elapsed, attempts, jitter)| {
        let mut policy = policy.jitter(jitter);
        if let Some(delay) = delay {
            policy = policy.max_delay(delay);
        }
        if let Some(elapsed) = elapsed {
            policy = policy.max_elapsed(elapsed);
        }
        if let Some(attempts) = attempts {
            policy = policy.max_attempts(attempts);
        }
        policy
    })
}

proptest! {
    #[test]
    fn no_setting_and_no_failure_makes_a_policy_panic(policy in any_policy(), failure in any_failure()) {
        let decision = policy.decide(&failure);
        prop_assert_eq!(decision, policy.decide(&failure), "a policy is a pure function");
        let _ = (policy.check(), policy.promise(), policy.name());
    }

    #[test]
    fn a_preview_says_what_decide_says(policy in any_policy(), n in 0..40_u32) {
        let preview = policy.preview(n);
        prop_assert!(preview.steps().len() <= n as usize);
        let (mut elapsed, mut previous) = (Duration::ZERO, None);
        for step in preview.steps() {
            let failure = lost(step.attempt()).with_elapsed(elapsed).with_random(1 << 63);
            let failure = previous.map_or(failure, |delay| failure.with_previous_delay(delay));
            prop_assert_eq!(step.decision(), policy.decide(&failure));
            if let Decision::Retry { after } = step.decision() {
                prop_assert!(step.shortest() <= after && after <= step.longest());
                elapsed = elapsed.saturating_add(after);
                previous = Some(after);
            } else {
                prop_assert_eq!(step, preview.steps().last().expect("just seen"));
            }
        }
        let gave_up = preview.steps().last().is_some_and(|step| !is_retry(step.decision()));
        prop_assert!(gave_up || preview.steps().len() == n as usize);
    }

    #[test]
    fn a_preview_bounds_every_draw(
        first in any_duration(), cap in any_duration(), jitter in any_jitter(), random: [u64; 8],
    ) {
        let policy = Exponential::new(first).max_delay(cap).jitter(jitter);
        let mut previous = None;
        for (step, random) in policy.preview(8).steps().iter().zip(random) {
            let failure = lost(step.attempt()).with_random(random);
            let failure = previous.map_or(failure, |delay| failure.with_previous_delay(delay));
            let Decision::Retry { after } = policy.decide(&failure) else { panic!("within the default end") };
            prop_assert!(step.shortest() <= after && after <= step.longest(), "{after:?} in {step:?}");
            previous = Some(after);
        }
    }

    #[test]
    fn only_percent_goes_above_the_cap(
        policy in any_policy(), cap in any_duration(), jitter in any_jitter(), failure in any_failure(),
    ) {
        let policy = policy.max_delay(cap).jitter(jitter);
        if let Decision::Retry { after } = policy.decide(&failure) {
            let above = if matches!(jitter, Jitter::Percent(_)) { cap } else { Duration::ZERO };
            prop_assert!(after <= cap.saturating_add(above));
        }
    }

    #[test]
    fn delays_grow(first in any_duration(), step in any_duration(), whole in 1..9_u32, part in 1.01..9.0, n in 1..99_u32) {
        let delay = |policy: &dyn RetryPolicy, attempt| match policy.decide(&lost(attempt)) {
            Decision::Retry { after } => after,
            other => panic!("{other}"),
        };
        let policies: [&dyn RetryPolicy; 3] = [
            &Linear::new(first, step).forever(),
            &Exponential::new(first).factor(f64::from(whole)).forever(),
            &Exponential::new(first).factor(part).forever(),
        ];
        for policy in policies {
            prop_assert!(delay(policy, n) <= delay(policy, n + 1), "{} after attempt {n}", policy.name());
        }
    }

    #[test]
    fn the_order_of_limits_does_not_matter(
        first in any_duration(), cap in any_duration(), elapsed in any_duration(), attempts in 1..20_u32,
        jitter in any_jitter(), failure in any_failure(),
    ) {
        let one = Exponential::new(first).max_delay(cap).max_elapsed(elapsed).max_attempts(attempts).jitter(jitter);
        let two = Exponential::new(first).jitter(jitter).max_attempts(attempts).max_elapsed(elapsed).max_delay(cap);
        prop_assert_eq!(one.decide(&failure), two.decide(&failure));
        prop_assert_eq!(one, two);
    }

    #[test]
    fn max_elapsed_counts_the_delay_as_it_was_drawn(elapsed in any_duration(), max in any_duration(), random: u64) {
        let policy = Fixed::new(10 * SECOND).jitter(Jitter::Percent(50));
        let failure = lost(3).with_elapsed(elapsed).with_random(random);
        let Decision::Retry { after } = policy.decide(&failure) else { panic!("within the default end") };
        let fits = elapsed.checked_add(after).is_some_and(|sum| sum <= max) || max == Duration::MAX;
        prop_assert_eq!(is_retry(policy.max_elapsed(max).decide(&failure)), fits);
    }
}
