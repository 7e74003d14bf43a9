//! Consumers, and what their handlers do: ack, fail, crash, leak, outlive their leases.

use super::*;
use redeliver::{BreakerState, SettleErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

impl World {
    pub(super) fn consume(&mut self, at: usize) {
        let who = self.rng.below(self.sites[at].handlers.len() as u64) as usize;
        let now = self.now;
        let handler = &mut self.sites[at].handlers[who];
        let done = handler.work.iter().position(|work| now >= work.until);
        match done {
            Some(index) => {
                let work = handler.work.swap_remove(index);
                self.finish(at, who, work);
            }
            None if handler.work.len() < 3 => self.receive(at, who),
            None => self.more_time(at, who),
        }
    }

    pub(super) fn receive(&mut self, at: usize, who: usize) {
        let max = self.rng.below(5);
        let consumer = &self.sites[at].handlers[who].consumer;
        let received = match max {
            0 => consumer.try_recv_batch(3).map(|batch| batch.into_iter().collect::<Vec<_>>()),
            _ => consumer.try_recv().map(|delivery| vec![delivery]),
        };
        match received {
            Ok(deliveries) => {
                if max == 0 {
                    self.hits.hit("batch");
                }
                for delivery in deliveries {
                    self.start(at, who, delivery);
                }
            }
            Err(error) => {
                let site = &self.sites[at];
                let is_over = site.is_closed && site.oracle.unsettled() == 0;
                assert_eq!(error == TryRecvError::Closed, is_over, "closed is closed and all settled");
                if !site.is_paused {
                    site.oracle.check_empty(self.now, &site.queue.stats(), &site.knobs);
                }
                self.note((at, error));
            }
        }
    }

    pub(super) fn start(&mut self, at: usize, who: usize, delivery: Delivery<Letter>) {
        let plan = self.plan(at);
        let site = &mut self.sites[at];
        assert!(!site.is_paused, "handed out while paused");
        let number = delivery.number;
        let by_key = site.knobs.fuse.is_some_and(|fuse| fuse.by_key);
        match site.queue.breaker_state(if by_key { delivery.key().unwrap_or_default() } else { "" }) {
            BreakerState::HalfOpen => self.hits.hit("delivered while half-open"),
            state => assert_eq!(state, BreakerState::Closed, "handed out while its breaker is open"),
        }
        let (holder, is_first) = site.oracle.delivered(number, delivery.history(), &site.knobs, self.now);
        self.hits.hit(if is_first { "first delivery" } else { "redelivery" });
        let fate = site.oracle.fate(number);
        assert_eq!(delivery.body, fate.body, "byte for byte what was sent");
        assert_eq!((delivery.id(), delivery.attempt()), (fate.id, fate.attempt));
        let lease = site.knobs.lease;
        let takes = match plan {
            Plan::Slow => 2 * lease,
            Plan::Extend | Plan::KeepAlive => 3 * lease,
            _ => Duration::from_micros(self.rng.below(1 + lease.as_micros() as u64 / 2)),
        };
        if plan == Plan::KeepAlive {
            self.hits.hit("keep_alive");
            std::mem::forget(delivery.keep_alive());
            site.oracle.extended(number, None);
        }
        self.note((at, who, number, delivery.id(), delivery.attempt(), plan));
        let work = Work { delivery, number, holder, plan, until: self.now + takes, returned: false };
        self.sites[at].handlers[who].work.push(work);
    }

    pub(super) fn plan(&mut self, at: usize) -> Plan {
        let after = Duration::from_micros(self.rng.below(20_000));
        let temper = self.sites[at].knobs.temper;
        let mut draw = self.rng.below(temper.iter().sum());
        let which = temper.iter().position(|likely| {
            let is_it = draw < *likely;
            draw = draw.saturating_sub(*likely);
            is_it
        });
        [
            Plan::Ack,
            Plan::Nack,
            Plan::NackAfter(after),
            Plan::Snooze(after),
            Plan::Reject,
            Plan::IntoMessage,
            Plan::Drop,
            Plan::Panic,
            Plan::Leak,
            Plan::Slow,
            Plan::Extend,
            Plan::KeepAlive,
        ][which.unwrap_or(0)]
    }

    pub(super) fn more_time(&mut self, at: usize, who: usize) {
        let now = self.now;
        let site = &mut self.sites[at];
        let lease = site.knobs.lease;
        let Some(work) = site.handlers[who].work.iter().find(|work| work.plan == Plan::Extend) else { return };
        let (number, valid) = (work.number, site.oracle.is_valid(work.number, work.holder, now));
        let result = work.delivery.extend(lease);
        if let Some(valid) = valid {
            assert_eq!(result.is_ok(), valid, "extend");
        }
        if result.is_ok() {
            self.hits.hit("extend");
            site.oracle.extended(number, Some(now + lease));
        }
        self.note((at, who, number, result));
    }

    pub(super) fn finish(&mut self, at: usize, who: usize, work: Work) {
        let Work { delivery, number, holder, plan, returned, .. } = work;
        let now = self.now;
        let site = &mut self.sites[at];
        let valid = site.oracle.is_valid(number, holder, now);
        let is_lost = delivery.is_lost();
        if let Some(valid) = valid {
            assert_eq!(is_lost, !valid, "{plan:?} of {number}");
        }
        // On the edge of its lease the queue's word counts, and its events must agree.
        let is_ours = !is_lost;
        let attempt = delivery.attempt();
        let result = match plan {
            Plan::Ack | Plan::Slow | Plan::Extend | Plan::KeepAlive => delivery.ack(),
            Plan::Nack => delivery.nack("the handler failed"),
            Plan::NackAfter(after) => delivery.nack_after(after, "the handler failed"),
            Plan::Snooze(after) => delivery.snooze(after),
            Plan::Reject => delivery.reject("never again"),
            Plan::IntoMessage => delivery.into_message().map(drop),
            Plan::Leak => {
                self.hits.hit("leak");
                site.leaked += 1;
                leak(delivery);
                return self.note((at, who, number, plan));
            }
            Plan::Drop | Plan::Panic => {
                if plan == Plan::Panic {
                    self.hits.hit("panic");
                    let handler = AssertUnwindSafe(|| {
                        let _in_its_hands = delivery;
                        resume_unwind(Box::new("the handler panics"));
                    });
                    assert!(catch_unwind(handler).is_err());
                } else {
                    self.hits.hit("drop");
                    drop(delivery);
                }
                if is_ours && !returned {
                    site.fail(number, attempt, now);
                } else {
                    self.hits.hit("late drop");
                }
                return self.note((at, who, number, plan));
            }
        };
        match result {
            Ok(()) => {
                assert!(is_ours, "a lost lease settled");
                match plan {
                    Plan::Nack => {
                        self.hits.hit("nack");
                        site.fail(number, attempt, now);
                    }
                    Plan::NackAfter(after) => {
                        self.hits.hit("nack_after");
                        site.oracle.failed(number, now, now, false, (after, after));
                    }
                    Plan::Snooze(after) => {
                        self.hits.hit("snooze");
                        site.oracle.snoozed(number, now, after);
                    }
                    Plan::Reject => {
                        self.hits.hit("reject");
                        site.oracle.failed(number, now, now, false, (Duration::ZERO, Duration::ZERO));
                    }
                    _ => {
                        self.hits.hit(if plan == Plan::IntoMessage { "into_message" } else { "ack" });
                        site.oracle.acked(number);
                    }
                }
                self.note((at, who, number, plan));
            }
            Err(error) => {
                let kind = error.kind;
                if kind == SettleErrorKind::StaleLease {
                    assert!(!is_ours, "a valid lease was refused");
                    self.hits.hit("stale settle");
                } else {
                    assert!(is_ours && plan == Plan::IntoMessage, "{kind:?}");
                    self.hits.hit("shared");
                }
                assert_eq!(error.delivery.body, site.oracle.fate(number).body, "still readable");
                let plan = if is_ours { Plan::Ack } else { Plan::Drop };
                let work = Work { delivery: error.delivery, number, holder, plan, until: now, returned: true };
                site.handlers[who].work.push(work);
                self.note((at, who, number, kind));
            }
        }
    }
}
