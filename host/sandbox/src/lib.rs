//! The sandbox: runs the tasks of plugins, each attempt in a fresh instance of its component, with nothing but the rights
//! that were granted and within limits on fuel, time, memory and output.
//!
//! ```text
//!   bytes ── outline ──► load ──► registry ──► invoke ──► fault ──► verdict
//!            (refuse)    (compiler,  (ready      (one       (words,
//!                         cache)      plugins)    attempt)   backtrace)
//! ```
//!
//! What can be done once for a plugin version is done once: looking into it, compiling, linking, opening its folders. What
//! is left for an attempt is a store, an instance, a call, and throwing both away.
//!
//! Guests run on threads of their own. The scheduler's threads only wait for them, so that a lease is renewed however much
//! the guests compute.
//!
//! wasmtime and everything that comes with it lives here and nowhere else.

mod abi;
mod backtrace;
mod budget;
mod cache;
mod code;
mod compiler;
mod complexity;
mod denials;
mod engine;
mod fault;
mod files;
mod grants;
mod http;
mod inspect;
mod invoke;
mod kv;
mod load;
mod machine;
mod memory;
mod names;
mod open_files;
mod outline;
mod output;
mod poll;
mod pool;
mod processors;
mod quota;
mod random;
mod refusal;
mod registry;
mod secrets;
mod sockets;
mod state;
mod streams;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use host_core::{clock, config, executor, model};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

pub use self::compiler::{ChildCompiler, Compiler, serve_if_asked};
pub use self::http::Resolver;

use self::budget::{Budget, Share};
use self::cache::CodeCache;
use self::engine::Threads;
use self::grants::{FolderUnavailable, OpenGrants};
use self::http::HttpService;
use self::invoke::Attempt;
use self::kv::KvService;
use self::load::{Loader, Prepared};
use self::pool::Pool;
use self::processors::{Processors, TimeSlice};
use self::refusal::{Refusal as _, refused};
use self::registry::Registry;
use self::secrets::SecretService;
use crate::clock::{Clock, Stopwatch};
use crate::config::CompilerLimits;
use crate::executor::{
    AttemptClock, Executor, Finished, Footprint, InspectError, Inspection, Invocation, KvReader, PluginInspector,
    PluginSource, Retry, RunControl, RunnablePlugin, SecretSource, Verdict,
};
use crate::model::limits::MEMORY_BYTES_DEFAULT;
use crate::model::{ErrorKind, Grant, JobError, MemoryLoad};

/// How the sandbox is set up.
pub struct WasmOptions {
    /// Where compiled code is kept; `None` compiles anew in every process.
    pub cache_dir: Option<PathBuf>,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// How many attempts may run at the same time. More than that wait for a place.
    pub concurrency: u32,
    /// The most memory that the operator lets any job have: a plugin that needs more to begin with is refused.
    pub memory_bytes_max: u64,
    /// Memory that all attempts may have together, in bytes; `None`: three quarters of what the machine or the control group has.
    pub memory_total: Option<u64>,
    /// How long a job waits for its plugin to be loaded: compiled, where nobody did that before, and its folders opened.
    pub loading_max: Duration,
    /// Where plugins come from.
    pub source: Arc<dyn PluginSource>,
    /// Where buckets of keys and values are; `None`: they are empty, and what is written there is the business of whoever runs attempts.
    pub kv: Option<Arc<dyn KvReader>>,
    /// What knows the values of secrets; `None`: none is set.
    pub secrets: Option<Arc<dyn SecretSource>>,
    /// The time of day, for log lines.
    pub clock: Arc<dyn Clock>,
    /// What looks up the names of servers that plugins speak to; `None`: the system.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// Authorities, in a PEM file, that may vouch for those servers besides the system's.
    pub authorities: Option<PathBuf>,
}

impl WasmOptions {
    /// The usual set-up over the plugins of `source`: room for a hundred attempts, no cache, compiled by a child process where this program
    /// can do that ([`serve_if_asked`]).
    pub fn new(source: Arc<dyn PluginSource>, clock: Arc<dyn Clock>) -> WasmOptions {
        WasmOptions {
            cache_dir: None,
            compiler: Compiler::of_this_program(CompilerLimits::default()),
            concurrency: 100,
            memory_bytes_max: MEMORY_BYTES_DEFAULT,
            memory_total: None,
            loading_max: LOADING_MAX_DEFAULT,
            source,
            kv: None,
            secrets: None,
            clock,
            resolver: None,
            authorities: None,
        }
    }
}

/// The sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the sandbox: {reason}")]
pub struct SandboxError {
    reason: String,
}

/// Instances beyond the attempts' that the pool has room for: registrations look into plugins meanwhile.
const INSPECTIONS_MAX: u32 = 2;
/// Threads that open granted folders.
const FOLDER_THREADS_MAX: usize = 8;
const LOADING_MAX_DEFAULT: Duration = Duration::from_secs(300);
/// Most attempts at the same time: the pool's address space, at 16 GiB for each, must fit into that of a process.
const CONCURRENCY_MAX: u32 = 4_096;

/// Runs and inspects plugins.
///
/// Dropping it stops all guests at their next tick, without waiting for them.
pub struct WasmExecutor {
    registry: Registry,
    loader: Arc<Loader>,
    places: Arc<Semaphore>,
    inspections: Semaphore,
    memory_bytes_max: u64,
    budget: Arc<Budget>,
    file_places: Arc<Semaphore>,
    processors: Arc<Processors>,
    http: Arc<HttpService>,
    kv: Arc<KvService>,
    secrets: Arc<SecretService>,
    loading_max: Duration,
    clock: Arc<dyn Clock>,
    // Last: guests hold stores, which must not outlive what they were made of.
    guests: Threads,
    // Held only, so that it ends with the sandbox.
    _loading: Threads,
}

impl WasmExecutor {
    /// Sets up the sandbox: engine, threads, cache.
    ///
    /// # Errors
    /// The system gives no threads, or its processor is not supported.
    pub fn new(options: WasmOptions) -> Result<WasmExecutor, SandboxError> {
        let concurrency = options.concurrency.clamp(1, CONCURRENCY_MAX);
        let reason = |error: wasmtime::Error| SandboxError { reason: format!("{error:#}") };
        let no_threads = |error: std::io::Error| SandboxError { reason: error.to_string() };
        let engine = engine::start(concurrency + INSPECTIONS_MAX).map_err(reason)?;
        let guests = Threads::for_guests().map_err(no_threads)?;
        let loading = Threads::for_loading().map_err(no_threads)?;
        let opening = Pool::start("granted-folders", FOLDER_THREADS_MAX).map_err(no_threads)?;
        let http = HttpService::new(options.resolver, options.authorities).map_err(no_threads)?;
        let cache = CodeCache::open(options.cache_dir);
        let loader = Loader::new(engine, cache, options.compiler, loading.handle().clone()).map_err(reason)?;
        Ok(WasmExecutor {
            registry: Registry::new(Arc::clone(&loader), options.source, loading.handle().clone(), opening),
            loader,
            places: Arc::new(Semaphore::new(concurrency as usize)),
            inspections: Semaphore::new(INSPECTIONS_MAX as usize),
            memory_bytes_max: options.memory_bytes_max,
            budget: Budget::new(options.memory_total.unwrap_or_else(usual_memory_total)),
            file_places: Arc::new(Semaphore::new(machine::open_files_max() / 2)),
            processors: Processors::new(engine::guest_threads()),
            http,
            kv: KvService::new(options.kv),
            secrets: SecretService::new(options.secrets),
            loading_max: options.loading_max,
            clock: options.clock,
            guests,
            _loading: loading,
        })
    }

    /// Everything that an attempt needs and may have to wait for.
    async fn get_ready(&self, invocation: &Invocation) -> Result<Ready, NotReady> {
        let plugin = invocation.runnable.plugin.as_ref().ok_or_else(|| {
            let what =
                format!("`{}` is no function of a plugin that this host has", invocation.runnable.target.function());
            JobError::new(ErrorKind::PluginUnavailable, what)
        })?;
        let (prepared, grants) = self.load(plugin).await?;
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_closed| stopping())?;
        let (task, limit) = (invocation.runnable.target.function(), invocation.limits.memory_bytes);
        let share = self.budget.admit(plugin.digest, task, limit).await;
        Ok(Ready { prepared, grants, place, share })
    }

    /// The plugin and its folders, within a limit of their own: neither a data store nor a disk that does not answer may hold a job
    /// for ever. The job's own time limit begins when its guest does, as it is not the job's fault that its plugin was never
    /// compiled here before.
    #[expect(clippy::disallowed_methods, reason = "bounds the wait for compiler and disk; no store call is raced here")]
    async fn load(&self, plugin: &RunnablePlugin) -> Result<(Arc<Prepared>, Arc<OpenGrants>), NotReady> {
        let limit = self.loading_max;
        let loading = async {
            let prepared = self.registry.prepared(plugin.digest).await.map_err(unavailable)?;
            Ok((prepared, self.grants(plugin).await?))
        };
        tokio::time::timeout(limit, loading).await.unwrap_or_else(|_late| {
            let what = format!("the plugin was not loaded within {limit:?}");
            Err(JobError::new(ErrorKind::TimedOut, what).into())
        })
    }

    async fn grants(&self, plugin: &RunnablePlugin) -> Result<Arc<OpenGrants>, NotReady> {
        self.registry.grants(plugin).await.map_err(|error| {
            // A folder that was exchanged is for the operator to put right; one that cannot be opened may come back by itself.
            let (kind, retry) = match error {
                FolderUnavailable::Replaced { .. } => (ErrorKind::Denied, Retry::Never),
                FolderUnavailable::Closed { .. } => (ErrorKind::HostError, Retry::Backoff),
            };
            let mut job_error = JobError::new(kind, error.to_string());
            job_error.context.extend(std::error::Error::source(&error).map(ToString::to_string));
            job_error.context.push(error.way_out().to_owned());
            NotReady { error: job_error, retry }
        })
    }
}

/// What an attempt begins with.
struct Ready {
    prepared: Arc<Prepared>,
    grants: Arc<OpenGrants>,
    place: OwnedSemaphorePermit,
    share: Share,
}

/// Why an attempt cannot begin.
struct NotReady {
    error: JobError,
    retry: Retry,
}

impl From<JobError> for NotReady {
    fn from(error: JobError) -> NotReady {
        NotReady { error, retry: Retry::Backoff }
    }
}

/// Three quarters of what there is: the rest is for the host itself, the compiler and the system.
fn usual_memory_total() -> u64 {
    /// Where the system does not say how much there is.
    const UNKNOWN: u64 = 4 << 30;
    machine::memory_bytes().unwrap_or(UNKNOWN) / 4 * 3
}

fn unavailable(error: InspectError) -> JobError {
    JobError { context: error.context, ..JobError::new(ErrorKind::PluginUnavailable, error.reason) }
}

fn stopping() -> JobError {
    JobError::new(ErrorKind::HostError, "the host is stopping")
}

#[async_trait]
impl Executor for WasmExecutor {
    fn memory_load(&self) -> Option<MemoryLoad> {
        Some(self.budget.load())
    }

    /// Dropping the future stops the guest at its next tick, or at once where it waits for the host.
    async fn run(&self, invocation: Invocation, control: RunControl) -> Finished {
        let elapsed = Stopwatch::start();
        let clock = AttemptClock::begin(Arc::clone(&self.clock), invocation.started_at);
        let ready = tokio::select! {
            biased;
            // Nothing of the guest has begun, so being asked to stop is enough.
            () = control.cancel.cancelled() => return never_began(elapsed),
            () = control.kill.cancelled() => return never_began(elapsed),
            ready = self.get_ready(&invocation) => ready,
        };
        let Ready { prepared, grants, place, share } = match ready {
            Ok(ready) => ready,
            Err(NotReady { error, retry }) => return invoke::finished_without_guest(error, retry, elapsed),
        };
        if !control.may_begin.ask() {
            return never_began(elapsed);
        }
        let attempt = Attempt {
            prepared,
            grants,
            invocation: Arc::new(invocation),
            control,
            clock,
            place,
            share,
            budget: Arc::clone(&self.budget),
            file_places: Arc::clone(&self.file_places),
            http: Arc::clone(&self.http),
            kv: Arc::clone(&self.kv),
            secrets: Arc::clone(&self.secrets),
        };
        let task_id = attempt.invocation.job.spec.task_id.clone();
        let slice = TimeSlice::new();
        let attempt = self.processors.share(task_id, slice.clone(), invoke::run(attempt, slice));
        // The task's own panic handler is the border behind which a fault of the host in one job stays.
        let task = AbortOnDrop(self.guests.handle().spawn(attempt));
        task.join().await.unwrap_or_else(|error| {
            let job_error = match error.try_into_panic() {
                Ok(panic) => host_panic(panic.as_ref()),
                Err(_cancelled) => stopping(),
            };
            invoke::finished_without_guest(job_error, Retry::Backoff, elapsed)
        })
    }
}

fn never_began(elapsed: Stopwatch) -> Finished {
    Finished::after(elapsed.elapsed(), Verdict::Cancelled)
}

fn host_panic(panic: &(dyn std::any::Any + Send)) -> JobError {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
    let mut error = JobError::new(ErrorKind::HostError, "the host panicked while it ran the task");
    error.context.extend(message);
    tracing::error!(panic = error.context.first(), "a host function panicked");
    error
}

/// A task that is aborted when nobody waits for it any more.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[async_trait]
impl PluginInspector for WasmExecutor {
    async fn inspect(&self, component: Vec<u8>, grants: &[Grant]) -> Result<Inspection, InspectError> {
        if let Err(error) = self.registry.open(grants.into()).await {
            let refusal = refused(&error.to_string()).hint(error.way_out());
            return Err(std::error::Error::source(&error).into_iter().fold(refusal, |r, e| r.because(e.to_string())));
        }
        let compile = Stopwatch::start();
        let (prepared, outline) = self.loader.load(component).await?;
        let compile = compile.elapsed();
        let needed = prepared.smallest_memory_bytes();
        if needed > self.memory_bytes_max {
            return Err(refused(&format!(
                "the plugin needs {needed} bytes of memory to begin with; a job may have {} at most",
                self.memory_bytes_max
            ))
            .hint("raise the operator's cap on memory, or build the plugin with less static data"));
        }
        let prepared = Arc::new(prepared);
        // The semaphore is never closed.
        let _place = self.inspections.acquire().await.ok();
        let (memory, http, clock) = (self.memory_bytes_max, Arc::clone(&self.http), Arc::clone(&self.clock));
        let listed = Arc::clone(&prepared);
        let task = self.guests.handle().spawn(async move { inspect::list_tasks(&listed, memory, http, clock).await });
        let listing = AbortOnDrop(task)
            .join()
            .await
            .unwrap_or_else(|error| Err(refused("the host failed while listing tasks").because(error.to_string())))?;
        let digest = prepared.digest;
        self.registry.insert(prepared).await;
        let footprint =
            Footprint { initial_memory_bytes: listing.initial_memory_bytes, list_fuel: listing.fuel, compile };
        Ok(Inspection { digest, imports: outline.imports(), tasks: listing.tasks, footprint })
    }
}
