//! The storage trait on a simulated disk: every call is counted, meets the planned faults, and then does its work.

use super::fault::{Call, Failure, Verdict};
use super::image::FileId;
use super::state::State;
use super::{Machine, SimulatedDisk};
use crate::storage::{FileSystem, Storage, StorageFile, StorageLock};
use std::fmt;
use std::io;
use std::sync::Arc;

impl Machine {
    fn meet(&mut self, call: Call) -> Verdict {
        if let Some(moments) = &mut self.moments {
            moments.push(SimulatedDisk::from_state(self.state.without_handles()));
        }
        self.calls += 1;
        let verdict = self.plan.meet(call);
        // A file is opened for writing as well, whatever is done with it then.
        let writes = call == Call::Open || Call::CHANGES.contains(&call);
        if writes && self.state.kind == FileSystem::ReadOnly && matches!(verdict, Verdict::Works) {
            let error = Failure::Kind(io::ErrorKind::ReadOnlyFilesystem);
            return Verdict::Fails { error, is_done: false, pages: Default::default() };
        }
        verdict
    }
}

impl SimulatedDisk {
    /// Makes a call. Its work is told how many bytes it may transfer at most.
    fn call<T>(&self, call: Call, work: impl FnOnce(&mut State, usize) -> io::Result<T>) -> io::Result<T> {
        let mut machine = self.machine();
        match machine.meet(call) {
            Verdict::Works => work(&mut machine.state, usize::MAX),
            Verdict::Short(bytes) => work(&mut machine.state, bytes),
            Verdict::Fails { error, is_done, .. } => {
                if is_done {
                    work(&mut machine.state, usize::MAX)?;
                }
                Err(error.into())
            }
        }
    }

    fn flush_of(&self, call: Call, file: Option<FileId>) -> io::Result<()> {
        let mut machine = self.machine();
        match machine.meet(call) {
            Verdict::Works | Verdict::Short(_) => machine.state.flush(file),
            Verdict::Fails { error, is_done: true, .. } => machine.state.flush(file).and(Err(error.into())),
            Verdict::Fails { error, pages, .. } => machine.state.fail_flush(file, error, pages),
        }
    }

    fn handle(&self, file: FileId, token: Arc<()>) -> Arc<dyn StorageFile> {
        Arc::new(SimulatedFile { disk: self.clone(), file, _token: token })
    }
}

impl Storage for SimulatedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let (file, token) = self.call(Call::Open, |state, _| {
            let file = state.find(name)?;
            Ok((file, state.open(file)))
        })?;
        Ok(self.handle(file, token))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let (file, token) = self.call(Call::Create, |state, _| {
            let file = state.create(name)?;
            Ok((file, state.open(file)))
        })?;
        Ok(self.handle(file, token))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let calls = self.calls();
        self.call(Call::List, |state, _| Ok(state.list(calls)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(Call::Rename, |state, _| state.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(Call::Remove, |state, _| state.remove(name))
    }

    fn flush_names(&self) -> io::Result<()> {
        self.flush_of(Call::FlushNames, None)
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn StorageLock>> {
        let token = self.call(Call::Lock, |state, _| state.lock(name))?;
        Ok(Box::new(SimulatedLock { _token: token }))
    }

    fn kind(&self) -> io::Result<FileSystem> {
        Ok(self.machine().state.kind)
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: FileId,
    _token: Arc<()>,
}

impl fmt::Debug for SimulatedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedFile").field("file", &self.file).finish_non_exhaustive()
    }
}

impl StorageFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.call(Call::ReadAt, |state, most| {
            let len = buffer.len().min(most);
            Ok(state.cache.file(self.file).read(&mut buffer[..len], offset))
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.call(Call::WriteAt, |state, most| state.write(self.file, &bytes[..bytes.len().min(most)], offset))
    }

    fn flush(&self) -> io::Result<()> {
        self.disk.flush_of(Call::Flush, Some(self.file))
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.disk.call(Call::Truncate, |state, _| state.truncate(self.file, bytes))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.disk.call(Call::Allocate, |state, _| state.allocate(self.file, bytes))
    }

    fn size(&self) -> io::Result<u64> {
        self.disk.call(Call::Size, |state, _| Ok(state.cache.file(self.file).size()))
    }
}

/// Held as long as it lives.
struct SimulatedLock {
    _token: Arc<()>,
}

impl StorageLock for SimulatedLock {
    fn is_ours(&self) -> bool {
        true
    }
}
