//! Dead letters can be worked with: what died says why, is found again, and goes where its owner wants it.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it reads the real clock")]

mod support;

use redeliver::{
    DeadLetters, Event, Filter, Fixed, Immediate, ManualClock, Never, Queue, QueueBuilder, Rate, RecvError,
};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn builder<T: Send + Sync + 'static>(clock: &ManualClock) -> QueueBuilder<T> {
    Queue::builder("mail").retry(Never).lease(10 * SECOND).clock(clock.clone())
}

// ---- what a letter says ----

#[test]
fn each_attempt_names_the_type_of_its_error_and_the_rule_that_chose_its_delay() {
    let clock = ManualClock::new();
    let queue = builder(&clock).retry(Immediate.max_attempts(7)).open().unwrap();
    let consumer = queue.consumer();
    let id = queue.producer().send("hello").unwrap();

    consumer.recv().unwrap().nack(fmt::Error).unwrap();
    consumer.recv_batch(1).unwrap().nack_all(io::Error::other("reset")).unwrap();
    consumer.recv().unwrap().nack_after(SECOND, io::Error::other("429")).unwrap();
    clock.advance(SECOND);
    consumer.recv().unwrap().nack(String::from("busy")).unwrap();
    drop(consumer.recv().unwrap());
    let held = consumer.recv().unwrap();
    clock.advance(10 * SECOND);
    drop(held);
    consumer.recv().unwrap().reject(fmt::Error).unwrap();

    let letter = queue.dead_letters().get(id).unwrap();
    let said: Vec<_> = letter.history().iter().map(|a| (a.error_type(), a.delay(), a.rule())).collect();
    let (fmt_error, io_error) = ("core::fmt::Error", std::any::type_name::<io::Error>());
    assert_eq!(
        said,
        [
            (Some(fmt_error), Some(Duration::ZERO), "Immediate"),
            (Some(io_error), Some(Duration::ZERO), "Immediate"),
            (Some(io_error), Some(SECOND), "nack_after"),
            (None, Some(Duration::ZERO), "Immediate"),
            (None, Some(Duration::ZERO), "Immediate"),
            (None, Some(Duration::ZERO), "Immediate"),
            (Some(fmt_error), None, "reject"),
        ]
    );
}

// ---- the list ----

#[test]
fn the_list_has_no_hidden_limit_and_follows_the_order_in_which_they_died() {
    let queue = Queue::builder("mail").retry(Never).capacity(1 << 14).open().unwrap();
    let count = 12_345;
    let sent = queue.producer().send_batch(0..count).unwrap();
    let mut held: Vec<_> = queue.consumer().try_recv_batch(1 << 14).unwrap().into_iter().collect();
    // They die in another order than they were sent in.
    held.rotate_left(777);
    held.reverse();
    let order: Vec<_> = held.iter().map(|delivery| delivery.id()).collect();
    held.into_iter().for_each(|delivery| delivery.nack("no such user").unwrap());
    assert_eq!(sent.len(), order.len());
    let listed: Vec<_> = queue.dead_letters().list(Filter::all()).iter().map(|letter| letter.id()).collect();
    assert_eq!(listed, order);
}

// ---- filters ----

fn found(letters: &DeadLetters<u32>, filter: Filter) -> Vec<u32> {
    letters.list(filter).iter().map(|letter| *letter.message().unwrap()).collect()
}

/// Three letters that died a second apart, each in its own way; the second of them twice.
fn three_letters(clock: &ManualClock) -> Queue<u32> {
    let queue = builder(clock).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().message(1).key("a").header("tenant", "north").header("kind", "x").send().unwrap();
    consumer.recv().unwrap().reject("no such user").unwrap();
    clock.advance(SECOND);
    let second = queue.producer().message(2).key("b").header("tenant", vec![0xff, 0x00]).send().unwrap();
    consumer.recv().unwrap().nack("timeout").unwrap();
    queue.dead_letters().redrive(second);
    consumer.recv().unwrap().nack(fmt::Error).unwrap();
    clock.advance(SECOND);
    queue.producer().message(3).key("a").send().unwrap();
    consumer.recv().unwrap().nack("no such user at all").unwrap();
    clock.advance(SECOND);
    queue
}

#[test]
fn each_condition_of_a_filter_finds_what_it_says_and_nothing_else() {
    let clock = ManualClock::new();
    let queue = three_letters(&clock);
    let all = Filter::all;
    let cases: &[(Filter, &[u32])] = &[
        (all(), &[1, 2, 3]),
        (all().error_contains("such user"), &[1, 3]),
        (all().error_contains("timeout"), &[2]), // in an earlier attempt
        (all().error_contains(""), &[1, 2, 3]),
        (all().reason_is("no such user"), &[1]),
        (all().reason_is("timeout"), &[]), // not what it died of
        (all().reason_is(""), &[]),
        (all().error_type("core::fmt::Error"), &[2]),
        (all().error_type("fmt::Error"), &[]),
        (all().rule("reject"), &[1]),
        (all().rule("Never"), &[2, 3]),
        (all().key("a"), &[1, 3]),
        (all().key(""), &[]),
        (all().header("tenant", "north"), &[1]),
        (all().header("tenant", vec![0xff, 0x00]), &[2]),
        (all().header("Tenant", "north"), &[]),
        (all().header("absent", ""), &[]),
        (all().older_than(Duration::ZERO), &[1, 2, 3]),
        (all().older_than(SECOND), &[1, 2]),
        (all().older_than(3 * SECOND), &[]),
        (all().younger_than(Duration::ZERO), &[]),
        (all().younger_than(2 * SECOND), &[3]),
        (all().younger_than(2 * SECOND + Duration::from_nanos(1)), &[2, 3]),
        (all().younger_than(Duration::MAX), &[1, 2, 3]),
        (all().older_than(Duration::MAX), &[]),
        (all().attempts_at_least(0), &[1, 2, 3]),
        (all().attempts_at_least(2), &[2]),
        (all().attempts_at_least(u32::MAX), &[]),
        (all().limit(0), &[]),
        (all().limit(2), &[1, 2]),
        (all().limit(usize::MAX), &[1, 2, 3]),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(&queue.dead_letters(), filter.clone()), *expected, "{filter:?}");
    }
}

#[test]
fn conditions_add_up_those_of_one_kind_too_and_a_limit_counts_what_meets_them() {
    let clock = ManualClock::new();
    let queue = three_letters(&clock);
    let all = Filter::all;
    let cases: &[(Filter, &[u32])] = &[
        (all().error_contains("such").error_contains("all"), &[3]),
        (all().error_contains("such").error_contains("timeout"), &[]),
        (all().key("a").key("b"), &[]),
        (all().header("tenant", "north").header("kind", "x"), &[1]),
        (all().header("tenant", "north").header("kind", "y"), &[]),
        (all().header("tenant", "north").header("tenant", "south"), &[]),
        (all().older_than(SECOND).older_than(Duration::ZERO), &[1, 2]),
        (all().younger_than(3 * SECOND).older_than(SECOND), &[2]),
        (all().key("a").limit(1), &[1]),
        (all().limit(1).key("b"), &[2]), // wherever the limit stands
        (all().limit(1).limit(5), &[1]),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(&queue.dead_letters(), filter.clone()), *expected, "{filter:?}");
    }
}

#[test]
fn a_filter_prints_no_header_value() {
    let text = format!("{:?}", Filter::all().header("authorization", "secret"));
    assert!(text.contains("authorization") && !text.contains("secret"), "{text}");
}

/// A queue with so many dead letters, numbered from 0 in the order in which they died.
fn with_letters(builder: QueueBuilder<u32>, count: u32) -> Queue<u32> {
    let queue = builder.capacity(1 << 14).open().unwrap();
    queue.producer().send_batch(0..count).unwrap();
    for delivery in queue.consumer().try_recv_batch(count as usize).unwrap() {
        delivery.reject("no such user").unwrap();
    }
    queue
}

// ---- purge ----

#[test]
fn a_purge_drops_what_the_filter_means_and_nothing_else() {
    let clock = ManualClock::new();
    let queue = three_letters(&clock);
    let dead = queue.dead_letters();
    assert_eq!(dead.purge(Filter::all().key("nobody's")), 0);
    assert_eq!(dead.purge(Filter::all().limit(0)), 0);
    assert_eq!(dead.purge(Filter::all().key("a").limit(1)), 1);
    assert_eq!(found(&dead, Filter::all()), [2, 3]);
    assert_eq!(dead.purge(Filter::all()), 2);
    assert_eq!((dead.purge(Filter::all()), dead.len(), dead.is_empty()), (0, 0, true));
    assert_eq!((queue.stats().dead, queue.stats().purged), (0, 3));
    queue.drain(Duration::ZERO).expect("a purged message is settled");
}

#[test]
fn a_purged_letter_is_gone_and_whoever_looks_at_it_can_go_on() {
    let queue = with_letters(builder(&ManualClock::new()), 2);
    let dead = queue.dead_letters();
    let letters = dead.list(Filter::all());
    assert_eq!(dead.purge(Filter::all()), 2);
    assert!(dead.get(letters[0].id()).is_none());
    assert!(!dead.redrive(letters[0].id()));
    assert_eq!((letters[0].message(), letters[1].reason()), (Some(&0), "no such user"));
}

#[test]
fn a_purge_makes_room_for_those_that_wait_and_leaves_them_alone() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(8).dead_letter_capacity(2).open().unwrap();
    let events = queue.events();
    let ids = queue.producer().send_batch(0..7_u32).unwrap();
    queue.consumer().recv_batch(7).unwrap().nack_all("no such user").unwrap();
    assert_eq!((queue.stats().dead, queue.stats().parked), (2, 5));
    let parked_first: Vec<_> = events.try_iter().filter(|event| matches!(event, Event::DeadLettered { .. })).collect();
    assert_eq!(parked_first.len(), 2);

    let dead = queue.dead_letters();
    assert_eq!(dead.purge(Filter::all()), 2);
    assert_eq!(found(&dead, Filter::all()), [2, 3]);
    assert_eq!((queue.stats().dead, queue.stats().parked), (2, 3));
    let told: Vec<_> = events.try_iter().collect();
    assert!(
        matches!(told[..], [Event::DeadLettered { id: a, .. }, Event::DeadLettered { id: b, .. }] if a == ids[2] && b == ids[3]),
        "{told:?}"
    );
    assert_eq!(dead.purge(Filter::all().limit(1)), 1);
    assert_eq!(found(&dead, Filter::all()), [3, 4]);
}

#[test]
fn a_purge_of_many_leaves_those_alone_that_move_up_meanwhile() {
    let queue = with_letters(builder(&ManualClock::new()).dead_letter_capacity(5_000), 12_000);
    let dead = queue.dead_letters();
    assert_eq!((queue.stats().dead, queue.stats().parked), (5_000, 7_000));
    assert_eq!(dead.purge(Filter::all()), 5_000);
    assert_eq!(found(&dead, Filter::all()), Vec::from_iter(5_000..10_000));
    assert_eq!(dead.redrive_all(Filter::all(), Rate::unlimited()), 5_000);
    assert_eq!(found(&dead, Filter::all()), Vec::from_iter(10_000..12_000));
}

/// A payload that counts its drops; each of them panics.
struct Touchy(Arc<AtomicU32>);

impl Drop for Touchy {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        panic!("planned: a drop");
    }
}

#[test]
fn a_drop_that_panics_is_contained_by_a_purge_and_hurts_no_other_letter() {
    support::hush_planned_panics();
    let drops = Arc::new(AtomicU32::new(0));
    let queue = builder(&ManualClock::new()).open().unwrap();
    queue.producer().send_batch((0..3).map(|_| Touchy(drops.clone()))).unwrap();
    queue.consumer().recv_batch(3).unwrap().nack_all("no such user").unwrap();
    let purged = catch_unwind(AssertUnwindSafe(|| queue.dead_letters().purge(Filter::all())));
    assert_eq!(purged.expect("the panic of a drop got out"), 3);
    assert_eq!((drops.load(SeqCst), queue.dead_letters().len()), (3, 0));
}

/// A payload whose drop looks at the queue that it was in.
struct Nosy(Option<DeadLetters<Nosy>>);

impl Drop for Nosy {
    fn drop(&mut self) {
        if let Some(dead) = self.0.take() {
            dead.purge(Filter::all()); // hangs if a lock is held meanwhile
        }
    }
}

#[test]
fn no_lock_is_held_while_a_purge_drops_messages() {
    let queue = builder(&ManualClock::new()).open().unwrap();
    queue.producer().send_batch([Nosy(Some(queue.dead_letters())), Nosy(Some(queue.dead_letters()))]).unwrap();
    queue.consumer().recv_batch(2).unwrap().nack_all("no such user").unwrap();
    assert_eq!(queue.dead_letters().purge(Filter::all()), 2);
}

#[test]
fn a_purged_message_leaves_its_seat_when_the_late_handle_does() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(1).open().unwrap();
    queue.producer().send(1).unwrap();
    let late = queue.consumer().recv().unwrap();
    clock.advance(10 * SECOND); // the lease is lost: a dead letter that still lives in its seat
    assert_eq!(queue.dead_letters().purge(Filter::all()), 1);
    assert_eq!((late.message(), queue.stats().pinned), (&1, 1));
    assert!(queue.producer().try_send(2).is_err());
    drop(late);
    assert_eq!(queue.stats().pinned, 0);
    queue.producer().try_send(3).unwrap();
}

// ---- redrive_all ----

/// When each message became ready, in milliseconds; looked at every so many.
fn arrivals(queue: &Queue<u32>, clock: &ManualClock, step_ms: u64, until_ms: u64) -> Vec<(u64, u32)> {
    let (consumer, mut seen) = (queue.consumer(), Vec::new());
    for now_ms in (0..=until_ms).step_by(step_ms as usize) {
        while let Ok(delivery) = consumer.try_recv() {
            assert_eq!(delivery.attempt(), 1);
            seen.push((now_ms, *delivery));
            delivery.ack().unwrap();
        }
        clock.advance(Duration::from_millis(step_ms));
    }
    seen
}

#[test]
fn at_a_rate_each_letter_comes_exactly_when_its_turn_is() {
    for per_second in [1, 3, 10, 1_000, 3_000] {
        let clock = ManualClock::new();
        let queue = with_letters(builder(&clock), 20);
        assert_eq!(queue.dead_letters().redrive_all(Filter::all(), Rate::per_second(per_second)), 20);
        let turn = |number: u32| u64::from(number * 1_000).div_ceil(u64::from(per_second));
        let expected: Vec<_> = (0..20).map(|number| (turn(number), number)).collect();
        assert_eq!(arrivals(&queue, &clock, 1, 20_000), expected, "{per_second} a second");
    }
}

#[test]
fn at_once_means_all_of_them_in_the_order_in_which_they_died_full_or_not() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(2).open().unwrap();
    for number in 0..5_000 {
        queue.producer().send(number).unwrap();
        queue.consumer().recv().unwrap().reject("no such user").unwrap();
    }
    queue.producer().send_batch([5_000, 5_001]).unwrap();
    assert_eq!(queue.dead_letters().redrive_all(Filter::all(), Rate::unlimited()), 5_000);
    assert_eq!((queue.stats().ready, queue.stats().dead), (5_002, 0));
    assert!(queue.producer().try_send(9_999).is_err(), "sends wait until that has left");
    let mut seen: Vec<_> = arrivals(&queue, &clock, 1, 0).into_iter().map(|(_, number)| number).collect();
    assert_eq!(seen.iter().filter(|number| **number < 5_000).copied().collect::<Vec<_>>(), Vec::from_iter(0..5_000));
    seen.sort_unstable();
    assert_eq!(seen, Vec::from_iter(0..5_002));
    queue.producer().try_send(9_999).unwrap();
}

#[test]
fn a_rate_of_nothing_brings_nothing_back_now_or_later() {
    let clock = ManualClock::new();
    let queue = with_letters(builder(&clock), 3);
    assert_eq!(queue.dead_letters().redrive_all(Filter::all(), Rate::per_second(0)), 0);
    clock.advance(Duration::from_secs(1 << 30));
    assert_eq!((queue.stats().dead, queue.stats().delayed, queue.stats().ready), (3, 0, 0));
}

#[test]
fn only_what_the_filter_means_comes_back_and_it_keeps_all_that_it_had() {
    let clock = ManualClock::new();
    let queue = three_letters(&clock);
    let dead = queue.dead_letters();
    assert_eq!(dead.redrive_all(Filter::all().key("nobody's"), Rate::unlimited()), 0);
    assert_eq!(dead.redrive_all(Filter::all().header("tenant", "north"), Rate::per_second(1)), 1);
    assert_eq!(found(&dead, Filter::all()), [2, 3]);
    let delivery = queue.consumer().recv().unwrap();
    assert_eq!((*delivery, delivery.attempt(), delivery.key()), (1, 1, Some("a")));
    assert_eq!(delivery.headers().get_str("tenant"), Some("north"));
    assert_eq!((delivery.history().len(), delivery.history()[0].rule()), (1, "reject"));
    delivery.ack().unwrap();
}

#[test]
fn the_policy_sees_the_first_try_begin_when_the_letters_turn_comes() {
    let clock = ManualClock::new();
    let policy = redeliver::policy_fn(|failure| {
        assert_eq!((failure.elapsed(), failure.previous_delay()), (Duration::ZERO, None));
        redeliver::Decision::DeadLetter
    });
    let queue = builder(&clock).retry(policy).open().unwrap();
    for letter in 0..2 {
        queue.producer().send(letter).unwrap();
        queue.consumer().recv().unwrap().reject("first").unwrap();
    }
    queue.dead_letters().redrive_all(Filter::all(), Rate::per_second(1));
    for _ in 0..2 {
        queue.consumer().recv().unwrap().nack("second").unwrap();
        clock.advance(SECOND);
    }
    let letters = queue.dead_letters().list(Filter::all().reason_is("second"));
    let rules: Vec<_> = letters.iter().map(|letter| letter.history().last().unwrap().rule()).collect();
    assert!(rules.len() == 2 && rules.iter().all(|rule| !rule.contains("panicked")), "{rules:?}");
}

#[test]
fn a_redrive_of_all_makes_room_for_those_that_wait() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(8).dead_letter_capacity(2).open().unwrap();
    queue.producer().send_batch(0..5_u32).unwrap();
    queue.consumer().recv_batch(5).unwrap().nack_all("no such user").unwrap();
    let dead = queue.dead_letters();
    assert_eq!(dead.redrive_all(Filter::all(), Rate::per_second(1)), 2, "those that were there");
    assert_eq!(found(&dead, Filter::all()), [2, 3]);
    assert_eq!((queue.stats().parked, queue.stats().ready, queue.stats().delayed), (1, 1, 1));
}

#[test]
fn while_paused_turns_come_and_nothing_is_handed_out() {
    let clock = ManualClock::new();
    let queue = with_letters(builder(&clock), 3);
    queue.pause();
    queue.dead_letters().redrive_all(Filter::all(), Rate::per_second(1));
    clock.advance(SECOND);
    assert_eq!((queue.stats().ready, queue.stats().delayed), (2, 1));
    assert!(queue.consumer().try_recv().is_err());
    queue.resume();
    assert_eq!(arrivals(&queue, &clock, 1_000, 3_000), [(0, 0), (0, 1), (1_000, 2)]);
}

#[test]
fn a_closed_queue_hands_out_what_was_redriven_when_its_turn_comes_and_is_over_then() {
    let clock = ManualClock::new();
    for close_first in [true, false] {
        let queue = with_letters(builder(&clock), 3);
        if close_first {
            queue.close();
            assert_eq!(queue.consumer().recv().unwrap_err(), RecvError::Closed);
        }
        assert_eq!(queue.dead_letters().redrive_all(Filter::all(), Rate::per_second(1)), 3);
        queue.close();
        assert!(queue.drain(Duration::ZERO).is_err(), "a drain waits for them");
        assert_eq!(arrivals(&queue, &clock, 1_000, 3_000), [(0, 0), (1_000, 1), (2_000, 2)]);
        queue.drain(Duration::ZERO).unwrap();
        assert_eq!(queue.consumer().recv().unwrap_err(), RecvError::Closed);
    }
}

#[test]
fn where_nobody_can_receive_letters_stay_where_they_are() {
    let queue = with_letters(builder(&ManualClock::new()), 2);
    let dead = queue.dead_letters();
    drop(queue);
    let ids: Vec<_> = dead.list(Filter::all()).iter().map(|letter| letter.id()).collect();
    assert!(!dead.redrive(ids[0]));
    assert_eq!(dead.redrive_all(Filter::all(), Rate::unlimited()), 0);
    assert_eq!(dead.redrive_all(Filter::all(), Rate::per_second(10)), 0);
    assert_eq!((found(&dead, Filter::all()), dead.purge(Filter::all())), (vec![0, 1], 2));
}

#[test]
fn what_waits_for_its_turn_when_the_last_handle_goes_is_dropped_once() {
    let message = Arc::new(());
    let clock = ManualClock::new();
    let queue = builder(&clock).open().unwrap();
    queue.producer().send_batch((0..3).map(|_| message.clone())).unwrap();
    queue.consumer().recv_batch(3).unwrap().nack_all("no such user").unwrap();
    assert_eq!(queue.dead_letters().redrive_all(Filter::all(), Rate::per_second(1)), 3);
    drop(queue);
    assert_eq!(Arc::strong_count(&message), 1);
    clock.advance(10 * SECOND);
}

#[test]
fn a_redriven_message_is_its_receivers_alone() {
    let queue = builder(&ManualClock::new()).open().unwrap();
    queue.producer().send(String::from("hello")).unwrap();
    queue.consumer().recv().unwrap().nack("no such user").unwrap();
    assert_eq!(queue.dead_letters().redrive_all(Filter::all(), Rate::unlimited()), 1);
    assert_eq!(queue.consumer().recv().unwrap().into_message().unwrap(), "hello");
}

#[test]
fn on_a_real_clock_they_come_back_by_themselves() {
    let queue = Queue::builder("mail").retry(Fixed::new(SECOND)).open().unwrap();
    queue.producer().send_batch(0..20).unwrap();
    for delivery in queue.consumer().try_recv_batch(20).unwrap() {
        delivery.reject("no such user").unwrap();
    }
    let started = std::time::Instant::now();
    assert_eq!(queue.dead_letters().redrive_all(Filter::all(), Rate::per_second(100)), 20);
    let consumer = queue.consumer();
    for number in 0..20 {
        assert_eq!(consumer.recv_timeout(10 * SECOND).unwrap().into_message().unwrap(), number);
    }
    assert!(started.elapsed() >= Duration::from_millis(190), "nobody comes before his turn: {:?}", started.elapsed());
}

// ---- many at once ----

#[test]
fn however_many_work_on_the_letters_at_once_each_message_comes_to_one_end() {
    const COUNT: u64 = 20_000;
    let drops = Arc::new(AtomicU32::new(0));
    struct Counted(u64, Arc<AtomicU32>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_add(1, SeqCst);
        }
    }
    let queue = Queue::builder("mail").retry(Never).capacity(64).dead_letter_capacity(100).open().unwrap();
    let (purged, acked) = (AtomicU32::new(0), AtomicU32::new(0));
    let is_done = &|| u64::from(purged.load(SeqCst) + acked.load(SeqCst)) == COUNT;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..COUNT {
                queue.producer().send(Counted(number, drops.clone())).unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done() {
                    let Ok(delivery) = queue.consumer().recv_timeout(Duration::from_millis(20)) else { continue };
                    if delivery.history().is_empty() {
                        delivery.nack("no such user").unwrap();
                    } else {
                        // Nobody else may share it, for nobody looks at the letters here.
                        assert!(delivery.into_message().unwrap().0 < COUNT);
                        acked.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        let dead = || queue.dead_letters();
        scope.spawn(move || {
            for turn in 0_u32.. {
                if is_done() {
                    return;
                }
                let rate = if turn.is_multiple_of(2) { Rate::unlimited() } else { Rate::per_second(100_000) };
                dead().redrive_all(Filter::all().limit(turn as usize % 40), rate);
                std::thread::yield_now();
            }
        });
        scope.spawn(|| {
            while !is_done() {
                let gone = queue.dead_letters().purge(Filter::all().limit(3));
                purged.fetch_add(gone as u32, SeqCst);
                std::thread::yield_now();
            }
        });
    });
    let stats = queue.stats();
    assert_eq!((stats.dead, stats.parked, stats.ready, stats.in_flight, stats.delayed), (0, 0, 0, 0, 0));
    assert_eq!((stats.acked, stats.purged), (u64::from(acked.into_inner()), u64::from(purged.into_inner())));
    assert_eq!(u64::from(drops.load(SeqCst)), COUNT, "each was dropped once");
}
