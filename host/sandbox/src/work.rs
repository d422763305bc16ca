//! What the host does for a guest, charged as fuel.
//!
//! A guest that writes 256 MiB of line ends costs the host seconds and itself next to nothing. So the host's work has a price
//! in fuel, about what a guest would burn in the time that it takes. Host functions note what they did; what the guest burned
//! and what was done for it are held together against its limit at every tick of the epoch, every few milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Fuel for a byte that goes to the host or comes from it.
const BYTE: u64 = 1;
/// Fuel for a call of WASI, whatever it does.
pub(super) const CALL: u64 = 100;
/// Fuel for a random byte.
pub(super) const RANDOM_BYTE: u64 = 8;
/// Fuel for a line of output, or a field of one, that is looked at, whether or not it is kept.
pub(super) const LINE: u64 = 50;
/// Fuel for a line of output, or a note of progress, that is kept and sent on.
pub(super) const KEPT_LINE: u64 = 2_000;
/// Fuel for an entry of a folder's listing.
pub(super) const ENTRY: u64 = 1_000;
/// Fuel for each thing that a guest waits for, every time that it asks.
pub(super) const POLLED: u64 = 1_000;
/// Fuel for a request over HTTP, beside its bytes.
pub(super) const HTTP_REQUEST: u64 = 100_000;
/// Fuel for a TLS handshake: signatures of the server, and of its authorities.
pub(super) const TLS_HANDSHAKE: u64 = 2_000_000;
/// Fuel for a call that goes to the file system.
pub(super) const FILE_CALL: u64 = 5_000;

/// Fuel for a read from a bucket, which asks the data store.
pub(super) const KV_READ: u64 = 100_000;
/// Fuel for a write to a bucket, which is stored with the end of the job.
pub(super) const KV_WRITE: u64 = 50_000;

/// The work that was done. Clones note for the same guest.
#[derive(Debug, Clone, Default)]
pub(super) struct Work(Arc<AtomicU64>);

impl Work {
    /// Notes work of that price.
    pub(super) fn note(&self, fuel: u64) {
        let more = |done: u64| Some(done.saturating_add(fuel));
        // Always answers: the closure does.
        let _before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Notes so many bytes.
    pub(super) fn note_bytes(&self, bytes: usize) {
        self.note((bytes as u64).saturating_mul(BYTE));
    }

    /// What was done, in fuel.
    pub(super) fn done(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
