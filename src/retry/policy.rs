//! The trait that decides, its answer, and the ways a closure or a shared pointer becomes a policy.
//!
//! Promises: every method but `decide` is provided, so one closure is a whole policy; the trait can be made into an
//! object. What a policy decides about is `failure`, how policies are combined is `ext`.

use std::any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, PolicyError};

/// Decides what becomes of a message whose send or whose handler failed.
///
/// A policy is a pure function of the [`Failure`]: it reads no clock, does not sleep and has no random source of its own
/// (chance comes as [`Failure::random`]). The same failure always gets the same decision, so a schedule can be tested and
/// previewed. A closure is a policy (see [`policy_fn`]), and so is an `Arc` of one.
///
/// The combinators (`max_attempts`, `jitter`, `when`, …) come to your own policies through
/// [`RetryPolicyExt`](crate::RetryPolicyExt).
///
/// ```
/// use redeliver::{Cause, Decision, Failure, RetryPolicy};
/// use std::time::Duration;
///
/// /// Waits ten seconds three times, and never repeats what killed the process.
/// struct Careful;
///
/// impl RetryPolicy for Careful {
///     fn decide(&self, failure: &Failure<'_>) -> Decision {
///         match failure.cause() {
///             Cause::ProcessDied => Decision::DeadLetter,
///             _ if failure.attempt() > 3 => Decision::DeadLetter,
///             _ => Decision::Retry { after: Duration::from_secs(10) },
///         }
///     }
/// }
///
/// let lost = Failure::new(1, Cause::LeaseExpired);
/// assert_eq!(Careful.decide(&lost), Decision::Retry { after: Duration::from_secs(10) });
/// assert_eq!(Careful.decide(&Failure::new(4, Cause::LeaseExpired)), Decision::DeadLetter);
/// assert_eq!(Careful.decide(&Failure::new(1, Cause::ProcessDied)), Decision::DeadLetter);
/// assert_eq!(Careful.name(), "Careful");
/// ```
pub trait RetryPolicy: Send + Sync + 'static {
    /// What becomes of the message after this failure.
    ///
    /// A policy that panics makes the message a dead letter, with the panic as its reason.
    fn decide(&self, failure: &Failure<'_>) -> Decision;

    /// The name recorded as the rule of an attempt in the message's history. It is the short name of the type unless the
    /// policy says otherwise; a closure is named after the function that it stands in.
    ///
    /// ```
    /// use redeliver::{Exponential, Never, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// assert_eq!(Exponential::new(Duration::from_secs(1)).name(), "Exponential");
    /// let mixed = Exponential::new(Duration::from_secs(1)).when(|f| f.attempt() > 2, Never);
    /// assert_eq!(mixed.name(), "Exponential or Never"); // both: a name does not know the failure
    /// ```
    fn name(&self) -> Cow<'static, str> {
        short_name(any::type_name::<Self>())
    }

    /// How many deliveries the policy was explicitly told to make.
    ///
    /// A queue refuses, when it opens, a policy that promises more than the queue's own `max_deliveries` would let it
    /// keep. A policy that promises nothing, the provided answer, is never refused for it.
    ///
    /// ```
    /// use redeliver::{Fixed, Promise, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// let fixed = Fixed::new(Duration::from_secs(1));
    /// assert_eq!(fixed.promise(), Promise::None); // the default end after 16 attempts is no promise
    /// assert_eq!(fixed.clone().max_attempts(40).promise(), Promise::Deliveries(40));
    /// assert_eq!(fixed.forever().promise(), Promise::Forever);
    /// ```
    fn promise(&self) -> Promise {
        Promise::None
    }

    /// Whether the settings make sense. A queue asks once, when it opens, and does not open on an error.
    ///
    /// # Errors
    /// Names the setting at fault, the policy that it belongs to, and what to write instead. Even then `decide` is safe:
    /// it does what the nearest sane setting would do.
    ///
    /// ```
    /// use redeliver::{Exponential, PolicyErrorKind, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// let shrinking = Exponential::new(Duration::from_secs(1)).factor(0.5);
    /// assert!(matches!(shrinking.check().unwrap_err().kind(), PolicyErrorKind::Factor { .. }));
    /// assert!(shrinking.factor(1.5).check().is_ok());
    /// ```
    fn check(&self) -> Result<(), PolicyError> {
        Ok(())
    }
}

/// The answer of a [`RetryPolicy`].
///
/// ```
/// use redeliver::Decision;
/// use std::time::Duration;
///
/// assert_eq!(Decision::Retry { after: Duration::from_millis(1500) }.to_string(), "retry after 1.5s");
/// assert_eq!(Decision::DeadLetter.to_string(), "dead letter");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Hand the message over again once `after` has passed since the failure.
    Retry {
        /// The delay, zero for at once.
        after: Duration,
    },
    /// Give up and keep the message, with its history, among the dead letters.
    DeadLetter,
    /// Give up and forget the message: nobody needs it any more.
    Discard,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { after } => write!(f, "retry after {after:?}"),
            Self::DeadLetter => f.write_str("dead letter"),
            Self::Discard => f.write_str("discard"),
        }
    }
}

/// How many deliveries a policy was explicitly told to make, see [`RetryPolicy::promise`].
///
/// Promises are ordered by how much they promise.
///
/// ```
/// use redeliver::Promise;
///
/// assert!(Promise::None < Promise::Deliveries(1));
/// assert!(Promise::Deliveries(17) > Promise::Deliveries(16));
/// assert!(Promise::Deliveries(u32::MAX) < Promise::Forever);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Promise {
    /// No number was named.
    #[default]
    None,
    /// This many deliveries in all, the first one included.
    Deliveries(u32),
    /// As many as it takes.
    Forever,
}

/// Gives a bare closure its type, so that it can be stored in a variable and still be a policy.
///
/// Without it, the compiler fixes the lifetime of the closure's argument too early.
///
/// ```
/// use redeliver::{Cause, Decision, Failure, RetryPolicy, policy_fn};
/// use std::time::Duration;
///
/// let twice = policy_fn(|failure| match failure.attempt() {
///     1 | 2 => Decision::Retry { after: Duration::ZERO },
///     _ => Decision::Discard,
/// });
/// assert_eq!(twice.decide(&Failure::new(2, Cause::Dropped)), Decision::Retry { after: Duration::ZERO });
/// assert_eq!(twice.decide(&Failure::new(3, Cause::Dropped)), Decision::Discard);
/// ```
pub fn policy_fn<F>(f: F) -> F
where
    F: Fn(&Failure<'_>) -> Decision + Send + Sync + 'static,
{
    f
}

impl<F> RetryPolicy for F
where
    F: Fn(&Failure<'_>) -> Decision + Send + Sync + 'static,
{
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        self(failure)
    }
}

/// A pointer to a policy answers every question as the policy itself does.
macro_rules! behind_a_pointer {
    () => {
        fn decide(&self, failure: &Failure<'_>) -> Decision {
            (**self).decide(failure)
        }

        fn name(&self) -> Cow<'static, str> {
            (**self).name()
        }

        fn promise(&self) -> Promise {
            (**self).promise()
        }

        fn check(&self) -> Result<(), PolicyError> {
            (**self).check()
        }
    };
}

impl<P: RetryPolicy + ?Sized> RetryPolicy for Arc<P> {
    behind_a_pointer!();
}

// Not for every `Box<P>`: a box of a closure is a closure, and has the implementation above already.
impl RetryPolicy for Box<dyn RetryPolicy> {
    behind_a_pointer!();
}

/// `redeliver::retry::When<my::Policy>` becomes `When<Policy>`, `my::handlers::{{closure}}` becomes
/// `closure in handlers`. The compiler promises no spelling of type names, so this only makes them readable.
fn short_name(long: &str) -> Cow<'static, str> {
    if let Some(function) = long.strip_suffix("::{{closure}}") {
        let function = function.trim_end_matches("::{{closure}}");
        return Cow::Owned(format!("closure in {}", short_name(function)));
    }
    let mut short = String::with_capacity(long.len());
    let mut word = 0; // where the path that is being written begins
    for c in long.chars() {
        short.push(c);
        if short.ends_with("::") {
            short.truncate(word);
        } else if !(c.is_alphanumeric() || matches!(c, '_' | ':' | '{' | '}' | '#')) {
            word = short.len();
        }
    }
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short() {
        assert_eq!(short_name("redeliver::retry::fixed::Fixed"), "Fixed");
        assert_eq!(short_name("a::When<b::c::Fixed, core::option::Option<d::E>>"), "When<Fixed, Option<E>>");
        assert_eq!(short_name("my_app::main::{{closure}}"), "closure in main");
        assert_eq!(short_name("my_app::main::{{closure}}::{{closure}}"), "closure in main");
        assert_eq!(short_name("Bare"), "Bare");
        assert_eq!(short_name(""), "");
    }
}
