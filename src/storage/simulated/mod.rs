//! A disk that does its worst, in memory: for tests of what survives a loss of power, a crash, an error, a full disk.
//!
//! Promises: it is never kinder than POSIX, and the same calls with the same seeds leave the same bytes, on any machine.
//! `docs/simulation.md` says what is modelled and what is not.
//!
//! | file | what it knows |
//! |---|---|
//! | `content` | the bytes of one file |
//! | `image` | names and files at one moment, and the operations that change them |
//! | `loss` | which operations a loss of power leaves |
//! | `fault` | which call fails, and how |
//! | `state` | cache, durable state and the operations in between |
//! | `handles` | the storage trait |
//! | `damage` | what a test does to the bytes behind everybody's back |

mod content;
mod damage;
mod fault;
mod handles;
mod image;
mod loss;
mod state;

pub use fault::{AfterFailedFlush, Call, Fault};
pub use loss::Loss;

use self::content::BLOCK;
use self::fault::Plan;
use self::state::State;
use super::FileSystem;
use crate::sync::{Mutex, MutexGuard};
use std::fmt;
use std::sync::Arc;

/// A disk in memory that remembers what was flushed, and loses the rest when it is told to.
///
/// It is how redeliver's own journal is tested, and you can test with it what your program makes of a loss of power or of a
/// full disk. Clones are the same disk. A loss of power does not change a disk: it gives a new one, on which a program is
/// opened again, while the old one goes on as if nothing had happened, and can lose its power in another way.
///
/// ```
/// use redeliver::storage::{Fault, Loss, SimulatedDisk, Storage};
/// use std::io::ErrorKind;
///
/// let disk = SimulatedDisk::new();
/// let file = disk.create("journal")?;
/// disk.flush_names()?;
/// file.write_at(b"kept", 0)?;
/// file.flush()?;
/// file.write_at(b" lost", 4)?;
///
/// // The process is killed: the system still knows what it has written. The power fails: it does not.
/// assert_eq!(disk.kill().bytes("journal")?, b"kept lost");
/// assert_eq!(disk.after_power_cut(&Loss::Everything).bytes("journal")?, b"kept");
///
/// // The next call but one fails.
/// disk.fail(Fault::new(1, ErrorKind::StorageFull));
/// file.flush()?;
/// assert_eq!(file.write_at(b"!", 9).unwrap_err().kind(), ErrorKind::StorageFull);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SimulatedDisk(Arc<Mutex<Machine>>);

/// The disk, and what is done to it.
struct Machine {
    state: State,
    plan: Plan,
    calls: u64,
    moments: Option<Vec<SimulatedDisk>>,
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimulatedDisk {
    /// An empty disk that is as large as need be, and on which nothing fails.
    pub fn new() -> Self {
        Self::from_state(State::new())
    }

    /// An empty disk with room for so many bytes.
    ///
    /// Room is taken in blocks of 4 KiB, by writing or by [`allocate`](super::StorageFile::allocate). A write that finds
    /// only part of its room is short; one that finds none fails.
    ///
    /// ```
    /// use redeliver::storage::{SimulatedDisk, Storage};
    /// use std::io::ErrorKind;
    ///
    /// let disk = SimulatedDisk::with_room(8192);
    /// let file = disk.create("journal")?;
    /// assert_eq!(file.allocate(8193).unwrap_err().kind(), ErrorKind::StorageFull);
    /// assert_eq!(file.write_at(&[1; 9000], 0)?, 8192);
    /// assert_eq!(file.write_at(&[1], 8192).unwrap_err().kind(), ErrorKind::StorageFull);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_room(bytes: u64) -> Self {
        let disk = Self::new();
        disk.set_room(bytes);
        disk
    }

    fn from_state(state: State) -> Self {
        SimulatedDisk(Arc::new(Mutex::new(Machine { state, plan: Plan::default(), calls: 0, moments: None })))
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock()
    }

    // ---- settings ----

    /// From now on it has room for so many bytes, even if that is less than is taken.
    pub fn set_room(&self, bytes: u64) {
        self.machine().state.room = Some(bytes / BLOCK);
    }

    /// What [`kind`](super::Storage::kind) says. On a [read-only](FileSystem::ReadOnly) disk all
    /// [changes](Call::CHANGES) fail, and opening a file, which is for writing as well; what is open can be read.
    pub fn set_kind(&self, kind: FileSystem) {
        self.machine().state.kind = kind;
    }

    /// Plans a fault. Faults count their calls each for itself; if two meet one call, the one that was planned first
    /// decides.
    pub fn fail(&self, fault: Fault) {
        self.machine().plan.add(fault);
    }

    /// Takes all faults back that have not happened, and ends those that are for good.
    pub fn heal(&self) {
        self.machine().plan.clear();
    }

    // ---- how far it has come ----

    /// The number of [calls](Call) so far, those that failed among them. A test that has seen *n* of them can let each of
    /// these *n* fail.
    pub fn calls(&self) -> u64 {
        self.machine().calls
    }

    /// The number of operations that a loss of power can lose: writes, changes of size, names.
    pub fn unsynced(&self) -> usize {
        self.machine().state.log.len()
    }

    // ---- ends ----

    /// The disk after a loss of power: nothing is open or locked, no fault is planned, no call is counted.
    ///
    /// This one stays as it is, and its handles stay with it.
    #[must_use]
    pub fn after_power_cut(&self, loss: &Loss) -> SimulatedDisk {
        Self::from_state(self.machine().state.after_power_cut(loss))
    }

    /// The disk after the process was killed: the system's cache is as it was, and what is unsynced is unsynced still;
    /// nothing is open or locked, no fault is planned, no call is counted.
    ///
    /// This one stays as it is, so it is also a way to try two ends of one story.
    #[must_use]
    pub fn kill(&self) -> SimulatedDisk {
        Self::from_state(self.machine().state.without_handles())
    }

    /// From now on keeps the disk as it is [killed](Self::kill) before every call, so that one run of a program is enough
    /// to cut the power at each of its calls.
    pub fn record_moments(&self) {
        self.machine().moments = Some(Vec::new());
    }

    /// Ends the recording: the disk after each number of calls since then, from none of them to all. Nothing if there was no
    /// recording.
    ///
    /// ```
    /// use redeliver::storage::{Loss, SimulatedDisk, Storage};
    ///
    /// let disk = SimulatedDisk::new();
    /// disk.record_moments();
    /// disk.create("a")?;
    /// disk.flush_names()?;
    /// let calls_then = disk.calls(); // from here on, `a` must be there
    /// disk.create("b")?;
    ///
    /// let moments = disk.take_moments();
    /// assert_eq!(moments.len() as u64, disk.calls() + 1);
    /// for (calls, moment) in moments.iter().enumerate() {
    ///     for loss in Loss::each(moment.unsynced()) {
    ///         let names = moment.after_power_cut(&loss).names();
    ///         assert!((calls as u64) < calls_then || names.contains(&"a".to_owned()), "{calls}, {loss:?}");
    ///     }
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_moments(&self) -> Vec<SimulatedDisk> {
        let mut machine = self.machine();
        let Some(mut moments) = machine.moments.take() else { return Vec::new() };
        moments.push(Self::from_state(machine.state.without_handles()));
        moments
    }
}

/// The page's example runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/simulation.md")]
struct Page;

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.machine();
        let (names, unsynced) = (&machine.state.cache.names, machine.state.log.len());
        f.debug_struct("SimulatedDisk")
            .field("names", &names.keys())
            .field("unsynced", &unsynced)
            .field("calls", &machine.calls)
            .finish_non_exhaustive()
    }
}
