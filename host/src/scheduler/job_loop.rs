//! Takes due jobs, as many as there are free slots, and starts their attempts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::apart::PUT_BACK_FOR;
use super::catalog::{CatalogCache, Found, Resolved, Unresolved};
use super::core::Core;
use super::log_failure;
use super::queues::Queues;
use super::runner;
use super::writer::Write;
use crate::clock::{Clock as _, Instant};
use crate::model::{Effects, EventKind, Job, JobId, LeaseToken, Outcome, Timestamp};
use crate::store::{AcquireJobs, AcquiredJobs, Ending, ReleaseJob, ServedQueue, StoreError, Unreadable};

/// Most jobs that one call leases: what fits comfortably into one statement of every database.
const ACQUIRE_MAX: usize = 500;

/// How often is looked whether there is memory for more jobs.
const LOOK_FOR_MEMORY_EVERY: Duration = Duration::from_millis(50);

/// Takes jobs until stopping begins. `writes` goes to every attempt; the writer ends when the last of them has.
pub(super) async fn run(core: Arc<Core>, writes: mpsc::Sender<Write>) {
    let slots = Arc::new(Semaphore::new(core.options.max_concurrent_jobs.max(1)));
    let mut catalog = CatalogCache::new(Arc::clone(&core.store));
    let mut queues = Queues::new(&core.options.queues);
    // How long the last call took that filled every slot; nothing where the last one left some free.
    let mut filled_in = Duration::ZERO;
    let mut acquisition = Acquisition::new();
    while !core.stop_taking.is_cancelled() {
        let Some(permit) = free_slot(&core, &slots).await else { return };
        enough_memory(&core).await;
        nobody_apart(&core).await;
        more_slots(&core, &slots, filled_in).await;
        let limit = (slots.available_permits() + 1).min(ACQUIRE_MAX);
        let asked_at = core.time.monotonic();
        match take(&core, &mut catalog, &mut acquisition, limit, queues.turn(limit)).await {
            Ok(Taken { found: Found { resolved, unresolved }, held_until, now, is_full, has_set_aside }) => {
                let took = core.time.monotonic().saturating_since(asked_at);
                filled_in = if is_full { took } else { Duration::ZERO };
                let has_work = !resolved.is_empty();
                let (resolved, others) = one_apart(resolved);
                start(&core, resolved, held_until, permit, &slots, &queues, &writes);
                put_back(&core, others, &writes).await;
                let has_given_back = !unresolved.is_empty();
                give_back(&core, unresolved, &writes).await;
                if has_given_back && !has_work {
                    super::pause(&core, core.options.look_again()).await;
                } else if !is_full && !has_set_aside {
                    wait(&core, now).await;
                }
            }
            Err(error) => {
                log_failure!(&error, "jobs could not be acquired; trying again");
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

/// Waits while jobs that were taken wait for memory: another worker may have some for the next ones.
async fn enough_memory(core: &Core) {
    let is_short = || core.executors.memory_load().is_some_and(|load| load.waiting > 0);
    while is_short() && !core.stop_taking.is_cancelled() {
        super::pause(core, LOOK_FOR_MEMORY_EVERY).await;
    }
}

/// Waits while a job runs alone: another worker may run the next ones beside others.
async fn nobody_apart(core: &Core) {
    tokio::select! {
        biased;
        () = core.stop_taking.cancelled() => {}
        () = core.apart.is_over() => {}
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
    tokio::select! {
        biased;
        // Given back at once: only this loop takes slots, so they are still there.
        _half = slots.acquire_many(half) => {}
        () = core.stop_taking.cancelled() => {}
        () = core.time.sleep(filled_in) => {}
    }
}

/// An acquisition that may have to be asked for more than once: under the same token the store answers what it has leased already, so that
/// an answer that was lost costs no job anything.
pub(super) struct Acquisition {
    token: LeaseToken,
    asked_at: Option<Instant>,
}

impl Acquisition {
    pub(super) fn new() -> Acquisition {
        Acquisition { token: LeaseToken::random(&mut fastrand::Rng::new()), asked_at: None }
    }
}

/// Jobs that were leased, and what was found beside them.
pub(super) struct Leased {
    pub(super) acquired: AcquiredJobs,
    /// The leases hold at least until then: counted from when they were asked for first.
    pub(super) held_until: Instant,
}

/// What one call to the store has brought.
struct Taken {
    found: Found,
    /// The leases hold at least until then.
    held_until: Instant,
    /// By what time they were found due.
    now: Timestamp,
    /// Whether it brought as many jobs as were asked for.
    is_full: bool,
    /// Whether there were jobs in the way that cannot be read, and are no longer: there may be others behind them.
    has_set_aside: bool,
}

/// Leases jobs and finds out what they run.
async fn take(
    core: &Core,
    catalog: &mut CatalogCache,
    acquisition: &mut Acquisition,
    limit: usize,
    queues: Vec<ServedQueue>,
) -> Result<Taken, StoreError> {
    let Leased { acquired, held_until } = acquire(core, acquisition, limit, queues, None).await?;
    let (is_full, has_set_aside) = (acquired.jobs.len() == limit, !acquired.unreadable.is_empty());
    let found = catalog.resolve(acquired.jobs, acquired.catalog_revision, core.time.now()).await;
    Ok(Taken { found, held_until, now: acquired.now, is_full, has_set_aside })
}

/// Of those that may have killed a worker, only one stays, and comes last: the others wait until it has run for a while.
fn one_apart(taken: Vec<(Job, Resolved)>) -> (Vec<(Job, Resolved)>, Vec<Job>) {
    let (mut suspects, mut taken): (Vec<_>, Vec<_>) = taken.into_iter().partition(|(job, _)| job.crashes > 0);
    let others = suspects.split_off(suspects.len().min(1));
    taken.append(&mut suspects);
    (taken, others.into_iter().map(|(job, _)| job).collect())
}

/// Puts jobs back that are to run when another one has run for a while. They lose no attempt.
async fn put_back(core: &Core, jobs: Vec<Job>, writes: &mpsc::Sender<Write>) {
    let until = core.time.now().saturating_add(PUT_BACK_FOR);
    for job in jobs {
        give_back_until(until, job, writes).await;
    }
}

/// Puts jobs back whose tasks cannot be looked up now. They wait, and lose no attempt.
pub(super) async fn give_back(core: &Core, jobs: Vec<(Job, Unresolved)>, writes: &mpsc::Sender<Write>) {
    for (job, Unresolved { until, reason, is_away }) in jobs {
        let task_id = &job.spec.task_id;
        if is_away {
            tracing::debug!(task.id = %task_id, reason, "a job waits: its task cannot be looked up");
        } else if let Some(jobs) = core.throttle.note(core.time.now(), "unresolved", task_id.as_str(), 1) {
            tracing::warn!(task.id = %task_id, jobs, reason, "jobs wait: it cannot be told what their task runs");
        }
        give_back_until(until, job, writes).await;
    }
}

async fn give_back_until(until: Timestamp, job: Job, writes: &mpsc::Sender<Write>) {
    let Some(lease) = job.lease else { return };
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
    let _closed = writes.send(Write::Release(Box::new(release), job.spec.task_id)).await;
}

/// Leases up to `limit` due jobs of these queues that this worker can run, or only the one that is named, and tells everyone.
pub(super) async fn acquire(
    core: &Core,
    acquisition: &mut Acquisition,
    limit: usize,
    queues: Vec<ServedQueue>,
    only: Option<JobId>,
) -> Result<Leased, StoreError> {
    let asked_at = *acquisition.asked_at.get_or_insert_with(|| core.time.monotonic());
    let request = AcquireJobs {
        holder: core.options.identity.clone(),
        token: acquisition.token,
        now: core.time.now(),
        lease: core.options.lease_duration,
        limit,
        queues,
        abilities: core.executors.abilities(),
        only,
    };
    let acquired = core.store.job_acquire(request).await?;
    *acquisition = Acquisition::new();
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
    let held_until = asked_at.saturating_add(core.options.lease_duration);
    Ok(Leased { acquired, held_until })
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
    held_until: Instant,
    first: OwnedSemaphorePermit,
    slots: &Arc<Semaphore>,
    queues: &Queues,
    writes: &mpsc::Sender<Write>,
) {
    let mut first = Some(first);
    for (job, resolved) in taken {
        // Only this loop takes slots, so the ones that were counted are still there.
        let permit = first.take().or_else(|| Arc::clone(slots).try_acquire_owned().ok());
        let queue_permit = queues.slot(&job.spec.settings.queue);
        let place = core.apart.place(job.crashes);
        let taken = runner::Leased { job, held_until, place };
        let attempt = runner::run(Arc::clone(core), taken, resolved, writes.clone());
        core.attempts.spawn(async move {
            drop(attempt.await);
            drop((permit, queue_permit));
        });
    }
}

/// Waits until there may be something new after `now`: a hint, a job that becomes due, or the poll interval.
async fn wait(core: &Core, now: Timestamp) {
    let poll = core.time.sleep(core.options.poll_interval);
    let due_at = core.store.job_next_due(now).await.unwrap_or_else(|error| {
        log_failure!(&error, "the next due job could not be asked for; polling");
        None
    });
    tokio::select! {
        biased;
        () = core.stop_taking.cancelled() => {}
        () = core.jobs_changed.notified() => {}
        () = super::due(core, due_at) => {}
        () = poll => {}
    }
}

/// How often at most a job that waits for its turn is looked at by [`super::run_one`].
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(200);
