//! `host submit` and `host run`.

use std::future::{self, Future};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use clap::Args;

use super::answer::{follow_logs, print_result, wait_for_end};
use super::batch;
use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::flags::{ArgumentArgs, SettingsArgs, pinned};
use super::when::TimeArg;
use crate::app::{AppResult, JobStart, NewJob, Unique};
use crate::assemble::signals::{Signal, Signals};
use crate::config::units::parse_duration;
use crate::model::{Job, JobId, Outcome, Settings};
use crate::trigger::DstPolicy;
use crate::wire::JobWire;

/// A job that is to be queued.
#[derive(Debug, Args)]
struct JobArgs {
    #[command(flatten)]
    arguments: ArgumentArgs,
    /// Run this version of the plugin, whichever is current: the beginning of its digest
    #[arg(long, value_name = "DIGEST")]
    version: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl JobArgs {
    /// The version is for [`pinned`] to look up, when the store is open.
    fn job(self, task: String) -> Outcomes<NewJob> {
        Ok(NewJob {
            args: self.arguments.arguments()?,
            settings: self.settings.settings()?,
            task,
            unchecked: self.arguments.unchecked,
            start: JobStart::Now,
            group: None,
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    /// The task: `plugin:task`, or the bare name where one plugin offers it
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    task: Option<String>,
    /// Queue a job for each line of a file, `-` for standard input: all of them or, with --partial, those that can be; a line is a JSON
    /// object with the words of these flags, such as `{"task": "greet", "args": {"name": "Ada"}, "max_attempts": 3}`
    #[arg(long, value_name = "FILE")]
    batch: Option<PathBuf>,
    /// Of --batch, queue the lines that can be, whatever the others are
    #[arg(long, requires = "batch")]
    partial: bool,
    #[command(flatten)]
    job: JobArgs,
    /// Put it into a group, so that `host jobs` lists, cancels and retries it with the others of that
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Start it not before this time: RFC 3339, or a local time such as 2026-12-01T10:00 of --timezone
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    at: Option<TimeArg>,
    /// Start it not before so much time has passed, such as `10m`
    #[arg(long = "in", id = "delay", value_name = "D", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// Time zone of a local time of --at
    #[arg(long, value_name = "ZONE", requires = "at")]
    timezone: Option<String>,
    /// Queue it only if the task has no job with this key; else answer the one that has it
    #[arg(long, value_name = "KEY")]
    unique_key: Option<String>,
    /// Let the key go after this time [default: when the job is removed, with its result]
    #[arg(long, value_name = "D", requires = "unique_key", value_parser = parse_duration)]
    unique_for: Option<Duration>,
    /// Wait for the job to end, and print its result instead of its ID
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this
    #[arg(long, value_name = "D", requires = "wait", value_parser = parse_duration)]
    wait_timeout: Option<Duration>,
}

impl SubmitArgs {
    /// Refuses all of them but `--partial` where each line of a file says these things itself.
    fn only_in_lines(&self) -> Outcomes {
        let SubmitArgs {
            task: _,
            batch: _,
            partial: _,
            job: JobArgs { arguments, version, settings },
            group,
            at,
            delay,
            timezone,
            unique_key,
            unique_for,
            wait,
            wait_timeout,
        } = self;
        let is_said = *arguments != ArgumentArgs::default()
            || version.is_some()
            || settings.settings()? != Settings::default()
            || group.is_some()
            || at.is_some()
            || delay.is_some()
            || timezone.is_some()
            || unique_key.is_some()
            || unique_for.is_some()
            || *wait
            || wait_timeout.is_some();
        if is_said {
            let what = "beside --batch, no flag but --partial says what the jobs are";
            return Err(Failure::usage(what, "write it into the lines of the file"));
        }
        Ok(())
    }

    fn start(&self) -> Outcomes<JobStart> {
        if let (Some(TimeArg::Instant(_)), Some(_)) = (self.at, &self.timezone) {
            let what = "--timezone has no meaning beside a time that names its offset";
            return Err(Failure::usage(what, "leave one of the two out"));
        }
        let at = self.at.map(|at| at.instant("--at", self.timezone.as_deref(), DstPolicy::default())).transpose()?;
        Ok(match (at, self.delay) {
            (Some(fire), _) => JobStart::At(fire.at),
            (None, Some(delay)) => JobStart::In(delay),
            (None, None) => JobStart::Now,
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The task: `plugin:task`, or the bare name where one plugin offers it
    task: String,
    #[command(flatten)]
    job: JobArgs,
}

pub(super) async fn submit(context: &mut Context, args: SubmitArgs) -> Outcomes {
    let Some(task) = args.task.clone() else {
        args.only_in_lines()?;
        return batch::run(context, &args.batch.unwrap_or_default(), args.partial).await;
    };
    if args.partial {
        return Err(Failure::usage("--partial has no meaning without --batch", "leave it out"));
    }
    let start = args.start()?;
    let version = args.job.version.clone();
    let mut job = NewJob { start, group: args.group, ..args.job.job(task)? };
    let app = context.app().await?;
    job.settings.version = pinned(&app, &job.task, version).await?;
    let (id, is_new) = match args.unique_key {
        None => (app.job_submit(job).await?, None),
        Some(key) => {
            let submitted = app.job_submit_unique(job, Unique { key, within: args.unique_for }).await?;
            (submitted.id, Some(submitted.is_new))
        }
    };
    if is_new == Some(false) {
        context.out.note("a job with this key is there already, and nothing was queued")?;
    }
    if !args.wait {
        if context.out.json {
            let mut answer = serde_json::json!({"job_id": id.to_string()});
            if let Some(is_new) = is_new {
                answer["new"] = is_new.into();
            }
            return Ok(context.out.json(&answer)?);
        }
        return Ok(context.out.line(&id.to_string())?);
    }
    context.out.note(&format!("job {id}"))?;
    let job = wait_for_end(context, &app, id, args.wait_timeout).await?;
    print_ended(context, &job)
}

/// Queues a job and runs it in this process. Asked to end by a signal, it cancels the job and waits for that; asked again, it leaves at once, and
/// the job goes on elsewhere when its lease has run out.
pub(super) async fn run(context: &mut Context, args: RunArgs) -> Outcomes {
    let version = args.job.version.clone();
    let mut new = args.job.job(args.task)?;
    let mut signals = Signals::listen()?;
    let opened = tokio::select! {
        opened = context.opened() => opened?,
        // Nothing is queued yet, and so there is nothing to cancel.
        signal = signals.next() => return Err(Failure::Interrupted(signal)),
    };
    let app = opened.app;
    new.settings.version = pinned(&app, &new.task, version).await?;
    let (id, early) = submit_through(&mut signals, app.job_submit(new)).await?;
    context.out.note(&format!("job {id}"))?;
    let running = app.job_run_here(id, &opened.executors, opened.options);
    let asked = OnceLock::new();
    let cancelling = {
        let (app, asked) = (app.clone(), &asked);
        async move {
            let first = match early {
                Some(signal) => signal,
                None => signals.next().await,
            };
            let signal = *asked.get_or_init(|| first);
            let cancel = async {
                // The job may have ended in this very moment; then its end is the answer.
                let is_asked = app.job_cancel(id, None).await.is_ok();
                tracing::info!(job.id = %id, ?signal, is_asked, "told to end; the job was asked to stop");
                future::pending::<Signal>().await
            };
            tokio::select! {
                again = signals.next() => again,
                never = cancel => never,
            }
        }
    };
    let both = async { tokio::join!(running, follow_logs(context, &app, id)) };
    let (ended, shown) = tokio::select! {
        both = both => both,
        again = cancelling => return Err(Failure::Interrupted(again)),
    };
    let job = ended?;
    shown?;
    match asked.get() {
        Some(signal) if job.outcome == Some(Outcome::Cancelled) => {
            context.out.note("the job is cancelled")?;
            Err(Failure::Interrupted(*signal))
        }
        _ => print_ended(context, &job),
    }
}

/// Waits for the queued job's ID. A signal that comes meanwhile is for the job, which may be queued already, and is answered beside the ID; the
/// second one is not waited with.
async fn submit_through(
    signals: &mut Signals,
    submitting: impl Future<Output = AppResult<JobId>>,
) -> Outcomes<(JobId, Option<Signal>)> {
    let mut submitting = pin!(submitting);
    let mut early = None;
    loop {
        let signal = tokio::select! {
            id = &mut submitting => return Ok((id?, early)),
            signal = signals.next() => signal,
        };
        if early.replace(signal).is_some() {
            return Err(Failure::Interrupted(signal));
        }
    }
}

/// Prints how a job ended: its result, or, as the command's failure, why there is none.
fn print_ended(context: &mut Context, job: &Job) -> Outcomes {
    if context.out.json {
        context.out.json(&JobWire::from(job))?;
    }
    let outcome = job.outcome.unwrap_or(Outcome::Abandoned);
    if outcome == Outcome::Success {
        return match (context.out.json, &job.result) {
            (true, _) => Ok(()),
            (false, Some(_)) => print_result(context, job),
            (false, None) => Ok(context.out.note("the job succeeded; its result is not kept")?),
        };
    }
    Err(Failure::Job { outcome, error: job.error.clone() })
}
