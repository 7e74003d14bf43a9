//! A directory on Unix: held open, and everything in it reached from there.
//!
//! Promises: no symbolic link is followed but those on the way to the directory itself; what is created is its owner's alone.

use super::Which;
use crate::storage::FileSystem;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatVfsMountFlags};
use rustix::io::retry_on_intr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::Path;

const OWNER_ONLY: u32 = 0o700;

/// Its open descriptor.
pub(super) struct Directory(File);

impl Directory {
    /// Sees to it that there is a directory there, and that its name is durable.
    pub(super) fn create(path: &Path) -> io::Result<()> {
        let new = || DirBuilder::new().mode(OWNER_ONLY).create(path);
        let above = above(path);
        let made = match (new(), above) {
            (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound => {
                Directory::create(above)?;
                new()
            }
            (made, _) => made,
        };
        match made {
            Ok(()) => above.map_or(Ok(()), |above| Directory::open(above)?.flush()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Directory::open(path)?;
                // Who made it may have been stopped before it was durable. Where we may not look, others have made it.
                above.and_then(|above| Directory::open(above).ok()).map_or(Ok(()), |above| above.flush())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn open(path: &Path) -> io::Result<Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Directory(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?.into()))
    }

    pub(super) fn file(&self, name: &str, which: Which) -> io::Result<File> {
        let creates = match which {
            Which::Old => OFlags::empty(),
            Which::New => OFlags::CREATE | OFlags::EXCL,
            Which::Either => OFlags::CREATE,
        };
        // Not to wait for the other end of a pipe, which will be refused anyway.
        let always = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(retry_on_intr(|| rustix::fs::openat(&self.0, name, always | creates, mode))?.into())
    }

    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        let names = Dir::read_from(&self.0)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.filter(|name| !matches!(name.as_deref(), Ok("." | ".."))).collect()
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    pub(super) fn kind(&self) -> io::Result<FileSystem> {
        if rustix::fs::fstatvfs(&self.0)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Ok(FileSystem::ReadOnly);
        }
        Ok(if is_network(&self.0)? { FileSystem::Network } else { FileSystem::Local })
    }
}

/// The directory that has the name of this one in it; none for the root.
fn above(path: &Path) -> Option<&Path> {
    let above = path.parent()?;
    Some(if above.as_os_str().is_empty() { Path::new(".") } else { above })
}

/// The file systems whose bytes lie on another machine, by the numbers of `statfs(2)`.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NETWORK: &[u32] = &[
    0x0000_6969, // NFS
    0x0000_517b, // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x6b41_4653, // the kernel's AFS
    0x7375_7245, // Coda
    0x0102_1997, // 9p
    0x0bd0_0bd0, // Lustre
    0x4750_4653, // GPFS
    0x1983_0326, // BeeGFS
    0xbacb_acbc, // VMware's shared folders
    0x786f_4256, // VirtualBox's
];

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_network(directory: &File) -> io::Result<bool> {
    const FUSE: u32 = 0x6573_5546;
    // The type's width differs from system to system; the numbers have 32 bits.
    let magic = rustix::fs::fstatfs(directory)?.f_type as u32;
    // Behind FUSE there is a program, and nobody can say where it keeps the bytes; only where it lives on a block device of
    // this machine (NTFS, exFAT) is it surely here. Other devices have no major number.
    let has_device = rustix::fs::major(rustix::fs::fstat(directory)?.st_dev) != 0;
    Ok(NETWORK.contains(&magic) || (magic == FUSE && !has_device))
}

/// Other systems are not asked: what says it there is different on each.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_network(_directory: &File) -> io::Result<bool> {
    Ok(false)
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(bytes, offset)
}

pub(super) fn has_a_name(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 0)
}

/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported) if the file system cannot.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    if bytes == 0 {
        return Ok(()); // the system has no such request
    }
    Ok(retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, bytes))?)
}

/// Others reserve room without lengthening the file, or cut it off.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn allocate(_file: &File, _bytes: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
