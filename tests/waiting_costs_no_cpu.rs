//! Who waits sleeps; one background thread serves all queues, none a manual clock, and it goes when they are gone.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "threads, files and time of a test's own")]

use redeliver::{Breaker, Immediate, ManualClock, Queue, QueueBuilder, RetryBudget};
use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Processor time of this thread so far, in clock ticks (10 ms).
fn own_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    // The name in parentheses may hold anything; after it utime and stime are the 12th and 13th field.
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// How often this thread went to sleep so far. A wait that is woken for nothing again and again shows here before it shows
/// in the ticks.
fn own_sleeps() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    sleeps.unwrap().trim().parse().unwrap()
}

fn background_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    // A thread may end while it is looked at.
    tasks
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "redeliver"))
        .count()
}

/// Waits for another thread's doing; a bound, not a guess.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

const BLOCKED: Duration = Duration::from_millis(1000);

/// One test, since threads are counted over the whole process.
#[test]
fn waiting_sleeps_and_one_thread_serves_all_queues() {
    a_blocked_receiver_sleeps();
    a_blocked_sender_sleeps();
    senders_that_are_called_in_vain_sleep_again();
    receivers_of_a_closed_queue_sleep_until_the_last_settle();
    drains_sleep_while_messages_are_settled();
    who_is_held_back_by_a_breaker_or_a_budget_sleeps();
    one_thread_serves_all_queues_and_goes_with_them();
    a_manual_clock_needs_none();
}

type Block = Box<dyn FnOnce() + Send>;

/// Runs `block` on a thread, unblocks it after a second, and checks that it slept.
fn sleeps(what: &str, block: impl FnOnce() + Send + 'static, unblock: impl FnOnce()) {
    all_sleep(what, vec![Box::new(block)], || (), unblock);
}

/// As [`sleeps`], for several threads; `disturb` wakes some of them for nothing once they sleep.
fn all_sleep(what: &str, blocks: Vec<Block>, disturb: impl FnOnce(), unblock: impl FnOnce()) {
    let (tell, told) = mpsc::channel();
    let blocked: Vec<_> = blocks
        .into_iter()
        .map(|block| (block, tell.clone()))
        .map(|(block, tell)| {
            thread::spawn(move || {
                let before = (own_ticks(), own_sleeps());
                tell.send(()).unwrap();
                block();
                (own_ticks() - before.0, own_sleeps() - before.1)
            })
        })
        .collect();
    blocked.iter().for_each(|_| told.recv().unwrap());
    thread::sleep(BLOCKED / 2);
    disturb();
    thread::sleep(BLOCKED / 2);
    unblock();
    for blocked in blocked {
        let (ticks, sleeps) = blocked.join().unwrap();
        assert!(ticks <= 3, "{what} used {ticks} of about 100 ticks");
        assert!(sleeps <= 30, "{what} went to sleep {sleeps} times");
    }
}

fn senders_that_are_called_in_vain_sleep_again() {
    let clock = ManualClock::new();
    let queue = Queue::builder("full").capacity(1).clock(clock.clone()).open().unwrap();
    queue.producer().send(0).unwrap();
    let consumer = queue.consumer();
    let held = consumer.recv().unwrap();
    let senders = (1..4).map(|n| (n, queue.producer())).map(|(n, producer)| {
        let send: Block = Box::new(move || producer.send(n).map(drop).unwrap());
        send
    });
    // Time has passed: every sleeper looks at the clock.
    let disturb = || clock.advance(Duration::from_millis(1));
    all_sleep("a send that was called in vain", senders.collect(), disturb, || {
        held.ack().unwrap();
        (0..3).for_each(|_| consumer.recv().unwrap().ack().unwrap());
    });
}

fn receivers_of_a_closed_queue_sleep_until_the_last_settle() {
    let queue = Queue::in_memory("closed");
    let consumer = queue.consumer();
    (0..3).for_each(|n| queue.producer().send(n).map(drop).unwrap());
    let mut held: Vec<_> = (0..3).map(|_| consumer.recv().unwrap()).collect();
    queue.close();
    let receivers = (0..3).map(|_| queue.consumer()).map(|consumer| {
        let receive: Block = Box::new(move || assert!(consumer.recv().is_err()));
        receive
    });
    let first = held.pop().unwrap();
    all_sleep(
        "a recv on a closed queue",
        receivers.collect(),
        || first.ack().unwrap(),
        || {
            held.into_iter().for_each(|delivery| delivery.ack().unwrap());
        },
    );
}

fn drains_sleep_while_messages_are_settled() {
    let queue = Queue::in_memory("drained");
    let consumer = queue.consumer();
    (0..3).for_each(|n| queue.producer().send(n).map(drop).unwrap());
    let mut held: Vec<_> = (0..3).map(|_| consumer.recv().unwrap()).collect();
    let drains = (0..3).map(|_| queue.clone()).map(|queue| {
        let drain: Block = Box::new(move || queue.drain(Duration::from_secs(60)).unwrap());
        drain
    });
    let first = held.pop().unwrap();
    all_sleep(
        "a drain",
        drains.collect(),
        || first.ack().unwrap(),
        || {
            held.into_iter().for_each(|delivery| delivery.ack().unwrap());
        },
    );
}

fn a_blocked_receiver_sleeps() {
    let queue = Queue::<u32>::in_memory("empty");
    let consumer = queue.consumer();
    sleeps(
        "a blocked recv",
        move || consumer.recv().unwrap().ack().unwrap(),
        || {
            queue.producer().send(1).unwrap();
        },
    );
}

fn a_blocked_sender_sleeps() {
    let queue = Queue::builder("full").capacity(1).open().unwrap();
    let producer = queue.producer();
    producer.send(1).unwrap();
    let held = queue.consumer().recv().unwrap();
    sleeps(
        "a blocked send",
        move || {
            producer.send(2).unwrap();
        },
        || held.ack().unwrap(),
    );
}

type Guarded = fn(QueueBuilder<u32>, Breaker, RetryBudget) -> QueueBuilder<u32>;

fn who_is_held_back_by_a_breaker_or_a_budget_sleeps() {
    let breaker = || Breaker::new().consecutive_failures(1).open_for(BLOCKED);
    let rare = RetryBudget::percent(0.0).window(BLOCKED); // one in a second
    let guards: [Guarded; 3] = [
        |queue, breaker, _| queue.breaker(breaker),
        |queue, breaker, _| queue.breaker(breaker.per_key(|_| "one".into())),
        |queue, _, rare| queue.retry_budget(rare),
    ];
    for guard in guards {
        let queue = guard(Queue::builder("held back").retry(Immediate), breaker(), rare).open().unwrap();
        queue.producer().send(1).unwrap();
        queue.consumer().recv().unwrap().nack("refused").unwrap();
        let consumer = queue.consumer();
        if queue.stats().breakers_open == 0 {
            consumer.recv().unwrap().nack("refused").unwrap(); // the budget's one
        }
        sleeps("a recv that is held back", move || consumer.recv().unwrap().ack().unwrap(), || ());
    }
}

fn one_thread_serves_all_queues_and_goes_with_them() {
    eventually("the thread of the queues before has gone", || background_threads() == 0);
    let queues: Vec<_> = (0..20).map(|n| Queue::in_memory(format!("queue {n}"))).collect();
    assert_eq!(background_threads(), 0, "nothing to wait for yet");
    for queue in &queues {
        queue.producer().send(1).unwrap();
        drop(queue.consumer().recv().unwrap()); // fails: waits for its next attempt
    }
    eventually("the thread runs", || background_threads() == 1);
    drop(queues);
    eventually("the thread has gone", || background_threads() == 0);
}

fn a_manual_clock_needs_none() {
    let clock = ManualClock::new();
    let queue = Queue::builder("still").clock(clock.clone()).open().unwrap();
    queue.producer().send(1).unwrap();
    drop(queue.consumer().recv().unwrap());
    clock.advance(Duration::from_secs(3600));
    assert_eq!(queue.consumer().recv().unwrap().attempt(), 2);
    assert_eq!(background_threads(), 0);
}
