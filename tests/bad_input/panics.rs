//! A panic of the user's code (a policy, an error, a message, a clock) ends that call and nothing else.

use super::*;

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
