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
                if is_known && visit(Found::Bad(at..self.end)) == Go::On {
                    self.without_head(at, self.end, visit)?;
                }
                return Ok(at);
            };
            let is_missing = frame.previous != at;
            if is_missing
                && (visit(Found::Bad(at..frame.offset)) == Go::Stop
                    || self.without_head(at, frame.offset, visit)? == Go::Stop)
            {
                return Ok(at);
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
        self.without_head(at, end, &mut |_| {
            has = true;
            Go::Stop
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
        let is_whole = body.len() == frame.body_bytes as usize;
        let behind = if is_whole { behind(&body[good..], id, frame.body() + good as u32) } else { Vec::new() };
        let bad_end = behind.last().map_or(frame.end(), |start| frame.body() + (good + start) as u32);
        if visit(Found::Bad(frame.body() + good as u32..bad_end)) == Go::Stop {
            return Ok(Go::Stop);
        }
        let rest = &body[(bad_end - frame.body()).min(body.len() as u32) as usize..];
        Ok(forward(rest, id, bad_end, visit).1)
    }

    /// The records of a frame whose head is lost: they begin where it ends.
    fn without_head(&mut self, at: u32, end: u32, visit: &mut dyn FnMut(Found<'_>) -> Go) -> io::Result<Go> {
        let id = self.id;
        for head in [at, aligned(at, BLOCK)] {
            let body = head + frame::HEAD as u32;
            if body >= end {
                continue;
            }
            let wanted = (end - body) as usize;
            let bytes = self.window.from(body.into(), wanted)?;
            let (good, go) = forward(&bytes[..bytes.len().min(wanted)], id, body, visit);
            if good > 0 || go == Go::Stop {
                return Ok(go);
            }
        }
        Ok(Go::On)
    }
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
