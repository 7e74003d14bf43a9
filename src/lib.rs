//! An embeddable, in-process, reliable message queue: what is sent is delivered, retried, or kept as a dead letter.
//!
//! ```
//! use redeliver::{Fixed, Queue};
//! use std::time::Duration;
//!
//! let queue = Queue::builder("emails").retry(Fixed::new(Duration::from_millis(1)).max_attempts(3)).open()?;
//! let (producer, consumer) = (queue.producer(), queue.consumer());
//! producer.send("ada@example.org")?;
//! producer.send("nobody@example.org")?;
//! queue.close();
//!
//! for delivery in consumer.iter() {
//!     if delivery.starts_with("nobody") {
//!         delivery.nack("no such user")?; // comes back twice, and is a dead letter then
//!     } else {
//!         delivery.ack()?;
//!     }
//! }
//! assert_eq!((queue.stats().acked, queue.stats().dead), (1, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The life of a message
//!
//! ```text
//!  submit ──► unsent ──────────┐ sent again when `resend` says
//!  (no room)     │ gave up     ▼
//!  send ───────────────────► ready ── recv ──► in flight ── ack ──► settled
//!                │             ▲                   │
//!                │             │ due               │ nack, drop, panic, lost lease
//!                │          delayed ◄── again ── RetryPolicy
//!                ▼                                 │ give up        or reject
//!           dead letter ◄──────────────────────────┴──────────────────┘
//!                │
//!                ├── redrive ──► ready, at attempt 1
//!                └── purge ────► gone
//! ```
//!
//! | what happens | what becomes of the message | counts as an attempt |
//! |---|---|---|
//! | [`ack`](Delivery::ack), [`into_message`](Delivery::into_message) | settled | – |
//! | [`nack`](Delivery::nack) | the policy decides: later, dead letter, or discarded | yes |
//! | [`nack_after`](Delivery::nack_after) | comes back after that time | yes |
//! | [`snooze`](Delivery::snooze) | comes back after that time | no |
//! | [`reject`](Delivery::reject) | a dead letter now | yes |
//! | the delivery is dropped, or the thread panics | as `nack` | yes |
//! | the lease runs out | as `nack`; what the old handle does is refused | yes |
//! | `max_deliveries` is reached | a dead letter, whatever the policy says | – |
//! | [`redrive`](DeadLetters::redrive), [`redrive_all`](DeadLetters::redrive_all) | ready again, with its id and history | starts at 1 |
//! | [`purge`](DeadLetters::purge) | gone, and counted | – |
//!
//! # Where to go
//!
//! | | |
//! |---|---|
//! | open a queue | [`Queue`], [`QueueBuilder`] |
//! | send | [`Producer`], [`Receipt`], [`Unsent`] |
//! | receive and settle | [`Consumer`], [`Delivery`], [`Batch`] |
//! | run a handler for every message | [`Worker`], [`Outcome`] |
//! | protect what is downstream | [`RetryBudget`], [`Breaker`] |
//! | decide about failures | [`RetryPolicy`], [`Failure`], [`Decision`], and the built-in policies |
//! | what could not be delivered | [`DeadLetters`], [`Filter`], [`Rate`] |
//! | figures and events | [`Stats`], [`Event`] |
//! | time in tests | [`ManualClock`] |
//! | a disk that does its worst, for tests | `storage::SimulatedDisk` (feature `store`) |
//!
//! # Threads
//!
//! What waits for a thread can be awaited as well: [`recv_async`](Consumer::recv_async), [`stream`](Consumer::stream),
//! [`send_async`](Producer::send_async), a [`Receipt`]. Any runtime will do, and threads and tasks may share a queue.
//!
//! Every handle, delivery, receipt and error is `Send + Sync` and may be dropped on any thread, in any order. All queues
//! together use at most one background thread, started when a queue first has something to wait for, and none with a
//! [`ManualClock`]. Who waits sleeps, and uses no processor time.
//!
//! # Panics
//!
//! A panic in your code (a policy, a message's `Drop`, an error's `Display`, the writer of an export) is contained: it ends
//! that call and nothing else. The library itself panics only in [`Queue::in_memory`], if there is no memory for the default
//! settings.
#![cfg_attr(shuttle, allow(dead_code, reason = "the scenarios have no background thread"))]

#[macro_use]
mod planted;

mod batch;
mod builder;
mod chance;
mod clock;
#[cfg(feature = "store")]
mod commit;
mod consumer;
mod dead_letters;
mod delivery;
mod driver;
mod envelope;
mod error;
mod events;
mod futures;
mod history;
mod hub;
#[cfg(feature = "store")]
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "store")]
mod journal;
mod latch;
mod ledger;
mod letters;
mod lifecycle;
#[cfg(all(test, not(any(loom, shuttle))))]
mod lock_free;
mod message;
mod metrics;
#[cfg(all(test, loom))]
mod model_runner;
mod panics;
mod producer;
mod protect;
mod queue;
mod reason;
mod receipt;
mod retry;
mod ring;
mod slot;
mod stats;
#[cfg(feature = "store")]
pub mod storage;
mod sync;
mod timeline;
mod unsent;
mod wait;
mod wheel;
mod worker;

pub use batch::{Batch, BatchIntoIter, BatchItem};
pub use builder::QueueBuilder;
pub use clock::{Clock, ManualClock, SystemClock};
pub use consumer::Consumer;
pub use dead_letters::{DeadLetters, Rate, RateError};
pub use delivery::{Delivery, KeepAlive};
pub use error::{
    BatchError, DrainError, ExportError, OpenError, ReceiptError, RecvError, RecvTimeoutError, SendError,
    SendErrorKind, SettleError, SettleErrorKind, StaleLease, TryRecvError,
};
pub use events::Event;
pub use history::Attempt;
pub use letters::{DeadLetter, Filter};
pub use message::{Headers, MessageId, ParseMessageIdError};
pub use metrics::Latency;
pub use producer::{MessageBuilder, Producer};
pub use protect::{Breaker, BreakerState, ProtectionError, RetryBudget};
pub use queue::Queue;
pub use receipt::Receipt;
pub use retry::{
    Cause, Decision, Exponential, Failure, Fixed, Immediate, Jitter, Limited, Linear, Never, PolicyError,
    PolicyErrorKind, Preview, Promise, RetryPolicy, RetryPolicyExt, Schedule, Step, Then, When, policy_fn,
};
pub use stats::Stats;
pub use unsent::{Unsent, UnsentMessage};
pub use worker::{
    BatchOutcome, HandlerFuture, Outcome, Reason, Worker, WorkerBuilder, WorkerError, WorkerReport, WorkerTask,
};

/// The README's examples run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
