//! The job that a task is run for.

use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Cancelled;
use crate::host;

/// The facts of a job, as the host gives them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Job {
    pub(crate) job_id: String,
    pub(crate) task: String,
    pub(crate) task_id: String,
    pub(crate) plugin: String,
    pub(crate) plugin_digest: String,
    pub(crate) schedule_id: Option<String>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) scheduled_fire_time: Option<SystemTime>,
    pub(crate) jitter: Duration,
    pub(crate) created_at: SystemTime,
    pub(crate) started_at: SystemTime,
    pub(crate) deadline: SystemTime,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) scheduler_id: String,
}

/// What a task may know of the job it is run for, and may tell those who watch it.
///
/// A task gets it as its first parameter, `ctx: &Context`. Code that is called from a task, but does not have it at
/// hand, can use [`Context::current`]. In native tests, [`testing::Host`](crate::testing::Host) makes one.
#[derive(Debug, Clone)]
pub struct Context {
    job: Job,
}

impl Context {
    /// The context of the job being run.
    ///
    /// # Panics
    ///
    /// Outside a job, for there is none.
    pub fn current() -> Self {
        Context { job: host::current() }
    }

    /// The job's ID: the same in each attempt, so it serves as an idempotency key.
    pub fn job_id(&self) -> &str {
        &self.job.job_id
    }

    /// The name of the task as this plugin gave it.
    pub fn task(&self) -> &str {
        &self.job.task
    }

    /// The full ID of the task: `plugin:task`, or the name the operator gave to a variation of it.
    pub fn task_id(&self) -> &str {
        &self.job.task_id
    }

    /// The name under which this plugin is registered.
    pub fn plugin(&self) -> &str {
        &self.job.plugin
    }

    /// The SHA-256 of this plugin, in hexadecimal digits.
    pub fn plugin_digest(&self) -> &str {
        &self.job.plugin_digest
    }

    /// The schedule that made the job; none if it was submitted directly.
    pub fn schedule_id(&self) -> Option<&str> {
        self.job.schedule_id.as_deref()
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.job.attempt
    }

    /// How many attempts the job may have, the first included.
    pub fn max_attempts(&self) -> u32 {
        self.job.max_attempts
    }

    /// Whether there is no attempt left after this one.
    pub fn is_last_attempt(&self) -> bool {
        self.job.attempt >= self.job.max_attempts
    }

    /// The time that the schedule's trigger gave for this job, without jitter; none if it was submitted directly.
    pub fn scheduled_fire_time(&self) -> Option<SystemTime> {
        self.job.scheduled_fire_time
    }

    /// By how much chance has put off the job from its fire time.
    pub fn jitter(&self) -> Duration {
        self.job.jitter
    }

    /// When the job was made.
    pub fn created_at(&self) -> SystemTime {
        self.job.created_at
    }

    /// When this attempt began.
    pub fn started_at(&self) -> SystemTime {
        self.job.started_at
    }

    /// When this attempt will be stopped at the latest.
    pub fn deadline(&self) -> SystemTime {
        self.job.deadline
    }

    /// The metadata of the job, its schedule and its task, merged.
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.job.metadata
    }

    /// One value of the metadata, if it is there and of that type.
    pub fn metadata_value<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.job.metadata.get(key).and_then(|value| T::deserialize(value).ok())
    }

    /// The identity of the scheduler that runs the job.
    pub fn scheduler_id(&self) -> &str {
        &self.job.scheduler_id
    }

    /// Whether somebody asked for the job to end. Once true it stays true.
    ///
    /// A task that runs long should look at it between two steps, or use [`Context::check`]; one that does not is
    /// stopped after a grace period.
    pub fn is_cancelled(&self) -> bool {
        host::is_cancelled()
    }

    /// Fails once the job was cancelled, so that `ctx.check()?` between two steps ends the task in good order.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], which the task should pass on: it converts into a [`TaskError`](crate::TaskError).
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// The time left until the attempt is stopped; zero once that has passed.
    pub fn remaining(&self) -> Duration {
        host::remaining()
    }

    /// Says how far the job has come, in a unit of the task's own. `total` is none as long as it is not known.
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>) {
        host::progress(done, total.into(), "");
    }

    /// As [`Context::progress`], with a line for people.
    pub fn progress_note(&self, done: u64, total: impl Into<Option<u64>>, note: &str) {
        host::progress(done, total.into(), note);
    }
}
