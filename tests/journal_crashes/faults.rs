//! Every call of every script fails once, in every way; and then the story goes on, or the process or the power ends it.

use crate::checker::{Ending, check, open};
use crate::run::{Opening, Run};
use crate::scripts::{Script, Step};
use crate::states::{Counts, End, Only, recorded};
use redeliver::storage::{AfterFailedFlush, Call, Fault, Loss, SimulatedDisk};
use std::sync::Arc;

/// What fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Errno(&'static str, i32),
    Short(usize),
    Flush(AfterFailedFlush),
}

const EINTR: i32 = 4;
const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

pub(crate) const KINDS: &[Kind] = &[
    Kind::Errno("EIO", EIO),
    Kind::Errno("ENOSPC", ENOSPC),
    Kind::Errno("EINTR", EINTR),
    Kind::Errno("EROFS", EROFS),
    Kind::Errno("EMFILE", EMFILE),
    Kind::Short(7),
    Kind::Short(600),
    Kind::Flush(AfterFailedFlush::CleanAndNew),
    Kind::Flush(AfterFailedFlush::Reverted),
    Kind::Flush(AfterFailedFlush::OneLate),
];

impl Kind {
    pub(crate) fn name(&self) -> String {
        match self {
            Kind::Errno(name, _) => (*name).into(),
            Kind::Short(bytes) => format!("short-{bytes}"),
            Kind::Flush(pages) => format!("flush-{pages:?}"),
        }
    }

    pub(crate) fn fault(self, at: u64, is_for_good: bool) -> Fault {
        let fault = match self {
            Kind::Errno(_, errno) => Fault::errno(at, errno),
            Kind::Short(bytes) => Fault::short(at, bytes).on(ALL),
            Kind::Flush(pages) => Fault::errno(at, EIO).pages(pages),
        };
        if is_for_good { fault.for_good() } else { fault }
    }

    /// It must not be noticed.
    fn is_harmless(self, call: Call) -> bool {
        matches!(self, Kind::Short(_)) || self == Kind::Errno("EINTR", EINTR) && !Call::FLUSHES.contains(&call)
    }
}

/// A fault that transfers less counts all calls, so that it has the numbers of the others.
const ALL: &[Call] = &[
    Call::Open,
    Call::Create,
    Call::List,
    Call::Rename,
    Call::Remove,
    Call::FlushNames,
    Call::Lock,
    Call::ReadAt,
    Call::WriteAt,
    Call::Flush,
    Call::Truncate,
    Call::Allocate,
    Call::Size,
];

/// Every `stride`-th call of the script, with each fault; failed flushes all.
pub(crate) fn every_fault(script: &Script, stride: u64, seed: u64, only: &Only, counts: &mut Counts) {
    let clean = recorded(script);
    let moments = clean.moments.as_deref().unwrap_or_default();
    let known = openings(&clean, moments);
    let calls = clean.log.as_ref().map(|log| log.lock().unwrap().clone()).unwrap_or_default();
    assert_eq!(calls.len() as u64, clean.calls(), "every call is known");
    let has_limit = script.steps.iter().any(|step| matches!(step, Step::Room(_)));
    for (nth, kind) in KINDS.iter().enumerate() {
        for (op, call) in calls.iter().copied().enumerate() {
            let op = op as u64;
            let is_due = match kind {
                Kind::Flush(_) => Call::FLUSHES.contains(&call) && (op + seed).is_multiple_of(stride.div_ceil(30)),
                _ => (op + nth as u64 + seed).is_multiple_of(stride),
            };
            for is_for_good in [false, true] {
                // A signal that never stops coming is no signal; and byte by byte it takes for ever.
                let is_endless =
                    is_for_good && matches!(kind, Kind::Errno("EINTR", _) | Kind::Short(7) | Kind::Flush(_));
                let name = format!("{},{}", kind.name(), if is_for_good { "for good" } else { "once" });
                if !is_due || is_endless || !only.op(op) || !only.state(|| name.clone()) {
                    continue;
                }
                crate::watch::beat(|| format!("SEED={seed} SCRIPT='{}' OP={op} STATE='{name}'", script.name));
                let mut run = Run::new(script, SimulatedDisk::new());
                run.known.clone_from(&known);
                run.has_liar = *kind == Kind::Flush(AfterFailedFlush::OneLate);
                run.plan(op, *kind, is_for_good);
                let done = run.go(script).and_then(|()| {
                    let happened = [
                        ("poisoned", run.poisonings),
                        ("told full", run.fulls),
                        ("refused", run.refusals),
                        ("an opening failed", run.failed_openings),
                        ("and has changed nothing", run.unchanged_openings),
                    ];
                    for (what, times) in happened {
                        *counts.happened.entry(what).or_default() += times;
                    }
                    one_fault(&run, &clean, *kind, call, is_for_good, has_limit)?;
                    ends(run, seed ^ op, |end| counts.count(script.name, &format!("{name}, then {end}")))
                });
                if let Err(why) = done {
                    panic!("{why}\nSEED={seed} SCRIPT='{}' OP={op} STATE='{name}'", script.name);
                }
            }
        }
    }
}

/// Where each opening of the run without faults begins to change something.
fn openings(clean: &Run, moments: &[SimulatedDisk]) -> Vec<Opening> {
    let first_change = |opening: &Opening| {
        let print = moments[opening.from as usize].fingerprint();
        (opening.from..=opening.to).find(|at| moments[*at as usize].fingerprint() != print)
    };
    clean
        .openings
        .iter()
        .map(|opening| Opening { first_change: first_change(opening).unwrap_or(0), ..*opening })
        .collect()
}

/// What the run itself must have been like.
fn one_fault(run: &Run, clean: &Run, kind: Kind, call: Call, is_for_good: bool, has_limit: bool) -> Result<(), String> {
    let told = (run.poisonings, run.refusals, run.failed_openings, run.fulls);
    if kind.is_harmless(call) && !is_for_good && told != (0, 0, clean.failed_openings, clean.fulls) {
        return Err(format!("{} is noticed: {told:?}", kind.name()));
    }
    let is_full =
        kind == Kind::Errno("ENOSPC", ENOSPC) && matches!(call, Call::WriteAt | Call::Allocate) && !is_for_good;
    if is_full && !has_limit && run.poisonings > 0 {
        return Err(format!("a full disk poisons: {told:?}"));
    }
    if run.calls() > 20 * clean.calls() + 1000 && kind != Kind::Short(600) {
        return Err(format!("{} calls, and {} without the fault", run.calls(), clean.calls()));
    }
    Ok(())
}

/// The ends of the story: whatever was confirmed is there.
fn ends(mut run: Run, seed: u64, mut count: impl FnMut(&str)) -> Result<(), String> {
    run.disk.heal();
    let calls = run.calls();
    let mut one = |run: &Run, end: End, name: &str| {
        let left = end.of(&run.disk);
        let was_lied_to = run.was_lied_to || run.has_liar && !matches!(end, End::Kill);
        let ending = Ending { calls, keeps_cache: end.keeps_cache(), was_lied_to };
        // After a lie the power must not fail in what follows either.
        let seed = if run.has_liar { 1 } else { seed };
        if run.has_liar {
            // The error that comes late may meet this one.
            drop(open(Arc::new(left.clone()), run.settings, seed));
        }
        check(&run.list, &left, run.settings, ending, seed).map_err(|why| format!("{why}\n  in the end: {name}"))?;
        count(name);
        Ok::<_, String>(())
    };
    one(&run, End::Kill, "kill")?;
    one(&run, End::Cut(Loss::Everything), "cut")?;
    one(&run, End::Cut(Loss::Random(seed)), "cut at random")?;
    // The last handle closes it.
    run.journal = None;
    one(&run, End::Kill, "close")
}
