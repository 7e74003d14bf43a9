//! Whose directory is this, and what is in it?

use crate::journal::bytes::BLOCK;
use crate::journal::error::{Doing, OpenError};
use crate::journal::identity::StoreId;
use crate::journal::make::{patiently, put_block};
use crate::journal::names::{self, File};
use crate::journal::position::Position;
use crate::journal::segment::{self, Header, Read};
use crate::journal::window::read_full;
use crate::storage::{FileSystem, Storage, StorageLock};
use std::collections::BTreeMap;
use std::io;

pub(super) struct Looked {
    pub(super) lock: Box<dyn StorageLock>,
    pub(super) store: StoreId,
    /// Their files are not open: there may be more than a process may have open.
    pub(super) segments: BTreeMap<u32, Header>,
    pub(super) has_reserve: bool,
    pub(super) spares: Vec<u32>,
    /// Files that were becoming something when a process ended.
    pub(super) unfinished: Vec<String>,
    /// Where the journal ended at the last clean close, or before that.
    pub(super) closed: Position,
}

/// Takes the lock. Nothing else is changed in a directory that is not empty.
pub(super) fn look(storage: &dyn Storage, seed: u64) -> Result<Looked, OpenError> {
    match patiently(|| storage.kind()).map_err(Doing::Listing.failed())? {
        FileSystem::Local => {}
        FileSystem::Network => return Err(OpenError::Network),
        FileSystem::ReadOnly => return Err(OpenError::ReadOnly),
    }
    // Before the lock as well: in somebody else's directory not even that file is made.
    is_ours(&list(storage)?)?;
    let lock = patiently(|| storage.lock(names::LOCK)).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked,
        _ => Doing::Locking.failed()(error),
    })?;
    let files = list(storage)?;
    if !is_ours(&files)? {
        put_store(storage, StoreId::drawn(seed))?;
        return look_at(storage, lock, &list(storage)?);
    }
    let looked = look_at(storage, lock, &files)?;
    if looked.segments.is_empty() {
        // Who put it there may not have come as far as to see its name flushed.
        put_store(storage, looked.store)?;
    }
    Ok(looked)
}

fn put_store(storage: &dyn Storage, store: StoreId) -> Result<(), OpenError> {
    let block = Header::of_store(store, Position::START).block();
    put_block(storage, names::STORE, &block).map_err(Doing::Making(names::STORE.into()).failed())
}

fn list(storage: &dyn Storage) -> Result<Vec<(String, File)>, OpenError> {
    let names = patiently(|| storage.list()).map_err(Doing::Listing.failed())?;
    let mut files: Vec<_> = names.into_iter().map(|name| (names::read(&name), name)).map(|(f, n)| (n, f)).collect();
    files.sort();
    Ok(files)
}

/// False: it is empty, or somebody began to make it a journal.
fn is_ours(files: &[(String, File)]) -> Result<bool, OpenError> {
    if let Some((file, _)) = files.iter().find(|(_, file)| *file == File::Foreign) {
        return Err(OpenError::Foreign { file: file.clone() });
    }
    if files.iter().any(|(_, file)| *file == File::Store) {
        return Ok(true);
    }
    let is_begun = |file: &File| matches!(file, File::Lock | File::New | File::Hidden);
    if files.iter().all(|(_, file)| is_begun(file)) {
        return Ok(false);
    }
    Err(OpenError::Missing { file: names::STORE.into() })
}

fn look_at(storage: &dyn Storage, lock: Box<dyn StorageLock>, files: &[(String, File)]) -> Result<Looked, OpenError> {
    let store = small(storage, names::STORE)?;
    let mut looked = Looked {
        lock,
        store: store.store,
        segments: BTreeMap::new(),
        has_reserve: false,
        spares: Vec::new(),
        unfinished: Vec::new(),
        closed: Position::START,
    };
    for (name, file) in files {
        match file {
            File::Segment(number) => {
                let header = header(storage, name)?;
                if header.store != looked.store {
                    return Err(OpenError::OfAnother { file: name.clone() });
                }
                if header.number != *number {
                    return Err(OpenError::Renamed { file: name.clone(), is: header.number });
                }
                looked.segments.insert(*number, header);
            }
            File::Closed => {
                let closed = small(storage, name)?;
                if closed.store != looked.store {
                    return Err(OpenError::OfAnother { file: name.clone() });
                }
                looked.closed = closed.before;
            }
            File::Reserve => looked.has_reserve = true,
            File::Spare(number) => looked.spares.push(*number),
            File::New => looked.unfinished.push(name.clone()),
            File::Lock | File::Store | File::Torn | File::Damaged | File::Hidden | File::Foreign => {}
        }
    }
    let closed = looked.closed;
    match looked.segments.get(&closed.segment()) {
        Some(header) if closed.offset() > header.bytes => {
            Err(OpenError::Damaged { file: names::CLOSED.into(), what: "the end of the journal" })
        }
        None if closed.segment() > looked.segments.keys().next_back().copied().unwrap_or(0) => {
            Err(OpenError::Missing { file: names::segment(closed.segment()) })
        }
        _ => Ok(looked),
    }
}

/// The header in one of the small files. A segment that was given its name is none.
fn small(storage: &dyn Storage, name: &str) -> Result<Header, OpenError> {
    match header(storage, name)? {
        header if header.number == 0 => Ok(header),
        segment => Err(OpenError::Renamed { file: name.into(), is: segment.number }),
    }
}

fn header(storage: &dyn Storage, name: &str) -> Result<Header, OpenError> {
    let file = patiently(|| storage.open(name)).map_err(Doing::Reading(name.into()).failed())?;
    let mut block = vec![0; BLOCK as usize];
    let read = read_full(&*file, &mut block, 0).map_err(Doing::Reading(name.into()).failed())?;
    match Header::read(&block[..read]) {
        Read::Header(header) => Ok(header),
        Read::Newer(version) => Err(OpenError::Newer { file: name.into(), version, known: segment::VERSION }),
        Read::Damaged => Err(OpenError::Damaged { file: name.into(), what: "its header" }),
    }
}
