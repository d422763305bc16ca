//! How things stand, and what is stuck.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;

use super::failure::Failure;
use super::layout::{Layout, respond};
use super::text::{Moment, encoded};
use super::visit::Visit;
use crate::app::{App, AppResult, QueueState, Status};
use crate::config::units::format_duration;
use crate::model::Outcome;
use crate::model::limits::PAGE_ROWS_MAX;
use crate::store::{JobFilter, ScheduleFilter, rules};
use crate::wire::{KnownTasks, ScheduleState};
use crate::words::{plural, state_of_schedule};

/// How many of the youngest jobs that failed are looked at.
const LOOKED_AT: usize = 100;

/// Most sentences about what is stuck.
const STUCK_MAX: usize = 20;

/// How late the earliest schedule may be before it is said to be stuck.
const LATE: Duration = Duration::from_secs(60);

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    layout: Layout,
    status: Status,
    /// What is due of jobs, whatever holds it back.
    waiting: u64,
    next_due: Moment,
    late: Option<String>,
    alive: usize,
    failures: Vec<Failing>,
    stuck: Vec<Stuck>,
    unreadable: Vec<String>,
}

/// A task whose jobs failed lately.
struct Failing {
    task: String,
    href: String,
    jobs: usize,
    last: Moment,
    message: String,
}

/// Something that does not go on, and why.
struct Stuck {
    text: String,
    href: String,
}

pub(super) async fn show(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let (layout, app) = (visit.layout("overview", "Overview"), visit.app());
    let (status, now, queues) = (app.status().await?, app.now().await?, app.queue_list().await?);
    let late = status.next_due.map(|due| now.saturating_since(due)).filter(|late| *late > LATE);
    let failures = failures(app, &layout.base).await?;
    let alive = status.schedulers.iter().filter(|row| rules::is_alive(row, now)).count();
    let mut stuck = stuck(app, &layout.base, &status, &queues, late, alive).await?;
    stuck.truncate(STUCK_MAX);
    let page = OverviewPage {
        waiting: queues.iter().map(waiting).sum(),
        next_due: Moment(status.next_due),
        late: late.map(whole_seconds),
        alive,
        failures,
        stuck,
        unreadable: status.unreadable.lines(),
        layout,
        status,
    };
    Ok(respond(StatusCode::OK, &page))
}

pub(super) fn waiting(queue: &QueueState) -> u64 {
    queue.row.waiting.iter().map(|(_, jobs)| jobs).sum()
}

fn whole_seconds(span: Duration) -> String {
    format_duration(Duration::from_secs(span.as_secs()))
}

/// Of the jobs that failed last, how many each task has.
async fn failures(app: &App, base: &str) -> AppResult<Vec<Failing>> {
    let failed = JobFilter { outcome: Some(Outcome::Error), ..JobFilter::default() };
    let mut tasks: BTreeMap<String, Failing> = BTreeMap::new();
    for job in app.job_list(failed, LOOKED_AT).await?.jobs {
        let task = job.spec.task_id.to_string();
        let error = job.error.as_ref();
        let failing = tasks.entry(task.clone()).or_insert_with(|| Failing {
            href: format!("{base}/jobs?outcome=error&task={}", encoded(&task)),
            task,
            jobs: 0,
            // The youngest comes first.
            last: Moment(job.finished_at),
            message: error.map(|error| format!("{}: {}", error.kind, error.message)).unwrap_or_default(),
        });
        failing.jobs += 1;
    }
    let mut failures: Vec<Failing> = tasks.into_values().collect();
    failures.sort_by_key(|failing| std::cmp::Reverse(failing.jobs));
    Ok(failures)
}

/// A sentence for each thing that does not go on by itself.
async fn stuck(
    app: &App,
    base: &str,
    status: &Status,
    queues: &[QueueState],
    late: Option<Duration>,
    alive: usize,
) -> AppResult<Vec<Stuck>> {
    let mut stuck = Vec::new();
    for unserved in &status.unserved {
        let text = format!("{} in queue `{}`: {}", jobs(unserved.jobs), unserved.queue, unserved.waits_for);
        stuck.push(Stuck { text, href: format!("{base}/jobs?state=queued") });
    }
    for queue in queues.iter().filter(|queue| queue.row.is_paused && waiting(queue) > 0) {
        let text = format!("{} in queue `{}`, which is paused", jobs(waiting(queue)), queue.row.queue);
        stuck.push(Stuck { text, href: format!("{base}/queues") });
    }
    if let Some(late) = late {
        let text = format!("a schedule was due {} ago, and no scheduler has fired it", whole_seconds(late));
        stuck.push(Stuck { text, href: format!("{base}/schedulers") });
    }
    if alive == 0 && status.jobs.running > 0 {
        let text = "jobs count as running, and no scheduler lives that runs them or takes them back".to_owned();
        stuck.push(Stuck { text, href: format!("{base}/schedulers") });
    }
    let tasks = KnownTasks::read(app).await?;
    let few = ScheduleFilter { limit: PAGE_ROWS_MAX, ..ScheduleFilter::default() };
    for schedule in app.schedule_list(few, PAGE_ROWS_MAX).await?.0 {
        if matches!(
            ScheduleState::of(&schedule, tasks.presence(&schedule)),
            ScheduleState::Failed
                | ScheduleState::Overrunning
                | ScheduleState::TaskMissing
                | ScheduleState::TaskUnreadable
        ) {
            let text = format!("schedule `{}` is {}", schedule.id, state_of_schedule(&schedule, &tasks));
            stuck.push(Stuck { text, href: format!("{base}/schedule?id={}", encoded(schedule.id.as_str())) });
        }
    }
    Ok(stuck)
}

/// `1 due job waits`, `2 due jobs wait`.
fn jobs(count: u64) -> String {
    let verb = if count == 1 { "waits" } else { "wait" };
    format!("{} {verb}", plural(usize::try_from(count).unwrap_or(usize::MAX), "due job"))
}
