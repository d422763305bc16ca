//! The port to the job executors: what runs one attempt, and what looks into a plugin before it is registered.
//!
//! # The contract
//!
//! * An executor never fails for a guest's fault: whatever a guest does comes back as a [`Finished`].
//! * It holds the limits it is given, whatever the guest does: fuel, time, memory, size of the result.
//! * A result that it answers can be read: it is a document of its encoding, nested no deeper than arguments may be.
//! * It ends soon after `control.cancel` fires, in any state of the guest. Dropping the future of [`Executor::run`] stops the guest too.
//! * It says nothing to the store. What a guest says while it runs goes through `control.reports`, which has a bound; when
//!   that is full the executor waits for a moment or drops and counts, it never grows.

pub mod returned;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Caps;
use crate::model::{
    Digest, Effects, Grant, Import, Job, JobError, JobSettings, LogLine, Payload, PluginName, Progress, SchedulerId,
    Target, TaskDeclaration, Timestamp, Usage,
};

/// Runs attempts.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Runs one attempt to its end.
    async fn run(&self, invocation: Invocation, control: RunControl) -> Finished;
}

/// What an attempt runs: the answer to a task's target at the time when the attempt begins.
#[derive(Debug, Clone)]
pub struct Runnable {
    /// The task's target.
    pub target: Target,
    /// The current version of the plugin; `None` for a native function.
    pub plugin: Option<RunnablePlugin>,
}

/// The version of a plugin that an attempt runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnablePlugin {
    /// The plugin's name.
    pub name: PluginName,
    /// Its version.
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
    /// When the attempt began, by the clock.
    pub started_at: Timestamp,
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
}

impl Limits {
    /// What an attempt of a job with these settings may use, within the operator's caps.
    pub fn of(settings: &JobSettings, caps: &Caps) -> Limits {
        Limits {
            timeout: settings.timeout.min(caps.timeout),
            fuel: settings.fuel.min(caps.fuel),
            memory_bytes: settings.memory_bytes.min(caps.memory_bytes),
            result_bytes: caps.result_bytes,
            log_bytes: caps.log_bytes,
            log_lines: caps.log_lines,
        }
    }
}

/// The reins of one attempt.
#[derive(Debug, Clone)]
pub struct RunControl {
    /// Fires when the attempt is asked to stop; the guest sees it as `is-cancelled`.
    pub cancel: CancellationToken,
    /// Fires when the grace period for that is over: the guest is stopped wherever it is.
    pub kill: CancellationToken,
    /// Where the guest's lines and progress go.
    pub reports: mpsc::Sender<Report>,
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
