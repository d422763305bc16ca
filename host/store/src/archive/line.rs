//! The forms of lines, and records to and from them.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::Counts;
use crate::encoding::{Encode, SettingsEncoded, known, micros, span};
use crate::model::{
    BucketName, CancelRequest, Coalesce, Digest, Encoding, Job, JobError, JobId, JobSettings, JobSpec, JobState,
    KvEntry, KvKey, Lease, LeaseToken, LogLevel, LogLine, Outcome, Pause, Payload, PluginName, PluginVersion, Progress,
    Rollout, Schedule, ScheduleId, ScheduleLife, SchedulerId, Settings, Target, Task, TaskId, TaskName, Timestamp,
    Usage,
};
use crate::plugin_encoding::Details;

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
    Plugin(PluginEncoded),
    PluginBytes(String),
    Task(Box<TaskEncoded>),
    Job(Box<JobEncoded>),
    Log(LogEncoded),
    Schedule(Box<ScheduleEncoded>),
    KvBucket(KvBucketEncoded),
    KvEntry(KvEntryEncoded),
    End(EndEncoded),
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndEncoded {
    pub(super) plugins: u64,
    pub(super) tasks: u64,
    pub(super) jobs: u64,
    pub(super) log_lines: u64,
    pub(super) schedules: u64,
    // Archives of version 1 have none of these.
    #[serde(default)]
    pub(super) kv_buckets: u64,
    #[serde(default)]
    pub(super) kv_entries: u64,
    /// Of everything before this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<Text<Digest>>,
}

impl EndEncoded {
    pub(super) fn new(counts: Counts, digest: Digest) -> EndEncoded {
        let Counts { plugins, tasks, jobs, log_lines, schedules, kv_buckets, kv_entries } = counts;
        let sha256 = Some(Text(digest));
        EndEncoded { plugins, tasks, jobs, log_lines, schedules, kv_buckets, kv_entries, sha256 }
    }

    pub(super) fn counts(&self) -> Counts {
        let EndEncoded { plugins, tasks, jobs, log_lines, schedules, kv_buckets, kv_entries, .. } = *self;
        Counts { plugins, tasks, jobs, log_lines, schedules, kv_buckets, kv_entries }
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
pub(super) struct PluginEncoded {
    name: Text<PluginName>,
    digest: Text<Digest>,
    size_bytes: u64,
    current: bool,
    registered_at: Text<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rollout: Option<<Rollout as Encode>::Encoded>,
    details: <Details as Encode>::Encoded,
}

impl PluginEncoded {
    pub(super) fn new(version: &PluginVersion, is_current: bool, rollout: Option<&Rollout>) -> PluginEncoded {
        let PluginVersion { name, digest, size_bytes, imports, grants, tasks, registered_at } = version.clone();
        PluginEncoded {
            name: Text(name),
            digest: Text(digest),
            size_bytes,
            current: is_current,
            registered_at: Text(registered_at),
            rollout: rollout.map(Encode::encoded),
            details: Details { imports, grants, tasks }.encoded(),
        }
    }

    /// The version, whether it is current, and its rollout.
    pub(super) fn read(self) -> Result<(PluginVersion, bool, Option<Rollout>), String> {
        let PluginEncoded { name, digest, size_bytes, current, registered_at, rollout, details } = self;
        let Details { imports, grants, tasks } = Details::decode(details)?;
        let (name, digest, registered_at) = (name.0, digest.0, registered_at.0);
        let rollout = rollout.map(Rollout::decode).transpose()?;
        if rollout.as_ref().is_some_and(|rollout| rollout.digest != digest) {
            return Err("the rollout is of another version".to_owned());
        }
        Ok((PluginVersion { name, digest, size_bytes, imports, grants, tasks, registered_at }, current, rollout))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskEncoded {
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
    configured: SettingsEncoded,
    declared: SettingsEncoded,
    defaults: SettingsEncoded,
}

impl TaskEncoded {
    pub(super) fn new(task: &Task) -> TaskEncoded {
        TaskEncoded {
            id: Text(task.id.clone()),
            plugin: text(task.target.plugin()),
            function: Text(task.target.function().clone()),
            description: task.description.clone(),
            args_schema: task.args_schema.clone(),
            result_schema: task.result_schema.clone(),
            example_args: task.example_args.clone(),
            configured: task.configured.encoded(),
            declared: task.declared.encoded(),
            defaults: task.defaults.encoded(),
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
            configured: Settings::decode(self.configured)?,
            declared: Settings::decode(self.declared)?,
            defaults: Settings::decode(self.defaults)?,
        })
    }
}

/// Exactly one of `text` and `base64`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PayloadEncoded {
    encoding: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl PayloadEncoded {
    fn new(payload: &Payload) -> PayloadEncoded {
        let encoding = Cow::Borrowed(payload.encoding.as_str());
        match std::str::from_utf8(&payload.data) {
            Ok(text) => PayloadEncoded { encoding, text: Some(text.to_owned()), base64: None },
            Err(_) => PayloadEncoded { encoding, text: None, base64: Some(encode(&payload.data)) },
        }
    }

    fn read(self) -> Result<Payload, String> {
        let encoding = known("encoding", &self.encoding, Encoding::from_name)?;
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
struct LeaseEncoded {
    holder: Text<SchedulerId>,
    token: String,
    expires_at: Text<Timestamp>,
}

impl LeaseEncoded {
    fn new(lease: &Lease) -> LeaseEncoded {
        let Lease { holder, token, expires_at } = lease.clone();
        LeaseEncoded { holder: Text(holder), token: encode(token.as_bytes()), expires_at: Text(expires_at) }
    }

    fn read(self) -> Result<Lease, String> {
        let token = decode(&self.token)?.try_into().map_err(|_| "a lease token has 16 bytes".to_owned())?;
        Ok(Lease { holder: self.holder.0, token: LeaseToken::from_bytes(token), expires_at: self.expires_at.0 })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobEncoded {
    id: Text<JobId>,
    task_id: Text<TaskId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule_id: Option<Text<ScheduleId>>,
    #[serde(default, skip_serializing_if = "is_default")]
    schedule_life: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheduled_fire_time: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "is_default")]
    jitter: u64,
    args: PayloadEncoded,
    settings: <JobSettings as Encode>::Encoded,
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
    cancel_grace: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseEncoded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheduler_id: Option<Text<SchedulerId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plugin_digest: Option<Text<Digest>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<<Progress as Encode>::Encoded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<PayloadEncoded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<<JobError as Encode>::Encoded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<<Usage as Encode>::Encoded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Text<Timestamp>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl JobEncoded {
    pub(super) fn new(job: &Job) -> JobEncoded {
        let spec = &job.spec;
        JobEncoded {
            id: Text(spec.id),
            task_id: Text(spec.task_id.clone()),
            schedule_id: text(spec.schedule_id.as_ref()),
            schedule_life: spec.schedule_life.as_number(),
            scheduled_fire_time: text(spec.scheduled_fire_time.as_ref()),
            jitter: micros(spec.jitter),
            args: PayloadEncoded::new(&spec.args),
            settings: spec.settings.encoded(),
            due_at: Text(spec.due_at),
            start_deadline: text(spec.start_deadline.as_ref()),
            created_at: Text(spec.created_at),
            state: Cow::Borrowed(job.state.as_str()),
            attempt: job.attempt,
            crashes: job.crashes,
            cancel_requested: job.cancel_requested.is_some(),
            cancel_grace: job.cancel_requested.and_then(|request| request.grace).map(micros),
            lease: job.lease.as_ref().map(LeaseEncoded::new),
            scheduler_id: text(job.scheduler_id.as_ref()),
            plugin_digest: text(job.plugin_digest.as_ref()),
            started_at: text(job.started_at.as_ref()),
            progress: job.progress.as_ref().map(Encode::encoded),
            outcome: job.outcome.map(|outcome| Cow::Borrowed(outcome.as_str())),
            finished_at: text(job.finished_at.as_ref()),
            result: job.result.as_ref().map(PayloadEncoded::new),
            error: job.error.as_ref().map(Encode::encoded),
            usage: job.usage.as_ref().map(Encode::encoded),
            expires_at: text(job.expires_at.as_ref()),
        }
    }

    pub(super) fn read(self) -> Result<Job, String> {
        let spec = JobSpec {
            id: self.id.0,
            task_id: self.task_id.0,
            schedule_id: plain(self.schedule_id),
            schedule_life: ScheduleLife::from_number(self.schedule_life),
            scheduled_fire_time: plain(self.scheduled_fire_time),
            jitter: span(self.jitter),
            args: self.args.read()?,
            settings: JobSettings::decode(self.settings)?,
            due_at: self.due_at.0,
            start_deadline: plain(self.start_deadline),
            created_at: self.created_at.0,
        };
        Ok(Job {
            spec,
            state: known("state", &self.state, JobState::from_name)?,
            attempt: self.attempt,
            crashes: self.crashes,
            cancel_requested: self.cancel_requested.then(|| CancelRequest { grace: self.cancel_grace.map(span) }),
            lease: self.lease.map(LeaseEncoded::read).transpose()?,
            scheduler_id: plain(self.scheduler_id),
            plugin_digest: plain(self.plugin_digest),
            started_at: plain(self.started_at),
            progress: self.progress.map(Progress::decode).transpose()?,
            outcome: self.outcome.map(|name| known("outcome", &name, Outcome::from_name)).transpose()?,
            finished_at: plain(self.finished_at),
            result: self.result.map(PayloadEncoded::read).transpose()?,
            error: self.error.map(JobError::decode).transpose()?,
            usage: self.usage.map(Usage::decode).transpose()?,
            expires_at: plain(self.expires_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogEncoded {
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

impl LogEncoded {
    pub(super) fn new(job: JobId, line: &LogLine) -> LogEncoded {
        let LogLine { attempt, sequence, at, level, target, message, fields } = line.clone();
        let level = Cow::Borrowed(level.as_str());
        LogEncoded { job_id: Text(job), attempt, sequence, at: Text(at), level, target, message, fields }
    }

    pub(super) fn read(self) -> Result<(JobId, LogLine), String> {
        let LogEncoded { job_id, attempt, sequence, at, level, target, message, fields } = self;
        let level = known("level", &level, LogLevel::from_name)?;
        Ok((job_id.0, LogLine { attempt, sequence, at: at.0, level, target, message, fields }))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PauseEncoded {
    Asked,
    Failed(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CoalesceEncoded {
    Latest,
    Earliest,
    All,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleEncoded {
    id: Text<ScheduleId>,
    #[serde(default, skip_serializing_if = "is_default")]
    life: i64,
    task_id: Text<TaskId>,
    trigger: String,
    trigger_state: String,
    args: PayloadEncoded,
    coalesce: CoalesceEncoded,
    #[serde(default, skip_serializing_if = "is_default")]
    max_jitter: u64,
    settings: SettingsEncoded,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<PauseEncoded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_fire_time: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_fire_time: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overruns_since: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "is_default")]
    fire_count: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    failures: u32,
    created_at: Text<Timestamp>,
}

impl ScheduleEncoded {
    pub(super) fn new(schedule: &Schedule) -> ScheduleEncoded {
        ScheduleEncoded {
            id: Text(schedule.id.clone()),
            life: schedule.life.as_number(),
            task_id: Text(schedule.task_id.clone()),
            trigger: schedule.trigger.clone(),
            trigger_state: schedule.trigger_state.clone(),
            args: PayloadEncoded::new(&schedule.args),
            coalesce: match schedule.coalesce {
                Coalesce::Latest => CoalesceEncoded::Latest,
                Coalesce::Earliest => CoalesceEncoded::Earliest,
                Coalesce::All => CoalesceEncoded::All,
            },
            max_jitter: micros(schedule.max_jitter),
            settings: schedule.settings.encoded(),
            paused: schedule.pause.as_ref().map(|pause| match pause {
                Pause::Asked => PauseEncoded::Asked,
                Pause::Failed(reason) => PauseEncoded::Failed(reason.clone()),
            }),
            next_fire_time: text(schedule.next_fire_time.as_ref()),
            last_fire_time: text(schedule.last_fire_time.as_ref()),
            overruns_since: text(schedule.overruns_since.as_ref()),
            fire_count: schedule.fire_count,
            failures: schedule.failures,
            created_at: Text(schedule.created_at),
        }
    }

    pub(super) fn read(self) -> Result<Schedule, String> {
        Ok(Schedule {
            id: self.id.0,
            life: ScheduleLife::from_number(self.life),
            task_id: self.task_id.0,
            trigger: self.trigger,
            trigger_state: self.trigger_state,
            args: self.args.read()?,
            coalesce: match self.coalesce {
                CoalesceEncoded::Latest => Coalesce::Latest,
                CoalesceEncoded::Earliest => Coalesce::Earliest,
                CoalesceEncoded::All => Coalesce::All,
            },
            max_jitter: span(self.max_jitter),
            settings: Settings::decode(self.settings)?,
            pause: self.paused.map(|pause| match pause {
                PauseEncoded::Asked => Pause::Asked,
                PauseEncoded::Failed(reason) => Pause::Failed(reason),
            }),
            next_fire_time: plain(self.next_fire_time),
            last_fire_time: plain(self.last_fire_time),
            overruns_since: plain(self.overruns_since),
            fire_count: self.fire_count,
            failures: self.failures,
            created_at: self.created_at.0,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KvBucketEncoded {
    pub(super) name: Text<BucketName>,
    pub(super) revision: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KvEntryEncoded {
    bucket: Text<BucketName>,
    key: Text<KvKey>,
    /// Base64.
    value: String,
    version: u64,
    updated_at: Text<Timestamp>,
}

impl KvEntryEncoded {
    pub(super) fn new(bucket: &BucketName, key: &KvKey, entry: &KvEntry) -> KvEntryEncoded {
        KvEntryEncoded {
            bucket: Text(bucket.clone()),
            key: Text(key.clone()),
            value: encode(&entry.value),
            version: entry.version,
            updated_at: Text(entry.updated_at),
        }
    }

    pub(super) fn read(self) -> Result<(BucketName, KvKey, KvEntry), String> {
        let value = decode(&self.value)?.into();
        Ok((self.bucket.0, self.key.0, KvEntry { value, version: self.version, updated_at: self.updated_at.0 }))
    }
}
