//! A schedule, seen before it happens.
//!
//! Promises: nothing is known here about any policy. A preview asks `decide`, as the queue does, about failures in a row,
//! so it is right for a policy of the user's too. Chance: the decision shown is that of the middle draw; the shortest and
//! the longest delay are the extremes of a set of draws that holds 0 and `u64::MAX`, where every built-in jitter has its
//! ends, and 62 more, for policies that draw in a way of their own.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::{Cause, Decision, Failure, RetryPolicy};

const MIDDLE: u64 = 1 << 63;

/// What a policy would decide about a number of failures in a row; it ends at the first give-up.
///
/// It takes each attempt for one that fails at once, with a `nack`, so elapsed time is waiting time, as the middle draws
/// add it up. Bounds are exact for the built-in policies, unless `max_elapsed` cuts through the range of a delay: then they
/// are the shortest and the longest of the draws tried that still retry. The preview of a policy with two jitters around
/// one another, or with one of your own, is as good as 64 draws are.
///
/// ```
/// use redeliver::{Decision, Exponential, Jitter};
/// use std::time::Duration;
///
/// let policy = Exponential::new(Duration::from_secs(1)).jitter(Jitter::Equal).max_attempts(3);
/// let preview = policy.preview(100);
/// assert_eq!(
///     preview.to_string(),
///     "Exponential\n\
///      attempt 1 fails: retry after 500ms to 1s\n\
///      attempt 2 fails: retry after 1s to 2s\n\
///      attempt 3 fails: dead letter, 1.5s to 3s after the first failure\n",
/// );
/// let last = preview.steps().last().unwrap();
/// assert_eq!(last.decision(), Decision::DeadLetter);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    rule: Cow<'static, str>,
    steps: Vec<Step>,
}

impl Preview {
    /// What `policy` would decide about `n` failures in a row.
    pub(super) fn of<P: RetryPolicy + ?Sized>(policy: &P, n: u32) -> Self {
        let mut steps = Vec::new();
        let mut before: Option<Step> = None;
        let mut elapsed = Duration::ZERO;
        for attempt in 1..=n {
            let step = Step::of(policy, attempt, elapsed, before);
            steps.push(step);
            let Decision::Retry { after } = step.decision else { break };
            elapsed = elapsed.saturating_add(after);
            before = Some(step);
        }
        Self { rule: policy.name(), steps }
    }

    /// The failures, the first one first: at most as many as were asked for, and none after a give-up.
    ///
    /// ```
    /// use redeliver::Immediate;
    ///
    /// assert_eq!(Immediate.preview(4).steps().len(), 4);
    /// assert_eq!(Immediate.preview(99).steps().len(), 16); // the last one is a give-up
    /// ```
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.rule)?;
        let (mut shortest, mut longest) = (Duration::ZERO, Duration::ZERO);
        for step in &self.steps {
            write!(f, "attempt {} fails: ", step.attempt)?;
            if let Decision::Retry { .. } = step.decision {
                writeln!(f, "retry after {}", Range(step.shortest, step.longest))?;
            } else {
                writeln!(f, "{}, {} after the first failure", step.decision, Range(shortest, longest))?;
            }
            shortest = shortest.saturating_add(step.shortest);
            longest = longest.saturating_add(step.longest);
        }
        Ok(())
    }
}

/// `2s`, or `1s to 2s`.
struct Range(Duration, Duration);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(shortest, longest) = self;
        if shortest == longest { write!(f, "{shortest:?}") } else { write!(f, "{shortest:?} to {longest:?}") }
    }
}

/// One failure in a [`Preview`].
///
/// ```
/// use redeliver::{Decision, Fixed, Jitter};
/// use std::time::Duration;
///
/// let preview = Fixed::new(Duration::from_secs(10)).jitter(Jitter::Full).max_attempts(2).preview(2);
/// let [first, second] = preview.steps() else { unreachable!() };
/// assert_eq!(first.attempt(), 1);
/// assert_eq!((first.shortest(), first.longest()), (Duration::ZERO, Duration::from_secs(10)));
/// assert_eq!(second.decision(), Decision::DeadLetter);
/// assert_eq!((second.shortest(), second.longest()), (Duration::ZERO, Duration::ZERO)); // nothing to wait for
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    attempt: u32,
    decision: Decision,
    shortest: Duration,
    longest: Duration,
}

impl Step {
    fn of<P: RetryPolicy + ?Sized>(policy: &P, attempt: u32, elapsed: Duration, before: Option<Self>) -> Self {
        let decide = |random, previous: Option<Duration>| {
            let failure = Failure::new(attempt, Cause::Nack(&SomeError)).with_elapsed(elapsed).with_random(random);
            policy.decide(&previous.map_or(failure, |delay| failure.with_previous_delay(delay)))
        };
        let decision = decide(MIDDLE, before.and_then(Self::after));
        let mut step = Self { attempt, decision, shortest: Duration::ZERO, longest: Duration::ZERO };
        let Some(after) = step.after() else { return step };
        (step.shortest, step.longest) = (after, after);
        // A delay may grow out of the one before: its extremes grow out of the extremes before.
        for random in draws() {
            for previous in [before.map(|step| step.shortest), before.map(|step| step.longest)] {
                if let Decision::Retry { after } = decide(random, previous) {
                    step.shortest = step.shortest.min(after);
                    step.longest = step.longest.max(after);
                }
            }
        }
        step
    }

    fn after(self) -> Option<Duration> {
        match self.decision {
            Decision::Retry { after } => Some(after),
            _ => None,
        }
    }

    /// Which attempt fails, from 1.
    ///
    /// ```
    /// assert_eq!(redeliver::Immediate.preview(3).steps()[2].attempt(), 3);
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What the policy decides. Where chance plays a part, `after` is the delay of the middle draw.
    ///
    /// ```
    /// use redeliver::{Decision, Fixed, Jitter, Never};
    /// use std::time::Duration;
    ///
    /// let preview = Fixed::new(Duration::from_secs(4)).jitter(Jitter::Full).preview(1);
    /// assert_eq!(preview.steps()[0].decision(), Decision::Retry { after: Duration::from_secs(2) });
    /// assert_eq!(Never.preview(1).steps()[0].decision(), Decision::DeadLetter);
    /// ```
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// The shortest delay that chance can bring; zero at a give-up.
    ///
    /// ```
    /// use redeliver::{Fixed, Jitter};
    /// use std::time::Duration;
    ///
    /// let preview = Fixed::new(Duration::from_secs(4)).jitter(Jitter::Equal).preview(16);
    /// assert_eq!(preview.steps()[0].shortest(), Duration::from_secs(2));
    /// assert_eq!(preview.steps()[15].shortest(), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn shortest(&self) -> Duration {
        self.shortest
    }

    /// The longest delay that chance can bring; zero at a give-up.
    ///
    /// ```
    /// use redeliver::{Fixed, Jitter};
    /// use std::time::Duration;
    ///
    /// let preview = Fixed::new(Duration::from_secs(4)).jitter(Jitter::Percent(50)).preview(16);
    /// assert_eq!(preview.steps()[0].longest(), Duration::from_secs(6));
    /// assert_eq!(preview.steps()[15].longest(), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

/// Both ends, the middle, and 61 numbers spread over the range that differ in their low bits as well, for a policy that
/// looks at those.
fn draws() -> impl Iterator<Item = u64> {
    /// 2^64 divided by the golden ratio: its multiples cover the range evenly (Knuth, volume 3, section 6.4).
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    [0, MIDDLE, u64::MAX].into_iter().chain((1..=61).map(|n: u64| n.wrapping_mul(GOLDEN)))
}

/// What goes wrong in a preview.
#[derive(Debug)]
struct SomeError;

impl fmt::Display for SomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a failure in a preview")
    }
}

impl Error for SomeError {}
