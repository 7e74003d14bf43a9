//! Where dead letters are kept, under the ledger's lock: in the order in which they died, and by id. Bounded, and it never
//! drops.

use crate::envelope::Envelope;
use crate::letter::DeadLetter;
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

    /// All of them, in the order in which they died, each with the number of its death.
    pub(crate) fn letters(&self) -> Vec<(u64, Arc<DeadLetter<T>>)> {
        self.letters.iter().map(|(death, letter)| (*death, letter.clone())).collect()
    }

    pub(crate) fn insert(&mut self, letter: DeadLetter<T>) {
        self.deaths += 1;
        self.by_id.insert(letter.id(), self.deaths);
        self.letters.insert(self.deaths, Arc::new(letter));
    }

    pub(crate) fn remove(&mut self, id: MessageId) -> Option<Arc<DeadLetter<T>>> {
        self.letters.remove(&self.by_id.remove(&id)?)
    }

    pub(crate) fn take_all(&mut self) -> BTreeMap<u64, Arc<DeadLetter<T>>> {
        self.by_id.clear();
        std::mem::take(&mut self.letters)
    }
}
