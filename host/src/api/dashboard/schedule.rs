//! One schedule.

use askama::Template;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;

use super::failure::Failure;
use super::layout::{Layout, respond};
use super::payload::Shown;
use super::text::{Moment, encoded};
use super::visit::Visit;
use crate::app::{AppResult, ResumeAt};
use crate::config::units::format_duration;
use crate::model::{FireLine, Permission, ScheduleId};
use crate::trigger::Fire;
use crate::wire::{KnownTasks, ScheduleState, describe};
use crate::words::{schedule_settings, state_of_schedule, what, why};

/// How many of the next fire times are shown.
const FIRES_SHOWN: usize = 20;

/// How many of the last lines of the ledger are shown.
const LINES_SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "schedule.html")]
struct SchedulePage {
    layout: Layout,
    id: String,
    key: String,
    task: String,
    task_href: String,
    state: &'static str,
    state_text: String,
    rule: String,
    next: Moment,
    last: Moment,
    args: Shown,
    pairs: Vec<(&'static str, String)>,
    fires: Vec<NextFire>,
    is_exhausted: bool,
    /// Why there is no preview, where there is none.
    fault: Option<String>,
    lines: Vec<Line>,
    has_more_lines: bool,
    can_change: bool,
    can_remove: bool,
    is_paused: bool,
}

#[derive(Template)]
#[template(path = "remove_schedule.html")]
struct RemovalPage {
    layout: Layout,
    id: String,
    key: String,
}

/// A time at which the schedule will fire.
struct NextFire {
    at: Moment,
    /// As its own clock shows it.
    local: String,
    /// That its clock was changed since the fire time before.
    note: Option<String>,
}

/// Due times of which the same became.
struct Line {
    first: Moment,
    last: Option<Moment>,
    count: String,
    what: &'static str,
    late: String,
    /// Its jobs, of many the first ones.
    jobs: Vec<String>,
    more_jobs: usize,
    why: String,
}

pub(super) async fn show(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let id: ScheduleId = visit.named("id")?;
    let (layout, app) = (visit.layout("schedules", format!("Schedule {id}")), visit.app());
    let schedule = app.schedule_get(&id).await?;
    let tasks = KnownTasks::read(app).await?;
    // A trigger that cannot be used is no reason to show nothing else.
    let (fires, is_exhausted, fault) = match app.schedule_preview(&id, FIRES_SHOWN).await {
        Ok(preview) => (preview.fires, preview.is_exhausted, None),
        Err(error) => (Vec::new(), false, Some(error.to_string())),
    };
    let history = app.schedule_history(&id, LINES_SHOWN).await?;
    let mut lines = Vec::with_capacity(history.lines.len());
    for line in &history.lines {
        lines.push(Line::new(&visit, line).await?);
    }
    let mut pairs = schedule_settings(&schedule, &tasks);
    pairs.retain(|(_, value)| !value.is_empty());
    let page = SchedulePage {
        id: id.to_string(),
        key: encoded(id.as_str()),
        task: schedule.task_id.to_string(),
        task_href: format!("{}/task?id={}", layout.base, encoded(schedule.task_id.as_str())),
        state: ScheduleState::of(&schedule, tasks.presence(&schedule)).as_str(),
        state_text: state_of_schedule(&schedule, &tasks),
        rule: describe(&schedule),
        next: Moment(schedule.next_fire_time),
        last: Moment(schedule.last_fire_time),
        args: Shown::payload(&schedule.args),
        pairs,
        fires: next_fires(&fires),
        is_exhausted,
        fault,
        lines,
        has_more_lines: history.has_more,
        can_change: layout.may(Permission::Schedules),
        can_remove: layout.may(Permission::Delete),
        is_paused: schedule.pause.is_some(),
        layout,
    };
    Ok(respond(StatusCode::OK, &page))
}

/// Fire times with a note wherever the offset from UTC is another than before.
fn next_fires(fires: &[Fire]) -> Vec<NextFire> {
    let before = std::iter::once(None).chain(fires.iter().map(Some));
    let note = |before: Option<&Fire>, fire: &Fire| {
        let shift = fire.offset_seconds - before?.offset_seconds;
        let span = format_duration(std::time::Duration::from_secs(shift.unsigned_abs().into()));
        match shift {
            0 => None,
            1.. => Some(format!("its clock has been put forward by {span}")),
            _ => Some(format!("its clock has been put back by {span}")),
        }
    };
    let fires = fires.iter().zip(before);
    fires
        .map(|(fire, before)| NextFire { at: fire.at.into(), local: fire.to_string(), note: note(before, fire) })
        .collect()
}

impl Line {
    async fn new(visit: &Visit, line: &FireLine) -> AppResult<Line> {
        const JOBS_SHOWN: usize = 5;
        let jobs = visit.app().jobs_of_fire(line).await?;
        Ok(Line {
            first: line.first.into(),
            last: (line.first != line.last).then(|| line.last.into()),
            count: format!("{}{}", line.count, if line.or_more { " or more" } else { "" }),
            what: what(line.fate),
            late: format_duration(line.at.saturating_since(line.last)),
            jobs: jobs.iter().filter(|(_, job)| job.is_some()).take(JOBS_SHOWN).map(|(id, _)| id.to_string()).collect(),
            more_jobs: line.jobs.len().saturating_sub(JOBS_SHOWN),
            why: why(line, &jobs),
        })
    }
}

pub(super) async fn pause(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let id: ScheduleId = visit.named("id")?;
    visit.app().schedule_pause(&id).await?;
    Ok(visit.see(&path_of(&id)))
}

/// Fire times that were missed meanwhile count as missed, unless the form says that they are to be passed over.
pub(super) async fn unpause(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let id: ScheduleId = visit.named("id")?;
    let resume = (visit.form("missed") == Some("pass")).then_some(ResumeAt::Now);
    visit.app().schedule_unpause(&id, resume).await?;
    Ok(visit.see(&path_of(&id)))
}

pub(super) async fn run(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let job = visit.app().schedule_run(&visit.named("id")?).await?;
    Ok(visit.see(&format!("/job?id={job}")))
}

pub(super) async fn confirm_removal(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let id: ScheduleId = visit.named("id")?;
    // One that cannot be read can be removed as well.
    if !visit.app().schedule_exists(&id).await? {
        visit.app().schedule_get(&id).await?;
    }
    let layout = visit.layout("schedules", format!("Remove schedule {id}"));
    let page = RemovalPage { layout, key: encoded(id.as_str()), id: id.to_string() };
    Ok(respond(StatusCode::OK, &page))
}

pub(super) async fn remove(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    visit.app().schedule_remove(&visit.named("id")?).await?;
    Ok(visit.see("/schedules"))
}

fn path_of(id: &ScheduleId) -> String {
    format!("/schedule?id={}", encoded(id.as_str()))
}
