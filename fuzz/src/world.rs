//! A queue under a clock that is moved by hand, whatever is done to it, beside a tiny model: every message that was taken
//! in is in one place, nothing is settled twice, and the figures add up.

use crate::policy::Spec;
use crate::time::Time;
use arbitrary::Arbitrary;
use redeliver::{
    Batch, Consumer, DeadLetter, Delivery, Event, Filter, ManualClock, MessageId, Producer, Queue, QueueBuilder,
    Receipt, SettleError, SettleErrorKind, TryRecvError,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A message: its number, and a share of a token that tells how many messages there are.
#[derive(Clone)]
pub struct Message {
    number: u32,
    _token: Arc<()>,
}

/// What may be done. Numbers choose among what there is.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Op {
    TrySend,
    SendForNoTime,
    SendBatch(u8),
    Submit,
    SubmitWith {
        keyed: bool,
        headers: u8,
    },
    Recv,
    RecvBatch(u8),
    Ack(u8),
    IntoMessage(u8),
    Nack(u8),
    NackAfter(u8, Time),
    Snooze(u8, Time),
    Reject(u8),
    Extend(u8, Time),
    KeepAlive(u8, Time),
    Drop(u8),
    Leak(u8),
    LetGoOfLeaked,
    AckAll(u8),
    NackAll(u8),
    DropBatch(u8),
    SplitBatch(u8),
    Advance(Time),
    WallClock(i64),
    Pause,
    Resume,
    Close,
    Drain,
    /// Some of the above in a row, for what takes too many steps to be found by chance.
    Fill,
    RecvAll,
    AckEveryOther(bool),
    Redrive(u8),
    HoldLetter(u8),
    LetGoOfLetters,
    CloneHandles,
}

/// The settings of a queue that is small enough to be filled.
#[derive(Arbitrary, Clone, Debug)]
pub struct Small {
    capacity: u8,
    lease_ms: u16,
    max_deliveries: u8,
    dead_letter_capacity: u8,
    resend_capacity: u8,
    retry: Option<Spec>,
    resend: Option<Spec>,
    seed: u64,
}

impl Small {
    /// A few seats as a rule; sometimes more than a sample of 64 in one lap.
    pub fn capacity(&self) -> usize {
        let asked = usize::from(self.capacity);
        1 + if asked < 192 { asked % 8 } else { asked }
    }

    pub fn max_deliveries(&self) -> u32 {
        1 + u32::from(self.max_deliveries % 8)
    }

    pub fn builder(&self, clock: &ManualClock) -> QueueBuilder<Message> {
        let mut builder = Queue::builder("fuzz")
            .capacity(self.capacity())
            .lease(Duration::from_millis(1 + u64::from(self.lease_ms)))
            .max_deliveries(self.max_deliveries())
            .dead_letter_capacity(1 + usize::from(self.dead_letter_capacity % 4))
            .resend_capacity(usize::from(self.resend_capacity % 4))
            .seed(self.seed)
            .clock(clock.clone());
        if let Some(retry) = &self.retry {
            builder = builder.retry(retry.build());
        }
        if let Some(resend) = &self.resend {
            builder = builder.resend(resend.build());
        }
        builder
    }
}

/// What a settle makes of its message.
#[derive(Clone, Copy)]
enum End {
    ForGood,
    Failed,
    NoAttempt,
}

/// With unsent messages about, time goes in steps of at most this: each of their resends is one, a millisecond apart.
const STEP_MAX: Duration = Duration::from_secs(2);

pub struct World {
    queue: Queue<Message>,
    producers: Vec<Producer<Message>>,
    consumers: Vec<Consumer<Message>>,
    clock: ManualClock,
    told: Box<dyn Fn() -> Vec<Event>>,
    capacity: u64,
    max_deliveries: u32,
    token: Arc<()>,
    /// The messages that the queue has taken in, and those of them that are done.
    taken: BTreeMap<u32, MessageId>,
    settled: BTreeSet<u32>,
    /// Which attempt a message's next delivery is; not here: the first.
    attempts: BTreeMap<u32, u32>,
    next: u32,
    receipts: Vec<Receipt>,
    held: Vec<Delivery<Message>>,
    leaked: Vec<Delivery<Message>>,
    batches: Vec<Batch<Message>>,
    letters: Vec<Arc<DeadLetter<Message>>>,
    is_closed: bool,
    is_paused: bool,
    dead: u64,
    discarded: u64,
    leases_lost: u64,
}

impl World {
    pub fn new(queue: Queue<Message>, clock: ManualClock, capacity: u64, max_deliveries: u32) -> Self {
        let events = queue.events();
        World {
            producers: vec![queue.producer()],
            consumers: vec![queue.consumer()],
            queue,
            clock,
            told: Box::new(move || events.try_iter().collect()),
            capacity,
            max_deliveries,
            token: Arc::default(),
            taken: BTreeMap::new(),
            settled: BTreeSet::new(),
            attempts: BTreeMap::new(),
            next: 0,
            receipts: Vec::new(),
            held: Vec::new(),
            leaked: Vec::new(),
            batches: Vec::new(),
            letters: Vec::new(),
            is_closed: false,
            is_paused: false,
            dead: 0,
            discarded: 0,
            leases_lost: 0,
        }
    }

    pub fn step(&mut self, op: Op) {
        match op {
            Op::TrySend => self.send(|producer, message| producer.try_send(message).ok()),
            Op::SendForNoTime => self.send(|producer, message| producer.send_timeout(message, Duration::ZERO).ok()),
            Op::SendBatch(len) => self.send_batch(len),
            Op::Submit => self.submit(|producer, message| producer.submit(message).ok()),
            Op::SubmitWith { keyed, headers } => self.submit(|producer, message| {
                let mut building = producer.message(message);
                if keyed {
                    building = building.key("key");
                }
                for n in 0..headers % 4 {
                    building = building.header(n.to_string(), vec![n]);
                }
                building.submit().ok()
            }),
            Op::Recv => self.recv(),
            Op::RecvBatch(max) => {
                if let Ok(batch) = self.consumer().try_recv_batch(usize::from(max)) {
                    assert!(!self.is_paused && !batch.is_empty() && batch.len() <= usize::from(max).max(1));
                    assert_eq!(batch.iter().len(), batch.len());
                    batch.iter().for_each(|item| self.delivered(item.message().number, item.id(), item.attempt()));
                    self.batches.push(batch);
                }
            }
            Op::Ack(at) => self.settle(at, |delivery| delivery.ack(), End::ForGood),
            Op::IntoMessage(at) => self.settle(at, |delivery| delivery.into_message().map(drop), End::ForGood),
            Op::Nack(at) => self.settle(at, |delivery| delivery.nack("no"), End::Failed),
            Op::NackAfter(at, after) => {
                self.settle(at, |delivery| delivery.nack_after(after.get(), "later"), End::Failed)
            }
            Op::Snooze(at, after) => self.settle(at, |delivery| delivery.snooze(after.get()), End::NoAttempt),
            Op::Reject(at) => self.settle(at, |delivery| delivery.reject("never"), End::Failed),
            Op::Extend(at, by) => {
                if let Some(delivery) = pick(&self.held, at) {
                    let was_lost = delivery.is_lost();
                    assert_eq!(delivery.extend(by.get()).is_err(), was_lost);
                }
            }
            Op::KeepAlive(at, time) => self.keep_alive(at, time),
            Op::Drop(at) => drop(take(&mut self.held, at)),
            Op::Leak(at) => self.leaked.extend(take(&mut self.held, at)),
            Op::LetGoOfLeaked => self.leaked.clear(),
            Op::AckAll(at) => self.ack_all(at),
            Op::NackAll(at) => {
                if let Some(batch) = take(&mut self.batches, at)
                    && let Err(stale) = batch.nack_all("no")
                {
                    self.keep_stale(stale);
                }
            }
            Op::DropBatch(at) => drop(take(&mut self.batches, at)),
            Op::SplitBatch(at) => self.held.extend(take(&mut self.batches, at).into_iter().flatten()),
            Op::Advance(by) => self.advance(by.get()),
            Op::WallClock(secs) => {
                let by = Duration::from_secs(secs.unsigned_abs());
                let moved = if secs < 0 {
                    SystemTime::UNIX_EPOCH.checked_sub(by)
                } else {
                    SystemTime::UNIX_EPOCH.checked_add(by)
                };
                self.clock.set_system_time(moved.unwrap_or(SystemTime::UNIX_EPOCH));
            }
            Op::Pause => {
                self.is_paused = true;
                self.queue.pause();
            }
            Op::Resume => {
                self.is_paused = false;
                self.queue.resume();
            }
            Op::Close => {
                self.is_closed = true;
                self.queue.close();
            }
            Op::Drain => {
                let left = self.queue.drain(Duration::ZERO).map_or_else(|left| left.unsettled + left.unsent, |()| 0);
                let stats = self.queue.stats();
                assert_eq!(left, stats.ready + stats.in_flight + stats.delayed + stats.unsent);
            }
            Op::Fill => {
                let room = self.capacity.saturating_sub(self.queue.stats().ready);
                (0..=room.min(16)).for_each(|_| self.send(|producer, message| producer.try_send(message).ok()));
            }
            Op::RecvAll => (0..self.queue.len().min(16)).for_each(|_| self.recv()),
            Op::AckEveryOther(first) => {
                for at in (0..self.held.len().min(16)).rev().filter(|at| (at % 2 == 0) == first) {
                    self.settle(at as u8, |delivery| delivery.ack(), End::ForGood);
                }
            }
            Op::Redrive(at) => {
                let letters = self.queue.dead_letters().list(Filter::all());
                if let Some(letter) = pick(&letters, at) {
                    assert!(self.queue.dead_letters().redrive(letter.id()));
                    assert!(!self.queue.dead_letters().redrive(letter.id()), "it lives");
                    self.dead -= 1;
                    self.attempts.remove(&letter.message().expect("there").number);
                }
            }
            Op::HoldLetter(at) => {
                let letters = self.queue.dead_letters().list(Filter::all());
                self.letters.extend(pick(&letters, at).cloned());
            }
            Op::LetGoOfLetters => self.letters.clear(),
            Op::CloneHandles => {
                self.producers.push(self.producers[0].clone());
                self.consumers.push(self.consumers[0].clone());
                self.producers.truncate(3);
                self.consumers.truncate(3);
            }
        }
        self.check();
    }

    fn producer(&self) -> &Producer<Message> {
        &self.producers[self.next as usize % self.producers.len()]
    }

    fn consumer(&self) -> &Consumer<Message> {
        &self.consumers[self.next as usize % self.consumers.len()]
    }

    // ---- sending ----

    fn message(&mut self) -> Message {
        self.next += 1;
        Message { number: self.next, _token: self.token.clone() }
    }

    fn take_in(&mut self, number: u32, id: MessageId) {
        assert!(!self.is_closed, "a queue that is closed takes nothing in");
        assert!(self.taken.values().all(|other| *other != id), "an id names one message");
        assert!(self.taken.insert(number, id).is_none());
    }

    fn send(&mut self, send: impl Fn(&Producer<Message>, Message) -> Option<MessageId>) {
        let message = self.message();
        if let Some(id) = send(self.producer(), message) {
            self.take_in(self.next, id);
        } else {
            assert!(self.is_closed || !self.has_plain_room(1), "refused though there was room");
        }
    }

    /// Whether so many messages fit for certain: nobody holds anything, so a seat is free or has a message that is ready.
    fn has_plain_room(&self, len: u64) -> bool {
        let stats = self.queue.stats();
        stats.in_flight + stats.pinned == 0 && stats.ready + len <= self.capacity
    }

    /// A batch waits for room, and there is nobody who would make some.
    fn send_batch(&mut self, len: u8) {
        let len = u64::from(len % 16);
        if !self.is_closed && !self.has_plain_room(len) {
            return;
        }
        let batch: Vec<_> = (0..len).map(|_| self.message()).collect();
        let numbers: Vec<_> = batch.iter().map(|message| message.number).collect();
        match self.producer().send_batch(batch) {
            Ok(ids) => {
                assert_eq!(ids.len(), numbers.len());
                numbers.into_iter().zip(ids).for_each(|(number, id)| self.take_in(number, id));
            }
            Err(error) => assert!(self.is_closed && error.sent.is_empty() && error.unsent.len() == numbers.len()),
        }
    }

    fn submit(&mut self, submit: impl Fn(&Producer<Message>, Message) -> Option<Receipt>) {
        let message = self.message();
        if let Some(receipt) = submit(self.producer(), message) {
            self.take_in(self.next, receipt.id());
            self.receipts.push(receipt);
        } else {
            assert!(self.is_closed || !self.has_plain_room(1), "refused though there was room");
        }
    }

    // ---- receiving ----

    fn delivered(&mut self, number: u32, id: MessageId, attempt: u32) {
        assert_eq!(self.taken.get(&number), Some(&id), "delivered under another id, or never taken in");
        assert!(!self.settled.contains(&number), "delivered after it was settled");
        let next = self.attempts.entry(number).or_insert(1);
        assert!(attempt == *next && attempt <= self.max_deliveries, "attempt {attempt} in place of {next}");
        *next += 1;
    }

    fn recv(&mut self) {
        match self.consumer().try_recv() {
            Ok(delivery) => {
                assert!(!self.is_paused, "a queue that is paused hands nothing out");
                self.delivered(delivery.number, delivery.id(), delivery.attempt());
                assert!(!delivery.is_lost());
                self.held.push(delivery);
            }
            Err(TryRecvError::Closed) => {
                let stats = self.queue.stats();
                assert!(self.is_closed && stats.ready + stats.in_flight + stats.delayed == 0);
            }
            Err(_) => assert!(self.is_paused || self.queue.is_empty(), "there is a message"),
        }
    }

    fn settle(&mut self, at: u8, settle: impl FnOnce(Delivery<Message>) -> Result<(), SettleError<Message>>, end: End) {
        let Some(delivery) = take(&mut self.held, at) else { return };
        let (number, was_lost) = (delivery.number, delivery.is_lost());
        match settle(delivery) {
            Ok(()) => {
                assert!(!was_lost, "a lease that was lost settles nothing");
                match end {
                    End::ForGood => assert!(self.settled.insert(number), "settled twice"),
                    End::NoAttempt => *self.attempts.entry(number).or_insert(2) -= 1,
                    End::Failed => {}
                }
            }
            Err(error) => {
                assert!(was_lost || error.kind == SettleErrorKind::Shared);
                self.held.push(error.delivery);
            }
        }
    }

    fn ack_all(&mut self, at: u8) {
        let Some(batch) = take(&mut self.batches, at) else { return };
        let mut numbers: BTreeMap<MessageId, u32> =
            batch.iter().map(|item| (item.id(), item.message().number)).collect();
        if let Err(stale) = batch.ack_all() {
            for error in &stale {
                assert!(error.delivery.is_lost() && numbers.remove(&error.delivery.id()).is_some());
            }
            self.keep_stale(stale);
        }
        numbers.into_values().for_each(|number| assert!(self.settled.insert(number), "settled twice"));
    }

    fn keep_stale(&mut self, stale: Vec<SettleError<Message>>) {
        self.held.extend(stale.into_iter().map(|error| error.delivery));
    }

    fn keep_alive(&mut self, at: u8, time: Time) {
        let Some(delivery) = take(&mut self.held, at) else { return };
        let was_lost = delivery.is_lost();
        let guard = delivery.keep_alive();
        self.advance(time.get());
        assert_eq!(delivery.is_lost(), was_lost, "a lease that is kept is not lost");
        drop(guard);
        self.held.push(delivery);
    }

    fn advance(&mut self, by: Duration) {
        let by = if self.queue.stats().unsent > 0 { by.min(STEP_MAX) } else { by };
        self.clock.advance(by);
    }

    // ---- the figures ----

    fn check(&mut self) {
        for event in (self.told)() {
            match event {
                Event::DeadLettered { .. } | Event::GivenUp { .. } => self.dead += 1,
                Event::Dropped { .. } => self.discarded += 1,
                Event::LeaseLost { .. } => self.leases_lost += 1,
                _ => {}
            }
        }
        let stats = self.queue.stats();
        let there = stats.ready + stats.in_flight + stats.delayed + stats.parked + stats.dead + stats.unsent;
        let total = there + stats.acked + stats.discarded;
        assert_eq!(total, self.taken.len() as u64, "lost, or there twice: {stats:?}");
        assert_eq!(stats.acked, self.settled.len() as u64);
        assert_eq!(stats.ready, self.queue.len() as u64);
        if stats.events_dropped == 0 {
            let told = (self.dead, self.discarded, self.leases_lost);
            assert_eq!(told, (stats.dead, stats.discarded, stats.leases_lost), "not told, or told twice");
        }
        assert_eq!(self.queue.unsent().len() as u64, stats.unsent);
        let pending = self.receipts.iter().filter(|receipt| receipt.wait_timeout(Duration::ZERO).is_none()).count();
        assert_eq!(pending as u64, stats.unsent, "every receipt is told once its message is accepted or given up");
    }

    /// Lets everything come to its end: what is held is dropped, and what comes back is acked.
    pub fn end(mut self) {
        self.step(Op::Resume);
        self.step(Op::Close);
        self.held.clear();
        self.batches.clear();
        self.come_to_rest();
        self.leaked.clear(); // which may have been extended for ever
        self.letters.clear();
        self.come_to_rest();
        let stats = self.queue.stats();
        assert_eq!(stats.pinned, 0, "nobody reads a seat any more");
        assert_eq!(stats.ready + stats.in_flight + stats.delayed + stats.unsent, 0, "{stats:?}");
        assert_eq!(self.consumer().try_recv().unwrap_err(), TryRecvError::Closed);
        let mut over: BTreeSet<u32> = self.settled.clone();
        for letter in self.queue.dead_letters().list(Filter::all()) {
            let number = letter.message().expect("there").number;
            assert!(over.insert(number), "dead and settled, or dead twice");
        }
        assert_eq!(over.len() as u64 + stats.parked + stats.discarded, self.taken.len() as u64);
        let World { queue, producers, consumers, told, token, .. } = self;
        drop((queue, producers, consumers, told));
        assert_eq!(Arc::strong_count(&token), 1, "a message was not dropped");
    }

    fn come_to_rest(&mut self) {
        for _ in 0..3 {
            self.check();
            while let Ok(delivery) = self.consumer().try_recv() {
                self.delivered(delivery.number, delivery.id(), delivery.attempt());
                let number = delivery.number;
                assert!(delivery.ack().is_ok() && self.settled.insert(number));
            }
            self.clock.advance(Duration::MAX); // closed, so that nothing is sent again
        }
        self.check();
    }
}

fn pick<T>(from: &[T], at: u8) -> Option<&T> {
    from.get(usize::from(at) % from.len().max(1))
}

fn take<T>(from: &mut Vec<T>, at: u8) -> Option<T> {
    if from.is_empty() { None } else { Some(from.remove(usize::from(at) % from.len())) }
}
