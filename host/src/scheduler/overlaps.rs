//! Tells of fires that found earlier jobs of their schedule which had not ended.

use super::core::Core;
use super::plan::Plan;
use crate::clock::Clock as _;
use crate::model::{EventKind, Outcome, ReleasedJob};
use crate::store::Overlapped;

/// Tells what a fire did about earlier jobs, and that its schedule overruns, where it begins to.
pub(super) fn publish(core: &Core, plan: &Plan, overlapped: Overlapped) {
    let Overlapped { cancelled, asked, began_with } = overlapped;
    if !cancelled.is_empty() {
        // The places that they leave may be others'.
        core.jobs_changed.notify_one();
    }
    let replaced = cancelled.into_iter().map(|job| ReleasedJob::new(job.id, job.task_id, Some(Outcome::Cancelled)));
    core.notifier.publish(replaced.map(EventKind::from));
    core.notifier.publish(asked.into_iter().map(|job_id| EventKind::JobCancelRequested { job_id }));
    let Some(job_id) = began_with else { return };
    let (schedule_id, task_id) = (plan.schedule_id.clone(), plan.task_id.clone());
    if let Some(times) = core.throttle.note(core.time.now(), "overrun", schedule_id.as_str(), 1) {
        // Once is no trouble: one slow job, or a machine that was busy. Whether it goes on, the state of the schedule says.
        tracing::info!(
            schedule.id = %schedule_id, job.id = %job_id, times,
            "a schedule fired while an earlier job of its own had not ended"
        );
    }
    core.notifier.publish([EventKind::ScheduleOverrun { schedule_id, task_id, job_id }]);
}
