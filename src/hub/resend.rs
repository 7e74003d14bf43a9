//! Retransmission: a submit that found the queue full is recorded, sent again when its policy says, and forgotten when it
//! is accepted.

use super::*;
use crate::error::{ReceiptError, SendError, SendErrorKind};
use crate::ledger::Entry;
use crate::lifecycle::{State, Trigger};
use crate::receipt::{Pending, Receipt};
use crate::sync::MutexGuard;

impl<T: Send + Sync + 'static> Core<T> {
    /// Accepts the message, or records it for another try. Never waits.
    pub(crate) fn submit(&self, message: T, key: Option<Box<str>>, headers: Headers) -> Result<Receipt, SendError<T>> {
        let is_plain = key.is_none() && headers.is_empty();
        let message = if is_plain {
            match self.try_accept(message) {
                Ok(id) => return Ok(Receipt::accepted(id)),
                Err(SendError { kind: SendErrorKind::Full, message }) => message,
                Err(failed) => return Err(failed),
            }
        } else {
            message
        };
        let mut envelope = self.new_envelope(message, key, headers);
        if !is_plain {
            envelope = match self.try_accept_boxed(envelope) {
                Ok(id) => return Ok(Receipt::accepted(id)),
                Err(SendError { kind: SendErrorKind::Full, message: envelope }) => envelope,
                Err(error) => return Err(unboxed(error)),
            };
        }
        self.record_unsent(envelope).map_err(unboxed)
    }

    fn record_unsent(&self, envelope: Arc<Envelope<T>>) -> Result<Receipt, SendError<Arc<Envelope<T>>>> {
        let mut ledger = self.side.ledger.lock();
        if self.ring.is_closed() {
            return Err(SendError { kind: SendErrorKind::Closed, message: envelope });
        }
        if ledger.records >= self.side.settings.resend_capacity {
            return Err(SendError { kind: SendErrorKind::Full, message: envelope });
        }
        let (id, sent_ms, pending) = (envelope.id, envelope.sent_ms, Arc::new(Pending::new()));
        let key = ledger.admit(envelope, State::Unsent, 1, sent_ms);
        ledger.entry(key).receipt = Some(pending.clone());
        ledger.records += 1;
        ledger.go(key, Trigger::Refused);
        self.enlist(&mut ledger);
        self.unlock(ledger);
        self.decide(key, Fault::Full);
        Ok(Receipt::pending(id, pending))
    }

    /// An unsent record has fallen due: sends it again.
    pub(super) fn resend(&self, mut ledger: MutexGuard<'_, Ledger<T>>, key: u32) {
        ledger.counts.retransmissions += 1;
        match self.find_room_locked(&mut ledger) {
            Ok(place) => {
                ledger.go(key, Trigger::Accepted);
                ledger.records -= usize::from(!planted!("a-record-outlives-its-success"));
                // The envelope moves: as soon as it is seated its receiver may want the message out of it.
                let Entry { envelope, receipt, .. } = ledger.take(key);
                if let Some(receipt) = receipt
                    && !planted!("a-receipt-is-never-told")
                {
                    ledger.aftermath.receipts.push((receipt, Ok(envelope.id)));
                }
                match place {
                    Some(pos) => self.put_boxed(pos, envelope),
                    None => ledger.overflow.push_back(envelope),
                }
                self.unlock(ledger);
                self.tell_sent();
            }
            Err(kind) => {
                let entry = ledger.entry(key);
                entry.attempt = entry.attempt.saturating_add(1);
                ledger.go(key, Trigger::Refused);
                self.unlock(ledger);
                self.decide(key, if kind == SendErrorKind::Closed { Fault::Closed } else { Fault::Full });
            }
        }
    }

    /// The queue is closed: what was never accepted is a dead letter.
    pub(super) fn give_up_unsent(&self) {
        let mut ledger = self.side.ledger.lock();
        let keys = ledger.keys_of(State::Unsent);
        for &key in &keys {
            ledger.go(key, Trigger::Refused);
        }
        self.unlock(ledger);
        for key in keys {
            self.decide(key, Fault::Closed);
        }
    }

    /// The last handle is gone: nobody will send what is recorded.
    pub(super) fn forget_receipts(ledger: &mut Ledger<T>) -> Vec<Arc<Pending>> {
        ledger.entries_mut().filter_map(|entry| entry.receipt.take()).collect()
    }
}

/// The message out of a box that was not accepted.
pub(crate) fn unboxed<T: Send + Sync + 'static>(error: SendError<Arc<Envelope<T>>>) -> SendError<T> {
    match Arc::try_unwrap(error.message).map(Envelope::into_message) {
        Ok(Ok(message)) => SendError { kind: error.kind, message },
        _ => unreachable!("a box that was not accepted has one owner and holds its message itself"),
    }
}

pub(super) const UNKNOWN: Result<MessageId, ReceiptError> = Err(ReceiptError::Unknown);
