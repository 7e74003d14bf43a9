//! The ring: a bounded multi-producer multi-consumer queue whose seat stays occupied until its message is settled.
//!
//! After Dmitry Vyukov's bounded MPMC queue (stamped slots, two counters), with one change that makes it a ledger: taking a
//! message does not free its seat. The stamp goes on to say who may settle it, so that hand-over, settle, lease and fence
//! are one compare-and-swap on one word, and the payload has one home while it is ready or in flight.
//! When the tail comes round to a seat that is still occupied it *skips* it and leaves a mark beside it, and the head skips
//! it too: a message that is held costs one seat, and the ring goes on.
//!
//! # Ground rules
//! 1. A *position* (lap and index in one word) is used once: claimed by one producer (a CAS on the tail) and then by one
//!    consumer (a CAS on the head), or skipped by both.
//! 2. Who has claimed a position stores to its seat plainly until the seat is handed on (producer: READY, consumer: FLIGHT).
//!    The tail never writes the stamp of an occupied seat.
//! 3. From FLIGHT on the seat belongs to whoever wins a CAS on its stamp. A run of seats taken together is won through its
//!    first seat; its MEMBER seats then belong to the winner.
//! 4. A handle whose lease was lost still reads its seat (LOST, LATE), so such a seat is neither moved, dropped nor reused.
//! 5. After the CAS that gives a seat away a settle touches nothing but the pooled [`Header`](crate::wait::Header).
//! 6. No code of the user (`Drop`, an iterator) runs between a claim and its hand-over, or under LEAVING.
//!
//! This folder is the one room of the crate where `unsafe` lives. It knows nothing of what a message means: what it leaves
//! to the cold side is in `ledger`, who sleeps and wakes is in `wait`. Every lock-free piece here has a model in `models`.

mod claim;
mod drain;
mod hold;
mod run;
mod settle;
mod shared;
mod stamp;
mod sweep;
mod take;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use claim::Refused;
pub(crate) use hold::{Held, Hold, Look};
pub(crate) use run::{Run, Split};
pub(crate) use settle::{Tenancy, Won};
pub(crate) use shared::{Door, Shared, Side};
pub(crate) use sweep::{Expired, Guest};

use crate::sync::*;
use crossbeam_utils::CachePadded;
use stamp::*;
use std::mem::{ManuallyDrop, MaybeUninit};

/// The tail carries two flags above its position. While one is set a sender takes the slow path.
const CLOSED: u64 = 1 << 63;
const DETOUR: u64 = 1 << 62;
const FLAGS: u64 = CLOSED | DETOUR;

/// The largest ring: an index has at most 26 bits, which leaves the lap of a position more than it can ever count.
pub(crate) const SEATS_MAX: usize = 1 << 26;

/// What a seat holds: the message itself, or the box it travels in when it has more to it than its bytes.
pub(crate) enum Load<P, B> {
    Plain(P),
    Boxed(B),
}

union Cell<P, B> {
    plain: ManuallyDrop<P>,
    boxed: ManuallyDrop<B>,
}

struct Seat<P, B> {
    stamp: AtomicU64,
    cell: UnsafeCell<MaybeUninit<Cell<P, B>>>,
}

impl<P, B> Seat<P, B> {
    #[inline(always)]
    fn put_plain(&self, load: P) {
        // SAFETY: the caller has claimed the position, and the seat was FREE for its lap: nobody else touches the cell.
        self.cell.with_mut(|cell| unsafe { (*cell).write(Cell { plain: ManuallyDrop::new(load) }) });
    }

    fn put_boxed(&self, load: B) {
        // SAFETY: as in `put_plain`.
        self.cell.with_mut(|cell| unsafe { (*cell).write(Cell { boxed: ManuallyDrop::new(load) }) });
    }

    /// Moves the payload out. The caller has won the stamp (LEAVING, SETTLING or the run it belongs to) and passes it.
    #[inline(always)]
    fn take(&self, stamp: u64) -> Load<P, B> {
        // SAFETY: the winner of the stamp is alone with the cell, which was written before READY was published; BOXED says
        // which form it has.
        self.cell.with_mut(|cell| unsafe {
            let cell = (*cell).assume_init_mut();
            if stamp & BOXED == 0 {
                Load::Plain(ManuallyDrop::take(&mut cell.plain))
            } else {
                Load::Boxed(ManuallyDrop::take(&mut cell.boxed))
            }
        })
    }

    /// Reads the payload in place. The caller holds the seat in FLIGHT, LOST, LATE or STAY, so that nobody moves it.
    #[inline(always)]
    fn peek<'a>(&'a self, boxed: bool) -> Load<&'a P, &'a B> {
        // SAFETY: initialised since READY, only shared references exist while the seat is held, and BOXED names the form.
        self.cell.with(|cell| unsafe {
            let cell: &'a Cell<P, B> = (*cell).assume_init_ref();
            if boxed { Load::Boxed(&*cell.boxed) } else { Load::Plain(&*cell.plain) }
        })
    }
}

/// Seats, marks and the two counters. What each file of this folder adds: `claim` the senders' side, `take` the
/// receivers', `run` batches, `settle` what a holder may do, `sweep` leases, `drain` the end.
pub(crate) struct Ring<P, B> {
    head: CachePadded<AtomicU64>,
    tail: CachePadded<AtomicU64>,
    // Read-mostly from here on.
    seats: Box<[Seat<P, B>]>,
    /// One more than the last lap in which the seat was skipped; 0 for never.
    marks: Box<[AtomicU64]>,
    seats_len: u64,
    mask: u64,
    shift: u32,
    /// Positions skipped by the tail, and those of them that the head has passed.
    skipped: CachePadded<AtomicU64>,
    passed: AtomicU64,
}

// SAFETY: a payload is reached by one owner (put, take) or through shared references while a seat is held.
unsafe impl<P: Send + Sync, B: Send + Sync> Send for Ring<P, B> {}
// SAFETY: as above; everything else is atomic.
unsafe impl<P: Send + Sync, B: Send + Sync> Sync for Ring<P, B> {}

impl<P, B> Ring<P, B> {
    /// A ring of exactly `len` seats (1 ..= [`SEATS_MAX`]), or `None` if there is no memory for it.
    pub(crate) fn new(len: usize) -> Option<Self> {
        debug_assert!((1..=SEATS_MAX).contains(&len));
        let span = len.next_power_of_two() as u64;
        Some(Ring {
            head: CachePadded::new(AtomicU64::new(0)),
            tail: CachePadded::new(AtomicU64::new(0)),
            seats: zeroed(len)?,
            marks: zeroed(len)?,
            seats_len: len as u64,
            mask: span - 1,
            shift: span.trailing_zeros(),
            skipped: CachePadded::new(AtomicU64::new(0)),
            passed: AtomicU64::new(0),
        })
    }

    #[inline(always)]
    fn seat(&self, pos: u64) -> &Seat<P, B> {
        debug_assert!(pos & self.mask < self.seats_len);
        // SAFETY: positions come from head and tail, whose index `next` keeps below the number of seats.
        unsafe { self.seats.get_unchecked((pos & self.mask) as usize) }
    }

    #[inline(always)]
    fn mark(&self, pos: u64) -> &AtomicU64 {
        debug_assert!(pos & self.mask < self.seats_len);
        // SAFETY: as in `seat`.
        unsafe { self.marks.get_unchecked((pos & self.mask) as usize) }
    }

    /// The seat's number.
    #[inline(always)]
    pub(crate) fn index(&self, pos: u64) -> usize {
        (pos & self.mask) as usize
    }

    #[inline(always)]
    fn lap(&self, pos: u64) -> u64 {
        (pos & !FLAGS) >> self.shift
    }

    /// The stamp's lap part for a position.
    #[inline(always)]
    fn at(&self, pos: u64) -> u64 {
        of_lap(self.lap(pos))
    }

    /// As [`at`](Self::at), for a position that is known to carry no flags.
    #[inline(always)]
    fn at_bare(&self, pos: u64) -> u64 {
        debug_assert_eq!(pos & FLAGS, 0);
        of_lap(pos >> self.shift)
    }

    /// The position after this one. Between the last seat and the next power of two there is a gap to jump.
    #[inline(always)]
    pub(crate) fn next(&self, pos: u64) -> u64 {
        let next = pos + 1;
        if next & self.mask == self.seats_len { self.over_the_gap(next) } else { next }
    }

    #[cold]
    fn over_the_gap(&self, pos: u64) -> u64 {
        pos + (self.mask + 1 - self.seats_len)
    }

    fn advance(&self, pos: u64, n: u64) -> u64 {
        self.at_count(self.count(pos) + n) | pos & FLAGS
    }

    /// How many positions come before this one.
    pub(crate) fn count(&self, pos: u64) -> u64 {
        let pos = pos & !FLAGS;
        (pos >> self.shift) * self.seats_len + (pos & self.mask)
    }

    /// The position that `count` positions come before.
    fn at_count(&self, count: u64) -> u64 {
        ((count / self.seats_len) << self.shift) | (count % self.seats_len)
    }

    /// The seats of `n` positions in a row (no more than there are seats), in stretches that neither wrap nor change lap:
    /// the first position, its stamp's lap part, and the seats.
    fn stretches(&self, first: u64, n: u64) -> impl Iterator<Item = (u64, u64, &[Seat<P, B>])> {
        let (start, to_end) = (self.index(first), self.seats_len - (first & self.mask));
        let head = n.min(to_end);
        let second = self.next(first + head - 1);
        [(first, start, head), (second, 0, n - head)]
            .into_iter()
            .filter(|(_, _, len)| *len > 0)
            .map(|(pos, start, len)| (pos, self.at(pos), &self.seats[start..start + len as usize]))
    }

    /// How many of the positions from `first` on, up to `max`, carry the stamp `state` of their lap; `but` masks flags out.
    #[inline]
    fn count_in_state(&self, first: u64, max: u64, state: u64, but: u64) -> u64 {
        let mut n = 0;
        for (_, at, seats) in self.stretches(first, max.min(self.seats_len)) {
            for seat in seats {
                // Pairs with the store that put the seat into that state.
                if seat.stamp.load(Acquire) & !but != at | state {
                    return n;
                }
                n += 1;
            }
        }
        n
    }

    /// Was this position passed over by the tail?
    #[inline]
    fn is_skipped(&self, pos: u64) -> bool {
        self.mark(pos).load(Acquire) > self.lap(pos) // pairs with `mark_skipped`
    }

    pub(crate) fn seats_len(&self) -> usize {
        self.seats_len as usize
    }

    /// Where the head stands.
    pub(crate) fn head(&self) -> u64 {
        self.head.load(SeqCst)
    }

    /// Where the tail stands.
    pub(crate) fn tail(&self) -> u64 {
        self.tail.load(SeqCst) & !FLAGS
    }

    /// Messages that were put in so far, by position; what was skipped does not count.
    pub(crate) fn sent(&self) -> u64 {
        let skipped = self.skipped.load(SeqCst);
        self.count(self.tail()).saturating_sub(skipped)
    }

    /// Messages that were taken so far, as for [`sent`](Self::sent).
    pub(crate) fn taken(&self) -> u64 {
        let passed = self.passed.load(SeqCst);
        self.count(self.head()).saturating_sub(passed)
    }

    /// Messages that wait. Exact when nobody is at work.
    pub(crate) fn len(&self) -> u64 {
        let taken = self.taken();
        self.sent().saturating_sub(taken)
    }

    /// Nothing to take and nothing about to be published. For the last look before sleeping: compares the tail, which a
    /// sender moves by an RMW before it publishes.
    #[inline]
    pub(crate) fn is_drained(&self) -> bool {
        let tail = self.tail.load(SeqCst);
        tail & !FLAGS == self.head.load(SeqCst)
    }
}

/// A slice of values for which all zero bytes are the initial state, straight from zeroed pages: a ring of a million seats
/// costs nothing until it is used.
#[cfg(not(any(loom, shuttle)))]
fn zeroed<Z: Zeroed>(len: usize) -> Option<Box<[Z]>> {
    use std::alloc::{Layout, alloc_zeroed};
    let layout = Layout::array::<Z>(len).ok()?;
    debug_assert!(layout.size() > 0);
    // SAFETY: the layout is that of a boxed slice of `len` values and not empty (each holds an atomic word); `Zeroed`
    // promises that zero bytes are a valid value.
    unsafe {
        let start = alloc_zeroed(layout).cast::<Z>();
        (!start.is_null()).then(|| Box::from_raw(std::ptr::slice_from_raw_parts_mut(start, len)))
    }
}

#[cfg(any(loom, shuttle))]
fn zeroed<Z: Zeroed>(len: usize) -> Option<Box<[Z]>> {
    Some((0..len).map(|_| Z::zero()).collect())
}

/// # Safety
/// All zero bytes are a valid value of this type, and its first state.
unsafe trait Zeroed {
    #[cfg(any(loom, shuttle))]
    fn zero() -> Self;
}

// SAFETY: an atomic integer may be zero.
unsafe impl Zeroed for AtomicU64 {
    #[cfg(any(loom, shuttle))]
    fn zero() -> Self {
        AtomicU64::new(0)
    }
}

// SAFETY: a zero stamp is FREE for lap 0, and the cell may hold anything.
unsafe impl<P, B> Zeroed for Seat<P, B> {
    #[cfg(any(loom, shuttle))]
    fn zero() -> Self {
        Seat { stamp: AtomicU64::new(FREE), cell: UnsafeCell::new(MaybeUninit::uninit()) }
    }
}
