//! Where something stands in the journal: the number of its segment and the offset in that.

use std::fmt;

/// Positions grow as the journal does, and none is used twice: a segment's number never comes back.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position(u64);

impl Position {
    /// Before everything.
    pub const START: Position = Position(0);

    pub const fn new(segment: u32, offset: u32) -> Position {
        Position((segment as u64) << 32 | offset as u64)
    }

    pub const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub const fn offset(self) -> u32 {
        self.0 as u32
    }

    pub const fn from_bits(bits: u64) -> Position {
        Position(bits)
    }

    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} at {}", self.segment(), self.offset())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.segment(), self.offset())
    }
}
