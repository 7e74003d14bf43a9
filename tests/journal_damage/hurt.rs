//! What is done to a directory, one thing at a time.

use crate::layout::BLOCK;
use crate::story::{Story, segment};
use redeliver::storage::{SimulatedDisk, Storage};

/// Printed by a failure, with the story's seed: enough to do it again.
#[derive(Clone, Debug)]
pub(crate) enum Hurt {
    /// One bit.
    Flip {
        segment: u32,
        bit: u64,
    },
    /// One byte becomes another.
    Byte {
        segment: u32,
        at: usize,
        xor: u8,
    },
    /// So many bytes, all the same.
    Fill {
        segment: u32,
        at: usize,
        bytes: usize,
        with: u8,
    },
    /// Two sectors change places.
    Swap {
        segment: u32,
        at: usize,
        other: usize,
    },
    /// A stretch of one segment is found in another place, or another segment.
    Copy {
        from: u32,
        at: usize,
        bytes: usize,
        to: u32,
        other: usize,
    },
    /// The same, and it comes from another journal.
    Splice {
        from: u32,
        at: usize,
        bytes: usize,
        to: u32,
        other: usize,
    },
    /// A segment ends early.
    Cut {
        segment: u32,
        bytes: usize,
    },
    /// A file as it was before.
    Replay {
        name: String,
        moment: usize,
    },
    /// A file as another journal has it.
    Foreign {
        name: String,
    },
    Remove {
        name: String,
    },
    Rename {
        name: String,
        to: String,
    },
    /// Under another name as well.
    Double {
        name: String,
        to: String,
    },
    Empty {
        name: String,
    },
    /// A small file with one byte changed, or all of it.
    Small {
        name: String,
        at: usize,
        bytes: usize,
    },
    Put {
        name: String,
    },
}

impl Hurt {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Hurt::Flip { .. } => "a bit flipped",
            Hurt::Byte { .. } => "a byte changed",
            Hurt::Fill { with: 0, bytes: 512, .. } => "a sector of zeros",
            Hurt::Fill { bytes: 512, .. } => "a sector of 0xff",
            Hurt::Fill { .. } => "a block of zeros",
            Hurt::Swap { .. } => "two sectors swapped",
            Hurt::Copy { from, to, .. } if from == to => "a frame copied within its segment",
            Hurt::Copy { .. } => "a frame copied to another segment",
            Hurt::Splice { .. } => "a frame of another journal",
            Hurt::Cut { .. } => "a segment cut off",
            Hurt::Replay { .. } => "an old version put back",
            Hurt::Foreign { .. } => "a file of another journal",
            Hurt::Remove { .. } => "a file removed",
            Hurt::Rename { .. } => "a file renamed",
            Hurt::Double { .. } => "a file doubled",
            Hurt::Empty { .. } => "a file emptied",
            Hurt::Small { .. } => "a small file changed",
            Hurt::Put { .. } => "a foreign file put beside",
        }
    }

    /// The file that is changed or gone.
    pub(crate) fn file(&self) -> String {
        match self {
            Hurt::Flip { segment: number, .. }
            | Hurt::Byte { segment: number, .. }
            | Hurt::Fill { segment: number, .. }
            | Hurt::Swap { segment: number, .. }
            | Hurt::Cut { segment: number, .. }
            | Hurt::Copy { to: number, .. }
            | Hurt::Splice { to: number, .. } => segment(*number),
            Hurt::Replay { name, .. }
            | Hurt::Foreign { name }
            | Hurt::Remove { name }
            | Hurt::Rename { name, .. }
            | Hurt::Empty { name }
            | Hurt::Small { name, .. }
            | Hurt::Put { name } => name.clone(),
            Hurt::Double { to, .. } => to.clone(),
        }
    }

    /// A disk to which this was done.
    pub(crate) fn done(&self, story: &Story, other: &Story) -> SimulatedDisk {
        let disk = story.disk.kill();
        let file = self.file();
        let bytes = |number: u32| &story.files[&segment(number)];
        match self {
            Hurt::Flip { bit, .. } => disk.flip(&file, *bit).unwrap(),
            Hurt::Byte { segment, at, xor } => {
                disk.overwrite(&file, *at as u64, &[bytes(*segment)[*at] ^ xor]).unwrap();
            }
            Hurt::Fill { at, bytes, with, .. } => disk.overwrite(&file, *at as u64, &vec![*with; *bytes]).unwrap(),
            Hurt::Swap { segment, at, other } => {
                let (one, two) = (&bytes(*segment)[*at..at + 512], &bytes(*segment)[*other..other + 512]);
                disk.overwrite(&file, *at as u64, two).unwrap();
                disk.overwrite(&file, *other as u64, one).unwrap();
            }
            Hurt::Copy { from, at, bytes: length, other, .. } => {
                disk.overwrite(&file, *other as u64, &bytes(*from)[*at..at + length]).unwrap();
            }
            Hurt::Splice { from, at, bytes: length, other: place, .. } => {
                let strange = &other.files[&segment(*from)][*at..at + length];
                disk.overwrite(&file, *place as u64, strange).unwrap();
            }
            Hurt::Cut { bytes, .. } => disk.cut(&file, *bytes as u64).unwrap(),
            Hurt::Replay { name, moment } => disk.put(name, &story.moments[*moment].bytes(name).unwrap()).unwrap(),
            Hurt::Foreign { name } => disk.put(name, &other.files[name]).unwrap(),
            Hurt::Remove { name } => disk.remove(name).unwrap(),
            Hurt::Rename { name, to } => disk.rename(name, to).unwrap(),
            Hurt::Double { name, to } => disk.put(to, &story.files[name]).unwrap(),
            Hurt::Empty { name } => disk.put(name, &[]).unwrap(),
            Hurt::Small { name, at, bytes } => {
                let old = &story.files[name][*at..at + bytes];
                let new: Vec<u8> = old.iter().map(|byte| byte ^ 0xa5).collect();
                disk.overwrite(name, *at as u64, &new).unwrap();
            }
            Hurt::Put { name } => disk.put(name, &[7; BLOCK]).unwrap(),
        }
        disk.flush_names().unwrap();
        disk
    }
}
