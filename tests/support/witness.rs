//! Who is told what a journal has confirmed, keeps it where no crash of the journal's process reaches, and compares.
//!
//! A [writer](write_until_killed) is a child process with some senders. Each numbers its records, says what it is about to
//! do before it does it, and what was confirmed when it was. The [`Witness`] hears that through a pipe. What is then found in
//! the journal must be: each sender's records in order, each byte as it was sent; of each group all or none; nothing that was
//! not sent; everything that was confirmed and not settled, without a gap; and what was settled stays settled.

use super::Rng;
use super::child::{Said, say};
use redeliver::internals::{Entry, Journal, Level, Life, Position, Record, RecoveryReport, Settings, Urgency};
use redeliver::storage::FileStorage;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const SMALL: Settings = {
    let mut settings = Settings::DEFAULT;
    settings.segment_bytes = 64 << 10;
    settings
};

const MESSAGE: u8 = 1;
const SETTLED: u8 = 2;
const HEAD: usize = 16;
/// So many of its messages a sender leaves unsettled.
const UNSETTLED: usize = 40;
pub(crate) const SENDERS: u8 = 4;

/// Sender, and number.
type Name = (u8, u64);

/// The bytes of a message: who it is, the round in which it was sent, its place in its group, and noise.
fn body(name: Name, round: u32, place: (u8, u8)) -> Vec<u8> {
    let (sender, number) = name;
    let mut rng = Rng(number << 32 ^ u64::from(round) << 8 ^ u64::from(sender));
    let most = [40, 600, 6000][rng.below(3) as usize];
    let mut body = Vec::with_capacity(HEAD + most as usize);
    body.extend_from_slice(&number.to_le_bytes());
    body.extend_from_slice(&round.to_le_bytes());
    body.extend_from_slice(&[sender, place.0, place.1, 0]);
    (0..rng.below(most)).for_each(|_| body.push(rng.draw() as u8));
    body
}

fn name_of(body: &[u8]) -> (Name, u32) {
    let number = u64::from_le_bytes(body[..8].try_into().unwrap());
    ((body[12], number), u32::from_le_bytes(body[8..12].try_into().unwrap()))
}

/// What a journal has told.
#[derive(Default)]
pub(crate) struct Told {
    /// In the order in which they were told.
    messages: Vec<(Name, u32, Position)>,
    settled: BTreeSet<Name>,
    last: Position,
}

impl Told {
    pub(crate) fn take(&mut self, group: &[Record<'_>]) {
        for (nth, record) in group.iter().enumerate() {
            assert!(record.position > self.last, "{} was told behind {}", record.position, self.last);
            self.last = record.position;
            let (name, round) = name_of(record.body);
            match record.kind {
                SETTLED => drop(self.settled.insert(name)),
                kind => {
                    assert_eq!(kind, MESSAGE);
                    let place = (nth as u8, group.len() as u8);
                    assert!(record.body == body(name, round, place), "{name:?} of round {round} is not what was sent");
                    self.messages.push((name, round, record.position));
                }
            }
        }
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages.len() as u64
    }

    fn numbers(&self, sender: u8) -> Vec<u64> {
        self.messages.iter().filter(|((of, _), ..)| *of == sender).map(|((_, number), ..)| *number).collect()
    }
}

pub(crate) fn open(path: &Path, settings: Settings, seed: u64) -> (Journal, RecoveryReport, Told) {
    let mut told = Told::default();
    let storage = Arc::new(FileStorage::create(path).unwrap());
    let opened = Journal::open(storage, settings, seed, |group| told.take(group));
    let (journal, report) = opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (journal, report, told)
}

/// What is known of one sender. All up to these numbers is …
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    begun: u64,
    written: u64,
    synced: u64,
    settling: u64,
    settled_written: u64,
    settled_synced: u64,
}

/// What was sent and is not there, as it may be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    pub(crate) messages: u64,
    /// Confirmed as written, of those.
    pub(crate) written: u64,
    /// How long before the end the oldest of these was confirmed.
    pub(crate) written_before: Duration,
}

#[derive(Default)]
pub(crate) struct Witness {
    known: BTreeMap<u8, Known>,
    /// What the journal told last time, and in which round it was sent.
    before: BTreeMap<Name, u32>,
    round: u32,
    pub(crate) confirmed: u64,
    pub(crate) settled: u64,
    /// When the last of the messages was confirmed as written.
    written_at: BTreeMap<Name, Instant>,
}

impl Witness {
    pub(crate) fn hear(&mut self, said: &[Said]) {
        for (when, line) in said {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, sender, number] = words[..] else { continue };
            let (sender, number): (u8, u64) = (sender.parse().unwrap(), number.parse().unwrap());
            let known = self.known.entry(sender).or_default();
            let most = match what {
                "begin" => vec![&mut known.begun],
                "written" => vec![&mut known.written],
                "synced" => vec![&mut known.written, &mut known.synced],
                "settle" => vec![&mut known.settling],
                "settled-written" => vec![&mut known.settled_written],
                "settled-synced" => vec![&mut known.settled_written, &mut known.settled_synced],
                _ => panic!("{line}"),
            };
            most.into_iter().for_each(|most| *most = number.max(*most));
            self.confirmed += u64::from(matches!(what, "written" | "synced"));
            self.settled += u64::from(what.starts_with("settled"));
            if what == "written" {
                self.written_at.insert((sender, number), *when);
            }
        }
    }

    /// Compares what was told with what was confirmed at this level, and takes it for what there is from now on. Says what is
    /// gone of the rest; the journal's process, or its machine, ended at `end`.
    pub(crate) fn check(&mut self, told: &Told, level: Level, end: Instant) -> Lost {
        let round = self.round;
        let mut lost = Lost::default();
        for (&sender, known) in &mut self.known {
            let numbers = told.numbers(sender);
            assert!(
                numbers.is_sorted_by(|a, b| a < b),
                "round {round}: {numbers:?} of sender {sender} are in no order"
            );
            let last = numbers.last().copied().unwrap_or(0);
            // Of those that are settled, whole segments may be gone. Behind them there is no gap.
            let unsettled: Vec<u64> = numbers.iter().copied().filter(|number| *number > known.settling).collect();
            let has_gap = !unsettled.iter().copied().eq(known.settling + 1..=last);
            assert!(!has_gap, "round {round}: sender {sender} has a gap in {unsettled:?}: {known:?}");
            let (confirmed, settled) = match level {
                Level::Synced => (known.synced, known.settled_synced),
                _ => (known.written, known.settled_written),
            };
            assert!(last <= known.begun, "round {round}: sender {sender} never sent {last}: {known:?}");
            let is_there = confirmed <= known.settling || last >= confirmed;
            assert!(is_there, "round {round}: sender {sender} has no more than {last}: {known:?}");
            for number in numbers.iter().filter(|number| **number <= settled) {
                assert!(
                    told.settled.contains(&(sender, *number)),
                    "round {round}: {sender}/{number} is not settled any more"
                );
            }
            let missing = self.written_at.iter().filter(|((of, number), _)| *of == sender && *number > last);
            let ages = missing.map(|(_, when)| end.saturating_duration_since(*when));
            lost.written_before = lost.written_before.max(ages.max().unwrap_or_default());
            lost.messages += known.begun.saturating_sub(last);
            lost.written += known.written.saturating_sub(last);
            let settled = known.settling.min(last);
            let of_settled = |number: u64| number.min(settled);
            *known = Known {
                begun: last,
                written: last,
                synced: last,
                settling: settled,
                settled_written: of_settled(known.settled_written),
                settled_synced: of_settled(known.settled_synced),
            };
        }
        for (name, of, _) in &told.messages {
            let expected = self.before.get(name).copied().unwrap_or(round);
            assert_eq!(*of, expected, "round {round}: {name:?} is a message of another round");
        }
        self.before = told.messages.iter().map(|(name, of, _)| (*name, *of)).collect();
        self.written_at.clear();
        lost
    }

    pub(crate) fn next_round(&mut self) {
        self.round += 1;
    }
}

/// What a child does: opens the journal, and writes until it is killed, or until the journal refuses.
pub(crate) fn write_until_killed(path: &Path, settings: Settings, round: u32, seed: u64, senders: u8) {
    say("opening");
    let mut told = Told::default();
    let opened = FileStorage::create(path).map_err(|error| error.to_string()).and_then(|storage| {
        let opened = Journal::open(Arc::new(storage), settings, seed, |group| told.take(group));
        opened.map_err(|error| error.to_string())
    });
    let journal = match opened {
        Ok((journal, _)) => journal,
        Err(error) => return say(format_args!("refused: {error}")),
    };
    journal.serve().unwrap();
    say("opened");
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let mut writer = Writer::new(&journal, &told, sender, round, seed);
            if sender < senders {
                scope.spawn(move || while writer.step() {});
            }
        }
    });
    say("ended");
}

struct Writer<'j> {
    journal: &'j Journal,
    sender: u8,
    round: u32,
    rng: Rng,
    next: u64,
    unsettled: VecDeque<(u64, Position)>,
}

impl<'j> Writer<'j> {
    fn new(journal: &'j Journal, told: &Told, sender: u8, round: u32, seed: u64) -> Writer<'j> {
        let mine = told.messages.iter().filter(|((of, _), ..)| *of == sender);
        let mut writer = Writer {
            journal,
            sender,
            round,
            rng: Rng(seed ^ u64::from(sender) << 40),
            next: 1,
            unsettled: VecDeque::new(),
        };
        for ((_, number), _, position) in mine {
            writer.next = number + 1;
            if told.settled.contains(&(sender, *number)) {
                journal.release(*position);
            } else {
                writer.unsettled.push_back((*number, *position));
            }
        }
        writer
    }

    /// False: the journal takes nothing any more.
    fn step(&mut self) -> bool {
        if self.unsettled.len() > UNSETTLED { self.settle() } else { self.send() }
    }

    fn send(&mut self) -> bool {
        let (sender, of) = (self.sender, if self.rng.below(4) == 0 { 3 } else { 1 });
        let last = self.next + u64::from(of) - 1;
        say(format_args!("begin {sender} {last}"));
        let bodies: Vec<_> =
            (0..of).map(|nth| body((sender, self.next + u64::from(nth)), self.round, (nth, of))).collect();
        let group: Vec<_> = bodies.iter().map(|body| Entry { kind: MESSAGE, life: Life::Held, body }).collect();
        let Ok(appended) = self.journal.append(&group, Urgency::Normal) else { return false };
        self.unsettled.extend((self.next..=last).zip(appended.positions));
        self.next = last + 1;
        match self.rng.below(4) {
            // Nobody waits for it.
            0 => return true,
            1 => drop(self.journal.receipt(appended.end, Level::Written)),
            2 if self.journal.commit(appended.end, Level::Written).is_ok() => {
                say(format_args!("written {sender} {last}"))
            }
            3 if self.journal.commit(appended.end, Level::Synced).is_ok() => {
                say(format_args!("synced {sender} {last}"))
            }
            _ => return false,
        }
        true
    }

    fn settle(&mut self) -> bool {
        let sender = self.sender;
        let Some((number, position)) = self.unsettled.pop_front() else { return true };
        say(format_args!("settle {sender} {number}"));
        let of = [position.segment()];
        let name = body((sender, number), 0, (0, 0));
        let effect = Entry { kind: SETTLED, life: Life::Effect(&of), body: &name[..HEAD] };
        let Ok((_, end)) = self.journal.append_one(effect, Urgency::FreesRoom) else { return false };
        self.journal.release(position);
        match self.rng.below(8) {
            0 if self.journal.commit(end, Level::Synced).is_ok() => {
                say(format_args!("settled-synced {sender} {number}"))
            }
            1..4 if self.journal.commit(end, Level::Written).is_ok() => {
                say(format_args!("settled-written {sender} {number}"));
            }
            4.. => {}
            _ => return false,
        }
        true
    }
}
