//! The combinators for policies that are not built in.
//!
//! Promises: every policy gets them, trait objects behind an `Arc` included, with the meaning that they have on the
//! built-in ones. Those have the same methods of their own, which the compiler prefers; their documentation, in
//! `combinators`, says the rest.

use std::time::Duration;

use super::{Failure, Jitter, Limited, Preview, RetryPolicy, Then, When};

/// The combinators of the built-in policies, for policies of your own.
///
/// ```
/// use redeliver::{Cause, Decision, Failure, Jitter, RetryPolicy, RetryPolicyExt, policy_fn};
/// use std::time::Duration;
///
/// let policy = policy_fn(|f| Decision::Retry { after: Duration::from_secs(u64::from(f.attempt())) })
///     .max_delay(Duration::from_secs(2))
///     .jitter(Jitter::Percent(50))
///     .max_attempts(4);
///
/// let third = Failure::new(3, Cause::Dropped); // 3 s, capped to 2 s, half of that to both sides
/// assert_eq!(policy.decide(&third.with_random(0)), Decision::Retry { after: Duration::from_secs(1) });
/// assert_eq!(policy.decide(&third.with_random(u64::MAX)), Decision::Retry { after: Duration::from_secs(3) });
/// assert_eq!(policy.decide(&Failure::new(4, Cause::Dropped)), Decision::DeadLetter);
/// ```
pub trait RetryPolicyExt: RetryPolicy {
    /// Makes a dead letter of what this policy would retry after `n` deliveries in all, the first one included.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, RetryPolicy, RetryPolicyExt, policy_fn};
    /// use std::time::Duration;
    ///
    /// let policy = policy_fn(|_| Decision::Retry { after: Duration::ZERO }).max_attempts(2);
    /// assert_eq!(policy.decide(&Failure::new(1, Cause::Full)), Decision::Retry { after: Duration::ZERO });
    /// assert_eq!(policy.decide(&Failure::new(2, Cause::Full)), Decision::DeadLetter);
    /// ```
    #[must_use = "a combinator returns the new policy"]
    fn max_attempts(self, n: u32) -> Limited<Self>
    where
        Self: Sized,
    {
        Limited::set(self, |limits| limits.max_attempts(n))
    }

    /// Makes a dead letter of what this policy would retry later than `d` after the first try.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, RetryPolicy, RetryPolicyExt, policy_fn};
    /// use std::time::Duration;
    ///
    /// let second = Duration::from_secs(1);
    /// let policy = policy_fn(move |_| Decision::Retry { after: second }).max_elapsed(60 * second);
    /// let failure = Failure::new(9, Cause::Full);
    /// assert_eq!(policy.decide(&failure.with_elapsed(59 * second)), Decision::Retry { after: second });
    /// assert_eq!(policy.decide(&failure.with_elapsed(60 * second)), Decision::DeadLetter);
    /// ```
    #[must_use = "a combinator returns the new policy"]
    fn max_elapsed(self, d: Duration) -> Limited<Self>
    where
        Self: Sized,
    {
        Limited::set(self, |limits| limits.max_elapsed(d))
    }

    /// Caps every delay at `d`, before jitter.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, RetryPolicy, RetryPolicyExt, policy_fn};
    /// use std::time::Duration;
    ///
    /// let policy = policy_fn(|_| Decision::Retry { after: Duration::MAX }).max_delay(Duration::from_secs(9));
    /// let failure = Failure::new(1, Cause::Full);
    /// assert_eq!(policy.decide(&failure), Decision::Retry { after: Duration::from_secs(9) });
    ///
    /// let never = policy_fn(|_| Decision::DeadLetter).max_delay(Duration::from_secs(9));
    /// assert_eq!(never.decide(&failure), Decision::DeadLetter); // a give-up stays one
    /// ```
    #[must_use = "a combinator returns the new policy"]
    fn max_delay(self, d: Duration) -> Limited<Self>
    where
        Self: Sized,
    {
        Limited::set(self, |limits| limits.max_delay(d))
    }

    /// Spreads the delays of this policy. For `Jitter::Decorrelated` its first delay is the one that it would wait for now.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, Jitter, RetryPolicy, RetryPolicyExt, policy_fn};
    /// use std::time::Duration;
    ///
    /// let policy = policy_fn(|_| Decision::Retry { after: Duration::from_secs(8) }).jitter(Jitter::Full);
    /// let failure = Failure::new(1, Cause::Full);
    /// assert_eq!(policy.decide(&failure.with_random(0)), Decision::Retry { after: Duration::ZERO });
    /// assert_eq!(policy.decide(&failure.with_random(u64::MAX)), Decision::Retry { after: Duration::from_secs(8) });
    /// assert!(policy.jitter(Jitter::Percent(200)).check().is_err());
    /// ```
    #[must_use = "a combinator returns the new policy"]
    fn jitter(self, jitter: Jitter) -> Limited<Self>
    where
        Self: Sized,
    {
        Limited::set(self, |limits| limits.jitter(jitter))
    }

    /// Promises that this policy goes on for as long as it takes, and lifts the limits put around it before. When it gives
    /// up by itself, it has given up.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, Promise, RetryPolicy, RetryPolicyExt, policy_fn};
    /// use std::time::Duration;
    ///
    /// let policy = policy_fn(|f| match f.cause() {
    ///     Cause::ProcessDied => Decision::DeadLetter,
    ///     _ => Decision::Retry { after: Duration::from_secs(1) },
    /// })
    /// .forever();
    /// assert_eq!(policy.promise(), Promise::Forever);
    /// assert_eq!(policy.decide(&Failure::new(1, Cause::ProcessDied)), Decision::DeadLetter);
    /// ```
    #[must_use = "a combinator returns the new policy"]
    fn forever(self) -> Limited<Self>
    where
        Self: Sized,
    {
        Limited::set(self, |limits| limits.forever())
    }

    /// Leaves the failures that match `predicate` to `other`, and decides the rest itself.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, Never, RetryPolicy, RetryPolicyExt, policy_fn};
    /// use std::time::Duration;
    ///
    /// let policy = policy_fn(|_| Decision::Retry { after: Duration::ZERO })
    ///     .when(|failure| failure.headers().get("once").is_some(), Never);
    /// let headers = redeliver::Headers::from_iter([("once", "")]);
    /// let failure = Failure::new(1, Cause::Dropped);
    /// assert_eq!(policy.decide(&failure), Decision::Retry { after: Duration::ZERO });
    /// assert_eq!(policy.decide(&failure.with_headers(&headers)), Decision::DeadLetter);
    /// ```
    #[must_use = "a combinator returns the new policy"]
    fn when<F, O>(self, predicate: F, other: O) -> When<Self, F, O>
    where
        Self: Sized,
        F: Fn(&Failure<'_>) -> bool + Send + Sync + 'static,
        O: RetryPolicy,
    {
        When::new(self, predicate, other)
    }

    /// Hands over to `other`: the failure of attempt `n` is the first that `other` decides, and it sees the message's own
    /// attempt number.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, Never, RetryPolicy, RetryPolicyExt, policy_fn};
    /// use std::time::Duration;
    ///
    /// let policy = policy_fn(|_| Decision::Retry { after: Duration::ZERO }).then(5, Never);
    /// assert_eq!(policy.decide(&Failure::new(4, Cause::Full)), Decision::Retry { after: Duration::ZERO });
    /// assert_eq!(policy.decide(&Failure::new(5, Cause::Full)), Decision::DeadLetter);
    /// ```
    #[must_use = "a combinator returns the new policy"]
    fn then<O: RetryPolicy>(self, n: u32, other: O) -> Then<Self, O>
    where
        Self: Sized,
    {
        Then::new(self, n, other)
    }

    /// What this policy would decide about `n` failures in a row.
    ///
    /// ```
    /// use redeliver::{Decision, RetryPolicyExt, policy_fn};
    /// use std::time::Duration;
    ///
    /// let policy = policy_fn(|failure| match failure.attempt() {
    ///     3 => Decision::Discard,
    ///     _ => Decision::Retry { after: Duration::from_millis(failure.random() % 100) },
    /// });
    /// let preview = policy.preview(10);
    /// assert!(preview.steps()[0].longest() < Duration::from_millis(100));
    /// assert_eq!(preview.steps().len(), 3); // it ends at the first give-up
    /// assert_eq!(preview.steps()[2].decision(), Decision::Discard);
    /// ```
    #[must_use]
    fn preview(&self, n: u32) -> Preview {
        Preview::of(self, n)
    }
}

impl<P: RetryPolicy + ?Sized> RetryPolicyExt for P {}
