//! Events: what changed. They say nothing about what anyone should do, and may be lost without harm.

use super::Timestamp;
use super::id::{Digest, JobId, PluginName, ScheduleId, SchedulerId, TaskId};
use super::outcome::{ErrorKind, JobError, Outcome};
use super::rollout::RolloutState;

/// Something that happened, told after it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, by the clock of whoever tells it.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the ids of what each variant names")]
pub enum EventKind {
    /// A plugin was registered, or another of its versions made current.
    PluginRegistered { plugin: PluginName, digest: Digest },
    /// The rollout of a version began, or was changed (it is active then), or ended.
    PluginRolloutChanged { plugin: PluginName, digest: Digest, state: RolloutState },
    /// A plugin was removed with its tasks.
    PluginRemoved { plugin: PluginName },
    /// A task came into being.
    TaskAdded { task_id: TaskId },
    /// A task's definition or settings changed.
    TaskUpdated { task_id: TaskId },
    /// A task is gone.
    TaskRemoved { task_id: TaskId },
    /// A schedule was created.
    ScheduleAdded { schedule_id: ScheduleId, task_id: TaskId, next_fire_time: Option<Timestamp> },
    /// A schedule fired, was replaced, paused or unpaused.
    ScheduleUpdated { schedule_id: ScheduleId, task_id: TaskId, next_fire_time: Option<Timestamp> },
    /// A schedule is gone; `finished` when its trigger had no more fire times.
    ScheduleRemoved { schedule_id: ScheduleId, task_id: TaskId, finished: bool },
    /// A schedule's trigger failed, or too many of its jobs did, and the schedule rests.
    ScheduleFailed { schedule_id: ScheduleId, message: String },
    /// What the store holds of a schedule cannot be read, and the schedule rests.
    ScheduleDeserializationFailed { schedule_id: ScheduleId, message: String },
    /// A schedule fired while an earlier job of its own had not ended, and had not done so the time before.
    ScheduleOverrun { schedule_id: ScheduleId, task_id: TaskId, job_id: JobId },
    /// A job was queued.
    JobAdded { job_id: JobId, task_id: TaskId, schedule_id: Option<ScheduleId> },
    /// A job and its result were cleaned up.
    JobRemoved { job_id: JobId },
    /// A worker took a job: one of a schedule, for that fire time, or one that was asked for.
    JobAcquired {
        job_id: JobId,
        task_id: TaskId,
        scheduler_id: SchedulerId,
        schedule_id: Option<ScheduleId>,
        scheduled_fire_time: Option<Timestamp>,
    },
    /// A job ended, or (without an outcome) went back into the queue for another attempt.
    JobReleased(Box<ReleasedJob>),
    /// Somebody asked a running job to stop.
    JobCancelRequested { job_id: JobId },
    /// What the store holds of a job cannot be read; the job ended.
    JobDeserializationFailed { job_id: JobId, message: String },
    /// A scheduler began to work.
    SchedulerStarted { scheduler_id: SchedulerId },
    /// A scheduler stopped working; with the reason where it was not asked to.
    SchedulerStopped { scheduler_id: SchedulerId, error: Option<String> },
}

/// A job that ended, or went back into the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasedJob {
    /// The job.
    pub job_id: JobId,
    /// Its task.
    pub task_id: TaskId,
    /// How it ended; `None`: it went back into the queue.
    pub outcome: Option<Outcome>,
    /// The worker that ran it; `None` where none did, or its worker vanished.
    pub scheduler_id: Option<SchedulerId>,
    /// The schedule that it is of; `None` also where no worker ran it.
    pub schedule_id: Option<ScheduleId>,
    /// The fire time that it is for.
    pub scheduled_fire_time: Option<Timestamp>,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// Why its last attempt failed.
    pub error: Option<ReleaseError>,
}

/// Why an attempt failed, as far as an event says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseError {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// The beginning of its message, of at most [`EVENT_MESSAGE_BYTES_MAX`]; the job has all of it.
    pub message: String,
}

/// How much of an error's message is in an event, in bytes: brokers carry short events only.
pub const EVENT_MESSAGE_BYTES_MAX: usize = 1_024;

impl ReleasedJob {
    /// A job that no worker ran.
    pub fn new(job_id: JobId, task_id: TaskId, outcome: Option<Outcome>) -> ReleasedJob {
        ReleasedJob {
            job_id,
            task_id,
            outcome,
            scheduler_id: None,
            schedule_id: None,
            scheduled_fire_time: None,
            started_at: None,
            error: None,
        }
    }
}

impl From<&JobError> for ReleaseError {
    fn from(error: &JobError) -> ReleaseError {
        let message = &error.message[..error.message.floor_char_boundary(EVENT_MESSAGE_BYTES_MAX)];
        ReleaseError { kind: error.kind, message: message.to_owned() }
    }
}

impl From<ReleasedJob> for EventKind {
    fn from(job: ReleasedJob) -> EventKind {
        EventKind::JobReleased(Box::new(job))
    }
}

/// A kind of event without its ids: what subscribers filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "one for each variant of `EventKind`, which documents them")]
pub enum EventType {
    PluginRegistered,
    PluginRolloutChanged,
    PluginRemoved,
    TaskAdded,
    TaskUpdated,
    TaskRemoved,
    ScheduleAdded,
    ScheduleUpdated,
    ScheduleRemoved,
    ScheduleFailed,
    ScheduleDeserializationFailed,
    ScheduleOverrun,
    JobAdded,
    JobRemoved,
    JobAcquired,
    JobReleased,
    JobCancelRequested,
    JobDeserializationFailed,
    SchedulerStarted,
    SchedulerStopped,
}

super::outcome::names! { EventType {
    PluginRegistered => "plugin_registered",
    PluginRolloutChanged => "plugin_rollout_changed",
    PluginRemoved => "plugin_removed",
    TaskAdded => "task_added",
    TaskUpdated => "task_updated",
    TaskRemoved => "task_removed",
    ScheduleAdded => "schedule_added",
    ScheduleUpdated => "schedule_updated",
    ScheduleRemoved => "schedule_removed",
    ScheduleFailed => "schedule_failed",
    ScheduleDeserializationFailed => "schedule_deserialization_failed",
    ScheduleOverrun => "schedule_overrun",
    JobAdded => "job_added",
    JobRemoved => "job_removed",
    JobAcquired => "job_acquired",
    JobReleased => "job_released",
    JobCancelRequested => "job_cancel_requested",
    JobDeserializationFailed => "job_deserialization_failed",
    SchedulerStarted => "scheduler_started",
    SchedulerStopped => "scheduler_stopped",
} }

impl EventKind {
    /// The kind without the ids.
    pub const fn event_type(&self) -> EventType {
        match self {
            EventKind::PluginRegistered { .. } => EventType::PluginRegistered,
            EventKind::PluginRolloutChanged { .. } => EventType::PluginRolloutChanged,
            EventKind::PluginRemoved { .. } => EventType::PluginRemoved,
            EventKind::TaskAdded { .. } => EventType::TaskAdded,
            EventKind::TaskUpdated { .. } => EventType::TaskUpdated,
            EventKind::TaskRemoved { .. } => EventType::TaskRemoved,
            EventKind::ScheduleAdded { .. } => EventType::ScheduleAdded,
            EventKind::ScheduleUpdated { .. } => EventType::ScheduleUpdated,
            EventKind::ScheduleRemoved { .. } => EventType::ScheduleRemoved,
            EventKind::ScheduleFailed { .. } => EventType::ScheduleFailed,
            EventKind::ScheduleDeserializationFailed { .. } => EventType::ScheduleDeserializationFailed,
            EventKind::ScheduleOverrun { .. } => EventType::ScheduleOverrun,
            EventKind::JobAdded { .. } => EventType::JobAdded,
            EventKind::JobRemoved { .. } => EventType::JobRemoved,
            EventKind::JobAcquired { .. } => EventType::JobAcquired,
            EventKind::JobReleased(_) => EventType::JobReleased,
            EventKind::JobCancelRequested { .. } => EventType::JobCancelRequested,
            EventKind::JobDeserializationFailed { .. } => EventType::JobDeserializationFailed,
            EventKind::SchedulerStarted { .. } => EventType::SchedulerStarted,
            EventKind::SchedulerStopped { .. } => EventType::SchedulerStopped,
        }
    }
}
