//! Real threads, everything at once: each message is settled once, whatever its consumers do.
#![allow(clippy::disallowed_methods, reason = "threads and time of a test's own")]

mod support;

use redeliver::{Consumer, Delivery, Filter, Fixed, Immediate, Producer, Queue, SettleErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use support::{Rng, evidence, hush_planned_panics, is_nightly, seed};

const PRODUCERS: u64 = 3;
const CONSUMERS: u64 = 3;

/// What is counted over all storms: each kind of misdeed must have happened.
#[derive(Default)]
struct Counts {
    acked: AtomicU64,
    stale: AtomicU64,
    nacked: AtomicU64,
    dropped: AtomicU64,
    panicked: AtomicU64,
    late: AtomicU64,
    batches: AtomicU64,
    split: AtomicU64,
    extended: AtomicU64,
    resent: AtomicU64,
    taken: AtomicU64,
}

/// The messages of one storm: how often each was acked.
struct Sky {
    acked: Vec<AtomicU32>,
    settled: AtomicU64,
}

fn message(n: u64) -> String {
    format!("{n}:{}", "x".repeat((n % 40) as usize))
}

fn number(message: &str) -> u64 {
    let (n, rest) = message.split_once(':').expect("a message of ours");
    let n = n.parse().expect("a number");
    assert_eq!(rest.len() as u64, n % 40, "a payload that nobody sent");
    n
}

impl Sky {
    fn saw_ack(&self, counts: &Counts, message: &str) {
        let n = number(message);
        assert_eq!(self.acked[n as usize].fetch_add(1, SeqCst), 0, "message {n} was acked twice");
        self.settled.fetch_add(1, SeqCst);
        counts.acked.fetch_add(1, SeqCst);
    }
}

/// A storm that does not end is a lost wake-up or a lost message: says what the queue looked like.
fn within<R: Send + 'static>(
    limit: Duration,
    queue: &Queue<String>,
    what: String,
    work: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (done, wait) = mpsc::channel();
    let worker = thread::spawn(move || drop(done.send(work())));
    match wait.recv_timeout(limit) {
        Ok(result) => {
            worker.join().unwrap();
            result
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(worker.join().unwrap_err()),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} did not end: {:?}", queue.stats()),
    }
}

#[test]
fn each_message_is_acked_once_whatever_its_consumers_do() {
    hush_planned_panics();
    let counts = Arc::new(Counts::default());
    let (seed, messages) = (seed(), if is_nightly() { 300_000 } else { 6_000 });
    for capacity in [1, 2, 3, 7, 8, 64, 1000, 1024] {
        let queue = Queue::builder("storm")
            .capacity(capacity)
            .lease(Duration::from_millis(3))
            .retry(Immediate.forever())
            .max_deliveries(u32::MAX)
            .resend(Fixed::new(Duration::from_millis(1)).forever())
            .open()
            .unwrap();
        let what = format!("SEED={seed} capacity {capacity}");
        let (storm, sky_counts) = (queue.clone(), counts.clone());
        within(Duration::from_secs(120), &queue, what, move || {
            run(&storm, &sky_counts, messages, seed ^ capacity as u64)
        });
        let stats = queue.stats();
        assert_eq!(
            (stats.ready, stats.in_flight, stats.delayed, stats.dead, stats.unsent),
            (0, 0, 0, 0, 0),
            "{stats:?}"
        );
        assert_eq!((stats.sent, stats.acked), (messages, messages), "{stats:?}");
    }
    report(&counts, seed);
}

fn run(queue: &Queue<String>, counts: &Arc<Counts>, messages: u64, seed: u64) {
    let sky = Arc::new(Sky { acked: (0..messages).map(|_| AtomicU32::new(0)).collect(), settled: AtomicU64::new(0) });
    let mut threads: Vec<_> = (0..PRODUCERS)
        .map(|_| (queue.producer(), counts.clone()))
        .enumerate()
        .map(|(p, (producer, counts))| {
            let (from, to) = (messages * p as u64 / PRODUCERS, messages * (p as u64 + 1) / PRODUCERS);
            thread::spawn(move || send(&producer, &counts, from, to, Rng(seed ^ p as u64)))
        })
        .collect();
    for c in 0..CONSUMERS {
        let (consumer, counts, sky) = (queue.consumer(), counts.clone(), sky.clone());
        threads.push(thread::spawn(move || receive(&consumer, &counts, &sky, messages, Rng(seed ^ (100 + c)))));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(sky.acked.iter().all(|acked| acked.load(SeqCst) == 1));
}

fn send(producer: &Producer<String>, counts: &Counts, from: u64, to: u64, mut rng: Rng) {
    let (mut n, mut receipts) = (from, Vec::new());
    while n < to {
        match rng.below(10) {
            0 => {
                let end = (n + 30).min(to);
                producer.send_batch((n..end).map(message)).unwrap();
                n = end;
                continue;
            }
            1 => drop(producer.message(message(n)).header("n", n.to_string()).send().unwrap()),
            2 => receipts.push(producer.submit(message(n)).unwrap()),
            _ => drop(producer.send(message(n)).unwrap()),
        }
        n += 1;
    }
    for receipt in receipts {
        let at_once = receipt.wait_timeout(Duration::ZERO).is_some();
        receipt.wait().unwrap();
        counts.resent.fetch_add(u64::from(!at_once), SeqCst);
    }
}

fn receive(consumer: &Consumer<String>, counts: &Counts, sky: &Sky, messages: u64, mut rng: Rng) {
    let mut held: Vec<Delivery<String>> = Vec::new();
    while sky.settled.load(SeqCst) < messages {
        if rng.below(8) == 0 {
            receive_batch(consumer, counts, sky, &mut rng);
            continue;
        }
        let Ok(delivery) = consumer.recv_timeout(Duration::from_millis(2)) else {
            held.clear(); // at the latest now: what is late keeps its seat
            continue;
        };
        if let Some(n) = delivery.headers().get_str("n") {
            assert_eq!(n, number(&delivery).to_string());
        }
        match rng.below(1000) {
            0..100 => count(&counts.nacked, delivery.nack("planned").is_ok()),
            100..130 => {
                drop(delivery);
                count(&counts.dropped, true);
            }
            130..140 => {
                let unwound = catch_unwind(AssertUnwindSafe(move || {
                    let _held = delivery;
                    panic!("planned");
                }));
                count(&counts.panicked, unwound.is_err());
            }
            140..150 => held.push(delivery),
            150..155 => {
                thread::sleep(Duration::from_millis(5)); // a handler that outlives its lease
                count(&counts.late, true);
                ack(delivery, counts, sky);
            }
            155..175 => {
                count(&counts.extended, delivery.extend(Duration::from_millis(20)).is_ok());
                ack(delivery, counts, sky);
            }
            175..200 => match delivery.into_message() {
                Ok(message) => {
                    sky.saw_ack(counts, &message);
                    count(&counts.taken, true);
                }
                Err(error) => assert!(matches!(error.kind, SettleErrorKind::StaleLease | SettleErrorKind::Shared)),
            },
            _ => ack(delivery, counts, sky),
        }
        if held.len() > 2 {
            held.drain(..).for_each(|delivery| ack(delivery, counts, sky));
        }
    }
}

fn count(counter: &AtomicU64, happened: bool) {
    counter.fetch_add(u64::from(happened), SeqCst);
}

fn ack(delivery: Delivery<String>, counts: &Counts, sky: &Sky) {
    let message = delivery.message().clone();
    match delivery.ack() {
        Ok(()) => sky.saw_ack(counts, &message),
        Err(error) => {
            assert_eq!(error.kind, SettleErrorKind::StaleLease);
            assert_eq!(*error.delivery, message, "a late handle reads what it was given");
            count(&counts.stale, true);
        }
    }
}

fn receive_batch(consumer: &Consumer<String>, counts: &Counts, sky: &Sky, rng: &mut Rng) {
    let Ok(batch) = consumer.try_recv_batch(16) else { return };
    let messages: Vec<String> = batch.iter().map(|item| item.message().clone()).collect();
    match rng.below(6) {
        0 => count(&counts.nacked, batch.nack_all("planned").is_ok()),
        1 => drop(batch),
        2 => {
            count(&counts.split, true);
            let mut deliveries = batch.into_iter();
            (&mut deliveries).take(3).for_each(|delivery| ack(delivery, counts, sky));
        }
        how => {
            if how == 3 {
                thread::sleep(Duration::from_millis(4));
            }
            count(&counts.batches, true);
            let stale: Vec<String> = match batch.ack_all() {
                Ok(()) => Vec::new(),
                Err(errors) => errors.iter().map(|error| error.delivery.message().clone()).collect(),
            };
            count(&counts.stale, !stale.is_empty());
            messages.iter().filter(|message| !stale.contains(message)).for_each(|message| sky.saw_ack(counts, message));
        }
    }
}

fn report(counts: &Counts, seed: u64) {
    let figures = [
        ("acked", &counts.acked),
        ("stale", &counts.stale),
        ("nacked", &counts.nacked),
        ("dropped", &counts.dropped),
        ("panicked", &counts.panicked),
        ("late", &counts.late),
        ("batches", &counts.batches),
        ("split", &counts.split),
        ("extended", &counts.extended),
        ("resent", &counts.resent),
        ("taken", &counts.taken),
    ];
    let facts = figures.iter().map(|(name, count)| (name.to_string(), count.load(SeqCst).into()));
    let mut facts: serde_json::Map<_, _> = facts.collect();
    facts.insert("seed".into(), seed.into());
    evidence("storm", facts.into());
    for (name, count) in figures {
        assert!(count.load(SeqCst) > 0, "it never happened: {name}");
    }
}

#[test]
fn each_producers_first_deliveries_come_in_the_order_of_its_sends() {
    let queue = Queue::builder("order").capacity(16).open().unwrap();
    let senders: Vec<_> = (0..PRODUCERS)
        .map(|p| (p, queue.producer()))
        .map(|(p, producer)| {
            thread::spawn(move || {
                for n in 0..20_000u64 {
                    producer.send((p, n)).unwrap();
                }
            })
        })
        .collect();
    let consumer = queue.consumer();
    drop(queue);
    let mut next = [0; PRODUCERS as usize];
    // One consumer takes them one by one or in batches, so the order of taking is the order of the ring.
    let mut taken = 0u64;
    while let Ok(batch) = consumer.recv_batch(1 + (taken % 7) as usize) {
        for item in batch.iter() {
            let (p, n) = *item;
            assert_eq!(n, next[p as usize], "producer {p}");
            next[p as usize] += 1;
            taken += 1;
        }
        batch.ack_all().unwrap();
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(next, [20_000; PRODUCERS as usize]);
}

#[test]
fn sleeping_senders_and_receivers_are_woken() {
    for capacity in [1, 4, 100] {
        let queue = Queue::builder("sleepy").capacity(capacity).open().unwrap();
        let storm = queue.clone();
        within(Duration::from_secs(60), &queue, format!("capacity {capacity}"), move || {
            let queue = storm;
            let stop = Arc::new(AtomicBool::new(false));
            let senders: Vec<_> = (0..3u64)
                .map(|p| (p, queue.producer(), stop.clone()))
                .map(|(p, producer, stop)| {
                    thread::spawn(move || {
                        let (mut rng, mut sent) = (Rng(p), 0u64);
                        while !stop.load(SeqCst) {
                            if rng.below(50) == 0 {
                                thread::sleep(Duration::from_micros(rng.below(3000))); // the others fall asleep
                            }
                            producer.send("x".into()).unwrap();
                            sent += 1;
                        }
                        sent
                    })
                })
                .collect();
            let receivers: Vec<_> = (0..3u64)
                .map(|c| (c, queue.consumer()))
                .map(|(c, consumer)| {
                    thread::spawn(move || {
                        let (mut rng, mut received) = (Rng(50 + c), 0u64);
                        while let Ok(delivery) = consumer.recv() {
                            if rng.below(50) == 0 {
                                thread::sleep(Duration::from_micros(rng.below(3000)));
                            }
                            delivery.ack().unwrap();
                            received += 1;
                        }
                        received
                    })
                })
                .collect();
            let end = Instant::now() + Duration::from_millis(if is_nightly() { 60_000 } else { 500 });
            while Instant::now() < end {
                thread::sleep(Duration::from_millis(10));
            }
            stop.store(true, SeqCst);
            let sent: u64 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
            queue.close();
            let received: u64 = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
            assert_eq!(received, sent);
        });
    }
}

#[test]
fn what_is_rejected_is_dead_once() {
    let queue = Queue::<String>::builder("rejects").capacity(64).open().unwrap();
    let threads: Vec<_> = (0..3)
        .map(|_| queue.consumer())
        .map(|consumer| {
            thread::spawn(move || {
                while let Ok(delivery) = consumer.recv() {
                    let n = number(&delivery);
                    if n.is_multiple_of(3) { delivery.reject("planned").unwrap() } else { delivery.ack().unwrap() }
                }
            })
        })
        .collect();
    let producer = queue.producer();
    for n in 0..3000 {
        producer.send(message(n)).unwrap();
    }
    queue.close();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut dead: Vec<_> =
        queue.dead_letters().list(Filter::all()).iter().map(|letter| number(letter.message().unwrap())).collect();
    dead.sort_unstable();
    assert_eq!(dead, (0..3000).filter(|n| n % 3 == 0).collect::<Vec<_>>());
    assert_eq!(queue.stats().acked, 2000);
}
