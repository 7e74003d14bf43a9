//! A directory on a system that is no Unix: found by its path, with what the standard library has.
//!
//! Promises less than `unix`: the path is taken as it is each time, and the durability of names is the file system's affair.

use super::Which;
use crate::storage::FileSystem;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

pub(super) struct Directory(PathBuf);

#[expect(clippy::disallowed_methods, reason = "the file that reaches the disk")]
impl Directory {
    pub(super) fn create(path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    pub(super) fn open(path: &Path) -> io::Result<Directory> {
        let path = std::path::absolute(path)?;
        if std::fs::metadata(&path)?.is_dir() { Ok(Directory(path)) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    pub(super) fn file(&self, name: &str, which: Which) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(which == Which::Either).create_new(which == Which::New);
        #[cfg(windows)]
        {
            use std::os::windows::fs::OpenOptionsExt;
            const OPEN_THE_LINK_ITSELF: u32 = 0x0020_0000;
            options.custom_flags(OPEN_THE_LINK_ITSELF);
        }
        options.open(self.0.join(name))
    }

    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }

    /// There is nothing that could be asked for it.
    pub(super) fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn kind(&self) -> io::Result<FileSystem> {
        let is_read_only = std::fs::metadata(&self.0)?.permissions().readonly();
        // On Windows that bit of a directory says nothing about what is in it.
        Ok(if is_read_only && !cfg!(windows) { FileSystem::ReadOnly } else { FileSystem::Local })
    }
}

#[cfg(windows)]
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(windows)]
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

#[cfg(not(windows))]
pub(super) fn read_at(_file: &File, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(windows))]
pub(super) fn write_at(_file: &File, _bytes: &[u8], _offset: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// An open file cannot lose its name here.
pub(super) fn has_a_name(_file: &File) -> io::Result<bool> {
    Ok(true)
}

pub(super) fn allocate(_file: &File, _bytes: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
