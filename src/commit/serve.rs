//! The thread that ticks.

use super::{Journal, Shared};
use crate::clock::{Clock, SystemClock};
use crate::sync::{current, park, park_timeout};
use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

impl Journal {
    /// Starts the thread that does what is due. It ends with the journal.
    ///
    /// # Errors
    ///
    /// The system has no thread left.
    pub fn serve(&self) -> io::Result<()> {
        self._handles.serve(&self.shared)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one thread of a journal")]
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let journal = Arc::downgrade(shared);
    std::thread::Builder::new().name("redeliver-journal".into()).spawn(move || run(&journal))
}

fn run(journal: &Weak<Shared>) {
    while let Some(shared) = journal.upgrade() {
        let _ = shared.thread.set(current());
        if shared.is_over() {
            return;
        }
        let now = SystemClock.now();
        let next = shared.tick(now);
        drop(shared);
        match next {
            Some(until) => park_timeout(until.saturating_duration_since(now)),
            None => park(),
        }
    }
}
