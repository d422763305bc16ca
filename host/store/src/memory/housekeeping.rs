//! Recovery and clean-up in memory.

use async_trait::async_trait;

use super::jobs::{end, requeue};
use super::{MemoryStore, State};
use crate::model::{JobId, Outcome, Timestamp};
use crate::store::{CleanedUp, EndedJob, Housekeeping, Page, Recover, Recovered, SchedulerRow, StoreError, rules};

impl State {
    /// Takes back a job whose worker vanished.
    fn recover_job(&mut self, id: JobId, now: Timestamp, recovered: &mut Recovered) {
        let fate = self.jobs.change(id, now, |job| {
            if let Some(lease) = &job.lease {
                job.error = Some(rules::crash_error(&lease.holder));
            }
            job.crashes += 1;
            let settings = &job.spec.settings;
            let survives =
                rules::survives_crash(job.attempt, job.crashes, settings.max_attempts, settings.crash_retries);
            let outcome = match (job.cancel_requested, survives) {
                (true, _) => Some(Outcome::Cancelled),
                (false, false) => Some(Outcome::Abandoned),
                (false, true) => None,
            };
            match outcome {
                Some(outcome) => end(job, outcome, now),
                None => requeue(job, now),
            }
            (outcome, EndedJob { id, task_id: job.spec.task_id.clone() })
        });
        match fate {
            Some((Some(Outcome::Cancelled), job)) => recovered.cancelled.push(job),
            Some((Some(_), job)) => recovered.abandoned.push(job),
            Some((None, job)) => recovered.requeued.push(job),
            None => {}
        }
    }
}

#[async_trait]
impl Housekeeping for MemoryStore {
    async fn recover(&self, request: Recover) -> Result<Recovered, StoreError> {
        self.with(|state| {
            let dead = |id: &JobId| {
                let lease = state.jobs.get(*id).and_then(|job| job.lease.as_ref());
                lease.is_some_and(|lease| {
                    lease.expires_at <= request.now || Some(&lease.holder) == request.holder.as_ref()
                })
            };
            let mut ids: Vec<JobId> = state.jobs.running.values().flatten().copied().filter(dead).collect();
            ids.sort_unstable();
            ids.truncate(request.limit);
            let mut recovered = Recovered::default();
            for id in ids {
                state.recover_job(id, request.now, &mut recovered);
            }
            recovered.schedules = state.schedules.recover(request.now, request.holder.as_ref());
            Ok(recovered)
        })
    }

    async fn cleanup(&self, now: Timestamp, limit: usize) -> Result<CleanedUp, StoreError> {
        self.with(|state| {
            let (jobs, has_more_jobs) = state.jobs.cleanup(now, limit);
            let schedules = state.schedules.cleanup(limit, |id| state.jobs.has_schedule(id));
            let heard_of = now.saturating_sub(rules::SCHEDULERS_KEPT);
            state.schedulers.retain(|_, row| row.seen_at >= heard_of);
            let has_more = has_more_jobs || schedules.len() == limit;
            Ok(CleanedUp { jobs, schedules, has_more })
        })
    }

    async fn scheduler_put(&self, scheduler: SchedulerRow) -> Result<(), StoreError> {
        self.with(|state| {
            state.schedulers.insert(scheduler.id.clone(), scheduler);
            Ok(())
        })
    }

    async fn scheduler_list(&self) -> Result<Page<SchedulerRow>, StoreError> {
        self.with(|state| Ok(Page::whole(state.schedulers.values().cloned().map(Ok))))
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.with(|_| Ok(()))
    }

    async fn store_clock(&self) -> Result<Option<Timestamp>, StoreError> {
        self.with(|_| Ok(None))
    }

    async fn close(&self) {
        self.closed.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
