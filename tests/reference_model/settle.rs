//! Settling: whatever can be done to a delivery or a batch, to both.

use super::*;

impl World {
    pub(crate) fn settle(&mut self, hand: usize, how: How) {
        if self.hands.is_empty() {
            return;
        }
        let hand = self.hands.swap_remove(hand % self.hands.len());
        match hand.held {
            Held::One(delivery) => self.settle_one(delivery, hand.parts[0], hand.returned, how),
            Held::Many(batch) => self.settle_many(batch, hand.parts, how),
        }
    }

    /// What the model says about a settle that was tried: done, or refused.
    pub(crate) fn settled(&mut self, (msg, number): (usize, u64), how: How) -> Option<SettleErrorKind> {
        if !self.model.holds(msg, number) {
            hit("stale settle");
            return Some(SettleErrorKind::StaleLease);
        }
        if how == How::IntoMessage && self.model.msgs[msg].handles.len() > 1 {
            hit("shared");
            return Some(SettleErrorKind::Shared);
        }
        self.model.let_go(msg, number);
        match how {
            How::Ack | How::IntoMessage => {
                self.model.end_call(msg, Outcome::Success);
                self.model.msgs[msg].state = State::Acked;
                self.model.counts.acked += 1;
            }
            How::Nack => {
                let verdict = self.model.verdict(msg);
                self.model.fail(msg, "nack", verdict);
            }
            How::NackAfter(delay) => {
                let is_last = self.model.knobs.max_deliveries.unwrap_or(1000) <= self.model.msgs[msg].attempt;
                let verdict = if is_last { Verdict::Dead } else { Verdict::Retry(delay) };
                self.model.fail(msg, "nack after", verdict);
            }
            How::Snooze(delay) => {
                self.model.end_call(msg, Outcome::Neither);
                self.model.msgs[msg].attempt -= 1;
                self.model.wait(msg, delay);
            }
            How::Reject => self.model.fail(msg, "reject", Verdict::Dead),
            How::Drop | How::DropWhileListed | How::Split(_) => {
                let verdict = self.model.verdict(msg);
                self.model.fail(msg, DROPPED, verdict);
            }
            How::Leak => unreachable!("settles nothing"),
        }
        self.model.promote();
        None
    }

    pub(crate) fn settle_one(&mut self, delivery: Delivery<Letter>, part: (usize, u64), returned: bool, how: How) {
        let result = match how {
            How::Ack => delivery.ack(),
            How::Nack => delivery.nack("nack"),
            How::NackAfter(delay) => delivery.nack_after(ms(delay), "nack after"),
            How::Snooze(delay) => delivery.snooze(ms(delay)),
            How::Reject => delivery.reject("reject"),
            How::IntoMessage => delivery.into_message().map(|letter| assert_eq!(letter.text, text_of(part.0))),
            How::Leak => {
                hit("leak");
                leak(delivery);
                self.leaked = self.leaked.saturating_add(1);
                return;
            }
            How::Drop | How::DropWhileListed | How::Split(_) => {
                let letters = (how == How::DropWhileListed).then(|| self.queue.dead_letters().list(Filter::all()));
                drop(delivery);
                drop(letters);
                self.listen();
                if !self.model.holds(part.0, part.1) || returned {
                    self.model.let_go(part.0, part.1);
                    hit("late drop");
                } else {
                    hit("drop");
                    self.settled(part, how);
                }
                return;
            }
        };
        self.listen();
        let expected = self.settled(part, how);
        assert_eq!(result.as_ref().err().map(|error| error.kind), expected, "{how:?}");
        match result {
            Ok(()) => hit(match how {
                How::Ack => "ack",
                How::Nack => "nack",
                How::NackAfter(_) => "nack_after",
                How::Snooze(_) => "snooze",
                How::Reject => "reject",
                _ => "into_message",
            }),
            Err(error) => {
                assert_eq!(error.delivery.text, text_of(part.0), "still readable");
                self.hands.push(Hand { held: Held::One(error.delivery), parts: vec![part], returned: true });
            }
        }
    }

    pub(crate) fn settle_many(&mut self, batch: Batch<Letter>, parts: Vec<(usize, u64)>, how: How) {
        let refused = match how {
            How::Ack => batch.ack_all().err(),
            How::Nack => batch.nack_all("nack").err(),
            How::Leak => {
                hit("leak");
                self.leaked = i64::MAX; // a batch keeps its queue, and all that is in it
                return leak(batch);
            }
            How::Drop | How::DropWhileListed => {
                drop(batch);
                self.listen();
                for part in parts {
                    if self.settled(part, How::Drop).is_some() {
                        self.model.let_go(part.0, part.1);
                    }
                }
                return hit("batch dropped");
            }
            How::Split(take) => {
                hit("batch split");
                let mut items = batch.into_iter();
                assert_eq!(items.len(), parts.len());
                let taken: Vec<_> = items.by_ref().take(take).collect();
                drop(items);
                self.listen();
                for part in &parts[taken.len()..] {
                    if self.settled(*part, How::Drop).is_some() {
                        self.model.let_go(part.0, part.1);
                    }
                }
                for (delivery, part) in taken.into_iter().zip(parts) {
                    assert_eq!(delivery.number, part.0);
                    self.hands.push(Hand { held: Held::One(delivery), parts: vec![part], returned: false });
                }
                return;
            }
            _ => {
                let mut taken = batch.into_iter().zip(parts);
                let first = taken.next().expect("a batch holds something");
                for (delivery, part) in taken {
                    self.hands.push(Hand { held: Held::One(delivery), parts: vec![part], returned: false });
                }
                return self.settle_one(first.0, first.1, false, how);
            }
        };
        self.listen();
        let mut expected = Vec::new();
        for part in parts {
            if let Some(kind) = self.settled(part, how) {
                expected.push((kind, part));
            }
        }
        let refused = refused.unwrap_or_default();
        assert_eq!(refused.len(), expected.len(), "of the batch");
        for (error, (kind, part)) in refused.into_iter().zip(expected) {
            assert_eq!((error.kind, error.delivery.number), (kind, part.0));
            self.hands.push(Hand { held: Held::One(error.delivery), parts: vec![part], returned: true });
        }
        hit(if how == How::Ack { "ack_all" } else { "nack_all" });
    }

    /// One delivery in somebody's hands.
    pub(crate) fn one(&self, hand: usize) -> Option<(&Delivery<Letter>, (usize, u64))> {
        let hand = self.hands.get(hand.checked_rem(self.hands.len())?)?;
        match &hand.held {
            Held::One(delivery) => Some((delivery, hand.parts[0])),
            Held::Many(_) => None,
        }
    }
}
