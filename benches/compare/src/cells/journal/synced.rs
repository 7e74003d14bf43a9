//! Confirmed when the disk has it, against the directory's own flushes: one sender, many receipts, many senders, groups.

use super::raw::Raw;
use super::{Place, Scale, Subject, pairs_of};
use crate::cells::Bench;
use crate::report::{Bar, Row, Sense};
use crate::rounds::interleave;
use redeliver::internals::{Level, Urgency};
use std::collections::VecDeque;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const IN_FLIGHT: usize = 64;
const SENDERS: usize = 16;
const GROUP: usize = 100;

struct Case {
    what: &'static str,
    bytes: usize,
    bar: Option<f64>,
    /// What one flush covers when it covers all that it can.
    a_flush: usize,
    /// How many of those, and how long they took.
    ours: fn(&Subject, usize) -> Duration,
}

const CASES: [Case; 5] = [
    Case { what: "one sender · 1 KiB", bytes: 1024, bar: Some(0.75), a_flush: 1, ours: one_by_one },
    Case { what: "64 receipts, waited for · 1 KiB", bytes: 1024, bar: Some(0.7), a_flush: IN_FLIGHT, ours: waited },
    Case { what: "64 receipts, looked at · 1 KiB", bytes: 1024, bar: None, a_flush: IN_FLIGHT, ours: looked_at },
    Case { what: "16 senders · 100 B", bytes: 100, bar: None, a_flush: SENDERS, ours: senders },
    Case { what: "groups of 100 · 100 B", bytes: 100, bar: None, a_flush: GROUP, ours: groups },
];

pub fn cells(bench: &mut Bench, place: &Place, scale: Scale) {
    for (nth, case) in CASES.iter().enumerate() {
        let messages = scale.flushes * case.a_flush;
        let mut pairs = pairs_of(place, scale, case.bytes, case.a_flush, &format!("{nth}"));
        let rounds = interleave(4, &bench.plan(), None, |i| {
            let (subject, raw) = &mut pairs[i / 2];
            let took = if i % 2 == 0 { (case.ours)(subject, messages) } else { flushes(raw, case, scale.flushes) };
            took.as_nanos() as f64 / messages as f64
        });
        let title = format!("synced · {}", case.what);
        let row = |subject: (usize, &str), peer: (usize, &str), bar: Option<f64>| Row {
            cell: format!("{title} · {}", subject.1),
            subject: subject.1.into(),
            peer: peer.1.into(),
            bar: bar.and_then(Bar::of_journal),
            sense: Sense::Higher,
            wanted: bench.args.rounds,
            pairs: rounds.iter().map(|round| (round[subject.0].value, round[peer.0].value, true)).collect(),
        };
        let rows = vec![
            row((0, "recycled"), (1, "raw write, flush"), case.bar),
            row((2, "fresh"), (3, "raw write, flush"), case.bar),
            row((2, "fresh"), (0, "recycled"), None),
        ];
        bench.report.table(&title, rows);
    }
}

/// The limit: all that is in flight in one write, and a flush; a block at least, for less cannot be flushed.
fn flushes(raw: &mut Raw, case: &Case, flushes: usize) -> Duration {
    let bytes = vec![0xa5; (case.bytes * case.a_flush).max(4096)];
    let begin = Instant::now();
    (0..flushes).for_each(|_| raw.write_flushed(&bytes));
    let took = begin.elapsed();
    raw.forget();
    took
}

fn one_by_one(subject: &Subject, messages: usize) -> Duration {
    let (journal, entry) = (&subject.journal, subject.entry());
    let begin = Instant::now();
    for _ in 0..messages {
        let (_, end) = journal.append_one(entry, Urgency::Normal).expect("room");
        journal.commit(end, Level::Synced).expect("a sound disk");
    }
    begin.elapsed()
}

/// Whoever has a receipt waits for the oldest one when there are too many.
fn waited(subject: &Subject, messages: usize) -> Duration {
    let (journal, entry) = (&subject.journal, subject.entry());
    let mut receipts = VecDeque::with_capacity(IN_FLIGHT);
    let begin = Instant::now();
    for _ in 0..messages {
        if receipts.len() == IN_FLIGHT {
            let oldest: redeliver::internals::Receipt = receipts.pop_front().expect("some");
            oldest.wait().expect("a sound disk");
        }
        let (_, end) = journal.append_one(entry, Urgency::Normal).expect("room");
        receipts.push_back(journal.receipt(end, Level::Synced));
    }
    receipts.into_iter().for_each(|receipt| receipt.wait().expect("a sound disk"));
    begin.elapsed()
}

/// As [`waited`], but the journal's thread does all the work.
fn looked_at(subject: &Subject, messages: usize) -> Duration {
    const LONG: Duration = Duration::from_secs(60);
    let (journal, entry) = (&subject.journal, subject.entry());
    let done = |receipt: redeliver::internals::Receipt| {
        receipt.wait_timeout(LONG).expect("in time").expect("a sound disk");
    };
    let mut receipts = VecDeque::with_capacity(IN_FLIGHT);
    let begin = Instant::now();
    for _ in 0..messages {
        if receipts.len() == IN_FLIGHT {
            receipts.pop_front().into_iter().for_each(done);
        }
        let (_, end) = journal.append_one(entry, Urgency::Normal).expect("room");
        receipts.push_back(journal.receipt(end, Level::Synced));
    }
    receipts.into_iter().for_each(done);
    begin.elapsed()
}

fn senders(subject: &Subject, messages: usize) -> Duration {
    let start = Barrier::new(SENDERS + 1);
    thread::scope(|scope| {
        let send = || {
            start.wait();
            one_by_one(subject, messages / SENDERS);
        };
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        start.wait();
        let begin = Instant::now();
        senders.into_iter().for_each(|sender| sender.join().expect("nobody panics"));
        begin.elapsed()
    })
}

fn groups(subject: &Subject, messages: usize) -> Duration {
    let (journal, entries) = (&subject.journal, [subject.entry(); GROUP]);
    let begin = Instant::now();
    for _ in 0..messages / GROUP {
        let appended = journal.append(&entries, Urgency::Normal).expect("room");
        journal.commit(appended.end, Level::Synced).expect("a sound disk");
    }
    begin.elapsed()
}
