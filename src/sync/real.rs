//! What the library runs on.

pub(crate) use parking_lot::MutexGuard;
pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
pub(crate) use std::thread::{Thread, current, park, park_timeout, yield_now};

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
