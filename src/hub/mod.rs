//! The hub: what all handles of one queue share besides the ring, and the moves between ring and ledger.
//!
//! | file | what it moves |
//! |---|---|
//! | `accept` | a message into a seat, or an answer why not |
//! | `room` | what keeps the capacity exact: overflow and phantoms |
//! | `hand_over` | a message out of its seat, or off the lane, to a consumer |
//! | `guard` | what a breaker or a budget lets through: to a consumer, or into line |
//! | `fail` | a delivery that ended badly to its next attempt, or to the dead letters |
//! | `keep` | a lease to its worker for longer, or back from it |
//! | `tasks` | a task to its place in the waiting rooms, and out of it |
//! | `dead` | a dead letter into the store, and out of it |
//! | `lease` | what a valid lease may do: ack, extend |
//! | `resend` | a message that was not accepted to its next try |
//! | `fire` | what has fallen due |
//! | `ending` | close, drain, the last handle |
//! | `count` | the figures |
//!
//! One lock (`ledger`), never held while a user's code runs, and never taken on the way of a first delivery.

mod accept;
mod count;
mod dead;
mod ending;
mod fail;
mod fire;
mod guard;
mod hand_over;
mod keep;
mod lease;
mod resend;
mod room;
mod tasks;

#[cfg(all(test, loom))]
mod models;

pub(crate) use fail::{Fault, Stale};
pub(crate) use hand_over::{ColdDelivery, NoMail};
pub(crate) use resend::unboxed;
pub(crate) use tasks::{AtMail, AtRoom};

use crate::clock::Clock;
use crate::envelope::{Envelope, Payload};
use crate::events::Events;
use crate::ledger::Ledger;
use crate::message::{Headers, MessageId};
use crate::metrics::Histogram;
use crate::panics::Contained;
use crate::protect::{Breaker, Guard, RetryBudget};
use crate::retry::RetryPolicy;
use crate::ring::{Door, Load, Ring, Shared, Side};
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Mutex, OnceLock, Relaxed, SeqCst, loom_fence};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

/// The ring with its hub.
pub(crate) type Core<T> = Shared<Hub<T>>;

/// There are redeliveries in the lane.
const LANE: u32 = 1;
/// Nothing is handed out.
const PAUSED: u32 = 2;
/// Nobody samples the ring: who moves it must tell.
const QUIET: u32 = 4;
/// A message is known to the ledger that still lives in its seat.
const LATE: u32 = 8;
/// A breaker has to see every delivery: nothing goes past the ledger. Set at the opening, for good.
const GUARDED: u32 = 16;
/// Retries wait for a balance of the budget; the next first delivery may bring it.
const SHORT: u32 = 32;
/// The breaker of the whole queue lets nothing out of the ring now.
const SHUT: u32 = 64;

/// What was asked for at `open()`.
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) capacity: usize,
    pub(crate) retry: Policy,
    pub(crate) resend: Policy,
    pub(crate) resend_capacity: usize,
    pub(crate) lease: Duration,
    pub(crate) max_deliveries: u32,
    pub(crate) dead_letter_capacity: usize,
    pub(crate) retry_budget: Option<RetryBudget>,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) seed: u64,
}

/// A policy and the name it goes by in histories.
pub(crate) struct Policy {
    pub(crate) rules: Contained<Box<dyn RetryPolicy>>,
    pub(crate) name: Arc<str>,
}

/// Everything of a queue that is not the ring.
pub(crate) struct Hub<T: Send + Sync + 'static> {
    /// What a receiver must know before it looks at the ring. Read on every hand-over, written seldom.
    attention: AtomicU32,
    instance: u64,
    clock: Arc<dyn Clock>,
    born: Instant,
    /// The time (in microseconds since `born`) at which every 64th message was sent, or [`UNTIMED`].
    sent_us: Box<[AtomicU64]>,
    latency: Histogram,
    pub(crate) settings: Settings,
    pub(crate) ledger: Mutex<Ledger<T>>,
    pub(crate) events: Events,
    /// `Queue`s and `Producer`s; when none is left the queue closes.
    pub(crate) senders: AtomicUsize,
    /// `Queue`s and `Consumer`s; when none is left nobody could receive, and the queue closes too.
    pub(crate) receivers: AtomicUsize,
    me: OnceLock<Weak<Core<T>>>,
}

/// Opens a queue: the first door to its ring.
pub(crate) fn open<T: Send + Sync + 'static>(settings: Settings) -> Option<Door<Hub<T>>> {
    let ring = Ring::new(settings.capacity)?;
    let by_hand = settings.clock.by_hand().is_some();
    let quiet = if by_hand { 0 } else { QUIET };
    let guarded = if settings.breaker.is_some() { GUARDED } else { 0 };
    let guard = Guard::new(settings.retry_budget.as_ref(), settings.breaker.as_ref());
    let hub = Hub {
        attention: AtomicU32::new(quiet | guarded),
        instance: settings.seed,
        clock: settings.clock.clone(),
        born: settings.clock.now(),
        sent_us: (0..settings.capacity.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
        latency: Histogram::new(),
        ledger: Mutex::new(Ledger::new(settings.dead_letter_capacity, guard)),
        settings,
        events: Events::new(),
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
        me: OnceLock::new(),
    };
    let door = Door::open(ring, hub);
    let weak = Arc::downgrade(door.shared());
    let _ = door.side.me.set(weak.clone());
    if let Some(clock) = door.side.settings.clock.by_hand() {
        clock.register(weak);
    }
    Some(door)
}

impl<T: Send + Sync + 'static> Side for Hub<T> {
    type Plain = T;
    type Boxed = Arc<Envelope<T>>;
    type Cold = ColdDelivery<T>;

    fn lease_ended(&self, pos: u64) {
        self.ledger.lock().end_extension(pos);
    }

    fn last_out(&self) {
        self.end();
    }
}

impl<T: Send + Sync + 'static> Drop for Hub<T> {
    fn drop(&mut self) {
        if self.settings.clock.by_hand().is_none() {
            crate::driver::nudge_if_running(); // so that it goes when no queue is left
        }
    }
}

// ---- time ----

impl<T: Send + Sync + 'static> Hub<T> {
    fn elapsed(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.born)
    }

    /// How long to sleep in real time until `left` has passed on the queue's clock, or until it is worth another look.
    fn nap(&self, left: Duration) -> Duration {
        if self.clock.keeps_pace() { left } else { left.min(POLLED) }
    }

    /// Milliseconds since the queue was opened, rounded down.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The first millisecond at which `after` has passed for certain.
    fn due_ms(&self, after: Duration) -> u64 {
        Self::ms_at(self.elapsed().saturating_add(after))
    }

    /// The first millisecond at which so much time has passed for certain since the queue was opened.
    fn ms_at(due: Duration) -> u64 {
        let millis = due.as_millis()
            + u128::from(!due.subsec_nanos().is_multiple_of(1_000_000) && !planted!("a-delay-is-rounded-down"));
        u64::try_from(millis).unwrap_or(u64::MAX)
    }

    /// When `limit` from now will have passed; `None` if that is beyond all time.
    pub(crate) fn deadline(&self, limit: Duration) -> Option<Instant> {
        self.clock.now().checked_add(limit)
    }

    /// A moment of the queue's own time as the wall clock would have shown it.
    fn wall_time(&self, ms: u64) -> SystemTime {
        let (now, now_ms) = (self.clock.system_time(), self.now_ms());
        let moved = if ms <= now_ms {
            now.checked_sub(Duration::from_millis(now_ms - ms))
        } else {
            now.checked_add(Duration::from_millis(ms - now_ms))
        };
        moved.unwrap_or(now)
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

// ---- identity ----

impl<T: Send + Sync + 'static> Hub<T> {
    #[inline(always)]
    pub(crate) fn id_at(&self, pos: u64) -> MessageId {
        MessageId::new(self.instance, pos)
    }
}

impl<T: Send + Sync + 'static> Core<T> {
    /// A reference to ourselves that counts.
    fn me(&self) -> Arc<Core<T>> {
        // Set by `open` before the first handle exists; whoever calls holds a reference, so it can be upgraded.
        self.side.me.get().and_then(Weak::upgrade).unwrap_or_else(|| unreachable!("a queue in use is alive"))
    }

    /// The box for what sat plainly in its seat.
    fn envelop(&self, ledger: &Ledger<T>, pos: u64, payload: Payload<T>) -> Arc<Envelope<T>> {
        let sent_ms = ledger.sent.when(pos).unwrap_or_else(|| self.side.now_ms());
        Arc::new(Envelope {
            id: self.side.id_at(pos),
            key: None,
            headers: Headers::new(),
            sent_at: self.side.wall_time(sent_ms),
            sent_ms,
            payload,
        })
    }

    fn envelop_load(&self, ledger: &Ledger<T>, pos: u64, load: Load<T, Arc<Envelope<T>>>) -> Arc<Envelope<T>> {
        match load {
            Load::Plain(message) => self.envelop(ledger, pos, Payload::Here(message)),
            Load::Boxed(envelope) => envelope,
        }
    }

    /// When the message at this position was sent.
    pub(crate) fn sent_at(&self, pos: u64) -> SystemTime {
        let sent_ms = self.side.ledger.lock().sent.when(pos);
        self.side.wall_time(sent_ms.unwrap_or_else(|| self.side.now_ms()))
    }
}

// ---- the cheap figures ----

impl<T: Send + Sync + 'static> Core<T> {
    /// The time of every 64th send, for the latency histogram.
    #[cold]
    #[inline(never)]
    fn stamp_sent(&self, pos: u64) {
        self.side.sent_us[self.ring.index(pos) >> 6].store(self.side.elapsed_us(), Relaxed);
    }

    fn stamp_nothing(&self, pos: u64) {
        self.side.sent_us[self.ring.index(pos) >> 6].store(UNTIMED, Relaxed);
    }

    #[cold]
    fn sample_latency(&self, pos: u64) {
        let sent = self.side.sent_us[self.ring.index(pos) >> 6].load(Relaxed);
        if sent != UNTIMED {
            self.side.latency.record_us(self.side.elapsed_us().saturating_sub(sent));
        }
    }

    #[inline(always)]
    fn attention(&self) -> u32 {
        loom_fence();
        self.side.attention.load(SeqCst) // a plain load; pairs with the RMWs that set and clear it
    }

    fn set_attention(&self, flag: u32, on: bool) {
        if on {
            self.side.attention.fetch_or(flag, SeqCst);
        } else {
            self.side.attention.fetch_and(!flag, SeqCst);
        }
    }
}

/// How often a clock is looked at that may go faster or slower than real time.
const POLLED: Duration = Duration::from_millis(10);

/// Every message whose position is a multiple of this is timed; of those that were sent in batches, every one whose position
/// is a multiple of the second: a batch that reads the clock twice pays a tenth of its time for it.
const SAMPLED: u64 = 64;
const SAMPLED_OF_BATCHES: u64 = 256;
/// In place of a time, for a message that is not timed.
const UNTIMED: u64 = u64::MAX;

#[inline(always)]
fn is_sampled(pos: u64) -> bool {
    pos & (SAMPLED - 1) == 0
}

/// The sampled ones of these positions.
fn sampled(range: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
    (range.start.next_multiple_of(SAMPLED)..range.end).step_by(SAMPLED as usize)
}
