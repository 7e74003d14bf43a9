//! A handle that lost its lease settles nothing: not its own message, and not the one that took its place in the ledger.

use redeliver::{Immediate, ManualClock, Queue, SettleErrorKind};
use std::time::Duration;

#[test]
fn a_late_handle_of_a_redelivery_is_refused_though_its_entry_is_used_again() {
    let clock = ManualClock::new();
    let lease = Duration::from_secs(1);
    let queue = Queue::builder("late").retry(Immediate).lease(lease).clock(clock.clone()).open().unwrap();
    let consumer = queue.consumer();

    queue.producer().send("first").unwrap();
    consumer.recv().unwrap().nack("again").unwrap();
    let late = consumer.recv().unwrap();
    clock.advance(lease);
    consumer.recv().unwrap().ack().unwrap(); // the ledger forgets it: its place is free

    queue.producer().send("second").unwrap();
    consumer.recv().unwrap().nack("again").unwrap();
    let valid = consumer.recv().unwrap(); // in that place

    assert!(late.is_lost());
    assert!(late.extend(lease).is_err());
    let error = late.ack().unwrap_err();
    assert_eq!((error.kind, *error.delivery), (SettleErrorKind::StaleLease, "first"));
    drop(error);
    assert!(!valid.is_lost());
    valid.ack().unwrap();
    assert_eq!(queue.stats().acked, 2);
}
