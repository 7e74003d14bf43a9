//! The journal's own records: which segments there are, which were freed, which comes next.
//!
//! A new segment begins with the table of those before it, twice, in blocks of their own. With what was freed since, it says
//! which files must be there, and where each ends: a missing file is noticed, and what was once cut off stays cut off.

use super::bytes::u32_at;

/// The segments before this one, and where each ends: u32 and u32 each.
pub(crate) const TABLE: u8 = 1;
/// Segments in which nothing lives, from now on: u32 each.
pub(crate) const FREED: u8 = 2;
/// The segment ends here, and that one, u32, is there.
pub(crate) const SEAL: u8 = 3;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Own {
    Table(Vec<(u32, u32)>),
    Freed(Vec<u32>),
    Seal(u32),
    /// Of a kind that this version does not know.
    Unknown,
}

pub(crate) fn table(segments: impl IntoIterator<Item = (u32, u32)>) -> Vec<u8> {
    segments.into_iter().flat_map(|(number, end)| [number, end]).flat_map(u32::to_le_bytes).collect()
}

pub(crate) fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().copied().flat_map(u32::to_le_bytes).collect()
}

pub(crate) fn read(kind: u8, body: &[u8]) -> Own {
    let mut words = body.chunks_exact(4).map(|word| u32_at(word, 0));
    match kind {
        TABLE if body.len().is_multiple_of(8) => {
            Own::Table(body.chunks_exact(8).map(|pair| (u32_at(pair, 0), u32_at(pair, 4))).collect())
        }
        FREED if body.len().is_multiple_of(4) => Own::Freed(words.collect()),
        SEAL if body.len() == 4 => words.next().map_or(Own::Unknown, Own::Seal),
        _ => Own::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let segments = vec![(1, 4096), (7, 65_536)];
        assert_eq!(read(TABLE, &table(segments.clone())), Own::Table(segments));
        assert_eq!(read(TABLE, &[]), Own::Table(vec![]));
        assert_eq!(read(FREED, &numbers(&[3, 4])), Own::Freed(vec![3, 4]));
        assert_eq!(read(SEAL, &numbers(&[3])), Own::Seal(3));
        for (kind, body) in [(TABLE, &[0; 4][..]), (FREED, &[0; 3]), (SEAL, &[0; 8]), (SEAL, &[]), (9, &[0; 4])] {
            assert_eq!(read(kind, body), Own::Unknown, "{kind} {body:?}");
        }
    }
}
