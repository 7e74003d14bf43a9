//! The bytes of one simulated file: blocks that are shared until somebody writes, and none where nothing was written.
//!
//! Promises: what was never written reads as zeros, also behind an end that has moved back and forth; a copy costs no
//! more than its list of blocks. What of it is durable is not known here.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Room is taken in these.
pub(super) const BLOCK: u64 = 4096;

/// What a disk writes at once, if nothing goes wrong.
pub(super) const SECTOR: u64 = 512;

#[derive(Clone, Default)]
pub(super) struct Content {
    size: u64,
    /// So many blocks from the beginning have room, written or not.
    reserved: u64,
    /// Never with anything but zeros behind `size`.
    blocks: BTreeMap<u64, Arc<[u8; BLOCK as usize]>>,
}

impl Content {
    pub(super) const EMPTY: Content = Content { size: 0, reserved: 0, blocks: BTreeMap::new() };

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many blocks of room it has.
    pub(super) fn room(&self) -> u64 {
        self.reserved + self.blocks.range(self.reserved..).count() as u64
    }

    /// Is there room for that block?
    pub(super) fn holds(&self, block: u64) -> bool {
        block < self.reserved || self.blocks.contains_key(&block)
    }

    /// How many of the first blocks have no room yet.
    pub(super) fn missing(&self, blocks: u64) -> u64 {
        let Some(beyond) = blocks.checked_sub(self.reserved) else { return 0 };
        beyond - self.blocks.range(self.reserved..blocks).count() as u64
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let len = (buffer.len() as u64).min(self.size.saturating_sub(offset)) as usize;
        for (block, within, part) in pieces(offset, len) {
            match self.blocks.get(&block) {
                Some(bytes) => buffer[part].copy_from_slice(&bytes[within]),
                None => buffer[part].fill(0),
            }
        }
        len
    }

    /// Writes, and lengthens it if need be.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        for (block, within, part) in pieces(offset, bytes.len()) {
            let block = self.blocks.entry(block).or_insert_with(|| Arc::new([0; BLOCK as usize]));
            Arc::make_mut(block)[within].copy_from_slice(&bytes[part]);
        }
        if !bytes.is_empty() {
            self.size = self.size.max(offset + bytes.len() as u64);
        }
    }

    /// Cuts off, or lengthens by zeros that take no room.
    pub(super) fn resize(&mut self, size: u64) {
        if size < self.size {
            let kept = size.div_ceil(BLOCK);
            self.blocks.split_off(&kept);
            self.reserved = self.reserved.min(kept);
            let within = (size % BLOCK) as usize;
            if within > 0
                && let Some(last) = self.blocks.get_mut(&(size / BLOCK))
            {
                Arc::make_mut(last)[within..].fill(0);
            }
        }
        self.size = size;
    }

    /// Takes room for the first bytes, and lengthens it to that.
    pub(super) fn reserve(&mut self, bytes: u64) {
        self.size = self.size.max(bytes);
        self.reserved = self.reserved.max(bytes.div_ceil(BLOCK));
    }

    /// What is not zero: where, and what. Two contents that read alike give the same.
    pub(super) fn written(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let blocks = self.blocks.iter().map(|(block, bytes)| (*block, bytes.as_slice()));
        blocks.filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0))
    }
}

/// The blocks that a stretch lies in: each one's number, the part of it, and the part of the stretch.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    cut(offset, len, BLOCK).map(move |part| {
        let at = offset + part.start as u64;
        let within = (at % BLOCK) as usize;
        (at / BLOCK, within..within + part.len(), part)
    })
}

/// Cuts a stretch at every multiple of `unit`: the parts of the stretch.
pub(super) fn cut(offset: u64, len: usize, unit: u64) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0_usize;
    std::iter::from_fn(move || {
        let left = unit - (offset + from as u64) % unit;
        let to = len.min(from.saturating_add(left as usize));
        let part = from..to;
        from = to;
        (!part.is_empty()).then_some(part)
    })
}
