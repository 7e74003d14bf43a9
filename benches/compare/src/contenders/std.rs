//! std's `sync_channel`: many producers, one consumer, tracks nothing. No lock is put around its receiver.

use super::{Contender, Receives, Sends};
use crate::payload::Payload;
use ::std::sync::mpsc::{Receiver, SyncSender, sync_channel};

pub struct Std;

impl Contender for Std {
    const NAME: &'static str = "std";
    const SHARES_CONSUMERS: bool = false;
    type Tx<T: Payload> = SyncSender<T>;
    type Rx<T: Payload> = Receiver<T>;

    fn open<T: Payload>(capacity: usize) -> (SyncSender<T>, Receiver<T>) {
        sync_channel(capacity)
    }
}

impl<T: Payload> Sends<T> for SyncSender<T> {
    #[inline(always)]
    fn send(&self, message: T) {
        assert!(SyncSender::send(self, message).is_ok(), "open");
    }
}

impl<T: Payload> Receives<T> for Receiver<T> {
    fn share(&self) -> Option<Self> {
        None
    }

    #[inline(always)]
    fn take<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.recv().expect("open"))
    }
}
