//! The journal: records on a disk, in order, found again after whatever happened to the process or the machine.
//!
//! It knows nothing of queues. What its user writes are *records*, alone or in groups that survive as a whole or not at
//! all; records that are written together are a *frame*; frames stand in *segments*, files of one size. `docs/format.md`
//! describes every byte.
//!
//! | to understand | read |
//! |---|---|
//! | what is on the disk | `record.rs`, `frame.rs`, `segment.rs`, `own.rs`, `names.rs` |
//! | how it is written | `frames.rs`, `make.rs` (segments), `log.rs` (all of it), and the joint above: `commit` |
//! | how it is read | `window.rs`, `scan.rs`, `groups.rs` |
//! | what happens at the start | `recovery/` |
//! | when a segment may go | `life.rs` |
//!
//! The ground rules, each for a way in which disks and file systems have lost data:
//!
//! 1. Confirmed is what `flush` returned for, and its segment's name was durable before it was used.
//! 2. A write or a flush that failed is not tried again: the journal is poisoned, and says so.
//! 3. No block that may hold what was confirmed is ever written again, and no segment that was recovered is.
//! 4. A checksum covers what a thing is and where it stands; a length is believed when the checksum is right.
//! 5. Reading decides, then one rename changes everything.

mod bytes;
mod error;
mod frame;
mod frames;
mod groups;
mod identity;
mod life;
mod log;
mod make;
mod names;
mod own;
mod position;
mod record;
mod recovery;
mod report;
mod scan;
mod segment;
mod settings;
mod window;

pub use error::{AppendError, CommitError, Doing, OpenError, Poison};
pub use log::Urgency;
pub use position::Position;
pub use record::{Entry, Life, Record};
pub use report::{Damage, RecoveryReport, Tail};
pub use settings::Settings;

pub(crate) use error::is_full;
pub(crate) use frames::Chunk;
pub(crate) use log::{Log, Retire, RollError};
pub(crate) use record::Sealed;
pub(crate) use recovery::open;
pub(crate) use scan::{Found, Go, Scan};
pub(crate) use window::write_full;
