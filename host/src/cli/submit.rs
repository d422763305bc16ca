//! `host submit` and `host run`.

use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::flags::{ArgumentArgs, SettingsArgs};
use super::jobs::{follow_logs, print_result};
use crate::app::{App, AppError, NewJob};
use crate::config::units::{format_duration, parse_duration};
use crate::model::{Job, JobId, JobState, Outcome};
use crate::wire::JobWire;

/// A job that is to be queued.
#[derive(Debug, Args)]
struct JobArgs {
    /// The task: `plugin:task`, or the bare name where one plugin offers it
    task: String,
    #[command(flatten)]
    arguments: ArgumentArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl JobArgs {
    fn job(self) -> Outcomes<NewJob> {
        Ok(NewJob {
            args: self.arguments.arguments()?,
            settings: self.settings.settings()?,
            task: self.task,
            unchecked: self.arguments.unchecked,
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Wait for the job to end, and print its result instead of its ID
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this
    #[arg(long, value_name = "D", requires = "wait", value_parser = parse_duration)]
    wait_timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    job: JobArgs,
}

pub(super) async fn submit(context: &mut Context, args: SubmitArgs) -> Outcomes {
    let job = args.job.job()?;
    let app = context.app().await?;
    let id = app.job_submit(job).await?;
    if !args.wait {
        if context.out.json {
            return Ok(context.out.json(&serde_json::json!({"job_id": id.to_string()}))?);
        }
        return Ok(context.out.line(&id.to_string())?);
    }
    context.out.note(&format!("job {id}"))?;
    let job = wait_for_end(context, &app, id, args.wait_timeout).await?;
    print_ended(context, &job)
}

/// Waits for the end of a job. Where nobody is there who could run it, the user is told so.
pub(super) async fn wait_for_end(
    context: &mut Context,
    app: &App,
    id: JobId,
    limit: Option<Duration>,
) -> Outcomes<Job> {
    let job = app.job_get(id).await?;
    if job.state == JobState::Queued && app.workers_alive().await?.is_empty() {
        context.out.note("note: no worker is running on this store; the job waits for one (`host serve` starts one)")?;
    }
    let job = app.job_wait_within(id, limit).await?;
    if job.state == JobState::Finished {
        return Ok(job);
    }
    let within = limit.map(format_duration).unwrap_or_default();
    let refused = AppError::refused(format!("job {id} has not ended within {within}: it is {}", job.state));
    Err(refused.with_hint(format!("`host jobs result {id} --wait` waits on, `host jobs cancel {id}` cancels it")).into())
}

/// Queues a job and runs it in this process. Interrupted, it cancels the job and waits for that; interrupted again, it leaves at once, and the job
/// goes on elsewhere when its lease has run out.
pub(super) async fn run(context: &mut Context, args: RunArgs) -> Outcomes {
    let new = args.job.job()?;
    let opened = context.opened().await?;
    let app = opened.app;
    let id = app.job_submit(new).await?;
    context.out.note(&format!("job {id}"))?;
    let running = app.job_run_here(id, &opened.executors, opened.options);
    let was_interrupted = CancellationToken::new();
    let cancelling = {
        let (app, was_interrupted) = (app.clone(), was_interrupted.clone());
        async move {
            interrupted().await;
            was_interrupted.cancel();
            // The job may have ended in this very moment; then its end is the answer.
            let asked = app.job_cancel(id).await;
            tracing::info!(job.id = %id, is_asked = asked.is_ok(), "interrupted; the job was asked to stop");
            interrupted().await;
        }
    };
    let both = async { tokio::join!(running, follow_logs(context, &app, id)) };
    let (ended, shown) = tokio::select! {
        both = both => both,
        () = cancelling => return Err(Failure::Interrupted),
    };
    let job = ended?;
    shown?;
    if was_interrupted.is_cancelled() && job.outcome == Some(Outcome::Cancelled) {
        context.out.note("the job is cancelled")?;
        return Err(Failure::Interrupted);
    }
    print_ended(context, &job)
}

/// Returns when the user interrupts. Where interrupts cannot be heard, never: the default, to end the process, holds then.
pub(super) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
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

/// A job id that the user typed.
pub(super) fn parse_job_id(text: &str) -> Result<JobId, String> {
    text.parse().map_err(|error: crate::model::IdError| error.to_string())
}
