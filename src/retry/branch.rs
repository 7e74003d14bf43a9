//! Two policies in one: by the kind of failure, or by the number of the attempt.
//!
//! Promises: exactly one of the two decides a failure, and it sees the failure as it is. A fault of either is reported
//! with the way to it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::limits::Limits;
use super::{Decision, Failure, Limited, PolicyError, PolicyErrorKind, Promise, RetryPolicy};

/// A policy that leaves some failures to another, as `when` makes it.
///
/// ```
/// use redeliver::{Cause, Decision, Failure, Fixed, Immediate, RetryPolicy};
/// use std::time::Duration;
///
/// // A full queue is worth a second; everything else is tried again at once. Five deliveries either way.
/// let policy = Immediate
///     .when(|failure| matches!(failure.cause(), Cause::Full), Fixed::new(Duration::from_secs(1)))
///     .max_attempts(5);
/// assert_eq!(policy.decide(&Failure::new(1, Cause::Full)), Decision::Retry { after: Duration::from_secs(1) });
/// assert_eq!(policy.decide(&Failure::new(1, Cause::Dropped)), Decision::Retry { after: Duration::ZERO });
/// assert_eq!(policy.decide(&Failure::new(5, Cause::Full)), Decision::DeadLetter);
/// ```
#[derive(Clone)]
pub struct When<P, F, O> {
    policy: P,
    predicate: F,
    other: O,
}

impl<P, F, O> When<P, F, O>
where
    P: RetryPolicy,
    F: Fn(&Failure<'_>) -> bool + Send + Sync + 'static,
    O: RetryPolicy,
{
    pub(super) fn new(policy: P, predicate: F, other: O) -> Self {
        Self { policy, predicate, other }
    }

    fn limit(self, set: impl FnOnce(&mut Limits)) -> Limited<Self> {
        Limited::set(self, set)
    }
}

combinators!(
    [P: RetryPolicy, F: Fn(&Failure<'_>) -> bool + Send + Sync + 'static, O: RetryPolicy]
    When<P, F, O> => Limited<Self>
);

impl<P, F, O> RetryPolicy for When<P, F, O>
where
    P: RetryPolicy,
    F: Fn(&Failure<'_>) -> bool + Send + Sync + 'static,
    O: RetryPolicy,
{
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        if (self.predicate)(failure) { self.other.decide(failure) } else { self.policy.decide(failure) }
    }

    fn name(&self) -> Cow<'static, str> {
        format!("{} or {}", self.policy.name(), self.other.name()).into()
    }

    fn promise(&self) -> Promise {
        self.policy.promise().max(self.other.promise())
    }

    fn check(&self) -> Result<(), PolicyError> {
        self.policy.check()?;
        self.other.check().map_err(|error| error.inside("when(…)"))
    }
}

impl<P: fmt::Debug, F, O: fmt::Debug> fmt::Debug for When<P, F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("When").field("policy", &self.policy).field("other", &self.other).finish_non_exhaustive()
    }
}

/// A policy that hands over to another from some attempt on, as `then` makes it.
///
/// ```
/// use redeliver::{Exponential, Immediate, PolicyErrorKind, RetryPolicy};
/// use std::time::Duration;
///
/// // Twice at once, then patiently: attempt 3 is the first whose failure waits, and it waits for 4 s.
/// let policy = Immediate.then(3, Exponential::new(Duration::from_secs(1)).max_attempts(10));
/// assert_eq!(policy.preview(10).steps()[2].longest(), Duration::from_secs(4));
/// assert!(policy.check().is_ok());
///
/// let unreachable = Immediate.max_attempts(2).then(3, Exponential::new(Duration::from_secs(1)));
/// assert_eq!(unreachable.check().unwrap_err().kind(), &PolicyErrorKind::Unreachable { from: 3, ends: 2 });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Then<P, O> {
    policy: P,
    from: u32,
    other: O,
}

impl<P: RetryPolicy, O: RetryPolicy> Then<P, O> {
    pub(super) fn new(policy: P, from: u32, other: O) -> Self {
        Self { policy, from, other }
    }

    fn limit(self, set: impl FnOnce(&mut Limits)) -> Limited<Self> {
        Limited::set(self, set)
    }

    /// After how many deliveries the first policy is sure to have ended, where that is before the other's turn.
    fn ends_before(&self) -> Option<u32> {
        match self.policy.promise() {
            Promise::Deliveries(ends) if ends < self.from => Some(ends),
            _ => None,
        }
    }
}

combinators!([P: RetryPolicy, O: RetryPolicy] Then<P, O> => Limited<Self>);

impl<P: RetryPolicy, O: RetryPolicy> RetryPolicy for Then<P, O> {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        if failure.attempt() >= self.from {
            self.other.decide(failure)
        } else {
            self.policy.decide(&failure.without_default_end())
        }
    }

    fn name(&self) -> Cow<'static, str> {
        format!("{}, from attempt {} {}", self.policy.name(), self.from, self.other.name()).into()
    }

    fn promise(&self) -> Promise {
        match self.ends_before() {
            Some(ends) => Promise::Deliveries(ends),
            None => self.other.promise().max(Promise::Deliveries(self.from)),
        }
    }

    fn check(&self) -> Result<(), PolicyError> {
        self.policy.check()?;
        let way = format!("then({}, …)", self.from);
        self.other.check().map_err(|error| error.inside(&way))?;
        self.ends_before()
            .map_or(Ok(()), |ends| Err(PolicyError::new(way, PolicyErrorKind::Unreachable { from: self.from, ends })))
    }
}
