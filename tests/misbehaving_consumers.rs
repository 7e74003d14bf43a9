//! Whatever a consumer does to a delivery, the message is settled once: a delivery that fails comes back exactly once, with
//! its number and its cause; one that lost its lease changes nothing any more; and no message is dropped twice or lost.
//!
//! A matrix: what the consumer does × where it had the delivery from × what is in it.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads of its own")]

mod support;

use redeliver::{Batch, Consumer, Delivery, Immediate, ManualClock, Producer, Queue, SettleError, SettleErrorKind};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{evidence, hush_planned_panics, leak};

const LEASE: Duration = Duration::from_secs(10);
const CAPACITY: usize = 16;

// ---- what is in a message ----

/// What the payloads of one cell have in common.
struct World<P: Send + Sync + 'static> {
    drops: Drops,
    back: Mutex<Option<Producer<P>>>,
}

#[derive(Default)]
struct Drops(Mutex<BTreeMap<u64, u32>>);

impl Drops {
    fn count(&self, number: u64) {
        *self.0.lock().unwrap().entry(number).or_default() += 1;
    }
}

trait Payload: Send + Sync + Sized + 'static {
    fn make(number: u64, world: &Arc<World<Self>>) -> Self;
    /// Checks its bytes, and tells its number.
    fn number(&self) -> u64;
    const COUNTS_DROPS: bool;
    const SENDS_WHEN_DROPPED: bool = false;
}

impl Payload for u64 {
    const COUNTS_DROPS: bool = false;
    fn make(number: u64, _: &Arc<World<Self>>) -> Self {
        number
    }
    fn number(&self) -> u64 {
        *self
    }
}

impl Payload for String {
    const COUNTS_DROPS: bool = false;
    fn make(number: u64, _: &Arc<World<Self>>) -> Self {
        format!("{number:?} and a text that is long enough to live on the heap: {}", "x".repeat(number as usize % 97))
    }
    fn number(&self) -> u64 {
        let number = self.split(' ').next().unwrap().parse().unwrap();
        assert!(self.ends_with(&"x".repeat(number as usize % 97)));
        number
    }
}

/// Its drop is counted, and panics.
struct Touchy(Box<u64>, Arc<World<Touchy>>);

impl Payload for Touchy {
    const COUNTS_DROPS: bool = true;
    fn make(number: u64, world: &Arc<World<Self>>) -> Self {
        Touchy(Box::new(number), world.clone())
    }
    fn number(&self) -> u64 {
        *self.0
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        self.1.drops.count(*self.0);
        panic!("planned: a drop that panics");
    }
}

/// Its drop is counted, and sends another message into the same queue.
struct Chatty(Box<u64>, Arc<World<Chatty>>);

const CHILD: u64 = 1_000_000;

impl Payload for Chatty {
    const COUNTS_DROPS: bool = true;
    const SENDS_WHEN_DROPPED: bool = true;
    fn make(number: u64, world: &Arc<World<Self>>) -> Self {
        Chatty(Box::new(number), world.clone())
    }
    fn number(&self) -> u64 {
        *self.0
    }
}

impl Drop for Chatty {
    fn drop(&mut self) {
        self.1.drops.count(*self.0);
        if *self.0 < CHILD {
            let producer = self.1.back.lock().unwrap().clone();
            if let Some(producer) = producer {
                producer.try_send(Chatty(Box::new(*self.0 + CHILD), self.1.clone())).unwrap();
            }
        }
    }
}

// ---- where a delivery comes from ----

#[derive(Debug, Clone, Copy, PartialEq)]
enum Origin {
    First,
    Extended,
    Headers,
    Redelivered,
    RedeliveredWithHeaders,
    BatchMember,
    BatchMemberFromTheLane,
    Batch,
    BatchFromTheLane,
    /// One redelivery and two first deliveries.
    MixedBatch,
}

const ORIGINS: [Origin; 10] = [
    Origin::First,
    Origin::Extended,
    Origin::Headers,
    Origin::Redelivered,
    Origin::RedeliveredWithHeaders,
    Origin::BatchMember,
    Origin::BatchMemberFromTheLane,
    Origin::Batch,
    Origin::BatchFromTheLane,
    Origin::MixedBatch,
];

/// One delivery, or a batch.
enum Hand<P: Send + Sync + 'static> {
    One(Delivery<P>),
    Many(Vec<Delivery<P>>),
    All(Batch<P>),
}

type Refused<P> = Vec<SettleError<P>>;

impl<P: Payload> Hand<P> {
    fn each(self) -> Vec<Delivery<P>> {
        match self {
            Hand::One(delivery) => vec![delivery],
            Hand::Many(deliveries) => deliveries,
            Hand::All(batch) => batch.into_iter().collect(),
        }
    }

    /// (id, attempt) by number.
    fn look(&self) -> BTreeMap<u64, (redeliver::MessageId, u32)> {
        let of = |d: &Delivery<P>| (d.message().number(), (d.id(), d.attempt()));
        match self {
            Hand::One(delivery) => BTreeMap::from([of(delivery)]),
            Hand::Many(deliveries) => deliveries.iter().map(of).collect(),
            Hand::All(batch) => batch.iter().map(|i| (i.message().number(), (i.id(), i.attempt()))).collect(),
        }
    }

    fn settle_each(self, settle: impl Fn(Delivery<P>) -> Result<(), SettleError<P>>) -> Result<(), Refused<P>> {
        let refused: Vec<_> = self.each().into_iter().filter_map(|delivery| settle(delivery).err()).collect();
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }

    fn ack(self) -> Result<(), Refused<P>> {
        match self {
            Hand::All(batch) => batch.ack_all(),
            hand => hand.settle_each(Delivery::ack),
        }
    }

    fn nack(self, reason: &'static str) -> Result<(), Refused<P>> {
        match self {
            Hand::All(batch) => batch.nack_all(reason),
            hand => hand.settle_each(|delivery| delivery.nack(reason)),
        }
    }
}

// ---- what a consumer does ----

#[derive(Debug, Clone, Copy, PartialEq)]
enum Deed {
    Drop,
    PanicInAThread,
    PanicThatIsCaught,
    Leak,
    LoopPastTheLease,
    LateAck,
    LateNack,
    LateNackAfter,
    LateReject,
    LateSnooze,
    LateExtend,
    LateKeepAlive,
    LateIntoMessage,
    AckElsewhere,
    NackElsewhere,
    DropElsewhere,
    IntoMessageElsewhere,
}

const DEEDS: [Deed; 17] = [
    Deed::Drop,
    Deed::PanicInAThread,
    Deed::PanicThatIsCaught,
    Deed::Leak,
    Deed::LoopPastTheLease,
    Deed::LateAck,
    Deed::LateNack,
    Deed::LateNackAfter,
    Deed::LateReject,
    Deed::LateSnooze,
    Deed::LateExtend,
    Deed::LateKeepAlive,
    Deed::LateIntoMessage,
    Deed::AckElsewhere,
    Deed::NackElsewhere,
    Deed::DropElsewhere,
    Deed::IntoMessageElsewhere,
];

const LOST: &str = "the lease expired";
const DROPPED: &str = "the delivery was dropped without being settled";
const PANICKED: &str = "the handler panicked";

/// What has become of the hand.
struct After<P: Send + Sync + 'static> {
    /// The error that the history must tell; `None`: settled.
    failed: Option<&'static str>,
    /// Still held, without a lease.
    late: Option<Hand<P>>,
    leaked: bool,
}

fn in_a_thread<R: Send>(code: impl FnOnce() -> R + Send) -> std::thread::Result<R> {
    std::thread::scope(|scope| scope.spawn(code).join())
}

/// Tries what a late consumer may try: all of it is refused, nothing changes, and the message can still be read.
fn try_late<P: Payload>(deed: Deed, hand: Hand<P>) -> Hand<P> {
    let seen = hand.look();
    let refused = match deed {
        Deed::LateAck => hand.ack().unwrap_err(),
        Deed::LateNack => hand.nack("too late").unwrap_err(),
        Deed::LateNackAfter => hand.settle_each(|d| d.nack_after(Duration::ZERO, "too late")).unwrap_err(),
        Deed::LateReject => hand.settle_each(|d| d.reject("too late")).unwrap_err(),
        Deed::LateSnooze => hand.settle_each(|d| d.snooze(Duration::ZERO)).unwrap_err(),
        Deed::LateIntoMessage => hand.settle_each(|d| d.into_message().map(std::mem::forget)).unwrap_err(),
        Deed::LateExtend | Deed::LateKeepAlive => {
            let deliveries = hand.each();
            for delivery in &deliveries {
                if deed == Deed::LateExtend {
                    delivery.extend(LEASE).unwrap_err();
                } else {
                    drop(delivery.keep_alive());
                }
                assert!(delivery.is_lost());
            }
            return Hand::Many(deliveries);
        }
        _ => return hand,
    };
    assert!(refused.iter().all(|error| error.kind == SettleErrorKind::StaleLease));
    let hand = Hand::Many(refused.into_iter().map(|error| error.delivery).collect());
    assert_eq!(hand.look(), seen, "an error gives back what it was given");
    hand
}

fn misbehave<P: Payload>(deed: Deed, hand: Hand<P>, clock: &ManualClock) -> After<P> {
    let failed = |failed| After { failed: Some(failed), late: None, leaked: false };
    let settled = || After { failed: None, late: None, leaked: false };
    match deed {
        Deed::Drop => {
            drop(hand);
            failed(DROPPED)
        }
        Deed::PanicInAThread => {
            in_a_thread(move || {
                let _held = hand;
                panic!("planned: a handler that panics");
            })
            .unwrap_err();
            failed(PANICKED)
        }
        Deed::PanicThatIsCaught => {
            catch_unwind(AssertUnwindSafe(move || {
                let _held = hand;
                panic!("planned: a handler that panics");
            }))
            .unwrap_err();
            failed(PANICKED)
        }
        Deed::Leak => {
            leak(hand);
            clock.advance(2 * LEASE);
            After { failed: Some(LOST), late: None, leaked: true }
        }
        Deed::AckElsewhere => {
            in_a_thread(|| hand.ack()).unwrap().unwrap();
            settled()
        }
        Deed::IntoMessageElsewhere => {
            let dropped = |message: P| catch_unwind(AssertUnwindSafe(|| drop(message))).unwrap_or(());
            in_a_thread(|| hand.settle_each(|d| d.into_message().map(dropped))).unwrap().unwrap();
            settled()
        }
        Deed::NackElsewhere => {
            in_a_thread(|| hand.nack("elsewhere")).unwrap().unwrap();
            failed("elsewhere")
        }
        Deed::DropElsewhere => {
            in_a_thread(|| drop(hand)).unwrap();
            failed(DROPPED)
        }
        late => {
            clock.advance(2 * LEASE);
            After { failed: Some(LOST), late: Some(try_late(late, hand)), leaked: false }
        }
    }
}

// ---- one cell of the matrix ----

struct Cell<P: Send + Sync + 'static> {
    world: Arc<World<P>>,
    clock: ManualClock,
    queue: Queue<P>,
    consumer: Consumer<P>,
}

impl<P: Payload> Cell<P> {
    fn new() -> Self {
        let clock = ManualClock::new();
        let queue = Queue::builder("cell")
            .capacity(CAPACITY)
            .lease(LEASE)
            .retry(Immediate.max_attempts(10))
            .clock(clock.clone())
            .seed(7)
            .open()
            .unwrap();
        let consumer = queue.consumer();
        let world = Arc::new(World { drops: Drops::default(), back: Mutex::new(None) });
        Cell { world, clock, queue, consumer }
    }

    fn send(&self, number: u64, with_headers: bool) {
        let producer = self.queue.producer();
        let message = P::make(number, &self.world);
        let sent = if with_headers {
            producer.message(message).key("k").header("h", "v").send()
        } else {
            producer.send(message)
        };
        assert!(sent.is_ok());
    }

    /// A hand with these messages in it, how many of them are first deliveries, and how many failed on the way.
    fn take(&self, origin: Origin) -> (Hand<P>, Vec<u64>, u64, u64) {
        let fail_once = || self.consumer.recv().unwrap().nack("on the way").unwrap();
        match origin {
            Origin::First | Origin::Headers | Origin::Extended => {
                self.send(1, origin == Origin::Headers);
                let delivery = self.consumer.recv().unwrap();
                if origin == Origin::Extended {
                    delivery.extend(LEASE + LEASE / 2).unwrap();
                }
                assert_eq!(delivery.headers().get_str("h").is_some(), origin == Origin::Headers);
                (Hand::One(delivery), vec![1], 1, 0)
            }
            Origin::Redelivered | Origin::RedeliveredWithHeaders => {
                self.send(1, origin == Origin::RedeliveredWithHeaders);
                fail_once();
                let delivery = self.consumer.recv().unwrap();
                let has_headers = delivery.headers().get_str("h").is_some();
                assert_eq!(has_headers, origin == Origin::RedeliveredWithHeaders);
                (Hand::One(delivery), vec![1], 0, 1)
            }
            Origin::BatchMember => {
                (1..=3).for_each(|number| self.send(number, false));
                let mut batch = self.consumer.recv_batch(3).unwrap().into_iter();
                batch.next().unwrap().ack().unwrap();
                let target = batch.next().unwrap();
                batch.next().unwrap().ack().unwrap();
                (Hand::One(target), vec![2], 1, 0)
            }
            Origin::BatchMemberFromTheLane => {
                (1..=3).for_each(|number| self.send(number, false));
                self.consumer.recv_batch(3).unwrap().nack_all("on the way").unwrap();
                let mut batch = self.consumer.recv_batch(3).unwrap().into_iter();
                batch.next().unwrap().ack().unwrap();
                let target = batch.next().unwrap();
                batch.next().unwrap().ack().unwrap();
                (Hand::One(target), vec![2], 0, 3)
            }
            Origin::Batch => {
                (1..=3).for_each(|number| self.send(number, false));
                (Hand::All(self.consumer.recv_batch(9).unwrap()), vec![1, 2, 3], 3, 0)
            }
            Origin::BatchFromTheLane => {
                (1..=3).for_each(|number| self.send(number, number == 2));
                self.consumer.recv_batch(3).unwrap().nack_all("on the way").unwrap();
                (Hand::All(self.consumer.recv_batch(9).unwrap()), vec![1, 2, 3], 0, 3)
            }
            Origin::MixedBatch => {
                self.send(1, false);
                fail_once();
                self.send(2, false);
                self.send(3, true);
                (Hand::All(self.consumer.recv_batch(9).unwrap()), vec![1, 2, 3], 2, 1)
            }
        }
    }

    /// Everything that can be received now.
    fn receive_all(&self) -> Vec<Delivery<P>> {
        std::iter::from_fn(|| self.consumer.try_recv().ok()).collect()
    }

    fn run(self, origin: Origin, deed: Deed) {
        let (hand, numbers, seats, failed_before) = self.take(origin);
        if P::SENDS_WHEN_DROPPED {
            *self.world.back.lock().unwrap() = Some(self.queue.producer());
        }
        let n = numbers.len() as u64;
        let seen = hand.look();
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), numbers);
        let before = self.queue.stats();
        assert_eq!((before.in_flight, before.failed, before.pinned), (n, failed_before, 0));

        let After { failed, mut late, leaked } = misbehave(deed, hand, &self.clock);
        let kept = if late.is_some() || leaked { seats } else { 0 };

        if let Some(cause) = failed {
            let stats = self.queue.stats();
            let lost = if cause == LOST { n } else { 0 };
            assert_eq!((stats.ready, stats.in_flight, stats.delayed, stats.dead), (n, 0, 0, 0));
            assert_eq!((stats.failed, stats.leases_lost), (failed_before + n, lost));
            assert_eq!(stats.pinned, kept, "a seat for each first delivery that is kept without a lease");

            let again = self.receive_all();
            assert_eq!(again.len() as u64, n, "delivered again exactly once");
            let mut told = BTreeMap::new();
            for delivery in &again {
                let number = delivery.message().number();
                let (id, attempt) = seen[&number];
                assert_eq!((delivery.id(), delivery.attempt()), (id, attempt + 1));
                let history = delivery.history();
                assert_eq!(history.len() as u32, attempt, "one entry for each attempt that failed");
                let last = history.last().unwrap();
                assert_eq!((last.attempt(), last.error(), last.delay()), (attempt, cause, Some(Duration::ZERO)));
                assert!(!delivery.is_lost());
                told.insert(number, ());
            }
            assert_eq!(told.into_keys().collect::<Vec<_>>(), numbers);
            late = late.map(|hand| try_late(deed, hand)); // while somebody else has it
            for delivery in again {
                delivery.ack().unwrap();
            }
            late = late.map(|hand| try_late(deed, hand)); // and when it is done
            if let Some(hand) = &late {
                assert_eq!(hand.look(), seen, "a late handle reads what it always read");
            }
        }
        assert_eq!(self.queue.stats().pinned, kept);
        drop(late);
        assert_eq!(self.queue.stats().pinned, if leaked { seats } else { 0 });

        // What the payloads' drops have sent.
        let mut children = 0;
        if P::SENDS_WHEN_DROPPED {
            for child in self.receive_all() {
                assert!(child.message().number() > CHILD);
                children += 1;
                child.ack().unwrap();
            }
        }
        self.clock.advance(Duration::from_secs(3600));
        assert!(self.receive_all().is_empty(), "nothing comes back that was settled");
        let stats = self.queue.stats();
        assert_eq!((stats.ready, stats.in_flight, stats.delayed, stats.dead, stats.unsent), (0, 0, 0, 0, 0));
        let sent = if matches!(origin, Origin::BatchMember | Origin::BatchMemberFromTheLane) { 3 } else { n };
        assert_eq!((stats.sent, stats.acked), (sent + children, sent + children));
        assert_eq!(stats.delivered, stats.acked + stats.failed);

        // Every seat that is not pinned can be used again.
        *self.world.back.lock().unwrap() = None;
        let free = CAPACITY as u64 - stats.pinned;
        for number in 0..free {
            self.send(CHILD + 100 + number, false);
        }
        let one_more = self.queue.producer().try_send(P::make(CHILD + 99, &self.world));
        let error = one_more.unwrap_err();
        assert_eq!(error.kind, redeliver::SendErrorKind::Full);
        catch_unwind(AssertUnwindSafe(|| drop(error))).unwrap_or(());

        let Cell { world, clock: _clock, queue, consumer } = self;
        drop(queue);
        drop(consumer);
        if P::COUNTS_DROPS {
            let drops = world.drops.0.lock().unwrap();
            let gone = (1..=sent).filter(|number| !(leaked && numbers.contains(number)));
            let expected: BTreeMap<u64, u32> = gone.map(|number| (number, 1)).collect();
            let found: BTreeMap<u64, u32> = drops.range(..CHILD).map(|(number, drops)| (*number, *drops)).collect();
            // A batch that is leaked as a whole keeps the queue's last door open; its messages stay with it.
            assert_eq!(found, expected, "each message is dropped once, and a leaked one never");
            assert!(drops.values().all(|drops| *drops == 1), "{drops:?}");
            let keeps_the_door = leaked && matches!(origin, Origin::Batch | Origin::MixedBatch);
            let left = drops.range(CHILD + 100..).count() as u64;
            assert_eq!(left, if keeps_the_door { 0 } else { free }, "what was left inside is dropped with the queue");
        }
    }
}

static CELLS: AtomicU64 = AtomicU64::new(0);

fn walk<P: Payload>() {
    hush_planned_panics();
    for origin in ORIGINS {
        for deed in DEEDS {
            let cell = || Cell::<P>::new().run(origin, deed);
            if let Err(panic) = catch_unwind(cell) {
                eprintln!("CELL {deed:?} of {origin:?} with {}", std::any::type_name::<P>());
                std::panic::resume_unwind(panic);
            }
            CELLS.fetch_add(1, SeqCst);
        }
    }
}

#[test]
fn every_misdeed_with_every_delivery_of_every_payload_ends_as_defined() {
    walk::<u64>();
    walk::<String>();
    walk::<Touchy>();
    walk::<Chatty>();
    let cells = CELLS.load(SeqCst);
    assert_eq!(cells, 4 * 10 * 17);
    evidence("misbehaving_consumers", serde_json::json!({ "cells": cells, "origins": 10, "deeds": 17, "payloads": 4 }));
}
