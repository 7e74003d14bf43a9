//! Confirmed when the file system has it: one thread, against a raw write of the same bytes for every commit.

use super::raw::Raw;
use super::{Place, Scale, Subject, pairs_of};
use crate::cells::Bench;
use crate::report::{Bar, Row, Sense};
use crate::rounds::interleave;
use redeliver::internals::{Level, Urgency};
use std::time::Instant;

/// Bytes, records in a group, how it is called, and the bar.
const CASES: [(usize, usize, &str, Option<f64>); 4] = [
    (1024, 1, "1 KiB", Some(0.7)),
    (1024, 64, "1 KiB in groups of 64", None),
    (100, 1, "100 B", Some(0.6)),
    (100, 64, "100 B in groups of 64", None),
];
/// Of small records fewer bytes make a pass.
const MESSAGES_MAX: usize = 100_000;

pub fn cells(bench: &mut Bench, place: &Place, scale: Scale) {
    for (nth, (bytes, group, what, limit)) in CASES.into_iter().enumerate() {
        let messages = (scale.pass_bytes / bytes).min(MESSAGES_MAX).next_multiple_of(group);
        let mut pairs = pairs_of(place, scale, bytes, group, &format!("{nth}"));
        let rounds = interleave(4, &bench.plan(), None, |i| {
            let (subject, raw) = &mut pairs[i / 2];
            if i % 2 == 0 { ours(subject, messages, group) } else { limit_of(raw, bytes, messages, group) }
        });
        let title = format!("written · {what}");
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
            row((0, "recycled"), (1, "raw write"), limit),
            row((2, "fresh"), (3, "raw write"), limit),
            row((2, "fresh"), (0, "recycled"), None),
        ];
        bench.report.table(&title, rows);
    }
}

/// Nanoseconds per message.
fn ours(subject: &mut Subject, messages: usize, group: usize) -> f64 {
    let mut positions = std::mem::take(&mut subject.positions);
    positions.reserve(messages);
    let (journal, entry) = (&subject.journal, subject.entry());
    let begin = Instant::now();
    if group == 1 {
        for _ in 0..messages {
            let (at, end) = journal.append_one(entry, Urgency::Normal).expect("room");
            journal.commit(end, Level::Written).expect("a sound disk");
            positions.push(at);
        }
    } else {
        let entries = vec![entry; group];
        for _ in 0..messages / group {
            let appended = journal.append(&entries, Urgency::Normal).expect("room");
            journal.commit(appended.end, Level::Written).expect("a sound disk");
            positions.extend(appended.positions);
        }
    }
    let took = begin.elapsed();
    subject.positions = positions;
    subject.forget();
    took.as_nanos() as f64 / messages as f64
}

fn limit_of(raw: &mut Raw, bytes: usize, messages: usize, group: usize) -> f64 {
    let bytes = vec![0xa5; bytes * group];
    let took = raw.timed(|raw| (0..messages / group).for_each(|_| raw.write(&bytes)));
    raw.forget();
    took.as_nanos() as f64 / messages as f64
}
