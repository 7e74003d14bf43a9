//! Loom models of the commit: who leads, who follows, and that nobody waits for ever.

use super::{Journal, Level};
use crate::journal::{CommitError, Entry, Life, Position, Settings, Urgency};
use crate::model_runner::model;
use crate::storage::{FileSystem, Storage, StorageFile, StorageLock};
use crate::sync::Mutex;
use loom::thread::spawn;
use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

/// A disk that does as it is told, knows what of it is flushed, and may refuse to flush.
struct Disk {
    files: Mutex<BTreeMap<String, Arc<File>>>,
}

struct File(Mutex<Content>);

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    flushed: Vec<u8>,
    refuses: bool,
}

struct Lock;

impl StorageLock for Lock {
    fn is_ours(&self) -> bool {
        true
    }
}

impl Storage for Disk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.files.lock().get(name).cloned();
        file.map(|file| file as Arc<dyn StorageFile>).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = Arc::new(File(Mutex::new(Content::default())));
        self.files.lock().insert(name.into(), file.clone());
        Ok(file)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().remove(name);
        Ok(())
    }

    fn flush_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &str) -> io::Result<Box<dyn StorageLock>> {
        Ok(Box::new(Lock))
    }

    fn kind(&self) -> io::Result<FileSystem> {
        Ok(FileSystem::Local)
    }
}

impl StorageFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.lock();
        let from = content.bytes.get(offset as usize..).unwrap_or_default();
        let read = from.len().min(buffer.len());
        buffer[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = self.0.lock();
        let end = offset as usize + bytes.len();
        if content.bytes.len() < end {
            content.bytes.resize(end, 0);
        }
        content.bytes[offset as usize..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&self) -> io::Result<()> {
        let mut content = self.0.lock();
        if content.refuses {
            return Err(io::Error::other("refused"));
        }
        content.flushed = content.bytes.clone();
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.lock().bytes.resize(bytes as usize, 0);
        Ok(())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }
}

const FIRST: &str = "0000000001.segment";

impl Disk {
    /// Has this body reached the disk?
    fn has_flushed(&self, body: &[u8]) -> bool {
        let file = self.files.lock()[FIRST].clone();
        let content = file.0.lock();
        content.flushed.windows(body.len()).any(|window| window == body)
    }

    fn refuse_to_flush(&self) {
        let file = self.files.lock()[FIRST].clone();
        file.0.lock().refuses = true;
    }
}

fn opened() -> (Arc<Disk>, Journal) {
    let disk = Arc::new(Disk { files: Mutex::new(BTreeMap::new()) });
    let settings = Settings { segment_bytes: 64 << 10, ..Settings::DEFAULT };
    let (journal, _) = Journal::open(disk.clone(), settings, 1, |_| {}).expect("an empty disk");
    (disk, journal)
}

fn append(journal: &Journal, body: &[u8]) -> Position {
    journal.append_one(Entry { kind: 1, life: Life::Held, body }, Urgency::Normal).expect("room").1
}

#[test]
fn whoever_returns_is_on_the_disk() {
    model("two senders commit, and one leads for both", || {
        let (disk, journal) = opened();
        let (other, shared_disk) = (journal.clone(), disk.clone());
        let sender = spawn(move || {
            let end = append(&other, b"theirs");
            other.commit(end, Level::Synced).expect("a disk that works");
            assert!(shared_disk.has_flushed(b"theirs"));
        });
        let end = append(&journal, b"ours");
        journal.commit(end, Level::Synced).expect("a disk that works");
        assert!(disk.has_flushed(b"ours"));
        sender.join().unwrap();
    });
}

#[test]
fn one_writes_while_the_other_flushes() {
    model("a sender that wants no flush beside one that does", || {
        let (disk, journal) = opened();
        let other = journal.clone();
        let sender = spawn(move || {
            for body in [b"first", b"other"] {
                let end = append(&other, body);
                other.commit(end, Level::Written).expect("a disk that works");
            }
        });
        let end = append(&journal, b"ours");
        journal.commit(end, Level::Synced).expect("a disk that works");
        assert!(disk.has_flushed(b"ours"));
        sender.join().unwrap();
    });
}

#[test]
fn a_failed_flush_is_told_to_everybody() {
    model("two senders commit on a disk that refuses to flush", || {
        let (disk, journal) = opened();
        disk.refuse_to_flush();
        let other = journal.clone();
        let commit = |journal: &Journal, body: &[u8]| {
            let Ok((_, end)) = journal.append_one(Entry { kind: 1, life: Life::Held, body }, Urgency::Normal) else {
                return; // the other one was told before
            };
            assert!(matches!(journal.commit(end, Level::Synced), Err(CommitError::Unknown(_))));
        };
        let sender = spawn(move || commit(&other, b"theirs"));
        commit(&journal, b"ours");
        sender.join().unwrap();
    });
}

#[test]
fn a_receipt_is_resolved_or_dropped() {
    model("a receipt is polled and dropped while a sender commits", || {
        let (_, journal) = opened();
        let end = append(&journal, b"ours");
        let other = journal.clone();
        let sender = spawn(move || other.commit(end, Level::Synced).expect("a disk that works"));
        {
            let mut receipt = pin!(journal.receipt(end, Level::Synced));
            let _ = receipt.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let _ = receipt.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        sender.join().unwrap();
        let mut late = pin!(journal.receipt(end, Level::Synced));
        assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    });
}

#[test]
fn a_close_lets_nobody_wait() {
    model("a journal is closed while a sender commits", || {
        let (disk, journal) = opened();
        let other = journal.clone();
        let sender = spawn(move || {
            let Ok((_, end)) = other.append_one(Entry { kind: 1, life: Life::Held, body: b"theirs" }, Urgency::Normal)
            else {
                return; // it was closed before
            };
            other.commit(end, Level::Synced).expect("a close flushes what was appended");
        });
        journal.close().expect("a disk that works");
        sender.join().unwrap();
        drop(disk);
    });
}

#[test]
fn two_meet_at_the_end_of_a_segment() {
    model("two senders find a segment full", || {
        let (_, journal) = opened();
        let large = vec![1; 16_000];
        for _ in 0..3 {
            append(&journal, &large);
        }
        let other = journal.clone();
        let sender = spawn(move || {
            let end = append(&other, &[2; 10_000]);
            other.commit(end, Level::Synced).expect("a disk that works");
            end
        });
        let end = append(&journal, &[3; 10_000]);
        journal.commit(end, Level::Synced).expect("a disk that works");
        let theirs = sender.join().unwrap();
        assert!(end.segment() == 2 && theirs.segment() == 2 && end != theirs);
        assert_eq!(journal.health().segments, 2);
    });
}
