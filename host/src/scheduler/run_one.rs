//! Runs one job right here, without a scheduler around it.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::acquisition::{Acquisition, Leased, acquire};
use super::catalog::CatalogCache;
use super::core::Core;
use super::handle::{core_of, serve_attempts};
use super::running::Interrupt;
use super::{Options, Parts, job_loop, runner, wake, writer};
use crate::clock::Clock as _;
use crate::model::{Job, JobId, JobState, Outcome};
use crate::store::{Choice, StoreError, Subject};

/// Runs the job `id` to its end, all its attempts, and answers it as it is stored then; with its result also where that is not kept, if its
/// last attempt ran here.
///
/// It is an ordinary job: leased, limited by its task's `max_running_jobs`, and run here unless another scheduler takes it first, in
/// which case this waits for its end. Dropping the future stops a running attempt; its lease runs out and the job goes
/// on elsewhere.
///
/// # Errors
/// The store's; `NotFound` where the job is gone.
pub async fn run_one(parts: &Parts, options: Options, id: JobId) -> Result<Job, StoreError> {
    let subscription = parts.broker.subscribe();
    let core = Arc::new(core_of(parts, options));
    core.time.measure(&*core.store, core.quick()).await?;
    let _guard = StopOnDrop(Arc::clone(&core));
    core.spawn_loop("wake", wake::run(Arc::clone(&core), subscription));
    let notifier = TaskTracker::new();
    let stop_publishing = core.stop_serving.child_token();
    notifier.spawn({
        let (core, broker) = (Arc::clone(&core), Arc::clone(&parts.broker));
        async move { core.notifier.run(broker, stop_publishing).await }
    });
    let writes = serve_attempts(&core);
    let ended = attempts(&core, id, &writes).await;
    // The writer ends after the last of those who can write.
    drop(writes);
    core.writer.wait().await;
    core.stop_serving.cancel();
    core.loops.close();
    core.loops.wait().await;
    notifier.close();
    notifier.wait().await;
    ended
}

async fn attempts(
    core: &Arc<Core>,
    id: JobId,
    writes: &tokio::sync::mpsc::Sender<writer::Write>,
) -> Result<Job, StoreError> {
    let mut catalog = CatalogCache::new(Arc::clone(&core.store));
    let mut acquisition = Acquisition::new();
    // What the last attempt that ran here returned, and which one that was.
    let mut returned = (0, None);
    loop {
        let Leased { acquired, held_until } = acquire(core, &mut acquisition, 1, Vec::new(), Choice::Only(id)).await?;
        let revision = acquired.catalog_revision;
        let has_run = !acquired.jobs.is_empty();
        let found = catalog.resolve(acquired.jobs, revision, core.time.now()).await;
        for (job, resolved) in found.resolved {
            let attempt = job.attempt;
            let Some(held) = runner::hold(core, job, held_until) else { continue };
            returned = (attempt, runner::run(Arc::clone(core), held, None, resolved, writes.clone()).await);
        }
        job_loop::give_back(core, found.unresolved, writes).await;
        if has_run {
            // The end is stored when the writer says that jobs have changed; where the lease is lost there is nothing to store.
            tokio::select! {
                biased;
                () = core.jobs_changed.notified() => {}
                () = core.time.sleep(job_loop::LOOK_AGAIN) => {}
            }
        }
        let mut job = core.store.job_get(id).await?.ok_or_else(|| StoreError::NotFound(Subject::Job(id)))?;
        if job.state == JobState::Finished {
            if job.outcome == Some(Outcome::Success) && job.attempt == returned.0 {
                job.result = job.result.or(returned.1);
            }
            return Ok(job);
        }
        if has_run {
            // The next attempt may be due already.
            continue;
        }
        // A job that is due and still queued waits for a slot of its task; one that is not due waits for that.
        let is_due_later = job.state == JobState::Queued && job.spec.due_at > core.time.now();
        tokio::select! {
            biased;
            () = core.jobs_changed.notified() => {}
            () = super::due(core, is_due_later.then_some(job.spec.due_at)) => {}
            () = core.time.sleep(job_loop::LOOK_AGAIN) => {}
        }
    }
}

/// Ends the loops and the attempt when the caller goes away in the middle.
struct StopOnDrop(Arc<Core>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.running.interrupt_all(Interrupt::Stopping);
        self.0.stop_serving.cancel();
    }
}
