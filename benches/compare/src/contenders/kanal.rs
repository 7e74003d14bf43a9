//! kanal, bounded: tracks nothing.

use super::{Contender, Receives, Sends};
use crate::payload::Payload;
use ::kanal::{Receiver, Sender, bounded};

pub struct Kanal;

impl Contender for Kanal {
    const NAME: &'static str = "kanal";
    type Tx<T: Payload> = Sender<T>;
    type Rx<T: Payload> = Receiver<T>;

    fn open<T: Payload>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        bounded(capacity)
    }
}

impl<T: Payload> Sends<T> for Sender<T> {
    #[inline(always)]
    fn send(&self, message: T) {
        assert!(Sender::send(self, message).is_ok(), "open");
    }
}

impl<T: Payload> Receives<T> for Receiver<T> {
    fn share(&self) -> Option<Self> {
        Some(self.clone())
    }

    #[inline(always)]
    fn take<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.recv().expect("open"))
    }
}
