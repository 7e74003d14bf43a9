//! Storage for very many small cells: they never move, growth never copies more than one chunk, and memory goes back.
//!
//! A `Vec` of ten million timers would be copied as a whole when it grows, in one call that takes milliseconds. Here cells live in
//! chunks of a fixed size, named by a 32-bit id (chunk index, then place in the chunk). Each chunk keeps its free cells in a list
//! threaded through the cells themselves, and the chunks with room form a list of their own. A chunk that has become empty gives
//! its memory back at once, save the one that serves the next `take`, so that a queue that hovers around a border does not allocate
//! and free for every timer.
//!
//! A cell knows its *wear*. A chunk given back leaves the highest wear behind, and cells that later live at the same ids continue
//! from there: this is how `slots.rs` keeps generations from repeating. What a cell means is left to `slots.rs` and `buckets.rs`.

use std::ops::{Index, IndexMut};

/// "No cell" and "no chunk".
pub(super) const NONE: u32 = u32::MAX;

/// What a cell must do to live in a chunk.
pub(super) trait Cell: Copy {
    /// How many cells share a chunk, as a power of two. At least one: a chunk of one cell would never be open.
    const CHUNK_BITS: u32;

    /// A cell at an id whose former cells had come to this wear, 0 at first.
    fn new(wear: u32) -> Self;

    /// How far this cell has been used up.
    fn wear(&self) -> u32;

    /// The place in which a free cell keeps the id of the next one.
    fn next_free(&mut self) -> &mut u32;
}

/// Cells by id. Owns only the directory until the first `take`.
pub(super) struct Chunks<C> {
    chunks: Vec<Chunk<C>>,
    /// The chunk that serves the next `take`, first in the list of those with room.
    open: u32,
}

struct Chunk<C> {
    cells: Vec<C>,
    free: u32,
    used: u32,
    next_open: u32,
    wear: u32,
}

impl<C: Cell> Chunks<C> {
    const CHUNK_LEN: u32 = 1 << C::CHUNK_BITS;
    const PLACE_MASK: u32 = Self::CHUNK_LEN - 1;
    /// The last chunk is left out, so that no cell has the id `NONE`.
    const CHUNKS_MAX: u32 = (1 << (32 - C::CHUNK_BITS)) - 1;

    pub(super) const fn new() -> Self {
        Chunks { chunks: Vec::new(), open: NONE }
    }

    /// Takes a cell; its content is whatever its last user left, or `Cell::new`.
    ///
    /// # Panics
    ///
    /// When about 2³² cells are taken: 32-bit ids are what keeps a timer small.
    pub(super) fn take(&mut self) -> u32 {
        if self.open == NONE {
            self.add_chunk();
        }
        let index = self.open;
        let chunk = &mut self.chunks[index as usize];
        let place = chunk.take(index == 0, Self::CHUNK_LEN);
        if chunk.used == Self::CHUNK_LEN {
            self.open = chunk.next_open;
        }
        index << C::CHUNK_BITS | place
    }

    /// Gives a cell back. Its id may be handed out again by the next `take`.
    pub(super) fn put_back(&mut self, id: u32) {
        let index = id >> C::CHUNK_BITS;
        let chunk = &mut self.chunks[index as usize];
        let was_full = chunk.used == Self::CHUNK_LEN;
        chunk.put_back(id & Self::PLACE_MASK);
        let is_empty = chunk.used == 0;
        if was_full {
            self.reopen(index);
        }
        if is_empty && self.open != index {
            self.chunks[index as usize].give_back_memory();
        }
    }

    /// The cell, unless the id was never handed out or its chunk has been given back.
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut C> {
        let chunk = self.chunks.get_mut((id >> C::CHUNK_BITS) as usize)?;
        chunk.cells.get_mut((id & Self::PLACE_MASK) as usize)
    }

    pub(super) fn get(&self, id: u32) -> Option<&C> {
        let chunk = self.chunks.get((id >> C::CHUNK_BITS) as usize)?;
        chunk.cells.get((id & Self::PLACE_MASK) as usize)
    }

    fn add_chunk(&mut self) {
        let index = self.chunks.len() as u32;
        assert!(index < Self::CHUNKS_MAX, "a wheel holds fewer than 2^32 timers");
        self.chunks.push(Chunk { cells: Vec::new(), free: NONE, used: 0, next_open: NONE, wear: 0 });
        self.open = index;
    }

    /// Puts a chunk that has room again first in the list. The one it displaces loses the privilege to stay while empty.
    fn reopen(&mut self, index: u32) {
        let displaced = self.open;
        self.chunks[index as usize].next_open = displaced;
        self.open = index;
        if displaced != NONE && self.chunks[displaced as usize].used == 0 {
            self.chunks[displaced as usize].give_back_memory();
        }
    }

    /// Bytes held, for the tests that watch the memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let cells: usize = self.chunks.iter().map(|chunk| chunk.cells.capacity() * size_of::<C>()).sum();
        cells + self.chunks.capacity() * size_of::<Chunk<C>>()
    }
}

impl<C: Cell> Chunk<C> {
    fn take(&mut self, grows_slowly: bool, chunk_len: u32) -> u32 {
        self.used += 1;
        if self.free != NONE {
            let place = self.free;
            self.free = *self.cells[place as usize].next_free();
            return place;
        }
        // The first chunk doubles as it fills, which keeps a wheel with few timers small; the others are sure to be needed.
        if !grows_slowly && self.cells.is_empty() {
            self.cells.reserve_exact(chunk_len as usize);
        }
        self.cells.push(C::new(self.wear));
        self.cells.len() as u32 - 1
    }

    fn put_back(&mut self, place: u32) {
        self.used -= 1;
        let cell = &mut self.cells[place as usize];
        // Kept up to date with every cell, for to look at all of them at the end would take microseconds at once.
        self.wear = self.wear.max(cell.wear());
        *cell.next_free() = self.free;
        self.free = place;
    }

    fn give_back_memory(&mut self) {
        self.cells = Vec::new();
        self.free = NONE;
    }
}

impl<C: Cell> Index<u32> for Chunks<C> {
    type Output = C;

    fn index(&self, id: u32) -> &C {
        &self.chunks[(id >> C::CHUNK_BITS) as usize].cells[(id & Self::PLACE_MASK) as usize]
    }
}

impl<C: Cell> IndexMut<u32> for Chunks<C> {
    fn index_mut(&mut self, id: u32) -> &mut C {
        &mut self.chunks[(id >> C::CHUNK_BITS) as usize].cells[(id & Self::PLACE_MASK) as usize]
    }
}
