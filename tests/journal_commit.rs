//! Group commit at its edges: a journal that is over, a sender that writes for its own memory, receipts that are looked at,
//! marks and copies that find no room, and a disk that is full for one write.
#![cfg(feature = "store")]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it begins its time somewhere, and its threads")]

use redeliver::internals::{
    AppendError, CommitError, Entry, Health, Journal, Level, Life, Position, RecoveryReport, Settings, Urgency,
};
use redeliver::storage::{Call, Fault, SimulatedDisk};
use std::io::ErrorKind;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

fn open(disk: &SimulatedDisk, segment_bytes: u32) -> (Journal, RecoveryReport, Vec<Vec<u8>>) {
    let mut told = Vec::new();
    let settings = Settings { segment_bytes, ..Settings::DEFAULT };
    let storage = Arc::new(disk.clone());
    let opened = Journal::open(storage, settings, 3, |group| told.extend(group.iter().map(|r| r.body.to_vec())));
    let (journal, report) = opened.expect("a journal that opens");
    (journal, report, told)
}

fn append(journal: &Journal, body: &[u8]) -> (Position, Position) {
    journal.append_one(Entry { kind: 1, life: Life::Held, body }, Urgency::Normal).expect("room")
}

fn send(journal: &Journal, body: &[u8]) -> Position {
    let (at, end) = append(journal, body);
    journal.commit(end, Level::Synced).expect("a disk that works");
    at
}

const SMALL: u32 = 64 << 10;

#[test]
fn a_journal_that_is_over_answers_everything() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk, SMALL);
    let at = send(&journal, b"kept");
    let (_, end) = append(&journal, b"flushed by the close");
    let receipt = journal.receipt(end, Level::Synced);
    journal.close().unwrap();
    receipt.wait().expect("it was flushed");
    journal.release(at);
    assert_eq!(journal.health(), Health::default());
    assert_eq!(journal.compaction(), None);
    assert_eq!(journal.read_segment(1, |_| ()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(journal.tick(Instant::now()), None);
    assert!(matches!(journal.reclaim(), Err(AppendError::Closed)));
    assert!(matches!(journal.copy_forward(1, 0, 1, |_, _| Ok(())), Err(AppendError::Storage(_))));
    journal.commit(Position::new(9, 9), Level::Synced).expect_err("it never came as far");
}

/// Who appends and never waits: what waits to be written stays within its bound, and the journal stays open to all.
#[test]
fn what_waits_in_memory_has_an_end() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk, 64 << 20);
    let senders: Vec<_> = (0..3_u8)
        .map(|n| {
            let journal = journal.clone();
            thread::spawn(move || (0..40).map(|_| append(&journal, &vec![n; 100_000]).1).max())
        })
        .collect();
    let ends: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap().unwrap()).collect();
    let end = ends.into_iter().max().unwrap();
    let written = journal.health().written;
    let waiting = end.offset() - written.offset();
    assert!(written.segment() == end.segment() && waiting < 6 << 20, "{waiting} bytes wait");
    journal.commit(end, Level::Written).unwrap();
    assert_eq!(open(&disk.kill(), 64 << 20).2.len(), 120);
}

#[test]
fn a_receipt_that_is_waited_for_with_a_limit_needs_the_thread() {
    let (journal, ..) = open(&SimulatedDisk::new(), SMALL);
    let (_, end) = append(&journal, b"message");
    let receipt = journal.receipt(end, Level::Synced);
    assert!(receipt.wait_timeout(Duration::ZERO).is_none() && receipt.peek().is_none());
    journal.serve().unwrap();
    journal.serve().expect("one thread is enough");
    receipt.wait_timeout(Duration::from_secs(60)).expect("the thread does it").expect("a disk that works");
    journal.receipt(end, Level::Written).wait_timeout(Duration::MAX).expect("known").expect("long since");
}

/// The commit mark of an idle journal needs room as well: where there is none it stands in the next segment.
#[test]
fn a_mark_that_finds_no_room_begins_a_segment() {
    let (journal, ..) = open(&SimulatedDisk::new(), SMALL);
    for bytes in [16_000, 16_000, 12_190] {
        assert_eq!(send(&journal, &vec![1; bytes]).segment(), 1);
    }
    let start = Instant::now();
    journal.tick(start);
    assert_eq!(journal.health().synced.segment(), 1);
    journal.tick(start + Duration::from_millis(100));
    assert_eq!(journal.health().synced.segment(), 2);
}

/// One write finds no room: what it held is refused, what came before and what comes behind is not.
#[test]
fn what_found_no_room_is_told_apart_from_its_neighbours() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk, SMALL);
    let (_, before) = append(&journal, b"before");
    journal.commit(before, Level::Synced).unwrap();
    let (_, refused) = append(&journal, b"refused");
    disk.fail(Fault::new(0, ErrorKind::StorageFull).on(&[Call::WriteAt]));
    for _ in 0..2 {
        assert!(matches!(journal.commit(refused, Level::Synced), Err(CommitError::Full)));
    }
    journal.commit(before, Level::Synced).expect("as before");
    send(&journal, b"behind");
    assert_eq!(journal.health().held, 2, "what was refused holds nothing");
    assert_eq!(open(&disk.kill(), SMALL).2, [b"before".to_vec(), b"behind".to_vec()]);
}

#[test]
fn a_copy_that_cannot_be_made_changes_nothing() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk, SMALL);
    let first = send(&journal, &[0; 16_000]);
    for n in 1..4 {
        send(&journal, &[n; 16_000]);
    }
    let held = journal.health().held;
    let refused = journal.copy_forward(1, 0, u64::MAX, |_, _| Err(AppendError::Full));
    assert!(matches!(refused, Err(AppendError::Full)));
    let missing = journal.copy_forward(77, 0, u64::MAX, |_, _| Ok(()));
    assert!(matches!(missing, Err(AppendError::Storage(_))));
    let being_written = journal.health().synced.segment();
    assert!(journal.copy_forward(being_written, 0, u64::MAX, |_, _| Ok(())).is_err());
    assert_eq!(journal.health().held, held);
    // And in pieces: each call looks at one record, and says where the next one is.
    let mut next = Some(0);
    let mut copies = Vec::new();
    while let Some(from) = next {
        next = journal
            .copy_forward(1, from, 1, |record, copy| {
                copies.push((record.position, copy()?));
                Ok(())
            })
            .unwrap();
    }
    assert_eq!(copies[0].0, first);
    assert!(copies.len() >= 2 && copies.iter().all(|(old, new)| old.segment() == 1 && new.segment() > 1), "{copies:?}");
    assert_eq!(journal.health().held, held);
}

/// The reserve is made again when it is needed, and whatever keeps it from that is said.
#[test]
fn a_reserve_that_cannot_be_made_is_said() {
    let disk = SimulatedDisk::with_room(300 << 10);
    let (journal, ..) = open(&disk, SMALL);
    while journal.append_one(Entry { kind: 1, life: Life::Held, body: &[1; 4000] }, Urgency::Normal).is_ok() {}
    // What frees room goes into the reserve until that is being written.
    while journal.health().has_reserve {
        let entry = Entry { kind: 2, life: Life::Effect(&[1]), body: &[2; 4000] };
        journal.append_one(entry, Urgency::FreesRoom).expect("the reserve");
    }
    let refused = journal.append_one(Entry { kind: 1, life: Life::Held, body: b"more" }, Urgency::Normal);
    assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
    disk.set_room(10 << 20);
    disk.fail(Fault::new(0, ErrorKind::PermissionDenied).on(&[Call::Create]));
    let refused = journal.append_one(Entry { kind: 1, life: Life::Held, body: b"more" }, Urgency::Normal);
    assert!(matches!(refused, Err(AppendError::Storage(_))), "{refused:?}");
    assert!(journal.poison().is_none(), "nothing is in doubt");
    send(&journal, b"more");
    assert!(journal.health().has_reserve);
}
