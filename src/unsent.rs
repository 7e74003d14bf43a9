//! The resend ledger as its owner sees it: what was submitted and is not accepted yet.

use crate::hub::Hub;
use crate::message::MessageId;
use crate::ring::Door;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// What was submitted and found no room, until it does or its policy gives up.
///
/// ```
/// use redeliver::{Fixed, ManualClock, Queue};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let second = Duration::from_secs(1);
/// let queue = Queue::builder("tiny").capacity(1).resend(Fixed::new(second)).clock(clock.clone()).open()?;
/// let producer = queue.producer();
/// producer.send("first")?;
/// let receipt = producer.submit("second")?;
///
/// let unsent = queue.unsent();
/// assert_eq!(unsent.len(), 1);
/// assert_eq!((unsent.list()[0].attempt(), unsent.list()[0].error()), (1, "the queue was full"));
///
/// queue.consumer().recv()?.ack()?; // there is room now …
/// assert_eq!(unsent.len(), 1);
/// clock.advance(second); // … and the policy's time has come: sent again, and its record deleted
/// assert!(unsent.is_empty());
/// assert_eq!(queue.consumer().recv()?.id(), receipt.wait()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Unsent<T: Send + Sync + 'static> {
    hub: Door<Hub<T>>,
}

impl<T: Send + Sync + 'static> Unsent<T> {
    pub(crate) fn new(hub: Door<Hub<T>>) -> Self {
        Unsent { hub }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hub.records()
    }

    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records, by the time of their next try.
    #[must_use]
    pub fn list(&self) -> Vec<UnsentMessage> {
        self.hub.unsent()
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Unsent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsent").field("len", &self.len()).finish()
    }
}

/// A record of the resend ledger. See [`Unsent`].
///
/// ```
/// use redeliver::{Fixed, ManualClock, Queue};
/// use std::time::Duration;
///
/// let (clock, second) = (ManualClock::new(), Duration::from_secs(1));
/// let resend = Fixed::new(second).max_attempts(2);
/// let queue = Queue::builder("tiny").capacity(1).resend(resend).clock(clock.clone()).open()?;
/// queue.producer().send(1)?;
/// let receipt = queue.producer().submit(2)?;
/// let record = &queue.unsent().list()[0];
/// assert_eq!((record.id(), record.attempt(), record.error()), (receipt.id(), 1, "the queue was full"));
/// clock.advance(second); // still no room, and the policy gives up
/// assert!(queue.unsent().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentMessage {
    pub(crate) id: MessageId,
    pub(crate) attempt: u32,
    pub(crate) error: Arc<str>,
    pub(crate) next_try: SystemTime,
}

impl UnsentMessage {
    /// The id under which it will be delivered.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// How often it was sent so far.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Why the last send failed.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// When it will be sent again, by the wall clock.
    #[must_use]
    pub fn next_try(&self) -> SystemTime {
        self.next_try
    }
}
