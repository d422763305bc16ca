//! Jobs: look at, wait for, cancel, retry.

use std::time::Duration;

use axum::http::header;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::call::{Answered, Call, answer};
use super::super::problem::Problem;
use super::super::route::{Access, Route};
use super::list::{self, CURSOR, LIMIT, Page};
use super::streams;
use crate::app::{AppError, CancelJob};
use crate::config::units::parse_duration;
use crate::model::Permission::{Cancel, Read, Retry};
use crate::model::{Job, JobId, JobState, Outcome, ScheduleId};
use crate::store::JobFilter;
use crate::wire::{JobDetails, JobErrorWire, JobWire, LogLineWire, payload_value};

const STATE: (&str, &str) = ("state", "only those in this state: queued, running or finished");
const OUTCOME: (&str, &str) = ("outcome", "only those that ended this way");
const TASK: (&str, &str) = ("task", "only those of this task");
const SCHEDULE: (&str, &str) = ("schedule", "only those of this schedule");
const GROUP: (&str, &str) = ("group", "only those of this group");
const DRY_RUN: (&str, &str) = ("dry_run", "say what would be done, but change nothing");
const GRACE: (&str, &str) = (
    "grace",
    "how long a running job may take to stop before it is stopped, such as `30s`; `0s` stops it at once, and without it the worker decides",
);
const AFTER: (&str, &str) = ("after", "only lines after this place: `next` of an answer");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/jobs", Access::Needs(Read), "List jobs, the youngest first", list)
            .query(&[STATE, OUTCOME, TASK, SCHEDULE, GROUP, LIMIT, CURSOR])
            .answers::<Page<Vec<JobWire>>>(&[200]),
        Route::get("/api/v1/jobs/{id}", Access::Needs(Read), "One job", show).answers::<JobDetails>(&[200]),
        Route::get("/api/v1/jobs/{id}/result", Access::Needs(Read), "What a job returned", result)
            .query(&[("wait", "wait for its end, but no longer than this, such as `30s`")]),
        Route::get(
            "/api/v1/jobs/{id}/logs",
            Access::Needs(Read),
            "What a job logged and printed; with `Accept: text/event-stream` until it ends",
            logs,
        )
        .query(&[AFTER])
        .answers::<LogLines>(&[200]),
        Route::post("/api/v1/jobs/{id}/cancel", Cancel, "Cancel a job", cancel)
            .query(&[GRACE])
            .answers::<JobCancelled>(&[200]),
        Route::post("/api/v1/jobs/{id}/retry", Retry, "Queue a job that has ended for one more attempt", retry)
            .answers::<JobWire>(&[200]),
        Route::post("/api/v1/jobs:cancel", Cancel, "Cancel jobs that pass a filter, at most 1000 at once", cancel_many)
            .query(&[STATE, TASK, SCHEDULE, GROUP, LIMIT, CURSOR, DRY_RUN, GRACE])
            .answers::<Page<ManyDone>>(&[200]),
        Route::post(
            "/api/v1/jobs:retry",
            Retry,
            "Retry ended jobs that pass a filter, at most 1000 at once",
            retry_many,
        )
        .query(&[OUTCOME, TASK, SCHEDULE, GROUP, LIMIT, CURSOR, DRY_RUN])
        .answers::<Page<ManyDone>>(&[200]),
    ]
}

/// Longest time that a request waits for the end of a job.
const WAIT_MAX: Duration = Duration::from_secs(60);

async fn filter(call: &Call) -> Result<JobFilter, Problem> {
    let query = &call.query;
    let state = |text: &str| JobState::from_name(text).ok_or("it is `queued`, `running` or `finished`");
    let outcome = |text: &str| Outcome::from_name(text).ok_or("there is no such outcome");
    let task_id = match query.one("task")? {
        Some(task) => Some(call.app().task_of_filter(task).await?),
        None => None,
    };
    Ok(JobFilter {
        state: query.read_with("state", state)?,
        outcome: query.read_with("outcome", outcome)?,
        task_id,
        schedule_id: query.parsed::<ScheduleId>("schedule")?,
        group: query.one("group")?.map(str::to_owned),
        after: list::cursor::<JobId>(query)?.map(|id| id.to_string()),
        ..JobFilter::default()
    })
}

async fn list(call: Call) -> Answered {
    let (filter, limit) = (filter(&call).await?, list::limit(&call.query)?);
    let listed = call.app().job_list(filter, limit).await?;
    let waits = call.app().jobs_wait_for(&listed.jobs).await?;
    let wire = |job: &Job| JobWire { waits_for: waits.get(&job.spec.id).cloned(), ..JobWire::from(job) };
    let jobs: Vec<JobWire> = listed.jobs.iter().map(wire).collect();
    list::page(&jobs, listed.next.as_deref(), &listed.unreadable)
}

#[derive(Serialize, JsonSchema)]
struct LogLines {
    items: Vec<LogLineWire>,
    /// The place behind the last line.
    next: Option<String>,
    unreadable: usize,
}

#[derive(Serialize, JsonSchema)]
struct JobCancelled {
    id: String,
    /// Whether it has ended by now; else it was asked to.
    ended: bool,
    job: Option<JobWire>,
}

/// What became of the jobs of a page.
#[derive(Serialize, JsonSchema)]
struct ManyDone {
    dry_run: bool,
    matched: Vec<String>,
    done: Vec<String>,
    refused: Vec<JobRefused>,
}

#[derive(Serialize, JsonSchema)]
struct JobRefused {
    id: String,
    reason: String,
}

async fn show(call: Call) -> Answered {
    let id = call.path::<JobId>("id")?;
    let job = call.app().job_get(id).await?;
    let waits_for = call.app().jobs_wait_for(std::slice::from_ref(&job)).await?.remove(&id);
    answer(&JobDetails::from(&job).waiting_for(waits_for))
}

async fn result(call: Call) -> Answered {
    let id = call.path::<JobId>("id")?;
    let job = match call.query.read_with("wait", parse_duration)? {
        Some(limit) => call.app().job_wait_within(id, Some(limit.min(WAIT_MAX))).await?,
        None => call.app().job_get(id).await?,
    };
    match job.outcome {
        None => {
            let refused = AppError::refused(format!("job {id} has not ended: it is {}", job.state));
            Err(refused.with_hint("`wait=60s` waits for its end").into())
        }
        Some(Outcome::Success) => {
            let Some(result) = &job.result else {
                let missing = AppError::not_found("result of job", id);
                return Err(missing
                    .with_hint("results are kept for `result_ttl`, and not at all where that is zero")
                    .into());
            };
            let value = payload_value(result).map_err(|fault| {
                Problem::from(AppError::Unexpected { what: format!("the result is {fault}"), source: None })
            })?;
            answer(&value)
        }
        Some(outcome) => {
            let error = job.error.as_ref().map(|error| json!(JobErrorWire::from(error)));
            let problem = Problem::job_failed(format!("job {id} ended as {outcome}"));
            Err(problem.with("outcome", outcome.as_str().into()).with("error", error.unwrap_or(Value::Null)))
        }
    }
}

/// A place in a log: an attempt and a line of it.
fn read_place(text: &str) -> Result<(u32, u32), &'static str> {
    let place = text.split_once('-').and_then(|(attempt, line)| Some((attempt.parse().ok()?, line.parse().ok()?)));
    place.ok_or("it is no place in a log")
}

async fn logs(call: Call) -> Answered {
    let id = call.path::<JobId>("id")?;
    let accepts = call.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/event-stream") {
        let last = call.headers.get("last-event-id").and_then(|value| value.to_str().ok());
        let after = match last {
            Some(place) => {
                Some(read_place(place).map_err(|error| Problem::bad_request(format!("`{place}`: {error}")))?)
            }
            None => call.query.read_with("after", read_place)?,
        };
        return streams::logs(&call, id, after).await;
    }
    let news = call.app().job_logs(id, call.query.read_with("after", read_place)?).await?;
    let lines: Vec<LogLineWire> = news.lines.iter().map(LogLineWire::from).collect();
    let next = news.next.map(|(attempt, line)| format!("{attempt}-{line}"));
    answer(&LogLines { items: lines, next, unreadable: news.unreadable.len() })
}

async fn cancel(call: Call) -> Answered {
    let id = call.path::<JobId>("id")?;
    let grace = call.query.read_with("grace", parse_duration)?;
    let is_ended = call.app().job_cancel(id, grace).await? == CancelJob::Ended;
    // It may be unreadable, and was cancelled nevertheless.
    let job = call.app().job_get(id).await.ok();
    answer(&JobCancelled { id: id.to_string(), ended: is_ended, job: job.as_ref().map(JobWire::from) })
}

async fn retry(call: Call) -> Answered {
    answer(&JobWire::from(&call.app().job_retry(call.path("id")?).await?))
}

async fn cancel_many(call: Call) -> Answered {
    let filter = filter(&call).await?;
    if filter.state == Some(JobState::Finished) {
        return Err(Problem::bad_request("jobs that have ended cannot be cancelled").with_hint("say queued or running"));
    }
    let has_filter = filter.state.is_some() || tells_jobs_apart(&filter);
    let grace = call.query.read_with("grace", parse_duration)?;
    many(&call, filter, has_filter, Act::Cancel { grace }).await
}

async fn retry_many(call: Call) -> Answered {
    let filter = JobFilter { state: Some(JobState::Finished), ..filter(&call).await? };
    let has_filter = filter.outcome.is_some() || tells_jobs_apart(&filter);
    many(&call, filter, has_filter, Act::Retry).await
}

/// Whether a filter says which jobs are meant, beside how they stand.
fn tells_jobs_apart(filter: &JobFilter) -> bool {
    filter.task_id.is_some() || filter.schedule_id.is_some() || filter.group.is_some()
}

/// What is done with each of many jobs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Cancel { grace: Option<Duration> },
    Retry,
}

/// Does something with each job of a page. Each job is a step of its own, which is done or not: a request that is broken off has done some, and is
/// sent again.
async fn many(call: &Call, filter: JobFilter, has_filter: bool, act: Act) -> Answered {
    if !has_filter {
        let detail = "without a filter, this would be done with every job";
        return Err(Problem::bad_request(detail).with_hint("say at least one of the parameters that tell jobs apart"));
    }
    let (is_dry, limit) = (call.query.is_set("dry_run")?, list::limit(&call.query)?);
    let listed = call.app().job_list(filter, limit).await?;
    let is_meant = |job: &&Job| act == Act::Retry || job.state != JobState::Finished;
    let ids: Vec<JobId> = listed.jobs.iter().filter(is_meant).map(|job| job.spec.id).collect();
    let matched: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for id in if is_dry { Vec::new() } else { ids } {
        let acted = match act {
            Act::Cancel { grace } => call.app().job_cancel(id, grace).await.map(|_| ()),
            Act::Retry => call.app().job_retry(id).await.map(|_| ()),
        };
        match acted {
            Ok(()) => done.push(id.to_string()),
            // It has changed meanwhile.
            Err(error @ (AppError::Refused { .. } | AppError::NotFound { .. })) => {
                refused.push(JobRefused { id: id.to_string(), reason: error.to_string() });
            }
            Err(error) => return Err(error.into()),
        }
    }
    list::page(&ManyDone { dry_run: is_dry, matched, done, refused }, listed.next.as_deref(), &listed.unreadable)
}
