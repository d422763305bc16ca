//! The imports of the component, in the SDK's own types.

use std::time::Duration;

use crate::bindings::jobs::plugin::{
    context, kv as wit_kv, log as wit_log, progress as wit_progress, scheduler as wit, secrets as wit_secrets,
};
use crate::context::Job;
use crate::convert::{instant, moment, settings_to_wit};
use crate::log::Level;
use crate::scheduler::{
    Coalesce, Conflict, JobRequest, JobResult, Outcome, ResumeFrom, ScheduleRequest, SchedulerError,
};
use crate::{kv, secrets};

pub(crate) fn current() -> Job {
    let job = context::current();
    Job {
        job_id: job.job_id,
        task: job.task,
        task_id: job.task_id,
        plugin: job.plugin,
        plugin_digest: job.plugin_digest,
        schedule_id: job.schedule_id,
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        scheduled_fire_time: job.scheduled_fire_time.map(moment),
        jitter: Duration::from_micros(job.jitter_us),
        created_at: moment(job.created_at),
        started_at: moment(job.started_at),
        deadline: moment(job.deadline),
        // The host promises an object; from one that breaks its word there is no metadata to be had.
        metadata: serde_json::from_str(&job.metadata).unwrap_or_default(),
        scheduler_id: job.scheduler_id,
    }
}

pub(crate) fn is_cancelled() -> bool {
    context::is_cancelled()
}

pub(crate) fn remaining() -> Duration {
    Duration::from_millis(context::remaining_ms())
}

pub(crate) fn log(level: Level, target: &str, message: &str, fields: &[(&str, String)]) {
    let level = match level {
        Level::Trace => wit_log::Level::Trace,
        Level::Debug => wit_log::Level::Debug,
        Level::Info => wit_log::Level::Info,
        Level::Warn => wit_log::Level::Warn,
        Level::Error => wit_log::Level::Error,
    };
    let field = |(name, value): &(&str, String)| wit_log::Field { name: (*name).to_owned(), value: value.clone() };
    wit_log::log(level, target, message, &fields.iter().map(field).collect::<Vec<_>>());
}

pub(crate) fn progress(done: u64, total: Option<u64>, note: &str) {
    wit_progress::set(done, total, note);
}

pub(crate) fn add_job(request: JobRequest) -> Result<String, SchedulerError> {
    let request = wit::JobRequest {
        task: request.task,
        args: request.args.into(),
        settings: settings_to_wit(request.settings),
        not_before: request.not_before.map(instant),
    };
    wit::add_job(&request).map_err(refused)
}

pub(crate) fn add_schedule(request: ScheduleRequest) -> Result<String, SchedulerError> {
    let request = wit::ScheduleRequest {
        id: request.id,
        task: request.task,
        trigger: request.trigger,
        args: request.args.into(),
        settings: settings_to_wit(request.settings),
        coalesce: request.coalesce.map(|policy| match policy {
            Coalesce::Latest => wit::CoalescePolicy::Latest,
            Coalesce::Earliest => wit::CoalescePolicy::Earliest,
            Coalesce::All => wit::CoalescePolicy::All,
        }),
        max_jitter_ms: request.max_jitter.map(crate::convert::milliseconds),
        paused: request.paused,
        conflict_policy: match request.conflict {
            Conflict::Error => wit::ConflictPolicy::Error,
            Conflict::Replace => wit::ConflictPolicy::Replace,
            Conflict::Skip => wit::ConflictPolicy::Skip,
        },
    };
    wit::add_schedule(&request).map_err(refused)
}

pub(crate) fn job_result(job_id: &str) -> Result<Option<JobResult>, SchedulerError> {
    let result = wit::get_job_result(job_id).map_err(refused)?;
    Ok(result.map(|result| JobResult {
        outcome: match result.outcome {
            wit::Outcome::Success => Outcome::Success,
            wit::Outcome::Error => Outcome::Error,
            wit::Outcome::MissedStartDeadline => Outcome::MissedStartDeadline,
            wit::Outcome::DeserializationFailed => Outcome::DeserializationFailed,
            wit::Outcome::Cancelled => Outcome::Cancelled,
            wit::Outcome::Abandoned => Outcome::Abandoned,
        },
        value: result.value.map(Into::into),
        error: result.error.map(|error| (error.kind, error.failure.message)),
        attempts: result.attempts,
        finished_at: moment(result.finished_at),
    }))
}

pub(crate) fn cancel_job(job_id: &str) -> Result<(), SchedulerError> {
    wit::cancel_job(job_id).map_err(refused)
}

pub(crate) fn pause_schedule(id: &str) -> Result<(), SchedulerError> {
    wit::pause_schedule(id).map_err(refused)
}

pub(crate) fn unpause_schedule(id: &str, from: ResumeFrom) -> Result<(), SchedulerError> {
    let from = match from {
        ResumeFrom::WhereItWas => wit::ResumeFrom::WhereItWas,
        ResumeFrom::Now => wit::ResumeFrom::Now,
        ResumeFrom::At(time) => wit::ResumeFrom::At(instant(time)),
    };
    wit::unpause_schedule(id, from).map_err(refused)
}

pub(crate) fn remove_schedule(id: &str) -> Result<(), SchedulerError> {
    wit::remove_schedule(id).map_err(refused)
}

fn refused(error: wit::SchedulerError) -> SchedulerError {
    match error {
        wit::SchedulerError::Denied(text) => SchedulerError::Denied(text),
        wit::SchedulerError::UnknownTask(text) => SchedulerError::UnknownTask(text),
        wit::SchedulerError::Invalid(text) => SchedulerError::Invalid(text),
        wit::SchedulerError::NotFound(text) => SchedulerError::NotFound(text),
        wit::SchedulerError::Conflict(text) => SchedulerError::Conflict(text),
        wit::SchedulerError::Quota(text) => SchedulerError::Quota(text),
        wit::SchedulerError::Unavailable(text) => SchedulerError::Unavailable(text),
    }
}

pub(crate) fn kv_get(bucket: &str, key: &str) -> Result<Option<kv::Entry<Vec<u8>>>, kv::Error> {
    let found = wit_kv::get(bucket, key).map_err(kv_error)?;
    Ok(found.map(|entry| kv::Entry { value: entry.value, version: entry.version }))
}

pub(crate) fn kv_keys(
    bucket: &str,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<(Vec<String>, bool), kv::Error> {
    let page = wit_kv::keys(bucket, prefix, after, limit).map_err(kv_error)?;
    Ok((page.keys, page.has_more))
}

/// Without a value, deletes.
pub(crate) fn kv_set(bucket: &str, key: &str, value: Option<Vec<u8>>, version: Option<u64>) -> Result<(), kv::Error> {
    let done = match (value, version) {
        (Some(value), None) => wit_kv::set(bucket, key, &value),
        (Some(value), Some(version)) => wit_kv::set_if(bucket, key, version, &value),
        (None, None) => wit_kv::delete(bucket, key),
        (None, Some(version)) => wit_kv::delete_if(bucket, key, version),
    };
    done.map_err(kv_error)
}

pub(crate) fn secret_placeholder(name: &str) -> Result<String, secrets::Error> {
    wit_secrets::placeholder(name).map_err(secret_error)
}

pub(crate) fn secret_reveal(name: &str) -> Result<Vec<u8>, secrets::Error> {
    wit_secrets::reveal(name).map_err(secret_error)
}

fn secret_error(error: wit_secrets::SecretError) -> secrets::Error {
    let (kind, text) = match error {
        wit_secrets::SecretError::Denied(text) => (secrets::ErrorKind::Denied, text),
        wit_secrets::SecretError::Missing(text) => (secrets::ErrorKind::Missing, text),
        wit_secrets::SecretError::Unavailable(text) => (secrets::ErrorKind::Unavailable, text),
    };
    secrets::Error::new(kind, text)
}

fn kv_error(error: wit_kv::KvError) -> kv::Error {
    let (kind, text) = match error {
        wit_kv::KvError::Denied(text) => (kv::ErrorKind::Denied, text),
        wit_kv::KvError::Invalid(text) => (kv::ErrorKind::Invalid, text),
        wit_kv::KvError::Quota(text) => (kv::ErrorKind::Quota, text),
        wit_kv::KvError::Conflict(text) => (kv::ErrorKind::Conflict, text),
        wit_kv::KvError::Unavailable(text) => (kv::ErrorKind::Unavailable, text),
    };
    kv::Error::new(kind, text)
}
