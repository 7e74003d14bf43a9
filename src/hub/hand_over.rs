//! Handing a message over: from its seat, or from the lane of redeliveries, which takes turns with the ring.

use super::*;
use crate::batch::Batch;
use crate::delivery::Delivery;
use crate::history::Attempt;
use crate::lifecycle::Trigger;
use crate::ring::Run;
use crate::sync::{IS_MODEL, current, park, park_timeout, pauses, retry, yield_now};
use crate::wait::Sleeper;

/// A delivery from the cold side: everything it needs is its own.
pub(crate) struct ColdDelivery<T: Send + Sync + 'static> {
    pub(crate) core: Arc<Core<T>>,
    pub(crate) key: u32,
    pub(crate) lease_no: u64,
    pub(crate) envelope: Arc<Envelope<T>>,
    pub(crate) attempt: u32,
    pub(crate) history: Arc<Vec<Attempt>>,
    /// It came back in a `SettleError`: dropping it settles nothing.
    pub(crate) returned: bool,
}

/// Why a wait for a message ended without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMail {
    Closed,
    Timeout,
}

impl<T: Send + Sync + 'static> Core<T> {
    /// Hands over the message at the ring's head, if nothing stands in the way; does `otherwise` if something does. Every
    /// slow branch is a call in tail position, as in `accept_fast`.
    #[inline(always)]
    pub(crate) fn hand_over_fast<E>(
        &self,
        otherwise: impl FnOnce() -> Result<Delivery<T>, E>,
    ) -> Result<Delivery<T>, E> {
        if self.side.attention.load(Relaxed) & (LANE | PAUSED | GUARDED | SHORT) != 0 {
            return otherwise();
        }
        let Some(tenancy) = self.take_fast(|pos| !is_sampled(pos)) else { return otherwise() };
        if self.attention() & QUIET != 0 {
            return Ok(self.stir_and(tenancy)); // the head's RMW came before this look
        }
        Ok(Delivery::hot(tenancy))
    }

    #[cold]
    #[inline(never)]
    fn stir_and(&self, tenancy: crate::ring::Tenancy<Hub<T>>) -> Delivery<T> {
        self.stir();
        Delivery::hot(tenancy)
    }

    /// Hands over what is ready now: ring and lane take turns, and where the one has nothing the other may go on.
    pub(crate) fn try_hand_over(&self) -> Option<Delivery<T>> {
        let attention = self.attention();
        if attention & PAUSED != 0 && !(planted!("a-pause-lets-redeliveries-pass") && self.ring.is_drained()) {
            return None;
        }
        if let Some(cold) = self.hand_over_cold(true) {
            return Some(Delivery::cold(cold));
        }
        if attention & GUARDED != 0 {
            return self.hand_over_guarded().or_else(|| self.hand_over_cold(false)).map(Delivery::cold);
        }
        if let Some(tenancy) = self.take().or_else(|| self.take_refilled()) {
            self.after_take(tenancy.pos());
            if attention & SHORT != 0 {
                self.ask_guard(); // this one may have brought a balance
            }
            return Some(Delivery::hot(tenancy));
        }
        self.hand_over_cold(false).map(Delivery::cold)
    }

    pub(super) fn hand_over_cold(&self, in_turn: bool) -> Option<ColdDelivery<T>> {
        if self.attention() & (LANE | SHORT) == 0 {
            return None;
        }
        let mut ledger = self.side.ledger.lock();
        if in_turn {
            ledger.lanes_turn = !ledger.lanes_turn || planted!("the-ring-has-no-turn");
            if !ledger.lanes_turn || planted!("the-lane-has-no-turn") {
                return None;
            }
        }
        let cold = self.next_from_lane(&mut ledger);
        self.unlock(ledger);
        cold
    }

    pub(super) fn after_take(&self, pos: u64) {
        if is_sampled(pos) {
            self.sample_latency(pos);
        }
        if self.attention() & QUIET != 0 {
            self.stir(); // the head's RMW came before this look
        }
    }

    fn next_from_lane(&self, ledger: &mut Ledger<T>) -> Option<ColdDelivery<T>> {
        if ledger.guard.is_some() {
            return self.next_past_guard(ledger);
        }
        let key = ledger.next_in_lane()?;
        if ledger.lane_is_empty() {
            self.set_attention(LANE, false);
        }
        Some(self.hand_out(ledger, key))
    }

    /// Hands out an entry that is ready.
    pub(super) fn hand_out(&self, ledger: &mut Ledger<T>, key: u32) -> ColdDelivery<T> {
        ledger.go(key, Trigger::HandOver);
        let due = self.side.due_ms(self.side.settings.lease);
        ledger.set_timer(key, due - u64::from(planted!("a-redeliverys-lease-ends-early")));
        ledger.counts.handed_over += 1;
        let now_ms = self.side.now_ms();
        ledger.unseat(key);
        ledger.new_lease(key);
        let entry = ledger.entry(key);
        entry.attempt = entry.attempt.saturating_add(u32::from(!planted!("an-attempt-is-not-counted")));
        if entry.attempt == 1 && entry.history.is_empty() {
            entry.first_ms = now_ms;
        }
        ColdDelivery {
            core: self.me(),
            key,
            lease_no: entry.lease_no,
            envelope: entry.envelope.clone(),
            attempt: entry.attempt,
            history: entry.history.clone(),
            returned: false,
        }
    }

    #[cold]
    pub(super) fn take_refilled(&self) -> Option<crate::ring::Tenancy<Hub<T>>> {
        (self.ring.has_detour() && self.refill()).then(|| self.take()).flatten()
    }

    // ---- waiting ----

    /// Hands over the next message, waits for one, or says why there will be none. `pace` adapts the polling to how fast
    /// messages come, and is kept with the consumer.
    #[cold]
    #[inline(never)]
    pub(crate) fn hand_over(&self, deadline: Option<Instant>, pace: &AtomicU32) -> Result<Delivery<T>, NoMail> {
        match self.try_hand_over() {
            Some(delivery) => Ok(delivery),
            None => self.wait_for(deadline, pace, Self::try_hand_over),
        }
    }

    pub(crate) fn wait_for<D>(
        &self,
        deadline: Option<Instant>,
        pace: &AtomicU32,
        take: impl Fn(&Self) -> Option<D>,
    ) -> Result<D, NoMail> {
        if self.header().room.is_due() {
            self.header().room.wake_one(); // the ring is empty, and a sender still waits for a quarter of it
        }
        let mut poll = Poll::new(pace);
        loop {
            if self.is_over() {
                return Err(NoMail::Closed);
            }
            if deadline.is_some_and(|deadline| self.side.clock.now() >= deadline) {
                return Err(NoMail::Timeout);
            }
            let slept = !poll.look_again() && self.sleep_for_mail(deadline);
            if let Some(delivery) = take(self) {
                if slept && self.has_mail() && !planted!("the-woken-one-wakes-nobody") {
                    self.header().mail.notify(); // one woken at a time: the woken one wakes the next
                }
                poll.found(self.ring.len(), self.ring.seats_len() as u64);
                return Ok(delivery);
            }
            if slept {
                poll.restart();
            }
        }
    }

    /// Is there something to take? The last look before sleeping, and the look after the next sleeper.
    pub(super) fn has_mail(&self) -> bool {
        let attention = self.attention();
        attention & PAUSED == 0
            && (attention & LANE != 0
                || attention & SHUT == 0 && (!self.ring.is_drained() || (self.ring.has_detour() && self.refill())))
    }

    /// Sleeps until there may be something. True: it was on the list, so it must look after the next sleeper.
    fn sleep_for_mail(&self, deadline: Option<Instant>) -> bool {
        let mail = &self.header().mail;
        let ticket = mail.join(Sleeper::Thread(current()), 0);
        // Once closed, a settle may end the queue, so the end is waited for as well.
        let end = self.ring.is_closed().then(|| self.header().end.join(Sleeper::Thread(current()), 0));
        let end_is_waiting = |end: Option<u64>| end.is_none_or(|end| self.header().end.is_waiting(end));
        if (self.has_mail() && !planted!("no-look-before-sleep"))
            || self.ring.is_closed() != end.is_some()
            || self.is_over()
        {
            retry();
        } else {
            while mail.is_waiting(ticket) && end_is_waiting(end) {
                match self.time_left(deadline) {
                    None => park(),
                    Some(left) => park_timeout(left),
                }
                if deadline.is_some_and(|deadline| self.side.clock.now() >= deadline) {
                    break;
                }
            }
        }
        let called = mail.leave(ticket);
        if let Some(end) = end {
            self.header().end.leave(end); // called or not: whether the queue is over is asked again, and if so all are called
        }
        if called && self.has_mail() && !planted!("the-woken-one-wakes-nobody") {
            mail.notify(); // whether we take something or not, the call is not lost
        }
        true
    }

    // ---- batches ----

    /// Takes up to `max` messages that are ready: from the lane first, but no more than half while the ring has some too;
    /// then a run of the ring; then what lies behind gaps of the ring, or is left in the lane.
    pub(crate) fn try_hand_over_batch(door: &Door<Hub<T>>, max: usize) -> Option<Batch<T>> {
        let core: &Core<T> = door;
        let attention = core.attention();
        if attention & PAUSED != 0 {
            return None;
        }
        if attention & GUARDED != 0 {
            let singles: Vec<_> = std::iter::from_fn(|| core.try_hand_over()).take(max).collect();
            return (!singles.is_empty()).then(|| Batch::new(None, singles));
        }
        let mut singles = Vec::new();
        core.take_from_lane(&mut singles, if core.ring.is_drained() { max } else { max / 2 });
        let mut run = None;
        if singles.len() < max {
            run = Run::take(door, max - singles.len());
            if run.is_none() && core.ring.has_detour() && core.refill() {
                run = Run::take(door, max - singles.len());
            }
        }
        if let Some(run) = &run {
            core.after_run(run);
        }
        let room = max - run.as_ref().map_or(0, Run::len);
        while singles.len() < room && !core.ring.is_drained() {
            let Some(tenancy) = core.take() else { break };
            core.after_take(tenancy.pos());
            singles.push(Delivery::hot(tenancy));
        }
        if attention & SHORT != 0 {
            core.ask_guard();
        }
        core.take_from_lane(&mut singles, room);
        (run.is_some() || !singles.is_empty()).then(|| Batch::new(run, singles))
    }

    /// Takes redeliveries until there are `max` of them.
    fn take_from_lane(&self, singles: &mut Vec<Delivery<T>>, max: usize) {
        if singles.len() >= max || self.attention() & (LANE | SHORT) == 0 {
            return;
        }
        let mut ledger = self.side.ledger.lock();
        while singles.len() < max
            && let Some(cold) = self.next_from_lane(&mut ledger)
        {
            singles.push(Delivery::cold(cold));
        }
        self.unlock(ledger);
    }

    fn after_run(&self, run: &Run<Hub<T>>) {
        // Of a run one sample is taken: its messages were handed over together.
        if let Some(pos) = run.ranges().flat_map(sampled).next() {
            self.sample_latency(pos);
        }
        if self.attention() & QUIET != 0 {
            self.stir();
        }
    }
}

/// How a receiver polls an empty ring before it sleeps.
///
/// Looking seldom lets the sender get a run of seats ahead, so that the two do not fight for one line; looking too seldom
/// costs latency. So the first pause adapts: shorter when messages come one by one, longer while the ring then holds few.
struct Poll<'a> {
    pace: &'a AtomicU32,
    first: u32,
    round: u32,
}

const PACE_MIN: u32 = 8;
const PACE_MAX: u32 = 1024;
/// Looks until a receiver goes to sleep; the last ones give the processor away in between.
const LOOKS: u32 = if IS_MODEL { 0 } else { 40 };
const LOOKS_BUSY: u32 = 32;

impl<'a> Poll<'a> {
    fn new(pace: &'a AtomicU32) -> Self {
        Poll { pace, first: pace.load(Relaxed).clamp(PACE_MIN, PACE_MAX), round: 0 }
    }

    /// Waits a moment. False: it is time to sleep.
    fn look_again(&mut self) -> bool {
        self.round += 1;
        if self.round > LOOKS {
            return false;
        }
        match self.round {
            1 => pauses(self.first),
            round if round < LOOKS_BUSY => pauses(8 << (round / 8)),
            _ => yield_now(),
        }
        true
    }

    fn restart(&mut self) {
        self.round = 0;
    }

    /// Found something; `left` more messages wait.
    fn found(&self, left: u64, seats: u64) {
        let quarter = seats / 4;
        let next = if self.round != 1 || left * 4 < u64::from(self.first) {
            PACE_MIN
        } else if left < quarter {
            (2 * self.first).min(PACE_MAX)
        } else if left >= 2 * quarter {
            (self.first / 2).max(PACE_MIN)
        } else {
            self.first
        };
        self.pace.store(next, Relaxed);
    }
}
