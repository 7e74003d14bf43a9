//! A value that is set once and waited for.

use crate::sync::{Mutex, current, park, park_timeout};
use crate::wait::{Place, Sleeper, Waiters};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

pub(crate) struct Latch<V> {
    value: Mutex<Option<V>>,
    waiters: Waiters,
}

impl<V: Copy> Latch<V> {
    pub(crate) fn new() -> Self {
        Latch { value: Mutex::new(None), waiters: Waiters::new() }
    }

    /// The first value stays. Wakes who waits, so it is not for calling under a lock.
    pub(crate) fn set(&self, value: V) {
        self.value.lock().get_or_insert(value);
        self.waiters.wake_all();
    }

    pub(crate) fn get(&self) -> Option<V> {
        *self.value.lock()
    }

    /// The value, or else this waker is woken when there is one. The place is [given up](Self::leave) in the end.
    pub(crate) fn poll(&self, place: &mut Place, waker: &Waker) -> Poll<V> {
        place.was_called(&self.waiters, waker);
        if !place.is_taken() {
            place.take(&self.waiters, waker);
        }
        // After the place was taken: what is set from now on wakes this task.
        match self.get() {
            Some(value) => {
                self.leave(place);
                Poll::Ready(value)
            }
            None => Poll::Pending,
        }
    }

    pub(crate) fn leave(&self, place: &mut Place) {
        place.give_up(&self.waiters);
    }

    /// Waits until it is set, or for `limit` of real time.
    #[expect(clippy::disallowed_methods, reason = "who waits for a receipt waits in real time")]
    pub(crate) fn wait(&self, limit: Option<Duration>) -> Option<V> {
        if let Some(value) = self.get() {
            return Some(value);
        }
        // A limit beyond all time is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let ticket = self.waiters.join(Sleeper::Thread(current()), 0);
        let value = loop {
            // After `join`: what is set from now on wakes this thread.
            if let Some(value) = self.get() {
                break Some(value);
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => park(),
                Some(left) if left.is_zero() => break None,
                Some(left) => park_timeout(left),
            }
        };
        self.waiters.leave(ticket);
        value
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::model_runner::model;
    use loom::sync::Arc;
    use loom::thread::spawn;

    #[test]
    fn two_wait_for_what_is_set_twice() {
        model("two threads wait for a latch that is set twice", || {
            let latch = Arc::new(Latch::new());
            let other = latch.clone();
            let waiter = spawn(move || other.wait(None));
            let other = latch.clone();
            let setter = spawn(move || {
                other.set(1);
                other.set(2);
            });
            assert_eq!(latch.wait(None), Some(1));
            assert_eq!(waiter.join().unwrap(), Some(1));
            setter.join().unwrap();
        });
    }
}
