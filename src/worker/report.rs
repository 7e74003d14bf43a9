//! What a worker has done, counted by what became of the messages.

use super::outcome::Outcome;
use crate::sync::{AtomicU64, SeqCst};

/// What a worker did until it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Messages whose handler came to an end, panics included.
    pub handled: u64,
    /// Acked.
    pub acked: u64,
    /// Failed, by an outcome: to be tried again, or not, as the policy decides.
    pub failed: u64,
    /// Put off, uncounted.
    pub snoozed: u64,
    /// Made dead letters by their handler.
    pub dead_lettered: u64,
    /// Discarded by their handler.
    pub discarded: u64,
    /// Failed, by a panic.
    pub panicked: u64,
    /// Handled, but the lease was lost by then: somebody else has the message.
    pub lost: u64,
    /// Taken away from handlers that still ran when the time was up, and ready again: not counted as attempts.
    pub given_back: u64,
    /// Handlers that still ran when the time was up. They cannot be stopped; what they return is refused.
    pub still_running: usize,
}

/// The same, while it works.
pub(super) struct Tally {
    acked: AtomicU64,
    failed: AtomicU64,
    snoozed: AtomicU64,
    dead_lettered: AtomicU64,
    discarded: AtomicU64,
    panicked: AtomicU64,
    lost: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Self {
        let [acked, failed, snoozed, dead_lettered, discarded, panicked, lost] = [0; 7].map(AtomicU64::new);
        Tally { acked, failed, snoozed, dead_lettered, discarded, panicked, lost }
    }

    pub(super) fn of(&self, outcome: &Outcome) -> &AtomicU64 {
        match outcome {
            Outcome::Ack => &self.acked,
            Outcome::Retry(_) | Outcome::RetryAfter(..) => &self.failed,
            Outcome::Snooze(_) => &self.snoozed,
            Outcome::DeadLetter(_) => &self.dead_lettered,
            Outcome::Discard => &self.discarded,
        }
    }

    pub(super) fn of_panics(&self) -> &AtomicU64 {
        &self.panicked
    }

    /// One more: in `count`, or among the lost ones if `settle` says that the lease was lost. Counted first, so that whoever
    /// has seen the queue drained finds everything counted.
    pub(super) fn note(&self, count: &AtomicU64, settle: impl FnOnce() -> bool) {
        count.fetch_add(1, SeqCst);
        if !settle() {
            count.fetch_sub(1, SeqCst);
            self.lost.fetch_add(1, SeqCst);
        }
    }

    pub(super) fn report(&self) -> WorkerReport {
        let read = |count: &AtomicU64| count.load(SeqCst);
        let mut report = WorkerReport {
            acked: read(&self.acked),
            failed: read(&self.failed),
            snoozed: read(&self.snoozed),
            dead_lettered: read(&self.dead_lettered),
            discarded: read(&self.discarded),
            panicked: read(&self.panicked),
            lost: read(&self.lost),
            ..WorkerReport::default()
        };
        report.handled = report.acked
            + report.failed
            + report.snoozed
            + report.dead_lettered
            + report.discarded
            + report.panicked
            + report.lost;
        report
    }
}
