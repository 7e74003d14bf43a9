//! How to test what takes hours: a queue that lives by a clock of yours.
//!
//! The first half is the program, which knows nothing of tests but takes its clock from outside. The second half is its
//! tests. They run under `cargo test --example manual_clock` like any others, and from `main` so that they can be seen.
//!
//! `cargo run --release --example manual_clock`
#![allow(clippy::disallowed_methods, reason = "main tells how long the tests took, in real time")]

use redeliver::{Clock, Consumer, Fixed, ManualClock, OpenError, Queue, SettleErrorKind};
use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

const HOUR: Duration = Duration::from_secs(3600);

// ---- the program: reports for a printer that is out of order at times ----

/// In production `open(SystemClock)`.
fn open(clock: impl Clock) -> Result<Queue<&'static str>, OpenError> {
    Queue::builder("reports").retry(Fixed::new(2 * HOUR).max_elapsed(24 * HOUR)).lease(HOUR / 4).clock(clock).open()
}

/// Prints everything that is due now. In production a thread does this, with `recv` instead of `try_recv`.
fn print_what_is_due(consumer: &Consumer<&'static str>, mut print: impl FnMut(&str) -> Result<(), &'static str>) {
    while let Ok(delivery) = consumer.try_recv() {
        // Both can only fail if the lease is lost, and then the report comes back anyway.
        let _ = match print(delivery.message()) {
            Ok(()) => delivery.ack(),
            Err(error) => delivery.nack(error),
        };
    }
}

// ---- its tests ----

#[cfg_attr(test, test)]
fn a_report_that_failed_is_printed_two_hours_later() {
    let clock = ManualClock::new();
    let queue = open(clock.clone()).unwrap();
    let consumer = queue.consumer();
    queue.producer().send("sales").unwrap();
    let mut answers = VecDeque::from([Err("out of paper"), Ok(())]);
    let mut print = |_: &str| answers.pop_front().expect("printed too often");

    print_what_is_due(&consumer, &mut print);
    clock.advance(2 * HOUR - Duration::from_millis(1));
    print_what_is_due(&consumer, &mut print);
    assert_eq!((queue.stats().delayed, queue.stats().acked), (1, 0)); // not yet
    clock.advance(Duration::from_millis(1));
    print_what_is_due(&consumer, &mut print);
    assert_eq!((queue.stats().delayed, queue.stats().acked), (0, 1));
}

#[cfg_attr(test, test)]
fn after_a_day_it_is_given_up() {
    let clock = ManualClock::new();
    let queue = open(clock.clone()).unwrap();
    let consumer = queue.consumer();
    let id = queue.producer().send("sales").unwrap();
    let mut tries = 0;
    for _ in 0..48 {
        print_what_is_due(&consumer, |_| {
            tries += 1;
            Err("on fire")
        });
        clock.advance(HOUR);
    }
    let letter = queue.dead_letters().get(id).expect("a dead letter");
    assert_eq!((tries, letter.history().len(), letter.reason()), (13, 13, "on fire")); // at 0, 2, … 24 hours
    assert_eq!(letter.history()[12].at().duration_since(letter.history()[0].at()).unwrap(), 24 * HOUR);
}

#[cfg_attr(test, test)]
fn a_printer_that_hangs_loses_the_report_to_another() {
    let clock = ManualClock::new();
    let queue = open(clock.clone()).unwrap();
    queue.producer().send("sales").unwrap();
    let hangs = queue.consumer().recv().unwrap();
    clock.advance(HOUR / 4); // the lease
    assert!(hangs.is_lost());
    clock.advance(2 * HOUR); // the retry
    print_what_is_due(&queue.consumer(), |_| Ok(()));
    assert_eq!(hangs.ack().unwrap_err().kind, SettleErrorKind::StaleLease); // too late, and it changes nothing
    assert_eq!((queue.stats().acked, queue.stats().leases_lost), (1, 1));
}

#[cfg_attr(test, test)]
fn setting_the_wall_clock_hastens_nothing() {
    let clock = ManualClock::new();
    let queue = open(clock.clone()).unwrap();
    queue.producer().send("sales").unwrap();
    print_what_is_due(&queue.consumer(), |_| Err("out of paper"));
    clock.set_system_time(SystemTime::now() + 1000 * HOUR);
    assert_eq!(queue.stats().delayed, 1);
}

fn main() {
    let start = Instant::now();
    a_report_that_failed_is_printed_two_hours_later();
    after_a_day_it_is_given_up();
    a_printer_that_hangs_loses_the_report_to_another();
    setting_the_wall_clock_hastens_nothing();
    println!("four tests, 52 hours and 15 minutes of the queues' time, passed in {:?} of ours", start.elapsed());
}
