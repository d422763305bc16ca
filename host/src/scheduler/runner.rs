//! One attempt, from its lease to its release.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::apart::Place;
use super::catalog::Resolved;
use super::core::Core;
use super::lease;
use super::running::{Attempt, Interrupt};
use super::sleep_until;
use super::writer::{Ended, Subject, Write};
use crate::clock::{Clock as _, Instant};
use crate::executor::{Finished, Invocation, Limits, MayBegin, Report, Retry, RunControl, Runnable, Verdict};
use crate::model::{ErrorKind, Job, JobError, LogLine, Outcome, Payload, Progress, Timestamp};
use crate::store::{Effects, Ending, HookedJob, JobReport, ReleaseJob};

/// Most lines that wait between a guest and its runner.
const REPORTS_MAX: usize = 256;
/// How long a running attempt's lines wait before they are stored, so that `jobs logs --follow` is alive and a talkative
/// guest does not cost a write for every line.
const FLUSH_AFTER: Duration = Duration::from_millis(250);
/// Lines that are stored at once without waiting any longer.
const FLUSH_LINES: usize = 1_000;

/// A job whose lease is kept.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) job: Job,
    attempt: Attempt,
}

/// Keeps the lease of a job from now on, which holds at least until then. An acquired job has a lease; for one without the answer is `None`.
pub(super) fn hold(core: &Core, job: Job, held_until: Instant) -> Option<Held> {
    let attempt = core.running.begin(job.spec.id, job.lease.as_ref()?.token, held_until);
    Some(Held { job, attempt })
}

/// Runs one attempt and hands its end to the writer. Answers what the task returned, also where the job keeps no result. `place`: that
/// among the other attempts, where it has one already.
pub(super) fn run(
    core: Arc<Core>,
    held: Held,
    place: Option<Place>,
    resolved: Resolved,
    writes: mpsc::Sender<Write>,
) -> impl Future<Output = Option<Payload>> + Send + 'static {
    let Held { job, attempt } = held;
    let span =
        tracing::info_span!("attempt", job.id = %job.spec.id, task.id = %job.spec.task_id, attempt = job.attempt);
    let runner = Runner { core, job: Arc::new(job), attempt, place, writes, buffer: Buffer::default() };
    runner.run(resolved).instrument(span)
}

struct Runner {
    core: Arc<Core>,
    job: Arc<Job>,
    attempt: Attempt,
    /// Its place among the other attempts, or apart from them, if it has one already.
    place: Option<Place>,
    writes: mpsc::Sender<Write>,
    buffer: Buffer,
}

/// What the guest has said and nobody has stored yet.
#[derive(Default)]
struct Buffer {
    lines: Vec<LogLine>,
    progress: Option<Progress>,
    flush_at: Option<Instant>,
}

/// What a runner waits for.
enum Step {
    Finished(Box<Finished>),
    Panicked,
    Said(Report),
    FlushDue,
    AskedToStop,
    GraceChanged,
    GraceOver,
}

impl Runner {
    async fn run(mut self, resolved: Resolved) -> Option<Payload> {
        let started_at = self.core.time.now();
        let Resolved { runnable, rolled_out } = resolved;
        let plugin_digest = runnable.as_ref().ok().and_then(|it| it.plugin.as_ref()).map(|plugin| plugin.digest);
        let plugin_digest = plugin_digest.or(self.job.plugin_digest);
        let mut finished = match runnable {
            Ok(runnable) => self.execute(runnable, started_at).await,
            Err(error) => failed(error, Retry::Backoff),
        };
        finished.usage.queued = started_at.saturating_since(self.job.spec.due_at);

        let interrupt = self.core.running.interrupt_of(self.job.spec.id);
        if interrupt == Some(Interrupt::LeaseLost) {
            tracing::warn!("an attempt was stopped: its lease was lost");
            self.core.running.end(self.job.spec.id, self.attempt.token);
            return None;
        }
        let returned = match &finished.verdict {
            Verdict::Success(payload) => Some(payload.clone()),
            _ => None,
        };
        let if_refused = (!finished.effects.kv.writes.is_empty()).then(|| {
            let error = JobError::new(ErrorKind::GuestError, "what the task wrote could not be stored");
            self.ending(Verdict::Failure { error, retry: Retry::Backoff }, None)
        });
        let ending = self.ending(finished.verdict, interrupt);
        log_end(&ending);
        let release = ReleaseJob {
            id: self.job.spec.id,
            token: self.attempt.token,
            ending,
            usage: Some(finished.usage),
            plugin_digest,
            started_at: Some(started_at),
            lines: self.buffer.lines,
            progress: self.buffer.progress,
            concerned: self.job.spec.concerned(),
            hooked: HookedJob::of(&self.job, self.core.time.now()),
            effects: if returned.is_some() { finished.effects } else { Effects::default() },
        };
        let ended = Ended { release, subject: Subject::of(&self.job), rolled_out, if_refused };
        // The writer ends after the last sender, and this is one.
        let _closed = self.writes.send(Write::Release(Box::new(ended))).await;
        returned
    }

    /// Runs the attempt, passing on what the guest says and what others ask of it.
    async fn execute(&mut self, runnable: Arc<Runnable>, started_at: Timestamp) -> Finished {
        let core = Arc::clone(&self.core);
        let executor = match core.executors.pick(self.job.spec.settings.executor.as_ref(), &runnable.target) {
            Ok(executor) => executor,
            Err(name) => return failed(no_executor(&core, &name), Retry::Backoff),
        };
        let (reports, mut said) = mpsc::channel(REPORTS_MAX);
        let invocation = Invocation {
            job: Arc::clone(&self.job),
            runnable,
            limits: Limits::of(&self.job.spec.settings, &core.options.caps),
            scheduler_id: core.options.identity.clone(),
            started_at,
        };
        let (cancel, kill) = (self.attempt.cancel.clone(), self.attempt.kill.clone());
        let control = RunControl { may_begin: self.may_begin(), cancel, kill, reports };
        if self.job.crashes > 0 {
            tracing::info!(job.crashes = self.job.crashes, "the job ran in a worker that died; it begins alone");
        }
        let cancel = control.cancel.clone();
        let attempt =
            core.apart.run(&core.time, self.job.crashes, self.place.take(), &cancel, executor.run(invocation, control));
        let mut execution = pin!(AssertUnwindSafe(attempt).catch_unwind());
        let (mut asked_at, mut kill_at) = (None, None);
        let finished = loop {
            let step = tokio::select! {
                biased;
                Some(report) = said.recv() => Step::Said(report),
                // Without an end it was asked to stop before its turn had come.
                ended = &mut execution => ended.map_or(Step::Panicked, |finished| {
                    Step::Finished(Box::new(finished.unwrap_or_else(|| Finished::of(Verdict::Cancelled))))
                }),
                () = sleep_until(&core, self.buffer.flush_at) => Step::FlushDue,
                () = self.attempt.cancel.cancelled(), if asked_at.is_none() => Step::AskedToStop,
                () = self.attempt.grace_changed.notified() => Step::GraceChanged,
                () = sleep_until(&core, kill_at), if !self.attempt.kill.is_cancelled() => Step::GraceOver,
            };
            match step {
                Step::Finished(finished) => break *finished,
                Step::Panicked => {
                    break failed(JobError::new(ErrorKind::HostError, "the executor panicked"), Retry::Backoff);
                }
                Step::Said(report) => self.take(report).await,
                Step::FlushDue => self.flush().await,
                Step::AskedToStop => {
                    asked_at = Some(core.time.monotonic());
                    kill_at = self.kill_at(asked_at);
                }
                Step::GraceChanged => kill_at = self.kill_at(asked_at),
                Step::GraceOver => self.attempt.kill.cancel(),
            }
        };
        while let Ok(report) = said.try_recv() {
            self.take(report).await;
        }
        finished
    }

    /// When the attempt is stopped that was asked to stop at that time.
    fn kill_at(&self, asked_at: Option<Instant>) -> Option<Instant> {
        let grace = self.core.running.grace_of(self.job.spec.id).unwrap_or(self.core.options.cancel_grace);
        asked_at.map(|at| at.saturating_add(grace))
    }

    /// Whether the lease can be relied on. A process that was stopped before it began an attempt must not begin it afterwards: somebody else
    /// may have.
    fn may_begin(&self) -> MayBegin {
        let (core, kill) = (Arc::clone(&self.core), self.attempt.kill.clone());
        MayBegin::new(move || {
            let ending_by = core.time.monotonic().saturating_add(lease::margin(core.options.lease_duration));
            core.running.stop_those_that_end(ending_by);
            !kill.is_cancelled()
        })
    }

    async fn take(&mut self, report: Report) {
        match report {
            Report::Line(line) => self.buffer.lines.push(line),
            Report::Progress(progress) => self.buffer.progress = Some(progress),
        }
        if self.buffer.lines.len() >= FLUSH_LINES {
            self.flush().await;
        } else if self.buffer.flush_at.is_none() {
            self.buffer.flush_at = Some(self.core.time.monotonic().saturating_add(FLUSH_AFTER));
        }
    }

    async fn flush(&mut self) {
        let Buffer { lines, progress, .. } = std::mem::take(&mut self.buffer);
        let report = JobReport { id: self.job.spec.id, token: self.attempt.token, lines, progress };
        let _closed = self.writes.send(Write::Report(report)).await;
    }

    /// What becomes of the job.
    fn ending(&self, verdict: Verdict, interrupt: Option<Interrupt>) -> Ending {
        match (verdict, interrupt) {
            (Verdict::Success(payload), _) => {
                let keeps_result = !self.job.spec.settings.result_ttl.is_zero();
                self.finished(Outcome::Success, keeps_result.then_some(payload), None)
            }
            // Whoever is asked to stop may say so with an error of its own; what was asked for is what happened.
            (Verdict::Failure { error, .. }, Some(Interrupt::Cancelled)) => {
                self.finished(Outcome::Cancelled, None, Some(error))
            }
            // Where the lease holds after all, the job goes back without having lost an attempt.
            (_, Some(Interrupt::Stopping | Interrupt::LeaseRunsOut)) => Ending::Requeued { not_before: None },
            (Verdict::Cancelled, _) => self.finished(Outcome::Cancelled, None, None),
            (Verdict::Failure { error, retry }, _) => match self.pause(retry) {
                Some(pause) if self.job.has_attempt_left() => {
                    Ending::Retry { due_at: self.core.time.now().saturating_add(pause), error }
                }
                _ => self.finished(Outcome::Error, None, Some(error)),
            },
        }
    }

    fn pause(&self, retry: Retry) -> Option<Duration> {
        match retry {
            Retry::Never => None,
            Retry::After(pause) => Some(pause.min(crate::model::limits::SPAN_MAX)),
            Retry::Backoff => Some(self.job.spec.settings.backoff.delay(self.job.attempt, fastrand::f64())),
        }
    }

    fn finished(&self, outcome: Outcome, result: Option<Payload>, error: Option<JobError>) -> Ending {
        let expires_at = self.core.time.now().saturating_add(self.job.spec.settings.result_ttl);
        Ending::Finished { outcome, result, error, expires_at }
    }
}

fn failed(error: JobError, retry: Retry) -> Finished {
    Finished::of(Verdict::Failure { error, retry })
}

fn no_executor(core: &Core, name: &str) -> JobError {
    let known: Vec<&str> = core.executors.names().iter().map(|name| name.as_str()).collect();
    JobError::new(
        ErrorKind::HostError,
        format!("scheduler `{}` has no executor named `{name}`; it has: {}", core.options.identity, known.join(", ")),
    )
}

fn log_end(ending: &Ending) {
    match ending {
        Ending::Finished { outcome, error: None, .. } => tracing::debug!(%outcome, "attempt ended"),
        Ending::Finished { outcome, error: Some(error), .. } => {
            tracing::info!(%outcome, error.kind = %error.kind, "attempt failed");
        }
        Ending::Retry { due_at, error } => {
            tracing::info!(error.kind = %error.kind, %due_at, "attempt failed; the job will be tried again");
        }
        Ending::Requeued { .. } => {
            tracing::info!("attempt given back: the scheduler stops, or the lease could not be renewed")
        }
    }
}
