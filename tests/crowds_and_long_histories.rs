//! Very many of one thing: attempts of one message, delays that end in one moment. None is lost, and what is kept is bounded.

use redeliver::{Immediate, ManualClock, Queue, QueueBuilder};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn builder<T: Send + Sync + 'static>(clock: &ManualClock) -> QueueBuilder<T> {
    Queue::builder("q").retry(Immediate.forever()).max_deliveries(u32::MAX).clock(clock.clone())
}

#[test]
fn of_a_message_that_fails_for_ever_the_newest_thousand_attempts_are_told() {
    let queue = builder(&ManualClock::new()).open().unwrap();
    let id = queue.producer().send("hopeless").unwrap();
    for attempt in 1..=1_100 {
        let delivery = queue.consumer().try_recv().unwrap();
        assert_eq!(delivery.attempt(), attempt);
        delivery.nack(format!("failure {attempt}")).unwrap();
    }
    queue.consumer().try_recv().unwrap().reject("enough").unwrap();
    let letter = queue.dead_letters().get(id).unwrap();
    let history = letter.history();
    assert_eq!((history.len(), history[0].attempt(), history[0].error()), (1_000, 102, "failure 102"));
    assert_eq!((history[999].attempt(), history[999].error(), letter.reason()), (1_101, "enough", "enough"));
}

#[test]
fn thousands_of_delays_that_end_together_all_end_and_in_their_order() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(8_192).open().unwrap();
    for n in 0..5_000u32 {
        queue.producer().send(n).unwrap();
        // Hours ahead, a millisecond apart, so that the timing wheel has to bring them down together.
        let after = 9 * HOUR + Duration::from_millis(u64::from(n));
        queue.consumer().try_recv().unwrap().nack_after(after, "later").unwrap();
    }
    clock.advance(9 * HOUR - Duration::from_millis(1));
    assert_eq!((queue.stats().delayed, queue.len()), (5_000, 0), "none of them early");
    clock.advance(HOUR);
    assert_eq!((queue.stats().delayed, queue.len()), (0, 5_000), "none of them late");
    for n in 0..5_000 {
        assert_eq!(queue.consumer().try_recv().unwrap().into_message().unwrap(), n);
    }
    assert!(queue.is_empty() && queue.dead_letters().is_empty());
}
