//! Tasks: find one by the name a person uses, list, configure.

use super::check::{SettingName, check_new_id};
use super::error::candidates;
use super::plugins::readable;
use super::{App, AppError, AppResult};
use crate::model::{EventKind, Settings, Target, Task, TaskId, TaskName};
use crate::store::{Page, Put, StoreError, Subject, TaskRow};

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

impl App {
    /// The task that `name` means: its id, or the bare name of a function that exactly one plugin offers.
    ///
    /// # Errors
    /// [`AppError::NotFound`] lists the tasks there are, the likely ones first; [`AppError::Invalid`] lists the tasks that an ambiguous name
    /// may mean.
    pub async fn task_resolve(&self, name: &str) -> AppResult<TaskRow> {
        if let Ok(id) = TaskId::new(name)
            && let Some(row) = self.store.task_get(&id).await?
        {
            return Ok(row);
        }
        let Page { mut rows, unreadable, .. } = self.store.task_list().await?;
        let means = |row: &TaskRow| row.task.target.function().as_str() == name && is_offered(&row.task);
        let meant: Vec<usize> = (0..rows.len()).filter(|&at| means(&rows[at])).collect();
        // One that cannot be read may be meant as well, by what its id says.
        let unread: Vec<_> = unreadable.iter().filter(|bad| bad.id.rsplit(':').next() == Some(name)).collect();
        match (&meant[..], &unread[..]) {
            (&[at], []) => Ok(rows.swap_remove(at)),
            ([], [bad]) => {
                let subject = TaskId::new(&bad.id).map_or_else(|_| Subject::Other(bad.id.clone()), Subject::Task);
                Err(StoreError::Unreadable { subject, defect: bad.defect.clone() }.into())
            }
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
        task.configured = request.settings.over(&task.configured);
        self.check_settings(&task.configured)?;
        if let Some(description) = request.description {
            task.description = description;
        }
        self.task_store(task, running_jobs).await
    }

    /// Makes a function of the embedding program a task, under the function's name or (with its own settings) any other id.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for settings that are not acceptable; [`AppError::Refused`] where a plugin has a task of that id.
    pub async fn task_add_native(&self, id: TaskId, function: TaskName, settings: Settings) -> AppResult<TaskRow> {
        self.check_settings(&settings)?;
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
            target: Target::Native { function },
            description: String::new(),
            args_schema: None,
            result_schema: None,
            example_args: None,
            configured,
            declared: settings,
            defaults: (*self.task_defaults).clone(),
        };
        self.task_store(task, known.map_or(0, |row| row.running_jobs)).await
    }

    /// Removes a task that was made by configuration. Its schedules and jobs stay.
    ///
    /// # Errors
    /// [`AppError::NotFound`]; [`AppError::Refused`] for a task that a plugin offers, which goes with its plugin.
    pub async fn task_remove(&self, id: &str) -> AppResult<TaskId> {
        let task = self.task_resolve(id).await?.task;
        if is_offered(&task) {
            return Err(AppError::refused(format!("task `{}` belongs to its plugin", task.id))
                .with_hint("`host plugins remove` removes a plugin with its tasks"));
        }
        if !self.store.task_remove(&task.id).await? {
            return Err(AppError::not_found("task", &task.id));
        }
        self.publish(vec![EventKind::TaskRemoved { task_id: task.id.clone() }]).await;
        Ok(task.id)
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
