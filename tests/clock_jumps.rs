//! T13: whatever a clock does, no message is lost, none comes twice, and none comes early.
//!
//! The wall clock jumps to 1970, 2038 and by a second to a hundred years to both sides; delays and leases lie around every
//! boundary of the timing wheel and beyond the end of all clocks; the monotonic clock leaps, stands still and goes back.
//!
//! A failure prints the line that replays it. `SEED=…` is the first seed; `REDELIVER_TIER=nightly` runs many more.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has clocks of its own")]

mod support;

use redeliver::{
    Clock, Consumer, Delivery, Event, Filter, Fixed, Jitter, ManualClock, MessageId, Queue, SettleErrorKind,
    TryRecvError,
};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};
use support::{Rng, evidence, is_nightly, seed};

const MS: Duration = Duration::from_millis(1);
const YEAR: Duration = Duration::from_secs(31_557_600);

type Hits = BTreeMap<&'static str, u64>;

fn hit(hits: &mut Hits, what: &'static str) {
    *hits.entry(what).or_default() += 1;
}

/// Runs a case for each seed, writes what has happened, and fails if one of `classes` never has.
fn for_seeds(test: &str, seeds: u64, classes: &[&str], mut case: impl FnMut(&mut Rng, &mut Hits)) {
    let mut hits = Hits::new();
    for seed in seed()..seed() + seeds {
        let run = catch_unwind(AssertUnwindSafe(|| case(&mut Rng(seed), &mut hits)));
        run.unwrap_or_else(|panic| {
            eprintln!("SEED={seed} cargo test --test clock_jumps {test}");
            resume_unwind(panic)
        });
    }
    let facts = serde_json::json!({ "first_seed": seed(), "seeds": seeds, "happened": hits });
    evidence(&format!("clock_jumps_{}", test.split('_').take(3).collect::<Vec<_>>().join("_")), facts);
    for class in classes {
        assert!(hits.contains_key(class), "`{class}` never happened");
    }
}

fn seeds(ci: u64) -> u64 {
    if is_nightly() { ci * 50 } else { ci }
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize]
}

// ---- the wall clock ----

/// Moves the wall clock as an administrator would, or a firmware whose battery is empty.
fn jump(rng: &mut Rng, clock: &ManualClock, hits: &mut Hits) {
    let now = clock.system_time();
    let far = pick(rng, &[Duration::from_secs(1), Duration::from_secs(3600), YEAR, 100 * YEAR]);
    let (what, to) = match rng.below(6) {
        0 => ("to 1970", SystemTime::UNIX_EPOCH),
        1 => ("to 2038", SystemTime::UNIX_EPOCH + Duration::from_secs(i32::MAX as u64)),
        2 => ("before 1970", SystemTime::UNIX_EPOCH - far),
        3 | 4 => ("back", now - far),
        _ => ("ahead", now + far),
    };
    hit(hits, what);
    clock.set_system_time(to);
}

/// Everything that happens, by the monotonic clock.
type Log = Vec<(Duration, String)>;

/// A queue at work for a while; with `jumps`, the wall clock jumps meanwhile.
fn work(rng: &mut Rng, mut jumps: Option<&mut Rng>, hits: &mut Hits) -> Log {
    let clock = ManualClock::new();
    let born = clock.now();
    let queue = Queue::<u64>::builder("jumps")
        .capacity(4)
        .lease(20 * MS)
        .retry(Fixed::new(7 * MS).jitter(Jitter::Equal).max_elapsed(Duration::from_secs(3600)).max_attempts(6))
        .resend(Fixed::new(9 * MS).max_attempts(5))
        .dead_letter_capacity(3)
        .clock(clock.clone())
        .seed(7)
        .open()
        .unwrap();
    let (producer, consumer, events) = (queue.producer(), queue.consumer(), queue.events());
    let (mut log, mut held, mut sent) = (Log::new(), Vec::new(), 0);
    for _ in 0..300 {
        let entry = match rng.below(12) {
            0..2 => {
                sent += 1;
                format!("submit {:?}", producer.submit(sent).map(|receipt| receipt.id()))
            }
            2..5 => match consumer.try_recv() {
                Ok(delivery) => {
                    let text = format!("recv {} {} {:?}", delivery.id(), delivery.attempt(), delays(&delivery));
                    let _ = delivery.sent_at(); // whatever it shows, it shows something
                    held.push(delivery);
                    text
                }
                Err(error) => format!("{error:?}"),
            },
            5..8 if !held.is_empty() => {
                let delivery = held.swap_remove(rng.below(held.len() as u64) as usize);
                let id = delivery.id();
                let result = match rng.below(5) {
                    0 => delivery.ack(),
                    1 => delivery.nack("no"),
                    2 => delivery.nack_after(30 * MS, "no"),
                    3 => delivery.snooze(11 * MS),
                    _ => delivery.extend(50 * MS).map_or(Ok(()), |()| {
                        held.push(delivery);
                        Ok(())
                    }),
                };
                format!("settle {id} {:?}", result.map_err(|error| error.kind))
            }
            8 if queue.dead_letters().len() == 3 => {
                let letters = queue.dead_letters().list(Filter::all());
                format!("redrive {}", queue.dead_letters().redrive(letters[0].id()))
            }
            _ => {
                clock.advance(Duration::from_micros(rng.below(15_000)));
                "advance".into()
            }
        };
        log.push((clock.now() - born, entry));
        if let Some(jumps) = &mut jumps
            && jumps.below(3) == 0
        {
            jump(jumps, &clock, hits);
            let _ = (queue.unsent().list(), queue.stats().throughput());
        }
        let stats = queue.stats();
        let waits = (stats.ready, stats.in_flight, stats.delayed, stats.parked, stats.dead, stats.unsent, stats.acked);
        log.push((clock.now() - born, format!("{waits:?} {:?}", events.try_iter().collect::<Vec<Event>>())));
    }
    log
}

fn delays(delivery: &Delivery<u64>) -> Vec<Option<Duration>> {
    delivery.history().iter().map(|attempt| attempt.delay()).collect()
}

#[test]
fn a_wall_clock_that_jumps_changes_nothing_that_happens() {
    let classes = ["to 1970", "to 2038", "before 1970", "back", "ahead", "redelivered", "lease lost", "dead letter"];
    for_seeds("a_wall_clock_that_jumps_changes_nothing_that_happens", seeds(200), &classes, |rng, hits| {
        let (script, mut jumps) = (rng.draw(), Rng(rng.draw()));
        let calm = work(&mut Rng(script), None, hits);
        let jumpy = work(&mut Rng(script), Some(&mut jumps), hits);
        for (calm, jumpy) in calm.iter().zip(&jumpy) {
            assert_eq!(calm, jumpy, "the wall clock made a difference");
        }
        for (class, sign) in [("redelivered", "recv"), ("lease lost", "LeaseLost"), ("dead letter", "DeadLettered")] {
            if calm.iter().any(|(_, text)| text.contains(sign) && (sign != "recv" || text.contains("Some"))) {
                hit(hits, class);
            }
        }
    });
}

// ---- the wheel ----

/// A delay on, or a little to either side of, a boundary of the wheel.
fn delay(rng: &mut Rng, hits: &mut Hits) -> Duration {
    match rng.below(16) {
        0 => {
            hit(hits, "u64::MAX milliseconds");
            Duration::from_millis(u64::MAX)
        }
        1 => {
            hit(hits, "Duration::MAX");
            Duration::MAX
        }
        2 => {
            hit(hits, "below a millisecond");
            Duration::from_nanos(1 + rng.below(999_999))
        }
        3 => Duration::from_micros(1 + rng.below(5_000_000)),
        _ => {
            let level = rng.below(9) as u32;
            hit(hits, ["64^0", "64^1", "64^2", "64^3", "64^4", "64^5", "64^6", "64^7", "64^8"][level as usize]);
            let boundary = 64u64.pow(level) * (1 + rng.below(64));
            Duration::from_millis((boundary + rng.below(3) - 1).max(1)) // none at all would be no delay
        }
    }
}

/// When something is due, by the queue's own time.
struct Due {
    at: Duration,
    /// How much later it may come: a delay is rounded up to a millisecond, and before it a lease's begin and its length.
    late: Duration,
    id: MessageId,
}

/// Takes what is there now and checks that it is due, and that nothing else that is due is missing.
fn collect(consumer: &Consumer<u64>, waits: &mut Vec<Due>, now: Duration, done: &mut Vec<MessageId>) {
    loop {
        match consumer.try_recv() {
            Ok(delivery) => {
                let id = delivery.id();
                let index = waits.iter().position(|due| due.id == id).unwrap_or_else(|| panic!("{id} came twice"));
                let due = waits.swap_remove(index);
                assert!(now >= due.at, "{id} came {:?} early", due.at - now);
                delivery.ack().unwrap();
                done.push(id);
            }
            Err(error) => {
                assert_eq!(error, TryRecvError::Empty);
                break;
            }
        }
    }
    for due in waits {
        assert!(due.at.saturating_add(due.late) > now, "{} is due since {:?} and did not come", due.id, now - due.at);
    }
}

#[test]
fn a_delay_of_any_length_ends_at_its_time_over_any_leap_of_the_clock() {
    let classes = [
        "u64::MAX milliseconds",
        "Duration::MAX",
        "below a millisecond",
        "64^0",
        "64^4",
        "64^8",
        "nack_after",
        "snooze",
        "policy",
        "lease",
        "extended lease",
        "one step short",
        "leap",
        "to the end of time",
        "beyond the end of time",
    ];
    for_seeds("a_delay_of_any_length_ends_at_its_time_over_any_leap", seeds(200), &classes, |rng, hits| {
        let clock = ManualClock::new();
        let mut elapsed = Duration::ZERO;
        if rng.below(2) == 0 {
            elapsed = delay(rng, hits).min(500 * YEAR);
            clock.advance(elapsed); // opened at an odd hour
        }
        let lease = delay(rng, hits).max(MS);
        let fixed = delay(rng, hits);
        let queue = Queue::<u64>::builder("leaps")
            .capacity(64)
            .retry(Fixed::new(fixed).max_attempts(9))
            .lease(lease)
            .clock(clock.clone())
            .open()
            .unwrap();
        let (producer, consumer) = (queue.producer(), queue.consumer());
        let start = clock.now();
        let mut waits = Vec::new();
        let mut held = Vec::new();
        for number in 0..1 + rng.below(12) {
            let now = clock.now() - start;
            let id = producer.send(number).unwrap();
            let delivery = consumer.recv().unwrap();
            assert_eq!(delivery.id(), id);
            let after = delay(rng, hits);
            let holds = held.len();
            let at = match rng.below(5) {
                0 => {
                    hit(hits, "nack_after");
                    delivery.nack_after(after, "later").unwrap();
                    now.saturating_add(after)
                }
                1 => {
                    hit(hits, "snooze");
                    delivery.snooze(after).unwrap();
                    now.saturating_add(after)
                }
                2 => {
                    hit(hits, "policy");
                    delivery.nack("later").unwrap();
                    now.saturating_add(fixed)
                }
                3 => {
                    hit(hits, "lease");
                    held.push(delivery);
                    now.saturating_add(lease).saturating_add(fixed)
                }
                _ => {
                    hit(hits, "extended lease");
                    delivery.extend(after).unwrap();
                    held.push(delivery);
                    now.saturating_add(after).saturating_add(fixed)
                }
            };
            let late = if held.len() > holds { 3 * MS } else { MS };
            waits.push(Due { at, late, id });
        }
        let all = waits.len();
        let mut done = Vec::new();
        let end = Duration::from_millis(u64::MAX) - elapsed;
        for _ in 0..40 {
            let now = clock.now() - start;
            let next = waits.iter().map(|due| due.at).min().unwrap_or(now);
            let by = match rng.below(4) {
                0 if next > now => {
                    hit(hits, "one step short");
                    (next - now).saturating_sub(Duration::from_nanos(1 + rng.below(2_000_000)))
                }
                1 => next.saturating_sub(now).saturating_add(2 * MS),
                2 => {
                    hit(hits, "leap");
                    delay(rng, hits).min(800 * YEAR)
                }
                _ => Duration::from_micros(rng.below(3_000)),
            };
            if now.saturating_add(by) >= end {
                continue; // kept for the last step
            }
            clock.advance(by);
            let now = clock.now() - start;
            collect(&consumer, &mut waits, now, &mut done);
        }
        hit(hits, "to the end of time");
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        let now = clock.now() - start;
        // What lies beyond the end of the clock may come at its end, for it goes no further, or never; it is not lost.
        for due in &mut waits {
            if due.at.saturating_add(due.late) >= now {
                hit(hits, "beyond the end of time");
                due.at = now;
            }
        }
        while let Ok(delivery) = consumer.try_recv() {
            let index = waits.iter().position(|due| due.id == delivery.id()).expect("once");
            assert!(waits.swap_remove(index).at <= now, "early");
            done.push(delivery.id());
            delivery.ack().unwrap();
        }
        assert!(waits.iter().all(|due| due.at == now), "due, and not there at the end of time");
        let stats = queue.stats();
        assert_eq!(stats.acked as usize, done.len());
        assert_eq!(stats.acked + stats.delayed + stats.in_flight, all as u64, "none is lost");
        assert_eq!((stats.ready, stats.dead), (0, 0));
        for delivery in held {
            let (id, is_lost) = (delivery.id(), delivery.is_lost());
            let result = delivery.ack();
            assert_eq!(result.is_err(), is_lost);
            if let Err(error) = result {
                assert_eq!(error.kind, SettleErrorKind::StaleLease);
            } else {
                assert!(!done.contains(&id), "{id} was held by two");
            }
        }
    });
}

// ---- a monotonic clock that is none ----

/// A clock of the user's that does what it is told. It knows how often the queues' own thread has looked at it.
#[derive(Clone)]
struct Shaky(Arc<(Mutex<Shown>, Condvar)>);

struct Shown {
    base: Instant,
    passed: Duration,
    /// Since when it goes as it should; `None` while it stands still.
    goes_since: Option<Instant>,
    looks: u64,
}

impl Shown {
    fn passed(&self) -> Duration {
        self.passed + self.goes_since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Shaky {
    fn new() -> Self {
        let shown = Shown { base: Instant::now(), passed: Duration::from_secs(1000), goes_since: None, looks: 0 };
        Shaky(Arc::new((Mutex::new(shown), Condvar::new())))
    }

    fn set(&self, to: impl FnOnce(Duration) -> Duration) {
        let mut shown = self.0.0.lock().unwrap();
        shown.passed = to(shown.passed);
    }

    fn go(&self) {
        self.0.0.lock().unwrap().goes_since = Some(Instant::now());
    }

    fn stand_still(&self) {
        let mut shown = self.0.0.lock().unwrap();
        shown.passed = shown.passed();
        shown.goes_since = None;
    }

    fn passed(&self) -> Duration {
        self.0.0.lock().unwrap().passed()
    }

    /// Waits until the queues' thread has looked at it some more: it has work that is not done, so it will.
    fn wait_for_looks(&self) {
        let mut shown = self.0.0.lock().unwrap();
        let until = shown.looks + 4; // two for each of its rounds, and one round may have been on its way
        while shown.looks < until {
            shown = self.0.1.wait(shown).unwrap();
        }
    }
}

impl Clock for Shaky {
    fn now(&self) -> Instant {
        let mut shown = self.0.0.lock().unwrap();
        if std::thread::current().name() == Some("redeliver") {
            shown.looks += 1;
            self.0.1.notify_all();
        }
        shown.base + shown.passed()
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.passed()
    }
}

/// Makes the clock stall, go back, or leap, but never as far ahead of `from` as `least`.
fn shake(rng: &mut Rng, clock: &Shaky, from: Duration, least: Duration, hits: &mut Hits) {
    match rng.below(3) {
        0 => hit(hits, "stall"),
        1 => {
            hit(hits, "back");
            let by = Duration::from_micros(rng.below(5_000));
            clock.set(|passed| passed - by);
        }
        _ => {
            hit(hits, "ahead");
            let by = Duration::from_micros(rng.below(3_000));
            let limit = from + least - Duration::from_micros(1);
            clock.set(|passed| (passed + by).min(limit));
        }
    }
}

#[test]
fn a_clock_that_stalls_or_goes_back_hastens_nothing_and_loses_nothing() {
    let cases = if cfg!(debug_assertions) { 20 } else { seeds(40) };
    let classes = ["stall", "back", "ahead", "delay", "lease"];
    for_seeds("a_clock_that_stalls_or_goes_back", cases, &classes, |rng, hits| {
        let clock = Shaky::new();
        let (lease, delay) = (Duration::from_millis(2 + rng.below(9)), Duration::from_millis(1 + rng.below(9)));
        let queue = Queue::<u64>::builder("shaky")
            .lease(lease)
            .retry(Fixed::new(delay).max_attempts(9))
            .clock(clock.clone())
            .open()
            .unwrap();
        let (producer, consumer) = (queue.producer(), queue.consumer());
        let id = producer.send(1).unwrap();
        for attempt in 1..=4 {
            let delivery = consumer.try_recv().unwrap();
            assert_eq!((delivery.id(), delivery.attempt()), (id, attempt));
            assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty, "one message, one delivery");
            let from = clock.passed();
            let (held, least) = if rng.below(2) == 0 {
                hit(hits, "delay");
                delivery.nack("later").unwrap();
                (None, delay)
            } else {
                hit(hits, "lease");
                (Some(delivery), lease)
            };
            for _ in 0..rng.below(5) {
                shake(rng, &clock, from, least, hits);
                clock.wait_for_looks();
                assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty, "early");
                if let Some(delivery) = &held {
                    assert!(!delivery.is_lost(), "a lease of {lease:?} ended after {:?}", clock.passed() - from);
                }
            }
            // From here it goes as it should, from where it was at its furthest, until the message is there again.
            clock.set(|passed| passed.max(from));
            clock.go();
            while queue.is_empty() {
                std::thread::yield_now();
            }
            clock.stand_still();
            if let Some(delivery) = held {
                assert!(clock.passed() >= from + lease + delay, "early");
                assert_eq!(delivery.ack().unwrap_err().kind, SettleErrorKind::StaleLease);
            }
        }
        consumer.try_recv().unwrap().ack().unwrap();
        let stats = queue.stats();
        assert_eq!((stats.sent, stats.delivered, stats.acked, stats.failed), (1, 5, 1, 4));
    });
}
