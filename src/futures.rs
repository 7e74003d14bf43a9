//! The async face: futures that wait in the same rooms as threads do. No runtime is needed, and any will do.
//!
//! Each is cancel-safe in the sense that its doc says: a message that was taken is in the future's output or back in the
//! queue, never in between, for taking it and returning it happen in the same poll.

use crate::error::{RecvError, SendError};
use crate::hub::{AtMail, AtRoom, Core};
use crate::message::MessageId;
use futures_core::Stream;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for something that `take` takes.
pub(crate) struct Receiving<'a, T: Send + Sync + 'static, F> {
    core: &'a Core<T>,
    at: AtMail,
    take: F,
}

impl<'a, T: Send + Sync + 'static, F> Receiving<'a, T, F> {
    pub(crate) fn new(core: &'a Core<T>, take: F) -> Self {
        Receiving { core, at: AtMail::default(), take }
    }
}

// Nothing in it is pinned.
impl<T: Send + Sync + 'static, F> Unpin for Receiving<'_, T, F> {}

impl<T: Send + Sync + 'static, D, F: Fn(&Core<T>) -> Option<D>> Future for Receiving<'_, T, F> {
    type Output = Result<D, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.core.poll_hand_over(&mut this.at, cx.waker(), &this.take).map_err(|_| RecvError::Closed)
    }
}

impl<T: Send + Sync + 'static, D, F: Fn(&Core<T>) -> Option<D>> Stream for Receiving<'_, T, F> {
    type Item = D;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<D>> {
        self.poll(cx).map(Result::ok)
    }
}

impl<T: Send + Sync + 'static, F> Drop for Receiving<'_, T, F> {
    fn drop(&mut self) {
        self.core.leave_mail(&mut self.at);
    }
}

/// Waits for room, and holds the message until there is some.
pub(crate) struct Sending<'a, T: Send + Sync + 'static, M, F> {
    core: &'a Core<T>,
    at: AtRoom,
    message: Option<M>,
    attempt: F,
}

impl<'a, T: Send + Sync + 'static, M, F> Sending<'a, T, M, F> {
    pub(crate) fn new(core: &'a Core<T>, message: M, attempt: F) -> Self {
        Sending { core, at: AtRoom::default(), message: Some(message), attempt }
    }
}

// The message is moved in and out, and never pinned.
impl<T: Send + Sync + 'static, M, F> Unpin for Sending<'_, T, M, F> {}

impl<T, M, F> Future for Sending<'_, T, M, F>
where
    T: Send + Sync + 'static,
    F: Fn(&Core<T>, M) -> Result<MessageId, SendError<M>>,
{
    type Output = Result<MessageId, SendError<M>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.core.poll_accept(&mut this.at, cx.waker(), &mut this.message, &this.attempt)
    }
}

impl<T: Send + Sync + 'static, M, F> Drop for Sending<'_, T, M, F> {
    fn drop(&mut self) {
        self.core.leave_room(&mut self.at);
    }
}
