//! Recovery and clean-up.

use async_trait::async_trait;

use super::encoding::Encode as _;
use super::jobs::{LockedJob, lock};
use super::query::q;
use super::release::Requeue;
use super::tx::{Fault, Tx};
use super::value::{Arg, args, list, values};
use super::{SqlStore, acquire, read_with, row, write_with};
use crate::model::{JobId, JobSettings, Outcome, Timestamp};
use crate::store::{
    CleanedUp, EndedJob, EndedSchedule, Housekeeping, Recover, Recovered, SchedulerRow, StoreError, rules,
};

async fn recover(tx: &mut Tx, request: &Recover) -> Result<Recovered, Fault> {
    let Recover { now, holder, limit } = request;
    let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
    let rows = tx.fetch(q::job_expired_select, args![*now, holder.as_ref(), limit]).await?;
    let ids = rows.into_iter().map(|mut row| row.job_id()).collect::<Result<Vec<_>, _>>()?;
    let (mut recovered, mut ended, mut requeued) = (Recovered::default(), Vec::new(), Vec::new());
    for job in lock(tx, ids).await? {
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
    // Settings that cannot be read allow nothing: whoever would acquire the job could not read them either.
    let settings = JobSettings::from_json(&job.settings).ok();
    let survives = settings.is_some_and(|settings| {
        rules::survives_crash(job.attempt, job.crashes, settings.max_attempts, settings.crash_retries)
    });
    (!survives).then_some(Outcome::Abandoned)
}

async fn cleanup(tx: &mut Tx, &(now, limit): &(Timestamp, usize)) -> Result<CleanedUp, Fault> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = tx.fetch(q::job_gone_select, args![now, limit]).await?;
    let jobs = rows.into_iter().map(|mut row| row.job_id()).collect::<Result<Vec<JobId>, _>>()?;
    for ids in jobs.chunks(1_000) {
        tx.execute(q::job_log_delete, vec![list(ids.iter().copied())]).await?;
        tx.execute(q::job_delete, vec![list(ids.iter().copied())]).await?;
    }
    let mut schedules = Vec::new();
    for mut row in tx.fetch(q::schedule_finished_select, args![limit]).await? {
        schedules.push(EndedSchedule { id: row.schedule_id()?, task_id: row.task_id()? });
    }
    for ended in schedules.chunks(1_000) {
        tx.execute(q::schedule_delete, vec![list(ended.iter().map(|schedule| &schedule.id))]).await?;
    }
    tx.execute(q::scheduler_delete_silent, args![now.saturating_sub(rules::SCHEDULERS_KEPT)]).await?;
    Ok(CleanedUp { jobs, schedules })
}

async fn put(tx: &mut Tx, row: &SchedulerRow) -> Result<(), Fault> {
    let SchedulerRow { id, role, started_at, seen_at, stopped_at, memory } = row;
    let memory = memory.map(|memory| memory.to_json());
    let row = values![id, role.as_str(), *started_at, *seen_at, *stopped_at, memory];
    tx.execute(q::scheduler_put, vec![Arg::Rows(vec![row])]).await.map(|_| ())
}

async fn schedulers(tx: &mut Tx) -> Result<Vec<SchedulerRow>, Fault> {
    let rows = tx.fetch(q::scheduler_list, Vec::new()).await?;
    Ok(rows.into_iter().map(row::scheduler).collect::<Result<_, _>>()?)
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

    async fn scheduler_list(&self) -> Result<Vec<SchedulerRow>, StoreError> {
        read_with!(self, "scheduler_list", schedulers,)
    }

    async fn store_clock(&self) -> Result<Option<Timestamp>, StoreError> {
        read_with!(self, "store_clock", clock,)
    }

    async fn close(&self) {
        self.shut().await;
    }
}
