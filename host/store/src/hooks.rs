//! What the end of a job calls: one decision for every store.

use std::sync::Arc;

use crate::model::{HookCall, HowEnded, Job, JobError, Outcome, Timestamp};
use crate::{EndedJob, Ending, ReleaseJob};

/// A job that has hooks, at the end of an attempt.
#[derive(Debug, Clone)]
pub struct HookedJob {
    /// The job.
    pub job: Arc<Job>,
    /// When the attempt ended, by the caller's clock.
    pub ended_at: Timestamp,
}

impl HookedJob {
    /// What is to be said with the end of an attempt, where the job has hooks.
    pub fn of(job: &Arc<Job>, ended_at: Timestamp) -> Option<HookedJob> {
        (!job.spec.settings.hooks.is_empty()).then(|| HookedJob { job: Arc::clone(job), ended_at })
    }
}

impl ReleaseJob {
    /// The hook that is called once this release is stored.
    pub fn hook_call(&self) -> Option<HookCall> {
        let HookedJob { job, ended_at } = self.hooked.as_ref()?;
        let Ending::Finished { outcome, result, error, .. } = &self.ending else { return None };
        let ended = HowEnded {
            outcome: *outcome,
            error: error.as_ref(),
            result: result.as_ref(),
            started_at: self.started_at.or(job.started_at),
            finished_at: *ended_at,
        };
        HookCall::of(job, ended)
    }
}

/// The hook that is called because a store has ended a job itself.
pub(crate) fn ended_by_store(
    job: &Job,
    outcome: Outcome,
    error: Option<&JobError>,
    now: Timestamp,
) -> Option<HookCall> {
    HookCall::of(job, HowEnded { outcome, error, result: None, started_at: job.started_at, finished_at: now })
}

/// The job of a hook, for the event that tells of it.
pub(crate) fn made(call: &HookCall) -> EndedJob {
    EndedJob { id: call.id, task_id: call.task_id.clone() }
}
