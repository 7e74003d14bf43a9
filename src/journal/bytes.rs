//! Integers in bytes, little end first, from slices whose lengths the caller has checked; and where blocks begin.

/// What is written on its own begins at a block: a torn write never touches a block that holds what was confirmed before.
pub(crate) const BLOCK: u32 = 4096;

/// Everything begins at a multiple of this.
pub(crate) const GRAIN: u32 = 8;

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// The first multiple of `grain` (a power of two) from `offset` on.
pub(crate) const fn aligned(offset: u32, grain: u32) -> u32 {
    offset.next_multiple_of(grain)
}
