//! The waiting room: who sleeps until there is a message, or room; threads and tasks alike.
//!
//! A sleeper puts itself on the list, raises the count with a SeqCst RMW, looks once more for work, and only then sleeps.
//! Who makes work does so by a SeqCst RMW and then reads the count: one of the two sees the other (Dekker), so no wake-up
//! is lost, and while nobody sleeps a wake-up check is one load.
//!
//! One woken thread at a time: it clears WAKING, looks for work, and after success wakes the next one if work is left. So a
//! burst of sends costs one wake-up, not one each. Tasks do not hold WAKING, since an executor may take its time.

use crate::panics::{contained, drop_contained};
use crate::sync::*;
use std::collections::VecDeque;
use std::task::Waker;

/// How to reach a sleeper.
pub(crate) enum Sleeper {
    Thread(Thread),
    Task(Waker),
}

impl Sleeper {
    fn wake(self) {
        match self {
            Sleeper::Thread(thread) => thread.unpark(),
            // A waker is the user's code: it may panic, and is called outside the list's lock.
            Sleeper::Task(waker) => contained(|| waker.wake()).unwrap_or(()),
        }
    }
}

/// A woken thread is on its way.
const WAKING: u32 = 1;
const SLEEPER: u32 = 2;

/// The sleepers of one side.
pub(crate) struct Waiters {
    /// Twice the number of sleepers, and WAKING.
    word: AtomicU32,
    /// How many more seats must become free until a wake-up pays. Only for those who wait for room.
    need: AtomicU32,
    list: Mutex<List>,
}

struct List {
    last_ticket: u64,
    sleepers: VecDeque<(u64, Sleeper)>,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        let list = List { last_ticket: 0, sleepers: VecDeque::new() };
        Waiters { word: AtomicU32::new(0), need: AtomicU32::new(0), list: Mutex::new(list) }
    }

    /// Is there somebody to wake? Ask after the SeqCst RMW that made work.
    #[inline(always)]
    pub(crate) fn is_due(&self) -> bool {
        loom_fence();
        let word = self.word.load(SeqCst); // pairs with `join`
        word >= SLEEPER && word & WAKING == 0
    }

    /// As [`is_due`](Self::is_due), and wakes.
    #[inline(always)]
    pub(crate) fn notify(&self) {
        if self.is_due() {
            self.wake_one();
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn wake_one(&self) {
        let mut list = self.list.lock();
        if self.word.load(Relaxed) & WAKING != 0 {
            return; // the one on its way will look after the next
        }
        let Some((_, sleeper)) = list.sleepers.pop_front() else { return };
        let is_thread = matches!(sleeper, Sleeper::Thread(_));
        self.word.fetch_sub(if is_thread { SLEEPER - WAKING } else { SLEEPER }, SeqCst);
        drop(list);
        sleeper.wake();
    }

    pub(crate) fn wake_all(&self) {
        let mut list = self.list.lock();
        let sleepers = std::mem::take(&mut list.sleepers);
        self.word.fetch_sub(SLEEPER * sleepers.len() as u32, SeqCst);
        drop(list);
        for (_, sleeper) in sleepers {
            sleeper.wake();
        }
    }

    /// `n` seats became free while somebody waits for room. Wakes once per `need` of them: a wake-up for every settle would
    /// cost more than the settle.
    fn freed(&self, n: u32) {
        if self.need.fetch_sub(n, Relaxed) as i32 <= n as i32 {
            self.wake_one();
        }
    }

    /// Puts the caller on the list. Look for work after this, and sleep only if there is none.
    pub(crate) fn join(&self, sleeper: Sleeper, need: u32) -> u64 {
        let mut list = self.list.lock();
        list.last_ticket += 1;
        let ticket = list.last_ticket;
        let least = if list.sleepers.is_empty() { need } else { need.min(self.need.load(Relaxed)) };
        self.need.store(least, Relaxed);
        list.sleepers.push_back((ticket, sleeper));
        self.word.fetch_add(SLEEPER, SeqCst); // pairs with `is_due`
        if !planted!("a-sleeper-is-counted-relaxed") {
            loom_fence();
        }
        ticket
    }

    /// Is the ticket still on the list? If not, it was called, and the caller must [`leave`](Self::leave).
    pub(crate) fn is_waiting(&self, ticket: u64) -> bool {
        self.list.lock().sleepers.iter().any(|(other, _)| *other == ticket)
    }

    /// Takes the calling thread off the list. True: it had been called, so it must look for work, or else pass the call on.
    pub(crate) fn leave(&self, ticket: u64) -> bool {
        let called = self.leave_as_task(ticket);
        if called && !planted!("a-woken-sleeper-stays-on-its-way") {
            self.word.fetch_and(!WAKING, SeqCst);
        }
        called
    }

    /// As [`leave`](Self::leave), for a task: it never held WAKING.
    pub(crate) fn leave_as_task(&self, ticket: u64) -> bool {
        let mut list = self.list.lock();
        let Some(at) = list.sleepers.iter().position(|(other, _)| *other == ticket) else { return true };
        let gone = list.sleepers.remove(at);
        self.word.fetch_sub(SLEEPER, SeqCst);
        drop(list);
        drop_contained(gone); // a waker's `Drop` is the user's code
        false
    }

    /// A task is polled again while it waits: from now on this waker reaches it. False: it was called.
    pub(crate) fn renew(&self, ticket: u64, waker: &Waker) -> bool {
        let fresh = Sleeper::Task(waker.clone());
        let mut list = self.list.lock();
        let Some((_, sleeper)) = list.sleepers.iter_mut().find(|(other, _)| *other == ticket) else { return false };
        let stale = std::mem::replace(sleeper, fresh);
        drop(list);
        drop_contained(stale);
        true
    }
}

/// A task's place in a waiting room, if it has one.
#[derive(Default)]
pub(crate) struct Place(Option<u64>);

impl Place {
    /// The task is polled: true if it had been called (and has no place any more).
    pub(crate) fn was_called(&mut self, room: &Waiters, waker: &Waker) -> bool {
        self.0.take_if(|ticket| !room.renew(*ticket, waker)).is_some()
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn take(&mut self, room: &Waiters, waker: &Waker) {
        self.0 = Some(room.join(Sleeper::Task(waker.clone()), 1));
    }

    /// True: it was called meanwhile.
    pub(crate) fn give_up(&mut self, room: &Waiters) -> bool {
        self.0.take().is_some_and(|ticket| room.leave_as_task(ticket))
    }
}

/// The waiting rooms of a queue, in memory that is never freed: all that a settle touches after the CAS that gave its
/// seat away. Headers are pooled; a wake-up that comes late reaches the next queue and is one look too many there.
pub(crate) struct Header {
    /// Who waits for a message.
    pub(crate) mail: Waiters,
    /// Who waits for room.
    pub(crate) room: Waiters,
    /// Who waits for everything to be settled: drains, and receivers of a closed queue.
    pub(crate) end: Waiters,
}

#[cfg(not(any(loom, shuttle)))]
static POOL: Mutex<Vec<&'static Header>> = Mutex::new(Vec::new());

impl Header {
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn take_one() -> &'static Header {
        POOL.lock().pop().unwrap_or_else(Header::leaked)
    }

    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn give_back(header: &'static Header) {
        POOL.lock().push(header);
    }

    #[cfg(any(loom, shuttle))]
    pub(crate) fn take_one() -> &'static Header {
        Header::leaked()
    }

    #[cfg(any(loom, shuttle))]
    pub(crate) fn give_back(_: &'static Header) {}

    fn leaked() -> &'static Header {
        Box::leak(Box::new(Header { mail: Waiters::new(), room: Waiters::new(), end: Waiters::new() }))
    }

    /// A settle made room, and may have been the last.
    #[inline(always)]
    pub(crate) fn seat_freed(&self, n: u32) {
        if self.room.is_due() | self.end.is_due() && !planted!("a-settle-wakes-no-sender") {
            self.call(n);
        }
    }

    #[cold]
    #[inline(never)]
    fn call(&self, n: u32) {
        if self.room.is_due() {
            self.room.freed(n);
        }
        self.end.notify();
    }

    /// Everybody looks again: time has passed, or the queue has closed, or is over.
    pub(crate) fn call_all(&self) {
        self.mail.wake_all();
        self.room.wake_all();
        self.end.wake_all();
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::model_runner::model;
    use loom::sync::Arc;
    use loom::thread::spawn;

    struct Room {
        waiters: Waiters,
        work: AtomicU32,
    }

    impl Room {
        fn take(&self) -> bool {
            let work = self.work.load(SeqCst);
            work > 0 && (self.work.compare_exchange(work, work - 1, SeqCst, SeqCst).is_ok() || self.take())
        }

        fn has_work(&self) -> bool {
            self.work.load(SeqCst) > 0
        }

        /// Takes one piece of work, as a consumer does.
        fn wait_for_work(&self) {
            let mut slept = false;
            while !self.take() {
                let ticket = self.waiters.join(Sleeper::Thread(current()), 0);
                if !self.has_work() {
                    while self.waiters.is_waiting(ticket) {
                        park();
                    }
                }
                if self.waiters.leave(ticket) && self.has_work() {
                    self.waiters.notify();
                }
                slept = true;
            }
            if slept && self.has_work() {
                self.waiters.notify();
            }
        }
    }

    #[test]
    fn two_sleepers_and_two_calls() {
        model("two threads go to sleep while two pieces of work come", || {
            let room = Arc::new(Room { waiters: Waiters::new(), work: AtomicU32::new(0) });
            let sleepers: Vec<_> =
                (0..2).map(|_| room.clone()).map(|room| spawn(move || room.wait_for_work())).collect();
            for _ in 0..2 {
                room.work.fetch_add(1, SeqCst);
                room.waiters.notify();
            }
            sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
        });
    }

    #[test]
    fn a_call_that_is_not_needed_is_passed_on() {
        model("a sleeper gives up while it is called, and another one waits", || {
            let room = Arc::new(Room { waiters: Waiters::new(), work: AtomicU32::new(0) });
            let other = room.clone();
            let sleeper = spawn(move || other.wait_for_work());
            let ticket = room.waiters.join(Sleeper::Thread(current()), 0);
            let third = room.clone();
            let caller = spawn(move || {
                third.work.fetch_add(1, SeqCst);
                third.waiters.notify();
            });
            if room.waiters.leave(ticket) && room.has_work() {
                room.waiters.notify();
            }
            caller.join().unwrap();
            sleeper.join().unwrap();
        });
    }
}
