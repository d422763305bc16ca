//! What this worker knows of tasks and plugins, so that no job costs a look into the catalogue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::executor::{Runnable, RunnablePlugin};
use crate::model::{Backoff, ErrorKind, Job, JobError, TaskId, Timestamp};
use crate::store::{Store, StoreError};

/// What a task runs at the moment, or why it cannot.
pub(super) type Resolved = Result<Arc<Runnable>, JobError>;

/// It cannot be told now what a task runs: its jobs wait, and lose no attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unresolved {
    /// When to ask again.
    pub(super) until: Timestamp,
    /// Why.
    pub(super) reason: String,
}

/// What a look at jobs has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Jobs that can be run, or whose error is known.
    pub(super) resolved: Vec<(Job, Resolved)>,
    /// Jobs that have to wait.
    pub(super) unresolved: Vec<(Job, Unresolved)>,
}

/// Answers from memory while the catalogue's revision stands, and asks the store after it moved.
pub(super) struct CatalogCache {
    store: Arc<dyn Store>,
    revision: Option<i64>,
    tasks: HashMap<TaskId, Resolved>,
    failures: HashMap<TaskId, Failure>,
}

/// What could not be looked up.
struct Failure {
    /// How often in a row.
    times: u32,
    last: Unresolved,
}

/// The pauses before the same task is looked up again.
fn pauses() -> Backoff {
    Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(60), factor_percent: 200, jitter_percent: 20 }
}

impl CatalogCache {
    pub(super) fn new(store: Arc<dyn Store>) -> CatalogCache {
        CatalogCache { store, revision: None, tasks: HashMap::new(), failures: HashMap::new() }
    }

    /// Finds out what each of the jobs runs, as of the catalogue's `revision`.
    ///
    /// What is damaged is an error of the job, as is what is gone. What the store does not answer, and what only a newer version
    /// understands, is asked for again after a pause that grows.
    pub(super) async fn resolve(&mut self, jobs: Vec<Job>, revision: i64, now: Timestamp) -> Found {
        if self.revision != Some(revision) {
            self.tasks.clear();
            self.failures.clear();
            self.revision = Some(revision);
        }
        let mut found = Found::default();
        // Once the store does not answer, it is not asked for the others, one after the other, while their leases run out.
        let mut away = None;
        for job in jobs {
            match self.resolve_one(&job.spec.task_id, now, &mut away).await {
                Ok(resolved) => found.resolved.push((job, resolved)),
                Err(unresolved) => found.unresolved.push((job, unresolved)),
            }
        }
        found
    }

    async fn resolve_one(
        &mut self,
        task_id: &TaskId,
        now: Timestamp,
        away: &mut Option<Unresolved>,
    ) -> Result<Resolved, Unresolved> {
        if let Some(known) = self.tasks.get(task_id) {
            return Ok(known.clone());
        }
        let waiting = self.failures.get(task_id).map(|failure| &failure.last).filter(|last| last.until > now);
        if let Some(unresolved) = waiting.or(away.as_ref()) {
            return Err(unresolved.clone());
        }
        let error = match self.look_up(task_id).await {
            Ok(resolved) => {
                self.failures.remove(task_id);
                self.tasks.insert(task_id.clone(), resolved.clone());
                return Ok(resolved);
            }
            Err(error) => error,
        };
        let times = self.failures.get(task_id).map_or(1, |failure| failure.times.saturating_add(1));
        let until = now.saturating_add(pauses().delay(times, fastrand::f64()));
        let last = Unresolved { until, reason: super::chain(&error) };
        self.failures.insert(task_id.clone(), Failure { times, last: last.clone() });
        if !matches!(error, StoreError::Unreadable { .. }) {
            *away = Some(last.clone());
        }
        Err(last)
    }

    async fn look_up(&self, task_id: &TaskId) -> Result<Resolved, StoreError> {
        let row = match self.store.task_get(task_id).await {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(Err(unavailable(format!("there is no task `{task_id}` (any more)")))),
            Err(error) => return damaged(error),
        };
        let target = row.task.target;
        let Some(name) = target.plugin().cloned() else {
            return Ok(Ok(Arc::new(Runnable { target, plugin: None })));
        };
        let version = match self.store.plugin_get(&name).await {
            Ok(Some(version)) => version,
            Ok(None) => return Ok(Err(unavailable(format!("there is no plugin `{name}` (any more)")))),
            Err(error) => return damaged(error),
        };
        let plugin = RunnablePlugin { name, digest: version.digest, grants: version.grants.into() };
        Ok(Ok(Arc::new(Runnable { target, plugin: Some(plugin) })))
    }
}

/// The error of a job where what is stored is damaged; other errors say nothing about the job.
fn damaged(error: StoreError) -> Result<Resolved, StoreError> {
    match &error {
        StoreError::Unreadable { defect, .. } if !defect.is_newer() => Ok(Err(unavailable(error.to_string()))),
        _ => Err(error),
    }
}

fn unavailable(message: String) -> JobError {
    JobError::new(ErrorKind::PluginUnavailable, message)
}
