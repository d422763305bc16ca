//! The memory of one attempt: what the guest has, and what the host keeps for it.
//!
//! Both count against the same limit. A guest that opens a thousand streams or lists a large folder nine hundred times makes
//! the host allocate in its place, and would otherwise have as much as it likes.
//!
//! An attempt begins with a share of the memory that all attempts may have together; see [`super::budget`]. Growing beyond
//! its share waits for more of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiterAsync;

use super::budget::Share;
use super::engine::{CORE_INSTANCES_PER_COMPONENT_MAX, MEMORIES_PER_COMPONENT_MAX, TABLES_PER_COMPONENT_MAX};

/// The memory of one instance, summed over all its memories and tables and what the host keeps for it: a limit on each
/// alone would let a guest with four memories have four times as much.
pub(super) struct MemoryAccount {
    limit: u64,
    used: u64,
    kept: HostBytes,
    peak: u64,
    /// What the growth that was allowed last added, to be taken back if it fails after all.
    last: u64,
    denied: Option<Denied>,
    share: Share,
}

/// Memory that a guest asked for and was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denied {
    /// What it would have had.
    pub(super) wanted: u64,
    /// Whether it was within its own limit, and all attempts together would have had too much.
    pub(super) by_budget: bool,
}

/// How many bytes the host keeps for a guest. Clones count for the same guest.
#[derive(Debug, Clone, Default)]
pub(super) struct HostBytes(Arc<AtomicU64>);

impl HostBytes {
    /// Counts some that are bounded elsewhere, and so need not be asked for.
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// No longer counts some that were added.
    pub(super) fn remove(&self, bytes: usize) {
        self.0.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// How many there are.
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes that the host keeps for a guest; no longer counted when this is dropped.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: u64,
    of: HostBytes,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What one element of a table takes.
const TABLE_ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

impl MemoryAccount {
    /// An account of a guest for which the host may already keep something. Beyond its `share` of what all attempts may have,
    /// it gets more if there is some.
    pub(super) fn new(limit: u64, share: Share, kept: HostBytes) -> MemoryAccount {
        MemoryAccount { limit, used: 0, kept, peak: 0, last: 0, denied: None, share }
    }

    /// What is used now, in bytes.
    pub(super) fn used(&self) -> u64 {
        self.used.saturating_add(self.kept.bytes())
    }

    /// The most that was used at one time, in bytes.
    pub(super) fn peak(&self) -> u64 {
        self.peak.max(self.used())
    }

    /// Counts what the guest returned, which outlives the guest.
    pub(super) fn returned(&self, bytes: usize) {
        self.kept.add(bytes);
    }

    /// What may still be used, in bytes.
    pub(super) fn room(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }

    /// The growth that was refused last.
    pub(super) fn denied(&self) -> Option<Denied> {
        self.denied
    }

    /// Counts bytes that the host is about to keep for the guest; `None` where that would be too much.
    ///
    /// What is beyond the attempt's share is taken if it is there, and not waited for: host functions that keep something
    /// cannot wait.
    pub(super) fn keep(&mut self, bytes: u64) -> Option<Kept> {
        let wanted = self.wanted(bytes)?;
        if !self.share.extend_now(wanted) {
            self.denied = Some(Denied { wanted, by_budget: true });
            return None;
        }
        self.kept.0.fetch_add(bytes, Ordering::Relaxed);
        self.peak = self.peak.max(wanted);
        Some(Kept { bytes, of: self.kept.clone() })
    }

    /// What would be used with `more`; `None`, and a note of it, where that is above the limit.
    fn wanted(&mut self, more: u64) -> Option<u64> {
        let wanted = self.used().saturating_add(more);
        if wanted > self.limit {
            self.denied = Some(Denied { wanted, by_budget: false });
            return None;
        }
        Some(wanted)
    }

    async fn grow(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        let more = desired.saturating_sub(current);
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.denied = Some(Denied { wanted: self.used().saturating_add(more), by_budget: false });
            return false;
        }
        let Some(wanted) = self.wanted(more) else { return false };
        if !self.share.extend(wanted).await {
            self.denied = Some(Denied { wanted, by_budget: true });
            return false;
        }
        self.used = self.used.saturating_add(more);
        self.last = more;
        self.peak = self.peak.max(wanted);
        true
    }

    fn take_back(&mut self) {
        self.denied = Some(Denied { wanted: self.used(), by_budget: false });
        self.used = self.used.saturating_sub(std::mem::take(&mut self.last));
    }
}

#[wasmtime_wasi::async_trait]
impl ResourceLimiterAsync for MemoryAccount {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current as u64, desired as u64, maximum.map(|maximum| maximum as u64)).await)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    async fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| (elements as u64).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired), maximum.map(bytes)).await)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_PER_COMPONENT_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_COMPONENT_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_COMPONENT_MAX as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(limit: u64) -> MemoryAccount {
        MemoryAccount::new(limit, Share::unlimited(), HostBytes::default())
    }

    async fn grow(account: &mut MemoryAccount, from: usize, to: usize) -> bool {
        account.memory_growing(from, to, None).await.expect("answers")
    }

    #[tokio::test]
    async fn the_limit_is_over_the_sum_of_all_memories_and_tables() {
        let mut account = account(1000);
        assert!(grow(&mut account, 0, 400).await);
        assert!(grow(&mut account, 0, 400).await);
        assert!(!account.table_growing(0, 26, None).await.expect("answers"), "26 elements are 208 bytes");
        let denied = Denied { wanted: 1008, by_budget: false };
        assert_eq!((account.used(), account.peak(), account.denied()), (800, 800, Some(denied)));
        assert!(account.table_growing(0, 25, None).await.expect("answers"));
        assert_eq!(account.peak(), 1000);
    }

    #[tokio::test]
    async fn a_growth_that_failed_after_all_is_taken_back() {
        let mut account = account(1000);
        assert!(grow(&mut account, 100, 600).await);
        account.memory_grow_failed(wasmtime::Error::msg("no")).expect("goes on");
        assert_eq!((account.used(), account.denied().map(|denied| denied.wanted)), (0, Some(500)));
    }

    #[tokio::test]
    async fn what_the_host_keeps_counts_until_it_is_dropped() {
        let mut account = account(1000);
        assert!(grow(&mut account, 0, 600).await);
        let kept = account.keep(300).expect("there is room");
        assert!(account.keep(101).is_none());
        assert!(!grow(&mut account, 600, 701).await);
        drop(kept);
        assert!(grow(&mut account, 600, 1000).await);
        assert_eq!((account.used(), account.peak()), (1000, 1000));
    }
}
