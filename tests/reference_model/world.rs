//! The queue under test, side by side with the model.

use super::*;
use crossbeam_channel_receiver::Heard;

pub(crate) enum Held {
    One(Delivery<Letter>),
    Many(Batch<Letter>),
}

pub(crate) struct Hand {
    pub(crate) held: Held,
    /// Message and number of each delivery in it.
    pub(crate) parts: Vec<(usize, u64)>,
    /// It came back in an error: dropping it is no nack.
    pub(crate) returned: bool,
}

pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) clock: ManualClock,
    pub(crate) queue: Queue<Letter>,
    pub(crate) producer: Producer<Letter>,
    pub(crate) consumer: Consumer<Letter>,
    pub(crate) events: crossbeam_channel_receiver::Events,
    pub(crate) hands: Vec<Hand>,
    pub(crate) alive: Arc<AtomicI64>,
    pub(crate) leaked: i64,
}

/// The receiver's type belongs to a crate that a test does not depend on.
pub(crate) mod crossbeam_channel_receiver {
    use super::{Change, Event, Phase, Told};

    pub(crate) enum Heard {
        Of(Told),
        Circuit(Change),
    }

    pub(crate) struct Events(Box<dyn Fn() -> Option<Event>>);

    impl Events {
        pub(crate) fn of(queue: &super::Queue<super::Letter>) -> Self {
            let events = queue.events();
            Events(Box::new(move || events.try_recv().ok()))
        }

        pub(crate) fn next(&self) -> Option<Heard> {
            let circuit = |class: std::sync::Arc<str>, phase| Heard::Circuit((class.to_string(), phase));
            (self.0)().map(|event| match event {
                Event::DeadLettered { id, .. } => Heard::Of(Told::DeadLettered(id)),
                Event::Parked { id, .. } => Heard::Of(Told::Parked(id)),
                Event::GivenUp { id, .. } => Heard::Of(Told::GivenUp(id)),
                Event::LeaseLost { id, attempt, .. } => Heard::Of(Told::LeaseLost(id, attempt)),
                Event::Dropped { id, .. } => Heard::Of(Told::Dropped(id)),
                Event::BreakerOpened { class, open_for, .. } => {
                    circuit(class, Phase::Open(open_for.as_millis() as u64))
                }
                Event::BreakerHalfOpened { class, .. } => circuit(class, Phase::HalfOpen),
                Event::BreakerClosed { class, .. } => circuit(class, Phase::Closed),
                other => panic!("an event the model does not know: {other:?}"),
            })
        }
    }
}

impl World {
    pub(crate) fn new(knobs: &Knobs) -> Self {
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
        let queue = knobs.protection.of(builder).open().expect("valid knobs");
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
            guard: Guard::new(knobs.protection),
            phantoms: 0,
            tie: None,
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

    pub(crate) fn letter(&self, msg: usize) -> Letter {
        self.alive.fetch_add(1, SeqCst);
        Letter { number: msg, text: text_of(msg), alive: self.alive.clone() }
    }

    pub(crate) fn listen(&mut self) {
        while let Some(event) = self.events.next() {
            match event {
                Heard::Of(told) => self.model.told.push_back(told),
                Heard::Circuit(change) => self.model.guard.told.push(change),
            }
        }
    }

    /// Seats that are pinned, as the queue says, which must be as the model says.
    pub(crate) fn pinned(&self) -> usize {
        let (pinned, least) = (self.queue.stats().pinned as usize, self.model.pinned());
        let most = least + self.model.stays();
        assert!((least..=most).contains(&pinned), "{pinned} pinned, expected {least} to {most}");
        if pinned > 0 {
            hit("pinned");
        }
        pinned
    }

    pub(crate) fn has_room(&self) -> bool {
        self.model.has_room(self.pinned())
    }

    /// As many sends as cannot wait, even if a seat were lost whenever that is conceivable. `try_send` finds such faults,
    /// and can be shrunk; a `send` that waits for ever cannot.
    pub(crate) fn room_for_certain(&self) -> usize {
        let lost = self.model.msgs.iter().filter(|msg| msg.lost_seat).count();
        let taken = self.model.ready() + self.model.in_flight() + lost + self.model.phantoms;
        if self.model.is_closed { usize::MAX } else { self.model.knobs.capacity.saturating_sub(taken) }
    }

    // ---- sending ----

    pub(crate) fn sent(
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

    pub(crate) fn submit(&mut self, keyed: bool) {
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

    pub(crate) fn received(&mut self, delivery: Delivery<Letter>) {
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

    pub(crate) fn check_nothing(&self, is_closed: bool) {
        if !self.model.is_paused {
            assert!(!self.model.can_go(), "nothing was handed out though something may go");
            if self.model.ready() > 0 {
                hit("held back");
            }
        }
        assert_eq!(is_closed, self.model.is_over(), "closed is closed and all settled");
        hit(if is_closed { "recv closed" } else { "recv empty" });
    }

    pub(crate) fn recv_batch(&mut self, max: usize) {
        match self.consumer.try_recv_batch(max) {
            Err(error) => self.check_nothing(error == TryRecvError::Closed),
            Ok(batch) => {
                // First attempts of the batch may bring the balance for retries of it.
                let ready = self.model.ready() + self.model.count(|state| *state == State::Due);
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

    // ---- one step ----

    pub(crate) fn step(&mut self, op: Op) {
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
            Op::RedriveAll(choice, per_second) => self.redrive_all(choice, per_second),
            Op::Purge(choice) => self.purge(choice),
            Op::Look(choice) => self.look(choice),
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

    pub(crate) fn send_batch(&mut self, len: usize) {
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

    pub(crate) fn extend(&mut self, hand: usize, time: u64) {
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

    pub(crate) fn keep_alive(&mut self, hand: usize, time: u64, keep: bool) {
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
    pub(crate) fn is_open_which_resend_has_room(&self) -> bool {
        let is_open = self.model.stays() > 0 && self.model.count(|state| matches!(state, State::Unsent(..))) > 0;
        if is_open {
            hit("left open");
        }
        is_open
    }

    pub(crate) fn advance(&mut self, by: u64) {
        if self.is_open_which_resend_has_room() {
            return;
        }
        hit("advance");
        self.clock.advance(ms(by));
        self.listen();
        self.model.advance(by);
    }

    pub(crate) fn redrive(&mut self, which: usize) {
        let known: Vec<usize> = (0..self.model.msgs.len()).filter(|msg| self.model.msgs[*msg].id.is_some()).collect();
        // Mostly what is dead, sometimes what is not.
        let from = if which.is_multiple_of(4) || self.model.dead.is_empty() { &known } else { &self.model.dead };
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

    /// The end: everything that was sent is dropped, once.
    pub(crate) fn end(self) {
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
