//! Ends the process when a step hangs, and says which: what waits on one thread for itself would wait for ever.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

static LAST: Mutex<Option<(Instant, String)>> = Mutex::new(None);
const TOO_LONG: Duration = Duration::from_secs(60);

/// A step begins.
pub(crate) fn beat(label: impl FnOnce() -> String) {
    static STARTED: OnceLock<()> = OnceLock::new();
    *LAST.lock().unwrap() = Some((Instant::now(), label()));
    STARTED.get_or_init(|| drop(std::thread::spawn(watch)));
}

/// Nothing is to be watched now.
pub(crate) fn rest() {
    *LAST.lock().unwrap() = None;
}

fn watch() {
    loop {
        std::thread::park_timeout(Duration::from_secs(1));
        if let Some((since, label)) = &*LAST.lock().unwrap()
            && since.elapsed() > TOO_LONG
        {
            eprintln!("panicked at a step that hangs\n{label}");
            std::process::exit(101);
        }
    }
}
