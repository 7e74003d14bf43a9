//! Runs: messages that were taken together and are won together, through the first seat's stamp.

use super::*;
use crate::panics::drop_contained;
use std::mem::needs_drop;

/// Seats in a row under one claim. Holds a door: no tenant of a run is ever an orphan.
pub(crate) struct Run<S: Side> {
    door: Door<S>,
    first: u64,
    len: u64,
}

impl<S: Side> Run<S> {
    /// Takes up to `max` ready messages in a row.
    pub(crate) fn take(door: &Door<S>, max: usize) -> Option<Self> {
        let (first, len) = door.ring.take_run(max as u64 + u64::from(planted!("a-batch-takes-one-too-many")))?;
        Some(Run { door: door.clone(), first, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Its positions, as at most two ranges.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = std::ops::Range<u64>> + '_ {
        self.door.ring.ranges(self.first, self.len)
    }

    /// Its positions, in order.
    pub(crate) fn positions(&self) -> impl Iterator<Item = u64> + Clone {
        let ring = &self.door.ring;
        std::iter::successors(Some(self.first), |&pos| Some(ring.next(pos))).take(self.len())
    }

    /// The message at one of its positions.
    #[inline]
    pub(crate) fn peek(&self, pos: u64) -> Load<&S::Plain, &S::Boxed> {
        let seat = self.door.ring.seat(pos);
        seat.peek(seat.stamp.load(Relaxed) & BOXED != 0)
    }

    pub(crate) fn shared(&self) -> &Shared<S> {
        &self.door
    }

    /// Wins the first seat, and with it all of them. False: the lease is lost.
    fn win(&self) -> bool {
        let stamp = &self.door.ring.seat(self.first).stamp;
        let mut old = self.door.ring.at(self.first) | FLIGHT;
        loop {
            // Orderings as in `Tenancy::win`.
            match stamp.compare_exchange(old, with_state(old, BUSY), SeqCst, Acquire) {
                Ok(_) => return true,
                Err(now) if state(now) == FLIGHT && lap(now) == self.door.ring.lap(self.first) => old = now,
                Err(_) => return false,
            }
        }
    }

    /// Done with all of them: one CAS on the first seat, plain stores on the others.
    pub(crate) fn ack_all(self) -> Result<(), Self> {
        if !self.win() {
            return Err(self);
        }
        let ring = &self.door.ring;
        // A `Drop` may send into this queue and wait for room, so it runs only when all seats are free.
        let mut loads = Vec::with_capacity(if needs_drop::<S::Plain>() { self.len() } else { 0 });
        if self.len > 1 {
            for (_, _, seats) in ring.stretches(ring.next(self.first), self.len - 1) {
                for seat in seats {
                    let stamp = take_won(seat, &mut loads);
                    seat.stamp.store(freed(stamp), Release); // pairs with `claim`
                }
            }
        }
        let first = ring.seat(self.first);
        let stamp = take_won(first, &mut loads);
        first.stamp.swap(freed(stamp), SeqCst); // the one RMW before the look at who sleeps
        self.door.header.seat_freed(self.len as u32);
        for load in loads {
            drop_contained(load);
        }
        Ok(())
    }

    /// Turns the run into single tenancies, lost ones if the lease is. The caller takes each of them.
    pub(crate) fn split(self) -> Split<S> {
        if self.win() {
            let ring = &self.door.ring;
            for index in (0..self.len).rev() {
                let stamp = &ring.seat(ring.advance(self.first, index)).stamp;
                stamp.store(with_state(stamp.load(Relaxed), FLIGHT), Release); // the first one last, as in `hand_out`
            }
        }
        Split { next: self.first, left: self.len as usize, door: self.door }
    }
}

/// Takes the payload of a seat that the caller has won, if it needs to be dropped. Only the winner writes the stamp.
#[inline(always)]
fn take_won<P, B>(seat: &Seat<P, B>, loads: &mut Vec<Load<P, B>>) -> u64 {
    let stamp = seat.stamp.load(Relaxed);
    if needs_drop::<P>() || stamp & BOXED != 0 {
        loads.push(seat.take(stamp));
    }
    stamp
}

/// The tenancies of a run that was split. What is left in it when it is dropped would never be settled: drain it.
pub(crate) struct Split<S: Side> {
    door: Door<S>,
    next: u64,
    left: usize,
}

impl<S: Side> Iterator for Split<S> {
    type Item = Tenancy<S>;

    fn next(&mut self) -> Option<Tenancy<S>> {
        self.left = self.left.checked_sub(1)?;
        let pos = self.next;
        self.next = self.door.ring.next(pos);
        Some(Tenancy::new(&self.door, pos))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<S: Side> ExactSizeIterator for Split<S> {}
