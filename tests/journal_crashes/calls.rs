//! A disk that notes which calls are made of it.

use redeliver::storage::{Call, FileSystem, SimulatedDisk, Storage, StorageFile, StorageLock};
use std::io;
use std::sync::{Arc, Mutex};

pub(crate) type CallLog = Arc<Mutex<Vec<Call>>>;

pub(crate) struct Logged {
    pub(crate) disk: SimulatedDisk,
    pub(crate) log: CallLog,
}

impl Logged {
    fn note(&self, call: Call) -> &SimulatedDisk {
        self.log.lock().unwrap().push(call);
        &self.disk
    }

    fn file(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(LoggedFile { file, log: self.log.clone() })
    }
}

impl Storage for Logged {
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.note(Call::Open).open(name).map(|file| self.file(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.note(Call::Create).create(name).map(|file| self.file(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.note(Call::List).list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.note(Call::Rename).rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.note(Call::Remove).remove(name)
    }

    fn flush_names(&self) -> io::Result<()> {
        self.note(Call::FlushNames).flush_names()
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn StorageLock>> {
        self.note(Call::Lock).lock(name)
    }

    fn kind(&self) -> io::Result<FileSystem> {
        self.disk.kind()
    }
}

struct LoggedFile {
    file: Arc<dyn StorageFile>,
    log: CallLog,
}

impl LoggedFile {
    fn note(&self, call: Call) -> &dyn StorageFile {
        self.log.lock().unwrap().push(call);
        &*self.file
    }
}

impl StorageFile for LoggedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.note(Call::ReadAt).read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.note(Call::WriteAt).write_at(bytes, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.note(Call::Flush).flush()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.note(Call::Truncate).truncate(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.note(Call::Allocate).allocate(bytes)
    }

    fn size(&self) -> io::Result<u64> {
        self.note(Call::Size).size()
    }
}
