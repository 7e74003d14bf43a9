//! The end of the run: the queue's own counters, the dead letters by line, and whether every line
//! is accounted for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use redeliver::{DeadLetter, Filter, Queue, Stats};
use serde_json::json;

use crate::events::Event;

pub struct Dead {
    pub line: usize,
    pub reason: String,
    pub attempts: usize,
}

pub struct Report {
    stats: Stats,
    /// The lines whose POST was answered with a 2xx and whose ack the queue took.
    pub delivered: BTreeSet<usize>,
    /// In the order of the file.
    pub dead: Vec<Dead>,
    /// The lines that are neither. There must be none.
    missing: Vec<usize>,
}

impl Report {
    pub fn new(queue: &Queue<Event>, events: &[Event], delivered: &[usize]) -> Self {
        let stats = queue.stats();
        let letters = queue.dead_letters().list(Filter::all());
        let mut dead: Vec<_> = letters.iter().filter_map(|letter| Dead::new(letter)).collect();
        dead.sort_by_key(|dead| dead.line);
        let delivered: BTreeSet<_> = delivered.iter().copied().collect();
        let named: BTreeSet<_> = dead.iter().map(|dead| dead.line).collect();
        let lines = events.iter().map(|event| event.line);
        let missing = lines.filter(|line| !delivered.contains(line) && !named.contains(line)).collect();
        Self { stats, delivered, dead, missing }
    }

    /// The promise of the whole program: each event is delivered or named as dead.
    pub fn accounts_for_all(&self) -> bool {
        for line in &self.missing {
            eprintln!("webhooks: line {line} is neither delivered nor a dead letter");
        }
        self.missing.is_empty()
    }

    pub fn to_json(&self) -> String {
        let Self { stats, dead, .. } = self;
        let dead = dead
            .iter()
            .map(|Dead { line, reason, attempts }| json!({"line": line, "reason": reason, "attempts": attempts}));
        let object = json!({
            "sent": stats.sent,
            "delivered": self.delivered.len(),
            "retried": stats.retries,
            "retransmitted": stats.retransmissions,
            "dead": dead.collect::<Vec<_>>(),
            "throughput": finite(stats.throughput()),
            "latency_ms": {"p50": self.latency_ms(50.0), "p99": self.latency_ms(99.0)},
            "failure_rate": finite(stats.failure_rate()),
        });
        format!("{object:#}\n")
    }

    pub fn to_table(&self) -> String {
        let Self { stats, dead, .. } = self;
        let mut table = Table::default();
        if !dead.is_empty() {
            table.row("dead event", "attempts  reason");
        }
        for dead in dead {
            table.row(format!("  line {}", dead.line), format!("{:8}  {}", dead.attempts, dead.reason));
        }
        table.row("sent", stats.sent);
        table.row("delivered", self.delivered.len());
        table.row("retried", stats.retries);
        table.row("retransmitted", stats.retransmissions);
        table.row("dead", dead.len());
        for (reason, count) in self.dead_by_reason() {
            table.row(format!("  {count}"), reason);
        }
        table.row("throughput", format!("{:.1} delivered/s", finite(stats.throughput())));
        let [p50, p90, p99] = [50.0, 90.0, 99.0].map(|percent| self.latency_ms(percent));
        table.row("latency", format!("p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms"));
        let failed_percent = 100.0 * finite(stats.failure_rate());
        table.row("failure rate", format!("{failed_percent:.1} % of {} attempts", stats.delivered));
        table.0
    }

    fn dead_by_reason(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for dead in &self.dead {
            *counts.entry(dead.reason.as_str()).or_default() += 1;
        }
        counts
    }

    /// Zero when there was nothing to measure.
    fn latency_ms(&self, percent: f64) -> f64 {
        let latency = self.stats.latency().percentile(percent).unwrap_or_default();
        latency.as_secs_f64() * 1000.0
    }
}

impl Dead {
    /// The reason is the queue's; where that does not quote the last attempt's error, the error is
    /// added, since whoever reads the table wants to know what the endpoint said.
    fn new(letter: &DeadLetter<Event>) -> Option<Self> {
        let mut reason = letter.reason().to_string();
        if let Some(last) = letter.history().last().filter(|last| !reason.contains(last.error())) {
            reason = format!("{reason}: {}", last.error());
        }
        // Only what could not be decoded has no message, and in memory nothing is encoded.
        let line = letter.message()?.line;
        Some(Self { line, reason, attempts: letter.history().len() })
    }
}

/// Two columns of text.
#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, name: impl Display, value: impl Display) {
        // The name is made a string first, since a type of one's own may ignore the width.
        let name = name.to_string();
        self.0.push_str(&format!("{name:<14} {value}\n"));
    }
}

/// With no event at all, a rate is nothing divided by nothing.
fn finite(rate: f64) -> f64 {
    if rate.is_finite() { rate } else { 0.0 }
}

/// Unlike `println!`, does not panic when stdout is closed or full.
pub fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("webhooks: cannot print to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}
