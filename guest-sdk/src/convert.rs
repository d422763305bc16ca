//! Between the SDK's types and those of the WIT package. Only in components.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::bindings::jobs::plugin::types as wit;
use crate::error::{Failure, Kind, TaskError};
use crate::payload::{Encoding, Payload};
use crate::registry::TaskDescription;
use crate::settings::{Grace, Limit, Settings};

/// The host's instant as a time. One beyond what the clock can say is the epoch.
pub(crate) fn moment(at: wit::Datetime) -> SystemTime {
    let whole = Duration::from_secs(at.seconds.unsigned_abs());
    let base = if at.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    base.and_then(|base| base.checked_add(Duration::from_nanos(at.nanoseconds.into()))).unwrap_or(UNIX_EPOCH)
}

pub(crate) fn instant(time: SystemTime) -> wit::Datetime {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => wit::Datetime { seconds: after.as_secs().cast_signed(), nanoseconds: after.subsec_nanos() },
        Err(before) => {
            // Nanoseconds always count forwards, so a broken second before the epoch begins one second earlier.
            let before = before.duration();
            let (seconds, nanoseconds) = (before.as_secs().cast_signed(), before.subsec_nanos());
            if nanoseconds == 0 {
                wit::Datetime { seconds: -seconds, nanoseconds }
            } else {
                wit::Datetime { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds }
            }
        }
    }
}

/// Whole milliseconds; what has a fraction is rounded up, so that a wait is never shorter than asked for.
pub(crate) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl From<wit::Payload> for Payload {
    fn from(payload: wit::Payload) -> Self {
        let encoding = match payload.encoding {
            wit::Encoding::Json => Encoding::Json,
            wit::Encoding::Cbor => Encoding::Cbor,
        };
        Payload { encoding, data: payload.data }
    }
}

impl From<Payload> for wit::Payload {
    fn from(payload: Payload) -> Self {
        let encoding = match payload.encoding {
            Encoding::Json => wit::Encoding::Json,
            Encoding::Cbor => wit::Encoding::Cbor,
        };
        wit::Payload { encoding, data: payload.data }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        wit::Failure {
            message: failure.message,
            code: failure.code,
            context: failure.context,
            details: failure.details.map(|details| details.to_string()),
        }
    }
}

impl From<TaskError> for wit::TaskError {
    fn from(error: TaskError) -> Self {
        let failure = error.failure.into();
        match error.kind {
            Kind::InvalidArgs => wit::TaskError::InvalidArgs(failure),
            Kind::Permanent => wit::TaskError::Permanent(failure),
            Kind::Retryable => wit::TaskError::Retryable(failure),
            Kind::RetryAfter(delay) => {
                wit::TaskError::RetryAfter(wit::DelayedRetry { delay_ms: milliseconds(delay), failure })
            }
            Kind::Cancelled => wit::TaskError::Cancelled,
        }
    }
}

impl From<TaskDescription> for wit::TaskDescriptor {
    fn from(task: TaskDescription) -> Self {
        wit::TaskDescriptor {
            name: task.name,
            description: task.description,
            parameters: task.parameters,
            args_schema: Some(task.args_schema.to_string()),
            result_schema: Some(task.result_schema.to_string()),
            example_args: task.example_args.map(|example| example.to_string()),
            defaults: settings_to_wit(task.settings),
        }
    }
}

pub(crate) fn settings_to_wit(settings: Settings) -> wit::Settings {
    wit::Settings {
        max_running_jobs: settings.max_running_jobs.map(|limit| match limit {
            Limit::Unlimited => wit::Limit::Unlimited,
            Limit::AtMost(number) => wit::Limit::AtMost(number),
        }),
        misfire_grace_time: settings.misfire_grace_time.map(|grace| match grace {
            Grace::Unlimited => wit::Grace::Unlimited,
            Grace::Within(span) => wit::Grace::WithinMs(milliseconds(span)),
        }),
        executor: settings.executor.map(Into::into),
        metadata: settings.metadata.map(Into::into),
        timeout_ms: settings.timeout.map(milliseconds),
        fuel: settings.fuel,
        memory_bytes: settings.memory_bytes,
        max_attempts: settings.max_attempts,
        backoff: settings.backoff.map(|backoff| wit::Backoff {
            initial_ms: milliseconds(backoff.initial),
            max_ms: milliseconds(backoff.max),
            factor_percent: backoff.factor_percent,
            jitter_percent: backoff.jitter_percent,
        }),
        priority: settings.priority,
        result_ttl_ms: settings.result_ttl.map(milliseconds),
    }
}
