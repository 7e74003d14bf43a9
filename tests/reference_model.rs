//! T11: whatever is done to a queue, it does what a plain model of it does.
//!
//! proptest draws settings and a hundred operations; each is done to a real queue on a [`ManualClock`] and to the model
//! below, a few lists and a number for the time. After every step everything that can be seen of the queue is compared:
//! answers, hand-overs, figures, dead letters, unsent records, receipts, events.
//!
//! The model is told nothing about the queue but its answers, and leaves open only what the guarantees leave open: which
//! ready redelivery comes next, whether a redelivery or a first delivery comes next, and in which order leases end that
//! end in the same millisecond. The order of what falls due in one millisecond is: leases of first deliveries, then
//! everything else in the order in which it was set. What a retry budget and a breaker change is in
//! `reference_model/protect.rs`.
//!
//! `SEED=…` draws other cases, `REDELIVER_TIER=nightly` many more.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it writes evidence")]

#[path = "reference_model/case.rs"]
mod case;
#[path = "reference_model/check.rs"]
mod check;
#[path = "reference_model/choice.rs"]
mod choice;
#[path = "reference_model/model.rs"]
mod model;
#[path = "reference_model/protect.rs"]
mod protect;
#[path = "reference_model/settle.rs"]
mod settle;
mod support;
#[path = "reference_model/world.rs"]
mod world;

use case::*;
use check::*;
use choice::*;
use model::*;
use protect::*;
use world::*;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestError, TestRng, TestRunner};
use redeliver::{
    Attempt, Batch, Breaker, BreakerState, Cause, Consumer, Decision, Delivery, Event, Exponential, Filter, Fixed,
    Headers, Immediate, Linear, ManualClock, MessageId, Never, Producer, Queue, QueueBuilder, Rate, Receipt,
    ReceiptError, RecvTimeoutError, RetryBudget, RetryPolicy, RetryPolicyExt, SendErrorKind, SettleErrorKind,
    TryRecvError, policy_fn,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};
use support::{evidence, is_nightly, leak, seed};

const FULL: &str = "the queue was full";
const CLOSED: &str = "the queue was closed before there was room";
const EXPIRED: &str = "the lease expired";
const DROPPED: &str = "the delivery was dropped without being settled";
/// A built-in policy that nobody limits ends after so many attempts.
const DEFAULT_ATTEMPTS: u32 = 16;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

thread_local! {
    /// How often what was done. All cases run on one thread.
    static HITS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

fn hit(what: &'static str) {
    HITS.with_borrow_mut(|hits| *hits.entry(what).or_default() += 1);
}
/// What must have happened in every run, or it proves little.
const CLASSES: &[&str] = &[
    "send accepted",
    "send full",
    "send closed",
    "send_batch",
    "submit unsent",
    "resend",
    "resend accepted",
    "resend ledger full",
    "given up",
    "closed while unsent",
    "first delivery",
    "redelivery",
    "batch",
    "batch split",
    "batch dropped",
    "ack",
    "ack_all",
    "nack",
    "nack_all",
    "nack_after",
    "snooze",
    "reject",
    "into_message",
    "shared",
    "drop",
    "late drop",
    "leak",
    "extend",
    "stale extend",
    "keep_alive",
    "kept for good",
    "stale settle",
    "lease lost",
    "pinned",
    "dead letter",
    "parked",
    "parked found room",
    "discarded",
    "redrive",
    "redrive of nothing",
    "redrive of all",
    "redrive of all, in turn",
    "purge",
    "pause",
    "advance",
    "close",
    "recv empty",
    "held back",
    "retry without a balance",
    "circuit opened",
    "circuit half-open",
    "circuit closed again",
    "probe",
    "probe failed",
    "recv closed",
];

static STEPS: AtomicU64 = AtomicU64::new(0);

/// A step that waits for ever would otherwise say nothing at all.
fn abort_when_stuck() {
    std::thread::spawn(|| {
        let (mut last, mut idle) = (u64::MAX, 0);
        while idle < 10 {
            std::thread::sleep(Duration::from_secs(10));
            let steps = STEPS.load(SeqCst);
            idle = if steps == last { idle + 1 } else { 0 };
            last = steps;
        }
        eprintln!("stuck in step {last}: SEED={} cargo test --test reference_model", seed());
        std::process::abort();
    });
}

#[test]
fn whatever_is_done_to_a_queue_it_does_what_the_model_does() {
    let cases = match (is_nightly(), cfg!(debug_assertions)) {
        (true, _) => 1_000_000,
        (false, true) => 300,
        (false, false) => 2_000,
    };
    let len = if is_nightly() { 200 } else { 100 };
    let regressions = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/reference_model.txt");
    let config = Config {
        cases,
        // A planted bug is no regression, and need not be made small.
        failure_persistence: if cfg!(planted) {
            None
        } else {
            Some(Box::new(FileFailurePersistence::Direct(regressions)))
        },
        max_shrink_iters: if cfg!(planted) { 0 } else { 20_000 },
        ..Config::default()
    };
    abort_when_stuck();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let mut steps = 0u64;
    let steps_cell = RefCell::new(&mut steps);
    let case = (knobs(), proptest::collection::vec(ops(), 1..2 * len)); // `len` on average; fewer, so that it can shrink
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {})); // shrinking fails hundreds of times; the smallest case says why
    let result = runner.run(&case, |(knobs, ops)| {
        let mut world = World::new(&knobs);
        for op in ops {
            world.step(op);
            STEPS.fetch_add(1, SeqCst);
            **steps_cell.borrow_mut() += 1;
        }
        world.end();
        Ok(())
    });
    std::panic::set_hook(loud);
    match result {
        Err(TestError::Fail(why, (knobs, ops))) => {
            panic!("SEED={} cargo test --test reference_model\n{why}\n{knobs:?}\n{ops:?}", seed())
        }
        other => other.expect("cases can be drawn"),
    }
    let hits = HITS.with_borrow(BTreeMap::clone);
    evidence(
        "reference_model",
        serde_json::json!({ "seed": seed(), "cases": cases, "operations": steps, "happened": hits }),
    );
    for class in CLASSES {
        assert!(hits.contains_key(class), "`{class}` never happened");
    }
}
