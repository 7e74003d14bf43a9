//! What a recovery found.

use super::position::Position;
use std::time::Duration;

/// What opening a journal found, and did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RecoveryReport {
    pub segments: u64,
    pub frames: u64,
    /// The user's, in whole groups.
    pub records: u64,
    pub groups: u64,
    /// What is lost, and where. The segment is kept as it is.
    pub damage: Vec<Damage>,
    pub tail: Tail,
    /// Cut off behind the last whole group, and kept in [`kept_in`](Self::kept_in).
    pub bytes_cut: u64,
    /// The file that holds what was cut off, until the next clean close.
    pub kept_in: Option<String>,
    /// Records that were written again, because nobody knew whether the disk had them.
    pub rewritten: u64,
    /// Where the journal goes on.
    pub end: Option<Position>,
    /// How long it took.
    pub took: Duration,
}

/// How the journal ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Tail {
    /// With a whole group.
    #[default]
    Clean,
    /// With one that never arrived in full: a crash cut its write short.
    Torn,
    /// With one that is damaged, and that may have been confirmed in the last moment before the end: the commit mark that
    /// would tell had not been written.
    Uncertain,
}

/// A place in which no whole record could be read, although there was one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Damage {
    pub from: Position,
    pub to: Position,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} up to {}", self.from, self.to.offset())
    }
}
