//! The journal on file systems that are made for this: one that loses power, one whose flushes fail, and full ones.
//!
//! `scripts/kernel.sh` makes them, and takes them away again; it has to be root for that. Without it these tests are skipped.
#![cfg(all(feature = "store", target_os = "linux", not(any(loom, shuttle))))]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it mounts file systems, and looks at real time")]

mod support;

use redeliver::internals::{
    AppendError, CommitError, Entry, Journal, Level, Life, OpenError, Position, Settings, Urgency,
};
use redeliver::storage::FileStorage;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::child::{self, Process};
use support::witness::{self, SENDERS, SMALL, Witness, write_until_killed};
use support::{Rng, evidence, is_nightly, seed};

/// What the script has made for a test, if it has.
fn given(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os(name).map(PathBuf::from);
    if given.is_none() {
        println!("SKIPPED: scripts/kernel.sh makes what this test needs");
    }
    given
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A file system that is mounted as long as this lives.
struct Mounted<'d> {
    place: &'d Path,
}

impl<'d> Mounted<'d> {
    fn new(device: &Path, place: &'d Path) -> Mounted<'d> {
        run("mount", &["-t", "ext4", "-o", "noatime", &device.to_string_lossy(), &place.to_string_lossy()]);
        Mounted { place }
    }

    fn unmount(self) {}
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let place = self.place.to_string_lossy();
        // Who had it open is gone, and the system may still be clearing up behind it.
        let quietly = || Command::new("umount").arg(&*place).stderr(Stdio::null()).status().unwrap().success();
        if !(0..100).any(|_| {
            quietly() || {
                std::thread::sleep(Duration::from_millis(20));
                false
            }
        }) {
            run("umount", &[&place]);
        }
    }
}

// ---- power ----

/// `FS_IOC_SHUTDOWN` with `NOLOGFLUSH`: from now on nothing reaches the device, and what is in memory is gone. When it is told to.
const CUT: &str = r#"sysopen(my $root, $ARGV[0], 0) or die $!; my $how = pack("L", 2); $| = 1; print "ready\n"; <STDIN>;
    ioctl($root, 0x8004587d, $how) or die "ioctl: $!""#;

/// Cuts the power after this time. Says when: what is confirmed from then on is nothing, for the kernel lets flushes that are
/// under way succeed although it drops what they flush.
fn cut_power(place: &Path, after: Duration) -> Instant {
    let mut cutter = Command::new("perl");
    let cutter = cutter.args(["-e", CUT]).arg(place).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut cutter = cutter.spawn().unwrap();
    let mut ready = [0; 6];
    cutter.stdout.take().unwrap().read_exact(&mut ready).unwrap();
    std::thread::sleep(after);
    let now = Instant::now();
    cutter.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(cutter.wait().unwrap().success());
    now
}

#[test]
fn child_that_writes() {
    let Some(orders) = child::orders() else { return };
    let [path, round, seed, senders, recycles] = &orders[..] else { panic!("{orders:?}") };
    let settings = Settings { recycle: recycles == "true", ..SMALL };
    let number = |text: &String| text.parse::<u64>().unwrap();
    write_until_killed(Path::new(path), settings, number(round) as u32, number(seed), number(senders) as u8);
}

#[test]
fn what_was_synced_survives_a_loss_of_power() {
    let (Some(device), Some(place)) = (given("REDELIVER_DEVICE"), given("REDELIVER_PLACE")) else { return };
    let rounds = if is_nightly() { 200 } else { 24 };
    let mut rng = Rng(seed());
    println!("SEED={}", seed());
    let path = place.join("journal");
    let (mut witness, mut opening, mut cuts_that_lost) = (Witness::default(), 0, 0);
    let (mut messages, mut written, mut written_before) = (0, 0, Duration::ZERO);
    for round in 0..rounds {
        let mounted = Mounted::new(&device, &place);
        let orders = [
            path.display().to_string(),
            round.to_string(),
            rng.draw().to_string(),
            (1 + rng.below(SENDERS.into())).to_string(),
            (rng.below(2) == 0).to_string(),
        ];
        let mut child = Process::start("child_that_writes", &orders);
        let (word, us_max) = if round % 4 == 3 { ("opening", 3_000) } else { ("opened", 250_000) };
        assert!(child.until(word), "round {round}: the child ended by itself");
        let end = cut_power(&place, Duration::from_micros(rng.below(us_max)));
        let mut said = child.kill();
        opening += u64::from(!said.iter().any(|(_, line)| line == "opened"));
        let is_intent = |line: &str| line.starts_with("begin") || line.starts_with("settle ");
        said.retain(|(when, line)| *when < end || is_intent(line));
        witness.hear(&said);
        mounted.unmount();

        let mounted = Mounted::new(&device, &place);
        let (journal, report, told) = witness::open(&path, SMALL, rng.draw());
        assert!(report.damage.is_empty(), "round {round}: {report:?}");
        let lost = witness.check(&told, Level::Synced, end);
        cuts_that_lost += u64::from(lost.messages > 0);
        (messages, written) = (messages + lost.messages, written + lost.written);
        written_before = written_before.max(lost.written_before);
        if round % 3 == 0 {
            journal.close().unwrap();
        } else {
            // The power goes again: what comes next finds what this opening has left, without a goodbye.
            cut_power(&place, Duration::ZERO);
        }
        drop(journal);
        mounted.unmount();
        witness.next_round();
    }
    assert!(cuts_that_lost > 0, "the file system has kept all: that was no loss of power");
    // The promise is 100 ms, and how long the machine takes for the flush comes on top.
    assert!(written_before < Duration::from_secs(2), "what was written {written_before:?} before the end is gone");
    evidence(
        "power_cut",
        serde_json::json!({
            "seed": seed(), "cuts": rounds, "cuts_while_opening": opening, "cuts_that_lost_something": cuts_that_lost,
            "confirmed": witness.confirmed, "settled": witness.settled, "synced_and_lost": 0, "invented": 0,
            "unconfirmed_and_lost": messages, "written_and_lost": written,
            "oldest_written_and_lost_ms": written_before.as_millis() as u64,
        }),
    );
}

// ---- flushes that fail ----

/// So large that the first one is never full: what fails is a flush of records, and not the making of a segment.
const LARGE: Settings = Settings { segment_bytes: 8 << 20, ..SMALL };

fn try_open(path: &Path, settings: Settings) -> Result<(Journal, Vec<Vec<u8>>), OpenError> {
    let mut bodies = Vec::new();
    let storage = Arc::new(FileStorage::create(path).unwrap());
    let (journal, _) = Journal::open(storage, settings, seed(), |group| {
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

#[test]
fn a_flush_that_fails_confirms_nothing() {
    let (Some(device), Some(place)) = (given("REDELIVER_FAILING_DEVICE"), given("REDELIVER_FAILING_PLACE")) else {
        return;
    };
    let balloon = given("REDELIVER_BALLOON").unwrap();
    let mounted = Mounted::new(&device, &place);
    let path = place.join("journal");
    let (journal, _) = try_open(&path, LARGE).unwrap();
    journal.serve().unwrap();
    let mut confirmed = 0;
    let (failed, end) = loop {
        let (_, end) = match put(&journal, confirmed) {
            Ok(at) => at,
            Err(AppendError::Poisoned(poison)) => break (CommitError::Unknown(poison), None),
            Err(error) => panic!("behind {confirmed} records: {error}"),
        };
        match journal.commit(end, Level::Synced) {
            Ok(()) => confirmed += 1,
            Err(error) => break (error, Some(end)),
        }
        assert!(confirmed < 100_000, "nothing has failed");
    };
    println!("after {confirmed} records: {failed}");
    assert!(matches!(failed, CommitError::Unknown(_)) && confirmed > 0, "{failed} after {confirmed} records");
    let poison = journal.poison().expect("a journal that says so").to_string();
    if let Some(end) = end {
        let receipt = journal.receipt(end, Level::Synced);
        let told = futures_lite::future::block_on(receipt);
        assert!(matches!(told, Err(CommitError::Unknown(_))), "{told:?}: a second flush has proved nothing");
    }
    assert!(matches!(put(&journal, confirmed), Err(AppendError::Poisoned(_))));
    assert!(matches!(journal.close(), Err(CommitError::Unknown(_))));
    drop(journal);
    mounted.unmount();

    // There is room again.
    fs::remove_file(balloon).unwrap();
    let _mounted = Mounted::new(&device, &place);
    let (journal, told) = try_open(&path, LARGE).unwrap();
    assert!(told.len() as u32 >= confirmed, "{} of {confirmed} records", told.len());
    assert!(told.iter().zip(0..).all(|(told, n)| *told == body(n)));
    let (_, end) = put(&journal, told.len() as u32).unwrap();
    journal.commit(end, Level::Synced).unwrap();
    evidence(
        "failed_flush",
        serde_json::json!({ "confirmed": confirmed, "found": told.len(), "confirmed_and_lost": 0, "poison": poison }),
    );
}

// ---- full disks ----

/// Puts records until there is no room; says what they are and where.
fn fill(journal: &Journal, from: u32) -> Vec<(u32, Position)> {
    let mut places = Vec::new();
    for n in from.. {
        match put(journal, n) {
            Ok((at, end)) => {
                journal.commit(end, if n % 16 == 0 { Level::Synced } else { Level::Written }).unwrap();
                places.push((n, at));
            }
            Err(AppendError::Full) => break,
            Err(error) => panic!("behind {n} records: {error}"),
        }
    }
    places
}

fn settle(journal: &Journal, n: u32, at: Position) {
    let of = [at.segment()];
    let effect = Entry { kind: 2, life: Life::Effect(&of), body: &n.to_le_bytes() };
    let (_, end) = journal.append_one(effect, Urgency::FreesRoom).expect("the reserve");
    journal.commit(end, Level::Written).unwrap();
    journal.release(at);
}

/// It is not told: the journal's own thread has to find it out.
fn put_when_there_is_room(journal: &Journal, n: u32) -> Position {
    let began = Instant::now();
    loop {
        match put(journal, n) {
            Ok((at, end)) => {
                journal.commit(end, Level::Synced).unwrap();
                return at;
            }
            Err(AppendError::Full) if began.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}: {:?}", journal.health()),
        }
    }
}

/// Fills the rest of the file system.
fn inflate(balloon: &Path) {
    let mut file = fs::File::create(balloon).unwrap();
    for bytes in [65_536, 4096] {
        while file.write_all(&vec![1; bytes]).is_ok() {}
    }
    let _ = file.sync_all();
}

#[test]
fn a_full_disk_refuses_and_goes_on_by_itself() {
    let Some(places) = given("REDELIVER_FULL_PLACES") else { return };
    let mut facts = Vec::new();
    for place in places.to_string_lossy().split(':') {
        let path = Path::new(place).join("journal");
        let balloon = Path::new(place).join("balloon");
        let (journal, _) = try_open(&path, SMALL).unwrap();
        journal.serve().unwrap();

        // The journal itself has filled it: what settles goes on, and what it frees is used again.
        let filled = fill(&journal, 0);
        assert!(filled.len() > 50 && journal.poison().is_none(), "{place}: {} records", filled.len());
        let (settled, left) = filled.split_at(filled.len() / 2);
        settled.iter().for_each(|(n, at)| settle(&journal, *n, *at));
        let next = filled.len() as u32;
        put_when_there_is_room(&journal, next);
        assert!(journal.health().has_reserve, "{place}: {:?}", journal.health());

        // Somebody else has.
        inflate(&balloon);
        let more = fill(&journal, next + 1);
        let last = next + 1 + more.len() as u32;
        settle(&journal, left[0].0, left[0].1);
        fs::remove_file(&balloon).unwrap();
        put_when_there_is_room(&journal, last);

        // And it is opened on a disk that is full: in the reserve first, and then not at all, which harms nothing.
        drop(journal);
        inflate(&balloon);
        let mut openings = 0;
        let full = loop {
            match try_open(&path, SMALL) {
                Ok((journal, told)) => {
                    assert_eq!(told.last(), Some(&body(last)), "{place}");
                    // No goodbye, which needs room as well.
                    assert!(!matches!(journal.close(), Err(CommitError::Full)));
                    openings += 1;
                }
                Err(error) => break error,
            }
            assert!(openings < 20, "{place}: there is always room");
        };
        assert!(matches!(full, OpenError::Full { .. }), "{place}: {full}");
        fs::remove_file(&balloon).unwrap();
        let (journal, told) = try_open(&path, SMALL).unwrap();
        let numbers: Vec<u32> = told.iter().map(|body| u32::from_le_bytes(body[..4].try_into().unwrap())).collect();
        assert!(told.iter().zip(&numbers).all(|(told, n)| *told == body(*n)));
        let unsettled = left[1].0..=last;
        assert!(unsettled.clone().all(|n| numbers.binary_search(&n).is_ok()), "{place}: {unsettled:?} of {numbers:?}");
        assert!(numbers.is_sorted() && numbers.last() == Some(&last));
        let (_, end) = put(&journal, last + 1).unwrap();
        journal.commit(end, Level::Synced).unwrap();
        let kind = Path::new(place).file_name().unwrap().to_string_lossy().into_owned();
        facts.push(serde_json::json!({
            "disk": kind, "records": filled.len(), "refused": 2, "openings_when_full": openings, "lost": 0,
        }));
    }
    evidence("full_disk", serde_json::json!(facts));
}
