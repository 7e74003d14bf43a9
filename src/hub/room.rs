//! Exact capacity: what is ready or in flight never exceeds it by a send, and a send is refused only when it is reached.
//!
//! The ring alone is not exact in two cases, and both take senders through here (the tail's DETOUR flag):
//!
//! - A seat that was passed over and freed since cannot be reached before the head has come by. Then the message waits in
//!   the *overflow*, behind everything in the ring and before everything sent later, and is seated as soon as the tail can
//!   move; as many messages may wait there as there are free seats.
//! - A redelivery that is ready or in flight lives on the cold side, and counts. So it holds a seat by a *phantom*; where
//!   no seat is free it enters all the same, and the ring owes it one (*debt*): sends wait until that is paid.

use super::*;
use crate::error::{SendError, SendErrorKind};
use crate::ring::Refused;

impl<T: Send + Sync + 'static> Core<T> {
    /// The claim was refused: finds a position in a slower way. `Ok(None)`: the overflow has room for one more (only if
    /// the caller can use that).
    pub(super) fn find_room(&self, refused: Refused, overflow: bool) -> Result<Option<u64>, SendErrorKind> {
        match refused {
            Refused::Closed => Err(SendErrorKind::Closed),
            // Nothing was passed over, so no seat is out of reach, and none can be cleared: full is full.
            Refused::Full if !self.ring.may_hide_seats() && self.attention() & LATE == 0 => Err(SendErrorKind::Full),
            Refused::Full | Refused::Detour => {
                let mut ledger = self.side.ledger.lock();
                let found = self.find_room_locked(&mut ledger);
                self.lift_detour(&ledger);
                drop(ledger);
                if found == Ok(None) && !overflow { Err(SendErrorKind::Full) } else { found }
            }
        }
    }

    /// Leaves the detour on, so that nobody claims past the caller before it has used the answer.
    pub(super) fn find_room_locked(&self, ledger: &mut Ledger<T>) -> Result<Option<u64>, SendErrorKind> {
        if self.ring.is_closed() {
            return Err(SendErrorKind::Closed);
        }
        self.ring.set_detour(true);
        if ledger.has_late() {
            ledger.move_in_all(); // whoever read a message in its seat may be gone
        }
        self.settle_up(ledger);
        let clear = ledger.overflow.is_empty() && ledger.debt == 0;
        match if clear { self.ring.claim_detoured() } else { Err(Refused::Full) } {
            Ok(pos) => Ok(Some(pos)),
            Err(_)
                if self.ring.vacant() + u64::from(planted!("one-more-than-the-capacity"))
                    > ledger.overflow.len() as u64 + ledger.debt =>
            {
                Ok(None)
            }
            Err(_) => Err(SendErrorKind::Full),
        }
    }

    /// Accepts a message behind the ring.
    pub(super) fn overflow(&self, envelope: Arc<Envelope<T>>) -> Result<(), SendError<Arc<Envelope<T>>>> {
        let mut ledger = self.side.ledger.lock();
        // Much may have happened since the answer was given, so it is asked again under the same lock.
        let found = self.find_room_locked(&mut ledger);
        if found == Ok(None) {
            if planted!("the-overflow-is-a-stack") {
                ledger.overflow.push_front(envelope);
            } else {
                ledger.overflow.push_back(envelope);
            }
            drop(ledger);
            self.header().mail.notify();
            return Ok(());
        }
        self.lift_detour(&ledger);
        drop(ledger);
        match found {
            Ok(Some(pos)) => {
                self.seat_boxed(pos, envelope);
                Ok(())
            }
            Ok(None) => unreachable!("handled above"),
            Err(kind) => Err(SendError { kind, message: envelope }),
        }
    }

    /// Pays what the ring owes, as far as seats can be claimed: the overflow first, for it was accepted first.
    fn settle_up(&self, ledger: &mut Ledger<T>) {
        if !ledger.overflow.is_empty() || ledger.debt > 0 {
            ledger.settled_floor = 0; // seats that were settled are used again, closed or not
        }
        while let Some(envelope) = ledger.overflow.pop_front() {
            match self.ring.claim_detoured() {
                Ok(pos) => self.put_boxed(pos, envelope),
                Err(_) => {
                    ledger.overflow.push_front(envelope);
                    return;
                }
            }
        }
        while ledger.debt > 0 {
            let Ok(pos) = self.ring.claim_phantom() else { return };
            ledger.phantoms.push(pos);
            ledger.debt -= 1;
        }
    }

    fn lift_detour(&self, ledger: &Ledger<T>) {
        if (ledger.overflow.is_empty() && ledger.debt == 0) || planted!("the-detour-ends-early") {
            self.ring.set_detour(false);
        }
    }

    /// The ring is empty and senders take a detour: seats what waits in the overflow. True if there is something to take.
    pub(super) fn refill(&self) -> bool {
        self.refill_locked(&mut self.side.ledger.lock())
    }

    pub(super) fn refill_locked(&self, ledger: &mut Ledger<T>) -> bool {
        self.settle_up(ledger);
        self.lift_detour(ledger);
        !self.ring.is_drained()
    }

    /// Redeliveries have become ready, or have ceased to be ready or in flight: brings the seats they hold in line.
    /// Call whenever `population.warm()` may have changed. Returns how many seats became free: say so after the lock.
    pub(super) fn balance(&self, ledger: &mut Ledger<T>) -> u32 {
        let warm = ledger.population.warm();
        let mut freed = 0;
        while ledger.phantoms.len() as u64 + ledger.debt > warm {
            if ledger.debt > 0 {
                ledger.debt -= 1;
            } else if let Some(pos) = ledger.phantoms.pop()
                && !planted!("a-phantom-stays")
            {
                self.ring.vacate(pos);
            }
            freed += 1;
        }
        let missing = warm - (ledger.phantoms.len() as u64 + ledger.debt);
        if missing > 0 {
            ledger.debt += missing;
            self.settle_up(ledger);
        }
        if ledger.debt > 0 {
            self.ring.set_detour(true);
        } else {
            self.lift_detour(ledger);
        }
        freed
    }
}
