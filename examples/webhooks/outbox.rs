//! The sending side: submits every event, and keeps the receipts until each is resolved.
//!
//! `submit` never blocks. While the queue is full it records the event in the resend ledger, and
//! the receipt resolves when a later try got through. The ledger is bounded too; when it is full,
//! `submit` gives the event back and it waits here.

use std::collections::VecDeque;
use std::time::Duration;

use redeliver::{MessageId, Producer, Receipt, SendError, SendErrorKind};

use crate::events::Event;

/// The id of each event, in the order of the file: `None` where the resend policy gave up, which
/// makes it a dead letter.
pub type Sent = Vec<Option<MessageId>>;

/// Returns when every receipt is resolved: after that, nothing is unsent and the queue can be
/// closed.
pub fn submit_all(producer: &Producer<Event>, events: &[Event]) -> Result<Sent, SendError<Event>> {
    let mut outbox = Outbox::default();
    for event in events {
        outbox.submit(producer, event.clone())?;
    }
    Ok(outbox.wait_for_all())
}

#[derive(Default)]
struct Outbox {
    resolved: Sent,
    /// In the order of the file, so that what resolves at the front belongs to the event after the
    /// last of `resolved`.
    pending: VecDeque<Receipt>,
}

impl Outbox {
    fn submit(&mut self, producer: &Producer<Event>, mut event: Event) -> Result<(), SendError<Event>> {
        loop {
            match producer.submit(event) {
                Ok(receipt) => {
                    self.pending.push_back(receipt);
                    return Ok(());
                }
                Err(error) if matches!(error.kind, SendErrorKind::Full) => {
                    event = error.into_inner();
                    self.wait_for_room();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Room in the ledger comes when one of our own receipts resolves, so the oldest of them is the
    /// thing to wait for.
    fn wait_for_room(&mut self) {
        const PATIENCE: Duration = Duration::from_millis(5);
        match self.pending.front().map(|oldest| oldest.wait_timeout(PATIENCE)) {
            Some(Some(outcome)) => {
                self.pending.pop_front();
                self.resolved.push(outcome.ok());
            }
            // The oldest still waits, but a younger one may have made room: try again.
            Some(None) => {}
            None => std::thread::sleep(PATIENCE),
        }
    }

    fn wait_for_all(mut self) -> Sent {
        self.resolved.extend(self.pending.into_iter().map(|receipt| receipt.wait().ok()));
        self.resolved
    }
}
