//! Who acts: producers, the clock, and whoever pauses, redrives and closes. Consumers and their handlers: `handlers.rs`.

#[path = "handlers.rs"]
mod handlers;
#[path = "letters.rs"]
mod letters;

use crate::Hits;
use crate::knobs::Knobs;
use crate::oracle::{Oracle, Place};
use crate::support::{Rng, leak};
use redeliver::{
    Consumer, Delivery, Event, Filter, ManualClock, Producer, Queue, Rate, Receipt, ReceiptError, SendErrorKind,
    TryRecvError,
};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

const STEPS: u64 = 400;
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct Letter {
    number: usize,
    body: Vec<u8>,
    alive: Arc<AtomicI64>,
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

/// What a handler does with its delivery when its work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Ack,
    Nack,
    NackAfter(Duration),
    Snooze(Duration),
    Reject,
    IntoMessage,
    Drop,
    Panic,
    Leak,
    /// Works for so long that the lease is over, and acks then.
    Slow,
    /// Extends its lease now and then, and acks in the end.
    Extend,
    /// Keeps its lease for good, and acks in the end.
    KeepAlive,
}

struct Work {
    delivery: Delivery<Letter>,
    number: usize,
    holder: u64,
    plan: Plan,
    until: Duration,
    /// It came back in an error: dropping it is no nack.
    returned: bool,
}

struct Handler {
    consumer: Consumer<Letter>,
    work: Vec<Work>,
}

struct Site {
    knobs: Knobs,
    queue: Queue<Letter>,
    producers: Vec<Producer<Letter>>,
    handlers: Vec<Handler>,
    events: Box<dyn Fn() -> Option<Event>>,
    receipts: Vec<(usize, Receipt)>,
    oracle: Oracle,
    is_closed: bool,
    is_paused: bool,
    next_number: usize,
    leaked: i64,
}

pub(crate) struct World {
    rng: Rng,
    clock: ManualClock,
    now: Duration,
    sites: Vec<Site>,
    alive: Arc<AtomicI64>,
    hits: Hits,
    steps: u64,
    trace: u64,
}

/// What a run came to, the same for the same seed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) steps: u64,
    pub(crate) messages: u64,
    pub(crate) trace: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let count = 1 + rng.below(3);
        let sites = (0..count).map(|n| Site::open(Knobs::draw(&mut rng), n, &clock)).collect();
        let mut hits = Hits::default();
        if count > 1 {
            hits.hit("several queues");
        }
        World {
            rng,
            clock,
            now: Duration::ZERO,
            sites,
            alive: Arc::default(),
            hits,
            steps: 0,
            trace: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Adds to the run's trace (FNV-1a).
    fn note(&mut self, what: impl Debug) {
        for byte in format!("{:?} {what:?}", self.now).bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub(crate) fn run(&mut self) {
        while self.steps < STEPS {
            self.steps += 1;
            let site = self.rng.below(self.sites.len() as u64) as usize;
            match self.rng.below(100) {
                0..30 => self.produce(site),
                30..74 => self.consume(site),
                74..94 => self.pass_time(),
                94..96 => self.work_on_letters(site),
                96 => self.set_paused(site, true),
                97 => self.set_paused(site, false),
                _ => {
                    if self.rng.below(10_000) < 50 * self.sites[site].knobs.closes {
                        self.close(site);
                    }
                }
            }
            self.look();
        }
    }

    /// Looks at every queue: what it tells, and whether its figures are the oracle's.
    fn look(&mut self) {
        for at in 0..self.sites.len() {
            self.listen(at);
            let site = &self.sites[at];
            site.oracle.check(&site.queue.stats(), &site.knobs);
        }
    }

    fn listen(&mut self, at: usize) {
        let now = self.now;
        let mut told = Vec::new();
        let site = &mut self.sites[at];
        site.oracle.next_acceptance();
        while let Some(event) = (site.events)() {
            told.push(event);
        }
        for event in &told {
            site.hear(event.clone(), now, &mut self.hits);
        }
        let mut resolved = Vec::new();
        site.receipts.retain(|(number, receipt)| {
            let Some(outcome) = receipt.wait_timeout(Duration::ZERO) else { return true };
            resolved.push((*number, outcome));
            false
        });
        for (number, outcome) in &resolved {
            match outcome {
                Ok(id) => {
                    self.hits.hit("resent");
                    assert_eq!(site.oracle.number(*id), *number);
                    site.oracle.resent(*number, &site.knobs, now);
                }
                Err(error) => {
                    self.hits.hit("given up");
                    assert_eq!(*error, ReceiptError::GivenUp);
                    let place = site.oracle.fate(*number).place;
                    assert!(
                        matches!(place, Place::Dead | Place::Parked | Place::Discarded | Place::Purged),
                        "given up, and {place:?}"
                    );
                }
            }
        }
        site.oracle.next_acceptance();
        self.note((at, told, resolved.iter().map(|(number, outcome)| (*number, outcome.is_ok())).collect::<Vec<_>>()));
    }

    // ---- producers ----

    fn produce(&mut self, at: usize) {
        let (way, size, who) = (self.rng.below(8), self.rng.below(64), self.rng.draw());
        let body: Vec<u8> = (0..size).map(|_| self.rng.draw() as u8).collect();
        let now = self.now;
        let site = &mut self.sites[at];
        let number = site.next_number;
        site.next_number += 1;
        self.alive.fetch_add(1, SeqCst);
        let letter = Letter { number, body: body.clone(), alive: self.alive.clone() };
        let stats = site.queue.stats();
        let producer = &site.producers[who as usize % site.producers.len()];
        let has_room = stats.ready + stats.in_flight + stats.pinned < site.knobs.capacity as u64;
        let sent = match way {
            0 | 1 => producer.submit(letter).map(Err),
            2 => producer.message(letter).key("key").header("h", "v").try_send().map(Ok),
            3 => producer.message(letter).header("h", "v").submit().map(Err),
            4 => producer.send_timeout(letter, Duration::ZERO).map(Ok),
            _ => producer.try_send(letter).map(Ok),
        };
        let outcome = match sent {
            Err(error) => {
                assert_eq!(error.message.number, number, "what was not sent comes back");
                assert_eq!(error.kind == SendErrorKind::Closed, site.is_closed);
                assert!(site.is_closed || !has_room, "{:?} with room: {stats:?}", error.kind);
                self.hits.hit(if site.is_closed { "closed" } else { "full" });
                None
            }
            Ok(Ok(id)) => {
                assert!(!site.is_closed && has_room, "accepted without room: {stats:?}");
                site.oracle.submitted(number, id, body, now);
                site.oracle.accepted(number);
                self.hits.hit("accepted");
                Some(id)
            }
            Ok(Err(receipt)) => {
                let id = receipt.id();
                site.oracle.submitted(number, id, body, now);
                if has_room {
                    assert_eq!(receipt.wait(), Ok(id), "accepted at once");
                    site.oracle.accepted(number);
                } else {
                    site.receipts.push((number, receipt));
                    self.hits.hit("unsent");
                }
                Some(id)
            }
        };
        self.note((at, number, outcome));
    }

    // ---- the world ----

    fn pass_time(&mut self) {
        let by = match self.rng.below(12) {
            0..3 => {
                self.hits.hit("clock step below a millisecond");
                Duration::from_micros(self.rng.below(1_000))
            }
            3..8 => Duration::from_micros(self.rng.below(20_000)),
            8..10 => Duration::from_millis(self.rng.below(1_000)),
            10 => Duration::from_millis(self.rng.below(60_000)),
            _ => {
                self.hits.hit("clock step of an hour");
                HOUR + Duration::from_micros(self.rng.below(1_000_000))
            }
        };
        self.advance(by);
    }

    fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.now += by;
        self.note("advance");
    }

    fn set_paused(&mut self, at: usize, paused: bool) {
        let site = &mut self.sites[at];
        site.is_paused = paused;
        if paused {
            self.hits.hit("paused");
            site.queue.pause();
        } else {
            site.queue.resume();
        }
    }

    fn close(&mut self, at: usize) {
        self.hits.hit("queue closed");
        self.sites[at].queue.close();
        self.sites[at].is_closed = true;
        self.note((at, "close"));
    }

    /// Nobody sends any more and everybody acks: each message comes to its one end.
    pub(crate) fn end(mut self, hits: &mut Hits) -> Outcome {
        for at in 0..self.sites.len() {
            self.set_paused(at, false);
        }
        let mut rounds = 0;
        while self.sites.iter().any(|site| !site.is_at_rest()) {
            rounds += 1;
            assert!(
                rounds < 2_000,
                "messages that never come: {:?}",
                self.sites.iter().map(|s| s.queue.stats()).collect::<Vec<_>>()
            );
            for at in 0..self.sites.len() {
                self.wind_down(at);
            }
            self.advance(if rounds % 2 == 0 { HOUR } else { Duration::from_millis(1) });
            self.look();
        }
        let mut messages = 0;
        for site in &mut self.sites {
            messages += site.oracle.fates.len() as u64;
            site.oracle.check_settled(&mut self.hits);
            site.queue.close();
            let error = site.handlers[0].consumer.try_recv().map(|delivery| delivery.id()).unwrap_err();
            assert_eq!(error, TryRecvError::Closed);
        }
        let leaked: i64 = self.sites.iter().map(|site| site.leaked).sum();
        self.sites.clear();
        let left = self.alive.load(SeqCst);
        assert!((0..=leaked).contains(&left), "{left} messages are left of {leaked} leaked deliveries");
        for (what, times) in self.hits.0 {
            *hits.0.entry(what).or_default() += times;
        }
        Outcome { steps: self.steps, messages, trace: self.trace }
    }

    fn wind_down(&mut self, at: usize) {
        for who in 0..self.sites[at].handlers.len() {
            while let Some(mut work) = self.sites[at].handlers[who].work.pop() {
                work.plan = if work.delivery.is_lost() { Plan::Drop } else { Plan::Ack };
                self.finish(at, who, work);
            }
        }
        while !self.sites[at].queue.dead_letters().is_empty() {
            if self.rng.below(4) == 0 {
                self.redrive_all(at)
            } else {
                self.redrive(at)
            }
            self.listen(at);
        }
        while let Ok(delivery) = self.sites[at].handlers[0].consumer.try_recv() {
            self.start(at, 0, delivery);
            if let Some(mut work) = self.sites[at].handlers[0].work.pop() {
                work.plan = Plan::Ack;
                self.finish(at, 0, work);
            }
        }
        let site = &self.sites[at];
        site.oracle.check_empty(self.now, &site.queue.stats(), &site.knobs);
    }
}

impl Site {
    fn open(knobs: Knobs, n: u64, clock: &ManualClock) -> Self {
        let queue = knobs.build(format!("site {n}")).clock(clock.clone()).open().expect("valid knobs");
        let events = queue.events();
        let handler = |_| Handler { consumer: queue.consumer(), work: Vec::new() };
        Site {
            producers: (0..knobs.producers).map(|_| queue.producer()).collect(),
            handlers: (0..knobs.consumers).map(handler).collect(),
            events: Box::new(move || events.try_recv().ok()),
            receipts: Vec::new(),
            oracle: Oracle::default(),
            is_closed: false,
            is_paused: false,
            next_number: 0,
            leaked: 0,
            queue,
            knobs,
        }
    }

    fn is_at_rest(&self) -> bool {
        let at_work = self.handlers.iter().any(|handler| !handler.work.is_empty());
        let waits = |place: &Place| !matches!(place, Place::Acked | Place::Discarded | Place::Purged);
        !at_work && self.oracle.count(waits) == 0
    }

    fn fail(&mut self, number: usize, attempt: u32, now: Duration) {
        let delays = self.knobs.delays(attempt).unwrap_or((Duration::ZERO, Duration::MAX / 4));
        self.oracle.failed(number, now, now, true, delays);
    }

    fn hear(&mut self, event: Event, now: Duration, hits: &mut Hits) {
        match event {
            Event::LeaseLost { id, attempt, .. } => {
                hits.hit("lease lost");
                let number = self.oracle.number(id);
                self.oracle.lease_lost(number, attempt, &self.knobs, now);
            }
            Event::DeadLettered { id, .. } => self.ended(id, Place::Dead, "dead letter", hits),
            Event::GivenUp { id, .. } => self.ended(id, Place::Dead, "dead letter", hits),
            Event::Parked { id, .. } => self.ended(id, Place::Parked, "parked", hits),
            Event::Dropped { id, .. } => self.ended(id, Place::Discarded, "discarded", hits),
            Event::BreakerOpened { .. } => hits.hit("breaker opened"),
            Event::BreakerHalfOpened { .. } => hits.hit("breaker half-opened"),
            Event::BreakerClosed { .. } => hits.hit("breaker closed"),
            other => panic!("an event the oracle does not know: {other:?}"),
        }
    }

    fn ended(&mut self, id: redeliver::MessageId, place: Place, what: &'static str, hits: &mut Hits) {
        hits.hit(what);
        let number = self.oracle.number(id);
        self.oracle.check_end(number, &self.knobs);
        self.oracle.ended(number, place);
    }
}
