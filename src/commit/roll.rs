//! The next segment: made by one thread that has both roles, while all others wait.

use super::{Level, Shared, State, guarded};
use crate::journal::{AppendError, CommitError, Log, Poison, RollError, Settings, Urgency, is_full};
use crate::panics::contained;
use crate::storage::StorageFile;
use std::io;
use std::sync::Arc;

impl State {
    /// Takes both roles, and keeps everybody else from appending.
    pub(super) fn begin_roll(&mut self) -> bool {
        let is_free = !(self.is_writing || self.is_syncing || self.is_rolling);
        if is_free {
            (self.is_writing, self.is_syncing, self.is_rolling) = (true, true, true);
        }
        is_free
    }

    pub(super) fn end_roll(&mut self) {
        (self.is_writing, self.is_syncing, self.is_rolling) = (false, false, false);
    }
}

impl Shared {
    /// Goes on in another segment than that of this number, unless somebody else has done so.
    pub(super) fn roll(&self, number: u32, urgency: Urgency) -> Result<(), AppendError> {
        let end = self.state.lock().usable()?.tail.end();
        match self.commit(end, Level::Synced) {
            Ok(()) | Err(CommitError::Full) => {}
            Err(error) => return Err(error.into()),
        }
        let is_mine = self.wait_for(|state| match state.usable() {
            Err(error) => Some(Err(error)),
            // Somebody else did, or put something behind what was to be the end.
            Ok(log) if log.tail.id.number != number || log.synced < log.tail.end() => Some(Ok(false)),
            Ok(_) => state.begin_roll().then_some(Ok(true)),
        })?;
        if !is_mine {
            return Ok(());
        }
        let rolled = self.add_segment(urgency);
        self.state.lock().end_roll();
        self.changed();
        rolled
    }

    /// A write found no room. What it was to write, and all behind it, is given up; the journal ends before it, and goes on
    /// in the reserve. Called with the role of the writer, which ends with this.
    pub(super) fn go_on_without_room(&self, error: io::Error, file: &dyn StorageFile) {
        self.state.lock().is_rolling = true;
        self.wait_for(|state| (!std::mem::replace(&mut state.is_syncing, true)).then_some(()));
        if let Err(error) = self.go_on_before(file) {
            self.poison("writing records to a full disk", error);
        } else {
            match self.add_segment(Urgency::FreesRoom) {
                Ok(()) => {}
                // Whether what was cut short will be found is not known then.
                Err(AppendError::Poisoned(_)) => {}
                Err(_) => drop(self.poison("writing records to a full disk", error)),
            }
        }
        self.state.lock().end_roll();
    }

    /// What was written before is flushed, so that the segment can end there.
    fn go_on_before(&self, file: &dyn StorageFile) -> io::Result<()> {
        guarded(|| file.flush())?;
        let mut state = self.state.lock();
        if let Some(log) = &mut state.log {
            log.synced = log.synced.max(log.written);
        }
        Ok(())
    }

    /// With both roles.
    fn add_segment(&self, urgency: Urgency) -> Result<(), AppendError> {
        let sources = {
            let mut state = self.state.lock();
            let log = state.sound()?;
            if log.tail.id.number == u32::MAX {
                let error = io::Error::other("there is no number left for another segment");
                return Err(AppendError::Storage(Arc::new(error)));
            }
            log.sources(urgency)
        };
        let mut refused = AppendError::Full;
        for source in sources {
            let roll = self.state.lock().sound()?.plan_roll(source);
            let made = contained(|| roll.run(&*self.storage)).unwrap_or_else(|| {
                let error = Arc::new(io::Error::other("the storage panicked"));
                Err(RollError::Poisoned(Poison { doing: "adding a segment", error }))
            });
            match made {
                Ok(rolled) => {
                    let mut state = self.state.lock();
                    let log = state.sound()?;
                    let (from, to) = (log.written, log.tail.end());
                    log.adopt(rolled);
                    if from < to && !planted!("what-is-given-up-counts-as-safe") {
                        state.given_up.push((from, to));
                    }
                    return Ok(());
                }
                Err(RollError::Full) => {}
                Err(RollError::Failed(error)) => refused = AppendError::Storage(Arc::new(error)),
                Err(RollError::Poisoned(poison)) => {
                    self.state.lock().poison.get_or_insert(poison.clone());
                    return Err(poison.into());
                }
            }
        }
        Err(refused)
    }

    /// Without a reserve nothing that takes room may be appended: tries to set one aside.
    pub(super) fn restore_reserve(&self) -> Result<(), AppendError> {
        let settings = self.wait_for(|state| match state.usable() {
            Err(error) => Some(Err(error)),
            Ok(log) if log.has_reserve() => Some(Ok(None)),
            Ok(log) => {
                let settings = log.settings;
                (!std::mem::replace(&mut state.is_rolling, true)).then_some(Ok(Some(settings)))
            }
        })?;
        let Some(settings) = settings else { return Ok(()) };
        let made = self.make_reserve(&settings);
        let mut state = self.state.lock();
        state.is_rolling = false;
        if let (Ok(()), Some(log)) = (&made, &mut state.log) {
            log.adopt_reserve();
        }
        drop(state);
        self.changed();
        made.map_err(|error| match is_full(&error) {
            true => AppendError::Full,
            false => AppendError::Storage(Arc::new(error)),
        })
    }

    /// Where there is no room for it there is that of the spare segments.
    fn make_reserve(&self, settings: &Settings) -> io::Result<()> {
        loop {
            let made = guarded(|| Log::make_reserve(&*self.storage, settings));
            let spare = match &made {
                Err(error) if is_full(error) => self.state.lock().log.as_mut().and_then(Log::take_spare),
                _ => None,
            };
            match spare {
                Some(name) => guarded(|| self.storage.remove(&name))?,
                None => return made,
            }
        }
    }
}
