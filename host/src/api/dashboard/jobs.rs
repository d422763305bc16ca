//! The list of jobs.

use askama::Template;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::problem::Problem;
use super::failure::Failure;
use super::layout::{Layout, respond};
use super::text::{Moment, encoded};
use super::visit::Visit;
use crate::model::{Job, JobState, Outcome};
use crate::store::{JobCounts, JobFilter};
use crate::words::{ending, readable, shortened};

/// Most rows of a page.
pub(super) const ROWS_MAX: usize = 100;

/// Most characters of what came of a job.
const ENDING_MAX: usize = 120;

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    layout: Layout,
    counts: JobCounts,
    rows: Vec<JobRow>,
    unreadable: Vec<String>,
    /// The filters as they stand in the address.
    state: &'static str,
    outcome: &'static str,
    task: String,
    schedule: String,
    is_filtered: bool,
    /// Whether the page is not the first.
    is_later: bool,
    /// The address of this list from its beginning, and of its next page.
    first: String,
    next: Option<String>,
}

/// A job in a list.
pub(super) struct JobRow {
    pub(super) id: String,
    pub(super) task: String,
    pub(super) state: &'static str,
    pub(super) attempt: String,
    pub(super) created: Moment,
    pub(super) time: String,
    pub(super) ending: String,
}

impl JobRow {
    pub(super) fn new(job: &Job, waits_for: Option<&String>) -> JobRow {
        JobRow {
            id: job.spec.id.to_string(),
            task: job.spec.task_id.to_string(),
            state: standing(job),
            attempt: format!("{}/{}", job.attempt, job.spec.settings.max_attempts),
            created: job.spec.created_at.into(),
            time: job.usage.map(|usage| readable(usage.wall)).unwrap_or_default(),
            ending: shortened(&waits_for.cloned().unwrap_or_else(|| ending(job)), ENDING_MAX),
        }
    }
}

/// How a job ended, or where it is.
pub(super) fn standing(job: &Job) -> &'static str {
    job.outcome.map_or(job.state.as_str(), |outcome| outcome.as_str())
}

pub(super) async fn show(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let (layout, app) = (visit.layout("jobs", "Jobs"), visit.app());
    let task = match visit.query("task") {
        Some(task) => Some(app.task_of_filter(task).await?),
        None => None,
    };
    let filter = JobFilter {
        state: one_of(&visit, "state", JobState::ALL, JobState::as_str)?,
        outcome: one_of(&visit, "outcome", Outcome::ALL, Outcome::as_str)?,
        task_id: task,
        schedule_id: visit.parsed("schedule")?,
        after: visit.query("after").map(str::to_owned),
        ..JobFilter::default()
    };
    let fields = [
        ("state", filter.state.map(|state| state.as_str().to_owned())),
        ("outcome", filter.outcome.map(|outcome| outcome.as_str().to_owned())),
        ("task", filter.task_id.as_ref().map(ToString::to_string)),
        ("schedule", filter.schedule_id.as_ref().map(ToString::to_string)),
    ];
    let set = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(&value?))));
    let set: Vec<String> = set.collect();
    let first = format!("{}/jobs{}{}", layout.base, if set.is_empty() { "" } else { "?" }, set.join("&"));
    let list = app.job_list(filter.clone(), ROWS_MAX).await?;
    let waits = app.jobs_wait_for(&list.jobs).await?;
    let next = list.next.map(|next| {
        let joint = if set.is_empty() { "?" } else { "&" };
        format!("{first}{joint}after={}", encoded(&next))
    });
    let page = JobsPage {
        counts: app.job_counts().await?,
        rows: list.jobs.iter().map(|job| JobRow::new(job, waits.get(&job.spec.id))).collect(),
        unreadable: list
            .unreadable
            .iter()
            .map(|row| format!("job `{}` is unreadable: {}", row.id, row.defect))
            .collect(),
        state: filter.state.map_or("", JobState::as_str),
        outcome: filter.outcome.map_or("", Outcome::as_str),
        task: filter.task_id.map(|task| task.to_string()).unwrap_or_default(),
        schedule: filter.schedule_id.map(|schedule| schedule.to_string()).unwrap_or_default(),
        is_filtered: !set.is_empty(),
        is_later: filter.after.is_some(),
        first,
        next,
        layout,
    };
    Ok(respond(StatusCode::OK, &page))
}

/// The filter of that name, which is one of a few words.
fn one_of<T: Copy>(visit: &Visit, name: &str, all: &[T], word: fn(T) -> &'static str) -> Result<Option<T>, Failure> {
    let Some(text) = visit.query(name) else { return Ok(None) };
    all.iter().copied().find(|value| word(*value) == text).map(Some).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|value| format!("`{}`", word(*value))).collect();
        let hint = format!("there are {}", known.join(", "));
        Problem::bad_request(format!("`{text}` is not what `{name}` can be")).with_hint(hint).into()
    })
}
