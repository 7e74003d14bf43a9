//! What may become of a damaged directory, and whether that is what became of it.

use crate::hurt::Hurt;
use crate::layout::{BLOCK, Span, What};
use crate::story::{Group, Story, Told, number, open};
use redeliver::internals::{OpenError, RecoveryReport, Tail};
use redeliver::storage::SimulatedDisk;
use std::ops::Range;

/// How it ended, as the evidence counts it.
pub(crate) type Outcome = &'static str;

pub(crate) fn judge(story: &Story, other: &Story, hurt: &Hurt, is_thorough: bool) -> Outcome {
    let disk = hurt.done(story, other);
    let before = disk.kill();
    match open(&disk, story.settings) {
        Err(error) => refused(story, hurt, &error, &before, &disk),
        Ok((journal, report, told)) => {
            let outcome = opened(story, hurt, &before, &disk, &report, &told);
            if is_thorough {
                again(story, &disk, journal, &report, &told);
            }
            outcome
        }
    }
}

/// It says which file is at fault, and has touched none.
fn refused(story: &Story, hurt: &Hurt, error: &OpenError, before: &SimulatedDisk, disk: &SimulatedDisk) -> Outcome {
    let names = |disk: &SimulatedDisk| disk.names().into_iter().filter(|name| name != "lock").collect::<Vec<_>>();
    assert_eq!(names(disk), names(before), "{error}");
    for name in before.names() {
        assert!(disk.bytes(&name).unwrap() == before.bytes(&name).unwrap(), "{name} was changed: {error}");
    }
    let text = error.to_string();
    let names_it = text.contains(&format!("`{}`", hurt.file()));
    let names_its_twin =
        matches!(hurt, Hurt::Double { name, .. } | Hurt::Rename { to: name, .. } if text.contains(name));
    let names_what_is_missing = matches!(error, OpenError::Missing { file } if !story.files.contains_key(file));
    let names_what_is_left = matches!(hurt, Hurt::Foreign { name } if name == "store");
    assert!(names_it || names_its_twin || names_what_is_missing || names_what_is_left, "`{}`: {text}", hurt.file());
    match error {
        OpenError::Foreign { .. } => "refused: foreign",
        OpenError::OfAnother { .. } => "refused: of another journal",
        OpenError::Renamed { .. } => "refused: renamed",
        OpenError::Missing { .. } if names_what_is_missing => "refused: a list of what was freed is damaged",
        OpenError::Missing { .. } => "refused: missing",
        OpenError::Damaged { .. } => "refused: damaged",
        _ => panic!("{error}"),
    }
}

/// Where the file differs from what was written, in stretches that are no nearer to each other than a sector.
fn changes(old: &[u8], new: &[u8]) -> Vec<Range<usize>> {
    let mut changes: Vec<Range<usize>> = Vec::new();
    for chunk in (0..old.len().max(new.len())).step_by(512) {
        let range = |bytes: &[u8]| chunk.min(bytes.len())..(chunk + 512).min(bytes.len());
        let (one, two) = (&old[range(old)], &new[range(new)]);
        if one == two {
            continue;
        }
        let differs = |n: &usize| one.get(*n) != two.get(*n);
        let from = chunk + (0..512).find(differs).unwrap();
        let to = chunk + (0..512).rfind(differs).unwrap() + 1;
        match changes.last_mut() {
            Some(last) if from - last.end < 512 && last.end % 512 == 0 => last.end = to,
            _ => changes.push(from..to),
        }
    }
    changes
}

fn opened(
    story: &Story,
    hurt: &Hurt,
    before: &SimulatedDisk,
    disk: &SimulatedDisk,
    report: &RecoveryReport,
    told: &[Group],
) -> Outcome {
    // Nothing is told that was not written, in no other order, and no part of a group.
    let mut rest = story.told.iter().enumerate();
    let mut missing = Vec::new();
    for group in told {
        let is_it = |told: &Group| told.iter().map(Told::says).eq(group.iter().map(Told::says));
        loop {
            let Some((n, next)) = rest.next() else { panic!("told, and never written: {group:?}") };
            if is_it(next) {
                break;
            }
            missing.push(n);
        }
    }
    missing.extend(rest.map(|(n, _)| n));

    let file = hurt.file();
    let Some(segment) = number(&file).filter(|number| story.layouts.contains_key(number)) else {
        assert!(missing.is_empty() && report.damage.is_empty() && report.tail == Tail::Clean, "{report:?}");
        return "harmless";
    };
    let new = before.bytes(&file).unwrap_or_default();
    let old = &story.files[&file];
    let changes = changes(old, &new);
    // What is damaged is still there, as it is.
    assert_eq!(disk.bytes(&file).ok(), before.bytes(&file).ok(), "{file} was changed");

    let layout = &story.layouts[&segment];
    let lives = |range: &Range<usize>| {
        layout
            .of(range)
            .filter(|span| !matches!(span.what, What::Padding | What::Void | What::Header))
            .cloned()
            .collect()
    };
    let hit: Vec<Span> = changes.iter().flat_map(|range| -> Vec<Span> { lives(range) }).collect();
    if hit.is_empty() {
        assert!(missing.is_empty() && report.damage.is_empty(), "nothing was hit: {report:?}");
        if report.tail == Tail::Clean {
            return "harmless";
        }
        kept(disk, &new, report);
        return "harmless, and kept as a torn tail";
    }

    let places = joined(&hit);
    let mut allowed = story.groups_in(segment, &places);
    // A group of several frames cannot be known for whole if something in its middle is not.
    let is_across = |group: &Group| {
        let ends = [&group[0], &group[group.len() - 1]].map(|record| record.at.offset() as usize);
        group[0].at.segment() == segment && places.iter().any(|place| ends[0] < place.end && ends[1] >= place.start)
    };
    allowed.extend((0..story.told.len()).filter(|n| is_across(&story.told[*n])));
    let is_tail = segment == story.last() && hit.iter().any(|span| span.range.end > story.proven as usize);
    if let (false, true, Hurt::Cut { bytes, .. }) = (story.is_closed, segment == story.last(), hurt) {
        // As long as nobody has closed it, a crash could have left this.
        let is_behind = |record: &Told| record.at.segment() == segment && record.range().end > *bytes;
        assert!(missing.iter().all(|n| story.told[*n].iter().any(is_behind)), "{missing:?} are lost: {report:?}");
        return "told up to the cut, as after a crash";
    }
    assert!(!report.damage.is_empty() || report.kept_in.is_some() || missing.is_empty(), "lost in silence: {report:?}");
    if is_tail && report.tail != Tail::Clean {
        // Behind the last commit mark nobody can tell, and it ends there.
        let cut = kept(disk, &new, report);
        let is_behind = |record: &Told| record.at.segment() == segment && record.range().end > cut;
        allowed.extend((0..story.told.len()).filter(|n| story.told[*n].iter().any(is_behind)));
        assert!(
            missing.iter().all(|n| allowed.contains(n)),
            "{missing:?} are lost, and {allowed:?} may be: {report:?}"
        );
        return "the tail ends there, and is kept";
    }
    if report.tail != Tail::Clean {
        let cut = kept(disk, &new, report);
        assert!(cut >= layout.end, "what is cut off is padding: {report:?}");
    }
    assert!(missing.iter().all(|n| allowed.contains(n)), "{missing:?} are lost, and {allowed:?} may be: {report:?}");
    let covers = |place: &Range<usize>| {
        report.damage.iter().any(|damage| {
            damage.from.segment() == segment
                && damage.from.offset() as usize <= place.start
                && damage.to.offset() as usize >= place.end
        })
    };
    for group in &missing {
        let its = story.told[*group].iter().map(Told::range);
        let hit = its.filter(|place| changes.iter().any(|range| range.start < place.end && place.start < range.end));
        hit.for_each(|place| assert!(covers(&place), "{place:?} is lost, and not reported: {report:?}"));
    }
    for span in &hit {
        let touches = report.damage.iter().any(|damage| {
            (damage.from.offset() as usize) < span.range.end && damage.to.offset() as usize > span.range.start
        });
        assert!(touches, "{span:?} is damaged, and not reported, end {}: {report:?}", layout.end);
    }
    match missing.len() {
        0 => "reported, and everything told",
        1 => "reported, and one record or group lost",
        _ => "reported, and what was hit is lost",
    }
}

/// What is lost if these are hit: between two places of one frame, or of neighbours, nothing can be found again.
fn joined(hit: &[Span]) -> Vec<Range<usize>> {
    let is_one = |one: &Span, two: &Span| two.frame - one.frame <= 1;
    hit.chunk_by(is_one).map(|run| run[0].range.start..run[run.len() - 1].range.end).collect()
}

/// The file beside the journal holds what was cut off. Says from where on.
fn kept(disk: &SimulatedDisk, file: &[u8], report: &RecoveryReport) -> usize {
    let kept = disk.bytes(report.kept_in.as_ref().expect("what is cut off is kept")).unwrap();
    let (place, bytes) = kept.split_at(22);
    let place = std::str::from_utf8(place).unwrap();
    let from: usize = place[11..21].parse().unwrap();
    assert_eq!(bytes.len() as u64, report.bytes_cut);
    assert!(file[from..].starts_with(bytes), "other bytes are kept than were cut off");
    assert!(from >= BLOCK);
    from
}

/// A second opening tells the same; and when nothing lives in a damaged segment, it is kept under another name.
fn again(
    story: &Story,
    disk: &SimulatedDisk,
    journal: redeliver::internals::Journal,
    report: &RecoveryReport,
    told: &[Group],
) {
    let (_killed, second, retold) = open(&disk.kill(), story.settings).expect("what was opened once opens again");
    let is_same = |(one, two): (&Group, &Group)| one.iter().map(Told::says).eq(two.iter().map(Told::says));
    assert!(retold.len() == told.len() && retold.iter().zip(told).all(is_same), "a second opening tells {retold:?}");
    assert_eq!((second.tail, &second.damage), (Tail::Clean, &report.damage), "a second opening");

    let damaged: Vec<(String, String, Vec<u8>)> = report
        .damage
        .iter()
        .map(|damage| crate::story::segment(damage.from.segment()))
        .map(|name| (name.clone(), name.replace("segment", "damaged"), disk.bytes(&name).unwrap()))
        .collect();
    told.iter().flatten().filter(|record| record.effect.is_none()).for_each(|record| journal.release(record.at));
    journal.reclaim().unwrap();
    let writing = journal.health().synced.segment();
    for (name, kept, bytes) in damaged {
        assert!(disk.bytes(&name).is_err(), "{name} is still there");
        assert!(disk.bytes(&kept).unwrap() == bytes, "{kept} holds other bytes");
    }
    journal.close().unwrap();
    let (_journal, _, told) = open(disk, story.settings).expect("what was closed opens");
    let is_left = |record: &Told| record.effect.is_some() || record.at.segment() == writing;
    assert!(told.iter().flatten().all(is_left), "what was let go is told again");
}
