//! A first delivery allocates nothing: counted, per thread, by an allocator that every allocation goes through.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it writes evidence")]

use redeliver::Queue;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

mod support;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const MESSAGES: u64 = 1_000_000;
const WARM_UP: u64 = 10_000;

#[test]
fn a_million_first_deliveries_allocate_nothing() {
    let one_thread = on_one_thread();
    let two_threads = on_two_threads();
    let batches = in_batches();
    support::evidence(
        "first_deliveries_allocate_nothing",
        serde_json::json!({
            "messages": MESSAGES, "one_thread": one_thread, "two_threads": two_threads, "per_1000_batches": batches,
        }),
    );
    // A queue that rests is sampled by its next mover, and the record of when the ring was where grows now and then: on a
    // busy machine that may happen a few times, whatever the number of messages.
    assert!(one_thread <= 16, "{one_thread} allocations for {MESSAGES} messages on one thread");
    assert!(two_threads <= 16, "{two_threads} allocations for {MESSAGES} messages on two threads");
    assert!(batches <= 4 * 1000 + 16, "{batches} allocations for 1,000 batches: the messages, the ids, and no more");
}

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn on_one_thread() -> u64 {
    let queue = Queue::builder("hot").capacity(1024).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let deliver = |messages| {
        for n in 0..messages {
            producer.send(n).unwrap();
            consumer.recv().unwrap().ack().unwrap();
        }
    };
    deliver(WARM_UP);
    allocations_of(|| deliver(MESSAGES))
}

fn on_two_threads() -> u64 {
    let queue = Queue::builder("hot").capacity(1024).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let (warm, start) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let send = |messages| {
                for n in 0..messages {
                    producer.send(n).unwrap();
                }
            };
            send(WARM_UP);
            warm.wait();
            start.wait();
            allocations_of(|| send(MESSAGES))
        });
        let receive = |messages| (0..messages).for_each(|_: u64| consumer.recv().unwrap().ack().unwrap());
        receive(WARM_UP);
        warm.wait();
        start.wait();
        allocations_of(|| receive(MESSAGES)) + sender.join().unwrap()
    })
}

fn in_batches() -> u64 {
    let queue = Queue::builder("hot").capacity(1024).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let deliver = |batches| {
        for _ in 0..batches {
            producer.send_batch(0..64u64).unwrap();
            let mut left = 64;
            while left > 0 {
                let batch = consumer.recv_batch(left).unwrap();
                left -= batch.len();
                batch.ack_all().unwrap();
            }
        }
    };
    deliver(100);
    allocations_of(|| deliver(1000))
}
