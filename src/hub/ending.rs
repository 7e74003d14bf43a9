//! The end: close, drain, and what the last handle leaves behind.

use super::*;
use crate::error::DrainError;
use crate::sync::{current, park, park_timeout};
use crate::wait::Sleeper;

impl<T: Send + Sync + 'static> Core<T> {
    /// No send is accepted from now on. What was accepted is still handed out.
    pub(crate) fn close(&self) {
        if self.ring.close() {
            self.give_up_unsent();
            if planted!("close-loses-the-overflow") {
                self.side.ledger.lock().overflow.clear();
            }
            if !planted!("close-wakes-nobody") {
                self.header().call_all();
            }
        }
    }

    /// Closed, and everything is settled: there will be nothing to receive any more.
    pub(crate) fn is_over(&self) -> bool {
        if !self.ring.is_closed() {
            return false;
        }
        self.ring.pass_gaps(); // a paused queue takes nothing, and gaps are nothing to wait for
        if !self.ring.is_drained() {
            return false;
        }
        // The ring first, then the ledger: messages only move from the one to the other, and under the lock.
        let mut ledger = self.side.ledger.lock();
        let mut floor = ledger.settled_floor;
        let settled = self.ring.is_settled(&mut floor);
        ledger.settled_floor = floor;
        let over = settled
            && ledger.population.unsettled() == 0
            && (ledger.overflow.is_empty() || planted!("over-despite-the-overflow"));
        drop(ledger);
        if over {
            self.header().call_all();
        }
        over
    }

    /// Waits until everything that was accepted is settled and nothing is unsent.
    pub(crate) fn drain(&self, limit: Duration) -> Result<(), DrainError> {
        let started = self.side.clock.now();
        let deadline = started.checked_add(limit);
        let end = &self.header().end;
        loop {
            let ticket = end.join(Sleeper::Thread(current()), 0);
            let (unsettled, unsent) = self.left();
            let is_done = unsettled + unsent == 0;
            let is_late = deadline.is_some_and(|deadline| self.side.clock.now() >= deadline);
            if !is_done && !is_late && end.is_waiting(ticket) {
                match self.time_left(deadline) {
                    None => park(),
                    Some(left) => park_timeout(left),
                }
            }
            let called = end.leave(ticket);
            if is_done {
                end.wake_all(); // one is called, and all have waited for the same
                return Ok(());
            }
            if is_late {
                if called {
                    end.notify();
                }
                let waited = self.side.clock.now().saturating_duration_since(started);
                return Err(DrainError { waited, unsettled, unsent });
            }
        }
    }

    /// What is not settled, and what is not sent.
    fn left(&self) -> (u64, u64) {
        let census = self.ring.census();
        let ledger = self.side.ledger.lock();
        let in_ring = census.ready + census.in_flight + ledger.overflow.len() as u64;
        let unsent = ledger.population.unsent;
        if planted!("drain-forgets-what-is-delayed") {
            return (in_ring + ledger.population.warm(), unsent);
        }
        (in_ring + ledger.population.unsettled(), unsent)
    }

    pub(crate) fn pause(&self) {
        self.set_attention(PAUSED, true);
    }

    pub(crate) fn resume(&self) {
        self.set_attention(PAUSED, false);
        self.header().mail.wake_all();
    }
}

impl<T: Send + Sync + 'static> Hub<T> {
    /// The last handle is gone: nobody can receive or look. Deliveries that are still held settle into nothing.
    pub(super) fn end(&self) {
        let mut ledger = self.ledger.lock();
        let receipts = Core::<T>::forget_receipts(&mut ledger);
        let left = ledger.take_all();
        drop(ledger);
        for receipt in receipts {
            receipt.set(super::resend::UNKNOWN);
        }
        left.drop_each();
    }
}
