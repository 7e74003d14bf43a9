//! The guard's place in the hub: what a breaker or a retry budget lets through goes to a consumer, everything else waits.
//!
//! - A queue with a **budget** hands first deliveries out as ever. Its retries stand in the guard's line; where they lack a
//!   balance (SHORT), each first delivery asks the guard once more.
//! - A queue with a **breaker** (GUARDED) hands everything out of the ledger, so that it sees how each delivery ends. A message
//!   comes out of the ring only when it may go; one whose class is open is brought in all the same, for it must not block
//!   the classes behind it, and keeps its seat as a phantom: it is ready, and counts.

use super::*;
use crate::events::Event;
use crate::lifecycle::{State, Trigger};
use crate::panics::drop_contained;
use crate::protect::{BreakerState, CLASSLESS, Outcome, Pick, Told, Turn};
use crate::ring::{Tenancy, Won};
use crate::sync::MutexGuard;

/// A message that was taken out of the ring, its class, and the lock under which it will be judged.
type Candidate<'a, T> = (MutexGuard<'a, Ledger<T>>, Tenancy<Hub<T>>, String);

impl<T: Send + Sync + 'static> Core<T> {
    // ---- handing over ----

    /// Hands over the next message that the guard lets through from the lines.
    pub(super) fn next_past_guard(&self, ledger: &mut Ledger<T>) -> Option<ColdDelivery<T>> {
        let now_ms = self.side.now_ms();
        self.note_firsts(ledger, now_ms);
        let pick = ledger.guard.as_mut()?.pick(now_ms)?;
        Some(self.let_through(ledger, pick, now_ms))
    }

    fn let_through(&self, ledger: &mut Ledger<T>, pick: Pick, now_ms: u64) -> ColdDelivery<T> {
        let pass = &mut ledger.entry(pick.key).pass;
        pass.era = Some(pick.era);
        let turn = std::mem::replace(&mut pass.turn, Turn::Again);
        if (turn == Turn::First || planted!("a-snooze-pays-again"))
            && let Some(guard) = &mut ledger.guard
        {
            guard.deposit(now_ms);
        }
        self.hand_out(ledger, pick.key)
    }

    /// Hands over the message at the ring's head, or the first behind it whose class has room.
    pub(super) fn hand_over_guarded(&self) -> Option<ColdDelivery<T>> {
        loop {
            let (ledger, tenancy, class) = self.take_for_guard()?;
            let cold = match tenancy.win_slowly() {
                Ok(won) => self.bring_before_guard(ledger, won, &class),
                Err(lost) => {
                    drop(ledger); // its lease ended while its class was asked for
                    drop_contained(lost);
                    None
                }
            };
            if cold.is_some() {
                return cold;
            }
        }
    }

    /// Takes the next message out of the ring, and the lock with it. `None`: there is nothing, or it may not go.
    fn take_for_guard(&self) -> Option<Candidate<'_, T>> {
        let breaker = self.side.settings.breaker.as_ref()?;
        if breaker.has_classes() {
            // The class is the user's code, so the message is taken before it is known whether it may go.
            let tenancy = self.take().or_else(|| self.take_refilled())?;
            let class = match tenancy.peek() {
                Load::Plain(_) => breaker.class_of(None),
                Load::Boxed(envelope) => breaker.class_of(envelope.key.as_deref()),
            };
            return Some((self.side.ledger.lock(), tenancy, class));
        }
        if self.attention() & SHUT != 0 {
            return None;
        }
        let mut ledger = self.side.ledger.lock();
        let refilled = |ledger: &mut Ledger<T>| self.ring.has_detour() && self.refill_locked(ledger);
        let taken = match &ledger.guard {
            Some(guard) if guard.admits(CLASSLESS) => {
                self.take().or_else(|| refilled(&mut ledger).then(|| self.take()).flatten())
            }
            _ => None,
        };
        match taken {
            Some(tenancy) => Some((ledger, tenancy, String::new())),
            None => {
                self.unlock(ledger);
                None
            }
        }
    }

    /// The message moves in with the ledger and lines up in its class; whoever is the first there is handed out.
    fn bring_before_guard(
        &self,
        mut ledger: MutexGuard<'_, Ledger<T>>,
        won: Won<Hub<T>>,
        class: &str,
    ) -> Option<ColdDelivery<T>> {
        let (pos, now_ms) = (won.pos, self.side.now_ms());
        let load = won.take_and_stay();
        ledger.phantoms.push(pos);
        let envelope = self.envelop_load(&ledger, pos, load);
        ledger.counts.from_ring += 1;
        ledger.counts.brought_in += 1;
        let key = ledger.admit(envelope, State::Ready, 0, now_ms);
        let class = ledger.classify(key, class);
        ledger.entry(key).pass.turn = Turn::First;
        let guard = ledger.guard.as_mut()?;
        guard.line_up(class, key, Turn::First);
        let pick = guard.pick_of(class, now_ms);
        let cold = pick.map(|pick| self.let_through(&mut ledger, pick, now_ms));
        self.unlock(ledger);
        if cold.as_ref().is_some_and(|cold| cold.key == key) {
            self.after_take(pos);
        }
        cold
    }

    // ---- telling it ----

    /// First deliveries that went past the guard, for the budget.
    pub(super) fn note_firsts(&self, ledger: &mut Ledger<T>, now_ms: u64) {
        if self.side.settings.breaker.is_none()
            && let Some(guard) = &mut ledger.guard
        {
            guard.note_firsts(self.ring.taken(), now_ms);
        }
    }

    /// A delivery has ended. An outcome counts once, and only if the guard let the message through.
    pub(super) fn tell_guard(&self, ledger: &mut Ledger<T>, key: u32, outcome: Outcome) {
        let pass = &mut ledger.entry(key).pass;
        let (class, era) = (pass.class.unwrap_or(CLASSLESS), pass.era.take());
        if let (Some(era), Some(guard)) = (era, &mut ledger.guard) {
            // Rounded up, so that a pause which begins within this millisecond does not end a part of it early.
            guard.end(class, era, outcome, self.side.due_ms(Duration::ZERO));
        }
    }

    /// The class of a dead letter, which is the user's code to say.
    pub(super) fn class_of_letter(&self, id: MessageId) -> Option<String> {
        let breaker = self.side.settings.breaker.as_ref()?;
        let letter = self.side.ledger.lock().dead.get(id).cloned()?;
        let class = breaker.class_of(letter.envelope.key.as_deref());
        drop_contained(letter); // it may have been redriven by another meanwhile
        Some(class)
    }

    // ---- asking it ----

    /// A first delivery may have brought a balance.
    #[cold]
    pub(super) fn ask_guard(&self) {
        self.unlock(self.side.ledger.lock());
    }

    /// Does what the guard says now, still under the lock. True: somebody may be woken.
    pub(super) fn heed_guard(&self, ledger: &mut Ledger<T>) -> bool {
        let now_ms = self.side.now_ms();
        self.note_firsts(ledger, now_ms);
        if let Some(guard) = &mut ledger.guard {
            guard.turn_to(now_ms);
        }
        while let Some(key) = ledger.guard.as_mut().and_then(|guard| guard.promote(now_ms)) {
            ledger.go(key, Trigger::Due);
        }
        let Some(guard) = &mut ledger.guard else { return false };
        let (may_go, stirred) = (guard.may_go(now_ms), guard.take_stirred());
        let is_shut = self.side.settings.breaker.as_ref().is_some_and(|breaker| !breaker.has_classes())
            && !guard.admits(CLASSLESS);
        let is_short = !may_go && guard.lacks_balance(now_ms);
        let (next_ms, told) = (guard.next_ms(now_ms), guard.take_told(false));
        ledger.set_guard_timer(next_ms);
        ledger.aftermath.told = told;
        let before = self.attention();
        for (flag, on) in [(LANE, may_go), (SHORT, is_short), (SHUT, is_shut)] {
            if (before & flag != 0) != on {
                self.set_attention(flag, on);
            }
        }
        (may_go && (stirred || before & LANE == 0))
            || (before & SHUT != 0 && !is_shut && !planted!("what-closes-wakes-nobody"))
    }

    /// Tells what circuits have done, and what they do meanwhile.
    #[cold]
    pub(super) fn tell_circuits(&self, mut told: Vec<Told>) {
        while !told.is_empty() {
            for told in told {
                self.side.events.tell(event(told));
            }
            told = self.side.ledger.lock().guard.as_mut().map_or_else(Vec::new, |guard| guard.take_told(true));
        }
    }

    pub(crate) fn breaker_state(&self, class: &str) -> BreakerState {
        let now_ms = self.side.now_ms();
        self.ask_guard(); // a pause that is over is over, though the driver may not have looked yet
        let ledger = self.side.ledger.lock();
        ledger.guard.as_ref().map_or(BreakerState::Closed, |guard| guard.state(class, now_ms))
    }
}

fn event(told: Told) -> Event {
    let class = told.class;
    match told.state {
        BreakerState::Closed => Event::BreakerClosed { class },
        BreakerState::Open { left } => Event::BreakerOpened { class, open_for: left },
        BreakerState::HalfOpen => Event::BreakerHalfOpened { class },
    }
}
