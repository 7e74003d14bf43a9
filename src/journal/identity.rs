//! Whose bytes these are: the store's identity, a segment's, and the checksum that is bound to both.
//!
//! The checksum is CRC-32C (Castagnoli, 1993; iSCSI's), which finds every damage of up to 32 bits in a row. It covers what
//! it stands for *and* where that stands: the store, the segment's own salt and number, and the position. So a frame of another
//! store, of the segment that a recycled file was before, or from another place of the same segment, is no frame.

use super::bytes::u64_at;
use super::position::Position;
use crate::chance::mix;

/// More bytes do not say what a content is: those of a frame are the most.
const HEAD_MAX: usize = 36;

/// A store's name for itself: drawn when it is created, and in every segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StoreId(pub(crate) [u8; 16]);

impl StoreId {
    pub(crate) fn drawn(seed: u64) -> StoreId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mix(seed).to_le_bytes());
        id[8..].copy_from_slice(&mix(!seed).to_le_bytes());
        StoreId(id)
    }
}

/// What the checksums in a segment are bound to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SegmentId {
    pub(crate) number: u32,
    bound: u64,
}

impl SegmentId {
    /// `salt` is drawn whenever a file becomes a segment: two segments of one number, of which a crash took the first, differ.
    pub(crate) fn new(store: StoreId, number: u32, salt: u64) -> SegmentId {
        let salt = if planted!("the-salt-does-not-count") { 0 } else { salt };
        let words = [u64_at(&store.0, 0), u64_at(&store.0, 8), salt, u64::from(number)];
        SegmentId { number, bound: words.into_iter().fold(0, |bound, word| mix(bound ^ word)) }
    }

    /// Completes the checksum of a content: `head` are the bytes that say what the content is.
    ///
    /// The content comes first, so that a sender computes its part before it knows the position, outside of every lock.
    pub(crate) fn check(self, content: u32, offset: u32, head: &[u8]) -> u32 {
        const PLACE: usize = 16;
        // In one piece, and where the checksum takes eight bytes at a time: it is computed for every record.
        #[repr(align(8))]
        struct Last([u8; PLACE + HEAD_MAX]);
        let mut last = Last([0; PLACE + HEAD_MAX]);
        last.0[..8].copy_from_slice(&self.bound.to_le_bytes());
        last.0[8..PLACE].copy_from_slice(&Position::new(self.number, offset).to_bits().to_le_bytes());
        last.0[PLACE..PLACE + head.len()].copy_from_slice(head);
        crc32c::crc32c_append(content, &last.0[..PLACE + head.len()])
    }
}
