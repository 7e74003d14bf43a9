//! Runs a loom model and prints what it covered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Preemptions that a schedule may have, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 2;

/// Runs `body` under every schedule within the bound (and within `LOOM_MAX_DURATION` seconds, if that is set).
pub(crate) fn model(name: &str, body: impl Fn() + Send + Sync + 'static) {
    model_within(PREEMPTIONS, name, body);
}

/// As [`model`], with a bound of its own: three threads of a whole queue have too many schedules for the usual one.
pub(crate) fn model_within(preemptions: usize, name: &str, body: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 20_000;
    builder.max_duration = builder.max_duration.or(Some(Duration::from_secs(120)));
    let limit = builder.max_duration;
    let counted = executions.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        body();
    });
    let cut = limit.is_some_and(|limit| started.elapsed() >= limit);
    println!(
        "model: {name}: bound {:?}, {} executions, {:.1} s{}",
        builder.preemption_bound,
        executions.load(Ordering::Relaxed),
        started.elapsed().as_secs_f64(),
        if cut { ", CUT SHORT" } else { "" }
    );
}
