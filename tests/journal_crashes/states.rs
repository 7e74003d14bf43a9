//! Every state that a crash can leave: the disk after each call of a script, with each loss.

use crate::checker::{Ending, check};
use crate::run::Run;
use crate::scripts::Script;
use crate::support::Rng;
use redeliver::storage::{Loss, SimulatedDisk};
use std::collections::{BTreeMap, HashSet};

/// How a story ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Kill,
    Cut(Loss),
}

impl End {
    pub(crate) fn of(&self, disk: &SimulatedDisk) -> SimulatedDisk {
        match self {
            End::Kill => disk.kill(),
            End::Cut(loss) => disk.after_power_cut(loss),
        }
    }

    pub(crate) fn keeps_cache(&self) -> bool {
        matches!(self, End::Kill | End::Cut(Loss::Nothing))
    }

    pub(crate) fn class(&self) -> &'static str {
        match self {
            End::Kill => "kill",
            End::Cut(Loss::Nothing) => "nothing lost",
            End::Cut(Loss::Everything) => "everything lost",
            End::Cut(Loss::Suffix { .. }) => "the first arrived",
            End::Cut(Loss::AllBut(_)) => "one arrived",
            End::Cut(Loss::Only(_)) => "one lost",
            End::Cut(Loss::SizeWithoutData) => "size without data",
            End::Cut(Loss::TornLast { .. }) => "last torn",
            End::Cut(Loss::LastUpTo(_)) => "last up to",
            End::Cut(_) => "random",
        }
    }

    /// What a line that replays it says.
    pub(crate) fn label(&self) -> String {
        format!("{self:?}").replace(' ', "")
    }

    /// All that can be enumerated.
    pub(crate) fn each(disk: &SimulatedDisk) -> impl Iterator<Item = End> {
        std::iter::once(End::Kill).chain(Loss::each(disk.unsynced()).map(End::Cut))
    }
}

pub(crate) const CLASSES: &[&str] = &[
    "kill",
    "nothing lost",
    "everything lost",
    "the first arrived",
    "one arrived",
    "one lost",
    "size without data",
    "last torn",
    "last up to",
    "random",
];

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) by_class: BTreeMap<String, u64>,
    pub(crate) by_script: BTreeMap<String, u64>,
    pub(crate) states: u64,
    /// Of the same bytes as one before, with the same promises: not opened again, and not counted.
    pub(crate) duplicates: u64,
    /// What else has happened, and how often.
    pub(crate) happened: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(crate) fn count(&mut self, script: &str, class: &str) {
        self.states += 1;
        *self.by_class.entry(class.into()).or_default() += 1;
        *self.by_script.entry(script.into()).or_default() += 1;
    }
}

/// What a failure is replayed with.
pub(crate) struct Only {
    script: Option<String>,
    op: Option<u64>,
    state: Option<String>,
}

impl Only {
    pub(crate) fn asked() -> Only {
        let var = |name| std::env::var(name).ok();
        Only { script: var("SCRIPT"), op: var("OP").and_then(|op| op.parse().ok()), state: var("STATE") }
    }

    pub(crate) fn is_all(&self) -> bool {
        self.script.is_none() && self.op.is_none() && self.state.is_none()
    }

    pub(crate) fn script(&self, name: &str) -> bool {
        self.script.as_ref().is_none_or(|only| only == name)
    }

    pub(crate) fn op(&self, op: u64) -> bool {
        self.op.is_none_or(|only| only == op)
    }

    pub(crate) fn state(&self, label: impl FnOnce() -> String) -> bool {
        self.state.as_ref().is_none_or(|only| *only == label())
    }
}

/// The script, once, with every moment of its disk.
pub(crate) fn recorded(script: &Script) -> Run {
    let mut run = Run::new(script, SimulatedDisk::new());
    run.record();
    run.go(script).unwrap_or_else(|why| panic!("SCRIPT='{}': {why}", script.name));
    run
}

/// One in so many draws.
pub(crate) fn is_drawn(rng: &mut Rng, one_in: u64) -> bool {
    one_in <= 1 || rng.below(one_in) == 0
}

/// One in `one_in` ends of every moment that can be enumerated, and random ones until there are `wanted` states.
pub(crate) fn every_state(script: &Script, one_in: u64, wanted: u64, seed: u64, only: &Only, counts: &mut Counts) {
    let mut rng = Rng(seed);
    let run = recorded(script);
    let moments = run.moments.as_deref().unwrap_or_default();
    // When the list changes, the same bytes must pass again.
    let promises = promises(&run);
    let mut seen = HashSet::new();
    let before = counts.states;
    let mut try_one = |op: u64, end: End, counts: &mut Counts| {
        if !only.op(op) || !only.state(|| end.label()) {
            return;
        }
        let left = end.of(&moments[op as usize]);
        let version = promises.partition_point(|at| *at <= op);
        if !seen.insert((version, end.keeps_cache(), left.fingerprint())) {
            counts.duplicates += 1;
            return;
        }
        let ending = Ending { calls: op, keeps_cache: end.keeps_cache(), was_lied_to: false };
        if let Err(why) = check(&run.list, &left, run.settings, ending, op ^ 0x5a17) {
            panic!("{why}\nSEED={seed} SCRIPT='{}' OP={op} STATE='{}'", script.name, end.label());
        }
        counts.count(script.name, end.class());
    };
    for (op, moment) in moments.iter().enumerate() {
        for end in End::each(moment) {
            if is_drawn(&mut rng, one_in) || !only.is_all() {
                try_one(op as u64, end, counts);
            }
        }
    }
    // Few operations have few states: who finds nothing new for a while is left alone.
    let mut in_vain = vec![0; moments.len()];
    for round in 0..wanted {
        let before_round = counts.states;
        for (op, _) in moments.iter().enumerate().filter(|(_, moment)| moment.unsynced() > 0) {
            if counts.states - before >= wanted || in_vain[op] > 12 {
                continue;
            }
            let (seed, states) = (seed.wrapping_add(round << 20).wrapping_add(op as u64), counts.states);
            try_one(op as u64, End::Cut(Loss::Random(seed)), counts);
            in_vain[op] = if counts.states > states { 0 } else { in_vain[op] + 1 };
        }
        if counts.states == before_round && round > 12 {
            break;
        }
    }
}

/// When something of the list changes.
fn promises(run: &Run) -> Vec<u64> {
    let times = run
        .list
        .items
        .iter()
        .flat_map(|item| [item.appended, item.written, item.synced, item.full, item.gone, item.released]);
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times.dedup();
    times
}
