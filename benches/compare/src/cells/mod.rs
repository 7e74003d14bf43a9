//! The cells of the comparison: each file knows how to measure one thing and in which cells it is asked for.

pub mod held;
#[cfg(feature = "ours")]
pub mod journal;
pub mod latency;
pub mod memory;
pub mod throughput;

use crate::args::Args;
use crate::contenders::Entry;
use crate::pool::Pool;
use crate::probe::Probe;
use crate::report::Report;
use crate::rounds::Plan;

/// What every cell needs.
pub struct Bench<'a> {
    pub args: &'a Args,
    /// The one that is compared, then its peers.
    pub entries: &'a [Entry],
    pub pool: &'a Pool,
    pub probe: &'a Probe,
    pub report: &'a mut Report,
}

impl Bench<'_> {
    pub fn plan(&self) -> Plan {
        Plan { wanted: self.args.rounds, tries: self.args.tries }
    }

    /// The one that is compared and the channel that the bars speak of; alone where that is not among the peers.
    pub fn subject_and_crossbeam(&self) -> Vec<Entry> {
        let peers = self.entries[1..].iter().filter(|entry| entry.name == "crossbeam");
        std::iter::once(&self.entries[0]).chain(peers).copied().collect()
    }
}
