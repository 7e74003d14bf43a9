//! A process that may open no more files: the journal says so, loses nothing, and goes on when it may again. However long a
//! journal is, a few descriptors are enough to open it.
#![cfg(all(feature = "store", unix, not(any(loom, shuttle))))]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it opens files itself")]

mod support;

use redeliver::internals::{AppendError, Entry, Journal, Level, Life, OpenError, Position, Settings, Urgency};
use redeliver::storage::FileStorage;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use support::child::{self, Process};
use support::folder::Folder;

const SMALL: Settings = {
    let mut settings = Settings::DEFAULT;
    settings.segment_bytes = 64 << 10;
    settings
};

fn open(path: &Path) -> Result<(Journal, Vec<Vec<u8>>), OpenError> {
    let mut bodies = Vec::new();
    let storage = Arc::new(FileStorage::create(path).unwrap());
    let (journal, _) = Journal::open(storage, SMALL, 7, |group| {
        let messages = group.iter().filter(|record| record.kind == 1);
        bodies.extend(messages.map(|record| record.body.to_vec()));
    })?;
    Ok((journal, bodies))
}

fn body(n: u32) -> Vec<u8> {
    let mut body = vec![n as u8; 4000];
    body[..4].copy_from_slice(&n.to_le_bytes());
    body
}

fn put(journal: &Journal, n: u32) -> Result<(Position, Position), AppendError> {
    journal.append_one(Entry { kind: 1, life: Life::Held, body: &body(n) }, Urgency::Normal)
}

/// All that the limit leaves.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn child_with_few_descriptors() {
    let Some(orders) = child::orders() else { return };
    let path = Path::new(&orders[0]);
    let (journal, told) = open(path).expect("a long journal opens with few descriptors");
    assert!(told.len() > 1000 && told.iter().zip(0..).all(|(told, n)| *told == body(n)));
    let all = take_all();
    assert!(!all.is_empty(), "without a limit this shows nothing");
    let mut next = told.len() as u32;
    let refused = loop {
        match put(&journal, next) {
            Ok((_, end)) => journal.commit(end, Level::Synced).expect("an open file needs no descriptor"),
            Err(error) => break error,
        }
        next += 1;
    };
    assert!(matches!(refused, AppendError::Storage(_)), "{refused}");
    assert!(journal.poison().is_none());
    drop(all);
    let (_, end) = put(&journal, next).expect("it goes on by itself");
    journal.commit(end, Level::Synced).unwrap();
    drop(journal);

    let storage = Arc::new(FileStorage::open(path).unwrap());
    let mut all = take_all();
    // The lock, a listing and a segment need one each: with fewer it does not open, and nothing is harmed.
    for _ in 0..3 {
        let refused = Journal::open(storage.clone(), SMALL, 7, |_| {}).err().expect("no descriptor");
        assert!(matches!(refused, OpenError::Storage { .. }), "{refused}");
        all.pop();
    }
    drop(all);
    let (_, told) = open(path).unwrap();
    assert_eq!(told.len() as u32, next + 1);
}

#[test]
fn few_descriptors_are_enough() {
    let folder = Folder::new();
    let path = folder.join("journal");
    let (journal, _) = open(&path).unwrap();
    for n in 0..1200 {
        put(&journal, n).unwrap();
    }
    drop(journal);
    let orders = [path.display().to_string()];
    let (status, _) = Process::start_after("ulimit -n 40", "child_with_few_descriptors", &orders).end();
    assert!(status.success());
}
