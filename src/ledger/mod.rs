//! The cold side of the delivery ledger: what has failed, waits, or was never accepted. One lock, its own quota.
//!
//! A message whose first delivery succeeds never comes here. Everything in this folder happens under the hub's one lock and
//! runs no user's code; who decides what happens is in `hub/`, which moves are legal is in `lifecycle`.

mod timers;

pub(crate) use timers::Due;

use crate::envelope::Envelope;
use crate::error::ReceiptError;
use crate::events::Event;
use crate::history::{ATTEMPTS_MAX, Attempt};
use crate::letters::{DeadLetter, DeadStore};
use crate::lifecycle::{self, State, Trigger};
use crate::message::MessageId;
use crate::panics::drop_contained;
use crate::protect::{CLASSLESS, Guard, Told, Turn};
use crate::receipt::Pending;
use crate::slot::Slot;
use crate::timeline::Timeline;
use crate::wheel::{TimerKey, Wheel};
use slab::Slab;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;
use timers::Timer;

/// A message on the cold side.
pub(crate) struct Entry<T: Send + Sync + 'static> {
    pub(crate) envelope: Arc<Envelope<T>>,
    state: State,
    /// Counted deliveries so far; for an unsent message its sends.
    pub(crate) attempt: u32,
    pub(crate) history: Arc<Vec<Attempt>>,
    pub(crate) previous_delay: Option<Duration>,
    /// When it was first handed out, or first sent.
    pub(crate) first_ms: u64,
    /// Its delay or its lease.
    timer: Option<TimerKey>,
    /// When its timer falls due.
    pub(crate) due_ms: u64,
    /// The number of its last hand-over, of all that there were: a delivery that carries another one has lost its lease,
    /// though its key may meanwhile be somebody else's.
    pub(crate) lease_no: u64,
    /// Who waits for an unsent message to be accepted.
    pub(crate) receipt: Option<Arc<Pending>>,
    /// What a guarded queue needs to know.
    pub(crate) pass: Pass,
}

/// What the guard of a queue has to know of a message.
pub(crate) struct Pass {
    /// Its class, once that is known.
    pub(crate) class: Option<u32>,
    /// What its next hand-over is.
    pub(crate) turn: Turn,
    /// While it is in flight: the era of its circuit in which it was handed out.
    pub(crate) era: Option<u32>,
}

impl<T: Send + Sync + 'static> Entry<T> {
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Adds a failed attempt. A history that somebody still reads is copied first.
    pub(crate) fn record(&mut self, attempt: Attempt) {
        let history = Arc::make_mut(&mut self.history);
        if history.len() >= ATTEMPTS_MAX {
            history.remove(if planted!("a-history-forgets-its-end") { history.len() - 1 } else { 0 });
        }
        history.push(attempt);
    }
}

/// Where a message is known that lives in its seat.
enum Home {
    Entry(u32),
    Dead(MessageId),
}

/// What only the cold side counts.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// Hand-overs from the lane.
    pub(crate) handed_over: u64,
    /// First deliveries that came to the cold side, and those of them that failed.
    pub(crate) from_ring: u64,
    /// Those that the ring gave to the cold side before they were handed out.
    pub(crate) brought_in: u64,
    pub(crate) acked: u64,
    pub(crate) failed: u64,
    pub(crate) leases_lost: u64,
    pub(crate) retries: u64,
    pub(crate) retransmissions: u64,
    pub(crate) discarded: u64,
    pub(crate) purged: u64,
}

/// How many messages are in each state that the hub must know at a glance.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Population {
    pub(crate) ready: u64,
    pub(crate) in_flight: u64,
    pub(crate) deciding: u64,
    pub(crate) delayed: u64,
    pub(crate) unsent: u64,
    pub(crate) parked: u64,
}

impl Population {
    fn of(&mut self, state: State) -> Option<&mut u64> {
        match state {
            State::Ready => Some(&mut self.ready),
            State::InFlight => Some(&mut self.in_flight),
            State::Deciding => Some(&mut self.deciding),
            State::Delayed => Some(&mut self.delayed),
            State::Unsent => Some(&mut self.unsent),
            State::Parked => Some(&mut self.parked),
            State::Seated | State::Dead | State::Settled => None,
        }
    }

    /// Accepted and not settled.
    pub(crate) fn unsettled(&self) -> u64 {
        self.ready + self.in_flight + self.deciding + self.delayed
    }

    /// Those that count against the capacity.
    pub(crate) fn warm(&self) -> u64 {
        self.ready + self.in_flight
    }
}

/// What has to be told, woken or dropped once the lock is released: see `Core::unlock`.
pub(crate) struct Aftermath<T: Send + Sync + 'static> {
    /// Something falls due before the driver planned to look.
    pub(crate) nudge: bool,
    /// The driver does not know this queue yet.
    pub(crate) enlist: bool,
    /// How many messages have become ready.
    pub(crate) mail: u32,
    /// How many seats have become free.
    pub(crate) freed: u32,
    pub(crate) events: Vec<Event>,
    /// What circuits have done.
    pub(crate) told: Vec<Told>,
    pub(crate) receipts: Vec<(Arc<Pending>, Result<MessageId, ReceiptError>)>,
    /// Dropping a message runs its owner's code.
    pub(crate) garbage: Vec<Entry<T>>,
}

impl<T: Send + Sync + 'static> Default for Aftermath<T> {
    fn default() -> Self {
        Aftermath {
            nudge: false,
            enlist: false,
            mail: 0,
            freed: 0,
            events: Vec::new(),
            told: Vec::new(),
            receipts: Vec::new(),
            garbage: Vec::new(),
        }
    }
}

/// What a queue leaves behind.
pub(crate) struct Leftovers<T: Send + Sync + 'static> {
    entries: Slab<Entry<T>>,
    overflow: VecDeque<Arc<Envelope<T>>>,
    dead: BTreeMap<u64, Arc<DeadLetter<T>>>,
}

impl<T: Send + Sync + 'static> Leftovers<T> {
    /// Drops each on its own: of two that panic in one collection the second would abort the process.
    pub(crate) fn drop_each(self) {
        // What is in a consumer's hands first: that only lets go of it.
        let is_held = |entry: &Entry<T>| entry.state == State::InFlight;
        let (held, others): (Vec<_>, Vec<_>) = self.entries.into_iter().map(|(_, entry)| entry).partition(is_held);
        held.into_iter().chain(others).for_each(drop_contained);
        self.overflow.into_iter().for_each(drop_contained);
        self.dead.into_values().for_each(drop_contained);
    }
}

/// Everything under the hub's lock.
pub(crate) struct Ledger<T: Send + Sync + 'static> {
    entries: Slab<Entry<T>>,
    timers: Slab<(Timer, u32)>,
    wheel: Wheel,
    extended: HashMap<u64, Option<TimerKey>>,
    /// Ready redeliveries, first come first served; those of a guarded queue are in the guard's lines.
    lane: VecDeque<u32>,
    pub(crate) guard: Option<Guard>,
    guard_timer: Option<(u64, TimerKey)>,
    /// Whose turn it is: the lane's, or the ring's.
    pub(crate) lanes_turn: bool,
    parked: VecDeque<u32>,
    pub(crate) dead: DeadStore<T>,
    pub(crate) population: Population,
    pub(crate) counts: Counts,
    /// When the ring's head, and its tail, were where.
    pub(crate) handed_out: Timeline,
    pub(crate) sent: Timeline,
    /// The samples of the head whose leases have not ended.
    pub(crate) leases: Timeline,
    /// Everything below this position was looked at for its lease, and everything below that one has to be.
    pub(crate) swept: u64,
    pub(crate) due: u64,
    /// When the driver will look at this queue next.
    pub(crate) armed_ms: u64,
    /// Accepted, and waiting for the ring's tail to move: see `hub::room`.
    pub(crate) overflow: VecDeque<Arc<Envelope<T>>>,
    /// Messages that still live in their seat because a late handle may read it: by position.
    late: HashMap<u64, Home>,
    /// Records of the resend ledger.
    pub(crate) records: usize,
    pub(crate) enlisted: bool,
    /// What workers have in hand.
    pub(crate) slots: Vec<Weak<Slot>>,
    /// Seats held on behalf of redeliveries, and how many more there ought to be.
    pub(crate) phantoms: Vec<u64>,
    pub(crate) debt: u64,
    /// For a closed queue: seats below this index are settled.
    pub(crate) settled_floor: usize,
    /// The last handle is gone.
    pub(crate) ended: bool,
    pub(crate) aftermath: Aftermath<T>,
    next_sequence: u64,
    last_lease_no: u64,
}

impl<T: Send + Sync + 'static> Ledger<T> {
    pub(crate) fn new(dead_letter_capacity: usize, guard: Option<Guard>) -> Self {
        Ledger {
            entries: Slab::new(),
            timers: Slab::new(),
            wheel: Wheel::new(0),
            extended: HashMap::new(),
            lane: VecDeque::new(),
            guard,
            guard_timer: None,
            lanes_turn: false,
            parked: VecDeque::new(),
            dead: DeadStore::new(dead_letter_capacity),
            population: Population::default(),
            counts: Counts::default(),
            handed_out: Timeline::new(),
            sent: Timeline::new(),
            leases: Timeline::new(),
            swept: 0,
            due: 0,
            armed_ms: u64::MAX,
            overflow: VecDeque::new(),
            late: HashMap::new(),
            records: 0,
            enlisted: false,
            slots: Vec::new(),
            phantoms: Vec::new(),
            debt: 0,
            settled_floor: 0,
            ended: false,
            aftermath: Aftermath::default(),
            next_sequence: 0,
            last_lease_no: 0,
        }
    }

    /// A sequence number for a message that has no position yet.
    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        1 << 63 | self.next_sequence
    }

    // ---- entries ----

    /// Takes a message in. Its state is the one from which the next trigger moves it on.
    pub(crate) fn admit(&mut self, envelope: Arc<Envelope<T>>, state: State, attempt: u32, first_ms: u64) -> u32 {
        if let Some(count) = self.population.of(state) {
            *count += 1;
        }
        let entry = Entry {
            envelope,
            state,
            attempt,
            history: Arc::default(),
            previous_delay: None,
            first_ms,
            timer: None,
            due_ms: 0,
            lease_no: 0,
            receipt: None,
            pass: Pass { class: None, turn: Turn::Again, era: None },
        };
        self.entries.insert(entry) as u32
    }

    pub(crate) fn entry(&mut self, key: u32) -> &mut Entry<T> {
        &mut self.entries[key as usize]
    }

    pub(crate) fn get(&self, key: u32) -> Option<&Entry<T>> {
        self.entries.get(key as usize)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry<T>> {
        self.entries.iter_mut().map(|(_, entry)| entry)
    }

    /// The entries in this state, in the order in which they fall due.
    pub(crate) fn keys_of(&self, state: State) -> Vec<u32> {
        let mut keys: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.state == state)
            .map(|(key, e)| (e.due_ms, key as u32))
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// Numbers a hand-over.
    pub(crate) fn new_lease(&mut self, key: u32) {
        self.last_lease_no += 1;
        self.entries[key as usize].lease_no = self.last_lease_no;
    }

    /// The entry of a delivery, if its lease still holds.
    pub(crate) fn leased(&mut self, key: u32, lease_no: u64) -> Option<&mut Entry<T>> {
        self.entries.get_mut(key as usize).filter(|entry| {
            entry.state == State::InFlight && (entry.lease_no == lease_no || planted!("an-old-lease-counts"))
        })
    }

    /// Moves an entry on; its timer, which belonged to the old state, is cancelled.
    pub(crate) fn go(&mut self, key: u32, trigger: Trigger) -> State {
        let entry = &mut self.entries[key as usize];
        let from = entry.state;
        let Some(to) = lifecycle::next(from, trigger) else {
            unreachable!("{trigger:?} cannot happen to a message that is {from:?}")
        };
        entry.state = to;
        let timer = entry.timer.take();
        for (state, step) in [(from, u64::MAX), (to, 1)] {
            if let Some(count) = self.population.of(state) {
                *count = count.wrapping_add(step);
            }
        }
        if let Some(timer) = timer {
            self.cancel(timer);
        }
        match to {
            State::Ready if self.guard.is_some() => self.line_up_ready(key),
            State::Ready => {
                if planted!("the-lane-is-a-stack") {
                    self.lane.push_front(key)
                } else {
                    self.lane.push_back(key)
                }
                self.aftermath.mail += 1;
            }
            State::Parked => self.parked.push_back(key),
            _ => {}
        }
        to
    }

    /// Takes an entry out that has come to rest, and drops it after the lock.
    pub(crate) fn remove(&mut self, key: u32) {
        let entry = self.take(key);
        self.aftermath.garbage.push(entry);
    }

    /// Takes an entry out that has come to rest.
    pub(crate) fn take(&mut self, key: u32) -> Entry<T> {
        let entry = self.entries.remove(key as usize);
        if let Some(pos) = entry.envelope.seat() {
            self.late.remove(&pos);
        }
        if let (Some(class), Some(guard)) = (entry.pass.class, &mut self.guard) {
            guard.count(class, false);
        }
        entry
    }

    // ---- the guard ----

    /// The class of a message is known from now on.
    pub(crate) fn classify(&mut self, key: u32, name: &str) -> u32 {
        let (Some(guard), entry) = (&mut self.guard, &mut self.entries[key as usize]) else { return CLASSLESS };
        *entry.pass.class.get_or_insert_with(|| {
            let class = guard.class(name);
            guard.count(class, true);
            class
        })
    }

    /// A retry of a guarded queue is due: it stays delayed until the guard says that it may go.
    pub(crate) fn line_up_retry(&mut self, key: u32) {
        let class = self.entries[key as usize].pass.class.unwrap_or(CLASSLESS);
        self.guard.iter_mut().for_each(|guard| guard.line_up(class, key, Turn::Retry));
    }

    /// A message of a guarded queue is ready: a retry is in line already.
    fn line_up_ready(&mut self, key: u32) {
        let Pass { class, turn, .. } = self.entries[key as usize].pass;
        if turn != Turn::Retry {
            self.guard.iter_mut().for_each(|guard| guard.line_up(class.unwrap_or(CLASSLESS), key, turn));
        }
    }

    /// The guard wants to be asked again then.
    pub(crate) fn set_guard_timer(&mut self, due_ms: Option<u64>) {
        if self.guard_timer.as_ref().map(|timer| timer.0) == due_ms {
            return;
        }
        let timer = due_ms.map(|due_ms| (due_ms, self.insert(due_ms, Timer::Guard, 0)));
        if let Some((_, old)) = std::mem::replace(&mut self.guard_timer, timer) {
            self.cancel(old);
        }
    }

    /// The entry becomes a dead letter.
    pub(crate) fn inter(&mut self, key: u32, letter: DeadLetter<T>) {
        let (id, seat) = (letter.id(), letter.envelope.seat());
        // Dropped here and not after the lock, for it shares all that it has with the letter: whoever receives the message
        // when it is redriven must not find a reference of ours.
        drop(self.take(key));
        self.dead.insert(letter);
        if let Some(pos) = seat {
            self.late.insert(pos, Home::Dead(id));
        }
    }

    /// This message lives in its seat until its handle is dropped.
    pub(crate) fn set_late(&mut self, pos: u64, key: u32) {
        self.late.insert(pos, Home::Entry(key));
    }

    /// The handle at this position is gone: the message can move in here, unless somebody still reads it.
    pub(crate) fn move_in(&mut self, pos: u64) {
        let envelope = match self.late.get(&pos) {
            Some(Home::Entry(key)) => Some(&mut self.entries[*key as usize].envelope),
            Some(Home::Dead(id)) => self.dead.envelope_mut(*id),
            None => None,
        };
        if !planted!("a-late-seat-stays") && envelope.is_some_and(Envelope::unseat) {
            self.late.remove(&pos);
            self.aftermath.freed += 1;
        }
    }

    /// Does any message live in a seat though it is known here?
    pub(crate) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Moves in whatever can be moved by now.
    pub(crate) fn move_in_all(&mut self) {
        let late: Vec<u64> = self.late.keys().copied().collect();
        late.into_iter().for_each(|pos| self.move_in(pos));
    }

    /// As [`move_in`](Self::move_in), for an entry whose seat may have been left meanwhile.
    pub(crate) fn unseat(&mut self, key: u32) {
        if let Some(pos) = self.entries[key as usize].envelope.seat() {
            self.move_in(pos);
        }
    }

    pub(crate) fn next_in_lane(&mut self) -> Option<u32> {
        self.lane.pop_front()
    }

    pub(crate) fn lane_is_empty(&self) -> bool {
        self.lane.is_empty()
    }

    pub(crate) fn next_parked(&mut self) -> Option<u32> {
        self.parked.pop_front()
    }

    /// Everything that is left, to be dropped outside the lock.
    pub(crate) fn take_all(&mut self) -> Leftovers<T> {
        self.lane.clear();
        self.parked.clear();
        self.timers.clear();
        self.extended.clear();
        self.late.clear();
        self.guard = None;
        self.guard_timer = None;
        self.wheel = Wheel::new(0);
        self.population = Population::default();
        self.ended = true;
        Leftovers {
            entries: std::mem::take(&mut self.entries),
            overflow: std::mem::take(&mut self.overflow),
            dead: self.dead.take_all(),
        }
    }
}
