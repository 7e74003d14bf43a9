//! The buckets: first in, first out, each a chain of small blocks of entries.
//!
//! Reading a bucket is reading memory in rows, which is what makes a cascade cheap: a linked list through ten million timers costs a
//! cache miss for every step, a block one for every twenty. Blocks come from `chunks.rs`, so appending never copies a bucket.
//!
//! Entries leave a bucket at its front, or through `sweep_block`, which squeezes out the entries of cancelled timers a block at a
//! time. What an entry's bucket means in time is left to `mod.rs`, who may be cancelled to `slots.rs`.

use super::chunks::{Cell, Chunks, NONE};

/// A timer in its bucket. Twelve bytes: the alignment of a `u64` would cost four more for each of ten million timers.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(super) struct Entry {
    pub(super) due_ms: u64,
    pub(super) slot: u32,
}

/// All buckets of a wheel, and how far the sweep has come.
pub(super) struct Buckets {
    /// Empty until the first entry comes.
    buckets: Vec<Bucket>,
    blocks: Chunks<Block>,
    sweep: Sweep,
}

#[derive(Clone, Copy)]
struct Bucket {
    first: u32,
    last: u32,
    len: u32,
}

/// Entries taken out of a bucket together.
pub(super) struct Batch {
    entries: [Entry; BLOCK_LEN],
    len: usize,
}

impl Batch {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries[..self.len]
    }
}

/// The sweep looks next at the block after `kept`, or at the first of the bucket if `kept` is `NONE`.
struct Sweep {
    bucket: usize,
    kept: u32,
}

/// With its links a block of so many entries is 512 bytes.
pub(super) const BLOCK_LEN: usize = 42;

/// Never without entries while it is in a bucket. In this order, so that a block with few entries is one cache line.
#[derive(Clone, Copy)]
#[repr(C)]
struct Block {
    next: u32,
    start: u16,
    end: u16,
    entries: [Entry; BLOCK_LEN],
}

impl Cell for Block {
    const CHUNK_BITS: u32 = 7;

    fn new(_wear: u32) -> Self {
        Block { next: NONE, start: 0, end: 0, entries: [Entry { due_ms: 0, slot: 0 }; BLOCK_LEN] }
    }

    fn wear(&self) -> u32 {
        0
    }

    fn next_free(&mut self) -> &mut u32 {
        &mut self.next
    }
}

impl Block {
    fn entries(&self) -> &[Entry] {
        &self.entries[usize::from(self.start)..usize::from(self.end)]
    }

    fn len(&self) -> usize {
        usize::from(self.end - self.start)
    }

    fn has_room_for(&self, len: usize) -> bool {
        usize::from(self.end) + len <= BLOCK_LEN
    }

    fn append(&mut self, entry: Entry) {
        self.entries[usize::from(self.end)] = entry;
        self.end += 1;
    }

    /// Keeps what `keep` says, in order.
    fn retain(&mut self, mut keep: impl FnMut(Entry) -> bool) {
        let mut kept = 0;
        for at in usize::from(self.start)..usize::from(self.end) {
            let entry = self.entries[at];
            if keep(entry) {
                self.entries[kept] = entry;
                kept += 1;
            }
        }
        self.start = 0;
        self.end = kept as u16;
    }
}

impl Buckets {
    pub(super) const fn new() -> Self {
        Buckets { buckets: Vec::new(), blocks: Chunks::new(), sweep: Sweep { bucket: 0, kept: NONE } }
    }

    #[inline]
    pub(super) fn append(&mut self, bucket: usize, entry: Entry) {
        if self.buckets.is_empty() {
            self.buckets = vec![Bucket { first: NONE, last: NONE, len: 0 }; super::BUCKETS];
        }
        let chain = &mut self.buckets[bucket];
        chain.len += 1;
        let last = chain.last;
        if last != NONE {
            let block = &mut self.blocks[last];
            if block.has_room_for(1) {
                return block.append(entry);
            }
        }
        self.append_block(bucket, entry);
    }

    #[inline(never)]
    fn append_block(&mut self, bucket: usize, entry: Entry) {
        let id = self.blocks.take();
        let block = &mut self.blocks[id];
        (block.next, block.start, block.end) = (NONE, 0, 0);
        block.append(entry);
        let chain = &mut self.buckets[bucket];
        let before = std::mem::replace(&mut chain.last, id);
        match before {
            NONE => chain.first = id,
            _ => self.blocks[before].next = id,
        }
    }

    /// Takes the entries that came first, up to `len_max` of them and no more than a block holds. There must be some.
    pub(super) fn take(&mut self, bucket: usize, len_max: u32) -> Batch {
        let chain = &mut self.buckets[bucket];
        let first = chain.first;
        let mut batch = Batch { entries: [Entry { due_ms: 0, slot: 0 }; BLOCK_LEN], len: 0 };
        let block = &mut self.blocks[first];
        batch.len = block.len().min(len_max as usize);
        batch.entries[..batch.len].copy_from_slice(&block.entries()[..batch.len]);
        block.start += batch.len as u16;
        chain.len -= batch.len as u32;
        let next = block.next;
        self.touch_block(next);
        let block = &self.blocks[first];
        if block.start == block.end {
            self.remove_block(bucket, NONE, first);
        }
        batch
    }

    /// Brings a block into the cache while there is other work to do, for a block read when it is needed is waited for.
    fn touch_block(&self, id: u32) {
        if let Some(block) = self.blocks.get(id) {
            std::hint::black_box((
                block.end,
                block.entries[BLOCK_LEN / 3].slot,
                block.entries[BLOCK_LEN * 2 / 3].slot,
                block.entries[BLOCK_LEN - 1].slot,
            ));
        }
    }

    pub(super) fn len(&self, bucket: usize) -> u32 {
        self.buckets[bucket].len
    }

    pub(super) fn is_empty(&self, bucket: usize) -> bool {
        self.buckets[bucket].first == NONE
    }

    /// The entries of a bucket in order, block by block.
    pub(super) fn blocks(&self, bucket: usize) -> impl Iterator<Item = &[Entry]> {
        let first = self.blocks.get(self.buckets[bucket].first);
        std::iter::successors(first, |block| self.blocks.get(block.next)).map(Block::entries)
    }

    /// Goes to the next block to sweep, in the bucket that is returned.
    pub(super) fn move_sweep(&mut self, next_occupied: impl Fn(usize) -> usize) -> usize {
        let bucket = next_occupied(self.sweep.bucket);
        if bucket != self.sweep.bucket {
            self.sweep = Sweep { bucket, kept: NONE };
        }
        bucket
    }

    /// The entries that `sweep_block` will go through.
    pub(super) fn to_sweep(&self) -> &[Entry] {
        let block = &self.blocks[self.sweep_id()];
        self.touch_block(block.next);
        block.entries()
    }

    /// Squeezes one block: entries that `keep` refuses go, and what remains moves to the block before if it fits there.
    pub(super) fn sweep_block(&mut self, keep: impl FnMut(Entry) -> bool) {
        let Sweep { bucket, kept: before } = self.sweep;
        let id = self.sweep_id();
        let block = &mut self.blocks[id];
        let len_before = block.len();
        block.retain(keep);
        self.buckets[bucket].len -= (len_before - block.len()) as u32;
        let is_last = block.next == NONE;
        if block.len() == 0 || self.merge(before, id) {
            self.remove_block(bucket, before, id);
        } else {
            self.sweep.kept = id;
        }
        if is_last {
            self.sweep = Sweep { bucket: bucket + 1, kept: NONE };
        }
    }

    fn sweep_id(&self) -> u32 {
        match self.sweep.kept {
            NONE => self.buckets[self.sweep.bucket].first,
            kept => self.blocks[kept].next,
        }
    }

    /// Moves the entries of a block to the block before it, if they fit.
    fn merge(&mut self, before: u32, id: u32) -> bool {
        if before == NONE || !self.blocks[before].has_room_for(self.blocks[id].len()) {
            return false;
        }
        let block = self.blocks[id];
        for &entry in block.entries() {
            self.blocks[before].append(entry);
        }
        true
    }

    fn remove_block(&mut self, bucket: usize, before: u32, id: u32) {
        let next = self.blocks[id].next;
        match before {
            NONE => self.buckets[bucket].first = next,
            _ => self.blocks[before].next = next,
        }
        if next == NONE {
            self.buckets[bucket].last = before;
        }
        if self.sweep.kept == id {
            self.sweep.kept = NONE;
        }
        self.blocks.put_back(id);
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.blocks.bytes() + self.buckets.capacity() * size_of::<Bucket>()
    }
}
