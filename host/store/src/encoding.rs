//! The JSON forms of what the SQL stores keep in one column, and archives in a part of a line: settings, what a plugin
//! offers and may do, errors, costs.
//!
//! Rows carry the number of the schema and archives the version of their format: a change of a form in which older rows
//! cannot be read comes with a migration, and one in which older archives cannot be read with a new version of the archive.
//! Durations are whole microseconds. Fields that say nothing are left out, so that a version that does not know them can read what does
//! without them. A field or a name that this version does not know makes the whole unreadable: to pass it over would be to guess, and to
//! lose it with the next write.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::defect::Defect;

use crate::model::{
    Ability, Backoff, Digest, ErrorKind, ExecutorName, GraceTime, Hook, HookSettings, Hooks, HttpUsage, JobError,
    JobSettings, MemoryLoad, Metadata, Overlap, Parallelism, PauseAfter, Progress, QueueName, Settings, TaskId,
    Timestamp, UniqueKey, Usage,
};

/// A type with a stored form.
pub(in crate::store) trait Encode: Sized {
    type Encoded: Serialize + for<'de> Deserialize<'de>;
    fn encoded(&self) -> Self::Encoded;
    fn decode(form: Self::Encoded) -> Result<Self, Defect>;

    fn to_json(&self) -> String {
        // The forms have text keys and finite numbers only, so they print without fail.
        serde_json::to_string(&self.encoded()).unwrap_or_default()
    }

    fn from_json(text: &str) -> Result<Self, Defect> {
        let mut unknown = None;
        let mut json = serde_json::Deserializer::from_str(text);
        let read = serde_ignored::deserialize(&mut json, |field| {
            unknown.get_or_insert_with(|| field.to_string());
        });
        let read = read.and_then(|form: Self::Encoded| json.end().map(|()| form));
        match (read, unknown) {
            (Ok(_), Some(field)) => Err(Defect::unknown("field", &field)),
            // What else is unlike ours may be so because of the field that is not ours.
            (Err(error), Some(field)) if error.is_data() => Err(Defect::unknown("field", &field)),
            (Err(error), _) => Err(Defect::damaged(error.to_string())),
            (Ok(form), None) => Self::decode(form),
        }
    }
}

/// A name that must be one that this version knows.
pub(in crate::store) fn known<T>(what: &str, name: &str, find: impl FnOnce(&str) -> Option<T>) -> Result<T, Defect> {
    find(name).ok_or_else(|| Defect::unknown(what, name))
}

pub(in crate::store) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

pub(in crate::store) fn span(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// `null` for "without limit", a number for a limit; the field is left out where nothing is said.
type Limit<T> = Option<Option<T>>;

/// Reads a field that is there, `null` or not; one that is not there stays `None` by its default.
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Limit<T>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Serialize, Deserialize, PartialEq)]
pub(in crate::store) struct BackoffEncoded {
    initial: u64,
    max: u64,
    factor_percent: u32,
    jitter_percent: u8,
}

impl Encode for Backoff {
    type Encoded = BackoffEncoded;

    fn encoded(&self) -> BackoffEncoded {
        let Backoff { initial, max, factor_percent, jitter_percent } = *self;
        BackoffEncoded { initial: micros(initial), max: micros(max), factor_percent, jitter_percent }
    }

    fn decode(form: BackoffEncoded) -> Result<Backoff, Defect> {
        let BackoffEncoded { initial, max, factor_percent, jitter_percent } = form;
        Ok(Backoff { initial: span(initial), max: span(max), factor_percent, jitter_percent })
    }
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
pub(in crate::store) struct SettingsEncoded {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    max_running_jobs: Limit<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    max_running_per_key: Limit<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    misfire_grace_time: Limit<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pause_after: Limit<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_success: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fires: Option<NonZeroU32>,
    /// `null` for no hook, whatever more general layers say.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    on_failure: Limit<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    on_success: Limit<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    on_missed: Limit<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff: Option<BackoffEncoded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
}

fn queue(name: Option<String>) -> Result<Option<QueueName>, Defect> {
    name.map(|name| QueueName::new(&name)).transpose().map_err(|error| Defect::damaged(error.to_string()))
}

fn version(text: Option<String>) -> Result<Option<Digest>, Defect> {
    text.map(|text| text.parse()).transpose().map_err(|error: crate::model::IdError| Defect::damaged(error.to_string()))
}

fn limit(limit: Parallelism) -> Option<NonZeroU32> {
    match limit {
        Parallelism::Unlimited => None,
        Parallelism::AtMost(max) => Some(max),
    }
}

fn parallelism(limit: Option<NonZeroU32>) -> Parallelism {
    limit.map_or(Parallelism::Unlimited, Parallelism::AtMost)
}

fn executor(name: Option<String>) -> Result<Option<ExecutorName>, Defect> {
    name.map(|name| ExecutorName::new(&name)).transpose().map_err(|error| Defect::damaged(error.to_string()))
}

fn hook_encoded(hook: Option<&Hook>) -> Limit<String> {
    hook.map(|hook| hook.task().map(ToString::to_string))
}

fn hook(form: Limit<String>) -> Result<Option<Hook>, Defect> {
    form.map(|task| Ok(task_id(task)?.map_or(Hook::None, Hook::Task))).transpose()
}

fn task_id(id: Option<String>) -> Result<Option<TaskId>, Defect> {
    id.map(|id| TaskId::new(&id)).transpose().map_err(|error| Defect::damaged(error.to_string()))
}

impl Encode for Settings {
    type Encoded = SettingsEncoded;

    fn encoded(&self) -> SettingsEncoded {
        SettingsEncoded {
            max_running_jobs: self.max_running_jobs.map(limit),
            max_running_per_key: self.max_running_per_key.map(limit),
            concurrency_key: self.concurrency_key.as_ref().map(ToString::to_string),
            queue: self.queue.as_ref().map(ToString::to_string),
            misfire_grace_time: self.misfire_grace_time.map(|grace| match grace {
                GraceTime::Unlimited => None,
                GraceTime::Within(span) => Some(micros(span)),
            }),
            overlap: self.overlap.map(|policy| policy.as_str().to_owned()),
            pause_after: self.pause_after.map(PauseAfter::failures),
            until_success: self.until_success,
            max_fires: self.max_fires,
            on_failure: hook_encoded(self.hooks.on_failure.as_ref()),
            on_success: hook_encoded(self.hooks.on_success.as_ref()),
            on_missed: hook_encoded(self.hooks.on_missed.as_ref()),
            executor: self.executor.as_ref().map(ToString::to_string),
            timeout: self.timeout.map(micros),
            fuel: self.fuel,
            memory_bytes: self.memory_bytes,
            max_attempts: self.max_attempts,
            backoff: self.backoff.as_ref().map(Encode::encoded),
            priority: self.priority,
            result_ttl: self.result_ttl.map(micros),
            version: self.version.as_ref().map(ToString::to_string),
            metadata: self.metadata.0.clone(),
        }
    }

    fn decode(form: SettingsEncoded) -> Result<Settings, Defect> {
        Ok(Settings {
            max_running_jobs: form.max_running_jobs.map(parallelism),
            max_running_per_key: form.max_running_per_key.map(parallelism),
            concurrency_key: form.concurrency_key.map(|key| key.parse()).transpose().map_err(Defect::damaged)?,
            queue: queue(form.queue)?,
            misfire_grace_time: form
                .misfire_grace_time
                .map(|grace| grace.map_or(GraceTime::Unlimited, |within| GraceTime::Within(span(within)))),
            overlap: form.overlap.map(|name| known("overlap policy", &name, Overlap::from_name)).transpose()?,
            pause_after: form.pause_after.map(|count| count.map_or(PauseAfter::Never, PauseAfter::Failures)),
            until_success: form.until_success,
            max_fires: form.max_fires,
            hooks: HookSettings {
                on_failure: hook(form.on_failure)?,
                on_success: hook(form.on_success)?,
                on_missed: hook(form.on_missed)?,
            },
            executor: executor(form.executor)?,
            timeout: form.timeout.map(span),
            fuel: form.fuel,
            memory_bytes: form.memory_bytes,
            max_attempts: form.max_attempts,
            backoff: form.backoff.map(Backoff::decode).transpose()?,
            priority: form.priority,
            result_ttl: form.result_ttl.map(span),
            version: version(form.version)?,
            metadata: Metadata(form.metadata),
        })
    }
}

/// What the settings of nearly every job are. Rows leave them out, because a row is written three times in the life of its job, and say which
/// version of this list they go by. So what stands here never changes, whatever becomes of the defaults. A program that does not know the
/// version leaves the job to those that do.
mod usual {
    use super::BackoffEncoded;

    pub(super) const VERSION: u32 = 1;

    pub(super) const TIMEOUT: u64 = 300_000_000;
    pub(super) const FUEL: u64 = 50_000_000_000;
    pub(super) const MEMORY_BYTES: u64 = 268_435_456;
    pub(super) const MAX_ATTEMPTS: u32 = 1;
    pub(super) const CRASH_RETRIES: u32 = 1;
    pub(super) const BACKOFF: BackoffEncoded =
        BackoffEncoded { initial: 1_000_000, max: 600_000_000, factor_percent: 200, jitter_percent: 10 };
    pub(super) const PRIORITY: i32 = 0;
    pub(super) const RESULT_TTL: u64 = 86_400_000_000;
}

/// In archives everything is said, in rows what is not [`usual`].
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct JobSettingsEncoded {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usual: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    executor: Option<String>,
    /// Left out for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrency_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unique_key: Option<String>,
    /// Microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unique_until: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crash_retries: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff: Option<BackoffEncoded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_ttl: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause_after: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    until_success: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_failure: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_success: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_missed: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    backfill: bool,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
}

impl JobSettingsEncoded {
    /// As rows have it.
    fn without_usual(self) -> JobSettingsEncoded {
        JobSettingsEncoded {
            usual: Some(usual::VERSION),
            timeout: self.timeout.filter(|timeout| *timeout != usual::TIMEOUT),
            fuel: self.fuel.filter(|fuel| *fuel != usual::FUEL),
            memory_bytes: self.memory_bytes.filter(|bytes| *bytes != usual::MEMORY_BYTES),
            max_attempts: self.max_attempts.filter(|attempts| *attempts != usual::MAX_ATTEMPTS),
            crash_retries: self.crash_retries.filter(|retries| *retries != usual::CRASH_RETRIES),
            backoff: self.backoff.filter(|backoff| *backoff != usual::BACKOFF),
            priority: self.priority.filter(|priority| *priority != usual::PRIORITY),
            result_ttl: self.result_ttl.filter(|ttl| *ttl != usual::RESULT_TTL),
            ..self
        }
    }
}

/// What a row says, or else the usual value, where it goes by that.
fn said<T>(list: Option<u32>, name: &str, said: Option<T>, usual: T) -> Result<T, Defect> {
    said.or_else(|| list.map(|_| usual)).ok_or_else(|| Defect::damaged(format!("missing field `{name}`")))
}

impl Encode for JobSettings {
    type Encoded = JobSettingsEncoded;

    fn to_json(&self) -> String {
        // As above.
        serde_json::to_string(&self.encoded().without_usual()).unwrap_or_default()
    }

    fn encoded(&self) -> JobSettingsEncoded {
        JobSettingsEncoded {
            usual: None,
            executor: self.executor.as_ref().map(ToString::to_string),
            queue: Some(&self.queue).filter(|queue| **queue != QueueName::default()).map(ToString::to_string),
            concurrency_key: self.concurrency_key.clone(),
            unique_key: self.unique_key.as_ref().map(|unique| unique.key.clone()),
            unique_until: self.unique_key.as_ref().and_then(|unique| unique.until).map(Timestamp::as_micros),
            group: self.group.clone(),
            timeout: Some(micros(self.timeout)),
            fuel: Some(self.fuel),
            memory_bytes: Some(self.memory_bytes),
            max_attempts: Some(self.max_attempts),
            crash_retries: Some(self.crash_retries),
            backoff: Some(self.backoff.encoded()),
            priority: Some(self.priority),
            result_ttl: Some(micros(self.result_ttl)),
            version: self.version.as_ref().map(ToString::to_string),
            pause_after: self.pause_after,
            until_success: self.until_success,
            on_failure: self.hooks.on_failure.as_ref().map(ToString::to_string),
            on_success: self.hooks.on_success.as_ref().map(ToString::to_string),
            on_missed: self.hooks.on_missed.as_ref().map(ToString::to_string),
            backfill: self.backfill,
            metadata: self.metadata.0.clone(),
        }
    }

    fn decode(form: JobSettingsEncoded) -> Result<JobSettings, Defect> {
        let list = form.usual;
        if list.is_some_and(|version| version != usual::VERSION) {
            return Err(Defect::unknown("list of usual settings", &list.unwrap_or_default().to_string()));
        }
        Ok(JobSettings {
            executor: executor(form.executor)?,
            queue: queue(form.queue)?.unwrap_or_default(),
            concurrency_key: form.concurrency_key,
            unique_key: form.unique_key.map(|key| unique(key, form.unique_until)).transpose()?,
            group: form.group,
            timeout: span(said(list, "timeout", form.timeout, usual::TIMEOUT)?),
            fuel: said(list, "fuel", form.fuel, usual::FUEL)?,
            memory_bytes: said(list, "memory_bytes", form.memory_bytes, usual::MEMORY_BYTES)?,
            max_attempts: said(list, "max_attempts", form.max_attempts, usual::MAX_ATTEMPTS)?,
            crash_retries: said(list, "crash_retries", form.crash_retries, usual::CRASH_RETRIES)?,
            backoff: Backoff::decode(said(list, "backoff", form.backoff, usual::BACKOFF)?)?,
            priority: said(list, "priority", form.priority, usual::PRIORITY)?,
            result_ttl: span(said(list, "result_ttl", form.result_ttl, usual::RESULT_TTL)?),
            version: version(form.version)?,
            pause_after: form.pause_after,
            until_success: form.until_success,
            hooks: Hooks {
                on_failure: task_id(form.on_failure)?,
                on_success: task_id(form.on_success)?,
                on_missed: task_id(form.on_missed)?,
            },
            backfill: form.backfill,
            metadata: Metadata(form.metadata),
        })
    }
}

fn unique(key: String, until: Option<i64>) -> Result<UniqueKey, Defect> {
    let no_time = |micros| Defect::damaged(format!("{micros} is no time between the years 1 and 9999"));
    let time = |micros| Timestamp::from_micros(micros).ok_or_else(|| no_time(micros));
    Ok(UniqueKey { key, until: until.map(time).transpose()? })
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct ErrorEncoded {
    kind: String,
    message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    context: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backtrace: Option<String>,
}

impl Encode for JobError {
    type Encoded = ErrorEncoded;

    fn encoded(&self) -> ErrorEncoded {
        let JobError { kind, message, context, backtrace } = self.clone();
        ErrorEncoded { kind: kind.to_string(), message, context, backtrace }
    }

    fn decode(form: ErrorEncoded) -> Result<JobError, Defect> {
        let kind = known("kind of error", &form.kind, ErrorKind::from_name)?;
        Ok(JobError { kind, message: form.message, context: form.context, backtrace: form.backtrace })
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct UsageEncoded {
    fuel: u64,
    peak_memory_bytes: u64,
    wall: u64,
    queued: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<HttpUsageEncoded>,
}

#[derive(Serialize, Deserialize)]
struct HttpUsageEncoded {
    requests: u64,
    sent: u64,
    received: u64,
}

impl Encode for Usage {
    type Encoded = UsageEncoded;

    fn encoded(&self) -> UsageEncoded {
        let Usage { fuel, peak_memory_bytes, wall, queued, http } = *self;
        let HttpUsage { requests, sent_bytes: sent, received_bytes: received } = http;
        let http = (http != HttpUsage::default()).then_some(HttpUsageEncoded { requests, sent, received });
        UsageEncoded { fuel, peak_memory_bytes, wall: micros(wall), queued: micros(queued), http }
    }

    fn decode(form: UsageEncoded) -> Result<Usage, Defect> {
        let UsageEncoded { fuel, peak_memory_bytes, wall, queued, http } = form;
        let http = http.map_or_else(HttpUsage::default, |HttpUsageEncoded { requests, sent, received }| HttpUsage {
            requests,
            sent_bytes: sent,
            received_bytes: received,
        });
        Ok(Usage { fuel, peak_memory_bytes, wall: span(wall), queued: span(queued), http })
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct MemoryLoadEncoded {
    total: u64,
    reserved: u64,
    waiting: usize,
}

impl Encode for MemoryLoad {
    type Encoded = MemoryLoadEncoded;

    fn encoded(&self) -> MemoryLoadEncoded {
        MemoryLoadEncoded { total: self.total_bytes, reserved: self.reserved_bytes, waiting: self.waiting }
    }

    fn decode(form: MemoryLoadEncoded) -> Result<MemoryLoad, Defect> {
        Ok(MemoryLoad { total_bytes: form.total, reserved_bytes: form.reserved, waiting: form.waiting })
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct ProgressEncoded {
    done: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    note: String,
}

impl Encode for Progress {
    type Encoded = ProgressEncoded;

    fn encoded(&self) -> ProgressEncoded {
        ProgressEncoded { done: self.done, total: self.total, note: self.note.clone() }
    }

    fn decode(form: ProgressEncoded) -> Result<Progress, Defect> {
        Ok(Progress { done: form.done, total: form.total, note: form.note })
    }
}

/// What a worker serves and can run.
#[derive(Debug, Default, PartialEq)]
pub(in crate::store) struct Work {
    pub(in crate::store) queues: Vec<QueueName>,
    pub(in crate::store) abilities: Vec<Ability>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct WorkEncoded {
    queues: Vec<String>,
    abilities: Vec<String>,
}

impl Encode for Work {
    type Encoded = WorkEncoded;

    fn encoded(&self) -> WorkEncoded {
        WorkEncoded {
            queues: self.queues.iter().map(ToString::to_string).collect(),
            abilities: self.abilities.iter().map(ToString::to_string).collect(),
        }
    }

    fn decode(form: WorkEncoded) -> Result<Work, Defect> {
        let queue = |name: &String| QueueName::new(name).map_err(|error| Defect::damaged(error.to_string()));
        let ability = |text: &String| text.parse::<Ability>().map_err(|error| Defect::damaged(error.to_string()));
        Ok(Work {
            queues: form.queues.iter().map(queue).collect::<Result<_, _>>()?,
            abilities: form.abilities.iter().map(ability).collect::<Result<_, _>>()?,
        })
    }
}

/// The named values beside the text of a log line.
#[derive(Debug, PartialEq)]
pub(in crate::store) struct Fields(pub(in crate::store) Vec<(String, String)>);

impl Encode for Fields {
    type Encoded = Vec<(String, String)>;

    fn encoded(&self) -> Self::Encoded {
        self.0.clone()
    }

    fn decode(form: Self::Encoded) -> Result<Fields, Defect> {
        Ok(Fields(form))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DefectKind;
    use crate::model::Payload;
    use crate::plugin_encoding::Details;

    #[test]
    fn unset_and_unlimited_stay_different() {
        let unset = Settings::default();
        let none = Settings {
            max_running_jobs: Some(Parallelism::Unlimited),
            misfire_grace_time: Some(GraceTime::Unlimited),
            ..Settings::default()
        };
        assert_eq!(unset.to_json(), "{}");
        assert_eq!(none.to_json(), r#"{"max_running_jobs":null,"misfire_grace_time":null}"#);
        assert_eq!(Settings::from_json(&unset.to_json()), Ok(unset));
        assert_eq!(Settings::from_json(&none.to_json()), Ok(none));
    }

    #[test]
    fn what_a_newer_version_writes_is_told_from_what_is_damaged() {
        let settings = |text: &str| Settings::from_json(text).map_err(|defect| defect.kind);
        assert_eq!(settings(r#"{"fuel":1}"#).map(|settings| settings.fuel), Ok(Some(1)));
        for newer in [r#"{"calendar":"skip"}"#, r#"{"calendar":1,"fuel":"much"}"#, r#"{"backoff":{"steps":[1]}}"#] {
            assert_eq!(settings(newer), Err(DefectKind::Newer), "{newer}");
        }
        for damaged in ["", "{", "null", r#"{"fuel":"much"}"#, r#"{"fuel":1}}"#, r#"{"calendar":1,"fu"#] {
            assert_eq!(settings(damaged), Err(DefectKind::Damaged), "{damaged}");
        }
        let error = |text: &str| JobError::from_json(text).map_err(|defect| defect.kind);
        assert_eq!(error(r#"{"kind":"bored","message":""}"#), Err(DefectKind::Newer));
        let details = |grant: &str| {
            let text = format!(r#"{{"imports":[],"grants":[{grant}],"tasks":[]}}"#);
            Details::from_json(&text).map(|details| details.grants.len()).map_err(|defect| defect.kind)
        };
        assert_eq!(details(r#"{"right":"env","name":"A","value":null}"#), Ok(1));
        assert_eq!(details(r#"{"right":"mail","to":"*"}"#), Err(DefectKind::Newer));
        assert_eq!(details(r#"{"right":"env","name":"A","value":null,"secret":true}"#), Err(DefectKind::Newer));
        assert_eq!(details(r#"{"right":"env","name":5}"#), Err(DefectKind::Damaged));
    }

    #[test]
    fn a_row_says_of_a_job_what_is_not_usual_and_an_archive_says_everything() {
        let usual = Settings::default().resolve().for_job(&Payload::no_args());
        let whole = r#"{"timeout":300000000,"fuel":50000000000,"memory_bytes":268435456,"max_attempts":1,"crash_retries":1,"backoff":{"initial":1000000,"max":600000000,"factor_percent":200,"jitter_percent":10},"priority":0,"result_ttl":86400000000}"#;
        assert_eq!(usual.to_json(), r#"{"usual":1}"#);
        let kind = |row: &str| JobSettings::from_json(row).expect_err("it cannot be read").kind;
        assert_eq!(kind("{}"), DefectKind::Damaged, "nothing says that what is missing is usual");
        assert_eq!(kind(r#"{"usual":2}"#), DefectKind::Newer);
        assert_eq!(serde_json::to_string(&usual.encoded()).expect("printed"), whole);
        // Rows of earlier versions say everything as well.
        assert_eq!(JobSettings::from_json(whole), Ok(usual.clone()));
        let (second, backoff) = (Duration::from_secs(1), Backoff { jitter_percent: 11, ..usual.backoff });
        let others = [
            JobSettings { timeout: second, ..usual.clone() },
            JobSettings { fuel: 0, ..usual.clone() },
            JobSettings { memory_bytes: 0, ..usual.clone() },
            JobSettings { max_attempts: 2, ..usual.clone() },
            JobSettings { crash_retries: 0, ..usual.clone() },
            JobSettings { backoff, ..usual.clone() },
            JobSettings { priority: -1, ..usual.clone() },
            JobSettings { result_ttl: Duration::ZERO, ..usual.clone() },
        ];
        for other in others {
            let row = other.to_json();
            assert_eq!(row.matches("\":").count() - 4 * row.matches("backoff").count(), 2, "{row}");
            assert_eq!(JobSettings::from_json(&row), Ok(other), "{row}");
        }
    }

    #[test]
    fn the_largest_fuel_is_read_back_as_it_was() {
        let usage = Usage { fuel: u64::MAX, ..Usage::default() };
        assert_eq!(Usage::from_json(&usage.to_json()), Ok(usage));
    }

    #[test]
    fn every_number_in_metadata_is_read_back_to_the_last_bit() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..10_000 {
            // Any finite number there is, not only those near 1.
            let number = f64::from_bits(random.u64(..));
            let Some(value) = serde_json::Number::from_f64(number) else { continue };
            let mut metadata = Metadata::default();
            metadata.0.insert("x".into(), Value::Number(value));
            let settings = Settings { metadata, ..Settings::default() };
            assert_eq!(Settings::from_json(&settings.to_json()), Ok(settings), "{number:e}");
        }
    }
}
