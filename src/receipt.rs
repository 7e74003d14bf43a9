//! The answer to a `submit` that was not accepted at once.

use crate::error::ReceiptError;
use crate::latch::Latch;
use crate::message::MessageId;
use crate::wait::Place;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) type Outcome = Result<MessageId, ReceiptError>;

/// The end of a submit: resolves when the message is confirmed, given up, or its queue ends.
///
/// In memory a message is confirmed when the queue has accepted it. Waiting is in real time, whatever the queue's clock.
///
/// ```
/// use redeliver::{Fixed, ManualClock, Queue, ReceiptError};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let second = Duration::from_secs(1);
/// let queue = Queue::builder("tiny")
///     .capacity(1)
///     .resend(Fixed::new(second).max_attempts(2))
///     .clock(clock.clone())
///     .open()?;
/// let producer = queue.producer();
/// let accepted = producer.submit("first")?;
/// let held = queue.consumer().recv()?; // and with it the only seat
/// assert_eq!(accepted.wait()?, held.id());
///
/// let receipt = producer.submit("second")?; // no room: taken up by the resend ledger
/// assert!(receipt.wait_timeout(Duration::ZERO).is_none());
/// clock.advance(second); // sent again, and still no room: the policy gives up
/// assert_eq!(receipt.wait(), Err(ReceiptError::GivenUp));
/// assert_eq!(queue.dead_letters().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a receipt tells whether the message was accepted in the end"]
pub struct Receipt {
    id: MessageId,
    pending: Option<Arc<Pending>>,
    place: Place,
}

impl Receipt {
    pub(crate) fn accepted(id: MessageId) -> Self {
        Receipt { id, pending: None, place: Place::default() }
    }

    pub(crate) fn pending(id: MessageId, pending: Arc<Pending>) -> Self {
        Receipt { id, pending: Some(pending), place: Place::default() }
    }

    /// The id under which the message is, or will be, delivered.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`ReceiptError::GivenUp`] if the message is a dead letter now, [`ReceiptError::Unknown`] if its queue has ended.
    pub fn wait(self) -> Result<MessageId, ReceiptError> {
        self.pending.as_ref().map_or(Ok(self.id), |pending| pending.wait(None).unwrap_or(Err(ReceiptError::Unknown)))
    }

    /// Waits for the end, but not longer than `limit`; `None` if it has not come by then.
    #[must_use]
    pub fn wait_timeout(&self, limit: Duration) -> Option<Result<MessageId, ReceiptError>> {
        match &self.pending {
            None => Some(Ok(self.id)),
            Some(pending) => pending.wait(Some(limit)),
        }
    }
}

/// As [`wait`](Receipt::wait), for a task. Dropping it cancels nothing: the message is sent, or given up, all the same.
///
/// ```
/// use futures_lite::future::block_on;
/// use redeliver::Queue;
///
/// let queue = Queue::in_memory("mail");
/// let receipt = queue.producer().submit("hello")?;
/// assert_eq!(block_on(receipt)?, queue.consumer().recv()?.id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Future for Receipt {
    type Output = Result<MessageId, ReceiptError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match &this.pending {
            None => Poll::Ready(Ok(this.id)),
            Some(pending) => pending.poll(&mut this.place, cx.waker()),
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(pending) = &self.pending {
            pending.leave(&mut self.place);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a receipt waits for.
pub(crate) type Pending = Latch<Outcome>;
