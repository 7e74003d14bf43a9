//! Which buckets hold entries: a bit for each bucket, and a bit for each level that has any.
//!
//! With these, finding the earliest bucket means counting trailing zeros twice, however far away it is. That each level's buckets lie
//! ahead of the wheel's time, in order of their number, is what `mod.rs` sees to.

use super::{LEVEL_BITS, LEVELS, Place};

#[derive(Clone)]
pub(super) struct Occupancy {
    levels: u32,
    buckets: [u64; LEVELS],
}

impl Occupancy {
    pub(super) const fn new() -> Self {
        Occupancy { levels: 0, buckets: [0; LEVELS] }
    }

    pub(super) fn set(&mut self, bucket: usize) {
        let level = bucket >> LEVEL_BITS;
        self.levels |= 1 << level;
        self.buckets[level] |= 1 << (bucket % 64);
    }

    pub(super) fn clear(&mut self, bucket: usize) {
        let level = bucket >> LEVEL_BITS;
        self.buckets[level] &= !(1 << (bucket % 64));
        if self.buckets[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// The earliest occupied bucket, as it lies ahead of `now_ms`.
    pub(super) fn first(&self, now_ms: u64) -> Option<Place> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        let digit = self.buckets[level].trailing_zeros() as usize;
        Some(place_at(level, digit, now_ms))
    }

    /// The occupied buckets in order of time, as they lie ahead of `now_ms`.
    pub(super) fn from(&self, now_ms: u64) -> impl Iterator<Item = Place> {
        ones(u64::from(self.levels))
            .flat_map(move |level| ones(self.buckets[level]).map(move |digit| place_at(level, digit, now_ms)))
    }

    /// The first occupied bucket at or after this number, going round at the end.
    ///
    /// # Panics
    ///
    /// When no bucket is occupied.
    pub(super) fn next_bucket(&self, from: usize) -> usize {
        let (level, digit) = (from >> LEVEL_BITS, from % 64);
        let rest_of_level = self.buckets.get(level).map_or(0, |bits| bits & (u64::MAX << digit));
        if rest_of_level != 0 {
            return level << LEVEL_BITS | rest_of_level.trailing_zeros() as usize;
        }
        let levels_above = self.levels & (u32::MAX << (level + 1));
        let levels = if levels_above == 0 { self.levels } else { levels_above };
        let level = levels.trailing_zeros() as usize;
        level << LEVEL_BITS | self.buckets[level].trailing_zeros() as usize
    }
}

/// The places of the one bits, lowest first.
fn ones(bits: u64) -> impl Iterator<Item = usize> {
    let without_lowest = |rest: &u64| Some(rest & (rest - 1)).filter(|&rest| rest != 0);
    std::iter::successors(Some(bits).filter(|&bits| bits != 0), without_lowest)
        .map(|rest| rest.trailing_zeros() as usize)
}

/// A bucket begins at the digits of `now_ms` above its level, its own digit, and zeros below.
fn place_at(level: usize, digit: usize, now_ms: u64) -> Place {
    let shift = level as u32 * LEVEL_BITS;
    let start_ms = (now_ms >> shift & !63 | digit as u64) << shift;
    Place { level, bucket: level << LEVEL_BITS | digit, start_ms }
}
