//! The loops that the members of a worker run: on threads of their own, or as tasks on the user's executor.

use super::builder::WorkerError;
use super::next::{Stop, block_on, waker_of_this_thread};
use super::outcome::{BatchOutcome, Outcome};
use super::pool::Member;
use crate::delivery::Delivery;
use crate::panics::catch;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Puts a member to work.
pub(super) type Hire<T> = Box<dyn Fn(Member<T>) -> Result<(), WorkerError> + Send + Sync>;

/// What an async worker hands to the executor: it ends when the worker does.
pub type WorkerTask = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// What an async handler returns: `Box::pin(async move { … })`.
pub type HandlerFuture<'a, O> = Pin<Box<dyn Future<Output = O> + Send + 'a>>;

#[expect(clippy::disallowed_methods, reason = "the user asked for these threads")]
pub(super) fn on_a_thread<T: Send + Sync + 'static>(
    member: Member<T>,
    work: impl FnOnce(Member<T>) + Send + 'static,
) -> Result<(), WorkerError> {
    let name = member.name();
    std::thread::Builder::new().name(name).spawn(move || work(member)).map(drop).map_err(WorkerError::Spawn)
}

/// One message after the other.
pub(super) fn singles<T: Send + Sync + 'static>(
    handler: Arc<impl Fn(&Delivery<T>) -> Outcome>,
) -> impl FnOnce(Member<T>) {
    move |member| {
        let waker = waker_of_this_thread();
        loop {
            match block_on(member.next(member.pool.consumer.recv_async()), &waker) {
                Ok(delivery) => {
                    member.begin(std::slice::from_ref(&delivery));
                    let outcome = catch(|| handler(&delivery));
                    member.end(delivery, outcome);
                }
                Err(stop) if member.may_leave(stop) => return,
                Err(_) => {}
            }
        }
    }
}

/// As many as are ready, up to `max`.
pub(super) fn batches<T: Send + Sync + 'static>(
    max: usize,
    handler: Arc<impl Fn(&[Delivery<T>]) -> BatchOutcome>,
) -> impl FnOnce(Member<T>) {
    move |member| {
        let waker = waker_of_this_thread();
        loop {
            match block_on(member.next(member.pool.consumer.recv_batch_async(max)), &waker) {
                Ok(batch) => {
                    let deliveries: Vec<_> = batch.into_iter().collect();
                    member.begin(&deliveries);
                    let outcome = catch(|| handler(&deliveries));
                    member.end_batch(deliveries, outcome);
                }
                Err(stop) if member.may_leave(stop) => return,
                Err(_) => {}
            }
        }
    }
}

/// One message after the other, as a task.
pub(super) async fn tasks<T, F, O>(member: Member<T>, handler: Arc<F>)
where
    T: Send + Sync + 'static,
    F: for<'a> Fn(&'a Delivery<T>) -> HandlerFuture<'a, O> + Send + Sync + 'static,
    O: Into<Outcome>,
{
    loop {
        match next_of(&member).await {
            Ok(delivery) => {
                member.begin(std::slice::from_ref(&delivery));
                let outcome = match catch(|| handler(&delivery)) {
                    Ok(future) => Contained(future).await,
                    Err(panic) => Err(panic),
                };
                member.end(delivery, outcome.map(Into::into));
            }
            Err(stop) if member.may_leave(stop) => return,
            Err(_) => {}
        }
    }
}

async fn next_of<T: Send + Sync + 'static>(member: &Member<T>) -> Result<Delivery<T>, Stop> {
    member.next(member.pool.consumer.recv_async()).await
}

/// A handler's future whose panic is an outcome.
struct Contained<'a, O>(HandlerFuture<'a, O>);

impl<O> Future for Contained<'_, O> {
    type Output = Result<O, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch(|| self.0.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
