//! Handles of a queue may be dropped in any order, with messages left inside: every message is dropped once, nothing is
//! leaked, sends after the end say `Closed` and give the message back, and a delivery that outlives its queue settles into
//! nothing.
//!
//! All permutations of the handles that keep something alive, and seeded ones of all handles there are.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads of its own")]

mod support;

use redeliver::{
    Batch, Consumer, DeadLetter, DeadLetters, Decision, Delivery, Event, Filter, ManualClock, Producer, Queue, Receipt,
    ReceiptError, SendErrorKind, SettleErrorKind, TryRecvError, Unsent, policy_fn,
};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use support::{Rng, evidence, is_nightly, seed};

const LEASE: Duration = Duration::from_secs(10);
const MESSAGES: usize = 14;
const EXTRA: usize = 8;

/// How often each message was dropped.
struct Drops([AtomicU32; MESSAGES + EXTRA]);

struct Message(Box<usize>, Arc<Drops>);

impl Drop for Message {
    fn drop(&mut self) {
        self.1.0[*self.0].fetch_add(1, SeqCst);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Queue,
    Producer,
    Consumer,
    First,
    Redelivered,
    Batch,
    Late,
    DeadLetters,
    Unsent,
    Receipt,
    Events,
    Letter,
}

const ALL: [Kind; 12] = [
    Kind::Queue,
    Kind::Producer,
    Kind::Consumer,
    Kind::First,
    Kind::Redelivered,
    Kind::Batch,
    Kind::Late,
    Kind::DeadLetters,
    Kind::Unsent,
    Kind::Receipt,
    Kind::Events,
    Kind::Letter,
];

/// One handle.
enum Handle {
    Queue(Queue<Message>),
    Producer(Producer<Message>),
    Consumer(Consumer<Message>),
    /// A delivery whose lease holds.
    Held(Delivery<Message>),
    /// One whose lease is lost; its message was redelivered, or waits for that.
    Late(Delivery<Message>),
    Batch(Batch<Message>),
    DeadLetters(DeadLetters<Message>),
    Unsent(Unsent<Message>),
    Receipt(Receipt),
    Events(crossbeam_channel::Receiver<Event>),
    Letter(Arc<DeadLetter<Message>>),
}

/// A queue with a message in every place where one can be, and a handle of every kind.
struct Scene {
    drops: Arc<Drops>,
    /// Held by the queue's policy, so it is alone when the queue's memory is freed.
    token: Arc<()>,
    handles: Vec<Option<Handle>>,
}

fn scene() -> Scene {
    let drops = Arc::new(Drops(std::array::from_fn(|_| AtomicU32::new(0))));
    let message = |number: usize| Message(Box::new(number), drops.clone());
    let token = Arc::new(());
    let clock = ManualClock::new();
    let kept = token.clone();
    let policy = policy_fn(move |failure| {
        let _ = &kept;
        match failure.cause().to_string().as_str() {
            "die" => Decision::DeadLetter,
            "later" => Decision::Retry { after: 100 * LEASE },
            _ => Decision::Retry { after: Duration::ZERO },
        }
    });
    let queue = Queue::builder("scene")
        .capacity(7)
        .lease(LEASE)
        .retry(policy)
        .resend(redeliver::Fixed::new(LEASE))
        .clock(clock.clone())
        .seed(3)
        .open()
        .unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let events = queue.events();

    // 0: a lease that is lost; its message is ready again.
    producer.send(message(0)).unwrap();
    let late = consumer.recv().unwrap();
    clock.advance(LEASE);
    let again = consumer.recv().unwrap();
    assert_eq!(*again.message().0, 0);
    again.nack("again").unwrap();
    // 1 and 2: dead letters, one of them in somebody's hands. 3: backing off.
    for (number, reason) in [(1, "die"), (2, "die"), (3, "later")] {
        producer.message(message(number)).key("k").send().unwrap();
        let mut delivery = consumer.recv().unwrap();
        if *delivery.message().0 == 0 {
            delivery.nack("again").unwrap();
            delivery = consumer.recv().unwrap();
        }
        delivery.nack(reason).unwrap();
    }
    let letter = queue.dead_letters().list(Filter::all())[0].clone();
    // 4: redelivered.
    producer.send(message(4)).unwrap();
    let redelivered = loop {
        let delivery = consumer.recv().unwrap();
        if *delivery.message().0 == 4 && delivery.attempt() == 2 {
            break delivery;
        }
        delivery.nack("again").unwrap();
    };
    // 5: a first delivery. 6 and 7: a batch (message 0 may be in it too, as a redelivery).
    consumer.recv().unwrap().snooze(LEASE / 2).unwrap(); // 0 steps aside
    producer.send(message(5)).unwrap();
    let first = consumer.recv().unwrap();
    producer.send(message(6)).unwrap();
    producer.message(message(7)).header("h", "v").send().unwrap();
    let batch = consumer.recv_batch(2).unwrap();
    assert_eq!((batch.len(), *first.message().0), (2, 5));
    // 8, 9: ready. 10: unsent.
    producer.send(message(8)).unwrap();
    producer.send(message(9)).unwrap();
    let receipt = producer.submit(message(10)).unwrap();
    assert!(receipt.wait_timeout(Duration::ZERO).is_none());
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.in_flight, stats.delayed), (2, 4, 2));
    assert_eq!((stats.dead, stats.unsent, stats.pinned), (2, 1, 1));

    let handles = vec![
        Handle::Queue(queue.clone()),
        Handle::Producer(producer),
        Handle::Consumer(consumer),
        Handle::Held(first),
        Handle::Held(redelivered),
        Handle::Batch(batch),
        Handle::Late(late),
        Handle::DeadLetters(queue.dead_letters()),
        Handle::Unsent(queue.unsent()),
        Handle::Receipt(receipt),
        Handle::Events(events),
        Handle::Letter(letter),
    ];
    Scene { drops, token, handles: handles.into_iter().map(Some).collect() }
}

/// Ends a delivery whose lease holds, or whose queue is gone.
fn settle(delivery: Delivery<Message>, how: u64) {
    match how % 8 {
        0 => drop(delivery),
        1 => delivery.ack().unwrap(),
        2 => delivery.nack("again").unwrap(),
        3 => drop(delivery.into_message().unwrap()),
        4 => delivery.reject("no").unwrap(),
        5 => delivery.snooze(LEASE).unwrap(),
        6 => {
            delivery.extend(LEASE).unwrap();
            drop(delivery);
        }
        _ => {
            delivery.extend(LEASE).unwrap();
            delivery.ack().unwrap();
        }
    }
}

/// As above, for one whose lease was lost: refused, also when its queue is gone.
fn settle_late(delivery: Delivery<Message>, how: u64) {
    let error = match how % 5 {
        0 => return drop(delivery),
        1 => delivery.ack().unwrap_err(),
        2 => delivery.nack("again").unwrap_err(),
        3 => delivery.into_message().map(drop).unwrap_err(),
        _ => delivery.snooze(LEASE).unwrap_err(),
    };
    assert_eq!(error.kind, SettleErrorKind::StaleLease);
    assert_eq!(*error.delivery.message().0, 0);
}

fn end(handle: Handle, how: u64) {
    match handle {
        Handle::Held(delivery) => settle(delivery, how),
        Handle::Late(delivery) => settle_late(delivery, how),
        Handle::Batch(batch) => match how % 5 {
            0 => drop(batch),
            1 => batch.ack_all().unwrap(),
            2 => batch.nack_all("again").unwrap(),
            3 => batch.into_iter().for_each(|delivery| settle(delivery, how / 5)),
            _ => drop(batch.into_iter().next()), // and the rest of it
        },
        Handle::Letter(letter) => {
            assert!(*letter.message().unwrap().0 == 1 && letter.reason() == "die");
        }
        Handle::Queue(queue) => drop(queue),
        Handle::Producer(producer) => drop(producer),
        Handle::Consumer(consumer) => drop(consumer),
        Handle::DeadLetters(letters) => drop(letters),
        Handle::Unsent(unsent) => drop(unsent),
        Handle::Receipt(receipt) => drop(receipt),
        Handle::Events(events) => drop(events),
    }
}

impl Scene {
    fn has(&self, kind: Kind) -> bool {
        self.handles[kind as usize].is_some()
    }

    /// What every handle that is left must say now.
    fn look(&self, extra: &mut usize) {
        let closed = !self.has(Kind::Queue) && (!self.has(Kind::Producer) || !self.has(Kind::Consumer));
        for handle in self.handles.iter().flatten() {
            match handle {
                Handle::Producer(producer) if closed && *extra < MESSAGES + EXTRA => {
                    let number = *extra;
                    *extra += 1;
                    let error = producer.send(Message(Box::new(number), self.drops.clone())).unwrap_err();
                    assert_eq!((error.kind, *error.message.0), (SendErrorKind::Closed, number));
                }
                Handle::Receipt(receipt) => {
                    let answer = receipt.wait_timeout(Duration::ZERO);
                    assert_eq!(answer, closed.then_some(Err(ReceiptError::GivenUp)));
                }
                Handle::Unsent(unsent) => assert_eq!(unsent.len(), usize::from(!closed)),
                // 1 and 2, 10 when the queue is closed, and what the test has rejected.
                Handle::DeadLetters(letters) => assert!(letters.len() >= 2 + usize::from(closed)),
                Handle::Consumer(consumer) if closed => {
                    let paused = consumer.clone(); // cloning and dropping changes nothing
                    drop(paused);
                }
                Handle::Held(delivery) => assert!(!delivery.is_lost() && [4, 5].contains(&*delivery.message().0)),
                Handle::Late(delivery) => assert!(delivery.is_lost() && *delivery.message().0 == 0),
                Handle::Batch(batch) => {
                    assert_eq!(batch.iter().map(|item| *item.message().0).collect::<Vec<_>>(), [6, 7]);
                }
                Handle::Letter(letter) => assert_eq!(*letter.message().unwrap().0, 1),
                _ => {}
            }
        }
    }

    fn check_the_end(self, extra: usize, order: &[Kind]) {
        assert_eq!(Arc::strong_count(&self.token), 1, "the queue's memory is freed: {order:?}");
        assert_eq!(Arc::strong_count(&self.drops), 1, "no message is left: {order:?}");
        for (number, drops) in self.drops.0.iter().enumerate() {
            let existed = number <= 10 || (MESSAGES..extra).contains(&number);
            assert_eq!(drops.load(SeqCst), u32::from(existed), "message {number} is dropped once: {order:?}");
        }
    }
}

/// Drops the handles in this order, looking at the others after each.
fn play(order: &[Kind], rng: &mut Rng) {
    let mut scene = scene();
    let mut extra = MESSAGES;
    for &kind in order {
        let handle = scene.handles[kind as usize].take().unwrap();
        end(handle, rng.draw() >> 8);
        scene.look(&mut extra);
    }
    scene.check_the_end(extra, order);
}

/// Heap's algorithm.
fn permutations(of: &mut [Kind], n: usize, each: &mut impl FnMut(&[Kind])) {
    if n <= 1 {
        return each(of);
    }
    for i in 0..n {
        permutations(of, n - 1, each);
        of.swap(if n.is_multiple_of(2) { i } else { 0 }, n - 1);
    }
}

#[test]
fn every_permutation_of_the_handles_ends_with_every_message_dropped_once() {
    // These keep a queue, a seat or an entry alive; the others come at seeded places in between.
    let mut strong = ALL[..7].to_vec();
    let mut weak = ALL[7..].to_vec();
    if is_nightly() {
        strong.extend(weak.drain(..2));
    }
    let seed = seed();
    let mut rng = Rng(seed);
    let mut count = 0u64;
    let n = strong.len();
    permutations(&mut strong, n, &mut |order| {
        let mut order = order.to_vec();
        for &kind in &weak {
            order.insert(rng.below(order.len() as u64 + 1) as usize, kind);
        }
        play(&order, &mut rng);
        count += 1;
    });
    assert_eq!(count, (1..=n as u64).product::<u64>());
    // All twelve, shuffled.
    let shuffles = if is_nightly() { 1_000_000 } else { 5_000 };
    for _ in 0..shuffles {
        let mut order = ALL.to_vec();
        for i in (1..order.len()).rev() {
            order.swap(i, rng.below(i as u64 + 1) as usize);
        }
        play(&order, &mut rng);
    }
    evidence(
        "handles_dropped_in_any_order",
        serde_json::json!({ "permutations": count, "of": n, "shuffles_of_all_12": shuffles, "seed": seed }),
    );
}

#[test]
fn handles_that_are_dropped_at_the_same_time_drop_every_message_once() {
    let seed = seed();
    let mut rng = Rng(seed);
    let rounds = if is_nightly() { 50_000 } else { 500 };
    for round in 0..rounds {
        let mut scene = scene();
        let mut hands: Vec<Vec<(Handle, u64)>> = (0..3).map(|_| Vec::new()).collect();
        for handle in scene.handles.iter_mut() {
            let hand = rng.below(3) as usize;
            let place = rng.below(hands[hand].len() as u64 + 1) as usize;
            hands[hand].insert(place, (handle.take().unwrap(), rng.draw() >> 8));
        }
        let start = Barrier::new(hands.len());
        std::thread::scope(|scope| {
            for hand in hands {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    hand.into_iter().for_each(|(handle, how)| end(handle, how));
                });
            }
        });
        assert_eq!(Arc::strong_count(&scene.token), 1, "round {round} of SEED={seed}");
        scene.check_the_end(MESSAGES, &[]);
    }
    evidence("handles_dropped_at_once", serde_json::json!({ "rounds": rounds, "threads": 3, "seed": seed }));
}

#[test]
fn a_redelivery_that_outlives_its_queue_beside_its_late_handle_says_shared() {
    for late_first in [false, true] {
        let clock = ManualClock::new();
        let queue = Queue::builder("q").lease(LEASE).retry(redeliver::Immediate).clock(clock.clone()).open().unwrap();
        queue.producer().send(String::from("hello")).unwrap();
        let late = queue.consumer().recv().unwrap();
        clock.advance(LEASE);
        let again = queue.consumer().recv().unwrap();
        drop(queue);
        if late_first {
            drop(late);
            assert_eq!(again.into_message().unwrap(), "hello");
        } else {
            let error = again.into_message().unwrap_err();
            assert_eq!((error.kind, late.message().as_str()), (SettleErrorKind::Shared, "hello"));
            assert_eq!(error.delivery.message(), "hello");
        }
    }
}

#[test]
fn a_redriven_message_that_outlives_its_queue_beside_its_letter_says_shared() {
    let queue = Queue::builder("q").retry(redeliver::Never).clock(ManualClock::new()).open().unwrap();
    queue.producer().send(String::from("hello")).unwrap();
    queue.consumer().recv().unwrap().nack("no").unwrap();
    let letter = queue.dead_letters().list(Filter::all())[0].clone();
    assert!(queue.dead_letters().redrive(letter.id()));
    let again = queue.consumer().recv().unwrap();
    drop(queue);
    let error = again.into_message().unwrap_err();
    assert_eq!((error.kind, letter.message().unwrap().as_str()), (SettleErrorKind::Shared, "hello"));
}

#[test]
fn a_consumer_alone_receives_what_is_left_and_then_closed() {
    let queue = Queue::in_memory("q");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    producer.send("a").unwrap();
    producer.send("b").unwrap();
    drop((queue, producer));
    assert_eq!(consumer.iter().map(|d| d.into_message().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
}

/// A queue of one seat whose message lost its lease: the late handle, the redelivery, and a way to send.
fn seat_of_one(retry: impl redeliver::RetryPolicy) -> (Queue<String>, Delivery<String>, ManualClock) {
    let clock = ManualClock::new();
    let queue = Queue::builder("q").capacity(1).lease(LEASE).retry(retry).clock(clock.clone()).open().unwrap();
    queue.producer().send(String::from("hello")).unwrap();
    let late = queue.consumer().recv().unwrap();
    clock.advance(LEASE);
    (queue, late, clock)
}

/// Nothing is ready, in flight or pinned: so the one seat is free.
fn expect_room(queue: &Queue<String>) {
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.in_flight, stats.pinned, stats.dead), (0, 0, 0, 1));
    queue.producer().try_send(String::from("next")).expect("the seat is free");
    queue.consumer().recv().unwrap().ack().unwrap();
}

#[test]
fn a_seat_is_free_again_when_its_message_dies_after_the_late_handle_was_dropped() {
    let (queue, late, _clock) = seat_of_one(redeliver::Immediate.max_attempts(2));
    let again = queue.consumer().recv().unwrap();
    drop(late); // the message stays where it is, for `again` reads it
    again.nack("no").unwrap();
    expect_room(&queue);
    assert_eq!(queue.dead_letters().list(Filter::all())[0].message().unwrap(), "hello");
}

#[test]
fn a_seat_is_free_again_when_a_late_handle_is_dropped_while_somebody_looks_at_the_dead_letter() {
    let (queue, late, _clock) = seat_of_one(redeliver::Never);
    let letter = queue.dead_letters().list(Filter::all())[0].clone();
    drop(late); // the message stays where it is, for `letter` reads it
    assert_eq!(letter.message().unwrap(), "hello");
    drop(letter);
    expect_room(&queue);
}

#[test]
fn a_seat_is_free_again_when_a_late_handle_is_dropped_while_the_redelivery_backs_off() {
    let clock = ManualClock::new();
    let queue = Queue::builder("q")
        .capacity(1)
        .lease(LEASE)
        .retry(redeliver::Fixed::new(LEASE))
        .clock(clock.clone())
        .open()
        .unwrap();
    queue.producer().send(String::from("hello")).unwrap();
    let late = queue.consumer().recv().unwrap();
    clock.advance(2 * LEASE);
    let again = queue.consumer().recv().unwrap();
    drop(late);
    again.nack("no").unwrap(); // backs off, and `again` was the last reader
    assert_eq!((queue.stats().delayed, queue.stats().pinned), (1, 0));
    queue.producer().try_send(String::from("next")).expect("the seat is free");
}

#[test]
fn a_seat_that_a_leaked_redelivery_keeps_is_counted_as_pinned() {
    let (queue, late, clock) = seat_of_one(redeliver::Immediate);
    let again = queue.consumer().recv().unwrap();
    drop(late); // the message stays where it is, for `again` reads it
    support::leak(again);
    clock.advance(LEASE);
    queue.consumer().recv().unwrap().ack().unwrap();
    assert_eq!(queue.producer().try_send(String::from("next")).unwrap_err().kind, SendErrorKind::Full);
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.in_flight, stats.pinned), (0, 0, 1), "why the queue is full");
}
