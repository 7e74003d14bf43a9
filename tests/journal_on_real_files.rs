//! The journal on the files of the system: what is written is found again, many threads share it, segments come and go, and
//! what is in the way is said in typed errors and left as it is.
#![cfg(all(feature = "store", not(any(loom, shuttle))))]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it looks at the files themselves")]

mod support;

use futures_lite::future::block_on;
use redeliver::internals::{
    AppendError, Doing, Entry, Journal, Level, Life, OpenError, Position, RecoveryReport, Settings, Tail, Urgency,
};
use redeliver::storage::FileStorage;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::folder::Folder;
use support::{Rng, evidence, seed};

const SMALL: Settings = {
    let mut settings = Settings::DEFAULT;
    settings.segment_bytes = 64 << 10;
    settings
};

type Bodies = Vec<Vec<u8>>;

fn try_open(path: &Path) -> Result<(Journal, RecoveryReport, Bodies), OpenError> {
    let mut bodies = Vec::new();
    let storage = Arc::new(FileStorage::create(path).unwrap());
    let (journal, report) = Journal::open(storage, SMALL, seed(), |group| {
        bodies.extend(group.iter().map(|record| record.body.to_vec()));
    })?;
    Ok((journal, report, bodies))
}

fn open(path: &Path) -> (Journal, RecoveryReport, Bodies) {
    try_open(path).expect("a journal that opens")
}

fn refused(path: &Path) -> OpenError {
    try_open(path).err().expect("nothing to be opened")
}

fn held(body: &[u8]) -> Entry<'_> {
    Entry { kind: 1, life: Life::Held, body }
}

fn send(journal: &Journal, body: &[u8], level: Level) -> Position {
    let (at, end) = journal.append_one(held(body), Urgency::Normal).expect("room");
    journal.commit(end, level).expect("a disk that works");
    at
}

/// Names and bytes of all files but the lock.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(path).unwrap().map(|file| file.unwrap());
    let files = files.filter(|file| file.file_type().unwrap().is_file() && file.file_name() != "lock");
    files.map(|file| (file.file_name().to_string_lossy().into_owned(), fs::read(file.path()).unwrap())).collect()
}

/// The files whose names end so, the oldest first.
fn names(path: &Path, ending: &str) -> Vec<String> {
    contents(path).into_keys().filter(|name| name.ends_with(ending)).collect()
}

#[test]
fn what_was_written_is_told_in_order() {
    let folder = Folder::new();
    let mut sent = Bodies::new();
    for round in 0..6_u8 {
        let (journal, report, told) = open(folder.path());
        assert!(report.damage.is_empty() && report.tail == Tail::Clean, "{report:?}");
        assert_eq!(told, sent, "round {round}");
        for n in 0..40_u8 {
            let body = vec![round ^ n; 3000 + usize::from(n)];
            send(&journal, &body, if n % 8 == 0 { Level::Synced } else { Level::Written });
            sent.push(body);
        }
        let bodies: Bodies = (0..20).map(|n| vec![round, n]).collect();
        let group: Vec<_> = bodies.iter().map(|body| held(body)).collect();
        let appended = journal.append(&group, Urgency::Normal).unwrap();
        assert_eq!(appended.positions.len(), 20);
        sent.extend(bodies);
        // By the call, by the last handle, or at all events by the drop.
        match round % 2 {
            0 => journal.close().unwrap(),
            _ => drop(journal),
        }
    }
    assert!(names(folder.path(), ".segment").len() > 6);
}

#[test]
fn sixteen_senders_share_it() {
    const SENDERS: u8 = 16;
    const EACH: u32 = 150;
    let folder = Folder::new();
    let (journal, ..) = open(folder.path());
    journal.serve().unwrap();
    let body = |sender: u8, n: u32| {
        let mut body = vec![sender; 8 + (n as usize * 37 + usize::from(sender)) % 900];
        body[4..8].copy_from_slice(&n.to_le_bytes());
        body
    };
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let journal = journal.clone();
            scope.spawn(move || {
                let mut rng = Rng(seed() ^ u64::from(sender));
                let level = if sender % 2 == 0 { Level::Synced } else { Level::Written };
                for n in 0..EACH {
                    let (_, end) = journal.append_one(held(&body(sender, n)), Urgency::Normal).unwrap();
                    let receipt = journal.receipt(end, level);
                    match rng.below(8) {
                        0 => receipt.wait().unwrap(),
                        1 => block_on(receipt).unwrap(),
                        2 => {
                            let told = receipt.wait_timeout(Duration::from_secs(60));
                            told.expect("in time, by the thread of the journal").unwrap();
                            receipt.peek().expect("and it stays known").unwrap();
                        }
                        // Dropped while it waits, as a future that loses a race is.
                        3 => block_on(futures_lite::future::or(async { drop(receipt.await) }, async {})),
                        _ => drop(receipt),
                    }
                }
                // All that went before is confirmed with it.
                let (_, end) = journal.append_one(held(&body(sender, EACH)), Urgency::Normal).unwrap();
                block_on(journal.receipt(end, Level::Synced)).unwrap();
                assert!(journal.health().synced >= end);
            });
        }
    });
    assert!(journal.poison().is_none());
    drop(journal);
    let (_journal, report, told) = open(folder.path());
    assert_eq!((report.tail, report.rewritten), (Tail::Clean, 0));
    for sender in 0..SENDERS {
        let mine = told.iter().filter(|body| body[0] == sender).cloned();
        assert!(mine.eq((0..=EACH).map(|n| body(sender, n))), "the order of sender {sender}");
    }
    assert_eq!(told.len() as u32, u32::from(SENDERS) * (EACH + 1));
    let facts =
        serde_json::json!({ "senders": SENDERS, "records": told.len(), "segments": report.segments, "seed": seed() });
    evidence("journal_on_real_files", facts);
}

#[test]
fn room_comes_back_and_files_are_used_again() {
    let folder = Folder::new();
    let (journal, ..) = open(folder.path());
    let (mut places, mut reused) = (Vec::new(), 0);
    for n in 0..600_u32 {
        let mut body = vec![n as u8; 2000];
        body[..4].copy_from_slice(&n.to_le_bytes());
        let last = journal.health().synced.segment();
        let spares = journal.health().spares;
        let (at, end) = journal.append_one(held(&body), Urgency::Normal).unwrap();
        journal.commit(end, if n % 10 == 0 { Level::Synced } else { Level::Written }).unwrap();
        reused += u32::from(at.segment() > last && journal.health().spares < spares);
        places.push(at);
        if places.len() > 20 {
            let at = places.remove(0);
            let of = [at.segment()];
            let effect = Entry { kind: 2, life: Life::Effect(&of), body: &body[..4] };
            journal.append_one(effect, Urgency::FreesRoom).unwrap();
            journal.release(at);
        }
        journal.reclaim().unwrap();
        let health = journal.health();
        assert!(health.segments <= 4 && health.spares <= SMALL.spares_max, "{health:?}");
        assert_eq!(names(folder.path(), ".segment").len() as u64, health.segments);
        assert_eq!(names(folder.path(), ".spare").len(), health.spares);
    }
    assert!(reused > 5, "only {reused} files were written over");
    drop(journal);
    assert!(names(folder.path(), ".spare").is_empty(), "nobody needs them while nobody writes");
    let (_journal, report, told) = open(folder.path());
    let last =
        told.iter().filter(|body| body.len() == 2000).map(|body| u32::from_le_bytes(body[..4].try_into().unwrap()));
    let last: Vec<_> = last.collect();
    assert!(last.ends_with(&(580..600).collect::<Vec<_>>()) && report.damage.is_empty());
}

#[test]
fn one_has_it_at_a_time() {
    let folder = Folder::new();
    let (journal, ..) = open(folder.path());
    let before = contents(folder.path());
    assert!(matches!(refused(folder.path()), OpenError::Locked));
    assert_eq!(contents(folder.path()), before);
    let clone = journal.clone();
    drop(journal);
    assert!(matches!(refused(folder.path()), OpenError::Locked), "a handle is left");
    clone.close().unwrap();
    assert!(matches!(clone.append_one(held(b"late"), Urgency::Normal), Err(AppendError::Closed)));
    open(folder.path());
}

#[test]
fn the_files_of_others_are_left_alone() {
    let folder = Folder::new();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    assert!(matches!(refused(folder.path()), OpenError::Foreign { file } if file == "notes.txt"));
    assert_eq!(names(folder.path(), ""), ["notes.txt"]);
    assert!(!folder.join("lock").exists());

    let (ours, theirs) = (folder.join("ours"), folder.join("theirs"));
    for path in [&ours, &theirs] {
        let storage = Arc::new(FileStorage::create(path).unwrap());
        // Each draws its name from another seed.
        let seed = seed() + u64::from(path == &ours);
        drop(Journal::open(storage, SMALL, seed, |_| {}).unwrap().0);
    }
    let stranger = "0000000001.segment";
    fs::copy(theirs.join(stranger), ours.join("0000000002.segment")).unwrap();
    let before = contents(&ours);
    assert!(matches!(refused(&ours), OpenError::OfAnother { file } if file == "0000000002.segment"));
    fs::copy(ours.join(stranger), ours.join("0000000002.segment")).unwrap();
    assert!(matches!(refused(&ours), OpenError::Renamed { is: 1, .. }));
    fs::remove_file(ours.join("0000000002.segment")).unwrap();
    fs::remove_file(ours.join(stranger)).unwrap();
    assert!(matches!(refused(&ours), OpenError::Missing { .. }));
    fs::write(ours.join(stranger), &before[stranger]).unwrap();
    fs::remove_file(ours.join("store")).unwrap();
    assert!(matches!(refused(&ours), OpenError::Missing { file } if file == "store"));
    fs::write(ours.join("store"), [0; 4096]).unwrap();
    assert!(matches!(refused(&ours), OpenError::Damaged { file, .. } if file == "store"));
    fs::write(ours.join("store"), &before["store"]).unwrap();
    open(&ours);
}

/// A journal with one record, which is made unfit by `spoil` and must be refused with an error that says so.
#[cfg(unix)]
fn spoilt(spoil: impl Fn(&Path)) -> OpenError {
    let folder = Folder::new();
    let (journal, ..) = open(folder.path());
    send(&journal, b"safe", Level::Synced);
    drop(journal);
    spoil(folder.path());
    let before = contents(folder.path());
    let error = refused(folder.path());
    assert_eq!(contents(folder.path()), before, "{error}");
    error
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_opened() {
    use std::os::unix::fs::symlink;
    let away = Folder::new();
    for name in ["0000000001.segment", "store", "closed"] {
        let instead = away.join(name);
        let linked = spoilt(|path| {
            fs::rename(path.join(name), &instead).unwrap();
            symlink(&instead, path.join(name)).unwrap();
        });
        assert!(matches!(&linked, OpenError::Storage { doing: Doing::Reading(file), .. } if file == name), "{linked}");
        let folder = spoilt(|path| {
            fs::remove_file(path.join(name)).unwrap();
            fs::create_dir(path.join(name)).unwrap();
        });
        assert!(matches!(&folder, OpenError::Storage { doing: Doing::Reading(file), .. } if file == name), "{folder}");
    }
    let lock = spoilt(|path| {
        fs::remove_file(path.join("lock")).unwrap();
        fs::create_dir(path.join("lock")).unwrap();
    });
    assert!(matches!(lock, OpenError::Storage { doing: Doing::Locking, .. }), "{lock}");
    let dangling = spoilt(|path| {
        fs::remove_file(path.join("lock")).unwrap();
        symlink(path.join("nowhere"), path.join("lock")).unwrap();
    });
    assert!(matches!(dangling, OpenError::Storage { doing: Doing::Locking, .. }), "{dangling}");
}

#[cfg(unix)]
#[test]
fn without_permission_it_is_not_opened() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let probe = Folder::new();
    mode(probe.path(), 0o500);
    if fs::write(probe.join("probe"), "").is_ok() {
        println!("SKIPPED: this user may do anything");
        return;
    }
    for name in ["0000000001.segment", "store"] {
        let error = spoilt_mode(&|path| mode(&path.join(name), 0o000));
        assert!(matches!(&error, OpenError::Storage { doing: Doing::Reading(file), error } if file == name
            && error.kind() == ErrorKind::PermissionDenied));
    }
    let error = spoilt_mode(&|path| mode(path, 0o500));
    assert!(
        matches!(&error, OpenError::Storage { error, .. } if error.kind() == ErrorKind::PermissionDenied),
        "{error}"
    );
}

#[cfg(unix)]
fn spoilt_mode(spoil: &dyn Fn(&Path)) -> OpenError {
    let folder = Folder::new();
    let path = folder.join("journal");
    let (journal, ..) = open(&path);
    send(&journal, b"safe", Level::Synced);
    drop(journal);
    spoil(&path);
    let error = refused(&path);
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    for file in fs::read_dir(&path).unwrap() {
        fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(open(&path).2, [b"safe".to_vec()], "nothing was changed");
    error
}

/// A file that lost its second half: that is told, and nothing is made up.
#[test]
fn what_others_do_to_the_files_is_noticed() {
    let folder = Folder::new();
    let (journal, ..) = open(folder.path());
    for n in 0..10_u8 {
        send(&journal, &[n; 1000], Level::Synced);
    }
    drop(journal);
    let file = folder.join("0000000001.segment");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let (journal, report, told) = open(folder.path());
    assert!(!report.damage.is_empty() && (3..8).contains(&told.len()), "{report:?}");
    assert!(told.iter().zip(0..).all(|(body, n)| *body == [n; 1000]));
    drop(journal);
    assert_eq!(open(folder.path()).2, told);
}
