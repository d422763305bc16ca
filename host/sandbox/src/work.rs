//! What the host does for a guest, charged as fuel.
//!
//! A guest that writes 256 MiB of line ends costs the host seconds and itself next to nothing. So the host's work has a price
//! in fuel, about what a guest would burn in the time that it takes. Host functions note what they did; the notes are charged
//! when the guest is next interrupted, which is every few milliseconds, and when it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Fuel for a byte that goes to the host or comes from it.
pub(super) const BYTE: u64 = 1;
/// Fuel for a line of output that is looked at, whether or not it is kept.
pub(super) const LINE: u64 = 50;
/// Fuel for a line of output, or a note of progress, that is kept and sent on.
pub(super) const KEPT_LINE: u64 = 2_000;
/// Fuel for an entry of a folder's listing.
pub(super) const ENTRY: u64 = 1_000;
/// Fuel for a call that goes to the file system.
pub(super) const FILE_CALL: u64 = 5_000;

/// The work that was done and not charged yet. Clones note for the same guest.
#[derive(Debug, Clone, Default)]
pub(super) struct Work(Arc<AtomicU64>);

impl Work {
    /// Notes work of that price.
    pub(super) fn note(&self, fuel: u64) {
        // It is taken every few milliseconds, in which nothing can be done that would make it overflow.
        self.0.fetch_add(fuel, Ordering::Relaxed);
    }

    /// Notes so many bytes.
    pub(super) fn note_bytes(&self, bytes: usize) {
        self.note((bytes as u64).saturating_mul(BYTE));
    }

    /// What was not charged yet. It is charged by whoever takes it.
    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}
