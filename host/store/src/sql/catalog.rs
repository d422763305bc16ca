//! Plugins and tasks.

use async_trait::async_trait;

use super::query::q;
use super::row;
use super::tx::{Fault, Tx};
use super::value::{Arg, args, list, values};
use super::{SqlStore, read_with, write_with};
use crate::model::{Digest, PluginName, PluginVersion, Task, TaskId};
use crate::store::{ActivatePlugin, Catalog, PluginPut, Put, PutPlugin, StoreError, TaskRow, rules};

/// Bytes of a component in one row: a server may bound the size of what a client sends at once (MariaDB: 16 MiB).
const PART_BYTES: usize = 4 * 1024 * 1024;

fn one_row(row: Vec<super::value::Value>) -> Vec<Arg> {
    vec![Arg::Rows(vec![row])]
}

async fn current(tx: &mut Tx, name: &PluginName) -> Result<Option<PluginVersion>, Fault> {
    Ok(tx.fetch_one(q::plugin_get, args![name]).await?.map(row::plugin).transpose()?)
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
    let put = rules::plugin_put(current(tx, &version.name).await?.as_ref(), version);
    if put != Put::Unchanged {
        tx.execute(q::plugin_put, one_row(row::new_plugin(version))).await?;
    }
    store_bytes(tx, version.digest, &request.bytes).await?;
    activate(tx, put, &version.name, version.digest, &request.tasks).await
}

/// Stores a component, unless it is there already.
pub(super) async fn store_bytes(tx: &mut Tx, digest: Digest, bytes: &[u8]) -> Result<(), Fault> {
    let stored = tx.fetch_one(q::plugin_bytes_has, args![digest]).await?;
    if stored.map(|mut row| row.int()).transpose()? == Some(0) {
        for (content, part) in bytes.chunks(PART_BYTES).zip(0_u32..) {
            tx.execute(q::plugin_bytes_insert, one_row(values![digest, part, content])).await?;
        }
    }
    Ok(())
}

/// Makes a stored version current, with its tasks.
async fn activate(
    tx: &mut Tx,
    put: Put,
    name: &PluginName,
    digest: Digest,
    tasks: &[Task],
) -> Result<PluginPut, Fault> {
    if put != Put::Unchanged {
        tx.execute(q::plugin_deactivate, args![name]).await?;
        tx.execute(q::plugin_activate, args![name, digest]).await?;
    }
    let mut done = PluginPut { put, tasks_added: Vec::new(), tasks_updated: Vec::new(), tasks_removed: Vec::new() };
    let mut changed = put != Put::Unchanged;
    let mut stored = Vec::new();
    for mut row in tx.fetch(q::task_of_plugin, args![name]).await? {
        stored.push(row::task(&mut row)?);
    }
    let gone = stored.iter().filter(|old| rules::is_offered(old) && tasks.iter().all(|task| task.id != old.id));
    done.tasks_removed = gone.map(|task| task.id.clone()).collect();
    if !done.tasks_removed.is_empty() {
        delete_tasks(tx, &done.tasks_removed).await?;
        changed = true;
    }
    for task in tasks {
        // A task of another plugin, or of none, may have this id.
        let old = match stored.iter().find(|old| old.id == task.id) {
            Some(old) => Some(old.clone()),
            None => select(tx, &task.id).await?,
        };
        let mut task = task.clone();
        match &old {
            None => done.tasks_added.push(task.id.clone()),
            Some(old) => {
                task.configured = old.configured.clone();
                done.tasks_updated.push(task.id.clone());
            }
        }
        if old.as_ref() != Some(&task) {
            store_task(tx, old.as_ref(), &task).await?;
            changed = true;
        }
    }
    if changed {
        bump(tx).await?;
    }
    Ok(done)
}

async fn select(tx: &mut Tx, id: &TaskId) -> Result<Option<Task>, Fault> {
    let mut row = tx.fetch_one(q::task_select, vec![list([id])]).await?;
    Ok(row.as_mut().map(row::task).transpose()?)
}

async fn store_task(tx: &mut Tx, old: Option<&Task>, task: &Task) -> Result<(), Fault> {
    // Without a task there is no limit.
    write_task(tx, task, old.is_some_and(|old| row::limit(old).is_some())).await
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
pub(super) async fn delete_tasks(tx: &mut Tx, ids: &[TaskId]) -> Result<u64, Fault> {
    tx.execute(q::job_partition_close, vec![list(ids)]).await?;
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
        Some(version) if version.digest == *digest => Put::Unchanged,
        _ => Put::Replaced,
    };
    activate(tx, put, name, *digest, tasks).await
}

async fn remove(tx: &mut Tx, name: &PluginName) -> Result<Option<Vec<TaskId>>, Fault> {
    lock(tx).await?;
    if tx.execute(q::plugin_delete, args![name]).await? == 0 {
        return Ok(None);
    }
    tx.execute(q::plugin_bytes_delete_unused, Vec::new()).await?;
    let mut ids = Vec::new();
    for mut row in tx.fetch(q::task_of_plugin, args![name]).await? {
        ids.push(row.task_id()?);
    }
    if !ids.is_empty() {
        delete_tasks(tx, &ids).await?;
    }
    bump(tx).await?;
    Ok(Some(ids))
}

async fn put_task(tx: &mut Tx, task: &Task) -> Result<Put, Fault> {
    lock(tx).await?;
    let old = select(tx, &task.id).await?;
    if old.as_ref() == Some(task) {
        return Ok(Put::Unchanged);
    }
    store_task(tx, old.as_ref(), task).await?;
    bump(tx).await?;
    Ok(if old.is_some() { Put::Replaced } else { Put::Added })
}

async fn remove_task(tx: &mut Tx, id: &TaskId) -> Result<bool, Fault> {
    lock(tx).await?;
    let removed = delete_tasks(tx, std::slice::from_ref(id)).await? > 0;
    if removed {
        bump(tx).await?;
    }
    Ok(removed)
}

async fn plugins(tx: &mut Tx, query: super::query::Query, args: Vec<Arg>) -> Result<Vec<PluginVersion>, Fault> {
    let rows = tx.fetch(query, args).await?;
    Ok(rows.into_iter().map(row::plugin).collect::<Result<_, _>>()?)
}

async fn tasks(tx: &mut Tx, query: super::query::Query, args: Vec<Arg>) -> Result<Vec<TaskRow>, Fault> {
    let mut tasks = Vec::new();
    for mut row in tx.fetch(query, args).await? {
        tasks.push(TaskRow { task: row::task(&mut row)?, running_jobs: row.small()? });
    }
    Ok(tasks)
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
        read_with!(self, "plugin_get", current, name)
    }

    async fn plugin_list(&self) -> Result<Vec<PluginVersion>, StoreError> {
        read_with!(self, "plugin_list", plugins, q::plugin_list, Vec::new())
    }

    async fn plugin_history(&self, name: &PluginName) -> Result<Vec<PluginVersion>, StoreError> {
        read_with!(self, "plugin_history", plugins, q::plugin_history, args![name])
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
        let found = read_with!(self, "task_get", tasks, q::task_get, args![id]);
        Ok(found?.into_iter().next())
    }

    async fn task_list(&self) -> Result<Vec<TaskRow>, StoreError> {
        read_with!(self, "task_list", tasks, q::task_list, Vec::new())
    }

    async fn task_remove(&self, id: &TaskId) -> Result<bool, StoreError> {
        write_with!(self, "task_remove", id.clone(), remove_task)
    }

    async fn catalog_revision(&self) -> Result<i64, StoreError> {
        read_with!(self, "catalog_revision", revision,)
    }
}
