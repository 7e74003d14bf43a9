//! The senders' handle.

use crate::error::{BatchError, SendError};
use crate::futures::Sending;
use crate::hub::{Core, Hub, unboxed};
use crate::message::{Headers, MessageId};
use crate::queue::Senders;
use crate::receipt::Receipt;
use crate::ring::Door;
use std::fmt;
use std::time::Duration;

/// Sends messages into a queue. Clones are the same queue; when the last one is gone, and every `Queue`, the queue closes.
///
/// ```
/// use redeliver::{Queue, SendErrorKind};
///
/// let queue = Queue::builder("tiny").capacity(1).open()?;
/// let producer = queue.producer();
/// producer.send("first")?;
/// let error = producer.try_send("second").unwrap_err();
/// assert_eq!((error.kind, error.message), (SendErrorKind::Full, "second")); // handed back, not lost
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Producer<T: Send + Sync + 'static> {
    hub: Senders<T>,
}

impl<T: Send + Sync + 'static> Producer<T> {
    pub(crate) fn new(door: Door<Hub<T>>) -> Self {
        Producer { hub: Senders::new(door) }
    }

    /// Sends a message, and waits for room if the queue is full.
    ///
    /// A handler that sends to the queue it receives from may wait for itself for ever, since the message in its hands takes
    /// room too: let it [`try_send`](Self::try_send) or [`submit`](Self::submit).
    ///
    /// ```
    /// use redeliver::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::in_memory("mail");
    /// let id = queue.producer().send("hello")?;
    /// assert_eq!(queue.consumer().recv()?.id(), id);
    ///
    /// queue.close();
    /// let error = queue.producer().send("too late").unwrap_err();
    /// assert_eq!((error.kind, error.message), (SendErrorKind::Closed, "too late"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](crate::SendErrorKind::Closed).
    #[inline]
    pub fn send(&self, message: T) -> Result<MessageId, SendError<T>> {
        self.hub.accept_fast(message, |hub, message| hub.accept(message, None))
    }

    /// Sends a message if there is room now.
    ///
    /// ```
    /// use redeliver::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::builder("tiny").capacity(1).open()?;
    /// queue.producer().try_send("first")?;
    /// let in_flight = queue.consumer().recv()?; // still counts: it may come back
    /// assert_eq!(queue.producer().try_send("second").unwrap_err().kind, SendErrorKind::Full);
    /// in_flight.ack()?;
    /// queue.producer().try_send("second")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Full`](crate::SendErrorKind::Full), [`Closed`](crate::SendErrorKind::Closed).
    #[inline]
    pub fn try_send(&self, message: T) -> Result<MessageId, SendError<T>> {
        self.hub.accept_fast(message, |hub, message| hub.try_accept(message))
    }

    /// As [`send`](Self::send), for a task: waits for room without holding up its thread, on any runtime.
    ///
    /// Nothing is sent before the future is polled. Dropped before it is ready, it has not sent the message, and drops it; one
    /// that is ready has. For a limit in time use the runtime's own timeout around it.
    ///
    /// ```
    /// use futures_lite::future::{block_on, poll_once};
    /// use redeliver::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::builder("tiny").capacity(1).open()?;
    /// let producer = queue.producer();
    /// block_on(producer.send_async("first"))?;
    /// assert!(block_on(poll_once(producer.send_async("second"))).is_none()); // full: it waited, was dropped, and sent nothing
    /// queue.close();
    /// let error = block_on(producer.send_async("third")).unwrap_err();
    /// assert_eq!((error.kind, error.message), (SendErrorKind::Closed, "third"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](crate::SendErrorKind::Closed).
    pub fn send_async(&self, message: T) -> impl Future<Output = Result<MessageId, SendError<T>>> + Send + Unpin + '_ {
        Sending::new(&self.hub, message, |hub: &Core<T>, message| {
            hub.accept_fast(message, |hub, message| hub.try_accept(message))
        })
    }

    /// Sends a message, and waits for room no longer than `limit` by the queue's clock.
    ///
    /// ```
    /// use redeliver::{Queue, SendErrorKind};
    /// use std::time::Duration;
    ///
    /// let queue = Queue::builder("tiny").capacity(1).open()?;
    /// queue.producer().send("first")?;
    /// let error = queue.producer().send_timeout("second", Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.kind, SendErrorKind::Timeout);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Timeout`](crate::SendErrorKind::Timeout), [`Closed`](crate::SendErrorKind::Closed).
    pub fn send_timeout(&self, message: T, limit: Duration) -> Result<MessageId, SendError<T>> {
        let deadline = self.hub.side.deadline(limit);
        self.hub.accept(message, deadline)
    }

    /// Sends messages in order, and waits for room as [`send`](Self::send) does. They are collected first, so that an
    /// iterator's own work never holds up the queue.
    ///
    /// ```
    /// use redeliver::Queue;
    ///
    /// let queue = Queue::in_memory("numbers");
    /// let ids = queue.producer().send_batch(1..=3)?;
    /// assert_eq!((ids.len(), queue.len()), (3, 3));
    ///
    /// queue.close();
    /// assert_eq!(queue.producer().send_batch(4..=5).unwrap_err().unsent, [4, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Where a message cannot be sent, those before it are, and those from it on come back.
    pub fn send_batch(&self, messages: impl IntoIterator<Item = T>) -> Result<Vec<MessageId>, BatchError<T>> {
        let mut messages = messages.into_iter().collect::<Vec<_>>().into_iter();
        let mut sent = Vec::with_capacity(messages.len());
        match self.hub.accept_batch(&mut messages, &mut sent) {
            Ok(()) => Ok(sent),
            Err(SendError { kind, message }) => {
                Err(BatchError { sent, kind, unsent: std::iter::once(message).chain(messages).collect() })
            }
        }
    }

    /// Sends a message without ever waiting: one that finds no room is recorded, and sent again when the queue's `resend`
    /// policy says. The receipt tells how it ended.
    ///
    /// ```
    /// use redeliver::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::builder("tiny").capacity(1).resend_capacity(1).open()?;
    /// let producer = queue.producer();
    /// let accepted = producer.submit("first")?;
    /// let recorded = producer.submit("second")?; // no room: sent again later
    /// let refused = producer.submit("third").unwrap_err(); // and no room for another record
    /// assert_eq!((refused.kind, refused.message), (SendErrorKind::Full, "third"));
    /// # let _ = (accepted, recorded);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Full`](crate::SendErrorKind::Full) if the resend ledger is full too, [`Closed`](crate::SendErrorKind::Closed).
    ///
    /// See [`Receipt`] and [`Unsent`](crate::Unsent) for examples.
    pub fn submit(&self, message: T) -> Result<Receipt, SendError<T>> {
        self.hub.submit(message, None, Headers::new())
    }

    /// A message with more to it: headers, a key.
    ///
    /// ```
    /// use redeliver::Queue;
    ///
    /// let queue = Queue::in_memory("mail");
    /// queue.producer().message("hello").key("user-7").header("traceparent", "00-4bf9-00f0-01").send()?;
    /// let delivery = queue.consumer().recv()?;
    /// assert_eq!(delivery.key(), Some("user-7"));
    /// assert_eq!(delivery.headers().get_str("traceparent"), Some("00-4bf9-00f0-01"));
    /// assert_eq!(delivery.headers().get_str("tracestate"), None);
    /// # delivery.ack()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn message(&self, message: T) -> MessageBuilder<'_, T> {
        MessageBuilder { producer: self, message, key: None, headers: Headers::new() }
    }
}

impl<T: Send + Sync + 'static> Clone for Producer<T> {
    fn clone(&self) -> Self {
        Producer { hub: self.hub.clone() }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("queue", &self.hub.side.settings.name).finish_non_exhaustive()
    }
}

/// A message on its way to be sent. See [`Producer::message`].
///
/// ```
/// use redeliver::{Queue, SendErrorKind};
///
/// let queue = Queue::builder("mail").capacity(1).open()?;
/// let producer = queue.producer();
/// producer.message("hello").key("user-7").header("trace", "4bf92f").send()?;
/// let error = producer.message("no room").key("user-8").try_send().unwrap_err();
/// assert_eq!((error.kind, error.message), (SendErrorKind::Full, "no room"));
///
/// let delivery = queue.consumer().recv()?;
/// assert_eq!((delivery.key(), delivery.headers().get_str("trace")), (Some("user-7"), Some("4bf92f")));
/// delivery.ack()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is sent before `send`, `try_send` or `submit`"]
pub struct MessageBuilder<'a, T: Send + Sync + 'static> {
    producer: &'a Producer<T>,
    message: T,
    key: Option<Box<str>>,
    headers: Headers,
}

impl<T: Send + Sync + 'static> MessageBuilder<'_, T> {
    /// What the message is about: shown to policies, deliveries and filters.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into().into_boxed_str());
        self
    }

    /// Adds a header; one of the same name is replaced.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn is_plain(&self) -> bool {
        self.key.is_none() && self.headers.is_empty()
    }

    /// As [`Producer::send`].
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn send(self) -> Result<MessageId, SendError<T>> {
        if self.is_plain() {
            return self.producer.send(self.message);
        }
        let hub = &self.producer.hub;
        hub.accept_boxed(hub.new_envelope(self.message, self.key, self.headers), None).map_err(unboxed)
    }

    /// As [`Producer::send_async`].
    ///
    /// # Errors
    /// As [`Producer::send_async`].
    pub async fn send_async(self) -> Result<MessageId, SendError<T>> {
        if self.is_plain() {
            return self.producer.send_async(self.message).await;
        }
        let hub: &Core<T> = &self.producer.hub;
        let envelope = hub.new_envelope(self.message, self.key, self.headers);
        Sending::new(hub, envelope, |hub: &Core<T>, envelope| hub.try_accept_boxed(envelope)).await.map_err(unboxed)
    }

    /// As [`Producer::try_send`].
    ///
    /// # Errors
    /// As [`Producer::try_send`].
    pub fn try_send(self) -> Result<MessageId, SendError<T>> {
        if self.is_plain() {
            return self.producer.try_send(self.message);
        }
        let hub = &self.producer.hub;
        hub.try_accept_boxed(hub.new_envelope(self.message, self.key, self.headers)).map_err(unboxed)
    }

    /// As [`Producer::submit`].
    ///
    /// # Errors
    /// As [`Producer::submit`].
    pub fn submit(self) -> Result<Receipt, SendError<T>> {
        self.producer.hub.submit(self.message, self.key, self.headers)
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for MessageBuilder<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageBuilder").field("key", &self.key).field("headers", &self.headers).finish_non_exhaustive()
    }
}
