//! Writes what attempts say and how they end: collected from all of them, in batches.
//!
//! While one batch is being stored the next one gathers, so batches grow with the load and a lone job waits for nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::core::Core;
use crate::model::{ErrorKind, EventKind, JobError, JobId, Outcome, TaskId, Timestamp};
use crate::store::{Ending, JobReport, ReleaseJob, ReleaseJobs, Released, StoreError};

/// Most attempts whose end waits to be written; an attempt that finds no room waits, with its slot.
pub(super) const WRITES_MAX: usize = 1_024;
/// Pause before a write that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Something to be written.
#[derive(Debug)]
pub(super) enum Write {
    /// Lines and progress of a running attempt.
    Report(JobReport),
    /// The end of an attempt.
    Release(Box<ReleaseJob>, TaskId),
}

/// Writes until everyone who could send has gone. Reports are written before releases: after those their tokens hold no more.
pub(super) async fn run(core: Arc<Core>, mut receiver: mpsc::Receiver<Write>) {
    let mut batch = Vec::with_capacity(WRITES_MAX);
    while receiver.recv_many(&mut batch, WRITES_MAX).await > 0 {
        let mut reports = Vec::new();
        let mut releases = Vec::new();
        let mut tasks = HashMap::new();
        for write in batch.drain(..) {
            match write {
                Write::Report(report) => reports.push(report),
                Write::Release(release, task_id) => {
                    tasks.insert(release.id, task_id);
                    releases.push(*release);
                }
            }
        }
        if !reports.is_empty() {
            store_reports(&core, reports).await;
        }
        if !releases.is_empty() {
            store_releases(&core, releases, &tasks).await;
        }
    }
}

async fn store_reports(core: &Core, reports: Vec<JobReport>) {
    let mut left = reports;
    while let Err(error) = core.store.job_report(left.clone()).await {
        if error.is_transient() && !core.stop_serving.is_cancelled() {
            pause(core).await;
        } else if left.len() > 1 {
            // One report may spoil the batch: write the first half alone, then go on with the second.
            let second = left.split_off(left.len() / 2);
            Box::pin(store_reports(core, std::mem::replace(&mut left, second))).await;
        } else {
            let job_ids: Vec<JobId> = left.iter().map(|report| report.id).collect();
            tracing::warn!(error = %super::chain(&error), ?job_ids, "log lines of a job could not be stored and are lost");
            return;
        }
    }
}

async fn store_releases(core: &Core, releases: Vec<ReleaseJob>, tasks: &HashMap<JobId, TaskId>) {
    let mut left = releases;
    loop {
        let request = ReleaseJobs { now: core.time.now(), releases: left.clone() };
        match core.store.job_release(request).await {
            Ok(answers) => return after_release(core, &left, &answers, tasks),
            Err(error) if error.is_transient() && core.stop_serving.is_cancelled() => {
                // The scheduler stops while the store is away. The leases run out, and the jobs run again elsewhere.
                tracing::error!(error = %super::chain(&error), count = left.len(), "the ends of jobs could not be stored");
                left.iter().for_each(|release| core.running.end(release.id, release.token));
                return;
            }
            Err(error) if error.is_transient() => pause(core).await,
            Err(_) if left.len() > 1 => {
                // One release may spoil the batch: write the first half alone, then go on with the second.
                let second = left.split_off(left.len() / 2);
                Box::pin(store_releases(core, std::mem::replace(&mut left, second), tasks)).await;
            }
            Err(error) => {
                let Some(release) = left.first_mut() else { return };
                tracing::error!(job.id = %release.id, error = %super::chain(&error), "the end of a job could not be stored");
                if !replace_with_error(release, &error, core.time.now()) {
                    core.running.end(release.id, release.token);
                    return;
                }
            }
        }
    }
}

/// Waits a little before a write is tried again; not at all once the scheduler stops.
async fn pause(core: &Core) {
    tokio::select! {
        () = core.stop_serving.cancelled() => {}
        () = core.time.sleep(RETRY_PAUSE) => {}
    }
}

/// Puts an error in the place of a result that cannot be stored, so that the job ends; `false` where that was tried before.
fn replace_with_error(release: &mut ReleaseJob, cause: &StoreError, now: Timestamp) -> bool {
    let expires_at = match &release.ending {
        Ending::Finished { error: Some(error), .. } if error.kind == ErrorKind::HostError => return false,
        Ending::Finished { expires_at, .. } => *expires_at,
        Ending::Retry { .. } | Ending::GivenBack => now.saturating_add(crate::model::limits::RESULT_TTL_DEFAULT),
    };
    let mut error = JobError::new(ErrorKind::HostError, "the job ended, but how it ended could not be stored");
    error.context.push(super::chain(cause));
    release.ending = Ending::Finished { outcome: Outcome::Error, result: None, error: Some(error), expires_at };
    release.lines = Vec::new();
    release.progress = None;
    release.effects = crate::store::Effects::default();
    true
}

fn after_release(core: &Core, releases: &[ReleaseJob], answers: &[Released], tasks: &HashMap<JobId, TaskId>) {
    let mut has_effects = false;
    for (release, answer) in releases.iter().zip(answers) {
        core.running.end(release.id, release.token);
        if *answer == Released::LeaseLost {
            tracing::warn!(job.id = %release.id, "a job's lease was lost before its end was stored; somebody else has it");
            continue;
        }
        has_effects |= !release.effects.schedules.is_empty();
        let outcome = match &release.ending {
            Ending::Finished { outcome, .. } => Some(*outcome),
            Ending::Retry { .. } | Ending::GivenBack => None,
        };
        let Some(task_id) = tasks.get(&release.id).cloned() else { continue };
        let scheduler_id = Some(core.options.identity.clone());
        core.notifier.publish([EventKind::JobReleased { job_id: release.id, task_id, scheduler_id, outcome }]);
    }
    // A slot of a task became free, or a retry has a due time now.
    core.jobs_changed.notify_one();
    if has_effects {
        core.schedules_changed.notify_one();
    }
}
