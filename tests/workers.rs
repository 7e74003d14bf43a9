//! Workers: what becomes of a message by what its handler says, panics, long handlers, a changing crew, and the end.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads of its own")]

use redeliver::{
    BatchOutcome, Cause, Decision, Exponential, Filter, Fixed, Immediate, ManualClock, Never, Outcome, Queue, Worker,
    WorkerError, policy_fn,
};
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

mod support;
use support::hush_planned_panics;

const SECOND: Duration = Duration::from_secs(1);
/// Longer than anything here takes; who waits for it has failed.
const LONG: Duration = Duration::from_secs(60);

/// Waits for another thread's doing; a bound, not a guess.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "never: {what}");
        thread::yield_now();
    }
}

/// A handler that says when it begins, and ends when it is told to.
struct Gate {
    begun: mpsc::Receiver<u32>,
    go_on: mpsc::Sender<()>,
}

fn gated() -> (Gate, impl Fn(u32) + Send + Sync) {
    let (tell, begun) = mpsc::channel();
    let (go_on, told) = mpsc::channel();
    let told = Mutex::new(told);
    let pass = move |message: u32| {
        tell.send(message).unwrap();
        let _ = told.lock().unwrap().recv();
    };
    (Gate { begun, go_on }, pass)
}

#[derive(Debug)]
struct TooMany(u32);

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} too many", self.0)
    }
}

impl Error for TooMany {}

#[test]
fn every_outcome_does_what_it_says() {
    let clock = ManualClock::new();
    let queue = Queue::<&str>::builder("outcomes").retry(Fixed::new(SECOND)).clock(clock.clone()).open().unwrap();
    let first = AtomicBool::new(true);
    let worker = queue
        .worker()
        .start(move |delivery| match (*delivery.message(), delivery.attempt()) {
            ("retry", 1) => Outcome::retry("planned"),
            ("later", 1) => Outcome::RetryAfter(3 * SECOND, "planned".into()),
            ("snooze", 1) if first.swap(false, SeqCst) => Outcome::Snooze(2 * SECOND),
            ("dead", _) => Outcome::dead_letter("planned"),
            ("discard", _) => Outcome::Discard,
            _ => Outcome::Ack,
        })
        .unwrap();
    queue.producer().send_batch(["ack", "retry", "later", "snooze", "dead", "discard"]).unwrap();
    eventually("the first round", || {
        let stats = queue.stats();
        (stats.acked, stats.delayed, stats.dead, stats.discarded) == (1, 3, 1, 1)
    });
    for (seconds, acked) in [(1, 2), (1, 3), (1, 4)] {
        clock.advance(seconds * SECOND);
        eventually("the next one", || queue.stats().acked == acked);
    }
    let report = worker.shutdown(LONG);
    assert_eq!((report.acked, report.failed, report.snoozed, report.dead_lettered, report.discarded), (4, 2, 1, 1, 1));
    assert_eq!(
        (report.handled, report.panicked, report.lost, report.still_running, report.given_back),
        (9, 0, 0, 0, 0)
    );
}

#[test]
fn an_error_reaches_the_policy_with_its_type() {
    let policy = policy_fn(|failure| match failure.error::<TooMany>() {
        Some(TooMany(n)) if *n > 5 => Decision::Discard,
        Some(_) => Decision::Retry { after: Duration::ZERO },
        None => Decision::DeadLetter,
    });
    let queue = Queue::<u32>::builder("typed").retry(policy).open().unwrap();
    let worker = queue
        .worker()
        .start(|delivery| match (*delivery.message(), delivery.attempt()) {
            (n @ 1.., 1) => Err(Box::new(TooMany(n)) as Box<dyn Error + Send + Sync>),
            (0, _) => Err("text".into()),
            _ => Ok(()),
        })
        .unwrap();
    queue.producer().send_batch([0, 3, 9]).unwrap();
    queue.drain(LONG).unwrap();
    assert_eq!((queue.stats().acked, queue.stats().discarded, queue.dead_letters().len()), (1, 1, 1));
    drop(worker);
}

#[test]
fn a_panic_is_a_failed_attempt_and_the_worker_goes_on() {
    hush_planned_panics();
    let causes = Arc::new(Mutex::new(Vec::new()));
    let seen = causes.clone();
    let policy = policy_fn(move |failure| {
        seen.lock().unwrap().push(matches!(failure.cause(), Cause::Panicked));
        if failure.attempt() < 3 { Decision::Retry { after: Duration::ZERO } } else { Decision::DeadLetter }
    });
    let queue = Queue::<u32>::builder("mined").retry(policy).open().unwrap();
    let worker = queue.worker().start(|delivery| assert_ne!(*delivery.message(), 7, "planned: seven")).unwrap();
    queue.producer().send_batch(0..20).unwrap();
    queue.drain(LONG).unwrap();
    let report = worker.report();
    assert_eq!((report.acked, report.panicked), (19, 3), "what is settled is counted");
    drop(worker);
    assert_eq!(*causes.lock().unwrap(), [true; 3]);
    let dead = queue.dead_letters().list(Filter::all());
    assert!(dead[0].reason().contains("the handler panicked") && dead[0].reason().contains("planned: seven"));
    assert_eq!(dead[0].history().len(), 3);
}

#[test]
fn a_lease_is_renewed_while_the_handler_runs_and_lost_at_the_run_timeout() {
    let clock = ManualClock::new();
    let queue = Queue::<u32>::builder("films").lease(SECOND).retry(Immediate).clock(clock.clone()).open().unwrap();
    let (gate, pass) = gated();
    let worker = queue.worker().run_timeout(10 * SECOND).start(move |delivery| pass(*delivery.message())).unwrap();
    queue.producer().send(1).unwrap();
    gate.begun.recv().unwrap();
    clock.advance(9 * SECOND);
    assert_eq!((queue.stats().leases_lost, queue.stats().in_flight), (0, 1));
    clock.advance(SECOND - Duration::from_millis(1));
    assert_eq!(queue.stats().leases_lost, 0, "never early");
    clock.advance(Duration::from_millis(1));
    assert_eq!(queue.stats().leases_lost, 1);
    // It comes back to the same worker, when its first handler has returned in vain; this time in time, as a redelivery.
    gate.go_on.send(()).unwrap();
    gate.begun.recv().unwrap();
    assert_eq!(worker.report().lost, 1);
    clock.advance(9 * SECOND);
    assert_eq!((queue.stats().leases_lost, queue.stats().in_flight), (1, 1));
    gate.go_on.send(()).unwrap();
    queue.drain(LONG).unwrap();
    let report = worker.shutdown(LONG);
    assert_eq!((report.acked, report.lost), (1, 1));
}

#[test]
fn a_plain_consumer_beside_a_worker_keeps_its_own_lease() {
    let clock = ManualClock::new();
    let queue = Queue::<u32>::builder("beside").lease(SECOND).retry(Never).clock(clock.clone()).open().unwrap();
    let (gate, pass) = gated();
    queue.producer().send(0).unwrap();
    let held = queue.consumer().recv().unwrap();
    let worker = queue.worker().start(move |delivery| pass(*delivery.message())).unwrap();
    queue.producer().send(1).unwrap();
    gate.begun.recv().unwrap();
    clock.advance(SECOND);
    assert!(held.is_lost());
    assert_eq!((queue.stats().leases_lost, queue.stats().in_flight), (1, 1));
    gate.go_on.send(()).unwrap();
    assert_eq!(worker.shutdown(LONG).acked, 1);
}

#[test]
fn shutdown_finishes_what_runs_and_takes_no_more() {
    let queue = Queue::<u32>::builder("stop").open().unwrap();
    let (gate, pass) = gated();
    let worker = queue.worker().start(move |delivery| pass(*delivery.message())).unwrap();
    queue.producer().send_batch([1, 2, 3]).unwrap();
    assert_eq!(gate.begun.recv().unwrap(), 1);
    let stopper = thread::spawn(move || worker.shutdown(LONG));
    gate.go_on.send(()).unwrap();
    // The order to stop may come before the first ends, or after the second has begun.
    let mut begun = 1;
    while !stopper.is_finished() {
        if gate.begun.try_recv().is_ok() {
            begun += 1;
            gate.go_on.send(()).unwrap();
        }
        thread::yield_now();
    }
    let report = stopper.join().unwrap();
    assert_eq!((report.acked, report.still_running, report.given_back), (begun, 0, 0));
    let left: Vec<_> = std::iter::from_fn(|| queue.consumer().try_recv().ok()).collect();
    assert_eq!(left.len() as u64, 3 - begun);
    assert!(left.iter().all(|delivery| delivery.attempt() == 1));
}

#[test]
fn what_still_runs_when_the_time_is_up_is_given_back_uncounted() {
    let clock = ManualClock::new();
    let queue = Queue::<u32>::builder("late").lease(SECOND).retry(Immediate).clock(clock.clone()).open().unwrap();
    let (gate, pass) = gated();
    let worker = queue.worker().threads(3).start(move |delivery| pass(*delivery.message())).unwrap();
    // One whose lease was renewed by then, and two that are fresh.
    queue.producer().send(1).unwrap();
    gate.begun.recv().unwrap();
    clock.advance(SECOND);
    let consumer = queue.consumer();
    queue.producer().send_batch([2, 3]).unwrap();
    for _ in 0..2 {
        gate.begun.recv().unwrap();
    }
    let report = worker.shutdown(Duration::ZERO);
    assert_eq!((report.still_running, report.given_back, report.handled), (3, 3, 0));
    let mut back: Vec<_> = (0..3).map(|_| consumer.recv().unwrap()).collect();
    back.sort_by_key(|delivery| **delivery);
    for (delivery, message) in back.iter().zip(1..) {
        assert_eq!((**delivery, delivery.attempt(), delivery.history().len()), (message, 1, 0));
    }
    (0..3).for_each(|_| gate.go_on.send(()).unwrap());
    back.into_iter().for_each(|delivery| delivery.ack().unwrap());
    // The late handlers' outcomes change nothing.
    eventually("the late handles are gone", || queue.stats().pinned == 0);
    assert_eq!((queue.stats().acked, queue.stats().failed), (3, 0));
}

#[test]
fn a_redelivery_is_given_back_at_its_own_attempt() {
    let queue = Queue::<u32>::builder("again").retry(Immediate).open().unwrap();
    let consumer = queue.consumer();
    queue.producer().send(1).unwrap();
    consumer.recv().unwrap().nack("planned").unwrap();
    let (gate, pass) = gated();
    let worker = queue.worker().start(move |delivery| pass(*delivery.message())).unwrap();
    gate.begun.recv().unwrap();
    assert_eq!(worker.shutdown(Duration::ZERO).given_back, 1);
    let again = consumer.recv().unwrap();
    assert_eq!((again.attempt(), again.history().len()), (2, 1));
    gate.go_on.send(()).unwrap();
    again.ack().unwrap();
}

#[test]
fn the_crew_grows_and_shrinks_while_it_works() {
    let queue = Queue::<bool>::builder("crew").open().unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let barrier = Arc::new(Barrier::new(4));
    let (r, m, meet) = (running.clone(), most.clone(), barrier.clone());
    let worker = queue
        .worker()
        .start(move |delivery| {
            m.fetch_max(r.fetch_add(1, SeqCst) + 1, SeqCst);
            if *delivery.message() {
                meet.wait(); // passes only if four handlers run at once
            }
            r.fetch_sub(1, SeqCst);
        })
        .unwrap();
    worker.set_threads(4).unwrap();
    queue.producer().send_batch([true; 8]).unwrap();
    queue.drain(LONG).unwrap();
    assert_eq!(most.load(SeqCst), 4);
    // Down and up again, faster than anybody can leave: none is missing, and none is too many.
    for _ in 0..1000 {
        worker.set_threads(1).unwrap();
        worker.set_threads(4).unwrap();
    }
    queue.producer().send_batch([true; 8]).unwrap();
    queue.drain(LONG).unwrap();
    assert_eq!(most.load(SeqCst), 4);
    worker.set_threads(1).unwrap();
    assert!(matches!(worker.set_threads(0), Err(WorkerError::NoThreads)));
    assert_eq!(worker.threads(), 1);
    queue.producer().send_batch([false; 100]).unwrap();
    queue.drain(LONG).unwrap();
    assert_eq!(worker.shutdown(LONG).acked, 116);
}

#[test]
fn a_worker_ends_with_its_queue() {
    let queue = Queue::<u32>::builder("ending").retry(Fixed::new(Duration::from_millis(1))).open().unwrap();
    let worker = queue
        .worker()
        .threads(3)
        .start(|delivery| if delivery.attempt() < 3 { Err("planned") } else { Ok(()) })
        .unwrap();
    queue.producer().send_batch(0..50).unwrap();
    queue.close();
    let report = worker.join();
    assert_eq!((report.acked, report.failed, report.still_running), (50, 100, 0));
}

#[test]
fn a_worker_that_is_dropped_stops_and_its_queue_closes_with_the_last_handle() {
    let queue = Queue::<u32>::in_memory("dropped");
    let producer = queue.producer();
    let worker = queue.worker().threads(2).start(|_| ()).unwrap();
    drop(queue);
    producer.send(1).unwrap(); // the worker's own consumer keeps the queue open
    drop(worker);
    eventually("the queue closes with its last receiver", || producer.send(2).is_err());
}

#[test]
fn a_batch_has_one_outcome_for_all_or_one_for_each() {
    let queue = Queue::<u32>::builder("rows").retry(Immediate).open().unwrap();
    queue.producer().send_batch(0..100u32).unwrap();
    let (sizes, seen) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(BTreeSet::new())));
    let (s, acked) = (sizes.clone(), seen.clone());
    let worker = queue
        .worker()
        .start_batch(16, move |rows| {
            s.lock().unwrap().push(rows.len());
            if rows[0].attempt() == 1 && rows[0].is_multiple_of(3) {
                return BatchOutcome::from(Err::<(), _>(TooMany(1)));
            }
            // One outcome too few: the last one of a batch of more than one fails.
            let done = rows.len().max(2) - 1;
            let outcomes: Vec<_> = rows.iter().take(done).map(|_| Outcome::Ack).collect();
            let ids = rows.iter().take(done).map(|row| **row);
            ids.for_each(|id| assert!(acked.lock().unwrap().insert(id)));
            outcomes.into()
        })
        .unwrap();
    queue.drain(LONG).unwrap();
    let report = worker.shutdown(LONG);
    assert_eq!((report.acked, seen.lock().unwrap().len()), (100, 100));
    assert!(report.failed >= 16 && sizes.lock().unwrap().iter().all(|len| (1..=16).contains(len)));
    assert!(matches!(queue.worker().start_batch(0, |_| ()), Err(WorkerError::NoBatch)));
}

#[test]
fn the_reason_of_a_whole_batch_reaches_the_policy_with_its_type() {
    let typed = Arc::new(AtomicUsize::new(0));
    let count = typed.clone();
    let policy = policy_fn(move |failure| {
        count.fetch_add(usize::from(failure.error::<TooMany>().is_some()), SeqCst);
        Decision::DeadLetter
    });
    let queue = Queue::<u32>::builder("rows").retry(policy).open().unwrap();
    queue.producer().send_batch([1, 2, 3]).unwrap();
    let worker = queue.worker().start_batch(3, |_| Err::<(), _>(TooMany(3))).unwrap();
    queue.drain(LONG).unwrap();
    drop(worker);
    assert_eq!((typed.load(SeqCst), queue.dead_letters().len()), (3, 3));
}

#[test]
fn a_batch_that_takes_long_keeps_its_leases_and_gives_them_back() {
    hush_planned_panics();
    let clock = ManualClock::new();
    let queue = Queue::<u32>::builder("slow rows").lease(SECOND).retry(Immediate).clock(clock.clone()).open().unwrap();
    queue.producer().send_batch([1, 2, 3]).unwrap();
    let (gate, pass) = gated();
    let worker = queue.worker().start_batch(3, move |rows| pass(rows.len() as u32)).unwrap();
    assert_eq!(gate.begun.recv().unwrap(), 3);
    clock.advance(100 * SECOND);
    assert_eq!((queue.stats().leases_lost, queue.stats().in_flight), (0, 3));
    assert_eq!(worker.shutdown(Duration::ZERO).given_back, 3);
    gate.go_on.send(()).unwrap();
    let consumer = queue.consumer();
    (0..3).for_each(|_| assert_eq!(consumer.recv().unwrap().attempt(), 1));
}

#[test]
fn a_batch_whose_handler_panics_has_failed_as_a_whole() {
    hush_planned_panics();
    let queue = Queue::<u32>::builder("mined rows").retry(Never).open().unwrap();
    queue.producer().send_batch([1, 2, 3]).unwrap();
    let worker = queue.worker().start_batch(3, |_| -> () { panic!("planned: rows") }).unwrap();
    queue.drain(LONG).unwrap();
    assert_eq!(worker.shutdown(LONG).panicked, 3);
    assert_eq!(queue.dead_letters().len(), 3);
}

// ---- tasks ----

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

fn start_on(
    runtime: &tokio::runtime::Runtime,
    queue: &Queue<u32>,
    tasks: usize,
    handler: impl for<'a> Fn(&'a redeliver::Delivery<u32>) -> redeliver::HandlerFuture<'a, Outcome> + Send + Sync + 'static,
) -> Worker<u32> {
    let handle = runtime.handle().clone();
    queue.worker().threads(tasks).start_async(move |task| drop(handle.spawn(task)), handler).unwrap()
}

#[test]
fn an_async_worker_handles_many_at_once_on_few_threads() {
    let runtime = runtime();
    let queue = Queue::builder("async").retry(Exponential::new(Duration::from_millis(1))).open().unwrap();
    let worker = start_on(&runtime, &queue, 32, |delivery| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            if delivery.attempt() == 1 && delivery.is_multiple_of(5) { Outcome::retry("planned") } else { Outcome::Ack }
        })
    });
    queue.producer().send_batch(0..500).unwrap();
    queue.drain(LONG).unwrap();
    worker.set_threads(2).unwrap();
    queue.producer().send_batch(1..5).unwrap();
    queue.drain(LONG).unwrap();
    let report = worker.shutdown(LONG);
    assert_eq!((report.acked, report.failed), (504, 100));
}

#[test]
fn an_async_handler_that_panics_before_or_after_its_first_await_has_failed() {
    hush_planned_panics();
    let runtime = runtime();
    let queue = Queue::<u32>::builder("mined").retry(Never).open().unwrap();
    let worker = start_on(&runtime, &queue, 1, |delivery| {
        assert_ne!(**delivery, 1, "planned: before");
        Box::pin(async move {
            tokio::task::yield_now().await;
            assert_ne!(**delivery, 2, "planned: after");
            Outcome::Ack
        })
    });
    queue.producer().send_batch([1, 2, 3]).unwrap();
    queue.drain(LONG).unwrap();
    let report = worker.shutdown(LONG);
    assert_eq!((report.acked, report.panicked), (1, 2));
}

#[test]
fn an_async_worker_whose_runtime_goes_gives_its_messages_back() {
    let runtime = runtime();
    let queue = Queue::builder("gone").retry(Immediate).open().unwrap();
    let (tell, told) = mpsc::channel();
    let worker = start_on(&runtime, &queue, 2, move |_| {
        let tell = tell.clone();
        Box::pin(async move {
            tell.send(()).unwrap();
            std::future::pending().await
        })
    });
    queue.producer().send_batch([1, 2]).unwrap();
    (0..2).for_each(|_| told.recv().unwrap());
    drop(runtime);
    let report = worker.shutdown(LONG);
    assert_eq!((report.handled, report.still_running), (0, 0));
    let consumer = queue.consumer();
    (0..2).for_each(|_| assert_eq!(consumer.recv().unwrap().attempt(), 2)); // dropped while it ran: counted
}

#[test]
fn an_executor_that_panics_is_an_error() {
    hush_planned_panics();
    let queue = Queue::<u32>::in_memory("no executor");
    let started = queue.worker().start_async(|_| panic!("planned: full"), |_| Box::pin(async {}));
    assert!(matches!(started, Err(WorkerError::Executor(text)) if text == "planned: full"));
}

#[test]
fn a_waiting_worker_stops_at_once() {
    let queue = Queue::<u32>::in_memory("idle");
    let worker = queue.worker().threads(4).start(|_| ()).unwrap();
    assert_eq!(worker.shutdown(LONG).handled, 0);
    let runtime = runtime();
    let worker = start_on(&runtime, &queue, 4, |_| Box::pin(async { Outcome::Ack }));
    assert_eq!(worker.shutdown(LONG).handled, 0);
}

#[test]
fn a_message_that_keeps_failing_ends_in_the_dead_letters_with_all_its_attempts() {
    let queue = Queue::<u32>::builder("hopeless").retry(Immediate.max_attempts(4)).open().unwrap();
    let worker = queue.worker().threads(2).start(|_| Err::<(), _>("planned")).unwrap();
    queue.producer().send_batch(0..10).unwrap();
    queue.drain(LONG).unwrap();
    assert_eq!(worker.shutdown(LONG).failed, 40);
    assert!(queue.dead_letters().list(Filter::all()).iter().all(|letter| letter.history().len() == 4));
}
