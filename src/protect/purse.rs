//! What a retry budget counts: first attempts and retries of the last window, in slots of a 64th of it.
//!
//! Promises: whenever `withdraw` follows a `balance` of at least one, the retries of the window that ends then are at most
//! the share of the first attempts in it plus the floor's. A slot that is only partly in the window counts with its retries
//! and without its first attempts, so the rounding never grants anything. Memory is bounded by the number of slots.

use super::{RetryBudget, millis};
use std::collections::VecDeque;

const SLOTS: u64 = 64;

#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u64,
    firsts: u64,
    retries: u64,
}

#[derive(Debug)]
pub(super) struct Purse {
    share: f64,
    reserve: f64,
    window_ms: u64,
    slot_ms: u64,
    /// Ascending; no slot is empty.
    slots: VecDeque<Slot>,
    firsts: u64,
    retries: u64,
    /// How many first attempts were noted of those that somebody else counts.
    noted: u64,
}

impl Purse {
    pub(super) fn new(budget: &RetryBudget) -> Self {
        let window_ms = millis(budget.window);
        Purse {
            share: budget.percent / 100.0,
            reserve: budget.reserve(),
            window_ms,
            slot_ms: window_ms.div_ceil(SLOTS).max(1),
            slots: VecDeque::new(),
            firsts: 0,
            retries: 0,
            noted: 0,
        }
    }

    /// Another count of first attempts stands at `total` now; what was added since the last note was handed over meanwhile.
    pub(super) fn note(&mut self, total: u64, now_ms: u64) {
        let new = total.saturating_sub(self.noted);
        self.noted = self.noted.max(total);
        self.deposit(new, now_ms);
    }

    pub(super) fn deposit(&mut self, firsts: u64, now_ms: u64) {
        if firsts > 0 {
            self.slot(now_ms).firsts += firsts;
            self.firsts += firsts;
        }
    }

    pub(super) fn withdraw(&mut self, now_ms: u64) {
        self.slot(now_ms).retries += 1;
        self.retries += 1;
    }

    /// How many retries may be handed over now.
    pub(super) fn balance(&mut self, now_ms: u64) -> u64 {
        self.forget(now_ms);
        let fading = match (now_ms.checked_sub(self.window_ms), self.slots.front()) {
            (Some(begin), Some(slot)) if self.start(slot.number) <= begin => slot.firsts,
            _ => 0,
        };
        let granted = (self.share * (self.firsts - fading) as f64 + self.reserve + ROUNDING).floor() as u64;
        granted.saturating_sub(self.retries)
    }

    /// While the balance is zero: when it may be higher, though nothing is handed over.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.slots.front().map(|slot| self.start(slot.number + 1).saturating_add(self.window_ms))
    }

    fn start(&self, number: u64) -> u64 {
        number.saturating_mul(self.slot_ms)
    }

    /// Drops the slots that have left the window altogether.
    fn forget(&mut self, now_ms: u64) {
        let Some(begin) = now_ms.checked_sub(self.window_ms) else { return };
        while let Some(slot) = self.slots.front()
            && self.start(slot.number + 1) <= begin
        {
            self.firsts -= slot.firsts;
            self.retries -= slot.retries;
            self.slots.pop_front();
        }
    }

    fn slot(&mut self, now_ms: u64) -> &mut Slot {
        self.forget(now_ms);
        // A clock that was read before another thread's later look writes into the newest slot.
        let number = self.slots.back().map_or(0, |slot| slot.number).max(now_ms / self.slot_ms);
        if self.slots.back().is_none_or(|slot| slot.number < number) {
            self.slots.push_back(Slot { number, firsts: 0, retries: 0 });
        }
        self.slots.back_mut().unwrap_or_else(|| unreachable!("one was just pushed"))
    }
}

/// 10 % of 30 is 3, though 0.1 is not quite a tenth.
const ROUNDING: f64 = 1e-9;
