//! Rows, and how they are printed: a table that can be pasted into a document, a line about the bars at the end.

use crate::bars::{Judged, MEMORY_BYTES_MAX, Verdict};
use crate::cells::memory::Footprint;
use crate::machine::Machine;
use crate::probe::Probe;
use crate::rounds::Pass;
use crate::stats::Spread;

pub use crate::bars::Bar;

/// Which way the ratio is better, and what is divided by what.
#[derive(Clone, Copy, PartialEq)]
pub enum Sense {
    /// Throughput: the peer's time over the subject's.
    Higher,
    /// Latency: the subject's time over the peer's.
    Lower,
}

/// One pair: (subject, peer, whether the round was near).
pub type Pair = (f64, f64, bool);

/// Subject against peer in one cell.
pub struct Row {
    pub cell: String,
    pub subject: String,
    pub peer: String,
    pub sense: Sense,
    pub bar: Option<Bar>,
    /// Near rounds that were asked for.
    pub wanted: usize,
    pub pairs: Vec<Pair>,
}

/// The figures of one row over its near rounds, or over its far ones.
pub struct Figures {
    pub rounds: usize,
    pub subject: Spread,
    pub peer: Spread,
    pub ratio: Spread,
}

impl Row {
    /// What contender `peer` did against contender 0.
    pub fn pairs<V>(rounds: &[Vec<Pass<V>>], peer: usize, figure: impl Fn(&V) -> f64) -> Vec<Pair> {
        let pair = |round: &Vec<Pass<V>>| {
            (figure(&round[0].value), figure(&round[peer].value), round[0].near && round[peer].near)
        };
        rounds.iter().map(pair).collect()
    }

    pub fn figures(&self, near: bool) -> Option<Figures> {
        let chosen: Vec<&Pair> = self.pairs.iter().filter(|pair| pair.2 == near).collect();
        let ratio = |pair: &&Pair| match self.sense {
            Sense::Higher => pair.1 / pair.0,
            Sense::Lower => pair.0 / pair.1,
        };
        Some(Figures {
            rounds: chosen.len(),
            subject: Spread::of(chosen.iter().map(|pair| pair.0))?,
            peer: Spread::of(chosen.iter().map(|pair| pair.1))?,
            ratio: Spread::of(chosen.iter().map(ratio))?,
        })
    }

    /// The quartile on the bad side.
    pub fn quartile(&self, ratio: &Spread) -> f64 {
        match self.sense {
            Sense::Higher => ratio.lower_quartile,
            Sense::Lower => ratio.upper_quartile,
        }
    }

    pub fn verdict(&self, bar: &Bar) -> Verdict {
        let Some(near) = self.figures(true).filter(|near| near.rounds >= self.wanted) else {
            return Verdict::Undecided;
        };
        let figure = match bar.judged {
            Judged::Quartile => self.quartile(&near.ratio),
            Judged::Median => near.ratio.median,
        };
        let reached = match self.sense {
            Sense::Higher => figure >= bar.limit,
            Sense::Lower => figure <= bar.limit,
        };
        if reached { Verdict::Pass } else { Verdict::Short }
    }

    /// The bar and what became of it, or how many near rounds are missing where nothing is judged.
    fn judgement(&self) -> String {
        let sign = if self.sense == Sense::Higher { "≥" } else { "≤" };
        match &self.bar {
            Some(bar) => {
                let judged = if bar.judged == Judged::Median { "median " } else { "" };
                format!("{judged}{sign} {} ({}): {}", bar.limit, bar.source, self.verdict(bar).name())
            }
            None if self.figures(true).is_none_or(|near| near.rounds < self.wanted) => "too few near rounds".into(),
            None => String::new(),
        }
    }
}

/// One contender's memory in one cell.
pub struct MemoryRow {
    pub cell: String,
    pub contender: &'static str,
    pub footprint: Footprint,
    pub judged: bool,
}

impl MemoryRow {
    pub fn most(&self) -> f64 {
        let Footprint { opened, filled, in_flight } = self.footprint;
        opened.max(filled).max(in_flight.unwrap_or(0.0))
    }

    pub fn verdict(&self) -> Option<Verdict> {
        let reached = self.most() <= MEMORY_BYTES_MAX;
        self.judged.then_some(if reached { Verdict::Pass } else { Verdict::Short })
    }
}

/// Everything that was measured.
pub struct Report {
    pub machine: Machine,
    pub command: String,
    pub rows: Vec<Row>,
    pub memory: Vec<MemoryRow>,
}

impl Report {
    pub fn begin(command: String, pinned: bool, near_ns: f64) -> Report {
        let machine = Machine::look();
        println!("machine: {}, {} CPUs, kernel {}, load {}", machine.cpu, machine.cpus, machine.kernel, machine.load);
        println!("versions: {}; threads {}", machine.versions, if pinned { "pinned" } else { "not pinned" });
        println!("command: {command}");
        println!(
            "near: a cache line one way in under {near_ns} ns. Ratio: throughput over the peer's (latency: time over the"
        );
        println!("peer's), per round; the quartile on the bad side decides. ns: medians.");
        Report { machine, command, rows: Vec::new(), memory: Vec::new() }
    }

    /// Prints the rows of a cell and keeps them.
    pub fn table(&mut self, title: &str, rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        println!("\n{title}");
        println!(
            "  {:<24} {:<16} {:>10} {:>10} {:>7} {:>8} {:>14} {:>8}  bar",
            "subject", "peer", "ns", "peer ns", "ratio", "quartile", "min..max", "near/far"
        );
        for row in rows {
            let far = row.figures(false);
            let count = |figures: &Option<Figures>| figures.as_ref().map_or(0, |f| f.rounds);
            let near = row.figures(true);
            let rounds = format!("{}/{}", count(&near), count(&far));
            let names = format!("{:<24} {:<16}", row.subject, row.peer);
            println!("  {names} {} {rounds:>8}  {}", columns(&row, &near), row.judgement());
            if far.is_some() {
                println!("  {:<24} {:<16} {}", "  (far rounds)", "", columns(&row, &far));
            }
            self.rows.push(row);
        }
    }

    /// Prints the memory of all contenders in a cell and keeps it.
    pub fn memory_table(&mut self, title: &str, rows: Vec<MemoryRow>) {
        println!("\n{title}: bytes per message beside the payload");
        println!("  {:<12} {:>8} {:>8} {:>10}  bar", "", "opened", "filled", "in flight");
        for row in rows {
            let Footprint { opened, filled, in_flight } = row.footprint;
            let in_flight = in_flight.map_or("–".to_string(), |bytes| format!("{bytes:.1}"));
            let bar = |v: Verdict| format!("≤ {MEMORY_BYTES_MAX} (speed page): {}", v.name());
            let bar = row.verdict().map_or(String::new(), bar);
            println!("  {:<12} {opened:>8.1} {filled:>8.1} {in_flight:>10}  {bar}", row.contender);
            self.memory.push(row);
        }
    }

    /// How far apart the CPUs were, and what became of the bars.
    pub fn end(&self, probe: &Probe) {
        println!();
        let readings = probe.readings();
        match (Spread::of(readings.iter().copied()), probe.works()) {
            (_, false) => println!("distance: one CPU only, nothing is near"),
            (Some(spread), true) => println!(
                "distance: {} probes, {} near; one way {:.0} ns at least, quartiles {:.0} · {:.0} · {:.0}, {:.0} at most",
                readings.len(),
                readings.iter().filter(|ns| probe.is_near(**ns)).count(),
                spread.min,
                spread.lower_quartile,
                spread.median,
                spread.upper_quartile,
                spread.max
            ),
            (None, true) => {}
        }
        let judged = self.rows.iter().filter_map(|row| {
            let bar = row.bar.as_ref()?;
            Some((row.verdict(bar), format!("{} against {}", row.cell, row.peer)))
        });
        let memory = self.memory.iter().filter_map(|row| Some((row.verdict()?, row.cell.clone())));
        let all: Vec<(Verdict, String)> = judged.chain(memory).collect();
        if all.is_empty() {
            println!("bars: none in these cells");
            return;
        }
        let passed = all.iter().filter(|(verdict, _)| *verdict == Verdict::Pass).count();
        println!("bars: {passed} of {} reached", all.len());
        for (verdict, what) in all.iter().filter(|(verdict, _)| *verdict != Verdict::Pass) {
            println!("  {}: {what}", verdict.name());
        }
    }
}

fn columns(row: &Row, figures: &Option<Figures>) -> String {
    let Some(f) = figures else {
        return format!("{:>10} {:>10} {:>7} {:>8} {:>14}", "–", "–", "–", "–", "–");
    };
    let span = format!("{:.2}..{:.2}", f.ratio.min, f.ratio.max);
    let (median, quartile) = (f.ratio.median, row.quartile(&f.ratio));
    format!("{:>10.1} {:>10.1} {median:>7.2} {quartile:>8.2} {span:>14}", f.subject.median, f.peer.median)
}

/// 65536 as 65,536.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
