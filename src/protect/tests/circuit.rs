//! A circuit against a model that keeps every outcome.

use super::super::circuit::{Circuit, Phase, Rules, Trip};
use super::super::outcomes::Span;
use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Op {
    Begin,
    /// One of those that are out, and how.
    End(usize, Outcome),
    Pass(u64),
    Poll,
}

fn op() -> impl Strategy<Value = Op> {
    let outcome = prop_oneof![3 => Just(Outcome::Failure), 3 => Just(Outcome::Success), 1 => Just(Outcome::Neither)];
    prop_oneof![
        4 => Just(Op::Begin),
        4 => (0_usize..100, outcome).prop_map(|(which, outcome)| Op::End(which, outcome)),
        2 => (0_u64..400).prop_map(Op::Pass),
        2 => Just(Op::Poll),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let by_count = (1_u32..10).prop_flat_map(|len| (Just(Span::Outcomes(len)), 1..=len));
    let by_time = (10_u64..1_000, 1_u32..10).prop_map(|(window, calls)| (Span::Millis(window * 10), calls));
    let rate = (0.1_f64..=1.0, prop_oneof![by_count, by_time]).prop_map(|(rate, (span, calls_min))| Trip::Rate {
        rate,
        calls_min,
        span,
    });
    let trip = prop_oneof![rate, (1_u32..5).prop_map(Trip::InARow)];
    (trip, 1_u64..500, 1_u64..4, 1_u32..4).prop_map(|(trip, open_ms, times, probes)| Rules {
        trip,
        open_ms,
        open_max_ms: open_ms * times,
        probes,
    })
}

/// What counted since the circuit was closed last, oldest first: when, and whether it failed.
fn should_open(trip: Trip, log: &[(u64, bool)], now: u64) -> bool {
    let in_window: Vec<bool> = match trip {
        Trip::InARow(failures) => {
            return log.iter().rev().take_while(|(_, failed)| *failed).count() >= failures as usize;
        }
        Trip::Rate { span: Span::Outcomes(len), .. } => {
            log.iter().rev().take(len as usize).map(|(_, failed)| *failed).collect()
        }
        Trip::Rate { span: Span::Millis(window), .. } => {
            let tenth = window.div_ceil(10);
            log.iter().filter(|(at, _)| now / tenth - at / tenth < 10).map(|(_, failed)| *failed).collect()
        }
    };
    let Trip::Rate { rate, calls_min, .. } = trip else { return false };
    let failures = in_window.iter().filter(|failed| **failed).count();
    in_window.len() >= calls_min as usize && failures as f64 / in_window.len() as f64 >= rate
}

/// The model: everything in the open.
struct Model {
    log: Vec<(u64, bool)>,
    era: u32,
    until: Option<u64>,
    half_open: bool,
    passed: u32,
    opened: u32,
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(rules in rules(), ops in proptest::collection::vec(op(), 1..300)) {
        let mut circuit = Circuit::new();
        let mut model = Model { log: Vec::new(), era: 0, until: None, half_open: false, passed: 0, opened: 0 };
        let (mut out, mut now) = (Vec::new(), 0_u64);
        for op in ops {
            match op {
                Op::Pass(by) => now += by,
                Op::Begin if circuit.room() > 0 => out.push((circuit.begin(), model.era)),
                Op::Begin => {}
                Op::Poll => {
                    let is_over = model.until.is_some_and(|until| until <= now);
                    prop_assert_eq!(circuit.poll(now), is_over);
                    if is_over {
                        (model.until, model.half_open, model.passed) = (None, true, 0);
                        model.era += 1;
                    }
                }
                Op::End(_, _) if out.is_empty() => {}
                Op::End(which, outcome) => {
                    let (era, began) = out.swap_remove(which % out.len());
                    let counts = began == model.era && outcome != Outcome::Neither;
                    let failed = outcome == Outcome::Failure;
                    let mut opens = false;
                    let mut closes = false;
                    if counts && model.half_open {
                        opens = failed;
                        model.passed += u32::from(!failed);
                        closes = !failed && model.passed >= rules.probes;
                    } else if counts {
                        model.log.push((now, failed));
                        opens = failed && should_open(rules.trip, &model.log, now);
                    }
                    prop_assert_eq!(circuit.end(&rules, era, outcome, now), opens || closes);
                    if opens {
                        let pause = (rules.open_ms << model.opened.min(20)).min(rules.open_max_ms);
                        (model.until, model.half_open) = (Some(now + pause), false);
                        model.opened += 1;
                    }
                    if closes {
                        (model.half_open, model.opened) = (false, 0);
                    }
                    if opens || closes {
                        model.log.clear();
                        model.era += 1;
                    }
                }
            }
            let probes_out = out.iter().filter(|(_, began)| *began == model.era).count() as u64;
            let (phase, room) = match model.until {
                Some(until_ms) => (Phase::Open { until_ms }, 0),
                None if model.half_open => (Phase::HalfOpen, 1 - probes_out),
                None => (Phase::Closed, u64::MAX),
            };
            prop_assert_eq!((circuit.phase(), circuit.room()), (phase, room));
        }
    }
}

#[test]
fn a_pause_is_doubled_up_to_the_longest_and_begins_anew_once_it_was_closed() {
    let rules = Rules { trip: Trip::InARow(1), open_ms: 10, open_max_ms: 35, probes: 1 };
    let (mut circuit, mut now) = (Circuit::new(), 0);
    let mut fail = |circuit: &mut Circuit, outcome| {
        let era = circuit.begin();
        circuit.end(&rules, era, outcome, now);
        let Phase::Open { until_ms } = circuit.phase() else { return 0 };
        let pause = until_ms - now;
        now = until_ms;
        assert!(!circuit.poll(now - 1) && circuit.poll(now));
        pause
    };
    let outcomes = [Outcome::Failure; 70].into_iter().chain([Outcome::Success, Outcome::Failure, Outcome::Failure]);
    let pauses: Vec<_> = outcomes.map(|outcome| fail(&mut circuit, outcome)).collect();
    assert_eq!(pauses[..4], [10, 20, 35, 35]);
    assert_eq!(pauses[69..], [35, 0, 10, 20]);
}

#[test]
fn the_end_of_time_overflows_nothing() {
    let rules = Rules { trip: Trip::InARow(1), open_ms: u64::MAX / 2, open_max_ms: u64::MAX, probes: 1 };
    let mut circuit = Circuit::new();
    for _ in 0..100 {
        let era = circuit.begin();
        assert!(circuit.end(&rules, era, Outcome::Failure, u64::MAX - 1));
        assert!(circuit.poll(u64::MAX));
    }
}
