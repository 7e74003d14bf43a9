//! Which dead letters are meant.

use crate::letter::DeadLetter;
use std::time::Duration;

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

    pub(crate) fn matches<T: Send + Sync>(&self, letter: &DeadLetter<T>, now_ms: u64) -> bool {
        let says = |text: &str| letter.reason.contains(text) || letter.history.iter().any(|a| a.error.contains(text));
        self.error.as_deref().is_none_or(says)
            && self.key.as_deref().is_none_or(|key| letter.key() == Some(key))
            && self.age_min.is_none_or(|age| u128::from(now_ms.saturating_sub(letter.died_ms)) > age.as_millis())
    }
}
