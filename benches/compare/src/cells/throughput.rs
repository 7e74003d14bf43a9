//! Nanoseconds per message: on one thread, and from the moment the threads are let go to the last message consumed.
//!
//! A run opens a queue of its own (so that no contender keeps a lucky or unlucky piece of memory for the whole cell), goes
//! round it at least twice unmeasured, and then measures one pass on the same threads and handles. Every call blocks as a
//! user's would. A pass ends with one pill per consumer, sent by the producer that finishes last.

use super::Bench;
use crate::contenders::{Contender, Entry, Receives, Sends};
use crate::payload::{Kind, Payload};
use crate::pool::{Job, Pool, Role, SIDE_MAX};
use crate::report::{self, Bar, Row, Sense};
use crate::rounds::interleave;
use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Instant;

/// Messages that wait in the queue while one thread sends and receives.
const DEPTH: u64 = 8;
pub const BATCH: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    OneThread,
    Crossing { producers: usize, consumers: usize },
}

impl Shape {
    pub const ALL: [Shape; 3] = [
        Shape::OneThread,
        Shape::Crossing { producers: 1, consumers: 1 },
        Shape::Crossing { producers: 2, consumers: 2 },
    ];

    pub fn name(self) -> &'static str {
        match self {
            Shape::OneThread => "one-thread",
            Shape::Crossing { producers: 1, .. } => "1p1c",
            Shape::Crossing { .. } => "2p2c",
        }
    }

    fn takes(self, entry: &Entry) -> bool {
        entry.shares_consumers || !matches!(self, Shape::Crossing { consumers: 2.., .. })
    }
}

/// Messages kept in flight while the others pass: every `stride`-th of the first `count * stride`.
#[derive(Clone, Copy)]
pub struct Hold {
    pub count: u64,
    pub stride: u64,
}

/// What a run has to do.
#[derive(Clone)]
pub struct Work {
    pub shape: Shape,
    pub capacity: usize,
    /// Messages per call; 1: no batches.
    pub batch: usize,
    pub hold: Option<Hold>,
    /// Before the measured pass.
    pub warm: u64,
    pub messages: u64,
    /// Of all messages sent but the held.
    pub digest: u64,
}

impl Work {
    pub fn new(shape: Shape, capacity: usize) -> Work {
        let warm = (2 * capacity as u64).max(10_000).next_multiple_of(BATCH as u64);
        Work { shape, capacity, batch: 1, hold: None, warm, messages: 0, digest: 0 }
    }

    /// Sets how many messages make the measured pass last about as long as the command line asks.
    pub fn calibrated(self, bench: &Bench, entry: &Entry, kind: Kind) -> Work {
        let args = bench.args;
        let messages = args.messages.unwrap_or_else(|| {
            let trial = self.clone().sending(args.trial_messages, kind);
            let ns = (0..3).map(|_| (entry.throughput)(kind, bench.pool, &trial)).fold(f64::INFINITY, f64::min);
            (args.pass.as_nanos() as f64 / ns) as u64
        });
        self.sending(messages, kind)
    }

    /// Whole batches for every producer, and what all the messages add up to.
    fn sending(mut self, messages: u64, kind: Kind) -> Work {
        let unit = SIDE_MAX as u64 * BATCH as u64;
        self.messages = messages.max(10 * unit).next_multiple_of(unit);
        self.digest = kind.digest_of(self.sent());
        self
    }

    fn sent(&self) -> u64 {
        self.warm + self.messages + if self.shape == Shape::OneThread { DEPTH } else { 0 }
    }
}

/// The cells of one shape, over payloads and capacities.
pub fn cells(bench: &mut Bench, shape: Shape) {
    let entries: Vec<Entry> = bench.entries.iter().filter(|entry| shape.takes(entry)).copied().collect();
    each(bench, shape, &entries, 1, shape.name());
}

/// Batches against crossbeam per message, in all shapes.
pub fn batch_cells(bench: &mut Bench) {
    let entries = bench.subject_and_crossbeam();
    for shape in Shape::ALL {
        each(bench, shape, &entries, BATCH, &format!("batch {}", shape.name()));
    }
}

fn each(bench: &mut Bench, shape: Shape, entries: &[Entry], batch: usize, cell: &str) {
    for kind in bench.args.payloads.clone() {
        for capacity in bench.args.capacities.clone() {
            let work = |i: usize, entry: &Entry| {
                let mut work = Work::new(shape, capacity);
                work.batch = if i == 0 { batch } else { 1 };
                work.calibrated(bench, entry, kind)
            };
            let works: Vec<Work> = entries.iter().enumerate().map(|(i, entry)| work(i, entry)).collect();
            let probe = (shape != Shape::OneThread).then_some(bench.probe);
            let rounds = interleave(entries.len(), &bench.plan(), probe, |i| {
                (entries[i].throughput)(kind, bench.pool, &works[i])
            });
            let title = format!("{cell} · {} · capacity {}", kind.name(), report::thousands(capacity));
            let rows = (1..entries.len()).map(|peer| Row {
                cell: title.clone(),
                subject: entries[0].name.into(),
                peer: entries[peer].name.into(),
                bar: Bar::of_throughput(entries[0].name, entries[peer].name, shape, kind, batch > 1),
                sense: Sense::Higher,
                wanted: bench.args.rounds,
                pairs: Row::pairs(&rounds, peer, |ns| *ns),
            });
            bench.report.table(&title, rows.collect());
        }
    }
}

/// One measured pass; nanoseconds per message.
pub fn run<C: Contender, T: Payload>(pool: &Pool, work: &Work) -> f64 {
    let (tx, rx) = C::open::<T>(work.capacity);
    let held = hold(&tx, &rx, work.hold);
    let (ns, digest) = match work.shape {
        Shape::OneThread => {
            let work = work.clone();
            let job: Job<(f64, u64)> = Box::new(move || one_thread(&tx, &rx, &work));
            pool.run(C::NAME, vec![(Role::Producer(0), job)]).remove(0)
        }
        Shape::Crossing { producers, consumers } => crossing::<C, T>(pool, &tx, rx, producers, consumers, work),
    };
    drop(held);
    assert_eq!(digest, work.digest, "{}: what was read is not what was sent", C::NAME);
    ns / work.messages as f64
}

fn hold<T: Payload>(tx: &impl Sends<T>, rx: &impl Receives<T>, hold: Option<Hold>) -> Vec<Box<dyn Any + Send>> {
    let Some(Hold { count, stride }) = hold else {
        return Vec::new();
    };
    let one = |n| {
        tx.send(T::make(n));
        if n % stride == 0 {
            return Some(rx.hold().expect("it tracks"));
        }
        rx.take(|_| None)
    };
    (0..count * stride).filter_map(one).collect()
}

fn one_thread<T: Payload>(tx: &impl Sends<T>, rx: &impl Receives<T>, work: &Work) -> (f64, u64) {
    let mut digest = 0u64;
    let mut pass = |from: u64, to: u64| {
        let begin = Instant::now();
        if work.batch == 1 {
            for n in from..to {
                tx.send(T::make(n));
                digest = digest.wrapping_add(rx.take(T::digest));
            }
        } else {
            let batch = work.batch as u64;
            for first in (from..to).step_by(work.batch) {
                tx.send_batch((first..first + batch).map(T::make));
                let mut taken = 0;
                while taken < work.batch {
                    taken += rx.take_batch(work.batch - taken, |m| digest = digest.wrapping_add(m.digest()));
                }
            }
        }
        begin.elapsed()
    };
    (0..DEPTH).for_each(|n| tx.send(T::make(n)));
    let measured = DEPTH + work.warm;
    pass(DEPTH, measured);
    let elapsed = pass(measured, measured + work.messages);
    for _ in 0..DEPTH {
        digest = digest.wrapping_add(rx.take(T::digest));
    }
    (elapsed.as_nanos() as f64, digest)
}

/// What a thread of a crossing reports of the measured pass.
enum End {
    Sent { begin: Instant },
    Received { end: Instant, digest: u64 },
}

fn crossing<C: Contender, T: Payload>(
    pool: &Pool,
    tx: &C::Tx<T>,
    rx: C::Rx<T>,
    producers: usize,
    consumers: usize,
    work: &Work,
) -> (f64, u64) {
    let start = Arc::new(Barrier::new(producers + consumers));
    let finished = Arc::new(AtomicUsize::new(0));
    let passes = [(0, work.warm), (work.warm, work.warm + work.messages)];
    let batch = work.batch;
    let mut jobs: Vec<(Role, Job<End>)> = Vec::new();

    for p in 0..producers as u64 {
        let (tx, start, finished, count) = (tx.clone(), start.clone(), finished.clone(), producers as u64);
        let job = move || {
            let mut begin = Instant::now();
            for (from, to) in passes {
                let share = (to - from) / count;
                let (first, last) = (from + p * share, from + (p + 1) * share);
                start.wait();
                begin = Instant::now();
                produce(&tx, first, last, batch);
                if finished.fetch_add(1, Ordering::AcqRel) % producers == producers - 1 {
                    (0..consumers).for_each(|_| tx.send(T::pill()));
                }
            }
            End::Sent { begin }
        };
        jobs.push((Role::Producer(p as usize), Box::new(job)));
    }

    let more: Vec<C::Rx<T>> = (1..consumers).map(|_| rx.share().expect("its consumers can be shared")).collect();
    for (c, rx) in std::iter::once(rx).chain(more).enumerate() {
        let (tx, start) = (tx.clone(), start.clone());
        let job = move || {
            let (mut end, mut digest) = (Instant::now(), 0u64);
            for _ in passes {
                start.wait();
                let (sum, pills) = consume(&rx, batch);
                end = Instant::now();
                digest = digest.wrapping_add(sum);
                // A batch may have taken the others' pills too.
                (1..pills).for_each(|_| tx.send(T::pill()));
            }
            End::Received { end, digest }
        };
        jobs.push((Role::Consumer(c), Box::new(job)));
    }

    let (mut first, mut last, mut digest) = (None::<Instant>, None::<Instant>, 0u64);
    for end in pool.run(C::NAME, jobs) {
        match end {
            End::Sent { begin } => first = Some(first.map_or(begin, |t| t.min(begin))),
            End::Received { end, digest: sum } => {
                last = Some(last.map_or(end, |t| t.max(end)));
                digest = digest.wrapping_add(sum);
            }
        }
    }
    let elapsed = last.expect("a consumer").duration_since(first.expect("a producer"));
    (elapsed.as_nanos() as f64, digest)
}

#[inline(never)]
fn produce<T: Payload>(tx: &impl Sends<T>, first: u64, last: u64, batch: usize) {
    if batch == 1 {
        (first..last).for_each(|n| tx.send(T::make(n)));
        return;
    }
    for n in (first..last).step_by(batch) {
        tx.send_batch((n..last.min(n + batch as u64)).map(T::make));
    }
}

/// Until a pill: the digests added up, and the pills.
#[inline(never)]
fn consume<T: Payload>(rx: &impl Receives<T>, batch: usize) -> (u64, usize) {
    let mut sum = 0u64;
    if batch == 1 {
        while let Some(digest) = rx.take(|m| (!m.is_pill()).then(|| m.digest())) {
            sum = sum.wrapping_add(digest);
        }
        return (sum, 1);
    }
    let mut pills = 0;
    while pills == 0 {
        rx.take_batch(batch, |m| {
            if m.is_pill() {
                pills += 1;
            } else {
                sum = sum.wrapping_add(m.digest());
            }
        });
    }
    (sum, pills)
}
