//! Settings that make no sense are refused with a typed error when the queue is opened; everything else that a user may get
//! wrong has a defined outcome, and loses nothing.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads of its own")]

mod support;

use redeliver::{
    Clock, Decision, DrainError, Event, Exponential, Failure, Filter, Fixed, Immediate, Jitter, Linear, ManualClock,
    Never, OpenError, PolicyError, PolicyErrorKind, Promise, Queue, QueueBuilder, ReceiptError, RecvTimeoutError,
    RetryPolicy, Schedule, SendErrorKind, StaleLease, TryRecvError, policy_fn,
};
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use support::hush_planned_panics;

const SECOND: Duration = Duration::from_secs(1);

fn builder<T: Send + Sync + 'static>(clock: &ManualClock) -> QueueBuilder<T> {
    Queue::builder("q").capacity(4).retry(Immediate).clock(clock.clone())
}

/// A payload whose drop is counted, and panics while it is armed.
#[derive(Clone, Default)]
struct Drops(Arc<(AtomicU32, AtomicBool)>);

impl Drops {
    fn armed() -> Self {
        hush_planned_panics();
        let drops = Drops::default();
        drops.0.1.store(true, SeqCst);
        drops
    }
    fn message(&self, number: u32) -> Touchy {
        Touchy(Box::new(number), self.clone())
    }
    fn count(&self) -> u32 {
        self.0.0.load(SeqCst)
    }
}

struct Touchy(Box<u32>, Drops);

impl Drop for Touchy {
    fn drop(&mut self) {
        self.1.0.0.fetch_add(1, SeqCst);
        if self.1.0.1.load(SeqCst) {
            panic!("planned: the drop of message {}", self.0);
        }
    }
}

// ---- settings ----

#[test]
fn a_capacity_of_nothing_or_of_everything_is_refused() {
    for asked in [0, usize::MAX, usize::MAX / 2 + 1, (1 << 26) + 1] {
        let error = Queue::<u64>::builder("q").capacity(asked).open().unwrap_err();
        assert_eq!(error, OpenError::Capacity { asked, max: 1 << 26 });
        assert!(error.to_string().contains(&asked.to_string()), "{error}");
    }
}

// Optimised builds only: AddressSanitizer runs without, and with it the compiler writes out the moves of a terabyte.
#[cfg(not(debug_assertions))]
#[test]
fn a_capacity_that_no_memory_is_large_enough_for_is_refused() {
    let error = Queue::<[u8; 1 << 40]>::builder("q").capacity(1 << 26).open().unwrap_err();
    assert_eq!(error, OpenError::OutOfMemory { asked: 1 << 26, bytes: usize::MAX });
    // One that can be counted, but not had: 64 PiB.
    let error = Queue::<[u8; 1 << 36]>::builder("q").capacity(1 << 20).open().unwrap_err();
    assert!(matches!(error, OpenError::OutOfMemory { asked: 1_048_576, .. }), "{error}");
}

#[test]
fn a_queue_of_the_largest_capacity_costs_nothing_until_it_is_used() {
    let clock = ManualClock::new();
    let queue = Queue::builder("q").capacity(1 << 26).clock(clock).open().unwrap();
    queue.producer().send(7u8).unwrap();
    assert_eq!(queue.consumer().recv().unwrap().into_message().unwrap(), 7);
}

#[test]
fn a_huge_message_is_a_message() {
    let queue = Queue::builder("q").capacity(2).retry(Immediate).clock(ManualClock::new()).open().unwrap();
    let huge = |n: u8| [n; 1 << 15];
    queue.producer().send(huge(1)).unwrap();
    queue.producer().send(huge(2)).unwrap();
    let error = queue.producer().try_send(huge(3)).unwrap_err();
    assert!(error.kind == SendErrorKind::Full && error.message == huge(3));
    queue.consumer().recv().unwrap().nack("again").unwrap();
    let mut seen: Vec<u8> = (0..2).map(|_| queue.consumer().recv().unwrap().into_message().unwrap()[1 << 14]).collect();
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
}

#[test]
fn messages_without_a_size_of_their_own_are_counted_all_the_same() {
    let queue = Queue::builder("q").capacity(3).clock(ManualClock::new()).open().unwrap();
    for _ in 0..3 {
        queue.producer().try_send(()).unwrap();
    }
    assert_eq!(queue.producer().try_send(()).unwrap_err().kind, SendErrorKind::Full);
    assert_eq!(queue.consumer().recv_batch(9).unwrap().len(), 3);
}

#[test]
fn a_lease_of_nothing_is_refused() {
    for asked in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(999)] {
        assert_eq!(Queue::<u64>::builder("q").lease(asked).open().unwrap_err(), OpenError::Lease { asked });
    }
    Queue::<u64>::builder("q").lease(Duration::from_millis(1)).open().unwrap();
}

#[test]
fn no_deliveries_at_all_and_no_room_for_a_dead_letter_are_refused() {
    assert_eq!(Queue::<u64>::builder("q").max_deliveries(0).open().unwrap_err(), OpenError::MaxDeliveries);
    assert_eq!(Queue::<u64>::builder("q").dead_letter_capacity(0).open().unwrap_err(), OpenError::DeadLetterCapacity);
}

#[test]
fn a_policy_that_never_ends_has_to_be_asked_for() {
    let open = |retry: Box<dyn RetryPolicy>, max| {
        Queue::<u64>::builder("q").retry(retry).max_deliveries(max).clock(ManualClock::new()).open().map(drop)
    };
    let endless = || Box::new(Fixed::new(SECOND).forever());
    assert_eq!(open(endless(), 1000), Err(OpenError::Promise { promised: u32::MAX, max: 1000 }));
    assert_eq!(open(endless(), u32::MAX - 1), Err(OpenError::Promise { promised: u32::MAX, max: u32::MAX - 1 }));
    assert_eq!(open(endless(), u32::MAX), Ok(()));
    assert_eq!(
        open(Box::new(Immediate.max_attempts(1001)), 1000),
        Err(OpenError::Promise { promised: 1001, max: 1000 })
    );
    assert_eq!(open(Box::new(Immediate.max_attempts(1000)), 1000), Ok(()));
}

#[test]
fn a_policy_of_your_own_that_never_ends_meets_the_queues_last_word() {
    let clock = ManualClock::new();
    let queue = builder(&clock)
        .retry(policy_fn(|_| Decision::Retry { after: Duration::ZERO }))
        .max_deliveries(50)
        .open()
        .unwrap();
    let id = queue.producer().send("hello").unwrap();
    for attempt in 1..=50 {
        let delivery = queue.consumer().try_recv().unwrap();
        assert_eq!((delivery.attempt(), delivery.is_last_attempt()), (attempt, attempt == 50));
        delivery.nack("no").unwrap();
    }
    assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Empty);
    let letter = queue.dead_letters().get(id).unwrap();
    assert_eq!((letter.history().len(), letter.history()[49].rule()), (50, "max_deliveries"));
}

#[test]
fn every_faulty_policy_is_refused_when_the_queue_is_opened_on_either_side() {
    let exponential = || Exponential::new(SECOND);
    let faulty: Vec<(&str, Arc<dyn RetryPolicy>)> = vec![
        ("Factor", Arc::new(exponential().factor(f64::NAN))),
        ("Factor", Arc::new(exponential().factor(f64::INFINITY))),
        ("Factor", Arc::new(exponential().factor(f64::NEG_INFINITY))),
        ("Factor", Arc::new(exponential().factor(0.0))),
        ("Factor", Arc::new(exponential().factor(-2.0))),
        ("Factor", Arc::new(exponential().factor(0.999))),
        ("EmptySchedule", Arc::new(Schedule::new([]))),
        ("MaxDelay", Arc::new(exponential().max_delay(SECOND / 2))),
        ("Percent", Arc::new(exponential().jitter(Jitter::Percent(101)))),
        ("NoAttempts", Arc::new(exponential().max_attempts(0))),
        ("Unreachable", Arc::new(Fixed::new(SECOND).max_attempts(3).then(9, Never))),
        ("Factor", Arc::new(Fixed::new(SECOND).when(|_| true, exponential().factor(f64::NAN)))),
        ("Other", Arc::new(Strict)),
    ];
    for (name, policy) in faulty {
        let says = |opened: Result<Queue<u64>, OpenError>, side: &str| match opened {
            Err(OpenError::Policy { verb, error }) => {
                let kind = format!("{:?}", error.kind());
                assert!(verb == side && kind.starts_with(name), "{verb} {kind} is not {name}");
            }
            other => panic!("{name} as {side}: {other:?}"),
        };
        says(Queue::builder("q").retry(policy.clone()).open(), "retry");
        says(Queue::builder("q").resend(policy).open(), "resend");
    }
}

/// A policy of a user's own that finds its settings wrong.
struct Strict;

impl RetryPolicy for Strict {
    fn decide(&self, _: &Failure<'_>) -> Decision {
        Decision::DeadLetter
    }
    fn check(&self) -> Result<(), PolicyError> {
        Err(PolicyError::new("Strict", PolicyErrorKind::Other("no".into())))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Where {
    Name,
    Check,
    Promise,
    Decide,
    Drop,
}

/// A policy that panics in one place.
struct Panicky(Where);

impl Panicky {
    fn at(&self, place: Where) {
        if self.0 == place {
            panic!("planned: a policy");
        }
    }
}

impl RetryPolicy for Panicky {
    fn decide(&self, _: &Failure<'_>) -> Decision {
        self.at(Where::Decide);
        Decision::Retry { after: Duration::ZERO }
    }
    fn name(&self) -> Cow<'static, str> {
        self.at(Where::Name);
        "Panicky".into()
    }
    fn check(&self) -> Result<(), PolicyError> {
        self.at(Where::Check);
        Ok(())
    }
    fn promise(&self) -> Promise {
        self.at(Where::Promise);
        Promise::None
    }
}

impl Drop for Panicky {
    fn drop(&mut self) {
        self.at(Where::Drop);
    }
}

#[test]
fn a_policy_whose_name_panics_goes_by_another() {
    hush_planned_panics();
    let clock = ManualClock::new();
    let queue = builder(&clock).retry(Panicky(Where::Name)).open().unwrap();
    queue.producer().send(1).unwrap();
    queue.consumer().recv().unwrap().nack("no").unwrap();
    let again = queue.consumer().recv().unwrap();
    assert_eq!(again.history()[0].rule(), "a policy whose name panicked");
    again.ack().unwrap();
}

#[test]
fn a_policy_whose_check_or_promise_panics_is_refused_when_the_queue_is_opened() {
    hush_planned_panics();
    for place in [Where::Check, Where::Promise] {
        let opened = catch_unwind(|| Queue::<u64>::builder("q").retry(Panicky(place)).open().map(drop));
        assert!(matches!(opened, Ok(Err(OpenError::Policy { verb: "retry", .. }))), "{opened:?}");
    }
    let opened = catch_unwind(|| Queue::<u64>::builder("q").resend(Panicky(Where::Check)).open().map(drop));
    assert!(matches!(opened, Ok(Err(OpenError::Policy { verb: "resend", .. }))), "{opened:?}");
}

#[test]
fn a_policy_whose_drop_panics_hurts_nobody() {
    hush_planned_panics();
    let queue = builder::<u64>(&ManualClock::new()).retry(Panicky(Where::Drop)).open().unwrap();
    queue.producer().send(1).unwrap();
    catch_unwind(AssertUnwindSafe(|| drop(queue))).expect("dropping a queue does not panic");
    // While a thread unwinds, a panic that got out would abort the process.
    let queue = builder::<u64>(&ManualClock::new()).retry(Panicky(Where::Drop)).open().unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _queue = queue;
        panic!("planned: the user's own");
    }));
    assert!(unwound.is_err());
}

// ---- closed ----

#[test]
fn sends_after_close_give_the_message_back() {
    let clock = ManualClock::new();
    let queue = builder(&clock).open().unwrap();
    let producer = queue.producer();
    queue.close();
    queue.close();
    let hello = || String::from("hello");
    let check = |error: redeliver::SendError<String>| {
        assert_eq!((error.kind, error.into_inner()), (SendErrorKind::Closed, hello()));
    };
    check(producer.send(hello()).unwrap_err());
    check(producer.try_send(hello()).unwrap_err());
    check(producer.send_timeout(hello(), Duration::ZERO).unwrap_err());
    check(producer.send_timeout(hello(), Duration::MAX).unwrap_err());
    check(producer.submit(hello()).unwrap_err());
    check(producer.message(hello()).header("h", "v").send().unwrap_err());
    check(producer.message(hello()).key("k").try_send().unwrap_err());
    check(producer.message(hello()).key("k").submit().unwrap_err());
    let error = producer.send_batch([hello(), hello()]).unwrap_err();
    assert_eq!((error.kind, error.sent.len(), error.unsent.len()), (SendErrorKind::Closed, 0, 2));
    assert_eq!((queue.stats().sent, queue.len()), (0, 0));
}

#[test]
fn after_close_what_is_ready_in_flight_or_delayed_is_received_and_then_closed() {
    let clock = ManualClock::new();
    let queue = builder(&clock).retry(Fixed::new(SECOND)).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    for number in 1..=3 {
        producer.send(number).unwrap();
    }
    let held = consumer.recv().unwrap();
    consumer.recv().unwrap().nack("later").unwrap();
    queue.close();
    let ready = consumer.recv().unwrap();
    assert_eq!(ready.into_message().unwrap(), 3);
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty, "one is in flight, one backs off");
    assert_eq!(consumer.recv_timeout(Duration::ZERO).unwrap_err(), RecvTimeoutError::Timeout);
    clock.advance(SECOND);
    assert_eq!(consumer.try_recv().unwrap().into_message().unwrap(), 2);
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
    held.snooze(SECOND).unwrap();
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
    clock.advance(SECOND);
    assert_eq!(consumer.try_recv().unwrap().into_message().unwrap(), 1);
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
    assert_eq!(consumer.recv().unwrap_err().to_string(), TryRecvError::Closed.to_string());
    assert_eq!(consumer.recv_timeout(Duration::MAX).unwrap_err(), RecvTimeoutError::Closed);
    assert!(consumer.recv_batch(3).is_err() && consumer.try_recv_batch(3).is_err() && consumer.iter().next().is_none());
}

#[test]
fn whoever_waits_for_a_message_is_told_of_the_end_by_the_last_settle() {
    let queue = builder(&ManualClock::new()).open().unwrap();
    queue.producer().send(1).unwrap();
    let held = queue.consumer().recv().unwrap();
    queue.close();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| queue.consumer().recv().is_err())).collect();
        held.ack().unwrap();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
    });
}

#[test]
fn what_is_unsent_at_close_is_a_dead_letter_and_its_receipt_says_given_up() {
    let clock = ManualClock::new();
    let queue = builder(&clock).capacity(1).open().unwrap();
    queue.producer().send(1).unwrap();
    let receipt = queue.producer().submit(2).unwrap();
    let events = queue.events();
    queue.close();
    assert!(matches!(events.try_recv(), Ok(Event::GivenUp { id, .. }) if id == receipt.id()));
    assert_eq!(queue.dead_letters().get(receipt.id()).unwrap().message(), Some(&2));
    assert_eq!(receipt.wait(), Err(ReceiptError::GivenUp));
}

/// A policy with the queue in its hands. It lets go of it when it is told to.
type Reach<T> = Arc<Mutex<Option<Queue<T>>>>;

#[test]
fn a_resend_policy_that_closes_the_queue_leaves_no_record_behind() {
    let reach: Reach<u32> = Arc::default();
    let queues = reach.clone();
    let policy = policy_fn(move |_| {
        if let Some(queue) = queues.lock().unwrap().take() {
            queue.close();
        }
        Decision::Retry { after: 3600 * SECOND }
    });
    let queue = builder(&ManualClock::new()).capacity(1).resend(policy).open().unwrap();
    *reach.lock().unwrap() = Some(queue.clone());
    queue.producer().send(1).unwrap();
    let receipt = queue.producer().submit(2).unwrap();
    assert_eq!(receipt.wait_timeout(Duration::ZERO), Some(Err(ReceiptError::GivenUp)));
    assert_eq!((queue.unsent().len(), queue.dead_letters().len()), (0, 1));
}

// ---- panics in the user's code ----

#[test]
fn a_policy_that_panics_makes_a_dead_letter_with_the_panic_as_its_reason() {
    hush_planned_panics();
    let clock = ManualClock::new();
    let queue =
        builder(&clock).capacity(1).retry(Panicky(Where::Decide)).resend(Panicky(Where::Decide)).open().unwrap();
    let id = queue.producer().send(1).unwrap();
    let held = queue.consumer().recv().unwrap();
    let receipt = queue.producer().submit(2).unwrap();
    assert_eq!(receipt.wait_timeout(Duration::ZERO), Some(Err(ReceiptError::GivenUp)));
    let _ = held.is_last_attempt(); // asks the policy too
    held.nack("no").unwrap();
    let letter = queue.dead_letters().get(id).unwrap();
    assert_eq!((letter.message(), letter.history().len()), (Some(&1), 1));
    assert_eq!(letter.history()[0].rule(), "Panicky panicked: planned: a policy");
    // The lease's end asks it too, and the clock goes on.
    queue.producer().send(3).unwrap();
    let late = queue.consumer().recv().unwrap();
    clock.advance(3600 * SECOND);
    assert!(late.is_lost());
    assert_eq!(queue.dead_letters().len(), 3);
    queue.producer().try_send(4).unwrap_err(); // the only seat is kept by `late`
    drop(late);
    queue.producer().try_send(4).unwrap();
}

/// An error that panics when it is printed, or when it is dropped.
struct Nasty {
    prints: bool,
    drops: bool,
}

impl fmt::Debug for Nasty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Nasty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prints { f.write_str("nasty") } else { panic!("planned: an error's text") }
    }
}

impl std::error::Error for Nasty {}

impl Drop for Nasty {
    fn drop(&mut self) {
        if self.drops {
            panic!("planned: an error's drop");
        }
    }
}

#[test]
fn an_error_whose_text_panics_is_recorded_as_that() {
    hush_planned_panics();
    let queue = builder(&ManualClock::new()).open().unwrap();
    queue.producer().send(1).unwrap();
    queue.consumer().recv().unwrap().nack(Nasty { prints: false, drops: false }).unwrap();
    let again = queue.consumer().recv().unwrap();
    assert_eq!(again.history()[0].error(), "the error's text panicked: planned: an error's text");
    again.reject(Nasty { prints: false, drops: true }).unwrap();
    let letter = queue.dead_letters().list(Filter::all())[0].clone();
    assert_eq!(letter.reason(), "the error's text panicked: planned: an error's text");
}

#[test]
fn an_error_whose_drop_panics_hurts_nobody_wherever_it_is_dropped() {
    hush_planned_panics();
    let nasty = || Nasty { prints: true, drops: true };
    let clock = ManualClock::new();
    let lease = SECOND;
    let queue = builder(&clock).capacity(16).lease(lease).open().unwrap();
    let quietly = |what: &str, settle: &mut dyn FnMut()| {
        assert!(catch_unwind(AssertUnwindSafe(settle)).is_ok(), "{what}: the panic of an error's drop got out");
    };
    let first = |number| {
        queue.producer().send(number).unwrap();
        queue.consumer().recv().unwrap()
    };
    let hot = first(1);
    let mut hot = Some(hot);
    quietly("a first delivery", &mut || hot.take().unwrap().nack(nasty()).unwrap());
    let mut cold = Some(queue.consumer().recv().unwrap());
    quietly("a redelivery", &mut || cold.take().unwrap().nack(nasty()).unwrap());
    queue.consumer().recv().unwrap().ack().unwrap();
    // One that many share is dropped by the last of them, or by the batch.
    queue.producer().send_batch([5, 6]).unwrap();
    let mut batch = Some(queue.consumer().recv_batch(2).unwrap());
    quietly("a batch", &mut || batch.take().unwrap().nack_all(nasty()).unwrap());
    queue.consumer().recv_batch(2).unwrap().ack_all().unwrap();
    // A settle that comes too late drops the error at once.
    let mut late = Some(first(2));
    clock.advance(lease);
    quietly("a late first delivery", &mut || drop(late.take().unwrap().nack(nasty()).unwrap_err()));
    let mut late = Some(queue.consumer().recv().unwrap());
    clock.advance(lease);
    quietly("a late redelivery", &mut || drop(late.take().unwrap().nack(nasty()).unwrap_err()));
    queue.consumer().recv().unwrap().ack().unwrap();
    // And so does one whose queue has ended.
    let mut hot = Some(first(3));
    queue.producer().send(4).unwrap();
    queue.consumer().recv().unwrap().nack("again").unwrap();
    let mut cold = Some(queue.consumer().recv().unwrap());
    drop(queue);
    quietly("a first delivery without a queue", &mut || hot.take().unwrap().nack(nasty()).unwrap());
    quietly("a redelivery without a queue", &mut || cold.take().unwrap().nack(nasty()).unwrap());
}

#[test]
fn a_drop_that_panics_is_contained_wherever_a_message_is_dropped() {
    let drops = Drops::armed();
    let clock = ManualClock::new();
    let policy = policy_fn(|failure| match failure.cause().to_string().as_str() {
        "discard" => Decision::Discard,
        "die" => Decision::DeadLetter,
        _ => Decision::Retry { after: Duration::ZERO },
    });
    let queue = builder(&clock).capacity(32).lease(SECOND).retry(policy).open().unwrap();
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let send = |number| producer.send(drops.message(number)).unwrap();
    let first = |number| {
        send(number);
        consumer.recv().unwrap()
    };
    // At an ack: of a first delivery, of a redelivery, of an extended lease, with headers, of a batch.
    first(1).ack().unwrap();
    first(2).nack("again").unwrap();
    consumer.recv().unwrap().ack().unwrap();
    let extended = first(3);
    extended.extend(SECOND).unwrap();
    extended.ack().unwrap();
    producer.message(drops.message(4)).key("k").send().unwrap();
    consumer.recv().unwrap().ack().unwrap();
    for number in 5..8 {
        send(number);
    }
    consumer.recv_batch(3).unwrap().ack_all().unwrap();
    assert_eq!((queue.stats().acked, drops.count()), (7, 7));
    // When the policy discards it, and when a late handle is the last to let go.
    first(8).nack("discard").unwrap();
    assert_eq!(drops.count(), 8);
    let late = first(9);
    clock.advance(SECOND);
    consumer.recv().unwrap().ack().unwrap();
    assert_eq!(drops.count(), 8);
    drop(late);
    assert_eq!(drops.count(), 9);
    // A dead letter that is redriven and acked.
    let id = send(10);
    consumer.recv().unwrap().nack("die").unwrap();
    assert!(queue.dead_letters().redrive(id));
    consumer.recv().unwrap().ack().unwrap();
    assert_eq!(drops.count(), 10);
    // A send after close: the message is the caller's, and so is its panic.
    // With the last handle: ready, in flight, redelivered, delayed, dead, unsent, in the overflow.
    let dead = send(11);
    consumer.recv().unwrap().nack("die").unwrap();
    assert!(queue.dead_letters().get(dead).is_some());
    first(12).snooze(3600 * SECOND).unwrap();
    first(13).nack("again").unwrap(); // waits in the lane
    send(14);
    let held = loop {
        let delivery = consumer.recv().unwrap();
        if *delivery.message().0 == 14 {
            break delivery;
        }
        delivery.nack("again").unwrap();
    };
    send(15);
    queue.close();
    drop((queue, consumer, producer));
    assert_eq!(drops.count(), 14, "all but the one that is still held");
    held.ack().unwrap();
    assert_eq!(drops.count(), 15);
}

#[test]
fn a_drop_that_panics_while_a_thread_unwinds_does_not_abort() {
    let drops = Drops::armed();
    let clock = ManualClock::new();
    let reach: Reach<Touchy> = Arc::default();
    let queues = reach.clone();
    // 1: everything of a queue goes while a thread unwinds.
    let queue = builder(&clock).retry(Never).open().unwrap();
    for number in 0..3 {
        queue.producer().send(drops.message(number)).unwrap();
    }
    let held = queue.consumer().recv().unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _in_this_order = (queue, held);
        panic!("planned: a handler");
    }));
    assert!(unwound.is_err());
    assert_eq!(drops.count(), 3);
    // 2: the policy itself lets go of the last handle, so that the failed message goes while its policy is being asked.
    let policy = policy_fn(move |_| {
        drop(queues.lock().unwrap().take());
        Decision::Retry { after: Duration::ZERO }
    });
    for redelivered in [false, true] {
        let queue = builder(&clock).retry(policy_fn({
            let asked = AtomicU32::new(u32::from(!redelivered));
            let policy = policy.clone();
            move |failure| {
                if asked.fetch_add(1, SeqCst) == 0 {
                    return Decision::Retry { after: Duration::ZERO };
                }
                policy.decide(failure)
            }
        }));
        let queue = queue.open().unwrap();
        queue.producer().send(drops.message(7)).unwrap();
        let mut held = queue.consumer().recv().unwrap();
        if redelivered {
            held.nack("again").unwrap();
            held = queue.consumer().recv().unwrap();
        }
        *reach.lock().unwrap() = Some(queue);
        let before = drops.count();
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _held = held;
            panic!("planned: a handler");
        }));
        assert!(unwound.is_err());
        assert_eq!(drops.count(), before + 1);
    }
}

#[test]
fn a_policy_that_lets_go_of_the_last_handle_does_not_hurt_the_one_who_nacks() {
    let drops = Drops::armed();
    let reach: Reach<Touchy> = Arc::default();
    let queues = reach.clone();
    let policy = policy_fn(move |_| {
        drop(queues.lock().unwrap().take());
        Decision::Retry { after: Duration::ZERO }
    });
    let queue = builder(&ManualClock::new()).retry(policy).open().unwrap();
    queue.producer().send(drops.message(7)).unwrap();
    let held = queue.consumer().recv().unwrap();
    *reach.lock().unwrap() = Some(queue);
    let settled = catch_unwind(AssertUnwindSafe(|| held.nack("no").map_err(drop)));
    assert!(matches!(settled, Ok(Ok(()))), "the panic of a message's drop got out of a nack");
    assert_eq!(drops.count(), 1);
}

/// A real clock that can be made to wait when it is asked for the time on the background thread.
struct Gate {
    armed: AtomicBool,
    inside: std::sync::mpsc::Sender<()>,
    go_on: Mutex<std::sync::mpsc::Receiver<()>>,
}

struct Gated(Arc<Gate>);

impl Clock for Gated {
    fn now(&self) -> Instant {
        if std::thread::current().name() == Some("redeliver") && self.0.armed.swap(false, SeqCst) {
            self.0.inside.send(()).unwrap();
            self.0.go_on.lock().unwrap().recv().unwrap();
        }
        Instant::now()
    }
    fn system_time(&self) -> SystemTime {
        SystemTime::now()
    }
}

#[test]
fn a_policy_whose_drop_panics_on_the_background_thread_stops_no_other_queues_timers() {
    hush_planned_panics();
    let (inside, entered) = std::sync::mpsc::channel();
    let (go_on, wait) = std::sync::mpsc::channel();
    let gate = Arc::new(Gate { armed: AtomicBool::new(true), inside, go_on: Mutex::new(wait) });
    let other = Queue::builder("other").retry(Fixed::new(Duration::from_millis(20))).open().unwrap();
    let queue = Queue::builder("q").retry(Panicky(Where::Drop)).clock(Gated(gate)).open().unwrap();
    queue.producer().send(1).unwrap(); // from here on the background thread looks at it
    entered.recv().unwrap();
    catch_unwind(AssertUnwindSafe(|| drop(queue))).unwrap_or(()); // the background thread holds the last reference
    go_on.send(()).unwrap();
    other.producer().send("hello").unwrap();
    other.consumer().recv().unwrap().nack("again").unwrap();
    let again = other.consumer().recv_timeout(Duration::from_secs(20));
    assert_eq!(again.expect("the timer of another queue fires").attempt(), 2);
}

// ---- nothing, and far too much ----

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
