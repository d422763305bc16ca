//! Plugins and tasks in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::model::{
    Digest, Job, JobId, JobState, PluginName, PluginVersion, Rollout, Settings, Task, TaskId, Timestamp,
};
use crate::rollout::{self, Assignment};
use crate::{
    ActivatePlugin, Catalog, CountRollout, EndRollout, Page, PluginPut, PrunePlugin, Pruned, Put, PutPlugin,
    PutRollout, Recovered, Reviewed, RolloutEnded, StagePlugin, StoreError, Subject, TaskRow, rules,
};

#[derive(Debug, Default)]
pub(super) struct Plugins {
    /// All versions, and beside them which one is current.
    pub(super) versions: BTreeMap<(PluginName, Digest), PluginVersion>,
    pub(super) current: BTreeMap<PluginName, Digest>,
    /// The latest rollout of each plugin that has had one.
    pub(super) rollouts: BTreeMap<PluginName, Rollout>,
    pub(super) bytes: BTreeMap<Digest, Arc<[u8]>>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) revision: i64,
}

impl Plugins {
    fn current(&self, name: &PluginName) -> Option<&PluginVersion> {
        self.versions.get(&(name.clone(), *self.current.get(name)?))
    }

    fn drop_unused_bytes(&mut self) {
        let versions = &self.versions;
        self.bytes.retain(|digest, _| versions.keys().any(|(_, used)| used == digest));
    }

    /// Makes a stored version current, with its tasks, and lays `configure` over what is configured for them.
    fn activate(
        &mut self,
        put: Put,
        name: &PluginName,
        digest: Digest,
        tasks: Vec<Task>,
        configure: &Settings,
    ) -> PluginPut {
        self.current.insert(name.clone(), digest);
        let mut done = PluginPut { put, tasks_added: Vec::new(), tasks_updated: Vec::new(), tasks_removed: Vec::new() };
        let mut changed = put != Put::Unchanged;
        let offered = |task: &Task| task.target.plugin() == Some(name) && rules::is_offered(task);
        let gone = self.tasks.values().filter(|task| offered(task) && tasks.iter().all(|new| new.id != task.id));
        done.tasks_removed = gone.map(|task| task.id.clone()).collect();
        for id in &done.tasks_removed {
            self.tasks.remove(id);
            changed = true;
        }
        for mut task in tasks {
            match self.tasks.get(&task.id) {
                None => done.tasks_added.push(task.id.clone()),
                Some(old) => {
                    task.configured = old.configured.clone();
                    done.tasks_updated.push(task.id.clone());
                }
            }
            task.configured = configure.over(&task.configured);
            changed |= self.tasks.get(&task.id) != Some(&task);
            self.tasks.insert(task.id.clone(), task);
        }
        self.revision += i64::from(changed);
        done
    }
}

impl State {
    /// Which version the jobs of a plugin begin with.
    fn assignment(&self, name: &PluginName) -> Option<Assignment> {
        let catalog = &self.catalog;
        let current = *catalog.current.get(name)?;
        let rollout = catalog.rollouts.get(name).cloned();
        let version = rollout.as_ref().and_then(|rollout| catalog.versions.get(&(name.clone(), rollout.digest)));
        Some(Assignment::new(current, rollout, version))
    }

    /// Writes down for the running jobs of a plugin which version they have begun with, before that changes for others.
    pub(super) fn settle_running(&mut self, name: &PluginName) {
        let Some(assignment) = self.assignment(name) else { return };
        let tasks = self.catalog.tasks.values().filter(|task| task.target.plugin() == Some(name));
        let running = tasks.flat_map(|task| {
            let jobs = self.jobs.running.get(&task.id).into_iter().flatten();
            jobs.map(|id| (*id, self.pin(*id).unwrap_or_else(|| assignment.version(*id, task.target.function()))))
        });
        for (id, version) in running.collect::<Vec<_>>() {
            self.jobs.settle_version(id, version);
        }
    }

    fn pin(&self, id: JobId) -> Option<Digest> {
        self.jobs.get(id).and_then(|job| job.spec.settings.version)
    }

    /// The same for a job whose worker is gone. Answers which version of which plugin it ran.
    pub(super) fn settle_crashed(&mut self, id: JobId) -> Option<(PluginName, Digest)> {
        let job = self.jobs.get(id)?;
        let target = self.catalog.tasks.get(&job.spec.task_id)?.target.clone();
        let name = target.plugin()?;
        let assignment = self.assignment(name)?;
        let digest = job.version().unwrap_or_else(|| assignment.version(id, target.function()));
        self.jobs.settle_version(id, digest);
        Some((name.clone(), digest))
    }

    /// Counts a crash as a failure of the version that is to blame for it.
    pub(super) fn count_crash(
        &mut self,
        (name, digest): (PluginName, Digest),
        now: Timestamp,
        recovered: &mut Recovered,
    ) {
        let count = CountRollout { name, digest, attempts: 1, failed: 1, now };
        if self.count(&count).is_some_and(|rollout| !rollout.is_active()) {
            recovered.returned.push((count.name, digest));
        }
    }

    /// Whether a stored version and the current one are as somebody has seen them.
    fn is_as_reviewed(&self, name: &PluginName, reviewed: Option<&Reviewed>, digest: Digest) -> Result<(), StoreError> {
        let version = self.catalog.versions.get(&(name.clone(), digest));
        let grants = version.map(|version| &*version.grants);
        rules::is_as_reviewed(name, reviewed, self.catalog.current(name), grants)
    }

    /// Counts attempts of a version whose rollout is under way.
    fn count(&mut self, count: &CountRollout) -> Option<Rollout> {
        let CountRollout { name, digest, attempts, failed, now } = count;
        let latest = self.catalog.rollouts.get(name).filter(|it| it.is_active() && it.digest == *digest);
        let mut rollout = latest.cloned()?;
        rollout.count(*attempts, *failed, *now);
        if !rollout.is_active() {
            self.settle_running(name);
            self.catalog.revision += 1;
        }
        self.catalog.rollouts.insert(name.clone(), rollout.clone());
        Some(rollout)
    }
}

fn row(state: &State, task: &Task) -> TaskRow {
    TaskRow { task: task.clone(), running_jobs: state.jobs.running_of(&task.id) as u64 }
}

#[async_trait]
impl Catalog for MemoryStore {
    async fn plugin_put(&self, request: PutPlugin) -> Result<PluginPut, StoreError> {
        self.with(|state| {
            let version = request.version;
            let (name, digest) = (version.name.clone(), version.digest);
            let put = rules::plugin_put(state.catalog.current(&name), &version);
            if put != Put::Unchanged {
                rollout::may_activate(&name, state.catalog.rollouts.get(&name))?;
                rules::is_as_reviewed(&name, request.reviewed.as_ref(), state.catalog.current(&name), None)?;
                state.settle_running(&name);
            }
            let catalog = &mut state.catalog;
            if put != Put::Unchanged {
                catalog.versions.insert((name.clone(), digest), version);
            }
            catalog.bytes.entry(digest).or_insert_with(|| Arc::from(request.bytes));
            let done = catalog.activate(put, &name, digest, request.tasks, &request.configure);
            state.jobs.follow(&state.catalog.tasks);
            Ok(done)
        })
    }

    async fn plugin_get(&self, name: &PluginName) -> Result<Option<PluginVersion>, StoreError> {
        self.with(|state| Ok(state.catalog.current(name).cloned()))
    }

    async fn plugin_list(&self) -> Result<Page<PluginVersion>, StoreError> {
        self.with(|state| {
            let names = state.catalog.current.keys();
            Ok(Page::whole(names.filter_map(|name| state.catalog.current(name)).cloned().map(Ok)))
        })
    }

    async fn plugin_history(&self, name: &PluginName) -> Result<Page<PluginVersion>, StoreError> {
        self.with(|state| {
            let versions = state.catalog.versions.values().filter(|version| version.name == *name);
            let mut versions: Vec<PluginVersion> = versions.cloned().collect();
            versions.sort_by_key(|version| (std::cmp::Reverse(version.registered_at), version.digest));
            Ok(Page::whole(versions.into_iter().map(Ok)))
        })
    }

    async fn plugin_activate(&self, request: ActivatePlugin) -> Result<PluginPut, StoreError> {
        self.with(|state| {
            let ActivatePlugin { name, digest, tasks, reviewed } = request;
            if !state.catalog.versions.contains_key(&(name.clone(), digest)) {
                return Err(rules::no_version(&name, digest));
            }
            let put = match state.catalog.current.get(&name) {
                Some(current) if *current == digest => Put::Unchanged,
                _ => Put::Replaced,
            };
            if put != Put::Unchanged {
                rollout::may_activate(&name, state.catalog.rollouts.get(&name))?;
                state.is_as_reviewed(&name, reviewed.as_ref(), digest)?;
                state.settle_running(&name);
            }
            let done = state.catalog.activate(put, &name, digest, tasks, &Settings::default());
            state.jobs.follow(&state.catalog.tasks);
            Ok(done)
        })
    }

    async fn plugin_remove(&self, name: &PluginName) -> Result<Option<Vec<TaskId>>, StoreError> {
        self.with(|state| {
            let catalog = &mut state.catalog;
            if catalog.current.remove(name).is_none() {
                return Ok(None);
            }
            catalog.versions.retain(|(owner, _), _| owner != name);
            catalog.rollouts.remove(name);
            catalog.drop_unused_bytes();
            let of_plugin = |task: &&Task| task.target.plugin() == Some(name);
            let ids: Vec<TaskId> = catalog.tasks.values().filter(of_plugin).map(|task| task.id.clone()).collect();
            catalog.tasks.retain(|_, task| task.target.plugin() != Some(name));
            catalog.revision += 1;
            state.jobs.follow(&state.catalog.tasks);
            Ok(Some(ids))
        })
    }

    async fn plugin_stage(&self, request: StagePlugin) -> Result<Put, StoreError> {
        self.with(|state| {
            let StagePlugin { version, bytes, reviewed } = request;
            let catalog = &mut state.catalog;
            rules::may_stage(&version, catalog.current.get(&version.name).copied())?;
            let key = (version.name.clone(), version.digest);
            let put = rules::plugin_put(catalog.versions.get(&key), &version);
            if put != Put::Unchanged {
                rules::is_as_reviewed(&version.name, reviewed.as_ref(), catalog.current(&version.name), None)?;
                catalog.bytes.entry(version.digest).or_insert_with(|| Arc::from(bytes));
                catalog.versions.insert(key, version);
                catalog.revision += 1;
            }
            Ok(put)
        })
    }

    async fn rollout_get(&self, name: &PluginName) -> Result<Option<Rollout>, StoreError> {
        self.with(|state| Ok(state.catalog.rollouts.get(name).cloned()))
    }

    async fn rollout_put(&self, request: PutRollout) -> Result<Rollout, StoreError> {
        self.with(|state| {
            let name = request.name.clone();
            let current = state.catalog.current.get(&name).copied();
            let current = current.ok_or_else(|| rules::no_version(&name, request.digest))?;
            if !state.catalog.versions.contains_key(&(name.clone(), request.digest)) {
                return Err(rules::no_version(&name, request.digest));
            }
            let rollout = rollout::begin(&request, current, state.catalog.rollouts.get(&name).cloned())?;
            state.is_as_reviewed(&name, request.reviewed.as_ref(), request.digest)?;
            state.settle_running(&name);
            state.catalog.rollouts.insert(name, rollout.clone());
            state.catalog.revision += 1;
            Ok(rollout)
        })
    }

    async fn rollout_end(&self, request: EndRollout) -> Result<RolloutEnded, StoreError> {
        self.with(|state| {
            let EndRollout { name, digest, finish, now } = request;
            if !state.catalog.current.contains_key(&name) {
                return Err(StoreError::NotFound(Subject::Plugin(name)));
            }
            let end = rollout::end_of(finish.is_some(), now);
            let rollout = rollout::end(&name, state.catalog.rollouts.get(&name).cloned(), digest, end)?;
            state.settle_running(&name);
            state.catalog.rollouts.insert(name.clone(), rollout.clone());
            state.catalog.revision += 1;
            let changes = finish.map(|tasks| {
                let changes = state.catalog.activate(Put::Replaced, &name, digest, tasks, &Settings::default());
                state.jobs.follow(&state.catalog.tasks);
                changes
            });
            Ok(RolloutEnded { rollout, changes })
        })
    }

    async fn rollout_count(&self, request: CountRollout) -> Result<Option<Rollout>, StoreError> {
        self.with(|state| Ok(state.count(&request)))
    }

    async fn plugin_prune(&self, request: PrunePlugin) -> Result<Pruned, StoreError> {
        let versions = self.plugin_history(&request.name).await?.rows;
        self.with(|state| {
            let PrunePlugin { name, keep, dry_run } = request;
            let Some(current) = state.catalog.current.get(&name).copied() else {
                return Err(StoreError::NotFound(Subject::Plugin(name)));
            };
            let versions: Vec<Digest> = versions.into_iter().map(|version| version.digest).collect();
            let unfinished = |job: &&Job| job.state != JobState::Finished;
            let jobs: Vec<&Job> = state.jobs.rows.values().map(|entry| &entry.job).filter(unfinished).collect();
            let needs =
                |job: &&Job, version| job.plugin_digest == Some(version) || job.spec.settings.version == Some(version);
            let by_job = |version| jobs.iter().any(|job| needs(job, version));
            let by_schedule = |version| state.schedules.all().any(|it| it.settings.version == Some(version));
            let rollout = state.catalog.rollouts.get(&name);
            let pruned = rules::prune(&versions, current, keep, by_job, by_schedule, rollout);
            if !dry_run && !pruned.removed.is_empty() {
                let catalog = &mut state.catalog;
                catalog.versions.retain(|(owner, digest), _| *owner != name || !pruned.removed.contains(digest));
                catalog.rollouts.retain(|of, rollout| *of != name || !pruned.removed.contains(&rollout.digest));
                catalog.drop_unused_bytes();
                catalog.revision += 1;
            }
            Ok(pruned)
        })
    }

    async fn plugin_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|state| Ok(state.catalog.bytes.get(digest).map(|bytes| bytes.to_vec())))
    }

    async fn task_put(&self, task: Task) -> Result<Put, StoreError> {
        self.with(|state| {
            let put = match state.catalog.tasks.get(&task.id) {
                None => Put::Added,
                Some(old) if *old == task => return Ok(Put::Unchanged),
                Some(_) => Put::Replaced,
            };
            state.catalog.tasks.insert(task.id.clone(), task);
            state.catalog.revision += 1;
            state.jobs.follow(&state.catalog.tasks);
            Ok(put)
        })
    }

    async fn task_get(&self, id: &TaskId) -> Result<Option<TaskRow>, StoreError> {
        self.with(|state| Ok(state.catalog.tasks.get(id).map(|task| row(state, task))))
    }

    async fn task_list(&self) -> Result<Page<TaskRow>, StoreError> {
        self.with(|state| Ok(Page::whole(state.catalog.tasks.values().map(|task| Ok(row(state, task))))))
    }

    async fn task_remove(&self, id: &TaskId) -> Result<bool, StoreError> {
        self.with(|state| {
            let removed = state.catalog.tasks.remove(id).is_some();
            state.catalog.revision += i64::from(removed);
            state.jobs.follow(&state.catalog.tasks);
            Ok(removed)
        })
    }

    async fn catalog_revision(&self) -> Result<i64, StoreError> {
        self.with(|state| Ok(state.catalog.revision))
    }
}
