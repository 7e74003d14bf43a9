//! What the simulation knows of each message, kept outside the queue: where it may be, and what it may do next.

use crate::Hits;
use crate::knobs::Knobs;
use redeliver::{Attempt, MessageId, Stats};
use std::collections::BTreeMap;
use std::time::Duration;

/// Times are kept in milliseconds rounded up, so a lease and a delay end up to one of them late, each.
pub(crate) const TICK: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Submitted, and not accepted.
    Unsent,
    /// Sent and never handed out.
    First,
    /// Ready again, or waiting for it: not before the one time, and ready by the other.
    Waits(Duration, Duration),
    /// In this delivery's hands, with a lease until then (`None`: kept).
    Held(u64, Option<Duration>),
    Dead,
    Parked,
    Discarded,
    Purged,
    Acked,
}

pub(crate) struct Fate {
    pub(crate) id: MessageId,
    pub(crate) body: Vec<u8>,
    pub(crate) place: Place,
    /// Counted deliveries since it was sent, or redriven.
    pub(crate) attempt: u32,
    /// Failures in all.
    pub(crate) failures: usize,
    /// Messages that were accepted at one time have one number.
    accepted: u64,
    submitted_at: Duration,
    /// When its last failure happened, at the earliest, and whether the policy chose the delay.
    failed_at: Option<(Duration, bool)>,
}

/// The fates of one queue's messages.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) fates: BTreeMap<usize, Fate>,
    by_id: BTreeMap<MessageId, usize>,
    acceptances: u64,
    last_first: u64,
    deliveries: u64,
    acked: u64,
    discarded: u64,
    purged: u64,
    leases_lost: u64,
}

impl Oracle {
    pub(crate) fn submitted(&mut self, number: usize, id: MessageId, body: Vec<u8>, now: Duration) {
        let fate = Fate {
            id,
            body,
            place: Place::Unsent,
            attempt: 0,
            failures: 0,
            accepted: 0,
            submitted_at: now,
            failed_at: None,
        };
        assert!(self.fates.insert(number, fate).is_none());
        assert!(self.by_id.insert(id, number).is_none(), "an id names one message");
    }

    /// From now on what is accepted comes after what was.
    pub(crate) fn next_acceptance(&mut self) {
        self.acceptances += 1;
    }

    pub(crate) fn accepted(&mut self, number: usize) {
        let acceptance = self.acceptances;
        let fate = self.fate(number);
        assert_eq!(fate.place, Place::Unsent);
        fate.place = Place::First;
        fate.accepted = acceptance;
    }

    pub(crate) fn resent(&mut self, number: usize, knobs: &Knobs, now: Duration) {
        let fate = self.fate(number);
        let (shortest, _) = knobs.resend.delays(1).expect("what is resent was to be");
        assert!(now >= fate.submitted_at + shortest, "resent early");
        self.accepted(number);
    }

    pub(crate) fn fate(&mut self, number: usize) -> &mut Fate {
        self.fates.get_mut(&number).expect("a message that was never sent")
    }

    pub(crate) fn number(&self, id: MessageId) -> usize {
        *self.by_id.get(&id).expect("an event names a message that was sent")
    }

    // ---- deliveries ----

    pub(crate) fn delivered(
        &mut self,
        number: usize,
        history: &[Attempt],
        knobs: &Knobs,
        now: Duration,
    ) -> (u64, bool) {
        self.deliveries += 1;
        let (delivery, lease) = (self.deliveries, now + knobs.lease);
        let last_first = self.last_first;
        let fate = self.fate(number);
        let is_first = fate.place == Place::First;
        match fate.place {
            Place::First if knobs.fuse.is_some_and(|fuse| fuse.by_key) => {} // within a class
            Place::First => assert!(fate.accepted >= last_first, "first deliveries follow the order of the sends"),
            Place::Waits(from, _) => assert!(now >= from, "delivered {:?} early", from - now),
            place => panic!("delivered while {place:?}"),
        }
        fate.place = Place::Held(delivery, Some(lease));
        fate.attempt += 1;
        assert_eq!(history.len(), if is_first { 0 } else { fate.failures }, "one entry for each failure");
        if let (Some((failed_at, true)), Some(last)) = (fate.failed_at, history.last()) {
            let delay = last.delay().expect("it was to be delivered again");
            assert!(now >= failed_at + delay, "before its delay of {delay:?} was over");
            let (shortest, longest) = knobs.delays(last.attempt()).expect("the policy retries this attempt");
            assert!((shortest..=longest).contains(&delay), "{delay:?} is not within {shortest:?} to {longest:?}");
        }
        let accepted = fate.accepted;
        if is_first {
            self.last_first = accepted;
        }
        (delivery, is_first)
    }

    /// Must this delivery be valid, must it be stale, or is it on the edge?
    pub(crate) fn is_valid(&self, number: usize, delivery: u64, now: Duration) -> Option<bool> {
        match self.fates[&number].place {
            Place::Held(holder, lease) if holder == delivery => match lease {
                Some(lease) if now >= lease + 2 * TICK => Some(false),
                Some(lease) if now >= lease => None,
                _ => Some(true),
            },
            _ => Some(false),
        }
    }

    pub(crate) fn extended(&mut self, number: usize, until: Option<Duration>) {
        if let Place::Held(_, lease) = &mut self.fate(number).place {
            *lease = until;
        }
    }

    pub(crate) fn acked(&mut self, number: usize) {
        self.acked += 1;
        self.fate(number).place = Place::Acked;
    }

    /// The delivery failed at `at` or a little later, and it is now `now`. Its end, if it is one, is told by an event.
    pub(crate) fn failed(
        &mut self,
        number: usize,
        at: Duration,
        now: Duration,
        by_policy: bool,
        delays: (Duration, Duration),
    ) {
        let fate = self.fate(number);
        fate.failures += 1;
        fate.failed_at = Some((at, by_policy));
        fate.place = Place::Waits(at + delays.0, now + delays.1 + TICK);
    }

    /// It was put off without a failure.
    pub(crate) fn snoozed(&mut self, number: usize, now: Duration, after: Duration) {
        let fate = self.fate(number);
        fate.attempt -= 1;
        fate.failed_at = None;
        fate.place = Place::Waits(now + after, now + after + TICK);
    }

    pub(crate) fn lease_lost(&mut self, number: usize, attempt: u32, knobs: &Knobs, now: Duration) {
        self.leases_lost += 1;
        let fate = self.fate(number);
        let Place::Held(_, Some(lease)) = fate.place else { panic!("a lease was lost while {:?}", fate.place) };
        assert!(now >= lease, "a lease ended {:?} early", lease - now);
        assert_eq!(attempt, fate.attempt);
        let delays = knobs.delays(attempt).unwrap_or((Duration::ZERO, Duration::MAX / 4));
        // When in the last step of the clock it ended is only known to a tick.
        self.failed(number, lease, lease + 2 * TICK, true, delays);
    }

    pub(crate) fn ended(&mut self, number: usize, place: Place) {
        let fate = self.fate(number);
        let may = matches!(fate.place, Place::Waits(..) | Place::Unsent)
            || (fate.place == Place::Parked && place == Place::Dead);
        assert!(may, "{place:?} after {:?}", fate.place);
        fate.place = place;
        if place == Place::Discarded {
            self.discarded += 1;
        }
    }

    /// A message that its policy has given up must be past it.
    pub(crate) fn check_end(&self, number: usize, knobs: &Knobs) {
        let fate = &self.fates[&number];
        let by_policy = matches!((fate.place, fate.failed_at), (Place::Waits(..), Some((_, true))));
        if by_policy && !knobs.retry.looks_at_time {
            assert_eq!(knobs.delays(fate.attempt), None, "given up though the policy retries attempt {}", fate.attempt);
        }
    }

    /// It is ready again at `due`, or a tick later.
    pub(crate) fn redriven(&mut self, number: usize, now: Duration, due: Duration) {
        let fate = self.fate(number);
        assert_eq!(fate.place, Place::Dead);
        fate.attempt = 0;
        fate.failed_at = None;
        fate.place = Place::Waits(due, if due == now { now } else { due + TICK });
    }

    pub(crate) fn purged(&mut self, number: usize) {
        let fate = self.fate(number);
        assert_eq!(fate.place, Place::Dead);
        fate.place = Place::Purged;
        self.purged += 1;
    }

    // ---- the whole ----

    pub(crate) fn count(&self, is: impl Fn(&Place) -> bool) -> u64 {
        self.fates.values().filter(|fate| is(&fate.place)).count() as u64
    }

    pub(crate) fn unsettled(&self) -> u64 {
        self.count(|place| matches!(place, Place::First | Place::Waits(..) | Place::Held(..)))
    }

    /// Every message is where the figures say that it is: none is lost, none is there twice.
    pub(crate) fn check(&self, stats: &Stats, knobs: &Knobs) {
        assert_eq!(stats.ready + stats.in_flight + stats.delayed, self.unsettled(), "unsettled");
        assert_eq!(stats.in_flight, self.count(|place| matches!(place, Place::Held(..))), "in flight");
        assert_eq!(stats.unsent, self.count(|place| *place == Place::Unsent), "unsent");
        assert_eq!(stats.dead, self.count(|place| *place == Place::Dead), "dead");
        assert_eq!(stats.parked, self.count(|place| *place == Place::Parked), "parked");
        let dead_max = knobs.dead_capacity as u64;
        assert!(stats.dead <= dead_max, "{} dead letters where {dead_max} have room", stats.dead);
        assert!(stats.parked == 0 || stats.dead == dead_max, "parked though there is room");
        let ended = (stats.acked, stats.discarded, stats.purged);
        assert_eq!(ended, (self.acked, self.discarded, self.purged), "acked, discarded and purged");
        assert_eq!((stats.delivered, stats.leases_lost), (self.deliveries, self.leases_lost));
    }

    /// Nothing was ready: so nothing may be overdue, unless a breaker is open, or a retry has no budget.
    pub(crate) fn check_empty(&self, now: Duration, stats: &Stats, knobs: &Knobs) {
        for fate in self.fates.values() {
            match fate.place {
                Place::First | Place::Waits(..) if stats.breakers_open > 0 => {}
                Place::Waits(..) if knobs.budget.is_some() => {}
                Place::First => panic!("{} is ready and not handed out", fate.id),
                Place::Waits(_, until) => assert!(now < until, "{} is {:?} overdue", fate.id, now - until),
                Place::Held(_, Some(lease)) => assert!(now < lease + 2 * TICK, "{} is held for too long", fate.id),
                _ => {}
            }
        }
    }

    /// The end: each message has come to exactly one.
    pub(crate) fn check_settled(&self, hits: &mut Hits) {
        for fate in self.fates.values() {
            match fate.place {
                Place::Acked => hits.hit("ended by an ack"),
                Place::Discarded => hits.hit("ended by its policy"),
                Place::Purged => hits.hit("ended by a purge"),
                place => panic!("{} ends {place:?}", fate.id),
            }
        }
        assert_eq!(self.fates.len() as u64, self.acked + self.discarded + self.purged, "one end each");
    }
}
