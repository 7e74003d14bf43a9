//! What a message that nobody settles costs the others: throughput with some held, against the same without.
//!
//! The held ones are taken before the measured pass and stay in flight over all of it, so every lap meets them. Only who
//! tracks can hold; in a channel there is nothing to hold.

use super::Bench;
use super::throughput::{Hold, Shape, Work};
use crate::contenders::Entry;
use crate::report::{self, Bar, Row, Sense};
use crate::rounds::interleave;

/// Capacity, what is held, and how it is called.
const CASES: [(usize, Hold, &str); 4] = [
    (1_024, Hold { count: 1, stride: 1 }, "1 held"),
    (65_536, Hold { count: 1, stride: 1 }, "1 held"),
    (65_536, Hold { count: 1_000, stride: 1 }, "1,000 held in a row"),
    (65_536, Hold { count: 1_000, stride: 65 }, "1,000 held, every 65th"),
];

pub fn cells(bench: &mut Bench) {
    let tracking: Vec<Entry> = bench.entries.iter().filter(|entry| entry.tracks).copied().collect();
    for entry in tracking {
        for shape in &Shape::ALL[..2] {
            for kind in bench.args.payloads.clone() {
                for (capacity, hold, what) in CASES {
                    let free = Work::new(*shape, capacity).calibrated(bench, &entry, kind);
                    let held = Work { hold: Some(hold), ..free.clone() };
                    let probe = (*shape != Shape::OneThread).then_some(bench.probe);
                    let rounds = interleave(2, &bench.plan(), probe, |i| {
                        (entry.throughput)(kind, bench.pool, if i == 0 { &held } else { &free })
                    });
                    let capacity = report::thousands(capacity);
                    let title = format!("held {} · {} · capacity {capacity} · {what}", shape.name(), kind.name());
                    let row = Row {
                        cell: title.clone(),
                        subject: format!("{} (held)", entry.name),
                        peer: format!("{} (none)", entry.name),
                        bar: Bar::of_held(entry.name),
                        sense: Sense::Higher,
                        wanted: bench.args.rounds,
                        pairs: Row::pairs(&rounds, 1, |ns| *ns),
                    };
                    bench.report.table(&title, vec![row]);
                }
            }
        }
    }
}
