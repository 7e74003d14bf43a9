//! What the verbs cost, one thread, no waiting: a message's whole life, its failure, batches, and the timers behind them.
//!
//! `cargo bench --bench queue`. Figures from one machine are compared with figures from the same machine only; how the
//! queue stands against others, with threads, is answered by `benches/compare`.
//!
//! The ring and the wheel are private, so they are measured through what reaches them: `life` is the ring alone, `failed`
//! adds the ledger and its lock, `delayed` is the wheel with many timers in it.
#![allow(clippy::disallowed_methods, reason = "a program is the outside that time comes from")]
#![allow(missing_docs, reason = "criterion's macros write items without documentation")]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use redeliver::{Breaker, Consumer, Fixed, Immediate, ManualClock, Producer, Queue, RetryBudget};
use std::hint::black_box;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A queue on a clock that stands still, so that no background thread disturbs what is measured.
fn queue(capacity: usize, clock: &ManualClock) -> (Queue<u64>, Producer<u64>, Consumer<u64>) {
    let queue = Queue::builder("bench")
        .capacity(capacity)
        .retry(Immediate.max_attempts(u32::MAX))
        .max_deliveries(u32::MAX)
        .clock(clock.clone())
        .open()
        .expect("valid settings");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    (queue, producer, consumer)
}

/// send, recv, ack: the hot path, with `waiting` messages in front.
fn life(c: &mut Criterion) {
    let mut group = c.benchmark_group("life");
    group.throughput(Throughput::Elements(1));
    for waiting in [0_u64, 8, 512] {
        let (_queue, producer, consumer) = queue(1_024, &ManualClock::new());
        for n in 0..waiting {
            producer.send(n).expect("room");
        }
        group.bench_function(BenchmarkId::new("waiting", waiting), |b| {
            b.iter(|| {
                producer.send(black_box(7)).expect("room");
                let delivery = consumer.recv().expect("open");
                black_box(delivery.message());
                delivery.ack().expect("held");
            });
        });
    }
    group.finish();
}

/// The same life in a queue with a retry budget, which costs nothing, and with a breaker, which hands out of the ledger.
fn guarded(c: &mut Criterion) {
    let mut group = c.benchmark_group("guarded");
    group.throughput(Throughput::Elements(1));
    let builder = || Queue::builder("bench").capacity(1_024).clock(ManualClock::new());
    let queues = [
        ("budget", builder().retry_budget(RetryBudget::percent(10.0))),
        ("breaker", builder().breaker(Breaker::new())),
        ("breakers", builder().breaker(Breaker::new().per_key(|_| String::new()))),
    ];
    for (name, queue) in queues {
        let queue = queue.open().expect("valid settings");
        let (producer, consumer) = (queue.producer(), queue.consumer());
        group.bench_function(name, |b| {
            b.iter(|| {
                producer.send(black_box(7)).expect("room");
                consumer.recv().expect("open").ack().expect("held");
            });
        });
    }
    group.finish();
}

/// The same life for 64 messages at a time.
fn batch(c: &mut Criterion) {
    const LEN: usize = 64;
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(LEN as u64));
    let (_queue, producer, consumer) = queue(1_024, &ManualClock::new());
    group.bench_function("64", |b| {
        b.iter(|| {
            producer.send_batch(0..LEN as u64).expect("room");
            let batch = consumer.recv_batch(LEN).expect("open");
            for item in batch.iter() {
                black_box(item.message());
            }
            batch.ack_all().expect("held");
        });
    });
    group.finish();
}

/// A message fails once and is acked the second time: the ledger, the policy, the refill lane.
fn failed(c: &mut Criterion) {
    let mut group = c.benchmark_group("failed");
    group.throughput(Throughput::Elements(1));
    let (_queue, producer, consumer) = queue(1_024, &ManualClock::new());
    group.bench_function("nack, then ack", |b| {
        b.iter(|| {
            producer.send(black_box(7)).expect("room");
            consumer.recv().expect("open").nack("busy").expect("held");
            consumer.recv().expect("open").ack().expect("held");
        });
    });
    group.bench_function("reject", |b| {
        b.iter(|| {
            producer.send(black_box(7)).expect("room");
            consumer.recv().expect("open").reject("malformed").expect("held");
        });
    });
    group.finish();
}

/// `len` messages back off to different moments and come back in order of time: the wheel, in and out.
fn delayed(c: &mut Criterion) {
    let mut group = c.benchmark_group("delayed");
    group.sample_size(20);
    for len in [100_u64, 10_000] {
        group.throughput(Throughput::Elements(len));
        group.bench_function(BenchmarkId::new("messages", len), |b| {
            b.iter_batched(
                || {
                    let clock = ManualClock::new();
                    let parts = queue(len as usize, &clock);
                    for n in 0..len {
                        parts.1.send(n).expect("room");
                    }
                    (clock, parts)
                },
                |(clock, (queue, producer, consumer))| {
                    for n in 0..len {
                        // Spread over the levels of the wheel, and not in order.
                        let after = SECOND + Duration::from_millis(n.wrapping_mul(7_919) % (8 * len));
                        consumer.recv().expect("open").nack_after(after, "busy").expect("held");
                    }
                    clock.advance(SECOND + Duration::from_millis(8 * len));
                    for _ in 0..len {
                        consumer.recv().expect("open").ack().expect("held");
                    }
                    (queue, producer, consumer) // dropped outside of what is measured
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A submit that finds the queue full, waits in the resend ledger, and is accepted later.
fn resent(c: &mut Criterion) {
    let mut group = c.benchmark_group("resent");
    group.throughput(Throughput::Elements(1));
    let clock = ManualClock::new();
    let queue = Queue::builder("bench").capacity(1).resend(Fixed::new(SECOND)).clock(clock.clone()).open();
    let queue = queue.expect("valid settings");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    group.bench_function("submit", |b| {
        b.iter(|| {
            producer.send(1_u64).expect("room");
            let receipt = producer.submit(black_box(2)).expect("taken up");
            consumer.recv().expect("open").ack().expect("held");
            clock.advance(SECOND);
            consumer.recv().expect("open").ack().expect("held");
            receipt.wait().expect("accepted");
        });
    });
    group.finish();
}

criterion_group!(benches, life, guarded, batch, failed, delayed, resent);
criterion_main!(benches);
