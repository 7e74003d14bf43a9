//! The ledger's timers: delays, leases and resends of its entries, extended leases of seats, and the guard's next look.

use super::Ledger;
use crate::wheel::{Popped, TimerKey};

/// What a timer stands for.
pub(super) enum Timer {
    /// An entry's delay, lease or next send.
    Entry,
    /// The lease of a first delivery (by position) that was extended.
    Lease(u64),
    /// The guard may let somebody through.
    Guard,
}

/// What has fallen due.
pub(crate) enum Due {
    Entry(u32),
    Lease(u64),
    Guard,
    /// The wheel was still turning: release the lock, and ask again.
    AskAgain,
    Later,
}

/// How many timers the wheel may move in its cascades while the lock is held.
const STEPS_MAX: u32 = 1024;

impl<T: Send + Sync + 'static> Ledger<T> {
    pub(crate) fn set_timer(&mut self, key: u32, due_ms: u64) {
        let timer = self.insert(due_ms, Timer::Entry, key);
        self.entries[key as usize].due_ms = due_ms;
        if let Some(old) = self.entries[key as usize].timer.replace(timer)
            && !planted!("an-extension-keeps-the-old-timer")
        {
            self.cancel(old);
        }
    }

    pub(crate) fn stop_timer(&mut self, key: u32) {
        if let Some(timer) = self.entries[key as usize].timer.take() {
            self.cancel(timer);
        }
    }

    pub(super) fn insert(&mut self, due_ms: u64, timer: Timer, key: u32) -> TimerKey {
        self.arm(due_ms);
        let token = self.timers.insert((timer, key)) as u32;
        self.wheel.insert(due_ms, token)
    }

    /// Somebody has to look at this queue at `due_ms`.
    pub(crate) fn arm(&mut self, due_ms: u64) {
        if due_ms < self.armed_ms {
            self.armed_ms = due_ms;
            self.aftermath.nudge = true;
        }
    }

    pub(super) fn cancel(&mut self, timer: TimerKey) {
        if let Some(token) = self.wheel.cancel(timer) {
            self.timers.remove(token as usize);
        }
    }

    /// The lease of a first delivery now ends then (None: when it is told).
    pub(crate) fn extend(&mut self, pos: u64, due_ms: Option<u64>) {
        let timer = due_ms.map(|due_ms| self.insert(due_ms, Timer::Lease(pos), 0));
        if let Some(Some(old)) = self.extended.insert(pos, timer) {
            self.cancel(old);
        }
    }

    pub(crate) fn end_extension(&mut self, pos: u64) {
        if let Some(Some(timer)) = self.extended.remove(&pos) {
            self.cancel(timer);
        }
    }

    /// A bound on when the next timer falls due, never too late.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.wheel.next_due()
    }

    /// When the next timer falls due.
    pub(crate) fn earliest(&self) -> Option<u64> {
        self.wheel.earliest()
    }

    /// Takes off the next timer that is due. The wheel's own work is bounded, so that the lock is not held for long.
    pub(crate) fn pop_due(&mut self, now_ms: u64) -> Due {
        let token = match self.wheel.pop_due(now_ms, &mut STEPS_MAX.clone()) {
            Popped::Due(_, token) => token,
            Popped::Later => return Due::Later,
            Popped::OutOfBudget => return Due::AskAgain,
        };
        let (timer, key) = self.timers.remove(token as usize);
        match timer {
            Timer::Entry => {
                self.entries[key as usize].timer = None;
                Due::Entry(key)
            }
            Timer::Lease(pos) => {
                self.extended.remove(&pos);
                Due::Lease(pos)
            }
            Timer::Guard => {
                self.guard_timer = None;
                Due::Guard
            }
        }
    }
}
