//! Opening a journal: look at what is there, read it, and only then change anything.
//!
//! 1. [`look`]: whose directory is this, and is everything there that must be? Nothing is changed, and whatever is wrong is
//!    an error; a directory that is empty becomes a journal.
//! 2. [`read`]: all segments in order. Damage before the last commit mark is rot: it is reported, and what follows is
//!    kept. Damage behind it is where the journal was being written when it ended: it ends there.
//! 3. [`mend`]: a new segment, which says where the one before it ended. What lies behind that end is void from then on,
//!    so nothing is ever cut or written again in a segment that was recovered. Records that no commit mark covers are written
//!    again, into the new segment: the cache may show what the disk does not have.
//!
//! The new segment gets its name when all of it is on the disk, and that is the one moment at which the journal changes: a
//! crash before it leaves what was there, and a crash behind it leaves what a recovery has made.

mod look;
mod mend;
mod read;

use super::error::OpenError;
use super::log::Log;
use super::record::Record;
use super::report::RecoveryReport;
use super::settings::Settings;
use crate::storage::Storage;
use std::sync::Arc;

/// Opens the journal in this directory, or makes one if it is empty. Tells every group of records, in order.
///
/// `seed` is drawn anew for every opening: salts come from it.
pub(crate) fn open(
    storage: Arc<dyn Storage>,
    settings: Settings,
    seed: u64,
    tell: &mut dyn FnMut(&[Record<'_>]),
) -> Result<(Log, RecoveryReport), OpenError> {
    settings.check()?;
    let looked = look::look(&*storage, seed)?;
    let read = read::read(&*storage, &looked, tell)?;
    if settings.refuses_damage && !read.report.damage.is_empty() {
        return Err(OpenError::Rot { damage: read.report.damage });
    }
    mend::mend(storage, settings, seed, looked, read, tell)
}
