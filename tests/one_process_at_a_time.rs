//! A journal is one process's at a time: whoever else comes is told so, whoever is killed leaves it to the next, and a forked
//! child does not take what it inherits for its own.
#![cfg(all(feature = "store", unix, not(any(loom, shuttle))))]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it starts processes, and looks at real time")]

mod support;

use redeliver::internals::{AppendError, Entry, Journal, Level, Life, OpenError, Settings, Urgency};
use redeliver::storage::FileStorage;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use support::child::{self, Process, say};
use support::folder::Folder;
use support::{evidence, seed};

const SMALL: Settings = {
    let mut settings = Settings::DEFAULT;
    settings.segment_bytes = 64 << 10;
    settings
};

fn open(path: &Path) -> Result<(Journal, Vec<Vec<u8>>), OpenError> {
    let mut bodies = Vec::new();
    let storage = Arc::new(FileStorage::create(path).unwrap());
    let opened =
        Journal::open(storage, SMALL, seed(), |group| bodies.extend(group.iter().map(|record| record.body.to_vec())));
    opened.map(|(journal, _)| (journal, bodies))
}

fn held(body: &[u8]) -> Entry<'_> {
    Entry { kind: 1, life: Life::Held, body }
}

/// Takes the journal a few times, each time it can get it, and looks whether it is alone.
#[test]
fn child_that_races() {
    let Some(orders) = child::orders() else { return };
    let [folder, times] = &orders[..] else { panic!("{orders:?}") };
    let (folder, me) = (Path::new(folder), std::process::id().to_string());
    let mut refused = 0;
    for time in 0..times.parse().unwrap() {
        let journal = loop {
            match open(&folder.join("journal")) {
                Ok((journal, _)) => break journal,
                Err(OpenError::Locked) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        fs::write(folder.join("token"), &me).unwrap();
        let name = format!("{me} {time}");
        let (_, end) = journal.append_one(held(name.as_bytes()), Urgency::Normal).unwrap();
        journal.commit(end, Level::Written).unwrap();
        say(format_args!("has it: {name}"));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(fs::read_to_string(folder.join("token")).unwrap(), me, "somebody else has it as well");
        if time % 2 == 0 {
            journal.close().unwrap();
        }
        drop(journal);
        std::thread::sleep(Duration::from_millis(1));
    }
    say(format_args!("refused: {refused}"));
}

#[test]
fn of_eight_processes_one_has_it() {
    let (folder, times) = (Folder::new(), 6);
    let orders = [folder.path().display().to_string(), times.to_string()];
    let mut racers: Vec<Process> = (0..8).map(|_| Process::start("child_that_races", &orders)).collect();
    let (mut names, mut refused) = (BTreeSet::new(), 0);
    let mut hear = |said: Vec<child::Said>| {
        for (_, line) in said {
            if let Some(name) = line.strip_prefix("has it: ") {
                assert!(names.insert(name.as_bytes().to_vec()), "{line} twice");
            }
            refused += line.strip_prefix("refused: ").map_or(0, |count| count.parse::<u64>().unwrap());
        }
    };
    // Three are killed while they have it.
    for _ in 0..3 {
        let mut holder = racers.pop().unwrap();
        assert!(holder.until("has it"));
        hear(holder.kill());
    }
    for racer in racers {
        let (status, said) = racer.end();
        assert!(status.success(), "{said:?}");
        hear(said);
    }
    assert!(names.len() >= 5 * times + 3 && refused > 0);
    let (journal, told) = open(&folder.join("journal")).unwrap();
    assert_eq!(told.len(), told.iter().collect::<BTreeSet<_>>().len());
    let told: BTreeSet<_> = told.into_iter().collect();
    assert!(names.is_subset(&told), "what was written by {:?} is gone", names.difference(&told));
    drop(journal);
    let facts = serde_json::json!({ "processes": 8, "killed": 3, "holders": names.len(), "refused": refused, "two_at_once": 0 });
    evidence("one_at_a_time", facts);
}

/// Runs this in a forked child, which then ends without dropping anything. It says what it saw in a file.
fn in_a_fork(run: impl Fn() -> String + Send + Sync + 'static) -> String {
    let folder = Folder::new();
    let answer = folder.join("answer");
    let mut command = Command::new("true");
    // SAFETY: the child has one thread and a copy of all memory. Of what other threads of the parent may have been in, it
    // needs the allocator, which is made fit for that by the system, and the files of a folder of its own.
    unsafe {
        command.pre_exec(move || {
            fs::write(&answer, run())?;
            Err(std::io::ErrorKind::Interrupted.into())
        });
    }
    assert!(command.status().is_err(), "the child goes no further");
    fs::read_to_string(folder.join("answer")).unwrap()
}

#[test]
fn a_forked_child_has_no_part_in_it() {
    let folder = Folder::new();
    let path = folder.join("journal");
    let (journal, _) = open(&path).unwrap();
    journal.serve().unwrap();
    let (_, end) = journal.append_one(held(b"before"), Urgency::Normal).unwrap();
    journal.commit(end, Level::Synced).unwrap();

    let (inherited, directory) = (journal.clone(), path.clone());
    let answer = in_a_fork(move || {
        let refused = inherited.append_one(held(b"of the child"), Urgency::Normal);
        let closed = inherited.close();
        let opened = open(&directory).err();
        format!(
            "{} {} {}",
            matches!(refused, Err(AppendError::Forked)),
            closed.is_ok(),
            matches!(opened, Some(OpenError::Locked))
        )
    });
    assert_eq!(answer, "true true true");

    assert!(matches!(open(&path), Err(OpenError::Locked)), "the child's end took nothing away");
    let (_, end) = journal.append_one(held(b"behind"), Urgency::Normal).unwrap();
    journal.commit(end, Level::Synced).unwrap();
    drop(journal);
    assert_eq!(open(&path).unwrap().1, [b"before".to_vec(), b"behind".to_vec()]);
}

/// The thread that serves is the parent's: a child that drops what it inherits does not wait for it.
#[test]
fn a_forked_child_drops_it_without_waiting() {
    use std::sync::Mutex;
    let folder = Folder::new();
    let (journal, _) = open(&folder.join("journal")).unwrap();
    journal.serve().unwrap();
    let (_, end) = journal.append_one(held(b"before"), Urgency::Normal).unwrap();
    let all = Arc::new(Mutex::new(Some(journal)));
    let inherited = all.clone();
    let answer = in_a_fork(move || {
        drop(inherited.lock().unwrap().take());
        "dropped".into()
    });
    assert_eq!(answer, "dropped");
    let journal = all.lock().unwrap().take().unwrap();
    journal.commit(end, Level::Synced).unwrap();
    drop(journal);
    assert_eq!(open(&folder.join("journal")).unwrap().1, [b"before".to_vec()]);
}
