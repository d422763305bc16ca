//! Jobs: requests to run a task once.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Timestamp;
use super::hooks::Hooks;
use super::id::{Digest, ExecutorName, JobId, LeaseToken, QueueName, ScheduleId, ScheduleLife, SchedulerId, TaskId};
use super::limits::CRASH_RETRIES_DEFAULT;
use super::outcome::{JobError, Outcome, Usage};
use super::payload::{Metadata, Payload};
use super::retry::Backoff;
use super::settings::ResolvedSettings;

/// What a job is to do: fixed when it is created.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// Made by whoever queues it, so that queueing it twice queues it once.
    pub id: JobId,
    /// The task it runs.
    pub task_id: TaskId,
    /// The schedule that made it, where one did.
    pub schedule_id: Option<ScheduleId>,
    /// Tells a fire of this schedule from one of an earlier schedule of the same id.
    pub schedule_life: ScheduleLife,
    /// The fire time it was made for; unique among the jobs of one life of a schedule.
    pub scheduled_fire_time: Option<Timestamp>,
    /// How much later than its fire time it may be started, drawn at random when it was made.
    pub jitter: Duration,
    /// At most `limits::ARGS_BYTES_MAX`, or what the operator set instead.
    pub args: Payload,
    /// The settings it inherited.
    pub settings: JobSettings,
    /// Before this time it is not started.
    pub due_at: Timestamp,
    /// After this time it is not started either, and ends as missed.
    pub start_deadline: Option<Timestamp>,
    /// By the store's clock where it has one, as all times of a job are.
    pub created_at: Timestamp,
}

impl JobSpec {
    /// What the job was made for, where a schedule made it: there is no second job for the same.
    pub fn fire(&self) -> Option<FireKey> {
        let (schedule_id, at) = (self.schedule_id.clone()?, self.scheduled_fire_time?);
        Some(FireKey { schedule_id, life: self.schedule_life, at })
    }

    /// Whether somebody asked for this job of a schedule, which did not fire for it.
    pub fn is_manual(&self) -> bool {
        self.schedule_id.is_some() && self.scheduled_fire_time.is_none()
    }

    /// The schedule that is concerned by how the job ends, where one is.
    pub fn concerned(&self) -> Option<ConcernedSchedule> {
        let JobSettings { pause_after, until_success, .. } = self.settings;
        let id = self.schedule_id.clone().filter(|_| pause_after.is_some() || until_success)?;
        Some(ConcernedSchedule { id, life: self.schedule_life, pause_after })
    }

    /// A job that no schedule made: asked for at `now`, due at once.
    pub fn direct(id: JobId, task_id: TaskId, args: Payload, settings: JobSettings, now: Timestamp) -> JobSpec {
        JobSpec {
            id,
            task_id,
            schedule_id: None,
            schedule_life: ScheduleLife::default(),
            scheduled_fire_time: None,
            jitter: Duration::ZERO,
            args,
            settings,
            due_at: now,
            start_deadline: None,
            created_at: now,
        }
    }
}

/// A fire of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FireKey {
    /// Need not exist any more.
    pub schedule_id: ScheduleId,
    /// Which of the schedules that had this id one after the other.
    pub life: ScheduleLife,
    /// When it was to fire, whenever it did.
    pub at: Timestamp,
}

/// A schedule that may be paused or finished by how one of its jobs ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConcernedSchedule {
    /// Need not exist any more.
    pub id: ScheduleId,
    /// Which of the schedules that had this id one after the other.
    pub life: ScheduleLife,
    /// After how many failures in a row it is paused, unless it says so itself.
    pub pause_after: Option<NonZeroU32>,
}

/// The settings that a job carries, inherited once and for all when it was created.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSettings {
    /// The executor, where one was named.
    pub executor: Option<ExecutorName>,
    /// The queue it waits in.
    pub queue: QueueName,
    /// The value that it shares with other jobs of its task, so that only so many of them run at once.
    pub concurrency_key: Option<String>,
    /// What keeps a second job of its task from being queued, where there is something.
    pub unique_key: Option<UniqueKey>,
    /// The group that it was put into, so that its jobs are listed, cancelled and tried again together; 1 to `limits::GROUP_BYTES_MAX`
    /// bytes.
    pub group: Option<String>,
    /// Wall-clock limit of one attempt.
    pub timeout: Duration,
    /// Fuel of one attempt.
    pub fuel: u64,
    /// Memory of one attempt, in bytes.
    pub memory_bytes: u64,
    /// How often the job is tried in all.
    pub max_attempts: u32,
    /// How many crashes of a worker it survives beyond its own attempts.
    pub crash_retries: u32,
    /// The pauses between attempts.
    pub backoff: Backoff,
    /// Jobs of higher priority start first.
    pub priority: i32,
    /// How long it is kept after it ended; zero keeps no result.
    pub result_ttl: Duration,
    /// The version of the plugin that was asked for, whichever is current.
    pub version: Option<Digest>,
    /// After how many failures in a row its schedule was to be paused when the job was made; `None` for never. What the schedule itself says
    /// when the job ends goes over it.
    pub pause_after: Option<NonZeroU32>,
    /// Whether its schedule was to be finished with the first success when the job was made.
    pub until_success: bool,
    /// The tasks that run when it has ended.
    pub hooks: Hooks,
    /// Whether it was asked for a fire time that had passed. How it ends does not concern its schedule.
    pub backfill: bool,
    /// Metadata of task, schedule and job, merged.
    pub metadata: Metadata,
}

/// A key that only one job of a task has at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueKey {
    /// 1 to `limits::UNIQUE_KEY_BYTES_MAX` bytes.
    pub key: String,
    /// From then on the next job may have it; `None`: as long as the job is kept.
    pub until: Option<Timestamp>,
}

impl UniqueKey {
    /// Whether a job that is there still has the key.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl ResolvedSettings {
    /// What a job with these arguments takes along of the settings that hold for it when it is created.
    pub fn for_job(self, args: &Payload) -> JobSettings {
        let concurrency_key = self.concurrency_key.and_then(|key| key.of(args, &self.metadata));
        JobSettings {
            executor: self.executor,
            queue: self.queue,
            concurrency_key,
            unique_key: None,
            group: None,
            timeout: self.timeout,
            fuel: self.fuel,
            memory_bytes: self.memory_bytes,
            max_attempts: self.max_attempts,
            crash_retries: CRASH_RETRIES_DEFAULT,
            backoff: self.backoff,
            priority: self.priority,
            result_ttl: self.result_ttl,
            version: self.version,
            pause_after: self.pause_after.failures(),
            until_success: self.until_success,
            hooks: self.hooks,
            backfill: false,
            metadata: self.metadata,
        }
    }
}

/// Where a job is in its life.
///
/// ```text
///              acquire                 release: finished
///   queued ───────────────► running ──────────────────────► finished
///     ▲ │                     │                                ▲
///     │ └── cancel, deadline ─┼────────────────────────────────┘
///     └────────────────────── ┘  release: retry, give back; lease ran out
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waiting to be acquired, now or when it is due.
    Queued,
    /// Leased to a worker.
    Running,
    /// Ended; see its [`Outcome`].
    Finished,
}

super::outcome::names! { JobState {
    Queued => "queued",
    Running => "running",
    Finished => "finished",
} }

/// A job as a store holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What it is to do.
    pub spec: JobSpec,
    /// Where it is in its life.
    pub state: JobState,
    /// Attempts begun so far.
    pub attempt: u32,
    /// Attempts that ended with the disappearance of their worker.
    pub crashes: u32,
    /// That somebody asked for it to stop, where somebody did.
    pub cancel_requested: Option<CancelRequest>,
    /// The claim of the worker that runs it.
    pub lease: Option<Lease>,
    /// Who ran it last.
    pub scheduler_id: Option<SchedulerId>,
    /// The version of the plugin that its last attempt ran, and that the next one will run. Of a job that runs it is known from its second
    /// attempt on, and where another version has become current since it began.
    pub plugin_digest: Option<Digest>,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// What its last attempt said of its progress.
    pub progress: Option<Progress>,
    /// How it ended; `Some` exactly when it is finished.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it returned, while that is kept.
    pub result: Option<Payload>,
    /// Why it failed; of a queued job, why its last attempt did.
    pub error: Option<JobError>,
    /// What its last attempt cost.
    pub usage: Option<Usage>,
    /// When it and its result are cleaned up.
    pub expires_at: Option<Timestamp>,
}

impl Job {
    /// A job that has just been queued.
    pub fn queued(spec: JobSpec) -> Job {
        Job {
            spec,
            state: JobState::Queued,
            attempt: 0,
            crashes: 0,
            cancel_requested: None,
            lease: None,
            scheduler_id: None,
            plugin_digest: None,
            started_at: None,
            progress: None,
            outcome: None,
            finished_at: None,
            result: None,
            error: None,
            usage: None,
            expires_at: None,
        }
    }

    /// The version of its plugin that the next attempt runs, where that is settled: the one that was asked for, or that it has begun with.
    /// Otherwise it is the current one.
    pub fn version(&self) -> Option<Digest> {
        self.spec.settings.version.or(self.plugin_digest)
    }

    /// Whether another attempt is left after the running one has failed. Crashes of workers that are forgiven
    /// (`crash_retries`) do not count as attempts.
    pub fn has_attempt_left(&self) -> bool {
        let forgiven = self.crashes.min(self.spec.settings.crash_retries);
        self.attempt.saturating_sub(forgiven) < self.spec.settings.max_attempts
    }
}

/// That somebody asked a running job to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CancelRequest {
    /// How long it may take for that before it is stopped; `None`: as long as its worker lets jobs take.
    pub grace: Option<Duration>,
}

impl CancelRequest {
    /// What holds when somebody asks once more: a grace period that was asked for holds until another one is.
    #[must_use]
    pub fn after(self, earlier: Option<CancelRequest>) -> CancelRequest {
        CancelRequest { grace: self.grace.or_else(|| earlier.and_then(|earlier| earlier.grace)) }
    }
}

/// A claim that ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub holder: SchedulerId,
    /// What the holder shows with every write.
    pub token: LeaseToken,
    /// When it ends unless it is extended.
    pub expires_at: Timestamp,
}

/// What a guest says of how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, where that is known.
    pub total: Option<u64>,
    /// A note for people; may be empty.
    pub note: String,
}

/// One captured line of an attempt's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The attempt that wrote it.
    pub attempt: u32,
    /// Its place among the lines of that attempt, from 0.
    pub sequence: u32,
    /// When it was written.
    pub at: Timestamp,
    /// Where it came from, and how grave it is.
    pub level: LogLevel,
    /// What part of the guest wrote it; `stdout` and `stderr` for output.
    pub target: String,
    /// The text, without its line end.
    pub message: String,
    /// Named values beside the text.
    pub fields: Vec<(String, String)>,
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the usual five levels")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

super::outcome::names! { LogLevel {
    Trace => "trace",
    Debug => "debug",
    Info => "info",
    Warn => "warn",
    Error => "error",
} }
