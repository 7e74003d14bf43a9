//! What a delivery holds: a seat, or a box of the cold side, in two words.
//!
//! Two words that the compiler keeps in registers: as an ordinary enum a delivery would be moved through memory, by two
//! narrow stores and one wide load that the processor cannot forward, which costs more than the rest of the hand-over.

use super::settle::HOLDS_BOX;
use super::*;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// The position of a hold that is a box: no ring has so many laps.
const COLD: u64 = 1 << 62;
/// The position of a hold that was settled by reference.
const ENDED: u64 = 1 << 61;
const SPECIAL: u64 = HOLDS_BOX | COLD | ENDED;

/// A seat held in flight, or a box of the cold side. Ends by [`into_held`](Self::into_held), or by [`ack_fast`](Self::ack_fast).
pub(crate) struct Hold<S: Side>(ManuallyDrop<Tenancy<S>>);

/// A hold taken apart.
pub(crate) enum Held<S: Side> {
    Hot(Tenancy<S>),
    Cold(Box<S::Cold>),
    /// It was settled already.
    Ended,
}

/// A hold looked at.
pub(crate) enum Look<'a, S: Side> {
    Hot(&'a Tenancy<S>),
    Cold(&'a S::Cold),
}

impl<S: Side> Hold<S> {
    #[inline(always)]
    pub(crate) fn hot(tenancy: Tenancy<S>) -> Self {
        Hold(ManuallyDrop::new(tenancy))
    }

    pub(crate) fn cold(cold: Box<S::Cold>) -> Self {
        let cold = NonNull::from(Box::leak(cold));
        Hold(ManuallyDrop::new(Tenancy { shared: cold.cast(), pos: COLD }))
    }

    pub(crate) fn ended() -> Self {
        Hold(ManuallyDrop::new(Tenancy { shared: NonNull::dangling(), pos: ENDED }))
    }

    #[inline(always)]
    pub(crate) fn has_ended(&self) -> bool {
        self.0.pos == ENDED
    }

    #[inline(always)]
    pub(crate) fn look(&self) -> Look<'_, S> {
        match self.0.pos {
            // SAFETY: `cold` leaked a box into this pointer, which `into_held` takes back by value.
            COLD => Look::Cold(unsafe { self.0.shared.cast().as_ref() }),
            ENDED => unreachable!("a hold that was settled is in nobody's hands"),
            _ => Look::Hot(&self.0),
        }
    }

    /// Acks a first delivery by reference, if nothing stands in the way. True: the hold has ended.
    #[inline(always)]
    pub(crate) fn ack_fast(&mut self) -> bool {
        let done = self.0.pos & SPECIAL == 0 && self.0.ack_fast();
        if done {
            self.0.pos = ENDED;
        }
        done
    }

    pub(crate) fn into_held(self) -> Held<S> {
        let this = ManuallyDrop::new(self);
        let (shared, pos) = (this.0.shared, this.0.pos);
        match pos {
            ENDED => Held::Ended,
            // SAFETY: the box that `cold` leaked; `this` is never dropped, so it is taken back once.
            COLD => Held::Cold(unsafe { Box::from_raw(shared.cast().as_ptr()) }),
            _ => Held::Hot(Tenancy { shared, pos }),
        }
    }
}

impl<S: Side> Drop for Hold<S> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.has_ended() {
            drop_held(std::mem::replace(self, Hold::ended()));
        }
    }
}

#[cold]
#[inline(never)]
fn drop_held<S: Side>(hold: Hold<S>) {
    drop(hold.into_held());
}
