//! Events: what changed. They say nothing about what anyone should do, and may be lost without harm.

use super::Timestamp;
use super::id::{Digest, JobId, PluginName, ScheduleId, SchedulerId, TaskId};
use super::outcome::Outcome;
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
    /// A schedule's trigger failed, and the schedule rests.
    ScheduleFailed { schedule_id: ScheduleId, message: String },
    /// What the store holds of a schedule cannot be read, and the schedule rests.
    ScheduleDeserializationFailed { schedule_id: ScheduleId, message: String },
    /// A schedule fired while an earlier job of its own had not ended, and had not done so the time before.
    ScheduleOverrun { schedule_id: ScheduleId, task_id: TaskId, job_id: JobId },
    /// A job was queued.
    JobAdded { job_id: JobId, task_id: TaskId, schedule_id: Option<ScheduleId> },
    /// A job and its result were cleaned up.
    JobRemoved { job_id: JobId },
    /// A worker took a job.
    JobAcquired { job_id: JobId, task_id: TaskId, scheduler_id: SchedulerId },
    /// A job ended, or (without an outcome) went back into the queue for another attempt.
    JobReleased { job_id: JobId, task_id: TaskId, scheduler_id: Option<SchedulerId>, outcome: Option<Outcome> },
    /// Somebody asked a running job to stop.
    JobCancelRequested { job_id: JobId },
    /// What the store holds of a job cannot be read; the job ended.
    JobDeserializationFailed { job_id: JobId, message: String },
    /// A scheduler began to work.
    SchedulerStarted { scheduler_id: SchedulerId },
    /// A scheduler stopped working.
    SchedulerStopped { scheduler_id: SchedulerId },
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
            EventKind::JobReleased { .. } => EventType::JobReleased,
            EventKind::JobCancelRequested { .. } => EventType::JobCancelRequested,
            EventKind::JobDeserializationFailed { .. } => EventType::JobDeserializationFailed,
            EventKind::SchedulerStarted { .. } => EventType::SchedulerStarted,
            EventKind::SchedulerStopped { .. } => EventType::SchedulerStopped,
        }
    }
}
