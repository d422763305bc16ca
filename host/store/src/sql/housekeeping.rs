//! Recovery and clean-up.

use async_trait::async_trait;

use super::encoding::Encode as _;
use super::jobs::{LockedJob, ended_unread, lock_each};
use super::query::q;
use super::release::Requeue;
use super::tx::{Fault, Tx};
use super::value::{Arg, args, list, values};
use super::{SqlStore, acquire, read_with, row, write_with};
use crate::model::{JobId, JobSettings, Outcome, Timestamp};
use crate::store::{
    CleanedUp, EndedJob, EndedSchedule, Housekeeping, Page, Recover, Recovered, SchedulerRow, StoreError, rules,
};

async fn recover(tx: &mut Tx, request: &Recover) -> Result<Recovered, Fault> {
    let Recover { now, holder, limit } = request;
    let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
    let rows = tx.fetch(q::job_expired_select, args![*now, holder.as_ref(), limit]).await?;
    let ids = rows.into_iter().filter_map(|mut row| row.job_id().ok());
    let (mut recovered, mut ended, mut requeued) = (Recovered::default(), Vec::new(), Vec::new());
    for locked in lock_each(tx, ids).await? {
        let job = match locked {
            Ok(job) => job,
            Err(bad) => {
                let Ok(id) = bad.id.parse() else { continue };
                ended.push(ended_unread(id, *now, acquire::unreadable_error(&bad.defect)));
                recovered.unreadable.push(bad);
                continue;
            }
        };
        let job = LockedJob { crashes: job.crashes + 1, ..job };
        let ended_job = EndedJob { id: job.id, task_id: job.task_id.clone() };
        let error = job.holder.as_ref().map(rules::crash_error);
        match fate(&job) {
            Some(outcome) => {
                let text = error.map(|error| error.to_json());
                ended.push(job.ended(outcome, *now, text));
                let answers =
                    if outcome == Outcome::Cancelled { &mut recovered.cancelled } else { &mut recovered.abandoned };
                answers.push(ended_job);
            }
            None => {
                let requeue = Requeue { due_at: *now, now: *now, error: error.as_ref(), ..Requeue::of(&job) };
                requeued.push(requeue.row(&job));
                recovered.requeued.push(ended_job);
            }
        }
    }
    tx.execute_rows(q::job_end, ended).await?;
    tx.execute_rows(q::job_requeue, requeued).await?;
    acquire::repartition_lost(tx).await?;
    recovered.schedules = tx.execute(q::schedule_free, args![*now, holder.as_ref()]).await?;
    Ok(recovered)
}

/// How a job whose worker vanished ends; `None` where it is queued again.
fn fate(job: &LockedJob) -> Option<Outcome> {
    if job.cancel_requested {
        return Some(Outcome::Cancelled);
    }
    let survives = match JobSettings::from_json(&job.settings) {
        Ok(settings) => rules::survives_crash(job.attempt, job.crashes, settings.max_attempts, settings.crash_retries),
        // How often it may be tried is for those to say who can read it; in the queue they find it.
        Err(defect) => defect.is_newer(),
    };
    (!survives).then_some(Outcome::Abandoned)
}

async fn cleanup(tx: &mut Tx, &(now, limit): &(Timestamp, usize)) -> Result<CleanedUp, Fault> {
    // What fits comfortably into one statement of every database.
    let limit = limit.min(1_000);
    let limit_rows = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = tx.fetch(q::job_gone_select, args![now, limit_rows]).await?;
    let mut gone: Vec<JobId> = rows.into_iter().filter_map(|mut row| row.job_id().ok()).collect();
    gone.sort_unstable();
    let has_more_jobs = gone.len() == limit;
    let jobs = remove_jobs(tx, gone.clone()).await?;
    let schedules = remove_schedules(tx, limit_rows).await?;
    tx.execute(q::scheduler_delete_silent, args![now.saturating_sub(rules::SCHEDULERS_KEPT)]).await?;
    let has_more = has_more_jobs || jobs.len() < gone.len() || schedules.len() == limit;
    Ok(CleanedUp { jobs, schedules, has_more })
}

/// Removes jobs, in order, with their log lines, as far as the bound on those goes; of the next one the lines that it still allows.
async fn remove_jobs(tx: &mut Tx, mut jobs: Vec<JobId>) -> Result<Vec<JobId>, Fault> {
    if jobs.is_empty() {
        return Ok(jobs);
    }
    let lines_max = i64::try_from(rules::LOG_LINES_REMOVED_MAX).unwrap_or(i64::MAX);
    let mut arguments = vec![list(jobs.iter().copied())];
    arguments.extend(args![lines_max]);
    let mut lines = tx.fetch(q::job_log_key_list, arguments).await?;
    if lines.len() >= rules::LOG_LINES_REMOVED_MAX
        && let Some(mut last) = lines.pop()
    {
        let (owner, attempt, sequence) = (last.job_id()?, last.int()?, last.int()?);
        tx.execute(q::job_log_delete_to, args![owner, attempt, attempt, sequence]).await?;
        // There may be more lines of this job; then they come with the next call, and the job with them.
        jobs.retain(|id| *id < owner);
    }
    if !jobs.is_empty() {
        tx.execute(q::job_log_delete, vec![list(jobs.iter().copied())]).await?;
        tx.execute(q::job_delete, vec![list(jobs.iter().copied())]).await?;
    }
    Ok(jobs)
}

/// Removes schedules that are over. What cannot be read may not be over for those who can read it.
async fn remove_schedules(tx: &mut Tx, limit: i64) -> Result<Vec<EndedSchedule>, Fault> {
    let rows = tx.fetch(q::schedule_finished_select, args![limit]).await?;
    let ids: Vec<String> = rows.into_iter().filter_map(|mut row| row.text().ok()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.fetch(q::schedule_select, vec![list(ids)]).await?;
    let readable = rows.into_iter().filter_map(|row| row::schedule(row).ok());
    let ended: Vec<_> = readable.map(|over| EndedSchedule { id: over.id, task_id: over.task_id }).collect();
    if !ended.is_empty() {
        tx.execute(q::schedule_delete, vec![list(ended.iter().map(|schedule| &schedule.id))]).await?;
    }
    Ok(ended)
}

async fn put(tx: &mut Tx, row: &SchedulerRow) -> Result<(), Fault> {
    let SchedulerRow { id, role, started_at, seen_at, stopped_at } = row;
    let row = values![id, role.as_str(), *started_at, *seen_at, *stopped_at];
    tx.execute(q::scheduler_put, vec![Arg::Rows(vec![row])]).await.map(|_| ())
}

async fn schedulers(tx: &mut Tx) -> Result<Page<SchedulerRow>, Fault> {
    Ok(Page::whole(tx.fetch(q::scheduler_list, Vec::new()).await?.into_iter().map(row::scheduler)))
}

/// Takes a lock that writers take.
async fn check(tx: &mut Tx, (): &()) -> Result<(), Fault> {
    super::catalog::lock(tx).await
}

async fn clock(tx: &mut Tx) -> Result<Option<Timestamp>, Fault> {
    let row = tx.fetch_one(q::clock, Vec::new()).await?;
    Ok(row.map(|mut row| row.maybe_time()).transpose()?.flatten())
}

#[async_trait]
impl Housekeeping for SqlStore {
    async fn recover(&self, request: Recover) -> Result<Recovered, StoreError> {
        write_with!(self, "recover", request, recover)
    }

    async fn cleanup(&self, now: Timestamp, limit: usize) -> Result<CleanedUp, StoreError> {
        write_with!(self, "cleanup", (now, limit), cleanup)
    }

    async fn scheduler_put(&self, scheduler: SchedulerRow) -> Result<(), StoreError> {
        write_with!(self, "scheduler_put", scheduler, put)
    }

    async fn scheduler_list(&self) -> Result<Page<SchedulerRow>, StoreError> {
        read_with!(self, "scheduler_list", schedulers,)
    }

    async fn check(&self) -> Result<(), StoreError> {
        write_with!(self, "check", (), check)
    }

    async fn store_clock(&self) -> Result<Option<Timestamp>, StoreError> {
        read_with!(self, "store_clock", clock,)
    }

    async fn close(&self) {
        self.shut().await;
    }
}
