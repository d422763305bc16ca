//! The port to the job executors: what runs one attempt, and what looks into a plugin before it is registered.
//!
//! # The contract
//!
//! * An executor never fails for a guest's fault: whatever a guest does comes back as a [`Finished`].
//! * It asks `control.may_begin` when all that it had to wait for is there, and runs nothing of the task where the answer is no; the verdict
//!   is [`Verdict::Cancelled`] then.
//! * It holds the limits it is given, whatever the guest does: fuel, time, memory, size of the result.
//! * A result that it answers can be read: it is a document of its encoding, nested no deeper than arguments may be.
//! * It ends soon after `control.cancel` fires, in any state of the guest. Dropping the future of [`Executor::run`] stops the guest too.
//! * It says nothing to the store. What a guest says while it runs goes through `control.reports`, which has a bound; when
//!   that is full the executor waits for a moment or drops and counts, it never grows.

pub mod returned;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Instant, sleep_until_instant};
use crate::config::Caps;
use crate::model::limits::ATTEMPT_LOG_MIN;
use crate::model::{
    BucketName, Digest, Effects, Grant, Import, Job, JobError, JobSettings, KvEntry, KvKey, LogLine, MemoryLoad,
    Payload, PluginName, Progress, SchedulerId, SecretName, SecretValue, Target, TaskDeclaration, TaskName, Timestamp,
    Usage,
};

/// Runs attempts.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Runs one attempt to its end.
    async fn run(&self, invocation: Invocation, control: RunControl) -> Finished;

    /// What it can run of what names it. Jobs that it cannot run are not claimed, and wait for a worker that can.
    fn offers(&self) -> Offers {
        Offers::Plugins
    }

    /// How much memory its attempts have together, where it bounds that.
    fn memory_load(&self) -> Option<MemoryLoad> {
        None
    }
}

/// What an executor can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offers {
    /// Any function of any plugin.
    Plugins,
    /// These native functions.
    Functions(Vec<TaskName>),
}

/// What an attempt runs: the answer to a task's target at the time when the first attempt at the job begins.
#[derive(Debug, Clone)]
pub struct Runnable {
    /// The task's target.
    pub target: Target,
    /// The plugin's version that the job is on; `None` for a native function.
    pub plugin: Option<RunnablePlugin>,
}

/// The version of a plugin that an attempt runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnablePlugin {
    /// The plugin's name.
    pub name: PluginName,
    /// The SHA-256 of the component.
    pub digest: Digest,
    /// What it may do.
    pub grants: Arc<[Grant]>,
}

/// One attempt to be run.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The job, with the attempt counted and the lease set.
    pub job: Arc<Job>,
    /// What to run.
    pub runnable: Arc<Runnable>,
    /// What it may use.
    pub limits: Limits,
    /// The scheduler that runs it.
    pub scheduler_id: SchedulerId,
    /// When the attempt began, by the store's time.
    pub started_at: Timestamp,
}

/// The time during an attempt: the store's when it began, and from there by the monotonic clock. So what a job shows, what its lines are
/// stamped with and what its code sees agree with each other, whatever the time of day is on the host, and whoever sets it.
#[derive(Debug, Clone)]
pub struct AttemptClock {
    machine: Arc<dyn Clock>,
    started_at: Timestamp,
    began: Instant,
}

impl AttemptClock {
    /// The clock of an attempt that begins now, which is `started_at` by the store's time.
    pub fn begin(machine: Arc<dyn Clock>, started_at: Timestamp) -> AttemptClock {
        let began = machine.monotonic();
        AttemptClock { machine, started_at, began }
    }

    /// How long the attempt has lasted.
    pub fn elapsed(&self) -> Duration {
        self.machine.monotonic().saturating_since(self.began)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.started_at.saturating_add(self.elapsed())
    }

    /// Waits until the attempt has lasted for `span`.
    pub async fn wait_for(&self, span: Duration) {
        sleep_until_instant(&*self.machine, self.began.saturating_add(span)).await;
    }
}

/// What one attempt may use: what the job asks for, within the operator's caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time.
    pub timeout: Duration,
    /// Fuel.
    pub fuel: u64,
    /// Memory over all memories and tables, in bytes.
    pub memory_bytes: u64,
    /// Size of the result, in bytes.
    pub result_bytes: usize,
    /// Captured log, in bytes.
    pub log_bytes: usize,
    /// Captured log, in lines.
    pub log_lines: usize,
    /// Files and folders open at the same time.
    pub open_files: usize,
    /// Connections of HTTP open at the same time.
    pub http_connections: usize,
    /// Size of the body of an HTTP request or response, in bytes.
    pub http_body_bytes: u64,
    /// Size of a bucket that it writes to, in bytes.
    pub kv_bucket_bytes: u64,
}

impl Limits {
    /// What an attempt of a job with these settings may use, within the operator's caps.
    pub fn of(settings: &JobSettings, caps: &Caps) -> Limits {
        // All attempts of a job together log no more than a job may, unless there are so many that each would be left with nothing.
        let attempts = usize::try_from(settings.max_attempts).unwrap_or(usize::MAX).max(1);
        let share = |of_job: usize, min: usize| (of_job / attempts).max(min);
        Limits {
            timeout: settings.timeout.min(caps.timeout),
            fuel: settings.fuel.min(caps.fuel),
            memory_bytes: settings.memory_bytes.min(caps.memory_bytes),
            result_bytes: caps.result_bytes,
            log_bytes: caps.log_bytes.min(share(caps.job_log_bytes, ATTEMPT_LOG_MIN.0)),
            log_lines: caps.log_lines.min(share(caps.job_log_lines, ATTEMPT_LOG_MIN.1)),
            open_files: caps.open_files,
            http_connections: caps.http_connections,
            http_body_bytes: caps.http_body_bytes,
            kv_bucket_bytes: caps.kv_bucket_bytes,
        }
    }
}

/// How an attempt is controlled while it runs.
#[derive(Debug, Clone)]
pub struct RunControl {
    /// Asked last of all before the task's own code begins.
    pub may_begin: MayBegin,
    /// Fires when the attempt is asked to stop; the guest sees it as `is-cancelled`.
    pub cancel: CancellationToken,
    /// Fires when the grace period for that is over: the guest is stopped wherever it is.
    pub kill: CancellationToken,
    /// Where the guest's lines and progress go.
    pub reports: mpsc::Sender<Report>,
}

/// Whether an attempt may begin, as an answer for this moment.
///
/// The lease of its job may be over by the time at which everything is there that it had to wait for: the process was stopped meanwhile, and
/// whoever keeps leases has not come round yet. Somebody else may have begun the job.
#[derive(Clone)]
pub struct MayBegin(Arc<dyn Fn() -> bool + Send + Sync>);

impl MayBegin {
    /// One that asks `may_begin`.
    pub fn new(may_begin: impl Fn() -> bool + Send + Sync + 'static) -> MayBegin {
        MayBegin(Arc::new(may_begin))
    }

    /// Whether it may begin now.
    pub fn ask(&self) -> bool {
        (self.0)()
    }
}

impl Default for MayBegin {
    /// For an attempt without a lease: it may.
    fn default() -> MayBegin {
        MayBegin::new(|| true)
    }
}

impl fmt::Debug for MayBegin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MayBegin").finish_non_exhaustive()
    }
}

/// Something a guest says while it runs.
#[derive(Debug, Clone)]
pub enum Report {
    /// A line of its log, stdout or stderr.
    Line(LogLine),
    /// How far it has come; only the latest counts.
    Progress(Progress),
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// What came of it.
    pub verdict: Verdict,
    /// What it cost. `queued` is not the executor's to know and stays zero.
    pub usage: Usage,
    /// What the guest asked for, to be stored with its success.
    pub effects: Effects,
}

impl Finished {
    /// That end, of an attempt that cost nothing and asked for nothing.
    pub fn of(verdict: Verdict) -> Finished {
        Finished { verdict, usage: Usage::default(), effects: Effects::default() }
    }

    /// That end, of an attempt that took so long and asked for nothing.
    pub fn after(wall: Duration, verdict: Verdict) -> Finished {
        Finished { usage: Usage { wall, ..Usage::default() }, ..Finished::of(verdict) }
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The task returned this.
    Success(Payload),
    /// It failed.
    Failure {
        /// Why.
        error: JobError,
        /// Whether another attempt may help.
        retry: Retry,
    },
    /// It stopped because it was asked to.
    Cancelled,
}

/// Whether another attempt may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No: it would fail again.
    Never,
    /// Yes, after the usual pause.
    Backoff,
    /// Yes, after this pause, which the guest asked for.
    After(Duration),
}

/// Where an executor finds the bytes of a plugin that it has not compiled yet.
#[async_trait]
pub trait PluginSource: Send + Sync {
    /// The component of that digest; `None` where there is none. The error is a sentence for people.
    async fn plugin_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String>;

    /// Whether the component of that digest may run here. Asked before it is made ready, also where it was compiled before. The error is a
    /// sentence for people.
    async fn may_run(&self, _digest: &Digest) -> Result<(), String> {
        Ok(())
    }
}

/// Reads what plugins keep between jobs, as it is stored at the moment.
#[async_trait]
pub trait KvReader: Send + Sync {
    /// The entry under a key. The error is a sentence for people.
    async fn kv_get(&self, bucket: &BucketName, key: &KvKey) -> Result<Option<KvEntry>, String>;

    /// Keys that begin with `prefix`, in order, after the given one: at most `limit`, and whether there may be more.
    async fn kv_keys(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<&KvKey>,
        limit: usize,
    ) -> Result<(Vec<KvKey>, bool), String>;
}

/// Knows the values of secrets, as they are set at the moment.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The value of a secret; `None` where none is set. The error is a sentence for people, without any part of the value.
    async fn secret(&self, name: &SecretName) -> Result<Option<SecretValue>, String>;
}

/// Looks into a component before it is registered: validates it, compiles it, and asks it for its tasks, under limits.
#[async_trait]
pub trait PluginInspector: Send + Sync {
    /// The report on `component`, which is to have `grants`.
    ///
    /// # Errors
    /// [`InspectError`] says what is wrong with it and what to do.
    async fn inspect(&self, component: Vec<u8>, grants: &[Grant]) -> Result<Inspection, InspectError>;
}

/// What a component is and offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// What it imports.
    pub imports: Vec<Import>,
    /// The tasks it offers, valid and without doubles.
    pub tasks: Vec<TaskDeclaration>,
    /// What its memory costs every job.
    pub footprint: Footprint,
}

/// What a plugin's memory costs every job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Memory that an instance has at its start, over all its memories, in bytes.
    pub initial_memory_bytes: u64,
    /// Fuel that listing the tasks burned.
    pub list_fuel: u64,
    /// How long it took to compile.
    pub compile: Duration,
}

/// Why a component was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InspectError {
    /// What is wrong, for people.
    pub reason: String,
    /// What causes it, outermost first.
    pub context: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}
