//! A dead letter: a message that could not be delivered, why, and everything that was tried.

use crate::envelope::Envelope;
use crate::history::Attempt;
use crate::message::{Headers, MessageId};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

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

    /// When it died, by the wall clock; of one that had to wait for room in the store, when it found it.
    #[must_use]
    pub fn died_at(&self) -> SystemTime {
        self.died_at
    }

    /// When it was sent, by the wall clock: see [`Delivery::sent_at`](crate::Delivery::sent_at).
    #[must_use]
    pub fn sent_at(&self) -> SystemTime {
        self.envelope.sent_at
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
