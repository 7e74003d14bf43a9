//! What can go wrong while the power is on: a call that fails, once or for good, and one that does only part of its work.
//!
//! Promises: the call that was asked for fails, whoever makes it, and no other; a fault is a value that can be printed and
//! planned again. What a failed call has done to the disk is left to `state`.

use std::io;

/// The calls of a [`Storage`](super::super::Storage) and its files that can matter, and are therefore counted. Each is named
/// as its method is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Call {
    Open,
    Create,
    List,
    Rename,
    Remove,
    FlushNames,
    Lock,
    ReadAt,
    WriteAt,
    Flush,
    Truncate,
    Allocate,
    Size,
}

impl Call {
    /// Those that change what is on the disk. A flush changes nothing that can be read.
    pub const CHANGES: &[Call] =
        &[Call::Create, Call::Rename, Call::Remove, Call::Lock, Call::WriteAt, Call::Truncate, Call::Allocate];

    /// Those that make it durable.
    pub const FLUSHES: &[Call] = &[Call::Flush, Call::FlushNames];
}

/// A call that will fail, or do only part of its work; give it to [`SimulatedDisk::fail`](super::SimulatedDisk::fail).
///
/// ```
/// use redeliver::storage::{Call, Fault, SimulatedDisk, Storage};
/// use std::io::ErrorKind;
///
/// let disk = SimulatedDisk::new();
/// let file = disk.create("journal")?;
/// disk.fail(Fault::new(1, ErrorKind::StorageFull).on(&[Call::WriteAt]).for_good());
/// assert_eq!(file.write_at(b"first", 0)?, 5);
/// assert_eq!(file.write_at(b"second", 5).unwrap_err().kind(), ErrorKind::StorageFull);
/// file.flush()?; // no write
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Fault {
    at_call: u64,
    calls: Option<Vec<Call>>,
    is_for_good: bool,
    what: What,
    pages: AfterFailedFlush,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Errno { errno: i32, is_done: bool },
    Kind { kind: io::ErrorKind, is_done: bool },
    Short { bytes: usize },
}

/// What the cache believes after a flush that has failed. Nothing of what should have been flushed has become durable.
///
/// ```
/// use redeliver::storage::{AfterFailedFlush, Call, Fault, Loss, SimulatedDisk, Storage};
///
/// let disk = SimulatedDisk::new();
/// let file = disk.create("journal")?;
/// disk.flush_names()?;
/// file.write_at(b"record", 0)?;
/// disk.fail(Fault::errno(0, 5).pages(AfterFailedFlush::CleanAndNew));
/// assert!(file.flush().is_err());
/// assert!(file.flush().is_ok()); // and proves nothing:
/// assert_eq!(disk.bytes("journal")?, b"record");
/// assert_eq!(disk.after_power_cut(&Loss::Nothing).bytes("journal")?, b"");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AfterFailedFlush {
    /// The pages count as clean and keep what was written: reads see it, later flushes leave it out. Linux with ext4 or XFS.
    #[default]
    CleanAndNew,
    /// The pages are read from the disk again: what was written is gone from the cache as well.
    Reverted,
    /// As `CleanAndNew`, but this flush succeeds, and only the next one of the same file tells: who writes back in the
    /// background, or over a network, learns of an error late.
    OneLate,
}

impl Fault {
    /// The call number `at_call` from now fails with an error of that kind; 0 is the next one.
    pub fn new(at_call: u64, kind: io::ErrorKind) -> Fault {
        Fault::of(at_call, What::Kind { kind, is_done: false })
    }

    /// The same with an error number of the operating system's, such as 5 for EIO.
    pub fn errno(at_call: u64, errno: i32) -> Fault {
        Fault::of(at_call, What::Errno { errno, is_done: false })
    }

    /// The `read_at` or `write_at` number `at_call` from now transfers at most so many bytes, and succeeds.
    pub fn short(at_call: u64, bytes: usize) -> Fault {
        Fault::of(at_call, What::Short { bytes }).on(&[Call::ReadAt, Call::WriteAt])
    }

    fn of(at_call: u64, what: What) -> Fault {
        Fault { at_call, calls: None, is_for_good: false, what, pages: AfterFailedFlush::default() }
    }

    /// Only these calls count, and only they fail.
    pub fn on(mut self, calls: &[Call]) -> Fault {
        self.calls = Some(calls.to_vec());
        self
    }

    /// All that come later fail as well.
    pub fn for_good(mut self) -> Fault {
        self.is_for_good = true;
        self
    }

    /// The call does its work, and says all the same that it has failed. A lock is not taken even so.
    pub fn but_done(mut self) -> Fault {
        if let What::Errno { is_done, .. } | What::Kind { is_done, .. } = &mut self.what {
            *is_done = true;
        }
        self
    }

    /// What the cache believes if the call is a flush.
    pub fn pages(mut self, pages: AfterFailedFlush) -> Fault {
        self.pages = pages;
        self
    }
}

/// What becomes of one call.
pub(super) enum Verdict {
    Works,
    Short(usize),
    Fails { error: Failure, is_done: bool, pages: AfterFailedFlush },
}

/// An error that can be told twice.
#[derive(Clone, Copy)]
pub(super) enum Failure {
    Errno(i32),
    Kind(io::ErrorKind),
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        match failure {
            Failure::Errno(errno) => io::Error::from_raw_os_error(errno),
            Failure::Kind(kind) => kind.into(),
        }
    }
}

/// The faults that are planned.
#[derive(Clone, Default)]
pub(super) struct Plan(Vec<Fault>);

impl Plan {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// This call is made: of the faults that meet it, the first to be planned decides.
    pub(super) fn meet(&mut self, call: Call) -> Verdict {
        let mut verdict = Verdict::Works;
        self.0.retain_mut(|fault| {
            if fault.calls.as_ref().is_some_and(|calls| !calls.contains(&call)) {
                return true;
            }
            if fault.at_call > 0 {
                fault.at_call -= 1;
                return true;
            }
            if matches!(verdict, Verdict::Works) {
                let pages = fault.pages;
                verdict = match fault.what {
                    What::Short { bytes } => Verdict::Short(bytes),
                    What::Errno { errno, is_done } => Verdict::Fails { error: Failure::Errno(errno), is_done, pages },
                    What::Kind { kind, is_done } => Verdict::Fails { error: Failure::Kind(kind), is_done, pages },
                };
            }
            fault.is_for_good
        });
        verdict
    }
}
