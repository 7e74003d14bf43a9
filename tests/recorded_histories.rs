//! T10: what real threads saw can be explained by a plain first-in-first-out queue of bounded capacity.
//!
//! Every send and every hand-over is recorded with a ticket drawn before it began and one drawn after it had ended. If one
//! send had ended before another began, the first message comes before the second; nothing is received before its send
//! began; nothing is received twice; and never are more messages accepted and unsettled than the capacity allows.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads of its own")]

mod support;

use redeliver::Queue;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use support::{Rng, evidence, is_nightly, seed};

/// When something began and when it had ended.
#[derive(Debug, Clone, Copy)]
struct Span {
    began: u64,
    ended: u64,
}

/// One message's history.
#[derive(Debug, Clone, Copy)]
struct Life {
    sent: Span,
    received: Span,
    acked: Span,
}

struct Tickets(AtomicU64);

impl Tickets {
    fn span<R>(&self, what: impl FnOnce() -> R) -> (Span, R) {
        let began = self.0.fetch_add(1, SeqCst);
        let result = what();
        (Span { began, ended: self.0.fetch_add(1, SeqCst) }, result)
    }
}

/// Two messages that came in the wrong order: b was sent after a for certain, and received before it for certain.
///
/// By when each send ended; of all whose send had ended before b's began, none may be received (begin to be) after b's
/// receipt had ended. So one pass with the latest begin of a receipt so far is enough.
fn inversion(lives: &[Life]) -> Option<(Life, Life)> {
    let mut by_end = lives.to_vec();
    by_end.sort_by_key(|life| life.sent.ended);
    let mut by_begin = lives.to_vec();
    by_begin.sort_by_key(|life| life.sent.began);
    let mut latest: Option<Life> = None;
    let mut before = by_end.into_iter().peekable();
    for b in by_begin {
        while let Some(a) = before.next_if(|a| a.sent.ended < b.sent.began) {
            if latest.is_none_or(|latest| latest.received.began < a.received.began) {
                latest = Some(a);
            }
        }
        if let Some(a) = latest.filter(|a| a.received.began > b.received.ended) {
            return Some((a, b));
        }
    }
    None
}

/// The most messages that were accepted and unsettled at one moment for certain.
fn most_unsettled(lives: &[Life]) -> i64 {
    let begins = lives.iter().map(|life| (life.sent.ended, 1));
    let mut moments: Vec<(u64, i64)> = begins.chain(lives.iter().map(|life| (life.acked.began, -1))).collect();
    moments.sort_unstable();
    let mut now = 0;
    moments
        .into_iter()
        .map(|(_, by)| {
            now += by;
            now
        })
        .max()
        .unwrap_or(0)
}

fn record(capacity: usize, producers: u64, consumers: u64, each: u64, rng: &mut Rng) -> Vec<Life> {
    let queue = Queue::builder("history").capacity(capacity).open().unwrap();
    let tickets = Tickets(AtomicU64::new(0));
    let start = Barrier::new((producers + consumers) as usize);
    let seeds: Vec<u64> = (0..producers + consumers).map(|_| rng.draw()).collect();
    let mut sent = vec![None; (producers * each) as usize];
    let mut got = vec![None; (producers * each) as usize];
    std::thread::scope(|scope| {
        let (queue, tickets, start) = (&queue, &tickets, &start);
        let senders: Vec<_> = (0..producers)
            .map(|p| {
                let (mut rng, producer) = (Rng(seeds[p as usize]), queue.producer());
                scope.spawn(move || {
                    start.wait();
                    let mut spans = Vec::with_capacity(each as usize);
                    let mut n = p * each;
                    while n < (p + 1) * each {
                        let pairs = match rng.below(8) {
                            0 => {
                                let end = (n + 1 + rng.below(4)).min((p + 1) * each);
                                let (span, ids) = tickets.span(|| producer.send_batch(n..end).unwrap());
                                vec![span; ids.len()]
                            }
                            1 => vec![tickets.span(|| producer.message(n).header("h", "v").send().unwrap()).0],
                            _ => vec![tickets.span(|| producer.send(n).unwrap()).0],
                        };
                        for span in pairs {
                            spans.push((n, span));
                            n += 1;
                        }
                    }
                    spans
                })
            })
            .collect();
        let receivers: Vec<_> = (0..consumers)
            .map(|c| {
                let (mut rng, consumer) = (Rng(seeds[(producers + c) as usize]), queue.consumer());
                scope.spawn(move || {
                    start.wait();
                    let (mut lives, mut held) = (Vec::new(), Vec::<(Span, redeliver::Delivery<u64>)>::new());
                    loop {
                        // What is held back makes the tail skip seats; it is let go before the next wait.
                        let (received, next) = tickets
                            .span(|| if held.is_empty() { consumer.recv().ok() } else { consumer.try_recv().ok() });
                        let is_none = next.is_none();
                        match next {
                            Some(delivery) => held.push((received, delivery)),
                            None if held.is_empty() => return lives,
                            None => {}
                        }
                        // In any order: a seat that is freed behind one that is held cannot be reached at once.
                        let keep = if is_none { 0 } else { rng.below(6) as usize };
                        while held.len() > keep {
                            let (received, delivery) = held.swap_remove(rng.below(held.len() as u64) as usize);
                            let n = *delivery;
                            lives.push((n, received, tickets.span(|| delivery.ack().unwrap()).0));
                        }
                    }
                })
            })
            .collect();
        for (n, span) in senders.into_iter().flat_map(|sender| sender.join().unwrap()) {
            sent[n as usize] = Some(span);
        }
        queue.close();
        for (n, received, acked) in receivers.into_iter().flat_map(|receiver| receiver.join().unwrap()) {
            assert!(got[n as usize].replace((received, acked)).is_none(), "message {n} was received twice");
        }
    });
    let life = |(sent, got): (Option<Span>, Option<(Span, Span)>)| {
        let (received, acked) = got.expect("every message is received");
        Life { sent: sent.expect("every message was sent"), received, acked }
    };
    sent.into_iter().zip(got).map(life).collect()
}

#[test]
fn what_threads_saw_can_be_explained_by_a_plain_queue() {
    let seed = seed();
    let mut rng = Rng(seed);
    let histories = if is_nightly() { 100_000 } else { 1_000 };
    let (mut operations, mut overlapping) = (0u64, 0u64);
    for history in 0..histories {
        let capacity = [1, 2, 3, 4, 7, 8, 33][rng.below(7) as usize];
        let (producers, consumers) = (1 + rng.below(3), 1 + rng.below(3));
        let lives = record(capacity, producers, consumers, 40, &mut rng);
        let what = || format!("history {history} of SEED={seed}: capacity {capacity}, {producers} to {consumers}");
        assert_eq!(lives.len() as u64, producers * 40, "{}", what());
        for life in &lives {
            assert!(life.received.ended > life.sent.began, "received before it was sent: {life:?} {}", what());
        }
        if let Some((a, b)) = inversion(&lives) {
            panic!("out of order: {a:?} and then {b:?}: {}", what());
        }
        let most = most_unsettled(&lives);
        assert!(most <= capacity as i64, "{most} unsettled: {}", what());
        operations += 3 * lives.len() as u64;
        overlapping += lives.iter().filter(|life| life.received.began < life.sent.ended).count() as u64;
    }
    assert!(overlapping > 0, "sends and receipts never overlapped: nothing was tested");
    evidence(
        "recorded_histories",
        serde_json::json!({ "histories": histories, "operations": operations, "overlapping": overlapping, "seed": seed }),
    );
}

#[test]
fn the_check_finds_what_is_wrong() {
    let span = |began| Span { began, ended: began + 1 };
    let life = |sent, received| Life { sent: span(sent), received: span(received), acked: span(received + 2) };
    assert!(inversion(&[life(0, 10), life(2, 14)]).is_none());
    assert!(inversion(&[life(0, 14), life(2, 10)]).is_some());
    assert!(inversion(&[life(0, 14), life(1, 10)]).is_none(), "sends that overlap have no order");
    assert!(inversion(&[life(0, 10), life(2, 9)]).is_none(), "nor have receipts that do");
    assert_eq!(most_unsettled(&[life(0, 10), life(2, 14), life(20, 30)]), 2);
}
