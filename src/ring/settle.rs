//! A tenancy: the right to read a seat and to settle it once.
//!
//! Every end of it is one CAS on the stamp that expects FLIGHT of its own lap: whoever loses that race (against the lease,
//! or against nobody else, since a tenancy is owned) has a stale lease and changes nothing.

use super::*;
use crate::panics::drop_contained;
use std::mem::needs_drop;
use std::ptr::NonNull;
use std::sync::Arc;

/// Set in a tenancy's position when the seat holds the boxed form.
pub(super) const HOLDS_BOX: u64 = 1 << 63;

type LoadOf<S> = Load<<S as Side>::Plain, <S as Side>::Boxed>;

/// A seat in flight (or lost, until the handle is dropped): two words, no count, no allocation.
pub(crate) struct Tenancy<S: Side> {
    pub(super) shared: NonNull<Shared<S>>,
    pub(super) pos: u64,
}

// SAFETY: it shares the payload (Sync) and may move it out (Send); Shared is Sync.
unsafe impl<S: Side> Send for Tenancy<S> {}
// SAFETY: as above; a shared tenancy only reads.
unsafe impl<S: Side> Sync for Tenancy<S> {}

impl<S: Side> Tenancy<S> {
    /// The caller has just taken `pos` from the ring of `shared` (or split it from a run) and makes one tenancy of it.
    #[inline(always)]
    pub(super) fn new(shared: &Shared<S>, pos: u64) -> Self {
        let boxed = shared.ring.seat(pos).stamp.load(Relaxed) & BOXED != 0;
        Tenancy { shared: NonNull::from(shared), pos: if boxed { pos | HOLDS_BOX } else { pos } }
    }

    #[inline(always)]
    pub(crate) fn shared(&self) -> &Shared<S> {
        // SAFETY: our seat is held, so the tenants' common reference has not been returned yet.
        unsafe { self.shared.as_ref() }
    }

    /// A reference of its own, for work that goes on after the seat was given away.
    pub(crate) fn to_arc(&self) -> Arc<Shared<S>> {
        // SAFETY: the pointer came out of an Arc (`Door::open`), whose count is above zero as in `shared`.
        unsafe {
            Arc::increment_strong_count(self.shared.as_ptr());
            Arc::from_raw(self.shared.as_ptr())
        }
    }

    #[inline(always)]
    pub(crate) fn pos(&self) -> u64 {
        self.pos & !HOLDS_BOX
    }

    #[inline(always)]
    fn seat(&self) -> &Seat<S::Plain, S::Boxed> {
        self.shared().ring.seat(self.pos())
    }

    #[inline(always)]
    pub(crate) fn peek(&self) -> Load<&S::Plain, &S::Boxed> {
        self.seat().peek(self.pos & HOLDS_BOX != 0)
    }

    pub(crate) fn is_lost(&self) -> bool {
        !self.is_ours(self.seat().stamp.load(Acquire))
    }

    fn is_ours(&self, stamp: u64) -> bool {
        state(stamp) == FLIGHT && lap(stamp) == self.shared().ring.lap(self.pos())
    }

    /// Takes the seat from FLIGHT to `to(stamp)`, or says that the lease is lost. Returns the stamp it replaced.
    #[inline(always)]
    fn win(&self, to: impl Fn(u64) -> u64) -> Option<u64> {
        let ring = &self.shared().ring;
        let mut stamp = ring.at(self.pos()) | FLIGHT; // no load: the guess is right unless there are flags
        loop {
            // Release: our last reads come before the next payload goes in (pairs with `claim`). SeqCst: against a sender
            // that goes to sleep. Acquire on failure: what the sweeper did.
            match self.seat().stamp.compare_exchange(stamp, to(stamp), SeqCst, Acquire) {
                Ok(_) => return Some(stamp),
                Err(now) if self.is_ours(now) => stamp = now,
                Err(now) if planted!("a-lost-lease-settles") && state(now) == LOST => stamp = now,
                Err(_) => return None,
            }
        }
    }

    /// Done: frees a plain seat and drops the payload, if nothing stands in the way. True: this tenancy has ended, and the
    /// hold around it must forget it.
    #[inline(always)]
    pub(super) fn ack_fast(&mut self) -> bool {
        let (ring, header) = (&self.shared().ring, self.shared().header); // before the CAS: afterwards the ring may be gone
        let (seat, at) = (ring.seat(self.pos), ring.at_bare(self.pos));
        // The guess is right unless there are flags, or the lease is lost. Orderings as in `win`.
        let next = if needs_drop::<S::Plain>() { at | LEAVING } else { freed(at) };
        if seat.stamp.compare_exchange(at | FLIGHT, next, SeqCst, Relaxed).is_err() {
            return false;
        }
        if !needs_drop::<S::Plain>() {
            header.seat_freed(1);
            return true;
        }
        let load = seat.take(at);
        seat.stamp.store(freed(at), Release); // pairs with `claim`; a sender that sees LEAVING looks again
        header.seat_freed(1);
        drop_contained(load);
        true
    }

    /// As [`ack_fast`](Self::ack_fast), whatever stands in the way but a lost lease.
    pub(crate) fn ack(self) -> Result<(), Self> {
        self.ack_and_take().map(drop_contained)
    }

    /// Done: frees the seat and hands the payload to the caller.
    pub(crate) fn ack_and_take(self) -> Result<LoadOf<S>, Self> {
        if self.seat().stamp.load(Relaxed) & EXTENDED != 0 {
            return self.win_slowly().map(|won| {
                let (shared, pos) = (won.shared.clone(), won.pos);
                let load = won.take();
                shared.side.lease_ended(pos);
                shared.header.seat_freed(1);
                load
            });
        }
        let (shared, header) = (self.shared, self.shared().header);
        let Some(old) = self.win(|stamp| with_state(stamp, LEAVING)) else { return Err(self) };
        let load = self.seat().take(old);
        if old & ORPHAN == 0 {
            self.seat().stamp.store(freed(old), SeqCst); // pairs with `claim`; SeqCst against a sender that goes to sleep
            header.seat_freed(1);
        } else {
            Shared::release_orphan(shared.as_ptr());
        }
        std::mem::forget(self);
        Ok(load)
    }

    /// Wins the seat for a settle that needs the cold side. The seat stays occupied until [`Won::take`].
    pub(crate) fn win_slowly(self) -> Result<Won<S>, Self> {
        let shared = self.to_arc();
        match self.win(|stamp| with_state(stamp, SETTLING)) {
            None => Err(self),
            Some(old) => {
                let pos = self.pos();
                std::mem::forget(self);
                Ok(Won { shared, pos, old })
            }
        }
    }

    /// From now on a timer watches this lease instead of the sweeper. False: the lease is lost.
    pub(crate) fn set_extended(&self) -> bool {
        self.win(|stamp| stamp | EXTENDED).is_some()
    }
}

/// The end of a handle that lost its lease. (One that did not was settled, which forgets it.)
impl<S: Side> Drop for Tenancy<S> {
    fn drop(&mut self) {
        let (shared, header, seat) = (self.shared, self.shared().header, self.seat());
        let mut stamp = seat.stamp.load(Acquire);
        let to = loop {
            let to = match state(stamp) {
                LOST => STAY,
                LATE => LEAVING,
                // The sweeper has won our run and is marking its seats.
                MEMBER | BUSY => {
                    yield_now();
                    stamp = seat.stamp.load(Acquire);
                    continue;
                }
                _ => {
                    debug_assert!(false, "a tenancy is settled before it is dropped");
                    return;
                }
            };
            match seat.stamp.compare_exchange(stamp, with_state(stamp & !ORPHAN, to), SeqCst, Acquire) {
                Ok(_) => break to,
                Err(now) => stamp = now,
            }
        };
        // STAY, and not an orphan: from here on the ring may be gone.
        let load = (to == LEAVING).then(|| seat.take(stamp));
        if to == LEAVING && stamp & ORPHAN == 0 {
            seat.stamp.store(freed(stamp), SeqCst); // the end waits for a seat that is LEAVING
            header.seat_freed(1);
        }
        if stamp & ORPHAN != 0 {
            Shared::release_orphan(shared.as_ptr());
        }
        drop_contained(load);
    }
}

/// A seat that was won for a settle on the cold side: its message is in nobody's hands until it is taken.
pub(crate) struct Won<S: Side> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) pos: u64,
    old: u64,
}

impl<S: Side> Won<S> {
    /// Was the lease watched by a timer?
    pub(crate) fn was_extended(&self) -> bool {
        self.old & EXTENDED != 0
    }

    /// Moves the payload out and frees the seat. Wakes nobody: the caller holds a lock, and says `seat_freed` after it.
    pub(crate) fn take(self) -> LoadOf<S> {
        let seat = self.shared.ring.seat(self.pos);
        let load = seat.take(self.old);
        seat.stamp.store(freed(self.old), SeqCst);
        if self.old & ORPHAN != 0 {
            Shared::release_orphan(Arc::as_ptr(&self.shared));
        }
        load
    }

    /// As [`take`](Self::take), but the seat stays occupied, as a phantom: its message moves to the cold side and counts on.
    pub(crate) fn take_and_stay(self) -> LoadOf<S> {
        let ring = &self.shared.ring;
        let seat = ring.seat(self.pos);
        let load = seat.take(self.old);
        debug_assert_eq!(self.old & ORPHAN, 0, "who has just received holds a handle");
        seat.stamp.store(ring.at(self.pos) | PHANTOM, SeqCst); // freed by `Ring::vacate`; the head has passed it already
        load
    }
}

impl<S: Side> Shared<S> {
    /// Takes the next message, if it sits plainly at the head and `may` does not object to its position.
    #[inline(always)]
    pub(crate) fn take_fast(&self, may: impl Fn(u64) -> bool) -> Option<Tenancy<S>> {
        let pos = self.ring.take_fast(may)?;
        Some(Tenancy { shared: NonNull::from(self), pos })
    }

    /// Takes the next ready message.
    pub(crate) fn take(&self) -> Option<Tenancy<S>> {
        let (pos, _) = self.ring.take_run(1)?;
        Some(Tenancy::new(self, pos))
    }
}
