//! Loom models of the whole queue: sleeping and waking, and the moves between ring and ledger.

use super::QUIET;
use crate::driver::Timed;
use crate::model_runner::{model, model_within};
use crate::sync::{AtomicU32, SeqCst};
use crate::{Breaker, BreakerState, Clock, Consumer, Delivery, Immediate, ManualClock, Queue};
use loom::future::block_on;
use loom::thread::{spawn, yield_now};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant, SystemTime};

fn queue(capacity: usize) -> (Queue<u32>, ManualClock) {
    let clock = ManualClock::new();
    let builder = Queue::builder("model").capacity(capacity).retry(Immediate).seed(1);
    let queue = builder.lease(Duration::from_millis(10)).clock(clock.clone()).open().expect("valid");
    (queue, clock)
}

#[test]
fn sleeping_consumer() {
    model("a consumer goes to sleep while a message is sent", || {
        let (queue, _clock) = queue(2);
        let consumer = queue.consumer();
        let receiver = spawn(move || consumer.recv().expect("open").ack().expect("valid"));
        queue.producer().send(1).expect("open");
        receiver.join().unwrap();
    });
}

#[test]
fn sleeping_task() {
    model("a task waits while a message is sent", || {
        let (queue, _clock) = queue(2);
        let consumer = queue.consumer();
        let receiver = spawn(move || block_on(consumer.recv_async()).expect("open").ack().expect("valid"));
        queue.producer().send(1).expect("open");
        receiver.join().unwrap();
    });
}

#[test]
fn a_task_that_gives_up() {
    model("a task gives up while it is called, and a thread waits for the same message", || {
        let (queue, _clock) = queue(2);
        let (consumer, producer) = (queue.consumer(), queue.producer());
        let impatient = queue.consumer();
        let mut waiting = Box::pin(impatient.recv_async());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        let receiver = spawn(move || consumer.recv().expect("open").ack().expect("valid"));
        let sender = spawn(move || producer.send(1).map(drop).expect("open"));
        drop(waiting); // whether it was called or not, the thread gets the message
        receiver.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn sleeping_sending_task() {
    model("a task waits for room while the only message is acked", || {
        let (queue, _clock) = queue(1);
        queue.producer().send(1).expect("open");
        let delivery = queue.consumer().recv().expect("ready");
        let producer = queue.producer();
        let sender = spawn(move || block_on(producer.send_async(2)).map(drop).expect("open"));
        delivery.ack().expect("valid");
        sender.join().unwrap();
        assert_eq!(*queue.consumer().recv().expect("ready"), 2);
    });
}

#[test]
fn sleeping_task_of_a_closed_queue() {
    model("a task waits on a closed queue for the last message in flight", || {
        let (queue, _clock) = queue(1);
        queue.producer().send(1).expect("open");
        let delivery = queue.consumer().recv().expect("ready");
        queue.close();
        let consumer = queue.consumer();
        let receiver = spawn(move || assert!(block_on(consumer.recv_async()).is_err()));
        delivery.ack().expect("valid");
        receiver.join().unwrap();
    });
}

#[test]
fn sleeping_producer() {
    model("a producer goes to sleep on a full queue while its message is acked", || {
        let (queue, _clock) = queue(1);
        queue.producer().send(1).expect("open");
        let delivery = queue.consumer().recv().expect("ready");
        let producer = queue.producer();
        let sender = spawn(move || producer.send(2).expect("open"));
        delivery.ack().expect("valid");
        sender.join().unwrap();
        assert_eq!(*queue.consumer().recv().expect("ready"), 2);
    });
}

#[test]
fn a_verdict_wakes_a_producer() {
    type Verdict = fn(Delivery<u32>);
    let verdicts: [(&str, Verdict); 5] = [
        ("rejected", |delivery| delivery.reject("never").expect("valid")),
        ("put off", |delivery| delivery.snooze(Duration::from_secs(1)).expect("valid")),
        ("to come back later", |delivery| delivery.nack_after(Duration::from_secs(1), "busy").expect("valid")),
        ("taken", |delivery| _ = delivery.into_message().expect("valid")),
        ("dropped when it was late", |delivery| assert!(delivery.is_lost())),
    ];
    for (name, verdict) in verdicts {
        model(&format!("a producer goes to sleep on a full queue while its message is {name}"), move || {
            let (queue, clock) = queue(1);
            queue.producer().send(1).expect("open");
            let delivery = queue.consumer().recv().expect("ready");
            if name.ends_with("late") {
                clock.advance(Duration::from_millis(10));
                queue.consumer().recv().expect("came back").reject("never").expect("valid");
            }
            let producer = queue.producer();
            let sender = spawn(move || producer.send(2).expect("open"));
            verdict(delivery);
            sender.join().unwrap();
            assert_eq!(*queue.consumer().recv().expect("ready"), 2);
        });
    }
}

#[test]
fn the_woken_consumer_wakes_the_next() {
    model_within(1, "two consumers go to sleep while two messages are sent at once", || {
        let (queue, _clock) = queue(2);
        let receive = |consumer: Consumer<u32>| consumer.recv().expect("open").ack().expect("valid");
        let (consumer, producer) = (queue.consumer(), queue.producer());
        let receiver = spawn(move || receive(consumer));
        let sender = spawn(move || _ = producer.send_batch([1, 2]).expect("open"));
        receive(queue.consumer());
        receiver.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn the_woken_producer_wakes_the_next() {
    model_within(1, "two producers go to sleep on a full queue while its two messages are acked at once", || {
        let (queue, _clock) = queue(2);
        queue.producer().send_batch([1, 2]).expect("open");
        let batch = queue.consumer().recv_batch(2).expect("ready");
        let producer = queue.producer();
        let sender = spawn(move || producer.send(3).expect("open"));
        let settle = spawn(move || batch.ack_all().expect("valid"));
        queue.producer().send(4).expect("open");
        sender.join().unwrap();
        settle.join().unwrap();
    });
}

#[test]
fn a_nack_wakes() {
    model("a consumer goes to sleep while a message is nacked", || {
        let (queue, _clock) = queue(2);
        queue.producer().send(1).expect("open");
        let delivery = queue.consumer().recv().expect("ready");
        let consumer = queue.consumer();
        let receiver = spawn(move || {
            let delivery = consumer.recv().expect("open");
            assert_eq!(delivery.attempt(), 2);
            delivery.ack().expect("valid");
        });
        delivery.nack("again").expect("valid");
        receiver.join().unwrap();
    });
}

#[test]
fn close_wakes() {
    model("a consumer goes to sleep while the queue closes", || {
        let (queue, _clock) = queue(1);
        let consumer = queue.consumer();
        let receiver = spawn(move || assert!(consumer.recv().is_err()));
        queue.close();
        receiver.join().unwrap();
    });
}

#[test]
fn the_last_ack_ends_a_closed_queue() {
    model("a consumer waits on a closed queue for the last message in flight", || {
        let (queue, _clock) = queue(1);
        queue.producer().send(1).expect("open");
        let delivery = queue.consumer().recv().expect("ready");
        queue.close();
        let consumer = queue.consumer();
        let receiver = spawn(move || assert!(consumer.recv().is_err()));
        delivery.ack().expect("valid");
        receiver.join().unwrap();
    });
}

#[test]
fn drain_against_ack() {
    model("drain goes to sleep while the last message is acked", || {
        let (queue, _clock) = queue(1);
        queue.producer().send(1).expect("open");
        let delivery = queue.consumer().recv().expect("ready");
        let other = queue.clone();
        let drainer = spawn(move || other.drain(Duration::from_secs(9)).expect("drained"));
        delivery.ack().expect("valid");
        drainer.join().unwrap();
    });
}

#[test]
fn ack_against_a_lost_lease() {
    model("ack against expiry: settled once, or delivered again", || {
        let (queue, clock) = queue(1);
        queue.producer().send(1).expect("open");
        let delivery = queue.consumer().recv().expect("ready");
        let sweeper = spawn(move || clock.advance(Duration::from_millis(10)));
        let acked = delivery.ack().is_ok();
        sweeper.join().unwrap();
        match queue.consumer().try_recv() {
            Ok(again) => {
                assert!(!acked);
                assert_eq!(again.attempt(), 2);
                again.ack().expect("valid");
            }
            Err(_) => assert!(acked),
        }
        assert_eq!(queue.stats().acked, 1);
    });
}

#[test]
fn last_handle_against_nack() {
    model("the last handle goes while a delivery is nacked", || {
        let (queue, _clock) = queue(1);
        queue.producer().send(1).expect("open");
        let delivery = queue.consumer().recv().expect("ready");
        let settle = spawn(move || delivery.nack("nobody is left to hear").expect("valid"));
        drop(queue);
        settle.join().unwrap();
    });
}

#[test]
fn a_full_queue_with_a_seat_out_of_reach_takes_one_more() {
    model("overflow: a send behind the ring against the receiver that refills it", || {
        let (queue, _clock) = queue(2);
        let (producer, consumer) = (queue.producer(), queue.consumer());
        producer.send(0).expect("open");
        producer.send(1).expect("open");
        let held = consumer.recv().expect("ready"); // seat 0
        let other = queue.producer();
        let sender = spawn(move || {
            while other.try_send(2).is_err() {
                yield_now();
            }
        });
        held.ack().expect("valid");
        for n in 1..=2 {
            let delivery = consumer.recv().expect("open");
            assert_eq!(*delivery, n);
            delivery.ack().expect("valid");
        }
        sender.join().unwrap();
    });
}

/// A clock that the driver watches.
struct Still(Instant);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0
    }
    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

#[test]
fn going_quiet_against_a_hand_over() {
    // The tick that goes quiet must look again itself: a further one would make good what it has missed.
    for ticks in 1..=2 {
        model(&format!("the driver goes quiet in {ticks} ticks while a message is handed over"), move || {
            let queue = Queue::builder("model").capacity(2).seed(1).clock(Still(Instant::now())).open().expect("valid");
            let (producer, consumer) = (queue.producer(), queue.consumer());
            producer.send(1).expect("open"); // stirs: the driver watches from now on
            let core = queue.core();
            let driver = spawn(move || {
                (0..ticks).for_each(|_| _ = core.tick());
                core
            });
            let delivery = consumer.recv().expect("ready");
            let core = driver.join().unwrap();
            let is_behind = core.has_moved(&core.side.ledger.lock());
            assert!(core.attention() & QUIET == 0 || !is_behind, "a lease that nobody watches");
            delivery.ack().expect("valid");
        });
    }
}

#[test]
fn late_ack_against_the_next_ones() {
    model("the ack of a late handle against the ack of the redelivery: one counts", || {
        let (queue, clock) = queue(1);
        queue.producer().send(1).expect("open");
        let late = queue.consumer().recv().expect("ready");
        clock.advance(Duration::from_millis(10));
        let valid = queue.consumer().recv().expect("came back");
        let other = spawn(move || late.ack().is_ok());
        assert!(valid.ack().is_ok());
        assert!(!other.join().unwrap());
        assert_eq!(queue.stats().acked, 1);
        assert_eq!(queue.stats().pinned, 0);
        queue.producer().try_send(2).expect("the seat is free");
    });
}

// ---- a queue with a breaker ----

const PAUSE: Duration = Duration::from_millis(5);

/// A clock that the driver watches, and that moves by whole pauses.
struct Pauses(Instant, Arc<AtomicU32>);

impl Clock for Pauses {
    fn now(&self) -> Instant {
        self.0 + self.1.load(SeqCst) * PAUSE
    }
    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// The first failure opens its circuit.
fn guarded(has_classes: bool, clock: impl Clock) -> Queue<u32> {
    let mut breaker = Breaker::new().consecutive_failures(1).open_for(PAUSE);
    if has_classes {
        breaker = breaker.per_key(|_| String::new());
    }
    Queue::builder("model").capacity(2).retry(Immediate).breaker(breaker).clock(clock).seed(1).open().expect("valid")
}

/// Two messages, and a circuit that waits for a probe.
fn half_open(has_classes: bool) -> Queue<u32> {
    let clock = ManualClock::new();
    let queue = guarded(has_classes, clock.clone());
    queue.producer().send_batch([1, 2]).expect("open");
    queue.consumer().recv().expect("ready").nack("down").expect("valid");
    clock.advance(PAUSE);
    assert_eq!(queue.breaker_state(""), BreakerState::HalfOpen);
    queue
}

#[test]
fn a_circuit_that_opens_lets_nobody_sleep_for_ever() {
    for has_classes in [false, true] {
        let name = if has_classes { "of a class " } else { "" };
        model_within(3, &format!("a consumer receives while the circuit {name}opens and its pause ends"), move || {
            let pauses = Arc::new(AtomicU32::new(0));
            let queue = guarded(has_classes, Pauses(Instant::now(), pauses.clone()));
            queue.producer().send_batch([1, 2]).expect("open");
            let failing = queue.consumer().recv().expect("ready");
            let consumer = queue.consumer();
            let receiver = spawn(move || consumer.recv().expect("open").ack().expect("valid"));
            failing.nack("down").expect("valid");
            pauses.store(1, SeqCst);
            _ = queue.core().tick(); // as the driver does
            receiver.join().unwrap();
            // Whether the other consumer had the probe or what was ready before: the rest can be received.
            queue.consumer().recv().expect("ready").ack().expect("valid");
            assert_eq!((queue.breaker_state(""), queue.stats().acked), (BreakerState::Closed, 2));
        });
    }
}

#[test]
fn the_end_of_a_probe_wakes() {
    type Verdict = fn(Delivery<u32>);
    let verdicts: [(&str, Verdict); 3] = [
        ("acked", |probe| probe.ack().expect("valid")),
        ("rejected", |probe| probe.reject("never").expect("valid")),
        ("put off", |probe| probe.snooze(Duration::from_secs(1)).expect("valid")),
    ];
    for (name, verdict) in verdicts {
        for has_classes in [false, true] {
            let of = if has_classes { " of a class" } else { "" };
            model_within(3, &format!("a consumer goes to sleep while a probe{of} is {name}"), move || {
                let queue = half_open(has_classes);
                let probe = queue.consumer().recv().expect("a probe");
                let consumer = queue.consumer();
                let receiver = spawn(move || consumer.recv().expect("open").ack().expect("valid"));
                verdict(probe);
                receiver.join().unwrap();
                assert_eq!(queue.breaker_state(""), BreakerState::Closed);
            });
        }
    }
}

#[test]
fn one_probe_at_a_time() {
    for has_classes in [false, true] {
        let of = if has_classes { " of a class" } else { "" };
        model_within(3, &format!("two consumers want the one probe{of}"), move || {
            let queue = half_open(has_classes);
            let consumer = queue.consumer();
            let receiver = spawn(move || consumer.try_recv().ok());
            let ours = queue.consumer().try_recv().ok();
            let theirs = receiver.join().unwrap();
            assert!(ours.is_some() != theirs.is_some(), "one of them has it");
            ours.or(theirs).expect("a probe").ack().expect("valid");
            queue.consumer().recv().expect("closed, so the other is ready").ack().expect("valid");
        });
    }
}
