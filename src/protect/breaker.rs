//! The users' circuit breaker: when to stop handing out, for how long, and how to begin again.
//!
//! Promises: a breaker is a plain value with two optional closures, which run under no lock and whose panics are contained.
//! The state machine is `circuit`. After Michael Nygard's *Release It!*, with the settings that users know from
//! [Resilience4j](https://resilience4j.readme.io/docs/circuitbreaker) and [Polly](https://www.pollydocs.org/strategies/circuit-breaker).

use super::circuit::{Rules, Trip};
use super::outcomes::Span;
use super::{ProtectionError, TIME_MAX, millis};
use crate::panics::{Contained, contained};
use crate::retry::Failure;
use std::fmt;
use std::time::Duration;

type ClassOf = dyn Fn(Option<&str>) -> String + Send + Sync;
type Counts = dyn Fn(&Failure<'_>) -> bool + Send + Sync;

/// How many outcomes a window may hold.
const OUTCOMES_MAX: u32 = 1_000_000;

/// Stops handing out while what is downstream is down, and tries it with one message at a time before it goes on.
///
/// | state | what is handed out | leaves it when |
/// |---|---|---|
/// | closed | everything | too many deliveries fail: by [rate](Self::failure_rate), or [in a row](Self::consecutive_failures) |
/// | open | nothing: what is ready or falls due waits, **and is charged no attempt** | [`open_for`](Self::open_for) has passed |
/// | half-open | one message at a time, as a probe | [`probes`](Self::probes) have succeeded, or one has failed |
///
/// What falls due meanwhile waits on the cold side (`delayed`), so the queue accepts sends up to its capacity. What was handed
/// out before it opened goes on; how that ends changes nothing.
///
/// | how a delivery ends | counts as |
/// |---|---|
/// | ack, `into_message` | a success |
/// | nack, `nack_after`, dropped, panicked, lease lost | a failure, unless [`counts`](Self::counts) says otherwise |
/// | reject, or discarded by a worker's handler | neither: the message is at fault |
/// | snooze | neither: nothing was tried |
///
/// With [`per_key`](Self::per_key) there is one breaker for each class of keys, and a message whose class is open lets
/// others pass; it holds its place in the queue's capacity, and within its class in the order. Beyond a thousand classes
/// those are forgotten by and by of which the queue holds nothing: closed ones first, then half-open ones.
///
/// A queue with a breaker sees each delivery twice under its lock, so it is slower than one without. One without pays nothing.
///
/// | setting | default |
/// |---|---|
/// | `failure_rate`, `min_calls`, `window` | 0.5 of the last 100 outcomes, once there are 20 |
/// | `open_for` | 30 s, however often a probe fails |
/// | `probes` | 1 |
///
/// ```
/// use redeliver::{Breaker, BreakerState, Immediate, ManualClock, Queue, TryRecvError};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let minute = Duration::from_secs(60);
/// let queue = Queue::builder("mail")
///     .retry(Immediate)
///     .breaker(Breaker::new().consecutive_failures(2).open_for(minute))
///     .clock(clock.clone())
///     .open()?;
/// let consumer = queue.consumer();
/// queue.producer().send("hello")?;
/// for _ in 0..2 {
///     consumer.recv()?.nack("connection refused")?;
/// }
/// assert_eq!(queue.breaker_state(""), BreakerState::Open { left: minute });
/// assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
///
/// clock.advance(minute);
/// let probe = consumer.recv()?;
/// assert_eq!(probe.attempt(), 3); // the wait has cost none
/// probe.ack()?;
/// assert_eq!(queue.breaker_state(""), BreakerState::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a breaker does nothing before a queue is opened with it"]
pub struct Breaker {
    rate: f64,
    calls_min: u32,
    span: Window,
    in_a_row: Option<u32>,
    open_for: Duration,
    open_for_max: Option<Duration>,
    probes: u32,
    class_of: Option<Contained<Box<ClassOf>>>,
    counts: Option<Contained<Box<Counts>>>,
}

/// As it was set.
#[derive(Clone, Copy)]
enum Window {
    Outcomes(u32),
    Time(Duration),
}

impl Breaker {
    /// A breaker with the defaults, one for the whole queue.
    pub fn new() -> Self {
        Breaker {
            rate: 0.5,
            calls_min: 20,
            span: Window::Outcomes(100),
            in_a_row: None,
            open_for: Duration::from_secs(30),
            open_for_max: None,
            probes: 1,
            class_of: None,
            counts: None,
        }
    }

    /// Opens at a failure when this share of the window's outcomes (above 0, at most 1) has failed.
    ///
    /// ```
    /// use redeliver::{Breaker, OpenError, ProtectionError, Queue};
    ///
    /// Queue::<()>::builder("mail").breaker(Breaker::new().failure_rate(0.25)).open()?;
    /// let refused = Queue::<()>::builder("mail").breaker(Breaker::new().failure_rate(25.0)).open().unwrap_err();
    /// assert_eq!(refused, OpenError::Protection(ProtectionError::Rate { rate: 25.0 }));
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn failure_rate(mut self, rate: f64) -> Self {
        (self.rate, self.in_a_row) = (rate, None);
        self
    }

    /// Judges by the rate only once there are so many outcomes in the window.
    ///
    /// ```
    /// use redeliver::{Breaker, OpenError, Queue};
    ///
    /// let never = Breaker::new().window(10).min_calls(20); // a window of 10 never holds 20
    /// assert!(Queue::<()>::builder("mail").breaker(never).open().is_err());
    /// Queue::<()>::builder("mail").breaker(Breaker::new().window(10).min_calls(5)).open()?;
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.calls_min = calls;
        self
    }

    /// Judges by the last so many outcomes, 1 to 1,000,000.
    ///
    /// ```
    /// use redeliver::{Breaker, OpenError, ProtectionError, Queue};
    ///
    /// let refused = Queue::<()>::builder("mail").breaker(Breaker::new().window(0)).open().unwrap_err();
    /// assert_eq!(refused, OpenError::Protection(ProtectionError::Outcomes { outcomes: 0 }));
    /// ```
    pub fn window(mut self, outcomes: u32) -> Self {
        self.span = Window::Outcomes(outcomes);
        self
    }

    /// Judges by the outcomes of the last so long, in place of the last so many. It is kept in tenths.
    ///
    /// ```
    /// use redeliver::{Breaker, OpenError, Queue};
    /// use std::time::Duration;
    ///
    /// assert!(Queue::<()>::builder("mail").breaker(Breaker::new().window_of(Duration::ZERO)).open().is_err());
    /// Queue::<()>::builder("mail").breaker(Breaker::new().window_of(Duration::from_secs(10))).open()?;
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn window_of(mut self, time: Duration) -> Self {
        self.span = Window::Time(time);
        self
    }

    /// Opens after so many failures in a row, whatever their rate. In place of [`failure_rate`](Self::failure_rate): of the
    /// two the one that was set last holds.
    ///
    /// ```
    /// use redeliver::{Breaker, OpenError, ProtectionError, Queue};
    ///
    /// Queue::<()>::builder("mail").breaker(Breaker::new().consecutive_failures(5)).open()?;
    /// let refused = Queue::<()>::builder("mail").breaker(Breaker::new().consecutive_failures(0)).open().unwrap_err();
    /// assert_eq!(refused, OpenError::Protection(ProtectionError::Consecutive));
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.in_a_row = Some(failures);
        self
    }

    /// How long it stays open before the first probe.
    ///
    /// ```
    /// use redeliver::{Breaker, OpenError, Queue};
    /// use std::time::Duration;
    ///
    /// Queue::<()>::builder("mail").breaker(Breaker::new().open_for(Duration::from_secs(5))).open()?;
    /// for never in [Duration::ZERO, Duration::MAX] {
    ///     assert!(Queue::<()>::builder("mail").breaker(Breaker::new().open_for(never)).open().is_err());
    /// }
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn open_for(mut self, pause: Duration) -> Self {
        self.open_for = pause;
        self
    }

    /// With each probe that fails it stays open twice as long as before, up to this. Not set: as long as before.
    ///
    /// ```
    /// use redeliver::{Breaker, OpenError, Queue};
    /// use std::time::Duration;
    ///
    /// let growing = Breaker::new().open_for(Duration::from_secs(5)).open_for_max(Duration::from_secs(300));
    /// Queue::<()>::builder("mail").breaker(growing).open()?;
    /// let shrinking = Breaker::new().open_for(Duration::from_secs(5)).open_for_max(Duration::from_secs(1));
    /// assert!(Queue::<()>::builder("mail").breaker(shrinking).open().is_err());
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn open_for_max(mut self, longest: Duration) -> Self {
        self.open_for_max = Some(longest);
        self
    }

    /// How many probes in a row have to succeed, one after the other, before it closes. A probe whose lease is lost, or
    /// whose delivery is dropped, has failed.
    ///
    /// ```
    /// use redeliver::{Breaker, OpenError, ProtectionError, Queue};
    ///
    /// Queue::<()>::builder("mail").breaker(Breaker::new().probes(3)).open()?;
    /// let refused = Queue::<()>::builder("mail").breaker(Breaker::new().probes(0)).open().unwrap_err();
    /// assert_eq!(refused, OpenError::Protection(ProtectionError::Probes));
    /// # Ok::<(), OpenError>(())
    /// ```
    pub fn probes(mut self, successes: u32) -> Self {
        self.probes = successes;
        self
    }

    /// One breaker for each class; `class` names the class of a message's key. Of a function that panics the class is `""`.
    /// It is asked for each delivery and each failure, within the delivery's lease, so it ought to be quick.
    ///
    /// ```
    /// use redeliver::{Breaker, BreakerState, Queue};
    ///
    /// let by_host = |key: Option<&str>| key.and_then(|url| url.split('/').nth(2)).unwrap_or_default().to_owned();
    /// let queue = Queue::builder("hooks").breaker(Breaker::new().consecutive_failures(1).per_key(by_host)).open()?;
    /// let (producer, consumer) = (queue.producer(), queue.consumer());
    /// producer.message("a").key("https://down.example/hook").send()?;
    /// consumer.recv()?.nack("connection refused")?;
    ///
    /// producer.message("b").key("https://down.example/hook").send()?;
    /// producer.message("c").key("https://up.example/hook").send()?;
    /// let delivery = consumer.recv()?;
    /// assert_eq!(*delivery, "c"); // it did not wait for the other host
    /// assert!(matches!(queue.breaker_state("down.example"), BreakerState::Open { .. }));
    /// assert_eq!(queue.breaker_state("up.example"), BreakerState::Closed);
    /// # delivery.ack()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn per_key(mut self, class: impl Fn(Option<&str>) -> String + Send + Sync + 'static) -> Self {
        self.class_of = Some(Contained::new(Box::new(class)));
        self
    }

    /// Which failures count. Those that do not are neither failures nor successes. A predicate that panics has said yes.
    ///
    /// ```
    /// use redeliver::{Breaker, BreakerState, Queue};
    /// use std::io;
    ///
    /// // An answer of 4xx is the message's fault; what fails on the way to the server is the server's.
    /// let breaker = Breaker::new().consecutive_failures(1).counts(|failure| failure.error::<io::Error>().is_some());
    /// let queue = Queue::builder("hooks").breaker(breaker).open()?;
    /// let (producer, consumer) = (queue.producer(), queue.consumer());
    /// producer.send_batch(["a", "b"])?;
    /// consumer.recv()?.nack("404 Not Found")?;
    /// assert_eq!(queue.breaker_state(""), BreakerState::Closed);
    /// consumer.recv()?.nack(io::Error::from(io::ErrorKind::ConnectionRefused))?;
    /// assert!(matches!(queue.breaker_state(""), BreakerState::Open { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn counts(mut self, predicate: impl Fn(&Failure<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.counts = Some(Contained::new(Box::new(predicate)));
        self
    }

    // ---- for the queue ----

    pub(crate) fn check(&self) -> Result<(), ProtectionError> {
        let of_outcomes = |outcomes| (1..=OUTCOMES_MAX).contains(&outcomes);
        match (self.in_a_row, self.span) {
            (Some(0), _) => return Err(ProtectionError::Consecutive),
            (_, Window::Outcomes(outcomes)) if !of_outcomes(outcomes) => {
                return Err(ProtectionError::Outcomes { outcomes });
            }
            (_, Window::Time(window)) if !(Duration::from_millis(1)..=TIME_MAX).contains(&window) => {
                return Err(ProtectionError::Window { of: "breaker", window });
            }
            (Some(_), _) => {}
            (None, span) => self.check_rate(span)?,
        }
        if self.open_for.is_zero() || self.open_for > TIME_MAX {
            return Err(ProtectionError::OpenFor { open_for: self.open_for });
        }
        if let Some(max) = self.open_for_max
            && !(self.open_for..=TIME_MAX).contains(&max)
        {
            return Err(ProtectionError::OpenForMax { max, open_for: self.open_for });
        }
        if self.probes == 0 { Err(ProtectionError::Probes) } else { Ok(()) }
    }

    fn check_rate(&self, span: Window) -> Result<(), ProtectionError> {
        // NaN is in no range.
        if !(self.rate > 0.0 && self.rate <= 1.0) {
            return Err(ProtectionError::Rate { rate: self.rate });
        }
        let window = if let Window::Outcomes(outcomes) = span { outcomes } else { u32::MAX };
        if self.calls_min == 0 || self.calls_min > window {
            return Err(ProtectionError::MinCalls { min_calls: self.calls_min, window });
        }
        Ok(())
    }

    pub(super) fn rules(&self) -> Rules {
        let span = match self.span {
            Window::Outcomes(outcomes) => Span::Outcomes(outcomes),
            Window::Time(time) => Span::Millis(millis(time)),
        };
        let by_rate = Trip::Rate { rate: self.rate, calls_min: self.calls_min, span };
        Rules {
            trip: self.in_a_row.map_or(by_rate, Trip::InARow),
            open_ms: millis(self.open_for),
            open_max_ms: millis(self.open_for_max.unwrap_or(self.open_for)),
            probes: self.probes,
        }
    }

    pub(crate) fn has_classes(&self) -> bool {
        self.class_of.is_some()
    }

    /// The class of this key. Runs the user's code.
    pub(crate) fn class_of(&self, key: Option<&str>) -> String {
        self.class_of.as_ref().and_then(|class| contained(|| class(key))).unwrap_or_default()
    }

    /// Is this failure the dependency's? Runs the user's code.
    pub(crate) fn is_counted(&self, failure: &Failure<'_>) -> bool {
        self.counts.as_ref().and_then(|counts| contained(|| counts(failure))).unwrap_or(true)
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker::new()
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("rules", &self.rules())
            .field("per_key", &self.has_classes())
            .finish_non_exhaustive()
    }
}

/// What a breaker does now, as [`Queue::breaker_state`](crate::Queue::breaker_state) says.
///
/// ```
/// use redeliver::{Breaker, BreakerState, Queue};
///
/// let queue = Queue::<()>::builder("mail").breaker(Breaker::new()).open()?;
/// assert_eq!(queue.breaker_state(""), BreakerState::Closed);
/// # Ok::<(), redeliver::OpenError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Everything is handed out.
    Closed,
    /// Nothing is handed out, for so much longer.
    Open {
        /// Until the first probe.
        left: Duration,
    },
    /// One message at a time is handed out.
    HalfOpen,
}
