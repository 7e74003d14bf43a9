//! The combinators as inherent methods, written once for every built-in policy.
//!
//! Promises: whoever uses a built-in policy imports no trait, and every combinator means the same on all of them: what
//! `limits` says. `combinators!([generics] Policy => Limited)` gives `Policy` the methods; those that set a limit return
//! `Limited`, which is the policy itself where it holds its own limits. It calls a private
//! `fn limit(self, set: impl FnOnce(&mut Limits)) -> Limited` of the policy. For other policies: `ext`.

macro_rules! combinators {
    ([$($generics:tt)*] $policy:ty => $limited:ty) => {
        impl<$($generics)*> $policy {
            /// Makes a dead letter of a message after `n` deliveries in all, the first one included. At least 1.
            ///
            /// It replaces the default end and an earlier `max_attempts` or `forever`. What was already said to a policy
            /// inside this one stays said.
            ///
            /// ```
            /// use redeliver::{Cause, Decision, Failure, Fixed, RetryPolicy};
            /// use std::time::Duration;
            ///
            /// let policy = Fixed::new(Duration::from_secs(1)).max_attempts(3);
            /// assert!(matches!(policy.decide(&Failure::new(2, Cause::Dropped)), Decision::Retry { .. }));
            /// assert_eq!(policy.decide(&Failure::new(3, Cause::Dropped)), Decision::DeadLetter);
            /// ```
            #[must_use = "a combinator returns the new policy"]
            pub fn max_attempts(self, n: u32) -> $limited {
                self.limit(|limits| limits.max_attempts(n))
            }

            /// Makes a dead letter of a message if the time since its first try plus the next delay is more than `d`.
            ///
            /// It replaces the default end, and adds to `max_attempts`.
            ///
            /// ```
            /// use redeliver::{Cause, Decision, Failure, Fixed, RetryPolicy};
            /// use std::time::Duration;
            ///
            /// let policy = Fixed::new(Duration::from_secs(10)).max_elapsed(Duration::from_secs(60));
            /// let after = |secs| Failure::new(40, Cause::Dropped).with_elapsed(Duration::from_secs(secs));
            /// assert!(matches!(policy.decide(&after(50)), Decision::Retry { .. }));
            /// assert_eq!(policy.decide(&after(51)), Decision::DeadLetter); // the retry would come after 61 s
            /// ```
            #[must_use = "a combinator returns the new policy"]
            pub fn max_elapsed(self, d: Duration) -> $limited {
                self.limit(|limits| limits.max_elapsed(d))
            }

            /// Caps every delay at `d`. Jitter is drawn around the capped delay, so `Jitter::Percent` may exceed `d` by its
            /// percentage.
            ///
            /// ```
            /// use redeliver::{Cause, Decision, Exponential, Failure, RetryPolicy};
            /// use std::time::Duration;
            ///
            /// let policy = Exponential::new(Duration::from_secs(1)).max_delay(Duration::from_secs(5));
            /// let fourth = policy.decide(&Failure::new(4, Cause::Dropped)); // 8 s without the cap
            /// assert_eq!(fourth, Decision::Retry { after: Duration::from_secs(5) });
            ///
            /// assert!(policy.max_delay(Duration::from_millis(1)).check().is_err()); // below the first delay
            /// ```
            #[must_use = "a combinator returns the new policy"]
            pub fn max_delay(self, d: Duration) -> $limited {
                self.limit(|limits| limits.max_delay(d))
            }

            /// Spreads the delays, see [`Jitter`](crate::Jitter).
            ///
            /// ```
            /// use redeliver::{Cause, Decision, Failure, Fixed, Jitter, RetryPolicy};
            /// use std::time::Duration;
            ///
            /// let policy = Fixed::new(Duration::from_secs(10)).jitter(Jitter::Equal);
            /// let drawn = policy.decide(&Failure::new(1, Cause::Dropped).with_random(0));
            /// assert_eq!(drawn, Decision::Retry { after: Duration::from_secs(5) });
            ///
            /// assert!(policy.jitter(Jitter::Percent(101)).check().is_err());
            /// ```
            #[must_use = "a combinator returns the new policy"]
            pub fn jitter(self, jitter: $crate::retry::Jitter) -> $limited {
                self.limit(|limits| limits.jitter(jitter))
            }

            /// Never gives up: lifts the default end, and `max_attempts` and `max_elapsed` if they came before.
            ///
            /// The queue refuses such a policy when it opens, until its own `max_deliveries` is lifted too.
            ///
            /// ```
            /// use redeliver::{Cause, Decision, Failure, Fixed, Promise, RetryPolicy};
            /// use std::time::Duration;
            ///
            /// let policy = Fixed::new(Duration::from_secs(1)).forever();
            /// assert!(matches!(policy.decide(&Failure::new(u32::MAX, Cause::Dropped)), Decision::Retry { .. }));
            /// assert_eq!(policy.promise(), Promise::Forever);
            ///
            /// let ends = policy.max_attempts(2); // the later word counts
            /// assert_eq!(ends.decide(&Failure::new(2, Cause::Dropped)), Decision::DeadLetter);
            /// ```
            #[must_use = "a combinator returns the new policy"]
            pub fn forever(self) -> $limited {
                self.limit(|limits| limits.forever())
            }

            /// Leaves the failures that match `predicate` to `other`, and decides the rest itself.
            ///
            /// Limits said before belong to this policy alone, limits said after to both.
            ///
            /// ```
            /// use redeliver::{Cause, Decision, Exponential, Failure, Never, RetryPolicy};
            /// use std::{io, time::Duration};
            ///
            /// let is_wrong_input =
            ///     |f: &Failure<'_>| f.error::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::InvalidData);
            /// let policy = Exponential::new(Duration::from_secs(1)).when(is_wrong_input, Never);
            ///
            /// let (timeout, invalid) = (io::ErrorKind::TimedOut.into(), io::ErrorKind::InvalidData.into());
            /// let decide = |error: &io::Error| policy.decide(&Failure::new(1, Cause::Nack(error)));
            /// assert_eq!(decide(&timeout), Decision::Retry { after: Duration::from_secs(1) });
            /// assert_eq!(decide(&invalid), Decision::DeadLetter);
            /// ```
            #[must_use = "a combinator returns the new policy"]
            pub fn when<Predicate, Other>(
                self,
                predicate: Predicate,
                other: Other,
            ) -> $crate::retry::When<Self, Predicate, Other>
            where
                Predicate: Fn(&$crate::retry::Failure<'_>) -> bool + Send + Sync + 'static,
                Other: $crate::retry::RetryPolicy,
            {
                $crate::retry::When::new(self, predicate, other)
            }

            /// Hands over to `other`: the failure of attempt `n` is the first that `other` decides.
            ///
            /// `other` sees the message's own attempt number, so a policy that ends after 16 attempts does so after the
            /// sixteenth in all. The default end of this policy is lifted: `n` says how far it goes.
            ///
            /// ```
            /// use redeliver::{Cause, Decision, Failure, Fixed, Immediate, RetryPolicy};
            /// use std::time::Duration;
            ///
            /// let policy = Immediate.then(3, Fixed::new(Duration::from_secs(60)).max_attempts(4));
            /// let decide = |attempt| policy.decide(&Failure::new(attempt, Cause::Dropped));
            /// assert_eq!(decide(2), Decision::Retry { after: Duration::ZERO });
            /// assert_eq!(decide(3), Decision::Retry { after: Duration::from_secs(60) });
            /// assert_eq!(decide(4), Decision::DeadLetter);
            /// ```
            #[must_use = "a combinator returns the new policy"]
            pub fn then<Other>(self, n: u32, other: Other) -> $crate::retry::Then<Self, Other>
            where
                Other: $crate::retry::RetryPolicy,
            {
                $crate::retry::Then::new(self, n, other)
            }

            /// What the policy would decide about `n` failures in a row, see [`Preview`](crate::Preview).
            ///
            /// ```
            /// use redeliver::{Decision, Exponential};
            /// use std::time::Duration;
            ///
            /// let preview = Exponential::new(Duration::from_secs(1)).max_attempts(3).preview(10);
            /// let decisions: Vec<_> = preview.steps().iter().map(|step| step.decision()).collect();
            /// let retry = |secs| Decision::Retry { after: Duration::from_secs(secs) };
            /// assert_eq!(decisions, [retry(1), retry(2), Decision::DeadLetter]); // and no further
            /// ```
            #[must_use]
            pub fn preview(&self, n: u32) -> $crate::retry::Preview {
                $crate::retry::Preview::of(self, n)
            }
        }
    };
}
