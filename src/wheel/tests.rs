//! Stories of single timers, then the wheel against a sorted map under every clock one can think of.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
const CENTURY_MS: u64 = 36_525 * DAY_MS;
/// Some day in 2025: the bits of a real clock, not those of a round number.
const START_MS: u64 = 1_764_000_000_123;

/// Everything that is due at this time, whatever it takes.
fn pop_all(wheel: &mut Wheel, now_ms: u64) -> Vec<(u64, u32)> {
    let mut popped = Vec::new();
    while let Popped::Due(due_ms, token) = wheel.pop_due(now_ms, &mut u32::MAX.clone()) {
        popped.push((due_ms, token));
    }
    popped
}

fn bytes(wheel: &Wheel) -> usize {
    wheel.buckets.bytes() + wheel.slots.bytes()
}

/// A small generator with a fixed seed: these tests must fail the same way twice.
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

#[test]
fn a_timer_is_handed_out_once_at_its_due_time_and_not_before() {
    for delay_ms in [1, 2, 63, 64, 65, 4_095, 4_096, MINUTE_MS, DAY_MS, 30 * DAY_MS, CENTURY_MS, u64::MAX - START_MS] {
        let mut wheel = Wheel::new(START_MS);
        wheel.insert(START_MS + delay_ms, 7);
        assert_eq!(pop_all(&mut wheel, START_MS), []);
        assert_eq!(pop_all(&mut wheel, START_MS + delay_ms - 1), []);
        assert_eq!(pop_all(&mut wheel, START_MS + delay_ms), [(START_MS + delay_ms, 7)]);
        assert_eq!(pop_all(&mut wheel, u64::MAX), []);
        assert!(wheel.is_empty());
    }
}

#[test]
fn what_is_due_in_the_past_is_due_now() {
    let mut wheel = Wheel::new(START_MS);
    wheel.insert(0, 1);
    assert_eq!(wheel.next_due(), Some(START_MS));
    assert_eq!(pop_all(&mut wheel, START_MS), [(START_MS, 1)]);
    assert_eq!(wheel.pop_due(START_MS + 500, &mut 1), Popped::Later);
    wheel.insert(START_MS + 499, 2);
    assert_eq!(pop_all(&mut wheel, START_MS + 500), [(START_MS + 500, 2)]);
}

#[test]
fn equal_due_times_keep_the_order_of_insertion_from_whatever_level_they_come() {
    let due_ms = START_MS + DAY_MS;
    let mut wheel = Wheel::new(START_MS);
    let clock = [0, 1, DAY_MS / 2, DAY_MS - 5_000, DAY_MS - 100, DAY_MS - 1, DAY_MS];
    for (token, elapsed_ms) in clock.into_iter().enumerate() {
        if elapsed_ms < DAY_MS {
            assert_eq!(pop_all(&mut wheel, START_MS + elapsed_ms), []);
        }
        wheel.insert(due_ms, token as u32);
    }
    let expected: Vec<_> = (0..clock.len() as u32).map(|token| (due_ms, token)).collect();
    assert_eq!(pop_all(&mut wheel, due_ms), expected);
}

#[test]
fn the_first_tick_and_the_last_are_ticks_like_all_others() {
    let mut wheel = Wheel::new(0);
    for (token, due_ms) in [u64::MAX, 0, u64::MAX - 1, 1 << 63, 1 << 60, u64::MAX].into_iter().enumerate() {
        wheel.insert(due_ms, token as u32);
    }
    let expected = [(0, 1), (1 << 60, 4), (1 << 63, 3), (u64::MAX - 1, 2), (u64::MAX, 0), (u64::MAX, 5)];
    assert_eq!(pop_all(&mut wheel, u64::MAX), expected);
    wheel.insert(5, 9);
    assert_eq!(pop_all(&mut wheel, u64::MAX), [(u64::MAX, 9)]);
}

#[test]
fn a_clock_that_goes_back_makes_no_progress_and_breaks_nothing() {
    let mut wheel = Wheel::new(START_MS);
    wheel.insert(START_MS + 100, 1);
    wheel.insert(START_MS + 200, 2);
    assert_eq!(pop_all(&mut wheel, START_MS + 150), [(START_MS + 100, 1)]);
    assert_eq!(pop_all(&mut wheel, 0), []);
    wheel.insert(START_MS + 10, 3);
    assert_eq!(pop_all(&mut wheel, START_MS + 149), [], "the wheel's time has been later, and never early means never");
    assert_eq!(pop_all(&mut wheel, START_MS + 200), [(START_MS + 150, 3), (START_MS + 200, 2)]);
}

#[test]
fn a_cancelled_timer_gives_its_token_back_once_and_is_not_handed_out() {
    let mut wheel = Wheel::new(START_MS);
    let gone = wheel.insert(START_MS + 50, 1);
    wheel.insert(START_MS + 90, 2);
    assert_eq!(wheel.cancel(gone), Some(1));
    assert_eq!(wheel.cancel(gone), None);
    assert_eq!((wheel.len(), wheel.earliest()), (1, Some(START_MS + 90)));
    assert_eq!(pop_all(&mut wheel, START_MS + 90), [(START_MS + 90, 2)]);
    assert_eq!(wheel.next_due(), None);
}

#[test]
fn a_stale_key_never_cancels_the_timer_that_has_its_slot_now() {
    let mut wheel = Wheel::new(START_MS);
    let mut stale = Vec::new();
    for round in 0..1_000 {
        let key = wheel.insert(START_MS + round, round as u32);
        assert!(stale.iter().all(|&old| old != key && wheel.cancel(old).is_none()));
        if round % 2 == 0 {
            assert_eq!(wheel.cancel(key), Some(round as u32));
        } else {
            assert_eq!(pop_all(&mut wheel, START_MS + round).len(), 1);
        }
        stale.push(key);
    }
    let slots = stale.iter().map(|key| key.slot()).max();
    assert_eq!(slots, Some(0), "the slot is reused, or the test shows nothing");
}

#[test]
fn a_key_of_another_wheel_is_no_reason_to_panic() {
    let mut other = Wheel::new(0);
    let keys: Vec<_> = (0..10_000).map(|token| other.insert(1, token)).collect();
    assert_eq!(Wheel::new(0).cancel(keys[9_999]), None);
}

#[test]
fn a_slot_retires_before_its_generations_repeat() {
    let mut wheel = Wheel::new(START_MS);
    let first = wheel.insert(START_MS, 0);
    assert_eq!(wheel.cancel(first), Some(0));
    wheel.slots.wear_out(first, 2);
    let lives: Vec<_> = (1..=4)
        .map(|token| {
            let key = wheel.insert(START_MS, token);
            assert_eq!(wheel.cancel(key), Some(token));
            key
        })
        .collect();
    let same_slot: Vec<_> = lives.iter().map(|key| key.slot() == first.slot()).collect();
    assert_eq!(same_slot, [true, true, false, false]);
}

#[test]
fn keys_stay_stale_when_the_memory_of_their_slots_has_been_given_back() {
    let mut wheel = Wheel::new(START_MS);
    let burst = |wheel: &mut Wheel| (0..100_000).map(|token| wheel.insert(START_MS, token)).collect::<Vec<_>>();
    let old = burst(&mut wheel);
    assert_eq!(pop_all(&mut wheel, START_MS).len(), old.len());
    let new = burst(&mut wheel);
    assert!(old.iter().all(|&key| wheel.cancel(key).is_none()));
    assert!(new.iter().enumerate().all(|(token, &key)| wheel.cancel(key) == Some(token as u32)));
}

#[test]
fn a_new_wheel_owns_nothing_and_a_burst_gives_its_memory_back() {
    let mut wheel = Wheel::new(START_MS);
    assert_eq!(bytes(&wheel), 0);
    let (mut seed, count) = (1, 500_000);
    let keys: Vec<_> = (0..count).map(|token| wheel.insert(START_MS + 1 + random(&mut seed, DAY_MS), token)).collect();
    let per_timer = bytes(&wheel) as f64 / f64::from(count);
    assert!(per_timer <= 24.0, "{per_timer} bytes a timer");
    assert_eq!(pop_all(&mut wheel, START_MS + DAY_MS).len(), keys.len());
    assert!(bytes(&wheel) < 200_000, "{} bytes left after the burst was handed out", bytes(&wheel));

    let keys: Vec<_> =
        (0..count).map(|token| wheel.insert(START_MS + 2 * DAY_MS + random(&mut seed, DAY_MS), token)).collect();
    assert!(keys.into_iter().all(|key| wheel.cancel(key).is_some()));
    assert!(bytes(&wheel) < 200_000, "{} bytes left after the burst was cancelled", bytes(&wheel));
    assert_eq!((wheel.cancelled, wheel.occupancy.first(0).is_none()), (0, true));
}

#[test]
fn cancelled_timers_hold_no_more_memory_than_live_ones() {
    let mut wheel = Wheel::new(START_MS);
    let (mut seed, mut most) = (1, 0);
    let mut keys: Vec<_> = (0..20_000).map(|token| wheel.insert(START_MS + 30_000, token)).collect();
    for token in 0..400_000 {
        let at = random(&mut seed, keys.len() as u64) as usize;
        let due_ms = START_MS + 30_000 + random(&mut seed, DAY_MS);
        let key = std::mem::replace(&mut keys[at], wheel.insert(due_ms, token));
        assert!(wheel.cancel(key).is_some());
        most = most.max(wheel.cancelled);
    }
    assert!(most <= 25_000, "{most} cancelled entries beside {} timers", wheel.len());
}

#[test]
fn next_due_looks_past_cancelled_timers() {
    let mut wheel = Wheel::new(START_MS);
    let keys: Vec<_> = (0..60).map(|token| wheel.insert(START_MS + 1 + u64::from(token % 3), token)).collect();
    wheel.insert(START_MS + 4, 99);
    assert!(keys.into_iter().all(|key| wheel.cancel(key).is_some()));
    assert_eq!(wheel.next_due(), Some(START_MS + 4));
    assert_eq!(wheel.earliest(), Some(START_MS + 4));
}

#[test]
fn a_driver_that_sleeps_until_next_due_wakes_a_few_times_for_a_timer_however_far_it_is() {
    for due_ms in [START_MS + 5, START_MS + MINUTE_MS, START_MS + CENTURY_MS, u64::MAX] {
        let mut wheel = Wheel::new(START_MS);
        wheel.insert(due_ms, 1);
        let (mut wakes, mut now_ms) = (0, START_MS);
        while let Some(next_ms) = wheel.next_due() {
            assert!(next_ms <= due_ms && next_ms >= now_ms);
            (wakes, now_ms) = (wakes + 1, next_ms);
            if wheel.pop_due(now_ms, &mut 10) == Popped::Due(due_ms, 1) {
                break;
            }
        }
        assert!(wheel.is_empty() && wakes <= 2, "{wakes} wakes");
    }
}

#[test]
fn nothing_due_is_said_whatever_the_budget() {
    let mut wheel = Wheel::new(START_MS);
    assert_eq!(wheel.pop_due(START_MS, &mut 0), Popped::Later);
    wheel.insert(START_MS + 1, 1);
    assert_eq!(wheel.pop_due(START_MS, &mut 0), Popped::Later);
    assert_eq!(wheel.pop_due(START_MS + 1, &mut 0), Popped::OutOfBudget);
    let mut budget = 10;
    assert_eq!(wheel.pop_due(START_MS + 1, &mut budget), Popped::Due(START_MS + 1, 1));
    assert_eq!(wheel.pop_due(START_MS + 1, &mut budget), Popped::Later);
    assert_eq!(budget, 8, "one step to get ready, one to hand out");
}

#[test]
fn a_cascade_of_180_000_timers_goes_in_bounded_steps_and_keeps_the_order() {
    let (count, budget_max) = (180_000, 100);
    let base_ms = START_MS.next_multiple_of(1 << 18);
    let mut wheel = Wheel::new(START_MS);
    let mut seed = 1;
    let mut expected = Vec::new();
    for token in 0..count {
        let due_ms = base_ms + random(&mut seed, 1 << 18);
        wheel.insert(due_ms, token);
        expected.push((due_ms, token));
    }
    let now_ms = base_ms + (1 << 18);
    let (mut popped, mut calls) = (Vec::new(), 0);
    let mut token = count;
    while !wheel.is_empty() {
        let lens_before = bucket_lens(&wheel);
        let mut budget = budget_max;
        let mut last = wheel.pop_due(now_ms, &mut budget);
        let moved: u32 =
            bucket_lens(&wheel).iter().zip(lens_before).map(|(now, before)| before.saturating_sub(*now)).sum();
        assert!(moved <= budget_max, "{moved} entries have left their buckets in one call");
        while let Popped::Due(due_ms, token) = last {
            popped.push((due_ms, token));
            last = wheel.pop_due(now_ms, &mut budget);
        }
        // Newcomers in the middle of a cascade: none may overtake, none may fall behind.
        if calls < 5_000 && calls % 10 == 0 {
            let due_ms = wheel.now_ms + random(&mut seed, 1 << 12);
            wheel.insert(due_ms, token);
            expected.push((due_ms, token));
            token += 1;
        }
        calls += 1;
    }
    expected.sort();
    assert_eq!(popped.len(), expected.len());
    assert!(popped == expected, "out of order");
    assert!(calls > 1_800, "only {calls} calls");
}

fn bucket_lens(wheel: &Wheel) -> Vec<u32> {
    (0..BUCKETS).map(|bucket| wheel.buckets.len(bucket)).collect()
}

#[test]
fn more_newcomers_than_ready_can_hold_keep_the_order() {
    let mut wheel = Wheel::new(START_MS);
    let due_ms = START_MS.next_multiple_of(1 << 24);
    let mut expected = vec![(due_ms + 900_000, 0), (due_ms, 1)];
    for &(due_ms, token) in &expected {
        wheel.insert(due_ms, token);
    }
    assert_eq!(wheel.pop_due(due_ms, &mut 100), Popped::Due(due_ms, 1));
    expected.pop();
    assert_eq!(wheel.ready.iter().count(), 1);
    for token in 2..200 {
        let due_ms = due_ms + u64::from(token * 7_919 % 50) * 20_000;
        wheel.insert(due_ms, token);
        expected.push((due_ms, token));
    }
    expected.sort();
    assert_eq!(pop_all(&mut wheel, u64::MAX), expected);
}

#[test]
fn what_is_ready_takes_in_its_own_span_and_not_the_next() {
    let base_ms = START_MS.next_multiple_of(1 << 12);
    let mut wheel = Wheel::new(base_ms);
    let due = |delay_ms: u64, token| (base_ms + delay_ms, token);
    for (due_ms, token) in [due(130, 0), due(190, 1), due(195, 2)] {
        wheel.insert(due_ms, token);
    }
    assert_eq!(wheel.pop_due(base_ms + 130, &mut 100), Popped::Due(base_ms + 130, 0));
    wheel.insert(base_ms + 198, 3);
    wheel.insert(base_ms + 189, 4);
    assert_eq!(pop_all(&mut wheel, base_ms + 200), [due(189, 4), due(190, 1), due(195, 2), due(198, 3)]);
}

#[test]
fn a_bucket_that_the_sweep_left_in_two_blocks_is_sorted_as_one() {
    let base_ms = START_MS.next_multiple_of(1 << 18);
    let mut wheel = Wheel::new(base_ms);
    let keys: Vec<_> = (0..62).map(|token| wheel.insert(base_ms + 4_200 - u64::from(token), token)).collect();
    let others: Vec<_> = (0..100).map(|token| wheel.insert(base_ms + MINUTE_MS, token)).collect();
    for &key in keys[..40].iter().chain(&others[..74]) {
        assert!(wheel.cancel(key).is_some());
    }
    assert_eq!(bucket_entries(&wheel), 162 - 40, "one block has been swept");
    let expected: Vec<_> = (40..62).rev().map(|token| (base_ms + 4_200 - u64::from(token), token)).collect();
    assert_eq!(pop_all(&mut wheel, base_ms + 5_000), expected);
}

#[test]
fn the_sweep_finds_its_place_again_when_the_block_it_kept_has_been_taken() {
    let mut buckets = Buckets::new();
    (0..100).for_each(|slot| buckets.append(5, Entry { due_ms: 1, slot }));
    assert_eq!(buckets.move_sweep(|_| 5), 5);
    buckets.sweep_block(|_| true);
    assert_eq!(buckets.take(5, 100).entries().len(), BLOCK_LEN);
    buckets.append(9, Entry { due_ms: 1, slot: 999 });
    assert_eq!(buckets.move_sweep(|_| 5), 5);
    assert_eq!(buckets.to_sweep().first().map(|entry| entry.slot), Some(BLOCK_LEN as u32));
}

#[test]
fn next_due_looks_at_a_few_cancelled_timers_and_earliest_at_all() {
    let mut wheel = Wheel::new(START_MS);
    let keys: Vec<_> = (0..200).map(|token| wheel.insert(START_MS + 1, token)).collect();
    (0..300).for_each(|token| _ = wheel.insert(START_MS + 5, token));
    assert!(keys.into_iter().all(|key| wheel.cancel(key).is_some()));
    assert_eq!((wheel.next_due(), wheel.earliest()), (Some(START_MS + 1), Some(START_MS + 5)));
}

#[test]
fn the_sweep_goes_on_while_timers_come_and_go() {
    let mut pair = Pair::new(START_MS);
    let mut seed = 1;
    for round in 0..60_000 {
        match random(&mut seed, 100) {
            0..50 => pair.insert(pair.now_ms + random(&mut seed, 6_000)),
            50..99 => pair.cancel(pair.keys.len().saturating_sub(1 + random(&mut seed, 4_000) as usize)),
            _ => pair.advance_to(pair.now_ms + random(&mut seed, 100), random(&mut seed, 300) as u32),
        }
        if round % 100 == 0 {
            pair.check();
        }
    }
    pair.finish(false);
}

/// What a test does to the wheel and to the map that it is compared with.
#[derive(Clone, Debug)]
enum Step {
    /// This long after the clock, so many at once.
    Insert {
        delay_ms: u64,
        count: u8,
    },
    InsertAt(u64),
    /// One of the keys handed out so far, stale ones too.
    Cancel(prop::sample::Index),
    CancelMany(u8),
    Advance {
        by_ms: u64,
        budget: u32,
    },
    AdvanceToNextDue {
        budget: u32,
    },
    AdvanceToEarliest,
    GoBack {
        by_ms: u64,
    },
}

fn span_ms() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..3_u64,
        0..70_u64,
        0..5_000_u64,
        0..MINUTE_MS,
        0..30 * DAY_MS,
        0..CENTURY_MS,
        (0..64_u32).prop_map(|bit| 1 << bit)
    ]
}

fn budget() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), 2..50_u32, Just(100_000)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (span_ms(), prop_oneof![Just(1), 1..100_u8]).prop_map(|(delay_ms, count)| Step::Insert { delay_ms, count }),
        1 => prop_oneof![Just(0), Just(u64::MAX), any::<u64>()].prop_map(Step::InsertAt),
        4 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        1 => any::<u8>().prop_map(Step::CancelMany),
        4 => (span_ms(), budget()).prop_map(|(by_ms, budget)| Step::Advance { by_ms, budget }),
        4 => budget().prop_map(|budget| Step::AdvanceToNextDue { budget }),
        1 => Just(Step::AdvanceToEarliest),
        1 => span_ms().prop_map(|by_ms| Step::GoBack { by_ms }),
    ]
}

/// The wheel beside what it should be: a map sorted by due time and insertion.
struct Pair {
    wheel: Wheel,
    reference: BTreeMap<(u64, u32), TimerKey>,
    keys: Vec<(TimerKey, u64)>,
    now_ms: u64,
}

impl Pair {
    fn new(now_ms: u64) -> Self {
        Pair { wheel: Wheel::new(now_ms), reference: BTreeMap::new(), keys: Vec::new(), now_ms }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Insert { delay_ms, count } => {
                (0..count).for_each(|_| self.insert(self.now_ms.saturating_add(delay_ms)))
            }
            Step::InsertAt(due_ms) => self.insert(due_ms),
            Step::Cancel(index) => self.cancel(index.index(self.keys.len().max(1))),
            Step::CancelMany(stride) => {
                (0..self.keys.len()).step_by(1 + usize::from(stride % 4)).for_each(|at| self.cancel(at))
            }
            Step::Advance { by_ms, budget } => self.advance_to(self.now_ms.saturating_add(by_ms), budget),
            Step::AdvanceToNextDue { budget } => self.advance_to(self.wheel.next_due().unwrap_or(self.now_ms), budget),
            Step::AdvanceToEarliest => self.advance_to_earliest(),
            Step::GoBack { by_ms } => self.advance_to(self.now_ms.saturating_sub(by_ms), 1_000),
        }
        self.check();
    }

    fn insert(&mut self, due_ms: u64) {
        let token = self.keys.len() as u32;
        let key = self.wheel.insert(due_ms, token);
        let due_ms = due_ms.max(self.wheel.now_ms);
        self.reference.insert((due_ms, token), key);
        self.keys.push((key, due_ms));
    }

    fn cancel(&mut self, token: usize) {
        let Some(&(key, due_ms)) = self.keys.get(token) else { return };
        let expected = self.reference.remove(&(due_ms, token as u32)).map(|_| token as u32);
        assert_eq!(self.wheel.cancel(key), expected);
    }

    fn advance_to(&mut self, now_ms: u64, budget: u32) {
        self.now_ms = now_ms;
        let mut left = budget;
        loop {
            match self.wheel.pop_due(now_ms, &mut left) {
                Popped::Due(due_ms, token) => {
                    assert!(due_ms <= now_ms, "early");
                    let first = self.reference.pop_first().map(|(first, _)| first);
                    assert_eq!(Some((due_ms, token)), first);
                }
                Popped::OutOfBudget => break assert_eq!(left, 0),
                Popped::Later => break assert!(self.first_due().is_none_or(|due_ms| due_ms > now_ms), "late"),
            }
        }
    }

    /// The manual clock steps exactly: at the earliest due time something is handed out.
    fn advance_to_earliest(&mut self) {
        let Some(due_ms) = self.wheel.earliest() else { return };
        let len_before = self.wheel.len();
        self.advance_to(due_ms, u32::MAX);
        assert!(self.wheel.len() < len_before);
    }

    fn first_due(&self) -> Option<u64> {
        self.reference.first_key_value().map(|(&(due_ms, _), _)| due_ms)
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.reference.len());
        assert_eq!(self.wheel.is_empty(), self.reference.is_empty());
        assert_eq!(self.wheel.earliest(), self.first_due());
        let next_due = self.wheel.next_due();
        assert_eq!(next_due.is_some(), !self.reference.is_empty());
        assert!(next_due <= self.first_due());
        let entries = bucket_entries(&self.wheel) + self.wheel.ready.iter().count();
        assert_eq!(entries, self.wheel.live + self.wheel.cancelled);
        assert!(self.wheel.live > 0 || (self.wheel.cancelled == 0 && self.wheel.cascading == 0));
    }

    /// Budgets of one to the end, in one jump or by and by: each makes progress, and nothing is lost.
    fn finish(mut self, in_one_jump: bool) {
        let mut calls_left = 30 * (self.wheel.len() + self.wheel.cancelled) + 30;
        while let Some(next_ms) = self.wheel.next_due() {
            self.advance_to(if in_one_jump { u64::MAX } else { next_ms.max(self.now_ms) }, 1);
            calls_left = calls_left.checked_sub(1).expect("no progress");
        }
        self.check();
        assert!(self.reference.is_empty(), "lost");
    }
}

fn bucket_entries(wheel: &Wheel) -> usize {
    if wheel.buckets.bytes() == 0 { 0 } else { bucket_lens(wheel).iter().map(|&len| len as usize).sum() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_wheel_does_what_a_sorted_map_does(
        start_ms in prop_oneof![Just(0), Just(START_MS), Just(u64::MAX - 5), any::<u64>()],
        steps in prop::collection::vec(step(), 1..100),
        ends_in_one_jump: bool,
    ) {
        let mut pair = Pair::new(start_ms);
        steps.iter().for_each(|step| pair.apply(step));
        pair.finish(ends_in_one_jump);
    }
}
