//! A first delivery takes no lock: counted where every lock of the crate is taken, in `sync/real.rs`.

use crate::sync::counters::LOCKS;
use crate::{Clock, Consumer, ManualClock, Producer, Queue, SystemClock};

const MESSAGES: u64 = 100_000;

fn queue(clock: impl Clock) -> (Producer<u64>, Consumer<u64>) {
    let queue = Queue::builder("hot").capacity(1024).clock(clock).open().expect("valid");
    (queue.producer(), queue.consumer())
}

fn locks_taken_by(work: impl FnOnce()) -> u64 {
    let before = LOCKS.get();
    work();
    LOCKS.get() - before
}

fn deliver(producer: &Producer<u64>, consumer: &Consumer<u64>, messages: u64) {
    for n in 0..messages {
        producer.send(n).expect("open");
        let delivery = consumer.recv().expect("ready");
        assert_eq!(*delivery, n);
        delivery.ack().expect("valid");
    }
}

#[test]
fn a_first_delivery_takes_no_lock_but_those_of_a_clock_that_has_one() {
    let (producer, consumer) = queue(ManualClock::new());
    // A manual clock is read under its own lock, at every 64th send and the hand-over of the same message.
    let samples = 2 * MESSAGES.div_ceil(64);
    assert_eq!(locks_taken_by(|| deliver(&producer, &consumer, MESSAGES)), samples);
}

#[test]
fn with_the_system_clock_a_lock_is_taken_only_when_a_queue_that_rested_is_moved() {
    let (producer, consumer) = queue(SystemClock);
    // The queue is sampled every few milliseconds while it moves. It rests, and its next mover takes a lock or two to say
    // so, only if a whole tick has passed without a message: on a busy machine that may happen a few times.
    let locks = locks_taken_by(|| deliver(&producer, &consumer, MESSAGES));
    assert!(locks * 1000 <= MESSAGES, "{locks} locks for {MESSAGES} messages");
}

#[test]
fn a_batch_takes_no_lock_either() {
    let (producer, consumer) = queue(ManualClock::new());
    let locks = locks_taken_by(|| {
        for _ in 0..1000 {
            producer.send_batch(0..63).expect("open");
            let batch = consumer.recv_batch(63).expect("ready");
            assert_eq!(batch.len(), 63);
            batch.ack_all().expect("valid");
        }
    });
    assert!(locks <= 2 * (63_000 / 64 + 1), "{locks} locks");
}
