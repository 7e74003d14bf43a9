//! Goes through a script, on a disk that may fail, and keeps the list.

use crate::calls::{CallLog, Logged};
use crate::checker::{Ending, Opened, compare, ensure, open};
use crate::faults::Kind;
use crate::list::{Item, List, NEVER, SEND, SETTLE};
use crate::scripts::{Script, Step};
use redeliver::internals::{
    AppendError, CommitError, Entry, Journal, Level, Life, OpenError, Position, Settings, Urgency,
};
use redeliver::storage::{SimulatedDisk, Storage};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An opening in the script: its calls, and which of them was the first to change something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) from: u64,
    pub(crate) first_change: u64,
    pub(crate) to: u64,
}

pub(crate) struct Run {
    pub(crate) settings: Settings,
    pub(crate) disk: SimulatedDisk,
    pub(crate) list: List,
    pub(crate) journal: Option<Journal>,
    /// Calls of the disks before this one.
    before: u64,
    now: Instant,
    seed: u64,
    /// The disk after each number of calls, if they are kept.
    pub(crate) moments: Option<Vec<SimulatedDisk>>,
    pub(crate) openings: Vec<Opening>,
    /// The power was cut after a flush had lied.
    pub(crate) was_lied_to: bool,
    /// There is a flush that lies, and the power may not fail any more.
    pub(crate) has_liar: bool,
    /// Errors that an opening gave; all faults are taken back then.
    pub(crate) failed_openings: u64,
    pub(crate) unchanged_openings: u64,
    pub(crate) poisonings: u64,
    pub(crate) fulls: u64,
    pub(crate) refusals: u64,
    /// The openings of a run without faults, until the first fault the same.
    pub(crate) known: Vec<Opening>,
    /// The cache has survived since the journal was last open.
    keeps_cache: bool,
    /// Which calls were made, if that is kept.
    pub(crate) log: Option<CallLog>,
    fault: Option<(u64, Kind, bool)>,
    /// How far it was when it was poisoned.
    poisoned_at: Option<Position>,
}

/// The error of a run that cannot go on: a flush has lied, and the power was cut.
pub(crate) const LIED: &str = "lied to";

impl Run {
    pub(crate) fn new(script: &Script, disk: SimulatedDisk) -> Run {
        disk.set_room(u64::MAX);
        Run {
            settings: script.settings,
            disk,
            list: List::new(),
            journal: None,
            before: 0,
            now: start(),
            seed: 1,
            moments: None,
            openings: Vec::new(),
            was_lied_to: false,
            has_liar: false,
            failed_openings: 0,
            unchanged_openings: 0,
            refusals: 0,
            known: Vec::new(),
            keeps_cache: true,
            log: None,
            fault: None,
            poisoned_at: None,
            poisonings: 0,
            fulls: 0,
        }
    }

    /// The call with that number fails.
    pub(crate) fn plan(&mut self, op: u64, kind: Kind, is_for_good: bool) {
        self.disk.fail(kind.fault(op, is_for_good));
        self.fault = Some((op, kind, is_for_good));
    }

    pub(crate) fn record(&mut self) {
        self.moments = Some(Vec::new());
        self.log = Some(CallLog::default());
        self.disk.record_moments();
    }

    pub(crate) fn calls(&self) -> u64 {
        self.before + self.disk.calls()
    }

    pub(crate) fn go(&mut self, script: &Script) -> Result<(), String> {
        for (n, step) in script.steps.iter().enumerate() {
            match self.step(step).and_then(|()| self.look()) {
                Err(why) if why == LIED => break,
                done => done.map_err(|why| format!("step {n} {step:?}: {why}"))?,
            }
        }
        if let Some(moments) = &mut self.moments {
            moments.extend(self.disk.take_moments());
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        let now = self.calls();
        let Some(journal) = &self.journal else { return Ok(()) };
        self.list.look(journal, now);
        let health = journal.health();
        ensure!(health.spares <= self.settings.spares_max, "{} spares", health.spares);
        if journal.poison().is_some() {
            self.list.written_is_void = self.list.written_is_void.min(now);
            let then = *self.poisoned_at.get_or_insert(health.synced);
            ensure!(then == health.synced, "a poisoned journal goes on to confirm");
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Open => self.open(),
            Step::Settings(settings) => {
                self.settings = settings;
                Ok(())
            }
            Step::Send(count, bytes, level) => (0..count).try_for_each(|_| self.send(1, bytes, Some(level)).map(drop)),
            Step::Batch(count, bytes, level) => {
                let mut last = None;
                for _ in 0..count {
                    last = self.send(1, bytes, None)?.or(last);
                }
                last.map_or(Ok(()), |end| self.commit(end, level).map(drop))
            }
            Step::Group(records, bytes, level) => self.send(records, bytes, Some(level)).map(drop),
            Step::Fill(bytes) => {
                while self.list.items.iter().filter(|item| item.full != NEVER).count() == 0 {
                    if self.list.items.len() > 200 && (self.fault.is_some() || self.failed_openings > 0) {
                        break;
                    }
                    ensure!(self.list.items.len() < 2000, "the disk is never full");
                    if self.send(1, bytes, Some(Level::Synced))?.is_none() {
                        break;
                    }
                }
                Ok(())
            }
            Step::Settle { count, skip, level } => {
                for message in self.list.alive().into_iter().skip(skip).take(count).collect::<Vec<_>>() {
                    self.settle(message, level)?;
                }
                Ok(())
            }
            Step::Reclaim => {
                if let Some(journal) = &self.journal {
                    let _ = journal.reclaim();
                }
                Ok(())
            }
            Step::Compact { is_forced } => self.compact(is_forced),
            Step::Tick(ms) => {
                self.now += Duration::from_millis(ms);
                if let Some(journal) = &self.journal {
                    journal.tick(self.now);
                }
                Ok(())
            }
            Step::Close => {
                if let Some(journal) = self.journal.take() {
                    let closed = journal.close();
                    let now = self.calls();
                    if closed.is_ok() {
                        let items = self.list.items.iter_mut().filter(|item| item.full == NEVER && item.gone == NEVER);
                        for item in items {
                            match journal.commit(item.end, Level::Synced) {
                                Ok(()) => item.synced = item.synced.min(now),
                                Err(CommitError::Full) => item.full = item.full.min(now),
                                Err(error) => return Err(format!("closed, and says {error}")),
                            }
                        }
                    } else {
                        self.list.written_is_void = self.list.written_is_void.min(now);
                    }
                }
                Ok(())
            }
            Step::Kill => {
                let left = self.disk.kill();
                self.go_on_with(left);
                Ok(())
            }
            Step::Cut(loss) => {
                self.was_lied_to |= self.has_liar;
                self.keeps_cache = false;
                let now = self.calls();
                self.list.items.iter_mut().for_each(|item| item.cut = item.cut.min(now));
                let left = self.disk.after_power_cut(&loss);
                self.go_on_with(left);
                Ok(())
            }
            Step::Room(bytes) => {
                self.disk.set_room(bytes);
                Ok(())
            }
        }
    }

    fn go_on_with(&mut self, next: SimulatedDisk) {
        if let Some(moments) = &mut self.moments {
            // The last of these is the first of the next disk.
            moments.extend(self.disk.take_moments());
            moments.pop();
            next.record_moments();
        }
        self.before += self.disk.calls();
        match self.fault {
            Some((op, kind, is_for_good)) if op >= self.before => next.fail(kind.fault(op - self.before, is_for_good)),
            Some((_, kind, true)) => next.fail(kind.fault(0, true)),
            _ => {}
        }
        // The old disk is another world: what is closed there is of no account.
        if let Some(log) = &mut self.log {
            let so_far = log.lock().unwrap().clone();
            *log = Arc::new(std::sync::Mutex::new(so_far));
        }
        self.disk = next;
        self.journal = None;
    }

    fn open(&mut self) -> Result<(), String> {
        // In the last handle's drop there is a close.
        self.journal = None;
        for _ in 0..3 {
            self.seed += 1;
            let (from, print) = (self.calls(), self.disk.fingerprint());
            let opened = open(self.storage(), self.settings, self.seed);
            let now = self.calls();
            match opened {
                Ok(opened) => {
                    self.openings.push(Opening { from, first_change: NEVER, to: now });
                    return self.adopt(opened, from);
                }
                Err(_) if self.was_lied_to => return Err(LIED.into()),
                Err(error @ (OpenError::Storage { .. } | OpenError::Full { .. })) => {
                    let known = self.known.iter().find(|opening| opening.from == from);
                    if known.is_some_and(|known| now <= known.first_change) {
                        ensure!(self.disk.fingerprint() == print, "an opening that failed has changed something");
                        self.unchanged_openings += 1;
                    }
                    self.failed_openings += 1;
                    self.fault = None;
                    self.disk.heal();
                    if matches!(error, OpenError::Full { .. }) {
                        self.disk.set_room(u64::MAX);
                    }
                }
                Err(error) => return Err(format!("our own directory, and the error is: {error}")),
            }
        }
        Err("does not open without a fault".into())
    }

    fn storage(&self) -> Arc<dyn Storage> {
        match &self.log {
            Some(log) => Arc::new(Logged { disk: self.disk.clone(), log: log.clone() }),
            None => Arc::new(self.disk.clone()),
        }
    }

    /// What was told is what there is from now on.
    fn adopt(&mut self, opened: Opened, from: u64) -> Result<(), String> {
        let Opened { journal, report, told } = opened;
        let (keeps_cache, was_lied_to) = (self.keeps_cache, self.was_lied_to);
        compare(&self.list, &told, Ending { calls: from, keeps_cache, was_lied_to })?;
        ensure!(was_lied_to || report.damage.is_empty(), "damage where there was none: {:?}", report.damage);
        self.keeps_cache = true;
        let now = self.calls();
        let items = &mut self.list.items;
        let mut is_told = vec![false; items.len()];
        // By message: settled, or in a later copy.
        let (mut is_settled, mut latest) = (vec![false; self.list.ids as usize], vec![0; self.list.ids as usize]);
        for (number, record) in told.iter().flatten().filter_map(|record| Some((record.number()?, record))) {
            let item = &mut items[number];
            (item.at, item.end) = (record.position, record.position);
            (item.written, item.synced) = (item.written.min(now), item.synced.min(now));
            is_told[number] = true;
            match item.kind {
                SETTLE => is_settled[item.id as usize] = true,
                _ => latest[item.id as usize] = number,
            }
        }
        for (number, item) in items.iter_mut().enumerate().filter(|(_, item)| item.full == NEVER) {
            if !is_told[number] {
                item.gone = item.gone.min(now);
            } else if item.kind == SEND {
                if is_settled[item.id as usize] || latest[item.id as usize] != number {
                    item.released = item.released.min(now);
                    journal.release(item.at);
                } else {
                    item.released = NEVER;
                }
            }
        }
        self.poisoned_at = None;
        self.journal = Some(journal);
        Ok(())
    }

    /// Appends a group; says where it ends if it was taken.
    fn append(&mut self, numbers: &[usize], urgency: Urgency) -> Result<Option<Position>, String> {
        let Some(journal) = &self.journal else { return Ok(None) };
        let items = &self.list.items[numbers[0]..=numbers[numbers.len() - 1]];
        let life = |item: &'_ Item| if item.kind == SETTLE { None } else { Some(()) };
        let group: Vec<_> = items
            .iter()
            .map(|item| Entry {
                kind: item.kind,
                life: life(item).map_or(Life::Effect(&item.speaks_of), |()| Life::Held),
                body: &item.body,
            })
            .collect();
        let had_poison = journal.poison().is_some();
        let had_reserve = journal.health().has_reserve;
        let appended = journal.append(&group, urgency);
        // Without a fault no write finds the disk full, for its room was taken before.
        let takes_reserve = self.fault.is_none() && self.failed_openings == 0 && had_reserve;
        let is_left = !takes_reserve || urgency == Urgency::FreesRoom || journal.health().has_reserve;
        ensure!(is_left, "the reserve is used for what takes room");
        let now = self.calls();
        match appended {
            Ok(appended) => {
                ensure!(!had_poison, "a poisoned journal takes more");
                for (number, at) in numbers.iter().zip(&appended.positions) {
                    (self.list.items[*number].at, self.list.items[*number].end) = (*at, appended.end);
                }
                Ok(Some(appended.end))
            }
            Err(error) => {
                match error {
                    AppendError::Poisoned(_) => self.poisonings += 1,
                    AppendError::Full => self.fulls += 1,
                    AppendError::Storage(_) => self.refusals += 1,
                    error => return Err(format!("append says: {error}")),
                }
                numbers.iter().for_each(|number| self.list.items[*number].full = now);
                Ok(None)
            }
        }
    }

    fn send(&mut self, records: usize, bytes: usize, level: Option<Level>) -> Result<Option<Position>, String> {
        if self.journal.is_none() {
            return Ok(None);
        }
        let first = self.list.ids;
        self.list.ids += records as u32;
        let ids: Vec<_> = (first..self.list.ids).collect();
        let numbers = self.list.add(SEND, &ids, bytes, &[], self.calls());
        let end = self.append(&numbers, Urgency::Normal)?;
        if let (Some(end), Some(level)) = (end, level) {
            return Ok(self.commit(end, level)?.then_some(end));
        }
        Ok(end)
    }

    /// True: it is confirmed.
    fn commit(&mut self, end: Position, level: Level) -> Result<bool, String> {
        let Some(journal) = &self.journal else { return Ok(false) };
        let (had_poison, before) = (journal.poison().is_some(), journal.health());
        let result = journal.commit(end, level);
        let (now, poison) = (self.calls(), journal.poison());
        let known = journal.receipt(end, level).peek();
        let same = matches!(
            (&result, &known),
            (Ok(()), Some(Ok(())))
                | (Err(CommitError::Full), Some(Err(CommitError::Full)))
                | (Err(CommitError::Unknown(_)), Some(Err(CommitError::Unknown(_))))
        );
        ensure!(same, "the commit says {result:?}, and the receipt {known:?}");
        let items = self.list.items.iter_mut().filter(|item| item.end == end && item.gone == NEVER);
        match result {
            Ok(()) => {
                let was_reached = end <= if level == Level::Synced { before.synced } else { before.written };
                ensure!(!had_poison || was_reached, "a poisoned journal confirms");
                for item in items {
                    item.written = item.written.min(now);
                    if level == Level::Synced {
                        item.synced = item.synced.min(now);
                    }
                }
                Ok(true)
            }
            Err(CommitError::Full) => {
                self.fulls += 1;
                items.for_each(|item| item.full = item.full.min(now));
                Ok(false)
            }
            Err(_) => {
                ensure!(poison.is_some(), "unknown, and no poison");
                self.poisonings += 1;
                Ok(false)
            }
        }
    }

    /// Settles a message wherever it lies.
    fn settle(&mut self, message: usize, level: Option<Level>) -> Result<(), String> {
        let id = self.list.items[message].id;
        let places: Vec<_> = self.list.alive().into_iter().filter(|n| self.list.items[*n].id == id).collect();
        let mut segments: Vec<_> = places.iter().map(|n| self.list.items[*n].at.segment()).collect();
        segments.dedup();
        if places.is_empty() || self.journal.is_none() {
            return Ok(());
        }
        let numbers = self.list.add(SETTLE, &[id], 16, &segments, self.calls());
        let Some(end) = self.append(&numbers, Urgency::FreesRoom)? else { return Ok(()) };
        if let Some(level) = level {
            self.commit(end, level)?;
        }
        self.release(&places);
        Ok(())
    }

    fn release(&mut self, places: &[usize]) {
        let now = self.calls();
        for &number in places {
            let item = &mut self.list.items[number];
            if let Some(journal) = self.journal.as_ref().filter(|_| item.full == NEVER) {
                journal.release(item.at);
                item.released = now;
            }
        }
    }

    fn compact(&mut self, is_forced: bool) -> Result<(), String> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let oldest = || self.list.alive().first().map(|n| self.list.items[*n].at.segment());
        let Some(segment) = journal.compaction().or_else(|| oldest().filter(|_| is_forced)) else { return Ok(()) };
        let mut told = Vec::new();
        let read = journal.read_segment(segment, |record| told.push((record.position, record.body.to_vec())));
        if read.is_err() {
            return Ok(()); // of the segment that is being written, or a call has failed
        }
        let living: Vec<_> =
            self.list.alive().into_iter().filter(|n| self.list.items[*n].at.segment() == segment).collect();
        for number in living {
            let item = &self.list.items[number];
            ensure!(told.contains(&(item.at, item.body.clone())), "{number} is not read in segment {segment}");
            let (id, bytes) = (item.id, item.body.len());
            let copy = self.list.add(SEND, &[id], bytes, &[], self.calls());
            let end = self.append(&copy, Urgency::FreesRoom)?;
            if let Some(end) = end
                && self.commit(end, Level::Written)?
            {
                self.release(&[number]);
            }
        }
        Ok(())
    }
}

/// `Instant` has no beginning; this is as good as any.
fn start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}
