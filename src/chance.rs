//! Chance comes from outside: one seed a queue, and a mixer that turns it into draws.

use std::hash::{BuildHasher, RandomState};

/// A seed nobody has asked for: the standard library's keys for hash maps, which come from the operating system.
#[expect(clippy::disallowed_methods, reason = "the one place where chance comes in")]
pub(crate) fn fresh_seed() -> u64 {
    RandomState::new().hash_one(0x7265_6465_6c69_7665_u64)
}

/// SplitMix64's finalizer (Steele, Lea and Flood, 2014): every bit of the answer depends on every bit of the question.
pub(crate) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}
