//! Group commit: many threads write one journal, and share its flushes.
//!
//! A sender copies its records into the frames that wait, under a short lock. Whoever then waits for them *leads*: it
//! writes all that waits, in one call, and flushes it if that is what it waits for; who comes meanwhile waits for that and
//! finds its records written, or leads the next. So a lone sender pays for its own write and flush and for no hand-over, and
//! of a hundred senders one does the work of all. There is no delay in which a commit waits for company.
//!
//! Writing and flushing are two roles, so that who wants no flush does not wait for one. What nobody waits for is
//! committed by [`tick`](Journal::tick), and so are flushes in time, commit marks, and the freeing of segments;
//! [`serve`](Journal::serve) starts a thread that calls it.
//!
//! A write or flush of which nobody knows what it left behind poisons the journal: nothing is confirmed from then on, and
//! whoever waits is told `Unknown`.

mod close;
mod lead;
#[cfg(all(test, loom))]
mod models;
mod receipt;
mod reclaim;
mod roll;
mod serve;
mod tick;

use crate::clock::{Clock, SystemClock};
use crate::journal::{
    self, AppendError, CommitError, Entry, Log, OpenError, Poison, Position, Record, RecoveryReport, Sealed, Settings,
    Urgency,
};
use crate::panics::contained;
use crate::storage::Storage;
use crate::sync::{Mutex, OnceLock, Thread, current, park};
use crate::wait::{Sleeper, Waiters};
use std::io;
use std::sync::Arc;

pub use receipt::Receipt;

/// How durable something must be to count as confirmed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Level {
    /// The file system has it: it survives the process, and the machine's power but for the last 100 ms.
    Written,
    /// The disk has it.
    Synced,
}

/// A group that was put into the journal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Appended {
    /// Where its records are, one each.
    pub positions: Vec<Position>,
    /// Behind the last of them: what is confirmed up to here holds the group.
    pub end: Position,
}

/// More than this does not wait in memory: who appends writes first.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// A journal that many threads write. Cheap to clone; when the last one is gone it is [closed](Self::close).
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    _handles: Arc<close::Handles>,
}

struct Shared {
    state: Mutex<State>,
    /// Who waits for a role, or for progress.
    waiters: Waiters,
    storage: Arc<dyn Storage>,
    process: u32,
    group_bytes_max: u64,
    /// Of the thread that ticks, if there is one.
    thread: OnceLock<Thread>,
}

struct State {
    /// None when it is closed.
    log: Option<Log>,
    /// All before this position was on the disk when it was closed.
    end: Position,
    is_writing: bool,
    is_syncing: bool,
    /// The next segment is being made, or the reserve: who wants to append waits.
    is_rolling: bool,
    is_reclaiming: bool,
    /// Nothing is appended any more.
    is_closing: bool,
    /// What is being written begins with a block.
    writes_block: bool,
    /// Who waits to flush wants what is written from now on to end with its block.
    wants_block: bool,
    /// Filled while the other one is written.
    spare: Vec<u8>,
    /// What was put between these positions will never be written: the disk was full.
    given_up: Vec<(Position, Position)>,
    poison: Option<Poison>,
    tick: tick::Due,
}

impl Journal {
    /// Opens the journal in this directory, or makes one if it is empty. `tell` gets every group of records, in order.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] that says what is wrong and where, and what may have been changed.
    pub fn open(
        storage: Arc<dyn Storage>,
        settings: Settings,
        seed: u64,
        mut tell: impl FnMut(&[Record<'_>]),
    ) -> Result<(Journal, RecoveryReport), OpenError> {
        let began = SystemClock.now();
        let (log, mut report) = journal::open(storage.clone(), settings, seed, &mut tell)?;
        report.took = SystemClock.now().saturating_duration_since(began);
        let state = State {
            log: Some(log),
            end: Position::START,
            is_writing: false,
            is_syncing: false,
            is_rolling: false,
            is_reclaiming: false,
            is_closing: false,
            writes_block: true,
            wants_block: false,
            spare: Vec::new(),
            given_up: Vec::new(),
            poison: None,
            tick: tick::Due::default(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            waiters: Waiters::new(),
            storage,
            process: std::process::id(),
            group_bytes_max: Log::group_bytes_max(&settings),
            thread: OnceLock::new(),
        };
        let shared = Arc::new(shared);
        let handles = close::Handles::new(shared.clone());
        Ok((Journal { shared, _handles: Arc::new(handles) }, report))
    }

    /// Puts a group of records behind all others: recovered as a whole, or not at all. It is confirmed by
    /// [`commit`](Self::commit), not by this.
    ///
    /// # Errors
    ///
    /// An [`AppendError`]: it was not put, and will not be found.
    pub fn append(&self, group: &[Entry<'_>], urgency: Urgency) -> Result<Appended, AppendError> {
        let mut positions = Vec::with_capacity(group.len());
        let sealed: Vec<_> = group.iter().copied().map(Sealed::new).collect();
        let end = self.put(&sealed, urgency, |position| positions.push(position))?;
        Ok(Appended { positions, end })
    }

    /// As [`append`](Self::append), of one record; says where it is and where it ends.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_one(&self, entry: Entry<'_>, urgency: Urgency) -> Result<(Position, Position), AppendError> {
        let mut at = Position::START;
        let end = self.put(&[Sealed::new(entry)], urgency, |position| at = position)?;
        Ok((at, end))
    }

    fn put(
        &self,
        group: &[Sealed<'_>],
        urgency: Urgency,
        mut at: impl FnMut(Position),
    ) -> Result<Position, AppendError> {
        let shared = &*self.shared;
        if std::process::id() != shared.process {
            return Err(AppendError::Forked);
        }
        let (bytes, bytes_max) = (Log::group_bytes(group), shared.group_bytes_max);
        if bytes > bytes_max {
            return Err(AppendError::TooLarge { bytes, bytes_max });
        }
        loop {
            let mut state = shared.state.lock();
            if state.is_rolling {
                drop(state);
                shared.wait_for(|state| (!state.is_rolling).then_some(()));
                continue;
            }
            let log = state.usable()?;
            let has_reserve = log.has_reserve() || urgency == Urgency::FreesRoom;
            let (number, fits) = (log.tail.id.number, log.tail.fits(group));
            if has_reserve && fits && log.tail.waiting_bytes() < WAITING_BYTES_MAX {
                let end = log.put(group, &mut at);
                let wakes = state.tick.is_asleep();
                drop(state);
                if wakes {
                    shared.wake_thread();
                }
                return Ok(end);
            }
            drop(state);
            let done = match (has_reserve, fits) {
                (false, _) => shared.restore_reserve(),
                (true, false) => shared.roll(number, urgency),
                (true, true) => shared.write_what_waits(),
            };
            match done {
                Err(AppendError::Full) if shared.makes_room() => {}
                done => done?,
            }
        }
    }

    /// Waits until all before `end` is as durable as this, and does what is needed for that.
    ///
    /// # Errors
    ///
    /// [`Unknown`](CommitError::Unknown): the journal is poisoned, and what was appended may or may not survive.
    /// [`Full`](CommitError::Full): the disk is full, and what was appended will not be found.
    pub fn commit(&self, end: Position, level: Level) -> Result<(), CommitError> {
        self.shared.commit(end, level)
    }

    /// A receipt for what was appended up to `end`: waits, or is awaited, and needs [`serve`](Self::serve) for the latter.
    /// Until somebody waits or looks nothing is done for it but what is due anyway: who has it may be about to append more, and
    /// one flush is enough for all.
    pub fn receipt(&self, end: Position, level: Level) -> Receipt {
        Receipt::new(self.shared.clone(), end, level)
    }

    /// A held record is needed no more: its segment may go when nothing lives in it.
    pub fn release(&self, position: Position) {
        let mut state = self.shared.state.lock();
        let Some(log) = &mut state.log else { return };
        log.segments.release(position.segment());
        let wakes = log.segments.may_be_free() && state.tick.is_asleep();
        drop(state);
        if wakes {
            self.shared.wake_thread();
        }
    }

    /// Says goodbye: all that was appended is flushed, and where the journal ends is written down, so that a shorter one is
    /// known for damage. Appending fails with [`AppendError::Closed`] from then on.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit); the directory is unlocked in any case.
    pub fn close(&self) -> Result<(), CommitError> {
        self.shared.close()
    }

    /// Why it confirms nothing any more, if that is so.
    pub fn poison(&self) -> Option<Poison> {
        self.shared.state.lock().poison.clone()
    }

    /// How it is doing.
    pub fn health(&self) -> Health {
        let state = self.shared.state.lock();
        let Some(log) = &state.log else { return Health::default() };
        Health {
            segments: log.segments.len() as u64,
            held: log.segments.held(),
            disk_bytes: log.disk_bytes(),
            held_bytes: log.segments.held_bytes(),
            spares: log.spares(),
            has_reserve: log.has_reserve(),
            written: log.written,
            synced: log.synced,
        }
    }
}

/// How a journal is doing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Health {
    pub segments: u64,
    /// Records that were not released.
    pub held: u64,
    /// All of its files, with what is taken in advance.
    pub disk_bytes: u64,
    /// About what the held records take.
    pub held_bytes: u64,
    pub spares: usize,
    /// Room is set aside for what frees room.
    pub has_reserve: bool,
    pub written: Position,
    pub synced: Position,
}

impl State {
    /// The log, unless nothing may be appended any more.
    fn usable(&mut self) -> Result<&mut Log, AppendError> {
        if self.is_closing {
            return Err(AppendError::Closed);
        }
        self.sound()
    }

    /// The log, also of a journal that is being closed, unless it is poisoned.
    fn sound(&mut self) -> Result<&mut Log, AppendError> {
        if let Some(poison) = &self.poison {
            return Err(poison.clone().into());
        }
        self.log.as_mut().ok_or(AppendError::Closed)
    }
}

impl Shared {
    /// Sleeps until `ready` has an answer. It is asked under the lock, whenever something has changed.
    fn wait_for<R>(&self, mut ready: impl FnMut(&mut State) -> Option<R>) -> R {
        loop {
            if let Some(answer) = ready(&mut self.state.lock()) {
                return answer;
            }
            let ticket = self.waiters.join(Sleeper::Thread(current()), 0);
            // After `join`: what changes from now on wakes this thread.
            let answer = ready(&mut self.state.lock());
            while answer.is_none() && self.waiters.is_waiting(ticket) {
                park();
            }
            self.waiters.leave(ticket);
            if let Some(answer) = answer {
                return answer;
            }
        }
    }

    /// Something has changed, and the lock that it was changed under is released.
    fn changed(&self) {
        if self.waiters.is_due() {
            self.waiters.wake_all();
        }
    }

    fn poison(&self, doing: &'static str, error: io::Error) -> Poison {
        let poison = Poison { doing, error: Arc::new(error) };
        self.state.lock().poison.get_or_insert(poison).clone()
    }

    fn wake_thread(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// The storage is the user's code: if it panics, that is one more way to fail.
fn guarded<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    contained(call).unwrap_or_else(|| Err(io::Error::other("the storage panicked")))
}
