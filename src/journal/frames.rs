//! The end of the journal in memory: records are put into frames here, and taken out to be written. Moves bytes, touches no
//! disk.
//!
//! Frames follow one another without a gap until the journal is flushed; the next one then begins at a [block](BLOCK), for a
//! block that holds what was confirmed is never written again.

use super::bytes::{BLOCK, aligned};
use super::frame::{self, Frame};
use super::identity::SegmentId;
use super::own;
use super::position::Position;
use super::record::{Sealed, group_bytes};

#[derive(Clone)]
pub(crate) struct Frames {
    pub(crate) id: SegmentId,
    segment_bytes: u32,
    /// Frames to be written, one behind the other, from `base` on; the last may still be open.
    bytes: Vec<u8>,
    base: u32,
    /// Where in `bytes` the open frame begins.
    open: Option<usize>,
    records: u32,
    /// Where the last closed frame ended.
    previous: u32,
    /// Where the next frame goes if none is waiting.
    next: u32,
    is_ended: bool,
}

/// Whole frames, to be written at `offset`.
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) offset: u32,
    /// All records before this position are in this chunk or were written before it.
    pub(crate) end: Position,
}

impl Chunk {
    pub(crate) fn begins_block(&self) -> bool {
        self.offset.is_multiple_of(BLOCK)
    }
}

impl Frames {
    pub(crate) fn new(id: SegmentId, segment_bytes: u32) -> Frames {
        let (bytes, base) = (Vec::new(), BLOCK);
        Frames { id, segment_bytes, bytes, base, open: None, records: 0, previous: BLOCK, next: BLOCK, is_ended: false }
    }

    /// The largest group that a segment can hold.
    pub(crate) fn group_bytes_max(segment_bytes: u32) -> u64 {
        // The segment's header, its table twice, and the block for its seal.
        u64::from(segment_bytes / 2).saturating_sub(4 * u64::from(BLOCK))
    }

    /// How large a segment must be: what was wished for, unless its tables would leave no room for the largest group.
    pub(crate) fn segment_bytes(wished: u32, table_bytes: usize) -> u32 {
        let tables = 2 * (table_bytes as u64 + u64::from(BLOCK));
        let least = tables + Frames::group_bytes_max(wished) + 5 * u64::from(BLOCK);
        wished.max(aligned(least.min(1 << 31) as u32, BLOCK))
    }

    /// Is there room in the segment? The last block is for its seal, and the one before for what the journal itself has to say
    /// so that there is room again.
    pub(crate) fn fits(&self, group: &[Sealed<'_>]) -> bool {
        self.fits_before(2 * BLOCK, group)
    }

    pub(crate) fn fits_own(&self, group: &[Sealed<'_>]) -> bool {
        self.fits_before(BLOCK, group)
    }

    fn fits_before(&self, kept: u32, group: &[Sealed<'_>]) -> bool {
        let bytes = group_bytes(group);
        // Two neighbours among frames hold more than BODY_MAX together.
        let heads = frame::HEAD as u64 * (2 + 2 * bytes / frame::BODY_MAX as u64);
        !self.is_ended && u64::from(self.end_offset()) + heads + bytes <= u64::from(self.segment_bytes - kept)
    }

    /// Nothing fits any more: the rest of the segment was given back.
    pub(crate) fn end_segment(&mut self) {
        self.is_ended = true;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Puts a group that [fits](Self::fits) behind what is there, and says where each record is. All before `mark` is safe.
    pub(crate) fn put(&mut self, group: &[Sealed<'_>], mark: Position, mut at: impl FnMut(Position)) {
        for (nth, record) in group.iter().enumerate() {
            self.open_frame_for(record.bytes() as usize, mark);
            let offset = self.end_offset();
            record.write(&mut self.bytes, self.id, offset, (nth, group.len()));
            self.records += 1;
            at(Position::new(self.id.number, offset));
        }
    }

    /// Puts a frame that says no more than that all before `mark` is safe.
    pub(crate) fn put_mark(&mut self, mark: Position) {
        self.close_frame(mark);
        self.open_frame();
        self.close_frame(mark);
    }

    /// What every segment begins with: the table of those before it, twice.
    pub(crate) fn begin(&mut self, table: &[u8], mark: Position) {
        for _ in 0..2 {
            self.put_apart(Sealed::own(own::TABLE, table), mark);
        }
    }

    /// Puts a record into a frame of its own, at a block of its own.
    pub(crate) fn put_apart(&mut self, record: Sealed<'_>, mark: Position) {
        self.close_frame(mark);
        if self.bytes.is_empty() {
            self.begin_block();
        } else {
            self.bytes.resize((aligned(self.end_offset(), BLOCK) - self.base) as usize, 0);
        }
        self.put(&[record], mark, |_| {});
        self.close_frame(mark);
    }

    fn open_frame_for(&mut self, bytes: usize, mark: Position) {
        if self.open.is_some_and(|open| self.bytes.len() - open - frame::HEAD + bytes > frame::BODY_MAX) {
            self.close_frame(mark);
        }
        if self.open.is_none() {
            self.open_frame();
        }
    }

    fn open_frame(&mut self) {
        if self.bytes.is_empty() {
            self.base = self.next;
        }
        self.open = Some(self.bytes.len());
        self.records = 0;
        self.bytes.resize(self.bytes.len() + frame::HEAD, 0);
    }

    fn close_frame(&mut self, mark: Position) {
        let Some(open) = self.open.take() else { return };
        let body_bytes = (self.bytes.len() - open - frame::HEAD) as u32;
        let offset = self.base + open as u32;
        let frame = Frame { offset, mark, previous: self.previous, body_bytes, records: self.records };
        frame.write(&mut self.bytes[open..open + frame::HEAD], self.id);
        self.previous = frame.end();
        self.next = frame.end();
    }

    /// Takes what waits to be written, and leaves `spare` to be filled. With `to_flush` the chunk ends with its block.
    pub(crate) fn take(&mut self, mark: Position, to_flush: bool, spare: Vec<u8>) -> Option<Chunk> {
        self.close_frame(mark);
        let end = self.end();
        if to_flush {
            self.begin_block();
        }
        if self.bytes.is_empty() {
            return None;
        }
        let mut bytes = std::mem::replace(&mut self.bytes, spare);
        self.bytes.clear();
        if to_flush {
            bytes.resize((self.next - self.base) as usize, 0);
        }
        Some(Chunk { bytes, offset: self.base, end })
    }

    /// From now on a new block: what is written so far is about to be flushed.
    fn begin_block(&mut self) {
        self.next = aligned(self.next, BLOCK);
    }

    /// Before what is written is flushed: does what comes next stay out of its last block?
    pub(crate) fn keeps_off(&mut self) -> bool {
        if self.bytes.is_empty() {
            self.begin_block();
        }
        self.bytes.is_empty() || self.base.is_multiple_of(BLOCK)
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn end_offset(&self) -> u32 {
        if self.bytes.is_empty() { self.next } else { self.base + self.bytes.len() as u32 }
    }

    /// Behind the last record, padding aside.
    pub(crate) fn end(&self) -> Position {
        let offset = if self.bytes.is_empty() { self.previous } else { self.base + self.bytes.len() as u32 };
        Position::new(self.id.number, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::StoreId;
    use super::super::record::{Entry, Life};
    use super::*;

    #[test]
    fn the_largest_group_fits_behind_tables_of_any_size() {
        let wished = 1 << 16;
        let body = vec![0; Frames::group_bytes_max(wished) as usize - 16];
        let group = [Sealed::new(Entry { kind: 1, life: Life::Held, body: &body })];
        for segments in [0, 1, 500, 1000, 10_000] {
            let bytes = Frames::segment_bytes(wished, 8 * segments);
            assert!(segments > 1000 || bytes == wished, "{segments} segments: {bytes}");
            let mut frames = Frames::new(SegmentId::new(StoreId::drawn(1), 7, 9), bytes);
            frames.begin(&vec![0; 8 * segments], Position::START);
            assert!(frames.fits(&group), "behind a table of {segments} segments");
        }
    }
}
