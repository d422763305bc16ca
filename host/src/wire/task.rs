//! Tasks.

use serde::Serialize;
use serde_json::{Map, Value};

use super::settings::{BackoffWire, HooksWire, layer};
use super::{grace_millis, millis};
use crate::model::Target;
use crate::scheduler::Executors;
use crate::store::TaskRow;

/// A task with the settings that hold for it. `null` means unlimited for `max_running_jobs`, none for `misfire_grace_time_ms`.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Task"))]
pub(crate) struct TaskWire {
    pub(crate) id: String,
    pub(crate) plugin: Option<String>,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) max_running_jobs: Option<u32>,
    pub(crate) max_running_per_key: Option<u32>,
    pub(crate) concurrency_key: Option<String>,
    pub(crate) queue: String,
    pub(crate) misfire_grace_time_ms: Option<u64>,
    pub(crate) overlap: &'static str,
    /// `null` for never.
    pub(crate) pause_after: Option<std::num::NonZeroU32>,
    #[serde(flatten)]
    pub(crate) hooks: HooksWire,
    pub(crate) executor: String,
    pub(crate) timeout_ms: u64,
    pub(crate) fuel: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) max_attempts: u32,
    pub(crate) priority: i32,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) running_jobs: u64,
    /// Whether it can do nothing but compute, log and return.
    pub(crate) pure: bool,
}

/// What `tasks show` prints beside the task itself.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "TaskDetails"))]
pub(crate) struct TaskDetails {
    #[serde(flatten)]
    pub(crate) task: TaskWire,
    pub(crate) backoff: BackoffWire,
    pub(crate) result_ttl_ms: u64,
    /// What an operator has set for this task.
    pub(crate) configured: Value,
    /// What the author has set.
    pub(crate) declared: Value,
    /// The task defaults of the host that registered it.
    pub(crate) defaults: Value,
    pub(crate) args_schema: Option<Value>,
    pub(crate) result_schema: Option<Value>,
    pub(crate) example_args: Option<Value>,
}

impl TaskWire {
    /// Whether a task is pure is known of its plugin.
    pub(crate) fn new(row: &TaskRow, is_pure: bool) -> TaskWire {
        let task = &row.task;
        let settings = task.resolved();
        let usual_executor = match task.target {
            Target::Plugin { .. } => Executors::WASM,
            Target::Native { .. } => Executors::INLINE,
        };
        TaskWire {
            id: task.id.to_string(),
            plugin: task.target.plugin().map(ToString::to_string),
            name: task.target.function().to_string(),
            description: task.description.clone(),
            max_running_jobs: settings.max_running_jobs.limit(),
            max_running_per_key: settings.max_running_per_key.limit(),
            concurrency_key: settings.concurrency_key.as_ref().map(ToString::to_string),
            queue: settings.queue.to_string(),
            misfire_grace_time_ms: grace_millis(settings.misfire_grace_time),
            overlap: settings.overlap.as_str(),
            pause_after: settings.pause_after.failures(),
            hooks: HooksWire::from(&settings.hooks),
            executor: settings.executor.map_or_else(|| usual_executor.to_owned(), |name| name.to_string()),
            timeout_ms: millis(settings.timeout),
            fuel: settings.fuel,
            memory_bytes: settings.memory_bytes,
            max_attempts: settings.max_attempts,
            priority: settings.priority,
            metadata: settings.metadata.0,
            running_jobs: row.running_jobs,
            pure: is_pure,
        }
    }
}

impl TaskDetails {
    /// As [`TaskWire::new`].
    pub(crate) fn new(row: &TaskRow, is_pure: bool) -> TaskDetails {
        let settings = row.task.resolved();
        // Registration has checked that these texts are JSON.
        let json = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str(text).ok());
        TaskDetails {
            task: TaskWire::new(row, is_pure),
            backoff: settings.backoff.into(),
            result_ttl_ms: millis(settings.result_ttl),
            configured: layer(&row.task.configured),
            declared: layer(&row.task.declared),
            defaults: layer(&row.task.defaults),
            args_schema: json(&row.task.args_schema),
            result_schema: json(&row.task.result_schema),
            example_args: json(&row.task.example_args),
        }
    }
}
