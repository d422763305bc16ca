//! What this worker knows of tasks and plugins, so that no job costs a look into the catalogue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::executor::{Runnable, RunnablePlugin};
use crate::model::{
    Backoff, Digest, ErrorKind, Job, JobError, JobId, PluginName, PluginVersion, Rollout, Target, TaskId, TaskName,
    Timestamp,
};
use crate::store::{Page, Store, StoreError, Subject, Unreadable};

/// What a job runs.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    /// The function, or why it cannot be had.
    pub(super) runnable: Result<Arc<Runnable>, JobError>,
    /// The plugin, where the version is being rolled out: how the attempt ends is counted.
    pub(super) rolled_out: Option<PluginName>,
}

impl From<Result<Arc<Runnable>, JobError>> for Resolved {
    fn from(runnable: Result<Arc<Runnable>, JobError>) -> Resolved {
        Resolved { runnable, rolled_out: None }
    }
}

/// What the jobs of a task run.
#[derive(Clone)]
struct Offer {
    current: Resolved,
    /// What a part of them runs instead.
    rollout: Option<(Rollout, Resolved)>,
}

impl Offer {
    fn of(resolved: impl Into<Resolved>) -> Offer {
        Offer { current: resolved.into(), rollout: None }
    }

    fn for_job(&self, job: JobId) -> Resolved {
        match &self.rollout {
            Some((rollout, resolved)) if rollout.takes(job) => resolved.clone(),
            _ => self.current.clone(),
        }
    }
}

/// It cannot be told now what a task runs: its jobs wait, and lose no attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unresolved {
    /// When to ask again.
    pub(super) until: Timestamp,
    /// Why.
    pub(super) reason: String,
    /// Whether it needs no word of its own: the store does not answer, which is told by whoever watches it, or the catalogue has just changed.
    pub(super) is_away: bool,
}

/// What a look at jobs has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Jobs that can be run, or whose error is known.
    pub(super) resolved: Vec<(Job, Resolved)>,
    /// Jobs that have to wait.
    pub(super) unresolved: Vec<(Job, Unresolved)>,
}

/// What jobs ask for that run the same: their task, and the version of its plugin where that is settled.
type Wanted = (TaskId, Option<Digest>);

/// Answers from memory while the catalogue's revision stands, and asks the store after it moved.
pub(super) struct CatalogCache {
    store: Arc<dyn Store>,
    revision: Option<i64>,
    tasks: HashMap<Wanted, Offer>,
    failures: HashMap<Wanted, Failure>,
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
            let wanted = (job.spec.task_id.clone(), job.version());
            match self.resolve_one(wanted, now, &mut away).await {
                Ok(offer) => {
                    let resolved = offer.for_job(job.spec.id);
                    found.resolved.push((job, resolved));
                }
                Err(unresolved) => found.unresolved.push((job, unresolved)),
            }
        }
        found
    }

    async fn resolve_one(
        &mut self,
        wanted: Wanted,
        now: Timestamp,
        away: &mut Option<Unresolved>,
    ) -> Result<Offer, Unresolved> {
        if let Some(known) = self.tasks.get(&wanted) {
            return Ok(known.clone());
        }
        let waiting = self.failures.get(&wanted).map(|failure| &failure.last).filter(|last| last.until > now);
        if let Some(unresolved) = waiting.or(away.as_ref()) {
            return Err(unresolved.clone());
        }
        let error = match self.look_up_now(&wanted).await {
            Ok(Some(offer)) => {
                self.failures.remove(&wanted);
                self.tasks.insert(wanted, offer.clone());
                return Ok(offer);
            }
            Ok(None) => {
                let last = Unresolved { until: now, reason: "the catalogue has changed".to_owned(), is_away: true };
                return Err(away.insert(last).clone());
            }
            Err(error) => error,
        };
        let times = self.failures.get(&wanted).map_or(1, |failure| failure.times.saturating_add(1));
        let until = now.saturating_add(pauses().delay(times, fastrand::f64()));
        let last = Unresolved { until, reason: super::chain(&error), is_away: error.is_transient() };
        self.failures.insert(wanted, Failure { times, last: last.clone() });
        if !matches!(error, StoreError::Unreadable { .. }) {
            *away = Some(last.clone());
        }
        Err(last)
    }

    /// What is offered as of the revision. `None` where that has moved: then the store has written down for these jobs which version they are
    /// on ([`Catalog::plugin_put`](crate::store::Catalog::plugin_put)), and what was found may be another one.
    async fn look_up_now(&self, wanted: &Wanted) -> Result<Option<Offer>, StoreError> {
        let offer = self.look_up(wanted).await?;
        Ok((Some(self.store.catalog_revision().await?) == self.revision).then_some(offer))
    }

    async fn look_up(&self, (task_id, version): &Wanted) -> Result<Offer, StoreError> {
        let target = match self.store.task_get(task_id).await {
            Ok(Some(row)) => Some(row.task.target),
            // The current version may not offer any more what the job has begun with.
            Ok(None) => version.and_then(|_| target_of(task_id)),
            Err(error) => return damaged(error),
        };
        let Some(target) = target else {
            return Ok(unavailable(format!("there is no task `{task_id}` (any more)")));
        };
        let Some(name) = target.plugin().cloned() else {
            return Ok(Offer::of(Ok(Arc::new(Runnable { target, plugin: None }))));
        };
        let found = match version {
            None => self.store.plugin_get(&name).await,
            Some(digest) => self.version(&name, *digest).await,
        };
        let found = match (found, version) {
            (Ok(Some(version)), _) => version,
            (Ok(None), None) => return Ok(unavailable(format!("there is no plugin `{name}` (any more)"))),
            (Ok(None), Some(digest)) => {
                return Ok(unavailable(format!("there is no version {digest} of plugin `{name}` (any more)")));
            }
            (Err(error), _) => return damaged(error),
        };
        let rollout = self.store.rollout_get(&name).await?.filter(Rollout::is_active);
        let mut offer = Offer::of(Ok(runnable(&target, &found)));
        if let Some(rollout) = rollout {
            if rollout.digest == found.digest {
                offer.current.rolled_out = Some(name);
            } else if version.is_none()
                && let Some(new) = self.rolled_out(&name, rollout.digest).await?
                && new.tasks.iter().any(|task| task.name == *target.function())
            {
                let resolved = Resolved { runnable: Ok(runnable(&target, &new)), rolled_out: Some(name) };
                offer.rollout = Some((rollout, resolved));
            }
        }
        Ok(offer)
    }

    /// The version that is rolled out. One that is damaged gets no jobs.
    async fn rolled_out(&self, name: &PluginName, digest: Digest) -> Result<Option<PluginVersion>, StoreError> {
        match self.version(name, digest).await {
            Err(StoreError::Unreadable { defect, .. }) if !defect.is_newer() => Ok(None),
            found => found,
        }
    }

    /// One version of a plugin, whether it is the current one or not.
    async fn version(&self, name: &PluginName, digest: Digest) -> Result<Option<PluginVersion>, StoreError> {
        let Page { rows, unreadable, .. } = self.store.plugin_history(name).await?;
        if let Some(Unreadable { defect, .. }) = unreadable.into_iter().find(|bad| bad.id == digest.to_string()) {
            return Err(StoreError::Unreadable { subject: Subject::Plugin(name.clone()), defect });
        }
        Ok(rows.into_iter().find(|version| version.digest == digest))
    }
}

fn runnable(target: &Target, version: &PluginVersion) -> Arc<Runnable> {
    let PluginVersion { name, digest, grants, .. } = version.clone();
    Arc::new(Runnable { target: target.clone(), plugin: Some(RunnablePlugin { name, digest, grants: grants.into() }) })
}

/// What a task ran that a plugin has offered, by its id.
fn target_of(task_id: &TaskId) -> Option<Target> {
    let (plugin, function) = task_id.as_str().split_once(':')?;
    Some(Target::Plugin { plugin: PluginName::new(plugin).ok()?, function: TaskName::new(function).ok()? })
}

/// The error of a job where what is stored is damaged; other errors say nothing about the job.
fn damaged(error: StoreError) -> Result<Offer, StoreError> {
    match &error {
        StoreError::Unreadable { defect, .. } if !defect.is_newer() => Ok(unavailable(error.to_string())),
        _ => Err(error),
    }
}

fn unavailable(message: String) -> Offer {
    Offer::of(Err(JobError::new(ErrorKind::PluginUnavailable, message)))
}
