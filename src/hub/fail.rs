//! Failure: recorded, the policy asked, and the message moved on, as one transition that nobody sees half-done.
//!
//! Between the record and the decision the message is `Deciding`: it is in the ledger, counts as unsettled, and no lock is
//! held while the policy, which is the user's code, runs.

use super::*;
use crate::events::Event;
use crate::history::Attempt;
use crate::lifecycle::{State, Trigger};
use crate::panics::{catch, contained, drop_contained};
use crate::protect::{Outcome, Turn};
use crate::reason::{BoxError, Reason};
use crate::retry::{Cause, Decision, Failure};
use crate::ring::Won;
use crate::sync::MutexGuard;

/// Why an attempt failed, with what the policy may want to look at.
#[derive(Debug)]
pub(crate) enum Fault {
    Nack(Reason<BoxError>),
    NackShared(Reason<Arc<dyn std::error::Error + Send + Sync + 'static>>),
    NackAfter(Reason<BoxError>, Duration),
    Reject(Reason<BoxError>),
    Dropped,
    Panicked,
    /// A worker's handler panicked, with this message.
    HandlerPanicked(String),
    /// A worker's handler had no use for it.
    Discard,
    LeaseExpired,
    /// A send was refused because the queue was full.
    Full,
    /// An unsent record met the end of its queue.
    Closed,
}

impl Fault {
    fn cause(&self) -> Cause<'_> {
        match self {
            Fault::Nack(reason) | Fault::NackAfter(reason, _) | Fault::Reject(reason) => Cause::Nack(&*reason.error),
            Fault::NackShared(reason) => Cause::Nack(&*reason.error),
            Fault::Dropped | Fault::Discard => Cause::Dropped,
            Fault::Panicked | Fault::HandlerPanicked(_) => Cause::Panicked,
            Fault::LeaseExpired => Cause::LeaseExpired,
            Fault::Full | Fault::Closed => Cause::Full,
        }
    }

    /// What the history says. An error's `Display` is the user's code.
    fn text(&self) -> Arc<str> {
        match self {
            Fault::HandlerPanicked(text) => format!("the handler panicked: {text}").into(),
            Fault::Discard => "discarded by its handler".into(),
            Fault::Closed => "the queue was closed before there was room".into(),
            fault => catch(|| fault.cause().to_string())
                .unwrap_or_else(|panic| format!("the error's text panicked: {panic}"))
                .into(),
        }
    }

    fn error_type(&self) -> Option<&'static str> {
        match self {
            Fault::Nack(reason) | Fault::NackAfter(reason, _) | Fault::Reject(reason) => reason.error_type,
            Fault::NackShared(reason) => reason.error_type,
            _ => None,
        }
    }
}

/// A redelivery that has lost its lease, which nothing was done with.
pub(crate) struct Stale<T: Send + Sync + 'static>(pub(crate) Box<ColdDelivery<T>>);

/// What a history says of an error.
struct Said {
    error: Arc<str>,
    error_type: Option<&'static str>,
}

/// A failed attempt, as the policy is told of it.
struct Case<T: Send + Sync + 'static> {
    envelope: Arc<Envelope<T>>,
    attempt: u32,
    elapsed: Duration,
    previous_delay: Option<Duration>,
}

/// What a failed attempt says of what is downstream, and of which part of it.
struct Finding {
    class: String,
    outcome: Outcome,
}

impl<T: Send + Sync + 'static> Core<T> {
    /// A first delivery ended badly.
    pub(crate) fn fail_hot(won: Won<Hub<T>>, fault: Fault) {
        let core = won.shared.clone();
        if let Some((mut ledger, key)) = core.bring_in(won) {
            ledger.go(key, if matches!(fault, Fault::Reject(_)) { Trigger::Reject } else { Trigger::Fail });
            ledger.counts.failed += 1;
            core.unlock(ledger);
            core.decide(key, fault);
        } else {
            drop_contained(fault);
        }
    }

    /// A redelivery ended badly.
    pub(crate) fn fail_cold(cold: Box<ColdDelivery<T>>, fault: Fault) -> Result<(), Stale<T>> {
        let (core, key) = (cold.core.clone(), cold.key);
        match core.surrender(cold) {
            Ok(Some(mut ledger)) => {
                ledger.go(key, if matches!(fault, Fault::Reject(_)) { Trigger::Reject } else { Trigger::Fail });
                ledger.counts.failed += 1;
                core.unlock(ledger);
                core.decide(key, fault);
            }
            refused => {
                drop_contained(fault);
                refused?;
            }
        }
        drop_contained(core); // it may be the last of its queue
        Ok(())
    }

    /// A delivery whose lease holds gives up its share of the message, under the lock that is returned: the next one has the
    /// message to itself, however soon it comes. `None`: the queue has ended, and nobody comes.
    fn surrender(&self, cold: Box<ColdDelivery<T>>) -> Result<Option<MutexGuard<'_, Ledger<T>>>, Stale<T>> {
        let mut ledger = self.side.ledger.lock();
        if ledger.ended {
            drop(ledger);
            Self::let_go(cold);
            return Ok(None);
        }
        let key = cold.key;
        if ledger.leased(key, cold.lease_no).is_none() {
            return Err(Stale(cold));
        }
        drop(cold); // runs nobody's code: the ledger shares all that it has
        ledger.unseat(key);
        Ok(Some(ledger))
    }

    /// Not now: comes back after `after`, and the hand-over was no attempt.
    pub(crate) fn snooze_hot(won: Won<Hub<T>>, after: Duration) {
        let core = won.shared.clone();
        if let Some((mut ledger, key)) = core.bring_in(won) {
            core.put_off(&mut ledger, key, after);
            core.unlock(ledger);
        }
    }

    pub(crate) fn snooze_cold(cold: Box<ColdDelivery<T>>, after: Duration) -> Result<(), Stale<T>> {
        let (core, key) = (cold.core.clone(), cold.key);
        if let Some(mut ledger) = core.surrender(cold)? {
            core.put_off(&mut ledger, key, after);
            core.unlock(ledger);
        }
        drop_contained(core); // it may be the last of its queue
        Ok(())
    }

    pub(super) fn put_off(&self, ledger: &mut Ledger<T>, key: u32, after: Duration) {
        self.tell_guard(ledger, key, Outcome::Neither);
        ledger.go(key, Trigger::Snooze);
        ledger.entry(key).attempt -= u32::from(!planted!("a-snooze-is-an-attempt")); // an entry in flight was handed over at least once
        if after.is_zero() {
            ledger.go(key, Trigger::Due);
        } else {
            ledger.set_timer(key, self.side.due_ms(after));
        }
    }

    /// Moves a first delivery from its seat into the ledger, still in flight. `None`: the queue has ended.
    fn bring_in(&self, won: Won<Hub<T>>) -> Option<(MutexGuard<'_, Ledger<T>>, u32)> {
        let (pos, was_extended) = (won.pos, won.was_extended());
        let mut ledger = self.side.ledger.lock();
        // Free seat and entry appear together under the lock: whoever looks at the ring and then here sees the message.
        let load = won.take();
        if ledger.ended {
            drop(ledger);
            drop_contained(load);
            return None;
        }
        if was_extended {
            ledger.end_extension(pos);
        }
        let envelope = self.envelop_load(&ledger, pos, load);
        let key = self.admit_in_flight(&mut ledger, pos, envelope);
        ledger.aftermath.freed += u32::from(!planted!("a-verdict-wakes-no-sender"));
        Some((ledger, key))
    }

    /// A handle that had lost its lease is gone: its message need not stay in the seat any more.
    pub(crate) fn seat_was_left(&self, pos: u64) {
        let mut ledger = self.side.ledger.lock();
        ledger.move_in(pos);
        self.unlock(ledger);
    }

    /// An entry for what the ring has handed out.
    pub(super) fn admit_in_flight(&self, ledger: &mut Ledger<T>, pos: u64, envelope: Arc<Envelope<T>>) -> u32 {
        let first_ms = ledger.handed_out.when(pos).unwrap_or_else(|| self.side.now_ms());
        ledger.counts.from_ring += 1;
        ledger.admit(envelope, State::InFlight, 1, first_ms)
    }

    // ---- the decision ----

    /// Asks the policy about an entry that is `Deciding`, and moves it on.
    pub(super) fn decide(&self, key: u32, fault: Fault) {
        if let Some(case) = self.case(key) {
            let (decision, rule) = self.ask(&case, &fault);
            let finding = self.finding(&case, &fault);
            let attempt = case.attempt;
            drop_contained(case.envelope); // the last one, if the queue has ended while its policy was asked
            let said = Said { error: fault.text(), error_type: fault.error_type() };
            self.carry_out(key, attempt, said, decision, rule, finding);
        }
        drop_contained(fault); // the error is the user's
    }

    fn carry_out(
        &self,
        key: u32,
        attempt: u32,
        said: Said,
        decision: Decision,
        rule: Arc<str>,
        finding: Option<Finding>,
    ) {
        let mut ledger = self.side.ledger.lock();
        if ledger.ended {
            return;
        }
        if let Some(finding) = finding {
            ledger.classify(key, &finding.class);
            self.tell_guard(&mut ledger, key, finding.outcome);
        }
        let is_unsent = ledger.entry(key).receipt.is_some();
        let (decision, rule) = match decision {
            // A queue that was closed while the policy was asked sends nothing again.
            _ if is_unsent && self.ring.is_closed() => (Decision::DeadLetter, "close".into()),
            // A clock that has come to its end has no tick left in which to send it.
            Decision::Retry { .. } if is_unsent && self.side.now_ms() == u64::MAX => {
                (Decision::DeadLetter, "the clock's end".into())
            }
            decision => (decision, rule),
        };
        let delay = if let Decision::Retry { after } = decision { Some(after) } else { None };
        let at = self.side.clock.system_time();
        let Said { error, error_type } = said;
        let entry = ledger.entry(key);
        entry.previous_delay =
            if planted!("the-delay-before-is-forgotten") { None } else { delay.or(entry.previous_delay) };
        entry.record(Attempt { attempt, at, error, error_type, delay, rule });
        ledger.unseat(key);
        match decision {
            Decision::Retry { after } => self.put_back(&mut ledger, key, after),
            Decision::Discard => self.discard(&mut ledger, key),
            _ => self.bury(&mut ledger, key),
        }
        self.unlock(ledger);
    }

    fn case(&self, key: u32) -> Option<Case<T>> {
        let now_ms = self.side.now_ms();
        let ledger = self.side.ledger.lock();
        let entry = ledger.get(key)?;
        Some(Case {
            envelope: entry.envelope.clone(),
            attempt: entry.attempt,
            elapsed: Duration::from_millis(now_ms.saturating_sub(entry.first_ms)),
            previous_delay: entry.previous_delay,
        })
    }

    fn ask(&self, case: &Case<T>, fault: &Fault) -> (Decision, Arc<str>) {
        let is_send = matches!(fault, Fault::Full | Fault::Closed);
        match fault {
            Fault::Reject(_) => return (Decision::DeadLetter, "reject".into()),
            Fault::Discard => return (Decision::Discard, "handler".into()),
            Fault::Closed => return (Decision::DeadLetter, "close".into()),
            _ if !is_send
                && case.attempt >= self.side.settings.max_deliveries + u32::from(planted!("one-delivery-too-many")) =>
            {
                return (Decision::DeadLetter, "max_deliveries".into());
            }
            Fault::NackAfter(_, after) if !planted!("nack-after-asks-the-policy") => {
                return (Decision::Retry { after: *after }, "nack_after".into());
            }
            _ => {}
        }
        let policy = if is_send { &self.side.settings.resend } else { &self.side.settings.retry };
        match catch(|| policy.rules.decide(&self.failure_of(case, fault))) {
            Ok(decision) => (decision, policy.name.clone()),
            Err(panic) => (Decision::DeadLetter, format!("{} panicked: {panic}", policy.name).into()),
        }
    }

    /// A failed attempt, as the user's code gets to see it.
    fn failure_of<'a>(&self, case: &'a Case<T>, fault: &'a Fault) -> Failure<'a> {
        let mut failure = Failure::new(case.attempt, fault.cause())
            .with_elapsed(case.elapsed)
            .with_headers(&case.envelope.headers)
            .with_random(self.chance(case.envelope.id, case.attempt));
        if let Some(previous) = case.previous_delay {
            failure = failure.with_previous_delay(previous);
        }
        if let Some(key) = case.envelope.key.as_deref() {
            failure = failure.with_key(key);
        }
        failure
    }

    /// What the breaker is to make of it, if there is one.
    fn finding(&self, case: &Case<T>, fault: &Fault) -> Option<Finding> {
        let breaker = self.side.settings.breaker.as_ref()?;
        let outcome = match fault {
            Fault::Full | Fault::Closed => return None, // it was never handed out
            Fault::Reject(_) | Fault::Discard => Outcome::Neither, // the message is at fault
            _ if breaker.is_counted(&self.failure_of(case, fault)) => Outcome::Failure,
            _ => Outcome::Neither,
        };
        Some(Finding { class: breaker.class_of(case.envelope.key.as_deref()), outcome })
    }

    /// The same draw for the same message, attempt and seed.
    fn chance(&self, id: MessageId, attempt: u32) -> u64 {
        crate::chance::mix(
            self.side.settings.seed ^ crate::chance::mix(id.sequence() ^ crate::chance::mix(u64::from(attempt))),
        )
    }

    /// Would a failure of this attempt be the last, as far as the queue and its policy can tell before they know it?
    pub(crate) fn is_last(&self, id: MessageId, attempt: u32) -> bool {
        if attempt >= self.side.settings.max_deliveries {
            return true;
        }
        let failure = Failure::new(attempt, Cause::Dropped).with_random(self.chance(id, attempt));
        contained(|| self.side.settings.retry.rules.decide(&failure))
            .is_none_or(|d| !matches!(d, Decision::Retry { .. }))
    }

    fn put_back(&self, ledger: &mut Ledger<T>, key: u32, after: Duration) {
        let due = self.side.due_ms(after);
        if ledger.entry(key).receipt.is_some() {
            ledger.go(key, Trigger::ResendLater);
            // A tick at the least: a resend that is due at once, and refused at once, would never let go of the driver.
            ledger.set_timer(key, due.max(self.side.now_ms().saturating_add(1)));
            return;
        }
        ledger.counts.retries += 1;
        if ledger.guard.is_some() {
            ledger.entry(key).pass.turn = Turn::Retry;
            ledger.go(key, Trigger::RetryLater);
            if after.is_zero() { ledger.line_up_retry(key) } else { ledger.set_timer(key, due) }
        } else if after.is_zero() || planted!("a-retry-ignores-its-delay") {
            ledger.go(key, Trigger::RetryNow);
        } else {
            ledger.go(key, Trigger::RetryLater);
            ledger.set_timer(key, due);
        }
    }

    fn discard(&self, ledger: &mut Ledger<T>, key: u32) {
        ledger.go(key, Trigger::Discard);
        ledger.counts.discarded += 1;
        self.give_up_receipt(ledger, key);
        let id = ledger.entry(key).envelope.id;
        ledger.aftermath.events.push(Event::Dropped { id });
        ledger.remove(key);
    }

    fn give_up_receipt(&self, ledger: &mut Ledger<T>, key: u32) -> bool {
        let Some(receipt) = ledger.entry(key).receipt.take() else { return false };
        ledger.records -= usize::from(!planted!("a-record-outlives-its-end"));
        ledger.aftermath.receipts.push((receipt, Err(crate::error::ReceiptError::GivenUp)));
        true
    }

    /// To the dead letters; where there is no room, to wait for it.
    fn bury(&self, ledger: &mut Ledger<T>, key: u32) {
        let was_unsent = self.give_up_receipt(ledger, key);
        let id = ledger.entry(key).envelope.id;
        if ledger.dead.is_full() && !planted!("a-full-store-takes-one-more") {
            if planted!("a-full-store-drops") {
                ledger.go(key, Trigger::GiveUp);
                return ledger.remove(key);
            }
            ledger.go(key, Trigger::Park);
            ledger.aftermath.events.push(Event::Parked { id });
            return;
        }
        ledger.go(key, Trigger::GiveUp);
        self.inter(ledger, key);
        if planted!("a-death-is-not-told") {
            return;
        }
        ledger.aftermath.events.push(if was_unsent { Event::GivenUp { id } } else { Event::DeadLettered { id } });
    }
}
