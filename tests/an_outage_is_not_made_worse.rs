//! An hour in which everything fails, with hundreds of messages a second on offer: how many calls the dependency is offered,
//! unprotected, with a retry budget, with a breaker, and with both; and what becomes of the messages.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it writes evidence")]

mod support;

use redeliver::{
    Breaker, BreakerState, Exponential, Jitter, ManualClock, Queue, QueueBuilder, RetryBudget, TryRecvError,
};
use std::time::Duration;
use support::evidence;

const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(100);
/// In calls a second.
const CONSUMERS: usize = 2_000;
const PERCENT: f64 = 10.0;
const FLOOR: f64 = 40.0;
const ATTEMPTS: u32 = 8;

/// Seconds before the outage, of it, and after it while messages are still sent; and messages a second.
struct Load {
    before: usize,
    outage: usize,
    after: usize,
    rate: usize,
}

impl Load {
    fn drawn() -> Self {
        let outage = if cfg!(debug_assertions) { 300 } else { 3600 };
        let rate = if support::is_nightly() { 200 } else { 100 };
        Load { before: 60, outage, after: 60, rate }
    }

    fn messages(&self) -> usize {
        (self.before + self.outage + self.after) * self.rate
    }
}

struct Outcome {
    calls_in_outage: u64,
    retries_in_outage: u64,
    calls: u64,
    acked: u64,
    dead: u64,
    settled_after_s: usize,
}

fn builder(clock: &ManualClock, load: &Load) -> QueueBuilder<usize> {
    let policy = Exponential::new(5 * SECOND).max_delay(600 * SECOND).jitter(Jitter::Full).max_attempts(ATTEMPTS);
    Queue::builder("outage").clock(clock.clone()).seed(7).capacity(load.messages()).retry(policy)
}

fn run(load: &Load, protect: impl FnOnce(QueueBuilder<usize>) -> QueueBuilder<usize>) -> Outcome {
    let clock = ManualClock::new();
    let queue = protect(builder(&clock, load)).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let mut attempts = vec![0_u8; load.messages()];
    let mut outcome =
        Outcome { calls_in_outage: 0, retries_in_outage: 0, calls: 0, acked: 0, dead: 0, settled_after_s: 0 };
    let per_second = (SECOND.as_millis() / STEP.as_millis()) as usize;
    let mut sent = 0;
    for step in 0.. {
        let second = step / per_second;
        let is_down = (load.before..load.before + load.outage).contains(&second);
        if second < load.before + load.outage + load.after {
            let batch = load.rate / per_second;
            producer.send_batch(sent..sent + batch).unwrap();
            sent += batch;
        } else {
            queue.close();
        }
        for _ in 0..CONSUMERS / per_second {
            let delivery = match consumer.try_recv() {
                Ok(delivery) => delivery,
                Err(TryRecvError::Empty) => break,
                Err(_) => {
                    let stats = queue.stats();
                    assert_eq!(stats.acked + stats.dead, sent as u64, "every message is delivered, or a dead letter");
                    (outcome.acked, outcome.dead) = (stats.acked, stats.dead);
                    outcome.settled_after_s = second - load.before - load.outage;
                    return outcome;
                }
            };
            assert!(!matches!(queue.breaker_state(""), BreakerState::Open { .. }), "handed out while it is open");
            attempts[*delivery] += 1;
            assert_eq!(delivery.attempt(), u32::from(attempts[*delivery]), "each attempt was a call");
            outcome.calls += 1;
            if is_down {
                outcome.calls_in_outage += 1;
                outcome.retries_in_outage += u64::from(delivery.attempt() > 1);
                delivery.nack("connection refused").unwrap();
            } else {
                delivery.ack().unwrap();
            }
        }
        assert!(second < 400_000, "it never ends: {:?}", queue.stats());
        clock.advance(STEP);
    }
    unreachable!("the loop has no end")
}

#[test]
fn an_outage_of_an_hour() {
    let load = Load::drawn();
    let budget = || RetryBudget::percent(PERCENT).floor_per_second(FLOOR);
    let breaker =
        || Breaker::new().failure_rate(0.5).min_calls(20).open_for(5 * SECOND).open_for_max(60 * SECOND).probes(3);
    let bare = run(&load, |queue| queue);
    let thrifty = run(&load, |queue| queue.retry_budget(budget()));
    let broken = run(&load, |queue| queue.breaker(breaker()));
    let both = run(&load, |queue| queue.breaker(breaker()).retry_budget(budget()));

    let seconds = load.outage as f64;
    let granted = PERCENT / 100.0 * (load.rate as f64 * seconds) + FLOOR * (seconds + 10.0) + PERCENT * 10.0;
    assert!(thrifty.retries_in_outage as f64 <= granted, "{} of {granted}", thrifty.retries_in_outage);
    // Twenty-odd failures until it opens; then 5, 10, 20, 40, 60, 60, … seconds, and one probe after each.
    let probes = 5 + load.outage as u64 / 60;
    for outcome in [&broken, &both] {
        assert!(outcome.calls_in_outage <= 120 + probes, "{} calls", outcome.calls_in_outage);
        assert_eq!(outcome.dead, 0, "nobody was charged for the outage");
        assert_eq!(outcome.acked, load.messages() as u64);
    }
    assert!(bare.calls_in_outage > 2 * thrifty.calls_in_outage);

    let facts = |outcome: &Outcome| {
        serde_json::json!({
            "calls_in_outage": outcome.calls_in_outage,
            "retries_in_outage": outcome.retries_in_outage,
            "calls": outcome.calls,
            "acked": outcome.acked,
            "dead": outcome.dead,
            "settled_s_after_the_outage": outcome.settled_after_s,
        })
    };
    let facts = serde_json::json!({
        "outage_s": load.outage,
        "messages_per_s": load.rate,
        "messages": load.messages(),
        "attempts_max": ATTEMPTS,
        "budget": { "percent": PERCENT, "floor_per_second": FLOOR },
        "unprotected": facts(&bare),
        "budget_alone": facts(&thrifty),
        "breaker_alone": facts(&broken),
        "both": facts(&both),
    });
    evidence("outage", facts);
}
