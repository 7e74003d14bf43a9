//! Who waits for a commit and finds a role free takes it: writes what waits, or flushes what is written.

use super::{Level, Shared, State, guarded};
use crate::journal::{AppendError, Chunk, CommitError, Position, is_full, write_full};
use crate::storage::StorageFile;
use std::sync::Arc;

pub(super) enum Step {
    Done(Result<(), CommitError>),
    Write(Chunk, Arc<dyn StorageFile>),
    /// All before this position is written.
    Flush(Position, Arc<dyn StorageFile>),
}

impl State {
    /// What is known of everything before `end`; none: nothing yet.
    pub(super) fn verdict(&self, end: Position, level: Level) -> Option<Result<(), CommitError>> {
        if self.given_up.iter().any(|(from, to)| *from < end && end <= *to) {
            return Some(Err(CommitError::Full));
        }
        let is_reached = match (&self.log, level) {
            (None, _) => self.end >= end,
            (Some(log), Level::Written) => log.written >= end.min(log.tail.end()),
            (Some(log), Level::Synced) => log.synced >= end.min(log.tail.end()),
        };
        if is_reached {
            return Some(Ok(()));
        }
        match &self.poison {
            Some(poison) => Some(Err(CommitError::Unknown(poison.clone()))),
            // Nobody will come as far any more.
            None => self.log.is_none().then_some(Err(CommitError::Closed)),
        }
    }

    /// What is to be done next so that all before `end` is confirmed; none: somebody else is at it.
    pub(super) fn next_step(&mut self, end: Position, level: Level) -> Option<Step> {
        if let Some(verdict) = self.verdict(end, level) {
            return Some(Step::Done(verdict));
        }
        let log = self.log.as_mut()?;
        if log.written < end {
            return self.begin_write(level == Level::Synced);
        }
        if self.is_syncing {
            return None;
        }
        // What comes next must not lie in the last block of what is flushed.
        if !log.tail.keeps_off() {
            return self.begin_write(true);
        }
        if self.is_writing && !self.writes_block {
            self.wants_block = true;
            return None;
        }
        self.is_syncing = true;
        Some(Step::Flush(log.written, log.file()))
    }

    fn begin_write(&mut self, to_flush: bool) -> Option<Step> {
        if self.is_writing {
            self.wants_block |= to_flush;
            return None;
        }
        let to_flush = to_flush || std::mem::take(&mut self.wants_block);
        let log = self.log.as_mut()?;
        let chunk = log.take(to_flush, std::mem::take(&mut self.spare))?;
        self.is_writing = true;
        self.writes_block = chunk.begins_block();
        Some(Step::Write(chunk, log.file()))
    }
}

impl Shared {
    pub(super) fn commit(&self, end: Position, level: Level) -> Result<(), CommitError> {
        loop {
            match self.wait_for(|state| state.next_step(end, level)) {
                Step::Done(verdict) => return verdict,
                Step::Write(chunk, file) => self.write(chunk, &*file),
                Step::Flush(target, file) => self.flush(target, &*file),
            }
        }
    }

    /// Memory is short: what waits is written before more is put.
    pub(super) fn write_what_waits(&self) -> Result<(), AppendError> {
        let step = self.wait_for(|state| match state.usable() {
            Err(error) => Some(Err(error)),
            Ok(log) if log.tail.waiting_bytes() == 0 => Some(Ok(None)),
            Ok(_) => state.begin_write(false).map(|step| Ok(Some(step))),
        })?;
        if let Some(Step::Write(chunk, file)) = step {
            self.write(chunk, &*file);
        }
        Ok(())
    }

    fn write(&self, chunk: Chunk, file: &dyn StorageFile) {
        match guarded(|| write_full(file, &chunk.bytes, chunk.offset.into())) {
            Ok(()) => {
                let mut state = self.state.lock();
                if let Some(log) = &mut state.log {
                    log.adopt_written(chunk.end);
                }
                state.spare = chunk.bytes;
                state.is_writing = false;
            }
            // Nothing is in doubt: what did not fit is not there, once the journal goes on in another segment.
            Err(error) if is_full(&error) => self.go_on_without_room(error, file),
            Err(error) => {
                self.poison("writing records", error);
                self.state.lock().is_writing = false;
            }
        }
        self.changed();
    }

    pub(super) fn flush(&self, target: Position, file: &dyn StorageFile) {
        if planted!("confirmed-before-the-flush")
            && let Some(log) = &mut self.state.lock().log
        {
            log.synced = log.synced.max(target);
        }
        let flushed = if planted!("a-flush-is-skipped") { Ok(()) } else { guarded(|| file.flush()) };
        match flushed {
            Ok(()) => {
                let mut state = self.state.lock();
                if let Some(log) = &mut state.log {
                    log.synced = log.synced.max(target);
                }
                state.is_syncing = false;
            }
            Err(error) => {
                if !planted!("a-failed-flush-is-tried-again") {
                    self.poison("flushing records", error);
                }
                self.state.lock().is_syncing = false;
            }
        }
        self.changed();
    }
}
