//! What has happened to a message: one entry per failed attempt.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// As many entries as a history keeps; of a message that failed more often the oldest are dropped.
pub(crate) const ATTEMPTS_MAX: usize = 1000;

/// A failed attempt: when, why, and what was decided.
///
/// ```
/// use redeliver::{Fixed, ManualClock, Queue};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let queue = Queue::builder("jobs").retry(Fixed::new(Duration::from_secs(5))).clock(clock.clone()).open()?;
/// queue.producer().send("job")?;
/// let consumer = queue.consumer();
/// assert!(consumer.recv()?.history().is_empty()); // dropped: the first attempt fails
/// clock.advance(Duration::from_secs(5));
///
/// let delivery = consumer.recv()?;
/// let first = &delivery.history()[0];
/// assert_eq!((first.attempt(), first.delay()), (1, Some(Duration::from_secs(5))));
/// assert_eq!(first.error(), "the delivery was dropped without being settled");
/// # delivery.ack()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    pub(crate) attempt: u32,
    pub(crate) at: SystemTime,
    pub(crate) error: Arc<str>,
    pub(crate) delay: Option<Duration>,
    pub(crate) rule: Arc<str>,
}

impl Attempt {
    /// The number of the delivery (or of the send, for a message that was never accepted), from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When it failed, by the wall clock.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// The error's text, or what became of the delivery.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// How long the message then had to wait; `None` if it was given up.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// The rule that chose: the policy's name, or the queue's own rule (`nack_after`, `reject`, `max_deliveries`, …).
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("attempt", &self.attempt)
            .field("error", &self.error)
            .field("delay", &self.delay)
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}
