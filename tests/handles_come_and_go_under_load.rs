//! Producers, consumers and queues are cloned and dropped at random while real threads send, fail, leak and give up: every
//! message is acked once or is a dead letter once, its bytes are those that were sent, and at the end nothing is left in
//! memory but what was leaked on purpose.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads and time of its own")]

mod support;

use redeliver::{Consumer, Delivery, Exponential, Filter, Jitter, Queue, SettleErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use support::{Rng, evidence, hush_planned_panics, is_nightly, leak, seed};

const PRODUCERS: u64 = 3;
const CONSUMERS: u64 = 3;
const LEASE: Duration = Duration::from_millis(4);
const ATTEMPTS: u32 = 4;

/// What is known of all messages of one run, outside of the queue.
struct Truth {
    /// 0: not settled; 1: acked.
    acked: Vec<AtomicU8>,
    /// It came back uncounted once, so an attempt 1 of it may be a redelivery.
    snoozed: Vec<AtomicBool>,
    /// A handle of it was leaked, so it stays in memory.
    leaked: Vec<AtomicBool>,
    alive: AtomicI64,
    /// Grows with everything that happens: what the watchdog looks at.
    progress: AtomicU64,
    /// How many more handles of first deliveries may be leaked: each costs a seat.
    seats_to_leak: AtomicI64,
    deeds: [AtomicU64; DEEDS.len()],
}

const DEEDS: [&str; 15] = [
    "ack",
    "nack",
    "nack_after",
    "drop",
    "panic",
    "leak a seat",
    "leak a redelivery",
    "late ack",
    "extend",
    "into_message",
    "snooze",
    "reject",
    "batch ack_all",
    "batch nack_all",
    "batch in part",
];

struct Packet {
    number: u64,
    bytes: Box<[u8]>,
    truth: Arc<Truth>,
}

fn bytes_of(number: u64) -> Box<[u8]> {
    let mut rng = Rng(number);
    (0..number % 50).map(|_| rng.draw() as u8).collect()
}

impl Packet {
    fn new(number: u64, truth: &Arc<Truth>) -> Self {
        truth.alive.fetch_add(1, SeqCst);
        Packet { number, bytes: bytes_of(number), truth: truth.clone() }
    }

    fn check(&self) -> usize {
        assert_eq!(self.bytes, bytes_of(self.number), "the bytes of message {}", self.number);
        self.number as usize
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        self.truth.alive.fetch_sub(1, SeqCst);
    }
}

impl Truth {
    fn did(&self, deed: &str) {
        let index = DEEDS.iter().position(|name| *name == deed).unwrap();
        self.deeds[index].fetch_add(1, SeqCst);
        self.progress.fetch_add(1, SeqCst);
    }

    fn acked(&self, number: usize) {
        assert_eq!(self.acked[number].fetch_add(1, SeqCst), 0, "message {number} was acked twice");
        self.progress.fetch_add(1, SeqCst);
    }
}

fn send_all(queue: Queue<Packet>, numbers: std::ops::Range<u64>, truth: &Arc<Truth>, mut rng: Rng) {
    let mut receipts = Vec::new();
    let mut queue = Some(queue);
    let mut producer = queue.as_ref().unwrap().producer();
    let mut n = numbers.start;
    while n < numbers.end {
        let packet = |n| Packet::new(n, truth);
        match rng.below(8) {
            0 => {
                let end = (n + 1 + rng.below(20)).min(numbers.end);
                assert_eq!(producer.send_batch((n..end).map(packet)).unwrap().len() as u64, end - n);
                n = end - 1;
            }
            1 => drop(producer.message(packet(n)).header("n", n.to_string()).send().unwrap()),
            2 => receipts.push(producer.submit(packet(n)).unwrap()),
            3 => match producer.try_send(packet(n)) {
                Ok(_) => {}
                Err(error) => drop(producer.send(error.into_inner()).unwrap()),
            },
            4 => match producer.send_timeout(packet(n), Duration::from_micros(rng.below(500))) {
                Ok(_) => {}
                Err(error) => drop(producer.send(error.into_inner()).unwrap()),
            },
            _ => drop(producer.send(packet(n)).unwrap()),
        }
        n += 1;
        truth.progress.fetch_add(1, SeqCst);
        match rng.below(100) {
            0..5 => producer = producer.clone(), // and the old one goes
            5..8 => queue = queue.clone(),
            8 => producer = queue.as_ref().map_or_else(|| producer.clone(), Queue::producer),
            9 => queue = None,
            _ => {}
        }
    }
    for receipt in receipts {
        receipt.wait().expect("sent again until it is accepted");
    }
}

/// One delivery: some deed.
fn handle(delivery: Delivery<Packet>, truth: &Truth, held: &mut Vec<Delivery<Packet>>, rng: &mut Rng) {
    let number = delivery.check();
    assert!(delivery.history().len() as u32 + 1 == delivery.attempt(), "{:?}", delivery.history());
    assert!(delivery.attempt() <= ATTEMPTS);
    if let Some(header) = delivery.headers().get_str("n") {
        assert_eq!(header, number.to_string());
    }
    match rng.below(100) {
        0..8 => {
            truth.did("nack");
            expect_stale(delivery.nack("busy"));
        }
        8..10 => {
            truth.did("nack_after");
            expect_stale(delivery.nack_after(Duration::from_micros(rng.below(3000)), "busy"));
        }
        10..14 => {
            truth.did("drop");
            drop(delivery);
        }
        14..16 => {
            truth.did("panic");
            let unwound = catch_unwind(AssertUnwindSafe(move || {
                let _held = delivery;
                panic!("planned: a handler");
            }));
            assert!(unwound.is_err());
        }
        // A redelivery may cost a seat too: that of its first handle, if that one was still about when it was handed out.
        16..20 if truth.seats_to_leak.fetch_sub(1, SeqCst) > 0 => {
            let is_first = delivery.attempt() == 1 && !truth.snoozed[number].load(SeqCst);
            truth.did(if is_first { "leak a seat" } else { "leak a redelivery" });
            truth.leaked[number].store(true, SeqCst);
            leak(delivery);
        }
        20..24 => held.push(delivery),
        24..27 => {
            truth.did("extend");
            if delivery.extend(3 * LEASE).is_ok() {
                ack(delivery, truth);
            }
        }
        27..31 => match delivery.into_message() {
            Ok(packet) => {
                truth.did("into_message");
                truth.acked(packet.check());
            }
            Err(error) => assert!(matches!(error.kind, SettleErrorKind::StaleLease | SettleErrorKind::Shared)),
        },
        31..33 => {
            truth.did("snooze");
            truth.snoozed[number].store(true, SeqCst);
            expect_stale(delivery.snooze(Duration::from_micros(rng.below(2000))));
        }
        33 => {
            truth.did("reject");
            expect_stale(delivery.reject("never"));
        }
        _ => {
            truth.did("ack");
            ack(delivery, truth);
        }
    }
    if held.len() > rng.below(6) as usize {
        thread::sleep(LEASE.mul_f64(rng.below(20) as f64 / 10.0)); // the lease may run out meanwhile
        for delivery in held.drain(..) {
            truth.did("late ack");
            ack(delivery, truth);
        }
    }
}

fn expect_stale(settled: Result<(), redeliver::SettleError<Packet>>) {
    if let Err(error) = settled {
        assert_eq!(error.kind, SettleErrorKind::StaleLease);
        error.delivery.check();
    }
}

fn ack(delivery: Delivery<Packet>, truth: &Truth) {
    let number = delivery.check();
    match delivery.ack() {
        Ok(()) => truth.acked(number),
        Err(error) => {
            assert_eq!((error.kind, error.delivery.check()), (SettleErrorKind::StaleLease, number));
        }
    }
}

fn receive_all(mut consumer: Consumer<Packet>, truth: &Truth, mut rng: Rng) {
    let mut held = Vec::new();
    loop {
        if rng.below(20) == 0 {
            consumer = consumer.clone(); // and the old one goes
        }
        if rng.below(6) == 0 {
            let Ok(batch) = consumer.recv_batch_timeout(1 + rng.below(9) as usize, LEASE) else { continue };
            let numbers: Vec<usize> = batch.iter().map(|item| item.message().check()).collect();
            match rng.below(4) {
                0 => {
                    truth.did("batch nack_all");
                    drop(batch.nack_all("busy"));
                }
                1 => {
                    truth.did("batch in part");
                    let some = rng.below(numbers.len() as u64 + 1) as usize;
                    let mut deliveries = batch.into_iter();
                    deliveries.by_ref().take(some).for_each(|delivery| handle(delivery, truth, &mut held, &mut rng));
                }
                _ => {
                    truth.did("batch ack_all");
                    let stale = match batch.ack_all() {
                        Ok(()) => Vec::new(),
                        Err(errors) => errors.iter().map(|error| error.delivery.check()).collect(),
                    };
                    numbers.iter().filter(|number| !stale.contains(number)).for_each(|number| truth.acked(*number));
                }
            }
            continue;
        }
        // A handle that is kept costs a seat, so nobody waits for ever while he keeps one.
        let next = if held.is_empty() {
            consumer.recv().ok()
        } else {
            match consumer.recv_timeout(LEASE) {
                Ok(delivery) => Some(delivery),
                Err(_) => {
                    held.drain(..).for_each(|delivery| ack(delivery, truth));
                    continue;
                }
            }
        };
        let Some(delivery) = next else { return };
        handle(delivery, truth, &mut held, &mut rng);
    }
}

/// One storm. `keep`: a queue is held until the end, and closed; else it closes when its last sender goes.
fn storm(capacity: usize, keep: bool, messages: u64, seed: u64) -> Arc<Truth> {
    let truth = Arc::new(Truth {
        acked: (0..messages).map(|_| AtomicU8::new(0)).collect(),
        snoozed: (0..messages).map(|_| AtomicBool::new(false)).collect(),
        leaked: (0..messages).map(|_| AtomicBool::new(false)).collect(),
        alive: AtomicI64::new(0),
        progress: AtomicU64::new(0),
        seats_to_leak: AtomicI64::new(capacity as i64 / 4),
        deeds: Default::default(),
    });
    let retry = Exponential::new(Duration::from_millis(1)).jitter(Jitter::Full).max_attempts(ATTEMPTS);
    let queue = Queue::builder("storm")
        .capacity(capacity)
        .lease(LEASE)
        .retry(retry)
        .max_deliveries(ATTEMPTS)
        .resend(redeliver::Fixed::new(Duration::from_millis(1)).forever())
        .seed(seed | 1)
        .open()
        .unwrap();
    let letters = queue.dead_letters();
    let mut rng = Rng(seed);
    let share = messages / PRODUCERS;
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for c in 0..CONSUMERS {
        let (consumer, truth, rng) = (queue.consumer(), truth.clone(), Rng(rng.draw()));
        receivers.push((format!("consumer {c}"), thread::spawn(move || receive_all(consumer, &truth, rng))));
    }
    for p in 0..PRODUCERS {
        let (queue, truth, rng) = (queue.clone(), truth.clone(), Rng(rng.draw()));
        let numbers = p * share..(p + 1) * share;
        senders.push((format!("producer {p}"), thread::spawn(move || send_all(queue, numbers, &truth, rng))));
    }
    let kept = keep.then(|| queue.clone());
    drop(queue);
    let what = format!("SEED={seed} capacity {capacity}");
    join(senders, &truth, kept.as_ref(), &what);
    if let Some(queue) = &kept {
        queue.close();
    }
    join(receivers, &truth, kept.as_ref(), &what);

    if let Some(queue) = &kept {
        let stats = queue.stats();
        let acked = truth.acked.iter().map(|acked| u64::from(acked.load(SeqCst))).sum::<u64>();
        assert_eq!((stats.ready, stats.in_flight, stats.delayed, stats.unsent), (0, 0, 0, 0), "{what}: {stats:?}");
        assert_eq!((stats.sent, stats.acked, stats.dead), (messages, acked, messages - acked), "{what}: {stats:?}");
        assert_eq!(stats.delivered, stats.acked + stats.failed + snoozes(&stats, &truth), "{what}: {stats:?}");
        let (seats, redeliveries) = (truth.deeds[5].load(SeqCst), truth.deeds[6].load(SeqCst));
        assert!((seats..=seats + redeliveries).contains(&stats.pinned), "{what}: {seats} leaked: {stats:?}");
    }
    let mut dead = vec![0; messages as usize];
    for letter in letters.list(Filter::all()) {
        let number = letter.message().unwrap().check();
        dead[number] += 1;
        assert!(letter.history().len() as u32 == ATTEMPTS || letter.history().last().unwrap().rule() == "reject");
    }
    for (number, dead) in dead.iter().enumerate() {
        let acked = truth.acked[number].load(SeqCst);
        assert_eq!(dead + acked, 1, "{what}: message {number} was acked {acked} times and died {dead} times");
    }
    drop((letters, kept));
    // The background thread may still hold the last failed message for a moment, while it finds that its queue has ended.
    let leaked = truth.leaked.iter().filter(|leaked| leaked.load(SeqCst)).count() as i64;
    wait_until(
        || truth.alive.load(SeqCst) == leaked,
        || format!("{what}: {} alive, {leaked} leaked", truth.alive.load(SeqCst)),
    );
    truth
}

/// Snoozes that were not refused: hand-overs that ended without an ack and without a failure.
fn snoozes(stats: &redeliver::Stats, truth: &Truth) -> u64 {
    let ended = stats.delivered - stats.acked - stats.failed;
    assert!(ended <= truth.deeds[10].load(SeqCst));
    ended
}

/// Steps of 20 ms without any progress until it counts as stuck. Steps, not time: a machine that stands still for a minute
/// makes one long step.
const PATIENCE: u32 = 1500;

fn wait_until(condition: impl Fn() -> bool, what: impl Fn() -> String) {
    for _ in 0..PATIENCE {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("stuck: {}", what());
}

fn join(threads: Vec<(String, thread::JoinHandle<()>)>, truth: &Truth, queue: Option<&Queue<Packet>>, what: &str) {
    let (mut seen, mut patience) = (0, PATIENCE);
    for (name, thread) in threads {
        while !thread.is_finished() {
            thread::sleep(Duration::from_millis(if patience == PATIENCE { 1 } else { 20 }));
            let now = truth.progress.load(SeqCst);
            patience = if now == seen { patience - 1 } else { PATIENCE };
            seen = now;
            if patience == 0 {
                let left: Vec<_> = (0..truth.acked.len()).filter(|n| truth.acked[*n].load(SeqCst) == 0).collect();
                let stats = queue.map(Queue::stats);
                panic!(
                    "{what}: {name} is stuck; {} not acked: {:?} …; {:?}; {stats:?}",
                    left.len(),
                    &left[..9],
                    truth.deeds
                );
            }
        }
        if let Err(panic) = thread.join() {
            eprintln!("{what}: {name} panicked");
            resume_unwind(panic);
        }
    }
}

#[test]
fn every_message_is_acked_once_or_dead_once_while_handles_come_and_go() {
    hush_planned_panics();
    let seed = seed();
    let messages = PRODUCERS * if is_nightly() { 50_000 } else { 700 };
    let mut deeds = [0; DEEDS.len()];
    let mut storms = 0;
    for (round, capacity) in [1, 2, 3, 7, 8, 64, 1000, 1024].into_iter().enumerate() {
        for keep in [true, false] {
            let truth = storm(capacity, keep, messages, seed ^ (round as u64) << 32);
            for (sum, deed) in deeds.iter_mut().zip(&truth.deeds) {
                *sum += deed.load(SeqCst);
            }
            storms += 1;
        }
    }
    let named: serde_json::Map<_, _> =
        DEEDS.iter().zip(deeds).map(|(name, count)| (name.to_string(), count.into())).collect();
    evidence(
        "handles_come_and_go_under_load",
        serde_json::json!({ "storms": storms, "messages": storms * messages, "deeds": named, "seed": seed }),
    );
    assert!(deeds.iter().all(|count| *count > 0), "something never happened: {deeds:?}");
}
