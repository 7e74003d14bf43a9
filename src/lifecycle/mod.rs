//! The states of a message and the table of what may follow what. Data, not code: the ledger asks it before it moves
//! anything, and a test walks every cell.
//!
//! ```text
//!  Unsent ─accepted─► Seated        Ready ◄───────── due ──────── Delayed ◄── snooze
//!    │                   │            │                              ▲
//!    │              hand-over     hand-over                    retry later
//!    │                   ▼            ▼                              │
//!    │                   └─► InFlight ◄┘ ── nack, drop, panic, ──► Deciding ── retry now ──► Ready
//!    │                          │           lost lease, reject       │
//!  refused                      ack                               give up ──► Dead ── redrive ──► Ready, or Delayed
//!    │                          ▼                                    │  (or Parked, until there is room for one more)
//!    └────────► Deciding     Settled ◄─────── discard ───────────────┘
//!                                                    Dead ── purge ──► Settled
//! ```

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum State {
    /// Not accepted yet: its send failed and will be tried again.
    Unsent,
    /// In a seat of the ring: ready, or in flight for the first time. The ledger knows nothing of it.
    Seated,
    /// Can be handed out again.
    Ready,
    /// In a consumer's hands, under a lease.
    InFlight,
    /// Failed; its policy is being asked.
    Deciding,
    /// Waits for its next attempt.
    Delayed,
    /// Past its policy.
    Dead,
    /// Past its policy, and the dead-letter store is full.
    Parked,
    /// Acked, discarded by the policy, or purged.
    Settled,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Trigger {
    HandOver,
    Ack,
    /// nack, a dropped delivery, a panic.
    Fail,
    LeaseLost,
    Snooze,
    Reject,
    /// A send was tried (again) and refused.
    Refused,
    /// A send was tried again and accepted.
    Accepted,
    /// The policy: again, at once.
    RetryNow,
    /// The policy: again, later.
    RetryLater,
    /// The policy: the resend ledger's turn again, later.
    ResendLater,
    /// The policy gave up, and there is room for a dead letter.
    GiveUp,
    /// The policy gave up, and there is none.
    Park,
    /// The policy: drop it.
    Discard,
    Due,
    Redrive,
    /// Brought back, and not at once.
    RedriveLater,
    /// Its owner has no more use for it.
    Purge,
    /// There is room for a dead letter again.
    Room,
}

use State::*;

/// Everything that may happen. What is not listed may not.
const TABLE: &[(State, Trigger, State)] = &[
    (Unsent, Trigger::Refused, Deciding),
    (Unsent, Trigger::Accepted, Seated),
    (Ready, Trigger::HandOver, InFlight),
    (InFlight, Trigger::Ack, Settled),
    (InFlight, Trigger::Fail, Deciding),
    (InFlight, Trigger::LeaseLost, Deciding),
    (InFlight, Trigger::Snooze, Delayed),
    (InFlight, Trigger::Reject, Deciding),
    (Deciding, Trigger::RetryNow, Ready),
    (Deciding, Trigger::RetryLater, Delayed),
    (Deciding, Trigger::ResendLater, Unsent),
    (Deciding, Trigger::GiveUp, Dead),
    (Deciding, Trigger::Park, Parked),
    (Deciding, Trigger::Discard, Settled),
    (Delayed, Trigger::Due, Ready),
    (Dead, Trigger::Redrive, Ready),
    (Dead, Trigger::RedriveLater, Delayed),
    (Dead, Trigger::Purge, Settled),
    (Parked, Trigger::Room, Dead),
];

/// Where `trigger` takes a message from `state`, or `None` if it may not happen there.
pub(crate) fn next(state: State, trigger: Trigger) -> Option<State> {
    TABLE.iter().find(|(from, on, _)| (*from, *on) == (state, trigger)).map(|(_, _, to)| *to)
}
