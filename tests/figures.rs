//! The figures, against runs whose figures were counted by hand, on a clock that is moved by hand.

use redeliver::{Fixed, Immediate, ManualClock, Queue};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

#[test]
fn a_run_that_was_counted_by_hand() {
    let clock = ManualClock::new();
    let queue = Queue::builder("counted")
        .capacity(4)
        .lease(10 * SECOND)
        .retry(Fixed::new(SECOND).max_attempts(3))
        .resend(Fixed::new(SECOND).max_attempts(5))
        .clock(clock.clone())
        .open()
        .unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    assert_eq!((queue.stats().throughput(), queue.stats().failure_rate()), (0.0, 0.0), "no time, and no delivery, yet");

    // 0 s: four are sent, and a fifth finds no room.
    producer.send_batch(["acked", "nacked", "hopeless", "held"]).unwrap();
    let receipt = producer.submit("resent").unwrap();
    assert_eq!((queue.stats().sent, queue.stats().ready, queue.stats().unsent), (4, 4, 1));

    // 1 s: sent again, in vain. Then four hand-overs: one ack, one nack, one nack, one held.
    clock.advance(SECOND);
    assert_eq!((queue.stats().retransmissions, queue.stats().oldest_ready_age()), (1, Some(SECOND)));
    consumer.try_recv().unwrap().ack().unwrap();
    consumer.try_recv().unwrap().nack("planned").unwrap();
    consumer.try_recv().unwrap().nack("planned").unwrap();
    let held = consumer.try_recv().unwrap();
    let stats = queue.stats();
    assert_eq!((stats.delivered, stats.acked, stats.failed, stats.retries), (4, 1, 2, 2));
    assert_eq!((stats.ready, stats.in_flight, stats.delayed, stats.unsent), (0, 1, 2, 1));
    assert_eq!((stats.failure_rate(), stats.throughput()), (0.5, 1.0));

    // 2 s: the resend finds room, and the two are due. 3 s: the hopeless one is due for the last time.
    clock.advance(SECOND);
    assert_eq!(receipt.wait_timeout(Duration::ZERO).unwrap(), Ok(receipt.id()));
    for _ in 0..3 {
        match consumer.try_recv().unwrap() {
            hopeless if *hopeless == "hopeless" => hopeless.nack("planned").unwrap(),
            good => good.ack().unwrap(),
        }
    }
    clock.advance(SECOND);
    consumer.try_recv().unwrap().nack("planned").unwrap();

    // 11 s: the lease of the one that was held ends. 12 s: it is due again, and snoozed once.
    clock.advance(8 * SECOND);
    assert!(held.is_lost());
    clock.advance(SECOND);
    consumer.try_recv().unwrap().snooze(SECOND).unwrap();
    clock.advance(SECOND);
    consumer.try_recv().unwrap().ack().unwrap();
    drop(held);

    // 13 s.
    let stats = queue.stats();
    assert_eq!((stats.sent, stats.acked, stats.dead), (5, 4, 1));
    // Hand-overs: 4 at 1 s, 3 at 2 s, 1 at 3 s, 1 at 12 s, 1 at 13 s.
    assert_eq!((stats.delivered, stats.failed, stats.leases_lost), (10, 5, 1));
    // Put back: twice at 1 s, once at 2 s, once at 11 s.
    assert_eq!((stats.retries, stats.retransmissions), (4, 2));
    assert_eq!(
        (stats.ready, stats.in_flight, stats.delayed, stats.parked, stats.unsent, stats.pinned),
        (0, 0, 0, 0, 0, 0)
    );
    assert_eq!((stats.failure_rate(), stats.throughput()), (0.5, 4.0 / 13.0));
    assert_eq!((stats.discarded, stats.expired, stats.events_dropped), (0, 0, 0));
}

#[test]
fn latency_is_from_send_to_hand_over() {
    let clock = ManualClock::new();
    let queue = Queue::builder("latency").capacity(64 * 64).clock(clock.clone()).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    // Every 64th message is timed: the first of each block. Block n waits n milliseconds.
    for block in 1..=50u32 {
        (0..64u32).for_each(|n| producer.send(n).map(drop).unwrap());
        clock.advance(block * MS);
        (0..64).for_each(|_| consumer.try_recv().unwrap().ack().unwrap());
    }
    let stats = queue.stats();
    let latency = stats.latency();
    assert_eq!(latency.samples(), 50);
    for (percent, expected) in [(50.0, 25), (90.0, 45), (99.0, 50), (100.0, 50), (0.0, 1)] {
        let told = latency.percentile(percent).unwrap();
        let expected = expected * MS;
        assert!(told >= expected && told <= expected + expected / 16, "p{percent}: {told:?} is not {expected:?}");
    }
}

#[test]
fn a_failure_rate_is_failures_by_deliveries() {
    let queue = Queue::builder("rates").retry(Immediate.max_attempts(2)).open().unwrap();
    queue.producer().send_batch(0..100u32).unwrap();
    queue.close();
    for delivery in queue.consumer().iter() {
        if delivery.is_multiple_of(10) { delivery.nack("planned").unwrap() } else { delivery.ack().unwrap() }
    }
    let stats = queue.stats();
    assert_eq!((stats.delivered, stats.failed, stats.retries, stats.acked, stats.dead), (110, 20, 10, 90, 10));
    assert_eq!(stats.failure_rate(), 20.0 / 110.0);
}
