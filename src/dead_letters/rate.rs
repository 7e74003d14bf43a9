//! How fast dead letters come back. Pure: says when the k-th comes, counted from the first.

use std::time::Duration;

/// How fast dead letters come back: see [`DeadLetters::redrive_all`](crate::DeadLetters::redrive_all).
///
/// ```
/// use redeliver::{Filter, ManualClock, Never, Queue, Rate};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let queue = Queue::builder("mail").retry(Never).clock(clock.clone()).open()?;
/// queue.producer().send_batch(["a", "b", "c"])?;
/// queue.consumer().recv_batch(3)?.nack_all("the server was down").unwrap();
///
/// let dead = queue.dead_letters();
/// assert_eq!(dead.redrive_all(Filter::all(), Rate::per_second(0)), 0); // none in a second is none at all
/// assert_eq!(dead.redrive_all(Filter::all(), Rate::per_second(2)), 3);
/// assert_eq!(queue.stats().ready, 1); // the first at once …
/// clock.advance(Duration::from_millis(500));
/// assert_eq!(queue.stats().ready, 2); // … and one every half second
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// `None`: as fast as it goes.
    per_second: Option<u32>,
}

impl Rate {
    /// All at once.
    ///
    /// ```
    /// # use redeliver::{Filter, Never, Queue, Rate};
    /// # let queue = Queue::builder("mail").retry(Never).open()?;
    /// queue.producer().send_batch(["a", "b", "c"])?;
    /// queue.consumer().recv_batch(3)?.nack_all("the server was down").unwrap();
    /// assert_eq!(queue.dead_letters().redrive_all(Filter::all(), Rate::unlimited()), 3);
    /// assert_eq!(queue.stats().ready, 3);
    /// assert_eq!(queue.dead_letters().redrive_all(Filter::all(), Rate::unlimited()), 0); // none is left
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn unlimited() -> Self {
        Rate { per_second: None }
    }

    /// `letters` in a second, evenly spread: the first at once, and one every 1/`letters` seconds from then on, each rounded
    /// up to the next millisecond. A rate of 0 is a defined one: nothing comes back, now or later. For a number that somebody
    /// has configured, `Rate::try_from` takes 0 for the mistake that it most likely is.
    #[must_use]
    pub const fn per_second(letters: u32) -> Self {
        Rate { per_second: Some(letters) }
    }

    /// Does anything come at this rate?
    pub(crate) fn is_zero(self) -> bool {
        self.per_second == Some(0)
    }

    /// How long after the first, which is number 0, this one comes. Of a rate of zero: beyond all time.
    pub(crate) fn offset(self, number: u64) -> Duration {
        let Some(per_second) = self.per_second.map(u64::from) else { return Duration::ZERO };
        let (Some(seconds), Some(rest)) = (number.checked_div(per_second), number.checked_rem(per_second)) else {
            return Duration::MAX;
        };
        Duration::from_secs(seconds) + Duration::from_nanos(rest * 1_000_000_000 / per_second)
    }
}

/// A rate at which nothing would ever come back.
///
/// ```
/// use redeliver::Rate;
///
/// assert_eq!(Rate::try_from(50)?, Rate::per_second(50));
/// let error = Rate::try_from(0).unwrap_err();
/// assert_eq!(error.to_string(), "a rate of 0 in a second brings nothing back: name at least 1, or leave the rate unlimited");
/// # Ok::<(), redeliver::RateError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate of 0 in a second brings nothing back: name at least 1, or leave the rate unlimited")]
#[non_exhaustive]
pub struct RateError;

impl TryFrom<u32> for Rate {
    type Error = RateError;

    /// So many [per second](Rate::per_second), and at least one.
    fn try_from(letters: u32) -> Result<Rate, RateError> {
        if letters == 0 { Err(RateError) } else { Ok(Rate::per_second(letters)) }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_numbers_overflow_nothing() {
        for per_second in [1, 3, u32::MAX] {
            assert!(Rate::per_second(per_second).offset(u64::MAX) < Duration::MAX);
        }
        assert_eq!(Rate::per_second(0).offset(0), Duration::MAX);
        assert_eq!(Rate::unlimited().offset(u64::MAX), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn every_second_has_as_many_as_were_asked_for(per_second in 1..5_000u32, second in 0..1_000u64) {
            let rate = Rate::per_second(per_second);
            let first = second * u64::from(per_second);
            let starts = Duration::from_secs(second);
            prop_assert_eq!(rate.offset(first), starts);
            prop_assert!(rate.offset(first + u64::from(per_second) - 1) < starts + Duration::from_secs(1));
        }
    }
}
