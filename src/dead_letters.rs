//! The dead letters of a queue, as their owner works with them: look, bring back.

use crate::filter::Filter;
use crate::hub::Hub;
use crate::letter::DeadLetter;
use crate::message::MessageId;
use crate::ring::Door;
use std::fmt;
use std::sync::Arc;

/// The dead letters of a queue. A handle like any other: it keeps the queue's memory, and not the queue open.
///
/// ```
/// use redeliver::{Never, Queue};
///
/// let queue = Queue::builder("mail").retry(Never).open()?;
/// let id = queue.producer().send("hello")?;
/// queue.consumer().recv()?.nack("no such user")?;
///
/// let dead = queue.dead_letters();
/// assert_eq!(dead.get(id).unwrap().reason(), "no such user");
/// assert!(dead.redrive(id)); // ready once more
/// assert!(!dead.redrive(id)); // it is no dead letter any more
/// let delivery = queue.consumer().recv()?;
/// assert_eq!((delivery.id(), delivery.attempt()), (id, 1));
/// # delivery.ack()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DeadLetters<T: Send + Sync + 'static> {
    hub: Door<Hub<T>>,
}

impl<T: Send + Sync + 'static> DeadLetters<T> {
    pub(crate) fn new(hub: Door<Hub<T>>) -> Self {
        DeadLetters { hub }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hub.side.ledger.lock().dead.len()
    }

    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that the filter means, in the order in which they died. All of them: there is no hidden limit.
    #[must_use]
    pub fn list(&self, filter: Filter) -> Vec<Arc<DeadLetter<T>>> {
        self.hub.chosen(&filter).into_iter().map(|(_, letter)| letter).collect()
    }

    /// The one with this id.
    #[must_use]
    pub fn get(&self, id: MessageId) -> Option<Arc<DeadLetter<T>>> {
        self.hub.side.ledger.lock().dead.get(id).cloned()
    }

    /// Brings one back: it is ready again, with its id and history, and starts again at attempt 1. Enters even when the
    /// queue is full, and sends wait. False if there is no such dead letter.
    pub fn redrive(&self, id: MessageId) -> bool {
        self.hub.redrive(id)
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for DeadLetters<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters").field("len", &self.len()).finish()
    }
}
