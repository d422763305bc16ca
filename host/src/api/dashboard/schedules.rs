//! The list of schedules.

use askama::Template;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;

use super::failure::Failure;
use super::jobs::ROWS_MAX;
use super::layout::{Layout, respond};
use super::text::{Moment, encoded};
use super::visit::Visit;
use crate::model::Schedule;
use crate::store::ScheduleFilter;
use crate::wire::{KnownTasks, ScheduleState, describe};
use crate::words::state_of_schedule;

#[derive(Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    layout: Layout,
    rows: Vec<Row>,
    unreadable: Vec<String>,
    is_later: bool,
    next: Option<String>,
}

struct Row {
    id: String,
    href: String,
    task: String,
    task_href: String,
    state: String,
    /// The state in a sentence, where a word does not say it.
    why: Option<String>,
    next: Moment,
    last: Moment,
    rule: String,
}

pub(super) async fn show(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let (layout, app) = (visit.layout("schedules", "Schedules"), visit.app());
    let after = visit.query("after").map(str::to_owned);
    let is_later = after.is_some();
    let filter = ScheduleFilter { task_id: visit.parsed("task")?, after, ..ScheduleFilter::default() };
    let (mut schedules, unreadable) = app.schedule_list(filter, ROWS_MAX + 1).await?;
    let has_more = schedules.len() > ROWS_MAX;
    schedules.truncate(ROWS_MAX);
    let last = schedules.last().filter(|_| has_more).map(|schedule| encoded(schedule.id.as_str()));
    let task = visit.query("task").map(|task| format!("&task={}", encoded(task))).unwrap_or_default();
    let tasks = KnownTasks::read(app).await?;
    let page = SchedulesPage {
        rows: schedules.iter().map(|schedule| Row::new(schedule, &tasks, &layout.base)).collect(),
        unreadable: unreadable
            .iter()
            .map(|row| format!("schedule `{}` is unreadable: {}", row.id, row.defect))
            .collect(),
        is_later,
        next: last.map(|last| format!("{}/schedules?after={last}{task}", layout.base)),
        layout,
    };
    Ok(respond(StatusCode::OK, &page))
}

impl Row {
    fn new(schedule: &Schedule, tasks: &KnownTasks, base: &str) -> Row {
        let state = ScheduleState::of(schedule, tasks.presence(schedule)).as_str().replace('_', " ");
        let why = state_of_schedule(schedule, tasks);
        Row {
            id: schedule.id.to_string(),
            href: format!("{base}/schedule?id={}", encoded(schedule.id.as_str())),
            task: schedule.task_id.to_string(),
            task_href: format!("{base}/task?id={}", encoded(schedule.task_id.as_str())),
            why: Some(why).filter(|why| *why != state),
            state,
            next: Moment(schedule.next_fire_time),
            last: Moment(schedule.last_fire_time),
            rule: describe(schedule),
        }
    }
}
