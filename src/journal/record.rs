//! A record: what the journal's user wrote, with a checksum of its own, so that rot costs one record and not its neighbours.
//!
//! ```text
//! 0      checksum     u32   of all below, and of the place (see identity.rs)
//! 4      body length  u32
//! 8      kind         u8    the user's; of the journal's own records: see own.rs
//! 9      flags        u8    below
//! 10     zero         u16
//! 12     body
//!        zeros to a multiple of 8
//! end-4  body length  u32   again: a damaged frame is read from its end as well
//! ```
//!
//! The body of an effect begins with the segments that it speaks of: their count as u32, and their numbers as u32 each.

use super::bytes::{GRAIN, aligned, u16_at, u32_at};
use super::identity::SegmentId;
use super::position::Position;

pub(crate) const HEAD: usize = 12;
const FOOT: usize = 4;

/// The next record belongs to the same group.
const MORE: u8 = 1;
/// It belongs to the same group as the record before.
const CONTINUED: u8 = 2;
/// It speaks of records of other segments, and lives as long as these do.
const EFFECT: u8 = 4;
/// The journal's own.
const OWN: u8 = 8;
const FLAGS: u8 = MORE | CONTINUED | EFFECT | OWN;

/// How long a record is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Life<'a> {
    /// Until it is [released](crate::internals::Journal::release).
    Held,
    /// As long as one of these segments is there: it says something of their records.
    Effect(&'a [u32]),
}

/// A record to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry<'a> {
    pub kind: u8,
    pub life: Life<'a>,
    pub body: &'a [u8],
}

/// A record that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    pub position: Position,
    pub kind: u8,
    pub body: &'a [u8],
    /// The segments it speaks of, if it is an effect: u32 each.
    pub(crate) effect: Option<&'a [u8]>,
    pub(crate) is_own: bool,
    pub(crate) has_more: bool,
    pub(crate) is_continued: bool,
}

impl Record<'_> {
    /// The numbers of the segments whose records it speaks of.
    pub fn speaks_of(&self) -> impl Iterator<Item = u32> + '_ {
        self.effect.unwrap_or_default().chunks_exact(4).map(|number| u32_at(number, 0))
    }

    /// The journal's own?
    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    pub fn is_effect(&self) -> bool {
        self.effect.is_some()
    }
}

/// A record on its way into a frame: what of its checksum does not depend on the place is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a> {
    entry: Entry<'a>,
    is_own: bool,
    content: u32,
}

impl<'a> Sealed<'a> {
    pub(crate) fn new(entry: Entry<'a>) -> Sealed<'a> {
        let mut content = 0;
        if let Life::Effect(segments) = entry.life {
            content = crc32c::crc32c(&(segments.len() as u32).to_le_bytes());
            content = segments.iter().fold(content, |crc, number| crc32c::crc32c_append(crc, &number.to_le_bytes()));
        }
        Sealed { entry, is_own: false, content: crc32c::crc32c_append(content, entry.body) }
    }

    pub(crate) fn own(kind: u8, body: &'a [u8]) -> Sealed<'a> {
        Sealed { is_own: true, ..Sealed::new(Entry { kind, life: Life::Held, body }) }
    }

    pub(crate) fn life(&self) -> Life<'a> {
        self.entry.life
    }

    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    fn body_bytes(&self) -> usize {
        let effect = match self.entry.life {
            Life::Held => 0,
            Life::Effect(segments) => 4 + 4 * segments.len(),
        };
        effect + self.entry.body.len()
    }

    /// In the journal.
    pub(crate) fn bytes(&self) -> u64 {
        whole(self.body_bytes() as u64)
    }

    /// Writes it at the end of `out`, which is at `offset` of the segment. `place` is its place in its group: of how many.
    pub(crate) fn write(&self, out: &mut Vec<u8>, id: SegmentId, offset: u32, place: (usize, usize)) {
        let body_bytes = self.body_bytes() as u32;
        let end = out.len() + self.bytes() as usize;
        let (nth, of) = place;
        let flags = [
            (nth + 1 < of, MORE),
            (nth > 0, CONTINUED),
            (matches!(self.entry.life, Life::Effect(_)), EFFECT),
            (self.is_own, OWN),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set).fold(0, |flags, (_, flag)| flags | flag);
        let mut head = [0; HEAD - 4];
        head[..4].copy_from_slice(&body_bytes.to_le_bytes());
        head[4..6].copy_from_slice(&[self.entry.kind, flags]);
        out.extend_from_slice(&id.check(self.content, offset, &head).to_le_bytes());
        out.extend_from_slice(&head);
        if let Life::Effect(segments) = self.entry.life {
            out.extend_from_slice(&(segments.len() as u32).to_le_bytes());
            segments.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        }
        out.extend_from_slice(self.entry.body);
        out.resize(end - FOOT, 0);
        out.extend_from_slice(&body_bytes.to_le_bytes());
    }
}

/// The bytes of a record with that many in its body.
fn whole(body_bytes: u64) -> u64 {
    (HEAD as u64 + body_bytes + FOOT as u64).next_multiple_of(GRAIN.into())
}

/// Reads the record at the start of `bytes`, which is at `offset` of the segment; also says how long it is.
pub(crate) fn read(bytes: &[u8], id: SegmentId, offset: u32) -> Option<(Record<'_>, usize)> {
    if bytes.len() < HEAD + FOOT {
        return None;
    }
    let body_bytes = u32_at(bytes, 4);
    let length = whole(body_bytes.into());
    // Before anything is believed: a length that lies is no reason to read, or to take memory.
    if length > bytes.len() as u64 {
        return None;
    }
    let (length, body_end) = (length as usize, HEAD + body_bytes as usize);
    let body = &bytes[HEAD..body_end];
    let flags = bytes[9];
    let is_whole = u32_at(bytes, length - FOOT) == body_bytes
        && bytes[body_end..length - FOOT].iter().all(|byte| *byte == 0)
        && u16_at(bytes, 10) == 0
        && flags & !FLAGS == 0
        && id.check(crc32c::crc32c(body), offset, &bytes[4..HEAD]) == u32_at(bytes, 0);
    if !is_whole {
        return None;
    }
    let (effect, body) = if flags & EFFECT == 0 { (None, body) } else { split_effect(body)? };
    let record = Record {
        position: Position::new(id.number, offset),
        kind: bytes[8],
        body,
        effect,
        is_own: flags & OWN != 0,
        has_more: flags & MORE != 0,
        is_continued: flags & CONTINUED != 0,
    };
    Some((record, length))
}

fn split_effect(body: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (count, rest) = body.split_at_checked(4)?;
    let (segments, rest) = rest.split_at_checked((u32_at(count, 0) as usize).checked_mul(4)?)?;
    Some((Some(segments), rest))
}

/// Where the record begins that ends where `bytes` end, if its foot tells the truth.
pub(crate) fn start_of_last(bytes: &[u8]) -> Option<usize> {
    let foot = bytes.len().checked_sub(FOOT)?;
    bytes.len().checked_sub(usize::try_from(whole(u32_at(bytes, foot).into())).ok()?)
}

/// Is a group of these so large that nothing could hold it?
pub(crate) fn group_bytes(group: &[Sealed<'_>]) -> u64 {
    group.iter().map(Sealed::bytes).sum()
}

const _: () = assert!(aligned(HEAD as u32 + FOOT as u32, GRAIN) == 16);

#[cfg(test)]
mod tests {
    use super::super::identity::StoreId;
    use super::*;

    fn id() -> SegmentId {
        SegmentId::new(StoreId::drawn(1), 7, 9)
    }

    fn written(entry: Entry<'_>, place: (usize, usize)) -> Vec<u8> {
        let mut out = Vec::new();
        Sealed::new(entry).write(&mut out, id(), 4136, place);
        assert_eq!(out.len() as u64, Sealed::new(entry).bytes());
        out
    }

    #[test]
    fn what_is_written_is_read() {
        for bytes in [0, 1, 3, 4, 5, 100, 4096] {
            let body = vec![0xa5; bytes];
            for (life, place) in [(Life::Held, (0, 1)), (Life::Effect(&[3, 5]), (0, 3)), (Life::Effect(&[]), (2, 3))] {
                let out = written(Entry { kind: 9, life, body: &body }, place);
                let (record, length) = read(&out, id(), 4136).expect("a whole record");
                assert_eq!((length, record.kind, record.body), (out.len(), 9, &body[..]));
                assert_eq!(record.is_effect(), life != Life::Held);
                let spoken_of: Vec<u32> = record.speaks_of().collect();
                assert!(life == Life::Held || life == Life::Effect(&spoken_of));
                assert_eq!((record.is_continued, record.has_more), (place.0 > 0, place.0 + 1 < place.1));
                assert_eq!(start_of_last(&out), Some(0));
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let out = written(Entry { kind: 1, life: Life::Effect(&[2]), body: b"hello" }, (1, 3));
        for bit in 0..out.len() * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad, id(), 4136), None, "bit {bit}");
        }
        for bytes in 0..out.len() {
            assert_eq!(read(&out[..bytes], id(), 4136), None, "cut to {bytes}");
        }
    }

    #[test]
    fn a_record_of_another_place_is_none() {
        let out = written(Entry { kind: 1, life: Life::Held, body: b"hello" }, (0, 1));
        assert_eq!(read(&out, id(), 4144), None);
        assert_eq!(read(&out, SegmentId::new(StoreId::drawn(1), 8, 9), 4136), None);
        assert_eq!(read(&out, SegmentId::new(StoreId::drawn(1), 7, 10), 4136), None);
        assert_eq!(read(&out, SegmentId::new(StoreId::drawn(2), 7, 9), 4136), None);
    }
}
