//! Who keeps the ring alive: doors (handles that are counted) and tenancies (deliveries that are not).
//!
//! A [`Door`] counts. A [`Tenancy`] costs no count: all tenancies together own one reference, and the last
//! door to close marks the seats they hold as orphaned and says how many there are. Each of them meets the mark when its
//! CAS gives the seat away, and the last one to do so returns the reference.

use super::*;
use crate::wait::Header;
use std::ops::Deref;
use std::sync::Arc;

/// More than any ring has seats: the orphans' count stays above zero until the last door has counted them.
const BIAS: usize = 1 << 40;

/// What stands behind the ring, known to it only by these names.
pub(crate) trait Side: Send + Sync + Sized + 'static {
    /// What a seat holds as a rule.
    type Plain: Send + Sync + 'static;
    /// What a seat holds when there is more to the message. Cheap to clone.
    type Boxed: Clone + Send + Sync + 'static;
    /// What a delivery holds that has no seat.
    type Cold: Send + Sync + 'static;
    /// A settle has ended an extended lease: its timer is not needed any more.
    fn lease_ended(&self, pos: u64);
    /// The last door has closed; the ring is empty but for what tenants still hold.
    fn last_out(&self);
}

/// The ring and what stands behind it.
pub(crate) struct Shared<S: Side> {
    pub(crate) ring: Ring<S::Plain, S::Boxed>,
    pub(super) header: &'static Header,
    pub(crate) side: S,
    doors: AtomicUsize,
    orphans: AtomicUsize,
}

impl<S: Side> Shared<S> {
    /// The people who wait for messages or for room.
    #[inline(always)]
    pub(crate) fn header(&self) -> &'static Header {
        self.header
    }

    /// A tenancy that carried the mark has ended. `this` may be gone afterwards.
    #[cold]
    pub(super) fn release_orphan(this: *const Self) {
        // SAFETY: the tenants' common reference keeps `this` alive until the count below reaches zero.
        let orphans = unsafe { &(*this).orphans };
        // AcqRel: whoever frees has seen every other tenant's last access.
        if orphans.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: this is the tenants' common reference, made by `Door::open`, and we were the last of them.
            unsafe { Arc::decrement_strong_count(this) };
        }
    }
}

impl<S: Side> Drop for Shared<S> {
    fn drop(&mut self) {
        Header::give_back(self.header);
    }
}

/// A counted handle. When the last one is dropped the queue ends: what nobody can receive any more is dropped.
pub(crate) struct Door<S: Side>(Arc<Shared<S>>);

impl<S: Side> Door<S> {
    pub(crate) fn open(ring: Ring<S::Plain, S::Boxed>, side: S) -> Self {
        let shared = Arc::new(Shared {
            ring,
            header: Header::take_one(),
            side,
            doors: AtomicUsize::new(1),
            orphans: AtomicUsize::new(BIAS),
        });
        let _tenants = Arc::into_raw(shared.clone()); // the tenants' common reference; returned by `release_orphan` or below
        Door(shared)
    }

    /// The reference alone: keeps the memory, not the queue.
    pub(crate) fn shared(&self) -> &Arc<Shared<S>> {
        &self.0
    }
}

impl<S: Side> Deref for Door<S> {
    type Target = Shared<S>;

    #[inline(always)]
    fn deref(&self) -> &Shared<S> {
        &self.0
    }
}

impl<S: Side> Clone for Door<S> {
    fn clone(&self) -> Self {
        self.0.doors.fetch_add(1, Relaxed); // a door is held, so the count is above zero
        Door(self.0.clone())
    }
}

impl<S: Side> Drop for Door<S> {
    fn drop(&mut self) {
        // AcqRel: the last one sees what all the others did.
        if self.0.doors.fetch_sub(1, AcqRel) != 1 {
            return;
        }
        let orphans = self.0.ring.evict();
        self.0.side.last_out();
        // AcqRel: as in `release_orphan`.
        if self.0.orphans.fetch_sub(BIAS - orphans, AcqRel) == BIAS - orphans {
            // SAFETY: the tenants' common reference, and there is no tenant left.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&self.0)) };
        }
    }
}
