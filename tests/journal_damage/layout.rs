//! Reads a segment by `docs/format.md` and nothing else: what each byte of it is there for. The second reader of the format,
//! beside the one that is tested.

use std::ops::Range;

pub(crate) const BLOCK: usize = 4096;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum What {
    /// One of the two copies.
    Header,
    /// The zeros behind a copy, between frames, and in the last block.
    Padding,
    FrameHead,
    /// A frame without records.
    Mark,
    Table,
    Freed,
    Seal,
    Held,
    Effect,
    InGroup,
    /// Behind the end: zeros, or the old bytes of a file that was written over.
    Void,
}

#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) range: Range<usize>,
    pub(crate) what: What,
    /// Counts the frames; padding belongs to the one before it.
    pub(crate) frame: usize,
}

pub(crate) struct Layout {
    pub(crate) spans: Vec<Span>,
    pub(crate) is_recycled: bool,
    /// The highest commit mark: segment and offset.
    pub(crate) mark: (u32, u32),
    /// Where the last frame ends.
    pub(crate) end: usize,
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Of an undamaged segment. What lies behind `end` is void.
pub(crate) fn read(bytes: &[u8], end: usize) -> Layout {
    let mut layout = Layout { spans: Vec::new(), is_recycled: u32_at(bytes, 52) == 1, mark: (0, 0), end: BLOCK };
    let mut frame = 0;
    for half in [0, BLOCK / 2] {
        layout.push(half..half + 64, What::Header, frame);
        layout.push(half + 64..half + BLOCK / 2, What::Padding, frame);
    }
    let mut at = BLOCK;
    while at < end {
        let next = [at, at.next_multiple_of(BLOCK)].into_iter().find(|here| {
            // A file that was written over has heads of the segment that it was before.
            bytes.get(here + 4..here + 8) == Some(b"rdlv")
                && u32_at(bytes, here + 12) == u32_at(bytes, 12)
                && u32_at(bytes, here + 24) as usize == at
        });
        let Some(head) = next.filter(|head| *head < end) else { break };
        layout.push(at..head, What::Padding, frame);
        frame += 1;
        let body_end = head + 40 + u32_at(bytes, head + 28) as usize;
        let mark = (u32_at(bytes, head + 20), u32_at(bytes, head + 16));
        layout.mark = layout.mark.max(mark);
        layout.push(head..head + 40, if body_end == head + 40 { What::Mark } else { What::FrameHead }, frame);
        let mut record = head + 40;
        while record < body_end {
            let length = record_bytes(u32_at(bytes, record + 4) as usize);
            let (kind, flags) = (bytes[record + 8], bytes[record + 9]);
            let what = match (flags, kind) {
                (8, 1) => What::Table,
                (8, 2) => What::Freed,
                (8, 3) => What::Seal,
                (0, _) => What::Held,
                (4, _) => What::Effect,
                _ if flags & 3 != 0 => What::InGroup,
                _ => panic!("flags {flags} at {record}"),
            };
            layout.push(record..record + length, what, frame);
            record += length;
        }
        assert_eq!(record, body_end, "records fill their frame");
        at = body_end;
    }
    layout.end = at;
    layout.push(at..bytes.len(), What::Void, frame);
    layout
}

pub(crate) fn record_bytes(body: usize) -> usize {
    (12 + body + 4).next_multiple_of(8)
}

impl Layout {
    fn push(&mut self, range: Range<usize>, what: What, frame: usize) {
        if !range.is_empty() {
            self.spans.push(Span { range, what, frame });
        }
    }

    /// What these bytes are there for.
    pub(crate) fn of<'l>(&'l self, range: &'l Range<usize>) -> impl Iterator<Item = &'l Span> {
        let first = self.spans.partition_point(|span| span.range.end <= range.start);
        self.spans[first..].iter().take_while(|span| span.range.start < range.end)
    }
}
