//! Settings.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{grace_millis, millis};
use crate::model::{Backoff, Hooks, JobSettings, Payload, ResolvedSettings, Settings, TaskId};

/// The settings that hold for what a job runs. `executor` is `null` where none was named.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "RunSettings"))]
pub(crate) struct RunSettingsWire {
    pub(crate) executor: Option<String>,
    pub(crate) queue: String,
    /// The key of a job; where it comes from for a schedule.
    pub(crate) concurrency_key: Option<String>,
    pub(crate) timeout_ms: u64,
    pub(crate) fuel: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) max_attempts: u32,
    pub(crate) backoff: BackoffWire,
    pub(crate) priority: i32,
    pub(crate) result_ttl_ms: u64,
    /// The version of the plugin that was asked for.
    pub(crate) version: Option<String>,
}

/// The tasks that run when a job has ended; `null` for none.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Hooks"))]
pub(crate) struct HooksWire {
    pub(crate) on_failure: Option<String>,
    pub(crate) on_success: Option<String>,
    pub(crate) on_missed: Option<String>,
}

impl From<&Hooks> for HooksWire {
    fn from(hooks: &Hooks) -> HooksWire {
        HooksWire {
            on_failure: hooks.on_failure.as_ref().map(ToString::to_string),
            on_success: hooks.on_success.as_ref().map(ToString::to_string),
            on_missed: hooks.on_missed.as_ref().map(ToString::to_string),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Backoff"))]
pub(crate) struct BackoffWire {
    pub(crate) initial_ms: u64,
    pub(crate) max_ms: u64,
    pub(crate) factor_percent: u32,
    pub(crate) jitter_percent: u8,
}

impl From<Backoff> for BackoffWire {
    fn from(backoff: Backoff) -> BackoffWire {
        BackoffWire {
            initial_ms: millis(backoff.initial),
            max_ms: millis(backoff.max),
            factor_percent: backoff.factor_percent,
            jitter_percent: backoff.jitter_percent,
        }
    }
}

impl From<&JobSettings> for RunSettingsWire {
    fn from(settings: &JobSettings) -> RunSettingsWire {
        RunSettingsWire {
            executor: settings.executor.as_ref().map(ToString::to_string),
            queue: settings.queue.to_string(),
            concurrency_key: settings.concurrency_key.clone(),
            timeout_ms: millis(settings.timeout),
            fuel: settings.fuel,
            memory_bytes: settings.memory_bytes,
            max_attempts: settings.max_attempts,
            backoff: settings.backoff.into(),
            priority: settings.priority,
            result_ttl_ms: millis(settings.result_ttl),
            version: settings.version.map(|version| version.to_string()),
        }
    }
}

impl From<&ResolvedSettings> for RunSettingsWire {
    fn from(settings: &ResolvedSettings) -> RunSettingsWire {
        RunSettingsWire {
            concurrency_key: settings.concurrency_key.as_ref().map(ToString::to_string),
            ..RunSettingsWire::from(&settings.clone().for_job(&Payload::no_args()))
        }
    }
}

/// One layer of settings, as an object that has the keys which the layer sets and no others: what is missing is inherited, and `null` says
/// "no limit".
pub(crate) fn layer(settings: &Settings) -> Value {
    let Settings {
        max_running_jobs,
        max_running_per_key,
        concurrency_key,
        queue,
        misfire_grace_time,
        overlap,
        pause_after,
        until_success,
        max_fires,
        hooks,
        executor,
        timeout,
        fuel,
        memory_bytes,
        max_attempts,
        backoff,
        priority,
        result_ttl,
        version,
        metadata,
    } = settings;
    let keys = [
        ("max_running_jobs", max_running_jobs.map(|limit| json!(limit.limit()))),
        ("max_running_per_key", max_running_per_key.map(|limit| json!(limit.limit()))),
        ("concurrency_key", concurrency_key.as_ref().map(|key| json!(key.to_string()))),
        ("queue", queue.as_ref().map(|queue| json!(queue.as_str()))),
        ("misfire_grace_time_ms", misfire_grace_time.map(|grace| json!(grace_millis(grace)))),
        ("pause_after", pause_after.map(|limit| json!(limit.failures()))),
        ("until_success", until_success.map(|until| json!(until))),
        ("max_fires", max_fires.map(|count| json!(count))),
        ("overlap", overlap.map(|policy| json!(policy.as_str()))),
        ("executor", executor.as_ref().map(|name| json!(name.as_str()))),
        ("timeout_ms", timeout.map(|span| json!(millis(span)))),
        ("fuel", fuel.map(|fuel| json!(fuel))),
        ("memory_bytes", memory_bytes.map(|bytes| json!(bytes))),
        ("max_attempts", max_attempts.map(|count| json!(count))),
        ("backoff", backoff.map(|backoff| json!(BackoffWire::from(backoff)))),
        ("priority", priority.map(|priority| json!(priority))),
        ("result_ttl_ms", result_ttl.map(|span| json!(millis(span)))),
        ("version", version.map(|version| json!(version.to_string()))),
        ("metadata", (!metadata.0.is_empty()).then(|| Value::Object(metadata.0.clone()))),
    ];
    let hooks = hooks.named().map(|(name, hook)| (name, hook.map(|hook| json!(hook.task().map(TaskId::as_str)))));
    let set = keys.into_iter().chain(hooks).filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(set.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GraceTime, Metadata, Parallelism};

    #[test]
    fn a_layer_shows_what_it_sets_and_nothing_else() {
        assert_eq!(layer(&Settings::default()), json!({}));
        let settings = Settings {
            max_running_jobs: Some(Parallelism::Unlimited),
            misfire_grace_time: Some(GraceTime::Unlimited),
            backoff: Some(Backoff::default()),
            priority: Some(-3),
            metadata: Metadata(json!({"team": "ops"}).as_object().expect("an object").clone()),
            ..Settings::default()
        };
        assert_eq!(
            layer(&settings),
            json!({
                "max_running_jobs": null,
                "misfire_grace_time_ms": null,
                "backoff": {"initial_ms": 1_000, "max_ms": 600_000, "factor_percent": 200, "jitter_percent": 10},
                "priority": -3,
                "metadata": {"team": "ops"},
            })
        );
    }
}
