//! How a journal is laid out.

use super::bytes::BLOCK;
use super::error::OpenError;

/// How a journal is laid out. The settings may differ from one opening to the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The size of a segment: a multiple of 4,096, from 64 KiB to 1 GiB. 64 MiB unless set.
    pub segment_bytes: u32,
    /// Write over segments in which nothing lives, instead of making new files. A flush takes about half as long, for the file
    /// system has no extents to convert, and a buffered write about a tenth to a third less, for the page cache has the pages.
    /// Where it has lost them to other files, every page is read first, and new files are much faster.
    pub recycle: bool,
    /// How many segments to keep for that.
    pub spares_max: usize,
    /// Do not open a journal in which records are damaged. Otherwise it opens without them, says which places they are in,
    /// and keeps the files.
    pub refuses_damage: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::DEFAULT
    }
}

const SEGMENT_BYTES_MIN: u32 = 64 << 10;
const SEGMENT_BYTES_MAX: u32 = 1 << 30;

impl Settings {
    pub const DEFAULT: Settings =
        Settings { segment_bytes: 64 << 20, recycle: true, spares_max: 1, refuses_damage: false };

    /// None if nothing is written over.
    pub(crate) fn spares_max(&self) -> usize {
        if self.recycle { self.spares_max } else { 0 }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let bytes = self.segment_bytes;
        if bytes.is_multiple_of(BLOCK) && (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) {
            return Ok(());
        }
        Err(OpenError::Setting {
            what: "segment_bytes",
            must: "a multiple of 4,096 from 65,536 to 1,073,741,824",
            is: bytes.into(),
        })
    }
}
