//! The dead: into the store, out of it again, and who moves up when there is room.

use super::*;
use crate::events::Event;
use crate::filter::Filter;
use crate::letter::DeadLetter;
use crate::lifecycle::{State, Trigger};
use crate::panics::drop_contained;

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

    /// Those that the filter means, in the order in which they died, each with the number of its death. The lock is held for
    /// as long as it takes to count references; a filter may look at a thousand errors of each letter.
    pub(crate) fn chosen(&self, filter: &Filter) -> Vec<(u64, Arc<DeadLetter<T>>)> {
        let now_ms = self.side.now_ms();
        let letters = self.side.ledger.lock().dead.letters();
        let (mut chosen, most) = (Vec::new(), filter.most());
        for (death, letter) in letters {
            if chosen.len() < most && filter.matches(&letter, now_ms) {
                chosen.push((death, letter));
            } else {
                drop_contained(letter); // meanwhile we may have become the last to look at it
            }
        }
        chosen
    }

    /// Brings a dead letter back to life at attempt 1. False: there is none with this id.
    pub(crate) fn redrive(&self, id: MessageId) -> bool {
        let mut ledger = self.side.ledger.lock();
        let Some(letter) = ledger.dead.remove(id) else { return false };
        let key = self.exhume(&mut ledger, letter);
        ledger.go(key, Trigger::Redrive);
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
        let key = ledger.admit(envelope, State::Dead, 0, self.side.now_ms());
        ledger.entry(key).history = history;
        if let Some(pos) = seat {
            ledger.set_late(pos, key);
        }
        key
    }

    /// Those who wait for room in the store move in, as far as there is some.
    fn move_up(&self, ledger: &mut Ledger<T>) {
        while !ledger.dead.is_full() {
            let Some(key) = ledger.next_parked() else { return };
            ledger.go(key, Trigger::Room);
            let id = ledger.entry(key).envelope.id;
            self.inter(ledger, key);
            ledger.aftermath.events.push(Event::DeadLettered { id });
        }
    }
}
