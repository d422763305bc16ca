//! Schedules.

use serde::Serialize;
use serde_json::{Map, Value};

use super::task::grace_millis;
use super::{millis, payload_value};
use crate::model::{Coalesce, Pause, Schedule, Task};

/// A schedule. Grace time and metadata are those that hold, inherited from its task where it says nothing itself.
#[derive(Serialize)]
pub(crate) struct ScheduleWire {
    pub(crate) id: String,
    pub(crate) task_id: String,
    pub(crate) trigger: Value,
    pub(crate) args: Value,
    pub(crate) paused: bool,
    pub(crate) coalesce: &'static str,
    pub(crate) misfire_grace_time_ms: Option<u64>,
    pub(crate) max_jitter_ms: u64,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) next_fire_time: Option<String>,
    pub(crate) last_fire_time: Option<String>,
}

/// What `schedules show` prints beside the schedule itself.
#[derive(Serialize)]
pub(crate) struct ScheduleDetails {
    #[serde(flatten)]
    pub(crate) schedule: ScheduleWire,
    pub(crate) description: String,
    /// Why its trigger failed, where it did.
    pub(crate) failure: Option<String>,
    pub(crate) created_at: String,
}

impl ScheduleWire {
    /// `schedule` with what it inherits from `task`, where that exists.
    pub(crate) fn new(schedule: &Schedule, task: Option<&Task>) -> ScheduleWire {
        let settings = match task {
            Some(task) => schedule.settings.over(&task.layered()),
            None => schedule.settings.clone(),
        }
        .resolve();
        ScheduleWire {
            id: schedule.id.to_string(),
            task_id: schedule.task_id.to_string(),
            trigger: serde_json::from_str(&schedule.trigger).unwrap_or(Value::Null),
            args: payload_value(&schedule.args).unwrap_or(Value::Null),
            paused: schedule.pause.is_some(),
            coalesce: coalesce_name(schedule.coalesce),
            misfire_grace_time_ms: grace_millis(settings.misfire_grace_time),
            max_jitter_ms: millis(schedule.max_jitter),
            metadata: settings.metadata.0,
            next_fire_time: schedule.next_fire_time.map(|time| time.to_string()),
            last_fire_time: schedule.last_fire_time.map(|time| time.to_string()),
        }
    }
}

impl ScheduleDetails {
    /// As [`ScheduleWire::new`], with the trigger in words.
    pub(crate) fn new(schedule: &Schedule, task: Option<&Task>, description: String) -> ScheduleDetails {
        ScheduleDetails {
            schedule: ScheduleWire::new(schedule, task),
            description,
            failure: match &schedule.pause {
                Some(Pause::Failed(reason)) => Some(reason.clone()),
                Some(Pause::Asked) | None => None,
            },
            created_at: schedule.created_at.to_string(),
        }
    }
}

pub(crate) fn coalesce_name(coalesce: Coalesce) -> &'static str {
    match coalesce {
        Coalesce::Latest => "latest",
        Coalesce::Earliest => "earliest",
        Coalesce::All => "all",
    }
}
