//! What makes no sense is refused, with the setting, its value and what to write.

use super::*;

fn budget(budget: RetryBudget) -> String {
    budget.check().map_or_else(|error| error.to_string(), |()| "fine".into())
}

fn breaker(breaker: Breaker) -> String {
    breaker.check().map_or_else(|error| error.to_string(), |()| "fine".into())
}

#[test]
fn budgets() {
    let sane = RetryBudget::percent(10.0);
    for fine in [
        sane,
        RetryBudget::percent(0.0),
        RetryBudget::percent(100.0),
        sane.floor_per_second(0.1),
        sane.window(TIME_MAX),
    ] {
        assert_eq!(budget(fine), "fine");
    }
    for percent in [-0.1, 100.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(budget(RetryBudget::percent(percent)).contains(&format!("percent({percent})")));
    }
    for floor in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(budget(sane.floor_per_second(floor)).contains(&format!("floor_per_second({floor}) is no rate")));
    }
    assert!(budget(sane.floor_per_second(0.0)).contains("wait for ever"));
    assert!(budget(sane.floor_per_second(0.09)).contains("wait for ever"));
    for window in [Duration::ZERO, ms(1) / 2, Duration::MAX] {
        assert!(budget(sane.window(window)).starts_with(&format!("retry budget: a window of {window:?}")));
    }
}

#[test]
fn breakers() {
    let new = Breaker::new;
    for fine in [
        new(),
        new().failure_rate(1.0),
        new().failure_rate(f64::MIN_POSITIVE),
        new().consecutive_failures(1).min_calls(0), // which it does not use
        new().window(1).min_calls(1),
        new().window_of(ms(1)),
        new().open_for(ms(1)).open_for_max(TIME_MAX),
        new().open_for(TIME_MAX),
        new().probes(u32::MAX),
    ] {
        assert_eq!(breaker(fine), "fine");
    }
    for rate in [0.0, -0.5, 1.01, f64::NAN, f64::INFINITY] {
        assert!(breaker(new().failure_rate(rate)).contains(&format!("failure_rate({rate})")));
    }
    for calls in [0, 101] {
        assert!(breaker(new().min_calls(calls)).contains(&format!("min_calls({calls})")));
    }
    for outcomes in [0, 1_000_001] {
        assert!(breaker(new().window(outcomes)).contains(&format!("window({outcomes})")));
    }
    for window in [Duration::ZERO, Duration::MAX] {
        assert!(breaker(new().window_of(window)).starts_with(&format!("breaker: a window of {window:?}")));
    }
    for pause in [Duration::ZERO, Duration::MAX, TIME_MAX + ms(1)] {
        assert!(breaker(new().open_for(pause)).contains(&format!("open_for({pause:?})")));
    }
    for longest in [Duration::ZERO, Duration::from_secs(29), Duration::MAX] {
        assert!(breaker(new().open_for_max(longest)).contains(&format!("open_for_max({longest:?})")));
    }
    assert!(breaker(new().consecutive_failures(0)).contains("consecutive_failures(0)"));
    assert!(breaker(new().probes(0)).contains("probes(0)"));
    assert_eq!(breaker(new().consecutive_failures(0).failure_rate(0.5)), "fine", "the last one holds");
}
