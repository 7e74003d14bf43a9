//! One event a line: how a file becomes messages, byte for byte.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

/// One line of the file. A clone shares the bytes: one stays here for the check, one goes through
/// the queue.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counted from 1, as editors do.
    pub line: usize,
    /// The line without its newline. It need not be JSON, nor even UTF-8: what arrives is to be
    /// what was written.
    pub body: Arc<[u8]>,
}

#[derive(Debug)]
pub struct ReadError {
    file: PathBuf,
    source: io::Error,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, source } = self;
        write!(f, "cannot read the events in {}: {source}\nName a readable file with --file.", file.display())
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Reads the whole file: its bytes are needed until the end, to compare them with what arrived.
pub fn read(file: &Path) -> Result<Vec<Event>, ReadError> {
    let bytes = fs::read(file).map_err(|source| ReadError { file: file.to_owned(), source })?;
    Ok(split(&bytes))
}

fn split(bytes: &[u8]) -> Vec<Event> {
    // `\n` ends a line rather than separating two, so nothing follows the last one.
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let bodies = lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line));
    bodies.zip(1..).map(|(body, line)| Event { line, body: body.into() }).collect()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn every_line_is_an_event_and_keeps_its_bytes() {
        let bodies = |bytes: &[u8]| split(bytes).iter().map(|event| event.body.to_vec()).collect::<Vec<_>>();
        assert_eq!(bodies(b""), Vec::<Vec<u8>>::new());
        assert_eq!(bodies(b"\n"), [b""]);
        assert_eq!(bodies(b"a\n\n\xff\r\nb"), [&b"a"[..], b"", b"\xff\r", b"b"]);
        assert_eq!(bodies(b"a\n\n"), [&b"a"[..], b""]);
    }
}
