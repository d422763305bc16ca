//! Input that is checked once, before anything happens.

use std::time::Duration;

use serde_json::Value;

use super::{App, AppError, AppResult};
use crate::config::Caps;
use crate::config::units::{format_duration, format_size};
use crate::model::limits::{JSON_DEPTH_MAX, MAX_ATTEMPTS_MAX, SPAN_MAX};
use crate::model::{Backoff, GraceTime, Metadata, Payload, Settings, unseen_character};

/// A setting, by name: what `unset` takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of `Settings`, which documents them")]
pub enum SettingName {
    MaxRunningJobs,
    MaxRunningPerKey,
    ConcurrencyKey,
    Queue,
    MisfireGraceTime,
    Overlap,
    PauseAfter,
    UntilSuccess,
    MaxFires,
    OnFailure,
    OnSuccess,
    OnMissed,
    Executor,
    Timeout,
    Fuel,
    Memory,
    MaxAttempts,
    Backoff,
    Priority,
    ResultTtl,
    Metadata,
}

impl SettingName {
    /// The setting of that name, as in JSON and in the settings file.
    pub fn from_name(name: &str) -> Option<SettingName> {
        Some(match name {
            "max_running_jobs" => SettingName::MaxRunningJobs,
            "max_running_per_key" => SettingName::MaxRunningPerKey,
            "concurrency_key" => SettingName::ConcurrencyKey,
            "queue" => SettingName::Queue,
            "misfire_grace_time" => SettingName::MisfireGraceTime,
            "overlap" => SettingName::Overlap,
            "pause_after" => SettingName::PauseAfter,
            "until_success" => SettingName::UntilSuccess,
            "max_fires" => SettingName::MaxFires,
            "on_failure" => SettingName::OnFailure,
            "on_success" => SettingName::OnSuccess,
            "on_missed" => SettingName::OnMissed,
            "executor" => SettingName::Executor,
            "timeout" => SettingName::Timeout,
            "fuel" => SettingName::Fuel,
            "memory" => SettingName::Memory,
            "max_attempts" => SettingName::MaxAttempts,
            "backoff" => SettingName::Backoff,
            "priority" => SettingName::Priority,
            "result_ttl" => SettingName::ResultTtl,
            "metadata" => SettingName::Metadata,
            _ => return None,
        })
    }

    /// Takes the setting out of a layer, so that the next layer is asked.
    pub(super) fn unset(self, settings: &mut Settings) {
        match self {
            SettingName::MaxRunningJobs => settings.max_running_jobs = None,
            SettingName::MaxRunningPerKey => settings.max_running_per_key = None,
            SettingName::ConcurrencyKey => settings.concurrency_key = None,
            SettingName::Queue => settings.queue = None,
            SettingName::MisfireGraceTime => settings.misfire_grace_time = None,
            SettingName::Overlap => settings.overlap = None,
            SettingName::PauseAfter => settings.pause_after = None,
            SettingName::UntilSuccess => settings.until_success = None,
            SettingName::MaxFires => settings.max_fires = None,
            SettingName::OnFailure => settings.hooks.on_failure = None,
            SettingName::OnSuccess => settings.hooks.on_success = None,
            SettingName::OnMissed => settings.hooks.on_missed = None,
            SettingName::Executor => settings.executor = None,
            SettingName::Timeout => settings.timeout = None,
            SettingName::Fuel => settings.fuel = None,
            SettingName::Memory => settings.memory_bytes = None,
            SettingName::MaxAttempts => settings.max_attempts = None,
            SettingName::Backoff => settings.backoff = None,
            SettingName::Priority => settings.priority = None,
            SettingName::ResultTtl => settings.result_ttl = None,
            SettingName::Metadata => settings.metadata = Metadata::default(),
        }
    }
}

/// Checks a layer of settings that an operator gives.
///
/// # Errors
/// [`AppError::Invalid`] names the setting, what is wrong with it, and what is allowed. That a cap is passed is an error too: whoever asks for
/// two hours should not silently get one.
pub fn check_settings(settings: &Settings, caps: &Caps) -> AppResult<()> {
    let Settings {
        timeout, fuel, memory_bytes, max_attempts, backoff, result_ttl, misfire_grace_time, metadata, ..
    } = settings;
    if let Some(timeout) = *timeout {
        not_zero("timeout", timeout.is_zero())?;
        within_cap("timeout", timeout, caps.timeout, format_duration)?;
    }
    if let Some(fuel) = *fuel {
        not_zero("fuel", fuel == 0)?;
        within_cap("fuel", fuel, caps.fuel, |fuel| fuel.to_string())?;
    }
    if let Some(memory) = *memory_bytes {
        not_zero("memory", memory == 0)?;
        within_cap("memory", memory, caps.memory_bytes, format_size)?;
    }
    if let Some(attempts) = *max_attempts
        && !(1..=MAX_ATTEMPTS_MAX).contains(&attempts)
    {
        return Err(AppError::invalid(format!("max_attempts is {attempts}, and may be 1 to {MAX_ATTEMPTS_MAX}")));
    }
    if let Some(backoff) = backoff {
        check_backoff(backoff)?;
    }
    if let Some(ttl) = *result_ttl {
        check_span("result_ttl", ttl)?;
    }
    if let Some(GraceTime::Within(grace)) = *misfire_grace_time {
        check_span("misfire_grace_time", grace)?;
    }
    check_metadata(metadata, caps)
}

/// Checks an id that something new is to have.
///
/// # Errors
/// [`AppError::Invalid`] where a character of it does not show, so that it could be taken for another id.
pub fn check_new_id(kind: &str, id: &str) -> AppResult<()> {
    match unseen_character(id) {
        None => Ok(()),
        Some(unseen) => {
            let (code, shown) = (u32::from(unseen), id.replace(unseen, &unseen.escape_unicode().to_string()));
            Err(AppError::invalid(format!(
                "`{shown}` is no good {kind}: the character U+{code:04X} in it does not show"
            ))
            .with_hint("leave it out; whoever reads the id cannot see it"))
        }
    }
}

/// Checks the arguments of a job.
///
/// # Errors
/// [`AppError::Invalid`] where they are neither an object nor an array, too large, or nested too deep.
pub fn check_args(args: &Value, caps: &Caps) -> AppResult<Payload> {
    if !args.is_object() && !args.is_array() {
        let what = format!("the arguments are {}", kind_of(args));
        return Err(AppError::invalid(what).with_hint("named arguments are a JSON object, positional ones an array"));
    }
    check_depth("the arguments", args)?;
    let payload = Payload::json(args);
    if payload.data.len() > caps.args_bytes {
        let (size, cap) = (format_size(payload.data.len() as u64), format_size(caps.args_bytes as u64));
        return Err(AppError::invalid(format!("the arguments take {size}, and may take {cap}"))
            .with_hint("pass large data by reference: a file in a granted folder, or a URL"));
    }
    Ok(payload)
}

impl App {
    /// As [`check_settings`], with the caps of this host, for the layer of a task, which runs whatever version of its plugin is current.
    pub(super) fn check_settings(&self, settings: &Settings) -> AppResult<()> {
        if settings.version.is_some() {
            return Err(AppError::invalid("version is a setting of jobs and schedules, and none of tasks")
                .with_hint("`host plugins rollback` makes another version current for all of them"));
        }
        if settings.until_success.is_some() || settings.max_fires.is_some() {
            return Err(AppError::invalid("until_success and max_fires are settings of schedules, and none of tasks")
                .with_hint("give them to each schedule of the task"));
        }
        check_settings(settings, &self.caps)
    }

    /// The same for the layer of a job or a schedule, which cannot say how many jobs of their task may run.
    pub(super) fn check_job_settings(&self, settings: &Settings) -> AppResult<()> {
        if settings.max_running_jobs.is_some() {
            return Err(AppError::invalid("max_running_jobs is a setting of tasks, and none of jobs and schedules")
                .with_hint(
                    "set it for the task, or make a second task over the same function with a limit of its own",
                ));
        }
        check_settings(settings, &self.caps)
    }
}

fn check_backoff(backoff: &Backoff) -> AppResult<()> {
    check_span("backoff", backoff.initial)?;
    check_span("backoff", backoff.max)?;
    if backoff.initial > backoff.max {
        return Err(AppError::invalid("the first pause of backoff is longer than its longest one"));
    }
    if !(100..=10_000).contains(&backoff.factor_percent) {
        return Err(AppError::invalid("the factor of backoff may be 1 to 100"));
    }
    if backoff.jitter_percent > 100 {
        return Err(AppError::invalid("the jitter of backoff may be 0 to 100 percent"));
    }
    Ok(())
}

fn check_metadata(metadata: &Metadata, caps: &Caps) -> AppResult<()> {
    metadata.0.values().try_for_each(|value| check_depth("metadata", value))?;
    let size = metadata.to_json().len();
    if size > caps.metadata_bytes {
        let (size, cap) = (format_size(size as u64), format_size(caps.metadata_bytes as u64));
        return Err(AppError::invalid(format!("metadata takes {size}, and may take {cap}")));
    }
    Ok(())
}

pub(super) fn check_span(name: &str, span: Duration) -> AppResult<()> {
    if span > SPAN_MAX {
        return Err(AppError::invalid(format!("{name} is {}, and may be ten years at most", format_duration(span))));
    }
    Ok(())
}

fn check_depth(name: &str, value: &Value) -> AppResult<()> {
    // Stops at the bound: a value that a program made may be deeper than any stack.
    fn is_deeper(value: &Value, levels: usize) -> bool {
        match (value, levels.checked_sub(1)) {
            (Value::Array(items), Some(left)) => items.iter().any(|item| is_deeper(item, left)),
            (Value::Object(fields), Some(left)) => fields.values().any(|field| is_deeper(field, left)),
            (Value::Array(_) | Value::Object(_), None) => true,
            _ => false,
        }
    }
    if is_deeper(value, JSON_DEPTH_MAX) {
        return Err(AppError::invalid(format!("{name}: nested deeper than {JSON_DEPTH_MAX} levels")));
    }
    Ok(())
}

fn not_zero(name: &str, is_zero: bool) -> AppResult<()> {
    if is_zero { Err(AppError::invalid(format!("{name} is zero: nothing could ever run"))) } else { Ok(()) }
}

fn within_cap<T: PartialOrd + Copy>(name: &str, asked: T, cap: T, show: impl Fn(T) -> String) -> AppResult<()> {
    if asked <= cap {
        return Ok(());
    }
    let what = format!("{name} {} is above this host's cap of {}", show(asked), show(cap));
    Err(AppError::invalid(what).with_hint(format!("raise `{name}` under [caps] in the config file, or ask for less")))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operator_who_asks_for_more_than_the_cap_is_told_so() {
        let asked = Settings { timeout: Some(Duration::from_secs(7_200)), ..Settings::default() };
        let caps = Caps { timeout: Duration::from_secs(3_600), ..Caps::default() };
        let error = check_settings(&asked, &caps).expect_err("above the cap");
        assert_eq!(error.to_string(), "timeout 2h is above this host's cap of 1h");
        assert!(check_settings(&asked, &Caps::default()).is_ok());
    }

    #[test]
    fn arguments_are_an_object_or_an_array_and_neither_large_nor_deep() {
        let caps = Caps { args_bytes: 10, ..Caps::default() };
        assert!(check_args(&json!({"a": 1}), &caps).is_ok());
        assert!(check_args(&json!([1, 2]), &caps).is_ok());
        assert!(check_args(&json!("text"), &caps).is_err());
        assert!(check_args(&json!({"name": "long"}), &caps).is_err());
        let deep = (0..70).fold(json!(0), |inner, _| json!([inner]));
        assert!(check_args(&deep, &Caps::default()).is_err());
    }
}
