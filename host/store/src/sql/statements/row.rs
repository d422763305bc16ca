//! Rows to nouns and back. What cannot be read is refused with the reason, never guessed at.

use std::sync::Arc;
use std::time::Duration;

use super::value::{Row, Value, values};
use crate::model::{
    BucketName, CancelRequest, Coalesce, Digest, Encoding, Incarnation, Job, JobError, JobId, JobSettings, JobSpec,
    JobState, KvEntry, KvKey, Lease, LeaseToken, LogLevel, LogLine, MemoryLoad, Outcome, Pause, Payload, PluginName,
    PluginVersion, Progress, Schedule, ScheduleId, ScheduleLife, SchedulerId, Settings, Target, Task, TaskId, TaskName,
    Timestamp, UniqueKey, Usage,
};
use crate::plugin_encoding::Details;
use crate::sql::encoding::{Encode, Fields, Work, known, micros};
use crate::sql::places::{Places, TaskRules};
use crate::{Defect, SchedulerRow, StoreError, Subject, Unreadable, rules};

/// A count.
pub(in crate::sql) fn size(row: &mut Row) -> Result<u64, Defect> {
    row.small()
}

/// A name or number that must fit a type of ours.
fn fit<T, E: std::fmt::Display>(parsed: Result<T, E>) -> Result<T, Defect> {
    parsed.map_err(|error| Defect::damaged(error.to_string()))
}

pub(in crate::sql) fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

pub(in crate::sql) fn span_micros(span: Duration) -> i64 {
    i64::try_from(micros(span)).unwrap_or(i64::MAX)
}

fn time(micros: i64) -> Result<Timestamp, Defect> {
    Timestamp::from_micros(micros)
        .ok_or_else(|| Defect::damaged(format!("{micros} is no time between the years 1 and 9999")))
}

fn maybe<T, U, E: Into<Defect>>(value: Option<T>, read: impl FnOnce(T) -> Result<U, E>) -> Result<Option<U>, Defect> {
    value.map(read).transpose().map_err(Into::into)
}

impl Row {
    pub(in crate::sql) fn time(&mut self) -> Result<Timestamp, Defect> {
        time(self.int()?)
    }

    pub(in crate::sql) fn maybe_time(&mut self) -> Result<Option<Timestamp>, Defect> {
        maybe(self.maybe_int()?, time)
    }

    pub(in crate::sql) fn job_id(&mut self) -> Result<JobId, Defect> {
        Ok(JobId::from_bytes(sized(self.bytes()?)?))
    }

    pub(in crate::sql) fn task_id(&mut self) -> Result<TaskId, Defect> {
        fit(TaskId::new(&self.text()?))
    }

    pub(in crate::sql) fn schedule_id(&mut self) -> Result<ScheduleId, Defect> {
        fit(ScheduleId::new(&self.text()?))
    }

    pub(in crate::sql) fn digest(&mut self) -> Result<Digest, Defect> {
        Ok(Digest::from_bytes(sized(self.bytes()?)?))
    }

    pub(in crate::sql) fn bucket(&mut self) -> Result<BucketName, Defect> {
        fit(BucketName::new(&self.text()?))
    }

    pub(in crate::sql) fn kv_key(&mut self) -> Result<KvKey, Defect> {
        fit(KvKey::new(&self.text()?))
    }

    pub(in crate::sql) fn kv_entry(&mut self) -> Result<KvEntry, Defect> {
        Ok(KvEntry { value: Arc::from(self.bytes()?), version: size(self)?, updated_at: self.time()? })
    }

    fn payload(&mut self) -> Result<Payload, Defect> {
        self.maybe_payload()?.ok_or_else(|| Defect::damaged("the arguments are missing"))
    }

    fn maybe_payload(&mut self) -> Result<Option<Payload>, Defect> {
        let (encoding, data) = (self.maybe_text()?, self.maybe_bytes()?);
        let Some(encoding) = encoding else { return Ok(None) };
        let encoding = known("encoding", &encoding, Encoding::from_name)?;
        Ok(Some(Payload { encoding, data: Arc::from(data.unwrap_or_default()) }))
    }

    fn lease(&mut self) -> Result<Option<Lease>, Defect> {
        let (holder, token, until) = (self.maybe_text()?, self.maybe_bytes()?, self.maybe_time()?);
        let (Some(holder), Some(token), Some(expires_at)) = (holder, token, until) else { return Ok(None) };
        let holder = fit(SchedulerId::new(&holder))?;
        Ok(Some(Lease { holder, token: LeaseToken::from_bytes(sized(token)?), expires_at }))
    }

    /// The columns `cancel_requested` and `cancel_grace`.
    pub(in crate::sql) fn cancel_request(&mut self) -> Result<Option<CancelRequest>, Defect> {
        let (is_asked, grace) = (self.flag()?, self.maybe_int()?);
        Ok(is_asked.then(|| CancelRequest { grace: grace.map(span) }))
    }

    /// The columns of `job_get` and its like.
    fn job(&mut self, id: JobId) -> Result<Job, Defect> {
        let spec = JobSpec {
            id,
            task_id: self.task_id()?,
            schedule_id: maybe(self.maybe_text()?, |id| fit(ScheduleId::new(&id)))?,
            schedule_life: ScheduleLife::from_number(self.int()?),
            scheduled_fire_time: self.maybe_time()?,
            jitter: span(self.int()?),
            args: self.payload()?,
            settings: JobSettings::from_json(&self.text()?)?,
            due_at: self.time()?,
            start_deadline: self.maybe_time()?,
            created_at: self.time()?,
        };
        Ok(Job {
            spec,
            state: known("state", &self.text()?, JobState::from_name)?,
            attempt: self.small()?,
            crashes: self.small()?,
            cancel_requested: self.cancel_request()?,
            lease: self.lease()?,
            scheduler_id: maybe(self.maybe_text()?, |id| fit(SchedulerId::new(&id)))?,
            plugin_digest: maybe(self.maybe_bytes()?, |bytes| sized(bytes).map(Digest::from_bytes))?,
            started_at: self.maybe_time()?,
            progress: maybe(self.maybe_text()?, |text| Progress::from_json(&text))?,
            outcome: maybe(self.maybe_text()?, |name| known("outcome", &name, Outcome::from_name))?,
            finished_at: self.maybe_time()?,
            result: self.maybe_payload()?,
            error: maybe(self.maybe_text()?, |text| JobError::from_json(&text))?,
            usage: maybe(self.maybe_text()?, |text| Usage::from_json(&text))?,
            expires_at: self.maybe_time()?,
        })
    }
}

fn sized<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], Defect> {
    bytes.try_into().map_err(|bytes: Vec<u8>| Defect::damaged(format!("{} bytes in place of {N}", bytes.len())))
}

/// What is read of a row, or the row's name and why it cannot be read. A name that is none itself is left empty.
pub(in crate::sql) fn named<T, I: ToString>(
    row: &mut Row,
    name: impl FnOnce(&mut Row) -> Result<I, Defect>,
    read: impl FnOnce(&mut Row, &I) -> Result<T, Defect>,
) -> Result<T, Unreadable> {
    let id = name(row).map_err(|defect| Unreadable { id: String::new(), defect })?;
    read(row, &id).map_err(|defect| Unreadable { id: id.to_string(), defect })
}

/// The error of a call that is about one thing alone.
pub(in crate::sql) fn unreadable(subject: Subject) -> impl FnOnce(Unreadable) -> StoreError {
    |bad| StoreError::Unreadable { subject, defect: bad.defect }
}

/// A job, from the columns of `job_get` and its like.
pub(in crate::sql) fn job(mut row: Row) -> Result<Job, Unreadable> {
    named(&mut row, Row::job_id, |row, id| row.job(*id))
}

/// The row of a job that is queued, by the rules of its task.
pub(in crate::sql) fn new_job(spec: &JobSpec, rules: &TaskRules) -> Vec<Value> {
    let is_due = spec.due_at <= spec.created_at;
    let claim_key = rules.claim_key(&spec.settings);
    let key = spec.settings.concurrency_key.as_deref();
    let places = if is_due { rules.entry(key) } else { Places::default() };
    let mut row = spec_values(spec);
    row.extend(values![
        (is_due && places.are_had()).then(|| claim_key.clone()),
        (!is_due).then_some(spec.due_at),
        spec.start_deadline,
        claim_key,
        key,
        places.key,
        places.task,
    ]);
    row.extend(unique_values(spec.settings.unique_key.as_ref()));
    row.extend(values![spec.settings.group.as_deref()]);
    row
}

/// The last columns but one of `job_insert` and `job_restore`: the unique key that the job has.
pub(in crate::sql) fn unique_values(unique: Option<&UniqueKey>) -> Vec<Value> {
    values![unique.map(|unique| unique.key.as_str()), unique.and_then(|unique| unique.until)]
}

/// The columns that say what a job is, whatever has become of it: the first ones of `job_insert` and `job_restore`.
pub(in crate::sql) fn spec_values(spec: &JobSpec) -> Vec<Value> {
    values![
        spec.id,
        &spec.task_id,
        spec.schedule_id.as_ref(),
        spec.schedule_life.as_number(),
        spec.scheduled_fire_time,
        span_micros(spec.jitter),
        spec.args.encoding.as_str(),
        &*spec.args.data,
        spec.settings.to_json(),
        -i64::from(spec.settings.priority),
        span_micros(spec.settings.result_ttl),
        spec.due_at,
        spec.start_deadline,
        spec.created_at,
    ]
}

/// A log line, from the columns of `job_log_list` and its like: its attempt and number among the lines of that, and the line.
pub(in crate::sql) fn log_line(mut row: Row) -> Result<LogLine, (Option<LinePlace>, Defect)> {
    let place = row.small().and_then(|attempt| Ok((attempt, row.small()?)));
    let (attempt, sequence) = place.map_err(|defect| (None, defect))?;
    read_line(row, attempt, sequence).map_err(|defect| (Some((attempt, sequence)), defect))
}

/// The attempt of a log line, and its number among the lines of that.
pub(in crate::sql) type LinePlace = (u32, u32);

fn read_line(mut row: Row, attempt: u32, sequence: u32) -> Result<LogLine, Defect> {
    Ok(LogLine {
        attempt,
        sequence,
        at: row.time()?,
        level: known("level", &row.text()?, LogLevel::from_name)?,
        target: row.text()?,
        message: row.text()?,
        fields: Fields::from_json(&row.text()?)?.0,
    })
}

pub(in crate::sql) fn new_log_line(id: JobId, line: LogLine) -> Vec<Value> {
    let LogLine { attempt, sequence, at, level, target, message, fields } = line;
    values![id, attempt, sequence, at, level.as_str(), target, message, Fields(fields).to_json()]
}

/// A schedule, from the columns of `schedule_get` and its like.
pub(in crate::sql) fn schedule(mut row: Row) -> Result<Schedule, Unreadable> {
    named(&mut row, Row::text, |row, id| read_schedule(id, row))
}

fn read_schedule(id: &str, row: &mut Row) -> Result<Schedule, Defect> {
    Ok(Schedule {
        id: fit(ScheduleId::new(id))?,
        life: ScheduleLife::from_number(row.int()?),
        task_id: row.task_id()?,
        trigger: row.text()?,
        trigger_state: row.text()?,
        args: row.payload()?,
        coalesce: known("coalesce policy", &row.text()?, |name| match name {
            "latest" => Some(Coalesce::Latest),
            "earliest" => Some(Coalesce::Earliest),
            "all" => Some(Coalesce::All),
            _ => None,
        })?,
        max_jitter: span(row.int()?),
        settings: Settings::from_json(&row.text()?)?,
        pause: match (row.flag()?, row.maybe_text()?) {
            (false, _) => None,
            (true, None) => Some(Pause::Asked),
            (true, Some(reason)) => Some(Pause::Failed(reason)),
        },
        next_fire_time: row.maybe_time()?,
        last_fire_time: row.maybe_time()?,
        created_at: row.time()?,
        overruns_since: row.maybe_time()?,
        fire_count: row.small()?,
        failures: row.small()?,
    })
}

/// `paused` and its reason.
pub(in crate::sql) fn pause(pause: Option<&Pause>) -> (bool, Option<&str>) {
    match pause {
        None => (false, None),
        Some(Pause::Asked) => (true, None),
        Some(Pause::Failed(reason)) => (true, Some(reason)),
    }
}

/// The row of a schedule that nobody has leased.
pub(in crate::sql) fn new_schedule(schedule: &Schedule) -> Vec<Value> {
    let coalesce = match schedule.coalesce {
        Coalesce::Latest => "latest",
        Coalesce::Earliest => "earliest",
        Coalesce::All => "all",
    };
    let (paused, reason) = pause(schedule.pause.as_ref());
    values![
        &schedule.id,
        schedule.life.as_number(),
        &schedule.task_id,
        schedule.trigger.as_str(),
        schedule.trigger_state.as_str(),
        schedule.args.encoding.as_str(),
        &*schedule.args.data,
        coalesce,
        span_micros(schedule.max_jitter),
        schedule.settings.to_json(),
        paused,
        reason,
        schedule.next_fire_time,
        schedule.last_fire_time,
        schedule.created_at,
        schedule.next_fire_time.filter(|_| !paused),
        schedule.overruns_since,
        schedule.fire_count,
        schedule.failures,
    ]
}

/// A task, from the columns of `task_get` and its like.
pub(in crate::sql) fn task(row: &mut Row) -> Result<Task, Unreadable> {
    named(row, Row::text, |row, id| read_task(id, row))
}

/// What a change of a task has to know of it, whether the task can be read or not. From the same columns.
pub(in crate::sql) struct StoredTask {
    pub(in crate::sql) id: String,
    pub(in crate::sql) is_offered: bool,
    /// The settings that an operator gave it.
    pub(in crate::sql) configured: Result<Settings, Defect>,
    pub(in crate::sql) task: Result<Task, Unreadable>,
}

pub(in crate::sql) fn stored_task(mut row: Row) -> Result<StoredTask, Defect> {
    let mut parts = row.clone();
    let task = task(&mut row);
    let id = parts.text()?;
    let (plugin, function) = (parts.maybe_text()?, parts.text()?);
    let is_offered = plugin.is_some_and(|plugin| id == format!("{plugin}:{function}"));
    let _description = parts.text()?;
    let _documents = (parts.maybe_text()?, parts.maybe_text()?, parts.maybe_text()?);
    let configured = parts.text().and_then(|text| Settings::from_json(&text));
    Ok(StoredTask { id, is_offered, configured, task })
}

fn read_task(id: &str, row: &mut Row) -> Result<Task, Defect> {
    let id = fit(TaskId::new(id))?;
    let (plugin, function) = (row.maybe_text()?, fit(TaskName::new(&row.text()?))?);
    let target = match plugin {
        Some(plugin) => Target::Plugin { plugin: fit(PluginName::new(&plugin))?, function },
        None => Target::Native { function },
    };
    Ok(Task {
        id,
        target,
        description: row.text()?,
        args_schema: row.maybe_text()?,
        result_schema: row.maybe_text()?,
        example_args: row.maybe_text()?,
        configured: Settings::from_json(&row.text()?)?,
        declared: Settings::from_json(&row.text()?)?,
        defaults: Settings::from_json(&row.text()?)?,
    })
}

/// What matters of a task to its jobs.
pub(in crate::sql) fn rules_of(task: &Task) -> TaskRules {
    let settings = task.resolved();
    TaskRules {
        target: Some(task.target.clone()),
        max_running: settings.max_running_jobs.limit().map(i64::from),
        max_running_per_key: settings.max_running_per_key.limit().map(i64::from),
    }
}

pub(in crate::sql) fn new_task(task: &Task) -> Vec<Value> {
    let settings = task.resolved();
    values![
        &task.id,
        task.target.plugin(),
        task.target.function().as_str(),
        rules::is_offered(task),
        task.description.as_str(),
        task.args_schema.as_deref(),
        task.result_schema.as_deref(),
        task.example_args.as_deref(),
        task.configured.to_json(),
        task.declared.to_json(),
        task.defaults.to_json(),
        settings.max_running_jobs.limit(),
        settings.max_running_per_key.limit(),
    ]
}

/// A version of a plugin, from the columns of `plugin_get` and its like. It is named by the plugin.
pub(in crate::sql) fn plugin(mut row: Row) -> Result<PluginVersion, Unreadable> {
    named(&mut row, Row::text, |row, name| {
        let digest = row.digest()?;
        let size_bytes = row.small()?;
        let Details { imports, grants, tasks } = Details::from_json(&row.text()?)?;
        let name = fit(PluginName::new(name))?;
        Ok(PluginVersion { name, digest, size_bytes, imports, grants, tasks, registered_at: row.time()? })
    })
}

pub(in crate::sql) fn new_plugin(version: &PluginVersion) -> Vec<Value> {
    let PluginVersion { name, digest, size_bytes, imports, grants, tasks, registered_at } = version.clone();
    let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
    values![&name, digest, size, Details { imports, grants, tasks }.to_json(), registered_at, false]
}

/// A scheduler. What it serves and can run, and its memory, are left out where they cannot be read: it may live nevertheless.
pub(in crate::sql) fn scheduler(row: Row) -> Result<SchedulerRow, Unreadable> {
    read_scheduler(row).map(|(scheduler, _)| scheduler)
}

/// As [`scheduler`], but one of which anything cannot be read is unreadable as a whole: nobody is to take it for one that can do nothing.
pub(in crate::sql) fn listed_scheduler(row: Row) -> Result<SchedulerRow, Unreadable> {
    match read_scheduler(row)? {
        (scheduler, None) => Ok(scheduler),
        (scheduler, Some(defect)) => Err(Unreadable { id: scheduler.id.to_string(), defect }),
    }
}

fn read_scheduler(mut row: Row) -> Result<(SchedulerRow, Option<Defect>), Unreadable> {
    named(&mut row, Row::text, |row, id| {
        let scheduler = SchedulerRow {
            id: fit(SchedulerId::new(id))?,
            role: row.text()?,
            started_at: row.time()?,
            seen_at: row.time()?,
            stopped_at: row.maybe_time()?,
            incarnation: fit(Incarnation::new(&row.text()?))?,
            memory: None,
            queues: Vec::new(),
            abilities: Vec::new(),
        };
        let memory = row.maybe_text()?.map(|text| MemoryLoad::from_json(&text)).transpose();
        let work = row.maybe_text()?.map(|text| Work::from_json(&text)).transpose();
        let defect = memory.as_ref().err().or_else(|| work.as_ref().err()).cloned();
        let Work { queues, abilities } = work.ok().flatten().unwrap_or_default();
        Ok((SchedulerRow { memory: memory.ok().flatten(), queues, abilities, ..scheduler }, defect))
    })
}
