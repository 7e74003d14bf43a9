//! A message that a consumer has given back is whole for the next one, from the first moment at which it can be received:
//! `into_message` gives it, though the verdict that brought it back has not returned yet.

use redeliver::{Breaker, Consumer, Delivery, Immediate, Queue, QueueBuilder, RetryBudget, SettleErrorKind};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

type Message = Box<str>;
type Verdict = fn(Delivery<Message>);

const VERDICTS: [(&str, Verdict); 4] = [
    ("nack", |delivery| delivery.nack("again").unwrap()),
    ("nack_after", |delivery| delivery.nack_after(Duration::ZERO, "again").unwrap()),
    ("snooze", |delivery| delivery.snooze(Duration::ZERO).unwrap()),
    ("drop", drop),
];

/// Takes the message while it is called: as soon as the queue knows that there is something to receive.
struct Taker {
    consumer: Consumer<Message>,
    taken: Mutex<Option<Result<Message, SettleErrorKind>>>,
}

impl Wake for Taker {
    fn wake(self: Arc<Self>) {
        if let Ok(delivery) = self.consumer.try_recv() {
            *self.taken.lock().unwrap() = Some(delivery.into_message().map_err(|error| error.kind));
        }
    }
}

fn queues() -> [(&'static str, QueueBuilder<Message>); 3] {
    let builder = || Queue::builder("q").capacity(2).retry(Immediate);
    [
        ("plain", builder()),
        ("with a budget", builder().retry_budget(RetryBudget::percent(100.0))),
        ("with a breaker", builder().breaker(Breaker::new())),
    ]
}

#[test]
fn a_message_that_comes_back_is_taken_whole_while_its_verdict_still_runs() {
    for attempt in 1..=3 {
        for (verdict, give_back) in VERDICTS {
            for (kind, builder) in queues() {
                let queue = builder.open().unwrap();
                let consumer = queue.consumer();
                queue.producer().send("hello".into()).unwrap();
                for _ in 1..attempt {
                    consumer.recv().unwrap().nack("again").unwrap();
                }
                let delivery = consumer.recv().unwrap();
                let taker = Arc::new(Taker { consumer: queue.consumer(), taken: Mutex::default() });
                let mut waits = pin!(consumer.recv_async());
                assert!(waits.as_mut().poll(&mut Context::from_waker(&Waker::from(taker.clone()))).is_pending());
                give_back(delivery);
                let taken = taker.taken.lock().unwrap().take();
                assert_eq!(taken, Some(Ok("hello".into())), "{verdict} of attempt {attempt}, {kind}");
            }
        }
    }
}

/// An error that takes the message while it is dropped, which is after the message has come back.
#[derive(Debug)]
struct Grasping {
    consumer: Consumer<Message>,
    taken: Arc<Mutex<Option<Result<Message, SettleErrorKind>>>>,
}

impl std::fmt::Display for Grasping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("again")
    }
}

impl std::error::Error for Grasping {}

impl Drop for Grasping {
    fn drop(&mut self) {
        let taken = self.consumer.try_recv().map(|delivery| delivery.into_message().map_err(|error| error.kind));
        *self.taken.lock().unwrap() = taken.ok();
    }
}

#[test]
fn a_message_that_comes_back_is_taken_whole_while_its_error_is_dropped() {
    for attempt in 1..=3 {
        for (kind, builder) in queues() {
            let queue = builder.open().unwrap();
            queue.producer().send("hello".into()).unwrap();
            for _ in 1..attempt {
                queue.consumer().recv().unwrap().nack("again").unwrap();
            }
            let taken = Arc::default();
            let error = Grasping { consumer: queue.consumer(), taken: Arc::clone(&taken) };
            queue.consumer().recv().unwrap().nack(error).unwrap();
            assert_eq!(*taken.lock().unwrap(), Some(Ok("hello".into())), "attempt {attempt}, {kind}");
        }
    }
}
