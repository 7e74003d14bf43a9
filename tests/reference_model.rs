//! T11: whatever is done to a queue, it does what a plain model of it does.
//!
//! proptest draws settings and a hundred operations; each is done to a real queue on a [`ManualClock`] and to the model
//! below, a few lists and a number for the time. After every step everything that can be seen of the queue is compared:
//! answers, hand-overs, figures, dead letters, unsent records, receipts, events.
//!
//! The model is told nothing about the queue but its answers, and leaves open only what the guarantees leave open: which
//! ready redelivery comes next, whether a redelivery or a first delivery comes next, and in which order leases end that
//! end in the same millisecond. The order of what falls due in one millisecond is: leases of first deliveries, then
//! everything else in the order in which it was set.
//!
//! `SEED=…` draws other cases, `REDELIVER_TIER=nightly` many more.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it writes evidence")]

mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestError, TestRng, TestRunner};
use redeliver::{
    Attempt, Batch, Consumer, Decision, Delivery, Event, Exponential, Filter, Fixed, Headers, Immediate, Linear,
    ManualClock, MessageId, Never, Producer, Queue, Receipt, ReceiptError, RecvTimeoutError, RetryPolicy,
    RetryPolicyExt, SendErrorKind, SettleErrorKind, TryRecvError, policy_fn,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};
use support::{evidence, is_nightly, leak, seed};

const FULL: &str = "the queue was full";
const CLOSED: &str = "the queue was closed before there was room";
const EXPIRED: &str = "the lease expired";
const DROPPED: &str = "the delivery was dropped without being settled";
/// A built-in policy that nobody limits ends after so many attempts.
const DEFAULT_ATTEMPTS: u32 = 16;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

thread_local! {
    /// How often what was done. All cases run on one thread.
    static HITS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

fn hit(what: &'static str) {
    HITS.with_borrow_mut(|hits| *hits.entry(what).or_default() += 1);
}

// ---- what a case is made of ----

#[derive(Debug, Clone, Copy)]
enum Kind {
    Immediate,
    Fixed(u64),
    Linear(u64, u64),
    Exponential(u64),
    Never,
    /// Retries after so many milliseconds, and discards at this attempt.
    Discard(u64, u32),
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    kind: Kind,
    attempts_max: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Retry(u64),
    Dead,
    Discard,
}

impl Rule {
    fn policy(self) -> Box<dyn RetryPolicy> {
        fn ends<P: RetryPolicy>(policy: P, max: Option<u32>) -> Box<dyn RetryPolicy> {
            match max {
                Some(max) => Box::new(RetryPolicyExt::max_attempts(policy, max)),
                None => Box::new(policy),
            }
        }
        let max = self.attempts_max;
        match self.kind {
            Kind::Immediate => ends(Immediate, max),
            Kind::Fixed(delay) => ends(Fixed::new(ms(delay)), max),
            Kind::Linear(first, step) => ends(Linear::new(ms(first), ms(step)), max),
            Kind::Exponential(first) => ends(Exponential::new(ms(first)), max),
            Kind::Never => Box::new(Never),
            Kind::Discard(delay, at) => Box::new(policy_fn(move |failure| {
                if failure.attempt() >= at { Decision::Discard } else { Decision::Retry { after: ms(delay) } }
            })),
        }
    }

    fn decide(self, attempt: u32) -> Verdict {
        let delay = match self.kind {
            Kind::Never => return Verdict::Dead,
            Kind::Discard(_, at) if attempt >= at => return Verdict::Discard,
            Kind::Discard(delay, _) => return Verdict::Retry(delay),
            Kind::Immediate => 0,
            Kind::Fixed(delay) => delay,
            Kind::Linear(first, step) => first + step * u64::from(attempt - 1),
            Kind::Exponential(first) => first << (attempt - 1).min(30),
        };
        if attempt >= self.attempts_max.unwrap_or(DEFAULT_ATTEMPTS) { Verdict::Dead } else { Verdict::Retry(delay) }
    }
}

#[derive(Debug, Clone)]
struct Knobs {
    capacity: usize,
    lease_ms: u64,
    retry: Rule,
    resend: Rule,
    resend_capacity: usize,
    dead_capacity: usize,
    max_deliveries: Option<u32>,
    /// At the end the queue goes before the deliveries.
    queue_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Ack,
    Nack,
    NackAfter(u64),
    Snooze(u64),
    Reject,
    IntoMessage,
    Drop,
    DropWhileListed,
    Leak,
    /// Takes a batch apart, takes this many of it, and drops the rest.
    Split(usize),
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Send,
    TrySend,
    SendTimeout,
    SendKeyed,
    SendBatch(usize),
    Submit,
    SubmitKeyed,
    TryRecv,
    RecvTimeout,
    TryRecvBatch(usize),
    Settle(usize, How),
    Extend(usize, u64),
    KeepAlive(usize, u64, bool),
    Advance(u64),
    /// To the next moment at which something falls due, or a millisecond short of it.
    AdvanceToNext(bool),
    Pause,
    Resume,
    Redrive(usize),
    Close,
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => Just(Kind::Immediate),
        3 => (0..40u64).prop_map(Kind::Fixed),
        1 => (3_600_000..7_200_000u64).prop_map(Kind::Fixed),
        2 => (0..30u64, 0..30u64).prop_map(|(first, step)| Kind::Linear(first, step)),
        2 => (1..30u64).prop_map(Kind::Exponential),
        1 => Just(Kind::Never),
        1 => (0..20u64, 1..4u32).prop_map(|(delay, at)| Kind::Discard(delay, at)),
    ]
}

fn rules() -> impl Strategy<Value = Rule> {
    (kinds(), proptest::option::weighted(0.6, 1..5u32)).prop_map(|(kind, max)| Rule {
        kind,
        attempts_max: max.filter(|_| !matches!(kind, Kind::Never | Kind::Discard(..))),
    })
}

fn knobs() -> impl Strategy<Value = Knobs> {
    let lease = prop_oneof![1 => Just(1u64), 3 => 2..40u64, 2 => 40..2_000u64, 1 => Just(30_000u64)];
    let max_deliveries = proptest::option::weighted(0.25, 1..5u32);
    let sizes = (1..=9usize, 0..=4usize, 1..=4usize);
    (sizes, lease, rules(), rules(), max_deliveries, any::<bool>()).prop_map(
        |((capacity, resend_capacity, dead_capacity), lease_ms, retry, resend, max_deliveries, queue_first)| {
            // A policy that promises more than the queue allows is refused when it is opened.
            let promised = retry.attempts_max.unwrap_or(1);
            let max_deliveries = max_deliveries.map(|max| max.max(promised));
            Knobs { capacity, lease_ms, retry, resend, resend_capacity, dead_capacity, max_deliveries, queue_first }
        },
    )
}

fn times() -> impl Strategy<Value = u64> {
    prop_oneof![
        1 => Just(0u64),
        5 => 1..12u64,
        4 => 12..100u64,
        2 => 100..3_000u64,
        1 => 3_000..100_000u64,
        1 => 3_600_000..90_000_000u64,
    ]
}

fn hows() -> impl Strategy<Value = How> {
    prop_oneof![
        6 => Just(How::Ack),
        5 => Just(How::Nack),
        2 => times().prop_map(How::NackAfter),
        2 => times().prop_map(How::Snooze),
        1 => Just(How::Reject),
        2 => Just(How::IntoMessage),
        4 => Just(How::Drop),
        1 => Just(How::DropWhileListed),
        1 => Just(How::Leak),
        2 => (0..4usize).prop_map(How::Split),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let hand = || 0..64usize;
    prop_oneof![
        60 => Just(Op::Send),
        120 => Just(Op::TrySend),
        20 => Just(Op::SendTimeout),
        50 => Just(Op::SendKeyed),
        30 => (0..6usize).prop_map(Op::SendBatch),
        70 => Just(Op::Submit),
        20 => Just(Op::SubmitKeyed),
        220 => Just(Op::TryRecv),
        20 => Just(Op::RecvTimeout),
        60 => (0..6usize).prop_map(Op::TryRecvBatch),
        260 => (hand(), hows()).prop_map(|(hand, how)| Op::Settle(hand, how)),
        40 => (hand(), times()).prop_map(|(hand, time)| Op::Extend(hand, time)),
        20 => (hand(), times(), any::<bool>()).prop_map(|(hand, time, keep)| Op::KeepAlive(hand, time, keep)),
        110 => times().prop_map(Op::Advance),
        60 => any::<bool>().prop_map(Op::AdvanceToNext),
        8 => Just(Op::Pause),
        16 => Just(Op::Resume),
        30 => hand().prop_map(Op::Redrive),
        3 => Just(Op::Close),
    ]
}

// ---- what is sent ----

struct Letter {
    number: usize,
    text: String,
    alive: Arc<AtomicI64>,
}

fn text_of(number: usize) -> String {
    format!("letter {number} {}", "x".repeat(number % 7))
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

// ---- the model ----

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// The lease that a first delivery has from the queue.
    AsLeased(u64),
    /// A lease of its own: when, and the how manieth thing that was set it is.
    At(u64, u64),
    /// Kept until further notice.
    Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Sent, and never handed out.
    First,
    /// Ready again.
    Again,
    InFlight(u64, Ends),
    Delayed(u64, u64),
    /// When it is sent again, and how often it was.
    Unsent(u64, u64, u32),
    Dead,
    Parked,
    Acked,
    Discarded,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failed {
    attempt: u32,
    at: u64,
    error: &'static str,
    delay: Option<u64>,
}

struct Msg {
    id: Option<MessageId>,
    keyed: bool,
    sent_at: u64,
    state: State,
    attempt: u32,
    history: Vec<Failed>,
    died_at: u64,
    /// Deliveries of it that exist, leaked ones too: their number, and whether they hold a seat.
    handles: Vec<(u64, bool)>,
    /// Its seat may be kept by whoever still reads it.
    in_seat: bool,
    /// A handle that held its seat has lost its lease.
    lost_seat: bool,
    receipt: Option<Receipt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    DeadLettered(MessageId),
    Parked(MessageId),
    GivenUp(MessageId),
    LeaseLost(MessageId, u32),
    Dropped(MessageId),
}

#[derive(Default, Debug, Clone, PartialEq, Eq)]
struct Counts {
    sent: u64,
    delivered: u64,
    acked: u64,
    failed: u64,
    leases_lost: u64,
    retries: u64,
    retransmissions: u64,
    discarded: u64,
}

struct Model {
    knobs: Knobs,
    now: u64,
    set: u64,
    deliveries: u64,
    msgs: Vec<Msg>,
    /// What was sent and never handed out, in order.
    first: VecDeque<usize>,
    again: BTreeSet<usize>,
    dead: Vec<usize>,
    parked: VecDeque<usize>,
    counts: Counts,
    is_closed: bool,
    is_paused: bool,
    /// What the queue has told and the model has not expected yet.
    told: VecDeque<Told>,
}

impl Model {
    fn next(&mut self) -> u64 {
        self.set += 1;
        self.set
    }

    fn count(&self, is: impl Fn(&State) -> bool) -> usize {
        self.msgs.iter().filter(|msg| is(&msg.state)).count()
    }

    fn ready(&self) -> usize {
        self.first.len() + self.again.len()
    }

    fn in_flight(&self) -> usize {
        self.count(|state| matches!(state, State::InFlight(..)))
    }

    fn is_over(&self) -> bool {
        self.is_closed && self.ready() + self.in_flight() + self.count(|state| matches!(state, State::Delayed(..))) == 0
    }

    fn holds(&self, msg: usize, number: u64) -> bool {
        matches!(self.msgs[msg].state, State::InFlight(holder, _) if holder == number)
    }

    /// Seats that are kept by first deliveries that lost their lease.
    fn pinned(&self) -> usize {
        let lost = |msg: usize, number: u64| !self.holds(msg, number);
        let seats = |(at, msg): (usize, &Msg)| msg.handles.iter().filter(|h| h.1 && lost(at, h.0)).count();
        self.msgs.iter().enumerate().map(seats).sum()
    }

    /// Seats that may be kept by other deliveries of a message, which read it where it was at first.
    fn stays(&self) -> usize {
        let stays = |msg: &&Msg| msg.in_seat && !msg.handles.is_empty() && msg.handles.iter().all(|h| !h.1);
        self.msgs.iter().filter(stays).count()
    }

    fn has_room(&self, pinned: usize) -> bool {
        self.ready() + self.in_flight() + pinned < self.knobs.capacity
    }

    fn new_msg(&mut self, keyed: bool) -> usize {
        self.msgs.push(Msg {
            id: None,
            keyed,
            sent_at: self.now,
            state: State::Discarded,
            attempt: 0,
            history: Vec::new(),
            died_at: 0,
            handles: Vec::new(),
            in_seat: false,
            lost_seat: false,
            receipt: None,
        });
        self.msgs.len() - 1
    }

    fn accept(&mut self, msg: usize) {
        self.msgs[msg].state = State::First;
        self.msgs[msg].history.clear();
        self.first.push_back(msg);
        self.counts.sent += 1;
    }

    fn id(&self, msg: usize) -> MessageId {
        self.msgs[msg].id.expect("known by now")
    }

    fn expect(&mut self, event: Told) {
        assert_eq!(self.told.pop_front(), Some(event), "the event that was told");
    }

    // ---- hand-over ----

    /// The message was handed out: returns the delivery's number, and whether it holds a seat.
    fn hand_out(&mut self, msg: usize) -> (u64, bool) {
        assert!(!self.is_paused, "handed out while paused");
        let is_first = match self.msgs[msg].state {
            State::First => {
                assert_eq!(self.first.pop_front(), Some(msg), "first deliveries follow the order of the sends");
                true
            }
            State::Again => {
                assert!(self.again.remove(&msg));
                false
            }
            state => panic!("handed out while {state:?}"),
        };
        self.deliveries += 1;
        let number = self.deliveries;
        let ends = if is_first {
            Ends::AsLeased(self.now + self.knobs.lease_ms)
        } else {
            Ends::At(self.now + self.knobs.lease_ms, self.next())
        };
        let msg = &mut self.msgs[msg];
        msg.attempt += 1;
        msg.state = State::InFlight(number, ends);
        msg.handles.push((number, is_first));
        self.counts.delivered += 1;
        (number, is_first)
    }

    fn let_go(&mut self, msg: usize, number: u64) {
        let msg = &mut self.msgs[msg];
        msg.handles.retain(|handle| handle.0 != number);
        msg.in_seat &= !msg.handles.is_empty();
    }

    // ---- failure ----

    fn verdict(&self, msg: usize) -> Verdict {
        let attempt = self.msgs[msg].attempt;
        if self.knobs.max_deliveries.unwrap_or(1000) <= attempt {
            return Verdict::Dead;
        }
        self.knobs.retry.decide(attempt)
    }

    fn fail(&mut self, msg: usize, error: &'static str, verdict: Verdict) {
        self.counts.failed += 1;
        let attempt = self.msgs[msg].attempt;
        self.record(msg, attempt, error, verdict);
        match verdict {
            Verdict::Retry(delay) => {
                self.counts.retries += 1;
                self.wait(msg, delay);
            }
            Verdict::Dead => self.bury(msg, false),
            Verdict::Discard => self.discard(msg),
        }
    }

    fn record(&mut self, msg: usize, attempt: u32, error: &'static str, verdict: Verdict) {
        let delay = if let Verdict::Retry(delay) = verdict { Some(delay) } else { None };
        let at = self.now;
        self.msgs[msg].history.push(Failed { attempt, at, error, delay });
    }

    fn wait(&mut self, msg: usize, delay: u64) {
        if delay == 0 {
            self.msgs[msg].state = State::Again;
            self.again.insert(msg);
        } else {
            self.msgs[msg].state = State::Delayed(self.now + delay, self.next());
        }
    }

    fn bury(&mut self, msg: usize, was_unsent: bool) {
        let id = self.id(msg);
        if self.dead.len() >= self.knobs.dead_capacity {
            hit("parked");
            self.msgs[msg].state = State::Parked;
            self.parked.push_back(msg);
            self.expect(Told::Parked(id));
        } else {
            self.inter(msg);
            self.expect(if was_unsent { Told::GivenUp(id) } else { Told::DeadLettered(id) });
        }
    }

    fn inter(&mut self, msg: usize) {
        hit("dead letter");
        self.msgs[msg].state = State::Dead;
        self.msgs[msg].died_at = self.now;
        self.dead.push(msg);
    }

    fn discard(&mut self, msg: usize) {
        hit("discarded");
        self.msgs[msg].state = State::Discarded;
        self.counts.discarded += 1;
        let id = self.id(msg);
        self.expect(Told::Dropped(id));
    }

    fn lose(&mut self, msg: usize) {
        hit("lease lost");
        self.counts.leases_lost += 1;
        if self.msgs[msg].handles.iter().any(|handle| handle.1) {
            self.msgs[msg].lost_seat = true;
            self.msgs[msg].in_seat = !self.msgs[msg].keyed;
        }
    }

    /// First deliveries whose leases end in the same millisecond: in whatever order, which the events tell.
    fn lose_together(&mut self, lost: &[usize]) {
        let mut finals: BTreeMap<MessageId, usize> = BTreeMap::new();
        let mut losses = BTreeSet::new();
        for &msg in lost {
            self.lose(msg);
            losses.insert(Told::LeaseLost(self.id(msg), self.msgs[msg].attempt));
            match self.verdict(msg) {
                verdict @ Verdict::Retry(_) => self.fail(msg, EXPIRED, verdict),
                _ => drop(finals.insert(self.id(msg), msg)),
            }
        }
        let told: Vec<Told> = (0..losses.len() + finals.len()).filter_map(|_| self.told.pop_front()).collect();
        for event in told {
            match event {
                Told::LeaseLost(..) => assert!(losses.remove(&event), "{event:?} was not expected"),
                Told::DeadLettered(id) | Told::Parked(id) | Told::Dropped(id) | Told::GivenUp(id) => {
                    let msg = finals.remove(&id).expect("its end was expected");
                    let verdict = self.verdict(msg);
                    self.told.push_front(event);
                    self.fail(msg, EXPIRED, verdict);
                }
            }
        }
        assert!(losses.is_empty() && finals.is_empty(), "not told: {losses:?} {finals:?}");
    }

    // ---- time ----

    fn due(&self, msg: usize) -> Option<u64> {
        match self.msgs[msg].state {
            State::InFlight(_, Ends::AsLeased(due) | Ends::At(due, _)) => Some(due),
            State::Delayed(due, _) | State::Unsent(due, ..) => Some(due),
            _ => None,
        }
    }

    fn next_due(&self) -> Option<u64> {
        (0..self.msgs.len()).filter_map(|msg| self.due(msg)).min()
    }

    fn advance(&mut self, by: u64) {
        let target = self.now + by;
        while let Some(due) = self.next_due().filter(|due| *due <= target) {
            self.now = self.now.max(due);
            self.fire();
        }
        self.now = target;
    }

    /// Everything that is due at this millisecond.
    fn fire(&mut self) {
        let has_ended =
            |msg: &usize| matches!(self.msgs[*msg].state, State::InFlight(_, Ends::AsLeased(due)) if due <= self.now);
        let ended: Vec<usize> = (0..self.msgs.len()).filter(has_ended).collect();
        self.lose_together(&ended);
        while let Some(msg) = self.first_set() {
            match self.msgs[msg].state {
                State::InFlight(..) => {
                    self.lose(msg);
                    let lost = Told::LeaseLost(self.id(msg), self.msgs[msg].attempt);
                    self.expect(lost);
                    let verdict = self.verdict(msg);
                    self.fail(msg, EXPIRED, verdict);
                }
                State::Delayed(..) => {
                    self.msgs[msg].state = State::Again;
                    self.again.insert(msg);
                }
                State::Unsent(_, _, tries) => {
                    hit("resend");
                    self.counts.retransmissions += 1;
                    if self.has_room(self.pinned()) {
                        hit("resend accepted");
                        self.accept(msg);
                    } else {
                        self.refuse(msg, tries + 1);
                    }
                }
                state => unreachable!("{state:?} waits for nothing"),
            }
        }
    }

    /// Of what is due now and was set, what was set first.
    fn first_set(&self) -> Option<usize> {
        let set = |msg: usize| match self.msgs[msg].state {
            State::InFlight(_, Ends::At(due, set)) | State::Delayed(due, set) | State::Unsent(due, set, _)
                if due <= self.now =>
            {
                Some((due, set, msg))
            }
            _ => None,
        };
        (0..self.msgs.len()).filter_map(set).min().map(|(_, _, msg)| msg)
    }

    // ---- the resend ledger ----

    fn refuse(&mut self, msg: usize, tries: u32) {
        let verdict = self.knobs.resend.decide(tries);
        self.record(msg, tries, FULL, verdict);
        match verdict {
            Verdict::Retry(delay) => self.msgs[msg].state = State::Unsent(self.now + delay, self.next(), tries),
            Verdict::Dead => {
                hit("given up");
                self.bury(msg, true);
            }
            Verdict::Discard => self.discard(msg),
        }
    }

    fn close(&mut self) {
        self.is_closed = true;
        let unsent = |msg: &Msg| matches!(msg.state, State::Unsent(..));
        let mut left: BTreeMap<MessageId, usize> =
            (0..self.msgs.len()).filter(|&msg| unsent(&self.msgs[msg])).map(|msg| (self.id(msg), msg)).collect();
        while let Some(&(Told::GivenUp(id) | Told::Parked(id))) = self.told.front() {
            hit("closed while unsent");
            let msg = left.remove(&id).expect("only what is unsent is given up");
            let State::Unsent(_, _, tries) = self.msgs[msg].state else { unreachable!() };
            self.record(msg, tries, CLOSED, Verdict::Dead);
            self.bury(msg, true);
        }
        assert!(left.is_empty(), "unsent records survived the close");
    }

    fn redrive(&mut self, msg: usize) {
        self.dead.retain(|dead| *dead != msg);
        self.msgs[msg].attempt = 0;
        self.msgs[msg].state = State::Again;
        self.again.insert(msg);
        if let Some(parked) = self.parked.pop_front() {
            hit("parked found room");
            self.inter(parked);
            let id = self.id(parked);
            self.expect(Told::DeadLettered(id));
        }
    }
}

// ---- the queue under test, side by side with the model ----

enum Held {
    One(Delivery<Letter>),
    Many(Batch<Letter>),
}

struct Hand {
    held: Held,
    /// Message and number of each delivery in it.
    parts: Vec<(usize, u64)>,
    /// It came back in an error: dropping it is no nack.
    returned: bool,
}

struct World {
    model: Model,
    clock: ManualClock,
    queue: Queue<Letter>,
    producer: Producer<Letter>,
    consumer: Consumer<Letter>,
    events: crossbeam_channel_receiver::Events,
    hands: Vec<Hand>,
    alive: Arc<AtomicI64>,
    leaked: i64,
}

/// The receiver's type belongs to a crate that a test does not depend on.
mod crossbeam_channel_receiver {
    use super::{Event, Told};

    pub struct Events(Box<dyn Fn() -> Option<Event>>);

    impl Events {
        pub fn of(queue: &super::Queue<super::Letter>) -> Self {
            let events = queue.events();
            Events(Box::new(move || events.try_recv().ok()))
        }

        pub fn next(&self) -> Option<Told> {
            (self.0)().map(|event| match event {
                Event::DeadLettered { id, .. } => Told::DeadLettered(id),
                Event::Parked { id, .. } => Told::Parked(id),
                Event::GivenUp { id, .. } => Told::GivenUp(id),
                Event::LeaseLost { id, attempt, .. } => Told::LeaseLost(id, attempt),
                Event::Dropped { id, .. } => Told::Dropped(id),
                other => panic!("an event the model does not know: {other:?}"),
            })
        }
    }
}

impl World {
    fn new(knobs: &Knobs) -> Self {
        let clock = ManualClock::at(start());
        let mut builder = Queue::<Letter>::builder("model")
            .capacity(knobs.capacity)
            .lease(ms(knobs.lease_ms))
            .retry(knobs.retry.policy())
            .resend(knobs.resend.policy())
            .resend_capacity(knobs.resend_capacity)
            .dead_letter_capacity(knobs.dead_capacity)
            .clock(clock.clone())
            .seed(7);
        if let Some(max) = knobs.max_deliveries {
            builder = builder.max_deliveries(max);
        }
        let queue = builder.open().expect("valid knobs");
        let model = Model {
            knobs: knobs.clone(),
            now: 0,
            set: 0,
            deliveries: 0,
            msgs: Vec::new(),
            first: VecDeque::new(),
            again: BTreeSet::new(),
            dead: Vec::new(),
            parked: VecDeque::new(),
            counts: Counts::default(),
            is_closed: false,
            is_paused: false,
            told: VecDeque::new(),
        };
        World {
            model,
            clock,
            producer: queue.producer(),
            consumer: queue.consumer(),
            events: crossbeam_channel_receiver::Events::of(&queue),
            queue,
            hands: Vec::new(),
            alive: Arc::default(),
            leaked: 0,
        }
    }

    fn letter(&self, msg: usize) -> Letter {
        self.alive.fetch_add(1, SeqCst);
        Letter { number: msg, text: text_of(msg), alive: self.alive.clone() }
    }

    fn listen(&mut self) {
        while let Some(event) = self.events.next() {
            self.model.told.push_back(event);
        }
    }

    /// Seats that are pinned, as the queue says, which must be as the model says.
    fn pinned(&self) -> usize {
        let (pinned, least) = (self.queue.stats().pinned as usize, self.model.pinned());
        let most = least + self.model.stays();
        assert!((least..=most).contains(&pinned), "{pinned} pinned, expected {least} to {most}");
        if pinned > 0 {
            hit("pinned");
        }
        pinned
    }

    fn has_room(&self) -> bool {
        self.model.has_room(self.pinned())
    }

    /// As many sends as cannot wait, even if a seat were lost whenever that is conceivable. `try_send` finds such faults,
    /// and can be shrunk; a `send` that waits for ever cannot.
    fn room_for_certain(&self) -> usize {
        let lost = self.model.msgs.iter().filter(|msg| msg.lost_seat).count();
        let taken = self.model.ready() + self.model.in_flight() + lost;
        if self.model.is_closed { usize::MAX } else { self.model.knobs.capacity.saturating_sub(taken) }
    }

    // ---- sending ----

    fn sent(
        &mut self,
        msg: usize,
        result: Result<MessageId, (SendErrorKind, Letter)>,
        when_full: SendErrorKind,
        room: bool,
    ) {
        match result {
            _ if self.model.is_closed => {
                let (kind, letter) = result.expect_err("a closed queue accepts nothing");
                assert_eq!((kind, letter.number), (SendErrorKind::Closed, msg));
                hit("send closed");
            }
            Ok(id) => {
                assert!(
                    room,
                    "accepted though {} are ready and {} in flight",
                    self.model.ready(),
                    self.model.in_flight()
                );
                self.model.msgs[msg].id = Some(id);
                self.model.accept(msg);
                hit("send accepted");
            }
            Err((kind, letter)) => {
                assert_eq!((kind, letter.number), (when_full, msg));
                assert!(!room, "full though {} are ready and {} in flight", self.model.ready(), self.model.in_flight());
                hit("send full");
            }
        }
    }

    fn submit(&mut self, keyed: bool) {
        let room = self.has_room();
        let msg = self.model.new_msg(keyed);
        let letter = self.letter(msg);
        let result = if keyed {
            self.producer.message(letter).key("k").header("n", msg.to_string()).submit()
        } else {
            self.producer.submit(letter)
        };
        self.listen();
        let records = self.model.count(|state| matches!(state, State::Unsent(..)));
        match result {
            Err(error) if self.model.is_closed => assert_eq!(error.kind, SendErrorKind::Closed),
            Err(error) => {
                hit("resend ledger full");
                assert_eq!((error.kind, error.message.number), (SendErrorKind::Full, msg));
                assert!(!room && records >= self.model.knobs.resend_capacity, "{records} records, room: {room}");
            }
            Ok(receipt) => {
                assert!(!self.model.is_closed, "a closed queue accepts nothing");
                self.model.msgs[msg].id = Some(receipt.id());
                self.model.msgs[msg].receipt = Some(receipt);
                if room {
                    self.model.accept(msg);
                } else {
                    hit("submit unsent");
                    assert!(records < self.model.knobs.resend_capacity, "{records} records");
                    self.model.refuse(msg, 1);
                }
            }
        }
    }

    // ---- receiving ----

    fn received(&mut self, delivery: Delivery<Letter>) {
        let msg = delivery.message().number;
        assert_eq!(delivery.text, text_of(msg), "byte for byte what was sent");
        let (number, is_first) = self.model.hand_out(msg);
        hit(if is_first { "first delivery" } else { "redelivery" });
        let expected = &self.model.msgs[msg];
        assert_eq!(Some(delivery.id()), expected.id);
        assert_eq!(delivery.attempt(), expected.attempt, "attempt");
        assert_eq!(delivery.key(), expected.keyed.then_some("k"));
        check_headers(delivery.headers(), msg, expected.keyed);
        check_history(delivery.history(), &expected.history);
        assert_eq!(delivery.sent_at(), start() + ms(expected.sent_at), "sent_at");
        let is_last = !matches!(self.model.verdict(msg), Verdict::Retry(_));
        assert_eq!(delivery.is_last_attempt(), is_last, "is_last_attempt");
        self.hands.push(Hand { held: Held::One(delivery), parts: vec![(msg, number)], returned: false });
    }

    fn check_nothing(&self, is_closed: bool) {
        if !self.model.is_paused {
            assert_eq!(self.model.ready(), 0, "nothing was handed out though something is ready");
        }
        assert_eq!(is_closed, self.model.is_over(), "closed is closed and all settled");
        hit(if is_closed { "recv closed" } else { "recv empty" });
    }

    fn recv_batch(&mut self, max: usize) {
        match self.consumer.try_recv_batch(max) {
            Err(error) => self.check_nothing(error == TryRecvError::Closed),
            Ok(batch) => {
                let ready = self.model.ready();
                assert!((1..=max.max(1).min(ready)).contains(&batch.len()), "a batch takes what is ready");
                let mut parts = Vec::new();
                for item in batch.iter() {
                    let msg = item.message().number;
                    let (number, _) = self.model.hand_out(msg);
                    let expected = &self.model.msgs[msg];
                    assert_eq!((Some(item.id()), item.attempt()), (expected.id, expected.attempt));
                    assert_eq!((&item.text, item.key()), (&text_of(msg), expected.keyed.then_some("k")));
                    check_headers(item.headers(), msg, expected.keyed);
                    parts.push((msg, number));
                }
                hit("batch");
                self.hands.push(Hand { held: Held::Many(batch), parts, returned: false });
            }
        }
    }

    // ---- settling ----

    fn settle(&mut self, hand: usize, how: How) {
        if self.hands.is_empty() {
            return;
        }
        let hand = self.hands.swap_remove(hand % self.hands.len());
        match hand.held {
            Held::One(delivery) => self.settle_one(delivery, hand.parts[0], hand.returned, how),
            Held::Many(batch) => self.settle_many(batch, hand.parts, how),
        }
    }

    /// What the model says about a settle that was tried: done, or refused.
    fn settled(&mut self, (msg, number): (usize, u64), how: How) -> Option<SettleErrorKind> {
        if !self.model.holds(msg, number) {
            hit("stale settle");
            return Some(SettleErrorKind::StaleLease);
        }
        if how == How::IntoMessage && self.model.msgs[msg].handles.len() > 1 {
            hit("shared");
            return Some(SettleErrorKind::Shared);
        }
        self.model.let_go(msg, number);
        match how {
            How::Ack | How::IntoMessage => {
                self.model.msgs[msg].state = State::Acked;
                self.model.counts.acked += 1;
            }
            How::Nack => {
                let verdict = self.model.verdict(msg);
                self.model.fail(msg, "nack", verdict);
            }
            How::NackAfter(delay) => {
                let is_last = self.model.knobs.max_deliveries.unwrap_or(1000) <= self.model.msgs[msg].attempt;
                let verdict = if is_last { Verdict::Dead } else { Verdict::Retry(delay) };
                self.model.fail(msg, "nack after", verdict);
            }
            How::Snooze(delay) => {
                self.model.msgs[msg].attempt -= 1;
                self.model.wait(msg, delay);
            }
            How::Reject => self.model.fail(msg, "reject", Verdict::Dead),
            How::Drop | How::DropWhileListed | How::Split(_) => {
                let verdict = self.model.verdict(msg);
                self.model.fail(msg, DROPPED, verdict);
            }
            How::Leak => unreachable!("settles nothing"),
        }
        None
    }

    fn settle_one(&mut self, delivery: Delivery<Letter>, part: (usize, u64), returned: bool, how: How) {
        let result = match how {
            How::Ack => delivery.ack(),
            How::Nack => delivery.nack("nack"),
            How::NackAfter(delay) => delivery.nack_after(ms(delay), "nack after"),
            How::Snooze(delay) => delivery.snooze(ms(delay)),
            How::Reject => delivery.reject("reject"),
            How::IntoMessage => delivery.into_message().map(|letter| assert_eq!(letter.text, text_of(part.0))),
            How::Leak => {
                hit("leak");
                leak(delivery);
                self.leaked = self.leaked.saturating_add(1);
                return;
            }
            How::Drop | How::DropWhileListed | How::Split(_) => {
                let letters = (how == How::DropWhileListed).then(|| self.queue.dead_letters().list(Filter::all()));
                drop(delivery);
                drop(letters);
                self.listen();
                if !self.model.holds(part.0, part.1) || returned {
                    self.model.let_go(part.0, part.1);
                    hit("late drop");
                } else {
                    hit("drop");
                    self.settled(part, how);
                }
                return;
            }
        };
        self.listen();
        let expected = self.settled(part, how);
        assert_eq!(result.as_ref().err().map(|error| error.kind), expected, "{how:?}");
        match result {
            Ok(()) => hit(match how {
                How::Ack => "ack",
                How::Nack => "nack",
                How::NackAfter(_) => "nack_after",
                How::Snooze(_) => "snooze",
                How::Reject => "reject",
                _ => "into_message",
            }),
            Err(error) => {
                assert_eq!(error.delivery.text, text_of(part.0), "still readable");
                self.hands.push(Hand { held: Held::One(error.delivery), parts: vec![part], returned: true });
            }
        }
    }

    fn settle_many(&mut self, batch: Batch<Letter>, parts: Vec<(usize, u64)>, how: How) {
        let refused = match how {
            How::Ack => batch.ack_all().err(),
            How::Nack => batch.nack_all("nack").err(),
            How::Leak => {
                hit("leak");
                self.leaked = i64::MAX; // a batch keeps its queue, and all that is in it
                return leak(batch);
            }
            How::Drop | How::DropWhileListed => {
                drop(batch);
                self.listen();
                for part in parts {
                    if self.settled(part, How::Drop).is_some() {
                        self.model.let_go(part.0, part.1);
                    }
                }
                return hit("batch dropped");
            }
            How::Split(take) => {
                hit("batch split");
                let mut items = batch.into_iter();
                assert_eq!(items.len(), parts.len());
                let taken: Vec<_> = items.by_ref().take(take).collect();
                drop(items);
                self.listen();
                for part in &parts[taken.len()..] {
                    if self.settled(*part, How::Drop).is_some() {
                        self.model.let_go(part.0, part.1);
                    }
                }
                for (delivery, part) in taken.into_iter().zip(parts) {
                    assert_eq!(delivery.number, part.0);
                    self.hands.push(Hand { held: Held::One(delivery), parts: vec![part], returned: false });
                }
                return;
            }
            _ => {
                let mut taken = batch.into_iter().zip(parts);
                let first = taken.next().expect("a batch holds something");
                for (delivery, part) in taken {
                    self.hands.push(Hand { held: Held::One(delivery), parts: vec![part], returned: false });
                }
                return self.settle_one(first.0, first.1, false, how);
            }
        };
        self.listen();
        let mut expected = Vec::new();
        for part in parts {
            if let Some(kind) = self.settled(part, how) {
                expected.push((kind, part));
            }
        }
        let refused = refused.unwrap_or_default();
        assert_eq!(refused.len(), expected.len(), "of the batch");
        for (error, (kind, part)) in refused.into_iter().zip(expected) {
            assert_eq!((error.kind, error.delivery.number), (kind, part.0));
            self.hands.push(Hand { held: Held::One(error.delivery), parts: vec![part], returned: true });
        }
        hit(if how == How::Ack { "ack_all" } else { "nack_all" });
    }

    /// One delivery in somebody's hands.
    fn one(&self, hand: usize) -> Option<(&Delivery<Letter>, (usize, u64))> {
        let hand = self.hands.get(hand.checked_rem(self.hands.len())?)?;
        match &hand.held {
            Held::One(delivery) => Some((delivery, hand.parts[0])),
            Held::Many(_) => None,
        }
    }

    // ---- one step ----

    fn step(&mut self, op: Op) {
        match op {
            Op::Send if self.room_for_certain() == 0 => {} // it would wait for ever
            Op::Send | Op::TrySend | Op::SendTimeout | Op::SendKeyed => {
                let room = self.has_room();
                let msg = self.model.new_msg(matches!(op, Op::SendKeyed));
                let letter = self.letter(msg);
                let result = match op {
                    Op::Send => self.producer.send(letter),
                    Op::TrySend => self.producer.try_send(letter),
                    Op::SendTimeout => self.producer.send_timeout(letter, Duration::ZERO),
                    _ => self.producer.message(letter).key("k").header("n", msg.to_string()).try_send(),
                };
                let full = if matches!(op, Op::SendTimeout) { SendErrorKind::Timeout } else { SendErrorKind::Full };
                self.sent(msg, result.map_err(|error| (error.kind, error.message)), full, room);
            }
            Op::SendBatch(len) => self.send_batch(len),
            Op::Submit => self.submit(false),
            Op::SubmitKeyed => self.submit(true),
            Op::TryRecv => match self.consumer.try_recv() {
                Ok(delivery) => self.received(delivery),
                Err(error) => self.check_nothing(error == TryRecvError::Closed),
            },
            Op::RecvTimeout => match self.consumer.recv_timeout(Duration::ZERO) {
                Ok(delivery) => self.received(delivery),
                Err(error) => self.check_nothing(error == RecvTimeoutError::Closed),
            },
            Op::TryRecvBatch(max) => self.recv_batch(max),
            Op::Settle(hand, how) => self.settle(hand, how),
            Op::Extend(hand, time) => self.extend(hand, time),
            Op::KeepAlive(hand, time, keep) => self.keep_alive(hand, time, keep),
            Op::Advance(by) => self.advance(by),
            Op::AdvanceToNext(short) => {
                let left = self.model.next_due().map_or(0, |due| due.saturating_sub(self.model.now));
                self.advance(left.saturating_sub(u64::from(short)));
            }
            Op::Pause => {
                hit("pause");
                self.queue.pause();
                self.model.is_paused = true;
            }
            Op::Resume => {
                self.queue.resume();
                self.model.is_paused = false;
            }
            Op::Redrive(which) => self.redrive(which),
            Op::Close => {
                hit("close");
                self.queue.close();
                self.listen();
                self.model.close();
            }
        }
        self.listen();
        self.check();
    }

    fn send_batch(&mut self, len: usize) {
        let len = len.min(self.room_for_certain());
        let msgs: Vec<usize> = (0..len).map(|_| self.model.new_msg(false)).collect();
        let letters: Vec<Letter> = msgs.iter().map(|&msg| self.letter(msg)).collect();
        match self.producer.send_batch(letters) {
            Ok(ids) => {
                assert!(!self.model.is_closed || len == 0);
                assert_eq!(ids.len(), len);
                for (msg, id) in msgs.into_iter().zip(ids) {
                    self.model.msgs[msg].id = Some(id);
                    self.model.accept(msg);
                }
                hit("send_batch");
            }
            Err(error) => {
                assert!(self.model.is_closed);
                assert_eq!((error.kind, error.sent.len()), (SendErrorKind::Closed, 0));
                assert_eq!(error.unsent.iter().map(|letter| letter.number).collect::<Vec<_>>(), msgs);
            }
        }
    }

    fn extend(&mut self, hand: usize, time: u64) {
        let Some((delivery, (msg, number))) = self.one(hand) else { return };
        let result = delivery.extend(ms(time));
        assert_eq!(result.is_ok(), self.model.holds(msg, number), "extend");
        if result.is_ok() {
            hit("extend");
            let ends = Ends::At(self.model.now + time, self.model.next());
            self.model.msgs[msg].state = State::InFlight(number, ends);
        } else {
            hit("stale extend");
        }
    }

    fn keep_alive(&mut self, hand: usize, time: u64, keep: bool) {
        if self.is_open_which_resend_has_room() {
            return;
        }
        let Some((delivery, (msg, number))) = self.one(hand) else { return };
        let guard = delivery.keep_alive();
        self.clock.advance(ms(time));
        let held = self.model.holds(msg, number);
        assert_eq!(delivery.is_lost(), !held, "a lease that is kept is kept, a lost one stays lost");
        if keep {
            std::mem::forget(guard);
        } else {
            drop(guard);
        }
        self.listen();
        if held {
            hit(if keep { "kept for good" } else { "keep_alive" });
            self.model.msgs[msg].state = State::InFlight(number, Ends::Kept);
        }
        self.model.advance(time);
        if held && !keep {
            let ends = Ends::At(self.model.now + self.model.knobs.lease_ms, self.model.next());
            self.model.msgs[msg].state = State::InFlight(number, ends);
        }
    }

    /// Whether a resend finds room may hang on a seat of which the guarantees do not say whether it is kept.
    fn is_open_which_resend_has_room(&self) -> bool {
        let is_open = self.model.stays() > 0 && self.model.count(|state| matches!(state, State::Unsent(..))) > 0;
        if is_open {
            hit("left open");
        }
        is_open
    }

    fn advance(&mut self, by: u64) {
        if self.is_open_which_resend_has_room() {
            return;
        }
        hit("advance");
        self.clock.advance(ms(by));
        self.listen();
        self.model.advance(by);
    }

    fn redrive(&mut self, which: usize) {
        let known: Vec<usize> = (0..self.model.msgs.len()).filter(|msg| self.model.msgs[*msg].id.is_some()).collect();
        // Mostly what is dead, sometimes what is not.
        let from = if which % 4 == 0 || self.model.dead.is_empty() { &known } else { &self.model.dead };
        let Some(&msg) = from.get(which.checked_rem(from.len()).unwrap_or(0)) else { return };
        let is_dead = self.model.msgs[msg].state == State::Dead;
        assert_eq!(self.queue.dead_letters().redrive(self.model.id(msg)), is_dead, "redrive says whether it was there");
        self.listen();
        if is_dead {
            hit("redrive");
            self.model.redrive(msg);
        } else {
            hit("redrive of nothing");
        }
    }

    // ---- everything that can be seen ----

    fn check(&self) {
        let model = &self.model;
        assert_eq!(model.told, [], "told and not expected");
        let count = |is: fn(&State) -> bool| model.count(is) as u64;
        let stats = self.queue.stats();
        assert_eq!(self.queue.len(), model.ready(), "len");
        assert_eq!(stats.ready, model.ready() as u64, "ready");
        assert_eq!(stats.in_flight, model.in_flight() as u64, "in_flight");
        assert_eq!(stats.delayed, count(|state| matches!(state, State::Delayed(..))), "delayed");
        assert_eq!(stats.parked, model.parked.len() as u64, "parked");
        assert_eq!(stats.dead, model.dead.len() as u64, "dead");
        assert_eq!(stats.unsent, count(|state| matches!(state, State::Unsent(..))), "unsent");
        let counts = Counts {
            sent: stats.sent,
            delivered: stats.delivered,
            acked: stats.acked,
            failed: stats.failed,
            leases_lost: stats.leases_lost,
            retries: stats.retries,
            retransmissions: stats.retransmissions,
            discarded: stats.discarded,
        };
        assert_eq!(counts, model.counts);
        assert_eq!((stats.expired, stats.events_dropped), (0, 0));
        self.pinned();
        self.check_hands();
        self.check_dead();
        self.check_unsent();
        for msg in &model.msgs {
            self.check_receipt(msg);
        }
    }

    fn check_hands(&self) {
        for hand in &self.hands {
            if let Held::One(delivery) = &hand.held {
                let (msg, number) = hand.parts[0];
                assert_eq!(delivery.is_lost(), !self.model.holds(msg, number), "is_lost");
                assert_eq!((&delivery.text, Some(delivery.id())), (&text_of(msg), self.model.msgs[msg].id));
            }
        }
    }

    fn check_dead(&self) {
        let letters = self.queue.dead_letters().list(Filter::all());
        let ids: Vec<_> = letters.iter().map(|letter| Some(letter.id())).collect();
        let expected: Vec<_> = self.model.dead.iter().map(|&msg| self.model.msgs[msg].id).collect();
        assert_eq!(ids, expected, "dead letters in the order in which they died");
        assert_eq!(self.queue.dead_letters().len(), letters.len());
        for (letter, &msg) in letters.iter().zip(&self.model.dead) {
            let expected = &self.model.msgs[msg];
            assert_eq!(letter.message().map(|letter| &letter.text), Some(&text_of(msg)));
            assert_eq!(letter.reason(), expected.history.last().expect("it failed").error);
            assert_eq!(letter.key(), expected.keyed.then_some("k"));
            assert_eq!(letter.died_at(), start() + ms(expected.died_at), "died_at");
            check_history(letter.history(), &expected.history);
        }
    }

    fn check_unsent(&self) {
        let list = self.queue.unsent().list();
        let mut records: Vec<_> = list.iter().map(|r| (r.next_try(), r.id(), r.attempt())).collect();
        assert!(list.is_sorted_by_key(|record| record.next_try()), "by the time of their next try");
        assert!(list.iter().all(|record| record.error() == FULL));
        let mut expected = Vec::new();
        for msg in &self.model.msgs {
            if let (State::Unsent(due, _, tries), Some(id)) = (msg.state, msg.id) {
                expected.push((start() + ms(due), id, tries));
            }
        }
        records.sort_unstable();
        expected.sort_unstable();
        assert_eq!(records, expected, "unsent records");
        assert_eq!(self.queue.unsent().len(), records.len());
    }

    fn check_receipt(&self, msg: &Msg) {
        let Some(receipt) = &msg.receipt else { return };
        let outcome = receipt.wait_timeout(Duration::ZERO);
        match (msg.state, outcome) {
            (State::Unsent(..), None) => {}
            (State::Unsent(..), Some(outcome)) => panic!("{outcome:?} though it is unsent"),
            // A redrive brings back also what was never accepted; its receipt has said so and stays with it.
            (_, Some(Err(ReceiptError::GivenUp))) => {
                let was_refused = msg.history.iter().any(|failed| [FULL, CLOSED].contains(&failed.error));
                assert!(was_refused, "given up and accepted");
            }
            (State::Discarded | State::Dead | State::Parked, Some(Ok(_))) => {
                let was_refused = msg.history.iter().any(|failed| [FULL, CLOSED].contains(&failed.error));
                assert!(!was_refused, "accepted and given up");
            }
            (_, Some(outcome)) => assert_eq!(outcome.ok(), msg.id),
            (state, None) => panic!("no answer though it is {state:?}"),
        }
    }

    /// The end: everything that was sent is dropped, once.
    fn end(self) {
        let World { queue, producer, consumer, hands, alive, leaked, model, .. } = self;
        let queue_first = model.knobs.queue_first;
        drop(model);
        if queue_first {
            drop((queue, producer, consumer));
            drop(hands);
        } else {
            drop(hands);
            drop((queue, producer, consumer));
        }
        let left = alive.load(SeqCst);
        assert!((0..=leaked).contains(&left), "{left} messages are left of {leaked} leaked deliveries");
    }
}

fn check_headers(headers: &Headers, msg: usize, keyed: bool) {
    assert_eq!(headers.len(), usize::from(keyed));
    assert_eq!(headers.get_str("n"), keyed.then(|| msg.to_string()).as_deref());
}

fn check_history(history: &[Attempt], expected: &[Failed]) {
    let seen: Vec<_> = history.iter().map(|a| (a.attempt(), a.at(), a.error(), a.delay())).collect();
    let expected: Vec<_> = expected.iter().map(|f| (f.attempt, start() + ms(f.at), f.error, f.delay.map(ms))).collect();
    assert_eq!(seen, expected, "history");
}

/// What must have happened in every run, or it proves little.
const CLASSES: &[&str] = &[
    "send accepted",
    "send full",
    "send closed",
    "send_batch",
    "submit unsent",
    "resend",
    "resend accepted",
    "resend ledger full",
    "given up",
    "closed while unsent",
    "first delivery",
    "redelivery",
    "batch",
    "batch split",
    "batch dropped",
    "ack",
    "ack_all",
    "nack",
    "nack_all",
    "nack_after",
    "snooze",
    "reject",
    "into_message",
    "shared",
    "drop",
    "late drop",
    "leak",
    "extend",
    "stale extend",
    "keep_alive",
    "kept for good",
    "stale settle",
    "lease lost",
    "pinned",
    "dead letter",
    "parked",
    "parked found room",
    "discarded",
    "redrive",
    "redrive of nothing",
    "pause",
    "advance",
    "close",
    "recv empty",
    "recv closed",
];

static STEPS: AtomicU64 = AtomicU64::new(0);

/// A step that waits for ever would otherwise say nothing at all.
fn abort_when_stuck() {
    std::thread::spawn(|| {
        let (mut last, mut idle) = (u64::MAX, 0);
        while idle < 10 {
            std::thread::sleep(Duration::from_secs(10));
            let steps = STEPS.load(SeqCst);
            idle = if steps == last { idle + 1 } else { 0 };
            last = steps;
        }
        eprintln!("stuck in step {last}: SEED={} cargo test --test reference_model", seed());
        std::process::abort();
    });
}

#[test]
fn whatever_is_done_to_a_queue_it_does_what_the_model_does() {
    let cases = match (is_nightly(), cfg!(debug_assertions)) {
        (true, _) => 1_000_000,
        (false, true) => 150,
        (false, false) => 2_000,
    };
    let len = if is_nightly() { 200 } else { 100 };
    let regressions = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/reference_model.txt");
    let config = Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    abort_when_stuck();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let mut steps = 0u64;
    let steps_cell = RefCell::new(&mut steps);
    let case = (knobs(), proptest::collection::vec(ops(), 1..2 * len)); // `len` on average; fewer, so that it can shrink
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {})); // shrinking fails hundreds of times; the smallest case says why
    let result = runner.run(&case, |(knobs, ops)| {
        let mut world = World::new(&knobs);
        for op in ops {
            world.step(op);
            STEPS.fetch_add(1, SeqCst);
            **steps_cell.borrow_mut() += 1;
        }
        world.end();
        Ok(())
    });
    std::panic::set_hook(loud);
    match result {
        Err(TestError::Fail(why, (knobs, ops))) => {
            panic!("SEED={} cargo test --test reference_model\n{why}\n{knobs:?}\n{ops:?}", seed())
        }
        other => other.expect("cases can be drawn"),
    }
    let hits = HITS.with_borrow(BTreeMap::clone);
    evidence(
        "reference_model",
        serde_json::json!({ "seed": seed(), "cases": cases, "operations": steps, "happened": hits }),
    );
    for class in CLASSES {
        assert!(hits.contains_key(class), "`{class}` never happened");
    }
}
