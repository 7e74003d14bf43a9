//! What a loss of power leaves: which of the unsynced operations arrive, and how much of each.
//!
//! Promises: what was flushed is there; of the rest anything may be missing that POSIX lets be missing; the same loss of the
//! same disk leaves the same bytes. What an operation does to the disk is left to `image`.

use super::content::{SECTOR, cut};
use super::image::{Fate, Op};
use crate::chance::mix;
use std::ops::Range;

/// What is lost of the unsynced operations when the power fails: writes, changes of size, and names, numbered from 0 in the
/// order in which they were done.
///
/// ```
/// use redeliver::storage::{Loss, SimulatedDisk, Storage};
///
/// let disk = SimulatedDisk::new();
/// let file = disk.create("journal")?; // operation 0
/// file.write_at(b"record", 0)?; // operation 1
///
/// assert_eq!(disk.after_power_cut(&Loss::Nothing).bytes("journal")?, b"record");
/// assert_eq!(disk.after_power_cut(&Loss::AllBut(0)).bytes("journal")?, b"");
/// assert_eq!(disk.after_power_cut(&Loss::SizeWithoutData).bytes("journal")?, [0; 6]);
/// assert_eq!(disk.after_power_cut(&Loss::LastUpTo(3)).bytes("journal")?, b"rec");
///
/// // The bytes have arrived and the name has not: there is no such file.
/// assert!(disk.after_power_cut(&Loss::Only(0)).bytes("journal").is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// All has arrived, as after a crash of the process alone.
    Nothing,
    /// Nothing has arrived since the last flush.
    Everything,
    /// The first `kept` operations have arrived and those behind them have not.
    Suffix {
        /// How many have arrived.
        kept: usize,
    },
    /// Nothing has arrived but this operation.
    AllBut(usize),
    /// This operation has not arrived, and all others have.
    Only(usize),
    /// Names and sizes have arrived, and no byte: where something was written there is what was there before, or zeros.
    SizeWithoutData,
    /// Of the last write only some sectors of 512 bytes have arrived, and everything else has.
    TornLast {
        /// Bit *k* mod 64 says whether the *k*-th sector of the write has.
        sectors: u64,
    },
    /// The first so many bytes of the last write have arrived, and lengthened the file by no more than that; so has all
    /// the rest of the disk.
    LastUpTo(usize),
    /// Every name, every size, every sector of every write as it is drawn from this seed, with a few sectors torn within.
    Random(u64),
}

impl Loss {
    /// Every loss that can be enumerated for a disk with so many [unsynced](super::SimulatedDisk::unsynced) operations,
    /// without the random ones.
    ///
    /// ```
    /// use redeliver::storage::{Loss, SimulatedDisk, Storage};
    ///
    /// let disk = SimulatedDisk::new();
    /// disk.create("old")?;
    /// disk.flush_names()?;
    /// disk.rename("old", "new")?;
    /// for loss in Loss::each(disk.unsynced()) {
    ///     let names = disk.after_power_cut(&loss).names();
    ///     assert!(names == ["old"] || names == ["new"], "{loss:?}: {names:?}");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn each(unsynced: usize) -> impl Iterator<Item = Loss> {
        let patterns = [0, 1, 2, 0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa, !1];
        let whole = [Loss::Nothing, Loss::Everything, Loss::SizeWithoutData];
        let torn = patterns.map(|sectors| Loss::TornLast { sectors }).into_iter();
        let single = (0..unsynced).flat_map(|n| [Loss::Suffix { kept: n }, Loss::AllBut(n), Loss::Only(n)]);
        whole.into_iter().chain(torn).chain([1, 8, 20].map(Loss::LastUpTo)).chain(single)
    }

    /// What becomes of each of these operations.
    pub(super) fn fates<'a>(&self, log: &'a [Op]) -> impl Iterator<Item = (&'a Op, Fate)> {
        let loss = *self;
        let last_write = log.iter().rposition(|op| matches!(op, Op::Write { .. }));
        let mut draw = Draw::new(if let Loss::Random(seed) = loss { seed } else { 0 });
        // Disks that lose nearly all and nearly nothing tell more than a thousand that lose one half.
        let eighths = 1 + draw.below(7);
        log.iter().enumerate().map(move |(n, op)| {
            let arrives = |does| if does { Fate::Whole } else { Fate::Nothing };
            let fate = match (loss, op) {
                (Loss::Nothing, _) => Fate::Whole,
                (Loss::Everything, _) => Fate::Nothing,
                (Loss::Suffix { kept }, _) => arrives(n < kept),
                (Loss::AllBut(one), _) => arrives(n == one),
                (Loss::Only(one), _) => arrives(n != one),
                (Loss::SizeWithoutData, Op::Write { bytes, .. }) => {
                    Fate::Bytes { grown: bytes.len(), parts: Vec::new() }
                }
                (Loss::TornLast { sectors }, Op::Write { offset, bytes, .. }) if last_write == Some(n) => {
                    let parts = cut(*offset, bytes.len(), SECTOR).enumerate();
                    let parts = parts.filter(|(k, _)| sectors >> (k % 64) & 1 == 1).map(|(_, part)| part);
                    Fate::Bytes { grown: bytes.len(), parts: parts.collect() }
                }
                (Loss::LastUpTo(end), Op::Write { bytes, .. }) if last_write == Some(n) => {
                    let grown = end.min(bytes.len());
                    Fate::Bytes { grown, parts: std::iter::once(0..grown).collect() }
                }
                (Loss::SizeWithoutData | Loss::TornLast { .. } | Loss::LastUpTo(_), _) => Fate::Whole,
                (Loss::Random(_), op) => draw.fate(op, eighths),
            };
            (op, fate)
        })
    }
}

/// Draws from a seed, one after the other.
struct Draw(u64);

impl Draw {
    fn new(seed: u64) -> Draw {
        Draw(mix(seed))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % end
    }

    fn arrives(&mut self, eighths: u64) -> bool {
        self.below(8) < eighths
    }

    fn fate(&mut self, op: &Op, eighths: u64) -> Fate {
        match op {
            Op::Write { offset, bytes, .. } if self.below(3) > 0 => {
                let grown = match self.below(8) {
                    0 => self.below(bytes.len() as u64) as usize,
                    _ if self.arrives(eighths) => bytes.len(),
                    _ => 0,
                };
                let parts = cut(*offset, bytes.len(), SECTOR).filter_map(|part| self.sector(part, eighths)).collect();
                Fate::Bytes { grown, parts }
            }
            // A large one is several transactions of the file system.
            Op::Allocate { bytes, .. } if self.below(4) == 0 => Fate::Room(self.below(bytes.saturating_add(1))),
            _ if self.arrives(eighths) => Fate::Whole,
            _ => Fate::Nothing,
        }
    }

    /// New, old, or new up to a byte: only one byte is surely written whole.
    fn sector(&mut self, part: Range<usize>, eighths: u64) -> Option<Range<usize>> {
        if self.below(6) == 0 {
            let end = part.start + self.below(part.len() as u64) as usize;
            return Some(part.start..end);
        }
        self.arrives(eighths).then_some(part)
    }
}
