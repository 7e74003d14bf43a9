//! The one background thread of all queues in memory: it fires what falls due and samples who moves.
//!
//! Started when a queue first has something to wait for, gone when no queue is left, and never started for a
//! [`ManualClock`](crate::ManualClock). A queue tells it when something falls due earlier than it planned to look; the
//! inbox is its sleep.

use std::time::{Duration, Instant};

/// What a clock and the driver need to know of a queue.
pub(crate) trait Timed: Send + Sync {
    /// Does what is due, and says how long the driver may sleep (None: until it is nudged).
    fn tick(&self) -> Option<Duration>;
    /// When the next thing falls due, on the queue's own clock. For a clock that is moved by hand.
    fn due(&self) -> Option<Instant>;
    /// Fires what is due now. For a clock that is moved by hand.
    fn fire_due(&self);
    /// Time is about to pass: what was handed out so far was handed out now.
    fn before_advance(&self);
    /// Time has passed: whoever waits with a limit looks at the clock again.
    fn after_advance(&self);
}

#[cfg(not(any(loom, shuttle)))]
pub(crate) use self::thread::{enlist, nudge, nudge_if_running};

/// The models have no background thread: they tick by hand.
#[cfg(any(loom, shuttle))]
mod by_hand {
    pub(crate) fn enlist(_: std::sync::Weak<dyn super::Timed>) {}
    pub(crate) fn nudge() {}
    pub(crate) fn nudge_if_running() {}
}
#[cfg(any(loom, shuttle))]
pub(crate) use self::by_hand::{enlist, nudge, nudge_if_running};

#[cfg(not(any(loom, shuttle)))]
mod thread {
    use super::Timed;
    use crate::sync::Mutex;
    use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
    use std::sync::{Arc, Weak};
    use std::time::Duration;

    struct Driver {
        queues: Vec<Weak<dyn Timed>>,
        /// Present while the thread runs.
        inbox: Option<Sender<()>>,
    }

    static DRIVER: Mutex<Driver> = Mutex::new(Driver { queues: Vec::new(), inbox: None });

    /// The queue has (or will have) something to wait for. Once per queue.
    pub(crate) fn enlist(queue: Weak<dyn Timed>) {
        DRIVER.lock().queues.push(queue);
        nudge();
    }

    /// Something falls due earlier than the driver planned to look.
    pub(crate) fn nudge() {
        let mut driver = DRIVER.lock();
        if let Some(inbox) = &driver.inbox {
            let _ = inbox.try_send(()); // full: a nudge is waiting already
            return;
        }
        let (inbox, letters) = bounded(1);
        // Where no thread can be had now, the next nudge tries again.
        if spawn(letters).is_ok() {
            driver.inbox = Some(inbox);
        }
    }

    /// As [`nudge`], if the thread runs at all.
    pub(crate) fn nudge_if_running() {
        if let Some(inbox) = &DRIVER.lock().inbox {
            let _ = inbox.try_send(());
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one background thread")]
    fn spawn(letters: Receiver<()>) -> std::io::Result<()> {
        std::thread::Builder::new().name("redeliver".into()).spawn(move || drive(&letters)).map(drop)
    }

    fn drive(letters: &Receiver<()>) {
        loop {
            let sleep = tick_all();
            let Some(sleep) = sleep else {
                if retire() {
                    return;
                }
                continue;
            };
            match letters.recv_timeout(sleep) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// The longest sleep: an hour costs nothing, and no arithmetic on instants can overflow.
    const SLEEP_MAX: Duration = Duration::from_secs(3600);

    /// None: no queue is left.
    fn tick_all() -> Option<Duration> {
        let queues: Vec<Arc<dyn Timed>> = {
            let mut driver = DRIVER.lock();
            driver.queues.retain(|queue| queue.strong_count() > 0);
            driver.queues.iter().filter_map(Weak::upgrade).collect()
        };
        if queues.is_empty() {
            return None;
        }
        // A panic in a queue's user code is contained where it happens; this is the last net under all other queues.
        let sleeps = queues.iter().map(|queue| crate::panics::contained(|| queue.tick()).flatten());
        Some(sleeps.flatten().min().unwrap_or(SLEEP_MAX).min(SLEEP_MAX))
    }

    /// Ends the thread unless a queue has come meanwhile.
    fn retire() -> bool {
        let mut driver = DRIVER.lock();
        driver.queues.retain(|queue| queue.strong_count() > 0);
        let idle = driver.queues.is_empty();
        if idle {
            driver.inbox = None;
        }
        idle
    }
}
