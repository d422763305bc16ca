//! Settings, with where each comes from, and schedules.

use super::text::time_or_dash;
use crate::config::units::{format_duration, format_size};
use crate::model::{Backoff, GraceTime, JobSettings, Pause, Schedule, Settings, Task, TaskId};
use crate::wire::{KnownTasks, ScheduleState, coalesce_name, settings_of};

/// What a schedule does at present, and why.
pub(crate) fn state_of_schedule(schedule: &Schedule, tasks: &KnownTasks) -> String {
    match (&schedule.pause, ScheduleState::of(schedule, tasks.presence(schedule))) {
        (Some(Pause::Failed(reason)), _) => format!("paused after a failure: {reason}"),
        (_, ScheduleState::TaskMissing) => {
            "active, but its task is gone: its jobs end as plugin_unavailable".to_owned()
        }
        (_, ScheduleState::TaskUnreadable) => "active, but its task is unreadable: `host tasks` says why".to_owned(),
        (_, ScheduleState::Overrunning) => {
            let since = time_or_dash(schedule.overruns_since);
            format!("overrunning: at each fire since {since} an earlier job of it had not ended")
        }
        (_, ScheduleState::Finished) => finished(schedule),
        (_, state) => state.as_str().to_owned(),
    }
}

/// Why a schedule fires no more.
fn finished(schedule: &Schedule) -> String {
    let Settings { until_success, max_fires, .. } = &schedule.settings;
    let because = match max_fires {
        Some(max) if schedule.fire_count >= u64::from(max.get()) => "it has fired as often as it may",
        _ if *until_success == Some(true) => "a job of it has succeeded, or its trigger has no more fire times",
        _ => "its trigger has no more fire times",
    };
    format!("finished: {because}")
}

/// The settings of a schedule and of its jobs, as names and values; some values are empty, which say nothing.
pub(crate) fn schedule_settings(schedule: &Schedule, tasks: &KnownTasks) -> Vec<(&'static str, String)> {
    let settings = settings_of(schedule, tasks.of(schedule));
    let fire_count = match settings.max_fires {
        None => schedule.fire_count.to_string(),
        Some(max) => format!("{} of at most {max}", schedule.fire_count),
    };
    let layer = |sets| layer_of_schedule(&schedule.settings, sets);
    let grace = grace_time(settings.misfire_grace_time) + layer(|layer| layer.misfire_grace_time.is_some());
    let mut pairs = vec![
        ("coalesce", coalesce_name(schedule.coalesce).to_owned()),
        ("misfire grace time", grace),
        ("overlap", settings.overlap.to_string() + layer(|layer| layer.overlap.is_some())),
        ("pause after", settings.pause_after.to_string() + layer(|layer| layer.pause_after.is_some())),
        ("failures in a row", schedule.failures.to_string()),
        ("until success", if settings.until_success { "yes".to_owned() } else { String::new() }),
        ("fires with a job", fire_count),
        ("max jitter", format_duration(schedule.max_jitter)),
    ];
    let settings = settings.for_job(&schedule.args);
    pairs.extend(run_settings(executor_of(&settings), &settings, layer));
    pairs.push(("trigger", schedule.trigger.clone()));
    pairs
}

/// The settings of what a job runs, as names and values. `mark` says behind a value where it comes from.
pub(crate) fn run_settings(
    executor: &str,
    settings: &JobSettings,
    mark: impl Fn(fn(&Settings) -> bool) -> &'static str,
) -> Vec<(&'static str, String)> {
    let metadata = if settings.metadata.0.is_empty() { String::new() } else { settings.metadata.to_json() };
    let concurrency_key = settings.concurrency_key.as_ref();
    let concurrency_key = concurrency_key.map(|key| key.clone() + mark(|layer| layer.concurrency_key.is_some()));
    vec![
        ("executor", executor.to_owned() + mark(|layer| layer.executor.is_some())),
        ("queue", settings.queue.to_string() + mark(|layer| layer.queue.is_some())),
        ("concurrency key", concurrency_key.unwrap_or_default()),
        ("timeout", format_duration(settings.timeout) + mark(|layer| layer.timeout.is_some())),
        ("fuel", settings.fuel.to_string() + mark(|layer| layer.fuel.is_some())),
        ("memory", format_size(settings.memory_bytes) + mark(|layer| layer.memory_bytes.is_some())),
        ("attempts", settings.max_attempts.to_string() + mark(|layer| layer.max_attempts.is_some())),
        ("backoff", backoff(&settings.backoff) + mark(|layer| layer.backoff.is_some())),
        ("priority", settings.priority.to_string() + mark(|layer| layer.priority.is_some())),
        ("results kept", format_duration(settings.result_ttl) + mark(|layer| layer.result_ttl.is_some())),
        ("version", settings.version.map(|version| version.to_string()).unwrap_or_default()),
        ("on failure", hook(&settings.hooks.on_failure, mark(|layer| layer.hooks.on_failure.is_some()))),
        ("on success", hook(&settings.hooks.on_success, mark(|layer| layer.hooks.on_success.is_some()))),
        ("on missed", hook(&settings.hooks.on_missed, mark(|layer| layer.hooks.on_missed.is_some()))),
        ("metadata", metadata),
    ]
}

/// The task that runs after an end, with where that was said.
fn hook(task: &Option<TaskId>, mark: &str) -> String {
    task.as_ref().map(|task| format!("{task}{mark}")).unwrap_or_default()
}

/// What runs a job: what was named, or else what fits its task.
pub(crate) fn executor_of(settings: &JobSettings) -> &str {
    settings.executor.as_ref().map_or("the one that fits its task", |name| name.as_str())
}

/// How late a scheduled job may start.
pub(crate) fn grace_time(grace: GraceTime) -> String {
    match grace {
        GraceTime::Unlimited => "none".to_owned(),
        GraceTime::Within(span) => format_duration(span),
    }
}

/// Where a setting of a task comes from, for a place behind its value.
pub(crate) fn layer_of_task(task: &Task, sets: fn(&Settings) -> bool) -> &'static str {
    if sets(&task.configured) {
        "  (configured)"
    } else if sets(&task.declared) {
        "  (by its author)"
    } else if sets(&task.defaults) {
        "  (default of the host)"
    } else {
        ""
    }
}

/// Whether a setting of a schedule is its own, for a place behind its value.
fn layer_of_schedule(own: &Settings, sets: fn(&Settings) -> bool) -> &'static str {
    if sets(own) { "" } else { "  (its task's)" }
}

fn backoff(backoff: &Backoff) -> String {
    let Backoff { initial, max, factor_percent, jitter_percent } = *backoff;
    if initial == max && jitter_percent == 0 {
        return format!("{} each time", format_duration(initial));
    }
    format!(
        "{} growing to {}, times {}.{:02} each, spread by {jitter_percent} %",
        format_duration(initial),
        format_duration(max),
        factor_percent / 100,
        factor_percent % 100,
    )
}
