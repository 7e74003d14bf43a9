//! A delay that grows by the same factor every time, and the schedules of Kafka's producer and of RocketMQ.
//!
//! Promises: whole factors are exact to the nanosecond, other factors to the precision of `f64` and the same on every
//! platform; both stop at `Duration::MAX` (RocketMQ's own arithmetic turns negative for large factors). The cap comes
//! before the jitter.

use std::time::Duration;

use super::delay::power;
use super::limits::{DEFAULT_ATTEMPTS_MAX, Limits};
use super::{Decision, Failure, Jitter, PolicyError, PolicyErrorKind, Promise, RetryPolicy};

const FACTOR: f64 = 2.0;

/// A delay that grows by the same factor: after attempt `n` it is `first * factor^(n - 1)`, with a factor of 2 unless
/// [`factor`](Exponential::factor) says otherwise.
///
/// Give it a `max_delay`, and a [`Jitter`] where many messages may fail together. It ends after 16 attempts unless
/// `max_attempts`, `max_elapsed` or `forever` says otherwise.
///
/// ```
/// use redeliver::{Cause, Decision, Exponential, Failure, RetryPolicy};
/// use std::time::Duration;
///
/// let policy = Exponential::new(Duration::from_secs(1)).max_delay(Duration::from_secs(300)).max_attempts(12);
/// let decide = |attempt| policy.decide(&Failure::new(attempt, Cause::Dropped));
/// assert_eq!(decide(1), Decision::Retry { after: Duration::from_secs(1) });
/// assert_eq!(decide(5), Decision::Retry { after: Duration::from_secs(16) });
/// assert_eq!(decide(11), Decision::Retry { after: Duration::from_secs(300) });
/// assert_eq!(decide(12), Decision::DeadLetter);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Exponential {
    first: Duration,
    factor: f64,
    limits: Limits,
}

impl Exponential {
    /// Waits for `first` after the first failure, and for twice as long after every further one.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Exponential, Failure, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// let policy = Exponential::new(Duration::from_millis(100));
    /// let third = policy.decide(&Failure::new(3, Cause::Dropped));
    /// assert_eq!(third, Decision::Retry { after: Duration::from_millis(400) });
    /// assert_eq!(policy.decide(&Failure::new(16, Cause::Dropped)), Decision::DeadLetter);
    /// ```
    #[must_use]
    pub const fn new(first: Duration) -> Self {
        Self { first, factor: FACTOR, limits: Limits::ends_after(DEFAULT_ATTEMPTS_MAX) }
    }

    /// Grows by `factor` instead of 2. At least 1; it need not be whole.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Exponential, Failure, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// let policy = Exponential::new(Duration::from_secs(1)).factor(1.5);
    /// let third = policy.decide(&Failure::new(3, Cause::Dropped));
    /// assert_eq!(third, Decision::Retry { after: Duration::from_millis(2_250) });
    ///
    /// // A queue does not open with a factor that is none. Meanwhile the nearest sane one is used, here 1.
    /// let shrinking = policy.factor(0.5);
    /// assert!(shrinking.check().is_err());
    /// let third = shrinking.decide(&Failure::new(3, Cause::Dropped));
    /// assert_eq!(third, Decision::Retry { after: Duration::from_secs(1) });
    /// ```
    #[must_use = "a combinator returns the new policy"]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// The back-off of Kafka's producer with its defaults: 100 ms doubling to 1 s (`retry.backoff.ms`,
    /// `retry.backoff.max.ms`), spread by 20 % to both sides, ending 120 s after the first try (`delivery.timeout.ms`).
    ///
    /// Source: `ExponentialBackoff` in Kafka's `org.apache.kafka.common.utils`, KIP-580. One thing is better here: Kafka
    /// clips the spread at 1 s, so that half of its clients come back at exactly 1 s; this one spreads to 1.2 s.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Exponential, Failure, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// let preview = Exponential::kafka_producer().preview(5);
    /// let ms = |d: Duration| d.as_millis();
    /// let range: Vec<_> = preview.steps().iter().map(|step| (ms(step.shortest()), ms(step.longest()))).collect();
    /// assert_eq!(range, [(80, 120), (160, 240), (320, 480), (640, 960), (800, 1200)]);
    ///
    /// let late = Failure::new(130, Cause::Full).with_elapsed(Duration::from_secs(120));
    /// assert_eq!(Exponential::kafka_producer().decide(&late), Decision::DeadLetter);
    /// ```
    #[must_use]
    pub fn kafka_producer() -> Self {
        Self::new(Duration::from_millis(100))
            .max_delay(Duration::from_secs(1))
            .jitter(Jitter::Percent(20))
            .max_elapsed(Duration::from_mins(2))
    }

    /// RocketMQ's exponential retry with its defaults: 5 s doubling to 2 h, 16 retries (so 17 deliveries).
    ///
    /// Source: `ExponentialRetryPolicy` in RocketMQ's `org.apache.rocketmq.remoting.protocol.subscription`:
    /// `min(max, initial * multiplier^reconsumeTimes)` with an initial 5 s, a multiplier of 2 and a max of 2 h, where
    /// `reconsumeTimes` is 0 at the first failure; 16 is its `retryMaxTimes`.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Exponential, Failure, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// let policy = Exponential::rocketmq();
    /// let decide = |attempt| policy.decide(&Failure::new(attempt, Cause::Dropped));
    /// assert_eq!(decide(1), Decision::Retry { after: Duration::from_secs(5) });
    /// assert_eq!(decide(11), Decision::Retry { after: Duration::from_secs(5_120) });
    /// assert_eq!(decide(16), Decision::Retry { after: Duration::from_secs(7_200) });
    /// assert_eq!(decide(17), Decision::DeadLetter);
    /// ```
    #[must_use]
    pub fn rocketmq() -> Self {
        let first = Duration::from_secs(5);
        Self { first, factor: FACTOR, limits: Limits::ends_after(17) }.max_delay(Duration::from_hours(2))
    }

    /// The factor, or the nearest one that makes sense.
    fn sane_factor(&self) -> f64 {
        if self.factor.is_nan() { FACTOR } else { self.factor.clamp(1.0, f64::MAX) }
    }

    fn limit(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        set(&mut self.limits);
        self
    }
}

combinators!([] Exponential => Self);

impl RetryPolicy for Exponential {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        let delay = power(self.first, self.sane_factor(), failure.attempt().saturating_sub(1));
        self.limits.decide(failure, delay, self.first)
    }

    fn promise(&self) -> Promise {
        self.limits.promise(Promise::None)
    }

    fn check(&self) -> Result<(), PolicyError> {
        // Written so that a NaN is a fault: it is not equal to its sane value.
        if self.factor != self.sane_factor() {
            return Err(PolicyError::new(self.name(), PolicyErrorKind::Factor { factor: self.factor }));
        }
        self.limits.check(self.name(), Some(self.first))
    }
}
