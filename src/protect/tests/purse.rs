//! A purse against a log of everything.

use super::super::purse::Purse;
use super::*;
use proptest::prelude::*;

/// Everything that ever happened: when, and whether it was a retry.
#[derive(Default)]
struct Log(Vec<(u64, bool)>);

impl Log {
    fn count(&self, retries: bool, after_ms: i128) -> f64 {
        self.0.iter().filter(|(at, retry)| *retry == retries && i128::from(*at) > after_ms).count() as f64
    }

    /// How many may go at `now` when the window is taken to be so long for first attempts, and so long for retries.
    fn balance(&self, share: f64, reserve: f64, now: u64, firsts_ms: u64, retries_ms: u64) -> f64 {
        let after = |window: u64| i128::from(now) - i128::from(window);
        share * self.count(false, after(firsts_ms)) + reserve - self.count(true, after(retries_ms))
    }
}

proptest! {
    /// Never more than the budget in the window that ends with a retry, and never less than that of a window which is a slot
    /// shorter for first attempts and a slot longer for retries.
    #[test]
    fn it_grants_what_the_window_allows(
        percent in prop_oneof![Just(0.0), Just(10.0), 0.0..=100.0],
        floor in 1_u32..20,
        window_ms in 1_000_u64..20_000,
        start in prop_oneof![Just(0_u64), 0..u64::MAX / 2],
        steps in proptest::collection::vec((0_u64..2_000, 0_u64..30, 0_u32..30), 1..100),
    ) {
        let budget = RetryBudget::percent(percent).floor_per_second(f64::from(floor)).window(ms(window_ms));
        let (share, reserve) = (percent / 100.0, f64::from(floor) * window_ms as f64 / 1000.0);
        let slot = window_ms.div_ceil(64);
        let (mut purse, mut log, mut now) = (Purse::new(&budget), Log::default(), start);
        for (step, firsts, retries) in steps {
            now += step;
            purse.deposit(firsts, now);
            log.0.extend((0..firsts).map(|_| (now, false)));
            for _ in 0..retries {
                let balance = purse.balance(now) as f64;
                let most = log.balance(share, reserve, now, window_ms, window_ms);
                let least = log.balance(share, reserve, now, window_ms.saturating_sub(slot), window_ms + slot);
                prop_assert!(balance <= most.max(0.0) + 1e-6, "{balance} of {most}");
                prop_assert!(balance > least - 1.0 - 1e-6, "only {balance} of {least}");
                if balance == 0.0 {
                    break;
                }
                purse.withdraw(now);
                log.0.push((now, true));
            }
        }
    }

    /// Whoever asks again when it says so gets one in the end, though nothing else happens; and never at once again.
    #[test]
    fn it_says_when_to_ask_again(
        floor in 1_u32..20,
        window_ms in 1_000_u64..20_000,
        steps in proptest::collection::vec((0_u64..500, 0_u64..30), 1..50),
    ) {
        let budget = RetryBudget::percent(50.0).floor_per_second(f64::from(floor)).window(ms(window_ms));
        let (mut purse, mut now) = (Purse::new(&budget), 0);
        for (step, firsts) in steps {
            now += step;
            purse.deposit(firsts, now);
            while purse.balance(now) > 0 {
                purse.withdraw(now);
            }
        }
        let began = now;
        while purse.balance(now) == 0 {
            let next = purse.next_ms().unwrap();
            prop_assert!(next > now);
            now = next;
        }
        prop_assert!(now - began <= window_ms + window_ms.div_ceil(64), "after {} of {window_ms}", now - began);
    }
}

#[test]
fn what_others_count_is_taken_once_and_at_the_time_of_the_note() {
    let mut purse = Purse::new(&RetryBudget::percent(100.0).floor_per_second(1.0).window(ms(1_000)));
    purse.note(5, 10);
    purse.note(5, 20);
    purse.note(3, 30); // a thread that read it earlier
    assert_eq!(purse.balance(30), 6);
    purse.note(7, 900);
    assert_eq!((purse.balance(900), purse.balance(1_030)), (8, 3));
    assert_eq!(purse.balance(u64::MAX), 1);
}

#[test]
fn the_end_of_time_is_no_special_moment() {
    let mut purse = Purse::new(&RetryBudget::percent(100.0).window(TIME_MAX));
    purse.deposit(u64::from(u32::MAX), u64::MAX);
    purse.withdraw(u64::MAX);
    assert!(purse.balance(u64::MAX) > 0);
    assert_eq!(purse.next_ms(), Some(u64::MAX));
}
