//! One job.

use askama::Template;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;

use super::failure::Failure;
use super::jobs::{ROWS_MAX, standing};
use super::layout::{Layout, respond};
use super::payload::Shown;
use super::text::{Moment, encoded};
use super::visit::Visit;
use crate::app::{AppError, Arguments, NewJob};
use crate::model::limits::PAGE_ROWS_MAX;
use crate::model::{Job, JobId, JobState, LogLine, Permission};
use crate::wire::payload_value;
use crate::words::{executor_of, run_settings, usage};

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    layout: Layout,
    id: String,
    task: String,
    task_href: String,
    schedule: Option<(String, String)>,
    standing: &'static str,
    /// Whether it was asked to stop, and has not.
    is_stopping: bool,
    waits_for: Option<String>,
    attempt: String,
    timeline: Vec<(&'static str, Moment)>,
    progress: Option<Progress>,
    error: Option<Error>,
    args: Shown,
    result: Option<Shown>,
    pairs: Vec<(&'static str, String)>,
    lines: Vec<Line>,
    unreadable_lines: usize,
    /// The address of the log lines after these.
    more_lines: Option<String>,
    can_cancel: bool,
    can_retry: bool,
    can_run_again: bool,
}

struct Error {
    message: String,
    causes: Vec<String>,
    backtrace: Option<String>,
}

struct Progress {
    done: u64,
    total: Option<u64>,
    note: String,
}

struct Line {
    at: Moment,
    attempt: u32,
    level: &'static str,
    target: String,
    message: String,
    fields: String,
}

pub(super) async fn show(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let id: JobId = visit.named("id")?;
    let (layout, app) = (visit.layout("jobs", format!("Job {id}")), visit.app());
    let job = app.job_get(id).await?;
    let waits_for = app.jobs_wait_for(std::slice::from_ref(&job)).await?.remove(&id);
    let after = visit.query("log").and_then(|place| place.split_once('.'));
    let after = after.and_then(|(attempt, sequence)| Some((attempt.parse().ok()?, sequence.parse().ok()?)));
    let mut log = app.job_logs(id, after).await?;
    let last = if log.lines.len() > ROWS_MAX {
        log.lines.truncate(ROWS_MAX);
        log.lines.last().map(|line| (line.attempt, line.sequence))
    } else {
        log.next.filter(|_| log.lines.len() + log.unreadable.len() >= PAGE_ROWS_MAX)
    };
    let base = layout.base.clone();
    let settings = &job.spec.settings;
    let has_ended = job.state == JobState::Finished;
    let page = JobPage {
        id: id.to_string(),
        task: job.spec.task_id.to_string(),
        task_href: format!("{base}/task?id={}", encoded(job.spec.task_id.as_str())),
        schedule: job
            .spec
            .schedule_id
            .as_ref()
            .map(|schedule| (schedule.to_string(), format!("{base}/schedule?id={}", encoded(schedule.as_str())))),
        standing: standing(&job),
        is_stopping: job.cancel_requested.is_some() && !has_ended,
        waits_for,
        attempt: format!("{} of {}", job.attempt, settings.max_attempts),
        timeline: timeline(&job),
        progress: job.progress.as_ref().map(|progress| Progress {
            done: progress.done,
            total: progress.total,
            note: progress.note.clone(),
        }),
        error: job.error.as_ref().map(|error| Error {
            message: format!("{}: {}", error.kind, error.message),
            causes: error.context.clone(),
            backtrace: error.backtrace.clone().map(|trace| Shown::of(trace).text),
        }),
        args: Shown::payload(&job.spec.args),
        result: job.result.as_ref().map(Shown::payload),
        pairs: pairs(&job),
        lines: log.lines.iter().map(Line::new).collect(),
        unreadable_lines: log.unreadable.len(),
        more_lines: last.map(|(attempt, sequence)| format!("{base}/job?id={id}&log={attempt}.{sequence}#log")),
        can_cancel: !has_ended && layout.may(Permission::Cancel),
        can_retry: has_ended && layout.may(Permission::Retry),
        can_run_again: has_ended && layout.may(Permission::Submit),
        layout,
    };
    Ok(respond(StatusCode::OK, &page))
}

impl Line {
    fn new(line: &LogLine) -> Line {
        let fields = line.fields.iter().map(|(name, value)| format!(" {name}={value}"));
        Line {
            at: line.at.into(),
            attempt: line.attempt,
            level: line.level.as_str(),
            target: line.target.clone(),
            message: line.message.clone(),
            fields: fields.collect(),
        }
    }
}

/// What has happened, and what will, in the order of the times.
fn timeline(job: &Job) -> Vec<(&'static str, Moment)> {
    let spec = &job.spec;
    let due = (spec.due_at != spec.created_at).then_some(spec.due_at);
    let lease = job.lease.as_ref().map(|lease| lease.expires_at);
    let mut times: Vec<_> = [
        ("fire time", spec.scheduled_fire_time),
        ("created", Some(spec.created_at)),
        ("due", due),
        ("start deadline", spec.start_deadline),
        ("last attempt began", job.started_at),
        ("lease ends unless it is extended", lease),
        ("finished", job.finished_at),
        ("kept until", job.expires_at),
    ]
    .into_iter()
    .filter_map(|(what, at)| Some((what, at?)))
    .collect();
    times.sort_by_key(|(_, at)| *at);
    times.into_iter().map(|(what, at)| (what, at.into())).collect()
}

/// The rest, as names and values.
fn pairs(job: &Job) -> Vec<(&'static str, String)> {
    let settings = &job.spec.settings;
    let mut pairs = vec![
        ("usage", job.usage.as_ref().map(usage).unwrap_or_default()),
        ("scheduler", job.scheduler_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("plugin", job.plugin_digest.map(|digest| digest.to_string()).unwrap_or_default()),
        ("unique key", settings.unique_key.as_ref().map(|unique| unique.key.clone()).unwrap_or_default()),
        ("manual", if job.spec.is_manual() { "yes, for no fire time".to_owned() } else { String::new() }),
        ("crashes", job.crashes.to_string()),
    ];
    pairs.extend(run_settings(executor_of(settings), settings, |_| ""));
    pairs.retain(|(_, value)| !value.is_empty());
    pairs
}

pub(super) async fn cancel(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let id: JobId = visit.named("id")?;
    visit.app().job_cancel(id, None).await?;
    Ok(visit.see(&format!("/job?id={id}")))
}

pub(super) async fn retry(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let id: JobId = visit.named("id")?;
    visit.app().job_retry(id).await?;
    Ok(visit.see(&format!("/job?id={id}")))
}

/// Queues a new job with the same arguments, and the settings that its task has now.
pub(super) async fn run_again(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let job = visit.app().job_get(visit.named("id")?).await?;
    let args = payload_value(&job.spec.args).map_err(|fault| {
        AppError::refused(format!("the arguments of job {} are {fault}", job.spec.id))
            .with_hint("retry the job itself, or submit one with other arguments")
    })?;
    let new = NewJob { args: Arguments::Json(args), ..NewJob::new(job.spec.task_id.to_string()) };
    let id = visit.app().job_submit(new).await?;
    Ok(visit.see(&format!("/job?id={id}")))
}
