//! Messages taken together.

use crate::delivery::Delivery;
use crate::envelope::Envelope;
use crate::error::{SettleError, SettleErrorKind};
use crate::hub::Hub;
use crate::message::{Headers, MessageId};
use crate::panics::drop_contained;
use crate::reason::Reason;
use crate::ring::{Load, Run, Split};
use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Up to so many messages as were asked for, under one claim: [`ack_all`](Self::ack_all) settles them with one
/// compare-and-swap. Iterate by value to settle them one by one; what is dropped unsettled has failed.
///
/// ```
/// use redeliver::{Immediate, Queue};
///
/// let queue = Queue::builder("mail").retry(Immediate).open()?;
/// queue.producer().send_batch(["a", "b", "c"])?;
/// let consumer = queue.consumer();
///
/// let batch = consumer.recv_batch(2)?;
/// assert_eq!(batch.iter().map(|item| *item.message()).collect::<Vec<_>>(), ["a", "b"]);
/// batch.nack_all("the database is away").unwrap();
///
/// let batch = consumer.recv_batch(10)?; // all three: redeliveries first
/// assert_eq!(batch.len(), 3);
/// batch.ack_all().unwrap();
/// assert_eq!(queue.stats().acked, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a batch that is dropped has failed"]
pub struct Batch<T: Send + Sync + 'static> {
    run: Option<Run<Hub<T>>>,
    /// What was not under the run's claim: redeliveries, and what lay behind a gap.
    singles: Vec<Delivery<T>>,
}

impl<T: Send + Sync + 'static> Batch<T> {
    pub(crate) fn new(run: Option<Run<Hub<T>>>, singles: Vec<Delivery<T>>) -> Self {
        Batch { run, singles }
    }

    /// How many messages there are: at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.run.as_ref().map_or(0, Run::len) + self.singles.len()
    }

    /// Never true of a batch that was received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks at the messages without settling them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = BatchItem<'_, T>> {
        let run = self.run.iter().flat_map(|run| run.positions().map(move |pos| BatchItem(Item::OfRun(run, pos))));
        Items { items: run.chain(self.singles.iter().map(|single| BatchItem(Item::Single(single)))), left: self.len() }
    }

    /// Done with all of them.
    ///
    /// ```
    /// use redeliver::{ManualClock, Queue};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let queue = Queue::builder("mail").lease(Duration::from_secs(30)).clock(clock.clone()).open()?;
    /// queue.producer().send_batch(["a", "b", "c"])?;
    /// queue.consumer().recv_batch(2)?.ack_all().unwrap();
    ///
    /// let slow = queue.consumer().recv_batch(2)?;
    /// clock.advance(Duration::from_secs(30));
    /// let errors = slow.ack_all().unwrap_err();
    /// assert_eq!((errors.len(), *errors[0].delivery), (1, "c")); // stale, and still readable
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// One [`SettleError`] for each message whose lease was lost; the others are settled.
    pub fn ack_all(mut self) -> Result<(), Vec<SettleError<T>>> {
        let mut failed = Vec::new();
        if let Some(run) = self.run.take()
            && let Err(run) = run.ack_all()
        {
            failed.extend(run.split().map(Delivery::hot).map(stale));
        }
        failed.extend(std::mem::take(&mut self.singles).into_iter().filter_map(|delivery| delivery.ack().err()));
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }

    /// All of them failed, for the same reason; the policy decides for each, and sees the one error.
    ///
    /// ```
    /// use redeliver::{Never, Queue};
    ///
    /// let queue = Queue::builder("mail").retry(Never).open()?;
    /// queue.producer().send_batch(["a", "b"])?;
    /// queue.consumer().recv_batch(2)?.nack_all("the database is away").unwrap();
    /// assert_eq!(queue.dead_letters().len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// One [`SettleError`] for each message whose lease was lost; the others are settled.
    pub fn nack_all(self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Result<(), Vec<SettleError<T>>> {
        let Reason { error, error_type } = Reason::new(reason);
        let error: Arc<dyn Error + Send + Sync> = Arc::from(error);
        let reason = || Reason { error: error.clone(), error_type };
        let failed: Vec<_> = self.into_iter().filter_map(|delivery| delivery.nack_shared(reason()).err()).collect();
        drop_contained(error); // the last one: it is the user's
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }
}

fn stale<T: Send + Sync>(delivery: Delivery<T>) -> SettleError<T> {
    SettleError { kind: SettleErrorKind::StaleLease, delivery }
}

impl<T: Send + Sync + 'static> Drop for Batch<T> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            run.split().map(Delivery::hot).for_each(drop);
        }
    }
}

impl<T: Send + Sync + 'static> IntoIterator for Batch<T> {
    type Item = Delivery<T>;
    type IntoIter = BatchIntoIter<T>;

    fn into_iter(mut self) -> BatchIntoIter<T> {
        let run = self.run.take().map(Run::split);
        BatchIntoIter { run, singles: std::mem::take(&mut self.singles).into_iter() }
    }
}

/// The deliveries of a batch, one by one. Those that are left in it when it is dropped have failed.
///
/// ```
/// use redeliver::{Never, Queue};
///
/// let queue = Queue::builder("mail").retry(Never).open()?;
/// queue.producer().send_batch(["a", "b", "c"])?;
/// let mut deliveries = queue.consumer().recv_batch(3)?.into_iter();
/// deliveries.next().unwrap().ack()?;
/// drop(deliveries);
/// assert_eq!((queue.stats().acked, queue.stats().dead), (1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BatchIntoIter<T: Send + Sync + 'static> {
    run: Option<Split<Hub<T>>>,
    singles: std::vec::IntoIter<Delivery<T>>,
}

impl<T: Send + Sync + 'static> Iterator for BatchIntoIter<T> {
    type Item = Delivery<T>;

    fn next(&mut self) -> Option<Delivery<T>> {
        let tenancy = self.run.as_mut().and_then(Iterator::next);
        tenancy.map(Delivery::hot).or_else(|| self.singles.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.run.as_ref().map_or(0, ExactSizeIterator::len) + self.singles.len();
        (left, Some(left))
    }
}

impl<T: Send + Sync + 'static> ExactSizeIterator for BatchIntoIter<T> {}

impl<T: Send + Sync + 'static> Drop for BatchIntoIter<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for BatchIntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchIntoIter").field("left", &self.len()).finish()
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).finish()
    }
}

/// An iterator that knows its length.
struct Items<I> {
    items: I,
    left: usize,
}

impl<I: Iterator> Iterator for Items<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        self.left = self.left.saturating_sub(1);
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    #[inline]
    fn fold<A, F: FnMut(A, I::Item) -> A>(self, init: A, f: F) -> A {
        self.items.fold(init, f)
    }
}

impl<I: Iterator> ExactSizeIterator for Items<I> {}

/// A message of a batch, to look at. See [`Batch::iter`].
///
/// ```
/// use redeliver::Queue;
///
/// let queue = Queue::in_memory("mail");
/// queue.producer().message("hello").key("user-7").send()?;
/// let batch = queue.consumer().recv_batch(10)?;
/// let item = batch.iter().next().unwrap();
/// assert_eq!((*item.message(), item.key(), item.attempt()), ("hello", Some("user-7"), 1));
/// batch.ack_all().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BatchItem<'a, T: Send + Sync + 'static>(Item<'a, T>);

enum Item<'a, T: Send + Sync + 'static> {
    /// A position of the run.
    OfRun(&'a Run<Hub<T>>, u64),
    Single(&'a Delivery<T>),
}

impl<T: Send + Sync + 'static> Clone for BatchItem<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for BatchItem<'_, T> {}

impl<T: Send + Sync + 'static> Clone for Item<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Item<'_, T> {}

impl<'a, T: Send + Sync + 'static> BatchItem<'a, T> {
    /// The message.
    #[must_use]
    #[inline]
    pub fn message(&self) -> &'a T {
        match self.0 {
            Item::OfRun(run, pos) => match run.peek(pos) {
                Load::Plain(message) => message,
                Load::Boxed(envelope) => envelope.message(),
            },
            Item::Single(delivery) => delivery.message(),
        }
    }

    fn envelope(&self) -> Option<&'a Envelope<T>> {
        match self.0 {
            Item::OfRun(run, pos) => match run.peek(pos) {
                Load::Plain(_) => None,
                Load::Boxed(envelope) => Some(envelope),
            },
            Item::Single(_) => None,
        }
    }

    /// As [`Delivery::id`].
    #[must_use]
    pub fn id(&self) -> MessageId {
        match (self.0, self.envelope()) {
            (_, Some(envelope)) => envelope.id,
            (Item::OfRun(run, pos), None) => run.shared().side.id_at(pos),
            (Item::Single(delivery), None) => delivery.id(),
        }
    }

    /// As [`Delivery::attempt`].
    #[must_use]
    pub fn attempt(&self) -> u32 {
        match self.0 {
            Item::OfRun(..) => 1,
            Item::Single(delivery) => delivery.attempt(),
        }
    }

    /// As [`Delivery::key`].
    #[must_use]
    pub fn key(&self) -> Option<&'a str> {
        match self.0 {
            Item::OfRun(..) => self.envelope()?.key.as_deref(),
            Item::Single(delivery) => delivery.key(),
        }
    }

    /// As [`Delivery::headers`].
    #[must_use]
    pub fn headers(&self) -> &'a Headers {
        static NONE: Headers = Headers::new();
        match self.0 {
            Item::OfRun(..) => self.envelope().map_or(&NONE, |envelope| &envelope.headers),
            Item::Single(delivery) => delivery.headers(),
        }
    }
}

impl<T: Send + Sync + 'static> Deref for BatchItem<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.message()
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for BatchItem<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchItem").field("id", &self.id()).field("attempt", &self.attempt()).finish_non_exhaustive()
    }
}
