//! A moment as people and programs read it: RFC 3339, in UTC, to a millisecond. Pure arithmetic, by the Gregorian calendar.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_MS: i64 = 86_400_000;

/// As in `2026-02-03T04:05:06.789Z`, rounded down. `None` outside of the years 0 to 9999, for which there is no such text.
pub(crate) fn utc(at: SystemTime) -> Option<String> {
    let ms = unix_ms(at)?;
    let (days, ms) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    let is_plain = (0..=9999).contains(&year);
    is_plain.then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000))
}

/// Milliseconds since 1970, rounded down.
fn unix_ms(at: SystemTime) -> Option<i64> {
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).ok(),
        Err(error) => i64::try_from(error.duration().as_nanos().div_ceil(1_000_000)).ok().map(|ms| -ms),
    }
}

/// Year, month and day of a day, counted from the first of 1970: Howard Hinnant's `civil_from_days`. The year begins in
/// March here, so that a leap day is its last.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // since the first of March of the year 0
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + 400 * era + i64::from(month <= 2), month, day)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(unix_ms: i64) -> SystemTime {
        let moved = Duration::from_millis(unix_ms.unsigned_abs());
        if unix_ms < 0 { UNIX_EPOCH - moved } else { UNIX_EPOCH + moved }
    }

    #[test]
    fn known_moments() {
        let known = [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (946_684_799_999, "1999-12-31T23:59:59.999Z"),
            (1_234_567_890_123, "2009-02-13T23:31:30.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), // no leap year
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        ];
        for (ms, text) in known {
            assert_eq!(utc(at(ms)).as_deref(), Some(text));
        }
        assert_eq!(utc(at(0) + Duration::from_nanos(999_999)).unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(at(0) - Duration::from_nanos(1)).unwrap(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_lies_beyond_four_digits_has_no_text() {
        assert_eq!(utc(at(253_402_300_800_000)), None);
        assert_eq!(utc(at(-62_167_219_200_001)), None);
        for seconds in [1 << 40, 1 << 55, i64::MAX as u64] {
            let far = Duration::from_secs(seconds);
            assert_eq!(UNIX_EPOCH.checked_add(far).and_then(utc), None);
            assert_eq!(UNIX_EPOCH.checked_sub(far).and_then(utc), None);
        }
    }

    /// Day by day, as a calendar on the wall does it.
    #[test]
    fn every_day_of_ten_thousand_years_follows_the_one_before() {
        let (mut year, mut month, mut day) = (0, 1, 1);
        let mut days = -719_528;
        while year < 10_000 {
            assert_eq!(date(days), (year, month, day));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let len = match month {
                2 => 28 + i64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (days, day) = (days + 1, day + 1);
            if day > len {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!(days, 2_932_897);
    }
}
