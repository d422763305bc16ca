//! Jobs for fire times of a schedule that have passed.

use std::num::NonZeroU32;

use super::jobs::job_settings;
use super::schedules::stored_trigger;
use super::{App, AppError, AppResult};
use crate::model::{EventKind, JobId, JobSpec, Parallelism, Schedule, ScheduleId, Task, Timestamp};
use crate::trigger::Fire;

/// Most jobs of one backfill.
pub const BACKFILL_MAX: usize = 10_000;

/// Most jobs that are queued with one call of the store.
const CHUNK_JOBS_MAX: usize = 500;

/// The fire times for which jobs are to be made.
#[derive(Debug, Clone)]
pub struct Backfill {
    /// The first that counts.
    pub from: Timestamp,
    /// The last that counts. Those from now on are the schedule's own.
    pub to: Timestamp,
    /// At most so many of them, the earliest ones; 1 to [`BACKFILL_MAX`].
    pub limit: usize,
    /// How many of the jobs may run at once, over all schedulers; `None`: as many as the task allows.
    pub max_running: Option<NonZeroU32>,
    /// Answer the fire times, and queue nothing.
    pub dry_run: bool,
}

/// What a backfill came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfilled {
    /// The fire times that were looked at.
    pub fires: Vec<Fire>,
    /// The jobs that were queued.
    pub jobs: Vec<JobId>,
    /// How many of the fire times had a job already.
    pub had_job: usize,
    /// The first fire time beyond the limit, where there are more.
    pub next: Option<Fire>,
}

impl App {
    /// Queues jobs for past fire times of a schedule by its rule, also for those before its beginning, see
    /// [`reaching_back`](crate::trigger::Trigger::reaching_back). They are due at once, whether the schedule is paused or not, in the order of their fire times, and have no start
    /// deadline. A fire time that has a job gets no second one. How the jobs end neither pauses nor finishes the schedule.
    ///
    /// # Errors
    /// [`AppError::NotFound`] for the schedule and its task; [`AppError::Invalid`] where no time between the two has passed, or the limit is
    /// none; [`AppError::Refused`] where it cannot be bounded how many of the jobs run at once. Those of the store: what was queued before
    /// stays, and asking again queues the rest.
    pub async fn schedule_backfill(&self, id: &ScheduleId, request: &Backfill) -> AppResult<Backfilled> {
        let Backfill { from, to, limit, max_running, dry_run } = *request;
        if !(1..=BACKFILL_MAX).contains(&limit) {
            return Err(AppError::invalid(format!("the limit is {limit}, and may be 1 to {BACKFILL_MAX}")));
        }
        if from > to {
            return Err(AppError::invalid(format!("the first fire time, {from}, is after the last one, {to}")));
        }
        let schedule = self.schedule_get(id).await?;
        let now = self.now().await?;
        if from >= now {
            return Err(AppError::invalid(format!("{from} has not passed yet"))
                .with_hint("from now on the schedule fires by itself; `host schedules run` queues a job now"));
        }
        let (fires, next) = past_fires(&schedule, from, to, now, limit)?;
        let mut done = Backfilled { fires, jobs: Vec::new(), had_job: 0, next };
        let task = self.task_resolve(schedule.task_id.as_str()).await?.task;
        let keys = max_running.map(|max| keys(&schedule, &task, max)).transpose()?;
        if dry_run {
            return Ok(done);
        }
        let jobs: Vec<JobSpec> = done
            .fires
            .iter()
            .enumerate()
            .map(|(place, fire)| {
                self.backfill_job(&schedule, &task, *fire, now, keys.as_ref().map(|keys| &keys[place % keys.len()]))
            })
            .collect();
        for chunk in jobs.chunks(CHUNK_JOBS_MAX) {
            let left_out = self.store.job_add(chunk.to_vec()).await?;
            let queued = chunk.iter().map(|job| job.id).filter(|job| !left_out.contains(job));
            let queued: Vec<JobId> = queued.collect();
            let event = |job_id: &JobId| EventKind::JobAdded {
                job_id: *job_id,
                task_id: task.id.clone(),
                schedule_id: Some(schedule.id.clone()),
            };
            self.publish(queued.iter().map(event).collect()).await;
            done.had_job += left_out.len();
            done.jobs.extend(queued);
        }
        Ok(done)
    }

    fn backfill_job(
        &self,
        schedule: &Schedule,
        task: &Task,
        fire: Fire,
        now: Timestamp,
        key: Option<&String>,
    ) -> JobSpec {
        let mut settings = job_settings(&schedule.settings.over(&task.layered()), &schedule.args);
        settings.backfill = true;
        (settings.pause_after, settings.until_success) = (None, false);
        settings.concurrency_key = key.cloned().or(settings.concurrency_key);
        JobSpec {
            schedule_id: Some(schedule.id.clone()),
            schedule_life: schedule.life,
            scheduled_fire_time: Some(fire.at),
            ..JobSpec::direct(self.next_job_id(), task.id.clone(), schedule.args.clone(), settings, now)
        }
    }
}

/// The fire times of a schedule from `from` to `to` and before `now`, and the first one beyond the limit.
fn past_fires(
    schedule: &Schedule,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
    limit: usize,
) -> AppResult<(Vec<Fire>, Option<Fire>)> {
    let trigger = stored_trigger(schedule)?.0.reaching_back(from);
    let mut state = trigger.initial_state();
    trigger.skip_to(&mut state, from)?;
    let mut fires = Vec::new();
    while let Some(fire) = trigger.next(&mut state)?.filter(|fire| fire.at <= to && fire.at < now) {
        if fires.len() == limit {
            return Ok((fires, Some(fire)));
        }
        fires.push(fire);
    }
    Ok((fires, None))
}

/// The concurrency keys that the jobs share in turn, so that no more than `max` of them run at once: the number of running jobs is bounded for
/// each key by a setting of the task.
fn keys(schedule: &Schedule, task: &Task, max: NonZeroU32) -> AppResult<Vec<String>> {
    let settings = schedule.settings.over(&task.layered()).resolve();
    if let Some(key) = &settings.concurrency_key {
        let what =
            format!("the jobs share a concurrency key already, `{key}`, which bounds how many of them run at once");
        return Err(AppError::refused(what).with_hint("leave out --max-running"));
    }
    let way_out = format!("`host tasks configure {} --max-running-per-key 1` bounds it", task.id);
    let per_key = match settings.max_running_per_key {
        Parallelism::AtMost(per_key) if per_key <= max => per_key,
        Parallelism::AtMost(_) | Parallelism::Unlimited => {
            let what = format!("the task `{}` runs more jobs at once for one concurrency key than {max}", task.id);
            return Err(AppError::refused(what).with_hint(way_out));
        }
    };
    let life = schedule.life.as_number();
    // More keys than there can be jobs would bound nothing more.
    let count = (max.get() / per_key.get()).min(u32::try_from(BACKFILL_MAX).unwrap_or(u32::MAX));
    Ok((0..count).map(|number| format!("backfill {life} {number}")).collect())
}
