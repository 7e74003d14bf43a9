//! The report as JSON, every round of it, so that a figure can be looked into after the fact.

use crate::bars::Judged;
use crate::probe::Probe;
use crate::report::{Figures, MemoryRow, Report, Row, Sense};
use crate::stats::Spread;
use std::fs;
use std::io;
use std::path::Path;

/// Writes the report to `path`, making the directories on the way.
pub fn write(path: &Path, report: &Report, probe: &Probe) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let machine = &report.machine;
    let machine = object(&[
        ("cpu", text(&machine.cpu)),
        ("cpus", machine.cpus.to_string()),
        ("kernel", text(&machine.kernel)),
        ("load", text(&machine.load)),
        ("versions", text(&machine.versions)),
    ]);
    let whole = object(&[
        ("machine", machine),
        ("command", text(&report.command)),
        ("near_ns", number(probe.near_ns())),
        ("distances_ns", list(probe.readings().into_iter().map(number))),
        ("rows", list(report.rows.iter().map(row))),
        ("memory", list(report.memory.iter().map(memory_row))),
    ]);
    fs::write(path, whole + "\n")
}

fn row(row: &Row) -> String {
    let bar = row.bar.as_ref().map_or("null".into(), |bar| {
        object(&[
            ("limit", number(bar.limit)),
            ("judged", text(if bar.judged == Judged::Median { "median" } else { "quartile" })),
            ("source", text(bar.source)),
            ("verdict", text(row.verdict(bar).name())),
        ])
    });
    let figures = |near: bool| {
        row.figures(near).map_or("null".into(), |f: Figures| {
            object(&[
                ("rounds", f.rounds.to_string()),
                ("subject_ns", spread(&f.subject)),
                ("peer_ns", spread(&f.peer)),
                ("ratio", spread(&f.ratio)),
            ])
        })
    };
    let pairs = row.pairs.iter().map(|(subject, peer, near)| list([number(*subject), number(*peer), near.to_string()]));
    object(&[
        ("cell", text(&row.cell)),
        ("subject", text(&row.subject)),
        ("peer", text(&row.peer)),
        ("better", text(if row.sense == Sense::Higher { "higher" } else { "lower" })),
        ("near_wanted", row.wanted.to_string()),
        ("near", figures(true)),
        ("far", figures(false)),
        ("bar", bar),
        ("pairs", list(pairs)),
    ])
}

fn memory_row(row: &MemoryRow) -> String {
    object(&[
        ("cell", text(&row.cell)),
        ("contender", text(row.contender)),
        ("opened_bytes", number(row.footprint.opened)),
        ("filled_bytes", number(row.footprint.filled)),
        ("in_flight_bytes", row.footprint.in_flight.map_or("null".into(), number)),
        ("verdict", row.verdict().map_or("null".into(), |verdict| text(verdict.name()))),
    ])
}

fn spread(spread: &Spread) -> String {
    object(&[
        ("min", number(spread.min)),
        ("lower_quartile", number(spread.lower_quartile)),
        ("median", number(spread.median)),
        ("upper_quartile", number(spread.upper_quartile)),
        ("max", number(spread.max)),
    ])
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", fields.join(", "))
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

/// JSON has no infinity: a distance that could not be measured is null.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{}", (value * 1e4).round() / 1e4) } else { "null".into() }
}

fn text(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
