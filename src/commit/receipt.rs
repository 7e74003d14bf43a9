//! A promise that what was appended will be told to be confirmed, or not.

use super::{Level, Shared};
use crate::journal::{CommitError, Position};
use crate::sync::{current, park_timeout};
use crate::wait::{Place, Sleeper};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Resolves when all before a position is confirmed, or it is known that it will not be. Never later: a journal that is
/// poisoned or closed resolves all of them.
pub struct Receipt {
    shared: Arc<Shared>,
    end: Position,
    level: Level,
    place: Place,
}

impl Receipt {
    pub(super) fn new(shared: Arc<Shared>, end: Position, level: Level) -> Receipt {
        Receipt { shared, end, level, place: Place::default() }
    }

    /// Waits, and does what is needed so that it need not wait for long.
    ///
    /// # Errors
    ///
    /// As [`Journal::commit`](super::Journal::commit).
    pub fn wait(self) -> Result<(), CommitError> {
        self.shared.commit(self.end, self.level)
    }

    /// What is known now. If that is nothing, the journal's thread sets to work.
    pub fn peek(&self) -> Option<Result<(), CommitError>> {
        let mut state = self.shared.state.lock();
        let verdict = state.verdict(self.end, self.level);
        if verdict.is_none() {
            state.want(self.end, self.level);
            drop(state);
            self.shared.wake_thread();
        }
        verdict
    }

    /// Waits for `limit` of real time at the most. The journal's thread does the work.
    #[expect(clippy::disallowed_methods, reason = "who waits for a receipt waits in real time")]
    pub fn wait_timeout(&self, limit: Duration) -> Option<Result<(), CommitError>> {
        let deadline = Instant::now().checked_add(limit);
        let ticket = self.shared.waiters.join(Sleeper::Thread(current()), 0);
        let verdict = loop {
            if let Some(verdict) = self.peek() {
                break Some(verdict);
            }
            let left = deadline.map_or(limit, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break None;
            }
            if !self.shared.waiters.is_waiting(ticket) {
                // Called for something else: on the list again.
                self.shared.waiters.leave(ticket);
                return self.wait_timeout(left);
            }
            park_timeout(left);
        };
        self.shared.waiters.leave(ticket);
        verdict
    }
}

impl Future for Receipt {
    type Output = Result<(), CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Receipt { shared, place, .. } = &mut *self;
        let waker = context.waker();
        place.was_called(&shared.waiters, waker);
        if !place.is_taken() {
            place.take(&shared.waiters, waker);
        }
        // After the place was taken: what changes from now on wakes this task.
        let Some(verdict) = self.peek() else { return Poll::Pending };
        let Receipt { shared, place, .. } = &mut *self;
        place.give_up(&shared.waiters);
        Poll::Ready(verdict)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.place.give_up(&self.shared.waiters);
    }
}
