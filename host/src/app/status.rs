//! The state of the whole, and clean-up on request.

use std::time::Duration;

use super::{App, AppResult, Unreads, Unserved};
use crate::config::Role;
use crate::model::limits::PAGE_ROWS_MAX;
use crate::model::{Digest, EventKind, JobId, Outcome, PluginName, ReleasedJob, RolloutState, ScheduleId, Timestamp};
use crate::store::{JobCounts, Recover, ScheduleFilter, SchedulerRow, rules};

/// How things stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Plugins.
    pub plugins: usize,
    /// Tasks.
    pub tasks: usize,
    /// Schedules.
    pub schedules: u64,
    /// Schedules that rest.
    pub schedules_paused: u64,
    /// The earliest time at which a schedule is to be looked at.
    pub next_due: Option<Timestamp>,
    /// Jobs by state.
    pub jobs: JobCounts,
    /// Due jobs that no live worker runs.
    pub unserved: Vec<Unserved>,
    /// The schedulers that were seen lately, and those that stopped.
    pub schedulers: Vec<SchedulerRow>,
    /// What of all this cannot be read; it is counted among the others. Of the schedules only the first thousand are looked at.
    pub unreadable: Unreads,
    /// By how many milliseconds the store's clock is ahead of this host's, where it has one.
    pub store_clock_ahead_ms: Option<i64>,
}

/// How things stand, in numbers that cost the store little.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Jobs by state.
    pub jobs: JobCounts,
    /// Schedules.
    pub schedules: u64,
    /// Those of them that are paused.
    pub schedules_paused: u64,
    /// Schedulers that were seen lately.
    pub schedulers_alive: u64,
    /// How long the schedule that is due for longest waits.
    pub overdue: Duration,
    /// By how many seconds the store's clock is ahead of this host's, where it has one.
    pub store_clock_ahead: Option<f64>,
}

/// What clean-up did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Jobs that were removed with their results and logs.
    pub jobs: Vec<JobId>,
    /// Schedules that were removed because they had ended.
    pub schedules: Vec<ScheduleId>,
    /// Jobs whose worker had vanished and that are queued again.
    pub requeued: Vec<JobId>,
    /// Jobs whose worker had vanished and that ended as abandoned or cancelled.
    pub ended: Vec<JobId>,
}

/// How long a worker's lease must have been over before clean-up on request takes its job back.
const SILENT_AT_LEAST: Duration = Duration::from_secs(15);

/// How much one step of clean-up removes, so that no transaction becomes long.
const STEP_ROWS: usize = 500;

impl App {
    /// How things stand.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn status(&self) -> AppResult<Status> {
        let schedules = self.store.schedule_counts().await?;
        let mut unreadable = Unreads::default();
        let few = ScheduleFilter { limit: PAGE_ROWS_MAX, ..ScheduleFilter::default() };
        unreadable.add_all("schedule", self.store.schedule_list(few).await?.unreadable);
        let store_clock = self.store.store_clock().await?.now;
        let now = self.clock.now();
        let plugins = self.store.plugin_list().await?;
        let plugin_count = plugins.rows.len() + unreadable.add_all("plugin", plugins.unreadable);
        let tasks = self.store.task_list().await?;
        let task_count = tasks.rows.len() + unreadable.add_all("task", tasks.unreadable);
        let schedulers = self.store.scheduler_list().await?;
        unreadable.add_all("scheduler", schedulers.unreadable);
        let workers = alive(schedulers.rows.clone(), self.now().await?);
        Ok(Status {
            plugins: plugin_count,
            tasks: task_count,
            schedules_paused: schedules.paused,
            schedules: schedules.all,
            next_due: self.store.schedule_next_due().await?,
            jobs: self.store.job_counts().await?,
            unserved: self.unserved(&workers).await?,
            schedulers: schedulers.rows,
            unreadable,
            store_clock_ahead_ms: store_clock.map(|store| (store.as_micros() - now.as_micros()) / 1_000),
        })
    }

    /// How things stand, in numbers that cost the store little.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn figures(&self) -> AppResult<Figures> {
        let store_clock = self.store.store_clock().await?.now;
        let host_clock = self.clock.now();
        let now = self.now().await?;
        let schedules = self.store.schedule_counts().await?;
        let next_due = self.store.schedule_next_due().await?;
        let schedulers = self.store.scheduler_list().await?.rows;
        let ahead = |store: Timestamp| match store >= host_clock {
            true => store.saturating_since(host_clock).as_secs_f64(),
            false => -host_clock.saturating_since(store).as_secs_f64(),
        };
        Ok(Figures {
            jobs: self.store.job_counts().await?,
            schedules: schedules.all,
            schedules_paused: schedules.paused,
            schedulers_alive: schedulers.iter().filter(|row| rules::is_alive(row, now)).count() as u64,
            overdue: next_due.map_or(Duration::ZERO, |due| now.saturating_since(due)),
            store_clock_ahead: store_clock.map(ahead),
        })
    }

    /// Jobs by state.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn job_counts(&self) -> AppResult<JobCounts> {
        Ok(self.store.job_counts().await?)
    }

    /// Asks the store for next to nothing.
    ///
    /// # Errors
    /// Those of the store, which cannot be reached.
    pub async fn store_answers(&self) -> AppResult<()> {
        self.store.store_clock().await?;
        Ok(())
    }

    /// The schedulers that live and run jobs, as far as the store knows.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn workers_alive(&self) -> AppResult<Vec<SchedulerRow>> {
        let now = self.now().await?;
        Ok(alive(self.store.scheduler_list().await?.rows, now))
    }

    /// Takes back what vanished workers left, then removes expired jobs and ended schedules, until nothing is left to do.
    ///
    /// # Errors
    /// Those of the store; what was done before is done.
    pub async fn cleanup(&self) -> AppResult<Cleaned> {
        let mut cleaned = Cleaned::default();
        let (time, now) = (self.store.store_clock().await?, self.now().await?);
        // Where everything stood still a moment ago, the living must be heard before they are taken for dead.
        let over_at = time.leases.unwrap_or(now).saturating_sub(SILENT_AT_LEAST);
        loop {
            let request = Recover { now, over_at, spared: Vec::new(), holder: None, limit: STEP_ROWS };
            let recovered = self.store.recover(request).await?;
            let mut events: Vec<EventKind> = recovered.returned.iter().map(rollout_returned).collect();
            let mut step = recovered.unreadable.len();
            for (jobs, outcome) in [
                (&recovered.requeued, None),
                (&recovered.abandoned, Some(Outcome::Abandoned)),
                (&recovered.cancelled, Some(Outcome::Cancelled)),
            ] {
                step += jobs.len();
                for job in jobs {
                    let task_id = job.task_id.clone();
                    events.push(ReleasedJob::new(job.id, task_id, outcome).into());
                    if outcome.is_some() { cleaned.ended.push(job.id) } else { cleaned.requeued.push(job.id) }
                }
            }
            self.publish(events).await;
            if step == 0 {
                break;
            }
        }
        loop {
            let step = self.store.cleanup(now, STEP_ROWS).await?;
            let mut events: Vec<_> = step.jobs.iter().map(|id| EventKind::JobRemoved { job_id: *id }).collect();
            events.extend(step.schedules.iter().map(|ended| EventKind::ScheduleRemoved {
                schedule_id: ended.id.clone(),
                task_id: ended.task_id.clone(),
                finished: true,
            }));
            self.publish(events).await;
            cleaned.jobs.extend(step.jobs);
            cleaned.schedules.extend(step.schedules.into_iter().map(|ended| ended.id));
            if !step.has_more {
                return Ok(cleaned);
            }
        }
    }
}

/// Those that live and run jobs.
fn alive(mut schedulers: Vec<SchedulerRow>, now: Timestamp) -> Vec<SchedulerRow> {
    schedulers.retain(|row| row.role.parse().is_ok_and(Role::runs_jobs) && rules::is_alive(row, now));
    schedulers
}

fn rollout_returned((plugin, digest): &(PluginName, Digest)) -> EventKind {
    EventKind::PluginRolloutChanged { plugin: plugin.clone(), digest: *digest, state: RolloutState::Returned }
}
