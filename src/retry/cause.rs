//! What can go wrong with an attempt.
//!
//! Promises: each cause has a text of its own, and the text of a `nack` is the text of its reason, so that histories can be
//! searched for what handlers said.

use std::error::Error;
use std::fmt;
use std::io;

/// What went wrong with an attempt. Its text is what the message's history records as the attempt's error.
///
/// ```
/// use redeliver::Cause;
/// use std::fmt;
///
/// assert_eq!(Cause::LeaseExpired.to_string(), "the lease expired");
/// assert_eq!(Cause::Nack(&fmt::Error).to_string(), fmt::Error.to_string()); // the reason, unchanged
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Cause<'a> {
    /// The consumer refused the delivery, for this reason.
    Nack(&'a (dyn Error + Send + Sync + 'static)),
    /// The consumer held the delivery for longer than its lease.
    LeaseExpired,
    /// The delivery was dropped without being settled.
    Dropped,
    /// The delivery was dropped by a panic, or the handler panicked.
    Panicked,
    /// The process ended while the delivery was in flight.
    ProcessDied,
    /// The send found the queue full.
    Full,
    /// The send could not be written.
    Storage(&'a io::Error),
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nack(error) => error.fmt(f),
            Self::LeaseExpired => f.write_str("the lease expired"),
            Self::Dropped => f.write_str("the delivery was dropped without being settled"),
            Self::Panicked => f.write_str("the handler panicked"),
            Self::ProcessDied => f.write_str("the process ended while the delivery was in flight"),
            Self::Full => f.write_str("the queue was full"),
            Self::Storage(error) => write!(f, "the storage failed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_text() {
        let error = io::Error::other("disk gone");
        let causes = [
            Cause::Nack(&error),
            Cause::LeaseExpired,
            Cause::Dropped,
            Cause::Panicked,
            Cause::ProcessDied,
            Cause::Full,
            Cause::Storage(&error),
        ];
        let texts: std::collections::HashSet<_> = causes.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), causes.len(), "{texts:?}");
    }
}
