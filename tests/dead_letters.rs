//! Dead letters can be worked with: what died says why, is found again, and goes where its owner wants it.

use redeliver::{Filter, Immediate, ManualClock, Never, Queue, QueueBuilder};
use std::fmt;
use std::io;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn builder<T: Send + Sync + 'static>(clock: &ManualClock) -> QueueBuilder<T> {
    Queue::builder("mail").retry(Never).lease(10 * SECOND).clock(clock.clone())
}

// ---- what a letter says ----

#[test]
fn each_attempt_names_the_type_of_its_error_and_the_rule_that_chose_its_delay() {
    let clock = ManualClock::new();
    let queue = builder(&clock).retry(Immediate.max_attempts(7)).open().unwrap();
    let consumer = queue.consumer();
    let id = queue.producer().send("hello").unwrap();

    consumer.recv().unwrap().nack(fmt::Error).unwrap();
    consumer.recv_batch(1).unwrap().nack_all(io::Error::other("reset")).unwrap();
    consumer.recv().unwrap().nack_after(SECOND, io::Error::other("429")).unwrap();
    clock.advance(SECOND);
    consumer.recv().unwrap().nack(String::from("busy")).unwrap();
    drop(consumer.recv().unwrap());
    let held = consumer.recv().unwrap();
    clock.advance(10 * SECOND);
    drop(held);
    consumer.recv().unwrap().reject(fmt::Error).unwrap();

    let letter = queue.dead_letters().get(id).unwrap();
    let said: Vec<_> = letter.history().iter().map(|a| (a.error_type(), a.delay(), a.rule())).collect();
    let (fmt_error, io_error) = ("core::fmt::Error", std::any::type_name::<io::Error>());
    assert_eq!(
        said,
        [
            (Some(fmt_error), Some(Duration::ZERO), "Immediate"),
            (Some(io_error), Some(Duration::ZERO), "Immediate"),
            (Some(io_error), Some(SECOND), "nack_after"),
            (None, Some(Duration::ZERO), "Immediate"),
            (None, Some(Duration::ZERO), "Immediate"),
            (None, Some(Duration::ZERO), "Immediate"),
            (Some(fmt_error), None, "reject"),
        ]
    );
}

// ---- the list ----

#[test]
fn the_list_has_no_hidden_limit_and_follows_the_order_in_which_they_died() {
    let queue = Queue::builder("mail").retry(Never).capacity(1 << 14).open().unwrap();
    let count = 12_345;
    let sent = queue.producer().send_batch(0..count).unwrap();
    let mut held: Vec<_> = queue.consumer().try_recv_batch(1 << 14).unwrap().into_iter().collect();
    // They die in another order than they were sent in.
    held.rotate_left(777);
    held.reverse();
    let order: Vec<_> = held.iter().map(|delivery| delivery.id()).collect();
    held.into_iter().for_each(|delivery| delivery.nack("no such user").unwrap());
    assert_eq!(sent.len(), order.len());
    let listed: Vec<_> = queue.dead_letters().list(Filter::all()).iter().map(|letter| letter.id()).collect();
    assert_eq!(listed, order);
}
