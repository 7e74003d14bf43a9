//! The open journal: its end, its segments, and the files beside them. One owner, no lock: who shares it brings one.
//!
//! What takes long, reading and writing files, is apart from what changes the bookkeeping: a step is planned here, done by
//! whoever has no lock meanwhile, and adopted here when it is done.

use super::bytes::{BLOCK, aligned};
use super::error::{Poison, is_full};
use super::frames::{Chunk, Frames};
use super::identity::{SegmentId, StoreId};
use super::life::Segments;
use super::make::{MakeError, Making, Source, patiently, put_block, put_reserve, remove};
use super::names;
use super::own;
use super::position::Position;
use super::record::{Life, Sealed, group_bytes};
use super::segment::{Header, Read};
use super::settings::Settings;
use super::window::{read_full, write_full};
use crate::chance::mix;
use crate::storage::{Storage, StorageFile, StorageLock};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

pub(crate) struct Log {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) settings: Settings,
    store: StoreId,
    seed: u64,
    /// Held until the journal is dropped.
    _lock: Box<dyn StorageLock>,
    pub(crate) tail: Frames,
    file: Arc<dyn StorageFile>,
    pub(crate) segments: Segments,
    files: Files,
    /// All before this position was handed to the file system.
    pub(crate) written: Position,
    /// All before this position is on the disk.
    pub(crate) synced: Position,
    /// Where the last record of somebody else than the journal ends.
    last: Position,
    /// What the last frame's commit mark says.
    marked: Position,
    /// Held records on their way to the file system: being written, and waiting for that.
    on_their_way: (u64, u64),
    /// Freed, and their files not yet gone.
    freed: BTreeSet<u32>,
}

/// What lies beside the segments.
pub(crate) struct Files {
    pub(crate) spares: Vec<u32>,
    pub(crate) has_reserve: bool,
}

/// Who asks for room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Urgency {
    /// Whoever brings something: refused when the disk is full.
    Normal,
    /// What takes something away in the end: may use the reserve.
    FreesRoom,
}

/// The next segment, to be made.
pub(crate) struct Roll {
    making: Making,
    tail: Frames,
    old: Arc<dyn StorageFile>,
    seal: Option<Chunk>,
}

/// A segment that was made.
pub(crate) struct Rolled {
    roll: Roll,
    file: Arc<dyn StorageFile>,
}

#[derive(Debug)]
pub(crate) enum RollError {
    Full,
    Failed(io::Error),
    Poisoned(Poison),
}

impl Log {
    #[expect(clippy::too_many_arguments, reason = "recovery puts together what it found")]
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        settings: Settings,
        store: StoreId,
        seed: u64,
        lock: Box<dyn StorageLock>,
        tail: Frames,
        file: Arc<dyn StorageFile>,
        segments: Segments,
        files: Files,
    ) -> Log {
        let end = tail.end();
        Log {
            storage,
            settings,
            store,
            seed,
            _lock: lock,
            tail,
            file,
            segments,
            files,
            written: end,
            synced: end,
            last: end,
            marked: Position::START,
            on_their_way: (0, 0),
            freed: BTreeSet::new(),
        }
    }

    /// Puts a group that fits behind the others, and says where each record is and where the group ends.
    pub(crate) fn put(&mut self, group: &[Sealed<'_>], mut at: impl FnMut(Position)) -> Position {
        let number = self.tail.id.number;
        for record in group.iter().filter(|record| !record.is_own()) {
            match record.life() {
                Life::Held => {
                    self.segments.hold(number);
                    self.on_their_way.1 += 1;
                }
                Life::Effect(of) => self.segments.speak(number, of.iter().copied()),
            }
        }
        self.tail.put(group, self.synced, &mut at);
        self.last = self.tail.end();
        self.last
    }

    /// Takes what waits, to be written. All before it is written.
    pub(crate) fn take(&mut self, to_flush: bool, spare: Vec<u8>) -> Option<Chunk> {
        let mark = if planted!("a-mark-says-more-than-is-safe") { self.written } else { self.synced };
        let chunk = self.tail.take(mark, to_flush, spare)?;
        self.marked = self.synced;
        self.on_their_way = (self.on_their_way.0 + self.on_their_way.1, 0);
        Some(chunk)
    }

    /// What was taken is with the file system.
    pub(crate) fn adopt_written(&mut self, end: Position) {
        self.written = end;
        self.on_their_way.0 = 0;
    }

    /// Would damage to the last records look like a write that was cut short, although they are safe?
    pub(crate) fn needs_mark(&self) -> bool {
        self.tail.waiting_bytes() == 0 && self.synced >= self.last && self.marked < self.last
    }

    pub(crate) fn put_mark(&mut self) {
        self.tail.put_mark(self.synced);
    }

    /// What was taken and what waits will never be written: the disk is full.
    fn give_up(&mut self) {
        let number = self.tail.id.number;
        for _ in 0..self.on_their_way.0 + self.on_their_way.1 {
            self.segments.release(number);
        }
        self.on_their_way = (0, 0);
    }

    /// The largest group that a segment can hold.
    pub(crate) fn group_bytes_max(settings: &Settings) -> u64 {
        Frames::group_bytes_max(settings.segment_bytes)
    }

    pub(crate) fn group_bytes(group: &[Sealed<'_>]) -> u64 {
        group_bytes(group)
    }

    pub(crate) fn file(&self) -> Arc<dyn StorageFile> {
        self.file.clone()
    }

    // ---- the next segment ----

    /// Plans the next segment. All that was written is on the disk; if something else was put, it is given up.
    pub(crate) fn plan_roll(&mut self, source: Source) -> Roll {
        debug_assert!(self.synced >= self.written);
        let (before, old) = (self.written, self.tail.id.number);
        let is_whole = self.tail.end() == before;
        if let Some(segment) = self.segments.get_mut(old) {
            segment.end = before.offset();
        }
        let table = own::table(self.table());
        let header = Header {
            store: self.store,
            number: old + 1,
            salt: mix(self.seed ^ u64::from(old + 1)),
            before,
            bytes: Frames::segment_bytes(self.settings.segment_bytes, table.len()),
            is_recycled: matches!(source, Source::Spare(_)),
        };
        if source == Source::Reserve {
            self.files.has_reserve = false;
        }
        let mut tail = Frames::new(header.id(), header.bytes);
        tail.begin(&table, before);
        let contents = tail.take(before, true, Vec::new()).map(|chunk| chunk.bytes).unwrap_or_default();
        let seal = is_whole.then(|| self.seal(old + 1)).flatten();
        Roll { making: Making { header, source, contents }, tail, old: self.file.clone(), seal }
    }

    /// On a copy of the tail: if there will be no next segment, this one goes on.
    fn seal(&self, next: u32) -> Option<Chunk> {
        let mut sealed = self.tail.clone();
        sealed.put_apart(Sealed::own(own::SEAL, &own::numbers(&[next])), self.synced);
        sealed.take(self.synced, true, Vec::new())
    }

    /// The segments that a recovery must find, and where they end.
    fn table(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.segments.table().filter(|(number, _)| !self.freed.contains(number))
    }

    /// Where the next segment may come from, the best first.
    pub(crate) fn sources(&mut self, urgency: Urgency) -> Vec<Source> {
        let spare = self.files.spares.pop().map(Source::Spare);
        let is_urgent = urgency == Urgency::FreesRoom || planted!("everybody-uses-the-reserve");
        let reserve = (is_urgent && self.files.has_reserve).then_some(Source::Reserve);
        spare.into_iter().chain([Source::Fresh]).chain(reserve).collect()
    }

    /// The journal goes on in the segment that was made.
    pub(crate) fn adopt(&mut self, rolled: Rolled) {
        let Rolled { roll, file } = rolled;
        if self.tail.end() != self.written {
            self.give_up();
        }
        self.segments.add(roll.tail.id.number, roll.making.header.bytes);
        self.tail = roll.tail;
        self.file = file;
        self.written = self.tail.end();
        self.synced = self.written;
        self.marked = self.written;
    }

    // ---- what is not needed any more ----

    /// Puts down that these are freed, if that was not said before. They may go when this is on the disk. It stands there
    /// twice, for without it the next recovery would look for files that are gone.
    pub(crate) fn put_freed(&mut self, numbers: &[u32]) {
        let new: Vec<u32> = numbers.iter().copied().filter(|number| self.freed.insert(*number)).collect();
        if !new.is_empty() {
            let numbers = own::numbers(&new);
            for _ in 0..2 {
                self.tail.put(&[Sealed::own(own::FREED, &numbers)], self.synced, |_| {});
            }
        }
    }

    pub(crate) fn fits_freed(&self, numbers: &[u32]) -> bool {
        let numbers = own::numbers(numbers);
        self.tail.fits_own(&[Sealed::own(own::FREED, &numbers); 2])
    }

    /// How to read a segment that is not being written.
    pub(crate) fn plan_read(&self, number: u32) -> Option<ReadSegment> {
        let end = self.segments.table().find(|(other, _)| *other == number)?.1;
        (number != self.tail.id.number).then_some(ReadSegment { number, end })
    }

    /// A segment that was put down as freed: its file gets another name, or none.
    /// Those before it have theirs, and were not adopted yet.
    pub(crate) fn plan_retire(&mut self, number: u32, before: &[Retire]) -> Retire {
        let is_damaged = self.segments.get_mut(number).is_some_and(|segment| segment.is_damaged);
        let spares = self.files.spares.len() + before.iter().filter(|retired| retired.is_spare).count();
        let keep = spares < self.settings.spares_max();
        let to = match (is_damaged, keep) {
            (true, _) => Some(names::damaged(number)),
            (false, true) => Some(names::spare(number)),
            (false, false) => None,
        };
        let is_spare = keep && !is_damaged;
        Retire { number, to, is_spare }
    }

    /// It is gone, and that is on the disk: what speaks of it may go next.
    pub(crate) fn adopt_retired(&mut self, retired: &Retire) {
        self.segments.remove(retired.number);
        self.freed.remove(&retired.number);
        if retired.is_spare {
            self.files.spares.push(retired.number);
        }
    }

    /// Gives back what was taken in advance: spare segments, and the rest of the last one. All is on the disk.
    pub(crate) fn plan_trim(&mut self) -> Trim {
        let spares = std::mem::take(&mut self.files.spares);
        let bytes = aligned(self.synced.offset(), BLOCK);
        Trim { spares, file: self.file.clone(), bytes }
    }

    pub(crate) fn adopt_trimmed(&mut self, trim: &Trim) {
        self.tail.end_segment();
        if let Some(segment) = self.segments.get_mut(self.tail.id.number) {
            segment.bytes = trim.bytes;
        }
    }

    pub(crate) fn is_trimmed(&self) -> bool {
        self.tail.is_ended() && self.files.spares.is_empty()
    }

    /// What its files take.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let aside = self.files.spares.len() as u64 + u64::from(self.files.has_reserve);
        self.segments.disk_bytes() + aside * u64::from(self.settings.segment_bytes)
    }

    /// The file of a spare segment, to be removed: there is better use for its room.
    pub(crate) fn take_spare(&mut self) -> Option<String> {
        self.files.spares.pop().map(names::spare)
    }

    pub(crate) fn spares(&self) -> usize {
        self.files.spares.len()
    }

    pub(crate) fn has_reserve(&self) -> bool {
        self.files.has_reserve
    }

    /// It was made by [`make_reserve`](Self::make_reserve).
    pub(crate) fn adopt_reserve(&mut self) {
        self.files.has_reserve = true;
    }

    /// For somebody who has no lock meanwhile.
    pub(crate) fn make_reserve(storage: &dyn Storage, settings: &Settings) -> io::Result<()> {
        put_reserve(storage, settings.segment_bytes)
    }

    /// Sets a segment aside for when the disk is full, if there is room for one now.
    pub(crate) fn restore_reserve(&mut self) -> io::Result<()> {
        if self.files.has_reserve {
            return Ok(());
        }
        match put_reserve(&*self.storage, self.settings.segment_bytes) {
            Ok(()) => self.files.has_reserve = true,
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// All is on the disk: gives back what was taken in advance, and writes down where the journal ends.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.plan_trim().run(&*self.storage)?;
        let block = Header::of_store(self.store, self.synced).block();
        put_block(&*self.storage, names::CLOSED, &block)?;
        for name in patiently(|| self.storage.list())? {
            if names::read(&name) == names::File::Torn {
                remove(&*self.storage, &name)?;
            }
        }
        self.storage.flush_names()
    }
}

/// A sealed segment, to be read.
pub(crate) struct ReadSegment {
    number: u32,
    end: u32,
}

impl ReadSegment {
    pub(crate) fn open(&self, storage: &dyn Storage) -> io::Result<(Arc<dyn StorageFile>, SegmentId, u32)> {
        let file = patiently(|| storage.open(&names::segment(self.number)))?;
        let mut block = vec![0; BLOCK as usize];
        let read = read_full(&*file, &mut block, 0)?;
        match Header::read(&block[..read]) {
            Read::Header(header) => Ok((file, header.id(), self.end)),
            Read::Newer(_) | Read::Damaged => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// What goes back to the file system.
pub(crate) struct Trim {
    spares: Vec<u32>,
    file: Arc<dyn StorageFile>,
    bytes: u32,
}

impl Trim {
    /// What does not go now goes at the next opening: only a flush that fails is an error.
    pub(crate) fn run(&self, storage: &dyn Storage) -> io::Result<()> {
        for number in &self.spares {
            let _ = remove(storage, &names::spare(*number));
        }
        match patiently(|| self.file.truncate(self.bytes.into())) {
            Ok(()) => self.file.flush(),
            Err(_) => Ok(()),
        }
    }
}

pub(crate) struct Retire {
    number: u32,
    to: Option<String>,
    is_spare: bool,
}

impl Retire {
    pub(crate) fn run(&self, storage: &dyn Storage) -> io::Result<()> {
        let name = names::segment(self.number);
        let done = match &self.to {
            Some(to) => patiently(|| storage.rename(&name, to)),
            None => remove(storage, &name),
        };
        // Gone already: an attempt before this got so far.
        done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }
}

impl Roll {
    pub(crate) fn run(mut self, storage: &dyn Storage) -> Result<Rolled, RollError> {
        let unknown = |error| RollError::Poisoned(Poison { doing: "adding a segment", error: Arc::new(error) });
        let file = match self.making.run(storage) {
            Ok(file) => file,
            Err(MakeError::Full) => return Err(RollError::Full),
            Err(MakeError::Failed(error)) => return Err(RollError::Failed(error)),
            Err(MakeError::Unknown(error)) => return Err(unknown(error)),
        };
        if let Some(seal) = self.seal.take() {
            match write_full(&*self.old, &seal.bytes, seal.offset.into()) {
                Ok(()) => self.old.flush().map_err(unknown)?,
                // The table says where the segment ends; without a seal it is only not noticed if this one goes missing.
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(unknown(error)),
            }
        }
        Ok(Rolled { roll: self, file })
    }
}
