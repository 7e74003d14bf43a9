//! The dead letters of a queue, as their owner works with them: look, export, bring back, drop.

mod export;
mod json;
mod rate;
mod rfc3339;

pub use rate::{Rate, RateError};

use crate::hub::Hub;
use crate::letters::{DeadLetter, Filter};
use crate::message::MessageId;
use crate::ring::Door;
use export::export;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::sync::Arc;

/// The dead letters of a queue. A handle like any other: it keeps the queue's memory, and not the queue open.
///
/// ```
/// use redeliver::{Never, Queue};
///
/// let queue = Queue::builder("mail").retry(Never).open()?;
/// let id = queue.producer().send("hello")?;
/// queue.consumer().recv()?.nack("no such user")?;
///
/// let dead = queue.dead_letters();
/// assert_eq!(dead.get(id).unwrap().reason(), "no such user");
/// assert!(dead.redrive(id)); // ready once more
/// assert!(!dead.redrive(id)); // it is no dead letter any more
/// let delivery = queue.consumer().recv()?;
/// assert_eq!((delivery.id(), delivery.attempt()), (id, 1));
/// # delivery.ack()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DeadLetters<T: Send + Sync + 'static> {
    hub: Door<Hub<T>>,
}

impl<T: Send + Sync + 'static> DeadLetters<T> {
    pub(crate) fn new(hub: Door<Hub<T>>) -> Self {
        DeadLetters { hub }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hub.side.ledger.lock().dead.len()
    }

    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that the filter means, in the order in which they died. All of them: there is no hidden limit.
    /// What dies or leaves while it looks may be missing.
    #[must_use]
    pub fn list(&self, filter: Filter) -> Vec<Arc<DeadLetter<T>>> {
        self.hub.list(filter)
    }

    /// The one with this id.
    #[must_use]
    pub fn get(&self, id: MessageId) -> Option<Arc<DeadLetter<T>>> {
        self.hub.side.ledger.lock().dead.get(id).cloned()
    }

    /// Brings one back: it is ready again, with its id and history, and starts again at attempt 1. Enters even when the
    /// queue is full, and sends wait. False if there is no such dead letter, or if the last [`Queue`](crate::Queue) and
    /// [`Consumer`](crate::Consumer) are gone and nobody could receive it.
    pub fn redrive(&self, id: MessageId) -> bool {
        self.hub.redrive(id)
    }

    /// As [`redrive`](Self::redrive), for those that the filter means, in the order in which they died; returns how many.
    /// Never waits: at a [`Rate`] they all leave the store now, and wait as delayed messages, by the queue's clock, until
    /// their turn comes. Each call has a rate of its own.
    ///
    /// ```
    /// use redeliver::{Filter, ManualClock, Never, Queue, Rate};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let queue = Queue::builder("mail").retry(Never).clock(clock.clone()).open()?;
    /// queue.producer().send_batch(0..100)?;
    /// queue.consumer().recv_batch(100)?.nack_all("the server was down").unwrap();
    ///
    /// let dead = queue.dead_letters();
    /// assert_eq!(dead.redrive_all(Filter::all().reason_is("another reason"), Rate::unlimited()), 0);
    /// assert_eq!(dead.redrive_all(Filter::all(), Rate::per_second(10)), 100);
    /// clock.advance(Duration::from_millis(999));
    /// assert_eq!((queue.stats().ready, queue.stats().delayed, dead.len()), (10, 90, 0));
    /// assert_eq!(queue.consumer().recv()?.attempt(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// What waits for its turn is an accepted message like any other that waits: a pause holds it back, a
    /// [`drain`](crate::Queue::drain) waits for it, and a closed queue still hands it out when its time comes. Where the last
    /// [`Queue`](crate::Queue) and [`Consumer`](crate::Consumer) are gone, nothing is brought back.
    pub fn redrive_all(&self, filter: Filter, rate: Rate) -> usize {
        self.hub.redrive_all(filter, rate)
    }

    /// Writes all of them as JSON lines, in the order in which they died, and returns how many. Nothing changes in the store,
    /// whatever the writer does, and no lock is held while it works; letters that die or leave meanwhile may be missing.
    /// A file wants a `BufWriter` around it: each line is one write.
    ///
    /// ```
    /// use redeliver::{Never, Queue};
    ///
    /// let queue = Queue::builder("mail").retry(Never).open()?;
    /// queue.producer().message("hello").key("user-7").header("tenant", "north").send()?;
    /// queue.consumer().recv()?.nack("no such user")?;
    ///
    /// let mut lines = Vec::new();
    /// assert_eq!(queue.dead_letters().export(&mut lines)?, 1);
    /// let line: serde_json::Value = serde_json::from_slice(&lines)?;
    /// assert_eq!((&line["reason"], &line["key"]), (&"no such user".into(), &"user-7".into()));
    /// assert_eq!(line["headers"]["tenant"]["text"], "north");
    /// assert_eq!(line["attempts"][0]["rule"], "Never");
    ///
    /// let full_disk: &mut [u8] = &mut [];
    /// let error = queue.dead_letters().export(full_disk).unwrap_err();
    /// assert!(error.to_string().contains("after 0 complete lines"));
    /// assert_eq!(queue.dead_letters().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A line is an object of these, in this order:
    ///
    /// | key | value |
    /// |---|---|
    /// | `id`, `reason` | texts |
    /// | `key` | a text, or `null` |
    /// | `headers` | an object: each name with `{"text": …}`, or `{"base64": …}` if its value is not UTF-8 |
    /// | `sent_at`, `died_at` | RFC 3339, UTC, milliseconds; `null` outside of the years 0 to 9999 |
    /// | `attempts` | an array of the failed attempts, oldest first: `attempt` (a number), `at` (as above), `error`, `error_type` (or `null`), `delay_ms` (rounded up; `null` where it was given up), `rule` |
    ///
    /// The message itself is not in it, for nothing is known of its type: see [`export_with`](Self::export_with).
    ///
    /// # Errors
    /// The writer's error, with its kind, around an [`ExportError`](crate::ExportError) that says how many lines are complete;
    /// part of the next may have been written. A writer that panics is an error of kind `Other`. Interrupted and short writes
    /// are no errors: it goes on.
    pub fn export(&self, writer: impl Write) -> io::Result<usize> {
        export(self.hub.list(Filter::all()), writer, |_| None)
    }

    /// As [`export`](Self::export), with one key more, `message`: the text that `show` makes of the message.
    ///
    /// ```
    /// use redeliver::{Never, Queue};
    ///
    /// let queue = Queue::builder("squares").retry(Never).open()?;
    /// queue.producer().send(7_u32)?;
    /// queue.consumer().recv()?.nack("no square")?;
    ///
    /// let mut lines = Vec::new();
    /// queue.dead_letters().export_with(&mut lines, |number| number.to_string())?;
    /// assert!(String::from_utf8(lines)?.ends_with("\"message\":\"7\"}\n"));
    ///
    /// let error = queue.dead_letters().export_with(Vec::new(), |_| -> String { panic!("no words for it") });
    /// assert!(error.unwrap_err().to_string().contains("no words for it"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`export`](Self::export); a `show` that panics is an error of kind `Other`.
    pub fn export_with<S: Display>(&self, writer: impl Write, mut show: impl FnMut(&T) -> S) -> io::Result<usize> {
        export(self.hub.list(Filter::all()), writer, move |message| Some(show(message).to_string()))
    }

    /// Drops those that the filter means, and returns how many. A letter that somebody still looks at is readable until they
    /// let go of it. Messages that waited for room in the store move up.
    ///
    /// ```
    /// use redeliver::{Filter, Never, Queue};
    ///
    /// let queue = Queue::builder("mail").retry(Never).open()?;
    /// queue.producer().send_batch(["a", "b"])?;
    /// queue.consumer().recv()?.nack("no such user")?;
    /// queue.consumer().recv()?.nack("timeout")?;
    ///
    /// let dead = queue.dead_letters();
    /// assert_eq!(dead.purge(Filter::all().error_contains("such")), 1);
    /// assert_eq!(dead.purge(Filter::all().error_contains("such")), 0); // none is left
    /// assert_eq!((dead.len(), queue.stats().purged), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn purge(&self, filter: Filter) -> usize {
        self.hub.purge(filter)
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for DeadLetters<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters").field("len", &self.len()).finish()
    }
}
