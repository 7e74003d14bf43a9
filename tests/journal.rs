//! The journal on a disk that behaves: what is written is found again, segments come and go, errors are typed.
#![cfg(feature = "store")]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it begins its time somewhere, and its threads")]

use redeliver::internals::{
    AppendError, CommitError, Entry, Journal, Level, Life, OpenError, Position, RecoveryReport, Settings, Tail, Urgency,
};
use redeliver::storage::{Call, Fault, FileSystem, SimulatedDisk, Storage, StorageFile, StorageLock};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SMALL: Settings = {
    let mut settings = Settings::DEFAULT;
    settings.segment_bytes = 64 << 10;
    settings
};

type Bodies = Vec<Vec<u8>>;

/// Opens it, and says which bodies were told.
fn open(disk: &SimulatedDisk) -> (Journal, RecoveryReport, Bodies) {
    try_open(disk).expect("a journal that opens")
}

fn try_open(disk: &SimulatedDisk) -> Result<(Journal, RecoveryReport, Bodies), OpenError> {
    let mut bodies = Vec::new();
    let storage = Arc::new(disk.clone());
    let (journal, report) = Journal::open(storage, SMALL, 7, |group| {
        bodies.extend(group.iter().map(|record| record.body.to_vec()));
    })?;
    Ok((journal, report, bodies))
}

fn held(body: &[u8]) -> Entry<'_> {
    Entry { kind: 1, life: Life::Held, body }
}

fn send(journal: &Journal, body: &[u8], level: Level) -> Position {
    let (at, end) = journal.append_one(held(body), Urgency::Normal).expect("room");
    journal.commit(end, level).expect("a disk that works");
    at
}

fn numbered(numbers: std::ops::Range<u32>) -> Bodies {
    numbers.map(|n| format!("message {n}").into_bytes()).collect()
}

#[test]
fn what_was_written_is_told_in_order() {
    for level in [Level::Written, Level::Synced] {
        let disk = SimulatedDisk::new();
        let (journal, report, told) = open(&disk);
        assert!(told.is_empty() && report.damage.is_empty() && report.tail == Tail::Clean, "{report:?}");
        for body in numbered(0..100) {
            send(&journal, &body, level);
        }
        // A kill: the page cache stays.
        let (_, report, told) = open(&disk.kill());
        assert_eq!(told, numbered(0..100));
        assert_eq!((report.records, report.tail, report.bytes_cut), (100, Tail::Clean, 0));
        journal.close().unwrap();
        let (_, report, told) = open(&disk);
        assert_eq!(told, numbered(0..100));
        assert_eq!((report.rewritten, report.tail), (0, Tail::Clean));
    }
}

#[test]
fn many_openings_and_many_segments() {
    let disk = SimulatedDisk::new();
    let mut sent = Bodies::new();
    for round in 0..10 {
        let (journal, _, told) = open(&disk);
        assert_eq!(told, sent, "round {round}");
        for n in 0..60_u8 {
            let body = vec![round ^ n; 1000 + usize::from(n)];
            send(&journal, &body, Level::Synced);
            sent.push(body);
        }
        if round % 2 == 0 {
            journal.close().unwrap();
        }
    }
}

#[test]
fn a_group_is_told_whole() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    let bodies: Bodies = (0..20).map(|n| vec![n; 500]).collect();
    let group: Vec<_> = bodies.iter().map(|body| held(body)).collect();
    let appended = journal.append(&group, Urgency::Normal).unwrap();
    journal.commit(appended.end, Level::Synced).unwrap();
    let mut groups = Vec::new();
    Journal::open(Arc::new(disk.kill()), SMALL, 7, |group| groups.push(group.len())).unwrap();
    assert_eq!(groups, [20]);
}

#[test]
fn what_is_released_gives_its_room_back() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    let mut places = Vec::new();
    for n in 0..1000_u32 {
        places.push(send(&journal, &[n as u8; 500], Level::Synced));
        if places.len() > 20 {
            let at = places.remove(0);
            let of = [at.segment()];
            let effect = Entry { kind: 2, life: Life::Effect(&of), body: b"settled" };
            journal.append_one(effect, Urgency::FreesRoom).unwrap();
            journal.release(at);
        }
        journal.reclaim().unwrap();
        assert!(journal.health().segments <= 4, "{:?}", journal.health());
    }
    assert_eq!(journal.health().held, 20);
    let (journal, report, told) = open(&disk.kill());
    assert!(told.len() >= 20 && report.segments <= 4, "{report:?}");
    drop(journal);
}

/// The journal's own rule: a segment's room comes back when nothing in it lives, or little does and that is copied forward.
#[test]
fn the_disk_stays_within_its_bound_whatever_lives_long() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    let mut places: BTreeMap<u32, Position> = BTreeMap::new();
    let mut copies = 0;
    for n in 0..4000_u32 {
        let body = [&n.to_le_bytes()[..], &[7; 700]].concat();
        let (at, end) = journal.append_one(held(&body), Urgency::Normal).unwrap();
        places.insert(n, at);
        if n % 16 == 0 {
            journal.commit(end, Level::Synced).unwrap();
        }
        // One of fifty stays for long, the others go soon.
        let done = n.saturating_sub(20);
        for done in [Some(done).filter(|done| done % 50 != 0), n.checked_sub(2000).filter(|done| done % 50 == 0)] {
            let Some(at) = done.and_then(|done| places.remove(&done)) else { continue };
            let of = [at.segment()];
            let body = done.unwrap_or_default().to_le_bytes();
            let effect = Entry { kind: 2, life: Life::Effect(&of), body: &body };
            journal.append_one(effect, Urgency::FreesRoom).unwrap();
            journal.release(at);
        }
        while let Some(segment) = journal.compaction() {
            let mut from = Some(0);
            while let Some(at) = from {
                from = journal
                    .copy_forward(segment, at, 5_000, |record, copy| {
                        let n = u32::from_le_bytes(record.body[..4].try_into().unwrap());
                        if places.get(&n) == Some(&record.position) {
                            places.insert(n, copy()?);
                            copies += 1;
                        }
                        Ok(())
                    })
                    .unwrap();
            }
            journal.reclaim().unwrap();
        }
        let health = journal.health();
        // The one being written, one just added, a spare, and the reserve.
        let bound = 2 * health.held_bytes + 4 * u64::from(SMALL.segment_bytes);
        assert!(health.disk_bytes <= bound, "after {n}: {health:?}");
    }
    assert!(copies > 100, "{copies}");
    // What lives is found again, and what was settled stays settled, wherever its copies lay.
    journal.close().unwrap();
    let mut living = BTreeSet::new();
    let (journal, _) = Journal::open(Arc::new(disk), SMALL, 7, |group| {
        for record in group {
            let n = u32::from_le_bytes(record.body[..4].try_into().unwrap());
            if record.is_effect() {
                living.remove(&n);
            } else {
                living.insert(n);
            }
        }
    })
    .unwrap();
    assert_eq!(living, places.keys().copied().collect());
    assert!(journal.health().disk_bytes < 30 * u64::from(SMALL.segment_bytes));
}

#[test]
fn an_idle_journal_gives_its_disk_back() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    let place = send(&journal, &[1; 16_000], Level::Synced);
    for _ in 0..5 {
        journal.release(send(&journal, &[1; 16_000], Level::Synced));
    }
    journal.reclaim().unwrap();
    let busy = journal.health();
    let start = Instant::now();
    for seconds in 0..=11 {
        journal.tick(start + Duration::from_secs(seconds));
    }
    let idle = journal.health();
    assert!(idle.disk_bytes < busy.disk_bytes && idle.spares == 0, "{busy:?} {idle:?}");
    assert_eq!(journal.tick(start + Duration::from_secs(60)), None, "nothing left to do");
    send(&journal, b"awake", Level::Synced);
    assert!(journal.health().disk_bytes >= 2 * (64 << 10));
    journal.release(place);
    assert_eq!(open(&disk.kill()).2.last().map(Vec::as_slice), Some(&b"awake"[..]));
}

#[test]
fn what_is_too_large_is_refused() {
    let (journal, ..) = open(&SimulatedDisk::new());
    let refused = journal.append_one(held(&vec![0; 60_000]), Urgency::Normal);
    assert!(matches!(refused, Err(AppendError::TooLarge { bytes: 60_016, bytes_max: 16_384 })), "{refused:?}");
}

#[test]
fn an_opening_that_was_killed_is_no_obstacle() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    send(&journal, b"safe", Level::Synced);
    drop(journal);
    for begun in ["0000000002.segment.new", "reserve.new", "store.new"] {
        disk.put(begun, b"half of it").unwrap();
    }
    assert_eq!(open(&disk).2, [b"safe".to_vec()]);
    assert!(disk.list().unwrap().iter().all(|name| !name.ends_with(".new")));
}

/// Rot in the middle: by default the rest is told and the place reported; who would rather look first is refused, and not one
/// byte is changed.
#[test]
fn damage_is_reported_or_refused() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    let places: Vec<_> = numbered(0..3).iter().map(|body| send(&journal, body, Level::Synced)).collect();
    journal.close().unwrap();
    disk.flip("0000000001.segment", u64::from(places[1].offset() + 14) * 8).unwrap();
    disk.lock("lock").unwrap();
    let before = disk.fingerprint();
    let settings = Settings { refuses_damage: true, ..SMALL };
    let refused = Journal::open(Arc::new(disk.clone()), settings, 7, |_| {}).err().expect("refused");
    let text = refused.to_string();
    assert!(
        matches!(&refused, OpenError::Rot { damage } if damage.len() == 1 && damage[0].from == places[1]),
        "{text}"
    );
    assert!(text.contains(&places[1].to_string()), "{text}");
    assert_eq!(disk.fingerprint(), before);
    let (_, report, told) = open(&disk);
    assert_eq!(told, [b"message 0".to_vec(), b"message 2".to_vec()]);
    assert_eq!((report.damage.len(), report.damage[0].from), (1, places[1]));
}

#[test]
fn a_closed_journal_says_so() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    assert!(matches!(try_open(&disk), Err(OpenError::Locked)));
    let (_, end) = journal.append_one(held(b"last"), Urgency::Normal).unwrap();
    journal.close().unwrap();
    assert!(matches!(journal.append_one(held(b"late"), Urgency::Normal), Err(AppendError::Closed)));
    journal.commit(end, Level::Synced).expect("it was flushed by the close");
    journal.close().expect("twice is once");
    assert_eq!(open(&disk).2, [b"last".to_vec()]);
}

#[test]
fn directories_that_are_not_ours_are_left_alone() {
    let disk = SimulatedDisk::new();
    disk.put("notes.txt", b"mine").unwrap();
    let before = disk.fingerprint();
    assert!(matches!(try_open(&disk), Err(OpenError::Foreign { file }) if file == "notes.txt"));
    assert_eq!(disk.fingerprint(), before);
    for (kind, wanted) in [(FileSystem::Network, "network"), (FileSystem::ReadOnly, "read-only")] {
        let disk = SimulatedDisk::new();
        disk.set_kind(kind);
        let before = disk.fingerprint();
        let error = try_open(&disk).err().expect("refused").to_string();
        assert!(error.contains(wanted), "{error}");
        assert_eq!(disk.fingerprint(), before);
    }
}

#[test]
fn a_full_disk_refuses_what_takes_room_and_goes_on_by_itself() {
    let disk = SimulatedDisk::with_room(400 << 10);
    let (journal, ..) = open(&disk);
    let mut places = Vec::new();
    let refused = loop {
        match journal.append_one(held(&[1; 4000]), Urgency::Normal) {
            Ok((at, end)) => {
                journal.commit(end, Level::Synced).unwrap();
                places.push(at);
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full), "{refused}");
    assert!(places.len() > 40);
    for at in places.drain(..) {
        let of = [at.segment()];
        let effect = Entry { kind: 2, life: Life::Effect(&of), body: b"settled" };
        let (_, end) = journal.append_one(effect, Urgency::FreesRoom).expect("the reserve");
        journal.commit(end, Level::Written).unwrap();
        journal.release(at);
        journal.reclaim().unwrap();
    }
    journal.append_one(held(&[1; 4000]), Urgency::Normal).expect("there is room again");
    assert!(journal.health().has_reserve);
}

#[test]
fn a_failed_flush_poisons() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    send(&journal, b"safe", Level::Synced);
    let (_, end) = journal.append_one(held(b"doubtful"), Urgency::Normal).unwrap();
    disk.fail(Fault::new(0, std::io::ErrorKind::StorageFull).on(&[Call::Flush]));
    let failed = journal.commit(end, Level::Synced);
    assert!(matches!(failed, Err(CommitError::Unknown(_))), "{failed:?}");
    assert!(matches!(journal.append_one(held(b"late"), Urgency::Normal), Err(AppendError::Poisoned(_))));
    assert!(journal.poison().is_some());
    drop(journal);
    assert_eq!(open(&disk.after_power_cut(&redeliver::storage::Loss::Everything)).2, [b"safe".to_vec()]);
}

/// Puts messages until the disk is full, and says where they are.
fn fill(journal: &Journal) -> Vec<Position> {
    let mut places = Vec::new();
    while let Ok((at, end)) = journal.append_one(held(&[1; 4000]), Urgency::Normal) {
        journal.commit(end, Level::Synced).unwrap();
        places.push(at);
    }
    places
}

fn settle(journal: &Journal, at: Position) {
    let of = [at.segment()];
    journal.append_one(Entry { kind: 2, life: Life::Effect(&of), body: b"settled" }, Urgency::FreesRoom).unwrap();
    journal.release(at);
}

#[test]
fn of_many_segments_that_go_at_once_few_are_kept() {
    let disk = SimulatedDisk::with_room(2 << 20);
    let (journal, ..) = open(&disk);
    fill(&journal).into_iter().for_each(|at| settle(&journal, at));
    journal.reclaim().unwrap();
    let health = journal.health();
    assert!(health.segments < 3 && health.spares <= SMALL.spares_max, "{health:?}");
}

#[test]
fn spares_do_not_keep_a_full_disk_full() {
    for segments in 1..4 {
        let disk = SimulatedDisk::with_room(400 << 10);
        let (journal, ..) = open(&disk);
        let places = fill(&journal);
        let first = places[0].segment();
        places.into_iter().filter(|at| at.segment() < first + segments).for_each(|at| settle(&journal, at));
        journal.reclaim().unwrap();
        let put = journal.append_one(held(&[1; 4000]), Urgency::Normal);
        assert!(put.is_ok(), "{segments} segments are free: {:?}", journal.health());
        assert!(journal.health().has_reserve);
    }
}

#[test]
fn segments_go_while_others_write_without_a_pause() {
    let (journal, ..) = open(&SimulatedDisk::new());
    let mut now = Instant::now();
    let mut places = Vec::new();
    for n in 0..1000_u32 {
        places.push(send(&journal, &[n as u8; 1000], Level::Written));
        if places.len() > 20 {
            settle(&journal, places.remove(0));
        }
        now += Duration::from_millis(1);
        journal.tick(now);
        assert!(journal.health().segments <= 4, "behind {n}: {:?}", journal.health());
    }
}

#[test]
fn segments_that_could_not_go_go_later() {
    let disk = SimulatedDisk::new();
    let (journal, ..) = open(&disk);
    let places: Vec<_> = (0..40).map(|n| send(&journal, &[n; 4000], Level::Synced)).collect();
    places.into_iter().for_each(|at| settle(&journal, at));
    disk.fail(Fault::new(0, io::ErrorKind::Other).on(&[Call::Rename, Call::Remove]).for_good());
    let now = Instant::now();
    let again = journal.tick(now).expect("not everything is done");
    disk.heal();
    let mut next = Some(again);
    while let Some(then) = next.filter(|then| *then < now + Duration::from_secs(5)) {
        next = journal.tick(then);
    }
    assert_eq!(journal.health().segments, 1, "{:?}", journal.health());
}

/// Also when the reserve was used up before anything was free.
#[test]
fn to_free_a_segment_there_is_always_room() {
    let disk = SimulatedDisk::with_room(400 << 10);
    let (journal, ..) = open(&disk);
    let places = fill(&journal);
    let last = places.last().unwrap().segment();
    let of: Vec<u32> = (1..=last).collect();
    let effect = Entry { kind: 2, life: Life::Effect(&of), body: b"all are settled" };
    while let Ok((_, end)) = journal.append_one(effect, Urgency::FreesRoom) {
        journal.commit(end, Level::Synced).unwrap();
    }
    places.into_iter().for_each(|at| journal.release(at));
    journal.reclaim().expect("room to say which segments are free");
    journal.append_one(held(&[1; 4000]), Urgency::Normal).expect("and then there is room");
}

/// Whoever settles is not refused because nobody came to take out what is free.
#[test]
fn a_full_disk_takes_out_what_is_free_before_it_refuses() {
    let disk = SimulatedDisk::with_room(1 << 20);
    let (journal, ..) = open(&disk);
    let places = fill(&journal);
    for (n, at) in places.iter().enumerate() {
        let of = [at.segment()];
        let effect = Entry { kind: 2, life: Life::Effect(&of), body: b"settled" };
        let (_, end) = journal.append_one(effect, Urgency::FreesRoom).expect("room by what was settled before");
        journal.commit(end, if n % 4 == 0 { Level::Synced } else { Level::Written }).unwrap();
        journal.release(*at);
    }
    journal.append_one(held(&[1; 4000]), Urgency::Normal).expect("all of it is free");
}

/// A disk on which the names are flushed when the test says so.
struct Slow {
    disk: SimulatedDisk,
    is_slow: AtomicBool,
    has_begun: Mutex<Sender<()>>,
    may_go_on: Mutex<Receiver<()>>,
}

impl Storage for Slow {
    fn flush_names(&self) -> io::Result<()> {
        if self.is_slow.swap(false, Ordering::SeqCst) {
            self.has_begun.lock().unwrap().send(()).unwrap();
            self.may_go_on.lock().unwrap().recv().unwrap();
        }
        self.disk.flush_names()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.disk.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.disk.create(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn StorageLock>> {
        self.disk.lock(name)
    }

    fn kind(&self) -> io::Result<FileSystem> {
        self.disk.kind()
    }
}

#[test]
fn a_close_that_waits_for_segments_to_go_is_woken() {
    let (begun, has_begun) = channel();
    let (go_on, may_go_on) = channel();
    let slow = Arc::new(Slow {
        disk: SimulatedDisk::new(),
        is_slow: AtomicBool::new(false),
        has_begun: Mutex::new(begun),
        may_go_on: Mutex::new(may_go_on),
    });
    let (journal, _) = Journal::open(slow.clone(), SMALL, 7, |_| {}).unwrap();
    let places: Vec<_> = (0..20).map(|n| send(&journal, &[n; 8000], Level::Synced)).collect();
    places.into_iter().for_each(|at| settle(&journal, at));
    slow.is_slow.store(true, Ordering::SeqCst);
    let (reclaiming, closing) = (journal.clone(), journal.clone());
    let reclaimed = std::thread::spawn(move || reclaiming.reclaim());
    has_begun.recv().unwrap();
    let (closed, is_closed) = channel();
    std::thread::spawn(move || closed.send(closing.close()).unwrap());
    // Until it sleeps: there is nothing to be seen of that.
    std::thread::sleep(Duration::from_millis(50));
    go_on.send(()).unwrap();
    let _ = reclaimed.join().unwrap();
    is_closed.recv_timeout(Duration::from_secs(10)).expect("it was woken").unwrap();
}

#[test]
fn an_opening_on_a_full_disk_harms_nothing() {
    let disk = SimulatedDisk::with_room(600 << 10);
    let (journal, ..) = open(&disk);
    let places = fill(&journal);
    let mut cut = disk.kill();
    let mut openings = 0;
    let error = loop {
        match try_open(&cut) {
            Ok((_, _, told)) => assert_eq!(told.len(), places.len()),
            Err(error) => break error,
        }
        openings += 1;
        cut = cut.kill();
    };
    assert!(matches!(error, OpenError::Full { .. }) && openings < 5, "{error} behind {openings}");
    cut.set_room(2 << 20);
    assert_eq!(open(&cut).2.len(), places.len());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for segment_bytes in [0, 4096, (64 << 10) + 1, (1 << 30) + 4096] {
        let settings = Settings { segment_bytes, ..SMALL };
        let refused = Journal::open(Arc::new(SimulatedDisk::new()), settings, 7, |_| {}).err();
        assert!(matches!(refused, Some(OpenError::Setting { what: "segment_bytes", .. })), "{segment_bytes}");
    }
}
