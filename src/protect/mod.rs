//! Protection of what is downstream: the rules, and nothing but the rules.
//!
//! Promises: everything here is a pure state machine over milliseconds that are passed in. Nothing reads a clock, locks,
//! sleeps or draws; no arithmetic overflows, and no setting that passed its check makes a message wait for ever.
//!
//! A way through the room: [`budget`] is the users' [`RetryBudget`], and `purse` what counts by it; [`breaker`] is the users'
//! [`Breaker`], `circuit` the state machine of one class, and `outcomes` the window it judges by; `guard` holds all of a
//! queue's circuits, its purse, and the lines of those who wait; `fault` names bad settings.
//!
//! Left to others: the messages themselves (the ledger), handing them over, telling and waking (the hub).

mod breaker;
mod budget;
mod circuit;
mod fault;
mod guard;
mod outcomes;
mod purse;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

pub use breaker::{Breaker, BreakerState};
pub use budget::RetryBudget;
pub(crate) use circuit::Outcome;
pub use fault::ProtectionError;
pub(crate) use guard::{CLASSLESS, Guard, Pick, Told, Turn};

use std::time::Duration;

/// Longer than any process lives: a setting beyond it would mean never.
const TIME_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Whole milliseconds, rounded up, so that nothing comes early.
fn millis(time: Duration) -> u64 {
    let rounded_up = time.as_millis() + u128::from(!time.subsec_nanos().is_multiple_of(1_000_000));
    u64::try_from(rounded_up).unwrap_or(u64::MAX)
}
