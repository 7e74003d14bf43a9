//! Settings of a queue, checked when it is opened.

use crate::chance::fresh_seed;
use crate::clock::{Clock, SystemClock};
use crate::error::OpenError;
use crate::hub::{self, Policy, Settings};
use crate::panics::{Contained, catch};
use crate::protect::{Breaker, RetryBudget};
use crate::queue::Queue;
use crate::retry::{Exponential, Jitter, PolicyError, PolicyErrorKind, Promise, RetryPolicy};
use crate::ring::SEATS_MAX;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a queue. Nothing is checked or allocated before [`open`](Self::open).
///
/// | setting | default |
/// |---|---|
/// | `capacity` | 4,096 messages ready or in flight |
/// | `retry` | exponential from 1 s to 5 min with full jitter, 16 deliveries in all |
/// | `resend` | as Kafka's producer: 100 ms doubling to 1 s, ± 20 %, for 2 minutes |
/// | `resend_capacity` | 65,536 unsent messages |
/// | `lease` | 30 s |
/// | `max_deliveries` | 1,000 |
/// | `dead_letter_capacity` | 1,000,000 dead letters |
/// | `retry_budget` | none: retries come when the policy says |
/// | `breaker` | none |
/// | `clock` | [`SystemClock`] |
/// | `seed` | a fresh one for each queue |
#[must_use = "nothing is opened before `open`"]
pub struct QueueBuilder<T: Send + Sync + 'static> {
    settings: Settings,
    of: PhantomData<fn(T)>,
}

const CAPACITY: usize = 4096;
const RESEND_CAPACITY: usize = 65_536;
const DEAD_LETTER_CAPACITY: usize = 1_000_000;
const LEASE: Duration = Duration::from_secs(30);
const MAX_DELIVERIES: u32 = 1000;

impl<T: Send + Sync + 'static> QueueBuilder<T> {
    pub(crate) fn new(name: String) -> Self {
        let retry = Exponential::new(Duration::from_secs(1)).max_delay(Duration::from_secs(300)).jitter(Jitter::Full);
        let settings = Settings {
            name: name.into(),
            capacity: CAPACITY,
            retry: policy(retry),
            resend: policy(Exponential::kafka_producer()),
            resend_capacity: RESEND_CAPACITY,
            lease: LEASE,
            max_deliveries: MAX_DELIVERIES,
            dead_letter_capacity: DEAD_LETTER_CAPACITY,
            retry_budget: None,
            breaker: None,
            clock: Arc::new(SystemClock),
            seed: 0,
        };
        QueueBuilder { settings, of: PhantomData }
    }

    /// How many messages may be ready or in flight at once. A send beyond that waits, or says `Full`. What falls due again
    /// enters even then, and sends wait until it has left. A handle that lost its lease keeps its seat until it is dropped.
    ///
    /// ```
    /// use redeliver::{OpenError, Queue, SendErrorKind};
    ///
    /// let queue = Queue::builder("tiny").capacity(2).open()?;
    /// queue.producer().send_batch([1, 2])?;
    /// assert_eq!(queue.producer().try_send(3).unwrap_err().kind, SendErrorKind::Full);
    /// let none = Queue::<u32>::builder("none").capacity(0).open();
    /// assert!(matches!(none, Err(OpenError::Capacity { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn capacity(mut self, messages: usize) -> Self {
        self.settings.capacity = messages;
        self
    }

    /// When, and how often, a message is handed over again whose delivery failed.
    ///
    /// ```
    /// use redeliver::{Decision, Fixed, Queue, RetryPolicy, policy_fn};
    /// use std::time::Duration;
    ///
    /// let patient = Fixed::new(Duration::from_secs(60));
    /// let queue = Queue::builder("mail")
    ///     .retry(policy_fn(move |failure| match failure.error::<std::io::Error>() {
    ///         Some(_) => patient.decide(failure), // the network: it may come back
    ///         None => Decision::DeadLetter,
    ///     }))
    ///     .open()?;
    /// queue.producer().send("hello")?;
    /// queue.consumer().recv()?.nack("no such user")?;
    /// assert_eq!(queue.dead_letters().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retry(mut self, rules: impl RetryPolicy) -> Self {
        self.settings.retry = policy(rules);
        self
    }

    /// When, and how often, a submitted message is sent again that found no room.
    /// A delay of nothing is one of a millisecond.
    ///
    /// ```
    /// use redeliver::{Exponential, Queue};
    /// use std::time::Duration;
    ///
    /// let queue = Queue::<u32>::builder("mail").resend(Exponential::kafka_producer()).open()?;
    /// let shrinking = Exponential::new(Duration::from_secs(1)).factor(0.5);
    /// assert!(Queue::<u32>::builder("mail").resend(shrinking).open().is_err()); // and says which setting of which policy
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resend(mut self, rules: impl RetryPolicy) -> Self {
        self.settings.resend = policy(rules);
        self
    }

    /// How many submitted messages may wait for their next send. With 0 a [`submit`](crate::Producer::submit) fails at once
    /// where a [`try_send`](crate::Producer::try_send) would.
    ///
    /// ```
    /// use redeliver::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::builder("tiny").capacity(1).resend_capacity(1).open()?;
    /// let producer = queue.producer();
    /// producer.send(1)?;
    /// let _recorded = producer.submit(2)?;
    /// let error = producer.submit(3).unwrap_err();
    /// assert_eq!((error.kind, error.message), (SendErrorKind::Full, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resend_capacity(mut self, messages: usize) -> Self {
        self.settings.resend_capacity = messages;
        self
    }

    /// How long a delivery may be held. It ends never early, and at most 1/64 of itself (and ten milliseconds) late.
    ///
    /// ```
    /// use redeliver::{OpenError, Queue};
    /// use std::time::Duration;
    ///
    /// let queue = Queue::<u32>::builder("mail").lease(Duration::from_secs(60)).open()?;
    /// let none = Queue::<u32>::builder("none").lease(Duration::ZERO).open();
    /// assert!(matches!(none, Err(OpenError::Lease { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// The last word over any policy: after so many deliveries a message is a dead letter. `u32::MAX` lifts it.
    ///
    /// ```
    /// use redeliver::{Fixed, OpenError, Queue};
    /// use std::time::Duration;
    ///
    /// let endless = Fixed::new(Duration::from_secs(1)).forever();
    /// let refused = Queue::<()>::builder("mail").retry(endless.clone()).open();
    /// assert!(matches!(refused, Err(OpenError::Promise { .. }))); // a thousand deliveries are not for ever
    /// Queue::<()>::builder("mail").retry(endless).max_deliveries(u32::MAX).open()?;
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn max_deliveries(mut self, deliveries: u32) -> Self {
        self.settings.max_deliveries = deliveries;
        self
    }

    /// How many dead letters are kept. One too many waits for room (`parked`), and is told of; none is ever dropped.
    ///
    /// ```
    /// use redeliver::Queue;
    ///
    /// let queue = Queue::builder("mail").dead_letter_capacity(1).open()?;
    /// let first = queue.producer().send("a")?;
    /// queue.producer().send("b")?;
    /// for delivery in queue.consumer().try_recv_batch(2)? {
    ///     delivery.reject("no such user")?;
    /// }
    /// assert_eq!((queue.stats().dead, queue.stats().parked), (1, 1));
    /// queue.dead_letters().redrive(first); // makes room
    /// assert_eq!((queue.stats().dead, queue.stats().parked), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dead_letter_capacity(mut self, letters: usize) -> Self {
        self.settings.dead_letter_capacity = letters;
        self
    }

    /// Bounds the retries that are handed over, as a share of what is handed over for the first time: see [`RetryBudget`].
    ///
    /// ```
    /// use redeliver::{OpenError, Queue, RetryBudget};
    ///
    /// Queue::<()>::builder("mail").retry_budget(RetryBudget::percent(10.0).floor_per_second(1.0)).open()?;
    /// let refused = Queue::<()>::builder("mail").retry_budget(RetryBudget::percent(f64::NAN)).open();
    /// assert!(matches!(refused, Err(OpenError::Protection(_))));
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.settings.retry_budget = Some(budget);
        self
    }

    /// Stops handing out while what is downstream is down: see [`Breaker`].
    ///
    /// ```
    /// use redeliver::{Breaker, OpenError, Queue};
    /// use std::time::Duration;
    ///
    /// Queue::<()>::builder("mail").breaker(Breaker::new().open_for(Duration::from_secs(10))).open()?;
    /// let refused = Queue::<()>::builder("mail").breaker(Breaker::new().open_for(Duration::ZERO)).open();
    /// assert!(matches!(refused, Err(OpenError::Protection(_))));
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.settings.breaker = Some(breaker);
        self
    }

    /// Where the time comes from.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Where chance comes from: the same seed, messages and failures give the same jitter and the same ids.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Opens the queue.
    ///
    /// # Errors
    /// [`OpenError`] names the setting, what is wrong with it and what to do.
    pub fn open(mut self) -> Result<Queue<T>, OpenError> {
        let settings = &mut self.settings;
        check(settings)?;
        if settings.seed == 0 {
            settings.seed = fresh_seed();
        }
        let asked = settings.capacity;
        let door = hub::open(self.settings)
            .ok_or(OpenError::OutOfMemory { asked, bytes: asked.saturating_mul(size_of::<T>().max(8) + 16) })?;
        Ok(Queue::new(door))
    }
}

fn policy(rules: impl RetryPolicy) -> Policy {
    let name = catch(|| rules.name().into_owned()).unwrap_or_else(|_| "a policy whose name panicked".into());
    Policy { rules: Contained::new(Box::new(rules)), name: name.into() }
}

fn check(settings: &Settings) -> Result<(), OpenError> {
    if !(1..=SEATS_MAX).contains(&settings.capacity) {
        return Err(OpenError::Capacity { asked: settings.capacity, max: SEATS_MAX });
    }
    if settings.lease < Duration::from_millis(1) {
        return Err(OpenError::Lease { asked: settings.lease });
    }
    if settings.max_deliveries == 0 {
        return Err(OpenError::MaxDeliveries);
    }
    if settings.dead_letter_capacity == 0 {
        return Err(OpenError::DeadLetterCapacity);
    }
    for (verb, policy) in [("retry", &settings.retry), ("resend", &settings.resend)] {
        ask(verb, "check", || policy.rules.check())?;
    }
    let promised = match ask("retry", "promise", || Ok(settings.retry.rules.promise()))? {
        Promise::Deliveries(deliveries) => deliveries,
        Promise::Forever => u32::MAX,
        _ => 0,
    };
    if promised > settings.max_deliveries {
        return Err(OpenError::Promise { promised, max: settings.max_deliveries });
    }
    settings.retry_budget.as_ref().map_or(Ok(()), RetryBudget::check).map_err(OpenError::Protection)?;
    settings.breaker.as_ref().map_or(Ok(()), Breaker::check).map_err(OpenError::Protection)
}

/// Asks a policy, which is the user's code.
fn ask<R>(
    verb: &'static str,
    what: &'static str,
    question: impl FnOnce() -> Result<R, PolicyError>,
) -> Result<R, OpenError> {
    let panicked = |panic| Err(PolicyError::new(what, PolicyErrorKind::Other(format!("it panicked: {panic}").into())));
    catch(question).unwrap_or_else(panicked).map_err(|error| OpenError::Policy { verb, error })
}

impl<T: Send + Sync + 'static> fmt::Debug for QueueBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueBuilder")
            .field("name", &self.settings.name)
            .field("capacity", &self.settings.capacity)
            .field("retry", &self.settings.retry.name)
            .field("resend", &self.settings.resend.name)
            .finish_non_exhaustive()
    }
}
