//! The header of a segment: its first block.
//!
//! It stands there twice, in sectors of their own, for a segment whose salt is lost is lost with all its records:
//!
//! ```text
//! 0     magic                "redliver"
//! 8     version              u16   1
//! 10    zero                 u16
//! 12    number               u32
//! 16    store                16 bytes
//! 32    salt                 u64
//! 40    end of the journal   u64   where it ended before this segment was added: what lies behind is void
//! 48    bytes                u32   the size that the file was given
//! 52    written over         u32   1: the file was a segment before, and holds old bytes behind its last frame
//! 56    zero                 4 bytes
//! 60    checksum             u32   of all before
//! 64    zero
//! 2048  all of it again
//! ```
//!
//! Two small files are headers as well, with the number 0: `store` says that the directory is ours and whose, and `closed` where
//! the journal ended at its last clean close.

use super::bytes::{BLOCK, u16_at, u32_at, u64_at};
use super::identity::{SegmentId, StoreId};
use super::position::Position;

pub(crate) const MAGIC: &[u8; 8] = b"redliver";
pub(crate) const VERSION: u16 = 1;
const BYTES: usize = 64;
/// No segment is larger, so that no offset in one comes near the end of its type.
const BYTES_MAX: u32 = 1 << 31;
const SECOND: usize = BLOCK as usize / 2;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) store: StoreId,
    pub(crate) number: u32,
    pub(crate) salt: u64,
    /// Where the journal ended when this segment was added.
    pub(crate) before: Position,
    pub(crate) bytes: u32,
    /// Behind its last frame are old bytes, not zeros.
    pub(crate) is_recycled: bool,
}

/// What a block turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Read {
    Header(Header),
    /// Written by a later version of this library.
    Newer(u16),
    /// No header, or damaged in both places.
    Damaged,
}

impl Header {
    /// Of one of the small files.
    pub(crate) fn of_store(store: StoreId, end: Position) -> Header {
        Header { store, number: 0, salt: 0, before: end, bytes: 0, is_recycled: false }
    }

    pub(crate) fn id(&self) -> SegmentId {
        SegmentId::new(self.store, self.number, self.salt)
    }

    /// The whole block.
    pub(crate) fn block(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(BLOCK as usize);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&[0; 2]);
        header.extend_from_slice(&self.number.to_le_bytes());
        header.extend_from_slice(&self.store.0);
        header.extend_from_slice(&self.salt.to_le_bytes());
        header.extend_from_slice(&self.before.to_bits().to_le_bytes());
        header.extend_from_slice(&self.bytes.to_le_bytes());
        header.extend_from_slice(&u32::from(self.is_recycled).to_le_bytes());
        header.resize(BYTES - 4, 0);
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        header.resize(SECOND, 0);
        header.extend_from_within(..);
        header
    }

    pub(crate) fn read(block: &[u8]) -> Read {
        let copies = [0, SECOND].map(|at| block.get(at..at + BYTES).map_or(Read::Damaged, Header::read_copy));
        copies.into_iter().find(|copy| *copy != Read::Damaged).unwrap_or(Read::Damaged)
    }

    fn read_copy(bytes: &[u8]) -> Read {
        if &bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..BYTES - 4]) != u32_at(bytes, BYTES - 4) {
            return Read::Damaged;
        }
        match u16_at(bytes, 8) {
            VERSION => {}
            version if version > VERSION => return Read::Newer(version),
            _ => return Read::Damaged,
        }
        let bytes_given = u32_at(bytes, 48);
        if bytes_given > BYTES_MAX {
            return Read::Damaged;
        }
        let mut store = StoreId([0; 16]);
        store.0.copy_from_slice(&bytes[16..32]);
        Read::Header(Header {
            store,
            number: u32_at(bytes, 12),
            salt: u64_at(bytes, 32),
            before: Position::from_bits(u64_at(bytes, 40)),
            bytes: bytes_given,
            is_recycled: u32_at(bytes, 52) != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let (before, bytes) = (Position::new(6, 5000), 1 << 16);
        Header { store: StoreId::drawn(1), number: 7, salt: 9, before, bytes, is_recycled: true }
    }

    #[test]
    fn either_copy_is_enough() {
        let block = header().block();
        assert_eq!(block.len(), BLOCK as usize);
        assert_eq!(Header::read(&block), Read::Header(header()));
        for byte in 0..block.len() {
            let mut bad = block.clone();
            bad[byte] ^= 0x10;
            assert_eq!(Header::read(&bad), Read::Header(header()), "byte {byte}");
        }
        for half in [0..SECOND, SECOND..block.len()] {
            let mut bad = block.clone();
            bad[half].fill(0);
            assert_eq!(Header::read(&bad), Read::Header(header()));
        }
        assert_eq!(Header::read(&vec![0; BLOCK as usize]), Read::Damaged);
        assert_eq!(Header::read(&block[..100]), Read::Header(header()));
        assert_eq!(Header::read(&[]), Read::Damaged);
    }

    #[test]
    fn a_later_version_is_told_apart_from_damage() {
        let mut block = header().block();
        for at in [0, SECOND] {
            block[at + 8] = 2;
            let check = crc32c::crc32c(&block[at..at + BYTES - 4]).to_le_bytes();
            block[at + BYTES - 4..at + BYTES].copy_from_slice(&check);
        }
        assert_eq!(Header::read(&block), Read::Newer(2));
    }

    #[test]
    fn a_header_that_claims_what_cannot_be_is_damaged() {
        let large = Header { bytes: u32::MAX, ..header() }.block();
        assert_eq!(Header::read(&large), Read::Damaged);
        let mut old = header().block();
        for at in [0, SECOND] {
            old[at + 8] = 0;
            let check = crc32c::crc32c(&old[at..at + BYTES - 4]).to_le_bytes();
            old[at + BYTES - 4..at + BYTES].copy_from_slice(&check);
        }
        assert_eq!(Header::read(&old), Read::Damaged, "there was no version 0");
    }
}
