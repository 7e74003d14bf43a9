//! A panic in a user's code (a policy, a `Drop`, a waker) ends that call and nothing else.

use std::any::Any;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a user's code; `None` if it panicked. The panic hook has spoken by then.
#[inline(always)]
pub(crate) fn contained<R>(code: impl FnOnce() -> R) -> Option<R> {
    catch(code).ok()
}

/// Drops what may run a user's `Drop`.
#[inline(always)]
pub(crate) fn drop_contained<V>(value: V) {
    contained(|| drop(value)).unwrap_or(());
}

/// A user's value whose `Drop` may panic, wherever it is dropped in the end.
pub(crate) struct Contained<V>(Option<V>);

impl<V> Contained<V> {
    pub(crate) fn new(value: V) -> Self {
        Contained(Some(value))
    }
}

impl<V> Deref for Contained<V> {
    type Target = V;

    fn deref(&self) -> &V {
        match &self.0 {
            Some(value) => value,
            None => unreachable!("only its Drop takes it out"),
        }
    }
}

impl<V> Drop for Contained<V> {
    fn drop(&mut self) {
        drop_contained(self.0.take());
    }
}

/// Runs a user's code; the panic's message if it panicked.
#[inline(always)]
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    // Unwind safety: callers hold no lock and leave nothing half-done across the call.
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let text = text_of(&*panic);
        // A panic's payload may itself panic when it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(panic))).map_err(std::mem::forget);
        text
    })
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
