//! Single stories, each of which has lost something once, here or elsewhere.

use crate::checker::{Groups, Opened, open as open_storage};
use crate::scripts::SMALL;
use redeliver::internals::{AppendError, CommitError, Entry, Journal, Level, Life, Position, Tail, Urgency};
use redeliver::storage::{AfterFailedFlush, Call, Fault, Loss, SimulatedDisk};
use std::io::ErrorKind;
use std::sync::Arc;

fn open(disk: &SimulatedDisk) -> Opened {
    try_open(disk).expect("a journal that opens")
}

fn try_open(disk: &SimulatedDisk) -> Result<Opened, redeliver::internals::OpenError> {
    open_storage(Arc::new(disk.clone()), SMALL, disk.fingerprint())
}

fn append(journal: &Journal, body: &[u8]) -> (Position, Position) {
    journal.append_one(Entry { kind: 1, life: Life::Held, body }, Urgency::Normal).expect("room")
}

fn send(journal: &Journal, body: &[u8], level: Level) -> Position {
    let (at, end) = append(journal, body);
    journal.commit(end, level).expect("a disk that works");
    at
}

fn settle(journal: &Journal, at: Position) {
    let of = [at.segment()];
    let effect = Entry { kind: 2, life: Life::Effect(&of), body: &at.to_bits().to_le_bytes() };
    let (_, end) = journal.append_one(effect, Urgency::FreesRoom).expect("room");
    journal.commit(end, Level::Synced).expect("a disk that works");
    journal.release(at);
}

fn bodies(told: &Groups) -> Vec<&[u8]> {
    told.iter().flatten().map(|record| &record.body[..]).collect()
}

/// A message that nobody takes lies in segment 1, and what settles its neighbours in the segments behind: as long as
/// segment 1 is there, none of these may go, or its neighbours would be back.
#[test]
fn a_straggler_keeps_what_settles_its_neighbours() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    let straggler = send(&journal, b"straggler", Level::Synced);
    let mut places: Vec<_> = (0..3).map(|n| send(&journal, &[n; 9000], Level::Synced)).collect();
    assert!(places.iter().all(|at| at.segment() == 1));
    for round in 0..4 {
        places.extend((0..3).map(|n| send(&journal, &[16 * (round + 1) + n; 9000], Level::Synced)));
        places.drain(..3).for_each(|at| settle(&journal, at));
        journal.reclaim().unwrap();
    }
    places.drain(..).for_each(|at| settle(&journal, at));
    journal.reclaim().unwrap();
    let unsettled = |told: &Groups| {
        let settled: Vec<_> = told.iter().flatten().filter(|record| record.kind == 2).map(|r| r.body.clone()).collect();
        let messages = told.iter().flatten().filter(|record| record.kind == 1);
        let left = messages.filter(|record| !settled.contains(&record.position.to_bits().to_le_bytes().to_vec()));
        left.map(|record| record.body.clone()).collect::<Vec<_>>()
    };
    assert_eq!(unsettled(&open(&disk.after_power_cut(&Loss::Everything)).told), [b"straggler".to_vec()]);

    // Copied forward, it lets all of them go.
    assert_eq!(journal.compaction(), Some(1));
    let mut read = Vec::new();
    journal.read_segment(1, |record| read.push((record.position, record.body.to_vec()))).unwrap();
    assert!(read.contains(&(straggler, b"straggler".to_vec())));
    send(&journal, b"straggler", Level::Written);
    journal.release(straggler);
    journal.reclaim().unwrap();
    // That of the copy, and perhaps another one that is being written.
    assert!(journal.health().segments <= 2, "{:?}", journal.health());
    assert_eq!(unsettled(&open(&disk.after_power_cut(&Loss::Everything)).told), [b"straggler".to_vec()]);
}

/// A flush that finds the disk full has failed like any other: what of it has arrived nobody knows.
#[test]
fn no_room_in_a_flush_is_no_full_disk() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    send(&journal, b"safe", Level::Synced);
    let (_, end) = append(&journal, b"doubtful");
    disk.fail(Fault::new(0, ErrorKind::StorageFull).on(&[Call::Flush]));
    let failed = journal.commit(end, Level::Synced);
    assert!(matches!(failed, Err(CommitError::Unknown(_))), "{failed:?}");
    assert!(matches!(journal.commit(end, Level::Synced), Err(CommitError::Unknown(_))), "not even later");
    let late = journal.append_one(Entry { kind: 1, life: Life::Held, body: b"late" }, Urgency::FreesRoom);
    assert!(matches!(late, Err(AppendError::Poisoned(_))));
    assert_eq!(bodies(&open(&disk.after_power_cut(&Loss::Everything)).told), [b"safe"]);
}

/// The new segment has its name, and the disk does not know yet.
#[test]
fn a_crash_between_the_rename_and_the_flush_of_the_names() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    (0..3).for_each(|n| {
        send(&journal, &[n; 9000], Level::Synced);
    });
    disk.record_moments();
    assert_eq!(send(&journal, &[3; 9000], Level::Synced).segment(), 2);
    let first = |told: &Groups| bodies(told).iter().map(|body| body[0]).collect::<Vec<_>>();
    let is_between = |disk: &SimulatedDisk| disk.unsynced() > 0 && disk.names().contains(&"0000000002.segment".into());
    let moment = disk.take_moments().into_iter().find(is_between).expect("a second segment");
    for loss in Loss::each(moment.unsynced()) {
        let left = moment.after_power_cut(&loss);
        assert_eq!(first(&open(&left).told), [0, 1, 2], "{loss:?}");
    }
    // And the power fails when the journal was opened again: that name may be lost still.
    let killed = moment.kill();
    killed.record_moments();
    open(&killed);
    for (call, moment) in killed.take_moments().iter().enumerate() {
        for loss in Loss::each(moment.unsynced()) {
            let told =
                try_open(&moment.after_power_cut(&loss)).unwrap_or_else(|e| panic!("{call}, {loss:?}: {e}")).told;
            assert_eq!(first(&told), [0, 1, 2], "{call}, {loss:?}");
        }
    }
}

/// No commit mark says whether the last message was safe: it is lost, nothing else is, and its bytes are kept.
#[test]
fn one_flipped_bit_in_the_last_message() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    (0..3).for_each(|n| {
        send(&journal, &[n; 100], Level::Synced);
    });
    let last = send(&journal, &[0xaa; 1000], Level::Synced);
    for byte in [8, 500, 1010] {
        let left = disk.after_power_cut(&Loss::Everything);
        left.flip("0000000001.segment", (u64::from(last.offset()) + byte) * 8).unwrap();
        let Opened { journal, report, told } = open(&left);
        assert_eq!(bodies(&told), [[0; 100], [1; 100], [2; 100]], "byte {byte}");
        assert!(matches!(report.tail, Tail::Torn | Tail::Uncertain) && report.damage.is_empty(), "{report:?}");
        let kept = left.bytes(&report.kept_in.expect("a file that keeps it")).unwrap();
        assert!(kept.windows(400).any(|window| window == [0xaa; 400]), "the message's bytes");
        assert_eq!(report.bytes_cut, kept.len() as u64 - 22);
        send(&journal, b"next", Level::Synced);
        assert_eq!(open(&left.kill()).told.len(), 4);
    }
}

/// The head of the last frame has arrived, and its records have not: that is no damage, and does not become any.
#[test]
fn a_frame_without_its_records_is_no_damage_later() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    send(&journal, b"safe", Level::Synced);
    send(&journal, &[7; 3000], Level::Written);
    let left = disk.after_power_cut(&Loss::TornLast { sectors: 1 });
    for _ in 0..3 {
        let Opened { report, told, journal } = open(&left);
        assert!(report.damage.is_empty() && bodies(&told) == [b"safe"], "{report:?}");
        journal.close().unwrap();
    }
}

/// Behind the hole is a frame whose mark covers what lies before the hole: that is safe where it is, and is not told again
/// from the next segment.
#[test]
fn what_a_mark_behind_a_hole_covers_is_told_once() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    send(&journal, b"safe", Level::Synced);
    send(&journal, &[1; 700], Level::Written);
    send(&journal, &[2; 700], Level::Written);
    let left = disk.after_power_cut(&Loss::Only(0));
    for _ in 0..3 {
        assert_eq!(bodies(&open(&left).told), [b"safe"]);
    }
}

/// A crash while the next segment is made leaves a file that the recovery makes anew.
#[test]
fn a_half_made_segment_is_no_obstacle() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    send(&journal, b"safe", Level::Synced);
    disk.put("0000000002.segment.new", &[9; 5000]).unwrap();
    disk.put("reserve.new", &[9; 5000]).unwrap();
    let left = disk.kill();
    assert_eq!(bodies(&open(&left).told), [b"safe"]);
    assert!(!left.names().iter().any(|name| name.ends_with(".new")), "{:?}", left.names());
}

#[test]
fn many_segments_that_go_at_once_leave_few_spares() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    let places: Vec<_> = (0..30).map(|n| send(&journal, &[n; 9000], Level::Synced)).collect();
    places.into_iter().for_each(|at| journal.release(at));
    journal.reclaim().unwrap();
    let spares = |disk: &SimulatedDisk| disk.names().iter().filter(|name| name.ends_with(".spare")).count();
    assert_eq!((journal.health().spares, spares(&disk)), (SMALL.spares_max, SMALL.spares_max));
    let mut settings = SMALL;
    settings.recycle = false;
    let left = disk.kill();
    let opened = open_storage(Arc::new(left.clone()), settings, 5).unwrap();
    assert_eq!((opened.journal.health().spares, spares(&left)), (0, 0));
}

/// The reserve is there for this: a full disk, and a crash. That no copy of the torn tail can be kept is no reason to stay
/// closed.
#[test]
fn a_full_disk_opens_with_a_torn_tail() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    send(&journal, b"safe", Level::Synced);
    send(&journal, &[7; 3000], Level::Written);
    let left = disk.after_power_cut(&Loss::TornLast { sectors: 1 });
    left.set_room(0);
    let Opened { journal, report, told } = open(&left);
    assert_eq!(bodies(&told), [b"safe"]);
    // What was cut off stays in the segment, which is not written over.
    let kept_in = Some("0000000001.segment".to_owned());
    assert!(report.tail == Tail::Torn && report.kept_in == kept_in && !journal.health().has_reserve, "{report:?}");
    assert!(!left.names().iter().any(|name| name.ends_with(".new")), "{:?}", left.names());
}

/// A flush of the names has failed, the journal is opened again before the power fails, and later flushes say nothing about
/// the names of before.
#[test]
fn a_name_whose_flush_has_failed_is_not_relied_on() {
    let flushes = {
        let disk = SimulatedDisk::new();
        let calls = crate::calls::CallLog::default();
        let storage = crate::calls::Logged { disk: disk.clone(), log: calls.clone() };
        let opened = open_storage(Arc::new(storage), SMALL, 3).unwrap();
        (0..12).for_each(|n| {
            send(&opened.journal, &[n; 9000], Level::Synced);
        });
        let calls = calls.lock().unwrap();
        calls.iter().filter(|call| **call == Call::FlushNames).count() as u64
    };
    assert!(flushes >= 5, "{flushes}");
    for (nth, pages) in (0..flushes).flat_map(|n| [(n, AfterFailedFlush::CleanAndNew), (n, AfterFailedFlush::Reverted)])
    {
        let disk = SimulatedDisk::new();
        disk.fail(Fault::errno(nth, 5).on(&[Call::FlushNames]).pages(pages));
        let mut safe = Vec::new();
        for _ in 0..3 {
            let Ok(Opened { journal, .. }) = try_open(&disk) else { continue };
            for n in 0..12 {
                let entry = Entry { kind: 1, life: Life::Held, body: &[n; 9000] };
                let sent = journal.append_one(entry, Urgency::Normal);
                if sent.is_ok_and(|(_, end)| journal.commit(end, Level::Synced).is_ok()) {
                    safe.push(vec![n; 9000]);
                }
            }
        }
        let told = try_open(&disk.after_power_cut(&Loss::Everything));
        let told = told.unwrap_or_else(|error| panic!("flush {nth}, {pages:?}: {error}")).told;
        assert!(bodies(&told).len() >= safe.len() && safe.len() >= 24, "flush {nth}, {pages:?}");
    }
}

/// Where the segment ends is in the next one's table; the seal is no reason to stop.
#[test]
fn no_room_for_a_seal_is_no_poison() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    (0..5).for_each(|n| {
        send(&journal, &[n; 9000], Level::Synced);
    });
    // The first is the new segment's, the second the seal.
    disk.fail(Fault::new(1, ErrorKind::StorageFull).on(&[Call::WriteAt]));
    send(&journal, &[5; 9000], Level::Synced);
    assert!(journal.poison().is_none());
    assert_eq!(open(&disk.after_power_cut(&Loss::Everything)).told.len(), 6);
}

/// A message was copied and the copy settled; then both segments go at once. A crash may leave the older one alone, and what
/// is in that is settled still.
#[test]
fn a_freed_segment_that_comes_back_says_nothing() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    let straggler = send(&journal, b"straggler", Level::Synced);
    let mut places: Vec<_> = (0..4).map(|n| send(&journal, &[n; 9000], Level::Synced)).collect();
    let copy = send(&journal, b"straggler", Level::Synced);
    assert_eq!((straggler.segment(), copy.segment()), (1, 2));
    journal.release(straggler);
    settle(&journal, copy);
    places.extend((4..8).map(|n| send(&journal, &[n; 9000], Level::Synced)));
    places.into_iter().for_each(|at| journal.release(at));
    disk.record_moments();
    journal.reclaim().unwrap();
    for (call, moment) in disk.take_moments().iter().enumerate() {
        for loss in Loss::each(moment.unsynced()) {
            let told = open(&moment.after_power_cut(&loss)).told;
            let has = |body: &[u8]| bodies(&told).contains(&body);
            let is_settled = has(&copy.to_bits().to_le_bytes());
            assert!(!has(b"straggler") || is_settled, "call {call}, {loss:?}: it is back");
        }
    }
}

/// The table of thousands of segments takes more room than the smallest segment has.
#[test]
fn the_table_of_many_segments_finds_room() {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk);
    let body = vec![1; 16_300];
    // In a debug build there is no time to fill so many.
    let (sent, segments) = if cfg!(debug_assertions) { (300, 90) } else { (4300, 2050) };
    for n in 0..sent {
        crate::watch::beat(|| format!("message {n}"));
        let (_, end) = append(&journal, &body);
        if n % 64 == 0 {
            journal.commit(end, Level::Written).unwrap();
        }
    }
    crate::watch::rest();
    assert!(journal.health().segments > segments, "{:?}", journal.health());
    journal.close().unwrap();
    let Opened { told, report, journal } = open(&disk);
    assert!(told.len() == sent && report.damage.is_empty(), "{} told", told.len());
    send(&journal, &body, Level::Synced);
    assert_eq!(open(&disk.kill()).told.len(), sent + 1);
}
