//! Many jobs at once: queued from a list, or cancelled and tried again by a filter.

use std::collections::HashMap;
use std::time::Duration;

use super::jobs::Unique;
use super::{App, AppError, AppResult, CancelJob, NewJob};
use crate::model::limits::PAGE_ROWS_MAX;
use crate::model::{Digest, EventKind, JobId, JobSpec, JobState, Outcome, Task};
use crate::store::record::BATCH_BYTES_MAX;
use crate::store::{JobFilter, PayloadBytes as _};

/// Most jobs that are queued with one call of the store.
const CHUNK_JOBS_MAX: usize = 1_000;

/// A job of many that are to be queued.
#[derive(Debug, Clone)]
pub struct NewBatchJob {
    /// The job.
    pub job: NewJob,
    /// The key that only one job of its task has, where it is to have one.
    pub unique: Option<Unique>,
}

/// A job that was looked at and can be queued. See [`App::jobs_check`].
#[derive(Debug, Clone)]
pub struct CheckedJob(JobSpec);

/// What queueing many jobs came to.
#[derive(Debug)]
pub struct BatchSubmitted {
    /// The jobs that were queued, or that had the keys, in the order in which they were given.
    pub jobs: Vec<super::Submitted>,
    /// What kept the rest from being queued.
    pub failure: Option<AppError>,
}

/// What is to be done with jobs that pass a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkAction {
    /// As [`App::job_cancel`], for those that have not ended.
    Cancel {
        /// As there.
        grace: Option<Duration>,
    },
    /// As [`App::job_retry`], for those that have ended otherwise than with a success, or with the outcome of the filter.
    Retry,
}

/// What doing something with many jobs came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkDone {
    /// Jobs for which it was done.
    pub done: usize,
    /// Those of them that run, and were asked to stop.
    pub asked: usize,
    /// Jobs that have ended, were queued or went away before their turn came.
    pub passed_over: usize,
}

impl App {
    /// Everything about jobs that can be looked at before they are queued, each for itself and in order.
    ///
    /// # Errors
    /// Those of the store; what is wrong with a job, as by [`App::job_submit`] and [`App::job_submit_unique`], is the answer for that job.
    pub async fn jobs_check(&self, jobs: Vec<NewBatchJob>) -> AppResult<Vec<AppResult<CheckedJob>>> {
        let mut tasks: HashMap<(String, Option<Digest>), Task> = HashMap::new();
        let mut checked = Vec::with_capacity(jobs.len());
        for NewBatchJob { job, unique } in jobs {
            let key = (job.task.clone(), job.settings.version);
            let known = match tasks.get(&key) {
                Some(task) => Ok(task.clone()),
                None => self.task_for(&job).await.inspect(|task| drop(tasks.insert(key, task.clone()))),
            };
            let spec = match known {
                Ok(task) => self.job_spec_of(task, job, unique).await,
                Err(error) => Err(error),
            };
            match spec {
                Err(error @ (AppError::Unreachable { .. } | AppError::Unexpected { .. })) => return Err(error),
                spec => checked.push(spec.map(CheckedJob)),
            }
        }
        Ok(checked)
    }

    /// Queues jobs, with one call of the store for many of them. A call queues all of its jobs or none; where a later one fails, those of the
    /// earlier ones are queued.
    pub async fn jobs_submit(&self, jobs: Vec<CheckedJob>) -> BatchSubmitted {
        let mut submitted = BatchSubmitted { jobs: Vec::with_capacity(jobs.len()), failure: None };
        let mut left = jobs.into_iter().map(|CheckedJob(spec)| spec).peekable();
        while left.peek().is_some() {
            let (mut chunk, mut bytes) = (Vec::new(), 0);
            while let Some(spec) = left.next_if(|spec| {
                chunk.is_empty() || chunk.len() < CHUNK_JOBS_MAX && bytes + spec.payload_bytes() <= BATCH_BYTES_MAX
            }) {
                bytes += spec.payload_bytes();
                chunk.push(spec);
            }
            match self.submit_chunk(chunk).await {
                Ok(jobs) => submitted.jobs.extend(jobs),
                Err(error) => {
                    submitted.failure = Some(error);
                    break;
                }
            }
        }
        submitted
    }

    async fn submit_chunk(&self, chunk: Vec<JobSpec>) -> AppResult<Vec<super::Submitted>> {
        let own: Vec<(JobId, _)> = chunk.iter().map(|spec| (spec.id, spec.task_id.clone())).collect();
        let ids = if chunk.iter().any(|spec| spec.settings.unique_key.is_some()) {
            self.store.job_add_unique(chunk).await?
        } else {
            self.store.job_add(chunk).await?;
            own.iter().map(|(id, _)| *id).collect()
        };
        let submitted: Vec<_> =
            own.iter().zip(ids).map(|((own, _), id)| super::Submitted { id, is_new: *own == id }).collect();
        let new = own.into_iter().zip(&submitted).filter(|(_, submitted)| submitted.is_new);
        let events = new.map(|((job_id, task_id), _)| EventKind::JobAdded { job_id, task_id, schedule_id: None });
        self.publish(events.collect()).await;
        Ok(submitted)
    }

    /// The jobs that pass `filter` and for which `action` can be done, the youngest first. `filter.limit` and `filter.after` are this method's
    /// business.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn jobs_for(&self, action: BulkAction, mut filter: JobFilter) -> AppResult<Vec<JobId>> {
        if action == BulkAction::Retry {
            filter.state.get_or_insert(JobState::Finished);
        }
        filter.limit = PAGE_ROWS_MAX;
        let by_outcome = filter.outcome.is_some();
        let mut found = Vec::new();
        loop {
            let page = self.store.job_list(filter.clone()).await?;
            let is_meant = |outcome: Option<Outcome>| match action {
                BulkAction::Cancel { .. } => outcome.is_none(),
                BulkAction::Retry => outcome.is_some_and(|outcome| by_outcome || outcome != Outcome::Success),
            };
            found.extend(page.rows.iter().filter(|job| is_meant(job.outcome)).map(|job| job.spec.id));
            match page.next {
                Some(next) => filter.after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Cancels these jobs, or queues them for one more attempt, each for itself: what somebody else has done to a job meanwhile keeps it from
    /// none of the others.
    ///
    /// # Errors
    /// Those of the store; what was done before stays done.
    pub async fn jobs_do(&self, action: BulkAction, ids: &[JobId]) -> AppResult<BulkDone> {
        let mut all = BulkDone::default();
        for id in ids {
            let done = match action {
                BulkAction::Cancel { grace } => self.job_cancel(*id, grace).await.map(|how| how == CancelJob::Asked),
                BulkAction::Retry => self.job_retry(*id).await.map(|_| false),
            };
            match done {
                Ok(is_asked) => {
                    all.done += 1;
                    all.asked += usize::from(is_asked);
                }
                Err(AppError::Refused { .. } | AppError::NotFound { .. }) => all.passed_over += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}
