//! Backup and moving: beginning a snapshot, and storing records as they are.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_trait::async_trait;

use super::job_rows::lock;
use super::snapshot::SqlSnapshot;
use super::{catalog_rows, kv, ledger, rollouts, versions};
use crate::model::{BucketName, FireKey, Job, JobId, JobState, KvKey, PluginName, ScheduleLife, TaskId, Timestamp};
use crate::record::BATCH_RECORDS_MAX;
use crate::restoring::{Plan, Present, plan, tasks_lost};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::Encode as _;
use crate::sql::places::{self, Places, TaskRules, Touched};
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{Arg, Value, args, list, values};
use crate::sql::{SqlStore, read_with, write_with};
use crate::{Defect, Record, Restore, Restored, Snapshot, StoreError, StoredPlugin, Transfer};

async fn begin(tx: &mut Tx) -> Result<(), Fault> {
    tx.begin_snapshot().await
}

/// Reads what is in the places of the records.
async fn present(tx: &mut Tx, records: &[Record]) -> Result<Present, Fault> {
    let mut present = Present::default();
    // Statements that carry lists have few lengths, and no list without end.
    for records in records.chunks(BATCH_RECORDS_MAX) {
        read_catalog(tx, records, &mut present).await?;
        read_jobs(tx, records, &mut present).await?;
        read_lines(tx, records, &mut present).await?;
        read_schedules(tx, records, &mut present).await?;
        read_buckets(tx, records, &mut present).await?;
    }
    Ok(present)
}

async fn read_catalog(tx: &mut Tx, records: &[Record], present: &mut Present) -> Result<(), Fault> {
    let names: HashSet<&PluginName> = records
        .iter()
        .filter_map(|record| match record {
            Record::Plugin(plugin) => Some(&plugin.version.name),
            Record::Task(task) => task.target.plugin(),
            _ => None,
        })
        .collect();
    if !names.is_empty() {
        for mut row in tx.fetch(q::plugin_select, vec![list(names)]).await? {
            let is_current = row.flag()?;
            // One that cannot be read is as good as another one.
            let rollout = catalog_rows::read_rollout(&mut row).ok().flatten();
            let mut key = row.clone();
            let name = PluginName::new(&key.text()?).map_err(|error| Defect::damaged(error.to_string()))?;
            let digest = key.digest()?;
            present.versions.insert((name, digest), (row::plugin(row).ok(), is_current, rollout));
        }
    }
    let ids = records.iter().filter_map(|record| if let Record::Task(task) = record { Some(&task.id) } else { None });
    let ids: Vec<&TaskId> = ids.collect();
    if !ids.is_empty() {
        for mut row in tx.fetch(q::task_select, vec![list(ids)]).await? {
            let id = row.clone().task_id()?;
            present.tasks.insert(id, row::task(&mut row).ok());
        }
    }
    Ok(())
}

async fn read_jobs(tx: &mut Tx, records: &[Record], present: &mut Present) -> Result<(), Fault> {
    let jobs: Vec<&Job> =
        records.iter().filter_map(|record| if let Record::Job(job) = record { Some(&**job) } else { None }).collect();
    if jobs.is_empty() {
        return Ok(());
    }
    for row in tx.fetch(q::job_select, vec![list(jobs.iter().map(|job| job.spec.id))]).await? {
        let id = row.clone().job_id()?;
        present.jobs.insert(id, row::job(row).ok());
    }
    let fires = jobs.iter().filter_map(|job| job.spec.fire());
    let fires = fires.map(|fire| values![&fire.schedule_id, fire.life.as_number(), fire.at]).collect();
    for mut row in tx.fetch_rows(q::job_fire_select, fires).await? {
        let id = row.job_id()?;
        let (schedule_id, life, at) = (row.schedule_id()?, ScheduleLife::from_number(row.int()?), row.time()?);
        present.fires.insert(FireKey { schedule_id, life, at }, id);
    }
    let unique = jobs.iter().filter_map(|job| Some((&job.spec.task_id, job.spec.settings.unique_key.as_ref()?)));
    let unique = unique.map(|(task, unique)| values![task, unique.key.as_str()]).collect();
    for mut row in tx.fetch_rows(q::job_unique_select, unique).await? {
        let id = row.job_id()?;
        present.unique.insert((row.task_id()?, row.text()?), id);
    }
    Ok(())
}

async fn read_lines(tx: &mut Tx, records: &[Record], present: &mut Present) -> Result<(), Fault> {
    let (mut owners, mut keys) = (HashSet::new(), Vec::new());
    for record in records {
        if let Record::Log { job_id, line } = record {
            owners.insert(*job_id);
            keys.push(values![*job_id, line.attempt, line.sequence]);
        }
    }
    if owners.is_empty() {
        return Ok(());
    }
    for mut row in tx.fetch(q::job_known, vec![list(owners)]).await? {
        present.owners.insert(row.job_id()?);
    }
    for mut row in tx.fetch_rows(q::job_log_select, keys).await? {
        let job = row.job_id()?;
        let mut place = row.clone();
        let key = (job, place.small()?, place.small()?);
        present.lines.insert(key, row::log_line(row).ok());
    }
    Ok(())
}

async fn read_schedules(tx: &mut Tx, records: &[Record], present: &mut Present) -> Result<(), Fault> {
    let schedules = records.iter().filter_map(|record| match record {
        Record::Schedule(schedule) => Some(&schedule.id),
        _ => None,
    });
    let ids: Vec<_> = schedules.collect();
    if !ids.is_empty() {
        for row in tx.fetch(q::schedule_select, vec![list(ids)]).await? {
            let id = row.clone().schedule_id()?;
            present.schedules.insert(id, row::schedule(row).ok());
        }
    }
    Ok(())
}

async fn read_buckets(tx: &mut Tx, records: &[Record], present: &mut Present) -> Result<(), Fault> {
    let mut keys = Vec::new();
    for record in records {
        if let Record::KvEntry { bucket, key, .. } = record {
            keys.push(values![bucket, key]);
        }
    }
    for mut row in tx.fetch_rows(q::kv_select, keys).await? {
        let place = (row.bucket()?, row.kv_key()?);
        present.entries.insert(place, row.kv_entry().ok());
    }
    if records.iter().any(|record| matches!(record, Record::KvBucket { .. })) {
        present.buckets.extend(kv::buckets(tx).await?.into_iter().map(|bucket| (bucket.name, bucket.revision)));
    }
    Ok(())
}

async fn read_existing(tx: &mut Tx, request: &Restore) -> Result<Vec<Restored>, Fault> {
    Ok(plan(request, &present(tx, &request.records).await?)?.restored)
}

async fn restore(tx: &mut Tx, request: &Restore) -> Result<Vec<Restored>, Fault> {
    // Also keeps two restores apart: each looks before it writes.
    catalog_rows::lock(tx).await?;
    let present = present(tx, &request.records).await?;
    let Plan { restored, jobs_gone } = plan(request, &present)?;
    let written: Vec<(&Record, Restored)> =
        request.records.iter().zip(restored.iter().copied()).filter(|(_, done)| done.is_written()).collect();
    let mut has_changed_catalog = false;
    for (record, done) in &written {
        match record {
            Record::Plugin(plugin) => store_plugin(tx, plugin, *done).await?,
            Record::Task(task) => {
                // Of one that cannot be read nobody knows, so its jobs are moved in any case.
                let old = match present.tasks.get(&task.id) {
                    None => Some(TaskRules::default()),
                    Some(old) => old.as_ref().map(row::rules_of),
                };
                catalog_rows::write_task(tx, task, old.as_ref()).await?;
            }
            _ => continue,
        }
        has_changed_catalog = true;
    }
    if has_changed_catalog {
        catalog_rows::bump(tx).await?;
    }
    store_jobs(tx, request.now, &written, &jobs_gone).await?;
    store_lines(tx, &written, &present).await?;
    store_schedules(tx, &written).await?;
    store_buckets(tx, &written).await?;
    Ok(restored)
}

async fn store_plugin(tx: &mut Tx, plugin: &StoredPlugin, done: Restored) -> Result<(), Fault> {
    let StoredPlugin { version, is_current, rollout, bytes } = plugin;
    if *is_current {
        versions::settle_running(tx, &version.name).await?;
    }
    tx.execute(q::plugin_put, vec![Arg::Rows(vec![row::new_plugin(version)])]).await?;
    catalog_rows::store_bytes(tx, version.digest, bytes).await?;
    rollouts::restore(tx, version, rollout.as_ref()).await?;
    if !is_current {
        return Ok(());
    }
    tx.execute(q::plugin_deactivate, args![&version.name]).await?;
    tx.execute(q::plugin_activate, args![&version.name, version.digest]).await?;
    if done == Restored::Replaced {
        let mut tasks = Vec::new();
        for mut row in tx.fetch(q::task_of_plugin, args![&version.name]).await? {
            // One that cannot be read stays as it is, for whoever looks into it.
            tasks.extend(row::task(&mut row).ok());
        }
        let lost = tasks_lost(plugin, tasks.iter());
        if !lost.is_empty() {
            catalog_rows::delete_tasks(tx, &lost).await?;
        }
    }
    Ok(())
}

async fn store_jobs(tx: &mut Tx, now: Timestamp, written: &[(&Record, Restored)], gone: &[JobId]) -> Result<(), Fault> {
    let mut touched = Touched::default();
    for ids in gone.chunks(BATCH_RECORDS_MAX) {
        for job in lock(tx, ids.iter().copied()).await? {
            job.leave(&mut touched);
        }
        tx.execute(q::job_log_delete, vec![list(ids.iter().copied())]).await?;
        tx.execute(q::job_delete, vec![list(ids.iter().copied())]).await?;
    }
    let job = |(record, _): &(&Record, Restored)| if let Record::Job(job) = record { Some(job.clone()) } else { None };
    let restored: Vec<Box<Job>> = written.iter().filter_map(job).collect();
    let known = places::task_rules(tx, restored.iter().map(|job| &job.spec.task_id).collect()).await?;
    let mut rows = Vec::with_capacity(restored.len());
    for job in &restored {
        let rules = known.get(&job.spec.task_id).cloned().unwrap_or_default();
        let key = job.spec.settings.concurrency_key.as_deref();
        let places = match job.state {
            JobState::Queued if job.spec.due_at <= now => rules.entry(key),
            // It runs where it came from, and has its places whether there is room or not.
            JobState::Running => rules.running(key),
            JobState::Queued | JobState::Finished => Places::default(),
        };
        if job.state != JobState::Finished {
            touched.entered(&job.spec.task_id, key, &rules);
            touched.took(&job.spec.task_id, key, places);
        }
        rows.push(job_row(job, &rules, places, now));
    }
    tx.execute_rows(q::job_restore, rows).await?;
    places::settle(tx, touched).await
}

/// The row of a job in any state.
fn job_row(job: &Job, rules: &TaskRules, places: Places, now: Timestamp) -> Vec<Value> {
    let (spec, lease) = (&job.spec, job.lease.as_ref());
    let is_queued = job.state == JobState::Queued;
    let is_due = spec.due_at <= now;
    let claim_key = rules.claim_key(&spec.settings);
    let text = |payload: Option<&crate::model::Payload>| payload.map(|payload| payload.encoding.as_str());
    let mut row = row::spec_values(spec);
    row.extend(values![
        job.state,
        (is_queued && is_due && places.are_had()).then(|| claim_key.clone()),
        (is_queued && !is_due).then_some(spec.due_at),
        spec.start_deadline.filter(|_| is_queued && job.attempt == 0),
        job.attempt,
        job.crashes,
        job.cancel_requested.is_some(),
        job.cancel_requested.and_then(|request| request.grace).map(row::span_micros),
        lease.map(|lease| &lease.holder),
        lease.map(|lease| lease.token),
        lease.map(|lease| lease.expires_at),
        job.scheduler_id.as_ref(),
        job.plugin_digest,
        job.started_at,
        job.progress.as_ref().map(|progress| progress.to_json()),
        job.outcome,
        job.finished_at,
        text(job.result.as_ref()),
        job.result.as_ref().map(|result| &*result.data),
        job.error.as_ref().map(|error| error.to_json()),
        job.usage.as_ref().map(|usage| usage.to_json()),
        job.expires_at,
        claim_key,
        spec.settings.concurrency_key.as_deref(),
        places.key,
        places.task,
    ]);
    // A key whose time is over may be another job's.
    row.extend(row::unique_values(spec.settings.unique_key.as_ref().filter(|unique| unique.holds_at(now))));
    row.extend(values![spec.settings.group.as_deref()]);
    row
}

async fn store_lines(tx: &mut Tx, written: &[(&Record, Restored)], present: &Present) -> Result<(), Fault> {
    let mut rows = Vec::new();
    for (record, done) in written {
        let Record::Log { job_id, line } = record else { continue };
        // Lines of a job that was replaced went with it.
        if *done == Restored::Replaced && present.lines.contains_key(&(*job_id, line.attempt, line.sequence)) {
            tx.execute(q::job_log_line_delete, args![*job_id, line.attempt, line.sequence]).await?;
        }
        rows.push(row::new_log_line(*job_id, line.clone()));
    }
    tx.execute_rows(q::job_log_insert, rows).await?;
    Ok(())
}

async fn store_schedules(tx: &mut Tx, written: &[(&Record, Restored)]) -> Result<(), Fault> {
    let (mut replaced, mut rows) = (Vec::new(), Vec::new());
    for (record, done) in written {
        let Record::Schedule(schedule) = record else { continue };
        if *done == Restored::Replaced {
            replaced.push(&schedule.id);
        }
        rows.push(row::new_schedule(schedule));
    }
    for ids in replaced.chunks(BATCH_RECORDS_MAX) {
        ledger::remove(tx, ids.iter().copied()).await?;
        tx.execute(q::schedule_delete, vec![list(ids.iter().copied())]).await?;
    }
    tx.execute_rows(q::schedule_insert, rows).await?;
    Ok(())
}

async fn store_buckets(tx: &mut Tx, written: &[(&Record, Restored)]) -> Result<(), Fault> {
    let mut places: BTreeMap<&BucketName, BTreeSet<&KvKey>> = BTreeMap::new();
    for (record, _) in written {
        match record {
            Record::KvBucket { name, .. } => drop(places.entry(name).or_default()),
            Record::KvEntry { bucket, key, .. } => drop(places.entry(bucket).or_default().insert(key)),
            _ => {}
        }
    }
    let mut writing = kv::lock(tx, places).await?;
    for (record, _) in written {
        match record {
            Record::KvBucket { name, revision } => writing.restore_bucket(name.clone(), *revision),
            Record::KvEntry { bucket, key, entry } => writing.restore(bucket.clone(), key.clone(), entry.clone()),
            _ => {}
        }
    }
    kv::store(tx, writing).await
}

#[async_trait]
impl Transfer for SqlStore {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let mut tx = self.reader("snapshot").await?;
        begin(&mut tx).await.map_err(|fault| self.fault("snapshot", fault))?;
        Ok(Box::new(SqlSnapshot::new(std::sync::Arc::clone(&self.database), tx)))
    }

    async fn restore(&self, request: Restore) -> Result<Vec<Restored>, StoreError> {
        if request.dry_run {
            return read_with!(self, "restore", read_existing, &request);
        }
        write_with!(self, "restore", request, restore)
    }
}
