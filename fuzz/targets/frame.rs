//! Frames whose checksums are right and that say whatever they like, and bytes that are no frame: a recovery panics never,
//! believes no length, tells no record that is not there, and what it leaves opens again.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use redeliver_fuzz::journal::{Forged, base, forge, open};

#[derive(Arbitrary, Debug)]
struct Input {
    which: u8,
    /// Behind how many blocks: 1 is where the tables are.
    block: u8,
    frames: Vec<Forged>,
    raw: Vec<u8>,
    raw_at: u16,
    bytes: Option<u16>,
}

fuzz_target!(|input: Input| {
    let base = base(input.which);
    let disk = base.disk.kill();
    let last = disk.names().into_iter().rfind(|name| name.ends_with(".segment")).expect("a segment");
    let mut segment = disk.bytes(&last).expect("it is there");
    segment.resize(64 << 10, 0);
    let at = usize::from(input.block % 8 + 1) * 4096;
    segment[at..].fill(0);
    forge(&mut segment, at, &input.frames[..input.frames.len().min(16)]);
    let raw_at = 4096 + usize::from(input.raw_at) * 8 % (60 << 10);
    let raw = &input.raw[..input.raw.len().min(segment.len() - raw_at)];
    segment[raw_at..raw_at + raw.len()].copy_from_slice(raw);
    if let Some(bytes) = input.bytes {
        segment.truncate(usize::from(bytes));
    }
    disk.put(&last, &segment).expect("a name");
    let Ok(opened) = open(&disk, 31) else { return };
    // Not the same: a mark in the middle of a frame is nothing that a journal writes.
    open(&disk.kill(), 32).expect("what was opened once opens again");
    let written: Vec<&[u8]> = base.told.iter().flatten().map(|record| &record.body[..]).collect();
    for record in opened.told.iter().flatten() {
        // An effect's body begins with what it speaks of.
        let is_forged = |body: &[u8]| body.ends_with(&record.body);
        let mut forged = input.frames.iter().flat_map(Forged::records).map(|record| record.body());
        let is_raw = || segment.windows(record.body.len().max(1)).any(|window| window.starts_with(&record.body));
        assert!(written.contains(&&record.body[..]) || forged.any(is_forged) || is_raw(), "{record:?}");
    }
});
