//! When a failed message comes back: the rules, and nothing but the rules.
//!
//! Promises: a [`RetryPolicy`] is a pure function of a [`Failure`]. Nothing in this room reads a clock, sleeps, locks or
//! draws a random number: time and chance arrive inside the failure. No arithmetic here overflows, panics or goes
//! negative, for any `Duration` and any attempt number.
//!
//! A way through the room: `policy` is the trait and `failure` (with its `cause`) what it decides about; `fixed`, `linear`, `exponential`,
//! `schedule` and `ends` are the built-in policies; `limits` says when they give up and how delays are capped and spread
//! (`jitter`); `ext`, `limited` and `branch` bring the same combinators to any policy; `fault` names bad settings;
//! `preview` shows a schedule before it happens; `delay` is the saturating arithmetic below it all.
//!
//! Left to others: counting attempts (the ledger), waiting (the wheel), containing a policy that panics, comparing a
//! [`Promise`] with the queue's `max_deliveries` and refusing a policy whose `check` fails (the queue, when it opens).

#[macro_use]
mod combinators;
mod branch;
mod cause;
mod delay;
mod ends;
mod exponential;
mod ext;
mod failure;
mod fault;
mod fixed;
mod jitter;
mod limited;
mod limits;
mod linear;
mod policy;
mod preview;
mod schedule;
#[cfg(test)]
mod tests;

pub use branch::{Then, When};
pub use cause::Cause;
pub use ends::{Immediate, Never};
pub use exponential::Exponential;
pub use ext::RetryPolicyExt;
pub use failure::Failure;
pub use fault::{PolicyError, PolicyErrorKind};
pub use fixed::Fixed;
pub use jitter::Jitter;
pub use limited::Limited;
pub use linear::Linear;
pub use policy::{Decision, Promise, RetryPolicy, policy_fn};
pub use preview::{Preview, Step};
pub use schedule::Schedule;
