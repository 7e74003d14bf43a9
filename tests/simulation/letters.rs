//! Whoever works on dead letters: brings them back, one or many, and drops them.

use super::*;
use redeliver::DeadLetter;

impl World {
    pub(super) fn work_on_letters(&mut self, at: usize) {
        match self.rng.below(8) {
            0..5 => self.redrive(at),
            5..7 => self.redrive_all(at),
            _ => self.purge(at),
        }
    }

    pub(super) fn redrive(&mut self, at: usize) {
        let which = self.rng.draw() as usize;
        let now = self.now;
        let site = &mut self.sites[at];
        let letters = site.queue.dead_letters().list(Filter::all());
        let Some(letter) = letters.get(which.checked_rem(letters.len()).unwrap_or(0)) else { return };
        let number = site.examine(letter);
        assert!(site.queue.dead_letters().redrive(letter.id()));
        assert!(!site.queue.dead_letters().redrive(letter.id()), "it is no dead letter any more");
        site.oracle.redriven(number, now, now);
        self.hits.hit("redrive");
        self.note((at, number, "redrive"));
    }

    /// Draws a filter, and a limit half of the time.
    fn filter(&mut self) -> Filter {
        let filter = match self.rng.below(4) {
            0 => Filter::all().key("key"),
            1 => Filter::all().attempts_at_least(self.rng.below(4) as u32),
            _ => Filter::all(),
        };
        if self.rng.below(2) == 0 { filter.limit(self.rng.below(4) as usize) } else { filter }
    }

    pub(super) fn redrive_all(&mut self, at: usize) {
        let filter = self.filter();
        let per_second = [0, 1, 7, 60, 1_000, 3_000][self.rng.below(6) as usize];
        let rate = if self.rng.below(4) == 0 { Rate::unlimited() } else { Rate::per_second(per_second) };
        let now = self.now;
        let site = &mut self.sites[at];
        let meant = if rate == Rate::per_second(0) { Vec::new() } else { site.meant(&filter) };
        assert_eq!(site.queue.dead_letters().redrive_all(filter, rate), meant.len());
        for (turn, &number) in (0_u64..).zip(&meant) {
            let is_at_once = rate == Rate::unlimited();
            let wait = if is_at_once { 0 } else { turn * 1_000_000_000 / u64::from(per_second) };
            site.oracle.redriven(number, now, now + Duration::from_nanos(wait));
            self.hits.hit(if wait == 0 { "redrive of all" } else { "redrive of all, in turn" });
        }
        self.note((at, meant, rate, "redrive of all"));
    }

    fn purge(&mut self, at: usize) {
        let filter = self.filter();
        let site = &mut self.sites[at];
        let meant = site.meant(&filter);
        assert_eq!(site.queue.dead_letters().purge(filter), meant.len());
        for &number in &meant {
            site.oracle.purged(number);
            self.hits.hit("purge");
        }
        self.note((at, meant, "purge"));
    }
}

impl Site {
    /// The numbers of those that the filter means.
    fn meant(&mut self, filter: &Filter) -> Vec<usize> {
        let letters = self.queue.dead_letters().list(filter.clone());
        letters.iter().map(|letter| self.examine(letter)).collect()
    }

    /// The letter is the message that was sent, and failed as often as it did. Returns its number.
    fn examine(&mut self, letter: &DeadLetter<Letter>) -> usize {
        let message = letter.message().expect("in memory");
        let number = message.number;
        assert_eq!(self.oracle.number(letter.id()), number);
        let fate = self.oracle.fate(number);
        assert_eq!(message.body, fate.body);
        if fate.failures == 0 {
            fate.failures = letter.history().len(); // it was never accepted: these are its sends
        }
        assert!(fate.failures > 0, "it died of something");
        assert_eq!(letter.history().len(), fate.failures);
        number
    }
}
