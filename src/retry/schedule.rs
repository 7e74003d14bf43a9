//! A list of delays, and RocketMQ's levels.

use std::borrow::Cow;
use std::time::Duration;

use super::limits::Limits;
use super::{Decision, Failure, PolicyError, PolicyErrorKind, Promise, RetryPolicy};

/// A delay from a list for every failure. It ends after its list: `n` delays make `n + 1` deliveries.
///
/// `max_attempts` and `max_elapsed` can end it earlier, not later; its own `forever` goes on with the last delay.
///
/// ```
/// use redeliver::{Cause, Decision, Failure, Schedule, RetryPolicy};
/// use std::time::Duration;
///
/// let policy = Schedule::new([Duration::from_secs(1), Duration::from_secs(60)]);
/// assert_eq!(policy.decide(&Failure::new(2, Cause::Dropped)), Decision::Retry { after: Duration::from_secs(60) });
/// assert_eq!(policy.decide(&Failure::new(3, Cause::Dropped)), Decision::DeadLetter);
///
/// let endless = policy.forever();
/// assert_eq!(endless.decide(&Failure::new(99, Cause::Dropped)), Decision::Retry { after: Duration::from_secs(60) });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Borrowed for a preset: its length is a default and no promise.
    delays: Cow<'static, [Duration]>,
    limits: Limits,
}

const fn secs<const N: usize>(secs: [u64; N]) -> [Duration; N] {
    let mut delays = [Duration::ZERO; N];
    let mut n = 0;
    while n < N {
        delays[n] = Duration::from_secs(secs[n]);
        n += 1;
    }
    delays
}

/// 10 s, 30 s, 1 … 10 min, 20 min, 30 min, 1 h, 2 h.
static ROCKETMQ: [Duration; 16] =
    secs([10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200]);

impl Schedule {
    /// Waits for the first of `delays` after the first failure, and so on.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, Promise, RetryPolicy, Schedule};
    /// use std::time::Duration;
    ///
    /// let policy = Schedule::new((1..=3).map(Duration::from_secs));
    /// assert_eq!(policy.promise(), Promise::Deliveries(4));
    ///
    /// // A queue does not open with an empty list. Meanwhile it is a `Never`.
    /// let empty = Schedule::new([]);
    /// assert!(empty.check().is_err());
    /// assert_eq!(empty.decide(&Failure::new(1, Cause::Dropped)), Decision::DeadLetter);
    /// ```
    #[must_use]
    pub fn new(delays: impl IntoIterator<Item = Duration>) -> Self {
        Self { delays: Cow::Owned(delays.into_iter().collect()), limits: Limits::open() }
    }

    /// RocketMQ's delay levels for retries: 10 s, 30 s, 1 … 10 min by the minute, 20 min, 30 min, 1 h, 2 h; 16 retries, so
    /// 17 deliveries.
    ///
    /// Source: `CustomizedRetryPolicy` in RocketMQ's `org.apache.rocketmq.common.subscription`; its first two levels, 1 s
    /// and 5 s, are skipped there for retries too.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, RetryPolicy, Schedule};
    /// use std::time::Duration;
    ///
    /// let policy = Schedule::rocketmq();
    /// let decide = |attempt| policy.decide(&Failure::new(attempt, Cause::Dropped));
    /// assert_eq!(decide(1), Decision::Retry { after: Duration::from_secs(10) });
    /// assert_eq!(decide(16), Decision::Retry { after: Duration::from_hours(2) });
    /// assert_eq!(decide(17), Decision::DeadLetter);
    /// ```
    #[must_use]
    pub const fn rocketmq() -> Self {
        Self { delays: Cow::Borrowed(&ROCKETMQ), limits: Limits::open() }
    }

    fn limit(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        set(&mut self.limits);
        self
    }
}

combinators!([] Schedule => Self);

impl RetryPolicy for Schedule {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        let (Some(&first), Some(&last)) = (self.delays.first(), self.delays.last()) else {
            return Decision::DeadLetter;
        };
        // An attempt number that no index can hold lies past any list.
        let index = usize::try_from(failure.attempt().saturating_sub(1)).unwrap_or(usize::MAX);
        match self.delays.get(index) {
            Some(&delay) => self.limits.decide(failure, delay, first),
            None if self.limits.is_forever() => self.limits.decide(failure, last, first),
            None => Decision::DeadLetter,
        }
    }

    fn promise(&self) -> Promise {
        let listed = match &self.delays {
            Cow::Borrowed(_) => Promise::None,
            Cow::Owned(_) if self.limits.is_forever() => Promise::None,
            Cow::Owned(delays) => {
                Promise::Deliveries(u32::try_from(delays.len()).unwrap_or(u32::MAX).saturating_add(1))
            }
        };
        self.limits.promise(listed)
    }

    fn check(&self) -> Result<(), PolicyError> {
        if self.delays.is_empty() {
            return Err(PolicyError::new(self.name(), PolicyErrorKind::EmptySchedule));
        }
        self.limits.check(self.name(), self.delays.first().copied())
    }
}
