//! What the policies do, written out: their ends, the brokers' schedules, promises, faults, and how they combine.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::super::*;
use super::{SECOND, last_attempt, lost, retry, splitmix};

#[test]
fn every_built_in_policy_ends_where_it_should() {
    let listed = Schedule::new([SECOND; 3]);
    let table: [(&str, &dyn RetryPolicy, Option<u32>); 15] = [
        ("never", &Never, Some(1)),
        ("immediate", &Immediate, Some(16)),
        ("fixed", &Fixed::new(SECOND), Some(16)),
        ("linear", &Linear::new(SECOND, SECOND), Some(16)),
        ("exponential", &Exponential::new(SECOND), Some(16)),
        ("rabbitmq", &Linear::rabbitmq(SECOND, 2 * SECOND), Some(16)),
        ("kafka", &Exponential::kafka_producer(), None),
        ("rocketmq's levels", &Schedule::rocketmq(), Some(17)),
        ("rocketmq's exponential", &Exponential::rocketmq(), Some(17)),
        ("a list", &listed, Some(4)),
        ("a list cut short", &listed.clone().max_attempts(2), Some(2)),
        ("a list with a higher number", &listed.clone().max_attempts(9), Some(4)),
        ("a list for ever", &listed.clone().forever(), None),
        ("by the clock only", &Immediate.max_elapsed(SECOND), None),
        ("a word after for ever", &Fixed::new(SECOND).forever().max_attempts(20), Some(20)),
    ];
    for (name, policy, end) in table {
        assert_eq!(last_attempt(policy), end, "{name}");
        assert!(policy.check().is_ok(), "{name}");
    }
}

#[test]
fn the_brokers_schedules_are_theirs_to_the_millisecond() {
    let ms = |policy: &dyn RetryPolicy, n: u32| -> Vec<u128> {
        let plain = |attempt| policy.decide(&lost(attempt).with_random(1 << 63));
        (1..=n)
            .map(|attempt| match plain(attempt) {
                Decision::Retry { after } => after.as_millis(),
                other => panic!("{other} after attempt {attempt}"),
            })
            .collect()
    };
    assert_eq!(ms(&Exponential::kafka_producer(), 6), [100, 200, 400, 800, 1000, 1000]);
    assert_eq!(
        ms(&Linear::rabbitmq(SECOND, 5 * SECOND / 2), 4), // x-delayed-retry-min 1000, x-delayed-retry-max 2500
        [1000, 2000, 2500, 2500]
    );
    assert_eq!(
        ms(&Schedule::rocketmq(), 16),
        [10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200].map(|secs| secs * 1000)
    );
    assert_eq!(
        ms(&Exponential::rocketmq(), 16),
        [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 7200, 7200, 7200, 7200, 7200].map(|secs| secs * 1000)
    );
}

#[test]
fn kafka_spreads_by_a_fifth_to_both_sides_of_its_cap() {
    let decide = |random| Exponential::kafka_producer().decide(&lost(5).with_random(random));
    let ms = |ms| retry(Duration::from_millis(ms));
    assert_eq!((decide(0), decide(1 << 63), decide(u64::MAX)), (ms(800), ms(1000), ms(1200)));
}

#[test]
fn kafka_ends_after_120_seconds() {
    let preview = Exponential::kafka_producer().preview(1000);
    let after = |step: &Step| match step.decision() {
        Decision::Retry { after } => Some(after),
        _ => None,
    };
    let waits: Duration = preview.steps().iter().filter_map(after).sum();
    assert_eq!(waits, Duration::from_millis(119_500)); // one second more would be past 120
    assert_eq!(preview.steps().last().map(Step::decision), Some(Decision::DeadLetter));
}

#[test]
fn a_delay_is_capped_before_it_is_spread() {
    let policy = Exponential::new(SECOND).max_delay(4 * SECOND).jitter(Jitter::Equal);
    let decide = |random| policy.decide(&lost(9).with_random(random));
    assert_eq!((decide(0), decide(u64::MAX)), (retry(2 * SECOND), retry(4 * SECOND)));
}

#[test]
fn the_previous_delay_matters_to_decorrelated_jitter_alone() {
    let policy = Exponential::new(SECOND).max_delay(100 * SECOND);
    let longest = |jitter, previous| {
        let failure = lost(3).with_random(u64::MAX).with_previous_delay(previous);
        policy.clone().jitter(jitter).decide(&failure)
    };
    for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Percent(0)] {
        assert_eq!(longest(jitter, 20 * SECOND), retry(4 * SECOND), "{jitter:?}");
    }
    assert_eq!(longest(Jitter::Decorrelated, 20 * SECOND), retry(60 * SECOND));
    // Its shortest draw is the policy's first delay, not the one of this attempt.
    let listed = Schedule::new([SECOND, 50 * SECOND]).jitter(Jitter::Decorrelated);
    assert_eq!(listed.decide(&lost(2).with_previous_delay(SECOND)), retry(SECOND));
    assert_eq!(longest(Jitter::Decorrelated, 90 * SECOND), retry(100 * SECOND));
    assert_eq!(longest(Jitter::Decorrelated, Duration::ZERO), retry(SECOND));
}

#[test]
fn two_jitters_draw_independently() {
    // Both spread by half to both sides. The product of two even draws from 0.5 to 1.5 is below 0.5 with a probability of
    // (ln 2) / 2 - 1 / 4 = 9.7 %; if both were the same draw, it would be 20.7 %.
    let policy = Fixed::new(SECOND).jitter(Jitter::Percent(50)).when(|_| false, Never).jitter(Jitter::Percent(50));
    let short = |seed: &u64| match policy.decide(&lost(1).with_random(splitmix(*seed))) {
        Decision::Retry { after } => after < SECOND / 2,
        other => panic!("{other}"),
    };
    let count = (0..100_000).filter(short).count();
    assert!((9_200..10_200).contains(&count), "{count} of 100000");
}

#[test]
fn a_word_said_outside_lifts_the_default_end_inside() {
    let mixed = || Exponential::new(SECOND).when(|_| false, Never);
    assert_eq!(last_attempt(&mixed()), Some(16));
    assert_eq!(last_attempt(&mixed().jitter(Jitter::Full)), Some(16));
    assert_eq!(last_attempt(&mixed().max_attempts(30)), Some(30));
    assert_eq!(last_attempt(&mixed().max_elapsed(Duration::MAX)), None);
    assert_eq!(last_attempt(&mixed().forever()), None);
    assert_eq!(last_attempt(&Arc::new(Fixed::new(SECOND)).max_attempts(30)), Some(30));
    let fixed = Fixed::new(SECOND);
    assert_eq!(last_attempt(&policy_fn(move |failure| fixed.decide(failure)).max_attempts(30)), Some(30));
    // What was said inside stays said.
    let said = Exponential::new(SECOND).max_attempts(5).when(|_| false, Never).forever();
    assert_eq!((last_attempt(&said), said.promise()), (Some(5), Promise::Deliveries(5)));
}

#[test]
fn limits_around_a_policy_of_the_users_add_no_end_and_keep_its_own() {
    let policy = policy_fn(|failure| match failure.attempt() {
        50 => Decision::Discard,
        _ => Decision::Retry { after: SECOND },
    });
    assert_eq!(last_attempt(&policy.jitter(Jitter::Full)), Some(50));
    assert_eq!(policy.max_attempts(50).decide(&lost(50)), Decision::Discard);
    assert_eq!(policy.forever().decide(&lost(50)), Decision::Discard);
}

#[test]
fn when_and_then_choose_by_the_failure() {
    let policy = Fixed::new(SECOND).when(|f| f.error::<fmt::Error>().is_some(), Never);
    assert_eq!(policy.decide(&Failure::new(1, Cause::Nack(&fmt::Error))), Decision::DeadLetter);
    assert_eq!(policy.decide(&Failure::new(1, Cause::Nack(&io::Error::other("x")))), retry(SECOND));

    let policy = Fixed::new(SECOND).then(20, Linear::new(SECOND, SECOND).max_attempts(22));
    let decisions = [19, 20, 21, 22].map(|attempt| policy.decide(&lost(attempt)));
    assert_eq!(decisions, [retry(SECOND), retry(20 * SECOND), retry(21 * SECOND), Decision::DeadLetter]);

    for n in [0, 1] {
        assert_eq!(Immediate.then(n, Never).decide(&lost(1)), Decision::DeadLetter);
    }
}

#[test]
fn a_promise_is_what_was_said() {
    use Promise::{Deliveries, Forever, None};
    let fixed = || Fixed::new(SECOND);
    let table: [(&dyn RetryPolicy, Promise); 20] = [
        (&fixed(), None),
        (&Immediate, None),
        (&Exponential::rocketmq(), None),
        (&Schedule::rocketmq(), None),
        (&Schedule::rocketmq().max_attempts(3), Deliveries(3)),
        (&Schedule::rocketmq().forever(), Forever),
        (&Exponential::kafka_producer(), None),
        (&Schedule::new([SECOND; 4]), Deliveries(5)),
        (&Schedule::new([SECOND; 4]).max_attempts(9), Deliveries(5)),
        (&Schedule::new([SECOND; 4]).forever(), Forever),
        (&fixed().max_attempts(2000), Deliveries(2000)),
        (&fixed().forever(), Forever),
        (&fixed().forever().max_elapsed(SECOND), None),
        (&Arc::new(fixed().forever()), Forever),
        (&fixed().forever().when(|_| true, Never).max_elapsed(SECOND), None),
        (&fixed().when(|_| true, fixed().max_attempts(7)), Deliveries(7)),
        (&Immediate.then(3, fixed().forever()), Forever),
        (&Immediate.then(30, fixed()), Deliveries(30)),
        (&fixed().max_attempts(2).then(3, fixed().forever()), Deliveries(2)),
        (&fixed().max_attempts(3).then(3, fixed().forever()), Forever),
    ];
    for (row, (policy, promise)) in table.into_iter().enumerate() {
        assert_eq!(policy.promise(), promise, "row {row}: {}", policy.name());
    }
}

#[test]
fn every_bad_setting_is_named_and_still_decides() {
    let fixed = || Fixed::new(SECOND);
    let exponential = |factor| Exponential::new(SECOND).factor(factor);
    let delay_max = Duration::from_millis(1);
    let max_delay = || PolicyErrorKind::MaxDelay { delay_max, first: SECOND };
    let table: [(&dyn RetryPolicy, PolicyErrorKind, Decision); 12] = [
        (&exponential(0.99), PolicyErrorKind::Factor { factor: 0.99 }, retry(SECOND)),
        (&exponential(-2.0), PolicyErrorKind::Factor { factor: -2.0 }, retry(SECOND)),
        (&exponential(f64::INFINITY), PolicyErrorKind::Factor { factor: f64::INFINITY }, retry(Duration::MAX)),
        (&Schedule::new([]), PolicyErrorKind::EmptySchedule, Decision::DeadLetter),
        (&Schedule::new([]).forever(), PolicyErrorKind::EmptySchedule, Decision::DeadLetter),
        (&fixed().max_delay(delay_max), max_delay(), retry(delay_max)),
        (&Linear::rabbitmq(SECOND, delay_max), max_delay(), retry(delay_max)),
        (&exponential(2.0).max_delay(delay_max), max_delay(), retry(delay_max)),
        (&Schedule::new([SECOND; 9]).max_delay(delay_max), max_delay(), retry(delay_max)),
        (&fixed().jitter(Jitter::Percent(101)), PolicyErrorKind::Percent { percent: 101 }, retry(Duration::ZERO)),
        (&Immediate.max_attempts(0), PolicyErrorKind::NoAttempts, Decision::DeadLetter),
        (&Never.then(2, fixed()), PolicyErrorKind::Unreachable { from: 2, ends: 1 }, retry(SECOND)),
    ];
    for (policy, kind, second) in table {
        assert_eq!(policy.check().expect_err("a fault").kind(), &kind);
        assert_eq!(policy.decide(&lost(2)), second, "{kind}");
    }
    let all_of_it = fixed().jitter(Jitter::Percent(255)).decide(&lost(2).with_random(u64::MAX));
    assert_eq!(all_of_it, retry(2 * SECOND));
    assert!(exponential(f64::NAN).check().is_err());
    assert_eq!(exponential(f64::NAN).decide(&lost(2)), retry(2 * SECOND));
}

#[test]
fn a_fault_is_found_wherever_it_is_and_says_where() {
    let faulty = || Schedule::new([]);
    let places: [(&dyn RetryPolicy, &str); 5] = [
        (&Arc::new(faulty()), "Schedule"),
        (&faulty().when(|_| true, Never), "Schedule"),
        (&Immediate.when(|_| true, faulty()).jitter(Jitter::Full), "when(…): Schedule"),
        (&Immediate.then(2, Fixed::new(SECOND).when(|_| true, faulty())), "then(2, …): when(…): Schedule"),
        (&Immediate.when(|_| true, Never).max_attempts(0), "Immediate or Never"),
    ];
    for (policy, place) in places {
        assert_eq!(policy.check().expect_err("a fault").place(), place);
    }
}

#[test]
fn a_closure_an_arc_and_a_box_are_policies() {
    fn takes(policy: impl RetryPolicy) -> (Option<u32>, String) {
        (last_attempt(&policy), policy.name().into_owned())
    }
    let fixed = Fixed::new(SECOND).max_attempts(3);
    assert_eq!(takes(|_: &Failure<'_>| Decision::Discard).0, Some(1));
    assert_eq!(takes(Arc::new(fixed.clone())), (Some(3), "Fixed".into()));
    assert_eq!(takes(Arc::new(fixed.clone()) as Arc<dyn RetryPolicy>), (Some(3), "Fixed".into()));
    assert_eq!(takes(Box::new(fixed.clone()) as Box<dyn RetryPolicy>), (Some(3), "Fixed".into()));
    let boxed = Box::new(fixed) as Box<dyn RetryPolicy>;
    assert_eq!(takes(boxed.max_attempts(2)), (Some(2), "Fixed".into()));
    let name = takes(policy_fn(|_| Decision::Discard)).1;
    assert_eq!(name, "closure in a_closure_an_arc_and_a_box_are_policies");
}

#[test]
fn everything_public_crosses_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<Exponential>();
    crosses::<Limited<Then<Schedule, Arc<dyn RetryPolicy>>>>();
    crosses::<Preview>();
    crosses::<PolicyError>();
    crosses::<Failure<'static>>();
}
