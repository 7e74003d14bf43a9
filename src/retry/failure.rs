//! What went wrong, as a policy gets to see it.
//!
//! Promises: a failure is a plain value with everything a policy may look at, borrowed from the message; a user can build
//! one to test a policy. It holds no payload. What can go wrong is `cause`; who fills a failure in at run time is the
//! ledger.

use std::error::Error;
use std::time::Duration;

use super::Cause;
use crate::message::Headers;

static NO_HEADERS: Headers = Headers::new();

/// One failed attempt, handed to [`RetryPolicy::decide`](crate::RetryPolicy::decide).
///
/// Build one with [`new`](Failure::new) and the `with_…` methods to test a policy of your own.
///
/// ```
/// use redeliver::{Cause, Failure};
/// use std::time::Duration;
///
/// let failure = Failure::new(3, Cause::LeaseExpired)
///     .with_elapsed(Duration::from_secs(70))
///     .with_previous_delay(Duration::from_secs(20))
///     .with_key("user-7")
///     .with_random(42);
/// assert_eq!(failure.attempt(), 3);
/// assert_eq!(failure.previous_delay(), Some(Duration::from_secs(20)));
///
/// let bare = Failure::new(1, Cause::Dropped);
/// assert_eq!((bare.previous_delay(), bare.key(), bare.random()), (None, None, 0));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    attempt: u32,
    elapsed: Duration,
    previous_delay: Option<Duration>,
    cause: Cause<'a>,
    key: Option<&'a str>,
    headers: &'a Headers,
    random: u64,
    default_end: bool,
}

impl<'a> Failure<'a> {
    /// The failure of attempt number `attempt`, with nothing else known: no time elapsed, no earlier delay, no key, no
    /// headers, a random number of 0. Attempts count from 1, and a 0 is taken for a 1.
    ///
    /// ```
    /// # use redeliver::{Cause, Failure};
    /// assert_eq!(Failure::new(2, Cause::Panicked).attempt(), 2);
    /// assert_eq!(Failure::new(0, Cause::Panicked).attempt(), 1);
    /// ```
    #[must_use]
    pub fn new(attempt: u32, cause: Cause<'a>) -> Self {
        Self {
            attempt: attempt.max(1),
            elapsed: Duration::ZERO,
            previous_delay: None,
            cause,
            key: None,
            headers: &NO_HEADERS,
            random: 0,
            default_end: true,
        }
    }

    /// Sets the time since the first try, zero if not set.
    ///
    /// ```
    /// # use redeliver::{Cause, Failure};
    /// # use std::time::Duration;
    /// let failure = Failure::new(2, Cause::Dropped).with_elapsed(Duration::from_secs(5));
    /// assert_eq!(failure.elapsed(), Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn with_elapsed(mut self, elapsed: Duration) -> Self {
        self.elapsed = elapsed;
        self
    }

    /// Sets how long the message waited before this attempt; not set, there was no earlier failure.
    ///
    /// ```
    /// # use redeliver::{Cause, Failure};
    /// # use std::time::Duration;
    /// let failure = Failure::new(2, Cause::Dropped).with_previous_delay(Duration::from_secs(1));
    /// assert_eq!(failure.previous_delay(), Some(Duration::from_secs(1)));
    /// ```
    #[must_use]
    pub fn with_previous_delay(mut self, delay: Duration) -> Self {
        self.previous_delay = Some(delay);
        self
    }

    /// Sets the message's key; not set, it has none.
    ///
    /// ```
    /// # use redeliver::{Cause, Failure};
    /// assert_eq!(Failure::new(1, Cause::Dropped).with_key("user-7").key(), Some("user-7"));
    /// ```
    #[must_use]
    pub fn with_key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets the message's headers; not set, there are none.
    ///
    /// ```
    /// # use redeliver::{Cause, Failure, Headers};
    /// let headers = Headers::from_iter([("tenant", "north")]);
    /// let failure = Failure::new(1, Cause::Dropped).with_headers(&headers);
    /// assert_eq!(failure.headers().get_str("tenant"), Some("north"));
    /// ```
    #[must_use]
    pub fn with_headers(mut self, headers: &'a Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the number that jitter draws from, 0 if not set. With 0 the built-in jitters draw their shortest delay, with
    /// `u64::MAX` their longest.
    ///
    /// ```
    /// # use redeliver::{Cause, Decision, Failure, Fixed, Jitter, RetryPolicy};
    /// # use std::time::Duration;
    /// let policy = Fixed::new(Duration::from_secs(10)).jitter(Jitter::Percent(20));
    /// let failure = Failure::new(1, Cause::Dropped);
    /// assert_eq!(policy.decide(&failure), Decision::Retry { after: Duration::from_secs(8) });
    /// assert_eq!(policy.decide(&failure.with_random(u64::MAX)), Decision::Retry { after: Duration::from_secs(12) });
    /// ```
    #[must_use]
    pub fn with_random(mut self, random: u64) -> Self {
        self.random = random;
        self
    }

    /// Which attempt failed. The first delivery is attempt 1.
    ///
    /// ```
    /// # use redeliver::{Decision, policy_fn};
    /// # use std::time::Duration;
    /// let policy = policy_fn(|failure| match failure.attempt() {
    ///     1 => Decision::Retry { after: Duration::from_secs(1) },
    ///     _ => Decision::DeadLetter,
    /// });
    /// # let _ = policy;
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The time since the first try began. A redrive starts it again.
    ///
    /// ```
    /// # use redeliver::{Cause, Failure};
    /// # use std::time::Duration;
    /// assert_eq!(Failure::new(1, Cause::Dropped).elapsed(), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// How long the message waited before this attempt, `None` at the first.
    ///
    /// ```
    /// # use redeliver::{Cause, Failure};
    /// assert_eq!(Failure::new(1, Cause::Dropped).previous_delay(), None);
    /// ```
    #[must_use]
    pub fn previous_delay(&self) -> Option<Duration> {
        self.previous_delay
    }

    /// What went wrong.
    ///
    /// ```
    /// # use redeliver::{Cause, Decision, policy_fn};
    /// let policy = policy_fn(|failure| match failure.cause() {
    ///     Cause::Panicked | Cause::ProcessDied => Decision::DeadLetter,
    ///     cause => panic!("this policy has no answer to {cause}"), // and so this is a dead letter too
    /// });
    /// # let _ = policy;
    /// ```
    #[must_use]
    pub fn cause(&self) -> Cause<'a> {
        self.cause
    }

    /// The error behind the failure, if there is one and it is an `E`: the reason given to `nack`, or the `io::Error` of a
    /// failed write. It looks at that error itself, not at its sources.
    ///
    /// ```
    /// use redeliver::{Cause, Failure};
    /// use std::{fmt, io};
    ///
    /// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    /// let failure = Failure::new(1, Cause::Nack(&refused));
    /// assert_eq!(failure.error::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    ///
    /// assert!(failure.error::<fmt::Error>().is_none()); // another error
    /// assert!(Failure::new(1, Cause::LeaseExpired).error::<io::Error>().is_none()); // no error at all
    /// ```
    #[must_use]
    pub fn error<E: Error + 'static>(&self) -> Option<&'a E> {
        match self.cause {
            Cause::Nack(error) => error.downcast_ref(),
            Cause::Storage(error) => (error as &(dyn Error + 'static)).downcast_ref(),
            _ => None,
        }
    }

    /// The message's key, if it has one.
    ///
    /// ```
    /// # use redeliver::{Cause, Failure};
    /// assert_eq!(Failure::new(1, Cause::Dropped).key(), None);
    /// ```
    #[must_use]
    pub fn key(&self) -> Option<&'a str> {
        self.key
    }

    /// The message's headers.
    ///
    /// ```
    /// # use redeliver::{Cause, Failure};
    /// assert!(Failure::new(1, Cause::Dropped).headers().is_empty());
    /// ```
    #[must_use]
    pub fn headers(&self) -> &'a Headers {
        self.headers
    }

    /// Evenly distributed bits: a hash of the queue's seed, the message's id and the attempt. It is the only source of
    /// chance that a policy has, so that a run can be repeated.
    ///
    /// ```
    /// # use redeliver::{Decision, policy_fn};
    /// # use std::time::Duration;
    /// // From one second to just below two.
    /// let policy = policy_fn(|failure| Decision::Retry {
    ///     after: Duration::from_millis(1_000 + failure.random() % 1_000),
    /// });
    /// # let _ = policy;
    /// ```
    #[must_use]
    pub fn random(&self) -> u64 {
        self.random
    }

    /// Whether a built-in policy should end where it ends by default.
    pub(super) fn default_end(&self) -> bool {
        self.default_end
    }

    /// The same failure, for a policy inside one that has been told how long to go on.
    pub(super) fn without_default_end(mut self) -> Self {
        self.default_end = false;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, io};

    use super::*;

    #[test]
    fn attempts_count_from_one() {
        assert_eq!([0, 1, 2, u32::MAX].map(|n| Failure::new(n, Cause::Full).attempt()), [1, 1, 2, u32::MAX]);
    }

    #[test]
    fn the_error_is_found_by_its_type_and_outlives_the_failure() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let boxed: Box<dyn Error + Send + Sync> = Box::new(fmt::Error);
        let found = Failure::new(1, Cause::Storage(&full)).error::<io::Error>();
        assert_eq!(found.map(io::Error::kind), Some(io::ErrorKind::StorageFull));
        assert_eq!(Failure::new(1, Cause::Nack(&*boxed)).error(), Some(&fmt::Error));
        assert!(Failure::new(1, Cause::Nack(&*boxed)).error::<io::Error>().is_none());
        assert!(Failure::new(1, Cause::Full).error::<io::Error>().is_none());
    }
}
