//! The model: a few lists, a number for the time, and what each operation does to them.

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The lease that a first delivery has from the queue.
    AsLeased(u64),
    /// A lease of its own: when, and the how manieth thing that was set it is.
    At(u64, u64),
    /// Kept until further notice.
    Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Sent, and never handed out.
    First,
    /// Ready again.
    Again,
    /// A retry of a queue with a budget or a breaker: in the line of its class, and ready if it may go.
    Due,
    InFlight(u64, Ends),
    Delayed(u64, u64),
    /// When it is sent again, and how often it was.
    Unsent(u64, u64, u32),
    Dead,
    Parked,
    Acked,
    Discarded,
    Purged,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) attempt: u32,
    pub(crate) at: u64,
    pub(crate) error: &'static str,
    pub(crate) delay: Option<u64>,
}

pub(crate) struct Msg {
    pub(crate) id: Option<MessageId>,
    pub(crate) keyed: bool,
    pub(crate) sent_at: u64,
    pub(crate) state: State,
    pub(crate) attempt: u32,
    pub(crate) history: Vec<Failed>,
    pub(crate) died_at: u64,
    /// Deliveries of it that exist, leaked ones too: their number, and whether they hold a seat.
    pub(crate) handles: Vec<(u64, bool)>,
    /// Its seat may be kept by whoever still reads it.
    pub(crate) in_seat: bool,
    /// A handle that held its seat has lost its lease.
    pub(crate) lost_seat: bool,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) turn: Turn,
    /// The circuit's era in which it was handed out.
    pub(crate) era: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    DeadLettered(MessageId),
    Parked(MessageId),
    GivenUp(MessageId),
    LeaseLost(MessageId, u32),
    Dropped(MessageId),
}

#[derive(Default, Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) acked: u64,
    pub(crate) failed: u64,
    pub(crate) leases_lost: u64,
    pub(crate) retries: u64,
    pub(crate) retransmissions: u64,
    pub(crate) discarded: u64,
    pub(crate) purged: u64,
}

pub(crate) struct Model {
    pub(crate) knobs: Knobs,
    pub(crate) now: u64,
    pub(crate) set: u64,
    pub(crate) deliveries: u64,
    pub(crate) msgs: Vec<Msg>,
    /// What was sent and never handed out, in order.
    pub(crate) first: VecDeque<usize>,
    pub(crate) again: BTreeSet<usize>,
    pub(crate) dead: Vec<usize>,
    pub(crate) parked: VecDeque<usize>,
    pub(crate) guard: Guard,
    /// Seats that were held on behalf of what was handed out of the ledger, and that would be lost if they stayed so.
    pub(crate) phantoms: usize,
    /// Whatever lines up now does so at the same time.
    pub(crate) tie: Option<u64>,
    pub(crate) counts: Counts,
    pub(crate) is_closed: bool,
    pub(crate) is_paused: bool,
    /// What the queue has told and the model has not expected yet.
    pub(crate) told: VecDeque<Told>,
}

impl Model {
    pub(crate) fn next(&mut self) -> u64 {
        self.set += 1;
        self.set
    }

    pub(crate) fn count(&self, is: impl Fn(&State) -> bool) -> usize {
        self.msgs.iter().filter(|msg| is(&msg.state)).count()
    }

    pub(crate) fn ready(&self) -> usize {
        self.first.len() + self.again.len() + self.retries_ready()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.count(|state| matches!(state, State::InFlight(..)))
    }

    pub(crate) fn delayed(&self) -> usize {
        self.count(|state| matches!(state, State::Delayed(..) | State::Due)) - self.retries_ready()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_closed && self.ready() + self.in_flight() + self.delayed() == 0
    }

    pub(crate) fn holds(&self, msg: usize, number: u64) -> bool {
        matches!(self.msgs[msg].state, State::InFlight(holder, _) if holder == number)
    }

    /// Seats that are kept by first deliveries that lost their lease.
    pub(crate) fn pinned(&self) -> usize {
        let lost = |msg: usize, number: u64| !self.holds(msg, number);
        let seats = |(at, msg): (usize, &Msg)| msg.handles.iter().filter(|h| h.1 && lost(at, h.0)).count();
        self.msgs.iter().enumerate().map(seats).sum()
    }

    /// Seats that may be kept by other deliveries of a message, which read it where it was at first.
    pub(crate) fn stays(&self) -> usize {
        let stays = |msg: &&Msg| msg.in_seat && !msg.handles.is_empty() && msg.handles.iter().all(|h| !h.1);
        self.msgs.iter().filter(stays).count()
    }

    pub(crate) fn has_room(&self, pinned: usize) -> bool {
        self.ready() + self.in_flight() + pinned < self.knobs.capacity
    }

    pub(crate) fn new_msg(&mut self, keyed: bool) -> usize {
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
            turn: Turn::Again,
            era: None,
        });
        self.msgs.len() - 1
    }

    pub(crate) fn accept(&mut self, msg: usize) {
        self.msgs[msg].state = State::First;
        self.msgs[msg].history.clear();
        self.first.push_back(msg);
        self.counts.sent += 1;
    }

    pub(crate) fn id(&self, msg: usize) -> MessageId {
        self.msgs[msg].id.expect("known by now")
    }

    pub(crate) fn expect(&mut self, event: Told) {
        assert_eq!(self.told.pop_front(), Some(event), "the event that was told");
    }

    // ---- hand-over ----

    /// The message was handed out: returns the delivery's number, and whether it holds a seat.
    pub(crate) fn hand_out(&mut self, msg: usize) -> (u64, bool) {
        assert!(!self.is_paused, "handed out while paused");
        let is_first = match self.msgs[msg].state {
            State::First => {
                // Those of its class, for a message whose circuit is open lets others pass.
                let next = self.first.iter().position(|first| self.class_of(*first) == self.class_of(msg));
                let next = next.and_then(|at| self.first.remove(at));
                assert_eq!(next, Some(msg), "first deliveries follow the order of the sends");
                true
            }
            State::Again => {
                assert!(self.again.remove(&msg));
                false
            }
            State::Due => {
                self.leave_line(msg);
                false
            }
            state => panic!("handed out while {state:?}"),
        };
        self.begin(msg, is_first);
        self.deliveries += 1;
        let number = self.deliveries;
        // With a breaker everything is handed out of the ledger, and nothing holds a seat.
        let is_first = is_first && !self.knobs.protection.has_breaker();
        self.phantoms += usize::from(!is_first);
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
        self.promote();
        (number, is_first)
    }

    pub(crate) fn let_go(&mut self, msg: usize, number: u64) {
        let msg = &mut self.msgs[msg];
        msg.handles.retain(|handle| handle.0 != number);
        msg.in_seat &= !msg.handles.is_empty();
    }

    // ---- failure ----

    pub(crate) fn verdict(&self, msg: usize) -> Verdict {
        let attempt = self.msgs[msg].attempt;
        if self.knobs.max_deliveries.unwrap_or(1000) <= attempt {
            return Verdict::Dead;
        }
        self.knobs.retry.decide(attempt)
    }

    pub(crate) fn fail(&mut self, msg: usize, error: &'static str, verdict: Verdict) {
        self.counts.failed += 1;
        self.end_call(msg, self.outcome_of(error));
        let attempt = self.msgs[msg].attempt;
        self.record(msg, attempt, error, verdict);
        match verdict {
            Verdict::Retry(delay) => {
                self.counts.retries += 1;
                self.retry(msg, delay);
            }
            Verdict::Dead => self.bury(msg, false),
            Verdict::Discard => self.discard(msg),
        }
        self.promote();
    }

    fn retry(&mut self, msg: usize, delay: u64) {
        if !self.knobs.protection.is_any() {
            return self.wait(msg, delay);
        }
        self.msgs[msg].turn = Turn::Retry;
        if delay > 0 {
            return self.wait(msg, delay);
        }
        let rank = self.tie.unwrap_or_else(|| self.next());
        self.line_up(msg, rank);
    }

    pub(crate) fn record(&mut self, msg: usize, attempt: u32, error: &'static str, verdict: Verdict) {
        let delay = if let Verdict::Retry(delay) = verdict { Some(delay) } else { None };
        let at = self.now;
        self.msgs[msg].history.push(Failed { attempt, at, error, delay });
    }

    pub(crate) fn wait(&mut self, msg: usize, delay: u64) {
        if delay == 0 {
            self.msgs[msg].state = State::Again;
            self.again.insert(msg);
        } else {
            let set = self.tie.unwrap_or_else(|| self.next());
            self.msgs[msg].state = State::Delayed(self.now + delay, set);
        }
    }

    pub(crate) fn bury(&mut self, msg: usize, was_unsent: bool) {
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

    pub(crate) fn inter(&mut self, msg: usize) {
        hit("dead letter");
        self.msgs[msg].state = State::Dead;
        self.msgs[msg].died_at = self.now;
        self.dead.push(msg);
    }

    pub(crate) fn discard(&mut self, msg: usize) {
        hit("discarded");
        self.msgs[msg].state = State::Discarded;
        self.counts.discarded += 1;
        let id = self.id(msg);
        self.expect(Told::Dropped(id));
    }

    pub(crate) fn lose(&mut self, msg: usize) {
        hit("lease lost");
        self.counts.leases_lost += 1;
        if self.msgs[msg].handles.iter().any(|handle| handle.1) {
            self.msgs[msg].lost_seat = true;
            self.msgs[msg].in_seat = !self.msgs[msg].keyed;
        }
    }

    /// First deliveries whose leases end in the same millisecond: in whatever order, which the events tell.
    pub(crate) fn lose_together(&mut self, lost: &[usize]) {
        let mut finals: BTreeMap<MessageId, usize> = BTreeMap::new();
        let mut losses = BTreeSet::new();
        self.tie = Some(self.next());
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
        self.tie = None;
        assert!(losses.is_empty() && finals.is_empty(), "not told: {losses:?} {finals:?}");
    }

    // ---- time ----

    pub(crate) fn due(&self, msg: usize) -> Option<u64> {
        match self.msgs[msg].state {
            State::InFlight(_, Ends::AsLeased(due) | Ends::At(due, _)) => Some(due),
            State::Delayed(due, _) | State::Unsent(due, ..) => Some(due),
            _ => None,
        }
    }

    pub(crate) fn next_due(&self) -> Option<u64> {
        (0..self.msgs.len()).filter_map(|msg| self.due(msg)).chain(self.next_turn()).min()
    }

    pub(crate) fn advance(&mut self, by: u64) {
        let target = self.now + by;
        while let Some(due) = self.next_due().filter(|due| *due <= target) {
            self.now = self.now.max(due);
            self.fire();
        }
        self.now = target;
    }

    /// Everything that is due at this millisecond.
    pub(crate) fn fire(&mut self) {
        self.promote();
        let has_ended =
            |msg: &usize| matches!(self.msgs[*msg].state, State::InFlight(_, Ends::AsLeased(due)) if due <= self.now);
        let ended: Vec<usize> = (0..self.msgs.len()).filter(has_ended).collect();
        self.lose_together(&ended);
        let mut last = None;
        while let Some(msg) = self.first_set() {
            match self.msgs[msg].state {
                State::InFlight(..) => {
                    self.lose(msg);
                    let lost = Told::LeaseLost(self.id(msg), self.msgs[msg].attempt);
                    self.expect(lost);
                    let verdict = self.verdict(msg);
                    self.fail(msg, EXPIRED, verdict);
                }
                State::Delayed(_, set) if self.msgs[msg].turn == Turn::Retry => {
                    // Those that were set together fall due together.
                    let rank = last.filter(|(last, _)| *last == set).map_or_else(|| self.next(), |(_, rank)| rank);
                    last = Some((set, rank));
                    self.line_up(msg, rank);
                    self.promote();
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
    pub(crate) fn first_set(&self) -> Option<usize> {
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

    pub(crate) fn refuse(&mut self, msg: usize, tries: u32) {
        let verdict = self.knobs.resend.decide(tries);
        self.record(msg, tries, FULL, verdict);
        match verdict {
            // A tick at the least, as the library says.
            Verdict::Retry(delay) => self.msgs[msg].state = State::Unsent(self.now + delay.max(1), self.next(), tries),
            Verdict::Dead => {
                hit("given up");
                self.bury(msg, true);
            }
            Verdict::Discard => self.discard(msg),
        }
    }

    pub(crate) fn close(&mut self) {
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

    pub(crate) fn redrive(&mut self, msg: usize) {
        self.msgs[msg].attempt = 0;
        self.msgs[msg].turn = Turn::First;
        self.wait(msg, 0);
        self.leave_the_store(&[msg]);
    }
}
