//! Jobs and schedules that a task asks for.
//!
//! All of it needs the operator's grant, and is refused with [`SchedulerError::Denied`] without. What a task asks for
//! is kept back and stored together with its own success: an attempt that fails has asked for nothing.
//!
//! ```no_run
//! use guest_sdk::scheduler::{JobRequest, ScheduleRequest};
//!
//! # fn demo() -> Result<(), guest_sdk::TaskError> {
//! let id = JobRequest::new("report:summary").args(&("in.csv",))?.submit()?;
//! ScheduleRequest::new("report:summary", r#"{"type":"interval","hours":1}"#).id("hourly").args(&[&id])?.add()?;
//! # Ok(()) }
//! ```

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::host;
use crate::payload::{Encoding, Payload, PayloadError};
use crate::settings::Settings;

/// Why a request was not accepted. The text is the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchedulerError {
    /// There is no grant for it; the text names the one that would allow it.
    Denied(String),
    /// No plugin offers the task, or several do.
    UnknownTask(String),
    /// The request cannot be used.
    Invalid(String),
    /// There is no such schedule or job (any more).
    NotFound(String),
    /// The ID is taken.
    Conflict(String),
    /// One attempt may ask for only so much.
    Quota(String),
    /// The host cannot tell just now.
    Unavailable(String),
}

impl fmt::Display for SchedulerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, text) = match self {
            SchedulerError::Denied(text) => ("denied", text),
            SchedulerError::UnknownTask(text) => ("unknown task", text),
            SchedulerError::Invalid(text) => ("invalid request", text),
            SchedulerError::NotFound(text) => ("not found", text),
            SchedulerError::Conflict(text) => ("conflict", text),
            SchedulerError::Quota(text) => ("too much asked for", text),
            SchedulerError::Unavailable(text) => ("the scheduler does not answer", text),
        };
        write!(f, "{what}: {text}")
    }
}

impl std::error::Error for SchedulerError {}

/// A job to add.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a request does nothing until it is submitted"]
pub struct JobRequest {
    /// `plugin:task`, or a bare `task` where exactly one plugin offers it.
    pub task: String,
    /// The arguments.
    pub args: Payload,
    /// Settings for this job only.
    pub settings: Settings,
    /// The earliest time to start.
    pub not_before: Option<SystemTime>,
}

impl JobRequest {
    /// A job of `task`, without arguments, to be started as soon as this one has succeeded.
    pub fn new(task: impl Into<String>) -> Self {
        JobRequest { task: task.into(), args: no_arguments(), settings: Settings::default(), not_before: None }
    }

    /// Its arguments: a struct or a map by name, a tuple or a slice by position.
    ///
    /// # Errors
    ///
    /// If they have no form in JSON.
    pub fn args<T: Serialize + ?Sized>(mut self, args: &T) -> Result<Self, PayloadError> {
        self.args = Payload::json(args)?;
        Ok(self)
    }

    /// Its settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The earliest time to start.
    pub fn not_before(mut self, time: SystemTime) -> Self {
        self.not_before = Some(time);
        self
    }

    /// Asks for it, and answers with its ID.
    ///
    /// # Errors
    ///
    /// If the host does not accept it.
    pub fn submit(self) -> Result<String, SchedulerError> {
        host::add_job(self)
    }
}

/// Which of the missed fire times become jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coalesce {
    /// One job, for the latest of them.
    Latest,
    /// One job, for the earliest of them.
    Earliest,
    /// One job for each of them.
    All,
}

/// What to do when a schedule of the same ID exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflict {
    /// Refuse with [`SchedulerError::Conflict`].
    #[default]
    Error,
    /// Put the new one in its place.
    Replace,
    /// Leave the old one alone, and say that all is well.
    Skip,
}

/// A schedule to add.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a request does nothing until it is added"]
pub struct ScheduleRequest {
    /// Its ID; none lets the host make one.
    pub id: Option<String>,
    /// `plugin:task`, or a bare `task` where exactly one plugin offers it.
    pub task: String,
    /// The trigger in the host's JSON form.
    pub trigger: String,
    /// The arguments of each job.
    pub args: Payload,
    /// Settings for its jobs.
    pub settings: Settings,
    /// What to do with missed fire times; none means the latest.
    pub coalesce: Option<Coalesce>,
    /// How much chance may add to a fire time.
    pub max_jitter: Option<Duration>,
    /// Whether it begins paused.
    pub paused: bool,
    /// What to do when the ID is taken.
    pub conflict: Conflict,
}

impl ScheduleRequest {
    /// A schedule of `task` with this trigger, such as `{"type":"interval","minutes":5}`.
    pub fn new(task: impl Into<String>, trigger: impl Into<String>) -> Self {
        ScheduleRequest {
            id: None,
            task: task.into(),
            trigger: trigger.into(),
            args: no_arguments(),
            settings: Settings::default(),
            coalesce: None,
            max_jitter: None,
            paused: false,
            conflict: Conflict::default(),
        }
    }

    /// Its ID.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The arguments of its jobs, as [`JobRequest::args`].
    ///
    /// # Errors
    ///
    /// If they have no form in JSON.
    pub fn args<T: Serialize + ?Sized>(mut self, args: &T) -> Result<Self, PayloadError> {
        self.args = Payload::json(args)?;
        Ok(self)
    }

    /// Asks for it, and answers with its ID.
    ///
    /// # Errors
    ///
    /// If the host does not accept it.
    pub fn add(self) -> Result<String, SchedulerError> {
        host::add_schedule(self)
    }
}

/// From where an unpaused schedule goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeFrom {
    /// From the fire time it had when it was paused.
    WhereItWas,
    /// From now: what was missed is skipped.
    Now,
    /// From this time.
    At(SystemTime),
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The task gave a result.
    Success,
    /// The task failed, trapped or passed a limit, and no attempt was left.
    Error,
    /// It could not start in time.
    MissedStartDeadline,
    /// Its arguments could not be read.
    DeserializationFailed,
    /// It was cancelled.
    Cancelled,
    /// Its worker died, and no attempt was left.
    Abandoned,
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobResult {
    /// How it ended.
    pub outcome: Outcome,
    /// What the task returned, with success and if results of this job are kept.
    pub value: Option<Payload>,
    /// The host's word for why it did not succeed, and the error in words.
    pub error: Option<(String, String)>,
    /// The attempts that were made.
    pub attempts: u32,
    /// When it ended.
    pub finished_at: SystemTime,
}

/// How a job ended; none if it has not ended yet. Never waits.
///
/// # Errors
///
/// If there is no such job (any more), or no grant to look at it.
pub fn job_result(job_id: &str) -> Result<Option<JobResult>, SchedulerError> {
    host::job_result(job_id)
}

/// Cancels a job. One that has ended is left as it is.
///
/// # Errors
///
/// If there is no such job, or no grant for it.
pub fn cancel_job(job_id: &str) -> Result<(), SchedulerError> {
    host::cancel_job(job_id)
}

/// Keeps a schedule from making jobs until it is unpaused.
///
/// # Errors
///
/// If there is no such schedule, or no grant for it.
pub fn pause_schedule(id: &str) -> Result<(), SchedulerError> {
    host::pause_schedule(id)
}

/// Lets a paused schedule go on.
///
/// # Errors
///
/// If there is no such schedule, or no grant for it.
pub fn unpause_schedule(id: &str, from: ResumeFrom) -> Result<(), SchedulerError> {
    host::unpause_schedule(id, from)
}

/// Removes a schedule. Jobs that it has made are left alone.
///
/// # Errors
///
/// If there is no such schedule, or no grant for it.
pub fn remove_schedule(id: &str) -> Result<(), SchedulerError> {
    host::remove_schedule(id)
}

fn no_arguments() -> Payload {
    Payload { encoding: Encoding::Json, data: b"{}".to_vec() }
}
