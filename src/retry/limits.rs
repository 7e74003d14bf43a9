//! When a policy gives up, and how its delays are capped and spread: one set of limits for every policy.
//!
//! Promises: the limits of a failure are applied in one order, whatever order they were written in: the end by attempts,
//! the cap, the jitter around what the cap left, the end by elapsed time (with the delay as it was drawn). The built-in
//! policies hold a [`Limits`] each, `Limited` puts one around any other policy. How the combinators look to users:
//! `combinators` and `ext`.

use std::borrow::Cow;
use std::time::Duration;

use super::jitter::Around;
use super::{Decision, Failure, Jitter, PolicyError, PolicyErrorKind, Promise};

/// Where a built-in policy ends if nobody says anything: after this many attempts.
pub(super) const DEFAULT_ATTEMPTS_MAX: u32 = 16;

/// After how many attempts a policy ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nobody said anything: after this many. It gives way to anything that is said, here or around.
    Default(u32),
    /// Left to the policy inside, or to its own list.
    Open,
    /// `max_attempts`.
    After(u32),
    /// `forever`.
    Never,
}

/// The limits of one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    end: End,
    elapsed_max: Option<Duration>,
    delay_max: Option<Duration>,
    jitter: Jitter,
}

impl Limits {
    const fn new(end: End) -> Self {
        Self { end, elapsed_max: None, delay_max: None, jitter: Jitter::None }
    }

    /// Of a built-in policy: it ends after `attempts` unless told otherwise.
    pub(super) const fn ends_after(attempts: u32) -> Self {
        Self::new(End::Default(attempts))
    }

    /// No limits at all.
    pub(super) const fn open() -> Self {
        Self::new(End::Open)
    }

    pub(super) fn max_attempts(&mut self, attempts: u32) {
        self.end = End::After(attempts);
    }

    pub(super) fn max_elapsed(&mut self, elapsed: Duration) {
        self.elapsed_max = Some(elapsed);
    }

    pub(super) fn max_delay(&mut self, delay: Duration) {
        self.delay_max = Some(delay);
    }

    pub(super) fn jitter(&mut self, jitter: Jitter) {
        self.jitter = jitter;
    }

    pub(super) fn forever(&mut self) {
        self.end = End::Never;
        self.elapsed_max = None;
    }

    /// Whether `forever` was the last word.
    pub(super) fn is_forever(&self) -> bool {
        self.end == End::Never
    }

    /// The decision about `failure`, for a policy that would wait for `delay` now and waited for `first` at first.
    pub(super) fn decide(&self, failure: &Failure<'_>, delay: Duration, first: Duration) -> Decision {
        if self
            .attempts_max(failure)
            .is_some_and(|max| failure.attempt() >= max + u32::from(planted!("one-attempt-too-many")))
        {
            return Decision::DeadLetter;
        }
        let delay_max = self.delay_max.unwrap_or(Duration::MAX);
        let around = Around {
            delay: if planted!("a-delay-has-no-cap") { delay } else { delay.min(delay_max) },
            first: first.min(delay_max),
            delay_max,
        };
        let after = self.jitter.draw(around, failure);
        if self.elapsed_max.is_some_and(|max| failure.elapsed().saturating_add(after) > max) {
            return Decision::DeadLetter;
        }
        Decision::Retry { after }
    }

    fn attempts_max(&self, failure: &Failure<'_>) -> Option<u32> {
        match self.end {
            End::Default(max) => (self.elapsed_max.is_none() && failure.default_end()).then_some(max),
            End::After(max) => Some(max),
            End::Open | End::Never => None,
        }
    }

    /// `failure` as a policy inside these limits gets to see it.
    pub(super) fn inside<'a>(&self, failure: &Failure<'a>) -> Failure<'a> {
        let mut inner = *failure;
        if self.elapsed_max.is_some() || matches!(self.end, End::After(_) | End::Never) {
            inner = inner.without_default_end();
        }
        if self.jitter != Jitter::None {
            // Two draws from the same bits would agree: both short or both long. A draw is decided by its upper bits, so
            // the inner one gets them from the other side. The extremes stay where they are, which `preview` relies on.
            inner = inner.with_random(failure.random().reverse_bits());
        }
        inner
    }

    /// What these limits promise, for a policy that promises `inner` without them.
    pub(super) fn promise(&self, inner: Promise) -> Promise {
        match (self.end, inner) {
            (End::After(max), Promise::Deliveries(inner)) => Promise::Deliveries(max.min(inner)),
            (End::After(max), _) => Promise::Deliveries(max),
            (End::Never, Promise::None) if self.elapsed_max.is_none() => Promise::Forever,
            // What ends by the clock promises no number.
            (_, Promise::Forever) if self.elapsed_max.is_some() => Promise::None,
            _ => inner,
        }
    }

    /// `first` is the policy's first delay, where there is one to compare the cap with.
    pub(super) fn check(&self, place: Cow<'static, str>, first: Option<Duration>) -> Result<(), PolicyError> {
        let fault = |kind| PolicyError::new(place, kind);
        if self.end == End::After(0) {
            return Err(fault(PolicyErrorKind::NoAttempts));
        }
        if let (Some(delay_max), Some(first)) = (self.delay_max, first)
            && delay_max < first
        {
            return Err(fault(PolicyErrorKind::MaxDelay { delay_max, first }));
        }
        self.jitter.check().map_err(fault)
    }
}
