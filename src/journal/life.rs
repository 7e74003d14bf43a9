//! What lives in which segment, and which may go. Pure bookkeeping.
//!
//! A record lives while its effect is needed. A held one lives until it is released. One that speaks of others ("that
//! message is settled") lives as long as a segment that holds what it speaks of: were it gone first, what it said would be
//! undone. So a segment may go when nothing in it is held and every older segment that it speaks of is gone, and one
//! straggler in an old segment keeps all that follows it: copying the straggler forward frees the whole chain.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    /// Where its last frame ends.
    pub(crate) end: u32,
    /// What its file takes of the disk.
    pub(crate) bytes: u32,
    held: u64,
    records: u64,
    speaks_of: BTreeSet<u32>,
    /// Damage was found in it, so its file is not written over.
    pub(crate) is_damaged: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Segments {
    segments: BTreeMap<u32, Segment>,
    /// Something has changed since it was last asked what is free.
    may_be_free: bool,
}

impl Segments {
    pub(crate) fn add(&mut self, number: u32, bytes: u32) -> &mut Segment {
        self.may_be_free = true;
        let segment = self.segments.entry(number).or_default();
        segment.bytes = bytes;
        segment
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Segment> {
        self.segments.get_mut(&number)
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.segments.contains_key(&number)
    }

    /// Numbers and ends, the oldest first.
    pub(crate) fn table(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.segments.iter().map(|(number, segment)| (*number, segment.end))
    }

    /// The segment that is being written.
    fn tail(&self) -> Option<u32> {
        self.segments.last_key_value().map(|(number, _)| *number)
    }

    pub(crate) fn hold(&mut self, number: u32) {
        self.hold_all(number, 1);
    }

    pub(crate) fn hold_all(&mut self, number: u32, records: u64) {
        let segment = self.segments.entry(number).or_default();
        segment.held += records;
        segment.records += records;
    }

    /// A record of this segment says something about records of these.
    pub(crate) fn speak(&mut self, number: u32, of: impl IntoIterator<Item = u32>) {
        let segment = self.segments.entry(number).or_default();
        segment.records += 1;
        segment.speaks_of.extend(of.into_iter().filter(|older| *older < number));
    }

    /// A held record of this segment is needed no more. False: none was held there.
    pub(crate) fn release(&mut self, number: u32) -> bool {
        let segment = self.segments.get_mut(&number).filter(|segment| segment.held > 0);
        let left = segment.map(|segment| {
            segment.held -= 1;
            segment.held
        });
        self.may_be_free |= left == Some(0);
        left.is_some()
    }

    pub(crate) fn may_be_free(&self) -> bool {
        self.may_be_free
    }

    /// What was free could not go.
    pub(crate) fn ask_again(&mut self) {
        self.may_be_free = true;
    }

    fn is_pinned(&self, segment: &Segment) -> bool {
        if planted!("the-freed-are-not-pinned") {
            return false;
        }
        segment.speaks_of.iter().any(|older| self.contains(*older))
    }

    /// May go now, the oldest first: those that only wait for these are not among them.
    pub(crate) fn free(&mut self) -> Vec<u32> {
        self.may_be_free = false;
        let tail = self.tail();
        let dead = self.segments.iter().filter(|(number, segment)| segment.held == 0 && Some(**number) != tail);
        dead.filter(|(_, segment)| !self.is_pinned(segment)).map(|(number, _)| *number).collect()
    }

    pub(crate) fn remove(&mut self, number: u32) {
        self.may_be_free = true;
        self.segments.remove(&number);
    }

    /// The segment whose held records are the least to copy, and how many bytes in a thousand of `segment_bytes` they are.
    /// Never one that waits for an older one: to copy that would free nothing.
    pub(crate) fn emptiest(&self, segment_bytes: u32) -> Option<(u32, u64)> {
        let tail = self.tail();
        let sealed =
            self.segments.iter().filter(|(number, segment)| Some(**number) != tail && !self.is_pinned(segment));
        let held = sealed.map(|(number, segment)| {
            let bytes = u64::from(segment.end) * segment.held / segment.records.max(1);
            (*number, bytes * 1000 / u64::from(segment_bytes))
        });
        held.min_by_key(|(number, share)| (*share, *number))
    }

    /// What the files take.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments.values().map(|segment| u64::from(segment.bytes)).sum()
    }

    /// About what the held records take: a segment's bytes, shared out among its records.
    pub(crate) fn held_bytes(&self) -> u64 {
        let held = |segment: &Segment| u64::from(segment.end) * segment.held / segment.records.max(1);
        self.segments.values().map(held).sum()
    }

    pub(crate) fn held(&self) -> u64 {
        self.segments.values().map(|segment| segment.held).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(count: u32) -> Segments {
        let mut segments = Segments::default();
        for number in 1..=count {
            segments.add(number, 1000).end = 1000;
        }
        segments
    }

    #[test]
    fn a_segment_goes_when_nothing_in_it_is_held() {
        let mut segments = segments(3);
        segments.hold(1);
        assert_eq!(segments.free(), [2], "the last one is being written");
        assert!(segments.release(1));
        assert!(!segments.release(1) && !segments.release(9), "nothing is held there");
        assert_eq!(segments.free(), [1, 2]);
    }

    #[test]
    fn what_speaks_of_an_older_segment_outlives_it() {
        let mut segments = segments(4);
        segments.hold(1); // a straggler
        segments.speak(2, [1, 2]);
        segments.speak(3, [2]);
        assert_eq!(segments.free(), [0; 0], "2 speaks of 1, and 3 of 2");
        assert_eq!(segments.emptiest(1000).map(|(number, _)| number), Some(1));
        segments.release(1); // copied forward
        assert_eq!(segments.free(), [1]);
        segments.remove(1);
        assert_eq!(segments.free(), [2]);
        segments.remove(2);
        assert_eq!(segments.free(), [3]);
    }

    #[test]
    fn the_emptiest_is_copied_first() {
        let mut segments = segments(4);
        for (number, held, of) in [(1, 9, 10), (2, 3, 10), (3, 3, 10)] {
            (0..of).for_each(|_| segments.hold(number));
            (held..of).for_each(|_| assert!(segments.release(number)));
        }
        assert_eq!(segments.emptiest(1000), Some((2, 300)));
        assert_eq!((segments.held(), segments.held_bytes(), segments.disk_bytes()), (15, 1500, 4000));
    }
}
