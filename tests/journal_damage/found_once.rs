//! What the sweep has found once, each as small as it can be.

use redeliver::internals::{Entry, Journal, Level, Life, OpenError, RecoveryReport, Settings, Tail, Urgency};
use redeliver::storage::{SimulatedDisk, Storage};
use std::sync::Arc;

type Opened = (Journal, RecoveryReport, Vec<Vec<u8>>);

fn try_open(disk: &SimulatedDisk) -> Result<Opened, OpenError> {
    let settings = Settings { segment_bytes: 64 << 10, ..Settings::DEFAULT };
    let mut told = Vec::new();
    let (journal, report) = Journal::open(Arc::new(disk.clone()), settings, 7, |group| {
        told.extend(group.iter().map(|record| record.body.to_vec()));
    })?;
    Ok((journal, report, told))
}

fn open(disk: &SimulatedDisk) -> Opened {
    try_open(disk).expect("a journal that opens")
}

/// All in one frame.
fn send(journal: &Journal, bodies: &[&[u8]]) {
    for body in bodies {
        let entry = Entry { kind: 1, life: Life::Held, body };
        journal.append_one(entry, Urgency::Normal).unwrap();
    }
    journal.commit(journal.append(&[], Urgency::Normal).unwrap().end, Level::Synced).unwrap();
}

/// Where the frame behind the tables begins.
const FRAME: u64 = 3 * 4096;
const FIRST: &str = "0000000001.segment";

#[test]
fn the_last_frame_of_a_closed_journal_is_read_without_its_head() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    send(&journal, &[b"one", b"two", b"three"]);
    journal.close().unwrap();
    disk.flip(FIRST, (FRAME + 5) * 8).unwrap();
    let (_, report, told) = open(&disk);
    assert_eq!(told, [&b"one"[..], b"two", b"three"], "{report:?}");
    assert_eq!(report.damage.len(), 1, "{report:?}");
}

#[test]
fn a_lost_head_and_a_lost_record_cost_one_record() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    send(&journal, &[b"one", b"two", b"three"]);
    send(&journal, &[b"four"]);
    journal.close().unwrap();
    disk.overwrite(FIRST, FRAME, &[0; 50]).unwrap();
    let (_, report, told) = open(&disk);
    assert_eq!(told, [&b"two"[..], b"three", b"four"], "{report:?}");
}

#[test]
fn a_damaged_table_does_not_end_the_journal() {
    for table in [4096, 8192] {
        let disk = SimulatedDisk::new();
        let (first, ..) = open(&disk);
        send(&first, &[b"one"]);
        let disk = disk.kill();
        // It was not marked, and is written again, behind the table of segment 2.
        let (second, report, _) = open(&disk);
        assert_eq!(report.rewritten, 1);
        let disk = disk.kill();
        disk.flip("0000000002.segment", (table + 50) * 8).unwrap();
        let (_, report, told) = open(&disk);
        assert_eq!(told, [b"one"], "{report:?}");
        assert_eq!((report.tail, report.damage.len()), (Tail::Clean, 1), "{report:?}");
        drop((first, second));
    }
}

#[test]
fn what_was_cut_off_once_is_no_damage_the_next_time() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    send(&journal, &[b"one"]);
    let disk = disk.kill();
    disk.flip(FIRST, (FRAME + 52) * 8).unwrap();
    let (again, report, told) = open(&disk);
    assert_eq!((told.len(), report.tail), (0, Tail::Uncertain), "{report:?}");
    let (_, report, _) = open(&disk.kill());
    assert_eq!((report.tail, report.damage), (Tail::Clean, vec![]));
    drop((journal, again));
}

#[test]
fn a_segment_under_the_name_of_a_small_file_is_none() {
    for name in ["closed", "store"] {
        let disk = SimulatedDisk::new();
        open(&disk).0.close().unwrap();
        disk.rename(FIRST, name).unwrap();
        let refused = try_open(&disk).err();
        assert!(matches!(&refused, Some(OpenError::Renamed { file, is: 1 }) if file == name), "{refused:?}");
    }
}

#[test]
fn a_damaged_list_of_what_is_gone_is_there_twice() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    let entry = Entry { kind: 1, life: Life::Held, body: &[1; 9000] };
    let (at, _) = journal.append_one(entry, Urgency::Normal).unwrap();
    while journal.health().segments < 2 {
        send(&journal, &[&[2; 9000]]);
    }
    for _ in 0..10 {
        journal.release(at);
    }
    journal.reclaim().unwrap();
    assert!(!disk.names().contains(&FIRST.into()));
    let name = "0000000002.segment";
    let bytes = disk.bytes(name).unwrap();
    // The journal's own, of kind 2, of one number.
    let lists: Vec<_> =
        (0..bytes.len() - 16).step_by(8).filter(|at| bytes[*at..][4..12] == [4, 0, 0, 0, 2, 8, 0, 0]).collect();
    assert_eq!(lists.len(), 2);
    for list in lists {
        let disk = disk.kill();
        disk.flip(name, list as u64 * 8 + 100).unwrap();
        let (_, report, _) = open(&disk);
        assert_eq!(report.tail, Tail::Uncertain, "{report:?}");
    }
    drop(journal);
}

/// A loss of power that leaves a later write and takes an earlier one does this as well.
#[test]
fn what_a_mark_behind_the_cut_proves_is_not_written_again() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    for (body, level) in [(b"one", Level::Synced), (b"two", Level::Written), (b"six", Level::Written)] {
        let entry = Entry { kind: 1, life: Life::Held, body };
        let (_, end) = journal.append_one(entry, Urgency::Normal).unwrap();
        journal.commit(end, level).unwrap();
    }
    let disk = disk.kill();
    // The second frame is gone, and the third says that the first is safe.
    disk.overwrite(FIRST, FRAME + 4096, &[0; 64]).unwrap();
    let (again, report, told) = open(&disk);
    assert_eq!((told, report.rewritten, report.tail), (vec![b"one".to_vec()], 0, Tail::Torn), "{report:?}");
    let (_, report, told) = open(&disk.kill());
    assert_eq!(told, [b"one"], "{report:?}");
    drop((journal, again));
}

#[test]
fn a_crash_while_a_segment_was_made_does_not_keep_the_journal_from_opening() {
    for name in ["0000000002.segment.new", "0000000001.segment.new", "reserve.new"] {
        let disk = SimulatedDisk::new();
        let (journal, ..) = open(&disk);
        let disk = disk.kill();
        disk.put(name, &[0; 4096]).unwrap();
        assert!(try_open(&disk).is_ok(), "{name}");
        assert!(!disk.names().contains(&name.into()), "{name}");
        drop(journal);
    }
}
