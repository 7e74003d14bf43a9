//! Reads what is there, and decides where the journal ends. Changes nothing.

use super::look::Looked;
use crate::journal::bytes::{BLOCK, aligned};
use crate::journal::error::{Doing, OpenError};
use crate::journal::frames::Frames;
use crate::journal::groups::{Groups, Kept};
use crate::journal::life::Segments;
use crate::journal::make::patiently;
use crate::journal::names;
use crate::journal::own::{self, Own};
use crate::journal::position::Position;
use crate::journal::record::Record;
use crate::journal::report::{Damage, RecoveryReport, Tail};
use crate::journal::scan::{Found, Go, Scan};
use crate::journal::segment::Header;
use crate::journal::window::read_full;
use crate::storage::{Storage, StorageFile};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;

const SECTOR: u32 = 512;

pub(super) struct Reading {
    pub(super) segments: Segments,
    pub(super) report: RecoveryReport,
    /// Where the journal ends, as far as the disk surely has it.
    pub(super) end: Position,
    /// Groups behind that: read, and to be written again.
    pub(super) unproven: VecDeque<Vec<Kept>>,
    /// What is cut off the last segment.
    pub(super) cut: Option<(u32, Vec<u8>)>,
}

pub(super) fn read(
    storage: &dyn Storage,
    looked: &Looked,
    tell: &mut dyn FnMut(&[Record<'_>]),
) -> Result<Reading, OpenError> {
    let mut reading = Reading {
        segments: Segments::default(),
        report: RecoveryReport::default(),
        end: Position::START,
        unproven: VecDeque::new(),
        cut: None,
    };
    let Some((&last, header)) = looked.segments.last_key_value() else { return Ok(reading) };
    let file = open(storage, last).map_err(reading_failed(last))?;
    let (table, begun) = table(header, &*file)?;
    let is_missing = |number: &&u32| !looked.segments.contains_key(number);
    if table.keys().any(|number| is_missing(&number)) {
        // Also from behind the journal's end: it says why a file is gone.
        let freed = freed(header, &*file, Go::On).map_err(reading_failed(last))?;
        if let Some(number) = table.keys().filter(is_missing).find(|number| !freed.contains(number)) {
            return Err(OpenError::Missing { file: names::segment(*number) });
        }
    }
    // What of the freed lives on has been copied, and what was said of the copies may be gone before their files are.
    let gone = match planted!("the-freed-are-told") {
        true => Vec::new(),
        false => freed(header, &*file, Go::Stop).map_err(reading_failed(last))?,
    };
    for (number, &end) in table.iter().filter(|(number, _)| !gone.contains(*number)) {
        if let Some(older) = looked.segments.get(number) {
            if end > older.bytes {
                return Err(no_table(header.number));
            }
            let read = open(storage, *number).and_then(|file| sealed(&mut reading, older, &*file, end, tell));
            read.map_err(reading_failed(*number))?;
        }
    }
    tail(&mut reading, looked, header, &*file, begun, tell)?;
    reading.report.segments = reading.segments.len() as u64;
    Ok(reading)
}

fn open(storage: &dyn Storage, number: u32) -> io::Result<Arc<dyn StorageFile>> {
    patiently(|| storage.open(&names::segment(number)))
}

fn reading_failed(number: u32) -> impl FnOnce(io::Error) -> OpenError {
    Doing::Reading(names::segment(number)).failed()
}

/// Which segments there were when the last one was made, and where each of them ends; and where this table ends, the second
/// time. Up to there the segment was on the disk before it had its name.
fn table(header: &Header, file: &dyn StorageFile) -> Result<(BTreeMap<u32, u32>, Position), OpenError> {
    let mut found: Option<Vec<_>> = None;
    let mut scan = Scan::new(file, header.id(), header.bytes).map_err(reading_failed(header.number))?;
    let mut look = |thing: Found<'_>| match thing {
        Found::Record(record) if record.is_own => match own::read(record.kind, record.body) {
            Own::Table(table) if table.iter().all(|(number, end)| *number < header.number && *end >= BLOCK) => {
                found = Some(table);
                Go::Stop
            }
            _ => Go::On,
        },
        // Behind the first record of somebody else there is no table.
        Found::Record(_) => Go::Stop,
        Found::Frame(_) | Found::Bad(_) => Go::On,
    };
    scan.run(false, &mut look).map_err(reading_failed(header.number))?;
    let found = found.ok_or_else(|| no_table(header.number))?;
    let mut frames = Frames::new(header.id(), header.bytes);
    frames.begin(&own::table(found.iter().copied()), header.before);
    Ok((found.into_iter().collect(), frames.end()))
}

fn no_table(number: u32) -> OpenError {
    OpenError::Damaged { file: names::segment(number), what: "the table of the segments before it" }
}

/// Which segments were freed since the last one was made: as far as the segment is whole, or behind damage as well.
fn freed(header: &Header, file: &dyn StorageFile, at_damage: Go) -> io::Result<Vec<u32>> {
    let mut freed = Vec::new();
    let mut look = |found: Found<'_>| match found {
        Found::Record(record) if record.is_own => {
            if let Own::Freed(numbers) = own::read(record.kind, record.body) {
                freed.extend(numbers);
            }
            Go::On
        }
        Found::Bad(_) => at_damage,
        Found::Frame(_) | Found::Record(_) => Go::On,
    };
    let mut scan = Scan::new(file, header.id(), header.bytes)?;
    let end = scan.run(false, &mut look)?;
    if at_damage == Go::On {
        scan.without_head(end, end.saturating_add(2 * BLOCK).min(header.bytes), &mut look)?;
    }
    Ok(freed)
}

/// A segment that was flushed to its end before another one was made: whatever is damaged in it is rot.
fn sealed(
    reading: &mut Reading,
    header: &Header,
    file: &dyn StorageFile,
    end: u32,
    tell: &mut dyn FnMut(&[Record<'_>]),
) -> io::Result<()> {
    let Reading { segments, report, .. } = reading;
    let number = header.number;
    let segment = segments.add(number, patiently(|| file.size())?.min(u32::MAX.into()) as u32);
    segment.end = end;
    let mut groups = Groups::default();
    let mut visit = |found: Found<'_>| {
        match found {
            Found::Frame(_) => report.frames += 1,
            Found::Record(record) if record.is_own => {}
            Found::Record(record) => groups.take(record, &mut |group| {
                count(report, segments, group);
                tell(group);
            }),
            Found::Bad(place) => {
                groups.miss();
                damaged(report, segments, number, place);
            }
        }
        Go::On
    };
    Scan::new(file, header.id(), end)?.run(true, &mut visit)?;
    Ok(())
}

pub(super) fn count(report: &mut RecoveryReport, segments: &mut Segments, group: &[Record<'_>]) {
    report.groups += 1;
    report.records += group.len() as u64;
    let Some(first) = group.first() else { return };
    // A group is in one segment.
    let number = first.position.segment();
    let mut held = 0;
    for record in group {
        if record.is_effect() {
            segments.speak(number, record.speaks_of());
        } else {
            held += 1;
        }
    }
    segments.hold_all(number, held);
}

fn damaged(report: &mut RecoveryReport, segments: &mut Segments, number: u32, place: Range<u32>) {
    let (from, to) = (Position::new(number, place.start), Position::new(number, place.end));
    report.damage.push(Damage { from, to });
    if let Some(segment) = segments.get_mut(number) {
        segment.is_damaged = true;
    }
}

/// The segment that was being written.
fn tail(
    reading: &mut Reading,
    looked: &Looked,
    header: &Header,
    file: &dyn StorageFile,
    begun: Position,
    tell: &mut dyn FnMut(&[Record<'_>]),
) -> Result<(), OpenError> {
    let number = header.number;
    let failed = || reading_failed(number);
    reading.segments.add(number, patiently(|| file.size()).map_err(failed())?.min(u32::MAX.into()) as u32);
    let mut pass = Pass {
        reading,
        number,
        proven: looked.closed.max(begun),
        groups: Groups::default(),
        cut: None,
        next: None,
        marks: Scan::new(file, header.id(), header.bytes).map_err(failed())?,
        failed: None,
        tell,
    };
    let mut scan = Scan::new(file, header.id(), header.bytes).map_err(failed())?;
    let whole = scan.run(false, &mut |found| pass.take(found)).map_err(failed())?;
    if let Some(error) = pass.failed {
        return Err(failed()(error));
    }
    if pass.proven.offset() > whole && pass.cut.is_none() {
        // It was longer once, and what is missing was safe.
        scan.without_head(whole, pass.proven.offset(), &mut |found| pass.take(found)).map_err(failed())?;
    }
    let (proven, next) = (pass.proven, pass.next);
    let (cut, unfinished) = (pass.cut, pass.groups.unfinished());
    if let Some(next) = next {
        return Err(OpenError::Missing { file: names::segment(next) });
    }
    let ends = match (unfinished, &cut) {
        (Some(unfinished), _) => unfinished.offset(),
        (None, Some(place)) => place.start,
        (None, None) => whole,
    };
    if proven.offset() <= ends || proven.segment() != number {
        let rest = behind(file, header, ends, whole, cut).map_err(failed())?;
        if let Some((tail, bytes)) = rest {
            reading.report.tail = tail;
            reading.report.bytes_cut = bytes.len() as u64;
            reading.cut = Some((ends, bytes));
        }
    }
    // Behind it nothing was told from here. And always where a frame ends: a frame that is cut would be damage to whoever
    // reads it next.
    let is_careless = planted!("the-journal-ends-within-a-frame") && reading.unproven.is_empty();
    reading.end = if is_careless { Position::new(number, ends).max(proven) } else { proven };
    let is_fresh = proven == begun && reading.cut.is_none();
    if is_fresh && !planted!("any-name-is-relied-on") {
        // Nobody has come as far as to flush anything in it, so its name may not be on the disk, and no flush from now on would
        // prove that it is. All that is in it will be written again.
        reading.segments.remove(number);
    } else if let Some(segment) = reading.segments.get_mut(number) {
        segment.end = reading.end.offset();
    }
    Ok(())
}

/// One pass over the last segment.
struct Pass<'p> {
    reading: &'p mut Reading,
    number: u32,
    /// All before this was on the disk.
    proven: Position,
    groups: Groups,
    /// Where a frame was cut short, and up to where it would have reached.
    cut: Option<Range<u32>>,
    /// The segment that follows, if this one was sealed.
    next: Option<u32>,
    /// Looks ahead for commit marks.
    marks: Scan<'p>,
    failed: Option<io::Error>,
    tell: &'p mut dyn FnMut(&[Record<'_>]),
}

impl Pass<'_> {
    fn take(&mut self, found: Found<'_>) -> Go {
        match found {
            Found::Frame(frame) => {
                self.reading.report.frames += 1;
                self.proven = self.proven.max(frame.mark);
                self.tell_proven();
            }
            Found::Record(record) if record.is_own => match own::read(record.kind, record.body) {
                Own::Seal(next) => self.next = Some(next),
                Own::Table(_) | Own::Freed(_) | Own::Unknown => {}
            },
            Found::Record(record) => self.record(record),
            Found::Bad(place) => return self.bad(place),
        }
        Go::On
    }

    fn record(&mut self, record: Record<'_>) {
        let Pass { reading, groups, proven, tell, .. } = self;
        groups.take(record, &mut |group| {
            let is_proven = group[group.len() - 1].position < *proven || planted!("nothing-is-written-again");
            if is_proven && reading.unproven.is_empty() {
                count(&mut reading.report, &mut reading.segments, group);
                tell(group);
            } else {
                reading.unproven.push_back(group.iter().map(Kept::new).collect());
            }
        });
    }

    /// A commit mark has come: what lies before it was safe.
    fn tell_proven(&mut self) {
        let Reading { unproven, report, segments, .. } = &mut *self.reading;
        let is_proven = |group: &Vec<Kept>| group.last().is_some_and(|record| record.position < self.proven);
        while let Some(group) = unproven.pop_front_if(|group| is_proven(group)) {
            let records: Vec<_> = group.iter().map(Kept::record).collect();
            count(report, segments, &records);
            (self.tell)(&records);
        }
    }

    /// Rot, or the end? A commit mark behind it says that it was safe once.
    fn bad(&mut self, place: Range<u32>) -> Go {
        let at = Position::new(self.number, place.start);
        if self.proven <= at {
            match self.marks.marks(place.end) {
                Ok(Some((frame, _))) => self.proven = self.proven.max(frame.mark),
                Ok(None) => {}
                Err(error) => self.failed = Some(error),
            }
        }
        // Also if it ends here: a mark may not reach this place, and yet further than any before. What is proven stays where
        // it is, and is not written again.
        if !planted!("a-hole-forgets-the-mark-behind-it") {
            self.tell_proven();
        }
        if self.proven <= at || self.failed.is_some() {
            self.cut = Some(place);
            return Go::Stop;
        }
        self.groups.miss();
        damaged(&mut self.reading.report, &mut self.reading.segments, self.number, place);
        Go::On
    }
}

/// What lies behind the end of the journal, and what that says about how it ended. `whole` is where the last whole frame
/// ended, `cut` the place in the one that is not.
fn behind(
    file: &dyn StorageFile,
    header: &Header,
    end: u32,
    whole: u32,
    cut: Option<Range<u32>>,
) -> io::Result<Option<(Tail, Vec<u8>)>> {
    let mut scan = Scan::new(file, header.id(), header.bytes)?;
    let last = scan.marks(whole)?.map_or(whole, |(_, end)| end);
    let damage_end = cut.as_ref().map_or(whole, |place| place.end);
    let to = last.max(damage_end).max(aligned(whole, BLOCK).saturating_add(BLOCK)).max(end);
    let mut bytes = vec![0; (to - end) as usize];
    let read = read_full(file, &mut bytes, end.into())?;
    bytes.truncate(read);
    if last == whole && cut.is_none() && end == whole {
        // No frame was begun behind the last. Zeros, or the old bytes of a file that is written over, are nothing.
        let is_empty = header.is_recycled || bytes.iter().all(|byte| *byte == 0);
        return Ok(match (scan.has_records_without_head(whole, to)?, is_empty) {
            (true, _) => Some((Tail::Uncertain, bytes)),
            (false, true) => None,
            (false, false) => Some((Tail::Torn, bytes)),
        });
    }
    let sectors = cut.map_or(end..end, |place| place.start..place.end);
    let tail = if never_arrived(&bytes, end, sectors) { Tail::Torn } else { Tail::Uncertain };
    Ok(Some((tail, bytes)))
}

/// Is one of these sectors empty, or behind the end of the file? Then the write that was to fill it was cut short.
fn never_arrived(bytes: &[u8], from: u32, bad: Range<u32>) -> bool {
    let mut sector = bad.start / SECTOR * SECTOR;
    while sector < bad.end {
        let part = sector.max(from) - from..(sector + SECTOR).min(bad.end).max(from) - from;
        match bytes.get(part.start as usize..part.end as usize) {
            Some(part) if !part.is_empty() && part.iter().all(|byte| *byte == 0) => return true,
            Some(_) => {}
            None => return true,
        }
        sector += SECTOR;
    }
    false
}
