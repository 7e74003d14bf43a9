//! Who waits sleeps; one background thread serves all queues, none a manual clock, and it goes when they are gone.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "threads, files and time of a test's own")]

use redeliver::{ManualClock, Queue};
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
    one_thread_serves_all_queues_and_goes_with_them();
    a_manual_clock_needs_none();
}

/// Runs `block` on a thread, unblocks it after a second, and returns the ticks that the wait cost.
fn ticks_of(block: impl FnOnce() + Send + 'static, unblock: impl FnOnce()) -> u64 {
    let (tell, told) = mpsc::channel();
    let blocked = thread::spawn(move || {
        let before = own_ticks();
        tell.send(()).unwrap();
        block();
        own_ticks() - before
    });
    told.recv().unwrap();
    thread::sleep(BLOCKED);
    unblock();
    blocked.join().unwrap()
}

fn a_blocked_receiver_sleeps() {
    let queue = Queue::<u32>::in_memory("empty");
    let consumer = queue.consumer();
    let ticks = ticks_of(
        move || consumer.recv().unwrap().ack().unwrap(),
        || {
            queue.producer().send(1).unwrap();
        },
    );
    assert!(ticks <= 3, "a blocked recv used {ticks} of about 100 ticks");
}

fn a_blocked_sender_sleeps() {
    let queue = Queue::builder("full").capacity(1).open().unwrap();
    let producer = queue.producer();
    producer.send(1).unwrap();
    let held = queue.consumer().recv().unwrap();
    let ticks = ticks_of(
        move || {
            producer.send(2).unwrap();
        },
        || held.ack().unwrap(),
    );
    assert!(ticks <= 3, "a blocked send used {ticks} of about 100 ticks");
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
