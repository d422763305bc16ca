//! What the holder of a lease writes: extensions, reports, releases.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::encoding::Encode as _;
use super::jobs::{self, LockedJob, lock};
use super::query::q;
use super::row;
use super::schedules;
use super::tx::{Fault, Tx};
use super::value::{Value, args, list, values};
use crate::model::{ConflictPolicy, JobError, JobId, JobSpec, LogLine, Outcome, Timestamp};
use crate::store::{AddSchedule, Ending, ExtendJobs, Extended, JobReport, ReleaseJob, ReleaseJobs, Released, rules};

fn by_id(locked: Vec<LockedJob>) -> HashMap<JobId, LockedJob> {
    locked.into_iter().map(|job| (job.id, job)).collect()
}

pub(super) async fn extend(tx: &mut Tx, request: &ExtendJobs) -> Result<Vec<Extended>, Fault> {
    let locked = by_id(lock(tx, request.leases.iter().map(|(id, _)| *id)).await?);
    let (mut answers, mut held) = (Vec::with_capacity(request.leases.len()), Vec::new());
    for &(id, token) in &request.leases {
        let job = locked.get(&id).filter(|job| job.holds(token));
        held.extend(job.map(|job| job.id));
        let cancel_requested = job.is_some_and(|job| job.cancel_requested);
        answers.push(Extended { id, held: job.is_some(), cancel_requested });
    }
    if !held.is_empty() {
        let mut arguments = args![request.lease_until];
        arguments.push(list(held));
        tx.execute(q::job_extend, arguments).await?;
    }
    Ok(answers)
}

pub(super) async fn report(tx: &mut Tx, reports: &[JobReport]) -> Result<(), Fault> {
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
}

/// A batch of releases on its way.
pub(super) struct Releasing {
    request: ReleaseJobs,
    /// Whether the jobs are read before they are written.
    is_careful: AtomicBool,
}

impl Releasing {
    /// A batch is written unread where nothing depends on how its jobs stand, save that their leases are held: almost always, and then
    /// the database is asked once instead of twice.
    pub(super) fn new(request: ReleaseJobs) -> Releasing {
        let is_plain = request.releases.iter().all(|release| matches!(release.ending, Ending::Finished { .. }));
        Releasing { request, is_careful: AtomicBool::new(!is_plain) }
    }
}

pub(super) async fn release(tx: &mut Tx, releasing: &Releasing) -> Result<Vec<Released>, Fault> {
    let Releasing { request, is_careful } = releasing;
    if is_careful.load(Ordering::Relaxed) {
        return release_held(tx, request).await;
    }
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
    let stored = tx.execute_rows(q::job_finish, std::mem::take(&mut writes.finished)).await?;
    if usize::try_from(stored) != Ok(request.releases.len()) {
        // Somebody else has some of the jobs now, or a job is in the batch twice.
        is_careful.store(true, Ordering::Relaxed);
        return Err(Fault::Again);
    }
    writes.store(tx).await?;
    Ok(vec![Released::Stored; request.releases.len()])
}

/// Stores those releases whose leases are held.
async fn release_held(tx: &mut Tx, request: &ReleaseJobs) -> Result<Vec<Released>, Fault> {
    let mut locked = by_id(lock(tx, request.releases.iter().map(|release| release.id)).await?);
    let mut answers = Vec::with_capacity(request.releases.len());
    let mut writes = Writes::default();
    for release in &request.releases {
        // Taken out: the second of two releases of one job comes after the end of the lease.
        let held = locked.get(&release.id).is_some_and(|job| job.holds(release.token));
        let Some(job) = locked.remove(&release.id).filter(|_| held) else {
            answers.push(Released::LeaseLost);
            continue;
        };
        settle(&mut writes, &job, release, request.now);
        answers.push(Released::Stored);
    }
    writes.store(tx).await?;
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

    async fn store(self, tx: &mut Tx) -> Result<(), Fault> {
        jobs::add(tx, &self.jobs).await?;
        for schedule in self.schedules {
            // An id that is taken leaves the schedule out; the guest's job has succeeded all the same.
            let conflict =
                if schedule.conflict == ConflictPolicy::Error { ConflictPolicy::Skip } else { schedule.conflict };
            schedules::add(tx, &AddSchedule { conflict, ..schedule.clone() }).await?;
        }
        tx.execute_rows(q::job_log_insert, self.lines).await?;
        tx.execute_rows(q::job_finish, self.finished).await?;
        tx.execute_rows(q::job_requeue, self.requeued).await?;
        Ok(())
    }
}

/// Adds what ending one attempt writes.
fn settle<'a>(writes: &mut Writes<'a>, job: &LockedJob, release: &'a ReleaseJob, now: Timestamp) {
    writes.follow_up(release);
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
        Ending::GivenBack { .. } if job.cancel_requested => writes.finished.push(cancelled(None).row(release, now)),
        Ending::Retry { due_at, error } => {
            let requeue = Requeue {
                due_at: *due_at,
                now,
                error: Some(error),
                release: Some(release),
                started_at: release.started_at.or(job.started_at),
                ..Requeue::of(job)
            };
            writes.requeued.push(requeue.row(job));
        }
        Ending::GivenBack { not_before } => {
            let requeue = Requeue {
                now,
                not_before: *not_before,
                attempt: job.attempt.saturating_sub(1),
                started_at: None,
                release: Some(release),
                ..Requeue::of(job)
            };
            writes.requeued.push(requeue.row(job));
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

/// A job's way back into the queue.
pub(super) struct Requeue<'a> {
    pub(super) due_at: Timestamp,
    pub(super) now: Timestamp,
    /// Nobody takes it earlier, although it is due.
    pub(super) not_before: Option<Timestamp>,
    pub(super) attempt: u32,
    pub(super) crashes: u32,
    pub(super) keeps_deadline: bool,
    pub(super) started_at: Option<Timestamp>,
    pub(super) error: Option<&'a JobError>,
    pub(super) release: Option<&'a ReleaseJob>,
}

impl Requeue<'_> {
    /// One that changes nothing but the state.
    pub(super) fn of(job: &LockedJob) -> Self {
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

    /// The row of `job_requeue`.
    pub(super) fn row(&self, job: &LockedJob) -> Vec<Value> {
        let release = self.release;
        let run_at = self.not_before.map_or(self.due_at, |not_before| not_before.max(self.due_at));
        values![
            job.id,
            self.due_at,
            Some(run_at).filter(|run_at| *run_at > self.now),
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
