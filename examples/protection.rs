//! A dependency that goes down for two minutes: what a breaker and a retry budget spare it, and what becomes of the messages.
//!
//! `cargo run --release --example protection`

use redeliver::{Breaker, Exponential, Jitter, ManualClock, Queue, QueueBuilder, RetryBudget};
use std::error::Error;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Seconds of the run in which the dependency is down.
const OUTAGE: std::ops::Range<u32> = 30..150;
/// Seconds in which messages are sent.
const SENDING: u32 = 200;
const MESSAGES_PER_SECOND: u32 = 20;

struct Run {
    calls_while_down: u32,
    /// Until the last message was settled.
    seconds: u32,
    acked: u64,
    dead: u64,
}

/// Minutes of the queue's time, in a moment of ours: the clock is moved by hand.
fn run(protect: impl FnOnce(QueueBuilder<u32>) -> QueueBuilder<u32>) -> Result<Run, Box<dyn Error>> {
    let clock = ManualClock::new();
    let retry = Exponential::new(SECOND).max_delay(30 * SECOND).jitter(Jitter::Full).max_attempts(20);
    let queue = protect(Queue::builder("orders").capacity(10_000).retry(retry).clock(clock.clone())).open()?;
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let mut calls_while_down = 0;
    let mut second = 0;
    while second < SENDING || queue.stats().acked + queue.stats().dead < u64::from(SENDING * MESSAGES_PER_SECOND) {
        if second < SENDING {
            producer.send_batch((0..MESSAGES_PER_SECOND).map(|n| second * MESSAGES_PER_SECOND + n))?;
        }
        while let Ok(order) = consumer.try_recv() {
            if OUTAGE.contains(&second) {
                calls_while_down += 1;
                order.nack("connection refused")?;
            } else {
                order.ack()?;
            }
        }
        clock.advance(SECOND);
        second += 1;
        assert!(second < 3600, "an hour is enough");
    }
    let stats = queue.stats();
    Ok(Run { calls_while_down, seconds: second, acked: stats.acked, dead: stats.dead })
}

fn main() -> Result<(), Box<dyn Error>> {
    // Retries are at most a fifth of the first attempts, and five a second.
    let budget = || RetryBudget::percent(20.0).floor_per_second(5.0);
    // After ten failures in a row nothing is handed out for ten seconds; then one message tries whether it is up again.
    let breaker = || Breaker::new().consecutive_failures(10).open_for(10 * SECOND);

    let unprotected = run(|queue| queue)?;
    let with_budget = run(|queue| queue.retry_budget(budget()))?;
    let with_breaker = run(|queue| queue.breaker(breaker()))?;
    let with_both = run(|queue| queue.retry_budget(budget()).breaker(breaker()))?;

    println!("{:<14} {:>16} {:>13} {:>7} {:>5}", "", "calls while down", "settled after", "acked", "dead");
    for (name, run) in
        [("unprotected", &unprotected), ("budget", &with_budget), ("breaker", &with_breaker), ("both", &with_both)]
    {
        println!("{name:<14} {:>16} {:>11} s {:>7} {:>5}", run.calls_while_down, run.seconds, run.acked, run.dead);
        assert_eq!(
            run.acked + run.dead,
            u64::from(SENDING * MESSAGES_PER_SECOND),
            "each is delivered, or a dead letter"
        );
    }
    assert!(with_budget.calls_while_down < unprotected.calls_while_down);
    // Ten failures and a probe every ten seconds. What waits meanwhile is charged no attempt, so nothing dies of the outage.
    assert!(with_breaker.calls_while_down <= 10 + 12 && with_breaker.dead == 0);
    Ok(())
}
