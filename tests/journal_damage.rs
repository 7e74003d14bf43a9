//! T6: damage. A journal that holds everything a journal can hold is damaged in one place, in every way that a disk, a
//! file system or a person has: bits, sectors, stretches, lengths, names. Then it is opened.
//!
//! Either it does not open, says which file is at fault, and has changed nothing; or it tells all that was written but for
//! what lies in the damaged place, and the group of that, and says where. What is damaged stays on the disk. It never
//! panics, tells nothing that was not written, and loses nothing in silence. Behind the last commit mark, where rot and a
//! write that was cut short cannot be told apart, it may end at the damage, and keeps what it cuts off.
//!
//! Every 61st bit is flipped, and in the nightly tier each. A failure prints what was done; `SEED=…` is the journal's.
#![cfg(feature = "store")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test is the outside: it takes a time, starts threads, writes evidence"
)]

#[path = "journal_damage/found_once.rs"]
mod found_once;
#[path = "journal_damage/hurt.rs"]
mod hurt;
#[path = "journal_damage/layout.rs"]
mod layout;
#[path = "journal_damage/story.rs"]
mod story;
mod support;
#[path = "journal_damage/verdict.rs"]
mod verdict;

use hurt::Hurt;
use layout::What;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use story::{Story, number, segment};
use support::{evidence, is_nightly, seed};

/// How many of each kind of damage had each outcome.
type Counts = BTreeMap<&'static str, BTreeMap<&'static str, u64>>;

static COUNTS: Mutex<BTreeMap<&'static str, Counts>> = Mutex::new(BTreeMap::new());

/// Does all of it, each to a copy of its own, and counts what became of them under this name.
fn all(name: &'static str, story: &Story, other: &Story, hurts: &[Hurt]) -> Counts {
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(Counts::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut mine = Counts::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(hurt) = hurts.get(n) else { break };
                    let outcome =
                        catch_unwind(AssertUnwindSafe(|| verdict::judge(story, other, hurt, n.is_multiple_of(16))));
                    let Ok(outcome) = outcome else { panic!("{name}, SEED={}: {hurt:?}", seed()) };
                    *mine.entry(hurt.kind()).or_default().entry(outcome).or_default() += 1;
                }
                let mut counts = counts.lock().unwrap();
                for (kind, outcomes) in mine {
                    for (outcome, n) in outcomes {
                        *counts.entry(kind).or_default().entry(outcome).or_default() += n;
                    }
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap();
    let mut facts = COUNTS.lock().unwrap();
    facts.insert(name, counts.clone());
    evidence("journal_damage", serde_json::json!({ "seed": seed(), "nightly": is_nightly(), "counts": *facts }));
    counts
}

fn step(ci: usize) -> usize {
    match (is_nightly(), cfg!(debug_assertions)) {
        (true, _) => 1,
        (false, false) => ci,
        (false, true) => ci * 40 + 1,
    }
}

fn closed() -> (Story, Story) {
    (Story::write(seed(), 64 << 10, true), Story::write(seed() + 100, 64 << 10, true))
}

#[test]
fn the_journal_has_everything() {
    let story = Story::write(0x5eed, 64 << 10, true);
    let wanted = [
        What::Header,
        What::Padding,
        What::FrameHead,
        What::Mark,
        What::Table,
        What::Freed,
        What::Held,
        What::Effect,
        What::InGroup,
        What::Void,
    ];
    assert_eq!(story.kinds().into_iter().collect::<Vec<_>>(), wanted);
    assert!(
        story.layouts.len() >= 4 && story.layouts.values().any(|layout| layout.is_recycled),
        "{:?}",
        story.files.keys()
    );
    let last = &story.layouts[&story.last()];
    assert!(last.spans.iter().any(|span| span.what == What::Freed), "the last one says what is gone");
    assert!(story.told.len() > 60);
}

#[test]
fn bits() {
    let (story, other) = closed();
    let mut hurts = Vec::new();
    for (&segment, layout) in &story.layouts {
        let (end, bits) = (layout.end as u64 * 8, story.files[&story::segment(segment)].len() as u64 * 8);
        hurts.extend((0..end).step_by(step(61)).map(|bit| Hurt::Flip { segment, bit }));
        hurts.extend((end..bits).step_by(step(499)).map(|bit| Hurt::Flip { segment, bit }));
        // All of what says what and where something is.
        for span in &layout.spans {
            let head = match span.what {
                What::Header => 64,
                What::FrameHead | What::Mark => 40,
                What::Padding | What::Void => continue,
                _ => 16,
            };
            let each = span.range.clone().take(head).step_by(if span.what == What::Header { 1 } else { step(3) });
            hurts.extend(each.map(|at| Hurt::Byte { segment, at, xor: 1 << (at % 8) }));
        }
    }
    let counts = all("closed: bits", &story, &other, &hurts);
    let lost = counts["a bit flipped"].get("reported, and what was hit is lost");
    assert_eq!(lost, None, "one bit is one record");
}

#[test]
fn sectors() {
    let (story, other) = closed();
    let mut hurts = Vec::new();
    for (&segment, layout) in &story.layouts {
        let sectors = (0..layout.end.next_multiple_of(512)).step_by(512);
        for at in sectors.clone().step_by(step(2)) {
            hurts.extend([0, 0xff].map(|with| Hurt::Fill { segment, at, bytes: 512, with }));
            for distance in [512, 1024, 4096, 20_480] {
                if at + distance < layout.end.next_multiple_of(512) {
                    hurts.push(Hurt::Swap { segment, at, other: at + distance });
                }
            }
        }
        hurts.extend((0..layout.end).step_by(4096).map(|at| Hurt::Fill { segment, at, bytes: 4096, with: 0 }));
    }
    all("closed: sectors", &story, &other, &hurts);
}

#[test]
fn lengths() {
    let (story, other) = closed();
    let mut hurts = Vec::new();
    for &segment in story.layouts.keys() {
        let bytes = story.files[&story::segment(segment)].len();
        hurts.extend((0..bytes).step_by(step(131)).map(|bytes| Hurt::Cut { segment, bytes }));
    }
    all("closed: lengths", &story, &other, &hurts);
}

#[test]
fn frames_in_other_places() {
    let (story, other) = closed();
    let mut hurts = Vec::new();
    let frames = |story: &Story| -> Vec<(u32, usize, usize)> {
        let mut found = Vec::new();
        for (&segment, layout) in &story.layouts {
            let heads = layout.spans.iter().filter(|span| matches!(span.what, What::FrameHead | What::Mark));
            for head in heads {
                let end = layout.spans.iter().filter(|span| span.frame == head.frame && span.what != What::Padding);
                found.push((segment, head.range.start, end.map(|span| span.range.end).max().unwrap().min(layout.end)));
            }
        }
        found
    };
    let places = frames(&story);
    for (n, &(from, at, end)) in places.iter().enumerate() {
        for distance in [1, 2, 7, 40, 90].into_iter().step_by(step(1).min(2)) {
            let (to, other, _) = places[(n + distance) % places.len()];
            if other + (end - at) <= story.files[&segment(to)].len() {
                hurts.push(Hurt::Copy { from, at, bytes: end - at, to, other });
            }
        }
    }
    for (n, &(from, at, end)) in frames(&other).iter().enumerate() {
        let (to, place, _) = places[n % places.len()];
        for (to, other) in [(to, place), (story.last(), at)] {
            if other + (end - at) <= story.files[&segment(to)].len() {
                hurts.push(Hurt::Splice { from, at, bytes: end - at, to, other });
            }
        }
    }
    all("closed: frames in other places", &story, &other, &hurts);
}

#[test]
fn files() {
    let (story, other) = closed();
    let mut hurts = Vec::new();
    let other_names = [
        "0000000001.segment",
        "0000000002.segment",
        "0000000077.segment",
        "4294967295.segment",
        "0000000077.spare",
        "0000000077.torn",
        "0000000077.damaged",
        "0000000077.segment.new",
        "reserve",
        "reserve.new",
        "closed",
        "store",
        "lock",
        ".hidden",
        "notes.txt",
        "77.segment",
        "4294967296.segment",
    ];
    for name in story.files.keys() {
        hurts.push(Hurt::Remove { name: name.clone() });
        hurts.push(Hurt::Empty { name: name.clone() });
        if other.files.contains_key(name) {
            hurts.push(Hurt::Foreign { name: name.clone() });
        }
        for to in other_names.iter().filter(|to| *to != name) {
            hurts.push(Hurt::Rename { name: name.clone(), to: (*to).into() });
            if !story.files.contains_key(*to) {
                hurts.push(Hurt::Double { name: name.clone(), to: (*to).into() });
            }
        }
        let old = story.moments.iter().enumerate().filter(|(_, moment)| moment.bytes(name).is_ok());
        hurts.extend(old.map(|(moment, _)| Hurt::Replay { name: name.clone(), moment }));
        if number(name).is_none() && name != "lock" && name != "reserve" {
            hurts.extend((0..4096).step_by(step(5)).map(|at| Hurt::Small { name: name.clone(), at, bytes: 1 }));
            hurts.extend([0, 1024, 2048].map(|at| Hurt::Small { name: name.clone(), at, bytes: 2048 }));
            hurts.push(Hurt::Small { name: name.clone(), at: 0, bytes: 4096 });
        }
    }
    hurts.extend(["notes.txt", ".DS_Store", "lost+found"].map(|name| Hurt::Put { name: name.into() }));
    hurts.extend(["0000000088.spare", "0000000088.torn", "store.new"].map(|name| Hurt::Put { name: name.into() }));
    hurts.push(Hurt::Put { name: "0000000088.segment".into() });
    all("closed: files", &story, &other, &hurts);
}

/// Nobody has closed it: behind the last commit mark it may end at the damage.
#[test]
fn after_a_kill() {
    let (story, other) = (Story::write(seed() + 7, 64 << 10, false), Story::write(seed() + 8, 64 << 10, false));
    let mut hurts = Vec::new();
    for (&segment, layout) in &story.layouts {
        let end = (layout.end + 1024).min(story.files[&story::segment(segment)].len());
        let bits = if segment == story.last() { step(53) } else { step(501) };
        hurts.extend((0..end as u64 * 8).step_by(bits).map(|bit| Hurt::Flip { segment, bit }));
        hurts.extend((0..end).step_by(step(113)).map(|bytes| Hurt::Cut { segment, bytes }));
        for at in (0..end / 512 * 512).step_by(512) {
            hurts.extend([0, 0xff].map(|with| Hurt::Fill { segment, at, bytes: 512, with }));
        }
    }
    all("killed", &story, &other, &hurts);
}

/// A group that takes several frames, and frames that are full.
#[test]
fn large_segments() {
    let (story, other) = (Story::write(seed() + 9, 256 << 10, true), Story::write(seed() + 10, 256 << 10, true));
    let mut hurts = Vec::new();
    for (&segment, layout) in &story.layouts {
        hurts.extend((0..layout.end as u64 * 8).step_by(step(997)).map(|bit| Hurt::Flip { segment, bit }));
        let heads = layout.spans.iter().filter(|span| matches!(span.what, What::FrameHead | What::Mark));
        hurts.extend(heads.map(|span| Hurt::Byte { segment, at: span.range.start + 9, xor: 16 }));
        for at in (0..layout.end / 512 * 512).step_by(512).step_by(step(5)) {
            hurts.push(Hurt::Fill { segment, at, bytes: 512, with: 0 });
        }
    }
    all("closed: large segments", &story, &other, &hurts);
}
