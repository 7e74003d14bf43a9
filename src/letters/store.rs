//! Where dead letters are kept, under the ledger's lock: in the order in which they died, and by id. Bounded, and it never
//! drops.

use super::{DeadLetter, Filter};
use crate::envelope::Envelope;
use crate::message::MessageId;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The letters of one queue. Each death has a number of its own, so a letter that died twice is not taken for its former self.
pub(crate) struct DeadStore<T: Send + Sync + 'static> {
    letters: BTreeMap<u64, Arc<DeadLetter<T>>>,
    by_id: HashMap<MessageId, u64>,
    deaths: u64,
    capacity: usize,
}

/// How many texts a search compares, about, before it lets go of the lock.
const LOOKS_MAX: usize = 4096;

/// A filter on its way through the store, in several steps. It takes no reference to a letter that it passes by: that would
/// make the message look shared to whoever has it redriven meanwhile.
pub(crate) struct Search {
    filter: Filter,
    now_ms: u64,
    /// How many may still be found.
    left: usize,
    looked_at: u64,
    /// The last death before the search began.
    last: u64,
}

impl<T: Send + Sync + 'static> DeadStore<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        DeadStore { letters: BTreeMap::new(), by_id: HashMap::new(), deaths: 0, capacity }
    }

    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<&Arc<DeadLetter<T>>> {
        self.letters.get(self.by_id.get(&id)?)
    }

    /// The envelope of a letter that nobody else looks at.
    pub(crate) fn envelope_mut(&mut self, id: MessageId) -> Option<&mut Arc<Envelope<T>>> {
        let letter = self.letters.get_mut(self.by_id.get(&id)?)?;
        Arc::get_mut(letter).map(|letter| &mut letter.envelope)
    }

    /// Begins to look for those that the filter means, among those that are here now.
    pub(crate) fn search(&self, filter: Filter, now_ms: u64) -> Search {
        Search { left: filter.most(), filter, now_ms, looked_at: 0, last: self.deaths }
    }

    /// Goes on looking, for as long as the lock may be held: the next deaths that are meant, in order, or `None` at the end.
    pub(crate) fn look_on(&self, search: &mut Search) -> Option<Vec<u64>> {
        let (mut meant, mut budget) = (Vec::new(), LOOKS_MAX);
        for (&death, letter) in self.letters.range(search.looked_at + 1..) {
            if search.left == 0 || death > search.last {
                break;
            }
            if budget == 0 {
                return Some(meant);
            }
            budget = budget.saturating_sub(1 + letter.history.len());
            search.looked_at = death;
            if search.filter.matches(letter, search.now_ms) {
                search.left -= 1;
                meant.push(death);
            }
        }
        search.left = 0;
        (!meant.is_empty()).then_some(meant)
    }

    pub(crate) fn at(&self, death: u64) -> Option<&Arc<DeadLetter<T>>> {
        self.letters.get(&death)
    }

    pub(crate) fn insert(&mut self, letter: DeadLetter<T>) {
        self.deaths += 1;
        self.by_id.insert(letter.id(), self.deaths);
        self.letters.insert(self.deaths, Arc::new(letter));
    }

    pub(crate) fn remove(&mut self, id: MessageId) -> Option<Arc<DeadLetter<T>>> {
        self.letters.remove(&self.by_id.remove(&id)?)
    }

    /// The letter of this death, if it is still here.
    pub(crate) fn remove_death(&mut self, death: u64) -> Option<Arc<DeadLetter<T>>> {
        let letter = self.letters.remove(&death)?;
        self.by_id.remove(&letter.id());
        Some(letter)
    }

    pub(crate) fn take_all(&mut self) -> BTreeMap<u64, Arc<DeadLetter<T>>> {
        self.by_id.clear();
        std::mem::take(&mut self.letters)
    }
}
