//! Acquiring jobs: which ones start next, and the claim on them. The module above tells of partitions.

use std::collections::{HashMap, HashSet};

use super::encoding::Encode as _;
use super::jobs::{ended_unread, limited, lock_each};
use super::query::{Dialect, q};
use super::release::Requeue;
use super::row;
use super::tx::{Fault, Tx};
use super::value::{Row, Value, args, list, values};
use crate::model::{ErrorKind, JobError, JobId, Outcome, Timestamp};
use crate::store::{AcquireJobs, AcquiredJobs, Defect, EndedJob, Unreadable, rules};

/// A job that could start, with its place in the order (the priority with its sign turned).
type Candidate = (i64, JobId);

/// What there is to look at.
#[derive(Default)]
struct Peek {
    /// The token is in use: this is the second call of the same acquisition.
    is_repeated: bool,
    has_missed: bool,
    has_woken: bool,
    catalog_revision: i64,
    /// The partitions that are not empty, and how many jobs of the task may run at once.
    partitions: Vec<(String, Option<i64>)>,
}

pub(super) async fn acquire(tx: &mut Tx, request: &AcquireJobs) -> Result<AcquiredJobs, Fault> {
    let now = request.now;
    let mut peek = peek(tx, request).await?;
    let mut acquired = AcquiredJobs { catalog_revision: peek.catalog_revision, ..AcquiredJobs::default() };
    if peek.is_repeated {
        let rows = tx.fetch(q::job_claimed, args![&request.holder, request.token]).await?;
        take(tx, request, rows, &mut acquired).await?;
        return Ok(acquired);
    }
    let chosen = match request.only {
        Some(only) => choose_one(tx, request, only, &mut acquired).await?,
        None => {
            if peek.has_missed {
                end_missed(tx, now, &mut acquired).await?;
            }
            if peek.has_woken {
                wake(tx, now).await?;
                peek = self::peek(tx, request).await?;
            }
            choose(tx, peek.partitions, request.limit).await?
        }
    };
    if !chosen.is_empty() {
        let rows = claim(tx, request, chosen).await?;
        take(tx, request, rows, &mut acquired).await?;
    }
    Ok(acquired)
}

async fn peek(tx: &mut Tx, request: &AcquireJobs) -> Result<Peek, Fault> {
    let AcquireJobs { holder, token, now, .. } = request;
    let mut peek = Peek::default();
    for mut row in tx.fetch(q::job_peek, args![holder, *token, *now, *now]).await? {
        (peek.is_repeated, peek.has_missed, peek.has_woken) = (row.flag()?, row.flag()?, row.flag()?);
        peek.catalog_revision = row.int()?;
        let partition = row.maybe_text()?;
        let max_running = row.maybe_int()?;
        peek.partitions.extend(partition.map(|partition| (partition, max_running)));
    }
    Ok(peek)
}

/// Ends jobs whose start deadline has passed.
async fn end_missed(tx: &mut Tx, now: Timestamp, acquired: &mut AcquiredJobs) -> Result<(), Fault> {
    let limit = i64::try_from(rules::MISSED_MAX).unwrap_or(i64::MAX);
    let mut rows = Vec::new();
    for mut row in tx.fetch(q::job_missed_select, args![now, limit]).await? {
        let Ok(id) = row.job_id() else { continue };
        match row.task_id().and_then(|task_id| Ok((task_id, row::span(row.int()?)))) {
            Ok((task_id, result_ttl)) => {
                rows.push(ended(id, Outcome::MissedStartDeadline, now, result_ttl));
                acquired.missed.push(EndedJob { id, task_id });
            }
            Err(defect) => {
                rows.push(ended_unread(id, now, unreadable_error(&defect)));
                acquired.unreadable.push(Unreadable { id: id.to_string(), defect });
            }
        }
    }
    tx.execute_rows(q::job_end, rows).await.map(|_| ())
}

fn ended(id: JobId, outcome: Outcome, now: Timestamp, result_ttl: std::time::Duration) -> Vec<Value> {
    values![id, outcome, now, rules::expiry(now, result_ttl), None::<String>, None::<i64>]
}

/// Moves jobs that have become due into their partitions.
async fn wake(tx: &mut Tx, now: Timestamp) -> Result<(), Fault> {
    let limit = i64::try_from(rules::WOKEN_MAX).unwrap_or(i64::MAX);
    let rows = tx.fetch(q::job_wake_select, args![now, limit]).await?;
    let ids: Vec<JobId> = rows.into_iter().filter_map(|mut row| row.job_id().ok()).collect();
    if !ids.is_empty() {
        tx.execute(q::job_wake, vec![list(ids)]).await?;
    }
    Ok(())
}

/// The one job that was asked for, if it may start.
async fn choose_one(
    tx: &mut Tx,
    request: &AcquireJobs,
    only: JobId,
    acquired: &mut AcquiredJobs,
) -> Result<Vec<JobId>, Fault> {
    let Some(mut row) = tx.fetch_one(q::job_only_select, args![only]).await? else { return Ok(Vec::new()) };
    let (task_id, result_ttl, deadline) = (row.task_id()?, row::span(row.int()?), row.maybe_time()?);
    if deadline.is_some_and(|deadline| deadline < request.now) {
        tx.execute_rows(q::job_end, vec![ended(only, Outcome::MissedStartDeadline, request.now, result_ttl)]).await?;
        acquired.missed.push(EndedJob { id: only, task_id });
        return Ok(Vec::new());
    }
    match row.maybe_time()? {
        Some(run_at) if run_at > request.now => return Ok(Vec::new()),
        Some(_) => drop(tx.execute(q::job_wake, vec![list([only])]).await?),
        None => {}
    }
    let is_free = limited(tx, [task_id.as_str()].into_iter()).await?.is_empty()
        || quotas(tx, vec![task_id.to_string()]).await?.first().is_some_and(|(_, quota)| *quota > 0);
    Ok(if is_free && request.limit > 0 { vec![only] } else { Vec::new() })
}

/// The jobs that start next, in order.
async fn choose(tx: &mut Tx, partitions: Vec<(String, Option<i64>)>, limit: usize) -> Result<Vec<JobId>, Fault> {
    let (mut own_partitions, mut has_shared, mut unlimited) = (Vec::new(), false, Vec::new());
    for (partition, max_running) in partitions {
        match max_running {
            _ if partition.is_empty() => has_shared = true,
            Some(_) => own_partitions.push(partition),
            // The task has lost its limit, or has gone, since the job was queued.
            None => unlimited.push((partition, i64::MAX)),
        }
    }
    let mut partitions = if own_partitions.is_empty() { Vec::new() } else { quotas(tx, own_partitions).await? };
    partitions.extend(unlimited);
    let limit_rows = i64::try_from(limit).unwrap_or(i64::MAX);
    partitions.retain(|(_, quota)| *quota > 0);
    let locked = partitions.into_iter().map(|(partition, quota)| values![partition, quota.min(limit_rows)]).collect();
    let mut candidates = candidates(tx.fetch_rows(q::job_partition_heads, locked).await?);
    if has_shared {
        candidates.extend(shared(tx, limit_rows).await?);
    }
    candidates.sort_unstable();
    candidates.truncate(limit);
    Ok(candidates.into_iter().map(|(_, id)| id).collect())
}

/// Rows that have no id, or no place in the order, are no jobs that could start.
fn candidates(rows: Vec<Row>) -> Vec<Candidate> {
    let read = |mut row: Row| {
        let id = row.job_id().ok()?;
        Some((row.int().ok()?, id))
    };
    rows.into_iter().filter_map(read).collect()
}

/// How many more jobs of each of these limited tasks may start. Until the transaction ends nobody else starts any.
async fn quotas(tx: &mut Tx, tasks: Vec<String>) -> Result<Vec<(String, i64)>, Fault> {
    let mut quotas = Vec::with_capacity(tasks.len());
    // Counted in a statement of its own, after the lock: it must see what the last holder of the lock has claimed.
    for mut row in tx.fetch(q::job_lock_tasks, vec![list(tasks.iter().map(String::as_str))]).await? {
        quotas.push((row.text()?, row.maybe_int()?.unwrap_or(i64::MAX)));
    }
    let mut running = HashMap::new();
    for mut row in tx.fetch(q::job_running_counts, vec![list(tasks.iter().map(String::as_str))]).await? {
        running.insert(row.text()?, row.int()?);
    }
    for (task, quota) in &mut quotas {
        *quota = quota.saturating_sub(running.get(task).copied().unwrap_or(0)).max(0);
    }
    Ok(quotas)
}

/// The first jobs of the shared partition.
async fn shared(tx: &mut Tx, limit: i64) -> Result<Vec<Candidate>, Fault> {
    let (mut found, mut misplaced) = (Vec::new(), HashSet::new());
    for mut row in tx.fetch(q::job_shared_select, args![limit]).await? {
        let Ok(id) = row.job_id() else { continue };
        let (place, task_id, is_misplaced) = (row.int()?, row.text()?, row.flag()?);
        if is_misplaced {
            misplaced.insert(task_id);
        } else {
            found.push((place, id));
        }
    }
    if !misplaced.is_empty() {
        tx.execute(q::job_repartition, vec![list(misplaced.iter().map(String::as_str))]).await?;
    }
    Ok(found)
}

/// Finds jobs in the partition of a task that has no limit (any more), where [`peek`] does not see them: they were queued while the task
/// was losing it.
pub(super) async fn repartition_lost(tx: &mut Tx) -> Result<(), Fault> {
    if tx.dialect != Dialect::Mysql {
        return Ok(());
    }
    let (mut partitions, mut last) = (Vec::new(), String::new());
    while let Some(mut row) = tx.fetch_one(q::job_partition_after, args![last.as_str()]).await? {
        let Some(partition) = row.maybe_text()? else { break };
        partitions.push(partition.clone());
        last = partition;
    }
    if partitions.is_empty() {
        return Ok(());
    }
    let limited = limited(tx, partitions.iter().map(String::as_str)).await?;
    partitions.retain(|partition| !limited.contains(partition));
    if !partitions.is_empty() {
        tx.execute(q::job_partition_close, vec![list(partitions)]).await?;
    }
    Ok(())
}

/// Leases those of the chosen jobs that are still queued, and answers their rows.
async fn claim(tx: &mut Tx, request: &AcquireJobs, chosen: Vec<JobId>) -> Result<Vec<Row>, Fault> {
    let AcquireJobs { holder, token, now, lease_until, .. } = request;
    let mut arguments = args![holder, *token, *lease_until, holder, *now];
    arguments.push(list(chosen));
    if tx.dialect != Dialect::Mysql {
        return tx.change(q::job_claim, arguments).await;
    }
    match tx.execute(q::job_claim, arguments).await? {
        0 => Ok(Vec::new()),
        _ => tx.fetch(q::job_claimed, args![holder, *token]).await,
    }
}

/// Reads what is under the lease now, and sets aside what cannot be read, so that it blocks nobody.
async fn take(tx: &mut Tx, request: &AcquireJobs, rows: Vec<Row>, acquired: &mut AcquiredJobs) -> Result<(), Fault> {
    let mut unreadable = Vec::new();
    for row in rows {
        match row::job(row) {
            Ok(job) => acquired.jobs.push(job),
            Err(bad) => unreadable.push(bad),
        }
    }
    acquired.jobs.sort_unstable_by_key(|job| (std::cmp::Reverse(job.spec.settings.priority), job.spec.id));
    set_aside(tx, &unreadable, request.now).await?;
    acquired.unreadable.extend(unreadable);
    Ok(())
}

/// Ends jobs that are damaged; puts those that a newer version has written back as they were, and off.
async fn set_aside(tx: &mut Tx, unreadable: &[Unreadable], now: Timestamp) -> Result<(), Fault> {
    let defects: HashMap<JobId, &Defect> =
        unreadable.iter().filter_map(|bad| Some((bad.id.parse().ok()?, &bad.defect))).collect();
    let (mut ended, mut requeued) = (Vec::new(), Vec::new());
    for locked in lock_each(tx, defects.keys().copied()).await? {
        match locked {
            Ok(job) => match defects.get(&job.id) {
                Some(defect) if defect.is_newer() => requeued.push(
                    Requeue {
                        now,
                        attempt: job.attempt.saturating_sub(1),
                        started_at: None,
                        not_before: Some(rules::put_off(now, job.due_at)),
                        ..Requeue::of(&job)
                    }
                    .row(&job),
                ),
                defect => {
                    let error = defect.map(|defect| unreadable_error(defect));
                    ended.push(job.ended(Outcome::DeserializationFailed, now, error));
                }
            },
            Err(bad) => {
                let Ok(id) = bad.id.parse() else { continue };
                ended.push(ended_unread(id, now, unreadable_error(&bad.defect)));
            }
        }
    }
    tx.execute_rows(q::job_end, ended).await?;
    tx.execute_rows(q::job_requeue, requeued).await.map(|_| ())
}

/// The stored form of what stands on a job that cannot be read.
pub(super) fn unreadable_error(defect: &Defect) -> String {
    let message = format!("what is stored of this job cannot be read: {defect}");
    JobError::new(ErrorKind::HostError, message).to_json()
}
