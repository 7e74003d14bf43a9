//! Threads that stay warm: one per role, started once, pinned if asked, parked between two runs.
//!
//! Each producer and consumer of every contender runs on the same threads, so none pays for starting them and none gets
//! a better placed one.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// A job for one thread.
pub type Job<R> = Box<dyn FnOnce() -> R + Send>;

/// Who a thread is. The order is the order in which CPUs are given out when pinned: the first producer and the first
/// consumer sit on the two CPUs that the probe measures.
#[derive(Clone, Copy)]
pub enum Role {
    Producer(usize),
    Consumer(usize),
}

/// Producers or consumers at most.
pub const SIDE_MAX: usize = 2;

impl Role {
    fn index(self) -> usize {
        match self {
            Role::Producer(i) => 2 * i,
            Role::Consumer(i) => 2 * i + 1,
        }
    }
}

/// No pass takes that long; a contender that hangs must not hang the comparison.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Pool {
    threads: Vec<Sender<Job<()>>>,
}

impl Pool {
    pub fn new(pin: bool) -> Pool {
        let cpus = core_affinity::get_core_ids().unwrap_or_default();
        let start = |index: usize| {
            let (jobs, inbox): (Sender<Job<()>>, Receiver<Job<()>>) = channel();
            let cpu = cpus.get(snake(index, cpus.len())).copied().filter(|_| pin);
            thread::spawn(move || {
                if let Some(cpu) = cpu {
                    assert!(core_affinity::set_for_current(cpu), "CPU {} cannot be pinned to", cpu.id);
                }
                inbox.iter().for_each(|job| job());
            });
            jobs
        };
        Pool { threads: (0..2 * SIDE_MAX).map(start).collect() }
    }

    /// Runs each job on the thread of its role, all at once, and returns what they return, in the order given.
    ///
    /// # Panics
    /// If a job panics or does not end: the others may wait for it for ever, so there is nothing to go on with.
    pub fn run<R: Send + 'static>(&self, contender: &str, jobs: Vec<(Role, Job<R>)>) -> Vec<R> {
        let outcomes: Vec<Receiver<R>> = jobs
            .into_iter()
            .map(|(role, job)| {
                let (tell, outcome) = channel();
                let job: Job<()> = Box::new(move || drop(tell.send(job())));
                self.threads[role.index()].send(job).expect("its thread runs");
                outcome
            })
            .collect();
        let end = |outcome: Receiver<R>| match outcome.recv_timeout(PATIENCE) {
            Ok(end) => end,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{contender}: not done after {PATIENCE:?}: a lost wake-up?")
            }
            Err(RecvTimeoutError::Disconnected) => panic!("{contender}: a thread panicked"),
        };
        outcomes.into_iter().map(end).collect()
    }
}

/// 0, 1, 2 … while there are CPUs, then backwards: with two CPUs each gets one producer and one consumer.
fn snake(index: usize, cpus: usize) -> usize {
    if index < cpus { index } else { (2 * cpus).saturating_sub(index + 1) }
}
