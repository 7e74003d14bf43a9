//! Journals to be damaged, an opening that is looked at closely, and a second writer of the format, whose frames have right
//! checksums and say what they should not.

use arbitrary::Arbitrary;
use redeliver::internals::{Entry, Journal, Level, Life, OpenError, RecoveryReport, Settings, Urgency};
use redeliver::storage::SimulatedDisk;
use std::sync::Arc;

pub const SETTINGS: Settings = {
    let mut settings = Settings::DEFAULT;
    settings.segment_bytes = 64 << 10;
    settings
};

/// What is told of a record, wherever it lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    pub kind: u8,
    pub effect: Option<Vec<u32>>,
    pub body: Vec<u8>,
}

pub struct Opened {
    pub journal: Journal,
    pub report: RecoveryReport,
    pub told: Vec<Vec<Told>>,
}

/// Opens it. If that is refused, nothing but the lock may have changed.
pub fn open(disk: &SimulatedDisk, seed: u64) -> Result<Opened, OpenError> {
    let before = disk.kill();
    let mut told = Vec::new();
    let opened = Journal::open(Arc::new(disk.clone()), SETTINGS, seed, |group| {
        let record = |record: &redeliver::internals::Record<'_>| Told {
            kind: record.kind,
            effect: record.is_effect().then(|| record.speaks_of().collect()),
            body: record.body.to_vec(),
        };
        told.push(group.iter().map(record).collect());
    });
    match opened {
        Ok((journal, report)) => Ok(Opened { journal, report, told }),
        Err(error) => {
            let names =
                |disk: &SimulatedDisk| disk.names().into_iter().filter(|name| name != "lock").collect::<Vec<_>>();
            assert_eq!(names(disk), names(&before), "{error}");
            let is_same = |name: &String| disk.bytes(name).unwrap() == before.bytes(name).unwrap();
            assert!(names(disk).iter().all(is_same), "changed, and yet: {error}");
            Err(error)
        }
    }
}

/// Opens it twice: what a recovery leaves tells what it told.
pub fn open_twice(disk: &SimulatedDisk) -> Option<Opened> {
    let first = open(disk, 31).ok()?;
    let second = open(&disk.kill(), 32).expect("what was opened once opens again");
    assert_eq!(second.told, first.told, "{:?}, and then {:?}", first.report, second.report);
    Some(first)
}

/// These groups, in this order, and none but these.
pub fn assert_written(told: &[Vec<Told>], written: &[Vec<Told>], report: &RecoveryReport) {
    let mut rest = written.iter();
    for group in told {
        assert!(rest.any(|other| other == group), "told, and not written: {group:?}; {report:?}");
    }
}

/// A journal and what it tells.
pub struct Base {
    pub disk: SimulatedDisk,
    pub told: Vec<Vec<Told>>,
}

/// One of a few: closed or killed, with one segment or several.
pub fn base(which: u8) -> &'static Base {
    static BASES: std::sync::OnceLock<Vec<Base>> = std::sync::OnceLock::new();
    let bases = BASES.get_or_init(|| {
        let each = [(20, true), (20, false), (90, true), (90, false)];
        each.map(|(steps, is_closed)| {
            let disk = write(steps, is_closed);
            let told = open(&disk.kill(), 7).expect("undamaged").told;
            Base { disk, told }
        })
        .into()
    });
    &bases[usize::from(which) % bases.len()]
}

fn write(steps: u32, is_closed: bool) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let Opened { journal, .. } = open(&disk, u64::from(steps)).expect("empty");
    let mut places = Vec::new();
    for n in 0..steps {
        let body = vec![n as u8; n as usize * 37 % 900];
        let held = Entry { kind: 1, life: Life::Held, body: &body };
        let of = [n % 3 + 1, 2];
        let effect = Entry { kind: 2, life: Life::Effect(&of), body: b"settled" };
        let group: &[Entry<'_>] = match n % 5 {
            0 => &[held, effect, held],
            1 => &[effect],
            _ => &[held],
        };
        let appended = journal.append(group, Urgency::Normal).expect("room");
        if n % 5 != 1 {
            places.push(appended.positions[0]);
        }
        match n % 4 {
            0 => {}
            1 => journal.commit(appended.end, Level::Written).expect("a disk that works"),
            _ => journal.commit(appended.end, Level::Synced).expect("a disk that works"),
        }
        if n == 60 {
            // All of the first segment goes, and its file becomes another one.
            places.iter().for_each(|place| journal.release(*place));
            (0..200).for_each(|_| journal.release(places[0]));
            journal.reclaim().expect("a disk that works");
        }
    }
    if is_closed {
        journal.close().expect("a disk that works");
        return disk;
    }
    let disk = disk.kill();
    drop(journal);
    disk
}

/// What is done to a file's bytes.
#[derive(Arbitrary, Clone, Debug)]
pub enum Edit {
    Xor { at: u32, with: u8 },
    Fill { sector: u8, with: u8 },
    Swap { one: u8, other: u8 },
    Move { from: u16, to: u16, grains: u8 },
    Cut { bytes: u32 },
}

impl Edit {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let size = bytes.len();
        if size == 0 {
            return;
        }
        let sector = |n: u8| usize::from(n) * 512 % size;
        match *self {
            Edit::Xor { at, with } => bytes[at as usize % size] ^= with,
            Edit::Fill { sector: n, with } => {
                let from = sector(n);
                bytes[from..(from + 512).min(size)].fill(with);
            }
            Edit::Swap { one, other } => {
                let (one, other) = (sector(one).min(sector(other)), sector(one).max(sector(other)));
                for n in 0..512.min(size - other) {
                    bytes.swap(one + n, other + n);
                }
            }
            Edit::Move { from, to, grains } => {
                let (from, to) = (usize::from(from) * 8 % size, usize::from(to) * 8 % size);
                let length = (usize::from(grains) * 8).min(size - from.max(to));
                bytes.copy_within(from..from + length, to);
            }
            Edit::Cut { bytes: kept } => bytes.truncate(kept as usize % (size + 1)),
        }
    }
}

// ---- a second writer ----

/// A frame with a right checksum.
#[derive(Arbitrary, Debug)]
pub struct Forged {
    gap: u8,
    mark: Option<(u8, u16)>,
    previous: Option<u32>,
    length: Option<u16>,
    records: Vec<ForgedRecord>,
    /// Bytes that are no record.
    rest: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
pub struct ForgedRecord {
    kind: u8,
    flags: u8,
    length: Option<u32>,
    body: Vec<u8>,
    is_broken: bool,
}

/// The segment's identity, as `docs/format.md` describes it.
struct Bound {
    number: u32,
    bound: u64,
}

impl Bound {
    fn read(header: &[u8]) -> Bound {
        let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight"));
        let number = u32::from_le_bytes(header[12..16].try_into().expect("four"));
        let words = [word(16), word(24), word(32), u64::from(number)];
        Bound { number, bound: words.into_iter().fold(0, |bound, word| mix(bound ^ word)) }
    }

    fn check(&self, content: u32, offset: usize, head: &[u8]) -> u32 {
        let place = [self.bound.to_le_bytes(), self.position(offset as u32).to_le_bytes()].concat();
        crc(crc(content, &place), head)
    }

    fn position(&self, offset: u32) -> u64 {
        u64::from(self.number) << 32 | u64::from(offset)
    }
}

/// Writes frames over what is behind `at` of a segment.
pub fn forge(segment: &mut [u8], at: usize, frames: &[Forged]) {
    let id = Bound::read(segment);
    let (mut at, mut previous) = (at, at);
    for frame in frames {
        let head = match frame.gap % 4 {
            0 | 1 => at.next_multiple_of(4096),
            2 => at,
            _ => at + usize::from(frame.gap) / 4 * 8,
        };
        let mut body = Vec::new();
        for record in &frame.records {
            record.write(&mut body, head + 40, &id);
        }
        body.extend_from_slice(&frame.rest);
        body.resize(body.len().next_multiple_of(8), 0);
        let mark = match frame.mark {
            None => id.position(previous as u32),
            Some((back, offset)) => u64::from(id.number.wrapping_sub(u32::from(back))) << 32 | u64::from(offset),
        };
        let mut bytes = Vec::new();
        bytes.extend_from_slice(b"rdlv");
        bytes.extend_from_slice(&id.position(head as u32).to_le_bytes());
        bytes.extend_from_slice(&mark.to_le_bytes());
        bytes.extend_from_slice(&frame.previous.unwrap_or(previous as u32).to_le_bytes());
        bytes.extend_from_slice(&frame.length.map_or(body.len() as u32, |n| u32::from(n) * 8).to_le_bytes());
        bytes.extend_from_slice(&(frame.records.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        let check = id.check(0, head, &bytes).to_le_bytes();
        let whole = [&check[..], &bytes, &body].concat();
        let Some(place) = segment.get_mut(head..head + whole.len()) else { return };
        place.copy_from_slice(&whole);
        at = head + whole.len();
        previous = at;
    }
}

impl ForgedRecord {
    fn write(&self, out: &mut Vec<u8>, base: usize, id: &Bound) {
        let offset = base + out.len();
        let body_bytes = self.length.unwrap_or(self.body.len() as u32);
        let mut head = body_bytes.to_le_bytes().to_vec();
        head.extend_from_slice(&[self.kind, self.flags & 15, 0, 0]);
        let check = id.check(crc(0, &self.body), offset, &head) ^ u32::from(self.is_broken);
        out.extend_from_slice(&check.to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(&self.body);
        out.resize((out.len() + 4).next_multiple_of(8) - 4, 0);
        out.extend_from_slice(&body_bytes.to_le_bytes());
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl Forged {
    pub fn records(&self) -> &[ForgedRecord] {
        &self.records
    }
}

/// CRC-32C of what came before, and of these bytes behind it.
fn crc(before: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32| crc >> 1 ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1));
    !bytes.iter().fold(!before, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// SplitMix64's finalizer.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}
