//! Which dead letters an operation means: as a filter, and as the model sees it.

use super::*;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Meant {
    All,
    Keyed,
    /// Died of this, or failed of it on the way.
    ReasonIs(&'static str),
    ErrorContains(&'static str),
    OlderThan(u64),
    YoungerThan(u64),
    AttemptsAtLeast(u32),
    /// The one with this header.
    Numbered(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) meant: Meant,
    pub(crate) limit: Option<usize>,
}

pub(crate) fn choices() -> impl Strategy<Value = Choice> {
    let error = || prop_oneof![Just(EXPIRED), Just(DROPPED), Just(FULL), Just("e")];
    let meant = prop_oneof![
        4 => Just(Meant::All),
        1 => Just(Meant::Keyed),
        1 => error().prop_map(Meant::ReasonIs),
        1 => error().prop_map(Meant::ErrorContains),
        1 => times().prop_map(Meant::OlderThan),
        1 => times().prop_map(Meant::YoungerThan),
        1 => (0..4u32).prop_map(Meant::AttemptsAtLeast),
        1 => (0..64usize).prop_map(Meant::Numbered),
    ];
    (meant, proptest::option::weighted(0.3, 0..3usize)).prop_map(|(meant, limit)| Choice { meant, limit })
}

/// `None`: as fast as it goes.
pub(crate) fn rates() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(0)),
        5 => prop_oneof![Just(1), Just(3), Just(40), Just(1_000), Just(7_000)].prop_map(Some),
    ]
}

impl Choice {
    pub(crate) fn filter(self) -> Filter {
        let filter = match self.meant {
            Meant::All => Filter::all(),
            Meant::Keyed => Filter::all().key("k"),
            Meant::ReasonIs(error) => Filter::all().reason_is(error),
            Meant::ErrorContains(error) => Filter::all().error_contains(error),
            Meant::OlderThan(age) => Filter::all().older_than(ms(age)),
            Meant::YoungerThan(age) => Filter::all().younger_than(ms(age)),
            Meant::AttemptsAtLeast(attempts) => Filter::all().attempts_at_least(attempts),
            Meant::Numbered(number) => Filter::all().header("n", number.to_string()),
        };
        if let Some(limit) = self.limit { filter.limit(limit) } else { filter }
    }

    fn means(self, model: &Model, number: usize) -> bool {
        let msg = &model.msgs[number];
        match self.meant {
            Meant::All => true,
            Meant::Keyed => msg.keyed,
            Meant::ReasonIs(error) => msg.history.last().is_some_and(|last| last.error == error),
            Meant::ErrorContains(error) => msg.history.iter().any(|failed| failed.error.contains(error)),
            Meant::OlderThan(age) => model.now - msg.died_at > age,
            Meant::YoungerThan(age) => model.now - msg.died_at < age,
            Meant::AttemptsAtLeast(attempts) => msg.history.len() >= attempts as usize,
            Meant::Numbered(wanted) => msg.keyed && wanted == number,
        }
    }

    pub(crate) fn of(self, model: &Model) -> Vec<usize> {
        let meant = model.dead.iter().copied().filter(|&msg| self.means(model, msg));
        meant.take(self.limit.unwrap_or(usize::MAX)).collect()
    }
}

impl Model {
    /// Returns how many.
    pub(crate) fn purge(&mut self, choice: Choice) -> usize {
        let meant = choice.of(self);
        for &msg in &meant {
            hit("purge");
            self.msgs[msg].state = State::Purged;
            self.counts.purged += 1;
        }
        self.leave_the_store(&meant);
        meant.len()
    }

    /// Returns how many.
    pub(crate) fn redrive_all(&mut self, choice: Choice, per_second: Option<u32>) -> usize {
        if per_second == Some(0) {
            return 0;
        }
        let meant = choice.of(self);
        for (turn, &msg) in meant.iter().enumerate() {
            hit(if turn == 0 { "redrive of all" } else { "redrive of all, in turn" });
            let wait = per_second.map_or(0, |n| (turn as u64 * 1_000).div_ceil(u64::from(n)));
            self.msgs[msg].attempt = 0;
            self.msgs[msg].turn = Turn::First;
            self.wait(msg, wait);
        }
        self.leave_the_store(&meant);
        meant.len()
    }

    pub(crate) fn leave_the_store(&mut self, gone: &[usize]) {
        self.dead.retain(|dead| !gone.contains(dead));
        while self.dead.len() < self.knobs.dead_capacity {
            let Some(parked) = self.parked.pop_front() else { return };
            hit("parked found room");
            self.inter(parked);
            let id = self.id(parked);
            self.expect(Told::DeadLettered(id));
        }
    }
}

impl World {
    pub(crate) fn purge(&mut self, choice: Choice) {
        let purged = self.queue.dead_letters().purge(choice.filter());
        self.listen();
        assert_eq!(purged, self.model.purge(choice), "purge says how many");
    }

    pub(crate) fn redrive_all(&mut self, choice: Choice, per_second: Option<u32>) {
        let rate = per_second.map_or(Rate::unlimited(), Rate::per_second);
        let redriven = self.queue.dead_letters().redrive_all(choice.filter(), rate);
        self.listen();
        assert_eq!(redriven, self.model.redrive_all(choice, per_second), "redrive_all says how many");
    }

    /// Looks through a filter at what is there.
    pub(crate) fn look(&self, choice: Choice) {
        let letters = self.queue.dead_letters().list(choice.filter());
        let numbers: Vec<_> = letters.iter().map(|letter| letter.message().expect("in memory").number).collect();
        assert_eq!(numbers, choice.of(&self.model), "{choice:?}");
    }
}
