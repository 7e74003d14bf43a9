//! What the ratios have to reach: the bars of the issue "The core", two of the speed page, and the journal's.

use crate::cells::throughput::Shape;
use crate::payload::Kind;

/// Which figure of a cell is compared with the limit.
#[derive(Clone, Copy, PartialEq)]
pub enum Judged {
    /// The quartile of the ratio on the bad side.
    Quartile,
    Median,
}

#[derive(Clone, Copy)]
pub struct Bar {
    pub limit: f64,
    pub judged: Judged,
    pub source: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Verdict {
    Pass,
    Short,
    /// Not enough near rounds to say.
    Undecided,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "PASS",
            Verdict::Short => "short",
            Verdict::Undecided => "UNDECIDED: too few near rounds",
        }
    }
}

/// Bytes per message beside the payload, of the speed page.
pub const MEMORY_BYTES_MAX: f64 = 24.0;

impl Bar {
    const fn issue(limit: f64) -> Option<Bar> {
        Some(Bar { limit, judged: Judged::Quartile, source: "issue" })
    }

    /// Throughput over crossbeam's, at least.
    pub fn of_throughput(subject: &str, peer: &str, shape: Shape, kind: Kind, batch: bool) -> Option<Bar> {
        if subject != "ours" || peer != "crossbeam" {
            return None;
        }
        match (kind, batch, shape) {
            (Kind::U64, true, _) => Bar::issue(2.0),
            (Kind::U64, false, Shape::OneThread) => Bar::issue(1.3),
            (Kind::U64, false, Shape::Crossing { .. }) => Bar::issue(1.5),
            (Kind::Bytes64, false, Shape::OneThread) => Bar::issue(1.1),
            (Kind::Bytes64, false, Shape::Crossing { .. }) => Bar::issue(1.2),
            _ => None,
        }
    }

    /// Latency over crossbeam's, at most.
    pub fn of_latency(subject: &str, rate: u64, percentile: &str) -> Option<Bar> {
        if subject == "ours" && rate == 1_000_000 && percentile == "p50" { Bar::issue(1.5) } else { None }
    }

    /// The journal over the raw limit of its directory, at least.
    #[cfg(feature = "ours")]
    pub fn of_journal(limit: f64) -> Option<Bar> {
        Some(Bar { limit, judged: Judged::Quartile, source: "journal" })
    }

    /// Throughput with some held over the same with none, at least: unchanged within 5 %.
    pub fn of_held(subject: &str) -> Option<Bar> {
        (subject == "ours").then_some(Bar { limit: 0.95, judged: Judged::Median, source: "speed page" })
    }
}
