//! The figures of a queue: read from where they are anyway, so that nothing is counted on the way of a first delivery.

use super::*;
use crate::ledger::Entry;
use crate::stats::Stats;
use crate::unsent::UnsentMessage;

impl<T: Send + Sync + 'static> Core<T> {
    /// How many messages can be received now.
    pub(crate) fn ready(&self) -> u64 {
        let ledger = self.side.ledger.lock();
        self.ring.len() + ledger.overflow.len() as u64 + ledger.population.ready
    }

    pub(crate) fn stats(&self) -> Stats {
        let elapsed = self.side.elapsed();
        let mut ledger = self.side.ledger.lock();
        ledger.move_in_all(); // so that a seat counts as pinned only if somebody still reads it
        self.unlock(ledger);
        let ledger = self.side.ledger.lock();
        // In this order: what is taken meanwhile may count as in flight, but never as acked.
        let taken = self.ring.taken();
        let census = self.ring.census();
        let (counts, population) = (ledger.counts, ledger.population);
        let overflow = ledger.overflow.len() as u64;
        Stats {
            ready: census.ready + overflow + population.ready,
            in_flight: census.in_flight + population.in_flight + population.deciding,
            delayed: population.delayed,
            parked: population.parked,
            dead: ledger.dead.len() as u64,
            unsent: population.unsent,
            pinned: census.pinned,
            breakers_open: ledger.guard.as_ref().map_or(0, |guard| guard.opened()),
            sent: self.ring.sent() + overflow,
            delivered: (taken + counts.handed_over).saturating_sub(counts.brought_in),
            // Of what the ring handed out, all that is neither still out nor came to the cold side was acked.
            acked: taken.saturating_sub(census.in_flight + counts.from_ring) + counts.acked,
            failed: counts.failed,
            leases_lost: counts.leases_lost,
            expired: 0,
            discarded: counts.discarded,
            purged: counts.purged,
            retransmissions: counts.retransmissions,
            retries: counts.retries,
            events_dropped: self.side.events.dropped(),
            elapsed,
            latency: self.side.latency.snapshot(),
            oldest_ready: self.oldest_ready(&ledger),
        }
    }

    /// How long the message at the head has been waiting.
    fn oldest_ready(&self, ledger: &Ledger<T>) -> Option<Duration> {
        if self.ring.is_drained() {
            return None;
        }
        let now_ms = self.side.now_ms();
        let sent_ms = ledger.sent.when(self.ring.head()).unwrap_or(now_ms);
        Some(Duration::from_millis(now_ms.saturating_sub(sent_ms)))
    }

    /// How many records the resend ledger has.
    pub(crate) fn records(&self) -> usize {
        self.side.ledger.lock().records
    }

    /// The resend ledger's records, by the time of their next try.
    pub(crate) fn unsent(&self) -> Vec<UnsentMessage> {
        let ledger = self.side.ledger.lock();
        let mut records: Vec<_> = ledger.entries().filter(|entry| entry.receipt.is_some()).collect();
        records.sort_by_key(|entry| entry.due_ms);
        let error = |entry: &Entry<T>| entry.history.last().map_or_else(|| Arc::from(""), |last| last.error.clone());
        let record = |entry: &Entry<T>| UnsentMessage {
            id: entry.envelope.id,
            attempt: entry.attempt,
            error: error(entry),
            next_try: self.side.wall_time(entry.due_ms),
        };
        records.into_iter().map(record).collect()
    }
}
