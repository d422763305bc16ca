//! Queues, and the schedulers that serve them.

use askama::Template;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;

use super::failure::Failure;
use super::jobs::ROWS_MAX;
use super::layout::{Layout, respond};
use super::overview::waiting;
use super::text::{Moment, encoded};
use super::visit::Visit;
use crate::app::QueueState;
use crate::config::units::format_size;
use crate::model::{Permission, QueueName, Timestamp};
use crate::store::{SchedulerRow, rules};

#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    layout: Layout,
    rows: Vec<QueueLine>,
    more: usize,
    can_change: bool,
}

struct QueueLine {
    name: String,
    key: String,
    is_paused: bool,
    waiting: u64,
    running: u64,
    workers: usize,
}

#[derive(Template)]
#[template(path = "schedulers.html")]
struct SchedulersPage {
    layout: Layout,
    rows: Vec<SchedulerLine>,
    more: usize,
    clock: Option<String>,
}

struct SchedulerLine {
    id: String,
    role: String,
    state: &'static str,
    started: Moment,
    seen: Moment,
    queues: String,
    abilities: String,
    memory: String,
}

pub(super) async fn queues(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let layout = visit.layout("queues", "Queues");
    let queues = visit.app().queue_list().await?;
    let line = |queue: &QueueState| QueueLine {
        name: queue.row.queue.to_string(),
        key: encoded(queue.row.queue.as_str()),
        is_paused: queue.row.is_paused,
        waiting: waiting(queue),
        running: queue.row.running,
        workers: queue.workers,
    };
    let page = QueuesPage {
        rows: queues.iter().take(ROWS_MAX).map(line).collect(),
        more: queues.len().saturating_sub(ROWS_MAX),
        can_change: layout.may(Permission::Admin),
        layout,
    };
    Ok(respond(StatusCode::OK, &page))
}

pub(super) async fn pause_queue(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let queue: QueueName = visit.named("name")?;
    visit.app().queue_pause(&queue, true).await?;
    Ok(visit.see("/queues"))
}

pub(super) async fn resume_queue(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let queue: QueueName = visit.named("name")?;
    visit.app().queue_pause(&queue, false).await?;
    Ok(visit.see("/queues"))
}

pub(super) async fn schedulers(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let layout = visit.layout("schedulers", "Schedulers");
    let (status, now) = (visit.app().status().await?, visit.app().now().await?);
    let page = SchedulersPage {
        rows: status.schedulers.iter().take(ROWS_MAX).map(|row| SchedulerLine::new(row, now)).collect(),
        more: status.schedulers.len().saturating_sub(ROWS_MAX),
        clock: status.store_clock_ahead_ms.map(|ahead| format!("{ahead} ms ahead of this host's")),
        layout,
    };
    Ok(respond(StatusCode::OK, &page))
}

impl SchedulerLine {
    fn new(row: &SchedulerRow, now: Timestamp) -> SchedulerLine {
        let state = match row.stopped_at {
            Some(_) => "stopped",
            None if rules::is_alive(row, now) => "alive",
            None => "silent",
        };
        let memory = row.memory.map(|memory| {
            let (reserved, total) = (format_size(memory.reserved_bytes), format_size(memory.total_bytes));
            format!("{reserved} of {total}, {} waiting for some", memory.waiting)
        });
        SchedulerLine {
            id: row.id.to_string(),
            role: row.role.clone(),
            state,
            started: row.started_at.into(),
            seen: row.stopped_at.unwrap_or(row.seen_at).into(),
            queues: row.queues.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            abilities: row.abilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            memory: memory.unwrap_or_default(),
        }
    }
}
