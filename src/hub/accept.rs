//! Accepting a message: into the seat at the tail if there is one, and an answer why not if there is none.

use super::resend::unboxed;
use super::*;
use crate::error::{SendError, SendErrorKind};
use crate::ring::Refused;
use crate::sync::{IS_MODEL, current, park, park_timeout, yield_now};
use crate::wait::Sleeper;

type Boxed<T> = Arc<Envelope<T>>;

impl<T: Send + Sync + 'static> Core<T> {
    /// Accepts the message if nothing stands in the way; does `otherwise` if something does. Every slow branch is a call in
    /// tail position, so that the fast one keeps nothing for them.
    #[inline(always)]
    pub(crate) fn accept_fast(
        &self,
        message: T,
        otherwise: impl FnOnce(&Self, T) -> Result<MessageId, SendError<T>>,
    ) -> Result<MessageId, SendError<T>> {
        let Some(claim) = self.ring.claim_fast(|pos| !is_sampled(pos)) else { return otherwise(self, message) };
        let pos = claim.put(message);
        // The tail's RMW comes before both looks, so neither a sleeper nor a driver that went quiet is missed.
        if self.header().mail.is_due() | (self.attention() & QUIET != 0) {
            return self.tell_sent_of(pos);
        }
        Ok(self.side.id_at(pos))
    }

    #[cold]
    #[inline(never)]
    fn tell_sent_of(&self, pos: u64) -> Result<MessageId, SendError<T>> {
        self.tell_sent();
        Ok(self.side.id_at(pos))
    }

    /// Accepts the message if there is room now.
    pub(crate) fn try_accept(&self, message: T) -> Result<MessageId, SendError<T>> {
        match self.claim() {
            Ok(pos) => Ok(self.seat(pos, message)),
            Err(refused) => self.try_accept_slowly(refused, message),
        }
    }

    /// As [`try_accept`](Self::try_accept), for a message that travels in a box.
    pub(crate) fn try_accept_boxed(&self, envelope: Boxed<T>) -> Result<MessageId, SendError<Boxed<T>>> {
        let id = envelope.id;
        match self.claim() {
            Ok(pos) => self.seat_boxed(pos, envelope),
            Err(refused) => match self.find_room(refused, true) {
                Ok(Some(pos)) => self.seat_boxed(pos, envelope),
                Ok(None) => self.overflow(envelope)?,
                Err(kind) => return Err(SendError { kind, message: envelope }),
            },
        }
        Ok(id)
    }

    /// Puts a message into a claimed seat and tells whoever waits for it.
    fn seat(&self, pos: u64, message: T) -> MessageId {
        if is_sampled(pos) {
            self.stamp_sent(pos);
        }
        self.ring.put(pos, message);
        self.tell_sent();
        self.side.id_at(pos)
    }

    pub(super) fn seat_boxed(&self, pos: u64, envelope: Boxed<T>) {
        self.put_boxed(pos, envelope);
        self.tell_sent();
    }

    /// As [`seat_boxed`](Self::seat_boxed), and tells nobody: the caller holds the lock.
    pub(super) fn put_boxed(&self, pos: u64, envelope: Boxed<T>) {
        if is_sampled(pos) {
            self.stamp_sent(pos);
        }
        self.ring.put_boxed(pos, envelope);
    }

    pub(super) fn tell_sent(&self) {
        self.header().mail.notify();
        if self.attention() & QUIET != 0 {
            self.stir();
        }
    }

    fn try_accept_slowly(&self, refused: Refused, message: T) -> Result<MessageId, SendError<T>> {
        match self.find_room(refused, true) {
            Ok(Some(pos)) => Ok(self.seat(pos, message)),
            Ok(None) => {
                let envelope = self.new_envelope(message, None, Headers::new());
                let id = envelope.id;
                match self.overflow(envelope) {
                    Ok(()) => Ok(id),
                    Err(error) => Err(unboxed(error)),
                }
            }
            Err(kind) => Err(SendError { kind, message }),
        }
    }

    /// A box for a message that has no position yet.
    pub(crate) fn new_envelope(&self, message: T, key: Option<Box<str>>, headers: Headers) -> Boxed<T> {
        let sequence = self.side.ledger.lock().next_sequence();
        Arc::new(Envelope {
            id: MessageId::new(self.side.instance, sequence),
            key,
            headers,
            sent_at: self.side.clock.system_time(),
            sent_ms: self.side.now_ms(),
            payload: Payload::Here(message),
        })
    }

    // ---- waiting for room ----

    /// Accepts the message as soon as there is room, or gives up when the queue's clock reaches `deadline`.
    #[cold]
    #[inline(never)]
    pub(crate) fn accept(&self, message: T, deadline: Option<Instant>) -> Result<MessageId, SendError<T>> {
        match self.try_accept(message) {
            Err(SendError { kind: SendErrorKind::Full, message }) => {
                self.accept_later(message, deadline, Self::try_accept)
            }
            done => done,
        }
    }

    pub(crate) fn accept_boxed(
        &self,
        envelope: Boxed<T>,
        deadline: Option<Instant>,
    ) -> Result<MessageId, SendError<Boxed<T>>> {
        match self.try_accept_boxed(envelope) {
            Err(SendError { kind: SendErrorKind::Full, message: envelope }) => {
                self.accept_later(envelope, deadline, Self::try_accept_boxed)
            }
            done => done,
        }
    }

    fn accept_later<M>(
        &self,
        mut message: M,
        deadline: Option<Instant>,
        attempt: impl Fn(&Self, M) -> Result<MessageId, SendError<M>>,
    ) -> Result<MessageId, SendError<M>> {
        let room = &self.header().room;
        let (mut round, mut called) = (0, false);
        loop {
            if deadline.is_some_and(|deadline| self.side.clock.now() >= deadline) {
                if called {
                    room.notify(); // a call that was not used is passed on
                }
                return Err(SendError { kind: SendErrorKind::Timeout, message });
            }
            let asleep = round >= SPINS;
            let ticket = if asleep { Some(self.lie_down(round)) } else { None };
            if !asleep {
                self.ring.wait_for_a_quarter();
            }
            let result = attempt(self, message);
            let is_full = matches!(result, Err(SendError { kind: SendErrorKind::Full, .. }));
            if let Some(ticket) = ticket {
                if is_full {
                    self.sleep_for_room(ticket, round, deadline);
                }
                called = room.leave(ticket);
            }
            match result {
                Err(SendError { kind: SendErrorKind::Full, message: back }) => message = back,
                done => {
                    if asleep && !planted!("a-call-is-not-passed-on") {
                        room.notify(); // one woken at a time: the woken one wakes the next
                    }
                    return done;
                }
            }
            if !asleep && round > 1 {
                yield_now();
            }
            round += 1;
        }
    }

    fn lie_down(&self, round: u32) -> u64 {
        let need = if round == SPINS { (self.ring.seats_len() as u32 / 4).clamp(1, 256) } else { 1 };
        self.header().room.join(Sleeper::Thread(current()), if IS_MODEL { 1 } else { need })
    }

    /// The first sleep hopes for a quarter of the ring, so that fast consumers do not pay a wake-up for every message, and
    /// is short. Where that is too much to hope for the consumers are slow, and every settle may wake.
    fn sleep_for_room(&self, ticket: u64, round: u32, deadline: Option<Instant>) {
        let room = &self.header().room;
        let nap = (round == SPINS).then_some(NAP);
        while room.is_waiting(ticket) {
            match (nap, self.time_left(deadline)) {
                (None, None) => park(),
                (Some(nap), None) => park_timeout(nap),
                (nap, Some(left)) => park_timeout(nap.map_or(left, |nap| nap.min(left))),
            }
            if nap.is_some() || deadline.is_some_and(|deadline| self.side.clock.now() >= deadline) {
                return;
            }
        }
    }

    /// How long to sleep in real time at most; `None` to sleep until woken. A clock that is moved by hand wakes sleepers.
    pub(super) fn time_left(&self, deadline: Option<Instant>) -> Option<Duration> {
        let deadline = deadline?;
        if self.side.clock.by_hand().is_some() {
            return None;
        }
        Some(self.side.nap(deadline.saturating_duration_since(self.side.clock.now())))
    }

    // ---- batches ----

    /// Takes messages off the front of `messages`, which were collected before, and waits for room where there is none.
    pub(crate) fn accept_batch(
        &self,
        messages: &mut std::vec::IntoIter<T>,
        sent: &mut Vec<MessageId>,
    ) -> Result<(), SendError<T>> {
        while messages.len() > 0 {
            if let Some((first, n)) = self.ring.claim_many(messages.len() as u64) {
                for range in self.ring.ranges(first, n) {
                    for pos in sampled(range.clone()) {
                        if pos.is_multiple_of(SAMPLED_OF_BATCHES) {
                            self.stamp_sent(pos)
                        } else {
                            self.stamp_nothing(pos)
                        }
                    }
                    sent.extend(range.map(|pos| self.side.id_at(pos)));
                }
                self.ring.put_many(first, n, messages);
                self.tell_sent();
            } else if let Some(message) = messages.next() {
                sent.push(self.accept(message, None)?);
            }
        }
        Ok(())
    }
}

/// How often a sender looks for a quarter of the ring before it goes to sleep.
const SPINS: u32 = if IS_MODEL { 0 } else { 8 };
const NAP: Duration = Duration::from_millis(1);
