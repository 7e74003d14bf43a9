//! Workers: a pool of threads, or of tasks on the user's executor, that runs a handler for every message.
//!
//! | file | what it is |
//! |---|---|
//! | `outcome` | what a handler says about its message |
//! | `next` | waiting for work, or for the order to stop |
//! | `pool` | what the members share: who is at work, and settling |
//! | `crew` | threads and tasks: the loops that members run |
//! | `builder` | how many, for how long, and what they run |
//! | `report` | what was done |

mod builder;
mod crew;
mod next;
mod outcome;
mod pool;
mod report;

pub use builder::{WorkerBuilder, WorkerError};
pub use crew::{HandlerFuture, WorkerTask};
pub use outcome::{BatchOutcome, Outcome, Reason};
pub use report::WorkerReport;

use crew::Hire;
use pool::Pool;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A running worker: threads, or tasks, that hand every message of a queue to a handler and settle it by what it returns.
///
/// A handler that panics has failed; the worker goes on. While a handler runs its lease is renewed, up to
/// [`run_timeout`](WorkerBuilder::run_timeout). When the queue is closed and everything is settled the worker ends by itself.
///
/// A handler that sends to its own queue had better not wait for room: see [`Producer::send`](crate::Producer::send).
///
/// Dropping it tells it to stop, and does not wait; what runs is finished. [`shutdown`](Self::shutdown) waits.
///
/// ```
/// use redeliver::{Immediate, Outcome, Queue};
/// use std::time::Duration;
///
/// let queue = Queue::<&str>::builder("numbers").retry(Immediate.max_attempts(2)).open()?;
/// let worker = queue.worker().threads(2).start(|delivery| match delivery.parse::<u32>() {
///     Ok(_) => Outcome::Ack,
///     Err(error) if delivery.is_empty() => Outcome::dead_letter(error),
///     Err(error) => Outcome::retry(error),
/// })?;
/// queue.producer().send_batch(["7", "seven", ""])?;
/// queue.drain(Duration::from_secs(10))?;
///
/// let report = worker.shutdown(Duration::from_secs(10));
/// assert_eq!((report.acked, report.failed, report.dead_lettered), (1, 2, 1)); // "seven" failed twice
/// assert_eq!(queue.dead_letters().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a worker that is dropped stops"]
pub struct Worker<T: Send + Sync + 'static> {
    pool: Arc<Pool<T>>,
    hire: Hire<T>,
}

impl<T: Send + Sync + 'static> Worker<T> {
    /// From now on there are `threads` of them (or tasks): new ones start, or some stop as soon as they have finished their
    /// message.
    ///
    /// # Errors
    /// [`WorkerError`] for 0 ([`Queue::pause`](crate::Queue::pause) is for that), or if a thread cannot be started; those
    /// that run go on.
    pub fn set_threads(&self, threads: usize) -> Result<(), WorkerError> {
        builder::at_least_one(threads)?;
        self.pool.resize(threads).into_iter().try_for_each(|member| (self.hire)(member))
    }

    /// How many threads, or tasks, there are to be.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.size()
    }

    /// What it has done so far. What is settled is counted: after a [`drain`](crate::Queue::drain) nothing is missing.
    #[must_use]
    pub fn report(&self) -> WorkerReport {
        self.pool.tally.report()
    }

    /// Stops: takes no more messages, finishes what runs, and waits for that no longer than `limit` of real time. What still
    /// runs then is taken away from its handler and ready again, for others; it is not counted as an attempt, and what its
    /// handler returns in the end is refused.
    ///
    /// ```
    /// use redeliver::Queue;
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let queue = Queue::<&str>::in_memory("films");
    /// let (tell, told) = mpsc::channel();
    /// let (finish, finished) = mpsc::channel::<()>();
    /// let finished = std::sync::Mutex::new(finished);
    /// let worker = queue.worker().start(move |_| {
    ///     tell.send(()).unwrap();
    ///     finished.lock().unwrap().recv().unwrap(); // far too long
    /// })?;
    /// queue.producer().send("a long one")?;
    /// told.recv()?;
    ///
    /// let report = worker.shutdown(Duration::from_millis(1));
    /// assert_eq!((report.still_running, report.given_back), (1, 1));
    /// assert_eq!(queue.consumer().recv()?.attempt(), 1);
    /// # finish.send(())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(self, limit: Duration) -> WorkerReport {
        self.pool.resize(0);
        self.pool.wait(Some(limit));
        self.pool.take_back()
    }

    /// Waits until the queue is closed and everything is settled.
    pub fn join(self) -> WorkerReport {
        self.pool.wait(None);
        self.pool.tally.report()
    }
}

impl<T: Send + Sync + 'static> Drop for Worker<T> {
    fn drop(&mut self) {
        self.pool.resize(0);
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("threads", &self.threads())
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}
