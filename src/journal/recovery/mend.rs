//! Makes the journal go on: the one part of a recovery that changes anything.

use super::look::Looked;
use super::read::Reading;
use crate::chance::mix;
use crate::journal::bytes::{BLOCK, aligned};
use crate::journal::error::{Doing, OpenError, is_full};
use crate::journal::frames::Frames;
use crate::journal::groups::Kept;
use crate::journal::life::Segments;
use crate::journal::log::{Files, Log};
use crate::journal::make::{MakeError, Making, Source, put, remove};
use crate::journal::names;
use crate::journal::own;
use crate::journal::position::Position;
use crate::journal::record::{Record, Sealed};
use crate::journal::report::RecoveryReport;
use crate::journal::segment::Header;
use crate::journal::settings::Settings;
use crate::storage::{Storage, StorageFile};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

pub(super) fn mend(
    storage: Arc<dyn Storage>,
    settings: Settings,
    seed: u64,
    looked: Looked,
    reading: Reading,
    tell: &mut dyn FnMut(&[Record<'_>]),
) -> Result<(Log, RecoveryReport), OpenError> {
    let Reading { mut segments, mut report, end, unproven, cut } = reading;
    let mut spares = looked.spares.clone();
    let mut has_reserve = looked.has_reserve;
    let last = looked.segments.keys().next_back().copied().unwrap_or(0);
    let number = last.checked_add(1).ok_or(OpenError::UsedUp)?;
    // They are nothing yet, and may have the room that is needed.
    if !planted!("unfinished-files-stay") {
        remove_all(&*storage, &looked.unfinished).map_err(Doing::Cleaning.failed())?;
    }
    if let Some((at, bytes)) = cut
        && !planted!("a-torn-tail-is-not-kept")
    {
        report.kept_in = Some(keep(&*storage, &mut segments, last, at, &bytes)?);
    }

    let table = own::table(segments.table());
    let mut header = Header {
        store: looked.store,
        number,
        salt: mix(seed ^ u64::from(number)),
        before: end,
        bytes: settings.segment_bytes,
        is_recycled: false,
    };
    let beginning = Beginning { table: &table, unproven: &unproven, end };
    header.bytes = header.bytes.max(beginning.needs());
    let (tail, file) = {
        let mut make = |source| {
            header.is_recycled = matches!(source, Source::Spare(_));
            let (tail, contents, positions) = beginning.write(&header);
            let made = Making { header, source, contents }.run(&*storage)?;
            Ok((tail, made, positions))
        };
        let (tail, file, positions) = first_that_has_room(&mut make, &mut spares, &mut has_reserve)
            .map_err(|error| not_made(number, header.bytes, error))?;
        segments.add(number, header.bytes);
        let mut positions = positions.into_iter();
        for group in &unproven {
            tell_moved(group, &mut positions, &mut segments, &mut report, tell);
        }
        (tail, file)
    };

    report.end = Some(tail.end());
    let surplus = spares.split_off(spares.len().min(settings.spares_max()));
    let stale = looked.segments.keys().copied().filter(|older| !segments.contains(*older)).map(names::segment);
    let removed: Vec<String> = stale.chain(surplus.into_iter().map(names::spare)).collect();
    let files = Files { spares, has_reserve };
    let mut log = Log::new(storage, settings, looked.store, seed, looked.lock, tail, file, segments, files);
    tidy(&mut log, &removed).map_err(Doing::Cleaning.failed())?;
    Ok((log, report))
}

/// What the new segment begins with.
struct Beginning<'b> {
    table: &'b [u8],
    unproven: &'b VecDeque<Vec<Kept>>,
    end: Position,
}

impl Beginning<'_> {
    /// The size that the segment must have at the least.
    fn needs(&self) -> u32 {
        let records = self.unproven.iter().flatten().map(|record| Sealed::new(record.entry()).bytes() + 48);
        let bytes = records.sum::<u64>() + 2 * self.table.len() as u64;
        // Header, tables, and the block for the seal.
        let bytes = bytes + bytes / 512 + 8 * u64::from(BLOCK);
        aligned(bytes.min(u64::from(u32::MAX - BLOCK)) as u32, BLOCK)
    }

    fn write(&self, header: &Header) -> (Frames, Vec<u8>, Vec<Position>) {
        let mut tail = Frames::new(header.id(), header.bytes);
        let mut positions = Vec::new();
        tail.begin(self.table, self.end);
        for group in self.unproven {
            let sealed: Vec<_> = group.iter().map(|record| Sealed::new(record.entry())).collect();
            tail.put(&sealed, self.end, |position| positions.push(position));
        }
        let chunk = tail.take(self.end, true, Vec::new());
        (tail, chunk.map(|chunk| chunk.bytes).unwrap_or_default(), positions)
    }
}

type Made = (Frames, Arc<dyn StorageFile>, Vec<Position>);

fn first_that_has_room(
    make: &mut dyn FnMut(Source) -> Result<Made, MakeError>,
    spares: &mut Vec<u32>,
    has_reserve: &mut bool,
) -> Result<Made, MakeError> {
    match make(Source::Fresh) {
        Err(MakeError::Full) => {}
        made => return made,
    }
    if let Some(spare) = spares.pop() {
        match make(Source::Spare(spare)) {
            Err(MakeError::Full) => {}
            made => return made,
        }
    }
    if !*has_reserve {
        return Err(MakeError::Full);
    }
    *has_reserve = false;
    make(Source::Reserve)
}

fn not_made(number: u32, bytes: u32, error: MakeError) -> OpenError {
    match error {
        MakeError::Full => OpenError::Full { bytes: bytes.into() },
        MakeError::Failed(error) | MakeError::Unknown(error) => Doing::Making(names::segment(number)).failed()(error),
    }
}

/// Records that were written again have new places, and are told with these.
fn tell_moved(
    group: &[Kept],
    positions: &mut impl Iterator<Item = Position>,
    segments: &mut Segments,
    report: &mut RecoveryReport,
    tell: &mut dyn FnMut(&[Record<'_>]),
) {
    let mut moved = group.to_vec();
    for (record, position) in moved.iter_mut().zip(positions) {
        record.position = position;
    }
    let records: Vec<_> = moved.iter().map(Kept::record).collect();
    super::read::count(report, segments, &records);
    report.rewritten += records.len() as u64;
    tell(&records);
}

/// Keeps what is cut off in a file beside the journal, or, if there is no room for one, where it is.
fn keep(
    storage: &dyn Storage,
    segments: &mut Segments,
    number: u32,
    at: u32,
    bytes: &[u8],
) -> Result<String, OpenError> {
    let name = names::torn(number);
    let mut kept = format!("{number:010} {at:010}\n").into_bytes();
    kept.extend_from_slice(bytes);
    match put(storage, &name, &kept) {
        Ok(()) => Ok(name),
        Err(error) if is_full(&error) => {
            if let Some(segment) = segments.get_mut(number) {
                segment.is_damaged = true;
            }
            Ok(names::segment(number))
        }
        Err(error) => Err(Doing::Making(name).failed()(error)),
    }
}

/// Removes what nobody needs, and sees to the reserve.
fn tidy(log: &mut Log, removed: &[String]) -> io::Result<()> {
    remove_all(&*log.storage, removed)?;
    if !removed.is_empty() {
        log.storage.flush_names()?;
    }
    log.restore_reserve()
}

fn remove_all(storage: &dyn Storage, names: &[String]) -> io::Result<()> {
    names.iter().try_for_each(|name| remove(storage, name))
}
