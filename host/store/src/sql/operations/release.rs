//! What the holder of a lease writes: extensions, reports, releases.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::job_rows::{LockedJob, Requeue, add, lock};
use super::schedules;
use super::{ends, hooks, kv};
use crate::ends::JobEnd;
use crate::model::{
    CancelRequest, ConcernedSchedule, ConflictPolicy, JobError, JobId, JobSpec, LeaseToken, LogLine, Outcome, Timestamp,
};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::Encode as _;
use crate::sql::places::{self, Places, Touched};
use crate::sql::statements::query::{Dialect, Query, q};
use crate::sql::statements::row;
use crate::sql::statements::value::{Arg, Row, Value, args, list, values};
use crate::sql::time::Time;
use crate::{
    AddSchedule, CancelAsked, Ending, ExtendJobs, Extended, Hold, JobReport, ReleaseJob, ReleaseJobs, Released, rules,
};

fn by_id(locked: Vec<LockedJob>) -> HashMap<JobId, LockedJob> {
    locked.into_iter().map(|job| (job.id, job)).collect()
}

pub(in crate::sql) async fn extend(
    tx: &mut Tx,
    (time, request): &(Arc<Time>, ExtendJobs),
) -> Result<Vec<Extended>, Fault> {
    let ExtendJobs { leases, now, lease } = request;
    let now = time.now(tx, *now).await?;
    let free = leases_of(tx, q::job_lock_free, leases.iter().map(|(id, _)| *id)).await?;
    // A row that is locked may be locked for long: by a transaction of somebody who was stopped, or by a person. The others go on.
    let passed_over: Vec<JobId> = leases.iter().map(|(id, _)| *id).filter(|id| !free.contains_key(id)).collect();
    let busy = leases_of(tx, q::job_leases, passed_over).await?;
    let (mut answers, mut held) = (Vec::with_capacity(leases.len()), Vec::new());
    for &(id, token) in leases {
        let holds = |found: &&LeaseRow| found.token.as_deref() == Some(token.as_bytes());
        let (hold, row) = match (free.get(&id).filter(holds), busy.get(&id).filter(holds)) {
            (Some(row), _) => (Hold::Extended, Some(row)),
            (None, Some(row)) => (Hold::Busy, Some(row)),
            (None, None) => (Hold::Lost, None),
        };
        held.extend(Some(id).filter(|_| hold == Hold::Extended));
        answers.push(Extended { id, token, hold, cancel_requested: row.and_then(|row| row.cancel_requested) });
    }
    if !held.is_empty() {
        let mut arguments = args![now.leases.saturating_add(*lease)];
        arguments.push(list(held));
        tx.execute(q::job_extend, arguments).await?;
    }
    Ok(answers)
}

/// What extending a lease has to know of a job.
struct LeaseRow {
    token: Option<Vec<u8>>,
    cancel_requested: Option<CancelRequest>,
}

/// Those of the jobs that were asked to stop.
pub(in crate::sql) async fn cancel_asked(
    tx: &mut Tx,
    leases: &[(JobId, LeaseToken)],
) -> Result<Vec<CancelAsked>, Fault> {
    let found = leases_of(tx, q::job_cancel_asked, leases.iter().map(|(id, _)| *id)).await?;
    let asked = leases.iter().filter_map(|&(id, token)| {
        let row = found.get(&id).filter(|row| row.token.as_deref() == Some(token.as_bytes()))?;
        Some(CancelAsked { id, token, request: row.cancel_requested? })
    });
    Ok(asked.collect())
}

async fn leases_of(
    tx: &mut Tx,
    query: Query,
    ids: impl IntoIterator<Item = JobId>,
) -> Result<HashMap<JobId, LeaseRow>, Fault> {
    let ids: Vec<JobId> = ids.into_iter().collect();
    let mut found = HashMap::with_capacity(ids.len());
    if ids.is_empty() {
        return Ok(found);
    }
    for mut row in tx.fetch(query, vec![list(ids)]).await? {
        // What is damaged holds up no other; a token that cannot be read is nobody's.
        let Ok(id) = row.job_id() else { continue };
        let token = row.maybe_bytes().ok().flatten();
        found.insert(id, LeaseRow { token, cancel_requested: row.cancel_request().unwrap_or(None) });
    }
    Ok(found)
}

pub(in crate::sql) async fn report(tx: &mut Tx, reports: &[JobReport]) -> Result<(), Fault> {
    let locked = by_id(lock(tx, reports.iter().map(|report| report.id)).await?);
    let (mut progress, mut lines) = (HashMap::new(), Vec::new());
    for report in reports.iter().filter(|report| locked.get(&report.id).is_some_and(|job| job.holds(report.token))) {
        lines.extend(report.lines.iter().map(|line| row::new_log_line(report.id, line.clone())));
        if let Some(news) = &report.progress {
            progress.insert(report.id, values![report.id, news.to_json()]);
        }
    }
    tx.execute_rows(q::job_log_insert, lines).await?;
    tx.execute_rows(q::job_progress, progress.into_values().collect()).await?;
    Ok(())
}

/// What a batch of releases comes down to, in rows of statements.
#[derive(Default)]
struct Writes<'a> {
    finished: Vec<Vec<Value>>,
    requeued: Vec<Vec<Value>>,
    lines: Vec<Vec<Value>>,
    jobs: Vec<&'a JobSpec>,
    schedules: Vec<&'a AddSchedule>,
    touched: Touched,
}

/// A batch of releases on its way.
pub(in crate::sql) struct Releasing {
    request: ReleaseJobs,
    /// Whether the jobs are read before they are written.
    is_careful: AtomicBool,
}

impl Releasing {
    /// A batch is written unread where nothing depends on how its jobs stand, save that their leases are held: almost always, and then
    /// the database is asked once instead of twice.
    pub(in crate::sql) fn new(request: ReleaseJobs) -> Releasing {
        let is_plain = request
            .releases
            .iter()
            .all(|release| matches!(release.ending, Ending::Finished { .. }) && release.effects.kv.writes.is_empty());
        Releasing { request, is_careful: AtomicBool::new(!is_plain) }
    }
}

pub(in crate::sql) async fn release(tx: &mut Tx, releasing: &Releasing) -> Result<Vec<Released>, Fault> {
    let mut touched = Touched::default();
    let released = release_unsettled(tx, releasing, &mut touched).await?;
    places::settle(tx, touched).await?;
    Ok(released)
}

/// As [`release`]; the groups of the jobs are the caller's to settle.
pub(in crate::sql) async fn release_unsettled(
    tx: &mut Tx,
    releasing: &Releasing,
    touched: &mut Touched,
) -> Result<Vec<Released>, Fault> {
    let Releasing { request, is_careful } = releasing;
    if is_careful.load(Ordering::Relaxed) {
        return release_held(tx, request, touched).await;
    }
    let mut concerned = ends::Schedules::lock(tx, concerned(request)).await?;
    // By id, as everyone locks jobs who locks several.
    let mut in_order: Vec<&ReleaseJob> = request.releases.iter().collect();
    in_order.sort_unstable_by_key(|release| release.id);
    let mut writes = Writes::default();
    for release in in_order {
        if let Ending::Finished { outcome, result, error, expires_at } = &release.ending {
            let finish =
                Finish { outcome: *outcome, result: result.as_ref(), error: error.as_ref(), expires_at: *expires_at };
            writes.finished.push(finish.row(release, request.now));
            writes.follow_up(release);
        }
    }
    let hooked = hooks::jobs(tx, request.releases.iter().filter_map(ReleaseJob::hook_call), request.now).await?;
    writes.jobs.extend(&hooked);
    let stored = finish(tx, std::mem::take(&mut writes.finished), &mut writes.touched).await?;
    if usize::try_from(stored) != Ok(request.releases.len()) {
        // Somebody else has some of the jobs now, or a job is in the batch twice.
        is_careful.store(true, Ordering::Relaxed);
        return Err(Fault::Again);
    }
    *touched = writes.store(tx).await?;
    let mut answers = Vec::with_capacity(request.releases.len());
    for release in &request.releases {
        let stopped = JobEnd::of(release).and_then(|end| concerned.end(&end, request.now));
        answers.push(Released::stored(stopped));
    }
    concerned.store(tx).await?;
    Ok(answers)
}

/// The schedules that the ends of jobs may stop.
fn concerned(request: &ReleaseJobs) -> impl Iterator<Item = &ConcernedSchedule> {
    request.releases.iter().filter_map(JobEnd::of).map(|end| end.schedule)
}

/// Finishes jobs whose leases are held, notes the places that they had, and answers how many they were.
async fn finish(tx: &mut Tx, rows: Vec<Vec<Value>>, touched: &mut Touched) -> Result<u64, Fault> {
    if rows.is_empty() {
        return Ok(0);
    }
    if tx.dialect != Dialect::Postgres {
        let ids = rows.iter().filter_map(|row| row.first().cloned()).collect();
        for mut row in tx.fetch(q::job_places, vec![Arg::List(ids)]).await? {
            note_places(&mut row, touched)?;
        }
        return tx.execute_rows(q::job_finish, rows).await;
    }
    let mut stored = 0;
    for mut row in tx.change_rows(q::job_finish, rows).await? {
        let (count, is_place) = (row.small::<u64>()?, row.clone().maybe_text()?.is_some());
        if is_place {
            note_places(&mut row, touched)?;
        } else {
            stored += count;
        }
    }
    Ok(stored)
}

fn note_places(row: &mut Row, touched: &mut Touched) -> Result<(), Fault> {
    let (task, key) = (row.task_id()?, row.maybe_text()?);
    touched.left(&task, key.as_deref(), Places::read(row)?);
    Ok(())
}

/// Stores those releases whose leases are held.
async fn release_held(tx: &mut Tx, request: &ReleaseJobs, touched: &mut Touched) -> Result<Vec<Released>, Fault> {
    let mut concerned = ends::Schedules::lock(tx, concerned(request)).await?;
    let mut locked = by_id(lock(tx, request.releases.iter().map(|release| release.id)).await?);
    let mut answers = Vec::with_capacity(request.releases.len());
    let (mut writes, mut calls) = (Writes::default(), Vec::new());
    let held = |release: &&ReleaseJob| locked.get(&release.id).is_some_and(|job| job.holds(release.token));
    let written = request.releases.iter().filter(held).filter(|release| rules::effects_apply(release));
    let mut buckets = kv::lock(tx, kv::places(written.flat_map(|release| &release.effects.kv.writes))).await?;
    for release in &request.releases {
        // Taken out: the second of two releases of one job comes after the end of the lease.
        let held = locked.get(&release.id).is_some_and(|job| job.holds(release.token));
        let Some(job) = locked.remove(&release.id).filter(|_| held) else {
            answers.push(Released::LeaseLost);
            continue;
        };
        if rules::effects_apply(release)
            && let Err(refusal) = buckets.apply(&release.effects.kv, request.now)
        {
            answers.push(Released::Refused(refusal));
            continue;
        }
        settle(&mut writes, &job, release, request.now);
        calls.extend(release.hook_call());
        let stopped = JobEnd::of(release).and_then(|end| concerned.end(&end, request.now));
        answers.push(Released::stored(stopped));
    }
    concerned.store(tx).await?;
    kv::store(tx, buckets).await?;
    let hooked = hooks::jobs(tx, calls, request.now).await?;
    writes.jobs.extend(&hooked);
    *touched = writes.store(tx).await?;
    Ok(answers)
}

impl<'a> Writes<'a> {
    /// Adds what a release writes besides the job itself.
    fn follow_up(&mut self, release: &'a ReleaseJob) {
        if rules::effects_apply(release) {
            self.jobs.extend(&release.effects.jobs);
            self.schedules.extend(&release.effects.schedules);
        }
        self.lines.extend(release.lines.iter().map(|line: &LogLine| row::new_log_line(release.id, line.clone())));
    }

    /// Writes everything, and answers the groups that are to be settled.
    async fn store(self, tx: &mut Tx) -> Result<Touched, Fault> {
        let mut touched = self.touched;
        add(tx, &self.jobs, &mut touched).await?;
        for schedule in self.schedules {
            // An id that is taken leaves the schedule out; the guest's job has succeeded all the same.
            let conflict =
                if schedule.conflict == ConflictPolicy::Error { ConflictPolicy::Skip } else { schedule.conflict };
            schedules::add(tx, &AddSchedule { conflict, ..schedule.clone() }).await?;
        }
        tx.execute_rows(q::job_log_insert, self.lines).await?;
        // The places are noted already, by whoever has read the jobs.
        finish(tx, self.finished, &mut Touched::default()).await?;
        tx.execute_rows(q::job_requeue, self.requeued).await?;
        Ok(touched)
    }
}

/// Adds what ending one attempt writes.
fn settle<'a>(writes: &mut Writes<'a>, job: &LockedJob, release: &'a ReleaseJob, now: Timestamp) {
    writes.follow_up(release);
    if job.cancel_requested || matches!(release.ending, Ending::Finished { .. }) {
        job.leave(&mut writes.touched);
    }
    let cancelled = |error| Finish {
        outcome: Outcome::Cancelled,
        result: None,
        error,
        expires_at: rules::expiry(now, job.result_ttl),
    };
    match &release.ending {
        Ending::Finished { outcome, result, error, expires_at } => {
            let finish =
                Finish { outcome: *outcome, result: result.as_ref(), error: error.as_ref(), expires_at: *expires_at };
            writes.finished.push(finish.row(release, now));
        }
        Ending::Retry { error, .. } if job.cancel_requested => {
            writes.finished.push(cancelled(Some(error)).row(release, now));
        }
        Ending::Requeued { .. } if job.cancel_requested => writes.finished.push(cancelled(None).row(release, now)),
        Ending::Retry { due_at, error } => {
            let requeue = Requeue {
                due_at: *due_at,
                now,
                error: Some(error),
                release: Some(release),
                started_at: release.started_at.or(job.started_at),
                ..Requeue::of(job)
            };
            let row = requeue.place(job, &mut writes.touched);
            writes.requeued.push(row);
        }
        Ending::Requeued { not_before } => {
            let requeue = Requeue {
                now,
                not_before: *not_before,
                attempt: job.attempt.saturating_sub(1),
                started_at: None,
                release: Some(release),
                ..Requeue::of(job)
            };
            let row = requeue.place(job, &mut writes.touched);
            writes.requeued.push(row);
        }
    }
}

/// The end of a job.
struct Finish<'a> {
    outcome: Outcome,
    result: Option<&'a crate::model::Payload>,
    error: Option<&'a JobError>,
    expires_at: Timestamp,
}

impl Finish<'_> {
    /// The row of `job_finish`.
    fn row(&self, release: &ReleaseJob, now: Timestamp) -> Vec<Value> {
        values![
            release.id,
            release.token,
            self.outcome,
            now,
            self.expires_at,
            self.result.map(|result| result.encoding.as_str()),
            self.result.map(|result| &*result.data),
            self.error.map(|error| error.to_json()),
            release.usage.map(|usage| usage.to_json()),
            release.plugin_digest,
            release.started_at,
            release.progress.as_ref().map(|progress| progress.to_json()),
        ]
    }
}
