//! The few timers that come next, sorted: the last hop before they are handed out.
//!
//! A bucket with few entries need not cascade through all levels below, a block for each timer on each of them: its entries are sorted
//! here by due time, and while any of them is left, whatever is inserted into the same span joins them. So a wheel with few timers is
//! in effect a small sorted array, and knows their due times exactly. Everything here is due before everything in a bucket; when to
//! fill it is left to `mod.rs`.

use super::buckets::Entry;

/// How many entries may wait here, which bounds what an `insert` can cost.
pub(super) const READY_MAX: usize = 64;

/// Timers sorted by due time and then by insertion, the earliest at the end.
pub(super) struct Ready {
    entries: Vec<Entry>,
    /// The last time of the span that belongs here as long as there are entries; `None` if nothing may join.
    joined_until_ms: Option<u64>,
}

impl Ready {
    pub(super) const fn new() -> Self {
        Ready { entries: Vec::new(), joined_until_ms: None }
    }

    /// Adds entries in the order of their insertion, to be put in order by `sort`.
    pub(super) fn extend(&mut self, entries: &[Entry]) {
        self.entries.extend_from_slice(entries);
    }

    /// Puts in order what was added since there were no entries. They are all of their span, which goes on until this time; with
    /// `None` they are due at once, and what else is due then waits behind them in its bucket.
    pub(super) fn sort(&mut self, joined_until_ms: Option<u64>) {
        self.joined_until_ms = joined_until_ms;
        self.entries.reverse();
        if joined_until_ms.is_some() {
            self.entries.sort_by(|a, b| { b.due_ms }.cmp(&{ a.due_ms }));
        }
    }

    /// Whether an entry due at this time belongs here.
    pub(super) fn covers(&self, due_ms: u64) -> bool {
        !self.entries.is_empty() && self.joined_until_ms.is_some_and(|until_ms| due_ms <= until_ms)
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= READY_MAX
    }

    /// Adds an entry behind those that are due before it or at the same time.
    pub(super) fn join(&mut self, entry: Entry) {
        let at = self.entries.partition_point(|other| {
            other.due_ms > entry.due_ms || planted!("a-newcomer-goes-first") && other.due_ms == entry.due_ms
        });
        self.entries.insert(at, entry);
    }

    pub(super) fn first(&self) -> Option<Entry> {
        self.entries.last().copied()
    }

    pub(super) fn take_first(&mut self) -> Option<Entry> {
        self.entries.pop()
    }

    /// All entries, the earliest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        self.entries.iter().rev().copied()
    }
}
