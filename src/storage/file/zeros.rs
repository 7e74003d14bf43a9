//! Room taken by writing zeros, where the file system cannot reserve it.
//!
//! Promises: all of it is taken or none. Holes in what is there already are left alone, for nobody can tell them from zeros.

use crate::storage::StorageFile;
use std::io;

/// Lengthens a file from its size to `bytes`.
pub(super) fn fill(file: &dyn StorageFile, size: u64, bytes: u64) -> io::Result<()> {
    let zeros = [0; 65536];
    let mut at = size;
    while at < bytes {
        let len = (bytes - at).min(zeros.len() as u64) as usize;
        match file.write_at(&zeros[..len], at) {
            Ok(0) => return Err(give_back(file, size, io::ErrorKind::WriteZero.into())),
            Ok(written) => at += written as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(give_back(file, size, error)),
        }
    }
    Ok(())
}

fn give_back(file: &dyn StorageFile, size: u64, error: io::Error) -> io::Error {
    // If even that fails, the first error is the one that says why.
    let _ = file.truncate(size);
    error
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::storage::{Call, Fault, SimulatedDisk, Storage};

    #[test]
    fn all_of_it_or_none() {
        let disk = SimulatedDisk::with_room(1 << 20);
        let file = disk.create("f").unwrap();
        file.write_at(b"head", 0).unwrap();
        disk.fail(Fault::new(1, io::ErrorKind::Interrupted).on(&[Call::WriteAt]));
        fill(&*file, 4, 200_000).unwrap();
        assert_eq!(file.size().unwrap(), 200_000);
        assert_eq!(disk.bytes("f").unwrap()[..5], *b"head\0");
        fill(&*file, 200_000, 100).unwrap();
        assert_eq!(file.size().unwrap(), 200_000, "never shorter");

        let error = fill(&*file, 200_000, 2 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.size().unwrap(), 200_000);
        disk.fail(Fault::short(0, 0));
        assert_eq!(fill(&*file, 200_000, 300_000).unwrap_err().kind(), io::ErrorKind::WriteZero);
        assert_eq!(file.size().unwrap(), 200_000);
    }
}
