//! The real disk: a directory of the file system's, and its files.
//!
//! Promises: a name reaches a file of this directory or nothing, never something elsewhere; an error is the system's own; a
//! flush that has failed is reported, and the descriptor is not exchanged for one that does not know of it. How the system is
//! asked is left to `unix` and `elsewhere`; to write and flush in the right order, to the journal.

mod zeros;

#[cfg(not(unix))]
#[path = "elsewhere.rs"]
mod system;
#[cfg(unix)]
#[path = "unix.rs"]
mod system;

use self::system::Directory;
use super::{FileSystem, Storage, StorageFile, StorageLock, names};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of the file system.
///
/// On Unix it is held open, so it stays the same directory if it is moved, or if this process changes its working
/// directory. Files are created for their owner alone (`0600`, the directory `0700`), and a symbolic link in it is never
/// followed. On other systems it is found by its path each time, and names are durable when the file system sees fit.
///
/// ```
/// use redeliver::storage::{FileStorage, Storage};
/// use std::io::ErrorKind;
///
/// let path = std::env::temp_dir().join(format!("redeliver-example-{}", std::process::id()));
/// let disk = FileStorage::create(&path)?;
/// let file = disk.create("journal")?;
/// file.write_at(b"record", 0)?;
/// file.flush()?; // the bytes are durable,
/// disk.flush_names()?; // and now the name is as well
///
/// assert_eq!(disk.create("journal").err().unwrap().kind(), ErrorKind::AlreadyExists);
/// assert_eq!(disk.open("../journal").err().unwrap().kind(), ErrorKind::InvalidInput);
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct FileStorage {
    directory: Directory,
    path: PathBuf,
}

impl FileStorage {
    /// Opens a directory, and creates it if need be, with all those above it that are missing.
    ///
    /// # Durability
    ///
    /// When it returns, the directory's own name is durable, and those of all directories that were created.
    ///
    /// # Errors
    ///
    /// [`NotADirectory`](io::ErrorKind::NotADirectory) if something else is in its place,
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied), and whatever else the system says. What was created by then
    /// stays.
    pub fn create(path: impl AsRef<Path>) -> io::Result<FileStorage> {
        // Without a dot at its end, which would be a name to create.
        let path: PathBuf = path.as_ref().components().collect();
        Directory::create(&path)?;
        FileStorage::open(path)
    }

    /// Opens a directory that is there.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if it is not, [`NotADirectory`](io::ErrorKind::NotADirectory) if it is something
    /// else, [`PermissionDenied`](io::ErrorKind::PermissionDenied) if it is not ours to read.
    ///
    /// ```
    /// use redeliver::storage::FileStorage;
    ///
    /// let nowhere = std::env::temp_dir().join("redeliver-example-that-nobody-has-made");
    /// assert_eq!(FileStorage::open(nowhere).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// ```
    pub fn open(path: impl AsRef<Path>) -> io::Result<FileStorage> {
        let path = path.as_ref();
        Ok(FileStorage { directory: Directory::open(path)?, path: path.to_owned() })
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for FileStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileStorage").field(&self.path).finish()
    }
}

/// Which file a name may mean.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Which {
    Old,
    New,
    Either,
}

impl FileStorage {
    fn file(&self, name: &str, which: Which) -> io::Result<File> {
        names::check(name)?;
        let file = self.directory.file(name, which)?;
        // A pipe or a device would take what is written and give nothing back.
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no regular file")));
        }
        Ok(file)
    }
}

impl Storage for FileStorage {
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(OpenFile(self.file(name, Which::Old)?)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(OpenFile(self.file(name, Which::New)?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.directory.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        names::check(from)?;
        names::check(to)?;
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        names::check(name)?;
        self.directory.remove(name)
    }

    fn flush_names(&self) -> io::Result<()> {
        self.directory.flush()
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn StorageLock>> {
        let file = self.file(name, Which::Either)?;
        file.try_lock()?;
        // Whoever removed the file in between has made room for a second lock, on a second file of that name.
        if !system::has_a_name(&file)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock { file, process: std::process::id() }))
    }

    fn kind(&self) -> io::Result<FileSystem> {
        self.directory.kind()
    }
}

struct OpenFile(File);

impl StorageFile for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        system::read_at(&self.0, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        system::write_at(&self.0, bytes, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let size = self.size()?;
        match system::allocate(&self.0, bytes) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => zeros::fill(self, size, bytes),
            Err(error) => {
                // A large allocation may have come half-way. What gives that back can fail only if all is lost anyway.
                let _ = self.truncate(size);
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// The lock is on the open file, and the system takes it back when the last descriptor of it is closed.
struct Lock {
    file: File,
    process: u32,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that another thread is about to start has a descriptor of it as well for a moment, so closing ours would
        // not end the lock at once. But a forked child that drops its copy must not end its parent's.
        if self.is_ours() {
            let _ = self.file.unlock();
        }
    }
}

impl StorageLock for Lock {
    fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }
}
