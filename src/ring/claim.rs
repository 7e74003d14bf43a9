//! The senders' side: claim a position at the tail, put the payload, publish.
//!
//! When the seat at the tail is still occupied by an older message, the claim looks ahead: if a free seat follows within
//! this lap, it takes the whole stretch with one CAS, marks what it passed over, and uses the free seat. If a message that
//! was never taken comes first, the ring is full and nothing is skipped.

use super::*;
use std::ops::Range;

/// Why no position could be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No seat is free as far as the tail can reach.
    Full,
    Closed,
    /// The cold side has asked to be consulted first.
    Detour,
}

/// A position that was claimed and is to be filled at once.
pub(crate) struct Claim<'a, P, B> {
    seat: &'a Seat<P, B>,
    at: u64,
    pos: u64,
}

impl<P, B> Claim<'_, P, B> {
    /// Fills the seat: its position.
    #[inline(always)]
    pub(crate) fn put(self, load: P) -> u64 {
        self.seat.put_plain(load);
        let order = if planted!("ready-is-published-relaxed") { Relaxed } else { Release };
        self.seat.stamp.store(self.at | READY, order); // pairs with the Acquire in `take_fast`
        self.pos
    }
}

/// What the tail finds at a position.
enum Found {
    Free,
    /// Freed by its old occupant after a lap was skipped: has to be raised to this lap before it can be claimed.
    Stale(u64),
    /// Held by an older message: can be skipped.
    Held(u64),
    /// A message that was not taken yet, or one about to be published: the tail may go no further.
    Barrier,
    /// A settle is moving the payload out: look again at once.
    Leaving,
    /// Claimed since the tail was read.
    Taken,
}

/// How often a claim looks again at a seat in flight before it skips it: most are settled at once, and a skip costs the
/// seat for a whole lap. It looks seldom, since each look takes the line from the consumer that is at work on it.
const GRACE_LOOKS: u32 = if IS_MODEL { 0 } else { 8 };

#[cold]
#[inline(never)]
pub(super) fn lost_race(losses: &mut u32) {
    pauses(32 << (*losses).min(3)); // so that the winner gets a run of seats, and not every one is fought for
    *losses += 1;
}

impl<S: Side> Shared<S> {
    /// Claims the next position, or says why there is none. What is claimed must be published.
    pub(crate) fn claim(&self) -> Result<u64, Refused> {
        let (pos, has_skipped) = self.ring.claim_slow(false)?;
        if has_skipped && !planted!("a-skip-wakes-nobody") {
            // A seat that was freed before it was marked has looked full to another sender, who may sleep by now.
            self.header.room.notify();
        }
        Ok(pos)
    }
}

impl<P, B> Ring<P, B> {
    /// Claims the next position if nothing stands in the way, and `may` does not object to it.
    #[inline(always)]
    pub(crate) fn claim_fast(&self, may: impl Fn(u64) -> bool) -> Option<Claim<'_, P, B>> {
        let tail = self.tail.load(Relaxed);
        let (seat, at) = (self.seat(tail), self.at_bare(tail & !FLAGS));
        // The Acquire pairs with the store or CAS that freed the seat: the old payload is out before the new one goes in.
        // SeqCst on the tail: see `Ring::is_drained` and the waiting room.
        let claimed = tail & FLAGS == 0
            && may(tail)
            && seat.stamp.load(Acquire) == at | FREE
            && self.tail.compare_exchange(tail, self.next(tail), SeqCst, Relaxed).is_ok();
        claimed.then_some(Claim { seat, at, pos: tail })
    }

    /// As [`Shared::claim`], for the cold side: it asked for the detour itself, and what it seats was accepted before
    /// the ring was closed.
    pub(crate) fn claim_detoured(&self) -> Result<u64, Refused> {
        self.claim_slow(true).map(|(pos, _)| pos)
    }

    /// The position, and whether others were passed over on the way to it.
    #[cold]
    #[inline(never)]
    fn claim_slow(&self, detoured: bool) -> Result<(u64, bool), Refused> {
        let mut losses = 0;
        loop {
            let tail = self.tail.load(SeqCst);
            if !detoured && tail & CLOSED != 0 {
                return Err(Refused::Closed);
            }
            if !detoured && tail & DETOUR != 0 {
                return Err(Refused::Detour);
            }
            let to = match self.look(tail) {
                Found::Free => tail,
                Found::Stale(stamp) => {
                    self.raise(tail, stamp);
                    continue;
                }
                Found::Leaving => {
                    pauses(4);
                    continue;
                }
                Found::Taken => {
                    retry();
                    continue;
                }
                Found::Barrier if self.tail.load(SeqCst) != tail => {
                    retry();
                    continue;
                }
                Found::Barrier => return Err(Refused::Full),
                Found::Held(stamp) => {
                    if self.settles_soon(tail, stamp) {
                        continue;
                    }
                    match self.free_ahead(tail) {
                        Some(to) => to,
                        None if self.tail.load(SeqCst) != tail => {
                            retry();
                            continue;
                        }
                        None => return Err(Refused::Full),
                    }
                }
            };
            if self.tail.compare_exchange(tail, self.next(to), SeqCst, Relaxed).is_ok() {
                self.mark_skipped(tail, to);
                return Ok((to & !FLAGS, to != tail));
            }
            lost_race(&mut losses);
        }
    }

    fn look(&self, pos: u64) -> Found {
        // SeqCst: this is also a sender's last look before it sleeps; the settle's CAS is SeqCst too.
        let stamp = self.seat(pos).stamp.load(SeqCst);
        match (state(stamp), lap(stamp).cmp(&self.lap(pos))) {
            (FREE, std::cmp::Ordering::Equal) => Found::Free,
            // Every lap from its own to this one must have been skipped, or somebody has claimed it and not published yet.
            (FREE, std::cmp::Ordering::Less)
                if self.mark(pos).load(Acquire) == self.lap(pos) && !planted!("a-skipped-seat-is-lost") =>
            {
                Found::Stale(stamp)
            }
            (FREE | READY, std::cmp::Ordering::Less) => Found::Barrier,
            (LEAVING, _) => Found::Leaving,
            (_, std::cmp::Ordering::Less) => Found::Held(stamp),
            _ => Found::Taken,
        }
    }

    fn raise(&self, pos: u64, stamp: u64) {
        let _ = self.seat(pos).stamp.compare_exchange(stamp, self.at(pos) | FREE, SeqCst, Relaxed);
    }

    /// The next claimable position behind one that is held, if no message waits in between.
    fn free_ahead(&self, tail: u64) -> Option<u64> {
        let mut pos = tail;
        for _ in 1..self.seats_len {
            pos = self.next(pos);
            match self.look(pos) {
                Found::Free => return Some(pos),
                Found::Stale(stamp) => {
                    self.raise(pos, stamp);
                    return matches!(self.look(pos), Found::Free).then_some(pos);
                }
                Found::Held(_) => {}
                Found::Leaving => {}
                Found::Barrier | Found::Taken => return None,
            }
        }
        None
    }

    /// A seat in flight is usually settled within a microsecond.
    fn settles_soon(&self, pos: u64, stamp: u64) -> bool {
        if !matches!(state(stamp), FLIGHT | MEMBER) || self.mark(pos).load(Relaxed) == self.lap(pos) {
            return false; // not held by a running consumer, or known to be slow
        }
        (0..GRACE_LOOKS).any(|_| {
            pauses(32);
            self.seat(pos).stamp.load(Relaxed) != stamp
        })
    }

    /// The positions from `from` up to `to` are ours and stay unused.
    fn mark_skipped(&self, from: u64, to: u64) {
        if from & !FLAGS == to & !FLAGS || planted!("a-skip-leaves-no-mark") {
            return;
        }
        let (mut pos, mut n) = (from, 0);
        while pos != to {
            // A mark never goes back: who skipped this seat a lap earlier may be late. Pairs with `is_skipped`.
            self.mark(pos).fetch_max(self.lap(pos) + 1, AcqRel);
            pos = self.next(pos);
            n += 1;
        }
        self.skipped.fetch_add(n, SeqCst);
    }

    /// Claims a position that carries no payload: a seat held on behalf of the cold side. Freed by [`vacate`](Self::vacate).
    pub(crate) fn claim_phantom(&self) -> Result<u64, Refused> {
        let pos = self.claim_detoured()?;
        self.seat(pos).stamp.store(self.at(pos) | PHANTOM, SeqCst);
        self.mark(pos).fetch_max(self.lap(pos) + 1, AcqRel); // pairs with `is_skipped`: the head passes it by
        self.skipped.fetch_add(1, SeqCst);
        Ok(pos)
    }

    /// Frees the seat of a phantom.
    pub(crate) fn vacate(&self, pos: u64) {
        debug_assert_eq!(self.seat(pos).stamp.load(Relaxed), self.at(pos) | PHANTOM);
        self.seat(pos).stamp.store(freed(self.at(pos)), SeqCst);
    }

    #[inline(always)]
    pub(crate) fn put(&self, pos: u64, load: P) {
        self.seat(pos).put_plain(load);
        self.seat(pos).stamp.store(self.at_bare(pos) | READY, Release); // pairs with the Acquire in `take`
    }

    pub(crate) fn put_boxed(&self, pos: u64, load: B) {
        self.seat(pos).put_boxed(load);
        self.seat(pos).stamp.store(self.at(pos) | BOXED | READY, Release); // pairs with the Acquire in `take`
    }

    /// Claims up to `max` free positions in a row with one CAS: the first and how many. None: take the slow path.
    pub(crate) fn claim_many(&self, max: u64) -> Option<(u64, u64)> {
        let mut losses = 0;
        loop {
            let tail = self.tail.load(Relaxed);
            if tail & FLAGS != 0 {
                return None;
            }
            let n = self.count_in_state(tail, max, FREE, 0);
            if n == 0 {
                return None;
            }
            if self.tail.compare_exchange(tail, self.advance(tail, n), SeqCst, Relaxed).is_ok() {
                return Some((tail, n));
            }
            lost_race(&mut losses);
        }
    }

    /// Fills `n` claimed positions in a row.
    #[inline]
    pub(crate) fn put_many(&self, first: u64, n: u64, loads: &mut std::vec::IntoIter<P>) {
        for (_, at, seats) in self.stretches(first, n) {
            for (seat, load) in seats.iter().zip(loads.by_ref()) {
                seat.put_plain(load);
                seat.stamp.store(at | READY, Release); // pairs with the Acquire in `take_fast`
            }
        }
    }

    /// `n` positions in a row, as ranges.
    #[inline]
    pub(crate) fn ranges(&self, first: u64, n: u64) -> impl Iterator<Item = Range<u64>> + '_ {
        self.stretches(first, n).map(|(pos, _, seats)| pos..pos + seats.len() as u64)
    }

    /// Looks, for a bounded time, at the seat a quarter of the ring ahead: a sender that waits for one seat only walks on
    /// the consumers' heels, and every message then moves a line back and forth.
    pub(crate) fn wait_for_a_quarter(&self) {
        let tail = self.tail.load(Relaxed);
        let ahead = self.advance(tail & !FLAGS, self.seats_len / 4);
        for _ in 0..if IS_MODEL { 0 } else { 8 } {
            if self.seat(ahead).stamp.load(Relaxed) == self.at(ahead) | FREE {
                return;
            }
            pauses(64);
        }
    }

    /// From now on no position can be claimed. True for the first call.
    pub(crate) fn close(&self) -> bool {
        self.tail.fetch_or(CLOSED, SeqCst) & CLOSED == 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.tail.load(SeqCst) & CLOSED != 0
    }

    /// Sends every sender through the slow path, or no more.
    pub(crate) fn set_detour(&self, on: bool) {
        if on {
            self.tail.fetch_or(DETOUR, SeqCst);
        } else {
            self.tail.fetch_and(!DETOUR, SeqCst);
        }
    }

    pub(crate) fn has_detour(&self) -> bool {
        self.tail.load(SeqCst) & DETOUR != 0
    }

    /// May a seat be free though the tail cannot reach it? Only if it was passed over since the head was there.
    pub(crate) fn may_hide_seats(&self) -> bool {
        self.skipped.load(SeqCst) != self.passed.load(SeqCst)
    }

    /// Seats that are free and will not be filled by a sender already at work. Exact while a detour keeps senders out.
    pub(crate) fn vacant(&self) -> u64 {
        let free = self.seats.iter().filter(|seat| state(seat.stamp.load(SeqCst)) == FREE).count() as u64;
        let (tail, mut pos) = (self.tail(), self.head());
        let mut unpublished = 0;
        while pos != tail {
            let stamp = self.seat(pos).stamp.load(SeqCst);
            if stamp == self.at(pos) | FREE && !self.is_skipped(pos) {
                unpublished += 1;
            }
            pos = self.next(pos);
        }
        free.saturating_sub(unpublished)
    }
}
