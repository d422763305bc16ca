//! Plugins and tasks.

use async_trait::async_trait;

use super::catalog_rows as rows;
use super::{rollouts, versions};
use crate::model::{Digest, PluginName, PluginVersion, Rollout, Settings, Task, TaskId};
use crate::rollout;
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{Row, args};
use crate::sql::{SqlStore, read_with, write_with};
use crate::{
    ActivatePlugin, Catalog, CountRollout, EndRollout, Page, PluginPut, PrunePlugin, Pruned, Put, PutPlugin,
    PutRollout, RolloutEnded, StagePlugin, StoreError, Subject, TaskRow, Unreadable, rules,
};

async fn get(tx: &mut Tx, name: &PluginName) -> Result<Option<PluginVersion>, Fault> {
    let found = rows::current(tx, name).await?.transpose();
    Ok(found.map_err(row::unreadable(Subject::Plugin(name.clone())))?)
}

async fn put(tx: &mut Tx, request: &PutPlugin) -> Result<PluginPut, Fault> {
    rows::lock(tx).await?;
    let version = &request.version;
    let found = rows::current(tx, &version.name).await?;
    let known = found.as_ref().and_then(|found| found.as_ref().ok());
    let put = match &found {
        // What it was does not matter to the version that takes its place.
        Some(Err(_)) => Put::Replaced,
        _ => rules::plugin_put(known, version),
    };
    if put != Put::Unchanged {
        rollout::may_activate(&version.name, rows::rollout(tx, &version.name).await?.as_ref())?;
        rules::is_as_reviewed(&version.name, request.reviewed.as_ref(), known, None)?;
        versions::settle_running(tx, &version.name).await?;
        tx.execute(q::plugin_put, rows::one_row(row::new_plugin(version))).await?;
    }
    rows::store_bytes(tx, version.digest, &request.bytes).await?;
    rows::activate(tx, put, &version.name, version.digest, &request.tasks, &request.configure).await
}

async fn activate_version(tx: &mut Tx, request: &ActivatePlugin) -> Result<PluginPut, Fault> {
    rows::lock(tx).await?;
    let ActivatePlugin { name, digest, tasks, reviewed } = request;
    let versions = rows::history(tx, name).await?.rows;
    let Some(version) = versions.iter().find(|version| version.digest == *digest) else {
        return Err(rules::no_version(name, *digest).into());
    };
    let current = rows::readable_current(tx, name).await?;
    let put = if current.as_ref() == Some(version) { Put::Unchanged } else { Put::Replaced };
    if put != Put::Unchanged {
        rollout::may_activate(name, rows::rollout(tx, name).await?.as_ref())?;
        rules::is_as_reviewed(name, reviewed.as_ref(), current.as_ref(), Some(&version.grants))?;
        versions::settle_running(tx, name).await?;
    }
    rows::activate(tx, put, name, *digest, tasks, &Settings::default()).await
}

async fn stage(tx: &mut Tx, request: &StagePlugin) -> Result<Put, Fault> {
    rows::lock(tx).await?;
    let StagePlugin { version, bytes, reviewed } = request;
    rules::may_stage(version, rows::current_digest(tx, &version.name).await?)?;
    let Page { rows, unreadable, .. } = rows::history(tx, &version.name).await?;
    let put = match unreadable.iter().any(|bad| bad.id == version.digest.to_string()) {
        // What it was does not matter to what takes its place.
        true => Put::Replaced,
        false => rules::plugin_put(rows.iter().find(|stored| stored.digest == version.digest), version),
    };
    if put != Put::Unchanged {
        let current = rows::readable_current(tx, &version.name).await?;
        rules::is_as_reviewed(&version.name, reviewed.as_ref(), current.as_ref(), None)?;
        tx.execute(q::plugin_put, rows::one_row(row::new_plugin(version))).await?;
        rows::store_bytes(tx, version.digest, bytes).await?;
        rows::bump(tx).await?;
    }
    Ok(put)
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

    async fn plugin_stage(&self, request: StagePlugin) -> Result<Put, StoreError> {
        write_with!(self, "plugin_stage", request, stage)
    }

    async fn rollout_get(&self, name: &PluginName) -> Result<Option<Rollout>, StoreError> {
        read_with!(self, "rollout_get", rows::rollout, name)
    }

    async fn rollout_put(&self, request: PutRollout) -> Result<Rollout, StoreError> {
        write_with!(self, "rollout_put", request, rollouts::put)
    }

    async fn rollout_end(&self, request: EndRollout) -> Result<RolloutEnded, StoreError> {
        write_with!(self, "rollout_end", request, rollouts::end)
    }

    async fn rollout_count(&self, request: CountRollout) -> Result<Option<Rollout>, StoreError> {
        write_with!(self, "rollout_count", request, rollouts::count)
    }

    async fn plugin_prune(&self, request: PrunePlugin) -> Result<Pruned, StoreError> {
        write_with!(self, "plugin_prune", request, versions::prune)
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
