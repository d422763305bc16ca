//! Version 0.1 of the interface: bindings, host functions, and conversions to the model.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};

use self::jobs::plugin::{context, log, progress, scheduler, types};
use super::super::denials::named;
use super::super::state::Guest;
use crate::model::limits::SPAN_MAX;
use crate::model::{
    Backoff, Encoding, ExecutorName, GraceTime, LogLevel, Metadata, Parallelism, Payload, Progress, Settings, Target,
    TaskDeclaration, TaskName, Timestamp, json,
};

mod kv;
mod secrets;

mod generated {
    #![allow(clippy::all, clippy::pedantic, reason = "generated")]
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "plugin",
        imports: { "jobs:plugin/context": trappable, "jobs:plugin/kv": async, "jobs:plugin/secrets": async },
        exports: { default: async },
    });
}

pub(in super::super) use generated::PluginPre;
use generated::jobs;
pub(in super::super) use jobs::plugin::types::{Failure, TaskDescriptor, TaskError};

/// The host's side of everything that a plugin may import of `jobs:plugin`.
pub(in super::super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    generated::Plugin::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

impl types::Host for Guest {}

impl context::Host for Guest {
    fn current(&mut self) -> wasmtime::Result<context::JobContext> {
        let invocation = self.job.as_ref().ok_or_else(no_job)?;
        let (job, runnable) = (&invocation.job, &invocation.runnable);
        let spec = &job.spec;
        let Target::Plugin { plugin, function } = &runnable.target else { return Err(no_job()) };
        Ok(context::JobContext {
            job_id: spec.id.to_string(),
            task: function.to_string(),
            task_id: spec.task_id.to_string(),
            plugin: plugin.to_string(),
            plugin_digest: runnable.plugin.as_ref().map(|plugin| plugin.digest.to_string()).unwrap_or_default(),
            schedule_id: spec.schedule_id.as_ref().map(ToString::to_string),
            attempt: job.attempt,
            max_attempts: spec.settings.max_attempts,
            scheduled_fire_time: spec.scheduled_fire_time.map(datetime),
            jitter_us: u64::try_from(spec.jitter.as_micros()).unwrap_or(u64::MAX),
            created_at: datetime(spec.created_at),
            started_at: datetime(invocation.started_at),
            deadline: datetime(self.control.deadline),
            metadata: spec.settings.metadata.to_json(),
            scheduler_id: invocation.scheduler_id.to_string(),
        })
    }

    fn is_cancelled(&mut self) -> wasmtime::Result<bool> {
        self.job.as_ref().ok_or_else(no_job)?;
        Ok(self.control.cancel.is_cancelled() || self.control.kill.is_cancelled())
    }

    fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
        self.job.as_ref().ok_or_else(no_job)?;
        let left = self.control.timeout.saturating_sub(self.control.elapsed.elapsed());
        Ok(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }
}

fn no_job() -> wasmtime::Error {
    wasmtime::Error::msg("there is no job here: `context` can be used only while a task runs")
}

impl log::Host for Guest {
    fn log(&mut self, level: log::Level, target: String, message: String, fields: Vec<log::Field>) {
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        let fields = fields.into_iter().map(|field| (field.name, field.value)).collect();
        self.output.log(level, target, message, fields);
    }
}

impl progress::Host for Guest {
    fn set(&mut self, done: u64, total: Option<u64>, note: String) {
        self.output.progress(Progress { done, total, note });
    }
}

/// Nothing of this can be granted yet, and each call says so.
impl scheduler::Host for Guest {
    fn add_job(&mut self, request: scheduler::JobRequest) -> Result<String, scheduler::SchedulerError> {
        Err(self.deny_scheduling(&format!("adding a job of `{}`", request.task)))
    }

    fn cancel_job(&mut self, job_id: String) -> Result<(), scheduler::SchedulerError> {
        Err(self.deny_scheduling(&format!("cancelling job {job_id}")))
    }

    fn get_job_result(&mut self, job_id: String) -> Result<Option<scheduler::JobResult>, scheduler::SchedulerError> {
        Err(self.deny_scheduling(&format!("reading the result of job {job_id}")))
    }

    fn add_schedule(&mut self, request: scheduler::ScheduleRequest) -> Result<String, scheduler::SchedulerError> {
        Err(self.deny_scheduling(&format!("adding a schedule of `{}`", request.task)))
    }

    fn pause_schedule(&mut self, id: String) -> Result<(), scheduler::SchedulerError> {
        Err(self.deny_scheduling(&format!("pausing schedule `{id}`")))
    }

    fn unpause_schedule(&mut self, id: String, _from: scheduler::ResumeFrom) -> Result<(), scheduler::SchedulerError> {
        Err(self.deny_scheduling(&format!("unpausing schedule `{id}`")))
    }

    fn remove_schedule(&mut self, id: String) -> Result<(), scheduler::SchedulerError> {
        Err(self.deny_scheduling(&format!("removing schedule `{id}`")))
    }
}

impl Guest {
    fn deny_scheduling(&mut self, what: &str) -> scheduler::SchedulerError {
        let what = named(what);
        let sentence = format!(
            "{what} is denied: it needs the grant `--allow-schedule TASK-GLOB`, which this version of the host cannot give yet"
        );
        self.denials.refused(sentence.clone());
        scheduler::SchedulerError::Denied(sentence)
    }
}

fn datetime(time: Timestamp) -> types::Datetime {
    let micros = time.as_micros();
    let nanoseconds = u32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    types::Datetime { seconds: micros.div_euclid(1_000_000), nanoseconds }
}

/// Arguments as the plugin wants them.
pub(in super::super) fn payload_to_guest(payload: &Payload) -> types::Payload {
    let encoding = match payload.encoding {
        Encoding::Json => types::Encoding::Json,
        Encoding::Cbor => types::Encoding::Cbor,
    };
    types::Payload { encoding, data: payload.data.to_vec() }
}

/// A result as the model wants it.
pub(in super::super) fn payload_from_guest(payload: types::Payload) -> Payload {
    let encoding = match payload.encoding {
        types::Encoding::Json => Encoding::Json,
        types::Encoding::Cbor => Encoding::Cbor,
    };
    Payload { encoding, data: Arc::from(payload.data) }
}

/// What a descriptor says, if every part of it keeps the laws of the model. Texts are not looked into here.
///
/// # Errors
/// A sentence on the first part that does not.
pub(in super::super) fn declaration(descriptor: TaskDescriptor) -> Result<TaskDeclaration, String> {
    let name = TaskName::new(&descriptor.name).map_err(|error| error.to_string())?;
    let settings = settings(descriptor.defaults).map_err(|error| format!("task `{name}`: {error}"))?;
    Ok(TaskDeclaration {
        name,
        description: descriptor.description,
        args_schema: descriptor.args_schema,
        result_schema: descriptor.result_schema,
        example_args: descriptor.example_args,
        settings,
    })
}

fn settings(settings: types::Settings) -> Result<Settings, String> {
    Ok(Settings {
        max_running_jobs: settings.max_running_jobs.map(parallelism).transpose()?,
        misfire_grace_time: settings.misfire_grace_time.map(grace_time).transpose()?,
        executor: settings.executor.map(|name| ExecutorName::new(&name).map_err(|e| e.to_string())).transpose()?,
        timeout: settings.timeout_ms.map(|ms| positive_span("timeout-ms", ms)).transpose()?,
        fuel: settings.fuel.map(|fuel| positive("fuel", fuel)).transpose()?,
        memory_bytes: settings.memory_bytes.map(|bytes| positive("memory-bytes", bytes)).transpose()?,
        max_attempts: settings.max_attempts.map(max_attempts).transpose()?,
        backoff: settings.backoff.map(backoff).transpose()?,
        priority: settings.priority,
        result_ttl: settings.result_ttl_ms.map(|ms| span("result-ttl-ms", ms)).transpose()?,
        metadata: settings.metadata.as_deref().map(metadata).transpose()?.unwrap_or_default(),
        // An operator's business: what shares a queue or a key is not the plugin's to know.
        ..Settings::default()
    })
}

fn parallelism(limit: types::Limit) -> Result<Parallelism, String> {
    match limit {
        types::Limit::Unlimited => Ok(Parallelism::Unlimited),
        types::Limit::AtMost(n) => {
            NonZeroU32::new(n).map(Parallelism::AtMost).ok_or_else(|| "max-running-jobs must be at least 1".to_owned())
        }
    }
}

fn grace_time(grace: types::Grace) -> Result<GraceTime, String> {
    match grace {
        types::Grace::Unlimited => Ok(GraceTime::Unlimited),
        types::Grace::WithinMs(ms) => span("misfire-grace-time", ms).map(GraceTime::Within),
    }
}

fn max_attempts(attempts: u32) -> Result<u32, String> {
    let max = crate::model::limits::MAX_ATTEMPTS_MAX;
    if (1..=max).contains(&attempts) {
        Ok(attempts)
    } else {
        Err(format!("max-attempts is {attempts}, and must be 1 to {max}"))
    }
}

fn backoff(backoff: types::Backoff) -> Result<Backoff, String> {
    if backoff.max_ms < backoff.initial_ms {
        return Err("backoff: max-ms must be at least initial-ms".to_owned());
    }
    if backoff.factor_percent < 100 {
        return Err(format!("backoff: factor-percent is {}, and must be at least 100", backoff.factor_percent));
    }
    if backoff.jitter_percent > 100 {
        return Err(format!("backoff: jitter-percent is {}, and must be at most 100", backoff.jitter_percent));
    }
    Ok(Backoff {
        initial: span("backoff: initial-ms", backoff.initial_ms)?,
        max: span("backoff: max-ms", backoff.max_ms)?,
        factor_percent: backoff.factor_percent,
        jitter_percent: backoff.jitter_percent,
    })
}

fn metadata(text: &str) -> Result<Metadata, String> {
    let max = crate::model::limits::METADATA_BYTES_MAX;
    if text.len() > max {
        return Err(format!("metadata has {} bytes, and may have {max}", text.len()));
    }
    match json::read(text).map_err(|fault| fault.to_string())? {
        serde_json::Value::Object(object) => Ok(Metadata(object)),
        _ => Err("metadata must be a JSON object".to_owned()),
    }
}

fn positive(name: &str, value: u64) -> Result<u64, String> {
    // Data stores keep these as signed numbers of 64 bits.
    if (1..=i64::MAX as u64).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{name} is {value}, which is out of range"))
    }
}

fn positive_span(name: &str, ms: u64) -> Result<Duration, String> {
    span(name, positive(name, ms)?)
}

fn span(name: &str, ms: u64) -> Result<Duration, String> {
    let span = Duration::from_millis(ms);
    if span <= SPAN_MAX { Ok(span) } else { Err(format!("{name} is {ms}, which is more than ten years")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_fraction_positive() {
        let time: Timestamp = "1969-12-31T23:59:59.25Z".parse().expect("valid");
        let datetime = datetime(time);
        assert_eq!((datetime.seconds, datetime.nanoseconds), (-1, 250_000_000));
    }
}
