//! The journal against the raw limits of the directory that it lies in: what the file system takes for the same bytes, in
//! the same kind of files, in the same rounds.

mod disk;
mod raw;
mod scan;
mod synced;
mod written;

use super::Bench;
use raw::Raw;
use redeliver::internals::{Entry, Journal, Level, Life, Position, Settings, Urgency};
use redeliver::storage::FileStorage;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Written over, as the journal does unless it is told otherwise, or new.
#[derive(Clone, Copy, PartialEq)]
pub enum Files {
    Recycled,
    Fresh,
}

impl Files {
    const BOTH: [Files; 2] = [Files::Recycled, Files::Fresh];

    fn name(self) -> &'static str {
        match self {
            Files::Recycled => "recycled",
            Files::Fresh => "fresh",
        }
    }
}

/// How much of everything: less where it is only to be seen that it runs.
#[derive(Clone, Copy)]
pub struct Scale {
    pub segment_bytes: u32,
    /// Bytes of messages in a pass without flushes.
    pub pass_bytes: usize,
    /// Flushes in a pass with them.
    pub flushes: usize,
    pub scan_records: usize,
}

const WHOLE: Scale = Scale { segment_bytes: 64 << 20, pass_bytes: 64 << 20, flushes: 100, scan_records: 1_000_000 };
const QUICK: Scale = Scale { segment_bytes: 512 << 10, pass_bytes: 64 << 10, flushes: 1, scan_records: 10_000 };

/// A directory for one cell, gone with it.
pub struct Place(PathBuf);

impl Place {
    fn new(inside: &Path, name: &str) -> Place {
        let path = inside.join(format!("redeliver-compare-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory to measure in");
        Place(path)
    }

    fn storage(&self, name: &str) -> Arc<FileStorage> {
        Arc::new(FileStorage::create(self.0.join(name)).expect("a directory to measure in"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn cells(bench: &mut Bench, cell: &str) {
    let scale = if bench.args.quick { QUICK } else { WHOLE };
    let place = Place::new(&bench.args.dir, cell);
    disk::print(&bench.args.dir, &place, scale);
    match cell {
        "written" => written::cells(bench, &place, scale),
        "synced" => synced::cells(bench, &place, scale),
        _ => scan::cells(bench, &place, scale),
    }
}

/// An open journal with its thread, in segments of that kind.
pub struct Subject {
    journal: Journal,
    body: Vec<u8>,
    positions: Vec<Position>,
}

impl Subject {
    fn open(place: &Place, name: &str, files: Files, scale: Scale, body_bytes: usize, unit: usize) -> Subject {
        let recycle = files == Files::Recycled;
        let settings = Settings { segment_bytes: scale.segment_bytes, recycle, ..Settings::DEFAULT };
        let (journal, _) = Journal::open(place.storage(name), settings, 1, |_| {}).expect("a new journal");
        journal.serve().expect("a thread");
        let mut subject = Subject { journal, body: vec![0xa5; body_bytes], positions: Vec::new() };
        if recycle {
            subject.begin_recycling(scale, unit);
        }
        subject
    }

    /// Segments go by until every further one was one before.
    fn begin_recycling(&mut self, scale: Scale, unit: usize) {
        let filler = vec![0x5a; unit - 64];
        let entry = Entry { kind: 1, life: Life::Held, body: &filler };
        for _ in 0..4 {
            for _ in 0..scale.segment_bytes as usize / unit {
                let (at, end) = self.journal.append_one(entry, Urgency::Normal).expect("room");
                self.journal.commit(end, Level::Written).expect("a sound disk");
                self.positions.push(at);
            }
            self.forget();
        }
    }

    /// What was written in the pass is needed no more, so that its segments come back.
    fn forget(&mut self) {
        self.positions.drain(..).for_each(|position| self.journal.release(position));
        self.journal.reclaim().expect("a sound disk");
    }

    fn entry(&self) -> Entry<'_> {
        Entry { kind: 1, life: Life::Held, body: &self.body }
    }
}

/// Ours and its limit in both kinds of segments: ours, raw, ours, raw. Files that are written over were written in writes of
/// about the size of those that are measured: the page cache keeps them in pieces of that size, and small writes into large
/// pieces are slow.
fn pairs_of(place: &Place, scale: Scale, body_bytes: usize, group: usize, what: &str) -> Vec<(Subject, Raw)> {
    let unit = (body_bytes * group).clamp(4096, 65_536);
    let pair = |files: Files| {
        let name = format!("{what}-{}", files.name());
        let subject = Subject::open(place, &name, files, scale, body_bytes, unit);
        (subject, Raw::new(place.storage(&format!("{name}-raw")), files, scale, unit))
    };
    Files::BOTH.map(pair).into()
}
