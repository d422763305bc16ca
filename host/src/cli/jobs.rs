//! `host jobs`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::answer::{log_line, note_missing_worker, print_result, wait_for_end};
use super::bulk::ChosenArgs;
use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::filter::FilterArgs;
use super::output::{shortened, time, time_or_dash};
use super::settings_file::parse_positive;
use crate::app::{AppError, BulkAction, CancelJob};
use crate::config::units::{format_duration, format_size, parse_duration};
use crate::model::{CancelRequest, Job, JobId, Outcome};
use crate::wire::{JobDetails, JobWire, LogLineWire, payload_value};
use crate::words::{ending, executor_of, progress, readable, run_settings, usage};

#[derive(Debug, Args)]
pub(super) struct JobsArgs {
    #[command(subcommand)]
    command: Option<JobsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// At most this many
    #[arg(short, long = "limit", value_name = "N", default_value_t = 100, value_parser = parse_positive)]
    n: usize,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// List jobs, the youngest first (also without any subcommand)
    List(ListArgs),
    /// One job
    Show {
        /// The job
        id: JobId,
    },
    /// What a job logged and printed
    Logs {
        /// The job
        id: JobId,
        /// Go on until the job has ended
        #[arg(short, long)]
        follow: bool,
    },
    /// Cancel a job, or all that pass a filter: queued ones end, running ones are asked to stop, then stopped
    Cancel {
        #[command(flatten)]
        chosen: ChosenArgs,
        /// How long a running job may take to stop before it is stopped; 0s stops it at once [default: 5s]
        #[arg(long, value_name = "D", value_parser = parse_duration)]
        grace: Option<Duration>,
    },
    /// What a job returned, as JSON
    Result {
        /// The job
        id: JobId,
        /// Wait for the job to end
        #[arg(long)]
        wait: bool,
        /// Wait no longer than this
        #[arg(long, value_name = "D", requires = "wait", value_parser = parse_duration)]
        wait_timeout: Option<Duration>,
    },
    /// Queue a job that has ended for one more attempt, or all that pass a filter and have not succeeded
    Retry(ChosenArgs),
}

pub(super) async fn run(context: &mut Context, args: JobsArgs) -> Outcomes {
    match args.command.unwrap_or(JobsCommand::List(args.list)) {
        JobsCommand::List(args) => list(context, args).await,
        JobsCommand::Show { id } => show(context, id).await,
        JobsCommand::Logs { id, follow } => logs(context, id, follow).await,
        JobsCommand::Cancel { chosen, grace } => {
            let app = context.app().await?;
            match chosen.one_or_do(context, &app, BulkAction::Cancel { grace }).await? {
                Some(id) => cancel(context, id, grace).await,
                None => Ok(()),
            }
        }
        JobsCommand::Result { id, wait, wait_timeout } => result(context, id, wait, wait_timeout).await,
        JobsCommand::Retry(chosen) => {
            let app = context.app().await?;
            let Some(id) = chosen.one_or_do(context, &app, BulkAction::Retry).await? else { return Ok(()) };
            let job = app.job_retry(id).await?;
            if context.out.json {
                return Ok(context.out.json(&JobWire::from(&job))?);
            }
            Ok(context.out.line(&format!("job {id} is queued for attempt {}", job.attempt + 1))?)
        }
    }
}

async fn list(context: &mut Context, args: ListArgs) -> Outcomes {
    let app = context.app().await?;
    let filter = args.filter.filter(&app).await?;
    let listed = app.job_list(filter, args.n.max(1)).await?;
    context.out.unreadable("job", &listed.unreadable)?;
    let waits = app.jobs_wait_for(&listed.jobs).await?;
    if context.out.json {
        let wire = |job: &Job| JobWire { waits_for: waits.get(&job.spec.id).cloned(), ..JobWire::from(job) };
        context.out.json(&listed.jobs.iter().map(wire).collect::<Vec<_>>())?;
    } else if listed.jobs.is_empty() {
        context.out.note("no jobs")?;
    } else {
        let head = ["ID", "TASK", "STATE", "TRY", "CREATED", "TIME", "FUEL", "MEMORY", "RESULT"];
        let rows = listed.jobs.iter().map(|job| row(job, waits.get(&job.spec.id)));
        context.out.table(&head, rows.collect())?;
    }
    if listed.next.is_some() {
        context.out.note("there are more; -n N shows more")?;
    }
    Ok(())
}

fn row(job: &Job, waits_for: Option<&String>) -> Vec<String> {
    let state = match job.outcome {
        Some(outcome) => outcome.as_str(),
        None => job.state.as_str(),
    };
    let usage = job.usage.unwrap_or_default();
    let cost = |text: String| if job.usage.is_some() { text } else { "-".to_owned() };
    vec![
        job.spec.id.to_string(),
        job.spec.task_id.to_string(),
        state.to_owned(),
        format!("{}/{}", job.attempt, job.spec.settings.max_attempts),
        time(job.spec.created_at),
        cost(readable(usage.wall)),
        cost(usage.fuel.to_string()),
        cost(format_size(usage.peak_memory_bytes)),
        waits_for.cloned().unwrap_or_else(|| shortened(&ending(job), 60)),
    ]
}

async fn show(context: &mut Context, id: JobId) -> Outcomes {
    let app = context.app().await?;
    let job = app.job_get(id).await?;
    let waits_for = app.jobs_wait_for(std::slice::from_ref(&job)).await?.remove(&id);
    if context.out.json {
        return Ok(context.out.json(&JobDetails::from(&job).waiting_for(waits_for))?);
    }
    let maybe = |text: Option<String>| text.unwrap_or_default();
    let state = match job.outcome {
        Some(outcome) => format!("{} ({outcome})", job.state),
        None => match job.cancel_requested {
            Some(CancelRequest { grace: Some(grace) }) => {
                format!("{} (asked to stop within {})", job.state, format_duration(grace))
            }
            Some(CancelRequest { grace: None }) => format!("{} (asked to stop)", job.state),
            None => job.state.to_string(),
        },
    };
    let error = job.error.as_ref().map(|error| {
        let mut lines = vec![format!("{}: {}", error.kind, error.message)];
        lines.extend(error.context.iter().map(|cause| format!("  {cause}")));
        lines.extend(error.backtrace.iter().flat_map(|trace| trace.lines()).map(|line| format!("  {line}")));
        lines.join("\n")
    });
    let progress = job.progress.as_ref().map(progress);
    let lease = job.lease.as_ref().map(|lease| format!("held by {} until {}", lease.holder, time(lease.expires_at)));
    let settings = &job.spec.settings;
    let jitter = Some(readable(job.spec.jitter)).filter(|_| !job.spec.jitter.is_zero());
    let unique = settings.unique_key.as_ref().map(|unique| match unique.until {
        Some(until) => format!("{} until {}", unique.key, time(until)),
        None => format!("{} as long as the job is kept", unique.key),
    });
    let mut pairs = vec![
        ("job", id.to_string()),
        ("task", job.spec.task_id.to_string()),
        ("schedule", maybe(job.spec.schedule_id.as_ref().map(ToString::to_string))),
        ("state", state),
        ("waits", maybe(waits_for)),
        ("attempt", job.attempt.to_string()),
        (
            "arguments",
            payload_value(&job.spec.args).map_or_else(|fault| fault, |args| shortened(&args.to_string(), 400)),
        ),
        ("result", maybe(job.result.as_ref().map(|_| shortened(&ending(&job), 400)))),
        ("error", maybe(error)),
        ("progress", maybe(progress)),
        ("usage", maybe(job.usage.as_ref().map(usage))),
        ("fire time", maybe(job.spec.scheduled_fire_time.map(time))),
        ("manual", if job.spec.is_manual() { "yes, for no fire time".to_owned() } else { String::new() }),
        ("group", maybe(settings.group.clone())),
        ("backfill", if settings.backfill { "yes, for a fire time that had passed".to_owned() } else { String::new() }),
        ("unique key", maybe(unique)),
        ("jitter", maybe(jitter)),
        ("due", time(job.spec.due_at)),
        ("start deadline", maybe(job.spec.start_deadline.map(time))),
        ("created", time(job.spec.created_at)),
        ("started", time_or_dash(job.started_at)),
        ("finished", time_or_dash(job.finished_at)),
        ("kept until", maybe(job.expires_at.map(time))),
        ("scheduler", maybe(job.scheduler_id.as_ref().map(ToString::to_string))),
        ("lease", maybe(lease)),
        ("plugin", maybe(job.plugin_digest.map(|digest| digest.to_string()))),
    ];
    pairs.extend(run_settings(executor_of(settings), settings, |_| ""));
    pairs.push((
        "crashes",
        format!("{}; of those in which it ran alone, {} are forgiven", job.crashes, settings.crash_retries),
    ));
    Ok(context.out.pairs(&pairs)?)
}

async fn logs(context: &mut Context, id: JobId, follow: bool) -> Outcomes {
    let app = context.app().await?;
    if follow {
        note_missing_worker(context, &app, id).await?;
    }
    let mut next = None;
    // Followed, each line is an answer of its own; else the lines are one answer, which is a list.
    let mut listed = Vec::new();
    loop {
        let news = if follow { app.job_logs_follow(id, next).await? } else { Some(app.job_logs(id, next).await?) };
        // Without following, an empty page is the end.
        let Some(news) = news.filter(|news| !news.is_empty()) else { break };
        context.out.unreadable("log", &news.unreadable)?;
        for line in &news.lines {
            match (context.out.json, follow) {
                (true, true) => context.out.json(&LogLineWire::from(line))?,
                (true, false) => listed.push(LogLineWire::from(line)),
                (false, _) => context.out.line(&log_line(line))?,
            }
        }
        next = news.next;
    }
    if context.out.json && !follow { Ok(context.out.json(&listed)?) } else { Ok(()) }
}

async fn cancel(context: &mut Context, id: JobId, grace: Option<Duration>) -> Outcomes {
    let app = context.app().await?;
    let cancelled = app.job_cancel(id, grace).await?;
    if context.out.json {
        return match app.job_get(id).await {
            Ok(job) => Ok(context.out.json(&JobWire::from(&job))?),
            Err(bad @ AppError::Refused { .. }) => {
                let unreadable = bad.to_string();
                Ok(context.out.json(&serde_json::json!({"id": id.to_string(), "unreadable": unreadable}))?)
            }
            Err(error) => Err(error.into()),
        };
    }
    Ok(context.out.line(&match cancelled {
        CancelJob::Ended => format!("job {id} is cancelled"),
        CancelJob::Asked => format!("job {id} is running and was asked to stop"),
    })?)
}

async fn result(context: &mut Context, id: JobId, wait: bool, limit: Option<Duration>) -> Outcomes {
    let app = context.app().await?;
    let job = if wait { wait_for_end(context, &app, id, limit).await? } else { app.job_get(id).await? };
    match job.outcome {
        None => Err(Failure::App(
            AppError::refused(format!("job {id} has not ended: it is {}", job.state))
                .with_hint("--wait waits for its end"),
        )),
        Some(Outcome::Success) => print_result(context, &job),
        Some(outcome) => Err(Failure::Job { outcome, error: job.error }),
    }
}
