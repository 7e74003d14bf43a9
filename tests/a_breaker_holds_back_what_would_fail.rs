//! While a breaker is open nothing of its class is handed out, nothing is charged, and nothing is lost.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it starts threads")]

mod support;

use redeliver::{
    Breaker, BreakerState, Consumer, Delivery, Event, Fixed, Immediate, ManualClock, Queue, QueueBuilder, RecvError,
    RetryBudget, TryRecvError,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;
use support::hush_planned_panics;

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(1);
const PAUSE: Duration = Duration::from_secs(60);

fn breaker() -> Breaker {
    Breaker::new().consecutive_failures(2).open_for(PAUSE)
}

fn builder(clock: &ManualClock) -> QueueBuilder<&'static str> {
    Queue::builder("guarded").clock(clock.clone()).lease(10 * SECOND).retry(Fixed::new(SECOND).max_attempts(50))
}

fn is_open(queue: &Queue<&'static str>, class: &str) -> bool {
    matches!(queue.breaker_state(class), BreakerState::Open { .. })
}

fn empty(consumer: &Consumer<&'static str>) {
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(consumer.try_recv_batch(10).unwrap_err(), TryRecvError::Empty);
}

/// Opens the breaker of a queue that has at least one message.
fn trip(queue: &Queue<&'static str>, clock: &ManualClock) {
    for _ in 0..2 {
        queue.consumer().recv().unwrap().nack("refused").unwrap();
        if !is_open(queue, "") {
            clock.advance(SECOND);
        }
    }
    assert!(is_open(queue, ""));
}

/// What the breaker has told, as words.
fn told(events: &crossbeam_channel::Receiver<Event>) -> Vec<String> {
    let word = |event| match event {
        Event::BreakerOpened { class, open_for, .. } => Some(format!("opened {class} {}", open_for.as_secs())),
        Event::BreakerHalfOpened { class, .. } => Some(format!("half-opened {class}")),
        Event::BreakerClosed { class, .. } => Some(format!("closed {class}")),
        _ => None,
    };
    events.try_iter().filter_map(word).collect()
}

#[test]
fn it_opens_is_probed_after_exactly_its_pause_and_closes_and_tells_each_of_it_once() {
    let clock = ManualClock::new();
    let queue = builder(&clock).breaker(breaker().probes(2)).open().unwrap();
    let (consumer, events) = (queue.consumer(), queue.events());
    queue.producer().send_batch(["a", "b", "c"]).unwrap();
    let first = consumer.recv().unwrap();
    first.nack("refused").unwrap();
    assert_eq!(queue.breaker_state(""), BreakerState::Closed);
    consumer.recv().unwrap().nack("refused").unwrap();
    assert_eq!(queue.breaker_state(""), BreakerState::Open { left: PAUSE });
    clock.advance(PAUSE - TICK);
    empty(&consumer);
    assert_eq!(queue.breaker_state(""), BreakerState::Open { left: TICK });
    assert_eq!((queue.stats().ready, queue.stats().delayed), (1, 2), "what is due waits on the cold side");
    clock.advance(TICK);
    assert_eq!(queue.breaker_state(""), BreakerState::HalfOpen);
    let probe = consumer.recv().unwrap();
    empty(&consumer); // one at a time
    probe.ack().unwrap();
    let probe = consumer.recv().unwrap();
    assert_eq!(queue.breaker_state(""), BreakerState::HalfOpen);
    empty(&consumer);
    probe.ack().unwrap();
    assert_eq!(queue.breaker_state(""), BreakerState::Closed);
    consumer.recv().unwrap().ack().unwrap();
    assert_eq!(told(&events), ["opened  60", "half-opened ", "closed "]);
    let stats = queue.stats();
    assert_eq!((stats.delivered, stats.acked, stats.failed, stats.breakers_open), (5, 3, 2, 0));
}

#[test]
fn every_bad_end_of_a_probe_opens_it_again_for_longer_and_longer() {
    type End = fn(Delivery<&'static str>, &ManualClock);
    let ends: [(&str, End); 4] = [
        ("nack", |probe, _| probe.nack("refused").unwrap()),
        ("drop", |probe, _| drop(probe)),
        ("panic", |probe, _| {
            let unwound = catch_unwind(AssertUnwindSafe(move || {
                let _held = probe;
                resume_unwind(Box::new("planned"));
            }));
            assert!(unwound.is_err());
        }),
        ("lost lease", |probe, clock| {
            clock.advance(10 * SECOND);
            assert!(probe.is_lost());
        }),
    ];
    for (name, end) in ends {
        let clock = ManualClock::new();
        let queue = builder(&clock).breaker(breaker().open_for_max(3 * PAUSE)).open().unwrap();
        let events = queue.events();
        queue.producer().send("a").unwrap();
        trip(&queue, &clock);
        for (wait, next) in [(1, 2), (2, 3), (3, 3)] {
            clock.advance(wait * PAUSE - TICK);
            empty(&queue.consumer());
            clock.advance(TICK);
            end(queue.consumer().recv().unwrap(), &clock);
            assert_eq!(queue.breaker_state(""), BreakerState::Open { left: next * PAUSE }, "{name}");
        }
        clock.advance(3 * PAUSE);
        let probe = queue.consumer().recv().unwrap();
        assert_eq!(probe.attempt(), 6, "{name}: five hand-overs, however long it waited");
        probe.ack().unwrap();
        assert_eq!(queue.breaker_state(""), BreakerState::Closed, "{name}");
        assert_eq!(told(&events).len(), 9, "{name}: four times opened, four times probed, closed once");
    }
}

#[test]
fn a_snooze_a_reject_and_what_does_not_count_leave_a_probe_open() {
    let clock = ManualClock::new();
    let counts = |failure: &redeliver::Failure<'_>| failure.cause().to_string() != "404";
    let queue = builder(&clock).breaker(breaker().counts(counts)).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send_batch(["a", "b", "c", "d"]).unwrap();
    trip(&queue, &clock);
    clock.advance(PAUSE);
    consumer.recv().unwrap().snooze(PAUSE).unwrap();
    assert_eq!(queue.breaker_state(""), BreakerState::HalfOpen);
    consumer.recv().unwrap().reject("no such user").unwrap();
    assert_eq!(queue.breaker_state(""), BreakerState::HalfOpen);
    consumer.recv().unwrap().nack("404").unwrap();
    assert_eq!(queue.breaker_state(""), BreakerState::HalfOpen);
    consumer.recv().unwrap().ack().unwrap();
    assert_eq!(queue.breaker_state(""), BreakerState::Closed);
}

#[test]
fn how_a_delivery_ends_that_was_out_when_it_opened_changes_nothing() {
    let clock = ManualClock::new();
    let queue = builder(&clock).breaker(breaker()).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send_batch(["a", "b", "c", "d"]).unwrap();
    let (late, later) = (consumer.recv().unwrap(), consumer.recv().unwrap());
    late.extend(10 * PAUSE).unwrap();
    later.extend(10 * PAUSE).unwrap();
    trip(&queue, &clock);
    late.ack().unwrap();
    assert!(is_open(&queue, ""));
    clock.advance(PAUSE);
    let probe = consumer.recv().unwrap();
    later.nack("refused").unwrap();
    assert_eq!(queue.breaker_state(""), BreakerState::HalfOpen);
    probe.ack().unwrap();
    assert_eq!(queue.breaker_state(""), BreakerState::Closed);
}

#[test]
fn while_it_is_open_sends_are_accepted_up_to_the_capacity_and_retries_take_no_seat() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(4).breaker(breaker()).open().unwrap();
    let producer = queue.producer();
    producer.send_batch(["a", "b"]).unwrap();
    queue.consumer().recv_batch(2).unwrap().nack_all("refused").unwrap();
    assert!(is_open(&queue, ""));
    clock.advance(10 * SECOND); // both are due, and wait
    for message in ["c", "d", "e", "f"] {
        producer.try_send(message).unwrap();
    }
    producer.try_send("g").unwrap_err();
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.delayed, stats.in_flight), (4, 2, 0));
    assert!(!queue.is_empty());
}

#[test]
fn an_open_class_lets_the_others_pass_and_keeps_its_place_in_the_capacity_and_its_order() {
    let clock = ManualClock::new();
    let class = |key: Option<&str>| key.unwrap_or("none").to_owned();
    let queue = builder(&clock).capacity(6).breaker(breaker().per_key(class)).open().unwrap();
    let (producer, consumer, events) = (queue.producer(), queue.consumer(), queue.events());
    let send = |key: &str, message| producer.message(message).key(key).try_send();
    for message in ["a1", "a2"] {
        send("a", message).unwrap();
        consumer.recv().unwrap().nack("refused").unwrap();
    }
    assert!(is_open(&queue, "a") && !is_open(&queue, "b") && !is_open(&queue, "none"));
    for (key, message) in [("a", "a3"), ("a", "a4"), ("b", "b1"), ("a", "a5"), ("b", "b2")] {
        send(key, message).unwrap();
    }
    producer.send("plain").unwrap();
    assert!(send("b", "b3").is_err(), "six are ready");
    assert_eq!(queue.stats().ready, 6);
    let passed: Vec<_> = std::iter::from_fn(|| consumer.try_recv().ok()).collect();
    assert_eq!(passed.iter().map(|d| **d).collect::<Vec<_>>(), ["b1", "b2", "plain"]);
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.in_flight, stats.delivered), (3, 3, 5), "three of them hold their place");
    assert!(send("b", "b3").is_err(), "still six");
    passed.into_iter().for_each(|delivery| delivery.ack().unwrap());
    send("b", "b3").unwrap();
    send("a", "a6").unwrap();
    consumer.recv().unwrap().ack().unwrap();
    empty(&consumer);
    assert!(is_open(&queue, "a"));

    clock.advance(PAUSE);
    let mut order = Vec::new();
    while let Ok(delivery) = consumer.try_recv() {
        order.push((*delivery, delivery.attempt()));
        delivery.ack().unwrap();
    }
    let firsts: Vec<_> = order.iter().filter(|(_, attempt)| *attempt == 1).map(|(message, _)| *message).collect();
    let retries: Vec<_> = order.iter().filter(|(_, attempt)| *attempt == 2).map(|(message, _)| *message).collect();
    assert_eq!((firsts, retries), (vec!["a3", "a4", "a5", "a6"], vec!["a1", "a2"]));
    assert_eq!(told(&events), ["opened a 60", "half-opened a", "closed a"]);
    let stats = queue.stats();
    assert_eq!((stats.sent, stats.acked, stats.delivered, stats.failed), (10, 10, 12, 2));
}

#[test]
fn an_open_class_keeps_no_balance_of_the_budget_from_the_others() {
    let clock = ManualClock::new();
    let two_retries = RetryBudget::percent(0.0).floor_per_second(0.02).window(100 * SECOND);
    let by_key = breaker().consecutive_failures(3).per_key(|key| key.unwrap_or_default().into());
    let queue = builder(&clock).retry(Immediate).retry_budget(two_retries).breaker(by_key).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    (0..3).for_each(|_| _ = producer.message("a").key("down").send().unwrap());
    consumer.recv_batch(3).unwrap().nack_all("refused").unwrap(); // two have the balance, and with the third it opens
    assert_eq!((is_open(&queue, "down"), queue.stats().ready), (true, 2));
    producer.message("b").key("up").send().unwrap();
    consumer.recv().unwrap().nack("refused").unwrap();
    let retry = consumer.try_recv().expect("there is a balance, of which the open class can use nothing");
    assert_eq!((*retry, retry.attempt()), ("b", 2));
    retry.ack().unwrap();
    // What is left of it is one, and the first probe's.
    clock.advance(PAUSE);
    let probe = consumer.try_recv().unwrap();
    assert_eq!((*probe, probe.attempt()), ("a", 2));
    probe.ack().unwrap();
    empty(&consumer);
    clock.advance(42 * SECOND); // the other's retry is forgotten
    assert_eq!(consumer.try_recv().unwrap().into_message().unwrap(), "a");
}

#[test]
fn a_batch_takes_nothing_while_open_and_one_while_half_open() {
    let clock = ManualClock::new();
    let queue = builder(&clock).breaker(breaker()).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send_batch(["a", "b", "c", "d"]).unwrap();
    consumer.recv_batch(2).unwrap().nack_all("refused").unwrap();
    assert!(is_open(&queue, ""));
    empty(&consumer);
    clock.advance(PAUSE);
    let batch = consumer.recv_batch(10).unwrap();
    assert_eq!(batch.len(), 1);
    empty(&consumer);
    batch.ack_all().unwrap();
    let batch = consumer.recv_batch(10).unwrap();
    assert_eq!(batch.len(), 3);
    batch.ack_all().unwrap();
}

#[test]
fn pause_close_and_drain_keep_their_word_while_it_is_open() {
    let clock = ManualClock::new();
    let queue = builder(&clock).breaker(breaker()).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send_batch(["a", "b", "c"]).unwrap();
    trip(&queue, &clock);
    queue.close();
    empty(&consumer); // not closed: three are left
    assert_eq!(queue.drain(Duration::ZERO).unwrap_err().unsettled, 3);
    queue.pause();
    clock.advance(PAUSE);
    empty(&consumer);
    queue.resume();
    for _ in 0..3 {
        consumer.recv().unwrap().ack().unwrap();
    }
    assert_eq!(consumer.recv().unwrap_err(), RecvError::Closed);
    queue.drain(Duration::ZERO).unwrap();
}

#[test]
fn a_redrive_waits_for_its_class_as_everything_else() {
    let clock = ManualClock::new();
    let queue = builder(&clock).breaker(breaker().per_key(|key| key.unwrap_or_default().into())).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let dead = producer.message("dead").key("a").send().unwrap();
    consumer.recv().unwrap().reject("no such user").unwrap();
    for _ in 0..2 {
        producer.message("x").key("a").send().unwrap();
        consumer.recv().unwrap().nack("refused").unwrap();
    }
    assert!(is_open(&queue, "a"));
    assert!(queue.dead_letters().redrive(dead));
    empty(&consumer);
    clock.advance(PAUSE);
    let mut seen = Vec::new();
    while let Ok(probe) = consumer.try_recv() {
        seen.push((probe.id(), probe.attempt()));
        probe.ack().unwrap();
    }
    assert_eq!(seen.len(), 3);
    assert!(seen.contains(&(dead, 1)));
}

#[test]
fn code_of_the_user_that_panics_has_a_defined_outcome() {
    hush_planned_panics();
    let clock = ManualClock::new();
    let panics = Breaker::new()
        .consecutive_failures(1)
        .per_key(|key| if key == Some("bad") { panic!("planned: no class") } else { "good".into() })
        .counts(|_| panic!("planned: no answer"));
    let queue = builder(&clock).breaker(panics).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    producer.message("a").key("bad").send().unwrap();
    consumer.recv().unwrap().nack("refused").unwrap();
    assert!(is_open(&queue, ""), "the class of those without one; a predicate that panics has said yes");
    producer.send("b").unwrap();
    consumer.recv().unwrap().ack().unwrap();
    assert!(!is_open(&queue, "good"));
}

#[test]
fn by_rate_it_opens_at_the_share_and_not_before_there_are_enough_outcomes() {
    let clock = ManualClock::new();
    let by_rate = Breaker::new().failure_rate(0.5).min_calls(4).window(4);
    let queue = builder(&clock).breaker(by_rate).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send_batch(["a"; 10]).unwrap();
    // Windows of four: FFSS, FSSS, SSSF, SSFF.
    for (at, fails) in [true, true, false, false, false, true, true].into_iter().enumerate() {
        let delivery = consumer.recv().unwrap();
        if fails {
            delivery.nack("refused").unwrap()
        } else {
            delivery.ack().unwrap()
        }
        assert_eq!(is_open(&queue, ""), at == 6, "after {at}");
    }
}

#[test]
fn a_thousand_classes_of_which_nothing_is_left_are_forgotten() {
    let clock = ManualClock::new();
    let by_key = Breaker::new().consecutive_failures(1).per_key(|key| key.unwrap_or_default().into());
    let queue = builder(&clock).retry(redeliver::Never).breaker(by_key.open_for(SECOND)).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    for class in 0..5_000 {
        producer.message("a").key(format!("class {class}")).send().unwrap();
        consumer.recv().unwrap().nack("refused").unwrap();
        clock.advance(TICK);
    }
    let open = queue.stats().breakers_open;
    assert!((1_000..=3_000).contains(&open), "{open} are remembered");
    assert!(is_open(&queue, "class 4999"));
}

#[test]
fn consumers_that_sleep_are_woken_when_it_lets_something_through() {
    let fast = Breaker::new().consecutive_failures(1).open_for(Duration::from_millis(30));
    let queue = Queue::builder("real").retry(Immediate).breaker(fast).open().unwrap();
    queue.producer().send_batch(0..50).unwrap();
    queue.close();
    let left = std::sync::atomic::AtomicU32::new(5);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (consumer, left) = (queue.consumer(), &left);
            scope.spawn(move || {
                while let Ok(delivery) = consumer.recv() {
                    use std::sync::atomic::Ordering::SeqCst;
                    if left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                        delivery.nack("refused").unwrap();
                    } else {
                        delivery.ack().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!((queue.stats().acked, queue.stats().breakers_open), (50, 0));
}

#[test]
fn what_a_handler_discards_says_nothing_of_the_dependency() {
    let breaker = Breaker::new().consecutive_failures(1).open_for(PAUSE);
    let queue = Queue::<u32>::builder("discards").breaker(breaker).open().unwrap();
    let worker = queue.worker().start(|_| redeliver::Outcome::Discard).unwrap();
    queue.producer().send_batch([1, 2, 3]).unwrap();
    queue.drain(PAUSE).unwrap();
    assert_eq!((worker.report().discarded, queue.breaker_state("")), (3, BreakerState::Closed));
}
