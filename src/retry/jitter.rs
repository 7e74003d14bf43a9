//! Spreading delays, so that what failed together does not come back together.
//!
//! Promises: a draw is a pure function of the failure's random number; `None`, `Full` and `Equal` stay at or below the
//! delay that they spread, `Decorrelated` at or below the cap, `Percent` within its percentage on both sides. No draw is
//! clipped at the cap: the cap is applied first and the draw is made around what it left. Kafka clips, and then half of
//! its clients come back at the same moment, just when the herd is largest. The formulas are those of Marc Brooker,
//! "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

use super::delay::{percent, uniform};
use super::{Failure, PolicyErrorKind};

/// How a delay is spread by chance. `d` is the delay of the policy after `max_delay`.
///
/// See Marc Brooker, [Exponential Backoff And Jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
///
/// ```
/// use redeliver::{Cause, Decision, Exponential, Failure, Jitter, RetryPolicy};
/// use std::time::Duration;
///
/// let ms = |ms| Decision::Retry { after: Duration::from_millis(ms) };
/// let policy = Exponential::new(Duration::from_secs(1)).max_delay(Duration::from_secs(4)).jitter(Jitter::Percent(20));
///
/// // The fifth delay would be 16 s. It is capped first and spread then: never all of them at 4 s.
/// let fifth = Failure::new(5, Cause::Full);
/// assert_eq!(policy.decide(&fifth.with_random(0)), ms(3_200));
/// assert_eq!(policy.decide(&fifth.with_random(u64::MAX / 2)), ms(4_000));
/// assert_eq!(policy.decide(&fifth.with_random(u64::MAX)), ms(4_800));
///
/// // A percentage above 100 would wait for less than nothing.
/// assert!(policy.jitter(Jitter::Percent(101)).check().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// Exactly `d`.
    #[default]
    None,
    /// Between zero and `d`: the least work for whoever is being retried.
    Full,
    /// Between half of `d` and `d`: never at once.
    Equal,
    /// Between the policy's first delay and three times the delay before, at most `max_delay`. It grows on its own, by
    /// chance, and takes nothing from the policy but its first delay. Where AWS clips the draw at the cap, this narrows the
    /// range to the cap, so that delays do not pile up on it.
    Decorrelated,
    /// This percentage of `d` to both sides, so up to that much above `max_delay`. At most 100.
    Percent(u8),
}

/// What a draw is made around.
#[derive(Clone, Copy)]
pub(super) struct Around {
    /// The delay of this failure, capped.
    pub(super) delay: Duration,
    /// The policy's first delay, capped.
    pub(super) first: Duration,
    /// The cap.
    pub(super) delay_max: Duration,
}

impl Jitter {
    /// Draws the delay of this failure.
    pub(super) fn draw(self, around: Around, failure: &Failure<'_>) -> Duration {
        let Around { delay, first, delay_max } = around;
        match self {
            Self::None => delay,
            Self::Full if planted!("jitter-leaves-its-range") => {
                uniform(Duration::ZERO, delay + delay / 8, failure.random())
            }
            Self::Full => uniform(Duration::ZERO, delay, failure.random()),
            Self::Equal => uniform(delay / 2, delay, failure.random()),
            Self::Decorrelated => {
                let before = failure.previous_delay().unwrap_or(first);
                uniform(first, before.saturating_mul(3).min(delay_max), failure.random())
            }
            Self::Percent(part) => {
                let part = percent(delay, part.min(100));
                uniform(delay.saturating_sub(part), delay.saturating_add(part), failure.random())
            }
        }
    }

    pub(super) fn check(self) -> Result<(), PolicyErrorKind> {
        match self {
            Self::Percent(percent) if percent > 100 => Err(PolicyErrorKind::Percent { percent }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cause, tests::splitmix};
    use super::*;

    /// The shortest and the longest of 10^6 draws, and how many milliseconds of the range were hit.
    fn million(jitter: Jitter, around: Around, before: Duration) -> (u128, u128, usize) {
        let failure = Failure::new(7, Cause::Full).with_previous_delay(before);
        let mut hit = vec![false; 10_000];
        for seed in 0..1_000_000 {
            let drawn = jitter.draw(around, &failure.with_random(splitmix(seed)));
            hit[usize::try_from(drawn.as_millis()).expect("a few seconds")] = true;
        }
        let hits = || hit.iter().enumerate().filter(|(_, hit)| **hit).map(|(ms, _)| ms as u128);
        (hits().min().expect("drawn"), hits().max().expect("drawn"), hits().count())
    }

    #[test]
    fn a_million_draws_fill_their_range_and_never_leave_it() {
        let ms = Duration::from_millis;
        let around = Around { delay: ms(1000), first: ms(100), delay_max: ms(1000) };
        assert_eq!(million(Jitter::None, around, ms(500)), (1000, 1000, 1));
        assert_eq!(million(Jitter::Full, around, ms(500)), (0, 999, 1000));
        assert_eq!(million(Jitter::Equal, around, ms(500)), (500, 999, 500));
        assert_eq!(million(Jitter::Percent(20), around, ms(500)), (800, 1199, 400));
        assert_eq!(million(Jitter::Percent(100), around, ms(500)), (0, 1999, 2000));
        assert_eq!(million(Jitter::Decorrelated, around, ms(200)), (100, 599, 500));
        assert_eq!(million(Jitter::Decorrelated, around, ms(900)), (100, 999, 900)); // narrowed, not clipped
    }

    #[test]
    fn draws_do_not_pile_up_at_the_cap() {
        let ms = Duration::from_millis;
        let around = Around { delay: ms(1000), first: ms(100), delay_max: ms(1000) };
        for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::Percent(20)] {
            let failure = Failure::new(7, Cause::Full).with_previous_delay(ms(1000));
            let draws = (0..100_000).map(|seed| jitter.draw(around, &failure.with_random(splitmix(seed))));
            let at_the_cap = draws.filter(|drawn| *drawn == ms(1000)).count();
            assert!(at_the_cap < 10, "{jitter:?}: {at_the_cap} of 100000 at the cap");
        }
    }
}
