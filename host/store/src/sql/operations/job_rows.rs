//! Rows of jobs, as the operations on jobs, schedules and places read and write them.

use std::collections::HashSet;

use crate::model::limits::RESULT_TTL_DEFAULT;
use crate::model::{
    ErrorKind, JobError, JobId, JobSpec, JobState, LeaseToken, Outcome, QueueName, SchedulerId, TaskId, Timestamp,
};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::{Encode as _, known};
use crate::sql::places::{self, Places, Touched};
use crate::sql::statements::query::{Dialect, q};
use crate::sql::statements::row;
use crate::sql::statements::value::{Row, Value, list, values};
use crate::{Defect, ReleaseJob, Unreadable, rules};

/// Queues jobs; those whose id or fire is known are left out. Their groups are the caller's to settle. Answers how many rows the
/// database says it has touched.
pub(in crate::sql) async fn add(tx: &mut Tx, specs: &[&JobSpec], touched: &mut Touched) -> Result<u64, Fault> {
    if specs.is_empty() {
        return Ok(0);
    }
    let known = places::task_rules(tx, specs.iter().map(|spec| &spec.task_id).collect()).await?;
    let mut rows = Vec::with_capacity(specs.len());
    for spec in specs {
        let rules = known.get(&spec.task_id).cloned().unwrap_or_default();
        rows.push(row::new_job(spec, &rules));
        if spec.due_at <= spec.created_at {
            touched.entered(&spec.task_id, spec.settings.concurrency_key.as_deref(), &rules);
        }
    }
    tx.execute_rows(q::job_insert, rows).await
}

/// As [`add`], and answers those that were left out.
pub(in crate::sql) async fn add_fires(
    tx: &mut Tx,
    specs: &[&JobSpec],
    touched: &mut Touched,
) -> Result<HashSet<JobId>, Fault> {
    let added = add(tx, specs, touched).await?;
    // MySQL counts a job that was left out as touched.
    if specs.is_empty() || tx.dialect != Dialect::Mysql && usize::try_from(added) == Ok(specs.len()) {
        return Ok(HashSet::new());
    }
    let mut left_out: HashSet<JobId> = specs.iter().map(|spec| spec.id).collect();
    for mut row in tx.fetch(q::job_known, vec![list(left_out.iter().copied())]).await? {
        left_out.remove(&row.job_id()?);
    }
    Ok(left_out)
}

/// What a change of a job has to know of it. Read without its settings and arguments, so that a job whose content is unreadable
/// can still be ended.
#[derive(Debug, Clone)]
pub(in crate::sql) struct LockedJob {
    pub(in crate::sql) id: JobId,
    pub(in crate::sql) state: JobState,
    pub(in crate::sql) token: Option<Vec<u8>>,
    pub(in crate::sql) holder: Option<SchedulerId>,
    pub(in crate::sql) task_id: TaskId,
    pub(in crate::sql) attempt: u32,
    pub(in crate::sql) crashes: u32,
    pub(in crate::sql) cancel_requested: bool,
    pub(in crate::sql) due_at: Timestamp,
    pub(in crate::sql) started_at: Option<Timestamp>,
    pub(in crate::sql) result_ttl: std::time::Duration,
    pub(in crate::sql) settings: String,
    pub(in crate::sql) key: Option<String>,
    pub(in crate::sql) places: Places,
}

impl LockedJob {
    pub(in crate::sql) fn holds(&self, token: LeaseToken) -> bool {
        self.state == JobState::Running && self.token.as_deref() == Some(token.as_bytes())
    }

    /// Notes that the job no longer waits or runs.
    pub(in crate::sql) fn leave(&self, touched: &mut Touched) {
        touched.left(&self.task_id, self.key.as_deref(), self.places);
    }

    /// The row of `job_end`.
    pub(in crate::sql) fn ended(&self, outcome: Outcome, now: Timestamp, error: Option<String>) -> Vec<Value> {
        values![self.id, outcome, now, rules::expiry(now, self.result_ttl), error, self.crashes]
    }
}

/// The row of `job_end` for a job of which not even that much can be read.
pub(in crate::sql) fn ended_unread(id: JobId, now: Timestamp, error: String) -> Vec<Value> {
    let expires_at = rules::expiry(now, RESULT_TTL_DEFAULT);
    values![id, Outcome::DeserializationFailed, now, expires_at, error, None::<i64>]
}

/// The stored form of what stands on a job that cannot be read.
pub(in crate::sql) fn unreadable_error(defect: &Defect) -> String {
    let message = format!("what is stored of this job cannot be read: {defect}");
    JobError::new(ErrorKind::HostError, message).to_json()
}

fn read_locked(row: &mut Row, id: JobId) -> Result<LockedJob, Defect> {
    Ok(LockedJob {
        id,
        state: known("state", &row.text()?, JobState::from_name)?,
        token: row.maybe_bytes()?,
        holder: row.maybe_text()?.and_then(|holder| SchedulerId::new(&holder).ok()),
        task_id: row.task_id()?,
        attempt: row.small()?,
        crashes: row.small()?,
        cancel_requested: row.flag()?,
        due_at: row.time()?,
        started_at: row.maybe_time()?,
        result_ttl: row::span(row.int()?),
        settings: row.text()?,
        key: row.maybe_text()?,
        places: Places::read(row)?,
    })
}

/// Locks jobs, by id, and reads what a change has to know. Those of which not even that can be read are left out: nobody holds them.
pub(in crate::sql) async fn lock(tx: &mut Tx, ids: impl IntoIterator<Item = JobId>) -> Result<Vec<LockedJob>, Fault> {
    Ok(lock_each(tx, ids).await?.into_iter().filter_map(Result::ok).collect())
}

/// As [`lock`], with those that cannot be read among the others.
pub(in crate::sql) async fn lock_each(
    tx: &mut Tx,
    ids: impl IntoIterator<Item = JobId>,
) -> Result<Vec<Result<LockedJob, Unreadable>>, Fault> {
    let mut ids: Vec<JobId> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.fetch(q::job_lock, vec![list(ids)]).await?;
    let read = |mut row: Row| row::named(&mut row, Row::job_id, |row, id| read_locked(row, *id));
    Ok(rows.into_iter().map(read).collect())
}

/// Notes the places of jobs that end although not even what a change has to know of them can be read. What cannot be read of those
/// either is mended at clean-up.
pub(in crate::sql) async fn leave_unread(tx: &mut Tx, ids: Vec<JobId>, touched: &mut Touched) -> Result<(), Fault> {
    if ids.is_empty() {
        return Ok(());
    }
    for mut row in tx.fetch(q::job_places_unread, vec![list(ids)]).await? {
        if let (Ok(task), Ok(key), Ok(places)) = (row.task_id(), row.maybe_text(), Places::read(&mut row)) {
            touched.left(&task, key.as_deref(), places);
        }
    }
    Ok(())
}

pub(in crate::sql) async fn paused_queues(tx: &mut Tx) -> Result<Vec<QueueName>, Fault> {
    let mut paused = Vec::new();
    for mut row in tx.fetch(q::queue_paused, Vec::new()).await? {
        paused.extend(QueueName::new(&row.text()?));
    }
    // Databases order names in their own ways.
    paused.sort();
    Ok(paused)
}

/// A job's way back into the queue.
pub(in crate::sql) struct Requeue<'a> {
    pub(in crate::sql) due_at: Timestamp,
    pub(in crate::sql) now: Timestamp,
    /// Nobody takes it earlier, although it is due.
    pub(in crate::sql) not_before: Option<Timestamp>,
    pub(in crate::sql) attempt: u32,
    pub(in crate::sql) crashes: u32,
    pub(in crate::sql) keeps_deadline: bool,
    pub(in crate::sql) started_at: Option<Timestamp>,
    pub(in crate::sql) error: Option<&'a JobError>,
    pub(in crate::sql) release: Option<&'a ReleaseJob>,
}

impl Requeue<'_> {
    /// One that changes nothing but the state.
    pub(in crate::sql) fn of(job: &LockedJob) -> Self {
        Requeue {
            due_at: job.due_at,
            now: job.due_at,
            not_before: None,
            attempt: job.attempt,
            crashes: job.crashes,
            keeps_deadline: true,
            started_at: job.started_at,
            error: None,
            release: None,
        }
    }

    /// When it may start, unless that is now.
    fn run_at(&self) -> Option<Timestamp> {
        let run_at = self.not_before.map_or(self.due_at, |not_before| not_before.max(self.due_at));
        Some(run_at).filter(|run_at| *run_at > self.now)
    }

    /// The row of `job_requeue`, with what it does to the job's places noted.
    pub(in crate::sql) fn place(&self, job: &LockedJob, touched: &mut Touched) -> Vec<Value> {
        if self.run_at().is_none() {
            touched.returned(&job.task_id, job.key.as_deref(), job.places);
        } else {
            job.leave(touched);
        }
        self.row(job)
    }

    /// The row of `job_requeue`.
    pub(in crate::sql) fn row(&self, job: &LockedJob) -> Vec<Value> {
        let release = self.release;
        let run_at = self.run_at();
        let places = if run_at.is_none() { job.places.again() } else { Places::default() };
        values![
            job.id,
            self.due_at,
            run_at,
            places.key,
            places.task,
            self.attempt,
            self.crashes,
            self.keeps_deadline,
            self.started_at,
            self.error.map(|error| error.to_json()),
            release.and_then(|release| release.usage).map(|usage| usage.to_json()),
            release.and_then(|release| release.plugin_digest),
            release.and_then(|release| release.progress.as_ref()).map(|progress| progress.to_json()),
        ]
    }
}
