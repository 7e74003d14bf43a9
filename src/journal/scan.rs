//! Reads a segment from its start, and tells what it finds: frames, records, and what is neither.
//!
//! Nothing is decided here. Damage ends no scan: the next frame is found by its head, wherever it is, and in a damaged frame
//! the records behind the damage are found from the frame's end.

use super::bytes::{BLOCK, GRAIN, aligned};
use super::frame::{self, Frame};
use super::identity::SegmentId;
use super::record::{self, Record};
use super::window::Window;
use crate::storage::StorageFile;
use std::io;
use std::ops::Range;

/// How much is searched for the next frame at a time.
const SEARCH: usize = 1 << 16;

#[derive(Debug)]
pub(crate) enum Found<'a> {
    Frame(Frame),
    Record(Record<'a>),
    /// No record that is whole.
    Bad(Range<u32>),
}

/// What the visitor wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Go {
    On,
    Stop,
}

pub(crate) struct Scan<'f> {
    window: Window<'f>,
    id: SegmentId,
    /// Where the segment is known to end; or the size that it was given.
    end: u32,
}

impl<'f> Scan<'f> {
    pub(crate) fn new(file: &'f dyn StorageFile, id: SegmentId, end: u32) -> io::Result<Scan<'f>> {
        Ok(Scan { window: Window::new(file, end.into())?, id, end })
    }

    /// All of it, in order. With `is_known` it must reach the end. Says where the last whole frame ended.
    pub(crate) fn run(&mut self, is_known: bool, visit: &mut dyn FnMut(Found<'_>) -> Go) -> io::Result<u32> {
        let mut at = BLOCK;
        loop {
            if is_known && at >= self.end {
                return Ok(at);
            }
            let Some(frame) = self.next_frame(at)? else {
                if is_known {
                    self.without_head(at, self.end, visit)?;
                }
                return Ok(at);
            };
            if frame.previous != at {
                let end = if frame.previous > at { frame.previous } else { frame.offset };
                if self.without_head(at, end, visit)? == Go::Stop {
                    return Ok(at);
                }
            }
            if visit(Found::Frame(frame)) == Go::Stop || self.records(&frame, visit)? == Go::Stop {
                return Ok(at);
            }
            at = frame.end();
        }
    }

    /// The highest commit mark of all frames from `at` on, and where the last of them ends.
    pub(crate) fn marks(&mut self, mut at: u32) -> io::Result<Option<(Frame, u32)>> {
        let mut best: Option<(Frame, u32)> = None;
        while let Some(frame) = self.next_frame(at)? {
            let highest = best.map_or(frame, |(best, _)| if frame.mark > best.mark { frame } else { best });
            best = Some((highest, frame.end()));
            at = frame.end();
        }
        Ok(best)
    }

    /// Is there a record behind a frame's head that cannot be read, at the end of the journal?
    pub(crate) fn has_records_without_head(&mut self, at: u32, end: u32) -> io::Result<bool> {
        let mut has = false;
        self.without_head(at, end, &mut |found| {
            has |= matches!(found, Found::Record(_));
            if has { Go::Stop } else { Go::On }
        })?;
        Ok(has)
    }

    /// The frame that begins here, or else the first one behind.
    fn next_frame(&mut self, at: u32) -> io::Result<Option<Frame>> {
        for here in [at, aligned(at, BLOCK)] {
            let head = self.window.from(here.into(), frame::HEAD)?;
            if let Some(frame) = Frame::read(head, self.id, here, self.end).filter(|frame| frame.previous == at) {
                return Ok(Some(frame));
            }
        }
        self.search(at)
    }

    fn search(&mut self, from: u32) -> io::Result<Option<Frame>> {
        let mut at = from;
        while u64::from(at) + frame::HEAD as u64 <= self.window.size() {
            let (id, end) = (self.id, self.end);
            let bytes = self.window.from(at.into(), SEARCH + frame::HEAD)?;
            let last = bytes.len().saturating_sub(frame::HEAD).min(SEARCH);
            let mut places = (0..=last).step_by(GRAIN as usize);
            let found = places.find_map(|place| Frame::read(&bytes[place..], id, at + place as u32, end));
            if found.is_some() {
                return Ok(found);
            }
            at += aligned(last as u32 + 1, GRAIN);
        }
        Ok(None)
    }

    /// The records of a frame: those before its damage, and those behind it.
    fn records(&mut self, frame: &Frame, visit: &mut dyn FnMut(Found<'_>) -> Go) -> io::Result<Go> {
        let id = self.id;
        let bytes = self.window.from(frame.body().into(), frame.body_bytes as usize)?;
        let body = &bytes[..bytes.len().min(frame.body_bytes as usize)];
        let good = match forward(body, id, frame.body(), visit) {
            (_, Go::Stop) => return Ok(Go::Stop),
            (good, Go::On) if good == frame.body_bytes as usize => return Ok(Go::On),
            (good, Go::On) => good,
        };
        let wanted = frame.body_bytes as usize - good;
        Ok(around(&body[good..], wanted, id, frame.body() + good as u32, visit))
    }

    /// What there is between `at` and `end`, where a frame ended whose head is lost: its records begin behind the head, and
    /// the last one ends where it ended.
    pub(crate) fn without_head(&mut self, at: u32, end: u32, visit: &mut dyn FnMut(Found<'_>) -> Go) -> io::Result<Go> {
        let (id, wanted) = (self.id, (end - at) as usize);
        let bytes = self.window.from(at.into(), wanted)?;
        let bytes = &bytes[..bytes.len().min(wanted)];
        let bodies = [at, aligned(at, BLOCK)].map(|head| (head - at) as usize + frame::HEAD);
        let is_body =
            |body: &usize| bytes.get(*body..).is_some_and(|bytes| record::read(bytes, id, at + *body as u32).is_some());
        let mut good = 0;
        if let Some(body) = bodies.into_iter().find(is_body) {
            if visit(Found::Bad(at..at + body as u32)) == Go::Stop {
                return Ok(Go::Stop);
            }
            let (records, go) = forward(&bytes[body..], id, at + body as u32, visit);
            good = body + records;
            if go == Go::Stop || good == wanted {
                return Ok(go);
            }
        }
        Ok(around(&bytes[good..], wanted - good, id, at + good as u32, visit))
    }
}

/// Tells what is bad at the start of `bytes`, which should be `wanted` bytes, and the records behind it.
fn around(bytes: &[u8], wanted: usize, id: SegmentId, offset: u32, visit: &mut dyn FnMut(Found<'_>) -> Go) -> Go {
    let behind = if bytes.len() == wanted { behind(bytes, id, offset) } else { Vec::new() };
    let bad = behind.last().copied().unwrap_or(wanted);
    if visit(Found::Bad(offset..offset + bad as u32)) == Go::Stop {
        return Go::Stop;
    }
    forward(&bytes[bad.min(bytes.len())..], id, offset + bad as u32, visit).1
}

/// Tells the records at the start of `bytes`, and says how far they reach.
fn forward(bytes: &[u8], id: SegmentId, offset: u32, visit: &mut dyn FnMut(Found<'_>) -> Go) -> (usize, Go) {
    let mut at = 0;
    while let Some((record, length)) = record::read(&bytes[at..], id, offset + at as u32) {
        if visit(Found::Record(record)) == Go::Stop {
            return (at, Go::Stop);
        }
        at += length;
    }
    (at, Go::On)
}

/// Where the whole records at the end of `bytes` begin, the last one first.
fn behind(bytes: &[u8], id: SegmentId, offset: u32) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut end = bytes.len();
    while let Some(start) = record::start_of_last(&bytes[..end]).filter(|start| start % GRAIN as usize == 0) {
        match record::read(&bytes[start..end], id, offset + start as u32) {
            Some((_, length)) if length == end - start => starts.push(start),
            _ => break,
        }
        end = start;
    }
    starts
}
