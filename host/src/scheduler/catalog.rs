//! What this worker knows of tasks and plugins, so that no job costs a look into the catalogue.

use std::collections::HashMap;
use std::sync::Arc;

use crate::executor::{Runnable, RunnablePlugin};
use crate::model::{ErrorKind, JobError, TaskId};
use crate::store::{Store, StoreError};

/// What a task runs at the moment, or why it cannot.
pub(super) type Resolved = Result<Arc<Runnable>, JobError>;

/// Answers from memory while the catalogue's revision stands, and asks the store after it moved.
pub(super) struct CatalogCache {
    store: Arc<dyn Store>,
    revision: Option<i64>,
    tasks: HashMap<TaskId, Resolved>,
}

impl CatalogCache {
    pub(super) fn new(store: Arc<dyn Store>) -> CatalogCache {
        CatalogCache { store, revision: None, tasks: HashMap::new() }
    }

    /// What `task_id` runs, as of the catalogue's `revision`.
    pub(super) async fn resolve(&mut self, task_id: &TaskId, revision: i64) -> Result<Resolved, StoreError> {
        if self.revision != Some(revision) {
            self.tasks.clear();
            self.revision = Some(revision);
        }
        if let Some(known) = self.tasks.get(task_id) {
            return Ok(known.clone());
        }
        let resolved = self.look_up(task_id).await?;
        self.tasks.insert(task_id.clone(), resolved.clone());
        Ok(resolved)
    }

    async fn look_up(&self, task_id: &TaskId) -> Result<Resolved, StoreError> {
        let Some(row) = self.store.task_get(task_id).await? else {
            return Ok(Err(unavailable(format!("there is no task `{task_id}` (any more)"))));
        };
        let target = row.task.target;
        let Some(name) = target.plugin().cloned() else {
            return Ok(Ok(Arc::new(Runnable { target, plugin: None })));
        };
        let Some(version) = self.store.plugin_get(&name).await? else {
            return Ok(Err(unavailable(format!("there is no plugin `{name}` (any more)"))));
        };
        let plugin = RunnablePlugin { name, digest: version.digest, grants: version.grants.into() };
        Ok(Ok(Arc::new(Runnable { target, plugin: Some(plugin) })))
    }
}

fn unavailable(message: String) -> JobError {
    JobError::new(ErrorKind::PluginUnavailable, message)
}
