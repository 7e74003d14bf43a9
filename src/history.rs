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
    pub(crate) error_type: Option<&'static str>,
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

    /// The name of the error's type, as `std::any::type_name` has it: of the value that was given to `nack`, `nack_after`,
    /// `reject` or `nack_all`. `None` where no type is known: the reason was a text or an error that was boxed already, or
    /// nobody gave one (a dropped delivery, a lost lease, a full queue).
    ///
    /// For people and for [`Filter::error_type`](crate::Filter::error_type): the compiler may name a type differently from
    /// one version to the next, so a program should decide by the error itself, which the policy gets to see.
    ///
    /// ```
    /// use redeliver::{Immediate, Queue};
    ///
    /// let queue = Queue::builder("jobs").retry(Immediate).open()?;
    /// queue.producer().send("job")?;
    /// queue.consumer().recv()?.nack(std::fmt::Error)?;
    /// queue.consumer().recv()?.nack("a text has no type to speak of")?;
    /// let delivery = queue.consumer().recv()?;
    /// let types: Vec<_> = delivery.history().iter().map(|attempt| attempt.error_type()).collect();
    /// assert_eq!(types, [Some("core::fmt::Error"), None]);
    /// # delivery.ack()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn error_type(&self) -> Option<&str> {
        self.error_type
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
            .field("error_type", &self.error_type)
            .field("delay", &self.delay)
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}
