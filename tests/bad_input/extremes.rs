//! Nothing, and far too much: no messages, no time, all the time there is.

use super::*;

#[test]
fn a_batch_of_at_most_nothing_is_a_batch_of_one() {
    let queue = builder(&ManualClock::new()).open().unwrap();
    queue.producer().send_batch([1, 2]).unwrap();
    let batch = queue.consumer().recv_batch(0).unwrap();
    assert_eq!(batch.len(), 1);
    batch.ack_all().unwrap();
    let batch = queue.consumer().try_recv_batch(0).unwrap();
    assert_eq!(batch.len(), 1);
    batch.ack_all().unwrap();
    assert_eq!(queue.producer().send_batch([]).unwrap(), []);
    queue.producer().send_batch([1, 2]).unwrap();
    assert_eq!(queue.consumer().recv_batch(usize::MAX).unwrap().len(), 2);
}

#[test]
fn waiting_for_no_time_at_all_answers_at_once() {
    let queue = builder(&ManualClock::new()).capacity(1).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    assert_eq!(consumer.recv_timeout(Duration::ZERO).unwrap_err(), RecvTimeoutError::Timeout);
    assert_eq!(consumer.recv_batch_timeout(3, Duration::ZERO).unwrap_err(), RecvTimeoutError::Timeout);
    queue.drain(Duration::ZERO).unwrap();
    producer.send_timeout(1, Duration::ZERO).unwrap(); // there is room, so no time is needed
    let error = producer.send_timeout(2, Duration::ZERO).unwrap_err();
    assert_eq!((error.kind, error.message), (SendErrorKind::Timeout, 2));
    let DrainError { waited, unsettled, unsent, .. } = queue.drain(Duration::ZERO).unwrap_err();
    assert_eq!((waited, unsettled, unsent), (Duration::ZERO, 1, 0));
    let receipt = producer.submit(3).unwrap();
    assert!(receipt.wait_timeout(Duration::ZERO).is_none());
    assert_eq!(queue.drain(Duration::ZERO).unwrap_err().unsent, 1);
    consumer.recv_timeout(Duration::ZERO).unwrap().nack_after(Duration::ZERO, "at once").unwrap();
    consumer.recv_timeout(Duration::ZERO).unwrap().snooze(Duration::ZERO).unwrap();
    let again = consumer.recv_batch_timeout(3, Duration::ZERO).unwrap();
    assert_eq!(again.iter().map(|item| item.attempt()).collect::<Vec<_>>(), [2]);
    again.ack_all().unwrap();
}

#[test]
fn a_lease_that_is_extended_to_nothing_ends_at_the_next_look() {
    let clock = ManualClock::new();
    let queue = builder(&clock).open().unwrap();
    queue.producer().send(1).unwrap();
    let first = queue.consumer().recv().unwrap();
    first.extend(Duration::ZERO).unwrap();
    clock.advance(Duration::ZERO);
    assert_eq!((first.is_lost(), first.extend(SECOND)), (true, Err(StaleLease)));
    let second = queue.consumer().try_recv().unwrap();
    second.extend(Duration::ZERO).unwrap();
    clock.advance(Duration::ZERO);
    assert!(second.is_lost());
    queue.consumer().try_recv().unwrap().ack().unwrap();
}

#[test]
fn the_longest_durations_are_for_ever_and_overflow_nothing() {
    let forever = Duration::MAX;
    let clock = ManualClock::new();
    let queue = builder(&clock)
        .capacity(8)
        .lease(forever)
        .retry(Linear::new(forever, forever))
        .resend(Fixed::new(forever))
        .open()
        .unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    for number in 0..6 {
        producer.send_timeout(number, forever).unwrap();
    }
    let year = Duration::from_secs(366 * 24 * 3600);
    let held = consumer.recv_timeout(forever).unwrap();
    let extended = consumer.recv().unwrap();
    extended.extend(forever).unwrap();
    consumer.recv().unwrap().nack("later").unwrap();
    consumer.recv().unwrap().nack_after(forever, "later").unwrap();
    consumer.recv().unwrap().snooze(forever).unwrap();
    assert_eq!(consumer.recv_batch_timeout(1, forever).unwrap().into_iter().next().unwrap().attempt(), 1);
    let last = (6..).find(|number| producer.try_send(*number).is_err()).unwrap();
    let receipt = producer.submit(99).unwrap();
    for _ in 0..10 {
        clock.advance(1_000_000 * year);
        assert!(!held.is_lost() && !extended.is_lost());
    }
    let stats = queue.stats();
    assert_eq!((stats.in_flight, stats.delayed, stats.unsent, stats.failed), (2, 4, 1, 3));
    assert!(receipt.wait_timeout(Duration::ZERO).is_none());
    let _ = (queue.unsent().list()[0].next_try(), queue.stats().oldest_ready_age());
    // At the end of all time everything falls due at once, and nothing is lost.
    held.ack().unwrap();
    clock.advance(forever);
    assert!(extended.is_lost());
    drop(extended);
    let mut left: Vec<i32> = Vec::new();
    while let Ok(delivery) = consumer.try_recv() {
        left.push(delivery.into_message().unwrap());
        clock.advance(Duration::ZERO);
    }
    left.extend(queue.dead_letters().list(Filter::all()).iter().map(|letter| *letter.message().unwrap()));
    left.sort_unstable();
    let mut expected: Vec<i32> = (1..last).chain([99]).collect();
    expected.sort_unstable();
    assert_eq!(left, expected);
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.in_flight, stats.delayed, stats.unsent, stats.leases_lost), (0, 0, 0, 0, 1));
}

#[test]
fn the_longest_durations_mean_for_ever_on_a_real_clock_too() {
    let forever = Duration::MAX;
    let queue = Queue::builder("q")
        .capacity(8)
        .lease(forever)
        .retry(Fixed::new(forever))
        .resend(Fixed::new(forever))
        .open()
        .unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    for number in 0..8 {
        producer.send_timeout(number, forever).unwrap();
    }
    let receipt = producer.submit(8).unwrap();
    consumer.recv_timeout(forever).unwrap().nack("later").unwrap();
    let held = consumer.recv_timeout(forever).unwrap();
    held.extend(forever).unwrap();
    let batch = consumer.recv_batch_timeout(9, forever).unwrap();
    assert_eq!(batch.len(), 6);
    batch.ack_all().unwrap();
    held.ack().unwrap();
    assert!(receipt.wait_timeout(Duration::from_millis(1)).is_none());
    std::thread::scope(|scope| {
        let received = scope.spawn(|| consumer.recv_timeout(forever).map(|delivery| delivery.into_message().unwrap()));
        producer.send(9).unwrap();
        assert_eq!(received.join().unwrap().unwrap(), 9);
    });
    queue.close();
    assert_eq!(receipt.wait(), Err(ReceiptError::GivenUp));
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.in_flight, stats.delayed, stats.dead), (0, 0, 1, 1));
}

#[test]
fn a_filter_that_means_nothing_and_a_rate_of_nothing_change_nothing() {
    let queue = builder::<u32>(&ManualClock::new()).open().unwrap();
    queue.producer().send_batch([1, 2, 3]).unwrap();
    queue.consumer().iter().take(3).for_each(|delivery| delivery.reject("no such user").unwrap());
    let letters = queue.dead_letters();
    let nothing = [
        Filter::all().limit(0),
        Filter::all().error_contains("no such host"),
        Filter::all().reason_is("no such"),
        Filter::all().error_type("no::such::Type"),
        Filter::all().rule("no rule"),
        Filter::all().key(""),
        Filter::all().header("", ""),
        Filter::all().older_than(Duration::MAX),
        Filter::all().younger_than(Duration::ZERO),
        Filter::all().attempts_at_least(u32::MAX),
    ];
    for filter in nothing {
        let found = (
            letters.list(filter.clone()).len(),
            letters.redrive_all(filter.clone(), Rate::unlimited()),
            letters.purge(filter.clone()),
        );
        assert_eq!((found, letters.len()), ((0, 0, 0), 3), "{filter:?}");
    }
    assert_eq!(letters.redrive_all(Filter::all(), Rate::per_second(0)), 0);
    let numbers: Vec<_> = letters.list(Filter::all()).iter().map(|letter| *letter.message().unwrap()).collect();
    assert_eq!((numbers, queue.stats().ready), (vec![1, 2, 3], 0));
}
