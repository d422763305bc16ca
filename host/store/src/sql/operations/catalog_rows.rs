//! Rows of plugins, their versions and tasks, as the operations on them read and write them.

use crate::model::{Digest, PluginName, PluginVersion, Rollout, Settings, Task, TaskId};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::Encode as _;
use crate::sql::places::{self, TaskRules};
use crate::sql::statements::query::q;
use crate::sql::statements::row::{self, StoredTask};
use crate::sql::statements::value::{Arg, Row, args, list, values};
use crate::{Defect, Page, PluginPut, Put, StoreError, Subject, Unreadable};

pub(in crate::sql) fn one_row(row: Vec<crate::sql::statements::value::Value>) -> Vec<Arg> {
    vec![Arg::Rows(vec![row])]
}

/// The current version, or why it cannot be read.
pub(in crate::sql) async fn current(
    tx: &mut Tx,
    name: &PluginName,
) -> Result<Option<Result<PluginVersion, Unreadable>>, Fault> {
    Ok(tx.fetch_one(q::plugin_get, args![name]).await?.map(row::plugin))
}

/// The current version, if it can be read.
pub(in crate::sql) async fn readable_current(tx: &mut Tx, name: &PluginName) -> Result<Option<PluginVersion>, Fault> {
    Ok(current(tx, name).await?.and_then(Result::ok))
}

/// Changes of the catalogue come one after the other: they look before they write.
pub(in crate::sql) async fn lock(tx: &mut Tx) -> Result<(), Fault> {
    tx.fetch(q::catalog_lock, Vec::new()).await.map(|_| ())
}

pub(in crate::sql) async fn bump(tx: &mut Tx) -> Result<(), Fault> {
    tx.execute(q::catalog_revision_bump, Vec::new()).await.map(|_| ())
}

/// Stores a component, unless it is there already, in parts that the database takes at once.
pub(in crate::sql) async fn store_bytes(tx: &mut Tx, digest: Digest, bytes: &[u8]) -> Result<(), Fault> {
    let stored = tx.fetch_one(q::plugin_bytes_has, args![digest]).await?;
    if stored.map(|mut row| row.int()).transpose()? == Some(0) {
        for (content, part) in bytes.chunks(tx.statement_bytes().max(1)).zip(0_u32..) {
            tx.execute(q::plugin_bytes_insert, one_row(values![digest, part, content])).await?;
        }
    }
    Ok(())
}

/// Makes a stored version current, with its tasks, and lays `configure` over what is configured for them.
pub(in crate::sql) async fn activate(
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
            write_task(tx, &task, rules_before(old.as_ref()).as_ref()).await?;
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
pub(in crate::sql) fn configured(id: &TaskId, old: &StoredTask) -> Result<Settings, StoreError> {
    match &old.configured {
        Ok(settings) => Ok(settings.clone()),
        Err(defect) if defect.is_newer() => {
            Err(StoreError::Unreadable { subject: Subject::Task(id.clone()), defect: defect.clone() })
        }
        Err(_) => Ok(Settings::default()),
    }
}

/// What held of a task for its jobs; nothing where nobody can tell.
pub(in crate::sql) fn rules_before(old: Option<&StoredTask>) -> Option<TaskRules> {
    match old.map(|old| &old.task) {
        None => Some(TaskRules::default()),
        Some(Ok(old)) => Some(row::rules_of(old)),
        Some(Err(_)) => None,
    }
}

pub(in crate::sql) async fn select(tx: &mut Tx, id: &TaskId) -> Result<Option<StoredTask>, Fault> {
    let row = tx.fetch_one(q::task_select, vec![list([id])]).await?;
    Ok(row.map(row::stored_task).transpose()?)
}

/// Writes the row of a task and brings its jobs into line. `old`: the rules that held; `None` if nobody knows.
pub(in crate::sql) async fn write_task(tx: &mut Tx, task: &Task, old: Option<&TaskRules>) -> Result<(), Fault> {
    tx.execute(q::task_put, one_row(row::new_task(task))).await?;
    places::follow(tx, &task.id, old, &row::rules_of(task)).await
}

/// Deletes tasks. Their jobs stay, and with the task their limit is gone.
pub(in crate::sql) async fn delete_tasks<T: ToString>(
    tx: &mut Tx,
    ids: impl IntoIterator<Item = T>,
) -> Result<u64, Fault> {
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    let deleted = tx.execute(q::task_delete, vec![list(ids.iter().map(String::as_str))]).await?;
    for id in ids.iter().filter_map(|id| TaskId::new(id).ok()) {
        places::follow(tx, &id, None, &TaskRules::default()).await?;
    }
    Ok(deleted)
}

/// Versions that cannot be read are named by their digest.
pub(in crate::sql) async fn history(tx: &mut Tx, name: &PluginName) -> Result<Page<PluginVersion>, Fault> {
    let read = |row: Row| {
        let mut parts = row.clone();
        let digest = parts.text().and_then(|_name| parts.digest());
        row::plugin(row).map_err(|bad| Unreadable { id: digest.map_or(bad.id, |digest| digest.to_string()), ..bad })
    };
    Ok(Page::whole(tx.fetch(q::plugin_history, args![name]).await?.into_iter().map(read)))
}

/// The digest of the current version, whether the rest of it can be read or not.
pub(in crate::sql) async fn current_digest(tx: &mut Tx, name: &PluginName) -> Result<Option<Digest>, Fault> {
    let Some(mut row) = tx.fetch_one(q::plugin_get, args![name]).await? else { return Ok(None) };
    let _name = row.text()?;
    Ok(Some(row.digest()?))
}

/// The column of a rollout.
pub(in crate::sql) fn read_rollout(row: &mut Row) -> Result<Option<Rollout>, Defect> {
    row.maybe_text()?.map(|text| Rollout::from_json(&text)).transpose()
}

/// The latest rollout of a plugin. One that is damaged is as good as none: the current version gets all jobs.
pub(in crate::sql) async fn rollout(tx: &mut Tx, name: &PluginName) -> Result<Option<Rollout>, Fault> {
    let Some(mut row) = tx.fetch_one(q::rollout_get, args![name]).await? else { return Ok(None) };
    match read_rollout(&mut row) {
        Err(defect) if defect.is_newer() => {
            Err(StoreError::Unreadable { subject: Subject::Plugin(name.clone()), defect }.into())
        }
        read => Ok(read.ok().flatten()),
    }
}
