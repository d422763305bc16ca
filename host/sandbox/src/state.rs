//! What one instance has while it lives: its rights, its memory account, its output, and what it may know of its job.
//!
//! Made afresh for each attempt and thrown away with it. What attempts share is shared by reference counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, StoreContextMut, Trap, UpdateDeadline};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::budget::Share;
use super::denials::Denials;
use super::grants::{Folder, OpenGrants};
use super::http::{Http, HttpLimits, HttpService};
use super::kv::Kv;
use super::memory::{Kept, MemoryAccount};
use super::open_files::OpenFiles;
use super::output::{CapturedStream, Output, Stream};
use super::processors::TimeSlice;
use super::quota::Quota;
use super::secrets::Secrets;
use super::work::{CALL, Work};
use crate::clock::Stopwatch;
use crate::executor::{AttemptClock, Invocation};
use crate::model::{HttpUsage, Timestamp};

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
    /// What it has open.
    pub(super) files: OpenFiles,
    /// The places for files and connections that all guests may have open.
    pub(super) file_places: Arc<Semaphore>,
    /// What it may still write into each granted folder.
    pub(super) quotas: Vec<Quota>,
    /// How many files and folders it may have open.
    pub(super) open_files: usize,
    /// Its requests to servers.
    pub(super) http: Http,
    /// What it writes to buckets.
    pub(super) kv: Kv,
    /// The secrets that it uses.
    pub(super) secrets: Secrets,
    /// Fuel that it may burn, what the host does for it included.
    pub(super) fuel: u64,
    /// What the host did for it.
    pub(super) work: Work,
    /// What it was refused.
    pub(super) denials: Denials,
    /// The account of its memory.
    pub(super) memory: MemoryAccount,
    /// Where its words go.
    pub(super) output: Output,
    /// The job it runs; `None` while it only lists its tasks.
    pub(super) job: Option<Arc<Invocation>>,
    /// The time for which it has had a processor.
    slice: TimeSlice,
    /// What ends it.
    pub(super) control: Control,
}

/// What ends a guest that does not end by itself.
pub(super) struct Control {
    /// Asks it to stop.
    pub(super) cancel: CancellationToken,
    /// Stops it.
    pub(super) kill: CancellationToken,
    /// The time it may take.
    pub(super) timeout: Duration,
    /// When that is over.
    pub(super) deadline: Timestamp,
    /// The time it has taken.
    pub(super) elapsed: Stopwatch,
}

/// Why a guest was stopped at a tick of the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Interrupted {
    /// It was killed.
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
    /// Memory over all memories and tables and what the host keeps for it, in bytes.
    pub(super) memory_bytes: u64,
    /// Its share of the memory that all attempts may have.
    pub(super) share: Share,
    /// Files and folders that it may have open at the same time.
    pub(super) open_files: usize,
    /// The places for files and connections that all guests may have open.
    pub(super) file_places: Arc<Semaphore>,
    /// What makes connections, and how many and how large they may be.
    pub(super) http: Arc<HttpService>,
    /// Likewise.
    pub(super) http_limits: HttpLimits,
    /// The buckets that it may read, and how large they may grow by what it writes.
    pub(super) kv: Kv,
    /// The secrets that it may use.
    pub(super) secrets: Secrets,
    /// Fuel.
    pub(super) fuel: u64,
    /// Size of a result, in bytes; what the guest may hand over at once is never less.
    pub(super) result_bytes: usize,
    /// Where its words go.
    pub(super) output: Output,
    /// The time it is shown.
    pub(super) clock: AttemptClock,
    /// The job it runs.
    pub(super) job: Option<Arc<Invocation>>,
    /// The time for which it has had a processor.
    pub(super) slice: TimeSlice,
    /// What ends it.
    pub(super) control: Control,
}

impl Guest {
    /// A store for one instance, with every meter set: nothing of the guest has run yet.
    ///
    /// # Errors
    /// Only where the engine was built without meters, or the system has no memory.
    pub(super) fn store(engine: &Engine, options: GuestOptions) -> wasmtime::Result<Store<Guest>> {
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(RESOURCES_MAX);
        let denials = Denials::default();
        let quota = |folder: &Folder| Quota::new(folder.quota, folder.guest.clone(), denials.clone());
        let quotas = options.grants.folders().iter().map(quota).collect();
        let guest = Guest {
            wasi: wasi(&options.grants, &options.output, options.clock),
            resources,
            grants: options.grants,
            files: OpenFiles::default(),
            file_places: options.file_places,
            quotas,
            open_files: options.open_files,
            http: Http::new(options.http, options.http_limits),
            kv: options.kv,
            secrets: options.secrets,
            fuel: options.fuel,
            work: options.output.work(),
            denials,
            memory: MemoryAccount::new(options.memory_bytes, options.share, options.output.host_bytes()),
            output: options.output,
            job: options.job,
            slice: options.slice,
            control: options.control,
        };
        let mut store = Store::try_new(engine, guest)?;
        store.limiter_async(|guest| &mut guest.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX.max(options.result_bytes.saturating_add(HOSTCALL_BYTES_MAX / 2)));
        store.set_max_component_handles(HANDLES_MAX);
        store.set_fuel(options.fuel)?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(at_tick);
        Ok(store)
    }
}

impl Guest {
    /// What it did over HTTP.
    pub(super) fn http_usage(&self) -> HttpUsage {
        self.http.usage()
    }

    /// Counts what a call handed over, and the host holds while the call waits.
    ///
    /// # Errors
    /// It is more than the guest may have: the guest traps, as with any other memory that it cannot have.
    pub(super) fn carry(&mut self, bytes: u64) -> wasmtime::Result<Kept> {
        self.memory.keep(bytes).ok_or_else(|| wasmtime::Error::msg("no memory for what the call handed over"))
    }
}

/// What happens to a guest that computes, every few milliseconds: it is stopped if it must, and else lets others run.
///
/// The yield goes through tokio's own, because a future that only wakes itself would be polled again at once and would
/// starve the other tasks of its thread.
fn at_tick(cx: StoreContextMut<'_, Guest>) -> wasmtime::Result<UpdateDeadline> {
    let guest = cx.data();
    guest.control.check()?;
    guest.output.send_pending();
    // What it burns now is still in its registers. What it burned when it last called the host is enough to know.
    let burned = guest.fuel.saturating_sub(cx.get_fuel()?);
    if burned.saturating_add(guest.work.done()) >= guest.fuel {
        return Err(Trap::OutOfFuel.into());
    }
    Ok(if guest.slice.is_over() {
        UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
    } else {
        UpdateDeadline::Continue(1)
    })
}

impl Control {
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

/// The time of day as guests see it.
struct GuestTime(AttemptClock);

impl HostWallClock for GuestTime {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        self.0.now().saturating_since(Timestamp::EPOCH)
    }
}

/// WASI with nothing granted but the time, chance, and two captured streams to write to, plus the granted variables.
fn wasi(grants: &OpenGrants, output: &Output, clock: AttemptClock) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(CapturedStream { stream: Stream::Stdout, output: output.clone() })
        .stderr(CapturedStream { stream: Stream::Stderr, output: output.clone() })
        .max_random_size(RANDOM_BYTES_MAX)
        .wall_clock(GuestTime(clock));
    for (name, value) in grants.variables() {
        wasi.env(name, value);
    }
    wasi.build()
}

impl WasiView for Guest {
    /// Every call of WASI begins here.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.work.note(CALL);
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}
