//! A journal with everything in it that a journal can have, and what a recovery tells of it when nothing is damaged.

use crate::layout::{self, Layout, What};
use crate::support::Rng;
use redeliver::internals::{Entry, Journal, Level, Life, OpenError, Position, RecoveryReport, Settings, Tail, Urgency};
use redeliver::storage::SimulatedDisk;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A record as it was told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) at: Position,
    pub(crate) kind: u8,
    pub(crate) effect: Option<Vec<u32>>,
    pub(crate) body: Vec<u8>,
}

impl Told {
    /// What it takes of its segment.
    pub(crate) fn range(&self) -> Range<usize> {
        let effect = self.effect.as_ref().map_or(0, |of| 4 + 4 * of.len());
        let from = self.at.offset() as usize;
        from..from + layout::record_bytes(effect + self.body.len())
    }

    /// Wherever it lies.
    pub(crate) fn says(&self) -> (u8, &Option<Vec<u32>>, &[u8]) {
        (self.kind, &self.effect, &self.body)
    }
}

pub(crate) type Group = Vec<Told>;

pub(crate) struct Story {
    pub(crate) settings: Settings,
    pub(crate) disk: SimulatedDisk,
    /// The disk as it was in between.
    pub(crate) moments: Vec<SimulatedDisk>,
    pub(crate) told: Vec<Group>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) layouts: BTreeMap<u32, Layout>,
    /// The highest commit mark in the last segment, or where it was closed.
    pub(crate) proven: u32,
    pub(crate) is_closed: bool,
}

pub(crate) fn segment(number: u32) -> String {
    format!("{number:010}.segment")
}

pub(crate) fn number(name: &str) -> Option<u32> {
    name.strip_suffix(".segment")?.parse().ok()
}

pub(crate) type Opened = (Journal, RecoveryReport, Vec<Group>);

pub(crate) fn open(disk: &SimulatedDisk, settings: Settings) -> Result<Opened, OpenError> {
    open_seeded(disk, settings, 99)
}

fn open_seeded(disk: &SimulatedDisk, settings: Settings, seed: u64) -> Result<Opened, OpenError> {
    let mut told = Vec::new();
    let (journal, report) = Journal::open(Arc::new(disk.clone()), settings, seed, |group| {
        let record = |record: &redeliver::internals::Record<'_>| Told {
            at: record.position,
            kind: record.kind,
            effect: record.is_effect().then(|| record.speaks_of().collect()),
            body: record.body.to_vec(),
        };
        told.push(group.iter().map(record).collect());
    })?;
    Ok((journal, report, told))
}

/// Writes a journal.
struct Author {
    journal: Journal,
    rng: Rng,
    held: VecDeque<Position>,
    now: Instant,
    n: u64,
}

impl Author {
    fn body(&mut self, bytes: u64) -> Vec<u8> {
        self.n += 1;
        let mut body = format!("{:08} ", self.n).into_bytes();
        body.extend((0..bytes).map(|_| self.rng.draw() as u8));
        body
    }

    fn commit(&mut self, end: Position) {
        let level = if self.rng.below(3) == 0 { Level::Written } else { Level::Synced };
        self.journal.commit(end, level).unwrap();
    }

    fn step(&mut self) {
        match self.rng.below(8) {
            0 => {
                // Many records, one frame.
                let mut end = Position::START;
                for _ in 0..self.rng.below(12) + 2 {
                    let bytes = self.rng.below(60);
                    let body = self.body(bytes);
                    let entry = Entry { kind: 1, life: Life::Held, body: &body };
                    let (at, behind) = self.journal.append_one(entry, Urgency::Normal).unwrap();
                    self.held.push_back(at);
                    end = behind;
                }
                self.commit(end);
            }
            1 | 2 => {
                let sizes: Vec<_> = (0..self.rng.below(4) + 2).map(|_| self.rng.below(200)).collect();
                let bodies: Vec<_> = sizes.into_iter().map(|bytes| self.body(bytes)).collect();
                let of = [self.held.front().map_or(1, |at| at.segment())];
                let life = |n: usize| if n % 3 == 1 { Life::Effect(&of) } else { Life::Held };
                let group: Vec<_> =
                    bodies.iter().enumerate().map(|(n, body)| Entry { kind: n as u8, life: life(n), body }).collect();
                let appended = self.journal.append(&group, Urgency::Normal).unwrap();
                let places = appended.positions.iter().zip(&group);
                self.held.extend(places.filter(|(_, entry)| entry.life == Life::Held).map(|(at, _)| *at));
                self.commit(appended.end);
            }
            3 => {
                // A frame that says no more than that all is safe.
                self.journal.tick(self.now);
                self.now += Duration::from_millis(150);
                self.journal.tick(self.now);
                self.now += Duration::from_millis(150);
                self.journal.tick(self.now);
            }
            4 => {
                let Some(at) = self.held.pop_front() else { return };
                let of = [at.segment(), at.segment() + 1];
                let body = self.body(3);
                let effect = Entry { kind: 2, life: Life::Effect(&of), body: &body };
                let (_, end) = self.journal.append_one(effect, Urgency::FreesRoom).unwrap();
                self.journal.release(at);
                self.commit(end);
            }
            _ => {
                let bytes = [10, 200, 900, 3000][self.rng.below(4) as usize];
                let body = self.body(bytes);
                let entry = Entry { kind: 1, life: Life::Held, body: &body };
                let (at, end) = self.journal.append_one(entry, Urgency::Normal).unwrap();
                self.held.push_back(at);
                self.commit(end);
            }
        }
    }
}

impl Story {
    /// With three openings: the first fills segments and writes over some, the second follows a kill, the third a close.
    pub(crate) fn write(seed: u64, segment_bytes: u32, is_closed: bool) -> Story {
        let mut settings = Settings::DEFAULT;
        settings.segment_bytes = segment_bytes;
        let mut disk = SimulatedDisk::new();
        let mut moments = Vec::new();
        let mut now = Instant::now();
        for opening in 0..3 {
            let (journal, _, told) = open_seeded(&disk, settings, seed ^ opening).unwrap();
            let held = told.iter().flatten().filter(|record| record.effect.is_none()).map(|record| record.at).collect();
            let mut author = Author { journal, rng: Rng(seed + opening), held, now, n: opening * 10_000 };
            if opening == 0 {
                // Two segments full of what is soon let go, and then one that is written over.
                while author.journal.health().segments < 3 {
                    author.step();
                }
                moments.push(disk.kill());
                while let Some(at) = author.held.pop_front() {
                    author.journal.release(at);
                }
                author.journal.reclaim().unwrap();
                while recycled(&disk).is_none_or(|number| author.journal.health().synced.segment() <= number) {
                    author.step();
                }
            }
            for step in 0..8 {
                author.step();
                if step % 4 == 0 {
                    moments.push(disk.kill());
                }
            }
            if opening == 0 {
                large_group(&mut author, segment_bytes);
            }
            if opening == 2 {
                // A segment goes, and only the last one says so.
                let kept = recycled(&disk);
                let goes = author.held.iter().map(|at| at.segment()).find(|number| Some(*number) != kept).unwrap();
                author.held.iter().filter(|at| at.segment() == goes).for_each(|at| author.journal.release(*at));
                author.journal.reclaim().unwrap();
                // The last frame has many records, and the one before it is full as well.
                for _ in 0..2 {
                    let mut end = Position::START;
                    for bytes in [5, 40, 700, 30, 9, 80] {
                        let body = author.body(bytes);
                        let entry = Entry { kind: 1, life: Life::Held, body: &body };
                        end = author.journal.append_one(entry, Urgency::Normal).unwrap().1;
                    }
                    author.journal.commit(end, Level::Synced).unwrap();
                }
            }
            moments.push(disk.kill());
            match opening {
                0 => disk = disk.kill(),
                1 => author.journal.close().unwrap(),
                _ if is_closed => author.journal.close().unwrap(),
                _ => disk = disk.kill(),
            }
            now = author.now;
        }
        let (_, report, mut told) = open(&disk.kill(), settings).expect("a journal that nobody has damaged");
        assert!(report.damage.is_empty() && report.tail == Tail::Clean, "{report:?}");
        let files: BTreeMap<_, _> =
            disk.names().into_iter().map(|name| (name.clone(), disk.bytes(&name).unwrap())).collect();
        let ends = ends(&files);
        let layouts: BTreeMap<_, _> =
            ends.iter().map(|(number, end)| (*number, layout::read(&files[&segment(*number)], *end))).collect();
        let (last, layout): (&u32, &Layout) = layouts.last_key_value().unwrap();
        // Where they were, and not where they were written again.
        let is_record = |what| matches!(what, What::Held | What::Effect | What::InGroup);
        let mut places = layout.spans.iter().rev().filter(|span| is_record(span.what)).map(|span| span.range.start);
        for record in told.iter_mut().flatten().rev().take_while(|record| record.at.segment() > *last) {
            record.at = Position::new(*last, places.next().unwrap() as u32);
        }
        let proven = match (is_closed, layout.mark) {
            (true, _) => layout.end as u32,
            (false, (segment, offset)) if segment == *last => offset,
            (false, _) => layout::BLOCK as u32,
        };
        Story { settings, disk, moments, told, files, layouts, proven, is_closed }
    }

    pub(crate) fn last(&self) -> u32 {
        *self.layouts.last_key_value().unwrap().0
    }

    /// Every kind of thing that there is in its segments.
    pub(crate) fn kinds(&self) -> BTreeSet<What> {
        self.layouts.values().flat_map(|layout| &layout.spans).map(|span| span.what).collect()
    }

    /// Groups of which something lies in these places.
    pub(crate) fn groups_in(&self, number: u32, ranges: &[Range<usize>]) -> Vec<usize> {
        let is_hit = |record: &Told| {
            let place = record.range();
            record.at.segment() == number
                && ranges.iter().any(|range| range.start < place.end && place.start < range.end)
        };
        (0..self.told.len()).filter(|n| self.told[*n].iter().any(is_hit)).collect()
    }
}

/// The segment that was something else before.
fn recycled(disk: &SimulatedDisk) -> Option<u32> {
    let names = disk.names();
    names.iter().filter_map(|name| number(name)).find(|n| layout::u32_at(&disk.bytes(&segment(*n)).unwrap(), 52) == 1)
}

/// As large as it may be: where segments are large it takes several frames.
fn large_group(author: &mut Author, segment_bytes: u32) {
    let each = u64::from(segment_bytes / 2 - 16_384) / 15;
    let bodies: Vec<_> = (0..14).map(|_| author.body(each)).collect();
    let group: Vec<_> = bodies.iter().map(|body| Entry { kind: 1, life: Life::Held, body }).collect();
    let appended = author.journal.append(&group, Urgency::Normal).unwrap();
    author.journal.commit(appended.end, Level::Synced).unwrap();
    author.held.extend(appended.positions);
}

/// Where each segment ends, by the table at the start of the last one.
fn ends(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<u32, usize> {
    let (last, bytes) = files.iter().filter_map(|(name, bytes)| Some((number(name)?, bytes))).next_back().unwrap();
    let table = layout::BLOCK + 40;
    let body = table + 12..table + 12 + layout::u32_at(bytes, table + 4) as usize;
    let words: Vec<u32> = body.step_by(4).map(|at| layout::u32_at(bytes, at)).collect();
    let all = words.chunks(2).map(|pair| (pair[0], pair[1] as usize)).chain([(last, bytes.len())]);
    all.filter(|(number, _)| files.contains_key(&segment(*number))).collect()
}
