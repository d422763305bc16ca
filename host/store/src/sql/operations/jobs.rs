//! Jobs: adding, reading, cancelling, and the implementation of the queue's trait.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::job_rows::{LockedJob, Requeue, add, add_fires, lock_each, paused_queues};
use super::{exchange, release};
use crate::model::{Ability, Job, JobId, JobSettings, JobSpec, JobState, LeaseToken, Outcome, QueueName, Timestamp};
use crate::rules::QueueCounts;
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::places::{self, Touched};
use crate::sql::statements::query::{Query, q};
use crate::sql::statements::row;
use crate::sql::statements::value::{Arg, args, values};
use crate::sql::time::Time;
use crate::sql::{SqlStore, read_with, write_with};
use crate::{
    AcquireJobs, AcquiredJobs, CancelAsked, Cancelled, ExchangeJobs, ExchangedJobs, ExtendJobs, Extended, JobCounts,
    JobFilter, JobQueue, JobReport, LeaseLine, LogPage, Page, QueueRow, ReadLogs, ReleaseJobs, Released, StoreError,
    Subject, Unreadable, rules,
};

fn not_found(id: JobId) -> Fault {
    StoreError::NotFound(Subject::Job(id)).into()
}

async fn add_all(tx: &mut Tx, specs: &[JobSpec]) -> Result<Vec<JobId>, Fault> {
    let mut touched = Touched::default();
    let all: Vec<&JobSpec> = specs.iter().collect();
    // Nothing keeps another job from being queued, but for one that is there already.
    let is_plain = specs.iter().all(|spec| spec.fire().is_none() && spec.settings.unique_key.is_none());
    let left_out = if is_plain {
        add(tx, &all, &mut touched).await?;
        HashSet::new()
    } else {
        add_fires(tx, &all, &mut touched).await?
    };
    places::settle(tx, touched).await?;
    let mut left_out: Vec<JobId> = left_out.into_iter().collect();
    left_out.sort_unstable();
    Ok(left_out)
}

/// How often a key is looked for again that was there and is not.
const UNIQUE_TRIES: usize = 3;

async fn add_unique(tx: &mut Tx, (time, specs): &(Arc<Time>, Vec<JobSpec>)) -> Result<Vec<JobId>, Fault> {
    let Some(first) = specs.first() else { return Ok(Vec::new()) };
    let now = time.now(tx, first.created_at).await?.due;
    let key = |spec: &JobSpec| spec.settings.unique_key.as_ref().map(|unique| unique.key.clone());
    let mut left: Vec<(usize, &JobSpec)> = specs.iter().enumerate().collect();
    // In one order, so that no two calls wait for keys of each other.
    left.sort_by_cached_key(|(place, spec)| (key(spec), spec.task_id.clone(), *place));
    let mut answers: Vec<JobId> = specs.iter().map(|spec| spec.id).collect();
    for _ in 0..UNIQUE_TRIES {
        for (unique, spec) in left.iter().filter_map(|(_, spec)| Some((key(spec)?, spec))) {
            tx.execute(q::job_unique_free, args![unique, &spec.task_id, now]).await?;
        }
        // A database that finds a key taken has waited for whoever was taking it.
        let mut touched = Touched::default();
        add(tx, &left.iter().map(|(_, spec)| *spec).collect::<Vec<_>>(), &mut touched).await?;
        places::settle(tx, touched).await?;
        let mut missing = Vec::new();
        for (place, spec) in left {
            let Some(unique) = key(spec) else { continue };
            match tx.fetch_one(q::job_unique_get, args![unique, &spec.task_id]).await? {
                Some(mut row) => answers[place] = row.job_id()?,
                None => missing.push((place, spec)),
            }
        }
        if missing.is_empty() {
            return Ok(answers);
        }
        left = missing;
    }
    let (_, spec) = left[0];
    let state = format!("the unique key `{}` is taken and given back again and again", key(spec).unwrap_or_default());
    Err(StoreError::Conflict { subject: Subject::Job(spec.id), state }.into())
}

async fn get(tx: &mut Tx, id: JobId) -> Result<Option<Job>, Fault> {
    let found = tx.fetch_one(q::job_get, args![id]).await?.map(row::job).transpose();
    Ok(found.map_err(row::unreadable(Subject::Job(id)))?)
}

/// The queries whose indexes fit the filter best, each with the argument that it is driven by. Where there are several, the page is the first
/// of what they answer together.
fn list_queries(filter: &JobFilter) -> Vec<(Query, Vec<Arg>)> {
    let is_unfinished = filter.state.is_some_and(|state| state != JobState::Finished);
    vec![match filter {
        JobFilter { group: Some(group), .. } => (q::job_list_group, args![group.as_str()]),
        JobFilter { schedule_id: Some(schedule), .. } => (q::job_list_schedule, args![schedule]),
        // Most jobs are successes, and few are of one task.
        JobFilter { outcome: Some(Outcome::Success), task_id: Some(task), .. } => (q::job_list_task, args![task]),
        JobFilter { outcome: Some(outcome), .. } => (q::job_list_outcome, args![*outcome]),
        _ if is_unfinished => (q::job_list_unfinished, Vec::new()),
        JobFilter { task_id: Some(task), .. } => (q::job_list_task, args![task]),
        // By id alone, the way to them might lead through all that are queued.
        JobFilter { state: Some(JobState::Finished), .. } => {
            return Outcome::ALL.iter().map(|outcome| (q::job_list_outcome, args![*outcome])).collect();
        }
        _ => (q::job_list, Vec::new()),
    }]
}

async fn list_page(tx: &mut Tx, filter: &JobFilter) -> Result<Page<Job>, Fault> {
    let limit = rules::page_limit(filter.limit);
    // Longer than any id, so larger than all.
    let mut before = vec![0xff; 17];
    if let Some(after) = &filter.after {
        before = after.parse::<JobId>().map_err(|_| rules::bad_cursor(after))?.as_bytes().to_vec();
    }
    let (state, outcome, task, schedule) =
        (filter.state, filter.outcome, filter.task_id.as_ref(), filter.schedule_id.as_ref());
    let group = filter.group.as_deref();
    let rows_max = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let (mut found, mut nameless) = (Vec::new(), Vec::new());
    for (query, mut arguments) in list_queries(filter) {
        let before = before.as_slice();
        arguments.extend(args![
            before, state, state, outcome, outcome, task, task, schedule, schedule, group, group, rows_max
        ]);
        for row in tx.fetch(query, arguments).await? {
            match row.clone().job_id() {
                Ok(id) => found.push((id, row)),
                Err(defect) => nameless.push(Unreadable { id: String::new(), defect }),
            }
        }
    }
    found.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    found.truncate(limit + 1);
    let rows = found.into_iter().map(|(_, row)| row::job(row)).collect();
    let mut page = rules::page(rows, limit, |job: &Job| job.spec.id.to_string());
    page.unreadable.extend(nameless);
    Ok(page)
}

/// Locks a job that must be there.
async fn lock_one(tx: &mut Tx, id: JobId) -> Result<LockedJob, Fault> {
    let found = lock_each(tx, [id]).await?.pop().ok_or_else(|| not_found(id))?;
    Ok(found.map_err(row::unreadable(Subject::Job(id)))?)
}

async fn cancel(tx: &mut Tx, &(id, grace, now): &(JobId, Option<Duration>, Timestamp)) -> Result<Cancelled, Fault> {
    let job = lock_one(tx, id).await?;
    match job.state {
        JobState::Queued => {
            tx.execute_rows(q::job_end, vec![job.ended(Outcome::Cancelled, now, None)]).await?;
            let mut touched = Touched::default();
            job.leave(&mut touched);
            places::settle(tx, touched).await?;
            Ok(Cancelled::Ended)
        }
        JobState::Running => {
            tx.execute(q::job_cancel_ask, args![grace.map(row::span_micros), id]).await?;
            Ok(Cancelled::Asked)
        }
        JobState::Finished => Ok(Cancelled::AlreadyFinished),
    }
}

async fn retry(tx: &mut Tx, &(id, now): &(JobId, Timestamp)) -> Result<Job, Fault> {
    let job = lock_one(tx, id).await?;
    if job.state != JobState::Finished {
        let state = format!("is {}, not finished", job.state);
        return Err(StoreError::Conflict { subject: Subject::Job(id), state }.into());
    }
    // It has no places, as it is finished; it enters like one that becomes due.
    let requeue = Requeue { due_at: now, now, keeps_deadline: false, ..Requeue::of(&job) };
    tx.execute_rows(q::job_requeue, vec![requeue.row(&job)]).await?;
    tx.execute(q::job_version_clear, args![id]).await?;
    let mut touched = Touched::default();
    enter_again(tx, &job, &mut touched).await?;
    places::settle(tx, touched).await?;
    get(tx, id).await?.ok_or_else(|| not_found(id))
}

/// Lets a job wait that was finished. What it is claimed by was not kept up to date meanwhile.
async fn enter_again(tx: &mut Tx, job: &LockedJob, touched: &mut Touched) -> Result<(), Fault> {
    use crate::sql::encoding::Encode as _;
    let rules = places::task_rules(tx, vec![&job.task_id]).await?.remove(&job.task_id).unwrap_or_default();
    // Settings that cannot be read: the job ends as soon as anybody claims it.
    let claim_key = match JobSettings::from_json(&job.settings) {
        Ok(settings) => rules.claim_key(&settings),
        Err(_) => rules::ready_key(&QueueName::default(), &Ability::Any),
    };
    tx.execute_rows(q::job_claim_key, vec![values![job.id, claim_key]]).await?;
    places::enter(tx, vec![(job.id, Some(job.task_id.clone()), job.key.clone())], touched).await
}

async fn logs(tx: &mut Tx, request: &ReadLogs) -> Result<LogPage, Fault> {
    // Lines are numbered from 0, attempts from 1.
    let (attempt, sequence) =
        request.after.map_or((-1, -1), |(attempt, sequence)| (i64::from(attempt), i64::from(sequence)));
    let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
    let rows = tx.fetch(q::job_log_list, args![request.id, attempt, attempt, sequence, limit]).await?;
    let mut page = LogPage::default();
    for row in rows {
        match row::log_line(row) {
            Ok(line) => {
                page.last = Some((line.attempt, line.sequence));
                page.lines.push(line);
            }
            Err((place, defect)) => {
                page.last = place.or(page.last);
                let id = place.map(|(attempt, sequence)| format!("line {sequence} of attempt {attempt}"));
                page.unreadable.push(Unreadable { id: id.unwrap_or_default(), defect });
            }
        }
    }
    Ok(page)
}

async fn next_due(tx: &mut Tx, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
    let row = tx.fetch_one(q::job_next_due, args![now]).await?;
    // A time that is none concerns one job, which whoever acquires it quarantines.
    Ok(row.and_then(|mut row| row.maybe_time().ok().flatten()))
}

async fn counts(tx: &mut Tx) -> Result<JobCounts, Fault> {
    let Some(mut row) = tx.fetch_one(q::job_counts, Vec::new()).await? else { return Ok(JobCounts::default()) };
    let (unfinished, running, all): (u64, u64, u64) = (row.small()?, row.small()?, row.small()?);
    let queued = unfinished.saturating_sub(running);
    Ok(JobCounts { queued, running, finished: all.saturating_sub(unfinished) })
}

async fn queues(tx: &mut Tx) -> Result<Vec<QueueRow>, Fault> {
    let mut counts = QueueCounts::default();
    for mut row in tx.fetch(q::queue_counts, Vec::new()).await? {
        let (what, key, count) = (row.text()?, row.text()?, row.small()?);
        match what.as_str() {
            "paused" => QueueName::new(&key).into_iter().for_each(|queue| counts.pause(queue)),
            "waiting" => counts.waiting(&key, count),
            _ => counts.running(&key, count),
        }
    }
    Ok(counts.rows())
}

async fn pause_queue(tx: &mut Tx, (queue, pause): &(QueueName, bool)) -> Result<bool, Fault> {
    let before = tx.fetch_one(q::queue_lock, args![queue]).await?;
    let was_paused = before.map(|mut row| row.flag()).transpose()?.unwrap_or(false);
    if was_paused != *pause {
        tx.execute(q::queue_put, vec![Arg::Rows(vec![values![queue, *pause]])]).await?;
    }
    Ok(was_paused != *pause)
}

#[async_trait]
impl JobQueue for SqlStore {
    async fn job_add(&self, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, StoreError> {
        write_with!(self, "job_add", jobs, add_all)
    }

    async fn job_add_unique(&self, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, StoreError> {
        write_with!(self, "job_add_unique", (Arc::clone(&self.time), jobs), add_unique)
    }

    async fn job_get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        read_with!(self, "job_get", get, id)
    }

    async fn job_list(&self, filter: JobFilter) -> Result<Page<Job>, StoreError> {
        read_with!(self, "job_list", list_page, &filter)
    }

    async fn job_acquire(&self, request: AcquireJobs) -> Result<AcquiredJobs, StoreError> {
        write_with!(self, "job_acquire", (Arc::clone(&self.time), request), exchange::acquire)
    }

    async fn job_extend(&self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError> {
        write_with!(self, "job_extend", (Arc::clone(&self.time), request), release::extend)
    }

    fn lease_line(&self) -> Box<dyn LeaseLine> {
        self.line()
    }

    async fn job_report(&self, reports: Vec<JobReport>) -> Result<(), StoreError> {
        write_with!(self, "job_report", reports, release::report)
    }

    async fn job_release(&self, request: ReleaseJobs) -> Result<Vec<Released>, StoreError> {
        write_with!(self, "job_release", release::Releasing::new(request), release::release)
    }

    async fn job_exchange(&self, request: ExchangeJobs) -> Result<ExchangedJobs, StoreError> {
        let ExchangeJobs { release, acquire } = request;
        let data = (Arc::clone(&self.time), release::Releasing::new(release), acquire);
        write_with!(self, "job_exchange", data, exchange::exchange)
    }

    async fn job_cancel(&self, id: JobId, grace: Option<Duration>, now: Timestamp) -> Result<Cancelled, StoreError> {
        write_with!(self, "job_cancel", (id, grace, now), cancel)
    }

    async fn job_cancel_asked(&self, leases: Vec<(JobId, LeaseToken)>) -> Result<Vec<CancelAsked>, StoreError> {
        read_with!(self, "job_cancel_asked", release::cancel_asked, &leases)
    }

    async fn job_retry(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        write_with!(self, "job_retry", (id, now), retry)
    }

    async fn job_logs(&self, request: ReadLogs) -> Result<LogPage, StoreError> {
        read_with!(self, "job_logs", logs, &request)
    }

    async fn job_next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        read_with!(self, "job_next_due", next_due, now)
    }

    async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        read_with!(self, "job_counts", counts,)
    }

    async fn queue_list(&self) -> Result<Vec<QueueRow>, StoreError> {
        read_with!(self, "queue_list", queues,)
    }

    async fn queues_paused(&self) -> Result<Vec<QueueName>, StoreError> {
        read_with!(self, "queues_paused", paused_queues,)
    }

    async fn queue_pause(&self, queue: QueueName, pause: bool) -> Result<bool, StoreError> {
        write_with!(self, "queue_pause", (queue, pause), pause_queue)
    }
}
