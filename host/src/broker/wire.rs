//! Events between processes: JSON objects with a version. The output of `host events --json` has the same fields, without it.
//!
//! `{"v":1,"at":"2026-03-29T01:30:00.000000Z","type":"job_added","job_id":"…","task_id":"…"}`. Readers skip types that they
//! do not know and ignore keys that they do not know, so that schedulers of different versions can work on one store.

use serde_json::{Map, Value, json};

use crate::model::event::EVENT_MESSAGE_BYTES_MAX;
use crate::model::{
    Digest, ErrorKind, Event, EventKind, EventType, Outcome, ReleaseError, ReleasedJob, RolloutState, Timestamp,
};

/// The version that is written. Another one is not read.
const VERSION: u64 = 1;
/// Longest event that is read, in bytes: the longest message, escaped, and the ids around it.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;

/// The event as JSON.
pub fn encode(event: &Event) -> Value {
    let mut object = Map::new();
    object.insert("v".to_owned(), VERSION.into());
    object.insert("at".to_owned(), event.at.to_string().into());
    object.insert("type".to_owned(), event.kind.event_type().as_str().into());
    if let Value::Object(fields) = fields(&event.kind) {
        object.extend(fields);
    }
    Value::Object(object)
}

fn fields(kind: &EventKind) -> Value {
    let time = |time: &Option<Timestamp>| time.map(|time| time.to_string());
    match kind {
        EventKind::PluginRegistered { plugin, digest } => {
            json!({"plugin": plugin.as_str(), "digest": digest.to_string()})
        }
        EventKind::PluginRolloutChanged { plugin, digest, state } => {
            json!({"plugin": plugin.as_str(), "digest": digest.to_string(), "state": state.as_str()})
        }
        EventKind::PluginRemoved { plugin } => json!({"plugin": plugin.as_str()}),
        EventKind::TaskAdded { task_id } | EventKind::TaskUpdated { task_id } | EventKind::TaskRemoved { task_id } => {
            json!({"task_id": task_id.as_str()})
        }
        EventKind::ScheduleAdded { schedule_id, task_id, next_fire_time }
        | EventKind::ScheduleUpdated { schedule_id, task_id, next_fire_time } => json!({
            "schedule_id": schedule_id.as_str(), "task_id": task_id.as_str(), "next_fire_time": time(next_fire_time),
        }),
        EventKind::ScheduleRemoved { schedule_id, task_id, finished } => {
            json!({"schedule_id": schedule_id.as_str(), "task_id": task_id.as_str(), "finished": finished})
        }
        EventKind::ScheduleFailed { schedule_id, message }
        | EventKind::ScheduleDeserializationFailed { schedule_id, message } => {
            json!({"schedule_id": schedule_id.as_str(), "message": message})
        }
        EventKind::ScheduleOverrun { schedule_id, task_id, job_id } => json!({
            "schedule_id": schedule_id.as_str(), "task_id": task_id.as_str(), "job_id": job_id.to_string(),
        }),
        EventKind::JobAdded { job_id, task_id, schedule_id } => json!({
            "job_id": job_id.to_string(), "task_id": task_id.as_str(), "schedule_id": schedule_id.as_ref().map(|id| id.as_str()),
        }),
        EventKind::JobRemoved { job_id } | EventKind::JobCancelRequested { job_id } => {
            json!({"job_id": job_id.to_string()})
        }
        EventKind::JobAcquired { job_id, task_id, scheduler_id, schedule_id, scheduled_fire_time } => json!({
            "job_id": job_id.to_string(), "task_id": task_id.as_str(), "scheduler_id": scheduler_id.as_str(),
            "schedule_id": schedule_id.as_ref().map(|id| id.as_str()), "scheduled_fire_time": time(scheduled_fire_time),
        }),
        EventKind::JobReleased(job) => json!({
            "job_id": job.job_id.to_string(), "task_id": job.task_id.as_str(),
            "scheduler_id": job.scheduler_id.as_ref().map(|id| id.as_str()), "outcome": job.outcome.map(Outcome::as_str),
            "schedule_id": job.schedule_id.as_ref().map(|id| id.as_str()),
            "scheduled_fire_time": time(&job.scheduled_fire_time), "started_at": time(&job.started_at),
            "error": job.error.as_ref().map(|error| json!({"kind": error.kind.as_str(), "message": error.message})),
        }),
        EventKind::JobDeserializationFailed { job_id, message } => {
            json!({"job_id": job_id.to_string(), "message": message})
        }
        EventKind::SchedulerStarted { scheduler_id } => json!({"scheduler_id": scheduler_id.as_str()}),
        EventKind::SchedulerStopped { scheduler_id, error } => {
            json!({"scheduler_id": scheduler_id.as_str(), "error": error})
        }
    }
}

/// The event in that text; `None` for one of another version or type, or anything else: a hint that nobody understands is no
/// reason to stop.
pub fn decode(text: &str) -> Option<Event> {
    if text.len() > EVENT_BYTES_MAX {
        return None;
    }
    decode_value(&serde_json::from_str(text).ok()?)
}

/// As [`decode`], where the text was read as JSON already.
pub fn decode_value(value: &Value) -> Option<Event> {
    let fields = Fields(value.as_object()?);
    if fields.0.get("v")?.as_u64()? != VERSION {
        return None;
    }
    let event_type = EventType::from_name(fields.text("type")?)?;
    Some(Event { at: fields.parse("at")?, kind: kind(event_type, &fields)? })
}

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    fn parse<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    /// A value that may be absent or null, but not wrong.
    fn optional<T: std::str::FromStr>(&self, key: &str) -> Option<Option<T>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(_) => self.parse(key).map(Some),
        }
    }
}

fn kind(event_type: EventType, fields: &Fields<'_>) -> Option<EventKind> {
    let message = || fields.text("message").map(str::to_owned);
    Some(match event_type {
        EventType::PluginRegistered => {
            EventKind::PluginRegistered { plugin: fields.parse("plugin")?, digest: fields.parse::<Digest>("digest")? }
        }
        EventType::PluginRolloutChanged => EventKind::PluginRolloutChanged {
            plugin: fields.parse("plugin")?,
            digest: fields.parse::<Digest>("digest")?,
            state: RolloutState::from_name(fields.text("state")?)?,
        },
        EventType::PluginRemoved => EventKind::PluginRemoved { plugin: fields.parse("plugin")? },
        EventType::TaskAdded => EventKind::TaskAdded { task_id: fields.parse("task_id")? },
        EventType::TaskUpdated => EventKind::TaskUpdated { task_id: fields.parse("task_id")? },
        EventType::TaskRemoved => EventKind::TaskRemoved { task_id: fields.parse("task_id")? },
        EventType::ScheduleAdded => EventKind::ScheduleAdded {
            schedule_id: fields.parse("schedule_id")?,
            task_id: fields.parse("task_id")?,
            next_fire_time: fields.optional("next_fire_time")?,
        },
        EventType::ScheduleUpdated => EventKind::ScheduleUpdated {
            schedule_id: fields.parse("schedule_id")?,
            task_id: fields.parse("task_id")?,
            next_fire_time: fields.optional("next_fire_time")?,
        },
        EventType::ScheduleRemoved => EventKind::ScheduleRemoved {
            schedule_id: fields.parse("schedule_id")?,
            task_id: fields.parse("task_id")?,
            finished: fields.0.get("finished")?.as_bool()?,
        },
        EventType::ScheduleFailed => {
            EventKind::ScheduleFailed { schedule_id: fields.parse("schedule_id")?, message: message()? }
        }
        EventType::ScheduleDeserializationFailed => {
            EventKind::ScheduleDeserializationFailed { schedule_id: fields.parse("schedule_id")?, message: message()? }
        }
        EventType::ScheduleOverrun => EventKind::ScheduleOverrun {
            schedule_id: fields.parse("schedule_id")?,
            task_id: fields.parse("task_id")?,
            job_id: fields.parse("job_id")?,
        },
        EventType::JobAdded => EventKind::JobAdded {
            job_id: fields.parse("job_id")?,
            task_id: fields.parse("task_id")?,
            schedule_id: fields.optional("schedule_id")?,
        },
        EventType::JobRemoved => EventKind::JobRemoved { job_id: fields.parse("job_id")? },
        EventType::JobAcquired => EventKind::JobAcquired {
            job_id: fields.parse("job_id")?,
            task_id: fields.parse("task_id")?,
            scheduler_id: fields.parse("scheduler_id")?,
            // Earlier programs do not say these.
            schedule_id: fields.optional("schedule_id")?,
            scheduled_fire_time: fields.optional("scheduled_fire_time")?,
        },
        EventType::JobReleased => EventKind::from(ReleasedJob {
            job_id: fields.parse("job_id")?,
            task_id: fields.parse("task_id")?,
            outcome: match fields.text("outcome") {
                None => None,
                Some(name) => Some(Outcome::from_name(name)?),
            },
            scheduler_id: fields.optional("scheduler_id")?,
            schedule_id: fields.optional("schedule_id")?,
            scheduled_fire_time: fields.optional("scheduled_fire_time")?,
            started_at: fields.optional("started_at")?,
            // One of a kind that is not known here is not worth losing the event for.
            error: fields.0.get("error").and_then(release_error),
        }),
        EventType::JobCancelRequested => EventKind::JobCancelRequested { job_id: fields.parse("job_id")? },
        EventType::JobDeserializationFailed => {
            EventKind::JobDeserializationFailed { job_id: fields.parse("job_id")?, message: message()? }
        }
        EventType::SchedulerStarted => EventKind::SchedulerStarted { scheduler_id: fields.parse("scheduler_id")? },
        EventType::SchedulerStopped => EventKind::SchedulerStopped {
            scheduler_id: fields.parse("scheduler_id")?,
            error: fields.text("error").map(str::to_owned),
        },
    })
}

fn release_error(value: &Value) -> Option<ReleaseError> {
    let fields = Fields(value.as_object()?);
    let message = fields.text("message")?;
    let message = message[..message.floor_char_boundary(EVENT_MESSAGE_BYTES_MAX)].to_owned();
    Some(ReleaseError { kind: ErrorKind::from_name(fields.text("kind")?)?, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::JobId;

    fn parsed<T: std::str::FromStr>(text: &str) -> T {
        text.parse().ok().expect("valid in this test")
    }

    /// One event of each type, with every optional field once present and once absent.
    fn samples() -> Vec<EventKind> {
        let (job_id, task_id, schedule_id) = (JobId::from_bytes([7; 16]), parsed("p:t"), parsed("nightly"));
        let task = || EventKind::TaskAdded { task_id: parsed("p:t") };
        let message = "broken \"quotes\"\nand lines".to_owned();
        vec![
            EventKind::PluginRegistered { plugin: parsed("p"), digest: Digest::from_bytes([1; 32]) },
            EventKind::PluginRolloutChanged {
                plugin: parsed("p"),
                digest: Digest::from_bytes([2; 32]),
                state: RolloutState::Returned,
            },
            EventKind::PluginRemoved { plugin: parsed("p") },
            task(),
            EventKind::TaskUpdated { task_id: parsed("p:t") },
            EventKind::TaskRemoved { task_id: parsed("p:t") },
            EventKind::ScheduleAdded {
                schedule_id: parsed("s"),
                task_id: parsed("t"),
                next_fire_time: Some(Timestamp::MAX),
            },
            EventKind::ScheduleUpdated { schedule_id: parsed("s"), task_id: parsed("t"), next_fire_time: None },
            EventKind::ScheduleRemoved { schedule_id: parsed("s"), task_id: parsed("t"), finished: true },
            EventKind::ScheduleFailed { schedule_id: parsed("s"), message: message.clone() },
            EventKind::ScheduleDeserializationFailed { schedule_id: parsed("s"), message: message.clone() },
            EventKind::ScheduleOverrun { schedule_id: parsed("s"), task_id: parsed("t"), job_id },
            EventKind::JobAdded { job_id, task_id, schedule_id: Some(schedule_id) },
            EventKind::JobAdded { job_id, task_id: parsed("t"), schedule_id: None },
            EventKind::JobRemoved { job_id },
            EventKind::JobAcquired {
                job_id,
                task_id: parsed("t"),
                scheduler_id: parsed("me"),
                schedule_id: None,
                scheduled_fire_time: None,
            },
            EventKind::JobAcquired {
                job_id,
                task_id: parsed("t"),
                scheduler_id: parsed("me"),
                schedule_id: Some(parsed("s")),
                scheduled_fire_time: Some(Timestamp::EPOCH),
            },
            ReleasedJob::new(job_id, parsed("t"), None).into(),
            EventKind::from(ReleasedJob {
                scheduler_id: Some(parsed("me")),
                schedule_id: Some(parsed("s")),
                scheduled_fire_time: Some(Timestamp::EPOCH),
                started_at: Some(Timestamp::MAX),
                error: Some(ReleaseError { kind: ErrorKind::OutOfFuel, message: message.clone() }),
                ..ReleasedJob::new(job_id, parsed("t"), Some(Outcome::Error))
            }),
            EventKind::JobCancelRequested { job_id },
            EventKind::JobDeserializationFailed { job_id, message },
            EventKind::SchedulerStarted { scheduler_id: parsed("me") },
            EventKind::SchedulerStopped { scheduler_id: parsed("me"), error: None },
            EventKind::SchedulerStopped { scheduler_id: parsed("me"), error: Some("a loop has ended".to_owned()) },
        ]
    }

    #[test]
    fn every_event_is_read_back_as_it_was_written() {
        let mut types = std::collections::HashSet::new();
        for kind in samples() {
            types.insert(kind.event_type());
            let event = Event { at: Timestamp::EPOCH, kind };
            assert_eq!(decode(&encode(&event).to_string()), Some(event));
        }
        assert_eq!(types.len(), EventType::ALL.len(), "a type of event has no sample");
    }

    #[test]
    fn what_cannot_be_understood_is_skipped() {
        let good =
            encode(&Event { at: Timestamp::EPOCH, kind: EventKind::JobRemoved { job_id: JobId::from_bytes([7; 16]) } });
        let change = |key: &str, value: Value| {
            let mut changed = good.clone();
            changed[key] = value;
            changed.to_string()
        };
        assert!(decode(&good.to_string()).is_some());
        assert!(decode(&change("unknown", 1.into())).is_some(), "unknown keys are ignored");
        for bad in
            [change("v", 2.into()), change("type", "job_exploded".into()), change("job_id", "7".into()), String::new()]
        {
            assert_eq!(decode(&bad), None, "{bad}");
        }
    }
}
