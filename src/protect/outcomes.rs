//! The window by which a breaker judges: the last so many outcomes, or those of the last so long.
//!
//! Promises: bounded memory (a bit and a half per outcome, or ten buckets), and exact counts for a window of outcomes. One of
//! time is kept in tenths: what leaves it leaves with its tenth.

use std::collections::VecDeque;

/// How a window is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Outcomes(u32),
    Millis(u64),
}

const TENTHS: u64 = 10;

#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// For a window of outcomes: which failed.
    last: VecDeque<bool>,
    /// For one of time: the number of the tenth, calls, failures.
    tenths: VecDeque<(u64, u32, u32)>,
    calls: u32,
    failures: u32,
}

impl Outcomes {
    pub(super) fn add(&mut self, span: Span, failed: bool, now_ms: u64) {
        match span {
            Span::Outcomes(len) => self.add_to_last(len as usize, failed),
            Span::Millis(window_ms) => self.add_to_tenth(window_ms.div_ceil(TENTHS).max(1), failed, now_ms),
        }
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(u32::from(failed));
    }

    fn add_to_last(&mut self, len: usize, failed: bool) {
        if self.last.len() >= len
            && let Some(oldest) = self.last.pop_front()
        {
            self.calls -= 1;
            self.failures -= u32::from(oldest);
        }
        self.last.push_back(failed);
    }

    fn add_to_tenth(&mut self, tenth_ms: u64, failed: bool, now_ms: u64) {
        let number = self.tenths.back().map_or(0, |tenth| tenth.0).max(now_ms / tenth_ms);
        while let Some(&(oldest, calls, failures)) = self.tenths.front()
            && number - oldest >= TENTHS
        {
            self.calls = self.calls.saturating_sub(calls);
            self.failures = self.failures.saturating_sub(failures);
            self.tenths.pop_front();
        }
        if self.tenths.back().is_none_or(|tenth| tenth.0 < number) {
            self.tenths.push_back((number, 0, 0));
        }
        if let Some((_, calls, failures)) = self.tenths.back_mut() {
            *calls = calls.saturating_add(1);
            *failures = failures.saturating_add(u32::from(failed));
        }
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// The share of them that failed; 0 of none.
    pub(super) fn rate(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { f64::from(self.failures) / f64::from(self.calls) }
    }
}
