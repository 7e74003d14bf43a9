//! From the moment a message should have been sent to the moment its consumer has it, at a fixed rate.
//!
//! Open loop: the producer does not slow down when the queue does. A message that goes out late because an earlier one was
//! held up counts from when it was due (else the worst moments would be measured least). The message is its due time.

use super::Bench;
use crate::contenders::{Contender, Receives, Sends};
use crate::pool::{Job, Pool, Role};
use crate::report::{Bar, Pair, Row, Sense};
use crate::rounds::{Pass, interleave};
use std::hint::spin_loop;
use std::time::{Duration, Instant};

const CAPACITY: usize = 1_024;
/// Of the messages go by unmeasured.
const WARM: f64 = 0.1;
/// Messages a second, and how that is called.
const RATES: [(u64, &str); 3] = [(200_000, "0.2 M/s"), (1_000_000, "1 M/s"), (5_000_000, "5 M/s")];

/// How fast, and for how long.
pub struct Pace {
    pub period_ns: u64,
    pub length: Duration,
}

/// Nanoseconds.
#[derive(Clone, Copy)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

pub fn cells(bench: &mut Bench) {
    let entries = bench.subject_and_crossbeam();
    for (rate, name) in RATES {
        let pace = Pace { period_ns: 1_000_000_000 / rate, length: bench.args.latency_pass };
        for entry in &entries {
            (entry.latency)(bench.pool, &pace);
        }
        let rounds =
            interleave(entries.len(), &bench.plan(), Some(bench.probe), |i| (entries[i].latency)(bench.pool, &pace));
        let title = format!("latency 1p1c · u64 · {name}");
        let mut rows = Vec::new();
        for peer in 1..entries.len() {
            rows.extend(percentile_rows(&rounds, peer).map(|(what, pairs)| Row {
                cell: format!("{title} · {what}"),
                subject: entries[0].name.into(),
                peer: format!("{} {what}", entries[peer].name),
                bar: Bar::of_latency(entries[0].name, rate, what),
                sense: Sense::Lower,
                wanted: bench.args.rounds,
                pairs,
            }));
        }
        bench.report.table(&title, rows);
    }
}

fn percentile_rows(rounds: &[Vec<Pass<Percentiles>>], peer: usize) -> [(&'static str, Vec<Pair>); 4] {
    [
        ("p50", Row::pairs(rounds, peer, |p| p.p50)),
        ("p99", Row::pairs(rounds, peer, |p| p.p99)),
        ("p99.9", Row::pairs(rounds, peer, |p| p.p999)),
        ("max", Row::pairs(rounds, peer, |p| p.max)),
    ]
}

/// One pass of one producer and one consumer.
pub fn run<C: Contender>(pool: &Pool, pace: &Pace) -> Percentiles {
    let (tx, rx) = C::open::<u64>(CAPACITY);
    let (epoch, period) = (Instant::now(), pace.period_ns);
    let count = (pace.length.as_nanos() as u64 / period).max(1_000);
    let produce: Job<Vec<u64>> = Box::new(move || {
        let first = nanos(epoch) + 100_000;
        for due in (0..count).map(|n| first + n * period) {
            while nanos(epoch) < due {
                spin_loop();
            }
            tx.send(due);
        }
        Vec::new()
    });
    let consume: Job<Vec<u64>> = Box::new(move || {
        let mut late: Vec<u64> = vec![0; count as usize];
        for slot in &mut late {
            *slot = rx.take(|due| nanos(epoch).saturating_sub(*due));
        }
        late
    });
    let mut late = pool.run(C::NAME, vec![(Role::Producer(0), produce), (Role::Consumer(0), consume)]).remove(1);
    late.drain(..(count as f64 * WARM) as usize);
    late.sort_unstable();
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize] as f64;
    Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
}

#[inline(always)]
fn nanos(epoch: Instant) -> u64 {
    epoch.elapsed().as_nanos() as u64
}
