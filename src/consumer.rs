//! The receivers' handle.

use crate::batch::Batch;
use crate::delivery::Delivery;
use crate::error::{RecvError, RecvTimeoutError, TryRecvError};
use crate::futures::Receiving;
use crate::hub::{Core, Hub, NoMail};
use crate::queue::Receivers;
use crate::ring::Door;
use crate::sync::AtomicU32;
use futures_core::Stream;
use std::fmt;
use std::time::Duration;

/// Receives messages from a queue. Clones are the same queue, and each message goes to one of them.
///
/// It takes only what it returns: there is no hidden prefetch.
///
/// ```
/// use redeliver::{Queue, RecvError, TryRecvError};
///
/// let queue = Queue::in_memory("mail");
/// let consumer = queue.consumer();
/// assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
///
/// queue.producer().send("hello")?;
/// queue.close();
/// let delivery = consumer.recv()?; // what was sent before the end is still handed out
/// delivery.ack()?;
/// assert_eq!(consumer.recv().unwrap_err(), RecvError::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Consumer<T: Send + Sync + 'static> {
    hub: Receivers<T>,
    /// How it polls an empty queue before it sleeps.
    pace: AtomicU32,
}

impl<T: Send + Sync + 'static> Consumer<T> {
    pub(crate) fn new(door: Door<Hub<T>>) -> Self {
        Consumer { hub: Receivers::new(door), pace: AtomicU32::new(0) }
    }

    /// Receives the next message, and waits for one.
    ///
    /// ```
    /// use redeliver::{Queue, RecvError};
    ///
    /// let queue = Queue::in_memory("mail");
    /// queue.producer().send("hello")?;
    /// let consumer = queue.consumer();
    /// consumer.recv()?.ack()?;
    /// drop(queue); // the last one who could send
    /// assert_eq!(consumer.recv().unwrap_err(), RecvError::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](RecvError::Closed) once the queue is closed and every message is settled: while some are in flight or
    /// delayed, one of them may come back, so it waits.
    #[inline]
    pub fn recv(&self) -> Result<Delivery<T>, RecvError> {
        self.hub.hand_over_fast(|| self.recv_slowly())
    }

    #[cold]
    #[inline(never)]
    fn recv_slowly(&self) -> Result<Delivery<T>, RecvError> {
        self.hub.hand_over(None, &self.pace).map_err(|_| RecvError::Closed)
    }

    /// Receives the next message if one is ready now.
    ///
    /// ```
    /// use redeliver::{Queue, TryRecvError};
    ///
    /// let queue = Queue::in_memory("mail");
    /// assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Empty);
    /// queue.producer().send("hello")?;
    /// queue.consumer().try_recv()?.ack()?;
    /// queue.close();
    /// assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Empty`](TryRecvError::Empty), [`Closed`](TryRecvError::Closed).
    #[inline]
    pub fn try_recv(&self) -> Result<Delivery<T>, TryRecvError> {
        self.hub.hand_over_fast(|| self.try_recv_slowly())
    }

    #[cold]
    #[inline(never)]
    fn try_recv_slowly(&self) -> Result<Delivery<T>, TryRecvError> {
        self.hub.try_hand_over().ok_or_else(|| self.nothing())
    }

    /// Receives the next message, and waits no longer than `limit` by the queue's clock.
    ///
    /// ```
    /// use redeliver::{Queue, RecvTimeoutError};
    /// use std::time::Duration;
    ///
    /// let queue = Queue::<u32>::in_memory("quiet");
    /// let error = queue.consumer().recv_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error, RecvTimeoutError::Timeout);
    /// ```
    ///
    /// # Errors
    /// [`Timeout`](RecvTimeoutError::Timeout), [`Closed`](RecvTimeoutError::Closed).
    pub fn recv_timeout(&self, limit: Duration) -> Result<Delivery<T>, RecvTimeoutError> {
        self.hub.hand_over(self.hub.side.deadline(limit), &self.pace).map_err(timeout)
    }

    /// As [`recv`](Self::recv), for a task: waits without holding up its thread, on any runtime.
    ///
    /// Cancel-safe: dropped before it is ready, it has taken no message, and if it was called for one, another consumer is
    /// called in its place. Threads and tasks may receive from one queue.
    ///
    /// ```
    /// use futures_lite::future::{block_on, poll_once};
    /// use redeliver::{Queue, RecvError};
    ///
    /// let queue = Queue::in_memory("mail");
    /// let consumer = queue.consumer();
    /// assert!(block_on(poll_once(consumer.recv_async())).is_none()); // nothing yet; dropped, it loses nothing
    /// queue.producer().send("hello")?;
    /// let delivery = block_on(consumer.recv_async())?;
    /// delivery.ack()?;
    /// queue.close();
    /// assert_eq!(block_on(consumer.recv_async()).unwrap_err(), RecvError::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](RecvError::Closed), as for [`recv`](Self::recv).
    pub fn recv_async(&self) -> impl Future<Output = Result<Delivery<T>, RecvError>> + Send + Unpin + '_ {
        Receiving::new(&self.hub, take_one)
    }

    /// As [`recv_batch`](Self::recv_batch), for a task. Cancel-safe, as [`recv_async`](Self::recv_async) is.
    ///
    /// ```
    /// use futures_lite::future::block_on;
    /// use redeliver::{Queue, RecvError};
    ///
    /// let queue = Queue::in_memory("numbers");
    /// queue.producer().send_batch(1..=5)?;
    /// queue.close();
    /// let consumer = queue.consumer();
    /// let batch = block_on(consumer.recv_batch_async(100))?;
    /// assert_eq!(batch.len(), 5);
    /// batch.ack_all().unwrap();
    /// assert_eq!(block_on(consumer.recv_batch_async(100)).unwrap_err(), RecvError::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](RecvError::Closed), as for [`recv`](Self::recv).
    pub fn recv_batch_async(
        &self,
        max: usize,
    ) -> impl Future<Output = Result<Batch<T>, RecvError>> + Send + Unpin + '_ {
        Receiving::new(&self.hub, move |_: &Core<T>| self.take_batch(max))
    }

    /// The messages as a stream, which ends when the queue is closed and everything is settled. Dropped, it has taken only
    /// what it yielded.
    ///
    /// ```
    /// use futures_lite::{StreamExt, future::block_on};
    /// use redeliver::{Immediate, Queue};
    ///
    /// let queue = Queue::builder("mail").retry(Immediate).open()?;
    /// queue.producer().send("hello")?;
    /// queue.close();
    /// let consumer = queue.consumer();
    /// let attempts = block_on(async {
    ///     let (mut attempts, mut messages) = (0, consumer.stream());
    ///     while let Some(delivery) = messages.next().await {
    ///         attempts += 1;
    ///         match delivery.attempt() {
    ///             1 => delivery.nack("the server is busy")?, // yielded again
    ///             _ => delivery.ack()?,
    ///         }
    ///     }
    ///     Ok::<_, redeliver::SettleError<_>>(attempts)
    /// })?;
    /// assert_eq!(attempts, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream(&self) -> impl Stream<Item = Delivery<T>> + Send + Unpin + '_ {
        Receiving::new(&self.hub, take_one)
    }

    /// Receives up to `max` messages: waits for one, and takes what else is ready. A `max` of 0 is taken as 1.
    ///
    /// ```
    /// use redeliver::{Queue, RecvError};
    ///
    /// let queue = Queue::in_memory("numbers");
    /// queue.producer().send_batch(1..=5)?;
    /// queue.close();
    /// let consumer = queue.consumer();
    /// let batch = consumer.recv_batch(100)?;
    /// assert_eq!(batch.iter().map(|item| *item).sum::<i32>(), 15);
    /// batch.ack_all().unwrap();
    /// assert_eq!(consumer.recv_batch(100).unwrap_err(), RecvError::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](RecvError::Closed), as for [`recv`](Self::recv).
    pub fn recv_batch(&self, max: usize) -> Result<Batch<T>, RecvError> {
        match self.take_batch(max) {
            Some(batch) => Ok(batch),
            None => self.hub.wait_for(None, &self.pace, |_| self.take_batch(max)).map_err(|_| RecvError::Closed),
        }
    }

    /// Receives up to `max` messages that are ready now. A `max` of 0 is taken as 1.
    ///
    /// ```
    /// use redeliver::{Queue, TryRecvError};
    ///
    /// let queue = Queue::in_memory("numbers");
    /// assert_eq!(queue.consumer().try_recv_batch(8).unwrap_err(), TryRecvError::Empty);
    /// queue.producer().send_batch(1..=5)?;
    /// assert_eq!(queue.consumer().try_recv_batch(3)?.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Empty`](TryRecvError::Empty), [`Closed`](TryRecvError::Closed).
    pub fn try_recv_batch(&self, max: usize) -> Result<Batch<T>, TryRecvError> {
        self.take_batch(max).ok_or_else(|| self.nothing())
    }

    /// Receives up to `max` messages, and waits for the first no longer than `limit` by the queue's clock. A `max` of 0 is
    /// taken as 1.
    ///
    /// ```
    /// use redeliver::{Queue, RecvTimeoutError};
    /// use std::time::Duration;
    ///
    /// let queue = Queue::in_memory("numbers");
    /// let millisecond = Duration::from_millis(1);
    /// let error = queue.consumer().recv_batch_timeout(8, millisecond).unwrap_err();
    /// assert_eq!(error, RecvTimeoutError::Timeout);
    /// queue.producer().send_batch(1..=5)?;
    /// assert_eq!(queue.consumer().recv_batch_timeout(8, millisecond)?.len(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Timeout`](RecvTimeoutError::Timeout), [`Closed`](RecvTimeoutError::Closed).
    pub fn recv_batch_timeout(&self, max: usize, limit: Duration) -> Result<Batch<T>, RecvTimeoutError> {
        let deadline = self.hub.side.deadline(limit);
        match self.take_batch(max) {
            Some(batch) => Ok(batch),
            None => self.hub.wait_for(deadline, &self.pace, |_| self.take_batch(max)).map_err(timeout),
        }
    }

    pub(crate) fn hub(&self) -> &Core<T> {
        &self.hub
    }

    fn take_batch(&self, max: usize) -> Option<Batch<T>> {
        Core::try_hand_over_batch(self.hub.door(), max.max(1))
    }

    /// Receives until the queue is closed and every message is settled.
    ///
    /// ```
    /// use redeliver::Queue;
    ///
    /// let queue = Queue::in_memory("numbers");
    /// queue.producer().send_batch([1, 2, 3])?;
    /// queue.close();
    /// let mut sum = 0;
    /// for delivery in queue.consumer().iter() {
    ///     sum += *delivery;
    ///     delivery.ack()?; // without this the loop would never end: the message comes back
    /// }
    /// assert_eq!(sum, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Delivery<T>> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    fn nothing(&self) -> TryRecvError {
        if self.hub.is_over() { TryRecvError::Closed } else { TryRecvError::Empty }
    }
}

fn take_one<T: Send + Sync + 'static>(hub: &Core<T>) -> Option<Delivery<T>> {
    hub.hand_over_fast(|| hub.try_hand_over().ok_or(())).ok()
}

fn timeout(none: NoMail) -> RecvTimeoutError {
    match none {
        NoMail::Timeout => RecvTimeoutError::Timeout,
        NoMail::Closed => RecvTimeoutError::Closed,
    }
}

impl<T: Send + Sync + 'static> Clone for Consumer<T> {
    fn clone(&self) -> Self {
        Consumer { hub: self.hub.clone(), pace: AtomicU32::new(0) }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("queue", &self.hub.side.settings.name).finish_non_exhaustive()
    }
}
