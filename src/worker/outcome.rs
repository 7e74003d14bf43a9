//! What a handler says about the message it was given.

use std::error::Error;
use std::time::Duration;

/// Why a message was not handled. Whatever converts into a boxed error will do: an error type of your own, or a text.
pub type Reason = Box<dyn Error + Send + Sync + 'static>;

/// What becomes of a message after its handler has run.
///
/// A handler may return `()`, `Result<(), E>` or `Result<Outcome, E>` as well: `Ok` is [`Ack`](Outcome::Ack), an error is
/// [`Retry`](Outcome::Retry).
///
/// ```
/// use redeliver::Outcome;
///
/// let parsed: Result<(), _> = "no number".parse::<u32>().map(drop);
/// assert!(matches!(Outcome::from(parsed), Outcome::Retry(reason) if reason.to_string().contains("invalid digit")));
/// assert!(matches!(Outcome::from(()), Outcome::Ack));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Done.
    Ack,
    /// Failed: the policy decides when it comes back, or whether.
    Retry(Reason),
    /// Failed, and to come back after this time, whatever the policy says.
    RetryAfter(Duration, Reason),
    /// Not now: comes back after this time, and this was no attempt.
    Snooze(Duration),
    /// Never again: a dead letter now.
    DeadLetter(Reason),
    /// Never again, and not worth keeping: counted as discarded.
    Discard,
}

impl Outcome {
    /// [`Retry`](Outcome::Retry), from whatever converts into a reason.
    pub fn retry(reason: impl Into<Reason>) -> Self {
        Outcome::Retry(reason.into())
    }

    /// [`DeadLetter`](Outcome::DeadLetter), from whatever converts into a reason.
    pub fn dead_letter(reason: impl Into<Reason>) -> Self {
        Outcome::DeadLetter(reason.into())
    }
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Outcome::Ack
    }
}

impl<E: Into<Reason>> From<Result<(), E>> for Outcome {
    fn from(result: Result<(), E>) -> Self {
        result.map_or_else(Outcome::retry, Outcome::from)
    }
}

impl<E: Into<Reason>> From<Result<Outcome, E>> for Outcome {
    fn from(result: Result<Outcome, E>) -> Self {
        result.unwrap_or_else(Outcome::retry)
    }
}

/// What becomes of the messages of a batch: the same of all, or of each its own.
///
/// ```
/// use redeliver::{BatchOutcome, Outcome};
///
/// let all: BatchOutcome = Err::<(), _>("the database is away").into();
/// assert!(matches!(all, BatchOutcome::All(_)));
/// let each: BatchOutcome = vec![Outcome::Ack, Outcome::retry("no such row")].into();
/// assert!(matches!(each, BatchOutcome::Each(outcomes) if outcomes.len() == 2));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BatchOutcome {
    /// The same for every message.
    All(Outcome),
    /// One for each message, in the order of the batch. A message for which there is none has failed.
    Each(Vec<Outcome>),
}

impl From<Vec<Outcome>> for BatchOutcome {
    fn from(each: Vec<Outcome>) -> Self {
        BatchOutcome::Each(each)
    }
}

impl From<Outcome> for BatchOutcome {
    fn from(all: Outcome) -> Self {
        BatchOutcome::All(all)
    }
}

impl From<()> for BatchOutcome {
    fn from((): ()) -> Self {
        BatchOutcome::All(Outcome::Ack)
    }
}

impl<E: Into<Reason>> From<Result<(), E>> for BatchOutcome {
    fn from(result: Result<(), E>) -> Self {
        BatchOutcome::All(result.into())
    }
}
