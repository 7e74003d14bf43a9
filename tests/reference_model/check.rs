//! Everything that can be seen of a queue must be as the model says.

use super::*;

impl World {
    pub(crate) fn check(&self) {
        let model = &self.model;
        assert_eq!(model.told, [], "told and not expected");
        let count = |is: fn(&State) -> bool| model.count(is) as u64;
        let stats = self.queue.stats();
        assert_eq!(self.queue.len(), model.ready(), "len");
        assert_eq!(stats.ready, model.ready() as u64, "ready");
        assert_eq!(stats.in_flight, model.in_flight() as u64, "in_flight");
        assert_eq!(stats.delayed, model.delayed() as u64, "delayed");
        assert_eq!(stats.parked, model.parked.len() as u64, "parked");
        assert_eq!(stats.dead, model.dead.len() as u64, "dead");
        assert_eq!(stats.unsent, count(|state| matches!(state, State::Unsent(..))), "unsent");
        let counts = Counts {
            sent: stats.sent,
            delivered: stats.delivered,
            acked: stats.acked,
            failed: stats.failed,
            leases_lost: stats.leases_lost,
            retries: stats.retries,
            retransmissions: stats.retransmissions,
            discarded: stats.discarded,
            purged: stats.purged,
        };
        assert_eq!(counts, model.counts);
        assert_eq!((stats.expired, stats.events_dropped), (0, 0));
        self.check_circuits();
        self.pinned();
        self.check_hands();
        self.check_dead();
        self.check_unsent();
        for msg in &model.msgs {
            self.check_receipt(msg);
        }
    }

    pub(crate) fn check_hands(&self) {
        for hand in &self.hands {
            if let Held::One(delivery) = &hand.held {
                let (msg, number) = hand.parts[0];
                assert_eq!(delivery.is_lost(), !self.model.holds(msg, number), "is_lost");
                assert_eq!((&delivery.text, Some(delivery.id())), (&text_of(msg), self.model.msgs[msg].id));
            }
        }
    }

    pub(crate) fn check_dead(&self) {
        let letters = self.queue.dead_letters().list(Filter::all());
        let ids: Vec<_> = letters.iter().map(|letter| Some(letter.id())).collect();
        let expected: Vec<_> = self.model.dead.iter().map(|&msg| self.model.msgs[msg].id).collect();
        assert_eq!(ids, expected, "dead letters in the order in which they died");
        assert_eq!(self.queue.dead_letters().len(), letters.len());
        for (letter, &msg) in letters.iter().zip(&self.model.dead) {
            let expected = &self.model.msgs[msg];
            assert_eq!(letter.message().map(|letter| &letter.text), Some(&text_of(msg)));
            assert_eq!(letter.reason(), expected.history.last().expect("it failed").error);
            assert_eq!(letter.key(), expected.keyed.then_some("k"));
            assert_eq!(letter.died_at(), start() + ms(expected.died_at), "died_at");
            check_history(letter.history(), &expected.history);
        }
    }

    pub(crate) fn check_unsent(&self) {
        let list = self.queue.unsent().list();
        let mut records: Vec<_> = list.iter().map(|r| (r.next_try(), r.id(), r.attempt())).collect();
        assert!(list.is_sorted_by_key(|record| record.next_try()), "by the time of their next try");
        assert!(list.iter().all(|record| record.error() == FULL));
        let mut expected = Vec::new();
        for msg in &self.model.msgs {
            if let (State::Unsent(due, _, tries), Some(id)) = (msg.state, msg.id) {
                expected.push((start() + ms(due), id, tries));
            }
        }
        records.sort_unstable();
        expected.sort_unstable();
        assert_eq!(records, expected, "unsent records");
        assert_eq!(self.queue.unsent().len(), records.len());
    }

    pub(crate) fn check_receipt(&self, msg: &Msg) {
        let Some(receipt) = &msg.receipt else { return };
        let outcome = receipt.wait_timeout(Duration::ZERO);
        match (msg.state, outcome) {
            (State::Unsent(..), None) => {}
            (State::Unsent(..), Some(outcome)) => panic!("{outcome:?} though it is unsent"),
            // A redrive brings back also what was never accepted; its receipt has said so and stays with it.
            (_, Some(Err(ReceiptError::GivenUp))) => {
                let was_refused = msg.history.iter().any(|failed| [FULL, CLOSED].contains(&failed.error));
                assert!(was_refused, "given up and accepted");
            }
            (State::Discarded | State::Dead | State::Parked | State::Purged, Some(Ok(_))) => {
                let was_refused = msg.history.iter().any(|failed| [FULL, CLOSED].contains(&failed.error));
                assert!(!was_refused, "accepted and given up");
            }
            (_, Some(outcome)) => assert_eq!(outcome.ok(), msg.id),
            (state, None) => panic!("no answer though it is {state:?}"),
        }
    }
}
pub(crate) fn check_headers(headers: &Headers, msg: usize, keyed: bool) {
    assert_eq!(headers.len(), usize::from(keyed));
    assert_eq!(headers.get_str("n"), keyed.then(|| msg.to_string()).as_deref());
}

pub(crate) fn check_history(history: &[Attempt], expected: &[Failed]) {
    let seen: Vec<_> = history.iter().map(|a| (a.attempt(), a.at(), a.error(), a.delay())).collect();
    let expected: Vec<_> = expected.iter().map(|f| (f.attempt, start() + ms(f.at), f.error, f.delay.map(ms))).collect();
    assert_eq!(seen, expected, "history");
}
