//! Schedules: a task with a trigger.

use std::time::Duration;

use super::Timestamp;
use super::id::{ScheduleId, ScheduleLife, TaskId};
use super::payload::Payload;
use super::settings::Settings;

/// A task with the rule of when it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Chosen by the user, or made of the task's id and a random suffix.
    pub id: ScheduleId,
    /// Which of those that have had this id.
    pub life: ScheduleLife,
    /// The task that its jobs run.
    pub task_id: TaskId,
    /// The trigger, as the trigger module writes it; opaque here.
    pub trigger: String,
    /// How far the trigger has come, as the trigger module writes it; opaque here.
    pub trigger_state: String,
    /// The arguments that its jobs get.
    pub args: Payload,
    /// Which of several missed fire times become jobs.
    pub coalesce: Coalesce,
    /// Jobs start up to this much after their fire time, at random, and never as late as the following fire time.
    pub max_jitter: Duration,
    /// The schedule's own layer of settings, over its task's.
    pub settings: Settings,
    /// Whether it rests, and why.
    pub pause: Option<Pause>,
    /// When it fires next; `None` once its trigger has no more fire times.
    pub next_fire_time: Option<Timestamp>,
    /// When it fired last.
    pub last_fire_time: Option<Timestamp>,
    /// Since which fire time each fire has found an earlier job that had not ended; `None` where the last one found none. Only its fires
    /// change it.
    pub overruns_since: Option<Timestamp>,
    /// How many of its fires have made a job.
    pub fire_count: u64,
    /// How many of its jobs have failed since the last success, or since it was unpaused. Jobs count that were made while the number
    /// mattered, see [`JobSettings::pause_after`](super::job::JobSettings::pause_after).
    pub failures: u32,
    /// Where its trigger begins, unless that says otherwise.
    pub created_at: Timestamp,
}

/// Why a schedule rests. A resting schedule makes no jobs and loses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// Somebody asked for it.
    Asked,
    /// Its trigger or its jobs failed, with this message; whoever unpauses it should have mended the cause.
    Failed(String),
}

/// Which of several fire times that passed unnoticed become jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Coalesce {
    /// One job, for the latest of them.
    #[default]
    Latest,
    /// One job, for the earliest of them.
    Earliest,
    /// A job for each of them, up to a bound.
    All,
}

/// What to do about an id that is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// Refuse, change nothing.
    #[default]
    Error,
    /// Put the new one in the old one's place. It begins a life of its own: what its rule says, it fires, whatever the old one has fired.
    Replace,
    /// Keep the old one, say so.
    Skip,
}
