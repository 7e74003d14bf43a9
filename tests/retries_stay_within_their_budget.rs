//! With a retry budget no more retries are handed over than it grants; those that wait are not charged, and keep their order.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it starts threads")]

mod support;

use redeliver::{Fixed, Immediate, ManualClock, Queue, QueueBuilder, RetryBudget, TryRecvError};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use support::{Rng, seed};

const SECOND: Duration = Duration::from_secs(1);

fn builder(clock: &ManualClock, budget: RetryBudget) -> QueueBuilder<u32> {
    Queue::builder("thrifty")
        .clock(clock.clone())
        .lease(10 * SECOND)
        .retry(Immediate.max_attempts(50))
        .retry_budget(budget)
}

#[test]
fn what_is_due_waits_uncharged_and_in_order_until_first_attempts_or_time_bring_a_balance() {
    let clock = ManualClock::new();
    let budget = RetryBudget::percent(50.0).floor_per_second(1.0).window(SECOND);
    let queue = builder(&clock, budget).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    producer.send_batch(0..4).unwrap();
    consumer.recv_batch(4).unwrap().nack_all("refused").unwrap();
    // Four first attempts and the floor: three retries.
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.delayed), (3, 1), "those that may go are ready, the other waits");
    for expected in 0..3 {
        let retry = consumer.recv().unwrap();
        assert_eq!((*retry, retry.attempt()), (expected, 2));
        retry.nack("refused").unwrap();
    }
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(queue.stats().delayed, 4);
    producer.send_batch(10..12).unwrap();
    consumer.recv().unwrap().ack().unwrap();
    consumer.recv().unwrap().ack().unwrap(); // half of two
    let retry = consumer.try_recv().unwrap();
    assert_eq!((*retry, retry.attempt()), (3, 2), "it kept its place");
    retry.ack().unwrap();
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
    clock.advance(2 * SECOND); // all of that is forgotten; the floor's one
    let retry = consumer.try_recv().unwrap();
    assert_eq!((*retry, retry.attempt()), (0, 3));
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
    retry.ack().unwrap();
    queue.close();
    for _ in 0..2 {
        assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
        clock.advance(2 * SECOND);
        consumer.try_recv().unwrap().ack().unwrap();
    }
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
}

#[test]
fn a_snooze_costs_nothing_and_a_redrive_is_a_first_attempt() {
    let clock = ManualClock::new();
    let queue = builder(&clock, RetryBudget::percent(100.0).floor_per_second(1.0).window(SECOND)).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let dead = producer.send(0).unwrap();
    consumer.recv().unwrap().reject("no such user").unwrap();
    clock.advance(5 * SECOND);
    producer.send(1).unwrap();
    for _ in 0..5 {
        consumer.recv().unwrap().snooze(Duration::ZERO).unwrap();
    }
    consumer.recv().unwrap().nack("refused").unwrap(); // one first attempt: two retries
    for _ in 0..3 {
        consumer.recv().unwrap().snooze(Duration::ZERO).unwrap(); // one retry, snoozed again and again
    }
    consumer.recv().unwrap().nack("refused").unwrap();
    consumer.recv().unwrap().nack("refused").unwrap();
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
    assert!(queue.dead_letters().redrive(dead));
    let redriven = consumer.recv().unwrap();
    assert_eq!((*redriven, redriven.attempt()), (0, 1));
    let retry = consumer.recv().unwrap();
    assert_eq!((*retry, retry.attempt()), (1, 4), "the redrive has paid for it");
    redriven.ack().unwrap();
    retry.ack().unwrap();
}

#[test]
fn an_hour_of_success_does_not_buy_a_storm() {
    let clock = ManualClock::new();
    let queue = builder(&clock, RetryBudget::percent(10.0).floor_per_second(1.0)).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    for second in 0..3600 {
        producer.send_batch(second..second + 100).unwrap();
        consumer.recv_batch(100).unwrap().ack_all().unwrap();
        clock.advance(SECOND);
    }
    producer.send_batch(0..1000).unwrap();
    consumer.recv_batch(1000).unwrap().nack_all("refused").unwrap();
    let retries = std::iter::from_fn(|| consumer.try_recv().ok()).map(|retry| retry.nack("refused").unwrap()).count();
    // A tenth of the 1,000 of before and the 1,000 of now, and ten of the floor.
    assert!((190..=210).contains(&retries), "{retries}");
}

/// Whatever is done: at each retry the bound holds over the exact window that ends then.
#[test]
fn in_no_window_there_are_more_than_it_grants() {
    for run in 0..40 {
        let mut rng = Rng(seed() + run);
        let (percent, floor) = (rng.below(101) as f64, (1 + rng.below(20)) as f64);
        let window = Duration::from_millis(1000 + rng.below(10_000));
        let clock = ManualClock::new();
        let budget = RetryBudget::percent(percent).floor_per_second(floor).window(window);
        let delay = Duration::from_millis(rng.below(3) * 700);
        let queue = builder(&clock, budget).retry(Fixed::new(delay).max_attempts(50)).open().unwrap();
        let (producer, consumer) = (queue.producer(), queue.consumer());
        let (mut log, mut now) = (VecDeque::new(), Duration::ZERO);
        let mut attempts: HashMap<u32, u32> = HashMap::new();
        let mut sent = 0;
        for _ in 0..400 {
            for _ in 0..rng.below(20) {
                producer.send(sent).unwrap();
                sent += 1;
            }
            for _ in 0..rng.below(40) {
                let Ok(delivery) = consumer.try_recv() else { break };
                let before = attempts.entry(*delivery).or_default();
                *before += 1;
                assert_eq!(delivery.attempt(), *before, "a wait is charged to nobody");
                log.push_back((now, delivery.attempt() > 1));
                if delivery.attempt() > 1 {
                    log.retain(|(at, _)| *at + window > now);
                    let retries = log.iter().filter(|(_, is_retry)| *is_retry).count() as f64;
                    let firsts = log.len() as f64 - retries;
                    let granted = percent / 100.0 * firsts + floor * window.as_secs_f64();
                    assert!(retries <= granted + 1e-6, "run {run}: {retries} of {granted}");
                }
                if rng.below(3) == 0 { delivery.ack().unwrap() } else { delivery.nack("refused").unwrap() }
            }
            let step = Duration::from_millis(rng.below(400));
            clock.advance(step);
            now += step;
        }
        // And it starves nobody.
        queue.close();
        let mut rounds = 0;
        loop {
            match consumer.try_recv() {
                Ok(delivery) => delivery.ack().unwrap(),
                Err(TryRecvError::Closed) => break,
                Err(_) => clock.advance(window),
            }
            rounds += 1;
            assert!(rounds < 200_000, "run {run}: {:?}", queue.stats());
        }
        assert_eq!(queue.stats().acked, u64::from(sent), "run {run}");
    }
}

#[test]
fn a_consumer_that_sleeps_is_woken_when_there_is_a_balance() {
    let budget = RetryBudget::percent(0.0).floor_per_second(50.0).window(Duration::from_millis(40));
    let queue = Queue::builder("real").retry(Immediate.max_attempts(50)).retry_budget(budget).open().unwrap();
    queue.producer().send_batch(0..20).unwrap();
    queue.close();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let consumer = queue.consumer();
            scope.spawn(move || {
                while let Ok(delivery) = consumer.recv() {
                    if delivery.attempt() < 3 { delivery.nack("refused").unwrap() } else { delivery.ack().unwrap() }
                }
            });
        }
    });
    assert_eq!(queue.stats().acked, 20);
}

/// A task that waits for a message, and whether it was called since it was polled last. Of a task it is certain that it waits.
struct Waiter<F> {
    receive: Pin<Box<F>>,
    call: Arc<Call>,
}

struct Call(AtomicBool);

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl<F: Future> Waiter<F> {
    fn new(receive: F) -> Self {
        Waiter { receive: Box::pin(receive), call: Arc::new(Call(AtomicBool::new(true))) }
    }

    /// Polls it if it was called.
    fn turn(&mut self) -> Option<F::Output> {
        let was_called = self.call.0.swap(false, SeqCst);
        let waker = Waker::from(self.call.clone());
        match was_called.then(|| self.receive.as_mut().poll(&mut Context::from_waker(&waker))) {
            Some(Poll::Ready(output)) => Some(output),
            Some(Poll::Pending) | None => None,
        }
    }
}

#[test]
fn a_first_attempt_of_another_wakes_who_waits_for_a_balance() {
    let minute = Duration::from_secs(60);
    let budget = RetryBudget::percent(100.0).floor_per_second(1.0 / 60.0).window(minute);
    let queue = builder(&ManualClock::new(), budget).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send(1).unwrap();
    for _ in 0..3 {
        consumer.recv().unwrap().nack("refused").unwrap(); // two retries, and there is no balance left
    }
    let mut waiters = [Waiter::new(consumer.recv_async()), Waiter::new(consumer.recv_async())];
    assert!(waiters.iter_mut().all(|waiter| waiter.turn().is_none()), "no balance");
    queue.producer().send(2).unwrap();
    // One takes the message, and what it brings lets the other have the retry.
    let mut taken = Vec::new();
    for _ in 0..2 {
        let called: Vec<_> = waiters.iter_mut().filter_map(Waiter::turn).collect();
        taken.extend(called.into_iter().map(|delivery| delivery.unwrap().into_message().unwrap()));
    }
    taken.sort_unstable();
    assert_eq!(taken, [1, 2]);
}
