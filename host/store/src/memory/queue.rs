//! The job queue in memory.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::jobs::{Jobs, end, requeue};
use super::{MemoryStore, Now, State};
use crate::ends::JobEnd;
use crate::hooks;
use crate::model::{
    CancelRequest, HookCall, Job, JobId, JobSpec, JobState, Lease, LeaseToken, Outcome, QueueName, Timestamp,
};
use crate::rules::{Order, QueueCounts};
use crate::{
    AcquireJobs, AcquiredJobs, CancelAsked, Cancelled, Choice, EndedJob, Ending, ExchangeJobs, ExchangedJobs,
    ExtendJobs, Extended, Hold, JobCounts, JobFilter, JobQueue, JobReport, LeaseLine, LogPage, Page, QueueRow,
    ReadLogs, ReleaseJob, ReleaseJobs, Released, StoreError, Subject, rules,
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

    fn lease(&mut self, id: JobId, request: &AcquireJobs, now: Now) -> Option<Job> {
        let AcquireJobs { holder, token, lease, .. } = request;
        self.change(id, now.due, |job| {
            job.state = JobState::Running;
            job.attempt += 1;
            let expires_at = now.leases.saturating_add(*lease);
            job.lease = Some(Lease { holder: holder.clone(), token: *token, expires_at });
            job.scheduler_id = Some(holder.clone());
            job.started_at = Some(now.due);
            job.progress = None;
            job.clone()
        })
    }
}

impl State {
    fn acquire(&mut self, request: &AcquireJobs, now: Now) -> AcquiredJobs {
        let none = AcquiredJobs::none(now.due, self.catalog.revision);
        let mut leased = self.jobs.leased(request.token);
        if !leased.is_empty() {
            leased.sort_by_key(|job| (Reverse(job.spec.settings.priority), job.spec.id));
            return AcquiredJobs { jobs: leased, ..none };
        }
        let missed = self.jobs.end_missed(now.due, request.choice.only());
        let hooked = missed.iter().filter_map(|job| self.call_hook_of(job.id, now.due)).collect();
        match request.choice.only() {
            Some(only) => self.jobs.wake_one(only, now.due),
            None => self.jobs.wake(now.due),
        }
        let next = self.next_jobs(request);
        let jobs = next.into_iter().filter_map(|id| self.jobs.lease(id, request, now)).collect();
        AcquiredJobs { jobs, missed, hooked, ..none }
    }

    /// Calls the hook of a job that was ended here. Answers the job that was made.
    pub(super) fn call_hook_of(&mut self, ended: JobId, now: Timestamp) -> Option<EndedJob> {
        let job = self.jobs.get(ended)?;
        let call = hooks::ended_by_store(job, job.outcome?, job.error.as_ref(), now)?;
        let made = hooks::made(&call);
        self.call_hook(call, now);
        Some(made)
    }

    fn call_hook(&mut self, call: HookCall, now: Timestamp) {
        let task = self.catalog.tasks.get(&call.task_id);
        let job = call.job(task, now);
        self.jobs.add(job);
    }

    /// The jobs that start next, in order. Those that were parked while nobody ran them wait for their turn again first.
    fn next_jobs(&mut self, request: &AcquireJobs) -> Vec<JobId> {
        if let Some(only) = request.choice.only() {
            return self.only(only, request).into_iter().take(request.limit).collect();
        }
        let mut rounds = 0;
        loop {
            let mut next = self.first_jobs(request);
            let is_parked = |id: &JobId| self.jobs.rows.get(id).is_some_and(|entry| entry.is_parked);
            let parked: Vec<JobId> = next.extract_if(.., |id| is_parked(id)).collect();
            if parked.is_empty() || rounds == rules::UNPARK_ROUNDS_MAX {
                return next;
            }
            parked.into_iter().for_each(|id| self.jobs.park(id, false));
            rounds += 1;
        }
    }

    /// The jobs that a worker comes upon next, in order.
    fn first_jobs(&self, request: &AcquireJobs) -> Vec<JobId> {
        let ready = &self.jobs.places.ready;
        let queues = rules::ready_keys(request).into_iter();
        let open = queues.filter(|(served, _)| !self.paused_queues.contains(&served.queue));
        let first_of = |key: &String| -> Vec<Order> {
            match (ready.get(key.as_str()), &request.choice) {
                (None, _) => Vec::new(),
                (Some(ready), Choice::EachTask { except }) => {
                    let tasks = ready.tasks.iter().take(rules::SHARING_TASKS_MAX);
                    let others = tasks.filter(|(task, _)| !except.contains(*task));
                    others.filter_map(|(_, jobs)| jobs.first().copied()).collect()
                }
                (Some(ready), _) => ready.jobs.iter().copied().take(request.limit).collect(),
            }
        };
        let candidates = open.map(|(served, keys)| {
            let mut candidates: Vec<Order> = keys.iter().flat_map(first_of).collect();
            candidates.sort_unstable();
            (served.limit, candidates)
        });
        let mut next = rules::take_turns(candidates.collect(), request.limit);
        next.sort_unstable();
        next.into_iter().map(|(_, id)| id).collect()
    }

    /// The job, if it is due, may run and can be run by the caller.
    fn only(&mut self, id: JobId, request: &AcquireJobs) -> Option<JobId> {
        let entry = self.jobs.rows.get(&id).filter(|entry| entry.is_waiting())?;
        let (_, needed) = rules::read_ready_key(&entry.ready_key)?;
        let can_run = needed.is_met_by(&request.abilities);
        let spec = entry.job.spec.clone();
        (can_run && self.jobs.places.has_room(&spec)).then_some(id)
    }

    fn release_all(&mut self, request: ReleaseJobs) -> Vec<Released> {
        request.releases.into_iter().map(|release| self.release(request.now, release)).collect()
    }

    fn release(&mut self, now: Timestamp, release: ReleaseJob) -> Released {
        if !holds(self.jobs.get(release.id), release.token) {
            return Released::LeaseLost;
        }
        if rules::effects_apply(&release)
            && let Err(refusal) = self.kv.write(&release.effects.kv, now)
        {
            return Released::Refused(refusal);
        }
        let stopped = JobEnd::of(&release).and_then(|end| self.end_for_schedule(&end, now));
        if let Some(call) = release.hook_call() {
            self.call_hook(call, now);
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
            Ending::Requeued { not_before } => *not_before,
            _ => None,
        };
        self.jobs.change(release.id, now, |job| {
            job.usage = release.usage.or(job.usage);
            job.plugin_digest = release.plugin_digest.or(job.plugin_digest);
            job.started_at = release.started_at.or(job.started_at);
            job.progress = release.progress.or_else(|| job.progress.take());
            settle(job, release.ending, now);
            if job.state == JobState::Queued && job.attempt == 0 {
                // Unless the attempt that was given back had begun, the job is bound to no version.
                job.plugin_digest = release.plugin_digest;
            }
        });
        if let Some(not_before) = not_before {
            self.jobs.put_off(release.id, now, not_before);
        }
        Released::stored(stopped)
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
            if job.cancel_requested.is_some() {
                end(job, Outcome::Cancelled, now);
            } else {
                requeue(job, due_at);
            }
        }
        Ending::Requeued { .. } if job.cancel_requested.is_some() => {
            end(job, Outcome::Cancelled, now);
            job.error = None;
        }
        Ending::Requeued { .. } => {
            job.attempt = job.attempt.saturating_sub(1);
            job.started_at = None;
            let due_at = job.spec.due_at;
            requeue(job, due_at);
        }
    }
}

/// Nothing waits in memory, so a line is one more handle.
struct Line(MemoryStore);

#[async_trait]
impl LeaseLine for Line {
    async fn extend(&mut self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError> {
        self.0.job_extend(request).await
    }
}

#[async_trait]
impl JobQueue for MemoryStore {
    async fn job_add(&self, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, StoreError> {
        self.with(|state| {
            let ids: BTreeSet<JobId> = jobs.iter().map(|job| job.id).collect();
            for job in jobs {
                state.jobs.add(job);
            }
            Ok(ids.into_iter().filter(|id| state.jobs.get(*id).is_none()).collect())
        })
    }

    async fn job_add_unique(&self, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, StoreError> {
        let Some(now) = jobs.first().map(|job| self.time(job.created_at).due) else { return Ok(Vec::new()) };
        self.with(|state| Ok(jobs.into_iter().map(|job| state.jobs.add_unique(job, now)).collect()))
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
            let rows = rows.filter(|job| filter.group.is_none() || filter.group == job.spec.settings.group);
            let rows = rows.take(limit + 1).map(|job| Ok(job.clone())).collect();
            Ok(rules::page(rows, limit, |job: &Job| job.spec.id.to_string()))
        })
    }

    async fn job_acquire(&self, request: AcquireJobs) -> Result<AcquiredJobs, StoreError> {
        let now = self.time(request.now);
        self.with(|state| Ok(state.acquire(&request, now)))
    }

    async fn job_extend(&self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError> {
        let lease_until = self.time(request.now).leases.saturating_add(request.lease);
        self.with(|state| {
            let mut answers = Vec::with_capacity(request.leases.len());
            for (id, token) in request.leases {
                let job = state.jobs.rows.get_mut(&id).map(|entry| &mut entry.job);
                let job = job.filter(|job| holds(Some(job), token));
                // The end of a lease is in no index, so the row may change in its place.
                let lost = Extended { id, token, hold: Hold::Lost, cancel_requested: None };
                answers.push(job.map_or(lost, |job| {
                    if let Some(lease) = &mut job.lease {
                        lease.expires_at = lease_until;
                    }
                    Extended { hold: Hold::Extended, cancel_requested: job.cancel_requested, ..lost }
                }));
            }
            Ok(answers)
        })
    }

    fn lease_line(&self) -> Box<dyn LeaseLine> {
        Box::new(Line(self.handle()))
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
        self.with(|state| Ok(state.release_all(request)))
    }

    async fn job_exchange(&self, request: ExchangeJobs) -> Result<ExchangedJobs, StoreError> {
        let ExchangeJobs { release, acquire } = request;
        let now = self.time(acquire.now);
        self.with(|state| {
            Ok(ExchangedJobs { released: state.release_all(release), acquired: state.acquire(&acquire, now) })
        })
    }

    async fn job_cancel(&self, id: JobId, grace: Option<Duration>, now: Timestamp) -> Result<Cancelled, StoreError> {
        self.with(|state| state.jobs.cancel(id, CancelRequest { grace }, now).ok_or_else(|| not_found(id)))
    }

    async fn job_cancel_asked(&self, leases: Vec<(JobId, LeaseToken)>) -> Result<Vec<CancelAsked>, StoreError> {
        self.with(|state| {
            let asked = leases.into_iter().filter_map(|(id, token)| {
                let job = state.jobs.get(id).filter(|job| holds(Some(job), token))?;
                Some(CancelAsked { id, token, request: job.cancel_requested? })
            });
            Ok(asked.collect())
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
                job.cancel_requested = None;
                (job.outcome, job.finished_at, job.expires_at, job.result) = (None, None, None, None);
                job.plugin_digest = None;
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
            let (queued, running) = (state.jobs.queued_all(), state.jobs.running_all() as u64);
            Ok(JobCounts { queued, running, finished: state.jobs.rows.len() as u64 - queued - running })
        })
    }

    async fn queue_list(&self) -> Result<Vec<QueueRow>, StoreError> {
        self.with(|state| {
            let mut counts = QueueCounts::default();
            state.paused_queues.iter().for_each(|queue| counts.pause(queue.clone()));
            state.jobs.due.iter().for_each(|(key, count)| counts.waiting(key, *count));
            for id in state.jobs.running.values().flatten() {
                counts.running(state.jobs.rows.get(id).map_or("", |entry| &entry.ready_key), 1);
            }
            Ok(counts.rows())
        })
    }

    async fn queues_paused(&self) -> Result<Vec<QueueName>, StoreError> {
        self.with(|state| Ok(state.paused_queues.iter().cloned().collect()))
    }

    async fn queue_pause(&self, queue: QueueName, pause: bool) -> Result<bool, StoreError> {
        self.with(|state| {
            let paused = &mut state.paused_queues;
            Ok(if pause { paused.insert(queue) } else { paused.remove(&queue) })
        })
    }
}
