//! The receivers' side: take the message at the head.

use super::claim::lost_race;
use super::*;

/// What the head finds behind the ready messages.
enum Ahead {
    /// Passed over by the tail: this many positions can be passed.
    Skipped(u64),
    Empty,
    /// Claimed and about to be published.
    Soon,
    Moved,
}

/// For a seat that is the caller's alone so far.
#[inline(always)]
fn restamp<P, B>(seat: &Seat<P, B>, to: u64) {
    let stamp = seat.stamp.load(Relaxed);
    seat.stamp.store(with_state(stamp, to), Release); // pairs with the sweeper's Acquire
}

impl<P, B> Ring<P, B> {
    /// Takes the next message, if it sits plainly at the head and `may` does not object to its position, which is returned.
    /// Its seat is FLIGHT from now on.
    #[inline(always)]
    pub(super) fn take_fast(&self, may: impl Fn(u64) -> bool) -> Option<u64> {
        let head = self.head.load(Relaxed);
        let (seat, at) = (self.seat(head), self.at_bare(head));
        // The Acquire pairs with `put`.
        if !may(head)
            || seat.stamp.load(Acquire) != at | READY
            || self.head.compare_exchange(head, self.next(head), SeqCst, Relaxed).is_err()
        {
            return None;
        }
        seat.stamp.store(at | FLIGHT, Release); // ours alone so far; pairs with the sweeper's Acquire
        Some(head)
    }

    /// Takes up to `max` ready messages in a row with one CAS: the first position and how many.
    #[cold]
    #[inline(never)]
    pub(super) fn take_run(&self, max: u64) -> Option<(u64, u64)> {
        let mut losses = 0;
        loop {
            let head = self.head.load(SeqCst);
            let n = self.count_in_state(head, max, READY, BOXED);
            if n > 0 {
                if self.head.compare_exchange(head, self.advance(head, n), SeqCst, Relaxed).is_ok() {
                    self.hand_out(head, n);
                    return Some((head, n));
                }
                lost_race(&mut losses);
                continue;
            }
            match self.look_ahead(head) {
                Ahead::Moved => retry(),
                Ahead::Empty => return None,
                Ahead::Skipped(n) => {
                    self.pass(head, n);
                    retry();
                }
                Ahead::Soon if IS_MODEL && max == 1 => return None, // two spinners starve a third thread in loom
                Ahead::Soon => {
                    pauses(16); // gives its sender the line, and the core if it lost it
                    losses += 1;
                    if losses > 8 {
                        yield_now();
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn is_ready(&self, pos: u64) -> bool {
        // Pairs with `put`.
        self.seat(pos).stamp.load(Acquire) & !BOXED == self.at(pos) | READY
    }

    fn pass(&self, head: u64, n: u64) {
        if self.head.compare_exchange(head, self.advance(head, n), SeqCst, Relaxed).is_ok() {
            self.passed.fetch_add(n, SeqCst);
        }
    }

    /// Takes the head past what the tail has skipped, and takes nothing.
    pub(crate) fn pass_gaps(&self) {
        let head = self.head.load(SeqCst);
        if let Ahead::Skipped(n) = self.look_ahead(head) {
            self.pass(head, n);
        }
    }

    /// The run is ours: members first, the head of the run last, so that who sees it in flight sees its members.
    fn hand_out(&self, first: u64, n: u64) {
        if n > 1 {
            for (_, _, seats) in self.stretches(self.next(first), n - 1) {
                seats.iter().for_each(|seat| restamp(seat, MEMBER));
            }
        }
        restamp(self.seat(first), FLIGHT);
    }

    fn look_ahead(&self, head: u64) -> Ahead {
        // The tail first, then the stamps: who claims a position for use has seen its seat free, so an older occupant tells
        // that the tail has skipped it, without a look at the mark's line. The mark is needed once the seat was freed since.
        let tail = self.tail();
        let (mut pos, mut n) = (head, 0);
        while pos != tail && self.was_passed_over(pos) {
            pos = self.next(pos);
            n += 1;
        }
        if self.head.load(SeqCst) != head {
            return Ahead::Moved;
        }
        match n {
            0 if tail == head => Ahead::Empty,
            0 if self.is_ready(head) => Ahead::Moved,
            0 => Ahead::Soon,
            n => Ahead::Skipped(n),
        }
    }

    fn was_passed_over(&self, pos: u64) -> bool {
        let stamp = self.seat(pos).stamp.load(Acquire);
        let occupied = state(stamp) >= FLIGHT && lap(stamp) < self.lap(pos);
        occupied || self.is_skipped(pos)
    }
}
