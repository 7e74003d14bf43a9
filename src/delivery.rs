//! A delivery: a message in a consumer's hands, settled once.

use crate::error::{SettleError, SettleErrorKind, StaleLease};
use crate::history::Attempt;
use crate::hub::{ColdDelivery, Core, Fault, Hub, Stale};
use crate::message::{Headers, MessageId};
use crate::panics::drop_contained;
use crate::reason::Reason;
use crate::ring::{Held, Hold, Load, Look, Tenancy};
use crate::slot::LeaseId;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A message handed over as attempt *n*, under a lease.
///
/// Settle it with [`ack`](Self::ack), [`nack`](Self::nack), [`reject`](Self::reject) or [`snooze`](Self::snooze). Dropping
/// it unsettled is a failed attempt (cause [`Dropped`](crate::Cause::Dropped), or [`Panicked`](crate::Cause::Panicked)
/// while the thread unwinds); leaking it is one too, once the lease has run out.
///
/// When the lease is lost the message is, or will be, handed over again. The old delivery can still be read, and whatever
/// settles it is refused with [`StaleLease`](SettleErrorKind::StaleLease) and changes nothing.
///
/// ```
/// use redeliver::{ManualClock, Queue, SettleErrorKind};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let lease = Duration::from_secs(30);
/// let queue = Queue::builder("mail").lease(lease).clock(clock.clone()).open()?;
/// queue.producer().send("hello")?;
/// let delivery = queue.consumer().recv()?;
/// assert_eq!((*delivery, delivery.attempt()), ("hello", 1));
///
/// clock.advance(lease);
/// assert!(delivery.is_lost());
/// let error = delivery.ack().unwrap_err();
/// assert_eq!(error.kind, SettleErrorKind::StaleLease);
/// assert_eq!(error.delivery.message(), &"hello"); // still readable
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a delivery that is dropped has failed"]
pub struct Delivery<T: Send + Sync + 'static> {
    hold: Hold<Hub<T>>,
}

impl<T: Send + Sync + 'static> Delivery<T> {
    #[inline(always)]
    pub(crate) fn hot(tenancy: Tenancy<Hub<T>>) -> Self {
        Delivery { hold: Hold::hot(tenancy) }
    }

    pub(crate) fn cold(cold: ColdDelivery<T>) -> Self {
        Delivery { hold: Hold::cold(Box::new(cold)) }
    }

    #[inline(always)]
    fn core(&self) -> &Core<T> {
        match self.hold.look() {
            Look::Hot(tenancy) => tenancy.shared(),
            Look::Cold(cold) => &cold.core,
        }
    }

    fn take(mut self) -> Held<Hub<T>> {
        std::mem::replace(&mut self.hold, Hold::ended()).into_held()
    }

    // ---- reading ----

    /// The message.
    #[inline]
    #[must_use]
    pub fn message(&self) -> &T {
        match self.hold.look() {
            Look::Hot(tenancy) => match tenancy.peek() {
                Load::Plain(message) => message,
                Load::Boxed(envelope) => envelope.message(),
            },
            Look::Cold(cold) => cold.envelope.message(),
        }
    }

    /// The message's id: the same over redelivery and redrive, so a receiver can know a repetition by it.
    #[must_use]
    pub fn id(&self) -> MessageId {
        match self.hold.look() {
            Look::Hot(tenancy) => match tenancy.peek() {
                Load::Plain(_) => tenancy.shared().side.id_at(tenancy.pos()),
                Load::Boxed(envelope) => envelope.id,
            },
            Look::Cold(cold) => cold.envelope.id,
        }
    }

    /// Which delivery of this message this is, from 1. A [`snooze`](Self::snooze) does not count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        match self.hold.look() {
            Look::Hot(_) => 1,
            Look::Cold(cold) => cold.attempt,
        }
    }

    /// Would a failure of this attempt be the last? As far as the policy can tell without knowing the error: it is asked as
    /// if the delivery were dropped now.
    ///
    /// ```
    /// use redeliver::{Immediate, Queue};
    ///
    /// let queue = Queue::builder("mail").retry(Immediate.max_attempts(2)).open()?;
    /// queue.producer().send("hello")?;
    /// let first = queue.consumer().recv()?;
    /// assert!(!first.is_last_attempt());
    /// first.nack("busy")?;
    /// let second = queue.consumer().recv()?;
    /// assert!(second.is_last_attempt()); // a good moment to wake somebody
    /// # second.ack()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.core().is_last(self.id(), self.attempt())
    }

    /// The key it was sent with.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.with_envelope(|envelope| envelope.key.as_deref(), None)
    }

    /// The headers it was sent with.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        static NONE: Headers = Headers::new();
        self.with_envelope(|envelope| &envelope.headers, &NONE)
    }

    fn with_envelope<'a, R>(&'a self, of: impl FnOnce(&'a crate::envelope::Envelope<T>) -> R, plain: R) -> R {
        match self.hold.look() {
            Look::Hot(tenancy) => match tenancy.peek() {
                Load::Plain(_) => plain,
                Load::Boxed(envelope) => of(envelope),
            },
            Look::Cold(_) if planted!("a-redelivery-loses-its-headers") => plain,
            Look::Cold(cold) => of(&cold.envelope),
        }
    }

    /// When it was sent, by the wall clock, to about ten milliseconds (exactly with a manual clock).
    #[must_use]
    pub fn sent_at(&self) -> SystemTime {
        match self.hold.look() {
            Look::Hot(tenancy) => match tenancy.peek() {
                Load::Plain(_) => tenancy.shared().sent_at(tenancy.pos()),
                Load::Boxed(envelope) => envelope.sent_at,
            },
            Look::Cold(cold) => cold.envelope.sent_at,
        }
    }

    /// The attempts that failed before this one, oldest first; of more than a thousand the newest.
    #[must_use]
    pub fn history(&self) -> &[Attempt] {
        match self.hold.look() {
            Look::Hot(_) => &[],
            Look::Cold(cold) => &cold.history,
        }
    }

    /// Is the lease gone? Then stop working: whatever is settled now is refused.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self.hold.look() {
            Look::Hot(tenancy) => tenancy.is_lost(),
            Look::Cold(cold) => cold.core.is_lost_cold(cold),
        }
    }

    // ---- settling ----

    /// Done: the message is settled and dropped.
    ///
    /// ```
    /// use redeliver::{ManualClock, Queue, SettleErrorKind};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let queue = Queue::builder("mail").lease(Duration::from_secs(30)).clock(clock.clone()).open()?;
    /// queue.producer().send_batch(["a", "b"])?;
    /// queue.consumer().recv()?.ack()?;
    ///
    /// let slow = queue.consumer().recv()?;
    /// clock.advance(Duration::from_secs(30)); // whoever holds it has lost it
    /// assert_eq!(slow.ack().unwrap_err().kind, SettleErrorKind::StaleLease);
    /// assert_eq!(queue.stats().acked, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StaleLease`](SettleErrorKind::StaleLease) if the lease was lost; nothing has changed.
    #[inline]
    pub fn ack(mut self) -> Result<(), SettleError<T>> {
        if self.hold.ack_fast() { Ok(()) } else { self.ack_slowly() }
    }

    #[cold]
    #[inline(never)]
    fn ack_slowly(self) -> Result<(), SettleError<T>> {
        match self.take() {
            Held::Hot(tenancy) => tenancy.ack().map_err(stale_hot),
            Held::Cold(cold) => settled_cold(cold.core.ack_cold(&cold), cold),
            Held::Ended => gone(),
        }
    }

    /// Failed: recorded, and the [`RetryPolicy`](crate::RetryPolicy) says when, or whether, it is handed over again.
    ///
    /// ```
    /// use redeliver::{Fixed, ManualClock, Queue};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let queue = Queue::builder("mail").retry(Fixed::new(Duration::from_secs(5))).clock(clock.clone()).open()?;
    /// queue.producer().send("hello")?;
    /// queue.consumer().recv()?.nack("the server is busy")?;
    /// clock.advance(Duration::from_secs(5));
    /// let again = queue.consumer().recv()?;
    /// assert_eq!((again.attempt(), again.history()[0].error()), (2, "the server is busy"));
    /// # again.ack()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StaleLease`](SettleErrorKind::StaleLease) if the lease was lost; nothing has changed.
    pub fn nack(self, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Result<(), SettleError<T>> {
        self.fail(Fault::Nack(Reason::new(reason)))
    }

    /// As [`nack`](Self::nack), with a reason that many deliveries share.
    pub(crate) fn nack_shared(
        self,
        reason: Reason<Arc<dyn std::error::Error + Send + Sync>>,
    ) -> Result<(), SettleError<T>> {
        self.fail(Fault::NackShared(reason))
    }

    /// Failed, and to be handed over again after `after`, whatever the policy says. Only `max_deliveries` bounds it.
    ///
    /// ```
    /// use redeliver::{ManualClock, Never, Queue};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let queue = Queue::builder("mail").retry(Never).clock(clock.clone()).open()?;
    /// queue.producer().send("hello")?;
    /// let retry_after = Duration::from_secs(120); // what the server said
    /// queue.consumer().recv()?.nack_after(retry_after, "429 Too Many Requests")?;
    /// clock.advance(retry_after);
    /// queue.consumer().recv()?.nack("429 Too Many Requests")?; // the policy again: Never
    /// assert_eq!(queue.dead_letters().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StaleLease`](SettleErrorKind::StaleLease) if the lease was lost; nothing has changed.
    pub fn nack_after(
        self,
        after: Duration,
        reason: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<(), SettleError<T>> {
        self.fail(Fault::NackAfter(Reason::new(reason), after))
    }

    /// Never again: a dead letter now, with this reason.
    ///
    /// ```
    /// use redeliver::Queue;
    ///
    /// let queue = Queue::in_memory("mail");
    /// let id = queue.producer().send("hello")?;
    /// queue.consumer().recv()?.reject("no such address")?;
    /// assert_eq!(queue.dead_letters().get(id).unwrap().reason(), "no such address");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StaleLease`](SettleErrorKind::StaleLease) if the lease was lost; nothing has changed.
    pub fn reject(self, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Result<(), SettleError<T>> {
        self.fail(Fault::Reject(Reason::new(reason)))
    }

    /// Not now: handed over again after `after`, and this hand-over was no attempt.
    ///
    /// ```
    /// use redeliver::{ManualClock, Queue, TryRecvError};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let queue = Queue::builder("mail").clock(clock.clone()).open()?;
    /// queue.producer().send("hello")?;
    /// let minute = Duration::from_secs(60);
    /// queue.consumer().recv()?.snooze(minute)?;
    /// assert_eq!(queue.consumer().try_recv().unwrap_err(), TryRecvError::Empty);
    /// clock.advance(minute);
    /// assert_eq!(queue.consumer().recv()?.attempt(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StaleLease`](SettleErrorKind::StaleLease) if the lease was lost; nothing has changed.
    pub fn snooze(self, after: Duration) -> Result<(), SettleError<T>> {
        match self.take() {
            Held::Hot(tenancy) => tenancy.win_slowly().map(|won| Core::snooze_hot(won, after)).map_err(stale_hot),
            Held::Cold(cold) => Core::snooze_cold(cold, after).map_err(stale_cold),
            Held::Ended => gone(),
        }
    }

    /// What a worker notes while its handler runs. `None`: it was settled.
    pub(crate) fn lease_id(&self) -> Option<LeaseId> {
        if self.hold.has_ended() {
            return None;
        }
        Some(match self.hold.look() {
            Look::Hot(tenancy) => LeaseId::Seat(tenancy.pos()),
            Look::Cold(cold) => LeaseId::Entry { key: cold.key, lease_no: cold.lease_no },
        })
    }

    /// Its handler panicked.
    pub(crate) fn panicked(self, text: String) -> Result<(), SettleError<T>> {
        self.fail(Fault::HandlerPanicked(text))
    }

    /// Its handler has no use for it: gone, and counted as discarded.
    pub(crate) fn discard(self) -> Result<(), SettleError<T>> {
        self.fail(Fault::Discard)
    }

    fn fail(self, fault: Fault) -> Result<(), SettleError<T>> {
        match self.take() {
            Held::Hot(tenancy) => match tenancy.win_slowly() {
                Ok(won) => {
                    Core::fail_hot(won, fault);
                    Ok(())
                }
                Err(tenancy) => {
                    drop_contained(fault);
                    Err(stale_hot(tenancy))
                }
            },
            Held::Cold(cold) => Core::fail_cold(cold, fault).map_err(stale_cold),
            Held::Ended => gone(),
        }
    }

    /// Done, and the message is the caller's.
    ///
    /// ```
    /// use redeliver::Queue;
    ///
    /// let queue = Queue::in_memory("mail");
    /// queue.producer().send(String::from("hello"))?;
    /// let message: String = queue.consumer().recv()?.into_message()?;
    /// assert_eq!((message.as_str(), queue.stats().acked), ("hello", 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StaleLease`](SettleErrorKind::StaleLease) if the lease was lost. [`Shared`](SettleErrorKind::Shared) while a late
    /// handle of an earlier attempt still reads the message: the delivery in the error holds its lease and can be acked;
    /// dropped, it comes back when the lease ends.
    pub fn into_message(self) -> Result<T, SettleError<T>> {
        match self.take() {
            Held::Hot(tenancy) => match tenancy.ack_and_take() {
                Ok(Load::Plain(message)) => Ok(message),
                Ok(Load::Boxed(envelope)) => Ok(sole(envelope)),
                Err(tenancy) => Err(stale_hot(tenancy)),
            },
            Held::Cold(cold) => match cold.core.ack_cold_alone(&cold) {
                Ok(()) => Ok(sole(cold.envelope)),
                Err(kind) => Err(refused_cold(kind, cold)),
            },
            Held::Ended => gone(),
        }
    }

    // ---- more time ----

    /// The lease now ends `after` from now, be that later or earlier than before.
    ///
    /// ```
    /// use redeliver::{ManualClock, Queue, StaleLease};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let second = Duration::from_secs(1);
    /// let queue = Queue::builder("mail").lease(second).clock(clock.clone()).open()?;
    /// queue.producer().send("hello")?;
    /// let delivery = queue.consumer().recv()?;
    /// delivery.extend(3 * second)?;
    /// clock.advance(2 * second);
    /// assert!(!delivery.is_lost());
    /// clock.advance(second);
    /// assert_eq!(delivery.extend(second), Err(StaleLease)); // too late
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StaleLease`] if it is lost already.
    pub fn extend(&self, after: Duration) -> Result<(), StaleLease> {
        self.set_lease(Some(after))
    }

    fn set_lease(&self, after: Option<Duration>) -> Result<(), StaleLease> {
        match self.hold.look() {
            Look::Hot(tenancy) => tenancy.shared().extend_hot(tenancy, after),
            Look::Cold(cold) => cold.core.extend_cold(cold, after),
        }
    }

    /// Keeps the lease as long as the guard lives; when it is dropped, a full lease is left. A lease that is lost stays
    /// lost: ask [`is_lost`](Self::is_lost).
    ///
    /// ```
    /// use redeliver::{ManualClock, Queue};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let second = Duration::from_secs(1);
    /// let queue = Queue::builder("films").lease(second).clock(clock.clone()).open()?;
    /// queue.producer().send("a long one")?;
    /// let delivery = queue.consumer().recv()?;
    /// let guard = delivery.keep_alive();
    /// clock.advance(3600 * second);
    /// assert!(!delivery.is_lost());
    /// drop(guard);
    /// clock.advance(second);
    /// assert!(delivery.is_lost());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the lease is kept as long as the guard lives"]
    pub fn keep_alive(&self) -> KeepAlive<'_, T> {
        let _ = self.set_lease(None); // lost already: `is_lost` tells
        KeepAlive { delivery: self }
    }
}

#[cold]
fn gone() -> ! {
    unreachable!("a delivery that was settled is in nobody's hands")
}

/// The message of an envelope that nobody else holds.
fn sole<T: Send + Sync>(envelope: Arc<crate::envelope::Envelope<T>>) -> T {
    match Arc::try_unwrap(envelope).map(crate::envelope::Envelope::into_message) {
        Ok(Ok(message)) => message,
        _ => unreachable!("the ledger has let go of an envelope that only this delivery held"),
    }
}

#[cold]
fn stale_hot<T: Send + Sync>(tenancy: Tenancy<Hub<T>>) -> SettleError<T> {
    SettleError { kind: SettleErrorKind::StaleLease, delivery: Delivery::hot(tenancy) }
}

fn settled_cold<T: Send + Sync>(
    result: Result<(), SettleErrorKind>,
    cold: Box<ColdDelivery<T>>,
) -> Result<(), SettleError<T>> {
    match result {
        Ok(()) => {
            Core::let_go(cold);
            Ok(())
        }
        Err(kind) => Err(refused_cold(kind, cold)),
    }
}

fn stale_cold<T: Send + Sync>(Stale(cold): Stale<T>) -> SettleError<T> {
    refused_cold(SettleErrorKind::StaleLease, cold)
}

#[cold]
fn refused_cold<T: Send + Sync>(kind: SettleErrorKind, mut cold: Box<ColdDelivery<T>>) -> SettleError<T> {
    cold.returned = true;
    SettleError { kind, delivery: Delivery { hold: Hold::cold(cold) } }
}

impl<T: Send + Sync + 'static> Drop for Delivery<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.hold.has_ended() {
            give_up(std::mem::replace(&mut self.hold, Hold::ended()).into_held());
        }
    }
}

/// A delivery that was dropped unsettled. Nothing here may panic: it may run while the thread unwinds.
#[cold]
#[inline(never)]
fn give_up<T: Send + Sync>(held: Held<Hub<T>>) {
    let fault = if std::thread::panicking() { Fault::Panicked } else { Fault::Dropped };
    match held {
        Held::Hot(tenancy) => match tenancy.win_slowly() {
            Ok(won) => Core::fail_hot(won, fault),
            Err(tenancy) => {
                let (core, pos) = (tenancy.to_arc(), tenancy.pos());
                drop(tenancy);
                core.seat_was_left(pos);
            }
        },
        Held::Cold(cold) => {
            let late = if cold.returned { Err(Stale(cold)) } else { Core::fail_cold(cold, fault) };
            if let Err(Stale(cold)) = late {
                Core::let_go(cold); // somebody else has it
            }
        }
        Held::Ended => {}
    }
}

impl<T: Send + Sync + 'static> Deref for Delivery<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.message()
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("id", &self.id()).field("attempt", &self.attempt()).finish_non_exhaustive()
    }
}

/// Keeps a delivery's lease. See [`Delivery::keep_alive`].
///
/// ```
/// use redeliver::{ManualClock, Queue};
/// use std::time::Duration;
///
/// let (clock, lease) = (ManualClock::new(), Duration::from_secs(1));
/// let queue = Queue::builder("films").lease(lease).clock(clock.clone()).open()?;
/// queue.producer().send("a long one")?;
/// let delivery = queue.consumer().recv()?;
/// clock.advance(lease);
/// let too_late = delivery.keep_alive(); // what is lost stays lost
/// drop(too_late);
/// assert!(delivery.is_lost());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the lease is kept as long as the guard lives"]
pub struct KeepAlive<'a, T: Send + Sync + 'static> {
    delivery: &'a Delivery<T>,
}

impl<T: Send + Sync + 'static> Drop for KeepAlive<'_, T> {
    fn drop(&mut self) {
        let lease = self.delivery.core().side.settings.lease;
        let _ = self.delivery.extend(lease); // lost: there is nothing to give back
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for KeepAlive<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeepAlive").field(self.delivery).finish()
    }
}
