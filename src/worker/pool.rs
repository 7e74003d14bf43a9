//! What the members of a worker share: the queue, who is at work, and the order to stop.

use super::next::{Next, Stop};
use super::outcome::{BatchOutcome, Outcome};
use super::report::{Tally, WorkerReport};
use crate::consumer::Consumer;
use crate::delivery::Delivery;
use crate::error::{RecvError, SettleError};
use crate::latch::Latch;
use crate::reason;
use crate::slot::{LeaseId, Slot};
use crate::sync::Mutex;
use crate::wait::Waiters;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Pool<T: Send + Sync + 'static> {
    pub(super) consumer: Consumer<T>,
    run_timeout: Duration,
    crew: Mutex<Crew>,
    /// Who waits here looks whether it must stop.
    orders: Waiters,
    /// Nobody is left.
    all_out: Latch<()>,
    pub(super) tally: Tally,
}

struct Crew {
    /// Members with this index or a higher one stop.
    wanted: usize,
    /// By index: at work, and with what.
    members: Vec<Option<Arc<Slot>>>,
}

/// A place in the crew, free again when it is dropped.
pub(super) struct Member<T: Send + Sync + 'static> {
    pub(super) pool: Arc<Pool<T>>,
    index: usize,
    slot: Arc<Slot>,
}

impl<T: Send + Sync + 'static> Pool<T> {
    pub(super) fn new(consumer: Consumer<T>, run_timeout: Duration) -> Arc<Self> {
        Arc::new(Pool {
            consumer,
            run_timeout,
            crew: Mutex::new(Crew { wanted: 0, members: Vec::new() }),
            orders: Waiters::new(),
            all_out: Latch::new(),
            tally: Tally::new(),
        })
    }

    /// From now on there are to be `wanted` members: tells the others to stop, and returns the new ones.
    pub(super) fn resize(self: &Arc<Self>, wanted: usize) -> Vec<Member<T>> {
        let mut crew = self.crew.lock();
        crew.wanted = wanted;
        if crew.members.len() < wanted {
            crew.members.resize_with(wanted, || None);
        }
        let absent: Vec<usize> = (0..wanted).filter(|&index| crew.members[index].is_none()).collect();
        let hire = |index: usize| {
            let slot = self.consumer.hub().new_slot(self.run_timeout);
            crew.members[index] = Some(slot.clone());
            Member { pool: self.clone(), index, slot }
        };
        let hired = absent.into_iter().map(hire).collect();
        drop(crew);
        self.orders.wake_all();
        hired
    }

    fn must_stop(&self, index: usize) -> bool {
        index >= self.crew.lock().wanted
    }

    pub(super) fn size(&self) -> usize {
        self.crew.lock().wanted
    }

    /// Waits in real time until nobody is left. False: some still run.
    pub(super) fn wait(&self, limit: Option<Duration>) -> bool {
        self.all_out.wait(limit).is_some()
    }

    /// Takes from those who still run what they hold.
    pub(super) fn take_back(&self) -> WorkerReport {
        let still_running: Vec<_> = self.crew.lock().members.iter().flatten().cloned().collect();
        let mut report = self.tally.report();
        report.still_running = still_running.len();
        for lease in still_running.iter().flat_map(|slot| slot.take()) {
            report.given_back += u64::from(self.consumer.hub().give_back(lease));
        }
        report
    }

    /// Does with a message what its handler said; `Err`: it panicked.
    fn settle(&self, delivery: Delivery<T>, outcome: Result<Outcome, String>) {
        let count = outcome.as_ref().map_or(self.tally.of_panics(), |outcome| self.tally.of(outcome));
        let settle = || match outcome {
            Ok(Outcome::Ack) => delivery.ack(),
            Ok(Outcome::Retry(reason)) => delivery.nack(reason),
            Ok(Outcome::RetryAfter(after, reason)) => delivery.nack_after(after, reason),
            Ok(Outcome::Snooze(after)) => delivery.snooze(after),
            Ok(Outcome::DeadLetter(reason)) => delivery.reject(reason),
            Ok(Outcome::Discard) => delivery.discard(),
            Err(panic) => delivery.panicked(panic),
        };
        self.tally.note(count, || settle().is_ok());
    }

    /// Does the same with all of them.
    fn settle_alike(&self, deliveries: Vec<Delivery<T>>, outcome: Outcome) {
        let count = self.tally.of(&outcome);
        let settle_each = |settle: &dyn Fn(Delivery<T>) -> Result<(), SettleError<T>>| {
            deliveries.into_iter().for_each(|delivery| self.tally.note(count, || settle(delivery).is_ok()));
        };
        match outcome {
            Outcome::Ack => settle_each(&Delivery::ack),
            Outcome::Snooze(after) => settle_each(&|delivery| delivery.snooze(after)),
            Outcome::Discard => settle_each(&Delivery::discard),
            Outcome::Retry(reason) => {
                let reason: SharedReason = reason.into();
                settle_each(&|delivery| {
                    delivery.nack_shared(reason::Reason { error: reason.clone(), error_type: None })
                });
            }
            Outcome::RetryAfter(after, reason) => {
                let reason: SharedReason = reason.into();
                settle_each(&|delivery| delivery.nack_after(after, boxed(&reason)));
            }
            Outcome::DeadLetter(reason) => {
                let reason: SharedReason = reason.into();
                settle_each(&|delivery| delivery.reject(boxed(&reason)));
            }
        }
    }
}

type SharedReason = Arc<dyn Error + Send + Sync>;

/// One reason of many messages, where no policy asks for its type.
#[derive(Debug)]
struct Shared(SharedReason);

fn boxed(reason: &SharedReason) -> Box<dyn Error + Send + Sync> {
    Box::new(Shared(reason.clone()))
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl<T: Send + Sync + 'static> Member<T> {
    /// Waits for what `work` takes, or for the order to stop, or for the end of the queue.
    pub(super) fn next<D, W: Future<Output = Result<D, RecvError>> + Unpin>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<D, Stop>> + Unpin + use<'_, T, D, W> {
        Next::new(work, &self.pool.orders, || self.pool.must_stop(self.index))
    }

    /// There is nothing to work on. False: the order to stop was taken back meanwhile, so go on.
    pub(super) fn may_leave(&self, stop: Stop) -> bool {
        let mut crew = self.pool.crew.lock();
        let may = stop == Stop::Over || self.index >= crew.wanted;
        if may {
            crew.members[self.index] = None; // under the lock under which it was judged: see `resize`
        }
        may
    }

    /// Holds the leases of these while `run` runs. A redelivery's lease, which has its own timer, is renewed at once.
    pub(super) fn begin(&self, deliveries: &[Delivery<T>]) {
        for delivery in deliveries {
            let lease = delivery.lease_id();
            if matches!(lease, Some(LeaseId::Entry { .. }))
                && self.pool.run_timeout > self.pool.consumer.hub().side.settings.lease
            {
                let _ = delivery.extend(self.pool.run_timeout); // lost already: the settle will tell
            }
            self.slot.hold(lease);
        }
    }

    /// Settles as the handler said; `Err`: it panicked.
    pub(super) fn end(&self, delivery: Delivery<T>, outcome: Result<Outcome, String>) {
        self.slot.clear();
        self.pool.settle(delivery, outcome);
    }

    pub(super) fn end_batch(&self, deliveries: Vec<Delivery<T>>, outcome: Result<BatchOutcome, String>) {
        self.slot.clear();
        match outcome {
            Err(panic) => deliveries.into_iter().for_each(|delivery| self.pool.settle(delivery, Err(panic.clone()))),
            Ok(BatchOutcome::All(outcome)) => self.pool.settle_alike(deliveries, outcome),
            Ok(BatchOutcome::Each(outcomes)) => {
                let missing = || Outcome::retry("the handler gave no outcome for this message of its batch");
                let mut outcomes = outcomes.into_iter();
                for delivery in deliveries {
                    self.pool.settle(delivery, Ok(outcomes.next().unwrap_or_else(missing)));
                }
            }
        }
    }

    /// What the system calls its thread.
    pub(super) fn name(&self) -> String {
        format!("{}-worker-{}", self.pool.consumer.hub().side.settings.name, self.index)
    }
}

impl<T: Send + Sync + 'static> Drop for Member<T> {
    fn drop(&mut self) {
        let mut crew = self.pool.crew.lock();
        if crew.members[self.index].as_ref().is_some_and(|slot| Arc::ptr_eq(slot, &self.slot)) {
            crew.members[self.index] = None;
        }
        let is_last = crew.members.iter().all(Option::is_none);
        drop(crew);
        if is_last {
            self.pool.all_out.set(());
        }
    }
}
