//! The only file that names atomics, locks and threads' parking: std and parking_lot in the library, loom in the models.
//!
//! Everything that shares memory is written against these names, so the models check the very code that ships.
//! Locks are parking_lot's: they do not poison, so a panic in one thread never becomes a panic in another.

use std::time::Instant;

/// Set once, before anything is shared: loom has nothing to find in it.
pub(crate) use std::sync::OnceLock;

#[cfg(loom)]
pub(crate) use self::model::*;
#[cfg(not(loom))]
pub(crate) use self::real::*;

#[cfg(not(loom))]
mod real {
    pub(crate) use parking_lot::MutexGuard;
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
    pub(crate) use std::thread::{Thread, current, park, yield_now};
    use std::time::Duration;

    /// A parking_lot mutex; the unit tests count how often a thread locks one.
    pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Mutex(parking_lot::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            #[cfg(test)]
            super::counters::LOCKS.with(|locks| locks.set(locks.get() + 1));
            self.0.lock()
        }
    }

    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        #[inline(always)]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// Waits for a condition of another thread that is a few stores away.
    #[inline]
    pub(crate) fn pauses(n: u32) {
        for _ in 0..n {
            spin_loop();
        }
    }

    /// A place where a loop waits for nobody, only for its own view to catch up. Costs nothing outside the models.
    #[inline(always)]
    pub(crate) fn retry() {}

    /// A SeqCst load after a SeqCst read-modify-write is enough on real machines; loom needs the fence itself.
    #[inline(always)]
    pub(crate) fn loom_fence() {}

    pub(crate) fn park_timeout(limit: Duration) {
        std::thread::park_timeout(limit);
    }
}

#[cfg(loom)]
mod model {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*, fence};
    pub(crate) use loom::thread::{Thread, current, park, yield_now};
    use std::time::Duration;

    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model's panic ends the model")
        }
    }

    /// Two threads that spin starve a third in loom: every pause gives way.
    pub(crate) fn pauses(_: u32) {
        yield_now();
    }

    pub(crate) fn retry() {
        yield_now();
    }

    pub(crate) fn loom_fence() {
        fence(SeqCst);
    }

    /// Loom has no time: a wait with a limit is one that must be ended by a wake-up.
    pub(crate) fn park_timeout(_: Duration) {
        park();
    }
}

/// A value that is set once and waited for. Of the models' world neither: nothing lock-free waits here.
pub(crate) struct Latch<V> {
    value: parking_lot::Mutex<Option<V>>,
    is_set: parking_lot::Condvar,
}

impl<V: Copy> Latch<V> {
    pub(crate) fn new() -> Self {
        Latch { value: parking_lot::Mutex::new(None), is_set: parking_lot::Condvar::new() }
    }

    /// The first value stays.
    pub(crate) fn set(&self, value: V) {
        self.value.lock().get_or_insert(value);
        self.is_set.notify_all();
    }

    /// Waits until it is set, or (in real time) until `deadline`.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<V> {
        let mut value = self.value.lock();
        while value.is_none() {
            match deadline {
                None => self.is_set.wait(&mut value),
                Some(deadline) => {
                    if self.is_set.wait_until(&mut value, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        *value
    }
}

/// Counts, per thread, what the hot path must not do. Only the unit tests have them.
#[cfg(all(test, not(loom)))]
pub(crate) mod counters {
    use std::cell::Cell;

    thread_local! {
        pub(crate) static LOCKS: Cell<u64> = const { Cell::new(0) };
    }
}
