//! What workers have in hand: leases that are renewed when they are about to end, and given back when a worker stops.
//!
//! A handler that is quicker than the lease costs nothing here: its worker notes what it holds in a slot of its own, and only
//! the sweeper, when it finds a lease that has run out, looks whether a slot speaks for it.

use super::*;
use crate::ring::Expired;
use crate::slot::{LeaseId, Slot};

impl<T: Send + Sync + 'static> Core<T> {
    /// A slot for a worker whose handler may run for `limit`.
    pub(crate) fn new_slot(&self, limit: Duration) -> Arc<Slot> {
        let slot = Arc::new(Slot::new(Hub::<T>::ms_at(limit)));
        let mut ledger = self.side.ledger.lock();
        ledger.slots.retain(|slot| slot.strong_count() > 0);
        ledger.slots.push(Arc::downgrade(&slot));
        slot
    }

    /// When the lease of this position ends because its worker may run longer; `None`: nobody speaks for it.
    pub(super) fn kept_until(&self, ledger: &Ledger<T>, pos: u64, now_ms: u64) -> Option<u64> {
        let mut slots = ledger.slots.iter().filter_map(Weak::upgrade);
        let slot = slots.find(|slot| slot.holds(LeaseId::Seat(pos)))?;
        let until = ledger.handed_out.when(pos)?.saturating_add(slot.limit_ms());
        (until > now_ms).then_some(until)
    }

    /// Takes a lease away from a handler that still runs, and makes the message ready again: this hand-over was no attempt.
    /// False: it was settled, or lost, before.
    pub(crate) fn give_back(&self, lease: LeaseId) -> bool {
        let mut ledger = self.side.ledger.lock();
        if ledger.ended {
            return false;
        }
        let key = match lease {
            LeaseId::Entry { key, lease_no } => ledger.leased(key, lease_no).map(|_| key),
            LeaseId::Seat(pos) => {
                let mut lost = Vec::new();
                let me = self.me();
                if me.expire(pos, true, &mut lost) {
                    ledger.end_extension(pos);
                } else {
                    me.expire(pos, false, &mut lost);
                }
                lost.pop().map(|expired| self.admit_lost(&mut ledger, expired))
            }
        };
        if let Some(key) = key {
            self.put_off(&mut ledger, key, Duration::ZERO);
        }
        self.unlock(ledger);
        key.is_some()
    }

    /// An entry, still in flight, for a first delivery whose handle has lost it.
    pub(super) fn admit_lost(&self, ledger: &mut Ledger<T>, expired: Expired<Hub<T>>) -> u32 {
        let (pos, envelope) = match expired {
            Expired::InSeat(guest) => {
                let pos = guest.pos();
                (pos, self.envelop(ledger, pos, Payload::InSeat(guest)))
            }
            Expired::Boxed { pos, load } => (pos, load),
        };
        let seat = envelope.seat();
        let key = self.admit_in_flight(ledger, pos, envelope);
        if let Some(pos) = seat {
            ledger.set_late(pos, key);
        }
        key
    }
}
