//! Leases: the sweeper takes seats away from handles that kept them too long.
//!
//! Leases of equal length end in the order in which they began, so no message needs a timer: once a sample of the head is a
//! lease old, every position below it that is still in flight has expired.

use super::*;
use crate::panics::drop_contained;
use std::sync::Arc;

/// A message whose lease was lost while its handle lives.
pub(crate) enum Expired<S: Side> {
    /// It still lives in its seat, which its handle and this guest now share.
    InSeat(Guest<S>),
    /// The box is shared; the seat is left to the handle.
    Boxed { pos: u64, load: S::Boxed },
}

/// The message's own claim to a seat whose handle lost its lease.
pub(crate) struct Guest<S: Side> {
    shared: Arc<Shared<S>>,
    pos: u64,
    moved: bool,
}

impl<S: Side> Shared<S> {
    /// Expires whatever was handed out below `due` (a position) and is still in its first flight, beginning at `swept`.
    /// Returns from where the next sweep has to begin. A seat is looked at once, at most, however far the ring has gone.
    /// What `keep` speaks for is not lost, but extended: the caller sets a timer for it.
    pub(crate) fn sweep(
        self: &Arc<Self>,
        swept: u64,
        due: u64,
        mut keep: impl FnMut(u64) -> bool,
        lost: &mut Vec<Expired<S>>,
    ) -> u64 {
        let ring = &self.ring;
        let first = ring.count(swept).max(ring.count(due).saturating_sub(ring.seats_len));
        let mut from = None;
        let mut pos = ring.at_count(first);
        for _ in first..ring.count(due) {
            if !self.sweep_seat(pos, due, &mut keep, lost) {
                from.get_or_insert(pos);
            }
            pos = ring.next(pos);
        }
        from.unwrap_or(due)
    }

    /// False: its receiver is between two stores. Look again at the next tick.
    fn sweep_seat(
        self: &Arc<Self>,
        pos: u64,
        due: u64,
        keep: &mut impl FnMut(u64) -> bool,
        lost: &mut Vec<Expired<S>>,
    ) -> bool {
        let ring = &self.ring;
        let stamp = ring.seat(pos).stamp.load(Acquire); // pairs with the receiver's FLIGHT
        let sits = lap(stamp) << ring.shift | pos & ring.mask; // an older message may sit here, or a newer one
        if sits >= due && !planted!("the-sweep-takes-a-newer-lease") {
            return true;
        }
        match state(stamp) {
            FLIGHT if stamp & EXTENDED == 0 || planted!("an-extension-is-swept") => {
                if keep(sits) {
                    // If this fails it was settled meanwhile, and the timer will find nothing.
                    let _ = ring.seat(pos).stamp.compare_exchange(stamp, stamp | EXTENDED, SeqCst, Acquire);
                } else {
                    self.expire(sits, false, lost);
                }
                true
            }
            state => !matches!(state, READY | BUSY),
        }
    }

    /// Takes the lease of this position away, and of the run it heads, if it is (or is not) an extended one. False: it was
    /// settled first, or extended.
    pub(crate) fn expire(self: &Arc<Self>, pos: u64, extended: bool, lost: &mut Vec<Expired<S>>) -> bool {
        let ring = &self.ring;
        let is_member = |pos: u64| ring.seat(pos).stamp.load(Acquire) & !BOXED == ring.at(pos) | MEMBER;
        let heads_run = is_member(ring.next(pos));
        let stamp = &ring.seat(pos).stamp;
        let mut old = stamp.load(Acquire);
        loop {
            if state(old) != FLIGHT
                || lap(old) != ring.lap(pos)
                || ((old & EXTENDED != 0) != extended && !planted!("an-extension-is-swept"))
            {
                return false;
            }
            let to = if heads_run { BUSY } else { LOST };
            // Orderings as in `Tenancy::win`.
            match stamp.compare_exchange(old, with_state(old & !EXTENDED, to), SeqCst, Acquire) {
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
        if heads_run {
            let run: Vec<u64> = std::iter::successors(Some(ring.next(pos)), |&pos| Some(ring.next(pos)))
                .take_while(|&pos| is_member(pos))
                .collect();
            for &member in run.iter().rev() {
                self.mark_lost(member);
            }
            self.mark_lost(pos); // last: until then a handle that looks sees that the run is being served
            lost.push(self.expired(pos));
            lost.extend(run.into_iter().map(|member| self.expired(member)));
        } else {
            lost.push(self.expired(pos));
        }
        true
    }

    fn mark_lost(&self, pos: u64) {
        let stamp = &self.ring.seat(pos).stamp;
        let old = stamp.load(Relaxed); // ours alone: the run was won
        stamp.store(with_state(old & !EXTENDED, LOST), SeqCst);
    }

    /// The message of a seat that was just marked.
    fn expired(self: &Arc<Self>, pos: u64) -> Expired<S> {
        let guest = Guest { shared: self.clone(), pos, moved: false };
        match guest.peek() {
            Load::Plain(_) => Expired::InSeat(guest),
            Load::Boxed(load) => {
                let load = load.clone();
                drop(guest); // was only there to keep the seat while the box was copied
                Expired::Boxed { pos, load }
            }
        }
    }
}

impl<S: Side> Guest<S> {
    pub(crate) fn pos(&self) -> u64 {
        self.pos
    }

    /// Is the handle gone that lost its lease?
    pub(crate) fn is_alone(&self) -> bool {
        !self.moved && state(self.shared.ring.seat(self.pos).stamp.load(Acquire)) == STAY
    }

    /// The payload, which is there until it is moved.
    pub(crate) fn peek(&self) -> Load<&S::Plain, &S::Boxed> {
        assert!(!self.moved, "a guest reads its seat until its message is moved");
        let seat = self.shared.ring.seat(self.pos);
        seat.peek(seat.stamp.load(Relaxed) & BOXED != 0)
    }

    /// Moves the payload out and frees the seat, if the old handle is gone. Wakes nobody: who holds no lock says
    /// [`tell_freed`](Self::tell_freed).
    pub(crate) fn try_take(&mut self) -> Option<Load<S::Plain, S::Boxed>> {
        let seat = self.shared.ring.seat(self.pos);
        if self.moved || state(seat.stamp.load(Acquire)) != STAY {
            return None;
        }
        self.moved = true;
        Some(self.take_stayed())
    }

    /// The handle is gone for good (STAY) and we are the only guest: nobody else writes this stamp.
    fn take_stayed(&self) -> Load<S::Plain, S::Boxed> {
        let seat = self.shared.ring.seat(self.pos);
        let stamp = seat.stamp.load(Acquire); // pairs with the handle's end
        let load = seat.take(stamp);
        seat.stamp.store(freed(stamp), SeqCst);
        load
    }

    /// Somebody may be waiting for the seat that was freed.
    pub(crate) fn tell_freed(&self) {
        self.shared.header.seat_freed(1);
    }
}

/// The message has no more use for the seat: it is settled, or was moved.
impl<S: Side> Drop for Guest<S> {
    fn drop(&mut self) {
        if self.moved {
            return;
        }
        let stamp = &self.shared.ring.seat(self.pos).stamp;
        let mut old = stamp.load(Acquire);
        while state(old) == LOST {
            // Release: our reads come before the handle's end drops the payload.
            match stamp.compare_exchange(old, with_state(old, LATE), AcqRel, Acquire) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
        let load = self.take_stayed();
        self.tell_freed();
        drop_contained(load);
    }
}
