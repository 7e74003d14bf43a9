//! Ten million messages (a million without optimisation, a thousand million by night) through one queue, every payload
//! checked and every one of them acked once, while memory, descriptors and threads stay where they are.
//!
//! Memory is what is allocated and not freed, counted by the allocator whenever the queue is drained: a leak of one byte in
//! sixteen messages would be found.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads of its own")]

use redeliver::{Consumer, Delivery, Exponential, Filter, Queue};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

mod support;
use support::Rng;

struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as i64 - layout.size() as i64, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const PRODUCERS: u64 = 2;
const CONSUMERS: usize = 2;
const ROUNDS: u64 = 10;
/// Rounds until everything that grows with use has its size.
const WARM_UP: usize = 3;
const FAILURES_AT_ONCE: u64 = 30_000;
const SLACK: i64 = 64 * 1024;

/// What is sent: all of it follows from the number.
struct Message {
    number: u64,
    words: [u64; 3],
    text: Option<String>,
}

impl Message {
    fn new(number: u64) -> Self {
        let mut draw = Rng(number);
        let words = [draw.draw(), draw.draw(), draw.draw()];
        let text = number.is_multiple_of(16).then(|| format!("message {number}: {:x?}", words));
        Message { number, words, text }
    }

    fn check(&self) {
        let expected = Message::new(self.number);
        assert_eq!((self.words, &self.text), (expected.words, &expected.text), "message {}", self.number);
    }
}

/// One bit a message: was it acked in this round?
struct Acked(Vec<AtomicU64>);

impl Acked {
    fn new(messages: u64) -> Self {
        Acked((0..messages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn set(&self, number: u64) {
        let (word, bit) = (&self.0[(number / 64) as usize], 1 << (number % 64));
        assert_eq!(word.fetch_or(bit, Relaxed) & bit, 0, "message {number} was acked twice");
    }

    fn count_and_clear(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.swap(0, Relaxed).count_ones())).sum()
    }
}

/// The first attempts of some fail, each in its own way; a redriven one is always acked.
fn settle(delivery: Delivery<Message>, acked: &Acked) {
    delivery.check();
    let number = delivery.number;
    match (number % 4096, delivery.history().len()) {
        (7, 0) => drop(delivery.reject("planned")),
        (n, 0..2) if n % 128 == 3 => drop(delivery.nack("planned")),
        (n, 0) if n % 512 == 5 => drop(delivery),
        (n, 0) if n % 512 == 9 => drop(delivery.nack_after(Duration::from_millis(2), "planned")),
        _ => {
            delivery.ack().unwrap_or_else(|error| panic!("message {number}: {error}"));
            acked.set(number);
        }
    }
}

fn consume(consumer: &Consumer<Message>, acked: &Acked, is_over: &AtomicBool) {
    while !is_over.load(Relaxed) {
        match consumer.recv_batch_timeout(4, Duration::from_millis(20)) {
            Ok(batch) => batch.into_iter().for_each(|delivery| settle(delivery, acked)),
            Err(_) => continue,
        }
    }
}

/// The consumers stop also when the round fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Sends them all, and returns when each is acked.
fn round(queue: &Queue<Message>, messages: u64, acked: &Acked) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
        for _ in 0..CONSUMERS {
            scope.spawn(|| consume(&queue.consumer(), acked, &is_over));
        }
        let senders: Vec<_> = (0..PRODUCERS)
            .map(|first| {
                scope.spawn(move || {
                    let producer = queue.producer();
                    for number in (first..messages).step_by(PRODUCERS as usize) {
                        let message = producer.message(Message::new(number));
                        let message =
                            if number % 64 == 11 { message.header("n", number.to_le_bytes()) } else { message };
                        message.send().unwrap();
                    }
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        loop {
            queue.drain(Duration::from_secs(60)).unwrap();
            let letters = queue.dead_letters();
            let dead = letters.list(Filter::all());
            if dead.is_empty() {
                break;
            }
            dead.iter().for_each(|letter| assert!(letters.redrive(letter.id())));
        }
    });
    assert_eq!(acked.count_and_clear(), messages);
}

/// More failures at once than a round will have, so that what grows with them (and is kept for the next ones) has its size.
fn grow(queue: &Queue<Message>, messages: u64) {
    let (producer, consumer) = (queue.producer(), queue.consumer());
    for number in 0..messages {
        producer.send(Message::new(number)).unwrap();
        consumer.recv().unwrap().nack_after(Duration::from_secs(2), "planned").unwrap();
    }
    consumer.iter().take(messages as usize).for_each(|delivery| delivery.ack().unwrap());
}

/// How many descriptors and threads the process has, where Linux tells.
fn descriptors_and_threads() -> Option<(usize, usize)> {
    let count = |folder| std::fs::read_dir(folder).map(Iterator::count);
    Some((count("/proc/self/fd").ok()?, count("/proc/self/task").ok()?))
}

#[test]
fn memory_descriptors_and_threads_stay_where_they_are() {
    let messages = match (support::is_nightly(), cfg!(debug_assertions)) {
        (true, false) => 1_000_000_000,
        (true, true) | (false, false) => 10_000_000,
        (false, true) => 1_000_000,
    };
    let per_round = messages / ROUNDS;
    let retry = Exponential::new(Duration::from_millis(1)).max_delay(Duration::from_millis(4));
    let queue = Queue::builder("soak").capacity(1024).retry(retry).open().unwrap();
    grow(&queue, FAILURES_AT_ONCE);
    let acked = Acked::new(per_round);
    let mut live = Vec::with_capacity(ROUNDS as usize);
    let mut held = Vec::with_capacity(ROUNDS as usize);
    for _ in 0..ROUNDS {
        round(&queue, per_round, &acked);
        live.push(LIVE.load(Relaxed));
        held.push(descriptors_and_threads());
    }
    let stats = queue.stats();
    assert_eq!(stats.acked, FAILURES_AT_ONCE + per_round * ROUNDS);
    support::evidence(
        "soak",
        serde_json::json!({
            "messages": messages, "retries": stats.retries, "failed": stats.failed, "live_bytes": live,
            "descriptors_and_threads": held,
        }),
    );
    assert!(stats.retries > messages / 200 && stats.failed > messages / 200, "the faults did not fire: {stats:?}");
    for (round, bytes) in live.iter().enumerate().skip(WARM_UP) {
        assert!(bytes - live[WARM_UP - 1] <= SLACK, "memory grows, by round {round}: {live:?}");
    }
    for (descriptors, threads) in held.iter().flatten() {
        // The main thread, the test's, the library's; those of the last round may be on their way out.
        assert!(*threads <= 3 + PRODUCERS as usize + CONSUMERS, "threads grow: {held:?}");
        assert!(held[0].is_some_and(|(first, _)| *descriptors <= first), "descriptors grow: {held:?}");
    }
}
