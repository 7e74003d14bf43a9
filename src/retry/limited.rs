//! Limits around a policy that has none of its own.
//!
//! Promises: what the policy inside gives up stays given up; what it retries is capped, spread and ended as `limits` says.

use std::borrow::Cow;
use std::time::Duration;

use super::limits::Limits;
use super::{Decision, Failure, PolicyError, Promise, RetryPolicy};

/// A policy with limits around it, as [`RetryPolicyExt`](crate::RetryPolicyExt) makes them.
///
/// ```
/// use redeliver::{Cause, Decision, Failure, Immediate, Limited, RetryPolicy};
///
/// let policy: Limited<Immediate> = Immediate.max_attempts(2);
/// assert!(matches!(policy.decide(&Failure::new(1, Cause::Panicked)), Decision::Retry { .. }));
/// assert_eq!(policy.decide(&Failure::new(2, Cause::Panicked)), Decision::DeadLetter);
/// assert_eq!(policy.name(), "Immediate"); // limits have no name of their own
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited<P> {
    policy: P,
    limits: Limits,
}

impl<P: RetryPolicy> Limited<P> {
    /// `policy` with the one limit that `set` sets.
    pub(super) fn set(policy: P, set: impl FnOnce(&mut Limits)) -> Self {
        Self { policy, limits: Limits::open() }.limit(set)
    }

    fn limit(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        set(&mut self.limits);
        self
    }
}

combinators!([P: RetryPolicy] Limited<P> => Self);

impl<P: RetryPolicy> RetryPolicy for Limited<P> {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        match self.policy.decide(&self.limits.inside(failure)) {
            Decision::Retry { after } => self.limits.decide(failure, after, after),
            given_up => given_up,
        }
    }

    fn name(&self) -> Cow<'static, str> {
        self.policy.name()
    }

    fn promise(&self) -> Promise {
        self.limits.promise(self.policy.promise())
    }

    fn check(&self) -> Result<(), PolicyError> {
        self.limits.check(self.name(), None)?;
        self.policy.check()
    }
}
