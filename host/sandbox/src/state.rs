//! What one instance has while it lives: its rights, its memory account, its output, and what it may know of its job.
//!
//! Made afresh for each attempt and thrown away with it. What attempts share is shared by reference counts.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::denials::Denials;
use super::engine::{CORE_INSTANCES_PER_COMPONENT_MAX, MEMORIES_PER_COMPONENT_MAX, TABLES_PER_COMPONENT_MAX};
use super::files::Origins;
use super::grants::OpenGrants;
use super::output::{CapturedStream, Output, Stream};
use crate::clock::Stopwatch;
use crate::executor::Invocation;

/// Most that a guest may hand to the host in one call, in bytes.
pub(super) const HOSTCALL_BYTES_MAX: usize = 8 << 20;
/// Most handles that a guest may hold.
const HANDLES_MAX: usize = 1_000;
/// Most resources that the host keeps for a guest: streams, files, pollables …
const RESOURCES_MAX: usize = 4_096;
/// Most random bytes that one call returns.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Everything that belongs to one instance; the data of its store.
pub(super) struct Guest {
    wasi: WasiCtx,
    /// Streams, files, pollables …
    pub(super) resources: ResourceTable,
    /// What it may do.
    pub(super) grants: Arc<OpenGrants>,
    /// Where its files and folders come from.
    pub(super) origins: Origins,
    /// What it was refused.
    pub(super) denials: Denials,
    /// The account of its memory.
    pub(super) memory: MemoryAccount,
    /// Where its words go.
    pub(super) output: Output,
    /// The job it runs; `None` while it only lists its tasks.
    pub(super) job: Option<Arc<Invocation>>,
    /// What ends it.
    pub(super) reins: Reins,
}

/// What ends a guest that does not end by itself.
pub(super) struct Reins {
    /// Asks it to stop.
    pub(super) cancel: CancellationToken,
    /// Stops it.
    pub(super) kill: CancellationToken,
    /// The time it may take.
    pub(super) timeout: Duration,
    /// The time it has taken.
    pub(super) elapsed: Stopwatch,
}

/// Why a guest was stopped at a tick of the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Interrupted {
    /// Its reins were pulled.
    #[error("stopped")]
    Killed,
    /// Its time is over.
    #[error("time limit reached")]
    TimedOut,
}

/// What a guest is made with.
pub(super) struct GuestOptions {
    /// What it may do.
    pub(super) grants: Arc<OpenGrants>,
    /// Memory over all memories and tables, in bytes.
    pub(super) memory_bytes: u64,
    /// Fuel.
    pub(super) fuel: u64,
    /// Size of a result, in bytes; what the guest may hand over at once is never less.
    pub(super) result_bytes: usize,
    /// Where its words go.
    pub(super) output: Output,
    /// The job it runs.
    pub(super) job: Option<Arc<Invocation>>,
    /// What ends it.
    pub(super) reins: Reins,
}

impl Guest {
    /// A store for one instance, with every meter set: nothing of the guest has run yet.
    ///
    /// # Errors
    /// Only where the engine was built without meters, or the system has no memory.
    pub(super) fn store(engine: &Engine, options: GuestOptions) -> wasmtime::Result<Store<Guest>> {
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(RESOURCES_MAX);
        let guest = Guest {
            wasi: wasi(&options.grants, &options.output),
            resources,
            grants: options.grants,
            origins: Origins::default(),
            denials: Denials::default(),
            memory: MemoryAccount::new(options.memory_bytes),
            output: options.output,
            job: options.job,
            reins: options.reins,
        };
        let mut store = Store::try_new(engine, guest)?;
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX.max(options.result_bytes.saturating_add(HOSTCALL_BYTES_MAX / 2)));
        store.set_max_component_handles(HANDLES_MAX);
        store.set_fuel(options.fuel)?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(at_tick);
        Ok(store)
    }
}

/// What happens to a guest that computes, every few milliseconds: it is stopped if it must, and else lets others run.
///
/// The yield goes through tokio's own, because a future that only wakes itself would be polled again at once and would
/// starve the other tasks of its thread.
fn at_tick(cx: StoreContextMut<'_, Guest>) -> wasmtime::Result<UpdateDeadline> {
    let guest = cx.data();
    guest.reins.check()?;
    guest.output.send_pending();
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
}

impl Reins {
    fn check(&self) -> Result<(), Interrupted> {
        if self.kill.is_cancelled() {
            return Err(Interrupted::Killed);
        }
        if self.elapsed.elapsed() >= self.timeout {
            return Err(Interrupted::TimedOut);
        }
        Ok(())
    }
}

/// WASI with nothing granted but the time, chance, and two captured streams to write to, plus the granted variables.
fn wasi(grants: &OpenGrants, output: &Output) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(CapturedStream { stream: Stream::Stdout, output: output.clone() })
        .stderr(CapturedStream { stream: Stream::Stderr, output: output.clone() })
        .max_random_size(RANDOM_BYTES_MAX);
    for (name, value) in grants.variables() {
        wasi.env(name, value);
    }
    wasi.build()
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

/// The memory of one instance, summed over all its memories and tables: a limit on each alone would let a guest with four
/// memories have four times as much.
pub(super) struct MemoryAccount {
    limit: u64,
    used: u64,
    peak: u64,
    /// What the growth that was allowed last added, to be taken back if it fails after all.
    last: u64,
    denied: Option<u64>,
}

/// What one element of a table takes.
const TABLE_ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

impl MemoryAccount {
    /// An empty account.
    pub(super) fn new(limit: u64) -> MemoryAccount {
        MemoryAccount { limit, used: 0, peak: 0, last: 0, denied: None }
    }

    /// What is used now, in bytes.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// The most that was used at one time, in bytes.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// What the instance would have used, had a growth not been refused.
    pub(super) fn denied(&self) -> Option<u64> {
        self.denied
    }

    fn grow(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.denied = Some(self.used.saturating_add(desired.saturating_sub(current)));
            return false;
        }
        let more = desired.saturating_sub(current);
        let wanted = self.used.saturating_add(more);
        if wanted > self.limit {
            self.denied = Some(wanted);
            return false;
        }
        self.used = wanted;
        self.last = more;
        self.peak = self.peak.max(wanted);
        true
    }

    fn take_back(&mut self) {
        self.denied = Some(self.used);
        self.used = self.used.saturating_sub(std::mem::take(&mut self.last));
    }
}

impl ResourceLimiter for MemoryAccount {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current as u64, desired as u64, maximum.map(|maximum| maximum as u64)))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| (elements as u64).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired), maximum.map(bytes)))
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

    #[test]
    fn the_limit_is_over_the_sum_of_all_memories_and_tables() {
        let mut account = MemoryAccount::new(1000);
        assert!(account.memory_growing(0, 400, None).expect("answers"));
        assert!(account.memory_growing(0, 400, None).expect("answers"));
        assert!(!account.table_growing(0, 26, None).expect("answers"), "26 elements are 208 bytes");
        assert_eq!((account.used(), account.peak(), account.denied()), (800, 800, Some(1008)));
        assert!(account.table_growing(0, 25, None).expect("answers"));
        assert_eq!(account.peak(), 1000);
    }

    #[test]
    fn a_growth_that_failed_after_all_is_taken_back() {
        let mut account = MemoryAccount::new(1000);
        assert!(account.memory_growing(100, 600, None).expect("answers"));
        account.memory_grow_failed(wasmtime::Error::msg("no")).expect("goes on");
        assert_eq!((account.used(), account.denied()), (0, Some(500)));
    }
}
