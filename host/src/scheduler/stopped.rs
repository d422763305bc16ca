//! Tells of schedules that were stopped by the end of one of their jobs.

use super::core::Core;
use crate::model::EventKind;
use crate::store::{ScheduleStop, StoppedSchedule};

pub(super) fn publish(core: &Core, stopped: StoppedSchedule) {
    let StoppedSchedule { id: schedule_id, task_id, stop } = stopped;
    match stop {
        ScheduleStop::Paused(message) => {
            tracing::error!(schedule.id = %schedule_id, reason = message, "jobs of a schedule failed; it is paused");
            core.notifier.publish([EventKind::ScheduleFailed { schedule_id, message }]);
        }
        ScheduleStop::Finished => {
            tracing::info!(schedule.id = %schedule_id, "a job of a schedule succeeded; it is finished");
            core.notifier.publish([EventKind::ScheduleUpdated { schedule_id, task_id, next_fire_time: None }]);
        }
    }
}
