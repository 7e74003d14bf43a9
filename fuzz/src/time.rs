//! Durations as people write them, and those that nobody should.

use arbitrary::Arbitrary;
use std::time::Duration;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Time {
    Zero,
    Millis(u16),
    Nanos(u32),
    Secs(u32),
    Any { secs: u64, nanos: u32 },
    Max,
}

impl Time {
    pub fn get(self) -> Duration {
        match self {
            Time::Zero => Duration::ZERO,
            Time::Millis(ms) => Duration::from_millis(u64::from(ms)),
            Time::Nanos(nanos) => Duration::from_nanos(u64::from(nanos)),
            Time::Secs(secs) => Duration::from_secs(u64::from(secs)),
            Time::Any { secs, nanos } => Duration::new(secs, nanos % 1_000_000_000),
            Time::Max => Duration::MAX,
        }
    }
}
