//! Bytes per message beside the payload: what the allocator hands out for a queue, over its capacity.
//!
//! Counted three times: just opened, full of ready messages, and all of them in flight (for those who track). What a
//! contender allocates late, like boxes and maps, shows in the later two. Payload bytes, a `String`'s box included, are
//! taken off. Only what the measuring thread allocates and frees counts, and only
//! while it measures: a background thread that cleans up after an earlier queue does not disturb it.

use super::Bench;
use crate::contenders::{Contender, Entry, Receives, Sends};
use crate::payload::Payload;
use crate::report::{self, MemoryRow};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Bytes per message beside the payload.
#[derive(Clone, Copy)]
pub struct Footprint {
    /// An empty queue holds no payload, but has room for them: their room is taken off, where there is any.
    pub opened: f64,
    pub filled: f64,
    pub in_flight: Option<f64>,
}

/// The system's allocator; adds up what a thread is handed while it asks for that.
pub struct Counting;

thread_local! {
    /// `None`: this thread does not count.
    static BYTES: Cell<Option<i64>> = const { Cell::new(None) };
}

#[inline(always)]
fn count(bytes: i64) {
    // A thread that is ending has no thread-locals left, and does not count.
    let _ = BYTES.try_with(|counted| {
        if let Some(so_far) = counted.get() {
            counted.set(Some(so_far + bytes));
        }
    });
}

fn counted() -> i64 {
    BYTES.get().expect("this thread counts")
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    #[inline]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    #[inline]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
}

pub fn cells(bench: &mut Bench) {
    for kind in bench.args.payloads.clone() {
        for capacity in bench.args.capacities.clone() {
            let title = format!("memory · {} · capacity {}", kind.name(), report::thousands(capacity));
            let row = |entry: &Entry| MemoryRow {
                cell: title.clone(),
                contender: entry.name,
                footprint: (entry.memory)(kind, capacity),
                judged: entry.name == "ours",
            };
            let rows = bench.entries.iter().map(row).collect();
            bench.report.memory_table(&title, rows);
        }
    }
}

pub fn measure<C: Contender, T: Payload>(capacity: usize) -> Footprint {
    // What is made once per process (a background thread, thread-locals) is not a message's.
    let (tx, rx) = C::open::<T>(capacity);
    tx.send(T::make(0));
    rx.take(|_| ());
    drop((tx, rx));

    BYTES.set(Some(0));
    let per_message = |payload: usize| counted() as f64 / capacity as f64 - payload as f64;
    let (tx, rx) = C::open::<T>(capacity);
    let opened = per_message(size_of::<T>()).max(0.0);
    (0..capacity as u64).for_each(|n| tx.send(T::make(n)));
    let payload = size_of::<T>() + T::HEAP_BYTES;
    let filled = per_message(payload);
    let in_flight = C::TRACKS.then(|| {
        let mut held = Vec::with_capacity(capacity);
        (0..capacity).for_each(|_| held.extend(rx.hold()));
        // The handles are the consumers' own, on their stacks in a real program; so are the boxes they lie in here.
        let handles: usize = held.iter().map(|h| size_of_val(h) + size_of_val(&**h)).sum();
        per_message(payload) - handles as f64 / capacity as f64
    });
    BYTES.set(None);
    Footprint { opened, filled, in_flight }
}
