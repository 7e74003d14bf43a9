//! The identity of a timer: which token it carries, and whether a key still means it.
//!
//! A slot counts generations, odd while its timer is live, even otherwise, and never counts back: a key (slot, odd generation) matches
//! during one life of the slot only. Cancelling makes the generation even and no more: the slot stays taken until the wheel comes
//! across the entry that points to it, for the entry would otherwise speak for the slot's next timer.
//!
//! Two things could make a generation repeat, and neither may. A slot that has used up its 2³² generations is retired for good (8
//! bytes for two thousand million timers). A chunk of slots that is given back leaves its highest generation behind (`chunks.rs`).

use super::chunks::{Cell, Chunks};

/// Names one timer: a key whose timer has been handed out or cancelled never means another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    slot: u32,
    generation: u32,
}

impl TimerKey {
    pub(super) const fn slot(self) -> u32 {
        self.slot
    }
}

/// Slots by number.
pub(super) struct Slots {
    slots: Chunks<Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    generation: u32,
    /// The token while the slot is taken, the next free slot while it is not.
    token_or_next: u32,
}

impl Cell for Slot {
    const CHUNK_BITS: u32 = 12;

    fn new(wear: u32) -> Self {
        Slot { generation: wear, token_or_next: 0 }
    }

    fn wear(&self) -> u32 {
        self.generation
    }

    fn next_free(&mut self) -> &mut u32 {
        &mut self.token_or_next
    }
}

impl Slot {
    /// The last even generation: one more life would end at generation 0, and old keys would mean new timers.
    const WORN_OUT: u32 = u32::MAX - 1;

    fn is_live(self) -> bool {
        self.generation % 2 == 1
    }
}

impl Slots {
    pub(super) const fn new() -> Self {
        Slots { slots: Chunks::new() }
    }

    /// Starts the life of a timer.
    pub(super) fn start(&mut self, token: u32) -> TimerKey {
        let slot = self.slots.take();
        let cell = &mut self.slots[slot];
        cell.generation += 1;
        cell.token_or_next = token;
        TimerKey { slot, generation: cell.generation }
    }

    /// Ends the life that the key names and returns its token. The slot stays taken until it is collected.
    pub(super) fn cancel(&mut self, key: TimerKey) -> Option<u32> {
        let cell = self.slots.get_mut(key.slot)?;
        if cell.generation != key.generation {
            return None;
        }
        cell.generation += u32::from(!planted!("cancel-cancels-nothing"));
        Some(cell.token_or_next)
    }

    /// Frees a slot. Ends the life of its timer and returns its token, unless it has been cancelled before.
    pub(super) fn collect(&mut self, slot: u32) -> Option<u32> {
        let cell = &mut self.slots[slot];
        let token = cell.is_live().then_some(cell.token_or_next);
        cell.generation += cell.generation % 2;
        if cell.generation != Slot::WORN_OUT {
            self.slots.put_back(slot);
        }
        token
    }

    pub(super) fn is_live(&self, slot: u32) -> bool {
        self.slots[slot].is_live()
    }

    /// Brings slots into the cache together: cache misses overlap here, while one timer after the other would wait for each.
    pub(super) fn touch(&self, slots: impl Iterator<Item = u32>) {
        std::hint::black_box(slots.fold(0, |all, slot| all ^ self.slots[slot].generation));
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// Wears a free slot down to its last `lives`, for the test of retirement.
    #[cfg(test)]
    pub(super) fn wear_out(&mut self, key: TimerKey, lives: u32) {
        self.slots[key.slot].generation = Slot::WORN_OUT - 2 * lives;
    }
}
