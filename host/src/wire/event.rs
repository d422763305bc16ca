//! Events.

use serde_json::{Map, Value};

use crate::model::{Event, EventKind};

/// An event as an object: `at`, `type`, and the ids that its type has.
pub(crate) fn event(event: &Event) -> Value {
    let mut object = Map::new();
    object.insert("at".to_owned(), event.at.to_string().into());
    object.insert("type".to_owned(), event.kind.event_type().as_str().into());
    for (name, value) in ids(&event.kind) {
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}

fn ids(kind: &EventKind) -> Vec<(&'static str, Value)> {
    fn text(value: &impl ToString) -> Value {
        value.to_string().into()
    }
    fn maybe(value: &Option<impl ToString>) -> Value {
        value.as_ref().map_or(Value::Null, text)
    }
    match kind {
        EventKind::PluginRegistered { plugin, digest } => vec![("plugin", text(plugin)), ("digest", text(digest))],
        EventKind::PluginRolloutChanged { plugin, digest, state } => {
            vec![("plugin", text(plugin)), ("digest", text(digest)), ("state", text(state))]
        }
        EventKind::PluginRemoved { plugin } => vec![("plugin", text(plugin))],
        EventKind::TaskAdded { task_id } | EventKind::TaskUpdated { task_id } | EventKind::TaskRemoved { task_id } => {
            vec![("task_id", text(task_id))]
        }
        EventKind::ScheduleAdded { schedule_id, task_id, next_fire_time }
        | EventKind::ScheduleUpdated { schedule_id, task_id, next_fire_time } => vec![
            ("schedule_id", text(schedule_id)),
            ("task_id", text(task_id)),
            ("next_fire_time", maybe(next_fire_time)),
        ],
        EventKind::ScheduleRemoved { schedule_id, task_id, finished } => {
            vec![("schedule_id", text(schedule_id)), ("task_id", text(task_id)), ("finished", (*finished).into())]
        }
        EventKind::ScheduleFailed { schedule_id, message }
        | EventKind::ScheduleDeserializationFailed { schedule_id, message } => {
            vec![("schedule_id", text(schedule_id)), ("message", text(message))]
        }
        EventKind::ScheduleOverrun { schedule_id, task_id, job_id } => {
            vec![("schedule_id", text(schedule_id)), ("task_id", text(task_id)), ("job_id", text(job_id))]
        }
        EventKind::JobAdded { job_id, task_id, schedule_id } => {
            vec![("job_id", text(job_id)), ("task_id", text(task_id)), ("schedule_id", maybe(schedule_id))]
        }
        EventKind::JobRemoved { job_id } | EventKind::JobCancelRequested { job_id } => vec![("job_id", text(job_id))],
        EventKind::JobAcquired { job_id, task_id, scheduler_id, schedule_id, scheduled_fire_time } => vec![
            ("job_id", text(job_id)),
            ("task_id", text(task_id)),
            ("scheduler_id", text(scheduler_id)),
            ("schedule_id", maybe(schedule_id)),
            ("scheduled_fire_time", maybe(scheduled_fire_time)),
        ],
        EventKind::JobReleased(job) => vec![
            ("job_id", text(&job.job_id)),
            ("task_id", text(&job.task_id)),
            ("scheduler_id", maybe(&job.scheduler_id)),
            ("outcome", maybe(&job.outcome)),
            ("schedule_id", maybe(&job.schedule_id)),
            ("scheduled_fire_time", maybe(&job.scheduled_fire_time)),
            ("started_at", maybe(&job.started_at)),
            ("error_kind", maybe(&job.error.as_ref().map(|error| error.kind))),
            ("error", maybe(&job.error.as_ref().map(|error| &error.message))),
        ],
        EventKind::JobDeserializationFailed { job_id, message } => {
            vec![("job_id", text(job_id)), ("message", text(message))]
        }
        EventKind::SchedulerStarted { scheduler_id } => vec![("scheduler_id", text(scheduler_id))],
        EventKind::SchedulerStopped { scheduler_id, error } => {
            vec![("scheduler_id", text(scheduler_id)), ("error", maybe(error))]
        }
    }
}
