//! What the directory itself can do: how long a flush takes, and how many bytes a second go in.

use super::raw::write_all;
use super::{Place, Scale};
use crate::stats::Spread;
use redeliver::storage::{Storage, StorageFile};
use std::path::Path;
use std::time::Instant;

const BLOCK: u64 = 4096;

/// One line, in front of the cells of the directory.
pub fn print(directory: &Path, place: &Place, scale: Scale) {
    let storage = place.storage("disk");
    let bytes = u64::from(scale.segment_bytes);
    let allocated = storage.create("allocated").expect("a new file");
    allocated.allocate(bytes).expect("room");
    allocated.flush().expect("a sound disk");
    let appended = storage.create("appended").expect("a new file");
    let recycled = storage.create("recycled").expect("a new file");
    let block = vec![0xa5; BLOCK as usize];
    let part = vec![0x5a; 1 << 20];
    let begin = Instant::now();
    (0..bytes).step_by(part.len()).for_each(|at| write_all(&*recycled, &part, at));
    recycled.flush().expect("a sound disk");
    let rate = bytes as f64 / begin.elapsed().as_secs_f64() / 1e6;

    let files = [("recycled", &recycled), ("allocated", &allocated), ("appended", &appended)];
    let mut took = files.map(|_| Vec::new());
    for at in (0..scale.flushes as u64).map(|nth| nth * BLOCK) {
        for ((_, file), took) in files.iter().zip(&mut took) {
            took.push(flushed(&***file, &block, at));
        }
    }
    print!("\ndirectory {}: 4 KiB written and flushed in µs (lower quartile · median)", directory.display());
    for ((name, _), took) in files.iter().zip(took) {
        let spread = Spread::of(took.into_iter()).expect("some");
        print!(", {name} {:.0} · {:.0}", spread.lower_quartile, spread.median);
    }
    println!("; one after another, flushed once: {rate:.0} MB/s");
}

/// Microseconds.
fn flushed(file: &dyn StorageFile, block: &[u8], at: u64) -> f64 {
    let begin = Instant::now();
    write_all(file, block, at);
    file.flush().expect("a sound disk");
    begin.elapsed().as_nanos() as f64 / 1e3
}
