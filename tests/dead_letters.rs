//! Dead letters can be worked with: what died says why, is found again, and goes where its owner wants it.

use redeliver::{DeadLetters, Filter, Immediate, ManualClock, Never, Queue, QueueBuilder};
use std::fmt;
use std::io;
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
