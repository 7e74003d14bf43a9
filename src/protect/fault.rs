//! What can be wrong with the settings of a [`RetryBudget`](crate::RetryBudget) or a [`Breaker`](crate::Breaker).
//!
//! Promises: an error names the setting, its value, and what to write instead. Settings are chained calls that cannot fail,
//! so a fault is kept as it was written and reported when the queue opens.

use std::time::Duration;

/// A setting of a [`RetryBudget`](crate::RetryBudget) or a [`Breaker`](crate::Breaker) that makes no sense.
///
/// ```
/// use redeliver::{Breaker, OpenError, ProtectionError, Queue};
///
/// let refused = Queue::<()>::builder("mail").breaker(Breaker::new().probes(0)).open().unwrap_err();
/// assert_eq!(refused, OpenError::Protection(ProtectionError::Probes));
/// assert!(refused.to_string().contains("name at least 1"));
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectionError {
    /// The budget's percentage is below 0, above 100, or not a number.
    #[error("retry budget: percent({percent}) is no share of the first attempts; name 0 to 100")]
    Percent {
        /// As it was set.
        percent: f64,
    },
    /// The budget's floor is below 0, infinite, or not a number.
    #[error("retry budget: floor_per_second({floor}) is no rate; name a finite number above 0")]
    Floor {
        /// As it was set.
        floor: f64,
    },
    /// The floor grants less than one retry in a window: once nothing new is sent, a retry would wait for ever.
    #[error(
        "retry budget: floor_per_second({floor}) within a window of {window:?} is less than one retry, so that a retry would \
         wait for ever once nothing new is sent; raise the one or the other"
    )]
    Starves {
        /// The floor, as it was set.
        floor: f64,
        /// The window, as it was set.
        window: Duration,
    },
    /// A window of nothing, or beyond all time.
    #[error("{of}: a window of {window:?} counts nothing that could end; name one between a millisecond and 100 years")]
    Window {
        /// `retry budget` or `breaker`.
        of: &'static str,
        /// As it was set.
        window: Duration,
    },
    /// A breaker's window of no outcome, or of more than a million.
    #[error("breaker: window({outcomes}) judges by no outcome, or keeps too many; name 1 to 1,000,000")]
    Outcomes {
        /// As it was set.
        outcomes: u32,
    },
    /// The failure rate is no share above 0.
    #[error("breaker: failure_rate({rate}) is no share of the outcomes; name one above 0 and at most 1")]
    Rate {
        /// As it was set.
        rate: f64,
    },
    /// `min_calls(0)`, or more than the window holds: the breaker would judge by nothing, or never.
    #[error(
        "breaker: min_calls({min_calls}) of a window of {window}: name at least 1 and no more than the window holds"
    )]
    MinCalls {
        /// As it was set.
        min_calls: u32,
        /// How many outcomes the window holds.
        window: u32,
    },
    /// `consecutive_failures(0)` would open at once and for no reason.
    #[error("breaker: consecutive_failures(0) opens for no reason; name at least 1")]
    Consecutive,
    /// The breaker would not open at all, or never close.
    #[error(
        "breaker: open_for({open_for:?}) is no pause, or one that never ends; name one between nothing and 100 years"
    )]
    OpenFor {
        /// As it was set.
        open_for: Duration,
    },
    /// The longest pause is shorter than the first one, or never ends.
    #[error(
        "breaker: open_for_max({max:?}) is below open_for({open_for:?}), or never ends; name one of at least that, and at \
         most 100 years"
    )]
    OpenForMax {
        /// As it was set.
        max: Duration,
        /// The first pause.
        open_for: Duration,
    },
    /// `probes(0)`: nothing would have to succeed before everything is let through again.
    #[error("breaker: probes(0) would close it untried; name at least 1")]
    Probes,
}
