//! The box a message travels in when there is more to it than its bytes: headers, a key, an id of its own, a past.

use crate::hub::Hub;
use crate::message::{Headers, MessageId};
use crate::ring::{Guest, Load};
use std::sync::Arc;
use std::time::SystemTime;

/// A message with everything that is known of it. Shared by whoever may still read it: the ledger, deliveries, dead letters.
pub(crate) struct Envelope<T: Send + Sync + 'static> {
    pub(crate) id: MessageId,
    pub(crate) key: Option<Box<str>>,
    pub(crate) headers: Headers,
    pub(crate) sent_at: SystemTime,
    pub(crate) sent_ms: u64,
    pub(crate) payload: Payload<T>,
}

/// Where the message itself lives.
pub(crate) enum Payload<T: Send + Sync + 'static> {
    Here(T),
    /// Still in its seat, because a handle that lost its lease may be reading it there.
    InSeat(Guest<Hub<T>>),
}

impl<T: Send + Sync + 'static> Envelope<T> {
    pub(crate) fn message(&self) -> &T {
        match &self.payload {
            Payload::Here(message) => message,
            Payload::InSeat(guest) => match guest.peek() {
                Load::Plain(message) => message,
                Load::Boxed(envelope) => envelope.message(),
            },
        }
    }

    /// The seat in which the message still lives.
    pub(crate) fn seat(&self) -> Option<u64> {
        match &self.payload {
            Payload::Here(_) => None,
            Payload::InSeat(guest) => Some(guest.pos()),
        }
    }

    /// Moves the message out of its seat if nobody reads it there any more, and nobody else reads this envelope.
    pub(crate) fn unseat(this: &mut Arc<Self>) -> bool {
        Arc::get_mut(this).is_some_and(Envelope::unseat_alone)
    }

    fn unseat_alone(&mut self) -> bool {
        if let Payload::InSeat(guest) = &mut self.payload
            && let Some(Load::Plain(message)) = guest.try_take()
        {
            self.payload = Payload::Here(message);
            return true;
        }
        false
    }

    /// Could the message be moved out now, if this envelope had one owner?
    pub(crate) fn is_movable(&self) -> bool {
        match &self.payload {
            Payload::Here(_) => true,
            Payload::InSeat(guest) => guest.is_alone(),
        }
    }

    /// The message alone, or the envelope back if its seat is still being read.
    pub(crate) fn into_message(mut self) -> Result<T, Self> {
        if let Payload::InSeat(guest) = &mut self.payload {
            return match guest.try_take() {
                Some(Load::Plain(message)) => {
                    guest.tell_freed();
                    Ok(message)
                }
                _ => Err(self),
            };
        }
        match self.payload {
            Payload::Here(message) => Ok(message),
            Payload::InSeat(_) => Err(self),
        }
    }
}
