//! The tracked peer, as one writes it in an afternoon: a deque under a lock, a map of what is in flight under another, two
//! condition variables. An ack removes from the map; a lease that ran out puts the message back.
//!
//! It is not made slow on purpose: whoever finds nothing looks a few times more before it sleeps, a condition variable is
//! told only when somebody sleeps, and expired leases are looked for once a second by whoever receives. The message is shared by an `Arc`, because the ledger has to keep it to send it again.

use super::{Contender, Receives, Sends};
use crate::payload::Payload;
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::hint::spin_loop;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

const LEASE: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(1);
/// Before it sleeps on an empty or full queue: sleeping and waking cost more than the other side needs for many messages.
const LOOKS: u32 = 4;

fn linger() {
    (0..100).for_each(|_| spin_loop());
}

pub struct Ledger;

pub struct Handle<T>(Arc<Shared<T>>);

struct Shared<T> {
    capacity: usize,
    ready: Mutex<Ready<T>>,
    filled: Condvar,
    freed: Condvar,
    in_flight: Mutex<InFlight<T>>,
}

struct Ready<T> {
    messages: VecDeque<(u64, Arc<T>)>,
    next_id: u64,
    consumers_waiting: usize,
    producers_waiting: usize,
}

struct InFlight<T> {
    leases: HashMap<u64, (Instant, Arc<T>)>,
    next_sweep: Instant,
}

impl Contender for Ledger {
    const NAME: &'static str = "ledger";
    const TRACKS: bool = true;
    type Tx<T: Payload> = Handle<T>;
    type Rx<T: Payload> = Handle<T>;

    fn open<T: Payload>(capacity: usize) -> (Handle<T>, Handle<T>) {
        let shared = Arc::new(Shared {
            capacity,
            ready: Mutex::new(Ready {
                messages: VecDeque::with_capacity(capacity),
                next_id: 0,
                consumers_waiting: 0,
                producers_waiting: 0,
            }),
            filled: Condvar::new(),
            freed: Condvar::new(),
            in_flight: Mutex::new(InFlight { leases: HashMap::new(), next_sweep: Instant::now() + SWEEP }),
        });
        (Handle(shared.clone()), Handle(shared))
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Handle(self.0.clone())
    }
}

impl<T> Shared<T> {
    fn ready(&self) -> MutexGuard<'_, Ready<T>> {
        self.ready.lock().expect("nobody panics under it")
    }

    fn in_flight(&self) -> MutexGuard<'_, InFlight<T>> {
        self.in_flight.lock().expect("nobody panics under it")
    }

    fn next(&self) -> (u64, Arc<T>) {
        let mut looks = 0;
        let mut ready = self.ready();
        loop {
            if let Some(next) = ready.messages.pop_front() {
                if ready.producers_waiting > 0 {
                    self.freed.notify_one();
                }
                return next;
            }
            if looks < LOOKS {
                looks += 1;
                drop(ready);
                linger();
                ready = self.ready();
                continue;
            }
            ready.consumers_waiting += 1;
            ready = self.filled.wait(ready).expect("nobody panics under it");
            ready.consumers_waiting -= 1;
        }
    }

    /// Hands out `id` until `now` + the lease; returns what other leases have lost by now.
    fn lease(&self, id: u64, message: Arc<T>, now: Instant) -> Vec<(u64, Arc<T>)> {
        let mut in_flight = self.in_flight();
        in_flight.leases.insert(id, (now + LEASE, message));
        if now < in_flight.next_sweep {
            return Vec::new();
        }
        in_flight.next_sweep = now + SWEEP;
        in_flight.leases.extract_if(|_, (until, _)| *until <= now).map(|(id, (_, message))| (id, message)).collect()
    }

    /// Whether the lease still held.
    fn ack(&self, id: u64) -> bool {
        self.in_flight().leases.remove(&id).is_some()
    }
}

impl<T: Payload> Sends<T> for Handle<T> {
    #[inline]
    fn send(&self, message: T) {
        let (queue, message) = (&*self.0, Arc::new(message));
        let mut looks = 0;
        let mut ready = queue.ready();
        while ready.messages.len() >= queue.capacity {
            if looks < LOOKS {
                looks += 1;
                drop(ready);
                linger();
                ready = queue.ready();
                continue;
            }
            ready.producers_waiting += 1;
            ready = queue.freed.wait(ready).expect("nobody panics under it");
            ready.producers_waiting -= 1;
        }
        let id = ready.next_id;
        ready.next_id += 1;
        ready.messages.push_back((id, message));
        if ready.consumers_waiting > 0 {
            queue.filled.notify_one();
        }
    }
}

impl<T: Payload> Handle<T> {
    #[inline]
    fn recv(&self) -> (u64, Arc<T>) {
        let queue = &*self.0;
        let (id, message) = queue.next();
        let expired = queue.lease(id, message.clone(), Instant::now());
        if !expired.is_empty() {
            let mut ready = queue.ready();
            for lost in expired {
                ready.messages.push_front(lost);
            }
            queue.filled.notify_all();
        }
        (id, message)
    }
}

impl<T: Payload> Receives<T> for Handle<T> {
    fn share(&self) -> Option<Self> {
        Some(self.clone())
    }

    #[inline]
    fn take<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        let (id, message) = self.recv();
        let seen = look(&message);
        assert!(self.0.ack(id), "its lease is good for 30 s");
        seen
    }

    fn hold(&self) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(Held { id: self.recv().0, queue: self.0.clone() }))
    }
}

/// In flight until dropped; acked then.
struct Held<T> {
    id: u64,
    queue: Arc<Shared<T>>,
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.queue.ack(self.id);
    }
}
