//! A simulated disk under its lock: what the cache shows, what is durable, and the operations in between.
//!
//! Promises: reads see the cache; a flush moves its own operations to what is durable and no others; a failed one moves
//! none. Which call fails is decided in `fault`, which operations a loss of power leaves in `loss`.

use super::content::BLOCK;
use super::fault::{AfterFailedFlush, Failure};
use super::image::{Fate, FileId, Image, Op};
use super::loss::Loss;
use crate::chance::mix;
use crate::storage::{FileSystem, names};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Weak};

/// No file system has larger files.
const SIZE_MAX: u64 = i64::MAX as u64;

#[derive(Clone)]
pub(super) struct State {
    pub(super) cache: Image,
    pub(super) durable: Image,
    /// Unsynced, in the order in which they were done.
    pub(super) log: Vec<Op>,
    pub(super) kind: FileSystem,
    /// The blocks that the disk has.
    pub(super) room: Option<u64>,
    next_file: FileId,
    /// Whose next flush tells of an earlier one's failure; the names' is told under no file.
    late: BTreeMap<Option<FileId>, Failure>,
    /// Each open file's handles own its token, each lock its own.
    open: BTreeMap<FileId, Weak<()>>,
    locks: BTreeMap<String, Weak<()>>,
}

impl State {
    pub(super) fn new() -> State {
        State {
            cache: Image::default(),
            durable: Image::default(),
            log: Vec::new(),
            kind: FileSystem::Local,
            room: None,
            next_file: 0,
            late: BTreeMap::new(),
            open: BTreeMap::new(),
            locks: BTreeMap::new(),
        }
    }

    /// As another process finds it after all of this one's handles are gone.
    pub(super) fn without_handles(&self) -> State {
        State { open: BTreeMap::new(), locks: BTreeMap::new(), ..self.clone() }
    }

    pub(super) fn after_power_cut(&self, loss: &Loss) -> State {
        let mut image = self.durable.clone();
        for (op, fate) in loss.fates(&self.log) {
            image.apply(op, &fate);
        }
        let named: BTreeSet<_> = image.names.values().copied().collect();
        image.retain(|file| named.contains(&file));
        let (kind, room, next_file) = (self.kind, self.room, self.next_file);
        State { cache: image.clone(), durable: image, kind, room, next_file, ..State::new() }
    }

    fn apply(&mut self, op: Op) {
        self.cache.apply(&op, &Fate::Whole);
        self.log.push(op);
    }

    // ---- names ----

    pub(super) fn find(&self, name: &str) -> io::Result<FileId> {
        names::check(name)?;
        self.cache.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<FileId> {
        names::check(name)?;
        if self.cache.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = self.fresh_file();
        self.apply(Op::Create { name: name.into(), file });
        Ok(file)
    }

    pub(super) fn fresh_file(&mut self) -> FileId {
        self.next_file += 1;
        self.next_file
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        names::check(to)?;
        let file = self.find(from)?;
        if from != to {
            self.apply(Op::Rename { from: from.into(), to: to.into(), file });
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.find(name)?;
        self.apply(Op::Remove { name: name.into() });
        Ok(())
    }

    /// In an order that another call shows differently, so that nobody relies on one.
    pub(super) fn list(&self, call: u64) -> Vec<String> {
        let mut names: Vec<_> = self.cache.names.iter().map(|(name, file)| (mix(call ^ mix(*file)), name)).collect();
        names.sort();
        names.into_iter().map(|(_, name)| name.to_string()).collect()
    }

    // ---- handles ----

    /// What a handle of that file has to hold.
    pub(super) fn open(&mut self, file: FileId) -> Arc<()> {
        self.open.retain(|_, token| token.strong_count() > 0);
        token(&mut self.open, file)
    }

    pub(super) fn lock(&mut self, name: &str) -> io::Result<Arc<()>> {
        names::check(name)?;
        if self.locks.get(name).is_some_and(|held| held.strong_count() > 0) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.cache.names.contains_key(name) {
            self.create(name)?;
        }
        Ok(token(&mut self.locks, name.to_owned()))
    }

    // ---- bytes ----

    pub(super) fn write(&mut self, file: FileId, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > SIZE_MAX) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let fits = self.fits(file, bytes.len(), offset);
        if fits < bytes.len() && fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if fits > 0 {
            self.apply(Op::Write { file, offset, bytes: bytes[..fits].into() });
        }
        Ok(fits)
    }

    /// How many bytes from there find room.
    fn fits(&self, file: FileId, len: usize, offset: u64) -> usize {
        let Some(mut free) = self.free() else { return len };
        let content = self.cache.file(file);
        for block in offset / BLOCK..(offset + len as u64).div_ceil(BLOCK) {
            if content.holds(block) {
                continue;
            }
            if free == 0 {
                return (block * BLOCK).saturating_sub(offset) as usize;
            }
            free -= 1;
        }
        len
    }

    /// The blocks that are free, if there is a limit. A file that has no name takes room as long as it is open.
    fn free(&self) -> Option<u64> {
        let room = self.room?;
        let named: BTreeSet<_> = self.cache.names.values().copied().collect();
        let used = self.cache.files().filter(|(file, _)| named.contains(file) || self.is_open(*file));
        Some(room.saturating_sub(used.map(|(_, content)| content.room()).sum()))
    }

    fn is_open(&self, file: FileId) -> bool {
        self.open.get(&file).is_some_and(|token| token.strong_count() > 0)
    }

    pub(super) fn truncate(&mut self, file: FileId, bytes: u64) -> io::Result<()> {
        if bytes > SIZE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.apply(Op::Truncate { file, bytes });
        Ok(())
    }

    pub(super) fn allocate(&mut self, file: FileId, bytes: u64) -> io::Result<()> {
        if bytes > SIZE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let missing = self.cache.file(file).missing(bytes.div_ceil(BLOCK));
        if self.free().is_some_and(|free| missing > free) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.apply(Op::Allocate { file, bytes });
        Ok(())
    }

    // ---- flushes: of a file, or of the names where there is none ----

    pub(super) fn flush(&mut self, file: Option<FileId>) -> io::Result<()> {
        if let Some(error) = self.late.remove(&file) {
            self.forget(file);
            return Err(error.into());
        }
        let durable = &mut self.durable;
        self.log.retain(|op| {
            let is_meant = op.file() == file;
            if is_meant {
                durable.apply(op, &Fate::Whole);
            }
            !is_meant
        });
        if file.is_none() {
            self.forget_files_without_a_name();
        }
        Ok(())
    }

    pub(super) fn fail_flush(
        &mut self,
        file: Option<FileId>,
        error: Failure,
        pages: AfterFailedFlush,
    ) -> io::Result<()> {
        self.forget(file);
        match (pages, file) {
            (AfterFailedFlush::CleanAndNew, _) => {}
            (AfterFailedFlush::Reverted, Some(file)) => self.cache.revert(file, &self.durable),
            (AfterFailedFlush::Reverted, None) => self.cache.names.clone_from(&self.durable.names),
            (AfterFailedFlush::OneLate, _) => {
                // Who has a failure to tell tells the older one first.
                if let Some(older) = self.late.insert(file, error) {
                    return Err(older.into());
                }
                return Ok(());
            }
        }
        Err(error.into())
    }

    /// Takes operations for done that are not.
    fn forget(&mut self, file: Option<FileId>) {
        self.log.retain(|op| op.file() != file);
    }

    /// What nobody can reach any more takes no memory, so that a long run does not grow.
    fn forget_files_without_a_name(&mut self) {
        let named = self.cache.names.values().chain(self.durable.names.values()).copied();
        let mut kept: BTreeSet<_> = named.chain(self.log.iter().filter_map(Op::mentions)).collect();
        kept.extend(self.open.iter().filter(|(_, token)| token.strong_count() > 0).map(|(file, _)| *file));
        self.cache.retain(|file| kept.contains(&file));
        self.durable.retain(|file| kept.contains(&file));
    }
}

fn token<K: Ord>(tokens: &mut BTreeMap<K, Weak<()>>, key: K) -> Arc<()> {
    if let Some(token) = tokens.get(&key).and_then(Weak::upgrade) {
        return token;
    }
    let token = Arc::new(());
    tokens.insert(key, Arc::downgrade(&token));
    token
}
