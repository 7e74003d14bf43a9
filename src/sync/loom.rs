//! Every schedule, and the memory model.

use ::loom::sync::atomic::fence;
use std::time::Duration;

pub(crate) use ::loom::cell::UnsafeCell;
pub(crate) use ::loom::sync::MutexGuard;
pub(crate) use ::loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
pub(crate) use ::loom::thread::{Thread, current, park, yield_now};

pub(crate) struct Mutex<T>(::loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(::loom::sync::Mutex::new(value))
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
