//! What was appended and what was promised of it: a list of its own, kept outside of the disk.
//!
//! Everything has a time, which is the number of storage calls that were made before it; so the list says what must hold
//! on the disk as it was after any number of calls.

use redeliver::internals::{Journal, Level, Position};

/// Has not happened.
pub(crate) const NEVER: u64 = u64::MAX;

pub(crate) const SEND: u8 = 1;
pub(crate) const SETTLE: u8 = 2;

#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// `SEND`, also for a copy, or `SETTLE`.
    pub(crate) kind: u8,
    /// Of the message that it is, or speaks of.
    pub(crate) id: u32,
    pub(crate) body: Vec<u8>,
    pub(crate) speaks_of: Vec<u32>,
    /// The items that were appended as one group: the first and the one behind the last.
    pub(crate) group: (usize, usize),
    /// Where it is now.
    pub(crate) at: Position,
    pub(crate) end: Position,
    pub(crate) appended: u64,
    pub(crate) written: u64,
    /// The power was cut: what was only written may be lost.
    pub(crate) cut: u64,
    pub(crate) synced: u64,
    /// Was refused, or told that the disk is full: it must not be found.
    pub(crate) full: u64,
    /// An opening did not find it: it must not come back.
    pub(crate) gone: u64,
    pub(crate) released: u64,
}

#[derive(Default)]
pub(crate) struct List {
    pub(crate) items: Vec<Item>,
    pub(crate) ids: u32,
    /// From here on a flush has failed or lied, and what was only written need not be in the cache any more.
    pub(crate) written_is_void: u64,
}

impl List {
    pub(crate) fn new() -> List {
        List { written_is_void: NEVER, ..List::default() }
    }

    /// Puts items down that are about to be appended as a group.
    pub(crate) fn add(&mut self, kind: u8, ids: &[u32], bytes: usize, speaks_of: &[u32], now: u64) -> Vec<usize> {
        let first = self.items.len();
        let group = (first, first + ids.len());
        for &id in ids {
            let body = body(self.items.len() as u32, id, bytes);
            let (at, speaks_of) = (Position::START, speaks_of.to_vec());
            let (written, cut, synced, full, gone, released) = (NEVER, NEVER, NEVER, NEVER, NEVER, NEVER);
            let (end, appended) = (at, now);
            self.items.push(Item {
                kind,
                id,
                body,
                speaks_of,
                group,
                at,
                end,
                appended,
                written,
                cut,
                synced,
                full,
                gone,
                released,
            });
        }
        (group.0..group.1).collect()
    }

    /// Messages that are there and not settled: their items, the oldest first.
    pub(crate) fn alive(&self) -> Vec<usize> {
        let is_there =
            |item: &Item| item.kind == SEND && item.full == NEVER && item.gone == NEVER && item.released == NEVER;
        (0..self.items.len()).filter(|n| is_there(&self.items[*n])).collect()
    }

    /// What the journal says of everything that is in the open.
    pub(crate) fn look(&mut self, journal: &Journal, now: u64) {
        let health = journal.health();
        for item in &mut self.items {
            if item.full != NEVER || item.gone != NEVER || item.end == Position::START {
                continue;
            }
            if item.synced == NEVER && item.end <= health.synced {
                match journal.receipt(item.end, Level::Synced).peek() {
                    Some(Ok(())) => (item.written, item.synced) = (item.written.min(now), now),
                    Some(Err(redeliver::internals::CommitError::Full)) => item.full = now,
                    _ => {}
                }
            } else if item.written == NEVER && item.end <= health.written {
                match journal.receipt(item.end, Level::Written).peek() {
                    Some(Ok(())) => item.written = now,
                    Some(Err(redeliver::internals::CommitError::Full)) => item.full = now,
                    _ => {}
                }
            }
        }
    }
}

/// The number of the item, the message's id, and bytes that follow from the first.
fn body(number: u32, id: u32, bytes: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes.max(8));
    body.extend_from_slice(&number.to_le_bytes());
    body.extend_from_slice(&id.to_le_bytes());
    let mut drawn = crate::support::Rng(number.into());
    while body.len() < bytes {
        let word = drawn.draw().to_le_bytes();
        let left = bytes - body.len();
        body.extend_from_slice(&word[..left.min(8)]);
    }
    body
}
