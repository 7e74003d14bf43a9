//! The figures of a queue.

use crate::metrics::Latency;
use std::time::Duration;

/// A queue's figures at one moment. Exact when nobody is at work on the queue; while somebody is, figures that belong
/// together may be a few messages apart. Reading them looks at every seat, so it costs time in proportion to the capacity.
///
/// ```
/// use redeliver::{Immediate, Queue};
///
/// let queue = Queue::builder("mail").retry(Immediate).open()?;
/// let (producer, consumer) = (queue.producer(), queue.consumer());
/// producer.send("a")?;
/// producer.send("b")?;
/// consumer.recv()?.nack("the server is busy")?;
/// consumer.recv()?.ack()?;
///
/// let stats = queue.stats();
/// assert_eq!((stats.sent, stats.delivered, stats.acked, stats.failed, stats.retries), (2, 2, 1, 1, 1));
/// assert_eq!((stats.ready, stats.in_flight, stats.dead), (1, 0, 0));
/// assert_eq!(stats.failure_rate(), 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stats {
    /// Can be received now.
    pub ready: u64,
    /// In a consumer's hands under a valid lease.
    pub in_flight: u64,
    /// Wait for their next attempt.
    pub delayed: u64,
    /// Dead letters that wait for room in the dead-letter store.
    pub parked: u64,
    /// In the dead-letter store.
    pub dead: u64,
    /// Submitted and not accepted yet.
    pub unsent: u64,
    /// Seats kept by handles that lost their lease.
    pub pinned: u64,
    /// Circuits of the [`Breaker`](crate::Breaker) that are open or half-open: at most 1, or one for each class.
    pub breakers_open: u64,
    /// Messages accepted since the queue was opened.
    pub sent: u64,
    /// Hand-overs, redeliveries included.
    pub delivered: u64,
    /// Deliveries settled by an ack.
    pub acked: u64,
    /// Deliveries that failed: nack, reject, lost lease, dropped, panicked.
    pub failed: u64,
    /// Deliveries that lost their lease.
    pub leases_lost: u64,
    /// Messages whose time to live ran out. Messages in memory have none, so far.
    pub expired: u64,
    /// Messages that the policy discarded.
    pub discarded: u64,
    /// Dead letters that were purged.
    pub purged: u64,
    /// How often an unsent message was sent again.
    pub retransmissions: u64,
    /// How often a failed message was put back for another delivery.
    pub retries: u64,
    /// Events that a subscriber was too slow for.
    pub events_dropped: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latency: Latency,
    pub(crate) oldest_ready: Option<Duration>,
}

impl Stats {
    /// Messages acked per second since the queue was opened (M/T); 0 while no time has passed.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.acked as f64 / seconds } else { 0.0 }
    }

    /// The share of deliveries that failed (F/M); 0 while there was none.
    #[must_use]
    pub fn failure_rate(&self) -> f64 {
        if self.delivered > 0 { self.failed as f64 / self.delivered as f64 } else { 0.0 }
    }

    /// Times from send to first hand-over (T − Ts), sampled.
    #[must_use]
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// How long the next message has been ready; `None` if none is.
    #[must_use]
    pub fn oldest_ready_age(&self) -> Option<Duration> {
        self.oldest_ready
    }
}
