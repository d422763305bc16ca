//! Versions of plugins: which one a job stays on, and which ones nobody needs.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::catalog_rows as rows;
use super::job_rows::lock;
use crate::model::{Digest, JobId, JobSettings, JobState, PluginName, Rollout, TaskId, TaskName};
use crate::record::BATCH_RECORDS_MAX;
use crate::rollout::Assignment;
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::Encode as _;
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{args, list};
use crate::{PrunePlugin, Pruned, StoreError, Subject, rules};

/// Which version the jobs of a plugin begin with.
async fn assignment(tx: &mut Tx, name: &PluginName) -> Result<Option<Assignment>, Fault> {
    let Some(current) = rows::current_digest(tx, name).await? else { return Ok(None) };
    let rollout = rows::rollout(tx, name).await?.filter(Rollout::is_active);
    let version = match &rollout {
        Some(rollout) => {
            let versions = rows::history(tx, name).await?.rows;
            versions.into_iter().find(|version| version.digest == rollout.digest)
        }
        None => None,
    };
    Ok(Some(Assignment::new(current, rollout, version.as_ref())))
}

/// Writes down for the running jobs of a plugin which version they have begun with, before that changes for others. Until then it is known: it
/// follows from which version is current, and which one is rolled out. So no job costs a write for it when it begins.
///
/// A job that is claimed at this very moment is left out, and is taken for one of the new version if its worker dies. Its end says which
/// one it was.
pub(in crate::sql) async fn settle_running(tx: &mut Tx, name: &PluginName) -> Result<(), Fault> {
    let Some(assignment) = assignment(tx, name).await? else { return Ok(()) };
    let mut running: BTreeMap<JobId, Digest> = BTreeMap::new();
    for mut row in tx.fetch(q::task_of_plugin, args![name]).await? {
        let (task, _plugin, function) = (row.text()?, row.maybe_text()?, row.text()?);
        let Ok(function) = TaskName::new(&function) else { continue };
        for mut row in tx.fetch(q::job_unversioned, args![task]).await? {
            let Ok(id) = row.job_id() else { continue };
            running.insert(id, assignment.version(id, &function));
        }
    }
    let ids: Vec<JobId> = running.keys().copied().collect();
    let mut begun: BTreeMap<Digest, Vec<JobId>> = BTreeMap::new();
    for ids in ids.chunks(BATCH_RECORDS_MAX) {
        for job in lock(tx, ids.iter().copied()).await? {
            if let Some(version) = running.get(&job.id).filter(|_| job.state == JobState::Running) {
                begun.entry(pin(&job.settings).unwrap_or(*version)).or_default().push(job.id);
            }
        }
    }
    for (version, jobs) in begun {
        write(tx, version, &jobs).await?;
    }
    Ok(())
}

/// The same for jobs whose worker is gone: when they are tried again, it may be another one. Answers which version of which plugin each ran.
pub(in crate::sql) async fn settle_crashed(
    tx: &mut Tx,
    jobs: &[JobId],
) -> Result<HashMap<JobId, (PluginName, Digest)>, Fault> {
    let mut of_task: BTreeMap<TaskId, Vec<(JobId, Option<Digest>)>> = BTreeMap::new();
    for ids in jobs.chunks(BATCH_RECORDS_MAX) {
        for mut row in tx.fetch(q::job_version_select, vec![list(ids.iter().copied())]).await? {
            let (Ok(id), Ok(task), Ok(version)) = (row.job_id(), row.task_id(), row.maybe_bytes()) else { continue };
            let pin = row.text().ok().and_then(|text| pin(&text));
            let version = version.and_then(|bytes| bytes.try_into().ok()).map(Digest::from_bytes);
            of_task.entry(task).or_default().push((id, pin.or(version)));
        }
    }
    let tasks: Vec<&TaskId> = of_task.keys().collect();
    let mut targets = BTreeMap::new();
    for tasks in tasks.chunks(BATCH_RECORDS_MAX) {
        for mut row in tx.fetch(q::task_select, vec![list(tasks.iter().copied())]).await? {
            // Of a task that cannot be read nobody knows what its jobs have begun with.
            targets.extend(row::task(&mut row).ok().map(|task| (task.id, task.target)));
        }
    }
    let (mut begun, mut ran): (BTreeMap<Digest, Vec<JobId>>, HashMap<_, _>) = Default::default();
    for (task, jobs) in of_task {
        let Some(target) = targets.get(&task) else { continue };
        let Some(plugin) = target.plugin() else { continue };
        let Some(assignment) = assignment(tx, plugin).await? else { continue };
        for (id, known) in jobs {
            let version = known.unwrap_or_else(|| assignment.version(id, target.function()));
            begun.entry(version).or_default().push(id);
            ran.insert(id, (plugin.clone(), version));
        }
    }
    for (version, jobs) in begun {
        write(tx, version, &jobs).await?;
    }
    Ok(ran)
}

/// The version that a job was pinned to. One whose settings cannot be read ends as soon as anybody claims it.
fn pin(settings: &str) -> Option<Digest> {
    JobSettings::from_json(settings).ok().and_then(|settings| settings.version)
}

async fn write(tx: &mut Tx, version: Digest, jobs: &[JobId]) -> Result<(), Fault> {
    for ids in jobs.chunks(BATCH_RECORDS_MAX) {
        let mut arguments = args![version];
        arguments.push(list(ids.iter().copied()));
        tx.execute(q::job_version_set, arguments).await?;
    }
    Ok(())
}

pub(in crate::sql) async fn prune(tx: &mut Tx, request: &PrunePlugin) -> Result<Pruned, Fault> {
    rows::lock(tx).await?;
    let PrunePlugin { name, keep, dry_run } = request;
    let Some(current) = rows::current_digest(tx, name).await? else {
        return Err(StoreError::NotFound(Subject::Plugin(name.clone())).into());
    };
    let versions = rows::history(tx, name).await?.rows;
    let (mut digests, mut texts) = (HashSet::new(), Vec::new());
    for mut row in tx.fetch(q::job_versions, Vec::new()).await? {
        digests.extend(row.maybe_bytes()?.and_then(|bytes| bytes.try_into().ok()).map(Digest::from_bytes));
        texts.push(row.text()?);
    }
    let is_needed_by_job = needed(digests, texts);
    let mut texts = Vec::new();
    for mut row in tx.fetch(q::schedule_versions, Vec::new()).await? {
        texts.push(row.text()?);
    }
    let is_needed_by_schedule = needed(HashSet::new(), texts);
    let versions: Vec<Digest> = versions.into_iter().map(|version| version.digest).collect();
    let rollout = rows::rollout(tx, name).await?;
    let pruned = rules::prune(&versions, current, *keep, is_needed_by_job, is_needed_by_schedule, rollout.as_ref());
    if *dry_run || pruned.removed.is_empty() {
        return Ok(pruned);
    }
    for digests in pruned.removed.chunks(BATCH_RECORDS_MAX) {
        let mut arguments = args![name];
        arguments.push(list(digests.iter().copied()));
        tx.execute(q::plugin_version_delete, arguments).await?;
    }
    tx.execute(q::plugin_bytes_delete_unused, Vec::new()).await?;
    rows::bump(tx).await?;
    Ok(pruned)
}

/// Whether a version is one of `digests`, or stands in one of `texts`, which are the settings of those that may be pinned.
fn needed(digests: HashSet<Digest>, texts: Vec<String>) -> impl Fn(Digest) -> bool {
    move |version| {
        let written = version.to_string();
        digests.contains(&version) || texts.iter().any(|text| text.contains(&written))
    }
}
