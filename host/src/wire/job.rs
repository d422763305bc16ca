//! Jobs, their errors, their cost, their log.

use serde::Serialize;
use serde_json::{Map, Value};

use super::settings::RunSettingsWire;
use super::{micros, millis, payload_value};
use crate::model::{Job, JobError, LogLine, Timestamp, Usage};

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Job"))]
pub(crate) struct JobWire {
    pub(crate) id: String,
    pub(crate) task_id: String,
    pub(crate) schedule_id: Option<String>,
    /// Whether somebody asked for this job of a schedule, which did not fire for it.
    pub(crate) manual: bool,
    /// Whether it was asked for a fire time that had passed.
    pub(crate) backfill: bool,
    pub(crate) state: &'static str,
    pub(crate) outcome: Option<&'static str>,
    pub(crate) result: Option<Value>,
    pub(crate) error: Option<JobErrorWire>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) priority: i32,
    pub(crate) queue: String,
    pub(crate) concurrency_key: Option<String>,
    pub(crate) group: Option<String>,
    /// What a due job waits for that nobody would run at the moment.
    pub(crate) waits_for: Option<String>,
    pub(crate) scheduled_fire_time: Option<String>,
    pub(crate) start_deadline: Option<String>,
    pub(crate) created_at: String,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    pub(crate) scheduler_id: Option<String>,
    pub(crate) plugin_digest: Option<String>,
    pub(crate) usage: Option<UsageWire>,
    pub(crate) metadata: Map<String, Value>,
}

/// What `jobs show` prints beside the job itself.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "JobDetails"))]
pub(crate) struct JobDetails {
    #[serde(flatten)]
    job: JobWire,
    args: Value,
    settings: RunSettingsWire,
    /// Crashes of a worker that it survives beyond its own attempts, and those it has had.
    crash_retries: u32,
    crashes: u32,
    /// How much later than its fire time it is due, drawn at random.
    jitter_us: u64,
    /// Before this time it is not started.
    due_at: String,
    /// No second job of the task is queued while this one has the key: until that time, or as long as it is kept.
    unique_key: Option<String>,
    unique_until: Option<String>,
    cancel_requested: bool,
    /// How long it may take to stop, where whoever cancelled it has said so.
    cancel_grace_ms: Option<u64>,
    /// The claim of the worker that runs it.
    lease: Option<LeaseWire>,
    progress: Option<ProgressWire>,
    /// When it is cleaned up with its result.
    expires_at: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Lease"))]
pub(crate) struct LeaseWire {
    holder: String,
    expires_at: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Progress"))]
pub(crate) struct ProgressWire {
    done: u64,
    total: Option<u64>,
    note: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "JobError"))]
pub(crate) struct JobErrorWire {
    kind: &'static str,
    message: String,
    context: Vec<String>,
    backtrace: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Usage"))]
pub(crate) struct UsageWire {
    fuel: u64,
    peak_memory_bytes: u64,
    wall_us: u64,
    queued_us: u64,
    http_requests: u64,
    http_sent_bytes: u64,
    http_received_bytes: u64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "LogLine"))]
pub(crate) struct LogLineWire {
    attempt: u32,
    sequence: u32,
    at: String,
    level: &'static str,
    target: String,
    message: String,
    fields: Map<String, Value>,
}

impl From<&Job> for JobWire {
    fn from(job: &Job) -> JobWire {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        JobWire {
            id: job.spec.id.to_string(),
            task_id: job.spec.task_id.to_string(),
            schedule_id: job.spec.schedule_id.as_ref().map(ToString::to_string),
            manual: job.spec.is_manual(),
            backfill: job.spec.settings.backfill,
            state: job.state.as_str(),
            outcome: job.outcome.map(|outcome| outcome.as_str()),
            result: job.result.as_ref().and_then(|result| payload_value(result).ok()),
            error: job.error.as_ref().map(JobErrorWire::from),
            attempt: job.attempt,
            max_attempts: job.spec.settings.max_attempts,
            priority: job.spec.settings.priority,
            queue: job.spec.settings.queue.to_string(),
            concurrency_key: job.spec.settings.concurrency_key.clone(),
            group: job.spec.settings.group.clone(),
            waits_for: None,
            scheduled_fire_time: text(job.spec.scheduled_fire_time),
            start_deadline: text(job.spec.start_deadline),
            created_at: job.spec.created_at.to_string(),
            started_at: text(job.started_at),
            finished_at: text(job.finished_at),
            scheduler_id: job.scheduler_id.as_ref().map(ToString::to_string),
            plugin_digest: job.plugin_digest.map(|digest| digest.to_string()),
            usage: job.usage.as_ref().map(UsageWire::from),
            metadata: job.spec.settings.metadata.0.clone(),
        }
    }
}

impl JobDetails {
    /// With what the job waits for, if nobody would run it at the moment.
    pub(crate) fn waiting_for(mut self, what: Option<String>) -> JobDetails {
        self.job.waits_for = what;
        self
    }
}

impl From<&Job> for JobDetails {
    fn from(job: &Job) -> JobDetails {
        JobDetails {
            job: JobWire::from(job),
            args: payload_value(&job.spec.args).unwrap_or(Value::Null),
            settings: RunSettingsWire::from(&job.spec.settings),
            crash_retries: job.spec.settings.crash_retries,
            crashes: job.crashes,
            jitter_us: micros(job.spec.jitter),
            due_at: job.spec.due_at.to_string(),
            unique_key: job.spec.settings.unique_key.as_ref().map(|unique| unique.key.clone()),
            unique_until: job
                .spec
                .settings
                .unique_key
                .as_ref()
                .and_then(|unique| unique.until)
                .map(|at| at.to_string()),
            cancel_requested: job.cancel_requested.is_some(),
            cancel_grace_ms: job.cancel_requested.and_then(|request| request.grace).map(millis),
            // Without the token: whoever shows it may write to the job.
            lease: job
                .lease
                .as_ref()
                .map(|lease| LeaseWire { holder: lease.holder.to_string(), expires_at: lease.expires_at.to_string() }),
            progress: job.progress.as_ref().map(|progress| ProgressWire {
                done: progress.done,
                total: progress.total,
                note: progress.note.clone(),
            }),
            expires_at: job.expires_at.map(|at| at.to_string()),
        }
    }
}

impl From<&JobError> for JobErrorWire {
    fn from(error: &JobError) -> JobErrorWire {
        JobErrorWire {
            kind: error.kind.as_str(),
            message: error.message.clone(),
            context: error.context.clone(),
            backtrace: error.backtrace.clone(),
        }
    }
}

impl From<&Usage> for UsageWire {
    fn from(usage: &Usage) -> UsageWire {
        UsageWire {
            fuel: usage.fuel,
            peak_memory_bytes: usage.peak_memory_bytes,
            wall_us: micros(usage.wall),
            queued_us: micros(usage.queued),
            http_requests: usage.http.requests,
            http_sent_bytes: usage.http.sent_bytes,
            http_received_bytes: usage.http.received_bytes,
        }
    }
}

impl LogLineWire {
    /// Its place in the log of its job.
    #[cfg(feature = "api")]
    pub(crate) fn place(&self) -> String {
        format!("{}-{}", self.attempt, self.sequence)
    }
}

impl From<&LogLine> for LogLineWire {
    fn from(line: &LogLine) -> LogLineWire {
        LogLineWire {
            attempt: line.attempt,
            sequence: line.sequence,
            at: line.at.to_string(),
            level: line.level.as_str(),
            target: line.target.clone(),
            message: line.message.clone(),
            fields: line.fields.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect(),
        }
    }
}
