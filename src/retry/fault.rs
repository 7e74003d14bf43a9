//! What can be wrong with the settings of a policy.
//!
//! Promises: an error says which setting, of which policy, and what to write instead. Policies are built by chained calls
//! that cannot fail, so a fault is kept as it was written and reported by `check`, which a queue calls when it opens.

use std::borrow::Cow;
use std::time::Duration;

/// The settings of a [`RetryPolicy`](crate::RetryPolicy) make no sense; see [`RetryPolicy::check`](crate::RetryPolicy::check).
///
/// ```
/// use redeliver::{PolicyErrorKind, RetryPolicy, Schedule};
///
/// let error = Schedule::new([]).check().unwrap_err();
/// assert_eq!(error.kind(), &PolicyErrorKind::EmptySchedule);
/// assert_eq!(error.to_string(), "Schedule: the list of delays is empty; name at least one, or use Never");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct PolicyError {
    place: Cow<'static, str>,
    kind: PolicyErrorKind,
}

impl PolicyError {
    /// An error of the policy called `place`. For a policy of your own, [`PolicyErrorKind::Other`] takes any text.
    ///
    /// ```
    /// use redeliver::{Cause, Decision, Failure, PolicyError, PolicyErrorKind, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// struct Every(Vec<u64>);
    ///
    /// impl RetryPolicy for Every {
    ///     fn decide(&self, failure: &Failure<'_>) -> Decision {
    ///         match self.0.first() {
    ///             Some(&secs) => Decision::Retry { after: Duration::from_secs(secs) },
    ///             None => Decision::DeadLetter,
    ///         }
    ///     }
    ///
    ///     fn check(&self) -> Result<(), PolicyError> {
    ///         let missing = || PolicyErrorKind::Other("no interval; name one".into());
    ///         if self.0.is_empty() { Err(PolicyError::new("Every", missing())) } else { Ok(()) }
    ///     }
    /// }
    ///
    /// assert!(Every(vec![5]).check().is_ok());
    /// assert_eq!(Every(vec![]).check().unwrap_err().to_string(), "Every: no interval; name one");
    /// ```
    #[must_use]
    pub fn new(place: impl Into<Cow<'static, str>>, kind: PolicyErrorKind) -> Self {
        Self { place: place.into(), kind }
    }

    /// Where: the name of the policy, with the way to it where it is part of another.
    ///
    /// ```
    /// use redeliver::{Immediate, RetryPolicy, Schedule};
    ///
    /// assert_eq!(Schedule::new([]).check().unwrap_err().place(), "Schedule");
    /// assert_eq!(Immediate.then(2, Schedule::new([])).check().unwrap_err().place(), "then(2, …): Schedule");
    /// ```
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong.
    ///
    /// ```
    /// use redeliver::{Fixed, PolicyErrorKind, RetryPolicy};
    /// use std::time::Duration;
    ///
    /// let none_at_all = Fixed::new(Duration::from_secs(1)).max_attempts(0);
    /// assert_eq!(none_at_all.check().unwrap_err().kind(), &PolicyErrorKind::NoAttempts);
    /// ```
    #[must_use]
    pub fn kind(&self) -> &PolicyErrorKind {
        &self.kind
    }

    /// The same error, seen from the policy around.
    pub(super) fn inside(self, way: &str) -> Self {
        Self { place: format!("{way}: {}", self.place).into(), kind: self.kind }
    }
}

/// Which setting is at fault, and how.
///
/// ```
/// use redeliver::PolicyErrorKind;
///
/// let kind = PolicyErrorKind::Percent { percent: 150 };
/// assert_eq!(kind.to_string(), "jitter of 150 percent would wait for less than nothing; name at most 100");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyErrorKind {
    /// `factor` is below 1, infinite or not a number.
    #[error("factor({factor}) is no growth; name a finite number of at least 1, or leave it out for 2")]
    Factor {
        /// As it was set.
        factor: f64,
    },
    /// A `Schedule` without delays.
    #[error("the list of delays is empty; name at least one, or use Never")]
    EmptySchedule,
    /// `max_delay` is shorter than the policy's first delay, so no delay would be what was asked for.
    #[error("max_delay({delay_max:?}) is below the first delay of {first:?}; raise the one or lower the other")]
    MaxDelay {
        /// As it was set.
        delay_max: Duration,
        /// The policy's first delay.
        first: Duration,
    },
    /// A jitter of more than 100 percent.
    #[error("jitter of {percent} percent would wait for less than nothing; name at most 100")]
    Percent {
        /// As it was set.
        percent: u8,
    },
    /// `max_attempts(0)`: a message that was sent is delivered at least once.
    #[error("max_attempts(0) forbids the first delivery too; name at least 1, or use Never")]
    NoAttempts,
    /// The second policy of a `then` never has its turn.
    #[error(
        "attempt {from} never comes, because the policy before ends after {ends}; raise its max_attempts or lower {from}"
    )]
    Unreachable {
        /// The first attempt that the second policy would decide.
        from: u32,
        /// The last attempt that the first policy lets happen.
        ends: u32,
    },
    /// What a policy of the user's says of itself.
    #[error("{0}")]
    Other(Cow<'static, str>),
}
