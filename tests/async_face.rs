//! The async face under tokio, under a small executor, and under none: nothing is lost by a future that is dropped, and
//! threads and tasks share a queue.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads and tasks of its own")]

use futures_lite::StreamExt;
use futures_lite::future::{block_on, poll_once};
use redeliver::{
    Event, Filter, Fixed, Immediate, ManualClock, Never, Queue, ReceiptError, RecvError, SendErrorKind, SettleErrorKind,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;

const SECOND: Duration = Duration::from_secs(1);

fn tokio() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn counted() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), count.into())
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn tasks_and_threads_share_a_queue() {
    const EACH: u64 = 5_000;
    let queue = Queue::builder("shared").capacity(64).retry(Immediate).open().unwrap();
    let (sum, count) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let runtime = tokio();
    for first in 0..3 {
        let producer = queue.producer();
        runtime.spawn(async move {
            for n in 0..EACH {
                producer.send_async(first * EACH + n).await.unwrap();
            }
        });
    }
    let producer = queue.producer();
    let sender = thread::spawn(move || (3 * EACH..4 * EACH).for_each(|n| producer.send(n).map(drop).unwrap()));
    let note = |n: u64, sum: &AtomicU64, count: &AtomicU64| {
        sum.fetch_add(n, SeqCst);
        count.fetch_add(1, SeqCst);
    };
    let tasks: Vec<_> = (0..3)
        .map(|_| (queue.consumer(), sum.clone(), count.clone()))
        .map(|(consumer, sum, count)| {
            runtime.spawn(async move {
                let mut messages = consumer.stream();
                while let Some(delivery) = messages.next().await {
                    match (delivery.attempt(), *delivery % 7) {
                        (1, 0) => delivery.nack("planned").unwrap(),
                        _ => {
                            note(*delivery, &sum, &count);
                            delivery.ack().unwrap();
                        }
                    }
                }
            })
        })
        .collect();
    let (consumer, threads_sum, threads_count) = (queue.consumer(), sum.clone(), count.clone());
    let receiver = thread::spawn(move || {
        consumer.iter().for_each(|delivery| {
            note(*delivery, &threads_sum, &threads_count);
            delivery.ack().unwrap();
        });
    });
    drop(queue);
    sender.join().unwrap();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    receiver.join().unwrap();
    let all = 4 * EACH;
    assert_eq!((count.load(SeqCst), sum.load(SeqCst)), (all, all * (all - 1) / 2));
}

#[test]
fn a_recv_that_is_cancelled_loses_nothing() {
    let queue = Queue::builder("impatient").capacity(16).open().unwrap();
    let runtime = tokio();
    let producer = queue.producer();
    let sender = runtime.spawn(async move {
        for n in 0..2_000u64 {
            producer.send_async(n).await.unwrap();
            if n % 16 == 0 {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
    });
    let consumer = queue.consumer();
    let (got, cancelled) = runtime.block_on(async move {
        let (mut got, mut cancelled) = (Vec::new(), 0);
        while got.len() < 2_000 {
            match tokio::time::timeout(Duration::from_micros(50), consumer.recv_async()).await {
                Ok(delivery) => {
                    let delivery = delivery.unwrap();
                    got.push(*delivery);
                    delivery.ack().unwrap();
                }
                Err(_) => cancelled += 1,
            }
        }
        sender.await.unwrap();
        (got, cancelled)
    });
    assert_eq!(got, (0..2_000).collect::<Vec<_>>());
    assert!(cancelled > 0, "no recv was ever cancelled");
    assert_eq!(queue.stats().failed, 0, "a cancelled recv had taken a message");
}

#[test]
fn a_called_task_that_goes_passes_the_call_on() {
    let queue = Queue::in_memory("two tasks");
    let consumer = queue.consumer();
    let ((first_woken, first_waker), (second_woken, second_waker)) = (counted(), counted());
    let (mut first, mut second) = (consumer.recv_async(), consumer.recv_async());
    assert!(poll(&mut first, &first_waker).is_pending());
    assert!(poll(&mut second, &second_waker).is_pending());
    queue.producer().send(1).unwrap();
    assert_eq!((first_woken.0.load(SeqCst), second_woken.0.load(SeqCst)), (1, 0));
    drop(first);
    assert_eq!(second_woken.0.load(SeqCst), 1);
    let Poll::Ready(Ok(delivery)) = poll(&mut second, &second_waker) else { panic!("there is one") };
    delivery.ack().unwrap();
    assert!(poll(&mut second, &second_waker).is_pending(), "after its output it waits for the next one");
}

#[test]
fn a_sender_that_goes_passes_the_call_on_and_has_sent_nothing() {
    let queue = Queue::builder("full").capacity(1).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    producer.send(0).unwrap();
    let ((first_woken, first_waker), (second_woken, second_waker)) = (counted(), counted());
    let (mut first, mut second) = (producer.send_async(1), producer.send_async(2));
    assert!(poll(&mut first, &first_waker).is_pending());
    assert!(poll(&mut second, &second_waker).is_pending());
    consumer.recv().unwrap().ack().unwrap();
    assert_eq!(first_woken.0.load(SeqCst), 1);
    drop(first);
    assert_eq!(second_woken.0.load(SeqCst), 1);
    let Poll::Ready(accepted) = poll(&mut second, &second_waker) else { panic!("there is room") };
    accepted.unwrap();
    assert!(poll(&mut second, &second_waker).is_pending(), "what was sent is sent once");
    assert_eq!(*consumer.recv().unwrap(), 2);
    assert_eq!(queue.stats().sent, 2);
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    let queue = Queue::in_memory("moved between tasks");
    let consumer = queue.consumer();
    let ((old, old_waker), (new, new_waker)) = (counted(), counted());
    let mut future = consumer.recv_async();
    assert!(poll(&mut future, &old_waker).is_pending());
    assert!(poll(&mut future, &new_waker).is_pending());
    queue.producer().send(1).unwrap();
    assert_eq!((old.0.load(SeqCst), new.0.load(SeqCst)), (0, 1));
}

#[test]
fn a_stream_ends_when_everything_is_settled() {
    let queue = Queue::builder("closing").retry(Immediate).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send(1).unwrap();
    let held = consumer.recv().unwrap();
    queue.close();
    let (woken, waker) = counted();
    let mut messages = consumer.stream();
    let mut next = messages.next();
    assert!(poll(&mut next, &waker).is_pending(), "one is in flight, and may come back");
    held.ack().unwrap();
    assert!(woken.0.load(SeqCst) >= 1, "the last settle wakes who waits for the end");
    assert!(matches!(poll(&mut next, &waker), Poll::Ready(None)));
    assert_eq!(block_on(consumer.recv_async()).unwrap_err(), RecvError::Closed);
    assert!(block_on(consumer.recv_batch_async(8)).is_err());
}

#[test]
fn close_and_resume_wake_tasks() {
    let queue = Queue::builder("paused").capacity(1).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    queue.pause();
    producer.send(1).unwrap();
    let ((received, receiver), (sent, sender)) = (counted(), counted());
    let (mut recv, mut send) = (consumer.recv_async(), producer.send_async(2));
    assert!(poll(&mut recv, &receiver).is_pending());
    assert!(poll(&mut send, &sender).is_pending());
    queue.resume();
    assert!(received.0.load(SeqCst) > 0);
    let Poll::Ready(Ok(delivery)) = poll(&mut recv, &receiver) else { panic!("resumed") };
    queue.close();
    assert!(sent.0.load(SeqCst) > 0);
    let Poll::Ready(Err(error)) = poll(&mut send, &sender) else { panic!("closed") };
    assert_eq!((error.kind, error.message), (SendErrorKind::Closed, 2));
    delivery.ack().unwrap();
}

#[test]
fn a_receipt_can_be_awaited_and_dropped() {
    let clock = ManualClock::new();
    let resend = Fixed::new(SECOND).max_attempts(3);
    let queue = Queue::builder("receipts").capacity(1).resend(resend).clock(clock.clone()).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    producer.send(0).unwrap();
    let held = consumer.recv().unwrap();
    let (mut kept, dropped, mut given_up) =
        (producer.submit(1).unwrap(), producer.submit(2).unwrap(), producer.submit(3).unwrap());
    let (woken, waker) = counted();
    assert!(poll(&mut kept, &waker).is_pending());
    assert!(poll(&mut kept, &waker).is_pending());
    assert!(poll(&mut given_up, &waker).is_pending());
    drop(dropped);
    held.ack().unwrap();
    clock.advance(SECOND);
    assert_eq!(woken.0.load(SeqCst), 1);
    let id = kept.id();
    assert_eq!(block_on(&mut kept), Ok(id));
    assert_eq!(block_on(kept), Ok(id), "a receipt that was told stays told");
    consumer.recv().unwrap().ack().unwrap();
    clock.advance(SECOND);
    let second = consumer.recv().unwrap();
    assert_eq!(*second, 2, "a dropped receipt cancels nothing");
    clock.advance(SECOND);
    assert_eq!(block_on(given_up), Err(ReceiptError::GivenUp));
    second.ack().unwrap();
    assert_eq!(queue.dead_letters().len(), 1);
}

#[test]
fn a_thread_waits_for_the_receipt_that_a_task_polled() {
    let clock = ManualClock::new();
    let queue = Queue::builder("receipts").capacity(1).resend(Never).clock(clock).open().unwrap();
    queue.producer().send(0).unwrap();
    let (tell, told) = mpsc::channel();
    let producer = queue.producer();
    let waiter = thread::spawn(move || {
        let mut receipt = producer.submit(1).unwrap();
        let outcome = block_on(poll_once(&mut receipt));
        tell.send(()).unwrap();
        (outcome, receipt.wait())
    });
    told.recv().unwrap();
    let (polled, waited) = waiter.join().unwrap();
    assert_eq!((polled, waited), (Some(Err(ReceiptError::GivenUp)), Err(ReceiptError::GivenUp)));
}

#[test]
fn headers_and_keys_travel_by_the_async_way() {
    let queue = Queue::builder("boxed").capacity(1).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    block_on(producer.message(1).key("k").header("h", "v").send_async()).unwrap();
    let mut waiting = Box::pin(producer.message(2).key("l").send_async());
    assert!(block_on(poll_once(&mut waiting)).is_none());
    let delivery = consumer.recv().unwrap();
    assert_eq!((delivery.key(), delivery.headers().get_str("h")), (Some("k"), Some("v")));
    delivery.ack().unwrap();
    block_on(waiting).unwrap();
    assert_eq!(consumer.recv().unwrap().key(), Some("l"));
    queue.close();
    let error = block_on(producer.message(3).key("m").send_async()).unwrap_err();
    assert_eq!((error.kind, error.message), (SendErrorKind::Closed, 3));
}

struct Grenade;

impl Wake for Grenade {
    fn wake(self: Arc<Self>) {
        panic!("planned: a waker");
    }
}

mod support;

#[test]
fn a_waker_that_panics_hurts_nobody() {
    support::hush_planned_panics();
    let queue = Queue::in_memory("mined");
    let consumer = queue.consumer();
    let grenade: Waker = Arc::new(Grenade).into();
    let (woken, waker) = counted();
    let (mut mined, mut sound) = (consumer.recv_async(), consumer.recv_async());
    assert!(poll(&mut mined, &grenade).is_pending());
    assert!(poll(&mut sound, &waker).is_pending());
    queue.producer().send(1).unwrap(); // calls the grenade, and goes on
    queue.producer().send(2).unwrap();
    assert_eq!(woken.0.load(SeqCst), 1);
    let Poll::Ready(Ok(delivery)) = poll(&mut sound, &waker) else { panic!("there are two") };
    delivery.ack().unwrap();
    drop(mined);
    consumer.recv().unwrap().ack().unwrap();
}

/// Wakes by polling at once, on the thread that wakes: so does an executor that runs tasks inline.
struct Inline(std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        if let Some(run) = self.0.lock().unwrap().take() {
            run();
        }
    }
}

#[test]
fn a_task_may_run_inside_the_settle_that_wakes_it() {
    let queue = Queue::builder("inline").capacity(1).retry(Immediate).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    producer.send(1).unwrap();
    let (tell, told) = mpsc::channel();
    let other = queue.clone();
    let run = move || {
        let delivery = other.consumer().try_recv().unwrap();
        tell.send((*delivery, delivery.attempt(), other.stats().in_flight)).unwrap();
        delivery.ack().unwrap();
    };
    let held = consumer.recv().unwrap();
    let inline: Waker = Arc::new(Inline(std::sync::Mutex::new(Some(Box::new(run))))).into();
    let mut waiting = consumer.recv_async();
    assert!(poll(&mut waiting, &inline).is_pending());
    held.nack("planned").unwrap(); // wakes, and so receives the redelivery, before it returns
    assert_eq!(told.try_recv(), Ok((1, 2, 1)));
    assert_eq!(queue.stats().acked, 1);
}

#[test]
fn a_lease_is_lost_under_a_task_as_under_a_thread() {
    let clock = ManualClock::new();
    let queue = Queue::builder("slow").retry(Never).lease(SECOND).clock(clock.clone()).open().unwrap();
    let events = queue.events();
    queue.producer().send(1).unwrap();
    let consumer = queue.consumer();
    let delivery = block_on(consumer.recv_async()).unwrap();
    clock.advance(SECOND);
    assert_eq!(delivery.ack().unwrap_err().kind, SettleErrorKind::StaleLease);
    assert!(matches!(events.try_recv(), Ok(Event::LeaseLost { .. })));
    assert_eq!(queue.dead_letters().list(Filter::all()).len(), 1);
}

#[test]
fn every_future_may_move_between_threads() {
    fn moves<F: Send>(future: F) {
        drop(future);
    }
    let queue = Queue::in_memory("threads");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    moves(producer.send_async(1));
    moves(producer.message(1).header("h", "v").send_async());
    moves(producer.submit(1).unwrap());
    moves(consumer.recv_async());
    moves(consumer.recv_batch_async(2));
    moves(consumer.stream());
}
