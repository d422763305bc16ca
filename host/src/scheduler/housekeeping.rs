//! Recovers what dead workers left, removes what has expired, and says that this scheduler is alive.
//!
//! Every step is decided from what is stored and may be done by any number of schedulers at once.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::log_failure;
use super::recovery::Recovery;
use crate::clock::Clock as _;
use crate::model::{EventKind, Outcome, ReleasedJob, SchedulerId, Timestamp};
use crate::store::{EndedJob, PutScheduler, Recover, Recovered, SchedulerPut, SchedulerRow, StoreError, TrimHistory};

/// How often at least expired leases are looked for, and a scheduler says that it is alive.
pub(super) const HEARTBEAT_MAX: Duration = Duration::from_secs(3);
/// Most rows that one call recovers or removes, so that no transaction is long.
const ROWS_MAX: usize = 1_000;

/// Longest pause before a clean-up that failed is tried again.
const CLEAN_UP_AGAIN_MAX: Duration = Duration::from_secs(60);

/// Recovers what others left, until serving ends.
pub(super) async fn run(core: Arc<Core>, started_at: Timestamp) {
    let (lease, every) = (core.options.lease_duration, (core.options.lease_duration / 3).min(HEARTBEAT_MAX));
    let mut recovery = Recovery::new(core.time.monotonic(), lease, every);
    loop {
        tokio::select! {
            biased;
            () = core.stop_serving.cancelled() => return,
            () = core.time.sleep(every) => {}
        }
        let round = async {
            let measured = core.time.measure(&*core.store, core.quick()).await?;
            let alive = PutScheduler { scheduler: row(&core, started_at, None), replaces: None };
            if let SchedulerPut::Taken(other) = core.store.scheduler_put(alive).await? {
                displaced(&core, &other);
                return Ok(());
            }
            if recovery.answered(measured) {
                let over_at = measured.leases.unwrap_or_else(|| core.time.now());
                recover(&core, None, over_at).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = round.await {
            log_failure!(&error, "housekeeping failed; trying again");
        }
    }
}

/// Removes what has expired, now and at the interval, until stopping begins.
pub(super) async fn clean_up_regularly(core: Arc<Core>) {
    while !core.stop_taking.is_cancelled() {
        let interval = core.options.cleanup_interval;
        let pause = match clean_up(&core).await {
            Ok(()) => interval,
            Err(error) => {
                log_failure!(&error, "what has expired could not be removed; trying again");
                interval.min(CLEAN_UP_AGAIN_MAX)
            }
        };
        super::pause(&core, pause).await;
    }
}

/// Takes back at once what an earlier scheduler of this identity left. What others left is taken back when it is known that they are gone.
pub(super) async fn take_back_own(core: &Core) -> Result<(), StoreError> {
    recover(core, Some(core.options.identity.clone()), Timestamp::MIN).await
}

/// How this scheduler shows itself to others.
pub(super) fn row(core: &Core, started_at: Timestamp, stopped_at: Option<Timestamp>) -> SchedulerRow {
    let (queues, abilities) = if core.options.role.runs_jobs() {
        let queues = core.options.queues.iter().map(|limit| limit.queue.clone()).collect();
        (queues, core.executors.abilities())
    } else {
        (Vec::new(), Vec::new())
    };
    SchedulerRow {
        id: core.options.identity.clone(),
        role: core.options.role.as_str().to_owned(),
        started_at,
        seen_at: core.time.now(),
        stopped_at,
        queues,
        abilities,
        incarnation: core.life.incarnation().clone(),
        memory: core.executors.memory_load(),
    }
}

/// Another scheduler has taken this one for dead, and has its identity now.
fn displaced(core: &Core, other: &SchedulerRow) {
    if core.stop_taking.is_cancelled() {
        return;
    }
    let started_at = other.started_at;
    tracing::error!(%started_at, "another scheduler has taken over the identity of this one; stopping");
    core.fail();
}

/// Takes back what was over at that time, and what `holder` left.
async fn recover(core: &Core, holder: Option<SchedulerId>, over_at: Timestamp) -> Result<(), StoreError> {
    loop {
        // What runs here runs here, whether its lease could be renewed or not.
        let spared = core.running.ids();
        let request = Recover { now: core.time.now(), over_at, spared, holder: holder.clone(), limit: ROWS_MAX };
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
    let released =
        |outcome| move |job: &EndedJob| EventKind::from(ReleasedJob::new(job.id, job.task_id.clone(), outcome));
    core.notifier.publish(recovered.requeued.iter().map(released(None)));
    core.notifier.publish(recovered.abandoned.iter().map(released(Some(Outcome::Abandoned))));
    core.notifier.publish(recovered.cancelled.iter().map(released(Some(Outcome::Cancelled))));
    recovered.stopped.iter().cloned().for_each(|stopped| super::stopped::publish(core, stopped));
    super::rollout::returned(core, recovered.returned.iter().cloned());
    super::acquisition::publish_hooked(core, &recovered.hooked);
    super::acquisition::publish_unreadable(core, &recovered.unreadable);
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
            break;
        }
    }
    let before = core.time.now().saturating_sub(core.options.history_ttl);
    let keep = core.options.history_max as u64;
    let mut after = None;
    loop {
        after = core.store.trim_history(TrimHistory { before, keep, after, limit: ROWS_MAX }).await?;
        if after.is_none() {
            return Ok(());
        }
    }
}
