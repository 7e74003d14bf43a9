//! The traps that other queues fell into, one test each. What each of them was is in the first line of its test.
//!
//! Not here, because what they need does not exist yet: priorities that are forgotten, retries beyond a time to live, `Ok` before
//! a durable write, uniqueness that counts the dead, brokers that cannot delay.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads and time of its own")]

use redeliver::{
    Cause, Decision, Event, Exponential, Failure, Filter, Fixed, Immediate, Jitter, Linear, ManualClock, Never, Queue,
    QueueBuilder, RetryPolicy, Schedule, SettleErrorKind, TryRecvError,
};
use std::time::{Duration, Instant};

mod support;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn delay(policy: &impl RetryPolicy, attempt: u32) -> Option<Duration> {
    match policy.decide(&Failure::new(attempt, Cause::Dropped)) {
        Decision::Retry { after } => Some(after),
        _ => None,
    }
}

fn manual(name: &str) -> (ManualClock, QueueBuilder<u32>) {
    let clock = ManualClock::new();
    (clock.clone(), Queue::builder(name).clock(clock))
}

// ---- retry arithmetic ----

#[test]
fn a_steep_factor_never_turns_a_delay_negative_or_short() {
    // initial * (long) pow(16, 14) became negative, and the retry came at once.
    let steep = Exponential::new(MS).factor(16.0).forever();
    let delays: Vec<_> = (1..200).map(|attempt| delay(&steep, attempt).unwrap()).collect();
    assert!(delays.is_sorted());
    assert_eq!(delays[13], MS.checked_mul(16u32.pow(7)).unwrap().checked_mul(16u32.pow(6)).unwrap());
    assert_eq!(delays[198], Duration::MAX);
}

#[test]
fn a_broken_factor_is_not_cut_to_a_whole_one() {
    // powi was cast to an integer: a factor of 1.5 gave ×1, ×1, ×2.
    let gentle = Exponential::new(100 * MS).factor(1.5);
    let delays: Vec<_> = (1..=4).map(|attempt| delay(&gentle, attempt).unwrap()).collect();
    assert_eq!(delays, [100 * MS, 150 * MS, 225 * MS, Duration::from_micros(337_500)]);
}

#[test]
fn every_reader_of_a_schedule_begins_at_its_first_delay() {
    // Two indices into one table, n + 2 and n - 1: the first retry came after 10 s here and after 1 s there.
    let seconds = [10, 30, 60];
    let schedule = Schedule::new(seconds.map(Duration::from_secs));
    assert_eq!([1, 2, 3].map(|attempt| delay(&schedule, attempt)), seconds.map(|s| Some(Duration::from_secs(s))));
    assert_eq!(delay(&schedule, 4), None);
    assert_eq!(delay(&Schedule::rocketmq(), 1), Some(10 * SECOND));
    assert_eq!(delay(&Linear::new(SECOND, SECOND), 1), Some(SECOND));
    // What the preview shows is what happens.
    let (clock, builder) = manual("schedule");
    let queue = builder.retry(schedule.clone()).open().unwrap();
    queue.producer().send(1).unwrap();
    for step in schedule.preview(4).steps() {
        queue.consumer().try_recv().unwrap().nack("planned").unwrap();
        if step.decision() == Decision::DeadLetter {
            break;
        }
        clock.advance(step.shortest() - MS);
        assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Empty);
        clock.advance(MS);
    }
    assert_eq!(queue.dead_letters().len(), 1);
}

#[test]
fn a_delay_that_the_handler_asks_for_is_that_delay() {
    // A nak with delay d waited d + B[n] - B[0], for the backoff list was added on top.
    let (clock, builder) = manual("nack_after");
    let queue = builder.retry(Schedule::new([5 * SECOND, 60 * SECOND])).open().unwrap();
    queue.producer().send(1).unwrap();
    for _ in 0..3 {
        queue.consumer().try_recv().unwrap().nack_after(2 * SECOND, "planned").unwrap();
        clock.advance(2 * SECOND - MS);
        assert!(queue.consumer().try_recv().is_err());
        clock.advance(MS);
    }
    assert_eq!(queue.consumer().try_recv().unwrap().attempt(), 4);
}

#[test]
fn a_far_timer_hides_no_nearer_one() {
    // The driver slept until the first timer it knew of, however soon the next one was due.
    let queue = Queue::builder("far and near").retry(Never).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send_batch([1, 2]).unwrap();
    consumer.recv().unwrap().nack_after(3600 * SECOND, "far").unwrap();
    consumer.recv().unwrap().nack_after(5 * MS, "near").unwrap();
    let started = Instant::now();
    assert_eq!(*consumer.recv_timeout(60 * SECOND).unwrap(), 2);
    assert!(started.elapsed() >= 5 * MS);
}

#[test]
fn the_delay_of_a_step_is_used_for_that_step() {
    // The delay was computed before the attempt was counted, so each step waited the time of the one before.
    let (clock, builder) = manual("steps");
    let queue = builder.retry(Linear::new(SECOND, SECOND).max_attempts(4)).open().unwrap();
    queue.producer().send(1).unwrap();
    for seconds in 1..=3 {
        queue.consumer().try_recv().unwrap().nack("planned").unwrap();
        clock.advance(seconds * SECOND - MS);
        assert!(queue.consumer().try_recv().is_err(), "not before {seconds} s");
        clock.advance(MS);
    }
    let last = queue.consumer().try_recv().unwrap();
    let delays: Vec<_> = last.history().iter().map(|attempt| attempt.delay().unwrap()).collect();
    assert_eq!(delays, [SECOND, 2 * SECOND, 3 * SECOND]);
    last.ack().unwrap();
}

#[test]
fn jitter_is_not_clipped_at_the_cap() {
    // Half of all clients retried after exactly the cap, just when the herd was largest.
    let policy = Exponential::new(100 * MS).max_delay(SECOND).jitter(Jitter::Percent(20)).forever();
    let draw = |n: u64| {
        let failure = Failure::new(12, Cause::Dropped).with_random(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let Decision::Retry { after } = policy.decide(&failure) else { panic!("it goes on for ever") };
        after
    };
    let draws: Vec<_> = (0..10_000).map(draw).collect();
    assert!(draws.iter().all(|after| (800 * MS..=1200 * MS).contains(after)));
    assert!(draws.iter().filter(|after| **after == SECOND).count() < 10);
    assert!(draws.iter().filter(|after| **after > SECOND).count() > 4_000);
}

#[test]
fn a_nack_after_the_lease_has_ended_counts_nothing() {
    // Two timers raced on one message, and its count of attempts was corrupted.
    let (clock, builder) = manual("late nack");
    let queue = builder.lease(SECOND).retry(Fixed::new(SECOND)).open().unwrap();
    queue.producer().send(1).unwrap();
    let late = queue.consumer().try_recv().unwrap();
    clock.advance(SECOND);
    assert_eq!(late.nack("too late").unwrap_err().kind, SettleErrorKind::StaleLease);
    clock.advance(SECOND);
    let again = queue.consumer().try_recv().unwrap();
    assert_eq!((again.attempt(), again.history().len()), (2, 1));
    again.ack().unwrap();
    assert_eq!((queue.stats().failed, queue.stats().delivered), (1, 2));
}

#[test]
fn what_always_fails_starves_nothing_new() {
    // Messages in backoff filled the in-flight gate though nobody held them.
    let (_clock, builder) = manual("poison");
    let queue = builder.capacity(4).retry(Fixed::new(3600 * SECOND)).open().unwrap();
    for poison in 0..1_000 {
        queue.producer().try_send(poison).unwrap();
        queue.consumer().try_recv().unwrap().nack("planned").unwrap();
    }
    for fresh in 1_000..1_004 {
        queue.producer().try_send(fresh).unwrap();
    }
    assert_eq!((queue.stats().delayed, queue.len()), (1_000, 4));
    assert_eq!(*queue.consumer().try_recv().unwrap(), 1_000);
}

#[test]
fn what_waits_for_a_full_store_starves_nothing_new() {
    // The dead that found no room stayed in the way of the living.
    let (_clock, builder) = manual("parked");
    let queue = builder.capacity(4).retry(Never).dead_letter_capacity(1).open().unwrap();
    for poison in 0..1_000 {
        queue.producer().try_send(poison).unwrap();
        queue.consumer().try_recv().unwrap().nack("planned").unwrap();
    }
    for fresh in 1_000..1_004 {
        queue.producer().try_send(fresh).unwrap();
    }
    assert_eq!((queue.stats().parked, queue.len()), (999, 4));
    assert_eq!(*queue.consumer().try_recv().unwrap(), 1_000);
}

#[test]
fn what_comes_back_is_what_was_sent() {
    // A returned message had forgotten what it was sent with.
    let queue = Queue::<u32>::builder("returned").retry(Immediate).dead_letter_capacity(1).open().unwrap();
    let consumer = queue.consumer();
    let id = queue.producer().message(1).key("user-7").header("trace", "abc").send().unwrap();
    consumer.recv().unwrap().nack("planned").unwrap();
    consumer.recv().unwrap().reject("planned").unwrap();
    assert!(queue.dead_letters().redrive(id));
    let again = consumer.recv().unwrap();
    assert_eq!((again.id(), again.key(), again.headers().get_str("trace")), (id, Some("user-7"), Some("abc")));
    assert_eq!((again.attempt(), again.history().len()), (1, 2));
    again.ack().unwrap();
}

#[test]
fn no_delay_is_past_the_horizon() {
    // Delays past the wheel's horizon (7 days here, 2^36 ms there) were lost, or a panic.
    let (clock, builder) = manual("horizon");
    let queue = builder.retry(Never).open().unwrap();
    for exponent in [20, 33, 36, 40, 55] {
        let far = Duration::from_millis(1 << exponent);
        queue.producer().send(exponent).unwrap();
        queue.consumer().try_recv().unwrap().nack_after(far, "planned").unwrap();
        clock.advance(far - MS);
        assert!(queue.consumer().try_recv().is_err(), "2^{exponent} ms came early");
        clock.advance(MS);
        queue.consumer().try_recv().unwrap().ack().unwrap();
    }
}

// ---- settling and counting ----

#[test]
fn a_lease_begins_at_the_hand_over() {
    // It began when the message was sent, so what had waited long was lost as soon as it was received.
    let (clock, builder) = manual("waiting");
    let queue = builder.lease(SECOND).open().unwrap();
    queue.producer().send(1).unwrap();
    clock.advance(3600 * SECOND);
    let delivery = queue.consumer().try_recv().unwrap();
    clock.advance(SECOND - MS);
    assert!(!delivery.is_lost());
    delivery.ack().unwrap();
}

#[test]
fn an_attempt_is_counted_before_the_handler_runs() {
    // Only failures that were caught were counted: a message that took its handler with it looped for ever.
    let (clock, builder) = manual("killer");
    let queue = builder.lease(SECOND).retry(Immediate.max_attempts(3)).open().unwrap();
    queue.producer().send(1).unwrap();
    for attempt in 1..=3 {
        let delivery = queue.consumer().try_recv().unwrap();
        assert_eq!(delivery.attempt(), attempt);
        support::leak(delivery);
        clock.advance(SECOND);
    }
    assert_eq!(queue.dead_letters().list(Filter::all())[0].history().len(), 3);
}

#[test]
fn a_graceful_stop_is_no_attempt() {
    // Every deploy took one of the retries.
    let queue = Queue::<u32>::builder("deploys").retry(Never).open().unwrap();
    queue.producer().send(1).unwrap();
    for _ in 0..20 {
        let (tell, told) = std::sync::mpsc::channel();
        let worker = queue.worker().start(move |delivery| {
            tell.send(()).unwrap();
            while !delivery.is_lost() {
                std::thread::yield_now();
            }
        });
        told.recv().unwrap();
        assert_eq!(worker.unwrap().shutdown(Duration::ZERO).given_back, 1);
    }
    let delivery = queue.consumer().recv().unwrap();
    assert_eq!((delivery.attempt(), delivery.history().len()), (1, 0));
    delivery.ack().unwrap();
}

#[test]
fn a_late_ack_is_refused() {
    // It was taken, and acked the next consumer's delivery.
    let (clock, builder) = manual("late ack");
    let queue = builder.lease(SECOND).retry(Immediate).open().unwrap();
    queue.producer().send(1).unwrap();
    let late = queue.consumer().try_recv().unwrap();
    clock.advance(SECOND);
    let valid = queue.consumer().try_recv().unwrap();
    assert_eq!(late.ack().unwrap_err().kind, SettleErrorKind::StaleLease);
    assert_eq!(queue.stats().acked, 0);
    valid.ack().unwrap();
}

#[test]
fn one_policy_counts_and_nothing_multiplies() {
    // A client's retries times the queue's: 3 became 9.
    let queue = Queue::<u32>::builder("layers").retry(Immediate.max_attempts(3)).open().unwrap();
    queue.producer().send(1).unwrap();
    let worker = queue.worker().threads(2).start(|_| Err::<(), _>("planned")).unwrap();
    queue.drain(60 * SECOND).unwrap();
    assert_eq!((worker.shutdown(60 * SECOND).failed, queue.stats().delivered), (3, 3));
}

#[test]
fn a_dead_letter_needs_no_configuration() {
    // Where no store was configured, they were dropped.
    let queue = Queue::in_memory("defaults");
    queue.producer().send(1).unwrap();
    queue.consumer().recv().unwrap().reject("planned").unwrap();
    assert_eq!(queue.dead_letters().len(), 1);
}

#[test]
fn a_list_of_the_dead_has_no_hidden_end() {
    // It told of the first hundred, and nobody knew of the others.
    let queue = Queue::in_memory("many");
    for n in 0..5_000 {
        queue.producer().send(n).unwrap();
        queue.consumer().recv().unwrap().reject("planned").unwrap();
    }
    let dead = queue.dead_letters().list(Filter::all());
    assert!(dead.iter().map(|letter| *letter.message().unwrap()).eq(0..5_000));
}

#[test]
fn a_final_transition_is_told_after_it_happened_and_once() {
    // Observers fired before it, or twice.
    let queue = Queue::builder("told").retry(Immediate.max_attempts(2)).open().unwrap();
    let events = queue.events();
    let id = queue.producer().send(1).unwrap();
    let consumer = queue.consumer();
    consumer.recv().unwrap().nack("planned").unwrap();
    assert!(events.try_recv().is_err(), "nothing is final yet");
    consumer.recv().unwrap().nack("planned").unwrap();
    assert!(matches!(events.try_recv(), Ok(Event::DeadLettered { id: told, .. }) if told == id));
    assert!(queue.dead_letters().get(id).is_some(), "who is told finds it there");
    assert!(events.try_recv().is_err());
}

#[test]
fn what_a_drop_keeps_to_itself_a_verb_says() {
    // Errors of a close were lost, for only the destructor closed.
    let (clock, builder) = manual("drops");
    let queue = builder.lease(SECOND).retry(Immediate).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send_batch([1, 2, 3]).unwrap();
    let (late, batch) = (consumer.try_recv().unwrap(), consumer.try_recv_batch(2).unwrap());
    clock.advance(SECOND);
    // In place of dropping a delivery: what it was, and why it is too late.
    let refused = late.nack("planned").unwrap_err();
    assert_eq!((refused.kind, *refused.delivery), (SettleErrorKind::StaleLease, 1));
    // Of a batch: each that it is too late for.
    let refused = batch.nack_all("planned").unwrap_err();
    assert_eq!(refused.iter().map(|error| *error.delivery).collect::<Vec<_>>(), [2, 3]);
    // Of a worker: what it has done, and what it gives back.
    let worker = queue.worker().start(|_| {}).unwrap();
    while queue.stats().acked < 3 {
        std::thread::yield_now();
    }
    let report = worker.shutdown(60 * SECOND);
    assert_eq!((report.acked, report.given_back), (3, 0));
    // Of a queue: what is not done yet.
    queue.producer().send(4).unwrap();
    let left = queue.drain(Duration::ZERO).unwrap_err();
    assert_eq!((left.unsettled, left.unsent), (1, 0));
}

#[test]
fn an_ack_names_its_message() {
    // It meant "the last one", whichever that was.
    let queue = Queue::in_memory("named");
    let consumer = queue.consumer();
    queue.producer().send_batch([1, 2, 3]).unwrap();
    let [first, second, third] = [(); 3].map(|()| consumer.recv().unwrap());
    second.ack().unwrap();
    third.reject("planned").unwrap();
    drop(first);
    let stats = queue.stats();
    assert_eq!((stats.acked, stats.dead, stats.delayed + stats.ready), (1, 1, 1));
    assert_eq!(*queue.dead_letters().list(Filter::all())[0].message().unwrap(), 3);
}
