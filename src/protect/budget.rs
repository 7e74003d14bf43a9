//! The users' retry budget: how many retries, as a share of what is delivered for the first time.
//!
//! Promises: a budget is a plain value. What counts by it is `purse`. After Finagle's `RetryBudget`
//! (<https://finagle.github.io/blog/2016/02/08/retry-budgets>), the chapter "Handling Overload" of Google's *Site Reliability
//! Engineering* (<https://sre.google/sre-book/handling-overload/>: per-client retry budgets of 10 %) and Envoy's
//! `retry_budget` (`budget_percent`, `min_retry_concurrency`).

use super::{ProtectionError, TIME_MAX};
use std::time::Duration;

/// At most so many retries, as a share of the first attempts of the last few seconds, plus a floor.
///
/// A dependency that fails everything is offered every message again, as often as the policy says; then the retries are most
/// of its load, and keep it from coming back. A budget bounds them: **whenever a retry is handed over, the retries of the
/// last [`window`](Self::window), this one included, are at most `percent` of the first attempts in that window plus
/// `floor_per_second` times its length.** A retry that is due and finds no budget waits. It is not charged an attempt, keeps
/// its place in line, and goes as soon as there is budget again.
///
/// | what is handed over | |
/// |---|---|
/// | a message for the first time, or redriven for the first time | adds to the budget; never waits for it |
/// | a message that has failed | takes one from the budget |
/// | a message that was snoozed | neither: its hand-over has been counted |
///
/// What was not used is forgotten with its window, so an hour of success does not buy a storm. As many retries as the floor
/// grants in one window may come at once. The count is kept in 64ths of the window, rounded so that the bound holds.
///
/// | setting | default |
/// |---|---|
/// | `floor_per_second` | 1 retry a second |
/// | `window` | 10 s |
///
/// ```
/// use redeliver::{Immediate, ManualClock, Queue, RetryBudget, TryRecvError};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let second = Duration::from_secs(1);
/// let queue = Queue::builder("mail")
///     .retry(Immediate)
///     .retry_budget(RetryBudget::percent(10.0).floor_per_second(1.0).window(second))
///     .clock(clock.clone())
///     .open()?;
/// queue.producer().send_batch(["a", "b"])?;
/// let consumer = queue.consumer();
/// consumer.recv_batch(2)?.nack_all("the server is away").unwrap();
/// consumer.recv()?.nack("the server is away")?; // the floor's one retry of this second
/// assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty); // no budget: it waits, and is not charged
/// assert_eq!(queue.stats().delayed, 2);
/// clock.advance(2 * second);
/// assert_eq!(consumer.recv()?.attempt(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    pub(super) percent: f64,
    pub(super) floor_per_second: f64,
    pub(super) window: Duration,
}

impl RetryBudget {
    /// Retries may be `percent` of the first attempts, 0 to 100. With 0 there is only the floor.
    ///
    /// ```
    /// use redeliver::{OpenError, ProtectionError, Queue, RetryBudget};
    ///
    /// Queue::<()>::builder("mail").retry_budget(RetryBudget::percent(20.0)).open()?;
    /// let refused = Queue::<()>::builder("mail").retry_budget(RetryBudget::percent(120.0)).open().unwrap_err();
    /// assert_eq!(refused, OpenError::Protection(ProtectionError::Percent { percent: 120.0 }));
    /// # Ok::<(), OpenError>(())
    /// ```
    #[must_use]
    pub fn percent(percent: f64) -> Self {
        RetryBudget { percent, floor_per_second: 1.0, window: Duration::from_secs(10) }
    }

    /// So many retries a second are granted whatever is delivered for the first time: for a queue that is closed, or has
    /// little to do. The floor must grant at least one retry in a window, or a retry could wait for ever.
    ///
    /// ```
    /// use redeliver::{OpenError, Queue, RetryBudget};
    /// use std::time::Duration;
    ///
    /// let rare = RetryBudget::percent(10.0).floor_per_second(0.02);
    /// assert!(Queue::<()>::builder("mail").retry_budget(rare).open().is_err()); // 0.2 in 10 s
    /// Queue::<()>::builder("mail").retry_budget(rare.window(Duration::from_secs(60))).open()?;
    /// # Ok::<(), OpenError>(())
    /// ```
    #[must_use]
    pub fn floor_per_second(mut self, retries: f64) -> Self {
        self.floor_per_second = retries;
        self
    }

    /// For how long a hand-over counts, for the budget and against it.
    ///
    /// ```
    /// use redeliver::{OpenError, Queue, RetryBudget};
    /// use std::time::Duration;
    ///
    /// let budget = RetryBudget::percent(10.0);
    /// assert!(Queue::<()>::builder("mail").retry_budget(budget.window(Duration::ZERO)).open().is_err());
    /// Queue::<()>::builder("mail").retry_budget(budget.window(Duration::from_secs(60))).open()?;
    /// # Ok::<(), OpenError>(())
    /// ```
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// How many retries the floor grants in one window.
    pub(super) fn reserve(&self) -> f64 {
        self.floor_per_second * self.window.as_secs_f64()
    }

    pub(crate) fn check(&self) -> Result<(), ProtectionError> {
        let &RetryBudget { percent, floor_per_second: floor, window } = self;
        if !(0.0..=100.0).contains(&percent) {
            return Err(ProtectionError::Percent { percent });
        }
        if !floor.is_finite() || floor < 0.0 {
            return Err(ProtectionError::Floor { floor });
        }
        if !(Duration::from_millis(1)..=TIME_MAX).contains(&window) {
            return Err(ProtectionError::Window { of: "retry budget", window });
        }
        if self.reserve() < 1.0 {
            return Err(ProtectionError::Starves { floor, window });
        }
        Ok(())
    }
}
