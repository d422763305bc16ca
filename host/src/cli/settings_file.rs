//! The settings file (TOML), which flags and environment go over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

#[cfg(feature = "api")]
use super::api_settings::ApiFile;
use super::exit::{Failure, Outcomes};
use crate::app::AppError;
use crate::config::units::{parse_duration, parse_size};
use crate::config::words::{parse_backoff, parse_grace_time, parse_parallelism, parse_pause_after};
use crate::config::{Caps, CompilerLimits, DeclaredCaps, QueueLimit, Role};
use crate::model::{ConcurrencyKey, ExecutorName, HookSettings, Metadata, Overlap, QueueName, SchedulerId, Settings};

pub(super) fn parse_positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it is a number from 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

/// Shortest span between two rounds of anything: shorter ones would only keep the store busy.
const ROUND_MIN: Duration = Duration::from_millis(100);

pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(span) if span < ROUND_MIN => Err("it is at least 100ms".to_owned()),
        Ok(span) => Ok(span),
        Err(error) => Err(error.to_string()),
    }
}

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) store: Option<String>,
    pub(super) broker: Option<String>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) auto_migrate: Option<bool>,
    pub(super) require_approval: Option<bool>,
    pub(super) trusted_keys: Option<PathBuf>,
    pub(super) secret_key_file: Option<PathBuf>,
    pub(super) secret_key_command: Option<String>,
    #[serde(default)]
    pub(super) serve: ServeFile,
    #[serde(default)]
    pub(super) task_defaults: TaskDefaultsFile,
    #[serde(default)]
    pub(super) caps: CapsFile,
    #[serde(default)]
    pub(super) compiler: CompilerFile,
    #[cfg(feature = "api")]
    #[serde(default)]
    pub(super) api: ApiFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServeFile {
    pub(super) role: Option<Parsed<Role>>,
    pub(super) identity: Option<Parsed<SchedulerId>>,
    pub(super) max_concurrent_jobs: Option<Positive>,
    pub(super) spare_slots: Option<usize>,
    pub(super) max_memory: Option<Size>,
    pub(super) lease_duration: Option<Parsed<Duration>>,
    pub(super) cleanup_interval: Option<Parsed<Duration>>,
    pub(super) drain_timeout: Option<AnyDuration>,
    pub(super) max_catch_up: Option<Positive>,
    pub(super) history_ttl: Option<AnyDuration>,
    pub(super) history_max: Option<Positive>,
    pub(super) queues: Option<Vec<Parsed<QueueLimit>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskDefaultsFile {
    /// A number, or `"none"`.
    max_running_jobs: Option<toml::Value>,
    /// A number, or `"none"`.
    max_running_per_key: Option<toml::Value>,
    concurrency_key: Option<Parsed<ConcurrencyKey>>,
    queue: Option<Parsed<QueueName>>,
    misfire_grace_time: Option<String>,
    overlap: Option<Parsed<Overlap>>,
    /// A number, or `"none"`.
    pause_after: Option<toml::Value>,
    executor: Option<Parsed<ExecutorName>>,
    timeout: Option<AnyDuration>,
    fuel: Option<u64>,
    memory: Option<Size>,
    max_attempts: Option<u32>,
    backoff: Option<String>,
    priority: Option<i32>,
    result_ttl: Option<AnyDuration>,
    #[serde(default)]
    metadata: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CapsFile {
    timeout: Option<AnyDuration>,
    fuel: Option<u64>,
    memory: Option<Size>,
    args: Option<Size>,
    result: Option<Size>,
    metadata: Option<Size>,
    log: Option<Size>,
    log_lines: Option<Positive>,
    job_log: Option<Size>,
    job_log_lines: Option<Positive>,
    open_files: Option<Positive>,
    http_connections: Option<Positive>,
    http_body: Option<Size>,
    kv_bucket: Option<Size>,
    #[serde(default)]
    declared: DeclaredCapsFile,
}

/// What authors may declare for their tasks.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclaredCapsFile {
    priority: Option<i32>,
    max_attempts: Option<u32>,
    backoff: Option<AnyDuration>,
    result_ttl: Option<AnyDuration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompilerFile {
    memory: Option<Size>,
    timeout: Option<Parsed<Duration>>,
}

impl CompilerFile {
    pub(super) fn limits(self) -> CompilerLimits {
        let usual = CompilerLimits::default();
        CompilerLimits {
            memory_bytes: self.memory.map_or(usual.memory_bytes, |size| size.0),
            timeout: self.timeout.map_or(usual.timeout, |span| span.0),
        }
    }
}

impl File {
    pub(super) fn read(path: &Path) -> Outcomes<File> {
        let fault = |what: &str, error: &dyn std::fmt::Display| {
            Failure::App(AppError::Invalid {
                what: format!("the settings file `{}` {what}", path.display()),
                causes: error.to_string().lines().map(str::to_owned).collect(),
                hint: None,
            })
        };
        let text = std::fs::read_to_string(path).map_err(|error| fault("cannot be read", &error))?;
        toml::from_str(&text).map_err(|error: toml::de::Error| fault("is not valid", &located(&error, &text)))
    }
}

/// What is wrong, and where. Without the line itself, which `toml` would print: it may hold a password.
pub(super) fn located(error: &toml::de::Error, text: &str) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return error.message().to_owned() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

impl TaskDefaultsFile {
    pub(super) fn settings(self) -> Outcomes<Settings> {
        let fault = |name: &str, error: String| {
            Failure::App(AppError::invalid(format!("{name} under [task_defaults] is not valid: {error}")))
        };
        let limit = |name: &'static str| {
            move |value: toml::Value| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                parse_parallelism(&text).map_err(|error| fault(name, error))
            }
        };
        let max_running_jobs = self.max_running_jobs.map(limit("max_running_jobs"));
        let max_running_per_key = self.max_running_per_key.map(limit("max_running_per_key"));
        let misfire_grace_time = self
            .misfire_grace_time
            .map(|text| parse_grace_time(&text).map_err(|error| fault("misfire_grace_time", error)));
        let backoff = self.backoff.map(|text| parse_backoff(&text).map_err(|error| fault("backoff", error)));
        let pause_after = self.pause_after.map(|value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            parse_pause_after(&text).map_err(|error| fault("pause_after", error))
        });
        Ok(Settings {
            max_running_jobs: max_running_jobs.transpose()?,
            max_running_per_key: max_running_per_key.transpose()?,
            concurrency_key: self.concurrency_key.map(|key| key.0),
            queue: self.queue.map(|queue| queue.0),
            misfire_grace_time: misfire_grace_time.transpose()?,
            overlap: self.overlap.map(|policy| policy.0),
            pause_after: pause_after.transpose()?,
            until_success: None,
            max_fires: None,
            hooks: HookSettings::default(),
            executor: self.executor.map(|name| name.0),
            timeout: self.timeout.map(|span| span.0),
            fuel: self.fuel,
            memory_bytes: self.memory.map(|size| size.0),
            max_attempts: self.max_attempts,
            backoff: backoff.transpose()?,
            priority: self.priority,
            result_ttl: self.result_ttl.map(|span| span.0),
            version: None,
            metadata: Metadata(self.metadata),
        })
    }
}

impl CapsFile {
    pub(super) fn over(self, usual: Caps) -> Caps {
        let bytes =
            |size: Option<Size>, usual: usize| size.map_or(usual, |size| usize::try_from(size.0).unwrap_or(usize::MAX));
        Caps {
            timeout: self.timeout.map_or(usual.timeout, |span| span.0),
            fuel: self.fuel.unwrap_or(usual.fuel),
            memory_bytes: self.memory.map_or(usual.memory_bytes, |size| size.0),
            args_bytes: bytes(self.args, usual.args_bytes),
            result_bytes: bytes(self.result, usual.result_bytes),
            metadata_bytes: bytes(self.metadata, usual.metadata_bytes),
            log_bytes: bytes(self.log, usual.log_bytes),
            log_lines: self.log_lines.map_or(usual.log_lines, |count| count.0),
            job_log_bytes: bytes(self.job_log, usual.job_log_bytes),
            job_log_lines: self.job_log_lines.map_or(usual.job_log_lines, |count| count.0),
            open_files: self.open_files.map_or(usual.open_files, |count| count.0),
            http_connections: self.http_connections.map_or(usual.http_connections, |count| count.0),
            http_body_bytes: self.http_body.map_or(usual.http_body_bytes, |size| size.0),
            kv_bucket_bytes: self.kv_bucket.map_or(usual.kv_bucket_bytes, |size| size.0),
            declared: self.declared.over(usual.declared),
        }
    }
}

impl DeclaredCapsFile {
    pub(super) fn over(self, usual: DeclaredCaps) -> DeclaredCaps {
        DeclaredCaps {
            priority: self.priority.unwrap_or(usual.priority),
            max_attempts: self.max_attempts.unwrap_or(usual.max_attempts).max(1),
            backoff: self.backoff.map_or(usual.backoff, |span| span.0),
            result_ttl: self.result_ttl.map_or(usual.result_ttl, |span| span.0),
        }
    }
}

/// A value that is written as a text.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String", bound = "T: FromText")]
pub(super) struct Parsed<T: FromText>(pub(super) T);

/// What can be read from a text in the settings file, with the rules of the flag of that name.
pub(super) trait FromText: Sized {
    fn from_text(text: &str) -> Result<Self, String>;
}

impl<T: FromText> TryFrom<String> for Parsed<T> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        T::from_text(&text).map(Parsed).map_err(|error| {
            // Some errors name the text themselves.
            let named = format!("`{text}`");
            if error.starts_with(&named) { error } else { format!("{named}: {error}") }
        })
    }
}

impl FromText for Overlap {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl FromText for Role {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl FromText for SchedulerId {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: crate::model::IdError| error.to_string())
    }
}

impl FromText for ExecutorName {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: crate::model::IdError| error.to_string())
    }
}

impl FromText for QueueName {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: crate::model::IdError| error.to_string())
    }
}

impl FromText for QueueLimit {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl FromText for ConcurrencyKey {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl FromText for Duration {
    fn from_text(text: &str) -> Result<Self, String> {
        parse_span(text)
    }
}

/// A duration without a lower bound, unlike `Parsed<Duration>`, which is for what comes round again and again.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct AnyDuration(pub(super) Duration);

impl TryFrom<String> for AnyDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_duration(&text).map(AnyDuration).map_err(|error| error.to_string())
    }
}

/// A size: a text with a unit, or a plain number of bytes.
#[derive(Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(super) struct Size(pub(super) u64);

impl TryFrom<toml::Value> for Size {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        parse_size(&text).map(Size).map_err(|error| error.to_string())
    }
}

/// A number from 1.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Positive(pub(super) usize);

impl TryFrom<u64> for Positive {
    type Error = String;

    fn try_from(count: u64) -> Result<Self, String> {
        parse_positive(&count.to_string()).map(Positive)
    }
}
