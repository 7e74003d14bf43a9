//! What stands between a queue and what is downstream of it: the circuits of its classes, its purse, and the lines of those
//! who wait to be handed out.
//!
//! Promises: what it picks has room in its circuit, and balance if it is a retry. Within a class retries go in the order in
//! which they fell due, and everything else in the order in which it lined up. It knows messages only by the ledger's keys.
//! Memory is bounded by what the ledger holds: of the classes at least half are in use, beyond the first thousand.

use super::breaker::{Breaker, BreakerState};
use super::budget::RetryBudget;
use super::circuit::{Circuit, Outcome, Phase, Rules};
use super::purse::Purse;
use slab::Slab;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The class of every message of a queue without classes, and of those whose class could not be told.
pub(crate) const CLASSLESS: u32 = 0;

/// How many classes there may be before those are looked for of which nothing is left.
const CLASSES_MIN: usize = 1000;

/// What the next hand-over of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Its first: adds to the budget.
    First,
    /// A retry: takes from the budget.
    Retry,
    /// One that has been counted: it was snoozed.
    Again,
}

/// A message that may be handed out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pick {
    pub(crate) key: u32,
    /// The circuit's era, to be given back with the outcome.
    pub(crate) era: u32,
}

/// A circuit has changed its phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) class: Arc<str>,
    pub(crate) state: BreakerState,
}

struct Class {
    name: Arc<str>,
    circuit: Circuit,
    /// Those that need no budget.
    free: VecDeque<u32>,
    retries: VecDeque<u32>,
    /// So many at the front of `retries` were called ready.
    ready: usize,
    /// So many of these could go now, and stand in the guard's sum.
    going: u64,
    /// Retries take turns with the others.
    retries_turn: bool,
    /// Messages that the ledger holds of this class.
    members: usize,
    /// It is among those that may have something to hand out, or to call ready.
    is_listed: bool,
    is_rising: bool,
}

impl Class {
    fn new(name: Arc<str>) -> Self {
        Class {
            name,
            circuit: Circuit::new(),
            free: VecDeque::new(),
            retries: VecDeque::new(),
            ready: 0,
            going: 0,
            retries_turn: false,
            members: 0,
            is_listed: false,
            is_rising: false,
        }
    }
}

pub(crate) struct Guard {
    rules: Option<Rules>,
    purse: Option<Purse>,
    classes: Slab<Class>,
    by_name: HashMap<Arc<str>, u32>,
    /// Classes with somebody in line, first come first served.
    listed: VecDeque<u32>,
    /// Classes with retries that may be called ready.
    rising: VecDeque<u32>,
    /// Retries that were called ready and have room, of all classes: an open one keeps no balance from the others.
    going: u64,
    /// When which circuit's pause is over.
    alarms: BTreeSet<(u64, u32)>,
    told: Vec<Told>,
    /// Somebody is telling.
    is_told: bool,
    /// Somebody lined up, or was let through, since this was asked last.
    has_stirred: bool,
    opened: u64,
    /// From so many classes on, idle ones are looked for.
    crowd: usize,
}

impl Guard {
    /// `None`: there is nothing to guard.
    pub(crate) fn new(budget: Option<&RetryBudget>, breaker: Option<&Breaker>) -> Option<Self> {
        let mut guard = Guard {
            rules: breaker.map(Breaker::rules),
            purse: budget.map(Purse::new),
            classes: Slab::new(),
            by_name: HashMap::new(),
            listed: VecDeque::new(),
            rising: VecDeque::new(),
            going: 0,
            alarms: BTreeSet::new(),
            told: Vec::new(),
            is_told: false,
            has_stirred: false,
            opened: 0,
            crowd: CLASSES_MIN,
        };
        guard.class(""); // CLASSLESS, which is never forgotten
        (budget.is_some() || breaker.is_some()).then_some(guard)
    }

    // ---- classes ----

    /// The class of this name.
    pub(crate) fn class(&mut self, name: &str) -> u32 {
        if let Some(class) = self.by_name.get(name) {
            return *class;
        }
        if self.classes.len() > self.crowd {
            self.forget_idle();
            self.crowd = (2 * self.classes.len()).max(CLASSES_MIN); // so that each search is paid for by many new ones
        }
        let name: Arc<str> = name.into();
        let class = self.classes.insert(Class::new(name.clone())) as u32;
        self.by_name.insert(name, class);
        class
    }

    /// A message of this class has come to the ledger, or has left it.
    pub(crate) fn count(&mut self, class: u32, joined: bool) {
        let members = &mut self.classes[class as usize].members;
        *members = if joined { *members + 1 } else { members.saturating_sub(1) };
    }

    /// Forgets classes of which nothing is left: the closed ones, or if there is none those whose pause is over.
    fn forget_idle(&mut self) {
        for closed in [true, false] {
            let is_idle =
                |class: &Class| class.members == 0 && matches!(class.circuit.phase(), Phase::Closed) == closed;
            let idle = |(key, class): (usize, &Class)| {
                (key as u32 != CLASSLESS && is_idle(class) && class.circuit.room() > 0).then_some(key as u32)
            };
            // Not all of them: what they have seen lately is worth something.
            let idle: Vec<u32> = self.classes.iter().filter_map(idle).take(self.classes.len() / 2).collect();
            for class in &idle {
                self.forget(*class);
            }
            if !idle.is_empty() {
                return;
            }
        }
    }

    fn forget(&mut self, class: u32) {
        self.listed.retain(|listed| *listed != class);
        self.rising.retain(|rising| *rising != class);
        let class = self.classes.remove(class as usize);
        self.by_name.remove(&class.name);
        if class.circuit.phase() != Phase::Closed {
            self.opened -= 1;
            self.told.push(Told { class: class.name, state: BreakerState::Closed });
        }
    }

    /// How many circuits are open or half-open.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    pub(crate) fn state(&self, name: &str, now_ms: u64) -> BreakerState {
        let class = self.by_name.get(name).and_then(|class| self.classes.get(*class as usize));
        class.map_or(BreakerState::Closed, |class| state_of(class.circuit.phase(), now_ms))
    }

    /// May a message of this class be handed out now, if it needs no budget?
    pub(crate) fn admits(&self, class: u32) -> bool {
        self.classes[class as usize].circuit.room() > 0
    }

    // ---- lines ----

    pub(crate) fn line_up(&mut self, class: u32, key: u32, turn: Turn) {
        let at = &mut self.classes[class as usize];
        if turn == Turn::Retry {
            at.retries.push_back(key)
        } else {
            at.free.push_back(key)
        }
        self.list(class);
    }

    /// The class may have somebody who can go.
    fn list(&mut self, class: u32) {
        let at = &mut self.classes[class as usize];
        if at.circuit.room() == 0 {
            return;
        }
        self.has_stirred = true;
        let is_empty = at.free.is_empty() && at.retries.is_empty();
        if !is_empty && !std::mem::replace(&mut at.is_listed, true) {
            self.listed.push_back(class);
        }
        if at.ready < at.retries.len() && !std::mem::replace(&mut at.is_rising, true) {
            self.rising.push_back(class);
        }
    }

    /// The next retry that is to be called ready, because there is room and balance for it. Ask until there is none.
    pub(crate) fn promote(&mut self, now_ms: u64) -> Option<u32> {
        while let Some(&class) = self.rising.front() {
            let at = &mut self.classes[class as usize];
            if at.ready >= at.retries.len() || at.circuit.room() <= at.ready as u64 {
                at.is_rising = false;
                self.rising.pop_front();
                continue;
            }
            if self.purse.as_mut().is_some_and(|purse| purse.balance(now_ms) <= self.going) {
                return None;
            }
            let key = at.retries[at.ready];
            at.ready += 1;
            self.count_going(class);
            self.has_stirred = true;
            self.rising.rotate_left(1); // so that classes share what balance there is
            return Some(key);
        }
        None
    }

    /// Whom to hand out next.
    pub(crate) fn pick(&mut self, now_ms: u64) -> Option<Pick> {
        for _ in 0..self.listed.len() {
            let class = self.listed.pop_front()?;
            self.classes[class as usize].is_listed = false;
            let pick = self.pick_of(class, now_ms);
            self.list_again(class);
            if pick.is_some() {
                return pick;
            }
        }
        None
    }

    /// As `list`, without a word: nobody new can go.
    fn list_again(&mut self, class: u32) {
        let had_stirred = self.has_stirred;
        self.list(class);
        self.has_stirred = had_stirred;
    }

    /// Whom of this class to hand out next.
    pub(crate) fn pick_of(&mut self, class: u32, now_ms: u64) -> Option<Pick> {
        let at = &mut self.classes[class as usize];
        if at.circuit.room() == 0 {
            return None;
        }
        let may_retry = at.ready > 0 && self.purse.as_mut().is_none_or(|purse| purse.balance(now_ms) > 0);
        let retries = may_retry && (at.retries_turn || at.free.is_empty());
        let key = if retries { at.retries.pop_front() } else { at.free.pop_front() }?;
        at.retries_turn = !retries;
        at.ready -= usize::from(retries);
        let era = at.circuit.begin();
        self.count_going(class);
        if retries && let Some(purse) = &mut self.purse {
            purse.withdraw(now_ms);
        }
        Some(Pick { key, era })
    }

    /// A class has called one more ready or handed one out, or its circuit has changed.
    fn count_going(&mut self, class: u32) {
        let at = &mut self.classes[class as usize];
        let room = if planted!("an-open-class-keeps-its-balance") { u64::MAX } else { at.circuit.room() };
        let going = room.min(at.ready as u64);
        self.going = self.going - std::mem::replace(&mut at.going, going) + going;
    }

    /// Could anybody be handed out now?
    pub(crate) fn may_go(&mut self, now_ms: u64) -> bool {
        let has_balance = self.purse.as_mut().is_none_or(|purse| purse.balance(now_ms) > 0);
        let can =
            |class: &Class| class.circuit.room() > 0 && (!class.free.is_empty() || has_balance && class.ready > 0);
        self.listed.iter().any(|class| can(&self.classes[*class as usize]))
    }

    /// Does anybody wait for nothing but a balance?
    pub(crate) fn lacks_balance(&mut self, now_ms: u64) -> bool {
        !self.rising.is_empty() || self.going > 0 && self.purse.as_mut().is_some_and(|purse| purse.balance(now_ms) == 0)
    }

    pub(crate) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.has_stirred)
    }

    // ---- the purse ----

    /// First attempts that were handed over past this guard, in all.
    pub(crate) fn note_firsts(&mut self, total: u64, now_ms: u64) {
        if let Some(purse) = &mut self.purse {
            purse.note(total, now_ms);
        }
    }

    /// One that this guard has let through.
    pub(crate) fn deposit(&mut self, now_ms: u64) {
        if let Some(purse) = &mut self.purse {
            purse.deposit(1, now_ms);
        }
    }

    // ---- circuits ----

    /// A call that began in that era has ended.
    pub(crate) fn end(&mut self, class: u32, era: u32, outcome: Outcome, now_ms: u64) {
        let Some(rules) = self.rules else { return };
        let was_closed = self.classes[class as usize].circuit.phase() == Phase::Closed;
        let has_changed = self.classes[class as usize].circuit.end(&rules, era, outcome, now_ms);
        self.count_going(class);
        if !has_changed {
            if !was_closed {
                self.list(class); // a probe has ended, so there is room for the next
            }
            return;
        }
        match self.classes[class as usize].circuit.phase() {
            Phase::Open { until_ms } => {
                self.opened += u64::from(was_closed);
                self.alarms.insert((until_ms, class));
            }
            _ => {
                self.opened -= 1;
                self.list(class);
            }
        }
        self.tell(class, now_ms);
    }

    /// Circuits whose pause is over are half-open.
    pub(crate) fn turn_to(&mut self, now_ms: u64) {
        while let Some(&(due_ms, class)) = self.alarms.first()
            && due_ms <= now_ms
        {
            self.alarms.pop_first();
            if self.classes[class as usize].circuit.poll(now_ms) {
                self.count_going(class);
                self.list(class);
                self.tell(class, now_ms);
            }
        }
    }

    fn tell(&mut self, class: u32, now_ms: u64) {
        let at = &self.classes[class as usize];
        self.told.push(Told { class: at.name.clone(), state: state_of(at.circuit.phase(), now_ms) });
    }

    /// What is to be told. Whoever gets it is the one teller until a call with `go_on` has given nothing, so that what one
    /// circuit does is told in its order though it is told under no lock.
    pub(crate) fn take_told(&mut self, go_on: bool) -> Vec<Told> {
        if self.is_told && !go_on {
            return Vec::new();
        }
        let told = std::mem::take(&mut self.told);
        self.is_told = !told.is_empty();
        told
    }

    /// When something may change though nobody does anything.
    pub(crate) fn next_ms(&mut self, now_ms: u64) -> Option<u64> {
        let deposit = if self.lacks_balance(now_ms) { self.purse.as_ref().and_then(Purse::next_ms) } else { None };
        let alarm = self.alarms.first().map(|alarm| alarm.0);
        [deposit, alarm].into_iter().flatten().min()
    }
}

fn state_of(phase: Phase, now_ms: u64) -> BreakerState {
    match phase {
        Phase::Closed => BreakerState::Closed,
        Phase::Open { until_ms } => BreakerState::Open { left: Duration::from_millis(until_ms.saturating_sub(now_ms)) },
        Phase::HalfOpen => BreakerState::HalfOpen,
    }
}
