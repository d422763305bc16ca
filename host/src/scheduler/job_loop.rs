//! Takes due jobs, as many as there are free slots, and starts their attempts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::catalog::{CatalogCache, Found, Resolved, Unresolved};
use super::core::Core;
use super::runner;
use super::writer::Write;
use crate::model::{Effects, EventKind, Job, JobId, LeaseToken, Outcome, Timestamp};
use crate::store::{AcquireJobs, AcquiredJobs, Ending, ReleaseJob, StoreError, Unreadable};

/// Most jobs that one call leases: what fits comfortably into one statement of every database.
const ACQUIRE_MAX: usize = 500;

/// Takes jobs until stopping begins. `writes` goes to every attempt; the writer ends when the last of them has.
pub(super) async fn run(core: Arc<Core>, writes: mpsc::Sender<Write>) {
    let slots = Arc::new(Semaphore::new(core.options.max_concurrent_jobs.max(1)));
    let mut catalog = CatalogCache::new(Arc::clone(&core.store));
    // How long the last call took that filled every slot; nothing where the last one left some free.
    let mut filled_in = Duration::ZERO;
    while !core.stop_taking.is_cancelled() {
        let Some(permit) = free_slot(&core, &slots).await else { return };
        more_slots(&core, &slots, filled_in).await;
        let limit = (slots.available_permits() + 1).min(ACQUIRE_MAX);
        let asked_at = core.time.now();
        match take(&core, &mut catalog, limit).await {
            Ok(Taken { found: Found { resolved, unresolved }, is_full, has_set_aside }) => {
                filled_in = if is_full { core.time.now().saturating_since(asked_at) } else { Duration::ZERO };
                let has_work = !resolved.is_empty();
                start(&core, resolved, permit, &slots, &writes);
                let has_given_back = !unresolved.is_empty();
                give_back(&core, unresolved, &writes).await;
                if has_given_back && !has_work {
                    super::pause(&core, core.options.look_again()).await;
                } else if !is_full && !has_set_aside {
                    wait(&core, asked_at).await;
                }
            }
            Err(error) => {
                tracing::warn!(error = %super::chain(&error), "jobs could not be acquired; trying again");
                drop(permit);
                super::pause(&core, core.options.poll_interval).await;
            }
        }
    }
}

/// Waits for a free slot; `None` once stopping begins.
async fn free_slot(core: &Core, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = core.stop_taking.cancelled() => None,
        permit = Arc::clone(slots).acquire_owned() => permit.ok(),
    }
}

/// While there is more to do than there are slots: waits for half of the slots to be free, but no longer than the last call took.
///
/// A call to the store costs the same for one job as for dozens. Without this, short jobs would be taken one by one, each as soon as the
/// first slot is free; with it, a long one waits at most as long again as it takes to be taken.
async fn more_slots(core: &Core, slots: &Semaphore, filled_in: Duration) {
    if filled_in.is_zero() {
        return;
    }
    let half = u32::try_from(core.options.max_concurrent_jobs.min(ACQUIRE_MAX) / 2).unwrap_or(u32::MAX);
    let give_up_at = core.time.now().saturating_add(filled_in);
    tokio::select! {
        biased;
        // Given back at once: only this loop takes slots, so they are still there.
        _half = slots.acquire_many(half) => {}
        () = core.stop_taking.cancelled() => {}
        () = core.time.sleep_until(give_up_at) => {}
    }
}

/// What one call to the store has brought.
struct Taken {
    found: Found,
    /// Whether it brought as many jobs as were asked for.
    is_full: bool,
    /// Whether there were jobs in the way that cannot be read, and are no longer: there may be others behind them.
    has_set_aside: bool,
}

/// Leases jobs and finds out what they run.
async fn take(core: &Core, catalog: &mut CatalogCache, limit: usize) -> Result<Taken, StoreError> {
    let acquired = acquire(core, limit, None).await?;
    let (is_full, has_set_aside) = (acquired.jobs.len() == limit, !acquired.unreadable.is_empty());
    let found = catalog.resolve(acquired.jobs, acquired.catalog_revision, core.time.now()).await;
    Ok(Taken { found, is_full, has_set_aside })
}

/// Puts jobs back whose tasks cannot be looked up now. They wait, and lose no attempt.
pub(super) async fn give_back(core: &Core, jobs: Vec<(Job, Unresolved)>, writes: &mpsc::Sender<Write>) {
    for (job, Unresolved { until, reason }) in jobs {
        let task_id = job.spec.task_id;
        if let Some(jobs) = core.throttle.note(core.time.now(), "unresolved", task_id.as_str(), 1) {
            tracing::warn!(task.id = %task_id, jobs, reason, "jobs wait: it cannot be told what their task runs");
        }
        let Some(lease) = job.lease else { continue };
        let release = ReleaseJob {
            id: job.spec.id,
            token: lease.token,
            ending: Ending::GivenBack { not_before: Some(until) },
            usage: None,
            plugin_digest: None,
            started_at: None,
            lines: Vec::new(),
            progress: None,
            effects: Effects::default(),
        };
        // The writer ends after the last sender, and this is one.
        let _closed = writes.send(Write::Release(Box::new(release), task_id)).await;
    }
}

/// Leases up to `limit` due jobs, or only the one that is named, and tells everyone.
pub(super) async fn acquire(core: &Core, limit: usize, only: Option<JobId>) -> Result<AcquiredJobs, StoreError> {
    let now = core.time.now();
    let request = AcquireJobs {
        holder: core.options.identity.clone(),
        token: LeaseToken::random(&mut fastrand::Rng::new()),
        now,
        lease_until: now.saturating_add(core.options.lease_duration),
        limit,
        only,
    };
    let acquired = core.store.job_acquire(request).await?;
    core.notifier.publish(acquired.jobs.iter().map(|job| EventKind::JobAcquired {
        job_id: job.spec.id,
        task_id: job.spec.task_id.clone(),
        scheduler_id: core.options.identity.clone(),
    }));
    core.notifier.publish(acquired.missed.iter().map(|job| EventKind::JobReleased {
        job_id: job.id,
        task_id: job.task_id.clone(),
        scheduler_id: None,
        outcome: Some(Outcome::MissedStartDeadline),
    }));
    publish_unreadable(core, &acquired.unreadable);
    Ok(acquired)
}

/// Tells of jobs that cannot be read.
pub(super) fn publish_unreadable(core: &Core, unreadable: &[Unreadable]) {
    let (newer, damaged): (Vec<_>, Vec<_>) = unreadable.iter().partition(|bad| bad.defect.is_newer());
    for Unreadable { id, defect } in damaged {
        let message = defect.to_string();
        tracing::error!(job.id = id, reason = message, "a stored job cannot be read; it has ended");
        if let Ok(job_id) = id.parse() {
            core.notifier.publish([EventKind::JobDeserializationFailed { job_id, message }]);
        }
    }
    // There may be many of them, and each comes again.
    if let Some(Unreadable { id, defect }) = newer.first()
        && let Some(times) = core.throttle.note(core.time.now(), "newer job", "", newer.len() as u64)
    {
        tracing::warn!(job.id = id, reason = %defect, times, "jobs are left to newer schedulers");
    }
}

/// Starts an attempt for each job. Each holds its slot until its end is on its way to the store.
fn start(
    core: &Arc<Core>,
    taken: Vec<(Job, Resolved)>,
    first: OwnedSemaphorePermit,
    slots: &Arc<Semaphore>,
    writes: &mpsc::Sender<Write>,
) {
    let mut first = Some(first);
    for (job, resolved) in taken {
        // Only this loop takes slots, so the ones that were counted are still there.
        let permit = first.take().or_else(|| Arc::clone(slots).try_acquire_owned().ok());
        let attempt = runner::run(Arc::clone(core), job, resolved, writes.clone());
        core.attempts.spawn(async move {
            drop(attempt.await);
            drop(permit);
        });
    }
}

/// Waits until there may be something new after `asked_at`: a hint, a job that becomes due, or the poll interval.
async fn wait(core: &Core, asked_at: Timestamp) {
    let poll_at = core.time.now().saturating_add(core.options.poll_interval);
    let due_at = core.store.job_next_due(asked_at).await.unwrap_or_else(|error| {
        tracing::warn!(error = %super::chain(&error), "the next due job could not be asked for; polling");
        None
    });
    tokio::select! {
        () = core.stop_taking.cancelled() => {}
        () = core.jobs_changed.notified() => {}
        () = core.time.sleep_until(due_at.map_or(poll_at, |due_at| due_at.min(poll_at))) => {}
    }
}

/// How often at most a job that waits for its turn is looked at by [`super::run_one`].
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(200);
