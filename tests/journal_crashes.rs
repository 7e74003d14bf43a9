//! The journal on a disk that does its worst, on one thread and always the same way: a crash at every storage call with
//! every loss, crashes of the recovery from that, and every call failing in every way.
//!
//! | to understand | read |
//! |---|---|
//! | what happens to the journal | `scripts.rs`, and `run.rs`, which does it |
//! | what was appended and promised | `list.rs`: a list of its own, kept outside of the disk |
//! | what must hold after a crash | `checker.rs` |
//! | which states are tried | `states.rs` (crashes), `nested.rs` (crashes of recoveries), `faults.rs` (calls that fail) |
//! | single stories | `named.rs` |
//!
//! A failure prints the line that replays it: give these variables to the test that printed them. What was tried is counted
//! in `target/evidence/journal_crashes.json`, `journal_recoveries.json` and `journal_faults.json`; a run in which a kind of
//! loss or fault never came fails. `SEED=…` is the seed of what is drawn; `REDELIVER_TIER=nightly` tries far more.
#![cfg(feature = "store")]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it writes evidence, and watches the time")]

#[path = "journal_crashes/calls.rs"]
mod calls;
#[path = "journal_crashes/checker.rs"]
mod checker;
#[path = "journal_crashes/faults.rs"]
mod faults;
#[path = "journal_crashes/list.rs"]
mod list;
#[path = "journal_crashes/named.rs"]
mod named;
#[path = "journal_crashes/nested.rs"]
mod nested;
#[path = "journal_crashes/run.rs"]
mod run;
#[path = "journal_crashes/scripts.rs"]
mod scripts;
#[path = "journal_crashes/states.rs"]
mod states;
mod support;
#[path = "journal_crashes/watch.rs"]
mod watch;

use scripts::Script;
use states::{Counts, Only};
use std::time::Instant;
use support::{evidence, is_nightly, seed};

/// Of the nightly run, of debug builds, of release builds, and of those that look for what is planted.
fn tier<T>(nightly: T, debug: T, release: T, planted: T) -> T {
    match (is_nightly(), cfg!(planted), cfg!(debug_assertions)) {
        (true, ..) => nightly,
        (false, true, _) => planted,
        (false, false, true) => debug,
        (false, false, false) => release,
    }
}

/// Goes through all scripts, or the one that is asked for, and leaves the counts as evidence.
fn each_script(name: &str, states_min: u64, classes: &[String], go: impl Fn(&Script, &Only, &mut Counts)) {
    let (only, mut counts, began) = (Only::asked(), Counts::default(), Instant::now());
    for script in scripts::all().iter().filter(|script| only.script(script.name)) {
        go(script, &only, &mut counts);
    }
    watch::rest();
    if !only.is_all() {
        println!("{} states, of some", counts.states);
        return;
    }
    evidence(
        name,
        serde_json::json!({
            "seed": seed(), "states": counts.states, "duplicates_left_out": counts.duplicates,
            "by_kind": counts.by_class, "by_script": counts.by_script, "happened": counts.happened,
            "build": if cfg!(debug_assertions) { "debug" } else { "release" },
            "seconds": began.elapsed().as_secs_f64(),
        }),
    );
    for class in classes {
        assert!(counts.by_class.keys().any(|key| key.contains(class)), "`{class}` never came");
    }
    assert!(counts.states >= states_min, "only {} states", counts.states);
}

#[test]
fn a_crash_at_any_call_loses_nothing_that_was_confirmed() {
    let (one_in, wanted, states_min) =
        tier((1, 200_000, 1_000_000), (30, 20, 200), (1, 10_000, 100_000), (1, 300, 3000));
    let classes: Vec<_> = states::CLASSES.iter().map(|class| (*class).to_owned()).collect();
    each_script("journal_crashes", states_min, &classes, |script, only, counts| {
        // A large segment takes longer to read.
        let wanted = if script.settings.segment_bytes > scripts::SMALL.segment_bytes { wanted / 4 } else { wanted };
        states::every_state(script, one_in, wanted, seed(), only, counts);
    });
}

#[test]
fn a_crash_of_the_recovery_changes_nothing() {
    let debug = ((150, 40), 200);
    let (stride, states_min) = tier(((1, 1), 200_000), debug, ((80, 2), 10_000), ((80, 8), 1000));
    let classes = (1..=nested::DEPTH).flat_map(|depth| {
        ["kill", "nothing lost", "everything lost", "one arrived", "one lost", "random"]
            .map(|class| format!("depth {depth}, {class}"))
    });
    // Few states of a debug build are as deep as that.
    let classes: Vec<_> = classes.filter(|class| !cfg!(debug_assertions) || class.contains("depth 1")).collect();
    each_script("journal_recoveries", states_min, &classes, |script, only, counts| {
        nested::every_recovery(script, stride, seed(), only, counts);
    });
}

#[test]
fn a_call_that_fails_costs_nothing_that_was_confirmed() {
    let (stride, states_min) = tier((1, 60_000), (500, 300), (6, 20_000), (30, 3000));
    let kinds = faults::KINDS.iter().map(faults::Kind::name);
    let ends = ["then kill", "then cut", "then cut at random", "then close", "for good"].map(str::to_owned);
    let classes: Vec<_> = kinds.chain(ends).collect();
    each_script("journal_faults", states_min, &classes, |script, only, counts| {
        faults::every_fault(script, stride, seed(), only, counts);
    });
}
