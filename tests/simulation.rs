//! T12: a seeded simulation. The production queues on one thread and one manual clock; everything else is drawn from the
//! seed: settings, policies with their jitter, how many producers and consumers there are, what handlers do, which of them
//! crash, leak or outlive their leases, how time goes, when a queue is closed.
//!
//! The oracle (`oracle.rs`) keeps its own list of what was accepted and knows what each message may do next. It asserts:
//! nothing lost, nothing invented, byte equality, never early, ready again within lease + back-off + a tick, fencing, one
//! end for each message; and that the same seed gives the same run.
//!
//! A failure prints the line that replays it. `SEED=…` is the first seed; `REDELIVER_TIER=nightly` runs many more.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it writes evidence")]

#[path = "simulation/actors.rs"]
mod actors;
#[path = "simulation/knobs.rs"]
mod knobs;
#[path = "simulation/oracle.rs"]
mod oracle;
mod support;

use actors::World;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use support::{evidence, is_nightly, seed};

/// How often what has happened.
#[derive(Default)]
pub(crate) struct Hits(BTreeMap<&'static str, u64>);

impl Hits {
    pub(crate) fn hit(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}

/// What must have happened in every run, or it proves little.
const CLASSES: &[&str] = &[
    "accepted",
    "full",
    "closed",
    "unsent",
    "resent",
    "given up",
    "first delivery",
    "redelivery",
    "batch",
    "ack",
    "nack",
    "nack_after",
    "snooze",
    "reject",
    "into_message",
    "drop",
    "panic",
    "leak",
    "extend",
    "keep_alive",
    "lease lost",
    "stale settle",
    "late drop",
    "dead letter",
    "parked",
    "discarded",
    "redrive",
    "redrive of all",
    "redrive of all, in turn",
    "purge",
    "paused",
    "clock step below a millisecond",
    "clock step of an hour",
    "queue closed",
    "several queues",
    "breaker opened",
    "breaker half-opened",
    "breaker closed",
    "delivered while half-open",
];

#[test]
fn no_seed_loses_invents_hastens_or_settles_a_message_twice() {
    let seeds = match (is_nightly(), cfg!(debug_assertions)) {
        (true, _) => 100_000,
        (false, true) => 200,
        (false, false) => 500,
    };
    let mut hits = Hits::default();
    let (mut steps, mut messages, mut trace) = (0, 0, 0);
    for seed in seed()..seed() + seeds {
        let mut run = || {
            let mut world = World::new(seed);
            world.run();
            world.end(&mut hits)
        };
        let twice = catch_unwind(AssertUnwindSafe(|| (run(), run())));
        let (first, second) = twice.unwrap_or_else(|panic| {
            eprintln!("SEED={seed} cargo test --test simulation");
            resume_unwind(panic)
        });
        assert_eq!(first, second, "two runs differ: SEED={seed} cargo test --test simulation");
        steps += first.steps;
        messages += first.messages;
        trace ^= first.trace.rotate_left((seed % 64) as u32);
    }
    evidence(
        "simulation",
        serde_json::json!({
            "first_seed": seed(), "seeds": seeds, "steps": steps, "messages": messages,
            "trace": format!("{trace:016x}"), "happened": hits.0,
        }),
    );
    for class in CLASSES {
        assert!(hits.0.contains_key(class), "`{class}` never happened");
    }
}
