//! Plugins and tasks in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::model::{Digest, PluginName, PluginVersion, Settings, Task, TaskId};
use crate::store::{ActivatePlugin, Catalog, Page, PluginPut, Put, PutPlugin, StoreError, TaskRow, rules};

#[derive(Debug, Default)]
pub(super) struct Plugins {
    /// All versions, and beside them which one is current.
    pub(super) versions: BTreeMap<(PluginName, Digest), PluginVersion>,
    pub(super) current: BTreeMap<PluginName, Digest>,
    pub(super) bytes: BTreeMap<Digest, Arc<[u8]>>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) revision: i64,
}

impl Plugins {
    fn current(&self, name: &PluginName) -> Option<&PluginVersion> {
        self.versions.get(&(name.clone(), *self.current.get(name)?))
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

fn row(state: &State, task: &Task) -> TaskRow {
    TaskRow { task: task.clone(), running_jobs: state.jobs.running_of(&task.id) as u64 }
}

#[async_trait]
impl Catalog for MemoryStore {
    async fn plugin_put(&self, request: PutPlugin) -> Result<PluginPut, StoreError> {
        self.with(|state| {
            let (catalog, version) = (&mut state.catalog, request.version);
            let (name, digest) = (version.name.clone(), version.digest);
            let put = rules::plugin_put(catalog.current(&name), &version);
            if put != Put::Unchanged {
                catalog.versions.insert((name.clone(), digest), version);
            }
            catalog.bytes.entry(digest).or_insert_with(|| Arc::from(request.bytes));
            Ok(catalog.activate(put, &name, digest, request.tasks, &request.configure))
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
            let ActivatePlugin { name, digest, tasks } = request;
            if !state.catalog.versions.contains_key(&(name.clone(), digest)) {
                return Err(rules::no_version(&name, digest));
            }
            let put = match state.catalog.current.get(&name) {
                Some(current) if *current == digest => Put::Unchanged,
                _ => Put::Replaced,
            };
            Ok(state.catalog.activate(put, &name, digest, tasks, &Settings::default()))
        })
    }

    async fn plugin_remove(&self, name: &PluginName) -> Result<Option<Vec<TaskId>>, StoreError> {
        self.with(|state| {
            let catalog = &mut state.catalog;
            if catalog.current.remove(name).is_none() {
                return Ok(None);
            }
            catalog.versions.retain(|(owner, _), _| owner != name);
            let versions = &catalog.versions;
            catalog.bytes.retain(|digest, _| versions.keys().any(|(_, used)| used == digest));
            let of_plugin = |task: &&Task| task.target.plugin() == Some(name);
            let ids: Vec<TaskId> = catalog.tasks.values().filter(of_plugin).map(|task| task.id.clone()).collect();
            catalog.tasks.retain(|_, task| task.target.plugin() != Some(name));
            catalog.revision += 1;
            Ok(Some(ids))
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
            Ok(removed)
        })
    }

    async fn catalog_revision(&self) -> Result<i64, StoreError> {
        self.with(|state| Ok(state.catalog.revision))
    }
}
