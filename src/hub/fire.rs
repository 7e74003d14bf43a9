//! What falls due: delays, leases, resends. Driven by the background thread, or by a clock that is moved by hand.

use super::*;
use crate::driver::Timed;
use crate::events::Event;
use crate::ledger::Due;
use crate::lifecycle::{State, Trigger};
use crate::protect::Turn;
use crate::ring::Expired;
use crate::sync::MutexGuard;

/// How often the ring is sampled while it moves.
const TICK_MS: u64 = 10;
/// A lease is watched this finely: it ends at most so much of it too late.
const LEASE_PARTS: u64 = 64;

impl<T: Send + Sync + 'static> Core<T> {
    fn lease_ms(&self) -> u64 {
        let lease = self.side.settings.lease;
        u64::try_from(lease.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(u64::from(!lease.subsec_nanos().is_multiple_of(1_000_000)))
    }

    fn spacing_ms(&self) -> u64 {
        (self.lease_ms() / LEASE_PARTS).max(1)
    }

    fn tick_ms(&self) -> u64 {
        self.spacing_ms().min(TICK_MS)
    }

    /// The ring moved and nobody samples it: this move is sampled by the mover, and the driver goes on from here.
    #[cold]
    #[inline(never)]
    pub(super) fn stir(&self) {
        let now_ms = self.side.now_ms();
        let mut ledger = self.side.ledger.lock();
        if self.attention() & QUIET == 0 {
            return; // another mover was first
        }
        self.set_attention(QUIET, false);
        self.sample(&mut ledger, true);
        ledger.arm(now_ms.saturating_add(self.tick_ms()));
        self.enlist(&mut ledger);
        self.unlock(ledger);
    }

    /// Tells the driver of this queue, once.
    pub(super) fn enlist(&self, ledger: &mut Ledger<T>) {
        if !std::mem::replace(&mut ledger.enlisted, true) && self.side.clock.by_hand().is_none() {
            ledger.aftermath.enlist = true;
        }
    }

    /// Notes where head and tail stand. Leases are sampled more coarsely, unless this is the last look for a while.
    fn sample(&self, ledger: &mut Ledger<T>, in_full: bool) {
        // Rounded up, so that a lease which began within this millisecond does not end a part of it early.
        let now_ms = if planted!("a-lease-ends-early") { self.side.now_ms() } else { self.side.due_ms(Duration::ZERO) };
        ledger.sent.sample(now_ms, self.ring.tail());
        let rested = ledger.handed_out.last_ms().is_none_or(|last| now_ms - last.min(now_ms) >= self.spacing_ms());
        if in_full || rested {
            let head = self.ring.head();
            ledger.leases.sample(now_ms, head);
            ledger.handed_out.sample(now_ms, head);
        }
        self.note_firsts(ledger, now_ms);
    }

    /// Has the ring moved since the last sample?
    pub(super) fn has_moved(&self, ledger: &Ledger<T>) -> bool {
        self.ring.tail() > ledger.sent.last_position() || self.ring.head() > ledger.handed_out.last_position()
    }

    /// Samples, and decides whether to go on doing so: returns when the ring must be looked at next.
    fn watch(&self, ledger: &mut Ledger<T>, now_ms: u64) -> Option<u64> {
        if self.has_moved(ledger) {
            self.sample(ledger, false);
            return Some(now_ms.saturating_add(self.tick_ms()));
        }
        if self.attention() & QUIET != 0 {
            return None;
        }
        // The flag first, then the look: a mover does the opposite, so one of the two sees the other.
        self.set_attention(QUIET, true);
        loom_fence();
        if !self.has_moved(ledger) || planted!("quiet-without-a-last-look") {
            return None;
        }
        self.set_attention(QUIET, false);
        Some(now_ms.saturating_add(self.tick_ms()))
    }

    /// When the oldest lease that the sweeper watches ends.
    fn lease_due(&self, ledger: &Ledger<T>) -> Option<u64> {
        if ledger.swept < ledger.due {
            return Some(0); // a receiver was between two stores
        }
        ledger.leases.first_ms()?.checked_add(self.lease_ms()) // beyond all time: never
    }

    /// Does one thing that is due. False: nothing is.
    fn fire_one(&self, now_ms: u64) -> bool {
        let mut ledger = self.side.ledger.lock();
        if ledger.ended {
            return false;
        }
        match ledger.pop_due(now_ms) {
            Due::Entry(key) => self.fire_entry(ledger, key),
            Due::Lease(pos) => {
                let mut lost = Vec::new();
                self.me().expire(pos, true, &mut lost);
                self.lose(ledger, lost);
            }
            Due::Guard => self.unlock(ledger), // which asks it
            Due::AskAgain => {}
            Due::Later => return false,
        }
        true
    }

    fn fire_entry(&self, mut ledger: MutexGuard<'_, Ledger<T>>, key: u32) {
        match ledger.entry(key).state() {
            State::Delayed => {
                if ledger.entry(key).pass.turn == Turn::Retry && ledger.guard.is_some() {
                    ledger.line_up_retry(key);
                } else {
                    ledger.go(key, Trigger::Due);
                }
                self.unlock(ledger);
            }
            State::InFlight => {
                ledger.go(key, Trigger::LeaseLost);
                self.count_lost_lease(&mut ledger, key);
                self.unlock(ledger);
                self.decide(key, Fault::LeaseExpired);
            }
            State::Unsent => self.resend(ledger, key),
            state => unreachable!("a message that is {state:?} has no timer"),
        }
    }

    fn count_lost_lease(&self, ledger: &mut Ledger<T>, key: u32) {
        ledger.counts.failed += 1;
        ledger.counts.leases_lost += 1;
        let entry = ledger.entry(key);
        let event = Event::LeaseLost { id: entry.envelope.id, attempt: entry.attempt };
        if planted!("a-lost-lease-is-told-twice") {
            ledger.aftermath.events.push(event.clone());
        }
        ledger.aftermath.events.push(event);
    }

    /// Takes away the leases of first deliveries that are older than a lease.
    fn sweep_leases(&self, now_ms: u64) -> bool {
        let mut ledger = self.side.ledger.lock();
        if ledger.ended {
            return false;
        }
        if let Some(due) = now_ms.checked_sub(self.lease_ms()).and_then(|until| ledger.leases.take_until(until)) {
            ledger.due = ledger.due.max(due);
        }
        if ledger.swept >= ledger.due {
            return false;
        }
        let (mut lost, mut kept) = (Vec::new(), Vec::new());
        let keep = |pos| self.kept_until(&ledger, pos, now_ms).inspect(|&until| kept.push((pos, until))).is_some();
        let swept = self.me().sweep(ledger.swept, ledger.due, keep, &mut lost);
        ledger.swept = swept;
        for (pos, until) in kept {
            ledger.extend(pos, Some(until));
        }
        let any = !lost.is_empty();
        self.lose(ledger, lost);
        any
    }

    fn lose(&self, mut ledger: MutexGuard<'_, Ledger<T>>, lost: Vec<Expired<Hub<T>>>) {
        let mut keys = Vec::with_capacity(lost.len());
        for expired in lost {
            let key = self.admit_lost(&mut ledger, expired);
            if planted!("a-lost-lease-is-no-attempt") {
                ledger.entry(key).attempt = 0;
            }
            ledger.go(key, Trigger::LeaseLost);
            self.count_lost_lease(&mut ledger, key);
            keys.push(key);
        }
        self.unlock(ledger);
        for key in keys {
            self.decide(key, Fault::LeaseExpired);
        }
    }

    fn fire_all(&self, now_ms: u64) {
        while self.sweep_leases(now_ms) {}
        while self.fire_one(now_ms) {}
    }

    fn instant_of(&self, ms: u64) -> Option<Instant> {
        self.side.born.checked_add(Duration::from_millis(ms))
    }

    // ---- after the lock ----

    /// Releases the lock and does what was put off until then: wakes, tells, and drops what is the user's.
    pub(super) fn unlock(&self, mut ledger: MutexGuard<'_, Ledger<T>>) {
        let is_let_through = ledger.guard.is_some() && self.heed_guard(&mut ledger);
        let freed = self.balance(&mut ledger) + ledger.aftermath.freed;
        let aftermath = std::mem::take(&mut ledger.aftermath);
        if aftermath.mail > 0 && ledger.guard.is_none() {
            self.set_attention(LANE, true);
        }
        if (self.attention() & LATE != 0) != ledger.has_late() {
            self.set_attention(LATE, ledger.has_late());
        }
        let may_be_over = ledger.population.unsettled() == 0;
        drop(ledger);
        for _ in 0..(aftermath.mail + u32::from(is_let_through)).min(2) {
            self.header().mail.notify(); // the woken one wakes the next
        }
        if freed > 0 || may_be_over {
            self.header().seat_freed(freed.max(1)); // calls also who waits for the end
        }
        if aftermath.enlist {
            if let Some(me) = self.side.me.get() {
                crate::driver::enlist(me.clone());
            }
        } else if aftermath.nudge && self.side.clock.by_hand().is_none() {
            crate::driver::nudge();
        }
        for event in aftermath.events {
            self.side.events.tell(event);
        }
        if !aftermath.told.is_empty() {
            self.tell_circuits(aftermath.told);
        }
        for (receipt, outcome) in aftermath.receipts {
            receipt.set(outcome);
        }
        for entry in aftermath.garbage {
            crate::panics::drop_contained(entry);
        }
    }
}

impl<T: Send + Sync + 'static> Timed for Core<T> {
    fn tick(&self) -> Option<Duration> {
        let now_ms = self.side.now_ms();
        self.fire_all(now_ms);
        let mut ledger = self.side.ledger.lock();
        if ledger.ended {
            return None;
        }
        let next =
            [self.watch(&mut ledger, now_ms), self.lease_due(&ledger), ledger.next_due()].into_iter().flatten().min();
        ledger.armed_ms = next.unwrap_or(u64::MAX);
        drop(ledger);
        let next = next?;
        let left = self.instant_of(next)?.saturating_duration_since(self.side.clock.now());
        Some(self.side.nap(left).max(Duration::from_micros(100)))
    }

    fn due(&self) -> Option<Instant> {
        let ledger = self.side.ledger.lock();
        let next = [self.lease_due(&ledger), ledger.earliest()].into_iter().flatten().min()?;
        self.instant_of(next)
    }

    fn fire_due(&self) {
        self.fire_all(self.side.now_ms());
    }

    fn before_advance(&self) {
        let mut ledger = self.side.ledger.lock();
        self.sample(&mut ledger, true);
        drop(ledger);
    }

    fn after_advance(&self) {
        self.header().call_all();
    }
}
