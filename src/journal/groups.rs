//! Puts records that were written as a group together again: all of it, or none.

use super::position::Position;
use super::record::{Entry, Life, Record};

/// A record with its bytes, for when the buffer it was read from is gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Kept {
    pub(crate) position: Position,
    kind: u8,
    effect: Option<Vec<u32>>,
    /// As they were read: four bytes each.
    effect_bytes: Vec<u8>,
    body: Vec<u8>,
}

impl Kept {
    pub(crate) fn new(record: &Record<'_>) -> Kept {
        Kept {
            position: record.position,
            kind: record.kind,
            effect: record.effect.map(|_| record.speaks_of().collect()),
            effect_bytes: record.effect.unwrap_or_default().to_vec(),
            body: record.body.to_vec(),
        }
    }

    pub(crate) fn record(&self) -> Record<'_> {
        Record {
            position: self.position,
            kind: self.kind,
            body: &self.body,
            effect: self.effect.as_ref().map(|_| &self.effect_bytes[..]),
            is_own: false,
            has_more: false,
            is_continued: false,
        }
    }

    /// To be written again, somewhere else.
    pub(crate) fn entry(&self) -> Entry<'_> {
        let life = self.effect.as_ref().map_or(Life::Held, |segments| Life::Effect(segments));
        Entry { kind: self.kind, life, body: &self.body }
    }
}

/// Takes records in order, and tells groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Of the group whose end has not come.
    waiting: Vec<Part>,
    /// Of all of them: what they speak of and what is in them, one behind the other. In one place, for a start reads millions.
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Part {
    position: Position,
    kind: u8,
    /// In [`Groups::bytes`], from where the part before it ends.
    effect: Option<usize>,
    body: usize,
}

impl Groups {
    /// The journal's own records are never in a group and do not come here.
    pub(crate) fn take(&mut self, record: Record<'_>, tell: &mut dyn FnMut(&[Record<'_>])) {
        if !record.is_continued {
            // What waited for its end has none.
            self.miss();
            if !record.has_more || planted!("a-group-is-told-in-part") {
                return tell(&[record]);
            }
        } else if self.waiting.is_empty() {
            return; // its beginning was damaged
        }
        let Record { position, kind, body, effect, .. } = record;
        self.bytes.extend_from_slice(effect.unwrap_or_default());
        self.bytes.extend_from_slice(body);
        self.waiting.push(Part { position, kind, effect: effect.map(<[u8]>::len), body: body.len() });
        if !record.has_more {
            tell(&self.records());
            self.miss();
        }
    }

    fn records(&self) -> Vec<Record<'_>> {
        let mut rest = &self.bytes[..];
        let mut cut = |bytes| {
            let (part, behind) = rest.split_at(bytes);
            rest = behind;
            part
        };
        let record = |part: &Part| Record {
            position: part.position,
            kind: part.kind,
            effect: part.effect.map(&mut cut),
            body: cut(part.body),
            is_own: false,
            has_more: false,
            is_continued: false,
        };
        self.waiting.iter().map(record).collect()
    }

    /// A record is missing here: the group that it may have been in has no end, or no beginning.
    pub(crate) fn miss(&mut self) {
        self.waiting.clear();
        self.bytes.clear();
    }

    /// Where the group begins whose end has not come.
    pub(crate) fn unfinished(&self) -> Option<Position> {
        self.waiting.first().map(|record| record.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(records: &[(u32, bool, bool)], missing_before: u32) -> Vec<Vec<u32>> {
        let (mut groups, mut told) = (Groups::default(), Vec::new());
        for &(offset, is_continued, has_more) in records {
            if offset == missing_before {
                groups.miss();
                continue;
            }
            let position = Position::new(1, offset);
            let record = Record { position, kind: 1, body: &[], effect: None, is_own: false, has_more, is_continued };
            groups.take(record, &mut |group| told.push(group.iter().map(|record| record.position.offset()).collect()));
        }
        told
    }

    #[test]
    fn what_is_in_a_group_is_told_as_it_was_read() {
        let whole = |body, effect, is_continued, has_more| {
            let position = Position::new(1, 8);
            Record { position, kind: 3, body, effect, is_own: false, has_more, is_continued }
        };
        let effect = 7u32.to_le_bytes();
        let read: [(&[u8], Option<&[u8]>); 4] = [(b"a", None), (b"", Some(&effect)), (b"bc", Some(&[])), (b"d", None)];
        let (mut groups, mut told) = (Groups::default(), 0);
        for round in 0..2 {
            for (nth, (body, effect)) in read.into_iter().enumerate() {
                groups.take(whole(body, effect, nth > 0, nth < 3), &mut |group| {
                    told += 1;
                    let same = group.iter().map(|record| (record.body, record.effect)).eq(read);
                    assert!(same && group.iter().all(|record| record.kind == 3), "{group:?}");
                });
            }
            assert_eq!(told, round + 1);
        }
    }

    #[test]
    fn a_group_is_told_whole_or_not_at_all() {
        let records = [
            (1, false, false),
            (2, false, true),
            (3, true, true),
            (4, true, false),
            (5, false, false),
            (6, false, true),
        ];
        assert_eq!(told(&records, 0), [vec![1], vec![2, 3, 4], vec![5]]);
        for missing in 2..=4 {
            assert_eq!(told(&records, missing), [vec![1], vec![5]], "without {missing}");
        }
        assert_eq!(told(&records, 5), [vec![1], vec![2, 3, 4]]);
    }
}
