//! Opening a journal that was closed, its bytes in the page cache: all of it is read and told.

use super::{Place, Scale};
use crate::cells::Bench;
use crate::report::{Bar, Row, Sense, thousands};
use crate::rounds::interleave;
use redeliver::internals::{Entry, Journal, Level, Life, Settings, Urgency};
use redeliver::storage::{FileStorage, Storage};
use std::sync::Arc;
use std::time::Instant;

const BYTES: usize = 100;
const GROUP: usize = 1_000;
/// A million records of 100 bytes are told within this.
const LIMIT_MS_A_MILLION: f64 = 100.0;

pub fn cells(bench: &mut Bench, place: &Place, scale: Scale) {
    let storage = place.storage("journal");
    let settings = Settings { segment_bytes: scale.segment_bytes, ..Settings::DEFAULT };
    fill(&storage, settings, scale.scan_records);
    let limit = LIMIT_MS_A_MILLION * 1e6 / 1e6;
    let rounds = interleave(2, &bench.plan(), None, |i| match i {
        0 => open(&storage, settings, scale.scan_records),
        _ => read(&storage) / scale.scan_records as f64,
    });
    let title = format!("scan · {} records of 100 B in groups of 1,000", thousands(scale.scan_records));
    let row = |peer: &str, bar: Option<f64>, pairs| Row {
        cell: title.clone(),
        subject: "open, per record".into(),
        peer: peer.into(),
        bar: bar.and_then(Bar::of_journal),
        sense: Sense::Higher,
        wanted: bench.args.rounds,
        pairs,
    };
    let rows = vec![
        row("the bar, 100 ns", Some(1.0), rounds.iter().map(|round| (round[0].value, limit, true)).collect()),
        row("raw read", None, Row::pairs(&rounds, 1, |ns| *ns)),
    ];
    bench.report.table(&title, rows);
}

fn fill(storage: &Arc<FileStorage>, settings: Settings, records: usize) {
    let (journal, _) = Journal::open(storage.clone(), settings, 1, |_| {}).expect("a new journal");
    let body = [0xa5; BYTES];
    let group = vec![Entry { kind: 1, life: Life::Held, body: &body }; GROUP];
    for _ in 0..records / GROUP {
        let appended = journal.append(&group, Urgency::Normal).expect("room");
        journal.commit(appended.end, Level::Written).expect("a sound disk");
    }
    journal.close().expect("a sound disk");
}

/// Nanoseconds per record.
fn open(storage: &Arc<FileStorage>, settings: Settings, records: usize) -> f64 {
    let (mut told, mut bytes) = (0, 0u64);
    let begin = Instant::now();
    let tell = |group: &[redeliver::internals::Record<'_>]| {
        told += group.len();
        bytes += group.iter().map(|record| record.body.len() as u64).sum::<u64>();
    };
    let (journal, _) = Journal::open(storage.clone(), settings, 2, tell).expect("a sound journal");
    let took = begin.elapsed();
    assert_eq!((told, bytes), (records, (records * BYTES) as u64), "what was written is read");
    // The segments of the openings before, in which there is nothing.
    journal.reclaim().expect("a sound disk");
    journal.close().expect("a sound disk");
    took.as_nanos() as f64 / records as f64
}

/// All files once, through a buffer as large as the journal's.
fn read(storage: &Arc<FileStorage>) -> f64 {
    let mut buffer = vec![0; 1 << 20];
    let segments = storage.list().expect("a directory").into_iter().filter(|name| name.ends_with(".segment"));
    let begin = Instant::now();
    for name in segments {
        let file = storage.open(&name).expect("it is there");
        let mut at = 0;
        loop {
            let read = file.read_at(&mut buffer, at).expect("a sound disk");
            if read == 0 {
                break;
            }
            at += read as u64;
        }
    }
    begin.elapsed().as_nanos() as f64
}
