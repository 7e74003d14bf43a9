//! What may be the name of a file: one that means the same file on every system, and never one outside of the directory.
//!
//! Length and the rest are left to the file system, which says so itself.

use std::io;

/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for what is no simple name.
pub(super) fn check(name: &str) -> io::Result<()> {
    // A backslash and a colon are part of a name on Unix and lead out of the directory on Windows.
    if matches!(name, "" | "." | "..") || name.contains(['/', '\\', ':', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no simple file name")));
    }
    Ok(())
}
