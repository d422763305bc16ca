//! Fires due schedules: acquire, plan, store.

use std::sync::Arc;

use super::core::Core;
use super::plan::{Plan, Planner};
use super::skipped::SkippedFires;
use crate::model::{EventKind, JobIdSource, LeaseToken, ScheduleId};
use crate::store::{AcquireSchedules, Fired, LeasedSchedule, StoreError};
use crate::trigger::Skipped;

/// Most schedules that one round leases and fires.
const ACQUIRE_MAX: usize = 200;

/// Fires schedules until stopping begins.
pub(super) async fn run(core: Arc<Core>) {
    let mut ids = JobIdSource::new(fastrand::Rng::new());
    let mut skipped = SkippedFires::default();
    while !core.stop_taking.is_cancelled() {
        for (id, sum) in skipped.overdue(core.time.now()) {
            tell_skipped(&id, sum);
        }
        match round(&core, &mut ids, &mut skipped).await {
            // A full round: there may be more.
            Ok(count) if count == ACQUIRE_MAX => {}
            Ok(_) => wait(&core).await,
            Err(error) => {
                tracing::warn!(error = %super::chain(&error), "due schedules could not be fired; trying again");
                super::pause(&core, core.options.poll_interval).await;
            }
        }
    }
    for (id, sum) in skipped.rest(core.time.now()) {
        tell_skipped(&id, sum);
    }
}

/// Fires what is due, up to [`ACQUIRE_MAX`], and answers how many that were.
async fn round(core: &Core, ids: &mut JobIdSource, skipped: &mut SkippedFires) -> Result<usize, StoreError> {
    let now = core.time.now();
    let token = LeaseToken::random(&mut fastrand::Rng::new());
    let request = AcquireSchedules {
        holder: core.options.identity.clone(),
        token,
        now,
        lease_until: now.saturating_add(core.options.lease_duration),
        limit: ACQUIRE_MAX,
    };
    let acquired = core.store.schedule_acquire(request).await?;
    for schedule in &acquired.unreadable {
        tracing::error!(
            schedule.id = schedule.id,
            reason = schedule.reason,
            "a stored schedule cannot be read; it rests"
        );
        if let Ok(schedule_id) = schedule.id.parse() {
            let message = schedule.reason.clone();
            core.notifier.publish([EventKind::ScheduleDeserializationFailed { schedule_id, message }]);
        }
    }
    let count = acquired.schedules.len();
    if count > 0 {
        let plans = plan(core, ids, &acquired.schedules, token);
        let fires = plans.iter().map(|plan| plan.fire.clone()).collect();
        let answers = core.store.schedule_fire(fires).await?;
        publish_fires(core, plans, &answers, skipped);
    }
    Ok(count)
}

fn plan(core: &Core, ids: &mut JobIdSource, leased: &[LeasedSchedule], token: LeaseToken) -> Vec<Plan> {
    let mut planner = Planner {
        now: core.time.now(),
        ids,
        random: &mut fastrand::Rng::new(),
        catch_up_max: core.options.catch_up_max,
    };
    leased.iter().map(|leased| planner.plan(&leased.schedule, leased.task.as_ref(), token)).collect()
}

fn publish_fires(core: &Core, plans: Vec<Plan>, answers: &[Fired], skipped: &mut SkippedFires) {
    let mut has_jobs = false;
    for (plan, answer) in plans.into_iter().zip(answers) {
        let schedule_id = &plan.fire.id;
        if *answer == Fired::LeaseLost {
            tracing::info!(schedule.id = %schedule_id, "a schedule changed hands while it fired; nothing was stored");
            continue;
        }
        if let Some(reason) = &plan.fire.pause {
            tracing::error!(schedule.id = %schedule_id, ?reason, "a trigger failed; its schedule rests");
        }
        if let Some(sum) = skipped.add(schedule_id, plan.skipped, core.time.now()) {
            tell_skipped(schedule_id, sum);
        }
        has_jobs |= !plan.fire.jobs.is_empty();
        core.notifier.publish(plan.fire.jobs.iter().map(|job| EventKind::JobAdded {
            job_id: job.id,
            task_id: job.task_id.clone(),
            schedule_id: job.schedule_id.clone(),
        }));
        core.notifier.publish([plan.event]);
    }
    if has_jobs {
        core.jobs_changed.notify_one();
    }
}

fn tell_skipped(id: &ScheduleId, sum: Skipped) {
    let Skipped { count, or_more } = sum;
    tracing::warn!(schedule.id = %id, count, or_more, "fire times passed without a job of their own");
}

/// Waits until there may be something due: a hint, the next fire time, or the poll interval.
async fn wait(core: &Core) {
    let poll_at = core.time.now().saturating_add(core.options.poll_interval);
    let due_at = core.store.schedule_next_due().await.unwrap_or_else(|error| {
        tracing::warn!(error = %super::chain(&error), "the next due schedule could not be asked for; polling");
        None
    });
    tokio::select! {
        () = core.stop_taking.cancelled() => {}
        () = core.schedules_changed.notified() => {}
        () = core.time.sleep_until(due_at.map_or(poll_at, |due_at| due_at.min(poll_at))) => {}
    }
}
