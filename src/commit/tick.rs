//! What has to be done in time although nobody waits for it: receipts, flushes, commit marks, freed segments.

use super::{Journal, Level, Shared, State, guarded};
use crate::journal::{Log, Position, Urgency};
use std::time::{Duration, Instant};

/// What was written is flushed within this time, and what was flushed is behind a commit mark.
const WINDOW: Duration = Duration::from_millis(100);
/// What was taken in advance is kept so long without anybody who writes.
const IDLE: Duration = Duration::from_secs(10);

/// What waits for a tick.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Up to where somebody has looked at a receipt.
    written: Position,
    synced: Position,
    /// Since when something is to be flushed or marked.
    since: Option<Instant>,
    idle_since: Option<Instant>,
    /// The thread sleeps until it is woken.
    is_asleep: bool,
}

impl Due {
    pub(super) fn is_asleep(&self) -> bool {
        self.is_asleep
    }
}

enum Duty {
    Commit(Position, Level),
    Mark,
    Reclaim,
    GiveBack,
    /// Nothing before this time, or before something happens.
    Rest(Option<Instant>),
}

impl Journal {
    /// Does what is due at `now`, which never goes back. Says when it wants to be called again; none: after the next append.
    pub fn tick(&self, now: Instant) -> Option<Instant> {
        self.shared.tick(now)
    }
}

impl Shared {
    pub(super) fn tick(&self, now: Instant) -> Option<Instant> {
        loop {
            let duty = {
                let mut state = self.state.lock();
                let duty = state.duty(now);
                state.tick.is_asleep = matches!(duty, Duty::Rest(None));
                duty
            };
            let is_done = match duty {
                Duty::Commit(end, level) => self.commit(end, level).is_ok(),
                Duty::Mark => self.mark(),
                Duty::Reclaim => self.reclaim().is_ok(),
                Duty::GiveBack => self.give_back(),
                Duty::Rest(until) => return until,
            };
            if !is_done {
                // It failed, and whoever it concerns is told so. Not again before its time.
                return Some(now + WINDOW);
            }
        }
    }

    /// A frame without records, whose mark says that all before it is safe.
    fn mark(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_rolling {
            return false; // the next segment begins with a mark
        }
        let Ok(log) = state.usable() else { return false };
        if !log.tail.fits(&[]) {
            let number = log.tail.id.number;
            drop(state);
            return self.roll(number, Urgency::FreesRoom).is_ok();
        }
        log.put_mark();
        let end = log.tail.end();
        drop(state);
        self.commit(end, Level::Synced).is_ok()
    }

    /// Nobody writes: what was taken in advance goes back to the file system, and whoever writes next takes it again.
    fn give_back(&self) -> bool {
        let is_mine = self.wait_for(|state| match state.usable() {
            Ok(log) if log.synced >= log.tail.end() => state.begin_roll().then_some(true),
            _ => Some(false),
        });
        if !is_mine {
            return false;
        }
        let plan = self.state.lock().sound().ok().map(Log::plan_trim);
        let done = plan.map(|plan| (guarded(|| plan.run(&*self.storage)), plan));
        let trimmed = match done {
            Some((Ok(()), plan)) => self.state.lock().sound().map(|log| log.adopt_trimmed(&plan)).is_ok(),
            Some((Err(error), _)) => {
                self.poison("giving room back", error);
                false
            }
            None => false,
        };
        self.state.lock().end_roll();
        self.changed();
        trimmed
    }
}

impl State {
    /// Somebody looks at a receipt: the next tick sees to it.
    pub(super) fn want(&mut self, end: Position, level: Level) {
        let due = match level {
            Level::Written => &mut self.tick.written,
            Level::Synced => &mut self.tick.synced,
        };
        *due = end.max(*due);
    }

    fn duty(&mut self, now: Instant) -> Duty {
        let State { log: Some(log), poison: None, is_rolling: false, tick: due, .. } = self else {
            return Duty::Rest(None);
        };
        if due.synced > log.synced && due.synced <= log.tail.end() {
            return Duty::Commit(due.synced, Level::Synced);
        }
        if due.written > log.written && due.written <= log.tail.end() {
            return Duty::Commit(due.written, Level::Written);
        }
        // Before what waits for its time: who writes without a pause always has something that does.
        if log.segments.may_be_free() && !log.segments.free().is_empty() {
            return Duty::Reclaim;
        }
        let is_dirty = log.tail.end() > log.synced;
        if is_dirty || log.needs_mark() {
            due.idle_since = None;
            let since = *due.since.get_or_insert(now);
            if now < since + WINDOW {
                return Duty::Rest(Some(since + WINDOW));
            }
            due.since = None;
            return if is_dirty { Duty::Commit(log.tail.end(), Level::Synced) } else { Duty::Mark };
        }
        due.since = None;
        if log.is_trimmed() {
            return Duty::Rest(None);
        }
        let since = *due.idle_since.get_or_insert(now);
        if now < since + IDLE { Duty::Rest(Some(since + IDLE)) } else { Duty::GiveBack }
    }
}
