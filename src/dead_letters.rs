//! The dead-letter store: what could not be delivered, with its whole history. Bounded, and it never drops.

use crate::envelope::Envelope;
use crate::history::Attempt;
use crate::hub::Hub;
use crate::message::{Headers, MessageId};
use crate::ring::Door;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A message that is past its policy.
///
/// ```
/// use redeliver::{Filter, Fixed, ManualClock, Queue};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let queue = Queue::builder("mail")
///     .retry(Fixed::new(Duration::from_secs(1)).max_attempts(2))
///     .clock(clock.clone())
///     .open()?;
/// queue.producer().send("hello")?;
/// for error in ["timeout", "no such user"] {
///     queue.consumer().recv()?.nack(error)?;
///     clock.advance(Duration::from_secs(1));
/// }
/// let letters = queue.dead_letters().list(Filter::all());
/// assert_eq!(letters[0].message(), Some(&"hello"));
/// assert_eq!(letters[0].reason(), "no such user");
/// assert_eq!(letters[0].history()[0].error(), "timeout");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DeadLetter<T: Send + Sync + 'static> {
    pub(crate) envelope: Arc<Envelope<T>>,
    pub(crate) reason: Arc<str>,
    pub(crate) died_at: SystemTime,
    pub(crate) died_ms: u64,
    pub(crate) history: Arc<Vec<Attempt>>,
}

impl<T: Send + Sync + 'static> DeadLetter<T> {
    /// The message's id, the same as at its deliveries.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.envelope.id
    }

    /// The message. `None` if its bytes could not be decoded, which cannot happen in memory.
    #[must_use]
    pub fn message(&self) -> Option<&T> {
        Some(self.envelope.message())
    }

    /// Why it died: the text of its last error.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When it died, by the wall clock.
    #[must_use]
    pub fn died_at(&self) -> SystemTime {
        self.died_at
    }

    /// Its failed attempts, oldest first; of more than a thousand the newest.
    #[must_use]
    pub fn history(&self) -> &[Attempt] {
        &self.history
    }

    /// The key it was sent with.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.envelope.key.as_deref()
    }

    /// The headers it was sent with.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.envelope.headers
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for DeadLetter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("id", &self.id())
            .field("reason", &self.reason)
            .field("attempts", &self.history.len())
            .finish_non_exhaustive()
    }
}

/// Which dead letters are meant. Conditions add up.
///
/// ```
/// use redeliver::{Filter, Never, Queue};
///
/// let queue = Queue::builder("mail").retry(Never).open()?;
/// queue.producer().send("hello")?;
/// queue.consumer().recv()?.nack("no such user")?;
/// assert_eq!(queue.dead_letters().list(Filter::all().error_contains("such")).len(), 1);
/// assert!(queue.dead_letters().list(Filter::all().error_contains("timeout")).is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    error: Option<String>,
    age_min: Option<Duration>,
    key: Option<String>,
}

impl Filter {
    /// Every dead letter.
    #[must_use]
    pub fn all() -> Self {
        Filter::default()
    }

    /// Those with this text in their reason or in the error of one of their attempts.
    #[must_use]
    pub fn error_contains(mut self, text: impl Into<String>) -> Self {
        self.error = Some(text.into());
        self
    }

    /// Those that died longer ago than this, by the queue's clock.
    #[must_use]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.age_min = Some(age);
        self
    }

    /// Those that were sent with this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    fn matches<T: Send + Sync>(&self, letter: &DeadLetter<T>, now_ms: u64) -> bool {
        let says = |text: &str| letter.reason.contains(text) || letter.history.iter().any(|a| a.error.contains(text));
        self.error.as_deref().is_none_or(says)
            && self.key.as_deref().is_none_or(|key| letter.key() == Some(key))
            && self.age_min.is_none_or(|age| u128::from(now_ms.saturating_sub(letter.died_ms)) > age.as_millis())
    }
}

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

    /// Those that the filter names, in the order in which they died. All of them: there is no hidden limit.
    #[must_use]
    pub fn list(&self, filter: Filter) -> Vec<Arc<DeadLetter<T>>> {
        let now_ms = self.hub.side.now_ms();
        let letters: Vec<_> = self.hub.side.ledger.lock().dead.letters.values().cloned().collect();
        letters.into_iter().filter(|letter| filter.matches(letter, now_ms)).collect()
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

/// The store itself, under the hub's lock: by order of death, and by id.
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
