//! The limit: segments as the journal has them, written without it.

use super::{Files, Scale};
use redeliver::storage::{FileStorage, Storage, StorageFile};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const BLOCK: u64 = 4096;
/// As often as the journal flushes what nobody waits for.
const WINDOW: Duration = Duration::from_millis(100);

pub struct Raw {
    storage: Arc<FileStorage>,
    files: Files,
    bytes_max: u64,
    file: Arc<dyn StorageFile>,
    at: u64,
    number: u64,
}

impl Raw {
    /// Files that are written over were filled in writes of `unit` bytes.
    pub fn new(storage: Arc<FileStorage>, files: Files, scale: Scale, unit: usize) -> Raw {
        let bytes_max = u64::from(scale.segment_bytes);
        let file = made(&storage, 0, bytes_max);
        if files == Files::Recycled {
            let old = vec![0x5a; unit];
            for file in [&file, &made(&storage, 1, bytes_max)] {
                (0..bytes_max).step_by(unit).for_each(|at| write_all(&**file, &old, at));
                file.flush().expect("a sound disk");
            }
        }
        Raw { storage, files, bytes_max, file, at: BLOCK, number: 0 }
    }

    /// As the journal when nobody waits for a flush: behind what is there.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.at + bytes.len() as u64 > self.bytes_max {
            self.roll();
        }
        write_all(&*self.file, bytes, self.at);
        self.at += bytes.len() as u64;
    }

    /// In whole blocks, and flushed.
    pub fn write_flushed(&mut self, bytes: &[u8]) {
        self.write(bytes);
        self.file.flush().expect("a sound disk");
        self.at = self.at.next_multiple_of(BLOCK);
    }

    fn roll(&mut self) {
        self.file.flush().expect("a sound disk");
        self.number += 1;
        self.at = BLOCK;
        self.file = match self.files {
            Files::Recycled => self.storage.open(&name(self.number % 2)).expect("it was made"),
            Files::Fresh => made(&self.storage, self.number, self.bytes_max),
        };
        self.file.flush().expect("a sound disk");
    }

    /// After a pass: what is not needed any more goes, as the journal's old segments do.
    pub fn forget(&mut self) {
        if self.files == Files::Fresh {
            let old = self.storage.list().expect("a directory").into_iter().filter(|old| *old != name(self.number));
            old.for_each(|old| self.storage.remove(&old).expect("a sound disk"));
        }
    }

    /// Runs `work` while what it writes is flushed from time to time; how long `work` took.
    pub fn timed(&mut self, work: impl FnOnce(&mut Raw)) -> Duration {
        let over = Mutex::new(false);
        let mut late = Duration::ZERO;
        thread::scope(|scope| {
            let (over, file) = (&over, self.file.clone());
            let flusher = scope.spawn(move || {
                while !*over.lock().expect("nobody panics") {
                    thread::park_timeout(WINDOW);
                    file.flush().expect("a sound disk");
                }
            });
            let begin = Instant::now();
            work(self);
            late = begin.elapsed();
            *over.lock().expect("nobody panics") = true;
            flusher.thread().unpark();
        });
        late
    }
}

fn name(number: u64) -> String {
    format!("raw-{number}")
}

fn made(storage: &FileStorage, number: u64, bytes: u64) -> Arc<dyn StorageFile> {
    let file = storage.create(&name(number)).expect("a new file");
    file.allocate(bytes).expect("room");
    file.flush().expect("a sound disk");
    file
}

pub fn write_all(file: &dyn StorageFile, bytes: &[u8], at: u64) {
    let mut written = 0;
    while written < bytes.len() {
        written += file.write_at(&bytes[written..], at + written as u64).expect("room");
    }
}
