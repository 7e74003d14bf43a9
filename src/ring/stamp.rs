//! The stamp: one word that says which lap a seat serves and what has become of its message.
//!
//! ```text
//!  bit 63 ........................ 8 | 7 6 | 5      | 4        | 3 .. 0
//!              lap                   |  -  | ORPHAN | EXTENDED | state          (and BOXED in bit 6)
//! ```
//!
//! ```text
//!           claim+put        take           settle (no destructor)
//!  FREE ────────────► READY ──────► FLIGHT ───────────────────────► FREE of the next lap
//!   ▲                          │      │ settle (destructor) ─► LEAVING ──► FREE
//!   │                          │      │ nack, reject, … ─────► SETTLING ─► FREE   (the message moves to the cold side)
//!   │                          │      │ lease lost ──────────► LOST ─┬─ handle dropped ─► STAY ─┐
//!   │                          └► MEMBER (of the batch whose head    └─ message settled ► LATE ─┴─► LEAVING ─► FREE
//!   │                             is FLIGHT, or BUSY while it is won)
//!   └── PHANTOM: held on behalf of a message that lives on the cold side: a redelivery, or (from SETTLING) one that a
//!       breaker has to see
//! ```

pub(super) const FREE: u64 = 0;
pub(super) const READY: u64 = 1;
/// Handed out. A tenancy (or the head of a run) owns it until somebody wins the stamp.
pub(super) const FLIGHT: u64 = 2;
/// A seat of a run that is not its first: it belongs to whoever wins the first.
pub(super) const MEMBER: u64 = 3;
/// The first seat of a run that has been won; its members are being served.
pub(super) const BUSY: u64 = 4;
/// Settled; the payload is being moved out. A few instructions, never a user's code.
pub(super) const LEAVING: u64 = 5;
/// Won by a settle that goes through the cold side's lock.
pub(super) const SETTLING: u64 = 6;
/// The lease is lost: the old handle still reads here, and so does the redelivered message.
pub(super) const LOST: u64 = 7;
/// The old handle is gone, the message still lives here.
pub(super) const STAY: u64 = 8;
/// The message is settled, the old handle still reads here.
pub(super) const LATE: u64 = 9;
/// Occupied without a payload.
pub(super) const PHANTOM: u64 = 10;

pub(super) const STATE: u64 = 0xf;
/// Its lease is not the queue's: a timer of its own watches it.
pub(super) const EXTENDED: u64 = 1 << 4;
/// The queue's last handle is gone; whoever ends this tenancy must say so.
pub(super) const ORPHAN: u64 = 1 << 5;
/// The cell holds the boxed form of the payload.
pub(super) const BOXED: u64 = 1 << 6;
const LAP_SHIFT: u32 = 8;

/// A lap's part of the stamp.
#[inline(always)]
pub(super) const fn of_lap(lap: u64) -> u64 {
    lap << LAP_SHIFT
}

#[inline(always)]
pub(super) const fn lap(stamp: u64) -> u64 {
    stamp >> LAP_SHIFT
}

#[inline(always)]
pub(super) const fn state(stamp: u64) -> u64 {
    stamp & STATE
}

/// The same lap and flags in another state.
#[inline(always)]
pub(super) const fn with_state(stamp: u64, state: u64) -> u64 {
    stamp & !STATE | state
}

/// What the seat becomes when this occupant has left: free for the next lap.
#[inline(always)]
pub(super) fn freed(stamp: u64) -> u64 {
    of_lap(lap(stamp) + u64::from(!planted!("a-freed-seat-keeps-its-lap"))) | FREE
}
