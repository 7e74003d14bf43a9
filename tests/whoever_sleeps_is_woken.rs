//! Who sleeps because the queue is full is woken by whatever frees a seat, while nobody waits for a message.
//!
//! The models look at every schedule of this (`src/hub/models.rs`); here are all the ways to settle, on real threads.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads and time of its own")]

use redeliver::{Decision, Delivery, Fixed, ManualClock, Queue, RetryPolicy, policy_fn};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
/// Until whoever waits has given up to be served early, and sleeps without a limit. Were it too short this test would find
/// less, and still pass.
const ASLEEP: Duration = Duration::from_millis(30);
/// A machine may stand still for a while; a planted bug need not be waited for.
const PATIENCE: Duration = if cfg!(planted) { Duration::from_secs(1) } else { MINUTE };

type Held = Vec<Delivery<String>>;

/// Fills a queue of two, takes both messages, and settles them while two senders sleep.
fn wakes(name: &str, retry: impl RetryPolicy, headers: bool, settle: impl FnOnce(&Queue<String>, Held, &ManualClock)) {
    let clock = ManualClock::new();
    let queue = Queue::builder("full").capacity(2).lease(LEASE).clock(clock.clone()).retry(retry).open().unwrap();
    let producer = queue.producer();
    for _ in 0..2 {
        let message = producer.message("old".to_owned());
        if headers {
            message.header("h", "v").send().unwrap()
        } else {
            message.send().unwrap()
        };
    }
    let held: Held = (0..2).map(|_| queue.consumer().recv().unwrap()).collect();
    let (woken, wait) = mpsc::channel();
    for _ in 0..2 {
        let (producer, woken) = (queue.producer(), woken.clone());
        thread::spawn(move || woken.send(producer.send("new".to_owned()).is_ok()));
    }
    thread::sleep(ASLEEP);
    settle(&queue, held, &clock);
    for sender in ["first", "second"] {
        assert_eq!(wait.recv_timeout(PATIENCE), Ok(true), "{name}: the {sender} sender sleeps on");
    }
}

fn each(settle: impl Fn(Delivery<String>)) -> impl FnOnce(&Queue<String>, Held, &ManualClock) {
    move |_, held, _| held.into_iter().for_each(settle)
}

#[test]
fn a_sender_that_waits_for_room_is_woken_by_every_settle() {
    let later = || Fixed::new(MINUTE);
    for headers in [false, true] {
        wakes("ack", later(), headers, each(|delivery| delivery.ack().unwrap()));
        wakes("into_message", later(), headers, each(|delivery| drop(delivery.into_message().unwrap())));
        wakes("nack", later(), headers, each(|delivery| delivery.nack("busy").unwrap()));
        wakes("nack_after", later(), headers, each(|delivery| delivery.nack_after(MINUTE, "busy").unwrap()));
        wakes("snooze", later(), headers, each(|delivery| delivery.snooze(MINUTE).unwrap()));
        wakes("reject", later(), headers, each(|delivery| delivery.reject("never").unwrap()));
        wakes("drop", later(), headers, each(drop));
        wakes("discard", policy_fn(|_| Decision::Discard), headers, each(|delivery| delivery.nack("stale").unwrap()));
        wakes(
            "ack of an extended lease",
            later(),
            headers,
            each(|delivery| {
                delivery.extend(MINUTE).unwrap();
                delivery.ack().unwrap();
            }),
        );
        wakes("late drop", later(), headers, |_, held, clock| {
            clock.advance(LEASE);
            thread::sleep(ASLEEP); // the clock has woken the senders
            drop(held);
        });
    }
}

#[test]
fn a_sender_that_waits_for_room_is_woken_by_the_settle_of_a_redelivery() {
    let redelivered = |settle: fn(Delivery<String>)| {
        move |queue: &Queue<String>, held: Held, clock: &ManualClock| {
            // The senders get in, and what they sent is taken: the redeliveries have the room now.
            held.into_iter().for_each(|delivery| delivery.nack_after(MINUTE, "busy").unwrap());
            let consumer = queue.consumer();
            let new: Held = (0..2).map(|_| consumer.recv().unwrap()).collect();
            new.iter().for_each(|delivery| delivery.extend(2 * MINUTE).unwrap());
            clock.advance(MINUTE);
            let old: Held = (0..2).map(|_| consumer.recv().unwrap()).collect();
            assert!(old.iter().all(|delivery| delivery.attempt() == 2));
            new.into_iter().for_each(|delivery| delivery.ack().unwrap());
            let (woken, wait) = mpsc::channel();
            let producer = queue.producer();
            thread::spawn(move || woken.send(producer.send("newer".to_owned()).is_ok()));
            thread::sleep(ASLEEP);
            old.into_iter().for_each(settle);
            assert_eq!(wait.recv_timeout(PATIENCE), Ok(true), "the sender sleeps on");
        }
    };
    let later = || Fixed::new(MINUTE);
    wakes("ack", later(), false, redelivered(|delivery| delivery.ack().unwrap()));
    wakes("nack", later(), false, redelivered(|delivery| delivery.nack("busy").unwrap()));
    wakes("reject", later(), false, redelivered(|delivery| delivery.reject("never").unwrap()));
    wakes("snooze", later(), false, redelivered(|delivery| delivery.snooze(MINUTE).unwrap()));
    wakes("drop", later(), false, redelivered(drop));
}
