//! The two ends of patience: at once, and never again.
//!
//! Promises: neither has a setting, so both are plain values. Limits around them make a `Limited`.

use std::time::Duration;

use super::limits::{DEFAULT_ATTEMPTS_MAX, Limits};
use super::{Decision, Failure, Limited, Promise, RetryPolicy};

/// Again at once. For failures that pass by themselves; anything that is really down gets hammered.
///
/// It ends after 16 attempts unless `max_attempts`, `max_elapsed` or `forever` says otherwise.
///
/// ```
/// use redeliver::{Cause, Decision, Failure, Immediate, RetryPolicy};
/// use std::time::Duration;
///
/// assert_eq!(Immediate.decide(&Failure::new(15, Cause::Dropped)), Decision::Retry { after: Duration::ZERO });
/// assert_eq!(Immediate.decide(&Failure::new(16, Cause::Dropped)), Decision::DeadLetter);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Immediate;

impl Immediate {
    fn limit(self, set: impl FnOnce(&mut Limits)) -> Limited<Self> {
        Limited::set(self, set)
    }
}

combinators!([] Immediate => Limited<Self>);

impl RetryPolicy for Immediate {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        Limits::ends_after(DEFAULT_ATTEMPTS_MAX).decide(failure, Duration::ZERO, Duration::ZERO)
    }
}

/// No retry at all: the first failure makes a dead letter. Its use is beside another policy, with `when` or `then`.
///
/// Limits put around it change nothing.
///
/// ```
/// use redeliver::{Cause, Decision, Failure, Fixed, Never, RetryPolicy};
/// use std::time::Duration;
///
/// assert_eq!(Never.decide(&Failure::new(1, Cause::Dropped)), Decision::DeadLetter);
///
/// // Only a lost lease is worth a second delivery.
/// let policy = Never.when(|f| matches!(f.cause(), Cause::LeaseExpired), Fixed::new(Duration::from_secs(5)));
/// assert!(matches!(policy.decide(&Failure::new(1, Cause::LeaseExpired)), Decision::Retry { .. }));
/// assert_eq!(policy.decide(&Failure::new(1, Cause::Panicked)), Decision::DeadLetter);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Never;

impl Never {
    fn limit(self, set: impl FnOnce(&mut Limits)) -> Limited<Self> {
        Limited::set(self, set)
    }
}

combinators!([] Never => Limited<Self>);

impl RetryPolicy for Never {
    fn decide(&self, _: &Failure<'_>) -> Decision {
        Decision::DeadLetter
    }

    fn promise(&self) -> Promise {
        Promise::Deliveries(1)
    }
}
