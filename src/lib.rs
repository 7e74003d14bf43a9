//! redeliver
#![allow(missing_docs)]

mod batch;
mod builder;
mod chance;
mod clock;
mod consumer;
mod dead_letters;
mod delivery;
mod driver;
mod envelope;
mod error;
mod events;
mod history;
mod hub;
mod ledger;
mod lifecycle;
mod message;
mod metrics;
#[cfg(all(test, loom))]
mod model_runner;
mod panics;
mod producer;
mod queue;
mod receipt;
mod retry;
mod ring;
mod stats;
mod sync;
mod timeline;
mod unsent;
mod wait;
mod wheel;

pub use batch::{Batch, BatchIntoIter, BatchItem};
pub use builder::QueueBuilder;
pub use clock::{Clock, ManualClock, SystemClock};
pub use consumer::Consumer;
pub use dead_letters::{DeadLetter, DeadLetters, Filter};
pub use delivery::{Delivery, KeepAlive};
pub use error::{
    BatchError, DrainError, OpenError, ReceiptError, RecvError, RecvTimeoutError, SendError, SendErrorKind,
    SettleError, SettleErrorKind, StaleLease, TryRecvError,
};
pub use events::Event;
pub use history::Attempt;
pub use message::{Headers, MessageId, ParseMessageIdError};
pub use metrics::Latency;
pub use producer::{MessageBuilder, Producer};
pub use queue::Queue;
pub use receipt::Receipt;
pub use retry::{
    Cause, Decision, Exponential, Failure, Fixed, Immediate, Jitter, Limited, Linear, Never, PolicyError,
    PolicyErrorKind, Preview, Promise, RetryPolicy, RetryPolicyExt, Schedule, Step, Then, When, policy_fn,
};
pub use stats::Stats;
pub use unsent::{Unsent, UnsentMessage};
