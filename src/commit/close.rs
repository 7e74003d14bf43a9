//! The end of a journal: by a call that can say how it went, or with its last handle.

use super::{Level, Shared, guarded, serve};
use crate::journal::CommitError;
use crate::sync::Mutex;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What all handles of a journal share, and its thread does not: gone with the last of them.
pub(super) struct Handles {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Handles {
    pub(super) fn new(shared: Arc<Shared>) -> Handles {
        Handles { shared, thread: Mutex::new(None) }
    }

    pub(super) fn serve(&self, shared: &Arc<Shared>) -> io::Result<()> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            *thread = Some(serve::start(shared)?);
        }
        Ok(())
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        let _ = self.shared.close();
        let Some(thread) = self.thread.lock().take() else { return };
        // A forked child has no such thread.
        if std::process::id() == self.shared.process {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Shared {
    pub(super) fn is_over(&self) -> bool {
        self.state.lock().log.is_none()
    }

    pub(super) fn close(&self) -> Result<(), CommitError> {
        if std::process::id() != self.process {
            return Ok(()); // a forked child's copy: the journal is not its own
        }
        let end = {
            let mut state = self.state.lock();
            state.is_closing = true;
            state.log.as_ref().map_or(state.end, |log| log.tail.end())
        };
        let flushed = self.commit(end, Level::Synced);
        // Everybody else is out.
        let log = self.wait_for(|state| {
            if state.log.is_some() && (state.is_reclaiming || !state.begin_roll()) {
                return None;
            }
            let log = state.log.take();
            state.end = log.as_ref().map_or(state.end, |log| log.synced);
            Some(log)
        });
        let Some(mut log) = log else { return flushed };
        let is_whole = flushed.is_ok() && log.synced >= log.tail.end();
        let written = if is_whole { guarded(|| log.close()) } else { Ok(()) };
        drop(log);
        // All is on the disk; if this failed, it is only not known that it was meant to end here.
        let closed = written.map_err(|error| CommitError::Unknown(self.poison("writing down the end", error)));
        self.state.lock().end_roll();
        self.changed();
        self.wake_thread();
        flushed.and(closed)
    }
}
