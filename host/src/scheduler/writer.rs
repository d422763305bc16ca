//! Writes what attempts say and how they end: collected from all of them, in batches. Whoever wants jobs asks here as well, so that they are
//! leased in the call that stores the ends.
//!
//! While one batch is being stored the next one gathers, so batches grow with the load and a lone job waits for nobody. While jobs wait for
//! slots, so that ends come one after the other, a batch gathers as long again, unless somebody asks for jobs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::acquisition::{Acquisition, Ask, acquire};
use super::batch::{self, NotStored, store_each};
use super::core::Core;
use super::rollout;
use crate::clock::{Clock as _, Instant, sleep_until_instant};
use crate::model::{
    Backoff, Effects, ErrorKind, EventKind, Job, JobError, JobSpec, KvRefusal, Outcome, PluginName, ReleaseError,
    ReleasedJob, ScheduleId, TaskId, Timestamp,
};
use crate::store::{
    CountRollout, Ending, ExchangeJobs, ExchangedJobs, JobReport, PayloadBytes as _, ReleaseJob, ReleaseJobs, Released,
    StoreError,
};

/// Most attempts whose end waits to be written; an attempt that finds no room waits, with its slot.
pub(super) const WRITES_MAX: usize = 1_024;
/// The longest that an end waits for others.
const GATHER_MAX: Duration = Duration::from_millis(10);
/// Pause before writes are tried again while the store takes none.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How often an end may fail alone, for a reason that may pass, before the job ends without its result.
const FAILURES_MAX: u32 = 5;

/// The pauses before an end that failed alone is tried again.
fn pauses() -> Backoff {
    Backoff { initial: RETRY_PAUSE, max: Duration::from_secs(10), factor_percent: 300, jitter_percent: 20 }
}

/// Something to be written.
#[derive(Debug)]
pub(super) enum Write {
    /// Lines and progress of a running attempt.
    Report(JobReport),
    /// The end of an attempt.
    Release(Box<Ended>),
    /// Somebody wants jobs. There is one of these at a time.
    Acquire(Ask),
}

/// The end of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// What is to be stored.
    pub(super) release: ReleaseJob,
    /// What events say of the job.
    pub(super) subject: Subject,
    /// The plugin, where it ran a version of it that is being rolled out.
    pub(super) rolled_out: Option<PluginName>,
    /// How it ends where what the task wrote is refused. The error is filled in then.
    pub(super) if_refused: Option<Ending>,
}

/// What an event says of a job, beside how it ended. Not the job, whose arguments are not to wait for the store.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    task_id: TaskId,
    schedule_id: Option<ScheduleId>,
    scheduled_fire_time: Option<Timestamp>,
}

impl Subject {
    pub(super) fn of(job: &Job) -> Subject {
        let JobSpec { task_id, schedule_id, scheduled_fire_time, .. } = &job.spec;
        let (task_id, schedule_id) = (task_id.clone(), schedule_id.clone());
        Subject { task_id, schedule_id, scheduled_fire_time: *scheduled_fire_time }
    }
}

/// The end of an attempt on its way into the store.
#[derive(Debug, Clone)]
struct End {
    release: ReleaseJob,
    subject: Subject,
    rolled_out: Option<PluginName>,
    if_refused: Option<Ending>,
    /// How often it failed alone.
    failures: u32,
    retry_at: Instant,
}

/// Writes until everyone who could send has gone, and everything is written. Reports are written before releases: after those their
/// tokens hold no more.
pub(super) async fn run(core: Arc<Core>, mut receiver: mpsc::Receiver<Write>) {
    let mut batch = Vec::with_capacity(WRITES_MAX);
    // Those that failed alone, apart from everyone else.
    let mut waiting: Vec<End> = Vec::new();
    let mut acquisition = Acquisition::new();
    let mut is_open = true;
    let mut took = Duration::ZERO;
    while is_open || !waiting.is_empty() {
        is_open = gather(&core, &mut receiver, &mut batch, is_open, &waiting).await;
        gather_more(&core, &mut receiver, &mut batch, took.min(GATHER_MAX)).await;
        let (mut reports, mut ends, mut ask) = (Vec::new(), Vec::new(), None);
        let now = core.time.monotonic();
        for write in batch.drain(..) {
            match write {
                Write::Report(report) => reports.push(report),
                Write::Release(ended) => {
                    let Ended { release, subject, rolled_out, if_refused } = *ended;
                    ends.push(End { release, subject, rolled_out, if_refused, failures: 0, retry_at: now });
                }
                Write::Acquire(new) => ask = Some(new),
            }
        }
        if !reports.is_empty() {
            store_reports(&core, reports).await;
        }
        let is_due = |end: &mut End| end.retry_at <= now || core.stop_serving.is_cancelled();
        let due: Vec<End> = waiting.extract_if(.., is_due).collect();
        let began = core.time.monotonic();
        match ask {
            Some(ask) => waiting.extend(exchange(&core, &mut acquisition, ends, ask).await),
            None if ends.is_empty() => {}
            None => waiting.extend(store_ends(&core, ends).await),
        }
        took = core.time.monotonic().saturating_since(began);
        for end in due {
            waiting.extend(store_ends(&core, vec![end]).await);
        }
    }
}

/// Waits for more to write, for `span` at most, while more is sure to come and nobody waits for jobs.
async fn gather_more(core: &Core, receiver: &mut mpsc::Receiver<Write>, batch: &mut Vec<Write>, span: Duration) {
    // Whoever has waited for the slot of an attempt that has just ended wants the next job at this very moment.
    tokio::task::yield_now().await;
    while batch.len() < WRITES_MAX
        && let Ok(write) = receiver.try_recv()
    {
        batch.push(write);
    }
    let end = core.time.monotonic().saturating_add(span);
    let mut looked_at = 0;
    while batch.len() < WRITES_MAX && core.has_backlog.load(Ordering::Relaxed) {
        if batch[looked_at..].iter().any(|write| matches!(write, Write::Acquire(_))) {
            return;
        }
        looked_at = batch.len();
        let count = tokio::select! {
            biased;
            () = core.stop_taking.cancelled() => return,
            count = receiver.recv_many(batch, WRITES_MAX - looked_at) => count,
            () = sleep_until_instant(&core.time, end) => return,
        };
        if count == 0 {
            return;
        }
    }
}

/// Stores ends and leases jobs for whoever asks, in one call where that succeeds. Answers the ends that are to be tried again.
async fn exchange(core: &Core, acquisition: &mut Acquisition, ends: Vec<End>, ask: Ask) -> Vec<End> {
    let Ask { limit, queues, choice, reply } = ask;
    let size = |end: &End| end.release.payload_bytes();
    let mut first = ends;
    let rest = batch::cut_first(&mut first, size);
    let mut counts = Vec::new();
    let answer = if first.is_empty() {
        acquire(core, acquisition, limit, queues, choice).await
    } else {
        let releases = first.iter().map(|end| end.release.clone()).collect();
        let acquire_request = acquisition.request(core, limit, queues.clone(), choice.clone());
        let release = ReleaseJobs { now: core.time.now(), releases };
        match core.store.job_exchange(ExchangeJobs { release, acquire: acquire_request }).await {
            Ok(ExchangedJobs { released, acquired }) => {
                let leased = acquisition.answered(core, acquired);
                (counts, first) = after_release(core, std::mem::take(&mut first).into_iter().zip(released).collect());
                Ok(leased)
            }
            Err(error) if batch::is_away(&*core.store, &error).await => Err(error),
            // Perhaps one of the ends is to blame, which is found by those that are left alone.
            Err(_) => acquire(core, acquisition, limit, queues, choice).await,
        }
    };
    // Whoever is gone takes nothing any more; what was leased is given back when its lease is over.
    let _gone = reply.send(answer);
    rollout::store(core, counts).await;
    first.extend(rest);
    store_ends(core, first).await
}

/// Waits for something to write: news, or what is to be tried again. Answers whether there may be more news.
async fn gather(
    core: &Core,
    receiver: &mut mpsc::Receiver<Write>,
    batch: &mut Vec<Write>,
    is_open: bool,
    waiting: &[End],
) -> bool {
    // Not at once where that time has come: what waits has failed before.
    let not_before = core.time.monotonic().saturating_add(RETRY_PAUSE);
    let retry_at = waiting.iter().map(|end| end.retry_at.max(not_before)).min();
    tokio::select! {
        biased;
        count = receiver.recv_many(batch, WRITES_MAX), if is_open => count > 0,
        () = core.stop_serving.cancelled(), if !waiting.is_empty() => is_open,
        () = super::sleep_until(core, retry_at) => is_open,
    }
}

/// Stores reports. While the store takes none, those who report wait.
async fn store_reports(core: &Core, reports: Vec<JobReport>) {
    let mut left = reports;
    while !left.is_empty() {
        let report = |reports: Vec<JobReport>| {
            let count = reports.len();
            async move { core.store.job_report(reports).await.map(|()| vec![(); count]) }
        };
        let done = store_each(&*core.store, std::mem::take(&mut left), JobReport::payload_bytes, report).await;
        for (report, answer) in done {
            match answer {
                Ok(()) => {}
                Err(NotStored::Away(_)) if !core.stop_serving.is_cancelled() => left.push(report),
                Err(NotStored::Away(error) | NotStored::Alone(error)) => {
                    let error = super::chain(&error);
                    tracing::warn!(job.id = %report.id, error, "log lines of a job could not be stored and are lost");
                }
            }
        }
        if !left.is_empty() {
            pause(core).await;
        }
    }
}

/// Stores ends, and answers those that are to be tried again apart from the others. While the store takes none, those who end wait.
async fn store_ends(core: &Core, ends: Vec<End>) -> Vec<End> {
    let mut left = VecDeque::from(ends);
    let mut apart = Vec::new();
    while !left.is_empty() {
        let release = |ends: Vec<End>| {
            let releases = ends.into_iter().map(|end| end.release).collect();
            core.store.job_release(ReleaseJobs { now: core.time.now(), releases })
        };
        let ends = std::mem::take(&mut left).into();
        let done = store_each(&*core.store, ends, |end: &End| end.release.payload_bytes(), release).await;
        let (mut stored, mut is_away) = (Vec::new(), false);
        for (end, answer) in done {
            match answer {
                Ok(answer) => stored.push((end, answer)),
                Err(NotStored::Away(error)) if core.stop_serving.is_cancelled() => give_up(core, &end, &error),
                Err(NotStored::Away(_)) => {
                    is_away = true;
                    left.push_back(end);
                }
                Err(NotStored::Alone(error)) => apart.extend(retry_or_give_up(core, end, &error)),
            }
        }
        if !stored.is_empty() {
            let (counts, refused) = after_release(core, stored);
            rollout::store(core, counts).await;
            left.extend(refused);
        }
        if is_away {
            pause(core).await;
        }
    }
    apart
}

/// What becomes of an end that the store did not take although it took others: it is tried again, then without its result, and then given up.
fn retry_or_give_up(core: &Core, mut end: End, error: &StoreError) -> Option<End> {
    let now = core.time.monotonic();
    end.failures += 1;
    let may_pass = !matches!(error, StoreError::Rejected { .. }) && end.failures < FAILURES_MAX;
    if may_pass && !core.stop_serving.is_cancelled() {
        end.retry_at = now.saturating_add(pauses().delay(end.failures, fastrand::f64()));
        return Some(end);
    }
    if replace_with_error(&mut end.release, error, core.time.now()) {
        tracing::error!(job.id = %end.release.id, error = %super::chain(error), "the end of a job could not be stored");
        return Some(End { failures: 0, retry_at: now, ..end });
    }
    give_up(core, &end, error);
    None
}

/// The lease runs out, and the job runs again.
fn give_up(core: &Core, end: &End, error: &StoreError) {
    let error = super::chain(error);
    tracing::error!(job.id = %end.release.id, error, "the end of a job could not be stored; the job will run again");
    core.running.end(end.release.id, end.release.token);
}

/// Waits a little before a write is tried again; not at all once the scheduler stops.
async fn pause(core: &Core) {
    tokio::select! {
        biased;
        () = core.stop_serving.cancelled() => {}
        () = core.time.sleep(RETRY_PAUSE) => {}
    }
}

/// Puts an error in the place of a result that cannot be stored, so that the job ends; `false` where that was tried before.
fn replace_with_error(release: &mut ReleaseJob, cause: &StoreError, now: Timestamp) -> bool {
    let expires_at = match &release.ending {
        Ending::Finished { error: Some(error), .. } if error.kind == ErrorKind::HostError => return false,
        Ending::Finished { expires_at, .. } => *expires_at,
        Ending::Retry { .. } | Ending::Requeued { .. } => now.saturating_add(crate::model::limits::RESULT_TTL_DEFAULT),
    };
    let mut error = JobError::new(ErrorKind::HostError, "the job ended, but how it ended could not be stored");
    error.context.push(super::chain(cause));
    release.ending = Ending::Finished { outcome: Outcome::Error, result: None, error: Some(error), expires_at };
    release.lines = Vec::new();
    release.progress = None;
    release.effects = Effects::default();
    true
}

fn released(core: &Core, subject: Subject, release: &ReleaseJob) -> ReleasedJob {
    let (outcome, error) = match &release.ending {
        Ending::Finished { outcome, error, .. } => (Some(*outcome), error.as_ref()),
        Ending::Retry { error, .. } => (None, Some(error)),
        Ending::Requeued { .. } => (None, None),
    };
    ReleasedJob {
        scheduler_id: Some(core.options.identity.clone()),
        schedule_id: subject.schedule_id,
        scheduled_fire_time: subject.scheduled_fire_time,
        started_at: release.started_at,
        error: error.map(ReleaseError::from),
        ..ReleasedJob::new(release.id, subject.task_id, outcome)
    }
}

/// Puts the refusal of what a task wrote in the place of its success.
fn replace_with_refusal(mut end: End, refusal: &KvRefusal) -> Option<End> {
    let mut ending = end.if_refused.take()?;
    let refused = JobError {
        context: vec![format!("code: {}", refusal.code())],
        ..JobError::new(ErrorKind::GuestError, format!("what the task wrote could not be stored: {refusal}"))
    };
    if let Ending::Finished { error: Some(error), .. } | Ending::Retry { error, .. } = &mut ending {
        *error = refused;
    }
    tracing::info!(job.id = %end.release.id, reason = %refusal, "what a task wrote was refused");
    end.release.ending = ending;
    end.release.effects = Effects::default();
    Some(end)
}

/// Tells everyone of ends that are stored, and answers what there is to count of them, and the ends that are to be stored otherwise.
fn after_release(core: &Core, stored: Vec<(End, Released)>) -> (Vec<CountRollout>, Vec<End>) {
    let (mut refused, mut done) = (Vec::new(), Vec::with_capacity(stored.len()));
    for (end, answer) in stored {
        match &answer {
            Released::Refused(refusal) => refused.extend(replace_with_refusal(end, refusal)),
            Released::Stored | Released::StoredAndStopped(_) | Released::LeaseLost => done.push((end, answer)),
        }
    }
    let stored = done;
    let counted = stored.iter().filter(|(_, answer)| answer.is_stored());
    let counted = counted.filter_map(|(end, _)| Some((end.rolled_out.as_ref()?, &end.release)));
    let counts = rollout::counts(core.time.now(), counted);
    let mut has_effects = false;
    for (End { release, subject, .. }, answer) in stored {
        core.running.end(release.id, release.token);
        if answer == Released::LeaseLost {
            tracing::warn!(job.id = %release.id, "a job's lease was lost before its end was stored; somebody else has it");
            core.metrics.leases_lost(1);
            continue;
        }
        core.metrics.attempt_ended(&subject.task_id, &release);
        has_effects |= !release.effects.schedules.is_empty();
        core.notifier.publish([released(core, subject, &release).into()]);
        let hook = release.hook_call().map(|call| (call.id, call.task_id));
        core.notifier.publish(hook.map(|(job_id, task_id)| EventKind::JobAdded { job_id, task_id, schedule_id: None }));
        if let Released::StoredAndStopped(stopped) = answer {
            super::stopped::publish(core, stopped);
        }
    }
    // A slot of a task became free, or a retry has a due time now.
    core.jobs_changed.notify_one();
    if has_effects {
        core.schedules_changed.notify_one();
    }
    (counts, refused)
}
