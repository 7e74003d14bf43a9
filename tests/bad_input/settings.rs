//! Settings and policies that make no sense are refused when the queue is opened; those that do are as good as they say.

use super::*;

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

#[test]
fn a_refused_policy_says_where_the_fault_is_and_what_it_is() {
    let says = |policy: Box<dyn RetryPolicy>| Queue::<u64>::builder("q").retry(policy).open().unwrap_err().to_string();
    let inside = Immediate.then(2, Schedule::new([]));
    assert_eq!(
        says(Box::new(inside)),
        "the retry policy: then(2, …): Schedule: the list of delays is empty; name at least one, or use Never"
    );
    let factor = says(Box::new(Exponential::new(SECOND).factor(0.5)));
    assert!(factor.starts_with("the retry policy: Exponential: factor(0.5) is no growth"), "{factor}");
    let capped = says(Box::new(Linear::new(SECOND, SECOND).max_delay(SECOND / 2)));
    assert!(
        capped.starts_with("the retry policy: Linear: max_delay(500ms) is below the first delay of 1s"),
        "{capped}"
    );
}

#[test]
fn a_breaker_that_would_never_close_or_never_open_and_a_budget_that_starves_are_refused() {
    let breaker = || Breaker::new();
    let forever = Duration::MAX;
    let faulty = [
        (breaker().open_for(forever), ProtectionError::OpenFor { open_for: forever }),
        (breaker().open_for(Duration::ZERO), ProtectionError::OpenFor { open_for: Duration::ZERO }),
        (
            breaker().open_for(SECOND).open_for_max(forever),
            ProtectionError::OpenForMax { max: forever, open_for: SECOND },
        ),
        (breaker().probes(0), ProtectionError::Probes),
        (breaker().consecutive_failures(0), ProtectionError::Consecutive),
        (breaker().failure_rate(0.0), ProtectionError::Rate { rate: 0.0 }),
        (breaker().window(10).min_calls(11), ProtectionError::MinCalls { min_calls: 11, window: 10 }),
    ];
    for (breaker, expected) in faulty {
        let refused = Queue::<u64>::builder("q").breaker(breaker).open().unwrap_err();
        assert!(refused.to_string().starts_with("breaker: "), "{refused}");
        assert_eq!(refused, OpenError::Protection(expected));
    }
    let window = 10 * SECOND;
    let refused = Queue::<u64>::builder("q").retry_budget(RetryBudget::percent(10.0).floor_per_second(0.0)).open();
    assert_eq!(refused.unwrap_err(), OpenError::Protection(ProtectionError::Starves { floor: 0.0, window }));
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
