//! Recovery and clean-up in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::jobs::{end, requeue};
use super::{MemoryStore, State};
use crate::ends::JobEnd;
use crate::model::{JobId, Outcome, QueueName, SchedulerId, Timestamp};
use crate::{
    CleanedUp, EndedJob, Housekeeping, Page, PutScheduler, Recover, Recovered, SchedulerPut, SchedulerRow, StoreError,
    StoreTime, TrimHistory, rules,
};

impl State {
    /// Has jobs that no live worker would claim leave their places to others, up to a bound.
    fn park(&mut self, now: Timestamp) {
        let schedulers: Vec<SchedulerRow> = self.schedulers.values().cloned().collect();
        let paused: Vec<QueueName> = self.paused_queues.iter().cloned().collect();
        let known = self.jobs.places.ready.keys();
        let unserved = known.filter(|key| rules::is_unserved(key, &schedulers, &paused, now));
        let unserved: BTreeSet<Arc<str>> = unserved.cloned().collect();
        for _ in 0..rules::PARK_ROUNDS_MAX {
            let idle = self.jobs.places.idle(&unserved);
            if idle.is_empty() {
                return;
            }
            idle.into_iter().for_each(|id| self.jobs.park(id, true));
        }
    }

    /// How many jobs each worker runs.
    fn running_of(&self) -> HashMap<SchedulerId, usize> {
        let mut running = HashMap::new();
        for lease in self.jobs.running.values().flatten().filter_map(|id| self.jobs.get(*id)?.lease.as_ref()) {
            *running.entry(lease.holder.clone()).or_default() += 1;
        }
        running
    }

    /// Takes back a job whose worker vanished.
    fn recover_job(&mut self, id: JobId, was_alone: bool, now: Timestamp, recovered: &mut Recovered) {
        let ran = self.settle_crashed(id);
        let (mut pause, mut is_to_blame) = (Duration::ZERO, false);
        let fate = self.jobs.change(id, now, |job| {
            if let Some(lease) = &job.lease {
                job.error = Some(rules::crash_error(&lease.holder));
            }
            job.crashes += 1;
            let settings = &job.spec.settings;
            let crash = rules::Crash { attempt: job.attempt, crashes: job.crashes, was_alone };
            let survives = rules::survives_crash(crash, settings.max_attempts, settings.crash_retries);
            pause = rules::pause_after_crash(job.crashes);
            is_to_blame = rules::is_to_blame(crash);
            let outcome = match (job.cancel_requested.is_some(), survives) {
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
            Some((None, job)) => {
                self.jobs.put_off(id, now, now.saturating_add(pause));
                recovered.requeued.push(job);
            }
            None => {}
        }
        let schedule = self.jobs.get(id).filter(|job| job.outcome == Some(Outcome::Abandoned));
        if let Some(schedule) = schedule.and_then(|job| job.spec.concerned()) {
            let end = JobEnd { id, schedule: &schedule, outcome: Outcome::Abandoned };
            recovered.stopped.extend(self.end_for_schedule(&end, now));
        }
        if self.jobs.get(id).is_some_and(|job| job.outcome == Some(Outcome::Abandoned)) {
            recovered.hooked.extend(self.call_hook_of(id, now));
        }
        if let Some(version) = ran.filter(|_| is_to_blame) {
            self.count_crash(version, now, recovered);
        }
    }
}

#[async_trait]
impl Housekeeping for MemoryStore {
    async fn recover(&self, request: Recover) -> Result<Recovered, StoreError> {
        // Where the clock was set back after it was read, leases of the new time look as if they had been over then.
        let now = self.time(request.now);
        let over_at = now.leases.min(request.over_at);
        self.with(|state| {
            let dead = |id: &JobId| {
                let lease = state.jobs.get(*id).and_then(|job| job.lease.as_ref());
                lease.is_some_and(|lease| lease.expires_at <= over_at || Some(&lease.holder) == request.holder.as_ref())
            };
            let running = state.jobs.running.values().flatten().copied();
            let mut ids: Vec<JobId> = running.filter(|id| !request.spared.contains(id)).filter(dead).collect();
            ids.sort_unstable();
            ids.truncate(request.limit);
            let running = state.running_of();
            let mut recovered = Recovered::default();
            for id in ids {
                let holder = state.jobs.get(id).and_then(|job| Some(&job.lease.as_ref()?.holder));
                let was_alone = holder.and_then(|holder| running.get(holder)).is_none_or(|jobs| *jobs <= 1);
                state.recover_job(id, was_alone, request.now, &mut recovered);
            }
            state.park(now.due);
            recovered.schedules = state.schedules.recover(over_at, request.holder.as_ref());
            Ok(recovered)
        })
    }

    async fn cleanup(&self, now: Timestamp, limit: usize) -> Result<CleanedUp, StoreError> {
        self.with(|state| {
            let (jobs, has_more_jobs) = state.jobs.cleanup(now, limit);
            let (schedules, has_more_schedules) = state.schedules.cleanup(limit, |id| state.jobs.has_schedule(id));
            let heard_of = now.saturating_sub(rules::SCHEDULERS_KEPT);
            state.schedulers.retain(|_, row| row.seen_at >= heard_of);
            let has_more = has_more_jobs || has_more_schedules;
            Ok(CleanedUp { jobs, schedules, has_more })
        })
    }

    async fn trim_history(&self, request: TrimHistory) -> Result<Option<String>, StoreError> {
        self.with(|state| Ok(state.schedules.trim(&request)))
    }

    async fn scheduler_put(&self, request: PutScheduler) -> Result<SchedulerPut, StoreError> {
        self.with(|state| {
            if let Some(there) =
                state.schedulers.get(&request.scheduler.id).filter(|there| rules::is_another(there, &request))
            {
                return Ok(SchedulerPut::Taken(there.clone()));
            }
            state.schedulers.insert(request.scheduler.id.clone(), request.scheduler);
            Ok(SchedulerPut::Stored)
        })
    }

    async fn scheduler_list(&self) -> Result<Page<SchedulerRow>, StoreError> {
        self.with(|state| Ok(Page::whole(state.schedulers.values().cloned().map(Ok))))
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.with(|_| Ok(()))
    }

    async fn store_clock(&self) -> Result<StoreTime, StoreError> {
        self.with(|_| Ok(self.shown()))
    }

    async fn close(&self) {
        self.closed.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
