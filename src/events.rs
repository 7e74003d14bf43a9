//! What a queue tells while it runs: final transitions, each once, over bounded channels. No code of the user runs here.

use crate::message::MessageId;
use crate::sync::{AtomicU64, Mutex, Relaxed};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::sync::Arc;
use std::time::Duration;

/// As many events as a subscriber may leave unread before the newest are dropped and counted.
pub(crate) const EVENTS_MAX: usize = 1024;

/// Something that happened to a message for good, or that its owner should know.
///
/// ```
/// use redeliver::{Event, Never, Queue};
///
/// let queue = Queue::builder("mail").retry(Never).open()?;
/// let events = queue.events();
/// let id = queue.producer().send("hello")?;
/// queue.consumer().recv()?.nack("no such user")?;
/// assert!(matches!(events.try_recv()?, Event::DeadLettered { id: dead, .. } if dead == id));
/// assert!(events.try_recv().is_err()); // told once
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// The message is in the dead-letter store.
    #[non_exhaustive]
    DeadLettered {
        /// Which message.
        id: MessageId,
    },
    /// The message is past its policy, and waits for room in the dead-letter store, which is full.
    #[non_exhaustive]
    Parked {
        /// Which message.
        id: MessageId,
    },
    /// The resend policy has given up: the message was never accepted, and is a dead letter.
    #[non_exhaustive]
    GivenUp {
        /// Which message.
        id: MessageId,
    },
    /// A delivery lost its lease.
    #[non_exhaustive]
    LeaseLost {
        /// Which message.
        id: MessageId,
        /// Which attempt.
        attempt: u32,
    },
    /// The policy has discarded the message.
    #[non_exhaustive]
    Dropped {
        /// Which message.
        id: MessageId,
    },
    /// The breaker has opened: of this class nothing is handed out for a while.
    #[non_exhaustive]
    BreakerOpened {
        /// Which class; `""` for a breaker of the whole queue.
        class: Arc<str>,
        /// For how long.
        open_for: Duration,
    },
    /// The pause is over: of this class one message at a time is handed out, as a probe.
    #[non_exhaustive]
    BreakerHalfOpened {
        /// Which class.
        class: Arc<str>,
    },
    /// Enough probes have succeeded, or nothing of the class is left: everything is handed out again.
    #[non_exhaustive]
    BreakerClosed {
        /// Which class.
        class: Arc<str>,
    },
}

/// The subscribers of one queue.
pub(crate) struct Events {
    subscribers: Mutex<Vec<Sender<Event>>>,
    dropped: AtomicU64,
}

impl Events {
    pub(crate) fn new() -> Self {
        Events { subscribers: Mutex::new(Vec::new()), dropped: AtomicU64::new(0) }
    }

    pub(crate) fn subscribe(&self) -> Receiver<Event> {
        let (sender, receiver) = bounded(EVENTS_MAX);
        self.subscribers.lock().push(sender);
        receiver
    }

    pub(crate) fn tell(&self, event: Event) {
        self.subscribers.lock().retain(|subscriber| match subscriber.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}
