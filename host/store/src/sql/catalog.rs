//! Plugins and tasks.

use async_trait::async_trait;

use super::query::q;
use super::row::{self, StoredTask};
use super::tx::{Fault, Tx};
use super::value::{Arg, Row, args, list, values};
use super::{SqlStore, read_with, write_with};
use crate::model::{Digest, PluginName, PluginVersion, Settings, Task, TaskId};
use crate::store::{
    ActivatePlugin, Catalog, Page, PluginPut, Put, PutPlugin, StoreError, Subject, TaskRow, Unreadable, rules,
};

fn one_row(row: Vec<super::value::Value>) -> Vec<Arg> {
    vec![Arg::Rows(vec![row])]
}

/// The current version, or why it cannot be read.
async fn current(tx: &mut Tx, name: &PluginName) -> Result<Option<Result<PluginVersion, Unreadable>>, Fault> {
    Ok(tx.fetch_one(q::plugin_get, args![name]).await?.map(row::plugin))
}

async fn get(tx: &mut Tx, name: &PluginName) -> Result<Option<PluginVersion>, Fault> {
    let found = current(tx, name).await?.transpose();
    Ok(found.map_err(row::unreadable(Subject::Plugin(name.clone())))?)
}

/// Changes of the catalogue come one after the other: they look before they write.
pub(super) async fn lock(tx: &mut Tx) -> Result<(), Fault> {
    tx.fetch(q::catalog_lock, Vec::new()).await.map(|_| ())
}

pub(super) async fn bump(tx: &mut Tx) -> Result<(), Fault> {
    tx.execute(q::catalog_revision_bump, Vec::new()).await.map(|_| ())
}

async fn put(tx: &mut Tx, request: &PutPlugin) -> Result<PluginPut, Fault> {
    lock(tx).await?;
    let version = &request.version;
    let put = match current(tx, &version.name).await? {
        // What it was does not matter to the version that takes its place.
        Some(Err(_)) => Put::Replaced,
        found => rules::plugin_put(found.and_then(Result::ok).as_ref(), version),
    };
    if put != Put::Unchanged {
        tx.execute(q::plugin_put, one_row(row::new_plugin(version))).await?;
    }
    store_bytes(tx, version.digest, &request.bytes).await?;
    activate(tx, put, &version.name, version.digest, &request.tasks, &request.configure).await
}

/// Stores a component, unless it is there already, in parts that the database takes at once.
pub(super) async fn store_bytes(tx: &mut Tx, digest: Digest, bytes: &[u8]) -> Result<(), Fault> {
    let stored = tx.fetch_one(q::plugin_bytes_has, args![digest]).await?;
    if stored.map(|mut row| row.int()).transpose()? == Some(0) {
        for (content, part) in bytes.chunks(tx.statement_bytes().max(1)).zip(0_u32..) {
            tx.execute(q::plugin_bytes_insert, one_row(values![digest, part, content])).await?;
        }
    }
    Ok(())
}

/// Makes a stored version current, with its tasks, and lays `configure` over what is configured for them.
async fn activate(
    tx: &mut Tx,
    put: Put,
    name: &PluginName,
    digest: Digest,
    tasks: &[Task],
    configure: &Settings,
) -> Result<PluginPut, Fault> {
    if put != Put::Unchanged {
        tx.execute(q::plugin_deactivate, args![name]).await?;
        tx.execute(q::plugin_activate, args![name, digest]).await?;
    }
    let mut done = PluginPut { put, tasks_added: Vec::new(), tasks_updated: Vec::new(), tasks_removed: Vec::new() };
    let mut changed = put != Put::Unchanged;
    let rows = tx.fetch(q::task_of_plugin, args![name]).await?;
    let mut stored: Vec<StoredTask> = rows.into_iter().filter_map(|row| row::stored_task(row).ok()).collect();
    let gone = stored.iter().filter(|old| old.is_offered && tasks.iter().all(|task| task.id.as_str() != old.id));
    let gone: Vec<String> = gone.map(|old| old.id.clone()).collect();
    done.tasks_removed = gone.iter().filter_map(|id| TaskId::new(id).ok()).collect();
    if !gone.is_empty() {
        delete_tasks(tx, gone).await?;
        changed = true;
    }
    for task in tasks {
        // A task of another plugin, or of none, may have this id.
        let old = match stored.iter().position(|old| old.id == task.id.as_str()) {
            Some(at) => Some(stored.swap_remove(at)),
            None => select(tx, &task.id).await?,
        };
        let mut task = task.clone();
        if let Some(old) = &old {
            task.configured = configured(&task.id, old)?;
            done.tasks_updated.push(task.id.clone());
        } else {
            done.tasks_added.push(task.id.clone());
        }
        task.configured = configure.over(&task.configured);
        if old.as_ref().is_none_or(|old| old.task.as_ref() != Ok(&task)) {
            write_task(tx, &task, was_limited(old.as_ref(), &task)).await?;
            changed = true;
        }
    }
    if changed {
        bump(tx).await?;
    }
    Ok(done)
}

/// What an operator has configured for a task. Where that is damaged there is nothing to keep; what a newer version has configured must
/// not be lost.
fn configured(id: &TaskId, old: &StoredTask) -> Result<Settings, StoreError> {
    match &old.configured {
        Ok(settings) => Ok(settings.clone()),
        Err(defect) if defect.is_newer() => {
            Err(StoreError::Unreadable { subject: Subject::Task(id.clone()), defect: defect.clone() })
        }
        Err(_) => Ok(Settings::default()),
    }
}

/// Whether the jobs of a task that wait are in a partition of their own. Where nobody can tell they are moved in any case.
fn was_limited(old: Option<&StoredTask>, new: &Task) -> bool {
    match old.map(|old| &old.task) {
        // Without a task there is no limit.
        None => false,
        Some(Ok(old)) => row::limit(old).is_some(),
        Some(Err(_)) => row::limit(new).is_none(),
    }
}

async fn select(tx: &mut Tx, id: &TaskId) -> Result<Option<StoredTask>, Fault> {
    let row = tx.fetch_one(q::task_select, vec![list([id])]).await?;
    Ok(row.map(row::stored_task).transpose()?)
}

/// Writes the row of a task and moves its jobs that wait to the partition where they now belong.
pub(super) async fn write_task(tx: &mut Tx, task: &Task, was_limited: bool) -> Result<(), Fault> {
    tx.execute(q::task_put, one_row(row::new_task(task))).await?;
    let own = task.id.as_str();
    match (was_limited, row::limit(task).is_some()) {
        (false, true) => tx.execute(q::job_repartition, vec![list([own])]).await?,
        (true, false) => tx.execute(q::job_partition_close, vec![list([own])]).await?,
        _ => 0,
    };
    Ok(())
}

/// Deletes tasks. Their jobs stay, and with the task their limit is gone.
pub(super) async fn delete_tasks<T: ToString>(tx: &mut Tx, ids: impl IntoIterator<Item = T>) -> Result<u64, Fault> {
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    tx.execute(q::job_partition_close, vec![list(ids.iter().map(String::as_str))]).await?;
    tx.execute(q::task_delete, vec![list(ids)]).await
}

async fn activate_version(tx: &mut Tx, request: &ActivatePlugin) -> Result<PluginPut, Fault> {
    lock(tx).await?;
    let ActivatePlugin { name, digest, tasks } = request;
    let mut versions = tx.fetch(q::plugin_history, args![name]).await?.into_iter().map(row::plugin);
    if !versions.any(|version| version.is_ok_and(|version| version.digest == *digest)) {
        return Err(rules::no_version(name, *digest).into());
    }
    let put = match current(tx, name).await? {
        Some(Ok(version)) if version.digest == *digest => Put::Unchanged,
        _ => Put::Replaced,
    };
    activate(tx, put, name, *digest, tasks, &Settings::default()).await
}

async fn remove(tx: &mut Tx, name: &PluginName) -> Result<Option<Vec<TaskId>>, Fault> {
    lock(tx).await?;
    if tx.execute(q::plugin_delete, args![name]).await? == 0 {
        return Ok(None);
    }
    tx.execute(q::plugin_bytes_delete_unused, Vec::new()).await?;
    let rows = tx.fetch(q::task_of_plugin, args![name]).await?;
    let ids: Vec<String> = rows.into_iter().filter_map(|mut row| row.text().ok()).collect();
    if !ids.is_empty() {
        delete_tasks(tx, &ids).await?;
    }
    bump(tx).await?;
    Ok(Some(ids.iter().filter_map(|id| TaskId::new(id).ok()).collect()))
}

async fn put_task(tx: &mut Tx, task: &Task) -> Result<Put, Fault> {
    lock(tx).await?;
    let old = select(tx, &task.id).await?;
    match old.as_ref().map(|old| &old.task) {
        Some(Ok(old)) if old == task => return Ok(Put::Unchanged),
        Some(Err(bad)) if bad.defect.is_newer() => {
            return Err(row::unreadable(Subject::Task(task.id.clone()))(bad.clone()).into());
        }
        _ => {}
    }
    write_task(tx, task, was_limited(old.as_ref(), task)).await?;
    bump(tx).await?;
    Ok(if old.is_some() { Put::Replaced } else { Put::Added })
}

async fn remove_task(tx: &mut Tx, id: &TaskId) -> Result<bool, Fault> {
    lock(tx).await?;
    let removed = delete_tasks(tx, [id]).await? > 0;
    if removed {
        bump(tx).await?;
    }
    Ok(removed)
}

async fn plugins(tx: &mut Tx) -> Result<Page<PluginVersion>, Fault> {
    Ok(Page::whole(tx.fetch(q::plugin_list, Vec::new()).await?.into_iter().map(row::plugin)))
}

/// Versions that cannot be read are named by their digest.
async fn history(tx: &mut Tx, name: &PluginName) -> Result<Page<PluginVersion>, Fault> {
    let read = |row: Row| {
        let mut parts = row.clone();
        let digest = parts.text().and_then(|_name| parts.digest());
        row::plugin(row).map_err(|bad| Unreadable { id: digest.map_or(bad.id, |digest| digest.to_string()), ..bad })
    };
    Ok(Page::whole(tx.fetch(q::plugin_history, args![name]).await?.into_iter().map(read)))
}

fn task_row(mut row: Row) -> Result<TaskRow, Unreadable> {
    let task = row::task(&mut row)?;
    let running_jobs = row.small().map_err(|defect| Unreadable { id: task.id.to_string(), defect })?;
    Ok(TaskRow { task, running_jobs })
}

async fn get_task(tx: &mut Tx, id: &TaskId) -> Result<Option<TaskRow>, Fault> {
    let found = tx.fetch_one(q::task_get, args![id]).await?.map(task_row).transpose();
    Ok(found.map_err(row::unreadable(Subject::Task(id.clone())))?)
}

async fn tasks(tx: &mut Tx) -> Result<Page<TaskRow>, Fault> {
    Ok(Page::whole(tx.fetch(q::task_list, Vec::new()).await?.into_iter().map(task_row)))
}

async fn bytes(tx: &mut Tx, digest: &Digest) -> Result<Option<Vec<u8>>, Fault> {
    let mut whole = None::<Vec<u8>>;
    for mut row in tx.fetch(q::plugin_bytes_get, args![*digest]).await? {
        whole.get_or_insert_default().extend(row.bytes()?);
    }
    Ok(whole)
}

async fn revision(tx: &mut Tx) -> Result<i64, Fault> {
    let row = tx.fetch_one(q::catalog_revision_get, Vec::new()).await?;
    Ok(row.map(|mut row| row.int()).transpose()?.unwrap_or_default())
}

#[async_trait]
impl Catalog for SqlStore {
    async fn plugin_put(&self, request: PutPlugin) -> Result<PluginPut, StoreError> {
        write_with!(self, "plugin_put", request, put)
    }

    async fn plugin_get(&self, name: &PluginName) -> Result<Option<PluginVersion>, StoreError> {
        read_with!(self, "plugin_get", get, name)
    }

    async fn plugin_list(&self) -> Result<Page<PluginVersion>, StoreError> {
        read_with!(self, "plugin_list", plugins,)
    }

    async fn plugin_history(&self, name: &PluginName) -> Result<Page<PluginVersion>, StoreError> {
        read_with!(self, "plugin_history", history, name)
    }

    async fn plugin_activate(&self, request: ActivatePlugin) -> Result<PluginPut, StoreError> {
        write_with!(self, "plugin_activate", request, activate_version)
    }

    async fn plugin_remove(&self, name: &PluginName) -> Result<Option<Vec<TaskId>>, StoreError> {
        write_with!(self, "plugin_remove", name.clone(), remove)
    }

    async fn plugin_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        read_with!(self, "plugin_bytes", bytes, digest)
    }

    async fn task_put(&self, task: Task) -> Result<Put, StoreError> {
        write_with!(self, "task_put", task, put_task)
    }

    async fn task_get(&self, id: &TaskId) -> Result<Option<TaskRow>, StoreError> {
        read_with!(self, "task_get", get_task, id)
    }

    async fn task_list(&self) -> Result<Page<TaskRow>, StoreError> {
        read_with!(self, "task_list", tasks,)
    }

    async fn task_remove(&self, id: &TaskId) -> Result<bool, StoreError> {
        write_with!(self, "task_remove", id.clone(), remove_task)
    }

    async fn catalog_revision(&self) -> Result<i64, StoreError> {
        read_with!(self, "catalog_revision", revision,)
    }
}
