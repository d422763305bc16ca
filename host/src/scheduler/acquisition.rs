//! Asking the store for jobs.
//!
//! Whoever wants jobs leaves an [`Ask`] with the writer, which leases them in one call together with the ends that it has to write at that
//! moment. An answer that was lost costs no job anything: until there is one, the same token is asked for again, under which the store
//! answers what it has leased already.

use tokio::sync::oneshot;

use super::core::Core;
use crate::clock::{Clock as _, Instant};
use crate::model::{EventKind, LeaseToken, Outcome, ReleasedJob};
use crate::store::{AcquireJobs, AcquiredJobs, Choice, EndedJob, ServedQueue, StoreError, Unreadable};

/// A wish for jobs.
#[derive(Debug)]
pub(super) struct Ask {
    /// At most this many.
    pub(super) limit: usize,
    /// Of these queues, and of each no more than there is room for.
    pub(super) queues: Vec<ServedQueue>,
    pub(super) choice: Choice,
    /// Where the answer goes.
    pub(super) reply: oneshot::Sender<Result<Leased, StoreError>>,
}

/// Jobs that were leased, and what was found beside them.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) acquired: AcquiredJobs,
    /// The leases hold at least until then: counted from when they were asked for first.
    pub(super) held_until: Instant,
}

/// An acquisition that may have to be asked for more than once.
#[derive(Debug)]
pub(super) struct Acquisition {
    token: LeaseToken,
    asked_at: Option<Instant>,
}

impl Acquisition {
    pub(super) fn new() -> Acquisition {
        Acquisition { token: LeaseToken::random(&mut fastrand::Rng::new()), asked_at: None }
    }

    /// The request for up to `limit` due jobs of these queues that this worker can run. To be made at once: the leases count from now on.
    pub(super) fn request(
        &mut self,
        core: &Core,
        limit: usize,
        queues: Vec<ServedQueue>,
        choice: Choice,
    ) -> AcquireJobs {
        self.asked_at.get_or_insert_with(|| core.time.monotonic());
        AcquireJobs {
            holder: core.options.identity.clone(),
            token: self.token,
            now: core.time.now(),
            lease: core.options.lease_duration,
            limit,
            queues,
            abilities: core.executors.abilities(),
            choice,
        }
    }

    /// Takes the answer, and tells everyone. The next request is another acquisition.
    pub(super) fn answered(&mut self, core: &Core, acquired: AcquiredJobs) -> Leased {
        let asked_at = std::mem::replace(self, Acquisition::new()).asked_at;
        let asked_at = asked_at.unwrap_or_else(|| core.time.monotonic());
        core.notifier.publish(acquired.jobs.iter().map(|job| EventKind::JobAcquired {
            job_id: job.spec.id,
            task_id: job.spec.task_id.clone(),
            scheduler_id: core.options.identity.clone(),
            schedule_id: job.spec.schedule_id.clone(),
            scheduled_fire_time: job.spec.scheduled_fire_time,
        }));
        let missed = |job: &EndedJob| ReleasedJob::new(job.id, job.task_id.clone(), Some(Outcome::MissedStartDeadline));
        core.notifier.publish(acquired.missed.iter().map(|job| missed(job).into()));
        publish_hooked(core, &acquired.hooked);
        publish_unreadable(core, &acquired.unreadable);
        Leased { acquired, held_until: asked_at.saturating_add(core.options.lease_duration) }
    }
}

/// Leases jobs by a call of their own.
pub(super) async fn acquire(
    core: &Core,
    acquisition: &mut Acquisition,
    limit: usize,
    queues: Vec<ServedQueue>,
    choice: Choice,
) -> Result<Leased, StoreError> {
    let request = acquisition.request(core, limit, queues, choice);
    let acquired = core.store.job_acquire(request).await?;
    Ok(acquisition.answered(core, acquired))
}

/// Tells of jobs that hooks have made.
pub(super) fn publish_hooked(core: &Core, made: &[EndedJob]) {
    if made.is_empty() {
        return;
    }
    core.notifier.publish(made.iter().cloned().map(|EndedJob { id: job_id, task_id }| EventKind::JobAdded {
        job_id,
        task_id,
        schedule_id: None,
    }));
    core.jobs_changed.notify_one();
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
