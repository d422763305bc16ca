//! Plugins and tasks.

use async_trait::async_trait;

use super::catalog_rows as rows;
use crate::model::{Digest, PluginName, PluginVersion, Settings, Task, TaskId};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{Row, args};
use crate::sql::{SqlStore, read_with, write_with};
use crate::{
    ActivatePlugin, Catalog, Page, PluginPut, Put, PutPlugin, StoreError, Subject, TaskRow, Unreadable, rules,
};

async fn get(tx: &mut Tx, name: &PluginName) -> Result<Option<PluginVersion>, Fault> {
    let found = rows::current(tx, name).await?.transpose();
    Ok(found.map_err(row::unreadable(Subject::Plugin(name.clone())))?)
}

async fn put(tx: &mut Tx, request: &PutPlugin) -> Result<PluginPut, Fault> {
    rows::lock(tx).await?;
    let version = &request.version;
    let put = match rows::current(tx, &version.name).await? {
        // What it was does not matter to the version that takes its place.
        Some(Err(_)) => Put::Replaced,
        found => rules::plugin_put(found.and_then(Result::ok).as_ref(), version),
    };
    if put != Put::Unchanged {
        tx.execute(q::plugin_put, rows::one_row(row::new_plugin(version))).await?;
    }
    rows::store_bytes(tx, version.digest, &request.bytes).await?;
    rows::activate(tx, put, &version.name, version.digest, &request.tasks, &request.configure).await
}

async fn activate_version(tx: &mut Tx, request: &ActivatePlugin) -> Result<PluginPut, Fault> {
    rows::lock(tx).await?;
    let ActivatePlugin { name, digest, tasks } = request;
    let mut versions = tx.fetch(q::plugin_history, args![name]).await?.into_iter().map(row::plugin);
    if !versions.any(|version| version.is_ok_and(|version| version.digest == *digest)) {
        return Err(rules::no_version(name, *digest).into());
    }
    let put = match rows::current(tx, name).await? {
        Some(Ok(version)) if version.digest == *digest => Put::Unchanged,
        _ => Put::Replaced,
    };
    rows::activate(tx, put, name, *digest, tasks, &Settings::default()).await
}

async fn remove(tx: &mut Tx, name: &PluginName) -> Result<Option<Vec<TaskId>>, Fault> {
    rows::lock(tx).await?;
    if tx.execute(q::plugin_delete, args![name]).await? == 0 {
        return Ok(None);
    }
    tx.execute(q::plugin_bytes_delete_unused, Vec::new()).await?;
    let rows = tx.fetch(q::task_of_plugin, args![name]).await?;
    let ids: Vec<String> = rows.into_iter().filter_map(|mut row| row.text().ok()).collect();
    if !ids.is_empty() {
        rows::delete_tasks(tx, &ids).await?;
    }
    rows::bump(tx).await?;
    Ok(Some(ids.iter().filter_map(|id| TaskId::new(id).ok()).collect()))
}

async fn put_task(tx: &mut Tx, task: &Task) -> Result<Put, Fault> {
    rows::lock(tx).await?;
    let old = rows::select(tx, &task.id).await?;
    match old.as_ref().map(|old| &old.task) {
        Some(Ok(old)) if old == task => return Ok(Put::Unchanged),
        Some(Err(bad)) if bad.defect.is_newer() => {
            return Err(row::unreadable(Subject::Task(task.id.clone()))(bad.clone()).into());
        }
        _ => {}
    }
    rows::write_task(tx, task, rows::rules_before(old.as_ref()).as_ref()).await?;
    rows::bump(tx).await?;
    Ok(if old.is_some() { Put::Replaced } else { Put::Added })
}

async fn remove_task(tx: &mut Tx, id: &TaskId) -> Result<bool, Fault> {
    rows::lock(tx).await?;
    let removed = rows::delete_tasks(tx, [id]).await? > 0;
    if removed {
        rows::bump(tx).await?;
    }
    Ok(removed)
}

async fn plugins(tx: &mut Tx) -> Result<Page<PluginVersion>, Fault> {
    Ok(Page::whole(tx.fetch(q::plugin_list, Vec::new()).await?.into_iter().map(row::plugin)))
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
        read_with!(self, "plugin_history", rows::history, name)
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
