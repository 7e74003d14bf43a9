//! The end: count what is left, and clear the ring when the last door has closed.

use super::*;
use crate::panics::drop_contained;

/// Seats by what they hold. Exact when nobody is at work.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) ready: u64,
    pub(crate) in_flight: u64,
    /// Kept by a handle that lost its lease, or by a message that was read there when its handle went.
    pub(crate) pinned: u64,
}

impl<P, B> Ring<P, B> {
    /// Looks at every seat.
    pub(crate) fn census(&self) -> Census {
        let head = self.head();
        let mut census = Census::default();
        for (index, seat) in self.seats.iter().enumerate() {
            let stamp = seat.stamp.load(Acquire);
            match state(stamp) {
                // Its receiver has claimed it and not yet said so in the stamp.
                READY if (lap(stamp) << self.shift | index as u64) < head => census.in_flight += 1,
                READY => census.ready += 1,
                FLIGHT | MEMBER | BUSY | SETTLING => census.in_flight += 1,
                LOST | LATE | STAY => census.pinned += 1,
                _ => {}
            }
        }
        census
    }

    /// Is every message that was ever put in settled, or in the cold side's care? Each call goes on where the one before
    /// it stopped (`floor`), so it must only be asked once the ring is closed and nothing is ready.
    pub(crate) fn is_settled(&self, floor: &mut usize) -> bool {
        let unsettled = |seat: &Seat<P, B>| matches!(state(seat.stamp.load(SeqCst)), READY..=BUSY | SETTLING);
        while let Some(seat) = self.seats.get(*floor) {
            if unsettled(seat) {
                return false;
            }
            *floor += 1;
        }
        true
    }

    /// The last door is closed: nobody sends, takes or sweeps any more. Drops what was never taken, and marks what is held.
    /// Returns how many tenants will still have to say that they are gone.
    pub(super) fn evict(&self) -> usize {
        self.seats.iter().map(|seat| self.evict_seat(seat)).sum()
    }

    fn evict_seat(&self, seat: &Seat<P, B>) -> usize {
        let mut stamp = seat.stamp.load(Acquire);
        loop {
            let to = match state(stamp) {
                READY if planted!("the-end-forgets-a-message") => return 0,
                READY => with_state(stamp, LEAVING),
                FLIGHT | LOST | LATE if planted!("the-end-marks-no-orphan") => stamp,
                FLIGHT | LOST | LATE => stamp | ORPHAN,
                // A tenant between its CAS and its last store, or a sweeper marking a run: a few instructions.
                LEAVING | MEMBER | BUSY => {
                    yield_now();
                    stamp = seat.stamp.load(Acquire);
                    continue;
                }
                // Free, or in the care of somebody who holds a reference of his own.
                _ => return 0,
            };
            match seat.stamp.compare_exchange(stamp, to, SeqCst, Acquire) {
                Err(now) => stamp = now,
                Ok(_) if state(to) != LEAVING => return 1,
                Ok(_) => {
                    let load = seat.take(stamp);
                    seat.stamp.store(freed(stamp), Release);
                    drop_contained(load);
                    return 0;
                }
            }
        }
    }
}
