//! redeliver, the full core: leases with the sweeper running, stats, settled one by one or a batch at a time.

use super::{Contender, Receives, Sends};
use crate::payload::Payload;
use redeliver::{Consumer, Delivery, Producer, Queue};
use std::any::Any;
use std::time::Duration;

pub struct Ours;

impl Contender for Ours {
    const NAME: &'static str = "ours";
    const TRACKS: bool = true;
    type Tx<T: Payload> = Producer<T>;
    type Rx<T: Payload> = Consumer<T>;

    fn open<T: Payload>(capacity: usize) -> (Producer<T>, Consumer<T>) {
        let queue = Queue::<T>::builder("bench")
            .capacity(capacity)
            .lease(Duration::from_secs(30))
            .open()
            .expect("a queue in memory opens");
        (queue.producer(), queue.consumer())
    }
}

impl<T: Payload> Sends<T> for Producer<T> {
    #[inline(always)]
    fn send(&self, message: T) {
        Producer::send(self, message).expect("open");
    }

    #[inline(always)]
    fn send_batch(&self, messages: impl Iterator<Item = T>) {
        Producer::send_batch(self, messages).expect("open");
    }
}

impl<T: Payload> Receives<T> for Consumer<T> {
    fn share(&self) -> Option<Self> {
        Some(self.clone())
    }

    #[inline(always)]
    fn take<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        let delivery = self.recv().expect("open");
        let seen = look(delivery.message());
        delivery.ack().expect("its lease is good for 30 s");
        seen
    }

    #[inline(always)]
    fn take_batch(&self, max: usize, mut look: impl FnMut(&T)) -> usize {
        let batch = self.recv_batch(max).expect("open");
        let taken = batch.len();
        for item in batch.iter() {
            look(item.message());
        }
        batch.ack_all().expect("its lease is good for 30 s");
        taken
    }

    fn hold(&self) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(Held(Some(self.recv().expect("open")))))
    }
}

/// In flight until dropped; acked then, so that nothing comes back.
struct Held<T: Payload>(Option<Delivery<T>>);

impl<T: Payload> Drop for Held<T> {
    fn drop(&mut self) {
        if let Some(delivery) = self.0.take() {
            delivery.ack().expect("its lease is good for 30 s");
        }
    }
}
