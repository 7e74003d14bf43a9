//! What the holder of a valid lease on the cold side may do, and more time for both sides.

use super::*;
use crate::error::{SettleErrorKind, StaleLease};
use crate::lifecycle::Trigger;
use crate::panics::drop_contained;
use crate::protect::Outcome;
use crate::ring::Tenancy;
use crate::sync::{IS_MODEL, yield_now};

/// How often a settle looks whether the end of its queue has let go of its message.
const LOOKS: u32 = if IS_MODEL { 2 } else { 1000 };

impl<T: Send + Sync + 'static> Core<T> {
    /// Settles a redelivery for good.
    pub(crate) fn ack_cold(&self, cold: &ColdDelivery<T>) -> Result<(), SettleErrorKind> {
        self.ack_cold_if(cold, |_| true)
    }

    /// As `ack_cold`, if nobody else can see the message.
    pub(crate) fn ack_cold_alone(&self, cold: &ColdDelivery<T>) -> Result<(), SettleErrorKind> {
        // Besides the delivery's own reference there is the ledger's; every other one is a late handle's, or that of a dead
        // letter which somebody still looks at. None can come while the message is ours.
        self.ack_cold_if(cold, |ledgers| Arc::strong_count(&cold.envelope) <= 1 + ledgers && cold.envelope.is_movable())
    }

    /// `may` is asked whether it may, given the number of references that the ledger holds.
    fn ack_cold_if(&self, cold: &ColdDelivery<T>, may: impl Fn(usize) -> bool) -> Result<(), SettleErrorKind> {
        let mut ledger = self.side.ledger.lock();
        if ledger.ended {
            // Nobody is left who could receive it again, so there is nothing to settle. Whoever ended the queue may hold the
            // ledger's reference for a moment yet, which is no late handle.
            drop(ledger);
            let is_alone = (0..LOOKS).any(|_| {
                may(0) || {
                    yield_now();
                    false
                }
            });
            return if is_alone { Ok(()) } else { Err(SettleErrorKind::Shared) };
        }
        ledger.leased(cold.key, cold.lease_no).ok_or(SettleErrorKind::StaleLease)?;
        if !may(1) {
            return Err(SettleErrorKind::Shared);
        }
        self.tell_guard(&mut ledger, cold.key, Outcome::Success);
        ledger.go(cold.key, Trigger::Ack);
        ledger.remove(cold.key);
        ledger.counts.acked += 1;
        self.unlock(ledger);
        Ok(())
    }

    /// Drops a redelivery that is settled or lost. If it was the last to read its message where a late handle had kept it,
    /// the message moves in with the ledger.
    pub(crate) fn let_go(cold: Box<ColdDelivery<T>>) {
        let (core, seat) = (cold.core.clone(), cold.envelope.seat());
        drop_contained(cold);
        if let Some(pos) = seat {
            core.seat_was_left(pos);
        }
    }

    pub(crate) fn is_lost_cold(&self, cold: &ColdDelivery<T>) -> bool {
        let mut ledger = self.side.ledger.lock();
        !ledger.ended && ledger.leased(cold.key, cold.lease_no).is_none()
    }

    /// The lease of a redelivery now ends `after` from now; `None`: when it is told.
    pub(crate) fn extend_cold(&self, cold: &ColdDelivery<T>, after: Option<Duration>) -> Result<(), StaleLease> {
        let due = after.map(|after| self.side.due_ms(after));
        let mut ledger = self.side.ledger.lock();
        if ledger.ended {
            return Ok(());
        }
        if ledger.leased(cold.key, cold.lease_no).is_none() {
            return Err(StaleLease);
        }
        match due {
            Some(due) => ledger.set_timer(cold.key, due),
            None => ledger.stop_timer(cold.key),
        }
        self.unlock(ledger);
        Ok(())
    }

    /// The lease of a first delivery now ends `after` from now; `None`: when it is told.
    pub(crate) fn extend_hot(&self, tenancy: &Tenancy<Hub<T>>, after: Option<Duration>) -> Result<(), StaleLease> {
        let due = after.map(|after| self.side.due_ms(after));
        let mut ledger = self.side.ledger.lock();
        if ledger.ended {
            return Ok(());
        }
        if !tenancy.set_extended() {
            return Err(StaleLease);
        }
        ledger.extend(tenancy.pos(), due);
        self.unlock(ledger);
        Ok(())
    }
}
