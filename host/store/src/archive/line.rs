//! The forms of lines, and records to and from them.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::Counts;
use crate::model::{
    Coalesce, Digest, Encoding, Job, JobError, JobId, JobSettings, JobSpec, JobState, Lease, LeaseToken, LogLevel,
    LogLine, Outcome, Pause, Payload, PluginName, PluginVersion, Progress, Schedule, ScheduleId, SchedulerId, Settings,
    Target, Task, TaskId, TaskName, Timestamp, Usage,
};
use crate::store::form::{Details, Stored, micros, span};

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: Cow<'static, str>,
    pub(super) version: u32,
    pub(super) exported_at: Text<Timestamp>,
}

/// Every other line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Plugin(PluginForm),
    PluginBytes(String),
    Task(Box<TaskForm>),
    Job(Box<JobForm>),
    Log(LogForm),
    Schedule(Box<ScheduleForm>),
    End(EndForm),
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndForm {
    pub(super) plugins: u64,
    pub(super) tasks: u64,
    pub(super) jobs: u64,
    pub(super) log_lines: u64,
    pub(super) schedules: u64,
    /// Of everything before this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<Text<Digest>>,
}

impl EndForm {
    pub(super) fn new(counts: Counts, digest: Digest) -> EndForm {
        let Counts { plugins, tasks, jobs, log_lines, schedules } = counts;
        EndForm { plugins, tasks, jobs, log_lines, schedules, sha256: Some(Text(digest)) }
    }

    pub(super) fn counts(&self) -> Counts {
        let EndForm { plugins, tasks, jobs, log_lines, schedules, .. } = *self;
        Counts { plugins, tasks, jobs, log_lines, schedules }
    }
}

/// A value that is written as its text.
#[derive(Debug, Clone)]
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Text).map_err(serde::de::Error::custom)
    }
}

fn text<T: Clone>(value: Option<&T>) -> Option<Text<T>> {
    value.cloned().map(Text)
}

fn plain<T>(value: Option<Text<T>>) -> Option<T> {
    value.map(|value| value.0)
}

/// Bytes as base64.
pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Bytes out of base64.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text).map_err(|error| format!("not base64: {error}"))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginForm {
    name: Text<PluginName>,
    digest: Text<Digest>,
    size_bytes: u64,
    current: bool,
    registered_at: Text<Timestamp>,
    details: <Details as Stored>::Form,
}

impl PluginForm {
    pub(super) fn new(version: &PluginVersion, is_current: bool) -> PluginForm {
        let PluginVersion { name, digest, size_bytes, imports, grants, tasks, registered_at } = version.clone();
        PluginForm {
            name: Text(name),
            digest: Text(digest),
            size_bytes,
            current: is_current,
            registered_at: Text(registered_at),
            details: Details { imports, grants, tasks }.form(),
        }
    }

    /// The version, and whether it is current.
    pub(super) fn read(self) -> Result<(PluginVersion, bool), String> {
        let PluginForm { name, digest, size_bytes, current, registered_at, details } = self;
        let Details { imports, grants, tasks } = Details::from_form(details)?;
        let (name, digest, registered_at) = (name.0, digest.0, registered_at.0);
        Ok((PluginVersion { name, digest, size_bytes, imports, grants, tasks, registered_at }, current))
    }
}

type SettingsForm = <Settings as Stored>::Form;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskForm {
    id: Text<TaskId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plugin: Option<Text<PluginName>>,
    function: Text<TaskName>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args_schema: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_schema: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    example_args: Option<String>,
    configured: SettingsForm,
    declared: SettingsForm,
    defaults: SettingsForm,
}

impl TaskForm {
    pub(super) fn new(task: &Task) -> TaskForm {
        TaskForm {
            id: Text(task.id.clone()),
            plugin: text(task.target.plugin()),
            function: Text(task.target.function().clone()),
            description: task.description.clone(),
            args_schema: task.args_schema.clone(),
            result_schema: task.result_schema.clone(),
            example_args: task.example_args.clone(),
            configured: task.configured.form(),
            declared: task.declared.form(),
            defaults: task.defaults.form(),
        }
    }

    pub(super) fn read(self) -> Result<Task, String> {
        let function = self.function.0;
        Ok(Task {
            id: self.id.0,
            target: match plain(self.plugin) {
                Some(plugin) => Target::Plugin { plugin, function },
                None => Target::Native { function },
            },
            description: self.description,
            args_schema: self.args_schema,
            result_schema: self.result_schema,
            example_args: self.example_args,
            configured: Settings::from_form(self.configured)?,
            declared: Settings::from_form(self.declared)?,
            defaults: Settings::from_form(self.defaults)?,
        })
    }
}

/// Exactly one of `text` and `base64`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PayloadForm {
    encoding: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl PayloadForm {
    fn new(payload: &Payload) -> PayloadForm {
        let encoding = Cow::Borrowed(payload.encoding.as_str());
        match std::str::from_utf8(&payload.data) {
            Ok(text) => PayloadForm { encoding, text: Some(text.to_owned()), base64: None },
            Err(_) => PayloadForm { encoding, text: None, base64: Some(encode(&payload.data)) },
        }
    }

    fn read(self) -> Result<Payload, String> {
        let known = [Encoding::Json, Encoding::Cbor].into_iter().find(|known| known.as_str() == self.encoding);
        let encoding = known.ok_or_else(|| format!("unknown encoding `{}`", self.encoding))?;
        let data = match (self.text, self.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => decode(&base64)?,
            _ => return Err("a payload has either `text` or `base64`".to_owned()),
        };
        Ok(Payload { encoding, data: Arc::from(data) })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseForm {
    holder: Text<SchedulerId>,
    token: String,
    expires_at: Text<Timestamp>,
}

impl LeaseForm {
    fn new(lease: &Lease) -> LeaseForm {
        let Lease { holder, token, expires_at } = lease.clone();
        LeaseForm { holder: Text(holder), token: encode(token.as_bytes()), expires_at: Text(expires_at) }
    }

    fn read(self) -> Result<Lease, String> {
        let token = decode(&self.token)?.try_into().map_err(|_| "a lease token has 16 bytes".to_owned())?;
        Ok(Lease { holder: self.holder.0, token: LeaseToken::from_bytes(token), expires_at: self.expires_at.0 })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobForm {
    id: Text<JobId>,
    task_id: Text<TaskId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule_id: Option<Text<ScheduleId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheduled_fire_time: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "is_default")]
    jitter: u64,
    args: PayloadForm,
    settings: <JobSettings as Stored>::Form,
    due_at: Text<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_deadline: Option<Text<Timestamp>>,
    created_at: Text<Timestamp>,
    state: Cow<'static, str>,
    attempt: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    crashes: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    cancel_requested: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheduler_id: Option<Text<SchedulerId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plugin_digest: Option<Text<Digest>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<<Progress as Stored>::Form>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<PayloadForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<<JobError as Stored>::Form>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<<Usage as Stored>::Form>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Text<Timestamp>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl JobForm {
    pub(super) fn new(job: &Job) -> JobForm {
        let spec = &job.spec;
        JobForm {
            id: Text(spec.id),
            task_id: Text(spec.task_id.clone()),
            schedule_id: text(spec.schedule_id.as_ref()),
            scheduled_fire_time: text(spec.scheduled_fire_time.as_ref()),
            jitter: micros(spec.jitter),
            args: PayloadForm::new(&spec.args),
            settings: spec.settings.form(),
            due_at: Text(spec.due_at),
            start_deadline: text(spec.start_deadline.as_ref()),
            created_at: Text(spec.created_at),
            state: Cow::Borrowed(job.state.as_str()),
            attempt: job.attempt,
            crashes: job.crashes,
            cancel_requested: job.cancel_requested,
            lease: job.lease.as_ref().map(LeaseForm::new),
            scheduler_id: text(job.scheduler_id.as_ref()),
            plugin_digest: text(job.plugin_digest.as_ref()),
            started_at: text(job.started_at.as_ref()),
            progress: job.progress.as_ref().map(Stored::form),
            outcome: job.outcome.map(|outcome| Cow::Borrowed(outcome.as_str())),
            finished_at: text(job.finished_at.as_ref()),
            result: job.result.as_ref().map(PayloadForm::new),
            error: job.error.as_ref().map(Stored::form),
            usage: job.usage.as_ref().map(Stored::form),
            expires_at: text(job.expires_at.as_ref()),
        }
    }

    pub(super) fn read(self) -> Result<Job, String> {
        let spec = JobSpec {
            id: self.id.0,
            task_id: self.task_id.0,
            schedule_id: plain(self.schedule_id),
            scheduled_fire_time: plain(self.scheduled_fire_time),
            jitter: span(self.jitter),
            args: self.args.read()?,
            settings: JobSettings::from_form(self.settings)?,
            due_at: self.due_at.0,
            start_deadline: plain(self.start_deadline),
            created_at: self.created_at.0,
        };
        let outcome = |name: Cow<'_, str>| Outcome::from_name(&name).ok_or_else(|| format!("unknown outcome `{name}`"));
        Ok(Job {
            spec,
            state: JobState::from_name(&self.state).ok_or_else(|| format!("unknown state `{}`", self.state))?,
            attempt: self.attempt,
            crashes: self.crashes,
            cancel_requested: self.cancel_requested,
            lease: self.lease.map(LeaseForm::read).transpose()?,
            scheduler_id: plain(self.scheduler_id),
            plugin_digest: plain(self.plugin_digest),
            started_at: plain(self.started_at),
            progress: self.progress.map(Progress::from_form).transpose()?,
            outcome: self.outcome.map(outcome).transpose()?,
            finished_at: plain(self.finished_at),
            result: self.result.map(PayloadForm::read).transpose()?,
            error: self.error.map(JobError::from_form).transpose()?,
            usage: self.usage.map(Usage::from_form).transpose()?,
            expires_at: plain(self.expires_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogForm {
    job_id: Text<JobId>,
    attempt: u32,
    sequence: u32,
    at: Text<Timestamp>,
    level: Cow<'static, str>,
    target: String,
    message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<(String, String)>,
}

impl LogForm {
    pub(super) fn new(job: JobId, line: &LogLine) -> LogForm {
        let LogLine { attempt, sequence, at, level, target, message, fields } = line.clone();
        let level = Cow::Borrowed(level.as_str());
        LogForm { job_id: Text(job), attempt, sequence, at: Text(at), level, target, message, fields }
    }

    pub(super) fn read(self) -> Result<(JobId, LogLine), String> {
        let LogForm { job_id, attempt, sequence, at, level, target, message, fields } = self;
        let level = LogLevel::from_name(&level).ok_or_else(|| format!("unknown level `{level}`"))?;
        Ok((job_id.0, LogLine { attempt, sequence, at: at.0, level, target, message, fields }))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PauseForm {
    Asked,
    Failed(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CoalesceForm {
    Latest,
    Earliest,
    All,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleForm {
    id: Text<ScheduleId>,
    task_id: Text<TaskId>,
    trigger: String,
    trigger_state: String,
    args: PayloadForm,
    coalesce: CoalesceForm,
    #[serde(default, skip_serializing_if = "is_default")]
    max_jitter: u64,
    settings: SettingsForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<PauseForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_fire_time: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_fire_time: Option<Text<Timestamp>>,
    created_at: Text<Timestamp>,
}

impl ScheduleForm {
    pub(super) fn new(schedule: &Schedule) -> ScheduleForm {
        ScheduleForm {
            id: Text(schedule.id.clone()),
            task_id: Text(schedule.task_id.clone()),
            trigger: schedule.trigger.clone(),
            trigger_state: schedule.trigger_state.clone(),
            args: PayloadForm::new(&schedule.args),
            coalesce: match schedule.coalesce {
                Coalesce::Latest => CoalesceForm::Latest,
                Coalesce::Earliest => CoalesceForm::Earliest,
                Coalesce::All => CoalesceForm::All,
            },
            max_jitter: micros(schedule.max_jitter),
            settings: schedule.settings.form(),
            paused: schedule.pause.as_ref().map(|pause| match pause {
                Pause::Asked => PauseForm::Asked,
                Pause::Failed(reason) => PauseForm::Failed(reason.clone()),
            }),
            next_fire_time: text(schedule.next_fire_time.as_ref()),
            last_fire_time: text(schedule.last_fire_time.as_ref()),
            created_at: Text(schedule.created_at),
        }
    }

    pub(super) fn read(self) -> Result<Schedule, String> {
        Ok(Schedule {
            id: self.id.0,
            task_id: self.task_id.0,
            trigger: self.trigger,
            trigger_state: self.trigger_state,
            args: self.args.read()?,
            coalesce: match self.coalesce {
                CoalesceForm::Latest => Coalesce::Latest,
                CoalesceForm::Earliest => Coalesce::Earliest,
                CoalesceForm::All => Coalesce::All,
            },
            max_jitter: span(self.max_jitter),
            settings: Settings::from_form(self.settings)?,
            pause: self.paused.map(|pause| match pause {
                PauseForm::Asked => Pause::Asked,
                PauseForm::Failed(reason) => Pause::Failed(reason),
            }),
            next_fire_time: plain(self.next_fire_time),
            last_fire_time: plain(self.last_fire_time),
            created_at: self.created_at.0,
        })
    }
}
