//! Every move of a message that its owner can cause, seen from outside: by stats, events and what is received.

use redeliver::{
    Decision, Event, Filter, Fixed, Immediate, ManualClock, Queue, QueueBuilder, ReceiptError, Stats, TryRecvError,
    policy_fn,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn builder(clock: &ManualClock) -> QueueBuilder<&'static str> {
    Queue::builder("states").clock(clock.clone()).lease(10 * SECOND).retry(Fixed::new(SECOND).max_attempts(3))
}

/// Ready, in flight, delayed, unsent, dead, parked.
fn state(stats: &Stats) -> [u64; 6] {
    [stats.ready, stats.in_flight, stats.delayed, stats.unsent, stats.dead, stats.parked]
}

const NOWHERE: [u64; 6] = [0; 6];
const READY: [u64; 6] = [1, 0, 0, 0, 0, 0];
const IN_FLIGHT: [u64; 6] = [0, 1, 0, 0, 0, 0];
const DELAYED: [u64; 6] = [0, 0, 1, 0, 0, 0];
const DEAD: [u64; 6] = [0, 0, 0, 0, 1, 0];

#[test]
fn a_message_is_ready_then_in_flight_then_settled() {
    let queue = builder(&ManualClock::new()).open().unwrap();
    queue.producer().send("a").unwrap();
    assert_eq!(state(&queue.stats()), READY);
    let delivery = queue.consumer().recv().unwrap();
    assert_eq!(state(&queue.stats()), IN_FLIGHT);
    delivery.ack().unwrap();
    assert_eq!(state(&queue.stats()), NOWHERE);
}

#[test]
fn whatever_fails_is_delayed_and_due_again_and_dead_in_the_end() {
    type End = fn(redeliver::Delivery<&'static str>, &ManualClock);
    let ends: [(&str, End); 4] = [
        ("nack", |delivery, _| delivery.nack("busy").unwrap()),
        ("drop", |delivery, _| drop(delivery)),
        ("panic", |delivery, _| {
            let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let _held = delivery;
                std::panic::resume_unwind(Box::new("planned")); // unwinds without a word
            }));
            assert!(unwound.is_err());
        }),
        ("lost lease", |delivery, clock| {
            clock.advance(10 * SECOND);
            assert!(delivery.is_lost());
        }),
    ];
    for (name, end) in ends {
        let clock = ManualClock::new();
        let queue = builder(&clock).open().unwrap();
        let (consumer, events) = (queue.consumer(), queue.events());
        let id = queue.producer().send("a").unwrap();
        for attempt in 1..=3 {
            let delivery = consumer.recv().unwrap();
            assert_eq!((delivery.id(), delivery.attempt()), (id, attempt), "{name}");
            assert_eq!(state(&queue.stats()), IN_FLIGHT, "{name}");
            end(delivery, &clock);
            if attempt < 3 {
                assert_eq!(state(&queue.stats()), DELAYED, "{name}");
                assert_eq!(queue.drain(Duration::ZERO).unwrap_err().unsettled, 1, "{name}");
                clock.advance(SECOND - Duration::from_millis(1));
                assert_eq!(state(&queue.stats()), DELAYED, "{name}: never early");
                clock.advance(Duration::from_millis(1));
                assert_eq!(state(&queue.stats()), READY, "{name}");
            }
        }
        assert_eq!(state(&queue.stats()), DEAD, "{name}");
        let told: Vec<_> = events.try_iter().filter(|event| !matches!(event, Event::LeaseLost { .. })).collect();
        assert!(matches!(told[..], [Event::DeadLettered { id: dead, .. }] if dead == id), "{name}: {told:?}");
        assert_eq!(queue.stats().failed, 3, "{name}");
        assert_eq!(queue.dead_letters().get(id).unwrap().history().len(), 3, "{name}");
    }
}

#[test]
fn a_snooze_delays_and_counts_nothing_from_either_side() {
    let clock = ManualClock::new();
    let queue = builder(&clock).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send("a").unwrap();
    for _ in 0..5 {
        consumer.recv().unwrap().snooze(SECOND).unwrap();
        assert_eq!(state(&queue.stats()), DELAYED);
        clock.advance(SECOND);
    }
    let delivery = consumer.recv().unwrap();
    assert_eq!((delivery.attempt(), delivery.history().len(), queue.stats().failed), (1, 0, 0));
    delivery.snooze(Duration::ZERO).unwrap(); // at once
    assert_eq!(state(&queue.stats()), READY);
}

#[test]
fn a_rejected_message_is_dead_and_a_redriven_one_starts_again() {
    let queue = builder(&ManualClock::new()).open().unwrap();
    let id = queue.producer().send("a").unwrap();
    queue.consumer().recv().unwrap().reject("no such user").unwrap();
    assert_eq!(state(&queue.stats()), DEAD);
    assert!(queue.dead_letters().redrive(id));
    assert_eq!(state(&queue.stats()), READY);
    let delivery = queue.consumer().recv().unwrap();
    assert_eq!((delivery.id(), delivery.attempt(), delivery.history()[0].rule()), (id, 1, "reject"));
    delivery.ack().unwrap();
    assert_eq!(state(&queue.stats()), NOWHERE);
}

#[test]
fn a_discarded_message_is_gone_and_counted() {
    let queue = builder(&ManualClock::new()).retry(policy_fn(|_| Decision::Discard)).open().unwrap();
    let events = queue.events();
    let id = queue.producer().send("a").unwrap();
    queue.consumer().recv().unwrap().nack("stale news").unwrap();
    assert_eq!((state(&queue.stats()), queue.stats().discarded), (NOWHERE, 1));
    assert!(matches!(events.try_recv().unwrap(), Event::Dropped { id: gone, .. } if gone == id));
}

#[test]
fn where_the_dead_letter_store_is_full_a_message_is_parked_until_there_is_room() {
    let queue = builder(&ManualClock::new()).dead_letter_capacity(1).open().unwrap();
    let events = queue.events();
    let ids: Vec<_> = ["a", "b"].into_iter().map(|message| queue.producer().send(message).unwrap()).collect();
    for _ in 0..2 {
        queue.consumer().recv().unwrap().reject("no such user").unwrap();
    }
    assert_eq!(state(&queue.stats()), [0, 0, 0, 0, 1, 1]);
    assert!(queue.dead_letters().redrive(ids[0]));
    assert_eq!(state(&queue.stats()), [1, 0, 0, 0, 1, 0]);
    assert_eq!(queue.dead_letters().list(Filter::all())[0].id(), ids[1]);
    let told: Vec<_> = events.try_iter().collect();
    assert!(
        matches!(told[..], [Event::DeadLettered { id: a, .. }, Event::Parked { id: b, .. }, Event::DeadLettered { id: c, .. }]
            if a == ids[0] && b == ids[1] && c == ids[1]),
        "{told:?}"
    );
}

#[test]
fn an_unsent_message_is_accepted_when_there_is_room_and_given_up_when_its_policy_says() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(1).resend(Fixed::new(SECOND).max_attempts(3)).open().unwrap();
    let (producer, consumer, events) = (queue.producer(), queue.consumer(), queue.events());
    producer.send("a").unwrap();
    let accepted = producer.submit("b").unwrap();
    assert_eq!(state(&queue.stats()), [1, 0, 0, 1, 0, 0]);
    clock.advance(SECOND); // sent again: still no room
    assert_eq!((queue.unsent().list()[0].attempt(), queue.stats().retransmissions), (2, 1));
    consumer.recv().unwrap().ack().unwrap();
    clock.advance(SECOND);
    assert_eq!(state(&queue.stats()), READY);
    let delivery = consumer.recv().unwrap();
    assert_eq!((delivery.id(), *delivery), (accepted.wait().unwrap(), "b"));

    let given_up = producer.submit("c").unwrap();
    let id = given_up.id();
    clock.advance(2 * SECOND);
    assert!(given_up.wait().is_err());
    assert_eq!(state(&queue.stats()), [0, 1, 0, 0, 1, 0]);
    assert!(matches!(events.try_recv().unwrap(), Event::GivenUp { id: gone, .. } if gone == id));
    assert!(events.try_recv().is_err(), "told once");
    delivery.ack().unwrap();
}

#[test]
fn a_resend_at_once_and_for_ever_takes_a_tick_each_time_and_holds_up_nobody() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(1).resend(Immediate.forever()).open().unwrap();
    queue.producer().send("a").unwrap();
    let receipt = queue.producer().submit("b").unwrap();
    clock.advance(Duration::from_millis(5)); // returns
    assert_eq!(queue.stats().retransmissions, 5);
    queue.consumer().recv().unwrap().ack().unwrap();
    clock.advance(Duration::from_millis(1));
    assert_eq!(queue.consumer().recv().unwrap().into_message().unwrap(), "b");
    receipt.wait().unwrap();
}

#[test]
fn when_the_clock_has_come_to_its_end_what_is_unsent_is_dead_and_nothing_hangs() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(1).resend(Fixed::new(Duration::MAX).forever()).open().unwrap();
    queue.producer().send("a").unwrap();
    let receipt = queue.producer().submit("b").unwrap();
    clock.advance(Duration::MAX); // returns
    assert_eq!((queue.stats().unsent, queue.stats().retransmissions), (0, 1));
    assert_eq!(receipt.wait(), Err(ReceiptError::GivenUp));
    let letter = &queue.dead_letters().list(Filter::all())[0];
    assert_eq!((letter.message(), letter.history()[1].rule()), (Some(&"b"), "the clock's end"));
    assert_eq!(queue.producer().submit("c").unwrap().wait(), Err(ReceiptError::GivenUp));
}

#[test]
fn at_a_close_what_is_unsent_is_dead_and_what_waits_behind_the_ring_is_still_delivered() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(4).resend(Fixed::new(SECOND)).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    // Seats 0 and 2 are held while the tail passes them; 2 is freed then, and out of the tail's reach.
    for message in ["0", "1", "2", "3"] {
        producer.send(message).unwrap();
    }
    let mut held: Vec<_> = (0..4).map(|_| consumer.recv().unwrap()).collect();
    held.remove(3).ack().unwrap();
    held.remove(1).ack().unwrap();
    producer.try_send("4").unwrap();
    producer.try_send("5").unwrap();
    held.remove(1).ack().unwrap();
    producer.try_send("6").unwrap(); // exactly full now
    assert!(producer.try_send("7").is_err());
    let unsent = producer.submit("7").unwrap();
    queue.close();
    assert!(unsent.wait().is_err());
    assert_eq!(queue.stats().dead, 1);
    let rest: Vec<_> = std::iter::from_fn(|| consumer.try_recv().ok()).map(|d| (*d, d.ack().unwrap()).0).collect();
    assert_eq!(rest, ["4", "5", "6"]);
    held.remove(0).ack().unwrap();
    assert!(consumer.recv().is_err());
}

#[test]
fn what_waits_behind_the_ring_keeps_its_order_and_counts_until_the_end() {
    let queue = builder(&ManualClock::new()).capacity(6).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    for message in ["0", "1", "2", "3", "4", "5"] {
        producer.send(message).unwrap();
    }
    // Seat 0 is held; 1 and 5 are used again, and the tail has passed 2, 3 and 4: free, and out of its reach behind 1.
    let mut held: Vec<_> = (0..6).map(|_| consumer.recv().unwrap()).collect();
    held.remove(1).ack().unwrap();
    producer.try_send("6").unwrap();
    held.pop().unwrap().ack().unwrap();
    producer.try_send("7").unwrap();
    held.drain(1..).for_each(|delivery| delivery.ack().unwrap());
    for message in ["8", "9", "10"] {
        producer.try_send(message).unwrap();
    }
    assert!(producer.try_send("full").is_err());
    assert_eq!(queue.stats().ready, 5);

    queue.close();
    held.into_iter().for_each(|delivery| delivery.ack().unwrap());
    for message in ["6", "7"] {
        let delivery = consumer.try_recv().unwrap();
        assert_eq!(*delivery, message);
        delivery.ack().unwrap();
    }
    // The ring is empty now, and all that was in it is settled.
    queue.pause();
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(queue.drain(Duration::ZERO).unwrap_err().unsettled, 3);
    queue.resume();
    let rest: Vec<_> = std::iter::from_fn(|| consumer.try_recv().ok()).map(|d| (*d, d.ack().unwrap()).0).collect();
    assert_eq!(rest, ["8", "9", "10"]);
    queue.drain(Duration::ZERO).unwrap();
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
}

#[test]
fn redeliveries_come_in_order_and_in_turn_with_first_deliveries() {
    let queue = builder(&ManualClock::new()).retry(Immediate).open().unwrap();
    let consumer = queue.consumer();
    for message in ["a", "b", "c", "1", "2", "3"] {
        queue.producer().send(message).unwrap();
    }
    let failed: Vec<_> = (0..3).map(|_| consumer.recv().unwrap()).collect();
    failed.into_iter().for_each(|delivery| delivery.nack("busy").unwrap());
    let mut got: Vec<_> = (0..6).map(|_| consumer.recv().unwrap()).map(|d| (*d, d.ack().unwrap()).0).collect();
    if got[0] == "1" {
        (0..6).step_by(2).for_each(|n| got.swap(n, n + 1)); // who begins is left open
    }
    assert_eq!(got, ["a", "1", "b", "2", "c", "3"]);
}

#[test]
fn a_history_keeps_the_last_thousand_attempts() {
    let forever = Immediate.forever();
    let queue = builder(&ManualClock::new()).retry(forever).max_deliveries(u32::MAX).open().unwrap();
    queue.producer().send("a").unwrap();
    for _ in 0..1005 {
        queue.consumer().recv().unwrap().nack("busy").unwrap();
    }
    let delivery = queue.consumer().recv().unwrap();
    let attempts: Vec<_> = delivery.history().iter().map(|attempt| attempt.attempt()).collect();
    assert_eq!((delivery.attempt(), attempts), (1006, (6..=1005).collect()));
    delivery.ack().unwrap();
}

#[test]
fn a_lease_is_that_of_the_message_and_not_of_its_seat() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(1).open().unwrap();
    queue.producer().send("a").unwrap();
    queue.consumer().recv().unwrap().ack().unwrap();
    clock.advance(5 * SECOND);
    queue.producer().send("b").unwrap();
    let delivery = queue.consumer().recv().unwrap();
    clock.advance(5 * SECOND); // the lease of "a" would end now
    assert!(!delivery.is_lost());
    clock.advance(5 * SECOND);
    assert!(delivery.is_lost());
}

#[test]
fn a_policy_is_told_the_attempt_the_time_so_far_and_the_delay_before() {
    let (told, seen) = std::sync::mpsc::channel();
    let policy = policy_fn(move |failure| {
        told.send((failure.attempt(), failure.elapsed(), failure.previous_delay())).unwrap();
        Decision::Retry { after: failure.attempt() * SECOND }
    });
    let clock = ManualClock::new();
    let queue = builder(&clock).retry(policy).open().unwrap();
    queue.producer().send("a").unwrap();
    for attempt in 1..=3 {
        queue.consumer().recv().unwrap().nack("busy").unwrap();
        clock.advance(attempt * SECOND);
    }
    let told: Vec<_> = seen.try_iter().collect();
    assert_eq!(told, [(1, Duration::ZERO, None), (2, SECOND, Some(SECOND)), (3, 3 * SECOND, Some(2 * SECOND))]);
}
