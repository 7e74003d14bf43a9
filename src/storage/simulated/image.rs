//! One state of a simulated disk, as names and files, and the operations that lead from one to the next.
//!
//! Promises: an operation can arrive wholly, in part or not at all, in any company, and leaves an image that a POSIX file
//! system could have left: a file has one name at most, and a rename has happened or has not. Which operations arrive is
//! decided elsewhere: while the disk has power all do, in the cache; after a loss of power `loss` says.

use super::content::Content;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A file, whatever its name: an inode's number.
pub(super) type FileId = u64;

#[derive(Clone, Default)]
pub(super) struct Image {
    pub(super) names: BTreeMap<Arc<str>, FileId>,
    files: BTreeMap<FileId, Arc<Content>>,
}

/// What has been done to the disk and is not flushed.
#[derive(Clone)]
pub(super) enum Op {
    Write { file: FileId, offset: u64, bytes: Arc<[u8]> },
    Truncate { file: FileId, bytes: u64 },
    Allocate { file: FileId, bytes: u64 },
    Create { name: Arc<str>, file: FileId },
    Rename { from: Arc<str>, to: Arc<str>, file: FileId },
    Remove { name: Arc<str> },
}

/// What of an operation arrives.
pub(super) enum Fate {
    Whole,
    Nothing,
    /// Of a write: so many of its bytes the file's end has moved for, and these bytes, as far as that end lets them be seen.
    Bytes {
        grown: usize,
        parts: Vec<Range<usize>>,
    },
    /// Of an allocation: room for so many bytes.
    Room(u64),
}

impl Op {
    /// The file whose flush makes it durable; none if it is about names.
    pub(super) fn file(&self) -> Option<FileId> {
        match self {
            Op::Write { file, .. } | Op::Truncate { file, .. } | Op::Allocate { file, .. } => Some(*file),
            Op::Create { .. } | Op::Rename { .. } | Op::Remove { .. } => None,
        }
    }

    /// The file that it speaks of, by number.
    pub(super) fn mentions(&self) -> Option<FileId> {
        match self {
            Op::Create { file, .. } | Op::Rename { file, .. } => Some(*file),
            _ => self.file(),
        }
    }

    /// Is it about that name?
    pub(super) fn names(&self, wanted: &str) -> bool {
        match self {
            Op::Create { name, .. } | Op::Remove { name } => &**name == wanted,
            Op::Rename { from, to, .. } => &**from == wanted || &**to == wanted,
            _ => false,
        }
    }
}

impl Image {
    /// A file's bytes; an empty file's if nothing of it is here.
    pub(super) fn file(&self, file: FileId) -> &Content {
        static EMPTY: Content = Content::EMPTY;
        self.files.get(&file).map_or(&EMPTY, |content| content)
    }

    pub(super) fn file_mut(&mut self, file: FileId) -> &mut Content {
        Arc::make_mut(self.files.entry(file).or_default())
    }

    /// Makes a file what it is in another image.
    pub(super) fn revert(&mut self, file: FileId, other: &Image) {
        match other.files.get(&file) {
            Some(content) => drop(self.files.insert(file, content.clone())),
            None => drop(self.files.remove(&file)),
        }
    }

    pub(super) fn retain(&mut self, is_kept: impl Fn(FileId) -> bool) {
        self.files.retain(|file, _| is_kept(*file));
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (FileId, &Content)> {
        self.files.iter().map(|(file, content)| (*file, &**content))
    }

    /// Lets an operation arrive. Each stands for itself: it means the same if one before it has not arrived.
    pub(super) fn apply(&mut self, op: &Op, fate: &Fate) {
        match (op, fate) {
            (_, Fate::Nothing) => {}
            (Op::Write { file, offset, bytes }, Fate::Bytes { grown, parts }) => {
                let content = self.file_mut(*file);
                if *grown > 0 {
                    content.resize(content.size().max(offset + *grown as u64));
                }
                for part in parts {
                    let at = offset + part.start as u64;
                    let seen = (part.len() as u64).min(content.size().saturating_sub(at)) as usize;
                    content.write(&bytes[part.start..part.start + seen], at);
                }
            }
            (Op::Write { file, offset, bytes }, _) => self.file_mut(*file).write(bytes, *offset),
            (Op::Truncate { file, bytes }, _) => self.file_mut(*file).resize(*bytes),
            (Op::Allocate { file, .. }, Fate::Room(bytes)) => self.file_mut(*file).reserve(*bytes),
            (Op::Allocate { file, bytes }, _) => self.file_mut(*file).reserve(*bytes),
            (Op::Create { name, file } | Op::Rename { to: name, file, .. }, _) => self.name(name, *file),
            (Op::Remove { name }, _) => drop(self.names.remove(name)),
        }
    }

    /// Gives a file this name and no other: one that is renamed twice has not two names if the first was lost. Another file
    /// that has its old name, for a removal was lost, keeps that.
    fn name(&mut self, name: &Arc<str>, file: FileId) {
        self.names.retain(|_, other| *other != file);
        self.names.insert(name.clone(), file);
    }
}
