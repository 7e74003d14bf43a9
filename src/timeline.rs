//! When a position was passed, without a clock read per message: samples of (time, position), taken by whoever ticks.

use std::collections::VecDeque;

/// As many samples as are kept; beyond that the older half is thinned, so that what is long past is told less finely.
const SAMPLES_MAX: usize = 4096;

/// Positions of one counter (head or tail) over time.
pub(crate) struct Timeline {
    /// Ascending: every position below `.1` was passed at `.0` milliseconds or earlier.
    samples: VecDeque<(u64, u64)>,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Timeline { samples: VecDeque::new() }
    }

    /// The last position sampled (0 if none was).
    pub(crate) fn last_position(&self) -> u64 {
        self.samples.back().map_or(0, |sample| sample.1)
    }

    pub(crate) fn last_ms(&self) -> Option<u64> {
        self.samples.back().map(|sample| sample.0)
    }

    /// At `now_ms` the counter stands at `position`.
    pub(crate) fn sample(&mut self, now_ms: u64, position: u64) {
        if position <= self.last_position() {
            return;
        }
        match self.samples.back_mut() {
            Some(last) if last.0 == now_ms => last.1 = position,
            _ => self.samples.push_back((now_ms, position)),
        }
        if self.samples.len() > SAMPLES_MAX {
            self.thin();
        }
    }

    /// Drops every second sample of the older half. What remains stays true, for a sample says "or earlier".
    fn thin(&mut self) {
        let half = self.samples.len() / 2;
        let mut index = 0;
        self.samples.retain(|_| {
            index += 1;
            index > half || index % 2 == 0
        });
    }

    /// When `position` was passed, at the latest; `None` if that was after the last sample.
    pub(crate) fn when(&self, position: u64) -> Option<u64> {
        let at = self.samples.partition_point(|sample| sample.1 <= position);
        self.samples.get(at).map(|sample| sample.0)
    }

    /// Takes off the samples up to `ms` and returns the position of the last of them.
    pub(crate) fn take_until(&mut self, ms: u64) -> Option<u64> {
        let mut position = None;
        while let Some(&(at, below)) = self.samples.front()
            && at <= ms
        {
            position = Some(below);
            self.samples.pop_front();
        }
        position
    }

    pub(crate) fn first_ms(&self) -> Option<u64> {
        self.samples.front().map(|sample| sample.0)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_told_by_the_first_sample_that_lies_beyond_it() {
        let mut timeline = Timeline::new();
        timeline.sample(10, 3);
        timeline.sample(20, 3); // nothing moved
        timeline.sample(30, 5);
        assert_eq!(
            [0, 2, 3, 4, 5].map(|position| timeline.when(position)),
            [Some(10), Some(10), Some(30), Some(30), None]
        );
        assert_eq!(timeline.take_until(29), Some(3));
        assert_eq!(timeline.when(0), Some(30)); // known less well, and not too early
    }

    #[test]
    fn a_long_life_is_remembered_in_bounded_memory() {
        let mut timeline = Timeline::new();
        (1..1_000_000).for_each(|n| timeline.sample(n, n));
        assert!(timeline.samples.len() <= SAMPLES_MAX);
        assert_eq!(timeline.when(999_998), Some(999_999));
        assert!(timeline.when(0).is_some());
    }
}
