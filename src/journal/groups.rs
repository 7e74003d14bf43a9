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
    waiting: Vec<Kept>,
}

impl Groups {
    /// The journal's own records are never in a group and do not come here.
    pub(crate) fn take(&mut self, record: Record<'_>, tell: &mut dyn FnMut(&[Record<'_>])) {
        if !record.is_continued {
            // What waited for its end has none.
            self.waiting.clear();
            if !record.has_more {
                return tell(&[record]);
            }
        } else if self.waiting.is_empty() {
            return; // its beginning was damaged
        }
        self.waiting.push(Kept::new(&record));
        if !record.has_more {
            let group: Vec<_> = self.waiting.iter().map(Kept::record).collect();
            tell(&group);
            self.waiting.clear();
        }
    }

    /// A record is missing here: the group that it may have been in has no end, or no beginning.
    pub(crate) fn miss(&mut self) {
        self.waiting.clear();
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
