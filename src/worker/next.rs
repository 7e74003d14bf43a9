//! The next thing to work on, or the order to stop: whichever comes first. Threads and tasks wait for it alike.

use crate::error::RecvError;
use crate::sync::{Thread, current, park, pauses};
use crate::wait::{Place, Waiters};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Waits for `work`, unless `must_stop`, which is asked again whenever `orders` are given.
pub(super) struct Next<'a, W, S> {
    work: W,
    orders: &'a Waiters,
    place: Place,
    must_stop: S,
}

impl<'a, W, S> Next<'a, W, S> {
    pub(super) fn new(work: W, orders: &'a Waiters, must_stop: S) -> Self {
        Next { work, orders, place: Place::default(), must_stop }
    }
}

/// Why there is nothing to work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Ordered,
    /// The queue is closed, and everything is settled.
    Over,
}

impl<D, W: Future<Output = Result<D, RecvError>> + Unpin, S: Fn() -> bool + Unpin> Future for Next<'_, W, S> {
    type Output = Result<D, Stop>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.place.was_called(this.orders, cx.waker());
        if !this.place.is_taken() {
            this.place.take(this.orders, cx.waker());
        }
        // After the place was taken: an order that comes from now on wakes this worker.
        if (this.must_stop)() {
            return Poll::Ready(Err(Stop::Ordered));
        }
        Pin::new(&mut this.work).poll(cx).map_err(|_| Stop::Over)
    }
}

impl<W, S> Drop for Next<'_, W, S> {
    fn drop(&mut self) {
        self.place.give_up(self.orders);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// How this thread is woken.
pub(super) fn waker_of_this_thread() -> Waker {
    Arc::new(Unpark(current())).into()
}

/// Looks before a thread sleeps: messages that come quickly are worth a moment.
const LOOKS: u32 = if crate::sync::IS_MODEL { 0 } else { 16 };

/// Runs a future on this thread, which sleeps while it is pending.
pub(super) fn block_on<F: Future + Unpin>(mut future: F, waker: &Waker) -> F::Output {
    let mut cx = Context::from_waker(waker);
    let mut looks = 0;
    loop {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut cx) {
            return output;
        }
        looks += 1;
        if looks <= LOOKS { pauses(64) } else { park() }
    }
}
