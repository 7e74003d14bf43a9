//! Where the bytes lie: a flat directory of files, as small a trait as the journal can live on.
//!
//! The file system is one, and a simulated disk that does its worst another: the same code runs on both, and what it
//! survives on the second is what may be believed of the first. The trait promises no more than POSIX does:
//!
//! - What was written and not [flushed](StorageFile::flush) may be lost by a loss of power: wholly, in part, in any order,
//!   sector by sector. Only one byte is surely written whole.
//! - A name (of a new file, after a [rename](Storage::rename) or a [removal](Storage::remove)) is durable once
//!   [`flush_names`](Storage::flush_names) has returned, and not before; the size of a file may be durable before its bytes.
//! - Any call may fail with any error. After a failed flush nobody knows what the disk holds: a second one that succeeds
//!   proves nothing, so nobody asks for it.

mod file;
mod names;
mod simulated;

pub use file::FileStorage;
pub use simulated::{AfterFailedFlush, Call, Fault, Loss, SimulatedDisk};

use std::io;
use std::sync::Arc;

/// A directory of files with simple names (no `/`), opened by one process at a time.
pub trait Storage: Send + Sync + 'static {
    /// Opens a file that is there, for reading and writing.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if it is not.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Creates an empty file.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// The names of everything in the directory, in no order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file another name; what had that name is gone. Other processes see the one or the other, never none.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a name away. Who has the file open keeps it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns when all names are as durable as the disk can make them.
    fn flush_names(&self) -> io::Result<()>;

    /// Takes the directory for this process, by a file of this name that is created if need be and never removed.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if somebody has it.
    fn lock(&self, name: &str) -> io::Result<Box<dyn StorageLock>>;

    /// What kind of file system this is.
    fn kind(&self) -> io::Result<FileSystem>;
}

/// An open file. Its methods may be called from several threads at once.
pub trait StorageFile: Send + Sync {
    /// Reads up to `buffer.len()` bytes from `offset`; fewer if the system says so, and 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes up to `bytes.len()` bytes at `offset`, and says how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Returns when the file's bytes and its size are as durable as the disk can make them.
    fn flush(&self) -> io::Result<()>;

    /// Cuts the file off, or lengthens it by zeros.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Takes room for the first `bytes` bytes and lengthens the file to that by zeros, so that writing there needs none.
    ///
    /// # Errors
    ///
    /// [`StorageFull`](io::ErrorKind::StorageFull) if there is not as much room, and then none is taken.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Its size in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// A directory taken by [`Storage::lock`], until this is dropped or the process ends.
pub trait StorageLock: Send + Sync {
    /// Is this the process that took it? A forked child inherits the lock and must not believe in it.
    fn is_ours(&self) -> bool;
}

/// A kind of file system, as far as it matters to what must not be lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FileSystem {
    /// One whose locks and flushes can be believed.
    Local,
    /// One over a network: its locks and flushes depend on others.
    Network,
    /// One that cannot be written to.
    ReadOnly,
}
