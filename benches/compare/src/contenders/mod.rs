//! Who is compared: each contender behind one face, with the blocking calls that its users make.
//!
//! The face is generic, so the loops of the cells are compiled once per contender and nothing is called through a pointer
//! on the way of a message. An [`Entry`] is the same contender as a row of a table, for the code that only walks over them.

mod crossbeam;
mod flume;
mod kanal;
mod ledger;
#[cfg(feature = "ours")]
mod ours;
mod std;

use crate::cells::latency::{self, Pace, Percentiles};
use crate::cells::memory::{self, Footprint};
use crate::cells::throughput::{self, Work};
use crate::payload::{Kind, Payload};
use crate::pool::Pool;
use ::std::any::Any;

/// A queue or channel as its users see it.
pub trait Contender: 'static {
    const NAME: &'static str;
    /// Whether a second consumer can take part.
    const SHARES_CONSUMERS: bool = true;
    /// Whether it knows which messages are in flight.
    const TRACKS: bool = false;
    type Tx<T: Payload>: Sends<T>;
    type Rx<T: Payload>: Receives<T>;

    fn open<T: Payload>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>);
}

/// The sending end.
pub trait Sends<T>: Clone + Send + 'static {
    /// Waits for room.
    fn send(&self, message: T);

    /// Sends all of them; a contender without batches sends them one by one.
    fn send_batch(&self, messages: impl Iterator<Item = T>) {
        messages.for_each(|message| self.send(message));
    }
}

/// The receiving end.
pub trait Receives<T>: Sized + Send + 'static {
    /// Another consumer of the same queue; `None` where there can be but one.
    fn share(&self) -> Option<Self>;

    /// Waits for a message, shows it, and settles it where the contender knows what that is.
    fn take<R>(&self, look: impl FnOnce(&T) -> R) -> R;

    /// Waits for one, takes up to `max`, shows them all and settles them together. How many it were.
    fn take_batch(&self, max: usize, mut look: impl FnMut(&T)) -> usize {
        let _ = max;
        self.take(|message| look(message));
        1
    }

    /// Receives a message and keeps it in flight until the box is dropped; `None` where nothing is tracked.
    fn hold(&self) -> Option<Box<dyn Any + Send>> {
        None
    }
}

/// A contender as a row of a table.
#[derive(Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    pub shares_consumers: bool,
    pub tracks: bool,
    /// One measured pass; nanoseconds per message.
    pub throughput: fn(Kind, &Pool, &Work) -> f64,
    pub latency: fn(&Pool, &Pace) -> Percentiles,
    pub memory: fn(Kind, usize) -> Footprint,
}

impl Entry {
    fn of<C: Contender>() -> Entry {
        Entry {
            name: C::NAME,
            shares_consumers: C::SHARES_CONSUMERS,
            tracks: C::TRACKS,
            throughput: |kind, pool, work| match kind {
                Kind::U64 => throughput::run::<C, u64>(pool, work),
                Kind::Bytes64 => throughput::run::<C, [u64; 8]>(pool, work),
                Kind::String64 => throughput::run::<C, String>(pool, work),
            },
            latency: latency::run::<C>,
            memory: |kind, capacity| match kind {
                Kind::U64 => memory::measure::<C, u64>(capacity),
                Kind::Bytes64 => memory::measure::<C, [u64; 8]>(capacity),
                Kind::String64 => memory::measure::<C, String>(capacity),
            },
        }
    }
}

/// All of them. The first is the one that the others are compared with.
pub fn all() -> Vec<Entry> {
    vec![
        #[cfg(feature = "ours")]
        Entry::of::<ours::Ours>(),
        Entry::of::<crossbeam::Crossbeam>(),
        Entry::of::<std::Std>(),
        Entry::of::<flume::Flume>(),
        Entry::of::<kanal::Kanal>(),
        Entry::of::<ledger::Ledger>(),
    ]
}
