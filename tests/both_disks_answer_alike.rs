//! The simulated disk answers as the real one does, as long as nothing goes wrong: what is tested on the one holds on the
//! other.
#![cfg(all(feature = "store", unix, not(any(loom, shuttle))))]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it makes a folder")]

mod support;

use redeliver::storage::{FileStorage, SimulatedDisk, Storage, StorageFile};
use std::io;
use std::sync::Arc;
use support::folder::Folder;
use support::{Rng, evidence, is_nightly, seed};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What one call said, as far as the two have to agree.
type Answer = Result<Vec<u8>, io::ErrorKind>;

/// A disk, and what has been opened on it.
struct World<S> {
    disk: S,
    files: Vec<Arc<dyn StorageFile>>,
}

impl<S: Storage> World<S> {
    fn new(disk: S) -> Self {
        World { disk, files: Vec::new() }
    }

    /// The call that `n` stands for. Both worlds are given the same numbers.
    fn call(&mut self, n: u64) -> Answer {
        let mut rng = Rng(n);
        let name = if rng.below(20) == 0 { "../d" } else { NAMES[rng.below(3) as usize] };
        let (offset, len) = (rng.below(10_000), rng.below(5_000) as usize);
        let choice = rng.below(14);
        let said: io::Result<Vec<u8>> = match choice {
            0 => self.disk.create(name).map(|file| self.keep(file)),
            1 => self.disk.open(name).map(|file| self.keep(file)),
            2 => self.disk.rename(name, NAMES[rng.below(3) as usize]).map(|()| Vec::new()),
            3 if rng.below(2) == 0 => self.disk.remove(name).map(|()| Vec::new()),
            4 => self.disk.list().map(|mut names| {
                names.sort();
                names.join(" ").into_bytes()
            }),
            5 => self.disk.flush_names().map(|()| Vec::new()),
            _ if self.files.is_empty() => Ok(Vec::new()),
            choice => {
                let which = rng.below(self.files.len() as u64) as usize;
                let file = &self.files[which];
                match choice {
                    6 | 7 => file.write_at(&vec![n as u8; len], offset).map(|len| len.to_le_bytes().into()),
                    8 | 9 => {
                        let mut buffer = vec![7; len];
                        file.read_at(&mut buffer, offset).map(|len| buffer[..len].to_vec())
                    }
                    10 => file.truncate(offset).map(|()| Vec::new()),
                    11 => file.allocate(offset).map(|()| Vec::new()),
                    12 => file.size().map(|size| size.to_le_bytes().into()),
                    _ => file.flush().map(|()| Vec::new()),
                }
            }
        };
        said.map_err(|error| error.kind())
    }

    fn keep(&mut self, file: Arc<dyn StorageFile>) -> Vec<u8> {
        self.files.push(file);
        if self.files.len() > 8 {
            self.files.remove(0);
        }
        Vec::new()
    }
}

#[test]
fn the_same_calls_get_the_same_answers() {
    let (seed, rounds) = (seed(), if is_nightly() { 2_000 } else { 20 });
    let (mut calls, mut refused) = (0_u64, 0_u64);
    for round in 0..rounds {
        let folder = Folder::new();
        let simulated = SimulatedDisk::new();
        let mut one = World::new(FileStorage::open(folder.path()).unwrap());
        let mut other = World::new(simulated.clone());
        let mut rng = Rng(seed ^ (round << 32));
        for step in 0..150 {
            let n = rng.draw();
            let (real, simulated) = (one.call(n), other.call(n));
            assert_eq!(real, simulated, "SEED={seed}, round {round}, step {step}");
            calls += 1;
            refused += u64::from(real.is_err());
        }
        for name in one.disk.list().unwrap() {
            let bytes = std::fs::read(folder.join(&name)).unwrap();
            assert_eq!(bytes, simulated.bytes(&name).unwrap(), "{name}: SEED={seed}, round {round}");
        }
    }
    evidence("both_disks", serde_json::json!({ "seed": seed, "calls": calls, "refused": refused }));
    assert!(refused > calls / 50 && refused < calls / 2, "{refused} of {calls} were refused");
}
