//! Schedules.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

use serde::Serialize;
use serde_json::{Map, Value};

use super::settings::{HooksWire, RunSettingsWire, layer};
use super::{grace_millis, millis, payload_value};
use crate::app::{App, AppResult};
use crate::model::{Coalesce, Pause, ResolvedSettings, Schedule, Task, TaskId, Timestamp};
use crate::trigger::Trigger;

/// A schedule. Grace time and metadata are those that hold, inherited from its task where it says nothing itself.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Schedule"))]
pub(crate) struct ScheduleWire {
    pub(crate) id: String,
    pub(crate) task_id: String,
    pub(crate) trigger: Value,
    pub(crate) args: Value,
    pub(crate) paused: bool,
    pub(crate) coalesce: &'static str,
    pub(crate) misfire_grace_time_ms: Option<u64>,
    pub(crate) overlap: &'static str,
    /// After how many failures in a row it is paused; `null` for never.
    pub(crate) pause_after: Option<NonZeroU32>,
    pub(crate) until_success: bool,
    #[serde(flatten)]
    pub(crate) hooks: HooksWire,
    /// `null` where there is no bound.
    pub(crate) max_fires: Option<NonZeroU32>,
    pub(crate) max_jitter_ms: u64,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) next_fire_time: Option<String>,
    pub(crate) last_fire_time: Option<String>,
    /// Since which fire time each fire has found an earlier job that had not ended.
    pub(crate) overruns_since: Option<String>,
    /// How many of its fires have made a job.
    pub(crate) fire_count: u64,
    /// How many of its jobs have failed in a row.
    pub(crate) failures: u32,
}

/// What `schedules show` prints beside the schedule itself.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "ScheduleDetails"))]
pub(crate) struct ScheduleDetails {
    #[serde(flatten)]
    pub(crate) schedule: ScheduleWire,
    pub(crate) description: String,
    /// `active`, `overrunning`, `paused`, `failed`, `finished`, `task_missing` or `task_unreadable`.
    pub(crate) state: &'static str,
    /// Why it was paused, where its trigger or its jobs failed.
    pub(crate) failure: Option<String>,
    /// The settings that its jobs get, inherited from its task where it says nothing itself.
    pub(crate) settings: RunSettingsWire,
    /// What it sets itself.
    pub(crate) own_settings: Value,
    pub(crate) created_at: String,
}

/// What a schedule does at present.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScheduleState {
    /// It fires.
    Active,
    /// It fires, and its last fire found an earlier job that had not ended.
    Overrunning,
    /// Somebody paused it.
    Paused,
    /// Its trigger or its jobs failed, which paused it.
    Failed,
    /// It fires no more: its trigger has no more fire times, or one of the bounds on it is reached.
    Finished,
    /// It fires, and its jobs have no task to run.
    TaskMissing,
    /// It fires, and what is stored of its task cannot be read.
    TaskUnreadable,
}

/// What there is of a schedule's task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskPresence {
    Present,
    Unreadable,
    Missing,
}

impl ScheduleState {
    pub(crate) fn of(schedule: &Schedule, task: TaskPresence) -> ScheduleState {
        match (&schedule.pause, schedule.next_fire_time) {
            (Some(Pause::Asked), _) => ScheduleState::Paused,
            (Some(Pause::Failed(_)), _) => ScheduleState::Failed,
            (None, None) => ScheduleState::Finished,
            (None, Some(_)) => match task {
                TaskPresence::Present if schedule.overruns_since.is_some() => ScheduleState::Overrunning,
                TaskPresence::Present => ScheduleState::Active,
                TaskPresence::Unreadable => ScheduleState::TaskUnreadable,
                TaskPresence::Missing => ScheduleState::TaskMissing,
            },
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ScheduleState::Active => "active",
            ScheduleState::Overrunning => "overrunning",
            ScheduleState::Paused => "paused",
            ScheduleState::Failed => "failed",
            ScheduleState::Finished => "finished",
            ScheduleState::TaskMissing => "task_missing",
            ScheduleState::TaskUnreadable => "task_unreadable",
        }
    }
}

impl ScheduleWire {
    /// `schedule` with what it inherits from `task`, where that exists.
    pub(crate) fn new(schedule: &Schedule, task: Option<&Task>) -> ScheduleWire {
        let settings = settings_of(schedule, task);
        ScheduleWire {
            id: schedule.id.to_string(),
            task_id: schedule.task_id.to_string(),
            trigger: serde_json::from_str(&schedule.trigger).unwrap_or(Value::Null),
            args: payload_value(&schedule.args).unwrap_or(Value::Null),
            paused: schedule.pause.is_some(),
            coalesce: coalesce_name(schedule.coalesce),
            misfire_grace_time_ms: grace_millis(settings.misfire_grace_time),
            overlap: settings.overlap.as_str(),
            pause_after: settings.pause_after.failures(),
            until_success: settings.until_success,
            hooks: HooksWire::from(&settings.hooks),
            max_fires: settings.max_fires,
            max_jitter_ms: millis(schedule.max_jitter),
            metadata: settings.metadata.0,
            next_fire_time: schedule.next_fire_time.map(|time| time.to_string()),
            last_fire_time: schedule.last_fire_time.map(|time| time.to_string()),
            overruns_since: schedule.overruns_since.map(|time| time.to_string()),
            fire_count: schedule.fire_count,
            failures: schedule.failures,
        }
    }
}

/// The settings that the jobs of a schedule get.
pub(crate) fn settings_of(schedule: &Schedule, task: Option<&Task>) -> ResolvedSettings {
    schedule.settings.over(&task.map(Task::layered).unwrap_or_default()).resolve()
}

impl ScheduleDetails {
    /// As [`ScheduleWire::new`], with the trigger in words.
    pub(crate) fn new(
        schedule: &Schedule,
        task: Option<&Task>,
        presence: TaskPresence,
        description: String,
    ) -> ScheduleDetails {
        ScheduleDetails {
            schedule: ScheduleWire::new(schedule, task),
            description,
            state: ScheduleState::of(schedule, presence).as_str(),
            settings: RunSettingsWire::from(&settings_of(schedule, task)),
            own_settings: layer(&schedule.settings),
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

/// The trigger of a stored schedule in words.
pub(crate) fn describe(schedule: &Schedule) -> String {
    match Trigger::from_json(&schedule.trigger, Timestamp::EPOCH) {
        Ok(trigger) => trigger.describe(),
        Err(error) => format!("unreadable trigger: {error}"),
    }
}

/// The tasks that schedules may name.
pub(crate) struct KnownTasks {
    readable: HashMap<TaskId, Task>,
    unreadable: HashSet<String>,
}

impl KnownTasks {
    pub(crate) async fn read(app: &App) -> AppResult<KnownTasks> {
        let page = app.task_list().await?;
        Ok(KnownTasks {
            readable: page.rows.into_iter().map(|row| (row.task.id.clone(), row.task)).collect(),
            unreadable: page.unreadable.into_iter().map(|bad| bad.id).collect(),
        })
    }

    pub(crate) fn of(&self, schedule: &Schedule) -> Option<&Task> {
        self.readable.get(&schedule.task_id)
    }

    pub(crate) fn presence(&self, schedule: &Schedule) -> TaskPresence {
        if self.of(schedule).is_some() {
            TaskPresence::Present
        } else if self.unreadable.contains(schedule.task_id.as_str()) {
            TaskPresence::Unreadable
        } else {
            TaskPresence::Missing
        }
    }

    pub(crate) fn details(&self, schedule: &Schedule) -> ScheduleDetails {
        ScheduleDetails::new(schedule, self.of(schedule), self.presence(schedule), describe(schedule))
    }
}
