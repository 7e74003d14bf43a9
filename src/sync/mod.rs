//! The only room that names atomics, locks and threads' parking: std and parking_lot in the library, loom and shuttle in
//! the models.
//!
//! Everything that shares memory is written against these names, so the models check the very code that ships.
//! Locks are parking_lot's: they do not poison, so a panic in one thread never becomes a panic in another.
//!
//! `--cfg loom` tries every schedule of a small model and knows the memory model; `--cfg shuttle` tries random schedules of
//! scenarios that are too large for that.

#[cfg(loom)]
mod loom;
#[cfg(not(any(loom, shuttle)))]
mod real;
#[cfg(shuttle)]
mod shuttle;

#[cfg(loom)]
pub(crate) use self::loom::*;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use self::real::*;
#[cfg(shuttle)]
pub(crate) use self::shuttle::*;

/// Set once, before anything is shared: the models have nothing to find in it.
pub(crate) use std::sync::OnceLock;

/// In a model, a look more than needed is schedules more than needed.
pub(crate) const IS_MODEL: bool = cfg!(any(loom, shuttle));

/// Counts, per thread, what the hot path must not do. Only the unit tests have them.
#[cfg(all(test, not(any(loom, shuttle))))]
pub(crate) mod counters {
    use std::cell::Cell;

    thread_local! {
        pub(crate) static LOCKS: Cell<u64> = const { Cell::new(0) };
    }
}
