//! The same delay every time.

use std::time::Duration;

use super::limits::{DEFAULT_ATTEMPTS_MAX, Limits};
use super::{Decision, Failure, PolicyError, Promise, RetryPolicy};

/// The same delay after every failure.
///
/// It ends after 16 attempts unless `max_attempts`, `max_elapsed` or `forever` says otherwise.
///
/// ```
/// use redeliver::{Cause, Decision, Failure, Fixed, RetryPolicy};
/// use std::time::Duration;
///
/// let policy = Fixed::new(Duration::from_secs(30));
/// assert_eq!(policy.decide(&Failure::new(1, Cause::Dropped)), Decision::Retry { after: Duration::from_secs(30) });
/// assert_eq!(policy.decide(&Failure::new(15, Cause::Dropped)), Decision::Retry { after: Duration::from_secs(30) });
/// assert_eq!(policy.decide(&Failure::new(16, Cause::Dropped)), Decision::DeadLetter);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    delay: Duration,
    limits: Limits,
}

impl Fixed {
    /// Waits for `delay` after every failure. A delay of zero is [`Immediate`](crate::Immediate).
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, Fixed, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// let policy = Fixed::new(Duration::from_millis(250)).max_attempts(2);
    /// let delay = Decision::Retry { after: Duration::from_millis(250) };
    /// assert_eq!(policy.decide(&Failure::new(1, Cause::Dropped)), delay);
    /// assert_eq!(policy.decide(&Failure::new(2, Cause::Dropped)), Decision::DeadLetter);
    /// ```
    #[must_use]
    pub const fn new(delay: Duration) -> Self {
        Self { delay, limits: Limits::ends_after(DEFAULT_ATTEMPTS_MAX) }
    }

    fn limit(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        set(&mut self.limits);
        self
    }
}

combinators!([] Fixed => Self);

impl RetryPolicy for Fixed {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        self.limits.decide(failure, self.delay, self.delay)
    }

    fn promise(&self) -> Promise {
        self.limits.promise(Promise::None)
    }

    fn check(&self) -> Result<(), PolicyError> {
        self.limits.check(self.name(), Some(self.delay))
    }
}
