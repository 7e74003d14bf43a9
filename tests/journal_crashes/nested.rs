//! Crashes of the opening that follows a crash, and of the one that follows that.

use crate::checker::{Ending, Groups, check, open};
use crate::run::Run;
use crate::scripts::Script;
use crate::states::{Counts, End, Only, is_drawn, recorded};
use crate::support::Rng;
use redeliver::storage::{Loss, SimulatedDisk};
use std::sync::Arc;

/// So many openings in a row are crashed.
pub(crate) const DEPTH: u32 = 3;

/// One chain of crashes: where, and how each ended.
#[derive(Clone)]
struct Chain<'r> {
    run: &'r Run,
    op: u64,
    keeps_cache: bool,
    label: String,
}

/// Of the script's moments every `stride`-th, and of the states of each opening one in `one_in`.
pub(crate) fn every_recovery(
    script: &Script,
    (stride, one_in): (u64, u64),
    seed: u64,
    only: &Only,
    counts: &mut Counts,
) {
    let run = recorded(script);
    let moments = run.moments.as_deref().unwrap_or_default();
    let mut rng = Rng(seed);
    for (op, moment) in moments.iter().enumerate().skip((seed % stride) as usize).step_by(stride as usize) {
        let random = Loss::Random(rng.draw());
        for end in [End::Kill, End::Cut(Loss::Everything), End::Cut(Loss::SizeWithoutData), End::Cut(random)] {
            let drawn = rng.draw();
            let chain = Chain { run: &run, op: op as u64, keeps_cache: end.keeps_cache(), label: end.label() };
            let is_asked = only.op(op as u64) && only.state(|| chain.label.clone());
            if is_asked && let Err(why) = crash_the_opening(&chain, &end.of(moment), one_in, 1, drawn, counts, script) {
                panic!("{why}\nSEED={seed} SCRIPT='{}' OP={op} STATE='{}'", script.name, chain.label);
            }
        }
    }
}

fn crash_the_opening(
    chain: &Chain<'_>,
    disk: &SimulatedDisk,
    one_in: u64,
    depth: u32,
    seed: u64,
    counts: &mut Counts,
    script: &Script,
) -> Result<(), String> {
    let (settings, mut rng) = (chain.run.settings, Rng(seed));
    // A disk of which nothing is unsynced is the same after every crash of its opening, but for the salts.
    let is_settled = disk.unsynced() == 0;
    let crashed = disk.kill();
    crashed.set_room(u64::MAX);
    crashed.record_moments();
    let first =
        open(Arc::new(crashed.clone()), settings, rng.draw()).map_err(|error| format!("does not open: {error}"))?;
    let moments = crashed.take_moments();
    let wanted = bodies(&first.told);
    for (call, moment) in moments.iter().enumerate() {
        let mut ends = vec![End::Kill, End::Cut(Loss::Everything), End::Cut(Loss::Nothing)];
        ends.extend((0..moment.unsynced()).flat_map(|n| [End::Cut(Loss::Only(n)), End::Cut(Loss::AllBut(n))]));
        ends.extend((0..2).map(|_| End::Cut(Loss::Random(rng.draw()))));
        // Deeper down there are too many to try all of them.
        if depth > 1 {
            let at = rng.below(ends.len() as u64) as usize;
            ends = vec![ends.swap_remove(at)];
        }
        for end in ends {
            if !is_drawn(&mut rng, one_in) {
                continue;
            }
            let left = end.of(moment);
            let keeps_cache = chain.keeps_cache && end.keeps_cache();
            let within = |why: String| format!("{why}\\n  depth {depth}, call {call} of the opening, {end:?}");
            if depth < DEPTH && rng.below(24) == 0 {
                let next = Chain { keeps_cache, ..chain.clone() };
                crash_the_opening(&next, &left, one_in, depth + 1, rng.draw(), counts, script).map_err(within)?;
            }
            // What the opening has told before it was crashed is no promise yet.
            let ending = Ending { calls: chain.op, keeps_cache, was_lied_to: false };
            let told = check(&chain.run.list, &left, settings, ending, rng.draw()).map_err(within)?;
            if is_settled || end.keeps_cache() {
                let found = bodies(&told);
                if found != wanted {
                    return Err(within(format!(
                        "{} groups are told, and {} without the crash",
                        found.len(),
                        wanted.len()
                    )));
                }
            }
            counts.count(script.name, &format!("depth {depth}, {}", end.class()));
        }
    }
    Ok(())
}

fn bodies(told: &Groups) -> Vec<Vec<u8>> {
    told.iter().flatten().map(|record| record.body.clone()).collect()
}
