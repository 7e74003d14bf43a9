//! Settings that make no sense are refused with a typed error when the queue is opened; everything else that a user may get
//! wrong has a defined outcome, and loses nothing.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it has threads of its own")]

#[path = "bad_input/closed.rs"]
mod closed;
#[path = "bad_input/extremes.rs"]
mod extremes;
#[path = "bad_input/panics.rs"]
mod panics;
#[path = "bad_input/settings.rs"]
mod settings;
mod support;

use redeliver::{
    Breaker, Clock, Decision, DrainError, Event, Exponential, Failure, Filter, Fixed, Immediate, Jitter, Linear,
    ManualClock, Never, OpenError, PolicyError, PolicyErrorKind, Promise, ProtectionError, Queue, QueueBuilder, Rate,
    ReceiptError, RecvTimeoutError, RetryBudget, RetryPolicy, Schedule, SendErrorKind, StaleLease, TryRecvError,
    policy_fn,
};
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use support::hush_planned_panics;

const SECOND: Duration = Duration::from_secs(1);

fn builder<T: Send + Sync + 'static>(clock: &ManualClock) -> QueueBuilder<T> {
    Queue::builder("q").capacity(4).retry(Immediate).clock(clock.clone())
}

/// A payload whose drop is counted, and panics while it is armed.
#[derive(Clone, Default)]
struct Drops(Arc<(AtomicU32, AtomicBool)>);

impl Drops {
    fn armed() -> Self {
        hush_planned_panics();
        let drops = Drops::default();
        drops.0.1.store(true, SeqCst);
        drops
    }
    fn message(&self, number: u32) -> Touchy {
        Touchy(Box::new(number), self.clone())
    }
    fn count(&self) -> u32 {
        self.0.0.load(SeqCst)
    }
}

struct Touchy(Box<u32>, Drops);

impl Drop for Touchy {
    fn drop(&mut self) {
        self.1.0.0.fetch_add(1, SeqCst);
        if self.1.0.1.load(SeqCst) {
            panic!("planned: the drop of message {}", self.0);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Where {
    Name,
    Check,
    Promise,
    Decide,
    Drop,
}

/// A policy that panics in one place.
struct Panicky(Where);

impl Panicky {
    fn at(&self, place: Where) {
        if self.0 == place {
            panic!("planned: a policy");
        }
    }
}

impl RetryPolicy for Panicky {
    fn decide(&self, _: &Failure<'_>) -> Decision {
        self.at(Where::Decide);
        Decision::Retry { after: Duration::ZERO }
    }
    fn name(&self) -> Cow<'static, str> {
        self.at(Where::Name);
        "Panicky".into()
    }
    fn check(&self) -> Result<(), PolicyError> {
        self.at(Where::Check);
        Ok(())
    }
    fn promise(&self) -> Promise {
        self.at(Where::Promise);
        Promise::None
    }
}

impl Drop for Panicky {
    fn drop(&mut self) {
        self.at(Where::Drop);
    }
}

/// A policy with the queue in its hands. It lets go of it when it is told to.
type Reach<T> = Arc<Mutex<Option<Queue<T>>>>;
