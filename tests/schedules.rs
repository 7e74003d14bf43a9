//! Whole-queue scenarios under thousands of random schedules: every lock, atomic and sleep is a point where any other thread
//! may go on. `scripts/shuttle.sh` runs them; loom's models cover the same pieces one by one, and every schedule of them.
//!
//! `REDELIVER_SCHEDULES=N` is how many schedules in all (20,000 unless it says otherwise), `SEED=N` the first of their seeds.
//! A failing schedule is printed with the seed that replays it.
#![cfg(shuttle)]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it writes evidence")]

use futures_core::Stream;
use redeliver::{
    Batch, Breaker, BreakerState, Consumer, DeadLetters, Delivery, Event, Filter, Fixed, Immediate, ManualClock,
    MessageId, Never, Producer, Queue, QueueBuilder, Rate, Receipt, ReceiptError, RetryBudget, SendErrorKind,
};
use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::yield_now;
use shuttle::{Config, Runner};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

mod support;
use support::{evidence, seed};

const TICK: Duration = Duration::from_millis(5);
/// Longer than any scenario.
const LONG: Duration = Duration::from_secs(1 << 20);
const SCENARIOS: usize = 11;

/// Half of the schedules take a random step each time; the other half preempt seldom, but at the worst moments.
fn scenario(name: &str, body: impl Fn() + Send + Sync + 'static) {
    let all: usize = std::env::var("REDELIVER_SCHEDULES").map_or(20_000, |n| n.parse().expect("a number of schedules"));
    let (half, seed) = (all.div_ceil(2 * SCENARIOS), seed());
    let body = Arc::new(body);
    let steps = Arc::new(AtomicUsize::new(0));
    let counted = || {
        let (body, steps) = (body.clone(), steps.clone());
        move || {
            steps.fetch_add(1, Relaxed);
            body();
        }
    };
    println!("scenario: {name}: SEED={seed}");
    Runner::new(RandomScheduler::new_from_seed(seed, half), Config::new()).run(counted());
    Runner::new(PctScheduler::new_from_seed(seed, 3, half), Config::new()).run(counted());
    let ran = steps.load(Relaxed);
    assert_eq!(ran, 2 * half);
    evidence(&format!("shuttle-{name}"), serde_json::json!({ "schedules": ran, "seed": seed }));
}

/// A thread of a scenario.
struct Task {
    handle: shuttle::thread::JoinHandle<()>,
    is_done: Arc<AtomicBool>,
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Task {
    let is_done = Arc::new(AtomicBool::new(false));
    let done = is_done.clone();
    let handle = shuttle::thread::spawn(move || {
        work();
        done.store(true, Relaxed);
    });
    Task { handle, is_done }
}

/// What became of each message, as the threads saw it.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<u32, Vec<&'static str>>>>);

impl Seen {
    fn note(&self, message: u32, what: &'static str) {
        self.0.lock().unwrap().entry(message).or_default().push(what);
    }

    /// Every message of these has exactly one end, and no other has any.
    fn check(&self, messages: impl IntoIterator<Item = u32>) {
        let seen = self.0.lock().unwrap();
        let mut expected = 0;
        for message in messages {
            let ends = seen.get(&message).unwrap_or_else(|| panic!("{message} is lost: {seen:?}"));
            assert_eq!(ends.len(), 1, "{message} ended more than once: {seen:?}");
            expected += 1;
        }
        assert_eq!(seen.len(), expected, "an end of a message that was not sent: {seen:?}");
    }
}

/// Room for two messages beside the two that the consumers may hold over their lease: such a seat is kept.
fn builder(clock: &ManualClock) -> QueueBuilder<u32> {
    let builder = Queue::builder("scenario").seed(1).clock(clock.clone());
    builder.lease(2 * TICK).retry(Fixed::new(TICK).max_attempts(3)).capacity(4)
}

fn ack(delivery: Delivery<u32>, seen: &Seen) {
    let message = *delivery;
    if delivery.ack().is_ok() {
        seen.note(message, "acked");
    }
}

fn ack_all(batch: Batch<u32>, seen: &Seen) {
    // A message may be in it twice: once under a lease that was lost meanwhile.
    let mut acked: Vec<(u32, u32)> = batch.iter().map(|item| (*item.message(), item.attempt())).collect();
    if let Err(errors) = batch.ack_all() {
        let lost: Vec<_> = errors.iter().map(|error| (*error.delivery, error.delivery.attempt())).collect();
        acked.retain(|delivery| !lost.contains(delivery));
    }
    acked.into_iter().for_each(|(message, _)| seen.note(message, "acked"));
}

/// A consumer that settles in every way there is, until the queue is over.
fn handle(consumer: Consumer<u32>, seen: Seen) -> Task {
    spawn(move || {
        let mut late: Option<Delivery<u32>> = None;
        while let Ok(delivery) = consumer.recv() {
            match thread_rng().gen_range(0..8) {
                0..3 => ack(delivery, &seen),
                3 => _ = delivery.nack("planned"),
                4 => _ = delivery.nack_after(TICK, "planned"),
                5 => drop(delivery),
                6 => {
                    // Held over its lease, perhaps, and settled late.
                    if let Some(late) = late.replace(delivery) {
                        ack(late, &seen);
                    }
                }
                _ => _ = delivery.reject("planned"),
            }
        }
        // What is held now was lost before the queue was over.
        assert!(late.is_none_or(|late| late.ack().is_err()));
    })
}

/// Lets time pass until all of these threads have ended.
fn let_time_pass(clock: &ManualClock, threads: Vec<Task>) {
    while threads.iter().any(|thread| !thread.is_done.load(Relaxed)) {
        clock.advance(TICK);
        yield_now();
    }
    threads.into_iter().for_each(|thread| thread.handle.join().unwrap());
}

fn note_the_dead(letters: &DeadLetters<u32>, seen: &Seen) {
    letters.list(Filter::all()).iter().for_each(|letter| seen.note(*letter.message().unwrap(), "dead"));
}

/// Two threads that send three messages each: 0 to 2, and 10 to 12.
fn two_senders(queue: &Queue<u32>, send: impl Fn(&Producer<u32>, u32) + Copy + Send + 'static) -> Vec<Task> {
    let sender = |base: u32, producer: Producer<u32>| {
        spawn(move || (base..base + 3).for_each(|message| send(&producer, message)))
    };
    vec![sender(0, queue.producer()), sender(10, queue.producer())]
}

/// What they sent has ended once each, and nothing is left.
fn check_what_two_sent(queue: &Queue<u32>, seen: &Seen) {
    note_the_dead(&queue.dead_letters(), seen);
    seen.check((0..3).chain(10..13));
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.in_flight, stats.delayed), (0, 0, 0));
    assert_eq!(stats.sent, stats.acked + stats.dead);
}

#[test]
fn every_verdict() {
    scenario("every-verdict", || {
        let (clock, seen) = (ManualClock::new(), Seen::default());
        let queue = builder(&clock).open().unwrap();
        let consumers = (0..2).map(|_| handle(queue.consumer(), seen.clone())).collect();
        let senders = two_senders(&queue, |producer, message| producer.send(message).map(drop).unwrap());
        let_time_pass(&clock, senders);
        queue.close();
        let_time_pass(&clock, consumers);
        check_what_two_sent(&queue, &seen);
    });
}

#[test]
fn closed_while_sending() {
    scenario("closed-while-sending", || {
        let (clock, seen, sent) = (ManualClock::new(), Seen::default(), Arc::new(Mutex::new(Vec::new())));
        let queue = builder(&clock).open().unwrap();
        let mut threads = vec![handle(queue.consumer(), seen.clone())];
        for base in [0, 10] {
            let (producer, sent) = (queue.producer(), sent.clone());
            threads.push(spawn(move || {
                for message in base..base + 3 {
                    match producer.send(message) {
                        Ok(_) => sent.lock().unwrap().push(message),
                        Err(error) => {
                            assert_eq!((error.kind, error.message), (SendErrorKind::Closed, message));
                            break;
                        }
                    }
                }
            }));
        }
        let closing = queue.clone();
        threads.push(spawn(move || closing.close()));
        let_time_pass(&clock, threads);
        note_the_dead(&queue.dead_letters(), &seen);
        seen.check(sent.lock().unwrap().clone());
    });
}

#[test]
fn submitted_to_a_full_queue() {
    scenario("submitted-to-a-full-queue", || {
        let (clock, seen) = (ManualClock::new(), Seen::default());
        let queue = builder(&clock).lease(LONG).capacity(1).resend(Fixed::new(TICK).max_attempts(3)).open().unwrap();
        let events = queue.events();
        let mut threads: Vec<_> = [0, 10]
            .map(|base| (base, queue.producer(), seen.clone()))
            .map(|(base, producer, seen)| {
                spawn(move || {
                    let receipts: Vec<(u32, Receipt)> =
                        (base..base + 2).map(|message| (message, producer.submit(message).unwrap())).collect();
                    for (message, receipt) in receipts {
                        let id = receipt.id();
                        match receipt.wait() {
                            Ok(accepted) => assert_eq!(accepted, id),
                            Err(ReceiptError::GivenUp) => seen.note(message, "given up"),
                            Err(other) => panic!("{other}"),
                        }
                    }
                })
            })
            .into();
        let consumer = queue.consumer();
        let (acks, closing) = (seen.clone(), queue.clone());
        let consumed = spawn(move || {
            while let Ok(delivery) = consumer.recv() {
                let message = *delivery;
                delivery.ack().unwrap();
                acks.note(message, "acked");
            }
        });
        threads.push(spawn(move || {
            closing.drain(Duration::from_secs(60)).unwrap();
        }));
        let_time_pass(&clock, threads);
        assert!(queue.unsent().is_empty());
        queue.close();
        let_time_pass(&clock, vec![consumed]);
        seen.check([0, 1, 10, 11]);
        let given_up = events.try_iter().filter(|event| matches!(event, Event::GivenUp { .. })).count();
        assert_eq!(given_up, queue.dead_letters().len());
    });
}

#[test]
fn drained_while_working() {
    scenario("drained-while-working", || {
        let (clock, seen) = (ManualClock::new(), Seen::default());
        let queue = builder(&clock).capacity(3).open().unwrap();
        let consumers: Vec<_> = (0..2).map(|_| handle(queue.consumer(), seen.clone())).collect();
        let producer = queue.producer();
        (0..3).for_each(|message| producer.send(message).map(drop).unwrap());
        let drainer = {
            let queue = queue.clone();
            spawn(move || {
                queue.drain(Duration::from_secs(60)).unwrap();
                let stats = queue.stats();
                assert_eq!((stats.ready, stats.in_flight, stats.delayed), (0, 0, 0));
            })
        };
        let_time_pass(&clock, vec![drainer]);
        queue.close();
        let_time_pass(&clock, consumers);
        note_the_dead(&queue.dead_letters(), &seen);
        seen.check(0..3);
    });
}

#[test]
fn batches_against_expiry() {
    scenario("batches-against-expiry", || {
        let (clock, seen) = (ManualClock::new(), Seen::default());
        let queue = builder(&clock).capacity(3).retry(Immediate).max_deliveries(100).open().unwrap();
        let mut threads: Vec<_> = (0..2)
            .map(|_| (queue.consumer(), seen.clone()))
            .map(|(consumer, seen)| {
                spawn(move || {
                    while let Ok(batch) = consumer.recv_batch(2) {
                        match thread_rng().gen_range(0..3) {
                            0 => drop(batch),
                            1 => batch.into_iter().for_each(|delivery| ack(delivery, &seen)),
                            _ => ack_all(batch, &seen),
                        }
                    }
                })
            })
            .collect();
        let producer = queue.producer();
        let closing = queue.clone();
        threads.push(spawn(move || {
            producer.send_batch(0..5).unwrap();
            closing.close();
        }));
        let_time_pass(&clock, threads);
        note_the_dead(&queue.dead_letters(), &seen);
        seen.check(0..5);
        assert_eq!(queue.stats().acked + queue.stats().dead, 5);
    });
}

#[test]
fn a_full_store_redrives_and_purges() {
    scenario("a-full-store-redrives-and-purges", || {
        let clock = ManualClock::new();
        let queue = builder(&clock).lease(LONG).capacity(3).retry(Never).dead_letter_capacity(1).open().unwrap();
        let producer = queue.producer();
        let ids: Vec<MessageId> = (0..3).map(|message| producer.send(message).unwrap()).collect();
        let (acked, purged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let consumers: Vec<_> = (0..2)
            .map(|_| (queue.consumer(), acked.clone()))
            .map(|(consumer, acked)| {
                spawn(move || {
                    while let Ok(delivery) = consumer.recv() {
                        // Each dies of its first attempt, and waits for room in the store; a redriven one is good.
                        if delivery.history().is_empty() {
                            delivery.nack("planned").unwrap();
                        } else {
                            delivery.ack().unwrap();
                            acked.fetch_add(1, Relaxed);
                        }
                    }
                })
            })
            .collect();
        // Two at once, so that they get in each other's way.
        let workers = [(); 2].map(|()| {
            let (queue, acked, purged, ids) = (queue.clone(), acked.clone(), purged.clone(), ids.clone());
            spawn(move || {
                let dead = queue.dead_letters();
                while acked.load(Relaxed) + purged.load(Relaxed) < 3 {
                    match thread_rng().gen_range(0..5) {
                        0 => _ = purged.fetch_add(dead.purge(Filter::all().limit(1)), Relaxed),
                        1 => _ = dead.redrive_all(Filter::all(), Rate::unlimited()),
                        2 => _ = dead.redrive_all(Filter::all(), Rate::per_second(500)),
                        _ => {
                            for letter in dead.list(Filter::all()) {
                                assert!(ids.contains(&letter.id()));
                                dead.redrive(letter.id());
                            }
                        }
                    }
                    yield_now();
                }
                queue.close();
            })
        });
        let_time_pass(&clock, consumers.into_iter().chain(workers).collect());
        let stats = queue.stats();
        assert_eq!((stats.dead, stats.parked, stats.delayed, stats.acked + stats.purged), (0, 0, 0, 3));
        assert_eq!((stats.acked as usize, stats.purged as usize), (acked.load(Relaxed), purged.load(Relaxed)));
    });
}

#[test]
fn paused_and_left() {
    scenario("paused-and-left", || {
        let (clock, seen) = (ManualClock::new(), Seen::default());
        let queue = builder(&clock).open().unwrap();
        queue.pause();
        let consumers: Vec<_> = (0..2).map(|_| handle(queue.consumer(), seen.clone())).collect();
        let (producer, letters) = (queue.producer(), queue.dead_letters());
        let sender = spawn(move || (0..3).for_each(|message| producer.send(message).map(drop).unwrap()));
        // The last sender closes the queue, whoever that is.
        let resumer = spawn(move || queue.resume());
        let_time_pass(&clock, consumers.into_iter().chain([sender, resumer]).collect());
        note_the_dead(&letters, &seen);
        seen.check(0..3);
    });
}

#[test]
fn tasks_and_threads() {
    scenario("tasks-and-threads", || {
        let (clock, seen) = (ManualClock::new(), Seen::default());
        let queue = builder(&clock).retry(Immediate).max_deliveries(100).open().unwrap();
        let mut receivers = vec![handle(queue.consumer(), seen.clone())];
        for _ in 0..2 {
            let (consumer, seen) = (queue.consumer(), seen.clone());
            receivers.push(spawn(move || {
                block_on(async {
                    let mut messages = consumer.stream();
                    while let Some(delivery) = poll_fn(|cx| Pin::new(&mut messages).poll_next(cx)).await {
                        if thread_rng().gen_range(0..4) == 0 { drop(delivery) } else { ack(delivery, &seen) }
                    }
                });
            }));
        }
        let send = |producer: &Producer<u32>, message| block_on(producer.send_async(message)).map(drop).unwrap();
        let_time_pass(&clock, two_senders(&queue, send));
        queue.close();
        let_time_pass(&clock, receivers);
        check_what_two_sent(&queue, &seen);
    });
}

/// Polls a future a few times, and drops it if it is not ready by then.
fn poll_a_few_times<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    block_on(async {
        let mut polls = 0;
        poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == 2 => Poll::Ready(None),
            Poll::Pending => {
                polls += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    })
}

#[test]
fn tasks_that_give_up() {
    scenario("tasks-that-give-up", || {
        let (clock, seen) = (ManualClock::new(), Seen::default());
        let queue = builder(&clock).lease(LONG).capacity(1).open().unwrap();
        let patient = {
            let (consumer, seen) = (queue.consumer(), seen.clone());
            spawn(move || consumer.iter().for_each(|delivery| ack(delivery, &seen)))
        };
        let impatient = {
            let (consumer, seen) = (queue.consumer(), seen.clone());
            spawn(move || {
                for _ in 0..3 {
                    if let Some(Ok(delivery)) = poll_a_few_times(consumer.recv_async()) {
                        ack(delivery, &seen);
                    }
                }
            })
        };
        let senders = two_senders(&queue, |producer, message| match poll_a_few_times(producer.send_async(message)) {
            Some(accepted) => accepted.map(drop).unwrap(),
            None => producer.send(message + 100).map(drop).unwrap(), // that one was not sent
        });
        let_time_pass(&clock, senders.into_iter().chain([impatient]).collect());
        queue.close();
        let_time_pass(&clock, vec![patient]);
        let seen = seen.0.lock().unwrap();
        assert_eq!(seen.len(), 6, "each was sent once, by the one way or the other: {seen:?}");
        assert!(seen.values().all(|ends| ends.len() == 1), "{seen:?}");
    });
}

/// Every verdict again, past a breaker (for the queue, or for classes) and a budget: two keyed senders, two consumers.
fn guarded(name: &str, by_key: bool) {
    scenario(name, move || {
        let (clock, seen) = (ManualClock::new(), Seen::default());
        let breaker = Breaker::new().consecutive_failures(1).open_for(TICK).open_for_max(3 * TICK);
        let breaker = if by_key { breaker.per_key(|key| key.unwrap_or_default().into()) } else { breaker };
        let budget = RetryBudget::percent(50.0).floor_per_second(200.0).window(2 * TICK);
        let queue = builder(&clock).breaker(breaker).retry_budget(budget).open().unwrap();
        let events = queue.events();
        let consumers = (0..2).map(|_| handle(queue.consumer(), seen.clone())).collect();
        let senders = two_senders(&queue, |producer, message| {
            producer.message(message).key(if message < 10 { "a" } else { "b" }).send().map(drop).unwrap()
        });
        let_time_pass(&clock, senders);
        queue.close();
        let_time_pass(&clock, consumers);
        check_what_two_sent(&queue, &seen);
        // What was told last is the state of now.
        let class = if by_key { "a" } else { "" };
        let is_now = queue.breaker_state(class);
        let told: Vec<_> = events.try_iter().filter(|event| names(event, class)).collect();
        match (is_now, told.last()) {
            (BreakerState::Closed, None | Some(Event::BreakerClosed { .. }))
            | (BreakerState::HalfOpen, Some(Event::BreakerHalfOpened { .. }))
            | (BreakerState::Open { .. }, Some(Event::BreakerOpened { .. })) => {}
            other => panic!("told last: {other:?}"),
        }
    });
}

fn names(event: &Event, name: &str) -> bool {
    match event {
        Event::BreakerOpened { class, .. }
        | Event::BreakerHalfOpened { class, .. }
        | Event::BreakerClosed { class, .. } => **class == *name,
        _ => false,
    }
}

#[test]
fn past_a_breaker_and_a_budget() {
    guarded("past-a-breaker-and-a-budget", false);
}

#[test]
fn past_breakers_by_class() {
    guarded("past-breakers-by-class", true);
}
