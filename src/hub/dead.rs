//! The dead: into the store, out of it again, and who moves up when there is room.

use super::*;
use crate::dead_letters::Rate;
use crate::events::Event;
use crate::letters::{DeadLetter, Filter};
use crate::lifecycle::{State, Trigger};
use crate::protect::Turn;

impl<T: Send + Sync + 'static> Core<T> {
    /// Turns an entry that is dead into a letter.
    pub(super) fn inter(&self, ledger: &mut Ledger<T>, key: u32) {
        let entry = ledger.entry(key);
        let reason = entry.history.last().map_or_else(|| "unknown".into(), |last| last.error.clone());
        let letter = DeadLetter {
            envelope: entry.envelope.clone(),
            reason,
            died_at: self.side.clock.system_time(),
            died_ms: self.side.now_ms(),
            history: entry.history.clone(),
        };
        ledger.inter(key, letter);
    }

    /// Finds those that the filter means, in the order in which they died, and does something with each under the lock,
    /// which is let go of now and then.
    fn for_each_meant(&self, filter: Filter, mut act: impl FnMut(&mut Ledger<T>, u64)) {
        let now_ms = self.side.now_ms();
        let mut ledger = self.side.ledger.lock();
        let mut search = ledger.dead.search(filter, now_ms);
        while let Some(deaths) = ledger.dead.look_on(&mut search) {
            deaths.into_iter().for_each(|death| act(&mut ledger, death));
            self.move_up(&mut ledger);
            self.unlock(ledger);
            ledger = self.side.ledger.lock();
        }
    }

    /// Those that the filter means, in the order in which they died.
    pub(crate) fn list(&self, filter: Filter) -> Vec<Arc<DeadLetter<T>>> {
        let mut letters = Vec::new();
        self.for_each_meant(filter, |ledger, death| letters.extend(ledger.dead.at(death).cloned()));
        letters
    }

    /// Drops those that the filter means, outside the lock. Returns how many.
    pub(crate) fn purge(&self, filter: Filter) -> usize {
        let mut purged = 0;
        self.for_each_meant(filter, |ledger, death| {
            let Some(letter) = ledger.dead.remove_death(death) else { return };
            let key = self.exhume(ledger, letter);
            ledger.go(key, Trigger::Purge);
            ledger.remove(key);
            ledger.counts.purged += 1;
            purged += 1;
        });
        purged
    }

    /// Brings those back that the filter means, spread over time from now on. Returns how many.
    pub(crate) fn redrive_all(&self, filter: Filter, rate: Rate) -> usize {
        if rate.is_zero() || !self.has_receivers() {
            return 0;
        }
        if self.side.settings.breaker.is_some() {
            return self.redrive_all_classified(filter, rate);
        }
        let (start, mut redriven) = (self.side.elapsed(), 0);
        self.for_each_meant(filter, |ledger, death| {
            let Some(letter) = ledger.dead.remove_death(death) else { return };
            let key = self.exhume(ledger, letter);
            self.send_back(ledger, key, start, rate.offset(redriven));
            redriven += 1;
        });
        redriven as usize
    }

    /// As above, where a breaker wants to know the class of each, which is the user's code to say: outside the lock.
    fn redrive_all_classified(&self, filter: Filter, rate: Rate) -> usize {
        let (start, mut redriven) = (self.side.elapsed(), 0);
        let ids: Vec<MessageId> = self.list(filter).iter().map(|letter| letter.id()).collect();
        for id in ids {
            redriven += u64::from(self.redrive_after(id, start, rate.offset(redriven)));
        }
        redriven as usize
    }

    /// An exhumed entry is ready again `after` from `start`; its clock begins to tick then.
    fn send_back(&self, ledger: &mut Ledger<T>, key: u32, start: Duration, after: Duration) {
        if after.is_zero() {
            ledger.go(key, Trigger::Redrive);
            return;
        }
        let due = Hub::<T>::ms_at(start.saturating_add(after));
        ledger.go(key, Trigger::RedriveLater);
        ledger.entry(key).first_ms = due;
        ledger.set_timer(key, due);
        self.enlist(ledger);
    }

    /// Where nobody can receive any more, what is brought back would only be lost with the last handle.
    fn has_receivers(&self) -> bool {
        self.side.receivers.load(SeqCst) > 0
    }

    /// Brings a dead letter back to life at attempt 1. False: there is none with this id, or nobody to receive it.
    pub(crate) fn redrive(&self, id: MessageId) -> bool {
        if !self.has_receivers() {
            return false;
        }
        self.redrive_after(id, self.side.elapsed(), Duration::ZERO)
    }

    fn redrive_after(&self, id: MessageId, start: Duration, after: Duration) -> bool {
        let class = self.class_of_letter(id);
        let mut ledger = self.side.ledger.lock();
        let Some(letter) = ledger.dead.remove(id) else { return false };
        let key = self.exhume(&mut ledger, letter);
        if let Some(class) = class {
            ledger.classify(key, &class);
        }
        self.send_back(&mut ledger, key, start, after);
        self.move_up(&mut ledger);
        self.unlock(ledger);
        true
    }

    /// Turns a letter that was taken out of the store into an entry again. The letter's own references go here, under the
    /// lock: whoever receives the message shares it only with those who look at the letter.
    fn exhume(&self, ledger: &mut Ledger<T>, letter: Arc<DeadLetter<T>>) -> u32 {
        let (envelope, history) = match Arc::try_unwrap(letter) {
            Ok(letter) => (letter.envelope, letter.history),
            Err(letter) => (letter.envelope.clone(), letter.history.clone()),
        };
        let seat = envelope.seat();
        let key =
            ledger.admit(envelope, State::Dead, u32::from(planted!("a-redrive-starts-at-two")), self.side.now_ms());
        ledger.entry(key).history = history;
        ledger.entry(key).pass.turn = Turn::First;
        if let Some(pos) = seat {
            ledger.set_late(pos, key);
        }
        key
    }

    /// Those who wait for room in the store move in, as far as there is some.
    fn move_up(&self, ledger: &mut Ledger<T>) {
        while !ledger.dead.is_full() && !planted!("the-parked-are-forgotten") {
            let Some(key) = ledger.next_parked() else { return };
            ledger.go(key, Trigger::Room);
            let id = ledger.entry(key).envelope.id;
            self.inter(ledger, key);
            ledger.aftermath.events.push(Event::DeadLettered { id });
        }
    }
}
