//! Every call to the disk fails, one after the other, once and for good, in every way: the journal says so and panics nowhere,
//! and what it has confirmed by then is there when the disk works again, also after a loss of power.
#![cfg(all(feature = "store", not(any(loom, shuttle))))]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it begins its time somewhere")]

mod support;

use redeliver::internals::{
    AppendError, CommitError, Entry, Journal, Level, Life, OpenError, Position, Settings, Urgency,
};
use redeliver::storage::{Fault, Loss, SimulatedDisk};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{evidence, is_nightly};

const SMALL: Settings = {
    let mut settings = Settings::DEFAULT;
    settings.segment_bytes = 64 << 10;
    settings
};

#[derive(Default)]
struct Story {
    sent: BTreeSet<u32>,
    confirmed: BTreeSet<u32>,
    settled: BTreeSet<u32>,
}

fn body(n: u32) -> Vec<u8> {
    let mut body = vec![n as u8; 2500 + n as usize % 700];
    body[..4].copy_from_slice(&n.to_le_bytes());
    body
}

fn open(disk: &SimulatedDisk) -> Result<(Journal, Vec<u32>), OpenError> {
    let mut told = Vec::new();
    let (journal, _) = Journal::open(Arc::new(disk.clone()), SMALL, 7, |group| {
        for record in group.iter().filter(|record| record.kind == 1) {
            let n = u32::from_le_bytes(record.body[..4].try_into().unwrap());
            assert_eq!(record.body, body(n));
            told.push(n);
        }
    })?;
    Ok((journal, told))
}

impl Story {
    fn send(&mut self, journal: &Journal, n: u32) -> Option<Position> {
        self.sent.insert(n);
        let sent = journal.append_one(Entry { kind: 1, life: Life::Held, body: &body(n) }, Urgency::Normal);
        let (at, end) = sent.inspect_err(|error| assert!(!matches!(error, AppendError::TooLarge { .. }))).ok()?;
        let level = [Level::Synced, Level::Written][n as usize % 2];
        match journal.receipt(end, level).wait() {
            Ok(()) if level == Level::Synced => drop(self.confirmed.insert(n)),
            Ok(()) => {}
            Err(CommitError::Unknown(poison)) => assert!(journal.poison().is_some(), "{poison}"),
            Err(CommitError::Full) => drop(self.sent.remove(&n)),
            Err(error) => panic!("{error}"),
        }
        Some(at)
    }

    /// Opened, written, taken out, given back, closed, and opened again.
    fn run(&mut self, disk: &SimulatedDisk) {
        let Ok((journal, _)) = open(disk) else { return };
        let mut now = Instant::now();
        let mut places = Vec::new();
        for n in self.sent.len() as u32..self.sent.len() as u32 + 60 {
            places.extend(self.send(&journal, n).map(|at| (n, at)));
            if places.len() > 12 {
                let (n, at) = places.remove(0);
                let of = [at.segment()];
                let effect = Entry { kind: 2, life: Life::Effect(&of), body: b"settled" };
                self.settled.insert(n);
                let _ = journal.append_one(effect, Urgency::FreesRoom);
                journal.release(at);
            }
            if n % 5 == 0 {
                now += Duration::from_millis(101);
                journal.tick(now);
            }
        }
        for _ in 0..4 {
            now += Duration::from_secs(6);
            journal.tick(now);
        }
        if let Some(number) = journal.compaction() {
            let _ = journal.read_segment(number, |_| {});
        }
        let _ = journal.reclaim();
        let _ = journal.close();
        // Behind a flush that failed the cache may show names that the disk will never have.
        let is_poisoned = journal.poison().is_some();
        drop(journal);
        if !is_poisoned {
            let _ = open(disk);
        }
    }

    fn check(&self, disk: &SimulatedDisk, what: &str) {
        let (_, told) = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(told.is_sorted_by(|a, b| a < b), "{what}: {told:?}");
        let told: BTreeSet<u32> = told.into_iter().collect();
        assert!(told.is_subset(&self.sent), "{what}: {:?} was refused", told.difference(&self.sent));
        let lost: Vec<_> = self.confirmed.difference(&told).filter(|n| !self.settled.contains(n)).collect();
        assert!(lost.is_empty(), "{what}: {lost:?} was confirmed");
    }
}

#[test]
fn every_call_fails_once_and_for_good() {
    let kinds = [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::Interrupted];
    let mut stories = 0;
    let step = if is_nightly() { 1 } else { 9 };
    for faults in 0..8 {
        for at in (faults as u64..).step_by(step) {
            let disk = SimulatedDisk::new();
            let mut story = Story::default();
            // So that there is something to be found, and a place where it was cut off.
            story.run(&disk);
            let disk = disk.kill();
            let first = disk.calls();
            let fault = match faults {
                6 => Fault::short(at, 100),
                7 => Fault::new(at, ErrorKind::Other).but_done(),
                faults if faults % 2 == 0 => Fault::new(at, kinds[faults / 2]),
                // A signal that never ends is none.
                5 => Fault::new(at, ErrorKind::PermissionDenied).for_good(),
                faults => Fault::new(at, kinds[faults / 2]).for_good(),
            };
            disk.fail(fault);
            story.run(&disk);
            let calls = disk.calls() - first;
            disk.heal();
            let what = format!("fault {faults} at call {at}");
            story.check(&disk.after_power_cut(&Loss::Everything), &what);
            story.check(&disk.after_power_cut(&Loss::Random(at)), &what);
            story.check(&disk.kill(), &what);
            stories += 1;
            if at > calls {
                break;
            }
        }
    }
    assert!(stories > 150, "{stories}");
    evidence(
        "journal_errors",
        serde_json::json!({ "stories": stories, "checks": 3 * stories, "confirmed_and_lost": 0 }),
    );
}
