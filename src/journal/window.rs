//! Reads a file from its start to its end through one buffer.

use super::make::patiently;
use crate::storage::StorageFile;
use std::io;

const READ: usize = 1 << 20;

pub(crate) struct Window<'f> {
    file: &'f dyn StorageFile,
    size: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'f> Window<'f> {
    /// Of the file's first `size_max` bytes.
    pub(crate) fn new(file: &'f dyn StorageFile, size_max: u64) -> io::Result<Window<'f>> {
        let size = patiently(|| file.size())?.min(size_max);
        Ok(Window { file, size, start: 0, buffer: Vec::new() })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes from `offset` on, at least `wanted` of them unless the file ends before that.
    pub(crate) fn from(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let there = (self.size.saturating_sub(offset)).min(wanted as u64) as usize;
        let has = offset >= self.start && offset + there as u64 <= self.start + self.buffer.len() as u64;
        if !has {
            self.fill(offset, there)?;
        }
        Ok(&self.buffer[(offset - self.start) as usize..])
    }

    fn fill(&mut self, offset: u64, wanted: usize) -> io::Result<()> {
        let bytes = (self.size.saturating_sub(offset)).min(wanted.max(READ) as u64) as usize;
        self.buffer.resize(bytes, 0);
        self.start = offset;
        let read = read_full(self.file, &mut self.buffer, offset)?;
        // Shorter than it said: somebody cut it, and what is missing is missing.
        self.buffer.truncate(read);
        if read < bytes {
            self.size = offset + read as u64;
        }
        Ok(())
    }
}

/// Reads until the buffer is full or the file ends, and says how much that was.
pub(crate) fn read_full(file: &dyn StorageFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Writes all of it, in as many calls as it takes.
pub(crate) fn write_full(file: &dyn StorageFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) if planted!("a-short-write-counts-as-whole") => break,
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
