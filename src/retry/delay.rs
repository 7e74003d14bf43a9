//! Saturating arithmetic on delays.
//!
//! Promises: every function is defined for every argument and stops at `Duration::MAX` instead of overflowing. It works in
//! `u128` nanoseconds: `Duration::MAX` is just below 2^94 of them, which leaves room for a factor of 2^32. Powers of whole
//! factors are exact; other factors go through `f64`, with IEEE multiplications only, so every platform gets the same.

use std::time::Duration;

const NANOS_PER_SEC: u128 = 1_000_000_000;

/// `nanos` as a `Duration`, at most the longest one.
pub(super) fn saturating(nanos: u128) -> Duration {
    u64::try_from(nanos / NANOS_PER_SEC).map_or(Duration::MAX, |secs| {
        let nanos = u32::try_from(nanos % NANOS_PER_SEC).unwrap_or_default(); // below 10^9, so it fits
        Duration::new(secs, nanos)
    })
}

/// `first * factor^exponent`. `factor` must be finite and at least 1.
pub(super) fn power(first: Duration, factor: f64, exponent: u32) -> Duration {
    if exponent == 0 || first.is_zero() {
        return first;
    }
    if factor.fract() == 0.0 {
        if planted!("an-exponential-wraps") {
            return saturating((factor as u128).wrapping_pow(exponent).wrapping_mul(first.as_nanos()));
        }
        // The cast saturates, and so does what follows.
        return (factor as u128)
            .checked_pow(exponent)
            .and_then(|power| power.checked_mul(first.as_nanos()))
            .map_or(Duration::MAX, saturating);
    }
    // Square and multiply. No product is NaN, because no term is zero; what overflows is infinite and saturates.
    let mut nanos = first.as_nanos() as f64;
    let (mut square, mut left) = (factor, exponent);
    while left > 0 {
        if left & 1 == 1 {
            nanos *= square;
        }
        square *= square;
        left >>= 1;
    }
    saturating(nanos.round() as u128)
}

/// `percent` hundredths of `delay`.
pub(super) fn percent(delay: Duration, percent: u8) -> Duration {
    saturating(delay.as_nanos() * u128::from(percent) / 100)
}

/// A delay between `low` and `high`, both included, drawn evenly by `random`: 0 gives `low`, `u64::MAX` gives `high`.
/// Where `high` is below `low`, the range is `low` alone.
///
/// It is Lemire's multiply-shift on a range of up to 94 bits. For ranges of more than 2^64 ns (584 years) the longest draw
/// stays a second short of `high`.
pub(super) fn uniform(low: Duration, high: Duration, random: u64) -> Duration {
    let count = high.saturating_sub(low).as_nanos() + 1;
    let (upper, lower) = (count >> 64, count & u128::from(u64::MAX));
    let offset = upper * u128::from(random) + ((lower * u128::from(random)) >> 64);
    saturating(low.as_nanos() + offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn whole_factors_are_exact_to_the_nanosecond() {
        let odd = Duration::new(1, 1);
        assert_eq!(power(odd, 2.0, 60), Duration::new(1 << 60, 0) + Duration::from_nanos(1 << 60));
        assert_eq!(power(odd, 3.0, 2), Duration::new(9, 9));
        assert_eq!(power(Duration::MAX, 1.0, u32::MAX), Duration::MAX);
        assert_eq!(power(odd, 1.0, u32::MAX), odd);
    }

    #[test]
    fn broken_factors_are_not_cut_to_whole_ones() {
        // Trap: a power cast to an integer gives 1, 1, 2, 3 for a factor of 1.5.
        let delays: Vec<_> = (0..4).map(|n| power(SECOND, 1.5, n).as_millis()).collect();
        assert_eq!(delays, [1000, 1500, 2250, 3375]);
        // 1.7 cubed is a little short of 4.913 as an `f64`; the nearest nanosecond is meant.
        assert_eq!(power(SECOND, 1.7, 3), Duration::from_millis(4913));
    }

    #[test]
    fn everything_stops_at_the_longest_duration() {
        for factor in [1.5, 2.0, 1e300, f64::MAX] {
            assert_eq!(power(Duration::from_nanos(1), factor, u32::MAX), Duration::MAX);
            assert_eq!(power(Duration::MAX, factor, u32::MAX), Duration::MAX);
            assert_eq!(power(Duration::ZERO, factor, u32::MAX), Duration::ZERO);
        }
        assert_eq!(saturating(u128::MAX), Duration::MAX);
        assert_eq!(saturating(Duration::MAX.as_nanos()), Duration::MAX);
        assert_eq!(percent(Duration::MAX, 100), Duration::MAX);
        assert!(uniform(Duration::ZERO, Duration::MAX, u64::MAX) > Duration::MAX - 2 * SECOND);
    }

    #[test]
    fn a_draw_reaches_both_ends() {
        assert_eq!(uniform(SECOND, 3 * SECOND, 0), SECOND);
        assert_eq!(uniform(SECOND, 3 * SECOND, 1 << 63), 2 * SECOND);
        assert_eq!(uniform(SECOND, 3 * SECOND, u64::MAX), 3 * SECOND);
        assert_eq!(uniform(3 * SECOND, SECOND, u64::MAX), 3 * SECOND);
        assert_eq!(uniform(SECOND, SECOND, u64::MAX), SECOND);
    }

    proptest! {
        #[test]
        fn a_draw_stays_in_its_range(a: Duration, b: Duration, random: u64) {
            let (low, high) = (a.min(b), a.max(b));
            let drawn = uniform(low, high, random);
            prop_assert!(low <= drawn && drawn <= high);
        }

        #[test]
        fn a_longer_draw_needs_a_larger_number(high: Duration, a: u64, b: u64) {
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(uniform(Duration::ZERO, high, less) <= uniform(Duration::ZERO, high, more));
        }

        #[test]
        fn any_power_is_at_least_its_base(first: Duration, factor in 1.0..1e6, exponent: u32) {
            // As `f64` the base itself is rounded: by less than one part in 2^52.
            prop_assert!(power(first, factor, exponent) >= first - saturating(first.as_nanos() >> 52));
        }
    }
}
