//! A hierarchical timing wheel: which timer is due next, for any number of timers and any horizon.
//!
//! # Promises
//!
//! - A timer is handed out once, never before its due time, strictly in order of due time, and among equal ones in order of insertion.
//! - Every due time up to `u64::MAX` ms is kept exactly, to one tick of one millisecond. There is no horizon.
//! - `insert` and `cancel` take constant time. `pop_due` touches at most as many entries as its budget says; the rest carries over.
//! - A clock that jumps ahead costs nothing for the time in between. A clock that goes back makes no progress until it has caught up.
//! - A timer takes 20 bytes. The memory of timers that are gone is reused, and given back a chunk at a time.
//!
//! # How
//!
//! G. Varghese and T. Lauck, *Hashed and Hierarchical Timing Wheels*, SOSP 1987 (scheme 7). There are eleven levels of 64 buckets. A
//! bucket of level 0 spans one tick, a bucket of each further level 64 times as much; eleven levels span all of `u64`. A timer lives
//! on the level of the highest base-64 digit in which its due time differs from the wheel's time, in the bucket of that digit:
//!
//! ```text
//!                        level 2   level 1   level 0
//! wheel's time  4 170 =     1         1        10
//! due           4 180 =     1         1        20      level 0, bucket 20: exact
//! due           4 300 =     1         3        12      level 1, bucket 3: cascades at 4 288, then level 0, bucket 12
//! due          20 000 =     4        56        32      level 2, bucket 4: cascades at 16 384, then level 1, bucket 56, …
//! ```
//!
//! So all of a lower level is due before any of a higher one, and within a level the buckets stand in order of time: the occupancy
//! bitmaps find the earliest bucket in a few instructions, however far away it is. When the wheel's time comes to a bucket above
//! level 0, the bucket *cascades*: its entries move down, in order. Below a bucket that cascades all is empty at first, so a cascade
//! may stop in the middle. Until it is finished nothing is handed out, and what is inserted into its span joins the end of the
//! bucket that cascades, not the levels below: that is all it takes to keep the order across a carried-over cascade.
//!
//! A bucket with few entries does not cascade at all: it is sorted and handed out from there (`ready.rs`), and so is level 0, a block
//! at a time.
//!
//! Cancelling is lazy, for unlinking an entry among ten million costs several cache misses: the key dies at once (`slots.rs`), the
//! entry stays in its bucket (`buckets.rs`) until the wheel comes by. When there are more cancelled entries than live ones, each
//! further change sweeps one block, so they never hold more than about as much memory as the live ones do.
//!
//! # Left to others
//!
//! Reading the clock, sleeping until `next_due`, and what a token means: `ledger/`, `clock.rs`, `driver.rs`. Locks: there are none
//! here. Chunks of memory: `chunks.rs`.

mod buckets;
mod chunks;
mod occupancy;
mod ready;
mod slots;
#[cfg(test)]
mod tests;

use buckets::{BLOCK_LEN, Buckets, Entry};
use occupancy::Occupancy;
use ready::{READY_MAX, Ready};
use slots::Slots;
pub(crate) use slots::TimerKey;

/// Each level takes the next six bits of a due time: 64 buckets, whose occupancy is one word.
const LEVEL_BITS: u32 = 6;
/// ⌈64 / 6⌉ levels cover every `u64`.
const LEVELS: usize = 11;
const BUCKETS: usize = LEVELS << LEVEL_BITS;
/// More cancelled entries than live ones plus this many start the sweep; the surplus spares small wheels from sweeping all the time.
/// At least what `ready` can hold, so that there is something to sweep in the buckets.
const CANCELLED_SURPLUS_MAX: usize = READY_MAX;
/// A bucket of at most so many entries has its slots looked at as it cascades. They are needed soon and will stay in the cache until
/// then, so the look costs nothing in the end, and it keeps what has been cancelled from moving on.
const LOOK_LEN_MAX: u32 = 1024;
/// How many cancelled entries `next_due` looks past before it rather names a time that may be too early.
const LOOK_MAX: u32 = 64;

/// The timers that wait, and the time up to which all have been handed out.
pub(crate) struct Wheel {
    /// The wheel's time. It never goes back, and no timer waits for an earlier time.
    now_ms: u64,
    /// The level of the bucket that is cascading, 0 if none is. Its bucket is the one that holds `now_ms`.
    cascading: usize,
    occupancy: Occupancy,
    buckets: Buckets,
    /// The next to hand out, before all in the buckets. Empty while a bucket cascades.
    ready: Ready,
    slots: Slots,
    live: usize,
    /// Entries still in a bucket whose timers have been cancelled.
    cancelled: usize,
}

/// What `pop_due` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Popped {
    /// This timer is due: its due time in milliseconds and its token.
    Due(u64, u32),
    /// Nothing is due yet; see `next_due`.
    Later,
    /// There is work at this very time, but the budget is used up. Call again soon, with a fresh one.
    OutOfBudget,
}

/// A bucket and the first time it spans.
#[derive(Clone, Copy)]
struct Place {
    level: usize,
    bucket: usize,
    start_ms: u64,
}

impl Wheel {
    /// A wheel whose time is `now_ms`. Allocates nothing until the first `insert`.
    pub(crate) const fn new(now_ms: u64) -> Self {
        Wheel {
            now_ms,
            cascading: 0,
            occupancy: Occupancy::new(),
            buckets: Buckets::new(),
            ready: Ready::new(),
            slots: Slots::new(),
            live: 0,
            cancelled: 0,
        }
    }

    /// Sets a timer. A due time that the wheel's time has passed counts as due at the wheel's time, and is handed out as such.
    ///
    /// # Panics
    ///
    /// When about 2³² timers are pending.
    pub(crate) fn insert(&mut self, due_ms: u64, token: u32) -> TimerKey {
        let key = self.slots.start(token);
        let due_ms = if planted!("far-timers-wrap") { due_ms % (1 << 48) } else { due_ms }.max(self.now_ms);
        self.place(Entry { due_ms, slot: key.slot() });
        self.live += 1;
        key
    }

    /// Takes a timer back and returns its token; `None` if it has been handed out or cancelled before.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<u32> {
        let token = self.slots.cancel(key)?;
        self.live -= 1;
        self.cancelled += 1;
        self.tidy();
        Some(token)
    }

    /// Hands out the earliest timer if it is due at `now_ms`. Callers loop on it until it answers anything but `Due`.
    ///
    /// Each entry it hands out, moves down or sweeps takes one from `budget`, so one budget bounds the whole loop, and any budget above
    /// zero makes progress. `Later` is answered whatever the budget. With a budget of 1,024 a whole loop stays below 200 µs.
    pub(crate) fn pop_due(&mut self, now_ms: u64, budget: &mut u32) -> Popped {
        loop {
            let first = self.ready.first();
            let place = if first.is_none() { self.front() } else { None };
            let Some(next_ms) = first.map(|entry| entry.due_ms).or(place.map(|place| place.start_ms)) else { break };
            if next_ms > now_ms.saturating_add(u64::from(planted!("a-timer-is-a-tick-early"))) {
                break;
            }
            if *budget == 0 {
                return Popped::OutOfBudget;
            }
            self.now_ms = next_ms;
            if let Some(place) = place {
                self.advance(place, budget);
            } else if let Some(token) = self.take_first(budget) {
                return Popped::Due(next_ms, token);
            }
        }
        // All that waits begins later, so each entry still differs from the new time first in the digit of its level.
        self.now_ms = self.now_ms.max(now_ms);
        Popped::Later
    }

    /// When to call `pop_due` next: no timer is due before, and a call at that time makes progress.
    ///
    /// It is the exact due time if the earliest timer is ready or on level 0, else the time at which its bucket begins: a wheel with few
    /// timers wakes up once in between. Costs a few instructions, plus a look at the cancelled timers in front, at most 64 in buckets;
    /// behind more it may name the time of one that has been cancelled.
    pub(crate) fn next_due(&self) -> Option<u64> {
        if self.live == 0 {
            return None;
        }
        if let Some(due_ms) = self.earliest_ready() {
            return Some(due_ms);
        }
        if self.cascading > 0 {
            return Some(self.now_ms);
        }
        let mut look = LOOK_MAX;
        let mut places = self.occupancy.from(self.now_ms);
        places.find(|place| self.has_live(place.bucket, &mut look)).map(|place| place.start_ms)
    }

    /// The exact due time of the earliest timer. Reads a whole bucket, or more if those in front hold none but cancelled timers.
    pub(crate) fn earliest(&self) -> Option<u64> {
        if let Some(due_ms) = self.earliest_ready() {
            return Some(due_ms);
        }
        let earliest_in = |place: Place| {
            let live = self.buckets.blocks(place.bucket).flatten().filter(|entry| self.slots.is_live(entry.slot));
            live.map(|entry| entry.due_ms).min()
        };
        let settled = self.occupancy.from(self.now_ms).find_map(earliest_in);
        // A bucket that cascades shares its span with the levels below it.
        let cascading = self.cascading_place().and_then(earliest_in);
        settled.into_iter().chain(cascading).min()
    }

    /// How many timers wait.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    /// Whether no timer waits.
    #[cfg(test)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.live == 0
    }

    fn earliest_ready(&self) -> Option<u64> {
        self.ready.iter().find(|entry| self.slots.is_live(entry.slot)).map(|entry| entry.due_ms)
    }

    /// The bucket to work on first.
    fn front(&self) -> Option<Place> {
        self.cascading_place().or_else(|| self.occupancy.first(self.now_ms))
    }

    fn cascading_place(&self) -> Option<Place> {
        let level = self.cascading;
        (level > 0).then(|| Place { level, bucket: bucket_of(level, self.now_ms), start_ms: self.now_ms })
    }

    /// Puts an entry where it will be handed out in its turn.
    fn place(&mut self, entry: Entry) {
        if self.ready.covers(entry.due_ms) {
            if !self.ready.is_full() {
                return self.ready.join(entry);
            }
            self.empty_ready();
        }
        // While a bucket cascades, what is due within its span goes there: the levels below would hand it out before entries that
        // have waited longer.
        let level = level_of(self.now_ms, entry.due_ms).max(self.cascading);
        self.append(level, entry);
    }

    /// Moves what is ready back into buckets, for there is more to come in its span than it can hold. The levels there are empty.
    fn empty_ready(&mut self) {
        while let Some(entry) = self.ready.take_first() {
            self.append(level_of(self.now_ms, entry.due_ms), entry);
        }
    }

    fn append(&mut self, level: usize, entry: Entry) {
        let bucket = bucket_of(level, entry.due_ms);
        self.buckets.append(bucket, entry);
        self.occupancy.set(bucket);
    }

    /// Works on the bucket whose time has come: what is left of it moves to `ready` if it is due all at once or is little, else down.
    fn advance(&mut self, place: Place, budget: &mut u32) {
        let len = self.buckets.len(place.bucket);
        let is_little = len as usize <= BLOCK_LEN && len <= *budget && self.cascading == 0;
        if place.level == 0 || is_little {
            self.make_ready(place, budget);
        } else {
            self.cascade(place, budget);
        }
    }

    /// On level 0 a block is enough, for all entries are due at once; of a longer span all must come.
    fn make_ready(&mut self, place: Place, budget: &mut u32) {
        loop {
            let batch = self.buckets.take(place.bucket, *budget);
            *budget -= batch.entries().len() as u32;
            self.touch(batch.entries());
            self.ready.extend(batch.entries());
            if place.level == 0 || self.buckets.is_empty(place.bucket) {
                break;
            }
        }
        if self.buckets.is_empty(place.bucket) {
            self.occupancy.clear(place.bucket);
        }
        let until_ms = (place.level > 0).then(|| place.start_ms | (span_ms(place.level) - 1));
        self.ready.sort(until_ms);
    }

    /// Moves entries of a bucket to lower levels, until it is empty or the budget is used up.
    fn cascade(&mut self, place: Place, budget: &mut u32) {
        self.cascading = place.level;
        let are_due_soon = self.buckets.len(place.bucket) <= LOOK_LEN_MAX;
        while *budget > 0 && !self.buckets.is_empty(place.bucket) {
            let batch = self.buckets.take(place.bucket, *budget);
            *budget -= batch.entries().len() as u32;
            if are_due_soon {
                self.touch(batch.entries());
            }
            for &entry in batch.entries().iter().skip(usize::from(planted!("a-cascade-loses-a-timer"))) {
                if are_due_soon && !self.slots.is_live(entry.slot) {
                    self.discard(entry);
                } else {
                    self.append(level_of(self.now_ms, entry.due_ms), entry);
                }
            }
        }
        if self.buckets.is_empty(place.bucket) {
            self.cascading = 0;
            self.occupancy.clear(place.bucket);
        }
    }

    /// Takes the first that is ready. `None` means that its timer was cancelled.
    fn take_first(&mut self, budget: &mut u32) -> Option<u32> {
        let entry = self.ready.take_first()?;
        *budget -= 1;
        let token = self.slots.collect(entry.slot);
        if token.is_some() {
            self.live -= 1;
            *budget = budget.saturating_sub(self.tidy());
        } else {
            self.cancelled -= 1;
        }
        token
    }

    fn touch(&self, entries: &[Entry]) {
        self.slots.touch(entries.iter().map(|entry| entry.slot));
    }

    /// Forgets an entry whose timer has been cancelled.
    fn discard(&mut self, entry: Entry) {
        self.slots.collect(entry.slot);
        self.cancelled -= 1;
    }

    /// Keeps the cancelled entries from outnumbering the live ones, and says how many entries it went through: a block of them, or, when
    /// no timer is left, all. There are few then (each change since they were half of all has swept a block), and an empty wheel holds
    /// nothing.
    #[inline]
    fn tidy(&mut self) -> u32 {
        let is_untidy = self.live == 0 || self.cancelled > self.live + CANCELLED_SURPLUS_MAX;
        if is_untidy { self.sweep() } else { 0 }
    }

    #[cold]
    #[inline(never)]
    fn sweep(&mut self) -> u32 {
        if self.live > 0 {
            return self.sweep_block();
        }
        let mut swept = 0;
        while let Some(entry) = self.ready.take_first() {
            self.discard(entry);
            swept += 1;
        }
        while self.cancelled > 0 {
            swept += self.sweep_block();
        }
        swept
    }

    fn sweep_block(&mut self) -> u32 {
        let bucket = self.buckets.move_sweep(|bucket| self.occupancy.next_bucket(bucket));
        let entries = self.buckets.to_sweep();
        let swept = entries.len() as u32;
        self.touch(entries);
        let (slots, cancelled) = (&mut self.slots, &mut self.cancelled);
        self.buckets.sweep_block(|entry| {
            let is_live = slots.is_live(entry.slot);
            if !is_live {
                slots.collect(entry.slot);
                *cancelled -= 1;
            }
            is_live
        });
        if self.buckets.is_empty(bucket) {
            self.occupancy.clear(bucket);
            if self.cascading > 0 && bucket == bucket_of(self.cascading, self.now_ms) {
                self.cascading = 0;
            }
        }
        swept
    }

    /// Whether a bucket has a live timer. Once `look` is used up the answer is yes, unseen.
    fn has_live(&self, bucket: usize, look: &mut u32) -> bool {
        for entry in self.buckets.blocks(bucket).flatten() {
            if *look == 0 || self.slots.is_live(entry.slot) {
                return true;
            }
            *look -= 1;
        }
        false
    }
}

/// The level of the highest digit in which two times differ.
const fn level_of(now_ms: u64, due_ms: u64) -> usize {
    let highest_bit = ((now_ms ^ due_ms) | 1).ilog2();
    (highest_bit / LEVEL_BITS) as usize
}

/// How long a bucket of this level spans.
const fn span_ms(level: usize) -> u64 {
    1 << (level as u32 * LEVEL_BITS)
}

/// The bucket on this level that spans this time.
const fn bucket_of(level: usize, due_ms: u64) -> usize {
    let digit = (due_ms >> (level as u32 * LEVEL_BITS)) % (1 << LEVEL_BITS);
    level << LEVEL_BITS | digit as usize
}
