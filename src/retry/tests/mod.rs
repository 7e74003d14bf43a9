//! Tests across the policies: `laws` holds for any settings and any failure, `tables` pins what single policies do.

use std::time::Duration;

use super::{Cause, Decision, Failure, RetryPolicy};

mod laws;
mod tables;

const SECOND: Duration = Duration::from_secs(1);

/// Well-mixed bits from a counter (Vigna's splitmix64), standing in for the queue's hash.
pub(super) fn splitmix(seed: u64) -> u64 {
    let z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn lost(attempt: u32) -> Failure<'static> {
    Failure::new(attempt, Cause::LeaseExpired)
}

fn retry(after: Duration) -> Decision {
    Decision::Retry { after }
}

fn is_retry(decision: Decision) -> bool {
    matches!(decision, Decision::Retry { .. })
}

/// The attempt whose failure is the first to be given up, looking at no more than 100.
fn last_attempt(policy: &(impl RetryPolicy + ?Sized)) -> Option<u32> {
    (1..=100).find(|attempt| !is_retry(policy.decide(&lost(*attempt))))
}
