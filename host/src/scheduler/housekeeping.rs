//! Recovers what dead workers left, removes what has expired, and says that this scheduler is alive.
//!
//! Every step is decided from what is stored and may be done by any number of schedulers at once.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use crate::model::{EventKind, Outcome, SchedulerId, Timestamp};
use crate::store::{EndedJob, Recover, Recovered, SchedulerRow, StoreError};

/// How often at least expired leases are looked for.
const RECOVER_EVERY_MAX: Duration = Duration::from_secs(3);
/// Most rows that one call recovers or removes, so that no transaction is long.
const ROWS_MAX: usize = 1_000;

/// Keeps house until serving ends.
pub(super) async fn run(core: Arc<Core>, started_at: Timestamp) {
    let recover_every = (core.options.lease_duration / 3).min(RECOVER_EVERY_MAX);
    let mut cleanup_at = core.time.now().saturating_add(core.options.cleanup_interval);
    loop {
        tokio::select! {
            () = core.stop_serving.cancelled() => return,
            () = core.time.sleep(recover_every) => {}
        }
        let round = async {
            core.time.measure(&*core.store).await?;
            core.store.scheduler_put(row(&core, started_at, None)).await?;
            recover(&core, None).await?;
            if core.time.now() >= cleanup_at {
                cleanup_at = core.time.now().saturating_add(core.options.cleanup_interval);
                clean_up(&core).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = round.await {
            tracing::warn!(error = %super::chain(&error), "housekeeping failed; trying again");
        }
    }
}

/// How this scheduler shows itself to others.
pub(super) fn row(core: &Core, started_at: Timestamp, stopped_at: Option<Timestamp>) -> SchedulerRow {
    SchedulerRow {
        id: core.options.identity.clone(),
        role: core.options.role.as_str().to_owned(),
        started_at,
        seen_at: core.time.now(),
        stopped_at,
    }
}

/// Takes back what ran out, and what `holder` left.
pub(super) async fn recover(core: &Core, holder: Option<SchedulerId>) -> Result<(), StoreError> {
    loop {
        let request = Recover { now: core.time.now(), holder: holder.clone(), limit: ROWS_MAX };
        let recovered = core.store.recover(request).await?;
        let jobs = [recovered.requeued.len(), recovered.abandoned.len(), recovered.cancelled.len()];
        let jobs = jobs.into_iter().sum::<usize>() + recovered.unreadable.len();
        publish_recovered(core, &recovered);
        if jobs < ROWS_MAX {
            return Ok(());
        }
    }
}

fn publish_recovered(core: &Core, recovered: &Recovered) {
    let released = |outcome| {
        move |job: &EndedJob| EventKind::JobReleased {
            job_id: job.id,
            task_id: job.task_id.clone(),
            scheduler_id: None,
            outcome,
        }
    };
    core.notifier.publish(recovered.requeued.iter().map(released(None)));
    core.notifier.publish(recovered.abandoned.iter().map(released(Some(Outcome::Abandoned))));
    core.notifier.publish(recovered.cancelled.iter().map(released(Some(Outcome::Cancelled))));
    super::job_loop::publish_unreadable(core, &recovered.unreadable);
    for job in &recovered.requeued {
        tracing::warn!(job.id = %job.id, task.id = %job.task_id, "the worker of a job vanished; the job is queued again");
    }
    for job in &recovered.abandoned {
        tracing::warn!(job.id = %job.id, task.id = %job.task_id, "the worker of a job vanished; the job is abandoned");
    }
    if *recovered != Recovered::default() {
        core.jobs_changed.notify_one();
        core.schedules_changed.notify_one();
    }
}

async fn clean_up(core: &Core) -> Result<(), StoreError> {
    loop {
        let removed = core.store.cleanup(core.time.now(), ROWS_MAX).await?;
        core.notifier.publish(removed.jobs.iter().map(|job_id| EventKind::JobRemoved { job_id: *job_id }));
        core.notifier.publish(removed.schedules.iter().map(|schedule| EventKind::ScheduleRemoved {
            schedule_id: schedule.id.clone(),
            task_id: schedule.task_id.clone(),
            finished: true,
        }));
        if !removed.has_more {
            return Ok(());
        }
    }
}
