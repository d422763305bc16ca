//! Settings of tasks, schedules and jobs, and how they inherit from each other.
//!
//! A [`Settings`] is one layer: what one level says, and what it leaves open. Layers are laid over each other with
//! [`Settings::over`], the more explicit one on top, and [`Settings::resolve`] fills what nobody said:
//!
//! ```text
//! job  <  schedule  <  task: configured explicitly  <  task: #[task] attributes  <  task defaults of the host  <  built in
//! ```
//!
//! "Unset" (`None`: ask the next level) is not "none" (an explicit value such as [`Parallelism::Unlimited`]).

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::concurrency::ConcurrencyKey;
use super::hooks::{HookSettings, Hooks};
use super::id::{Digest, ExecutorName, QueueName};
use super::limits;
use super::overlap::Overlap;
use super::payload::Metadata;
use super::retry::Backoff;

/// How many jobs of one task may run at the same time, over all schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parallelism {
    /// As many as there are.
    Unlimited,
    /// At most this many.
    AtMost(NonZeroU32),
}

impl Parallelism {
    /// The number; `None` for any.
    pub fn limit(self) -> Option<u32> {
        match self {
            Parallelism::Unlimited => None,
            Parallelism::AtMost(max) => Some(max.get()),
        }
    }
}

/// How late a job may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraceTime {
    /// As late as it comes.
    Unlimited,
    /// At most this long after its fire time.
    Within(Duration),
}

/// After how many failures in a row a schedule is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseAfter {
    /// However many of its jobs fail, it goes on.
    Never,
    /// When so many of its jobs have failed one after the other.
    Failures(NonZeroU32),
}

impl PauseAfter {
    /// The number; `None` for never.
    pub fn failures(self) -> Option<NonZeroU32> {
        match self {
            PauseAfter::Never => None,
            PauseAfter::Failures(count) => Some(count),
        }
    }
}

impl fmt::Display for PauseAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PauseAfter::Never => f.write_str("never"),
            PauseAfter::Failures(count) => write!(f, "{count} failures in a row"),
        }
    }
}

/// One layer of settings. `None` means "not said here".
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// How many jobs of the task may run at once. Only tasks have it; schedules and jobs leave it unset.
    pub max_running_jobs: Option<Parallelism>,
    /// How many jobs of the task may run at once that have the same concurrency key. Only tasks have it.
    pub max_running_per_key: Option<Parallelism>,
    /// Where the concurrency key of a job comes from.
    pub concurrency_key: Option<ConcurrencyKey>,
    /// The queue that its jobs wait in.
    pub queue: Option<QueueName>,
    /// How late a scheduled job may start.
    pub misfire_grace_time: Option<GraceTime>,
    /// What a schedule does that fires while an earlier job of its own has not ended. Only tasks and schedules have it.
    pub overlap: Option<Overlap>,
    /// After how many failures of its jobs, one after the other, a schedule is paused. Only tasks and schedules have it.
    pub pause_after: Option<PauseAfter>,
    /// Whether a schedule is finished with the first of its jobs that succeeds. Only schedules have it.
    pub until_success: Option<bool>,
    /// After how many fires that have made a job a schedule is finished. Only schedules have it.
    pub max_fires: Option<NonZeroU32>,
    /// The tasks that run when a job has ended.
    pub hooks: HookSettings,
    /// The executor that runs the job.
    pub executor: Option<ExecutorName>,
    /// Wall-clock limit of one attempt.
    pub timeout: Option<Duration>,
    /// Fuel of one attempt.
    pub fuel: Option<u64>,
    /// Memory of one attempt, in bytes.
    pub memory_bytes: Option<u64>,
    /// How often the job is tried in all, at least 1.
    pub max_attempts: Option<u32>,
    /// The pauses between attempts.
    pub backoff: Option<Backoff>,
    /// Jobs of higher priority start first.
    pub priority: Option<i32>,
    /// How long the job and its result are kept after it ended; zero keeps no result.
    pub result_ttl: Option<Duration>,
    /// The version of the plugin that runs the job, whichever is current. Only schedules and jobs have it.
    pub version: Option<Digest>,
    /// Merged by top-level key instead of replaced.
    pub metadata: Metadata,
}

impl Settings {
    /// This layer over a more general one.
    #[must_use]
    pub fn over(&self, general: &Settings) -> Settings {
        Settings {
            max_running_jobs: self.max_running_jobs.or(general.max_running_jobs),
            max_running_per_key: self.max_running_per_key.or(general.max_running_per_key),
            concurrency_key: self.concurrency_key.clone().or_else(|| general.concurrency_key.clone()),
            queue: self.queue.clone().or_else(|| general.queue.clone()),
            misfire_grace_time: self.misfire_grace_time.or(general.misfire_grace_time),
            overlap: self.overlap.or(general.overlap),
            pause_after: self.pause_after.or(general.pause_after),
            until_success: self.until_success.or(general.until_success),
            max_fires: self.max_fires.or(general.max_fires),
            hooks: self.hooks.over(&general.hooks),
            executor: self.executor.clone().or_else(|| general.executor.clone()),
            timeout: self.timeout.or(general.timeout),
            fuel: self.fuel.or(general.fuel),
            memory_bytes: self.memory_bytes.or(general.memory_bytes),
            max_attempts: self.max_attempts.or(general.max_attempts),
            backoff: self.backoff.or(general.backoff),
            priority: self.priority.or(general.priority),
            result_ttl: self.result_ttl.or(general.result_ttl),
            version: self.version.or(general.version),
            metadata: self.metadata.over(&general.metadata),
        }
    }

    /// These settings with the built-in defaults for what is still unset.
    pub fn resolve(&self) -> ResolvedSettings {
        ResolvedSettings {
            max_running_jobs: self.max_running_jobs.unwrap_or(Parallelism::AtMost(NonZeroU32::MIN)),
            max_running_per_key: self.max_running_per_key.unwrap_or(Parallelism::AtMost(NonZeroU32::MIN)),
            concurrency_key: self.concurrency_key.clone(),
            queue: self.queue.clone().unwrap_or_default(),
            misfire_grace_time: self.misfire_grace_time.unwrap_or(GraceTime::Unlimited),
            overlap: self.overlap.unwrap_or_default(),
            pause_after: self.pause_after.unwrap_or(PauseAfter::Never),
            until_success: self.until_success.unwrap_or(false),
            max_fires: self.max_fires,
            hooks: self.hooks.resolve(),
            executor: self.executor.clone(),
            timeout: self.timeout.unwrap_or(limits::TIMEOUT_DEFAULT),
            fuel: self.fuel.unwrap_or(limits::FUEL_DEFAULT),
            memory_bytes: self.memory_bytes.unwrap_or(limits::MEMORY_BYTES_DEFAULT),
            max_attempts: self.max_attempts.unwrap_or(limits::MAX_ATTEMPTS_DEFAULT),
            backoff: self.backoff.unwrap_or_default(),
            priority: self.priority.unwrap_or(0),
            result_ttl: self.result_ttl.unwrap_or(limits::RESULT_TTL_DEFAULT),
            version: self.version,
            metadata: self.metadata.clone(),
        }
    }
}

/// Settings with every question answered. The fields mean what those of [`Settings`] mean.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "field by field the answers to `Settings`, which documents them")]
pub struct ResolvedSettings {
    pub max_running_jobs: Parallelism,
    pub max_running_per_key: Parallelism,
    pub concurrency_key: Option<ConcurrencyKey>,
    pub queue: QueueName,
    pub misfire_grace_time: GraceTime,
    pub overlap: Overlap,
    pub pause_after: PauseAfter,
    pub until_success: bool,
    pub max_fires: Option<NonZeroU32>,
    pub hooks: Hooks,
    /// `None`: the executor that fits what the task is (sandbox for a plugin's, inline for a native one).
    pub executor: Option<ExecutorName>,
    pub timeout: Duration,
    pub fuel: u64,
    pub memory_bytes: u64,
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub priority: i32,
    pub result_ttl: Duration,
    /// `None`: the version that is current when the first attempt begins.
    pub version: Option<Digest>,
    pub metadata: Metadata,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(value: serde_json::Value) -> Metadata {
        Metadata(value.as_object().expect("an object").clone())
    }

    #[test]
    fn the_more_explicit_layer_wins_and_metadata_merges_by_key() {
        let declared = Settings {
            max_running_jobs: NonZeroU32::new(3).map(Parallelism::AtMost),
            metadata: metadata(json!({"foo": ["task"]})),
            ..Settings::default()
        };
        let defaults = Settings {
            misfire_grace_time: Some(GraceTime::Within(Duration::from_secs(15))),
            max_running_jobs: Some(Parallelism::Unlimited),
            metadata: metadata(json!({"global": 3, "foo": ["bar"]})),
            ..Settings::default()
        };
        let configured = Settings { metadata: metadata(json!({"direct": true})), ..Settings::default() };
        let all = configured.over(&declared).over(&defaults).resolve();
        assert_eq!(all.max_running_jobs, Parallelism::AtMost(NonZeroU32::new(3).expect("not zero")));
        assert_eq!(all.misfire_grace_time, GraceTime::Within(Duration::from_secs(15)));
        assert_eq!(all.metadata, metadata(json!({"global": 3, "foo": ["task"], "direct": true})));
    }

    #[test]
    fn an_explicit_none_is_not_the_same_as_unset() {
        let defaults =
            Settings { misfire_grace_time: Some(GraceTime::Within(Duration::from_secs(15))), ..Settings::default() };
        let unset = Settings::default();
        let none = Settings { misfire_grace_time: Some(GraceTime::Unlimited), ..Settings::default() };
        assert_eq!(unset.over(&defaults).resolve().misfire_grace_time, GraceTime::Within(Duration::from_secs(15)));
        assert_eq!(none.over(&defaults).resolve().misfire_grace_time, GraceTime::Unlimited);
    }
}
