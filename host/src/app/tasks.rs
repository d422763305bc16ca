//! Tasks: find one by the name a person uses, list, configure.

use super::check::{SettingName, check_new_id};
use super::error::candidates;
use super::plugins::readable;
use super::{App, AppError, AppResult};
use crate::model::{EventKind, Settings, Target, Task, TaskDeclaration, TaskId};
use crate::store::{Defect, Page, Put, StoreError, Subject, TaskRow, Unreadable};

/// A change to a task's explicit configuration.
#[derive(Debug, Clone, Default)]
pub struct ConfigureTask {
    /// The task to be changed; with `from`, the id of the task to be made.
    pub id: String,
    /// Make a second task over the function of this one.
    pub from: Option<String>,
    /// Its description, where it is to have one of its own.
    pub description: Option<String>,
    /// The settings to be set, over what is configured already.
    pub settings: Settings,
    /// The settings to be taken back first, so that the author's, or the host's, hold again.
    pub unset: Vec<SettingName>,
}

/// A task that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedTask {
    /// The whole id, which may have been asked for by its end.
    pub id: TaskId,
    /// Why it could not be read, where it could not.
    pub defect: Option<Defect>,
}

impl App {
    /// The task that `name` means: its id, or the bare name of a function that exactly one plugin offers.
    ///
    /// # Errors
    /// [`AppError::NotFound`] lists the tasks there are, the likely ones first; [`AppError::Invalid`] lists the tasks that an ambiguous name
    /// may mean.
    pub async fn task_resolve(&self, name: &str) -> AppResult<TaskRow> {
        let found = self.find_task(name).await?;
        Ok(found.map_err(|Unreadable { id, defect }| {
            let subject = TaskId::new(&id).map_or(Subject::Other(id), Subject::Task);
            StoreError::Unreadable { subject, defect }
        })?)
    }

    /// As [`App::task_resolve`], with a task that cannot be read as an answer.
    async fn find_task(&self, name: &str) -> AppResult<Result<TaskRow, Unreadable>> {
        if let Ok(id) = TaskId::new(name) {
            match self.store.task_get(&id).await {
                Ok(Some(row)) => return Ok(Ok(row)),
                Ok(None) => {}
                Err(StoreError::Unreadable { defect, .. }) => {
                    return Ok(Err(Unreadable { id: id.to_string(), defect }));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Page { mut rows, unreadable, .. } = self.store.task_list().await?;
        let means = |row: &TaskRow| row.task.target.function().as_str() == name && is_offered(&row.task);
        let meant: Vec<usize> = (0..rows.len()).filter(|&at| means(&rows[at])).collect();
        // One that cannot be read may be meant as well, by what its id says.
        let unread: Vec<_> = unreadable.iter().filter(|bad| bad.id.rsplit(':').next() == Some(name)).collect();
        match (&meant[..], &unread[..]) {
            (&[at], []) => Ok(Ok(rows.swap_remove(at))),
            ([], [bad]) => Ok(Err((*bad).clone())),
            ([], []) => {
                let error = AppError::not_found("task", name);
                Err(if rows.is_empty() {
                    error.with_hint("no task is known yet; `host register FILE` registers a plugin with its tasks")
                } else {
                    let ids = rows.iter().map(|row| row.task.id.as_str());
                    error.with_hint(format!("tasks: {}", candidates(name, ids)))
                })
            }
            _ => {
                let ids = meant.iter().map(|&at| rows[at].task.id.as_str());
                let ids = ids.chain(unread.iter().map(|bad| bad.id.as_str()));
                Err(AppError::invalid(format!("several plugins offer a task `{name}`"))
                    .with_hint(format!("name one of {}", candidates(name, ids))))
            }
        }
    }

    /// The id to filter by: of a task that exists, or, for schedules and jobs whose task is gone, the id as it was given.
    ///
    /// # Errors
    /// As [`App::task_resolve`].
    pub async fn task_of_filter(&self, task: &str) -> AppResult<TaskId> {
        match self.task_resolve(task).await {
            Ok(row) => Ok(row.task.id),
            Err(error) => match TaskId::new(task) {
                Ok(id) if task.contains(':') => Ok(id),
                _ => Err(error),
            },
        }
    }

    /// All tasks, by id.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn task_list(&self) -> AppResult<Page<TaskRow>> {
        Ok(self.store.task_list().await?)
    }

    /// Changes what is configured for a task, or makes a second task over the same function.
    ///
    /// # Errors
    /// [`AppError::NotFound`]; [`AppError::Invalid`] for settings that are not acceptable; [`AppError::Refused`] where the id of the task to
    /// be made is taken.
    pub async fn task_configure(&self, request: ConfigureTask) -> AppResult<TaskRow> {
        self.check_settings(&request.settings)?;
        let (mut task, running_jobs) = match &request.from {
            None => {
                let row = self.task_resolve(&request.id).await?;
                (row.task, row.running_jobs)
            }
            Some(from) => (self.derived(&request.id, from).await?, 0),
        };
        for name in &request.unset {
            name.unset(&mut task.configured);
        }
        let mut settings = request.settings;
        self.check_hooks(&mut settings.hooks, &task.id).await?;
        task.configured = settings.over(&task.configured);
        self.check_settings(&task.configured)?;
        if let Some(description) = request.description {
            task.description = description;
        }
        self.task_store(task, running_jobs).await
    }

    /// Makes a function of the embedding program a task, under the function's name or (with its own settings) any other id.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for settings that are not acceptable, and for a schema that is none; [`AppError::Refused`] where a plugin has a
    /// task of that id.
    pub async fn task_add_native(&self, id: TaskId, declared: TaskDeclaration) -> AppResult<TaskRow> {
        self.check_settings(&declared.settings)?;
        for schema in [&declared.args_schema, &declared.result_schema].into_iter().flatten() {
            serde_json::from_str::<serde_json::Value>(schema)
                .map_err(|error| AppError::invalid(format!("a schema of the task `{id}` is no JSON: {error}")))?;
        }
        check_new_id("task id", id.as_str())?;
        let known = readable(self.store.task_get(&id).await)?;
        if let Some(row) = &known
            && row.task.target.plugin().is_some()
        {
            return Err(AppError::refused(format!("task `{id}` exists, and is a plugin's")));
        }
        let configured = known.as_ref().map(|row| row.task.configured.clone()).unwrap_or_default();
        let task = Task {
            id,
            target: Target::Native { function: declared.name },
            description: declared.description,
            args_schema: declared.args_schema,
            result_schema: declared.result_schema,
            example_args: declared.example_args,
            configured,
            declared: declared.settings,
            defaults: (*self.task_defaults).clone(),
        };
        self.task_store(task, known.map_or(0, |row| row.running_jobs)).await
    }

    /// Removes a task that was made by configuration, whether it can be read or not. Its schedules and jobs stay.
    ///
    /// # Errors
    /// [`AppError::NotFound`]; [`AppError::Refused`] for a task that a plugin offers, which goes with its plugin.
    pub async fn task_remove(&self, name: &str) -> AppResult<RemovedTask> {
        let (id, is_offered, defect) = match self.find_task(name).await? {
            Ok(TaskRow { task, .. }) => (task.id.clone(), is_offered(&task), None),
            Err(Unreadable { id, defect }) => {
                let id =
                    TaskId::new(&id).map_err(|error| AppError::unexpected("a task has an id that is none", error))?;
                // Only the ids of tasks that plugins offer have a colon.
                let is_offered = id.as_str().contains(':');
                (id, is_offered, Some(defect))
            }
        };
        if is_offered {
            return Err(AppError::refused(format!("task `{id}` belongs to its plugin"))
                .with_hint("`host plugins remove` removes a plugin with its tasks"));
        }
        if !self.store.task_remove(&id).await? {
            return Err(AppError::not_found("task", &id));
        }
        self.publish(vec![EventKind::TaskRemoved { task_id: id.clone() }]).await;
        Ok(RemovedTask { id, defect })
    }

    /// A task `id` over the function of the task `from`, not stored yet.
    async fn derived(&self, id: &str, from: &str) -> AppResult<Task> {
        let id = TaskId::new(id).map_err(|error| AppError::invalid(error.to_string()))?;
        check_new_id("task id", id.as_str())?;
        if id.as_str().contains(':') {
            return Err(AppError::invalid(format!(
                "`{id}` has a colon, which is kept for the tasks that plugins offer"
            )));
        }
        if self.store.task_get(&id).await?.is_some() {
            return Err(AppError::refused(format!("task `{id}` exists already"))
                .with_hint("leave out --from to change its settings"));
        }
        Ok(Task { id, configured: Settings::default(), ..self.task_resolve(from).await?.task })
    }

    async fn task_store(&self, task: Task, running_jobs: u64) -> AppResult<TaskRow> {
        let event = match self.store.task_put(task.clone()).await? {
            Put::Added => vec![EventKind::TaskAdded { task_id: task.id.clone() }],
            Put::Replaced => vec![EventKind::TaskUpdated { task_id: task.id.clone() }],
            Put::Unchanged => Vec::new(),
        };
        self.publish(event).await;
        Ok(TaskRow { task, running_jobs })
    }
}

/// Whether a task is one that its plugin offers, and not one that was derived from it.
fn is_offered(task: &Task) -> bool {
    match &task.target {
        Target::Plugin { plugin, function } => task.id == TaskId::of_plugin(plugin, function),
        Target::Native { .. } => false,
    }
}
