//! How a worker is set up and started.

use super::Worker;
use super::crew::{self, HandlerFuture, Hire, WorkerTask};
use super::outcome::{BatchOutcome, Outcome};
use super::pool::Pool;
use crate::consumer::Consumer;
use crate::delivery::Delivery;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any handler should run, and short enough that one which hangs is noticed the same day. RabbitMQ gives a
/// consumer the same time.
const RUN_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Sets up a [`Worker`].
///
/// ```
/// use redeliver::{Queue, WorkerError};
/// use std::time::Duration;
///
/// let queue = Queue::<&str>::in_memory("mail");
/// let minute = Duration::from_secs(60);
/// let worker = queue.worker().threads(4).run_timeout(minute).start(|mail| println!("{}", mail.message()))?;
/// assert_eq!(worker.threads(), 4);
/// assert!(matches!(worker.set_threads(0), Err(WorkerError::NoThreads)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing runs before `start`"]
pub struct WorkerBuilder<T: Send + Sync + 'static> {
    consumer: Consumer<T>,
    threads: usize,
    run_timeout: Duration,
}

/// Why a worker did not start, or could not grow.
///
/// ```
/// use redeliver::{Queue, WorkerError};
///
/// let queue = Queue::<u32>::in_memory("mail");
/// assert!(matches!(queue.worker().threads(0).start(|_| ()), Err(WorkerError::NoThreads)));
/// assert!(matches!(queue.worker().start_batch(0, |_| ()), Err(WorkerError::NoBatch)));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// A worker without threads would never do anything.
    #[error("a worker has at least 1 thread, not 0; to stop handing out messages, pause the queue")]
    NoThreads,
    /// A batch of no messages can never be handed to a handler.
    #[error("a batch has at least 1 message, not 0")]
    NoBatch,
    /// The system gave no thread.
    #[error("no thread for a worker: {0}")]
    Spawn(#[source] std::io::Error),
    /// The executor that was to run the tasks panicked.
    #[error("the executor took no task: {0}")]
    Executor(String),
}

pub(super) fn at_least_one(threads: usize) -> Result<(), WorkerError> {
    if threads == 0 { Err(WorkerError::NoThreads) } else { Ok(()) }
}

impl<T: Send + Sync + 'static> WorkerBuilder<T> {
    pub(crate) fn new(consumer: Consumer<T>) -> Self {
        WorkerBuilder { consumer, threads: 1, run_timeout: RUN_TIMEOUT }
    }

    /// How many handlers may run at the same time, each on a thread (or task) of its own. 1 unless set.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// For how long a handler may run: its lease is renewed until then, counted from the hand-over, and is lost after that.
    /// 30 minutes unless set; the queue's lease if that is longer.
    ///
    /// ```
    /// use redeliver::{ManualClock, Never, Queue};
    /// use std::sync::{Mutex, mpsc};
    /// use std::time::Duration;
    ///
    /// let (clock, second) = (ManualClock::new(), Duration::from_secs(1));
    /// let queue = Queue::<&str>::builder("films").lease(second).retry(Never).clock(clock.clone()).open()?;
    /// let (tell, told) = mpsc::channel();
    /// let (finish, finished) = mpsc::channel::<()>();
    /// let finished = Mutex::new(finished);
    /// let worker = queue.worker().run_timeout(60 * second).start(move |delivery| {
    ///     tell.send(()).unwrap();
    ///     finished.lock().unwrap().recv().unwrap();
    ///     assert!(delivery.is_lost()); // a handler that works step by step can look, and stop
    /// })?;
    /// queue.producer().send("a long one")?;
    /// told.recv()?;
    /// clock.advance(59 * second);
    /// assert_eq!(queue.stats().leases_lost, 0);
    /// clock.advance(second);
    /// assert_eq!(queue.stats().leases_lost, 1);
    /// # finish.send(())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_timeout(mut self, limit: Duration) -> Self {
        self.run_timeout = limit;
        self
    }

    /// Starts threads that run `handler` for one message each at a time. Does not block.
    ///
    /// # Errors
    /// [`WorkerError`]: no threads were asked for, or none could be had.
    pub fn start<F, O>(self, handler: F) -> Result<Worker<T>, WorkerError>
    where
        F: Fn(&Delivery<T>) -> O + Send + Sync + 'static,
        O: Into<Outcome>,
    {
        let handler = Arc::new(move |delivery: &Delivery<T>| handler(delivery).into());
        self.hire(Box::new(move |member| crew::on_a_thread(member, crew::singles(handler.clone()))))
    }

    /// Starts threads that run `handler` for up to `max` messages at once: as many as are ready, and at least one.
    ///
    /// ```
    /// use redeliver::{Outcome, Queue};
    /// use std::time::Duration;
    ///
    /// let queue = Queue::in_memory("rows");
    /// queue.producer().send_batch(["a", "b", ""])?;
    /// let worker = queue.worker().start_batch(100, |rows| {
    ///     let outcome = |row: &str| if row.is_empty() { Outcome::dead_letter("no name") } else { Outcome::Ack };
    ///     rows.iter().map(|row| outcome(row)).collect::<Vec<_>>() // or one outcome for all of them
    /// })?;
    /// queue.drain(Duration::from_secs(10))?;
    /// let report = worker.shutdown(Duration::from_secs(10));
    /// assert_eq!((report.acked, report.dead_lettered), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WorkerError`]: no threads or no messages were asked for, or no thread could be had.
    pub fn start_batch<F, O>(self, max: usize, handler: F) -> Result<Worker<T>, WorkerError>
    where
        F: Fn(&[Delivery<T>]) -> O + Send + Sync + 'static,
        O: Into<BatchOutcome>,
    {
        if max == 0 {
            return Err(WorkerError::NoBatch);
        }
        let handler = Arc::new(move |deliveries: &[Delivery<T>]| handler(deliveries).into());
        self.hire(Box::new(move |member| crew::on_a_thread(member, crew::batches(max, handler.clone()))))
    }

    /// Starts tasks: as many as [`threads`](Self::threads) says, given to `spawn`, which puts each on an executor of yours.
    /// A task that its executor drops gives its message back as a failed attempt, as a dropped delivery does.
    ///
    /// ```
    /// use redeliver::Queue;
    /// use std::time::Duration;
    ///
    /// let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    /// let queue = Queue::<&str>::in_memory("mail");
    /// let executor = runtime.handle().clone();
    /// let worker = queue.worker().threads(8).start_async(
    ///     move |task| drop(executor.spawn(task)),
    ///     |delivery| {
    ///         Box::pin(async move {
    ///             tokio::time::sleep(Duration::from_millis(1)).await;
    ///             if delivery.is_empty() { Err("no address") } else { Ok(()) }
    ///         })
    ///     },
    /// )?;
    /// queue.producer().send("ada@example.org")?;
    /// queue.drain(Duration::from_secs(10))?;
    /// assert_eq!(worker.shutdown(Duration::from_secs(10)).acked, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WorkerError`]: no tasks were asked for, or `spawn` panicked.
    pub fn start_async<S, F, O>(self, spawn: S, handler: F) -> Result<Worker<T>, WorkerError>
    where
        S: Fn(WorkerTask) + Send + Sync + 'static,
        F: for<'a> Fn(&'a Delivery<T>) -> HandlerFuture<'a, O> + Send + Sync + 'static,
        O: Into<Outcome> + 'static,
    {
        let handler = Arc::new(handler);
        self.hire(Box::new(move |member| {
            let task = Box::pin(crew::tasks(member, handler.clone()));
            crate::panics::catch(|| spawn(task)).map_err(WorkerError::Executor)
        }))
    }

    fn hire(self, hire: Hire<T>) -> Result<Worker<T>, WorkerError> {
        at_least_one(self.threads)?;
        let worker = Worker { pool: Pool::new(self.consumer, self.run_timeout), hire };
        worker.set_threads(self.threads)?; // on failure the worker is dropped, which stops those that have started
        Ok(worker)
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for WorkerBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("threads", &self.threads)
            .field("run_timeout", &self.run_timeout)
            .finish_non_exhaustive()
    }
}
