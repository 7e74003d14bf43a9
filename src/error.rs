//! One error per verb. Those that could not take a message give it back; none prints a payload, so none needs anything of
//! the message's type.

use crate::delivery::Delivery;
use crate::message::MessageId;
use crate::protect::ProtectionError;
use crate::retry::PolicyError;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a message was not accepted.
///
/// ```
/// use redeliver::{Queue, SendErrorKind};
///
/// let queue = Queue::builder("tiny").capacity(1).open()?;
/// queue.producer().send(1)?;
/// assert_eq!(queue.producer().try_send(2).unwrap_err().kind, SendErrorKind::Full);
/// queue.close();
/// assert_eq!(queue.producer().try_send(2).unwrap_err().kind, SendErrorKind::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// The queue is full; for a [`submit`](crate::Producer::submit): the resend ledger is full too.
    Full,
    /// The queue is closed.
    Closed,
    /// There was no room within the time allowed.
    Timeout,
}

impl fmt::Display for SendErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendErrorKind::Full => "the queue is full",
            SendErrorKind::Closed => "the queue is closed",
            SendErrorKind::Timeout => "the queue stayed full for the time allowed",
        })
    }
}

/// A send that failed, with the message in it.
///
/// ```
/// use redeliver::{Queue, SendErrorKind};
///
/// let queue = Queue::in_memory("mail");
/// queue.close();
/// let error = queue.producer().send("hello").unwrap_err();
/// assert_eq!(error.kind, SendErrorKind::Closed);
/// assert_eq!(error.into_inner(), "hello"); // not lost
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SendError<T> {
    /// What went wrong.
    pub kind: SendErrorKind,
    /// The message that was not sent.
    pub message: T,
}

impl<T> SendError<T> {
    /// The message that was not sent.
    pub fn into_inner(self) -> T {
        self.message
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message not sent: {}", self.kind)
    }
}

impl<T> Error for SendError<T> {}

/// A batch of which only the first messages were sent.
///
/// ```
/// use redeliver::Queue;
///
/// let queue = Queue::in_memory("mail");
/// queue.close();
/// let error = queue.producer().send_batch(["a", "b"]).unwrap_err();
/// assert!(error.sent.is_empty());
/// assert_eq!(error.unsent, ["a", "b"]); // in their order
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BatchError<T> {
    /// The ids of the messages that were sent: a prefix of the batch.
    pub sent: Vec<MessageId>,
    /// Why the next one was not.
    pub kind: SendErrorKind,
    /// The messages that were not sent, in order.
    pub unsent: Vec<T>,
}

impl<T> fmt::Debug for BatchError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchError")
            .field("sent", &self.sent.len())
            .field("kind", &self.kind)
            .field("unsent", &self.unsent.len())
            .finish()
    }
}

impl<T> fmt::Display for BatchError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages sent, {} not sent: {}", self.sent.len(), self.unsent.len(), self.kind)
    }
}

impl<T> Error for BatchError<T> {}

/// Nothing will be received any more.
///
/// ```
/// use redeliver::{Queue, RecvError};
///
/// let queue = Queue::in_memory("mail");
/// queue.producer().send("the last one")?;
/// queue.close();
/// let consumer = queue.consumer();
/// consumer.recv()?.ack()?; // what was sent is still handed out
/// assert_eq!(consumer.recv().unwrap_err(), RecvError::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The queue is closed, and every message of it is settled.
    #[error("the queue is closed and every message of it is settled")]
    Closed,
}

/// Nothing was received.
///
/// ```
/// use redeliver::{Queue, TryRecvError};
///
/// let queue = Queue::in_memory("mail");
/// queue.producer().send("hello")?;
/// let held = queue.consumer().try_recv()?;
/// queue.close();
/// assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Empty); // it may come back
/// held.ack()?;
/// assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// Nothing is ready now.
    #[error("no message is ready")]
    Empty,
    /// The queue is closed, and every message of it is settled.
    #[error("the queue is closed and every message of it is settled")]
    Closed,
}

/// Nothing was received in the time allowed.
///
/// ```
/// use redeliver::{Queue, RecvTimeoutError};
/// use std::time::Duration;
///
/// let queue = Queue::<u32>::in_memory("quiet");
/// let moment = Duration::from_millis(1);
/// assert_eq!(queue.consumer().recv_timeout(moment).unwrap_err(), RecvTimeoutError::Timeout);
/// queue.close();
/// assert_eq!(queue.consumer().recv_timeout(moment).unwrap_err(), RecvTimeoutError::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RecvTimeoutError {
    /// Nothing became ready in time.
    #[error("no message became ready in the time allowed")]
    Timeout,
    /// The queue is closed, and every message of it is settled.
    #[error("the queue is closed and every message of it is settled")]
    Closed,
}

/// Why a delivery could not be settled.
///
/// ```
/// use redeliver::{Immediate, ManualClock, Queue, SettleErrorKind};
/// use std::time::Duration;
///
/// let (clock, lease) = (ManualClock::new(), Duration::from_secs(30));
/// let queue = Queue::builder("mail").lease(lease).retry(Immediate).clock(clock.clone()).open()?;
/// queue.producer().send(String::from("hello"))?;
/// let late = queue.consumer().recv()?;
/// clock.advance(lease);
/// let again = queue.consumer().recv()?;
/// let shared = again.into_message().unwrap_err(); // the late handle still reads it
/// assert_eq!(shared.kind, SettleErrorKind::Shared);
/// assert_eq!(late.ack().unwrap_err().kind, SettleErrorKind::StaleLease);
/// shared.delivery.into_message()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SettleErrorKind {
    /// The lease was lost: the message is, or will be, somebody else's.
    StaleLease,
    /// A late handle of an earlier attempt still reads the message, so it cannot be moved out.
    Shared,
}

impl fmt::Display for SettleErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SettleErrorKind::StaleLease => "the lease was lost",
            SettleErrorKind::Shared => "a late handle still reads the message",
        })
    }
}

/// A settle that changed nothing, with the delivery in it. Dropping that delivery is no nack.
///
/// ```
/// use redeliver::{ManualClock, Never, Queue};
/// use std::time::Duration;
///
/// let (clock, lease) = (ManualClock::new(), Duration::from_secs(30));
/// let queue = Queue::builder("mail").lease(lease).retry(Never).clock(clock.clone()).open()?;
/// queue.producer().send("hello")?;
/// let delivery = queue.consumer().recv()?;
/// clock.advance(lease);
/// let error = delivery.ack().unwrap_err();
/// assert!(error.to_string().ends_with("not settled: the lease was lost"));
/// assert_eq!(*error.delivery, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SettleError<T: Send + Sync + 'static> {
    /// What went wrong.
    pub kind: SettleErrorKind,
    /// The delivery as it was.
    pub delivery: Delivery<T>,
}

impl<T: Send + Sync + 'static> fmt::Debug for SettleError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleError").field("kind", &self.kind).field("id", &self.delivery.id()).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> fmt::Display for SettleError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delivery {} not settled: {}", self.delivery.id(), self.kind)
    }
}

impl<T: Send + Sync + 'static> Error for SettleError<T> {}

/// The lease was lost: stop working on the message, somebody else has it or will have it.
///
/// ```
/// use redeliver::{ManualClock, Queue, StaleLease};
/// use std::time::Duration;
///
/// let (clock, second) = (ManualClock::new(), Duration::from_secs(1));
/// let queue = Queue::builder("mail").lease(second).clock(clock.clone()).open()?;
/// queue.producer().send("hello")?;
/// let delivery = queue.consumer().recv()?;
/// delivery.extend(2 * second)?;
/// clock.advance(2 * second);
/// assert_eq!(delivery.extend(second), Err(StaleLease));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the lease was lost")]
pub struct StaleLease;

/// Why a receipt did not end in a confirmed message.
///
/// ```
/// use redeliver::{Fixed, Queue, ReceiptError};
/// use std::time::Duration;
///
/// let queue = Queue::builder("tiny").capacity(1).resend(Fixed::new(Duration::from_secs(60))).open()?;
/// queue.producer().send(1)?;
/// let receipt = queue.producer().submit(2)?;
/// queue.close(); // what was never accepted is a dead letter
/// assert_eq!(receipt.wait(), Err(ReceiptError::GivenUp));
/// assert_eq!(queue.dead_letters().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The resend policy gave up, or the queue was closed first: the message is a dead letter.
    #[error("the message was given up and is a dead letter")]
    GivenUp,
    /// The queue ended before the message was confirmed: it may or may not survive. Send it again with the same id.
    #[error("the queue ended before the message was confirmed")]
    Unknown,
}

/// A queue that did not become empty in the time allowed.
///
/// ```
/// use redeliver::Queue;
/// use std::time::Duration;
///
/// let queue = Queue::in_memory("mail");
/// queue.producer().send("hello")?;
/// let held = queue.consumer().recv()?;
/// let error = queue.drain(Duration::from_millis(1)).unwrap_err();
/// assert_eq!((error.unsettled, error.unsent), (1, 0));
/// held.ack()?;
/// queue.drain(Duration::from_millis(1))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("after {waited:?} {unsettled} messages were not settled and {unsent} not sent")]
#[non_exhaustive]
pub struct DrainError {
    /// How long it was waited for.
    pub waited: Duration,
    /// Messages ready, in flight or waiting for their next attempt.
    pub unsettled: u64,
    /// Records in the resend ledger.
    pub unsent: u64,
}

/// A queue that could not be opened: which setting, why, and what to do.
///
/// ```
/// use redeliver::{OpenError, Queue};
///
/// let error = Queue::<u32>::builder("none").capacity(0).open().unwrap_err();
/// assert!(matches!(error, OpenError::Capacity { asked: 0, .. }));
/// assert!(error.to_string().starts_with("capacity 0: a queue holds 1 to"));
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// `capacity(0)`, or more seats than a ring can count.
    #[error(
        "capacity {asked}: a queue holds 1 to {max} messages; ask for as many as may be ready or in flight at once"
    )]
    Capacity {
        /// What was asked for.
        asked: usize,
        /// The largest capacity.
        max: usize,
    },
    /// There is no memory for this capacity.
    #[error("no memory for capacity {asked} ({bytes} bytes): ask for less")]
    OutOfMemory {
        /// What was asked for.
        asked: usize,
        /// What it would take.
        bytes: usize,
    },
    /// A lease of less than a millisecond.
    #[error("a lease of {asked:?}: leases are counted in milliseconds, and one must outlast a handler's work")]
    Lease {
        /// What was asked for.
        asked: Duration,
    },
    /// `max_deliveries(0)`: nothing could ever be delivered.
    #[error("max_deliveries(0) would deliver nothing: ask for 1 or more, or u32::MAX for no limit")]
    MaxDeliveries,
    /// `dead_letter_capacity(0)`: dead letters are never dropped, so there must be room for one.
    #[error("dead_letter_capacity(0): dead letters are never dropped, so there must be room for at least one")]
    DeadLetterCapacity,
    /// A policy whose settings make no sense.
    #[error("the {verb} policy: {error}")]
    Policy {
        /// `retry` or `resend`.
        verb: &'static str,
        /// What is wrong with it.
        #[source]
        error: PolicyError,
    },
    /// The policy promises more deliveries than `max_deliveries` allows.
    #[error(
        "the retry policy promises {promised} deliveries, max_deliveries allows {max}: raise it (u32::MAX lifts it)"
    )]
    Promise {
        /// `u32::MAX` for a policy that never ends.
        promised: u32,
        /// The queue's last word.
        max: u32,
    },
    /// A retry budget or a breaker whose settings make no sense.
    #[error("{0}")]
    Protection(#[source] ProtectionError),
}

/// An export that ended early. It is inside the `io::Error` that
/// [`DeadLetters::export`](crate::DeadLetters::export) returns, which has the writer's kind; the writer's own error is its
/// source.
///
/// ```
/// use redeliver::{ExportError, Never, Queue};
/// use std::io::ErrorKind;
///
/// let queue = Queue::builder("mail").retry(Never).open()?;
/// queue.producer().send("hello")?;
/// queue.consumer().recv()?.nack("no such user")?;
///
/// let mut too_short = [0; 20];
/// let error = queue.dead_letters().export(&mut too_short[..]).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::WriteZero);
/// let error: &ExportError = error.get_ref().and_then(|inner| inner.downcast_ref()).expect("an export's");
/// assert_eq!(error.lines(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ExportError {
    pub(crate) lines: usize,
    pub(crate) source: io::Error,
}

impl ExportError {
    /// How many lines the writer took whole. What it made of them is its own affair: one with a buffer may have lost some.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.lines
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the export ended after {} complete lines: {}", self.lines, self.source)
    }
}

impl Error for ExportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
