//! Recovery and clean-up.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;

use super::job_rows::{LockedJob, Requeue, ended_unread, leave_unread, lock_each, unreadable_error};
use super::{ends, hooks, ledger, rollouts, versions};
use crate::model::{JobId, JobSettings, Outcome, SchedulerId, Timestamp};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::{Encode as _, Work};
use crate::sql::places::{self, Touched};
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{Arg, args, list, values};
use crate::sql::time::Time;
use crate::sql::{SqlStore, read_with, write_with};
use crate::{
    CleanedUp, EndedJob, EndedSchedule, Housekeeping, Page, PutScheduler, Recover, Recovered, SchedulerPut,
    SchedulerRow, StoreError, StoreTime, TrimHistory, rules,
};

async fn recover(tx: &mut Tx, (time, request): &(Arc<Time>, Recover)) -> Result<Recovered, Fault> {
    let Recover { now, over_at, holder, .. } = request;
    // Where the clock was set back after it was read, leases of the new time look as if they had been over then.
    let time = time.now(tx, *now).await?;
    let over_at = time.leases.min(*over_at);
    let ids = expired(tx, request, over_at).await?;
    let (mut recovered, mut ended, mut requeued) = (Recovered::default(), Vec::new(), Vec::new());
    let (mut unread, mut concerned, mut hooked, mut touched) = (Vec::new(), Vec::new(), Vec::new(), Touched::default());
    if !ids.is_empty() {
        // Which version a job has begun with follows from the catalogue, which is locked before jobs, as by whoever changes it.
        super::catalog_rows::lock(tx).await?;
    }
    let locked = lock_each(tx, ids.iter().copied()).await?;
    let (ran, mut to_blame) = (versions::settle_crashed(tx, &ids).await?, Vec::new());
    let running = running_of(tx, locked.iter().flatten().filter_map(|job| job.holder.clone()).collect()).await?;
    for locked in locked {
        let job = match locked {
            Ok(job) => job,
            Err(bad) => {
                let Ok(id) = bad.id.parse() else { continue };
                ended.push(ended_unread(id, *now, unreadable_error(&bad.defect)));
                unread.push(id);
                recovered.unreadable.push(bad);
                continue;
            }
        };
        let job = LockedJob { crashes: job.crashes + 1, ..job };
        let ended_job = EndedJob { id: job.id, task_id: job.task_id.clone() };
        let error = job.holder.as_ref().map(rules::crash_error);
        let was_alone = job.holder.as_ref().and_then(|holder| running.get(holder)).is_none_or(|jobs| *jobs <= 1);
        let crash = rules::Crash { attempt: job.attempt, crashes: job.crashes, was_alone };
        to_blame.extend(ran.get(&job.id).filter(|_| rules::is_to_blame(crash)).cloned());
        match fate(&job, crash) {
            Some(outcome) => {
                if outcome == Outcome::Abandoned && concerns_schedule(&job) {
                    concerned.push(job.id);
                }
                if outcome == Outcome::Abandoned && hooks::has_hooks(&job.settings) {
                    hooked.push(job.id);
                }
                job.leave(&mut touched);
                let text = error.map(|error| error.to_json());
                ended.push(job.ended(outcome, *now, text));
                let answers =
                    if outcome == Outcome::Cancelled { &mut recovered.cancelled } else { &mut recovered.abandoned };
                answers.push(ended_job);
            }
            None => {
                let not_before = Some(now.saturating_add(rules::pause_after_crash(job.crashes)));
                let requeue =
                    Requeue { due_at: *now, now: *now, not_before, error: error.as_ref(), ..Requeue::of(&job) };
                requeued.push(requeue.place(&job, &mut touched));
                recovered.requeued.push(ended_job);
            }
        }
    }
    leave_unread(tx, unread, &mut touched).await?;
    tx.execute_rows(q::job_end, ended).await?;
    tx.execute_rows(q::job_requeue, requeued).await?;
    recovered.stopped = ends::abandoned(tx, concerned, *now).await?;
    recovered.hooked = hooks::ended(tx, hooked, Outcome::Abandoned, *now, &mut touched).await?;
    recovered.returned = rollouts::count_crashes(tx, to_blame, *now).await?;
    places::settle(tx, touched).await?;
    if holder.is_some() {
        // Once in the life of each scheduler: nothing but a fault of this program, or of a hand in the database, makes it necessary.
        places::mend(tx).await?;
    }
    places::park(tx, time.due).await?;
    recovered.schedules = tx.execute(q::schedule_free, args![over_at, holder.as_ref()]).await?;
    Ok(recovered)
}

/// The jobs to take back: those whose lease is over, without those that are spared.
async fn expired(tx: &mut Tx, request: &Recover, over_at: Timestamp) -> Result<Vec<JobId>, Fault> {
    let Recover { holder, spared, limit, .. } = request;
    let spared: HashSet<JobId> = spared.iter().copied().collect();
    // However many of those that are found are spared, as many as may be are left.
    let rows_max = i64::try_from(limit.saturating_add(spared.len())).unwrap_or(i64::MAX);
    let mut ids = Vec::new();
    for mut row in tx.fetch(q::job_expired_select, args![over_at, holder.as_ref(), rows_max]).await? {
        ids.extend(row.job_id().ok().filter(|id| !spared.contains(id)));
    }
    ids.truncate(*limit);
    Ok(ids)
}

/// How many jobs each of these workers runs, also those whose leases have not run out yet.
///
/// The last job of a worker with more of them than one recovery takes looks as if it had been alone. It is ended for that only if it was
/// in another crash before; then it was run alone.
async fn running_of(tx: &mut Tx, holders: BTreeSet<SchedulerId>) -> Result<HashMap<SchedulerId, i64>, Fault> {
    if holders.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx.fetch(q::job_holder_counts, vec![list(holders.iter().map(SchedulerId::as_str))]).await?;
    let mut counts = HashMap::new();
    for mut row in rows {
        let (holder, jobs) = (row.text()?, row.int()?);
        counts.extend(SchedulerId::new(&holder).ok().map(|holder| (holder, jobs)));
    }
    Ok(counts)
}

/// Whether the end of a job may stop its schedule.
fn concerns_schedule(job: &LockedJob) -> bool {
    JobSettings::from_json(&job.settings).is_ok_and(|settings| settings.pause_after.is_some() || settings.until_success)
}

/// How a job whose worker vanished ends; `None` where it is queued again.
fn fate(job: &LockedJob, crash: rules::Crash) -> Option<Outcome> {
    if job.cancel_requested {
        return Some(Outcome::Cancelled);
    }
    let survives = match JobSettings::from_json(&job.settings) {
        Ok(settings) => rules::survives_crash(crash, settings.max_attempts, settings.crash_retries),
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
    let (schedules, has_more_schedules) = remove_schedules(tx, limit).await?;
    places::forget_idle(tx).await?;
    places::mend(tx).await?;
    tx.execute(q::scheduler_delete_silent, args![now.saturating_sub(rules::SCHEDULERS_KEPT)]).await?;
    let has_more = has_more_jobs || jobs.len() < gone.len() || has_more_schedules;
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
async fn remove_schedules(tx: &mut Tx, limit: usize) -> Result<(Vec<EndedSchedule>, bool), Fault> {
    let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
    let (mut ids, mut lines) = (Vec::new(), Vec::new());
    for mut row in tx.fetch(q::schedule_finished_select, args![rows_max]).await? {
        ids.push(row.text()?);
        lines.push(row.small()?);
    }
    if ids.is_empty() {
        return Ok((Vec::new(), false));
    }
    ids.truncate(rules::removed_together(lines.iter().copied()));
    let is_cut = ids.len() < lines.len();
    let rows = tx.fetch(q::schedule_select, vec![list(ids)]).await?;
    let readable = rows.into_iter().filter_map(|row| row::schedule(row).ok());
    let ended: Vec<_> = readable.map(|over| EndedSchedule { id: over.id, task_id: over.task_id }).collect();
    let has_more = ended.len() == limit || is_cut && !ended.is_empty();
    if !ended.is_empty() {
        ledger::remove(tx, ended.iter().map(|schedule| &schedule.id)).await?;
        tx.execute(q::schedule_delete, vec![list(ended.iter().map(|schedule| &schedule.id))]).await?;
    }
    Ok((ended, has_more))
}

async fn put(tx: &mut Tx, request: &PutScheduler) -> Result<SchedulerPut, Fault> {
    let SchedulerRow { id, role, started_at, seen_at, stopped_at, queues, abilities, incarnation, memory } =
        &request.scheduler;
    let work = Work { queues: queues.clone(), abilities: abilities.clone() }.to_json();
    let memory = memory.map(|memory| memory.to_json());
    let Some(there) = tx.fetch_one(q::scheduler_lock, args![id]).await? else {
        let row = values![id, role.as_str(), *started_at, *seen_at, *stopped_at, incarnation, memory, work];
        return match tx.execute(q::scheduler_insert, vec![Arg::Rows(vec![row])]).await? {
            // Somebody was faster; who that is shows the next look.
            0 => Err(Fault::Again),
            _ => Ok(SchedulerPut::Stored),
        };
    };
    if let Some(there) = row::scheduler(there).ok().filter(|there| rules::is_another(there, request)) {
        return Ok(SchedulerPut::Taken(there));
    }
    let arguments = args![role.as_str(), *started_at, *seen_at, *stopped_at, incarnation, memory, work, id];
    tx.execute(q::scheduler_update, arguments).await?;
    Ok(SchedulerPut::Stored)
}

async fn schedulers(tx: &mut Tx) -> Result<Page<SchedulerRow>, Fault> {
    Ok(Page::whole(tx.fetch(q::scheduler_list, Vec::new()).await?.into_iter().map(row::listed_scheduler)))
}

/// Takes a lock that writers take.
async fn check(tx: &mut Tx, (): &()) -> Result<(), Fault> {
    super::catalog_rows::lock(tx).await
}

#[async_trait]
impl Housekeeping for SqlStore {
    async fn recover(&self, request: Recover) -> Result<Recovered, StoreError> {
        write_with!(self, "recover", (Arc::clone(&self.time), request), recover)
    }

    async fn cleanup(&self, now: Timestamp, limit: usize) -> Result<CleanedUp, StoreError> {
        write_with!(self, "cleanup", (now, limit), cleanup)
    }

    async fn trim_history(&self, request: TrimHistory) -> Result<Option<String>, StoreError> {
        // Looked for outside of the transaction, so that nobody waits for that.
        let found = read_with!(self, "trim_history", ledger::trimmable, &request)?;
        let next = if found.len() >= request.limit { found.last().map(|(id, _)| id.clone()) } else { None };
        if !found.is_empty() {
            write_with!(self, "trim_history", (request.before, found), ledger::trim)?;
        }
        Ok(next)
    }

    async fn scheduler_put(&self, request: PutScheduler) -> Result<SchedulerPut, StoreError> {
        write_with!(self, "scheduler_put", request, put)
    }

    async fn scheduler_list(&self) -> Result<Page<SchedulerRow>, StoreError> {
        read_with!(self, "scheduler_list", schedulers,)
    }

    async fn check(&self) -> Result<(), StoreError> {
        write_with!(self, "check", (), check)
    }

    async fn store_clock(&self) -> Result<StoreTime, StoreError> {
        let mut tx = self.reader("store_clock").await?;
        self.time.shown(&mut tx).await.map_err(|fault| self.fault("store_clock", fault))
    }

    async fn close(&self) {
        self.shut().await;
    }
}
