//! Time comes from outside: the one file that reads the real clocks, and the clock that a test moves by hand.

use crate::driver::Timed;
use crate::sync::{Mutex, yield_now};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

/// Where a queue gets its time from.
///
/// Leases and delays run on [`now`](Clock::now); [`system_time`](Clock::system_time) is only shown to people, so a jump of
/// the wall clock loses, repeats and hastens nothing.
///
/// A clock of your own is looked at every ten milliseconds of real time while a queue waits for it. To decide yourself when time passes, use a [`ManualClock`].
///
/// ```
/// use redeliver::{Clock, Queue};
/// use std::time::{Duration, Instant, SystemTime};
///
/// /// Ten times as fast as life.
/// struct Hasty(Instant);
///
/// impl Clock for Hasty {
///     fn now(&self) -> Instant {
///         self.0 + self.0.elapsed() * 10
///     }
///     fn system_time(&self) -> SystemTime {
///         SystemTime::now()
///     }
/// }
///
/// let queue = Queue::<&str>::builder("hasty").clock(Hasty(Instant::now())).open()?;
/// # Ok::<(), redeliver::OpenError>(())
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Monotonic time. A clock that goes back is taken to stand still.
    fn now(&self) -> Instant;

    /// Wall-clock time.
    fn system_time(&self) -> SystemTime;

    /// Not for implementors: does it keep pace with the machine's own clock, so that one may sleep until a time of it?
    #[doc(hidden)]
    fn keeps_pace(&self) -> bool {
        false
    }

    /// Not for implementors: how a clock that is moved by hand reaches the queues that live by it.
    #[doc(hidden)]
    fn by_hand(&self) -> Option<&ManualClock> {
        None
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn system_time(&self) -> SystemTime {
        (**self).system_time()
    }

    fn keeps_pace(&self) -> bool {
        (**self).keeps_pace()
    }

    fn by_hand(&self) -> Option<&ManualClock> {
        (**self).by_hand()
    }
}

/// The machine's clocks. The default.
///
/// ```
/// use redeliver::{Clock, SystemClock};
/// assert!(SystemClock.now() <= SystemClock.now());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "the one place where real time is read")]
impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::now()
    }

    fn keeps_pace(&self) -> bool {
        true
    }
}

/// A clock that stands still until it is told to advance, so a test of a two-hour retry takes a millisecond.
///
/// Clones are the same clock. [`advance`](Self::advance) fires everything that falls due on the way, in order of time and
/// over all queues that use this clock, before it returns; no background thread is involved.
///
/// ```
/// use redeliver::{Fixed, ManualClock, Queue, TryRecvError};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let hours = |n: u64| Duration::from_secs(3600 * n);
/// let queue = Queue::builder("slow").clock(clock.clone()).retry(Fixed::new(hours(2))).open()?;
/// let (producer, consumer) = (queue.producer(), queue.consumer());
/// producer.send("report")?;
/// consumer.recv()?.nack("the printer is on fire")?;
///
/// clock.advance(hours(1));
/// assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty); // one hour is not two
/// clock.advance(hours(1));
/// assert_eq!(consumer.try_recv()?.attempt(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Hand>);

struct Hand {
    start: Instant,
    state: Mutex<State>,
    /// One advance at a time, so that two threads that move the same clock do not fire out of order.
    turn: Mutex<()>,
}

struct State {
    passed: Duration,
    wall: SystemTime,
    queues: Vec<Weak<dyn Timed>>,
}

/// As far as a manual clock goes: far enough for every delay of u64 milliseconds, near enough for `Instant` to hold.
const PASSED_MAX: Duration = Duration::from_millis(u64::MAX);

impl ManualClock {
    /// A clock that shows the present, and stops there.
    #[must_use]
    pub fn new() -> Self {
        ManualClock::at(SystemClock.system_time())
    }

    /// A clock whose wall-clock time starts at `wall`.
    ///
    /// ```
    /// use redeliver::{Clock, ManualClock};
    /// use std::time::{Duration, SystemTime};
    ///
    /// let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(clock.system_time(), SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn at(wall: SystemTime) -> Self {
        let state = State { passed: Duration::ZERO, wall, queues: Vec::new() };
        ManualClock(Arc::new(Hand { start: SystemClock.now(), state: Mutex::new(state), turn: Mutex::new(()) }))
    }

    /// Lets `by` pass and fires everything that falls due, in order, before it returns: each retry, lease and resend sees the
    /// clock at its own time. Saturates after 584 million years.
    ///
    /// ```
    /// use redeliver::{Fixed, ManualClock, Queue, TryRecvError};
    /// use std::time::Duration;
    ///
    /// let (clock, hour) = (ManualClock::new(), Duration::from_secs(3600));
    /// let queue = Queue::builder("mail").retry(Fixed::new(2 * hour)).clock(clock.clone()).open()?;
    /// queue.producer().send("hello")?;
    /// queue.consumer().recv()?.nack("busy")?;
    /// clock.advance(2 * hour - Duration::from_millis(1));
    /// assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Empty); // never early
    /// clock.advance(Duration::from_millis(1));
    /// assert_eq!(queue.consumer().try_recv()?.attempt(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance(&self, by: Duration) {
        let _turn = self.0.turn.lock();
        let queues = self.queues();
        for queue in &queues {
            queue.before_advance();
        }
        let target = self.passed().saturating_add(by).min(PASSED_MAX);
        while let Some(due) = queues.iter().filter_map(|queue| queue.due()).min() {
            let due = due.saturating_duration_since(self.0.start);
            if due > target {
                break;
            }
            if due <= self.passed() {
                yield_now(); // a receiver is between two stores, and its lease cannot be judged before the second
            }
            self.move_to(if planted!("the-clock-fires-at-its-end") { target } else { due.max(self.passed()) });
            for queue in &queues {
                queue.fire_due();
            }
        }
        self.move_to(target);
        for queue in &queues {
            queue.after_advance();
        }
    }

    /// Sets the wall clock without letting time pass: what an administrator, or a leap second, does.
    ///
    /// ```
    /// use redeliver::{Clock, ManualClock};
    /// use std::time::SystemTime;
    ///
    /// let clock = ManualClock::new();
    /// let before = clock.now();
    /// clock.set_system_time(SystemTime::UNIX_EPOCH);
    /// assert_eq!(clock.system_time(), SystemTime::UNIX_EPOCH);
    /// assert_eq!(clock.now(), before); // leases and delays do not notice
    /// ```
    pub fn set_system_time(&self, wall: SystemTime) {
        self.0.state.lock().wall = wall;
    }

    fn passed(&self) -> Duration {
        self.0.state.lock().passed
    }

    fn move_to(&self, passed: Duration) {
        let mut state = self.0.state.lock();
        let by = passed.saturating_sub(state.passed);
        state.passed += by;
        state.wall = state.wall.checked_add(by).unwrap_or(state.wall);
    }

    pub(crate) fn register(&self, queue: Weak<dyn Timed>) {
        let mut state = self.0.state.lock();
        state.queues.retain(|queue| queue.strong_count() > 0);
        state.queues.push(queue);
    }

    fn queues(&self) -> Vec<Arc<dyn Timed>> {
        self.0.state.lock().queues.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        ManualClock::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("passed", &self.passed()).finish_non_exhaustive()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        let passed = self.passed();
        self.0.start.checked_add(passed).unwrap_or(self.0.start)
    }

    fn system_time(&self) -> SystemTime {
        self.0.state.lock().wall
    }

    fn by_hand(&self) -> Option<&ManualClock> {
        Some(self)
    }
}
