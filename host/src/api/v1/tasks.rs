//! Tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::{Answered, Call, answer};
use super::super::route::{Access, Route};
use super::given::{SettingsGiven, Word};
use super::list::{self, Page};
use crate::app::{ConfigureTask, SettingName};
use crate::model::Permission::{Plugins, Read};
use crate::store::TaskRow;
use crate::wire::{TaskDetails, TaskWire};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/tasks", Access::Needs(Read), "List tasks", list).answers::<Page<Vec<TaskWire>>>(&[200]),
        Route::get(
            "/api/v1/tasks/{id}",
            Access::Needs(Read),
            "One task: its settings, the schema of its arguments",
            show,
        )
        .answers::<TaskDetails>(&[200]),
        Route::patch(
            "/api/v1/tasks/{id}",
            Plugins,
            "Set what is configured for a task, or make a second one",
            configure,
        )
        .takes_json::<Configured>()
        .answers::<TaskDetails>(&[200]),
        Route::delete("/api/v1/tasks/{id}", "Remove a task that was made from another one", remove)
            .answers::<TaskRemoved>(&[200]),
    ]
}

#[derive(Serialize, JsonSchema)]
struct TaskRemoved {
    id: String,
    /// What was wrong with it, where it could not be read.
    unreadable: Option<String>,
}

async fn list(call: Call) -> Answered {
    let page = call.app().task_list().await?;
    let pure = call.app().plugins_pure().await?;
    let is_pure = |row: &TaskRow| row.task.target.plugin().is_some_and(|plugin| pure.contains(plugin));
    let tasks: Vec<TaskWire> = page.rows.iter().map(|row| TaskWire::new(row, is_pure(row))).collect();
    list::page(&tasks, None, &page.unreadable)
}

async fn details(call: &Call, row: &TaskRow) -> Answered {
    let pure = call.app().plugins_pure().await?;
    answer(&TaskDetails::new(row, row.task.target.plugin().is_some_and(|plugin| pure.contains(plugin))))
}

async fn show(call: Call) -> Answered {
    let row = call.app().task_resolve(&call.path::<String>("id")?).await?;
    details(&call, &row).await
}

/// What is to be configured.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "TaskConfiguration")]
#[serde(deny_unknown_fields)]
struct Configured {
    /// Make a second task over the function of this one.
    from: Option<String>,
    description: Option<String>,
    #[serde(default)]
    settings: SettingsGiven,
    #[serde(default)]
    unset: Vec<Word<SettingName>>,
}

async fn configure(call: Call) -> Answered {
    let given: Configured = call.json()?;
    let request = ConfigureTask {
        id: call.path("id")?,
        from: given.from,
        description: given.description,
        settings: given.settings.settings(None),
        unset: given.unset.into_iter().map(|word| word.0).collect(),
    };
    let row = call.app().task_configure(request).await?;
    details(&call, &row).await
}

async fn remove(call: Call) -> Answered {
    let removed = call.app().task_remove(&call.path::<String>("id")?).await?;
    let unreadable = removed.defect.as_ref().map(ToString::to_string);
    answer(&TaskRemoved { id: removed.id.to_string(), unreadable })
}
