//! Segments in which nothing lives give their room back, and segments in which little lives are read for that.

use super::{Journal, Level, Shared, guarded};
use crate::journal::{AppendError, Entry, Found, Go, Life, Position, Record, Retire, Scan, Urgency};
use std::io;
use std::sync::Arc;

/// So many fit into the block that is kept for them, twice.
const FREED_MAX: usize = 400;

impl Journal {
    /// Takes out the segments in which nothing lives, as [`tick`](Self::tick) does.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit), or what kept it from saying so in the journal; nothing is lost then.
    pub fn reclaim(&self) -> Result<(), AppendError> {
        self.shared.reclaim()
    }

    /// The segment whose living records should be [copied forward](Self::copy_forward) now, so that its room comes back: one
    /// in which at most an eighth lives, or, while the segments take more than twice what lives and the one being written, the
    /// emptiest.
    pub fn compaction(&self) -> Option<u32> {
        const EIGHTH: u64 = 125;
        let state = self.shared.state.lock();
        let log = state.log.as_ref()?;
        let segment_bytes = u64::from(log.settings.segment_bytes);
        let (number, share) = log.segments.emptiest(log.settings.segment_bytes)?;
        let is_over = log.segments.disk_bytes() > 2 * log.segments.held_bytes() + segment_bytes;
        (share <= EIGHTH || is_over).then_some(number)
    }

    /// Copies records of a sealed segment to the end of the journal: about `bytes_max` of them, from the offset `from` on (0 for
    /// the first). Says where to go on; none: all of it was looked at.
    ///
    /// `each` is shown every held record, in order, and copies it by calling its second argument, which says where the copy
    /// is, or leaves it, because it was released before. Whoever may append something about a record at the same time must not
    /// do so between the two: a copy stands behind what was said of the record before, and would say the opposite.
    ///
    /// The old place of what was copied is released. It is not written over before the copy is on the disk.
    ///
    /// # Errors
    ///
    /// What `each` gives back; [`Storage`](AppendError::Storage) if the segment cannot be read, or there is no such segment.
    pub fn copy_forward(
        &self,
        number: u32,
        from: u32,
        bytes_max: u64,
        mut each: impl FnMut(&Record<'_>, &mut dyn FnMut() -> Result<Position, AppendError>) -> Result<(), AppendError>,
    ) -> Result<Option<u32>, AppendError> {
        let (mut copied, mut next, mut failed) = (0, None, None);
        let read = self.read(number, &mut |record| {
            if record.is_effect() || record.position.offset() < from {
                return Go::On;
            }
            if copied >= bytes_max {
                next = Some(record.position.offset());
                return Go::Stop;
            }
            let entry = Entry { kind: record.kind, life: Life::Held, body: record.body };
            let mut copy = || {
                let (at, _) = self.append_one(entry, Urgency::FreesRoom)?;
                self.release(record.position);
                copied += record.body.len() as u64;
                Ok(at)
            };
            match each(&record, &mut copy) {
                Ok(()) => Go::On,
                Err(error) => {
                    failed = Some(error);
                    Go::Stop
                }
            }
        });
        match failed {
            Some(error) => Err(error),
            None => read.map(|()| next).map_err(|error| AppendError::Storage(Arc::new(error))),
        }
    }

    /// Tells all whole records of a sealed segment, alone, in order.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such segment, or it is being written.
    pub fn read_segment(&self, number: u32, mut tell: impl FnMut(Record<'_>)) -> io::Result<()> {
        self.read(number, &mut |record| {
            tell(record);
            Go::On
        })
    }

    fn read(&self, number: u32, tell: &mut dyn FnMut(Record<'_>) -> Go) -> io::Result<()> {
        let plan = {
            let state = self.shared.state.lock();
            state.log.as_ref().and_then(|log| log.plan_read(number))
        };
        let Some(plan) = plan else { return Err(io::ErrorKind::NotFound.into()) };
        let (file, id, end) = plan.open(&*self.shared.storage)?;
        Scan::new(&*file, id, end)?.run(true, &mut |found| match found {
            Found::Record(record) if !record.is_own() => tell(record),
            _ => Go::On,
        })?;
        Ok(())
    }
}

impl Shared {
    pub(super) fn reclaim(&self) -> Result<(), AppendError> {
        {
            let mut state = self.state.lock();
            state.usable()?;
            if std::mem::replace(&mut state.is_reclaiming, true) {
                return Ok(());
            }
        }
        let done = self.reclaim_all();
        let mut state = self.state.lock();
        state.is_reclaiming = false;
        if let (Err(_), Some(log)) = (&done, &mut state.log) {
            log.segments.ask_again();
        }
        drop(state);
        self.changed(); // whoever closes has waited for this
        done
    }

    /// The disk is full: is there something that could go, and has it gone?
    pub(super) fn makes_room(&self) -> bool {
        // Somebody may be at it.
        self.wait_for(|state| (!state.is_reclaiming).then_some(()));
        let is_free = self.state.lock().usable().is_ok_and(|log| !log.segments.free().is_empty());
        is_free && self.reclaim().is_ok()
    }

    /// As long as there is one: what is gone may have kept others.
    fn reclaim_all(&self) -> Result<(), AppendError> {
        loop {
            let mut free = self.state.lock().usable()?.segments.free();
            free.truncate(FREED_MAX);
            if free.is_empty() {
                return Ok(());
            }
            let end = self.put_freed(&free)?;
            // What was copied out of them lies before this, and is on the disk with it.
            let level = if planted!("retired-before-it-is-said") { Level::Written } else { Level::Synced };
            self.commit(end, level)?;
            self.retire(&free)?;
        }
    }

    fn put_freed(&self, free: &[u32]) -> Result<Position, AppendError> {
        loop {
            let mut state = self.state.lock();
            let is_rolling = state.is_rolling;
            let log = state.usable()?;
            if !is_rolling && log.fits_freed(free) {
                log.put_freed(free);
                return Ok(log.tail.end());
            }
            let number = log.tail.id.number;
            drop(state);
            if is_rolling {
                self.wait_for(|state| (!state.is_rolling).then_some(()));
            } else {
                self.roll(number, Urgency::FreesRoom)?;
            }
        }
    }

    fn retire(&self, free: &[u32]) -> Result<(), AppendError> {
        let mut failed = None;
        let mut gone: Vec<Retire> = Vec::new();
        for &number in free {
            let plan = self.state.lock().sound()?.plan_retire(number, &gone);
            match guarded(|| plan.run(&*self.storage)) {
                Ok(()) => gone.push(plan),
                Err(error) => {
                    // And none that is younger: what speaks of the one may speak of a copy of what is in the other.
                    failed = Some(error);
                    break;
                }
            }
        }
        // Before this, nothing that speaks of them may go.
        guarded(|| self.storage.flush_names()).map_err(|error| self.poison("flushing the directory", error))?;
        let mut state = self.state.lock();
        let log = state.sound()?;
        gone.iter().for_each(|plan| log.adopt_retired(plan));
        failed.map_or(Ok(()), |error| Err(AppendError::Storage(error.into())))
    }
}
