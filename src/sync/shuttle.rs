//! Random schedules, sequentially consistent.

use std::time::Duration;

pub(crate) use ::shuttle::sync::MutexGuard;
pub(crate) use ::shuttle::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
pub(crate) use ::shuttle::thread::{Thread, current, park, yield_now};

pub(crate) struct Mutex<T>(::shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(::shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        // Poisoned by a scenario's planned panic: as with the real lock, that is none of the next thread's business.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Shuttle runs one thread at a time, so a plain cell is enough; what may race in it is loom's to find.
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

pub(crate) fn pauses(_: u32) {
    yield_now();
}

pub(crate) fn retry() {
    yield_now();
}

pub(crate) fn loom_fence() {}

/// A limit may pass at any moment.
pub(crate) fn park_timeout(_: Duration) {
    yield_now();
}
