//! What can go wrong, one error per verb.

use super::report::Damage;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Why a journal was not opened. Nothing in the directory was changed; if it is [`Storage`](Self::Storage) or
/// [`Full`](Self::Full), nothing that the journal holds.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("the directory is in use: another journal holds its file `lock`")]
    Locked,
    /// There is something else in the directory.
    #[error("`{file}` is no file of a journal: give the journal a directory of its own")]
    Foreign { file: String },
    /// The file belongs to another journal.
    #[error("`{file}` belongs to another journal: put it back to where it came from")]
    OfAnother { file: String },
    /// A segment under the name of another one.
    #[error("`{file}` is segment {is}: give it its name back")]
    Renamed { file: String, is: u32 },
    /// A file that must be there is not.
    #[error("`{file}` is missing: put it back, for it holds what was confirmed")]
    Missing { file: String },
    /// Written by a later version of this library.
    #[error("`{file}` has format version {version}, and this library reads up to {known}: use a newer one")]
    Newer { file: String, version: u16, known: u16 },
    /// What cannot be done without is damaged, in both of its copies.
    #[error("`{file}` is damaged: {what} can be read in neither of its two places")]
    Damaged { file: String, what: &'static str },
    /// Records are damaged, and [`refuses_damage`](crate::internals::Settings::refuses_damage) is set.
    #[error("records are damaged, in so many places: {} ({}); open it without `refuses_damage` to go on without them", damage.len(), places(damage))]
    Rot { damage: Vec<Damage> },
    /// A file system over a network, whose locks and flushes depend on others.
    #[error(
        "the directory lies on a network file system, whose locks and flushes cannot be relied on: use a local disk"
    )]
    Network,
    /// A file system that cannot be written to.
    #[error("the file system is read-only")]
    ReadOnly,
    /// There is no room for the next segment, and the reserve is used up.
    #[error("the disk is full: opening needs {bytes} bytes for the next segment")]
    Full { bytes: u64 },
    /// Segments are numbered, and there is no number left.
    #[error("there is no number left for another segment: make a new journal, and move there what lives in this one")]
    UsedUp,
    /// A setting that cannot work.
    #[error("{what} must be {must}, and is {is}")]
    Setting { what: &'static str, must: &'static str, is: u64 },
    /// The storage failed.
    #[error("{doing} failed: {error}")]
    Storage {
        doing: Doing,
        #[source]
        error: io::Error,
    },
}

/// What was being done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Doing {
    Listing,
    Locking,
    Reading(String),
    Making(String),
    Cleaning,
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Doing::Listing => f.write_str("listing the directory"),
            Doing::Locking => f.write_str("locking the directory"),
            Doing::Reading(file) => write!(f, "reading `{file}`"),
            Doing::Making(file) => write!(f, "writing `{file}`"),
            Doing::Cleaning => f.write_str("removing what is no longer needed"),
        }
    }
}

fn places(damage: &[Damage]) -> String {
    damage.iter().take(3).map(Damage::to_string).collect::<Vec<_>>().join(", ")
}

impl Doing {
    pub(crate) fn failed(self) -> impl FnOnce(io::Error) -> OpenError {
        move |error| OpenError::Storage { doing: self, error }
    }
}

/// Why a group was not taken. It will not be found in the journal.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No segment could hold it.
    #[error("a group of {bytes} bytes is too large for a segment: at most {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: u64 },
    /// The disk is full. Goes by itself when there is room again; what frees room may still be appended.
    #[error("the disk is full")]
    Full,
    /// The next segment could not be made; what was confirmed is not in doubt.
    #[error("the next segment could not be made: {0}")]
    Storage(#[source] Arc<io::Error>),
    /// The journal is [poisoned](Poison).
    #[error(transparent)]
    Poisoned(#[from] Poison),
    /// It was closed.
    #[error("the journal is closed")]
    Closed,
    /// This process is a forked child of the one that opened it.
    #[error("the journal belongs to the process that opened it, and this is its forked child")]
    Forked,
}

/// The journal confirms nothing any more: a write or a flush failed, and nobody knows what of it reached the disk.
#[derive(Clone, Debug, Error)]
#[error("the journal is poisoned: {doing} failed, and nobody knows what reached the disk: {error}")]
pub struct Poison {
    pub doing: &'static str,
    #[source]
    pub error: Arc<io::Error>,
}

/// Why something is not confirmed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// It may or may not survive.
    #[error("nobody knows whether it survives: {0}")]
    Unknown(#[source] Poison),
    /// The disk is full. It will not be found in the journal.
    #[error("the disk is full")]
    Full,
    /// The journal was closed, and had never come as far. Nothing that was appended before the close ends like this.
    #[error("the journal was closed before it came as far")]
    Closed,
}

/// Appending waits for a commit where it needs room.
impl From<CommitError> for AppendError {
    fn from(error: CommitError) -> AppendError {
        match error {
            CommitError::Unknown(poison) => poison.into(),
            CommitError::Full => AppendError::Full,
            CommitError::Closed => AppendError::Closed,
        }
    }
}

/// Is it only that there is no room, on the disk or in the user's share of it?
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
