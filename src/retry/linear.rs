//! A delay that grows by the same step every time, and RabbitMQ's schedule.

use std::time::Duration;

use super::limits::{DEFAULT_ATTEMPTS_MAX, Limits};
use super::{Decision, Failure, PolicyError, Promise, RetryPolicy};

/// A delay that grows by the same step: after attempt `n` it is `first + step * (n - 1)`.
///
/// It ends after 16 attempts unless `max_attempts`, `max_elapsed` or `forever` says otherwise.
///
/// ```
/// use redeliver::{Cause, Decision, Failure, Linear, RetryPolicy};
/// use std::time::Duration;
///
/// let policy = Linear::new(Duration::from_secs(10), Duration::from_secs(5));
/// assert_eq!(policy.decide(&Failure::new(1, Cause::Dropped)), Decision::Retry { after: Duration::from_secs(10) });
/// assert_eq!(policy.decide(&Failure::new(4, Cause::Dropped)), Decision::Retry { after: Duration::from_secs(25) });
/// assert_eq!(policy.decide(&Failure::new(16, Cause::Dropped)), Decision::DeadLetter);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    first: Duration,
    step: Duration,
    limits: Limits,
}

impl Linear {
    /// Waits for `first` after the first failure, and for `step` more after every further one.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, Linear, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// // The sum stops at the longest duration there is.
    /// let policy = Linear::new(Duration::from_secs(1), Duration::MAX).max_attempts(3);
    /// assert_eq!(policy.decide(&Failure::new(2, Cause::Dropped)), Decision::Retry { after: Duration::MAX });
    /// assert_eq!(policy.decide(&Failure::new(3, Cause::Dropped)), Decision::DeadLetter);
    /// ```
    #[must_use]
    pub const fn new(first: Duration, step: Duration) -> Self {
        Self { first, step, limits: Limits::ends_after(DEFAULT_ATTEMPTS_MAX) }
    }

    /// The delayed retry of RabbitMQ's quorum queues (from 4.3): after delivery `n` it is `min(min * n, max)`, with `min`
    /// and `max` as in the queue's arguments `x-delayed-retry-min` and `x-delayed-retry-max`.
    ///
    /// Source: the [quorum queue guide](https://www.rabbitmq.com/docs/quorum-queues). The number of deliveries is not
    /// part of it there (`x-delivery-limit`, 20 by default), and is the default of 16 here.
    ///
    /// ```
    /// use redeliver::{Linear, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// let policy = Linear::rabbitmq(Duration::from_secs(2), Duration::from_secs(5));
    /// let secs: Vec<_> = policy.preview(4).steps().iter().map(|step| step.longest().as_secs()).collect();
    /// assert_eq!(secs, [2, 4, 5, 5]);
    ///
    /// assert!(Linear::rabbitmq(Duration::from_secs(2), Duration::from_secs(1)).check().is_err());
    /// ```
    #[must_use]
    pub fn rabbitmq(min: Duration, max: Duration) -> Self {
        Self::new(min, min).max_delay(max)
    }

    fn limit(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        set(&mut self.limits);
        self
    }
}

combinators!([] Linear => Self);

impl RetryPolicy for Linear {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        let steps = failure.attempt().saturating_sub(1);
        let delay = self.first.saturating_add(self.step.saturating_mul(steps));
        self.limits.decide(failure, delay, self.first)
    }

    fn promise(&self) -> Promise {
        self.limits.promise(Promise::None)
    }

    fn check(&self) -> Result<(), PolicyError> {
        self.limits.check(self.name(), Some(self.first))
    }
}
