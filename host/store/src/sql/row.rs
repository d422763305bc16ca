//! Rows to nouns and back. What cannot be read is refused with the reason, never guessed at.

use std::sync::Arc;
use std::time::Duration;

use super::encoding::{Details, Encode, Fields, micros};
use super::value::{Row, Unfit, Value, values};
use crate::model::{
    Coalesce, Digest, Encoding, Job, JobError, JobId, JobSettings, JobSpec, JobState, Lease, LeaseToken, LogLevel,
    LogLine, MemoryLoad, Outcome, Parallelism, Pause, Payload, PluginName, PluginVersion, Progress, Schedule, ScheduleId,
    SchedulerId, Settings, Target, Task, TaskId, TaskName, Timestamp, Usage,
};
use crate::store::{SchedulerRow, StoreError, Subject, Unreadable, rules};

/// A name or number that must fit a type of ours.
fn fit<T, E: std::fmt::Display>(parsed: Result<T, E>) -> Result<T, Unfit> {
    parsed.map_err(|error| Unfit(error.to_string()))
}

pub(super) fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

pub(super) fn span_micros(span: Duration) -> i64 {
    i64::try_from(micros(span)).unwrap_or(i64::MAX)
}

fn time(micros: i64) -> Result<Timestamp, Unfit> {
    Timestamp::from_micros(micros).ok_or_else(|| Unfit(format!("{micros} is no time between the years 1 and 9999")))
}

fn maybe<T, U, E: Into<Unfit>>(value: Option<T>, read: impl FnOnce(T) -> Result<U, E>) -> Result<Option<U>, Unfit> {
    value.map(read).transpose().map_err(Into::into)
}

impl Row {
    pub(super) fn time(&mut self) -> Result<Timestamp, Unfit> {
        time(self.int()?)
    }

    pub(super) fn maybe_time(&mut self) -> Result<Option<Timestamp>, Unfit> {
        maybe(self.maybe_int()?, time)
    }

    pub(super) fn job_id(&mut self) -> Result<JobId, Unfit> {
        Ok(JobId::from_bytes(sized(self.bytes()?)?))
    }

    pub(super) fn task_id(&mut self) -> Result<TaskId, Unfit> {
        fit(TaskId::new(&self.text()?))
    }

    pub(super) fn schedule_id(&mut self) -> Result<ScheduleId, Unfit> {
        fit(ScheduleId::new(&self.text()?))
    }

    pub(super) fn digest(&mut self) -> Result<Digest, Unfit> {
        Ok(Digest::from_bytes(sized(self.bytes()?)?))
    }

    fn payload(&mut self) -> Result<Payload, Unfit> {
        self.maybe_payload()?.ok_or_else(|| Unfit("the arguments are missing".into()))
    }

    fn maybe_payload(&mut self) -> Result<Option<Payload>, Unfit> {
        let (encoding, data) = (self.maybe_text()?, self.maybe_bytes()?);
        let Some(encoding) = encoding else { return Ok(None) };
        let known = [Encoding::Json, Encoding::Cbor].into_iter().find(|known| known.as_str() == encoding);
        let encoding = known.ok_or_else(|| Unfit(format!("unknown encoding `{encoding}`")))?;
        Ok(Some(Payload { encoding, data: Arc::from(data.unwrap_or_default()) }))
    }

    fn lease(&mut self) -> Result<Option<Lease>, Unfit> {
        let (holder, token, until) = (self.maybe_text()?, self.maybe_bytes()?, self.maybe_time()?);
        let (Some(holder), Some(token), Some(expires_at)) = (holder, token, until) else { return Ok(None) };
        let holder = fit(SchedulerId::new(&holder))?;
        Ok(Some(Lease { holder, token: LeaseToken::from_bytes(sized(token)?), expires_at }))
    }

    /// The columns of `job_get` and its like.
    fn job(&mut self, id: JobId) -> Result<Job, Unfit> {
        let spec = JobSpec {
            id,
            task_id: self.task_id()?,
            schedule_id: maybe(self.maybe_text()?, |id| fit(ScheduleId::new(&id)))?,
            scheduled_fire_time: self.maybe_time()?,
            jitter: span(self.int()?),
            args: self.payload()?,
            settings: JobSettings::from_json(&self.text()?)?,
            due_at: self.time()?,
            start_deadline: self.maybe_time()?,
            created_at: self.time()?,
        };
        let state = self.text()?;
        Ok(Job {
            spec,
            state: JobState::from_name(&state).ok_or_else(|| Unfit(format!("unknown state `{state}`")))?,
            attempt: self.small()?,
            crashes: self.small()?,
            cancel_requested: self.flag()?,
            lease: self.lease()?,
            scheduler_id: maybe(self.maybe_text()?, |id| fit(SchedulerId::new(&id)))?,
            plugin_digest: maybe(self.maybe_bytes()?, |bytes| sized(bytes).map(Digest::from_bytes))?,
            started_at: self.maybe_time()?,
            progress: maybe(self.maybe_text()?, |text| Progress::from_json(&text))?,
            outcome: maybe(self.maybe_text()?, |name| {
                Outcome::from_name(&name).ok_or_else(|| Unfit(format!("unknown outcome `{name}`")))
            })?,
            finished_at: self.maybe_time()?,
            result: self.maybe_payload()?,
            error: maybe(self.maybe_text()?, |text| JobError::from_json(&text))?,
            usage: maybe(self.maybe_text()?, |text| Usage::from_json(&text))?,
            expires_at: self.maybe_time()?,
        })
    }
}

fn sized<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], Unfit> {
    bytes.try_into().map_err(|bytes: Vec<u8>| Unfit(format!("{} bytes in place of {N}", bytes.len())))
}

/// A job, or its id and why it cannot be read. `Err` only where not even the id is one.
pub(super) fn job(mut row: Row) -> Result<Result<Job, Unreadable>, Unfit> {
    let id = row.job_id()?;
    Ok(row.job(id).map_err(|unfit| Unreadable { id: id.to_string(), reason: unfit.to_string() }))
}

/// The row of a job that is queued. `partition` is where it waits once it is due.
pub(super) fn new_job(spec: &JobSpec, partition: &str) -> Vec<Value> {
    let is_due = spec.due_at <= spec.created_at;
    values![
        spec.id,
        &spec.task_id,
        spec.schedule_id.as_ref(),
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
        is_due.then_some(partition),
        (!is_due).then_some(spec.due_at),
        spec.start_deadline,
    ]
}

pub(super) fn log_line(mut row: Row) -> Result<LogLine, Unfit> {
    Ok(LogLine {
        attempt: row.small()?,
        sequence: row.small()?,
        at: row.time()?,
        level: {
            let name = row.text()?;
            LogLevel::from_name(&name).ok_or_else(|| Unfit(format!("unknown level `{name}`")))?
        },
        target: row.text()?,
        message: row.text()?,
        fields: Fields::from_json(&row.text()?)?.0,
    })
}

pub(super) fn new_log_line(id: JobId, line: LogLine) -> Vec<Value> {
    let LogLine { attempt, sequence, at, level, target, message, fields } = line;
    values![id, attempt, sequence, at, level.as_str(), target, message, Fields(fields).to_json()]
}

/// A schedule, or its id and why it cannot be read.
pub(super) fn schedule(mut row: Row) -> Result<Result<Schedule, Unreadable>, Unfit> {
    let id = row.text()?;
    Ok(read_schedule(&id, &mut row).map_err(|unfit| Unreadable { id, reason: unfit.to_string() }))
}

fn read_schedule(id: &str, row: &mut Row) -> Result<Schedule, Unfit> {
    Ok(Schedule {
        id: fit(ScheduleId::new(id))?,
        task_id: row.task_id()?,
        trigger: row.text()?,
        trigger_state: row.text()?,
        args: row.payload()?,
        coalesce: match row.text()?.as_str() {
            "latest" => Coalesce::Latest,
            "earliest" => Coalesce::Earliest,
            "all" => Coalesce::All,
            other => return Err(Unfit(format!("unknown coalesce policy `{other}`"))),
        },
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
    })
}

/// `paused` and its reason.
pub(super) fn pause(pause: Option<&Pause>) -> (bool, Option<&str>) {
    match pause {
        None => (false, None),
        Some(Pause::Asked) => (true, None),
        Some(Pause::Failed(reason)) => (true, Some(reason)),
    }
}

/// The row of a schedule that nobody has leased.
pub(super) fn new_schedule(schedule: &Schedule) -> Vec<Value> {
    let coalesce = match schedule.coalesce {
        Coalesce::Latest => "latest",
        Coalesce::Earliest => "earliest",
        Coalesce::All => "all",
    };
    let (paused, reason) = pause(schedule.pause.as_ref());
    values![
        &schedule.id,
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
    ]
}

/// A task, from the columns of `task_get` and its like.
pub(super) fn task(row: &mut Row) -> Result<Task, StoreError> {
    let id = row.text().map_err(|unfit| corrupt(Subject::Other("task".into()), &unfit))?;
    read_task(&id, row).map_err(|unfit| corrupt(Subject::Other(format!("task `{id}`")), &unfit))
}

fn read_task(id: &str, row: &mut Row) -> Result<Task, Unfit> {
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

/// How many jobs of the task may run at once; `None` for any number.
pub(super) fn limit(task: &Task) -> Option<u32> {
    match task.resolved().max_running_jobs {
        Parallelism::Unlimited => None,
        Parallelism::AtMost(max) => Some(max.get()),
    }
}

pub(super) fn new_task(task: &Task) -> Vec<Value> {
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
        limit(task),
    ]
}

/// A version of a plugin, from the columns of `plugin_get` and its like.
pub(super) fn plugin(mut row: Row) -> Result<PluginVersion, StoreError> {
    let name = row.text().map_err(|unfit| corrupt(Subject::Other("plugin".into()), &unfit))?;
    let read = |row: &mut Row| {
        let digest = row.digest()?;
        let size_bytes = row.small()?;
        let Details { imports, grants, tasks } = Details::from_json(&row.text()?)?;
        let name = fit(PluginName::new(&name))?;
        Ok(PluginVersion { name, digest, size_bytes, imports, grants, tasks, registered_at: row.time()? })
    };
    read(&mut row).map_err(|unfit| corrupt(Subject::Other(format!("plugin `{name}`")), &unfit))
}

pub(super) fn new_plugin(version: &PluginVersion) -> Vec<Value> {
    let PluginVersion { name, digest, size_bytes, imports, grants, tasks, registered_at } = version.clone();
    let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
    values![&name, digest, size, Details { imports, grants, tasks }.to_json(), registered_at, false]
}

pub(super) fn scheduler(mut row: Row) -> Result<SchedulerRow, Unfit> {
    Ok(SchedulerRow {
        id: fit(SchedulerId::new(&row.text()?))?,
        role: row.text()?,
        started_at: row.time()?,
        seen_at: row.time()?,
        stopped_at: row.maybe_time()?,
        // For people only: what cannot be read is left out.
        memory: row.maybe_text()?.and_then(|text| MemoryLoad::from_json(&text).ok()),
    })
}

fn corrupt(subject: Subject, unfit: &Unfit) -> StoreError {
    StoreError::Corrupt { subject, reason: unfit.to_string() }
}
