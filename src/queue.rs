//! The queue, and which handles keep it open.

use crate::builder::QueueBuilder;
use crate::consumer::Consumer;
use crate::dead_letters::DeadLetters;
use crate::error::DrainError;
use crate::events::Event;
use crate::hub::{Core, Hub};
use crate::producer::Producer;
use crate::protect::BreakerState;
use crate::ring::Door;
use crate::stats::Stats;
use crate::sync::{AcqRel, AtomicUsize, Relaxed};
use crate::unsent::Unsent;
use crate::worker::WorkerBuilder;
use crossbeam_channel::Receiver;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// A reliable queue: what is sent is delivered, retried, or kept as a dead letter.
///
/// Cheap to clone; every clone is the same queue. It is closed by [`close`](Self::close), or when no `Queue` and no
/// [`Producer`] of it is left, or when no `Queue` and no [`Consumer`] is, for then nobody could receive.
///
/// ```
/// use redeliver::Queue;
///
/// let queue = Queue::in_memory("mail");
/// let (producer, consumer) = (queue.producer(), queue.consumer());
/// producer.send("hello")?;
/// let delivery = consumer.recv()?;
/// match "a mail server that is away".parse::<u16>() {
///     Ok(_) => delivery.ack()?,
///     Err(error) => delivery.nack(error)?, // comes back when the policy says
/// }
/// assert_eq!(queue.stats().delayed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Queue<T: Send + Sync + 'static> {
    senders: Senders<T>,
    receivers: Receivers<T>,
}

impl<T: Send + Sync + 'static> Queue<T> {
    /// A queue in memory with the default settings; the name is a label.
    ///
    /// ```
    /// use redeliver::{Queue, TryRecvError};
    ///
    /// let queue = Queue::in_memory("mail");
    /// queue.producer().send("hello")?;
    /// queue.consumer().recv()?.ack()?;
    /// assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Empty);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If there is no memory for it; [`builder`](Self::builder) says so instead.
    #[must_use]
    pub fn in_memory(name: impl Into<String>) -> Self {
        match Queue::builder(name).open() {
            Ok(queue) => queue,
            Err(error) => panic!("the default settings are valid: {error}"),
        }
    }

    /// A queue with settings of your own.
    ///
    /// ```
    /// use redeliver::{Exponential, Jitter, OpenError, Queue};
    /// use std::time::Duration;
    ///
    /// let queue = Queue::<String>::builder("mail")
    ///     .retry(Exponential::new(Duration::from_secs(1)).max_delay(Duration::from_secs(300)).jitter(Jitter::Full).max_attempts(8))
    ///     .lease(Duration::from_secs(30))
    ///     .capacity(10_000)
    ///     .open()?;
    ///
    /// let refused = Queue::<String>::builder("mail").capacity(0).open();
    /// assert!(matches!(refused, Err(OpenError::Capacity { asked: 0, .. })));
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn builder(name: impl Into<String>) -> QueueBuilder<T> {
        QueueBuilder::new(name.into())
    }

    pub(crate) fn new(door: Door<Hub<T>>) -> Self {
        Queue { senders: Senders(door.clone()), receivers: Receivers(door) } // the hub starts with one of each
    }

    fn hub(&self) -> &Core<T> {
        &self.senders
    }

    #[cfg(all(test, loom))]
    pub(crate) fn core(&self) -> std::sync::Arc<Core<T>> {
        self.senders.0.shared().clone()
    }

    /// A handle to send with.
    #[must_use]
    pub fn producer(&self) -> Producer<T> {
        Producer::new(self.senders.0.clone())
    }

    /// A handle to receive with.
    #[must_use]
    pub fn consumer(&self) -> Consumer<T> {
        Consumer::new(self.senders.0.clone())
    }

    /// A pool of threads, or tasks, that runs a handler for every message: set it up, and start it.
    ///
    /// ```
    /// use redeliver::{Queue, WorkerError};
    /// use std::time::Duration;
    ///
    /// let queue = Queue::in_memory("mail");
    /// queue.producer().send("hello")?;
    /// let worker = queue.worker().threads(4).start(|delivery| println!("{}", delivery.message()))?;
    /// queue.drain(Duration::from_secs(10))?;
    /// assert_eq!(worker.shutdown(Duration::from_secs(10)).acked, 1);
    ///
    /// let nobody = queue.worker().threads(0).start(|_| ());
    /// assert!(matches!(nobody, Err(WorkerError::NoThreads)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn worker(&self) -> WorkerBuilder<T> {
        WorkerBuilder::new(self.consumer())
    }

    /// What could not be delivered.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters<T> {
        DeadLetters::new(self.senders.0.clone())
    }

    /// What was submitted and is not accepted yet.
    #[must_use]
    pub fn unsent(&self) -> Unsent<T> {
        Unsent::new(self.senders.0.clone())
    }

    /// The figures of this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.hub().stats()
    }

    /// What happens from now on: each final transition once, over a bounded channel of its own for each call. What a reader
    /// is too slow for is dropped, and counted in [`Stats::events_dropped`].
    ///
    /// ```
    /// use redeliver::{Event, Never, Queue};
    ///
    /// let queue = Queue::builder("mail").retry(Never).open()?;
    /// let events = queue.events();
    /// let sent = queue.producer().send("hello")?;
    /// queue.consumer().recv()?.nack("no such user")?;
    /// assert!(matches!(events.try_recv()?, Event::DeadLettered { id, .. } if id == sent));
    /// assert!(events.try_recv().is_err()); // once
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn events(&self) -> Receiver<Event> {
        self.hub().side.events.subscribe()
    }

    /// What the breaker of this class does now; the class of a breaker for the whole queue is `""`. A queue without a
    /// breaker, and a class that it does not know, is [`Closed`](BreakerState::Closed).
    ///
    /// ```
    /// use redeliver::{Breaker, BreakerState, Queue};
    ///
    /// let queue = Queue::builder("mail").breaker(Breaker::new().consecutive_failures(1)).open()?;
    /// assert_eq!(queue.breaker_state(""), BreakerState::Closed);
    /// queue.producer().send("hello")?;
    /// queue.consumer().recv()?.nack("connection refused")?;
    /// assert!(matches!(queue.breaker_state(""), BreakerState::Open { .. }));
    /// assert_eq!(queue.stats().breakers_open, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn breaker_state(&self, class: &str) -> BreakerState {
        self.hub().breaker_state(class)
    }

    /// Hands out nothing until [`resume`](Self::resume); sends, settles and timers go on.
    ///
    /// ```
    /// use redeliver::{Queue, TryRecvError};
    ///
    /// let queue = Queue::in_memory("mail");
    /// queue.producer().send("hello")?;
    /// queue.pause();
    /// assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Empty);
    /// queue.resume();
    /// queue.consumer().try_recv()?.ack()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pause(&self) {
        self.hub().pause();
    }

    /// Hands out again.
    pub fn resume(&self) {
        self.hub().resume();
    }

    /// Waits until everything that was accepted is settled and nothing is unsent, but no longer than `limit` by the queue's
    /// clock. Consumers have to be at work meanwhile.
    ///
    /// ```
    /// use redeliver::Queue;
    /// use std::time::Duration;
    ///
    /// let queue = Queue::in_memory("mail");
    /// queue.producer().send("hello")?;
    /// let error = queue.drain(Duration::ZERO).unwrap_err();
    /// assert_eq!(error.unsettled, 1);
    /// queue.consumer().recv()?.ack()?;
    /// queue.drain(Duration::from_secs(1))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`DrainError`] says how much is left.
    pub fn drain(&self, limit: Duration) -> Result<(), DrainError> {
        self.hub().drain(limit)
    }

    /// Closes the queue: sends fail from now on, what was accepted is still handed out, and what is unsent becomes a dead
    /// letter. Closing twice is closing once.
    ///
    /// ```
    /// use redeliver::{Queue, SendErrorKind, TryRecvError};
    ///
    /// let queue = Queue::in_memory("mail");
    /// queue.producer().send("hello")?;
    /// queue.close();
    /// assert_eq!(queue.producer().send("late").unwrap_err().kind, SendErrorKind::Closed);
    /// let last = queue.consumer().try_recv()?;
    /// assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Empty); // the last one may come back
    /// last.ack()?;
    /// assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        self.hub().close();
    }

    /// The name it was opened with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.hub().side.settings.name
    }

    /// How many messages can be received now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hub().ready() as usize
    }

    /// Nothing can be received now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Send + Sync + 'static> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue { senders: self.senders.clone(), receivers: self.receivers.clone() }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("name", &self.name()).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// One who may send: the queue stays open for senders as long as there is one.
pub(crate) struct Senders<T: Send + Sync + 'static>(Door<Hub<T>>);

/// One who may receive: without one nobody could, and the queue closes.
pub(crate) struct Receivers<T: Send + Sync + 'static>(Door<Hub<T>>);

fn join(counter: &AtomicUsize) {
    counter.fetch_add(1, Relaxed); // whoever makes a handle holds one, so the count is above zero
}

fn leave<T: Send + Sync>(hub: &Core<T>, counter: &AtomicUsize) {
    if counter.fetch_sub(1, AcqRel) == 1 {
        hub.close();
    }
}

impl<T: Send + Sync + 'static> Senders<T> {
    pub(crate) fn new(door: Door<Hub<T>>) -> Self {
        join(&door.side.senders);
        Senders(door)
    }
}

impl<T: Send + Sync + 'static> Receivers<T> {
    pub(crate) fn new(door: Door<Hub<T>>) -> Self {
        join(&door.side.receivers);
        Receivers(door)
    }

    pub(crate) fn door(&self) -> &Door<Hub<T>> {
        &self.0
    }
}

impl<T: Send + Sync + 'static> Clone for Senders<T> {
    fn clone(&self) -> Self {
        Senders::new(self.0.clone())
    }
}

impl<T: Send + Sync + 'static> Clone for Receivers<T> {
    fn clone(&self) -> Self {
        Receivers::new(self.0.clone())
    }
}

impl<T: Send + Sync + 'static> Drop for Senders<T> {
    fn drop(&mut self) {
        leave(&self.0, &self.0.side.senders);
    }
}

impl<T: Send + Sync + 'static> Drop for Receivers<T> {
    fn drop(&mut self) {
        leave(&self.0, &self.0.side.receivers);
    }
}

impl<T: Send + Sync + 'static> Deref for Senders<T> {
    type Target = Core<T>;

    #[inline(always)]
    fn deref(&self) -> &Core<T> {
        &self.0
    }
}

impl<T: Send + Sync + 'static> Deref for Receivers<T> {
    type Target = Core<T>;

    #[inline(always)]
    fn deref(&self) -> &Core<T> {
        &self.0
    }
}
