//! A frame: records that were written together, behind a head that says where the journal was safe at that time.
//!
//! ```text
//! 0   checksum         u32   of the head, and of the place
//! 4   magic            u32
//! 8   position         u64   of this frame
//! 16  commit mark      u64   all before this position was on the disk when this frame was closed
//! 24  previous         u32   where the frame before ended: what lies between is padding, and no lost frame
//! 28  length           u32   of the records
//! 32  records          u32   how many
//! 36  kind             u8    1: records in plain
//! 37  zero             3 bytes
//! 40  records
//! ```
//!
//! The commit mark tells rot from a torn tail: damage before a mark happened to what was safe, damage after the last one may
//! be the write that a crash cut short. A frame without records is there for its mark alone.

use super::bytes::{GRAIN, u32_at, u64_at};
use super::identity::SegmentId;
use super::position::Position;

pub(crate) const HEAD: usize = 40;
/// A frame takes no further record beyond this; one record may be larger. What one day is encrypted is a frame.
pub(crate) const BODY_MAX: usize = 64 * 1024;
const MAGIC: u32 = u32::from_le_bytes(*b"rdlv");
const PLAIN: u8 = 1;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Frame {
    pub(crate) offset: u32,
    pub(crate) mark: Position,
    pub(crate) previous: u32,
    pub(crate) body_bytes: u32,
    pub(crate) records: u32,
}

impl Frame {
    pub(crate) fn body(&self) -> u32 {
        self.offset + HEAD as u32
    }

    pub(crate) fn end(&self) -> u32 {
        self.body() + self.body_bytes
    }

    pub(crate) fn write(&self, head: &mut [u8], id: SegmentId) {
        head[4..8].copy_from_slice(&MAGIC.to_le_bytes());
        head[8..16].copy_from_slice(&Position::new(id.number, self.offset).to_bits().to_le_bytes());
        head[16..24].copy_from_slice(&self.mark.to_bits().to_le_bytes());
        head[24..28].copy_from_slice(&self.previous.to_le_bytes());
        head[28..32].copy_from_slice(&self.body_bytes.to_le_bytes());
        head[32..36].copy_from_slice(&self.records.to_le_bytes());
        head[36..HEAD].copy_from_slice(&[PLAIN, 0, 0, 0]);
        let check = id.check(0, self.offset, &head[4..HEAD]);
        head[..4].copy_from_slice(&check.to_le_bytes());
    }

    /// The head at the start of `bytes`, which is at `offset` of a segment that ends at `end_max`.
    pub(crate) fn read(bytes: &[u8], id: SegmentId, offset: u32, end_max: u32) -> Option<Frame> {
        if bytes.len() < HEAD || u32_at(bytes, 4) != MAGIC {
            return None;
        }
        let frame = Frame {
            offset,
            mark: Position::from_bits(u64_at(bytes, 16)),
            previous: u32_at(bytes, 24),
            body_bytes: u32_at(bytes, 28),
            records: u32_at(bytes, 32),
        };
        let is_whole = id.check(0, offset, &bytes[4..HEAD]) == u32_at(bytes, 0)
            && u64_at(bytes, 8) == Position::new(id.number, offset).to_bits()
            && bytes[36..HEAD] == [PLAIN, 0, 0, 0]
            && frame.body_bytes.is_multiple_of(GRAIN)
            && u64::from(offset) + HEAD as u64 + u64::from(frame.body_bytes) <= u64::from(end_max)
            && frame.previous <= offset
            && frame.mark <= Position::new(id.number, offset);
        is_whole.then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::StoreId;
    use super::*;

    #[test]
    fn a_head_is_read_as_written_and_every_flipped_bit_is_found() {
        let id = SegmentId::new(StoreId::drawn(1), 7, 9);
        let frame = Frame { offset: 4096, mark: Position::new(6, 8192), previous: 4000, body_bytes: 64, records: 2 };
        let mut head = [0; HEAD];
        frame.write(&mut head, id);
        assert_eq!(Frame::read(&head, id, 4096, 8192), Some(frame));
        assert_eq!(Frame::read(&head, id, 4104, 8192), None, "another place");
        assert_eq!(Frame::read(&head, id, 4096, 4199), None, "longer than the segment");
        for bit in 0..HEAD * 8 {
            let mut bad = head;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Frame::read(&bad, id, 4096, 8192), None, "bit {bit}");
        }
    }

    /// A checksum that is right makes no lie true.
    #[test]
    fn a_head_that_claims_what_cannot_be_is_none() {
        let id = SegmentId::new(StoreId::drawn(1), 7, 9);
        let good = Frame { offset: 4096, mark: Position::new(6, 8192), previous: 4000, body_bytes: 64, records: 2 };
        let read = |frame: Frame, at: usize, byte: u8| {
            let mut head = [0; HEAD];
            frame.write(&mut head, id);
            head[at] ^= byte;
            let check = id.check(0, 4096, &head[4..HEAD]);
            head[..4].copy_from_slice(&check.to_le_bytes());
            Frame::read(&head, id, 4096, 8192)
        };
        assert_eq!(read(good, 39, 0), Some(good));
        assert_eq!(read(good, 8, 1), None, "another position");
        assert_eq!(read(good, 36, 2), None, "another kind");
        assert_eq!(read(Frame { body_bytes: 63, ..good }, 39, 0), None, "an odd length");
        assert_eq!(read(Frame { previous: 4104, ..good }, 39, 0), None, "a frame before it that is behind it");
        assert_eq!(read(Frame { mark: Position::new(7, 4104), ..good }, 39, 0), None, "a mark for what comes");
    }
}
