//! What a decision costs: the built-in policies, the combinators around them, a closure, and a policy behind a pointer.
//!
//! `cargo bench --bench retry`. A policy is asked once a failure, outside of every lock, so anything below a microsecond is
//! noise beside what the failure itself costs (`cargo bench --bench queue -- failed`).
#![allow(missing_docs, reason = "criterion's macros write items without documentation")]

use criterion::{Criterion, criterion_group, criterion_main};
use redeliver::{
    Cause, Decision, Exponential, Failure, Fixed, Immediate, Jitter, Linear, Never, RetryPolicy, policy_fn,
};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn decide(c: &mut Criterion, name: &str, policy: &(impl RetryPolicy + ?Sized)) {
    let mut attempt = 0;
    c.bench_function(&format!("decide/{name}"), |b| {
        b.iter(|| {
            attempt = attempt % 12 + 1;
            black_box(policy.decide(&Failure::new(black_box(attempt), Cause::LeaseExpired)))
        });
    });
}

fn built_in(c: &mut Criterion) {
    decide(c, "immediate", &Immediate);
    decide(c, "fixed", &Fixed::new(SECOND));
    decide(c, "linear", &Linear::new(SECOND, SECOND));
    decide(c, "exponential", &Exponential::new(SECOND));
    decide(c, "never", &Never);
}

fn combined(c: &mut Criterion) {
    let exponential = Exponential::new(SECOND).max_delay(60 * SECOND).jitter(Jitter::Full).max_attempts(8);
    decide(c, "exponential, capped, full jitter", &exponential);
    decide(c, "when", &Fixed::new(SECOND).when(|failure| failure.attempt() > 6, Never));
    decide(
        c,
        "closure",
        &policy_fn(|failure| match failure.attempt() {
            1..6 => Decision::Retry { after: SECOND },
            _ => Decision::DeadLetter,
        }),
    );
    let boxed: Arc<dyn RetryPolicy> = Arc::new(exponential);
    decide(c, "behind a pointer", &*boxed);
}

fn preview(c: &mut Criterion) {
    let policy = Exponential::new(SECOND).max_delay(60 * SECOND).jitter(Jitter::Full);
    c.bench_function("preview/16", |b| b.iter(|| black_box(policy.preview(black_box(16)))));
}

criterion_group!(benches, built_in, combined, preview);
criterion_main!(benches);
