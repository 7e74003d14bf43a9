//! Histograms that many threads record into and one reads: counters in log-linear buckets, summed on read.

use crate::sync::{AtomicU64, Relaxed};
use std::time::Duration;

/// Sub-buckets per power of two: an answer is at most 1/16 above the truth.
const FINE_BITS: u32 = 4;
const FINE: usize = 1 << FINE_BITS;
/// What took longer than this many bits of microseconds (19 hours) counts as that long: the buckets take 4 KiB.
const RANGE_BITS: u32 = 36;
const BUCKETS: usize = (RANGE_BITS - FINE_BITS + 1) as usize * FINE;

/// Durations in microseconds, 1/16 exact.
pub(crate) struct Histogram {
    buckets: Box<[AtomicU64]>,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Histogram { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(crate) fn record_us(&self, us: u64) {
        self.buckets[bucket_of(us)].fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Latency {
        Latency { counts: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect() }
    }
}

fn bucket_of(us: u64) -> usize {
    let us = us.min((1 << RANGE_BITS) - 1);
    let octave = (u64::BITS - us.leading_zeros()).saturating_sub(FINE_BITS + 1);
    let fine = (us >> octave) as usize;
    octave as usize * FINE + fine
}

/// The largest value that falls into this bucket.
fn top_of(bucket: usize) -> u64 {
    if bucket < 2 * FINE {
        return bucket as u64;
    }
    let octave = bucket / FINE - 1;
    let fine = (bucket - octave * FINE) as u64;
    ((fine + 1) << octave) - 1
}

/// How long messages waited from send to hand-over, sampled at every 64th message (every 256th
/// of those that are sent in batches).
///
/// ```
/// use redeliver::Queue;
///
/// let queue = Queue::in_memory("mail");
/// assert_eq!(queue.stats().latency().percentile(99.0), None); // nothing was delivered yet
/// queue.producer().send("hello")?;
/// queue.consumer().recv()?.ack()?;
/// assert!(queue.stats().latency().percentile(99.0).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Latency {
    counts: Box<[u64]>,
}

impl Latency {
    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The time that `percent` (0 to 100; what lies outside is clamped) of the samples did not exceed, to a microsecond or
    /// 1/16 of it, whichever is more, and 19 hours at most. `None` if there is no sample, or `percent` is not a number.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let samples = self.samples();
        if samples == 0 || percent.is_nan() {
            return None;
        }
        let rank = ((percent.clamp(0.0, 100.0) / 100.0 * samples as f64).ceil() as u64).clamp(1, samples);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_micros(top_of(bucket)))
    }
}

impl std::fmt::Debug for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Latency")
            .field("samples", &self.samples())
            .field("p50", &self.percentile(50.0))
            .field("p99", &self.percentile(99.0))
            .finish()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_whose_top_is_at_most_a_sixteenth_above_it() {
        for shift in 0..RANGE_BITS {
            for offset in [0u64, 1, 7] {
                let us = (1u64 << shift) + offset.min((1 << shift) - 1);
                let top = top_of(bucket_of(us));
                assert!(top >= us && top - us <= us / 16, "{us} is told as {top}");
            }
        }
        assert_eq!(top_of(bucket_of(u64::MAX)), (1 << RANGE_BITS) - 1); // clamped
    }

    #[test]
    fn percentiles_are_those_of_the_recorded_values() {
        let histogram = Histogram::new();
        (1..=20).for_each(|us| histogram.record_us(us));
        let latency = histogram.snapshot();
        assert_eq!(latency.percentile(50.0), Some(Duration::from_micros(10)));
        assert_eq!(latency.percentile(100.0), Some(Duration::from_micros(20)));
        assert_eq!(latency.percentile(-3.0), Some(Duration::from_micros(1)));
        assert_eq!(latency.percentile(f64::NAN), None);
    }
}
