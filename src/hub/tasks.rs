//! Tasks wait in the same rooms as threads: the sleeping and waking of the async face.
//!
//! A future that is dropped gives its place back, and passes on a call that it did not use, so that no message waits for
//! a task that has gone.

use super::*;
use crate::error::{SendError, SendErrorKind};
use crate::wait::Place;
use std::task::{Poll, Waker};

/// A task that waits for a message. It must be [left](Core::leave_mail) in the end.
#[derive(Default)]
pub(crate) struct AtMail {
    mail: Place,
    /// Of a closed queue: a settle may end it.
    end: Place,
}

/// A task that waits for room. It must be [left](Core::leave_room) in the end.
#[derive(Default)]
pub(crate) struct AtRoom(Place);

impl<T: Send + Sync + 'static> Core<T> {
    pub(crate) fn poll_hand_over<D>(
        &self,
        at: &mut AtMail,
        waker: &Waker,
        take: impl Fn(&Self) -> Option<D>,
    ) -> Poll<Result<D, NoMail>> {
        let header = self.header();
        let waited = at.mail.is_taken();
        at.mail.was_called(&header.mail, waker);
        at.end.was_called(&header.end, waker);
        loop {
            if let Some(delivery) = take(self) {
                self.leave_mail(at);
                if waited && self.has_mail() {
                    header.mail.notify(); // one was called for all there is
                }
                return Poll::Ready(Ok(delivery));
            }
            if self.is_over() {
                self.leave_mail(at);
                return Poll::Ready(Err(NoMail::Closed));
            }
            // Both places first, then one more look: what comes from now on calls this task.
            let is_closed = self.ring.is_closed();
            if at.mail.is_taken() && at.end.is_taken() == is_closed {
                return Poll::Pending;
            }
            if !at.mail.is_taken() {
                at.mail.take(&header.mail, waker);
            }
            if is_closed && !at.end.is_taken() {
                at.end.take(&header.end, waker);
            }
        }
    }

    /// Whoever waited for a message does so no longer.
    pub(crate) fn leave_mail(&self, at: &mut AtMail) {
        if at.mail.give_up(&self.header().mail) && self.has_mail() {
            self.header().mail.notify();
        }
        if at.end.give_up(&self.header().end) {
            self.header().end.notify();
        }
    }

    /// Accepts what is in `message` as soon as there is room. `None` there: it was accepted, or refused, before.
    pub(crate) fn poll_accept<M>(
        &self,
        at: &mut AtRoom,
        waker: &Waker,
        message: &mut Option<M>,
        attempt: impl Fn(&Self, M) -> Result<MessageId, SendError<M>>,
    ) -> Poll<Result<MessageId, SendError<M>>> {
        let room = &self.header().room;
        let waited = at.0.is_taken();
        at.0.was_called(room, waker);
        while let Some(unsent) = message.take() {
            match attempt(self, unsent) {
                Err(SendError { kind: SendErrorKind::Full, message: back }) => {
                    *message = Some(back);
                    if at.0.is_taken() {
                        return Poll::Pending;
                    }
                    at.0.take(room, waker); // and one more look
                }
                done => {
                    self.leave_room(at);
                    if waited {
                        room.notify(); // there may be room for another one
                    }
                    return Poll::Ready(done);
                }
            }
        }
        Poll::Pending
    }

    pub(crate) fn leave_room(&self, at: &mut AtRoom) {
        let room = &self.header().room;
        if at.0.give_up(room) {
            room.notify();
        }
    }
}
