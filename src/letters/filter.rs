//! Which dead letters are meant.

use super::DeadLetter;
use crate::message::Headers;
use std::time::Duration;

/// Which dead letters are meant. Conditions add up, those of one kind too: two texts have to be found both, and of two ages
/// or limits the stricter one counts. A filter that no letter meets is no error: it lists nothing and changes nothing.
///
/// Ages are those of the death, by the queue's clock, to a millisecond. A letter that had to wait for room in the store died
/// when it found it.
///
/// ```
/// use redeliver::{Filter, Never, Queue};
///
/// let queue = Queue::builder("mail").retry(Never).open()?;
/// queue.producer().send("hello")?;
/// queue.consumer().recv()?.nack("no such user")?;
///
/// let count = |filter| queue.dead_letters().list(filter).len();
/// assert_eq!(count(Filter::all().error_contains("such").rule("Never")), 1);
/// assert_eq!(count(Filter::all().error_contains("such").error_contains("timeout")), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    conditions: Vec<Condition>,
    limit: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    ErrorContains(String),
    ReasonIs(String),
    ErrorType(String),
    Rule(String),
    Key(String),
    /// Of one header, which prints no value.
    Header(Headers),
    OlderThan(Duration),
    YoungerThan(Duration),
    AttemptsAtLeast(u32),
}

impl Filter {
    /// Every dead letter.
    #[must_use]
    pub fn all() -> Self {
        Filter::default()
    }

    fn and(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Those with this text in their reason or in the error of one of their attempts. The empty text is in all.
    #[must_use]
    pub fn error_contains(self, text: impl Into<String>) -> Self {
        self.and(Condition::ErrorContains(text.into()))
    }

    /// Those whose reason, the text of their last error, is exactly this.
    ///
    /// ```
    /// # use redeliver::{Filter, Never, Queue};
    /// # let queue = Queue::builder("mail").retry(Never).open()?;
    /// # queue.producer().send("hello")?;
    /// queue.consumer().recv()?.nack("no such user")?;
    /// let dead = queue.dead_letters();
    /// assert_eq!(dead.list(Filter::all().reason_is("no such user")).len(), 1);
    /// assert!(dead.list(Filter::all().reason_is("no such")).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reason_is(self, reason: impl Into<String>) -> Self {
        self.and(Condition::ReasonIs(reason.into()))
    }

    /// Those whose last error was of this type, by its whole name: see [`Attempt::error_type`](crate::Attempt::error_type).
    ///
    /// ```
    /// # use redeliver::{Filter, Never, Queue};
    /// # let queue = Queue::builder("mail").retry(Never).open()?;
    /// # queue.producer().send("hello")?;
    /// queue.consumer().recv()?.nack(std::fmt::Error)?;
    /// let dead = queue.dead_letters();
    /// assert_eq!(dead.list(Filter::all().error_type(std::any::type_name::<std::fmt::Error>())).len(), 1);
    /// assert!(dead.list(Filter::all().error_type("Error")).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn error_type(self, name: impl Into<String>) -> Self {
        self.and(Condition::ErrorType(name.into()))
    }

    /// Those that this rule gave up: a policy by its name, or `reject`, `max_deliveries`, `close`. See
    /// [`Attempt::rule`](crate::Attempt::rule).
    ///
    /// ```
    /// # use redeliver::{Filter, Never, Queue};
    /// # let queue = Queue::builder("mail").retry(Never).open()?;
    /// # queue.producer().send("hello")?;
    /// queue.consumer().recv()?.reject("no such user")?;
    /// let dead = queue.dead_letters();
    /// assert_eq!(dead.list(Filter::all().rule("reject")).len(), 1);
    /// assert!(dead.list(Filter::all().rule("max_deliveries")).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn rule(self, name: impl Into<String>) -> Self {
        self.and(Condition::Rule(name.into()))
    }

    /// Those that were sent with this key.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        self.and(Condition::Key(key.into()))
    }

    /// Those that were sent with this header, and exactly this value.
    ///
    /// ```
    /// # use redeliver::{Filter, Never, Queue};
    /// # let queue = Queue::builder("mail").retry(Never).open()?;
    /// queue.producer().message("hello").header("tenant", "north").send()?;
    /// # queue.consumer().recv()?.nack("no such user")?;
    /// let dead = queue.dead_letters();
    /// assert_eq!(dead.list(Filter::all().header("tenant", "north")).len(), 1);
    /// assert!(dead.list(Filter::all().header("tenant", "south")).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn header(self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.and(Condition::Header(Headers::from_iter([(name, value)])))
    }

    /// Those that died longer ago than this.
    #[must_use]
    pub fn older_than(self, age: Duration) -> Self {
        self.and(Condition::OlderThan(age))
    }

    /// Those that died less long ago than this. What died exactly so long ago is neither older nor younger.
    ///
    /// ```
    /// # use redeliver::{Filter, ManualClock, Never, Queue};
    /// # use std::time::Duration;
    /// # let clock = ManualClock::new();
    /// # let queue = Queue::builder("mail").retry(Never).clock(clock.clone()).open()?;
    /// # queue.producer().send("hello")?;
    /// # queue.consumer().recv()?.nack("no such user")?;
    /// let hour = Duration::from_secs(3600);
    /// clock.advance(hour / 2);
    /// assert_eq!(queue.dead_letters().list(Filter::all().younger_than(hour)).len(), 1);
    /// clock.advance(hour / 2);
    /// assert!(queue.dead_letters().list(Filter::all().younger_than(hour)).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn younger_than(self, age: Duration) -> Self {
        self.and(Condition::YoungerThan(age))
    }

    /// Those with at least this many failed attempts in their history, which goes on over a redrive and keeps a thousand.
    ///
    /// ```
    /// # use redeliver::{Filter, Never, Queue};
    /// # let queue = Queue::builder("mail").retry(Never).open()?;
    /// let id = queue.producer().send("hello")?;
    /// queue.consumer().recv()?.nack("no such user")?;
    /// let dead = queue.dead_letters();
    /// assert!(dead.list(Filter::all().attempts_at_least(2)).is_empty());
    /// dead.redrive(id);
    /// queue.consumer().recv()?.nack("still no such user")?;
    /// assert_eq!(dead.list(Filter::all().attempts_at_least(2)).len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn attempts_at_least(self, attempts: u32) -> Self {
        self.and(Condition::AttemptsAtLeast(attempts))
    }

    /// No more than this many: of those that meet all conditions, the ones that died first. A limit of 0 means none.
    ///
    /// ```
    /// # use redeliver::{Filter, Never, Queue};
    /// # let queue = Queue::builder("mail").retry(Never).open()?;
    /// queue.producer().send_batch(["a", "b", "c"])?;
    /// queue.consumer().recv_batch(3)?.nack_all("no such user").unwrap();
    /// let first = queue.dead_letters().list(Filter::all().limit(1));
    /// assert_eq!((first.len(), first[0].message()), (1, Some(&"a")));
    /// assert!(queue.dead_letters().list(Filter::all().limit(0)).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn limit(mut self, letters: usize) -> Self {
        self.limit = Some(self.limit.map_or(letters, |limit| limit.min(letters)));
        self
    }

    /// How many are meant at most.
    pub(crate) fn most(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    /// Does this letter meet the conditions, all but the limit?
    pub(crate) fn matches<T: Send + Sync>(&self, letter: &DeadLetter<T>, now_ms: u64) -> bool {
        self.conditions.iter().all(|condition| condition.holds(letter, now_ms))
    }
}

impl Condition {
    fn holds<T: Send + Sync>(&self, letter: &DeadLetter<T>, now_ms: u64) -> bool {
        let age = Duration::from_millis(now_ms.saturating_sub(letter.died_ms));
        let last = letter.history.last();
        match self {
            Condition::ErrorContains(text) => {
                let text = text.as_str();
                letter.reason.contains(text) || letter.history.iter().any(|attempt| attempt.error.contains(text))
            }
            Condition::ReasonIs(reason) => *letter.reason == **reason,
            Condition::ErrorType(name) => last.is_some_and(|last| last.error_type() == Some(name)),
            Condition::Rule(name) => last.is_some_and(|last| last.rule() == name),
            Condition::Key(key) => letter.key() == Some(key),
            Condition::Header(wanted) => wanted.iter().all(|(name, value)| letter.headers().get(name) == Some(value)),
            Condition::OlderThan(limit) => age > *limit,
            Condition::YoungerThan(limit) => age < *limit,
            Condition::AttemptsAtLeast(attempts) => letter.history.len() as u64 >= u64::from(*attempts),
        }
    }
}
