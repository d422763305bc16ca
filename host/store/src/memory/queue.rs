//! The job queue in memory.

use std::cmp::Reverse;

use async_trait::async_trait;

use super::jobs::{Jobs, end, requeue};
use super::{MemoryStore, State};
use crate::model::{Job, JobId, JobSpec, JobState, Lease, LeaseToken, Outcome, Parallelism, TaskId, Timestamp};
use crate::store::{
    AcquireJobs, AcquiredJobs, Cancelled, EndedJob, Ending, ExtendJobs, Extended, JobCounts, JobFilter, JobQueue,
    JobReport, LogPage, Page, ReadLogs, ReleaseJob, ReleaseJobs, Released, StoreError, Subject, rules,
};

fn not_found(id: JobId) -> StoreError {
    StoreError::NotFound(Subject::Job(id))
}

fn holds(job: Option<&Job>, token: LeaseToken) -> bool {
    job.and_then(|job| job.lease.as_ref()).is_some_and(|lease| lease.token == token)
}

impl Jobs {
    /// Ends queued jobs whose start deadline has passed, of all or of one.
    fn end_missed(&mut self, now: Timestamp, only: Option<JobId>) -> Vec<EndedJob> {
        let missed = self.deadlines.iter().take_while(|(deadline, _)| *deadline < now).map(|(_, id)| *id);
        let missed = missed.filter(|id| only.is_none_or(|only| only == *id)).take(rules::MISSED_MAX);
        let ids: Vec<JobId> = missed.collect();
        let mut ended = Vec::with_capacity(ids.len());
        for id in ids {
            ended.extend(self.change(id, now, |job| {
                end(job, Outcome::MissedStartDeadline, now);
                EndedJob { id, task_id: job.spec.task_id.clone() }
            }));
        }
        ended
    }

    fn lease(&mut self, id: JobId, request: &AcquireJobs) -> Option<Job> {
        let AcquireJobs { holder, token, now, lease_until, .. } = request;
        self.change(id, *now, |job| {
            job.state = JobState::Running;
            job.attempt += 1;
            job.lease = Some(Lease { holder: holder.clone(), token: *token, expires_at: *lease_until });
            job.scheduler_id = Some(holder.clone());
            job.started_at = Some(*now);
            job.progress = None;
            job.clone()
        })
    }
}

impl State {
    /// How many more jobs of the task may start.
    fn free(&self, task: &TaskId) -> usize {
        match self.catalog.tasks.get(task).map(|task| task.resolved().max_running_jobs) {
            Some(Parallelism::AtMost(max)) => (max.get() as usize).saturating_sub(self.jobs.running_of(task)),
            Some(Parallelism::Unlimited) | None => usize::MAX,
        }
    }

    /// The jobs that start next, in order: of each partition as many as may start, and of those the first.
    fn next_jobs(&self, request: &AcquireJobs) -> Vec<JobId> {
        let mut next: Vec<(Reverse<i32>, JobId)> = Vec::new();
        for (task, partition) in &self.jobs.partitions {
            let wanted = |&(_, id): &(Reverse<i32>, JobId)| request.only.is_none_or(|only| only == id);
            next.extend(partition.iter().copied().filter(wanted).take(self.free(task).min(request.limit)));
        }
        next.sort_unstable();
        next.truncate(request.limit);
        next.into_iter().map(|(_, id)| id).collect()
    }

    fn release(&mut self, now: Timestamp, release: ReleaseJob) -> Released {
        if !holds(self.jobs.get(release.id), release.token) {
            return Released::LeaseLost;
        }
        if rules::effects_apply(&release) {
            for job in release.effects.jobs {
                self.jobs.add(job);
            }
            for schedule in release.effects.schedules {
                // An id that is taken leaves the schedule out; the guest's job has succeeded all the same.
                let _taken = self.schedules.add(schedule);
            }
        }
        self.jobs.log(release.id, release.lines);
        let not_before = match &release.ending {
            Ending::GivenBack { not_before } => *not_before,
            _ => None,
        };
        self.jobs.change(release.id, now, |job| {
            job.usage = release.usage.or(job.usage);
            job.plugin_digest = release.plugin_digest.or(job.plugin_digest);
            job.started_at = release.started_at.or(job.started_at);
            job.progress = release.progress.or_else(|| job.progress.take());
            settle(job, release.ending, now);
        });
        if let Some(not_before) = not_before {
            self.jobs.put_off(release.id, now, not_before);
        }
        Released::Stored
    }
}

/// Applies the ending of an attempt.
fn settle(job: &mut Job, ending: Ending, now: Timestamp) {
    match ending {
        Ending::Finished { outcome, result, error, expires_at } => {
            end(job, outcome, now);
            job.result = result;
            job.error = error;
            job.expires_at = Some(expires_at);
        }
        Ending::Retry { due_at, error } => {
            job.error = Some(error);
            if job.cancel_requested {
                end(job, Outcome::Cancelled, now);
            } else {
                requeue(job, due_at);
            }
        }
        Ending::GivenBack { .. } if job.cancel_requested => end(job, Outcome::Cancelled, now),
        Ending::GivenBack { .. } => {
            job.attempt = job.attempt.saturating_sub(1);
            job.started_at = None;
            let due_at = job.spec.due_at;
            requeue(job, due_at);
        }
    }
}

#[async_trait]
impl JobQueue for MemoryStore {
    async fn job_add(&self, jobs: Vec<JobSpec>) -> Result<(), StoreError> {
        self.with(|state| {
            for job in jobs {
                state.jobs.add(job);
            }
            Ok(())
        })
    }

    async fn job_get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.with(|state| Ok(state.jobs.get(id).cloned()))
    }

    async fn job_list(&self, filter: JobFilter) -> Result<Page<Job>, StoreError> {
        let before = match &filter.after {
            None => std::ops::Bound::Unbounded,
            Some(after) => std::ops::Bound::Excluded(after.parse::<JobId>().map_err(|_| rules::bad_cursor(after))?),
        };
        self.with(|state| {
            let limit = rules::page_limit(filter.limit);
            let rows = state.jobs.rows.range((std::ops::Bound::Unbounded, before)).rev().map(|(_, entry)| &entry.job);
            let rows = rows.filter(|job| filter.state.is_none_or(|wanted| wanted == job.state));
            let rows = rows.filter(|job| filter.outcome.is_none() || filter.outcome == job.outcome);
            let rows = rows.filter(|job| filter.task_id.as_ref().is_none_or(|wanted| *wanted == job.spec.task_id));
            let rows = rows.filter(|job| filter.schedule_id.is_none() || filter.schedule_id == job.spec.schedule_id);
            let rows = rows.take(limit + 1).map(|job| Ok(job.clone())).collect();
            Ok(rules::page(rows, limit, |job: &Job| job.spec.id.to_string()))
        })
    }

    async fn job_acquire(&self, request: AcquireJobs) -> Result<AcquiredJobs, StoreError> {
        self.with(|state| {
            let catalog_revision = state.catalog.revision;
            let mut leased = state.jobs.leased(request.token);
            if !leased.is_empty() {
                leased.sort_by_key(|job| (Reverse(job.spec.settings.priority), job.spec.id));
                return Ok(AcquiredJobs { jobs: leased, catalog_revision, ..AcquiredJobs::default() });
            }
            let missed = state.jobs.end_missed(request.now, request.only);
            state.jobs.wake(request.now);
            let next = state.next_jobs(&request);
            let jobs = next.into_iter().filter_map(|id| state.jobs.lease(id, &request)).collect();
            Ok(AcquiredJobs { jobs, missed, unreadable: Vec::new(), catalog_revision })
        })
    }

    async fn job_extend(&self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError> {
        self.with(|state| {
            let mut answers = Vec::with_capacity(request.leases.len());
            for (id, token) in request.leases {
                let job = state.jobs.rows.get_mut(&id).map(|entry| &mut entry.job);
                let job = job.filter(|job| holds(Some(job), token));
                // The end of a lease is in no index, so the row may change in its place.
                answers.push(job.map_or(Extended { id, held: false, cancel_requested: false }, |job| {
                    if let Some(lease) = &mut job.lease {
                        lease.expires_at = request.lease_until;
                    }
                    Extended { id, held: true, cancel_requested: job.cancel_requested }
                }));
            }
            Ok(answers)
        })
    }

    async fn job_report(&self, reports: Vec<JobReport>) -> Result<(), StoreError> {
        self.with(|state| {
            for report in reports {
                let Some(entry) = state.jobs.rows.get_mut(&report.id) else { continue };
                if holds(Some(&entry.job), report.token) {
                    entry.job.progress = report.progress.or_else(|| entry.job.progress.take());
                    state.jobs.log(report.id, report.lines);
                }
            }
            Ok(())
        })
    }

    async fn job_release(&self, request: ReleaseJobs) -> Result<Vec<Released>, StoreError> {
        self.with(|state| Ok(request.releases.into_iter().map(|release| state.release(request.now, release)).collect()))
    }

    async fn job_cancel(&self, id: JobId, now: Timestamp) -> Result<Cancelled, StoreError> {
        self.with(|state| {
            let cancelled = state.jobs.change(id, now, |job| match job.state {
                JobState::Queued => {
                    end(job, Outcome::Cancelled, now);
                    Cancelled::Ended
                }
                JobState::Running => {
                    job.cancel_requested = true;
                    Cancelled::Asked
                }
                JobState::Finished => Cancelled::AlreadyFinished,
            });
            cancelled.ok_or_else(|| not_found(id))
        })
    }

    async fn job_retry(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        self.with(|state| {
            let job = state.jobs.get(id).ok_or_else(|| not_found(id))?;
            if job.state != JobState::Finished {
                let state = format!("is {}, not finished", job.state);
                return Err(StoreError::Conflict { subject: Subject::Job(id), state });
            }
            let retried = state.jobs.change(id, now, |job| {
                requeue(job, now);
                job.spec.start_deadline = None;
                job.cancel_requested = false;
                (job.outcome, job.finished_at, job.expires_at, job.result) = (None, None, None, None);
                job.clone()
            });
            retried.ok_or_else(|| not_found(id))
        })
    }

    async fn job_logs(&self, request: ReadLogs) -> Result<LogPage, StoreError> {
        self.with(|state| Ok(state.jobs.logs(request.id, request.after, request.limit)))
    }

    async fn job_next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.with(|state| Ok(state.jobs.waiting.iter().map(|(due_at, _)| *due_at).find(|due_at| *due_at > now)))
    }

    async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        self.with(|state| {
            let (queued, running) = (state.jobs.queued_all() as u64, state.jobs.running_all() as u64);
            Ok(JobCounts { queued, running, finished: state.jobs.rows.len() as u64 - queued - running })
        })
    }
}
