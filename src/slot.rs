//! What a worker has in hand: the leases that its handler works under.

use crate::sync::Mutex;

/// A lease, told from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseId {
    /// Of a first delivery, by its position.
    Seat(u64),
    /// Of a redelivery.
    Entry { key: u32, lease_no: u64 },
}

/// What one worker holds while its handler runs.
pub(crate) struct Slot {
    held: Mutex<Vec<LeaseId>>,
    /// For how long, from the hand-over.
    limit_ms: u64,
}

impl Slot {
    pub(crate) fn new(limit_ms: u64) -> Self {
        Slot { held: Mutex::new(Vec::new()), limit_ms }
    }

    pub(crate) fn limit_ms(&self) -> u64 {
        self.limit_ms
    }

    pub(crate) fn hold(&self, leases: impl IntoIterator<Item = LeaseId>) {
        self.held.lock().extend(leases);
    }

    pub(crate) fn clear(&self) {
        self.held.lock().clear();
    }

    pub(crate) fn take(&self) -> Vec<LeaseId> {
        std::mem::take(&mut *self.held.lock())
    }

    pub(crate) fn holds(&self, lease: LeaseId) -> bool {
        self.held.lock().contains(&lease)
    }
}
