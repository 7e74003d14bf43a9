//! Opens what is left of a disk, and holds what it tells against the list.

use crate::list::{List, NEVER, SEND, SETTLE};
use redeliver::internals::{Entry, Journal, Level, Life, OpenError, Position, RecoveryReport, Settings, Urgency};
use redeliver::storage::{Loss, SimulatedDisk, Storage};
use std::sync::Arc;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) position: Position,
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
    pub(crate) speaks_of: Option<Vec<u32>>,
}

impl Told {
    /// The item that it says it is.
    pub(crate) fn number(&self) -> Option<usize> {
        Some(u32::from_le_bytes(self.body.get(..4)?.try_into().ok()?) as usize)
    }
}

pub(crate) type Groups = Vec<Vec<Told>>;

pub(crate) struct Opened {
    pub(crate) journal: Journal,
    pub(crate) report: RecoveryReport,
    pub(crate) told: Groups,
}

pub(crate) fn open(storage: Arc<dyn Storage>, settings: Settings, seed: u64) -> Result<Opened, OpenError> {
    let mut told = Groups::new();
    let (journal, report) = Journal::open(storage, settings, seed, |group| {
        let records = group.iter().map(|record| Told {
            position: record.position,
            kind: record.kind,
            body: record.body.to_vec(),
            speaks_of: record.is_effect().then(|| record.speaks_of().collect()),
        });
        told.push(records.collect());
    })?;
    Ok(Opened { journal, report, told })
}

/// What kind of end the disk has come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ending {
    /// The number of calls that were made before it.
    pub(crate) calls: u64,
    /// The cache has survived: what was written must be there.
    pub(crate) keeps_cache: bool,
    /// A flush has lied: what it confirmed may be lost.
    pub(crate) was_lied_to: bool,
}

macro_rules! ensure {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Err(format!($($why)*));
        }
    };
}
pub(crate) use ensure;

/// Is what was told what the list says?
pub(crate) fn compare(list: &List, told: &Groups, ending: Ending) -> Result<(), String> {
    let calls = ending.calls;
    let mut is_told = vec![false; list.items.len()];
    let mut has_id = vec![false; list.ids as usize];
    let mut last: Option<usize> = None;
    for group in told {
        let numbers: Vec<_> = group.iter().map(Told::number).collect();
        let first = numbers[0].filter(|number| *number < list.items.len());
        let Some(first) = first else { return Err(format!("G2: nobody appended {group:?}")) };
        let (from, to) = list.items[first].group;
        let whole: Vec<_> = (from..to).map(Some).collect();
        ensure!(numbers == whole, "a group is told in part: {numbers:?} of {from}..{to}");
        ensure!(last.is_none_or(|last| last < first), "order: {first} is told after {last:?}");
        last = Some(to - 1);
        for record in group {
            let number = record.number().unwrap_or_default();
            let item = &list.items[number];
            ensure!(item.body == record.body, "G2: other bytes in {number}");
            let effect = (item.kind == SETTLE).then_some(&item.speaks_of);
            ensure!(item.kind == record.kind && effect == record.speaks_of.as_ref(), "G2: {number} is {record:?}");
            ensure!(item.appended <= calls, "G2: {number} was appended later");
            ensure!(item.full > calls, "{number} was refused, and is told");
            ensure!(item.gone > calls, "{number} was gone, and is told again");
            is_told[number] = true;
            has_id[item.id as usize] |= item.kind == SEND;
        }
    }
    if ending.was_lied_to {
        return Ok(());
    }
    let is_settled = settled(list, calls);
    for (number, item) in list.items.iter().enumerate().filter(|(_, item)| item.appended <= calls) {
        let is_written =
            ending.keeps_cache && item.written <= calls && calls < item.cut && list.written_is_void > calls;
        let is_confirmed = item.synced <= calls || is_written;
        if is_told[number] || !(is_confirmed || last.is_some_and(|last| number < last)) {
            continue;
        }
        let why = if is_confirmed { "G1: confirmed" } else { "order: a hole" };
        if !is_confirmed && (item.full != NEVER || item.gone != NEVER) {
            continue;
        }
        match item.kind {
            SETTLE => ensure!(!has_id[item.id as usize], "{why}: what settles {} (item {number}) is not told", item.id),
            _ if item.released <= calls => {
                let is_safe = has_id[item.id as usize] || is_settled[item.id as usize] || !is_confirmed;
                ensure!(is_safe, "{why}: message {} is told nowhere, neither {number} nor a copy", item.id);
            }
            _ => return Err(format!("{why}: item {number} is not told; the last one told is {last:?}")),
        }
    }
    Ok(())
}

/// Also by a settle that the disk had no room for: whoever released the message has done so on purpose.
fn settled(list: &List, calls: u64) -> Vec<bool> {
    let mut settled = vec![false; list.ids as usize];
    let settles = list.items.iter().filter(|item| item.kind == SETTLE && item.appended <= calls);
    settles.for_each(|item| settled[item.id as usize] = true);
    settled
}

/// The disk after the crash, opened: all that must hold for it, and for the journal that goes on there.
pub(crate) fn check(
    list: &List,
    disk: &SimulatedDisk,
    settings: Settings,
    ending: Ending,
    seed: u64,
) -> Result<Groups, String> {
    let names = disk.names();
    let is_large = |name: &String| disk.bytes(name).is_ok_and(|bytes| bytes.len() as u32 >= settings.segment_bytes);
    let could_be_used =
        |name: &String| name == "reserve" || name.ends_with(".spare") || name.ends_with(".new") && is_large(name);
    let has_room = names.iter().any(could_be_used);
    let opened = match open(Arc::new(disk.clone()), settings, seed) {
        Err(OpenError::Full { .. }) => {
            ensure!(!has_room, "full, although there was room to take: {names:?}");
            disk.set_room(u64::MAX);
            open(Arc::new(disk.clone()), settings, seed)
        }
        opened => opened,
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(_) if ending.was_lied_to => return Ok(Groups::new()),
        Err(error) => return Err(format!("does not open: {error}")),
    };
    let Opened { journal, report, told } = opened;
    compare(list, &told, ending)?;
    if !ending.was_lied_to {
        ensure!(report.damage.is_empty(), "damage where there was none: {:?}", report.damage);
    }
    let (records, groups) = (told.iter().map(Vec::len).sum::<usize>() as u64, told.len() as u64);
    ensure!((report.records, report.groups) == (records, groups), "the report counts otherwise: {report:?}");
    let held = told.iter().flatten().filter(|record| record.speaks_of.is_none()).count() as u64;
    let health = journal.health();
    ensure!(health.held == held, "{} held, and {held} were told", health.held);
    let places: Vec<_> = told.iter().flatten().map(|record| record.position).collect();
    ensure!(places.is_sorted_by(|a, b| a < b), "places are not in order: {places:?}");
    clean(disk, &journal)?;
    goes_on(disk, settings, journal, &told, ending, seed)?;
    Ok(told)
}

/// No file lies about that nobody knows.
fn clean(disk: &SimulatedDisk, journal: &Journal) -> Result<(), String> {
    let (names, health) = (disk.names(), journal.health());
    let count = |ending: &str| names.iter().filter(|name| name.ends_with(ending)).count();
    ensure!(count(".new") == 0, "unfinished files stay: {names:?}");
    ensure!(count(".segment") as u64 == health.segments, "{} segments, and the files {names:?}", health.segments);
    ensure!(count(".spare") == health.spares, "{} spares, and the files {names:?}", health.spares);
    ensure!(names.contains(&"reserve".to_owned()) == health.has_reserve, "reserve {}: {names:?}", health.has_reserve);
    Ok(())
}

/// One more record is appended and found again, and all others are, whatever comes next.
fn goes_on(
    disk: &SimulatedDisk,
    settings: Settings,
    journal: Journal,
    told: &Groups,
    ending: Ending,
    seed: u64,
) -> Result<(), String> {
    let body = b"\xff\xff\xff\xffone more";
    let entry = Entry { kind: SEND, life: Life::Held, body };
    let added = journal.append_one(entry, Urgency::FreesRoom).map_err(|error| format!("takes no more: {error}"));
    let (_, end) = match added {
        // Without room and without a reserve it may say so.
        Err(why) if why.ends_with("full") && !journal.health().has_reserve => return Ok(()),
        added => added?,
    };
    journal.commit(end, Level::Synced).map_err(|error| format!("confirms no more: {error}"))?;
    let next = match seed % 3 {
        0 => disk.after_power_cut(&Loss::Everything),
        1 => disk.kill(),
        _ => {
            journal.close().map_err(|error| format!("does not close: {error}"))?;
            let left = disk.names();
            let is_known = |name: &String| {
                ["lock", "store", "closed", "reserve"].contains(&name.as_str()) || name.ends_with(".segment")
            };
            ensure!(left.iter().all(is_known), "a clean close leaves {left:?}");
            disk.after_power_cut(&Loss::Everything)
        }
    };
    next.set_room(u64::MAX);
    let again = open(Arc::new(next), settings, seed ^ 1).map_err(|error| format!("does not open again: {error}"))?;
    let bodies = |groups: &Groups| -> Vec<Vec<Vec<u8>>> {
        groups.iter().map(|group| group.iter().map(|record| record.body.clone()).collect()).collect()
    };
    let (mut wanted, found) = (bodies(told), bodies(&again.told));
    wanted.push(vec![body.to_vec()]);
    ensure!(ending.was_lied_to || again.report.damage.is_empty(), "damage the second time: {:?}", again.report.damage);
    ensure!(found == wanted, "the second time {} groups are told, of {}", found.len(), wanted.len());
    Ok(())
}
