//! Makes a file into a segment, or into one of the small files: under another name until all of it is on the disk.

use super::bytes::BLOCK;
use super::error::is_full;
use super::names;
use super::segment::Header;
use super::window::write_full;
use crate::storage::{Storage, StorageFile};
use std::io;
use std::sync::Arc;

/// What becomes the segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    Fresh,
    /// A segment of that number, in which nothing lives.
    Spare(u32),
    Reserve,
}

pub(crate) struct Making {
    pub(crate) header: Header,
    pub(crate) source: Source,
    /// What it begins with, behind the header.
    pub(crate) contents: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum MakeError {
    /// There was no room. Nothing has changed.
    Full,
    /// Nothing has changed, but for a file that nobody needs.
    Failed(io::Error),
    /// Nobody knows whether there is a segment of that name now.
    Unknown(io::Error),
}

impl From<io::Error> for MakeError {
    fn from(error: io::Error) -> MakeError {
        if is_full(&error) { MakeError::Full } else { MakeError::Failed(error) }
    }
}

impl Making {
    /// When this returns the file, it has its name, and all of that is durable.
    pub(crate) fn run(&self, storage: &dyn Storage) -> Result<Arc<dyn StorageFile>, MakeError> {
        let name = names::segment(self.header.number);
        let before = match self.source {
            Source::Fresh => names::new(&name),
            Source::Spare(number) => names::spare(number),
            Source::Reserve => names::RESERVE.into(),
        };
        let filled = self.fill(storage, &before).inspect_err(|_| drop(remove(storage, &before)))?;
        if !planted!("a-segment-is-named-before-it-is-whole") {
            patiently(|| storage.rename(&before, &name)).map_err(MakeError::Unknown)?;
        }
        if !planted!("the-name-of-a-segment-is-not-flushed") {
            storage.flush_names().map_err(MakeError::Unknown)?;
        }
        Ok(filled)
    }

    fn fill(&self, storage: &dyn Storage, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = match self.source {
            Source::Fresh => create(storage, name)?,
            Source::Spare(_) | Source::Reserve => patiently(|| storage.open(name))?,
        };
        if planted!("a-segment-is-named-before-it-is-whole") {
            storage.rename(name, &names::segment(self.header.number))?;
            storage.flush_names()?;
        }
        let mut bytes = self.header.block();
        bytes.extend_from_slice(&self.contents);
        patiently(|| file.allocate(self.header.bytes.max(bytes.len() as u32).into()))?;
        write_full(&*file, &bytes, 0)?;
        if !planted!("a-new-segment-is-not-flushed") {
            file.flush()?;
        }
        Ok(file)
    }
}

/// One of the small files, which are a block: in place of what had its name.
pub(crate) fn put_block(storage: &dyn Storage, name: &str, block: &[u8]) -> io::Result<()> {
    debug_assert_eq!(block.len(), BLOCK as usize);
    put(storage, name, block)
}

pub(crate) fn put(storage: &dyn Storage, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = names::new(name);
    let file = create(storage, &new)?;
    let filled = write_full(&*file, bytes, 0).and_then(|()| file.flush());
    filled.inspect_err(|_| drop(remove(storage, &new)))?;
    patiently(|| storage.rename(&new, name))?;
    storage.flush_names()
}

/// A segment that is kept for when the disk is full.
pub(crate) fn put_reserve(storage: &dyn Storage, bytes: u32) -> io::Result<()> {
    let new = names::new(names::RESERVE);
    let file = create(storage, &new)?;
    let made = patiently(|| file.allocate(bytes.into())).and_then(|()| file.flush());
    made.inspect_err(|_| drop(remove(storage, &new)))?;
    patiently(|| storage.rename(&new, names::RESERVE))?;
    storage.flush_names()
}

/// In place of what an attempt before left behind.
fn create(storage: &dyn Storage, name: &str) -> io::Result<Arc<dyn StorageFile>> {
    match patiently(|| storage.create(name)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove(storage, name)?;
            patiently(|| storage.create(name))
        }
        created => created,
    }
}

/// Takes a name away, if it is there.
pub(crate) fn remove(storage: &dyn Storage, name: &str) -> io::Result<()> {
    match patiently(|| storage.remove(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Again, if a signal came between.
pub(crate) fn patiently<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
