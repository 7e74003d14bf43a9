//! How far apart the two CPUs are right now: a cache line goes to and fro between them for about a millisecond.
//!
//! On a virtual machine the host moves the virtual CPUs about, and a line may cost 20 ns at one moment and 200 the next.
//! Two-thread figures taken at different distances say nothing about each other, so every pass is measured between two
//! probes and only passes whose probes were all near are compared. The median of many short chunks is taken, so that an
//! interrupt within the millisecond does not pass for a distance.
//!
//! The pair of probing threads is pinned to the first two CPUs that the process may use.

use crossbeam_utils::CachePadded;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const LENGTH: Duration = Duration::from_millis(1);
/// When the other CPU is busy with something else the probe gives up.
const PATIENCE: Duration = Duration::from_millis(10);
const TRIPS_A_CHUNK: u64 = 64;
const OVER: u64 = u64::MAX;

pub struct Probe {
    /// `None` with a single CPU.
    pair: Option<Pair>,
    near_ns: f64,
    readings: RefCell<Vec<f64>>,
}

struct Pair {
    start: [Sender<Arc<CachePadded<AtomicU64>>>; 2],
    reading: Receiver<f64>,
}

impl Probe {
    /// One way below `near_ns` counts as near.
    pub fn new(near_ns: f64) -> Probe {
        let cpus = core_affinity::get_core_ids().unwrap_or_default();
        let pair = (cpus.len() >= 2).then(|| {
            let (tell, reading) = channel();
            let start = [0, 1].map(|side| {
                let (start, line): (_, Receiver<Arc<CachePadded<AtomicU64>>>) = channel();
                let (cpu, tell) = (cpus[side], tell.clone());
                thread::spawn(move || {
                    core_affinity::set_for_current(cpu);
                    for line in line {
                        if side == 1 {
                            answer(&line);
                        } else if tell.send(ask(&line)).is_err() {
                            break;
                        }
                    }
                });
                start
            });
            Pair { start, reading }
        });
        Probe { pair, near_ns, readings: RefCell::default() }
    }

    /// Nanoseconds for a line from one CPU to the other; infinite when it could not be measured.
    pub fn measure(&self) -> f64 {
        let ns = self.pair.as_ref().map_or(f64::INFINITY, |pair| {
            let line = Arc::new(CachePadded::new(AtomicU64::new(0)));
            for side in &pair.start {
                side.send(line.clone()).expect("the probing threads run");
            }
            pair.reading.recv().expect("the probing threads run")
        });
        self.readings.borrow_mut().push(ns);
        ns
    }

    pub fn is_near(&self, ns: f64) -> bool {
        ns < self.near_ns
    }

    pub fn near_ns(&self) -> f64 {
        self.near_ns
    }

    /// Whether there are two CPUs to be near to each other.
    pub fn works(&self) -> bool {
        self.pair.is_some()
    }

    /// All readings so far, ascending.
    pub fn readings(&self) -> Vec<f64> {
        let mut all = self.readings.borrow().clone();
        all.sort_by(f64::total_cmp);
        all
    }
}

fn ask(line: &AtomicU64) -> f64 {
    let (begin, mut turn, mut chunks) = (Instant::now(), 0, Vec::with_capacity(1024));
    // The first answer waits for the other thread to wake up.
    let mut met = trip(line, &mut turn, begin);
    while met && begin.elapsed() < LENGTH {
        let chunk = Instant::now();
        met = (0..TRIPS_A_CHUNK).all(|_| trip(line, &mut turn, begin));
        if met {
            chunks.push(chunk.elapsed().as_nanos() as f64 / (2 * TRIPS_A_CHUNK) as f64);
        }
    }
    line.store(OVER, Ordering::Release);
    chunks.sort_by(f64::total_cmp);
    chunks.get(chunks.len() / 2).copied().unwrap_or(f64::INFINITY)
}

/// There and back; `false` if nobody answered in time.
fn trip(line: &AtomicU64, turn: &mut u64, begin: Instant) -> bool {
    *turn += 2;
    line.store(*turn - 1, Ordering::Release); // pairs with the Acquire in `answer`
    let mut looks = 0u32;
    // No pause between two looks: its length differs from CPU to CPU and would be measured with the rest.
    while line.load(Ordering::Acquire) != *turn {
        looks += 1;
        if looks.is_multiple_of(4096) && begin.elapsed() > PATIENCE {
            return false;
        }
    }
    true
}

fn answer(line: &AtomicU64) {
    loop {
        match line.load(Ordering::Acquire) {
            OVER => return,
            turn if turn % 2 == 1 => {
                // Lost against OVER is right: the asker has given up.
                let _ = line.compare_exchange(turn, turn + 1, Ordering::AcqRel, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}
