//! What the model knows of a retry budget and a circuit breaker: their rules as they are documented, over lists that keep
//! everything that was ever handed out.
//!
//! Of a queue with a budget there is one class, for how classes share a balance is left open by the guarantees. Where retries
//! of a class fell due in the same millisecond by leases that ended together, their order is open too.

use super::*;

/// So much of a budget's window is one slot of its count.
const SLOTS: u64 = 64;
/// So much of a breaker's window of time is one step of it.
const TENTHS: u64 = 10;
/// A tenth is not quite 0.1.
const ROUNDING: f64 = 1e-9;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    percent: f64,
    floor_per_second: f64,
    window_ms: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Trips {
    InARow(u32),
    OfTheLast { rate: f64, calls_min: u32, window: u32 },
    OfTime { rate: f64, calls_min: u32, window_ms: u64 },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Breaks {
    trips: Trips,
    open_ms: u64,
    /// Pauses grow up to so many times the first one.
    grows: Option<u64>,
    probes: u32,
    per_key: bool,
    counts_leases: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Protection {
    budget: Option<Budget>,
    breaker: Option<Breaks>,
}

// ---- what is drawn ----

fn budgets() -> impl Strategy<Value = Budget> {
    let percent = prop_oneof![Just(0.0), Just(10.0), Just(50.0), Just(100.0)];
    let window = prop_oneof![1..64u64, 64..3_000u64, Just(10_000u64)];
    (percent, 1..4u32, window).prop_map(|(percent, floor, window_ms)| {
        // Half a retry more, so that it is never a matter of rounding whether the floor grants one.
        let floor_per_second = (f64::from(floor) + 0.5) * 1_000.0 / window_ms as f64;
        Budget { percent, floor_per_second, window_ms }
    })
}

fn trips() -> impl Strategy<Value = Trips> {
    let rate = || prop_oneof![Just(0.3), Just(0.5), Just(1.0)];
    prop_oneof![
        2 => (1..4u32).prop_map(Trips::InARow),
        2 => (rate(), 1..4u32, 0..5u32).prop_map(|(rate, calls_min, more)| {
            Trips::OfTheLast { rate, calls_min, window: calls_min + more }
        }),
        1 => (rate(), 1..4u32, 1..2_000u64).prop_map(|(rate, calls_min, window_ms)| {
            Trips::OfTime { rate, calls_min, window_ms }
        }),
    ]
}

fn breakers() -> impl Strategy<Value = Breaks> {
    let pause = prop_oneof![3 => 1..50u64, 1 => 50..5_000u64];
    let grows = proptest::option::of(1..6u64);
    (trips(), pause, grows, 1..3u32, any::<bool>(), any::<bool>()).prop_map(
        |(trips, open_ms, grows, probes, per_key, counts_leases)| Breaks {
            trips,
            open_ms,
            grows,
            probes,
            per_key,
            counts_leases,
        },
    )
}

pub(crate) fn protections() -> impl Strategy<Value = Protection> {
    prop_oneof![
        6 => Just(Protection { budget: None, breaker: None }),
        2 => budgets().prop_map(|budget| Protection { budget: Some(budget), breaker: None }),
        2 => breakers().prop_map(|breaker| Protection { budget: None, breaker: Some(breaker) }),
        1 => (budgets(), breakers()).prop_map(|(budget, breaker)| Protection {
            budget: Some(budget),
            breaker: Some(Breaks { per_key: false, ..breaker }),
        }),
    ]
}

// ---- as the queue is told of it ----

impl Budget {
    fn retry_budget(self) -> RetryBudget {
        RetryBudget::percent(self.percent).floor_per_second(self.floor_per_second).window(ms(self.window_ms))
    }
}

impl Breaks {
    fn breaker(self) -> Breaker {
        let mut breaker = match self.trips {
            Trips::InARow(failures) => Breaker::new().consecutive_failures(failures),
            Trips::OfTheLast { rate, calls_min, window } => {
                Breaker::new().failure_rate(rate).min_calls(calls_min).window(window)
            }
            Trips::OfTime { rate, calls_min, window_ms } => {
                Breaker::new().failure_rate(rate).min_calls(calls_min).window_of(ms(window_ms))
            }
        };
        breaker = breaker.open_for(ms(self.open_ms)).probes(self.probes);
        if let Some(times) = self.grows {
            breaker = breaker.open_for_max(ms(times * self.open_ms));
        }
        if self.per_key {
            breaker = breaker.per_key(|key| key.unwrap_or_default().to_owned());
        }
        if !self.counts_leases {
            breaker = breaker.counts(|failure| !matches!(failure.cause(), Cause::LeaseExpired));
        }
        breaker
    }
}

impl Protection {
    pub(crate) fn is_any(self) -> bool {
        self.budget.is_some() || self.breaker.is_some()
    }

    pub(crate) fn has_breaker(self) -> bool {
        self.breaker.is_some()
    }

    pub(crate) fn of(self, mut builder: QueueBuilder<Letter>) -> QueueBuilder<Letter> {
        if let Some(budget) = self.budget {
            builder = builder.retry_budget(budget.retry_budget());
        }
        if let Some(breaker) = self.breaker {
            builder = builder.breaker(breaker.breaker());
        }
        builder
    }
}

// ---- the model's side ----

/// What the next hand-over of a message is to the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    First,
    Retry,
    /// Counted already: it was snoozed.
    Again,
}

/// How a call ended, as far as the breaker is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    Neither,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Closed,
    Open(u64),
    HalfOpen,
}

/// A circuit has changed: its class, and what it is now, with the length of a pause.
pub(crate) type Change = (String, Phase);

/// One class: its circuit, and the retries that are due and wait.
pub(crate) struct Class {
    phase: Phase,
    /// One more with each change.
    era: u64,
    /// Since the last change: when a call ended, and whether it failed.
    calls: Vec<(u64, bool)>,
    is_probed: bool,
    /// Pauses since it was closed last.
    pauses: u32,
    /// In the order in which they fell due; so many of them are ready.
    line: Vec<(u64, usize)>,
    ready: usize,
}

#[derive(Default)]
pub(crate) struct Guard {
    classes: BTreeMap<&'static str, Class>,
    /// All hand-overs that the budget counts: when, and whether it was a retry.
    handed: Vec<(u64, bool)>,
    /// Changes of circuits, as they are expected and as the queue has told them.
    pub(crate) expected: Vec<Change>,
    pub(crate) told: Vec<Change>,
}

impl Guard {
    pub(crate) fn new(protection: Protection) -> Self {
        let per_key = protection.breaker.is_some_and(|breaker| breaker.per_key);
        let names: &[&str] = if per_key { &["", "k"] } else { &[""] };
        Guard { classes: names.iter().map(|name| (*name, Class::new())).collect(), ..Guard::default() }
    }
}

impl Class {
    fn new() -> Self {
        Class {
            phase: Phase::Closed,
            era: 0,
            calls: Vec::new(),
            is_probed: false,
            pauses: 0,
            line: Vec::new(),
            ready: 0,
        }
    }

    fn room(&self) -> usize {
        match self.phase {
            Phase::Closed => usize::MAX,
            Phase::Open(_) => 0,
            Phase::HalfOpen => usize::from(!self.is_probed),
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.era += 1;
        self.calls.clear();
        self.is_probed = false;
    }

    /// Does the failure that has just ended open it?
    fn trips(&self, trips: Trips, now: u64) -> bool {
        let rate_of = |calls: &[(u64, bool)]| {
            let failures = calls.iter().filter(|(_, failed)| *failed).count();
            (calls.len() as u32, failures as f64 / calls.len() as f64)
        };
        match trips {
            Trips::InARow(failures) => {
                let in_a_row = self.calls.iter().rev().take_while(|(_, failed)| *failed).count();
                in_a_row >= failures as usize
            }
            Trips::OfTheLast { rate, calls_min, window } => {
                let (calls, failed) = rate_of(&self.calls[self.calls.len().saturating_sub(window as usize)..]);
                calls >= calls_min && failed >= rate
            }
            Trips::OfTime { rate, calls_min, window_ms } => {
                let tenth_ms = window_ms.div_ceil(TENTHS);
                let is_in = |(at, _): &&(u64, bool)| at / tenth_ms + TENTHS > now / tenth_ms;
                let (calls, failed) = rate_of(&self.calls.iter().filter(is_in).copied().collect::<Vec<_>>());
                calls >= calls_min && failed >= rate
            }
        }
    }
}

impl Model {
    pub(crate) fn class_of(&self, msg: usize) -> &'static str {
        let per_key = self.knobs.protection.breaker.is_some_and(|breaker| breaker.per_key);
        if per_key && self.msgs[msg].keyed { "k" } else { "" }
    }

    fn class(&mut self, msg: usize) -> &mut Class {
        let class = self.class_of(msg);
        self.guard.classes.get_mut(class).expect("all classes are known")
    }

    pub(crate) fn room_for(&self, msg: usize) -> bool {
        self.guard.classes[self.class_of(msg)].room() > 0
    }

    // ---- the budget ----

    /// How many retries may be handed over now.
    fn balance(&self) -> usize {
        let Some(budget) = self.knobs.protection.budget else { return usize::MAX };
        let count = |is_retry| self.guard.handed.iter().filter(|at| at.1 == is_retry && self.counts(**at)).count();
        let floor = budget.floor_per_second * ms(budget.window_ms).as_secs_f64();
        let granted = budget.percent / 100.0 * count(false) as f64 + floor + ROUNDING;
        (granted.floor() as usize).saturating_sub(count(true))
    }

    /// A slot that is only partly in the window counts with its retries and without its first attempts.
    fn counts(&self, (at, is_retry): (u64, bool)) -> bool {
        let Some(budget) = self.knobs.protection.budget else { return false };
        let slot_ms = budget.window_ms.div_ceil(SLOTS);
        (at / slot_ms + u64::from(is_retry)) * slot_ms + budget.window_ms > self.now
    }

    /// When a retry will have left the window.
    fn forgotten_at(&self, at: u64) -> u64 {
        let budget = self.knobs.protection.budget.expect("only a budget forgets");
        let slot_ms = budget.window_ms.div_ceil(SLOTS);
        (at / slot_ms + 1) * slot_ms + budget.window_ms
    }

    // ---- the lines ----

    /// Of two with the same rank either may go first.
    pub(crate) fn line_up(&mut self, msg: usize, rank: u64) {
        self.msgs[msg].state = State::Due;
        self.class(msg).line.push((rank, msg));
    }

    pub(crate) fn retries_ready(&self) -> usize {
        self.guard.classes.values().map(|class| class.ready).sum()
    }

    /// Pauses that are over are over, and whatever retries there is room and balance for are ready.
    pub(crate) fn promote(&mut self) {
        let balance = self.balance();
        let mut ready = self.retries_ready();
        for (name, class) in &mut self.guard.classes {
            if matches!(class.phase, Phase::Open(until) if until <= self.now) {
                hit("circuit half-open");
                class.enter(Phase::HalfOpen);
                self.guard.expected.push((name.to_string(), Phase::HalfOpen));
            }
            while class.ready < class.line.len() && class.room() > class.ready {
                if balance <= ready {
                    hit("retry without a balance");
                    break;
                }
                class.ready += 1;
                ready += 1;
            }
        }
    }

    /// A retry was handed out.
    pub(crate) fn leave_line(&mut self, msg: usize) {
        assert!(self.balance() > 0, "a retry beyond the budget");
        let class = self.class(msg);
        assert!(class.ready > 0, "a retry that was not ready");
        let at = class.line.iter().position(|(_, other)| *other == msg).expect("it stands in line");
        let (rank, _) = class.line.remove(at);
        assert!(class.line.iter().all(|(other, _)| *other >= rank), "retries go in the order in which they fell due");
        class.ready -= 1;
    }

    /// When a circuit or the budget changes though nobody does anything.
    pub(crate) fn next_turn(&self) -> Option<u64> {
        let pauses = self.guard.classes.values().filter_map(|class| match class.phase {
            Phase::Open(until) => Some(until),
            _ => None,
        });
        let waits = self.guard.classes.values().any(|class| class.ready < class.line.len());
        let retries = self.guard.handed.iter().filter(|(_, is_retry)| *is_retry && waits);
        let balances = retries.map(|(at, _)| self.forgotten_at(*at)).filter(|due| *due > self.now);
        pauses.chain(balances).min()
    }

    /// Is there anything that ought to be handed out?
    pub(crate) fn can_go(&self) -> bool {
        let retry_can = |class: &Class| class.ready > 0 && class.room() > 0 && self.balance() > 0;
        let mut others = self.first.iter().chain(&self.again);
        others.any(|msg| self.room_for(*msg)) || self.guard.classes.values().any(retry_can)
    }

    // ---- the calls ----

    /// A message is handed out: what the budget and the circuit make of that.
    pub(crate) fn begin(&mut self, msg: usize, is_first: bool) {
        assert!(self.room_for(msg), "handed out while its circuit has no room");
        let turn = std::mem::replace(&mut self.msgs[msg].turn, Turn::Again);
        let is_retry = turn == Turn::Retry && !is_first;
        if self.knobs.protection.budget.is_some() && (is_first || turn != Turn::Again) {
            self.guard.handed.push((self.now, is_retry));
        }
        if self.knobs.protection.has_breaker() {
            let class = self.class(msg);
            class.is_probed = class.phase == Phase::HalfOpen;
            let (era, is_probe) = (class.era, class.is_probed);
            self.msgs[msg].era = Some(era);
            if is_probe {
                hit("probe");
            }
        }
    }

    /// A failure, as the breaker sees it.
    pub(crate) fn outcome_of(&self, error: &str) -> Outcome {
        let counts_leases = self.knobs.protection.breaker.is_some_and(|breaker| breaker.counts_leases);
        if error == "reject" || error == EXPIRED && !counts_leases { Outcome::Neither } else { Outcome::Failure }
    }

    /// A call has ended. It counts only if its circuit has not changed since it began.
    pub(crate) fn end_call(&mut self, msg: usize, outcome: Outcome) {
        let Some(breaker) = self.knobs.protection.breaker else { return };
        let era = self.msgs[msg].era.take();
        let (name, now) = (self.class_of(msg), self.now);
        let class = self.class(msg);
        if era != Some(class.era) {
            return;
        }
        let is_probe = std::mem::take(&mut class.is_probed);
        if outcome == Outcome::Neither {
            return;
        }
        let failed = outcome == Outcome::Failure;
        class.calls.push((now, failed));
        if failed && (is_probe || class.trips(breaker.trips, now)) {
            hit(if is_probe { "probe failed" } else { "circuit opened" });
            let pause_max = breaker.grows.map_or(breaker.open_ms, |times| times * breaker.open_ms);
            let pause = breaker.open_ms.saturating_mul(1 << class.pauses.min(32)).min(pause_max);
            class.pauses += 1;
            class.enter(Phase::Open(now + pause));
            self.guard.expected.push((name.to_owned(), Phase::Open(pause)));
        } else if is_probe && class.calls.len() >= breaker.probes as usize {
            hit("circuit closed again");
            class.pauses = 0;
            class.enter(Phase::Closed);
            self.guard.expected.push((name.to_owned(), Phase::Closed));
        }
    }
}

impl World {
    /// Circuits are what the model says, and told every change of each in its order.
    pub(crate) fn check_circuits(&self) {
        let guard = &self.model.guard;
        let by_class = |changes: &[Change]| {
            let mut changes = changes.to_vec();
            changes.sort_by(|a, b| a.0.cmp(&b.0));
            changes
        };
        assert_eq!(by_class(&guard.told), by_class(&guard.expected), "what circuits did");
        for (name, class) in &guard.classes {
            let state = match class.phase {
                Phase::Closed => BreakerState::Closed,
                Phase::Open(until) => BreakerState::Open { left: ms(until - self.model.now) },
                Phase::HalfOpen => BreakerState::HalfOpen,
            };
            assert_eq!(self.queue.breaker_state(name), state, "the circuit of {name:?}");
        }
        let open = guard.classes.values().filter(|class| class.phase != Phase::Closed).count();
        assert_eq!(self.queue.stats().breakers_open, open as u64, "breakers_open");
    }
}
