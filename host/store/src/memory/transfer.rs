//! Backup and moving in memory.

use std::sync::Arc;

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::model::ConflictPolicy;
use crate::record::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use crate::restoring::{Plan, Present, plan, tasks_lost};
use crate::{AddSchedule, Record, Restore, Restored, Snapshot, SnapshotBatch, StoreError, StoredPlugin, Transfer};

/// Everything, copied at the instant of the snapshot; payloads and components are shared, not copied.
struct MemorySnapshot(std::vec::IntoIter<Record>);

#[async_trait]
impl Snapshot for MemorySnapshot {
    async fn next(&mut self) -> Result<Option<SnapshotBatch>, StoreError> {
        let mut batch = SnapshotBatch::default();
        let mut weight = 0;
        while batch.records.len() < BATCH_RECORDS_MAX && weight < BATCH_BYTES_MAX {
            let Some(record) = self.0.next() else { break };
            weight += record.weight();
            batch.records.push(record);
        }
        Ok((!batch.records.is_empty()).then_some(batch))
    }
}

impl State {
    /// Everything that is stored, in the order of a snapshot.
    fn records(&self) -> Vec<Record> {
        let catalog = &self.catalog;
        let mut records = Vec::new();
        for ((name, digest), version) in &catalog.versions {
            let is_current = catalog.current.get(name) == Some(digest);
            let bytes = catalog.bytes.get(digest).cloned().unwrap_or_default();
            let rollout = catalog.rollouts.get(name).filter(|rollout| rollout.digest == *digest).cloned();
            records.push(Record::Plugin(StoredPlugin { version: version.clone(), is_current, rollout, bytes }));
        }
        records.extend(catalog.tasks.values().map(|task| Record::Task(Box::new(task.clone()))));
        for (id, entry) in &self.jobs.rows {
            records.push(Record::Job(Box::new(entry.job.clone())));
            records.extend(entry.logs.values().map(|line| Record::Log { job_id: *id, line: line.clone() }));
        }
        records.extend(self.schedules.all().map(|schedule| Record::Schedule(Box::new(schedule.clone()))));
        let mut entries = self.kv.entries.iter().peekable();
        for (name, bucket) in &self.kv.buckets {
            records.push(Record::KvBucket { name: name.clone(), revision: bucket.revision });
            while let Some(((bucket, key), entry)) = entries.next_if(|((of, _), _)| of == name) {
                records.push(Record::KvEntry { bucket: bucket.clone(), key: key.clone(), entry: entry.clone() });
            }
        }
        records
    }

    /// What is in the places of the records.
    fn present(&self, records: &[Record]) -> Present {
        let mut present = Present::default();
        for record in records {
            match record {
                Record::Plugin(plugin) => self.see_plugin(&plugin.version.name, &mut present),
                Record::Task(task) => {
                    task.target.plugin().into_iter().for_each(|plugin| self.see_plugin(plugin, &mut present));
                    let there = self.catalog.tasks.get(&task.id).cloned();
                    present.tasks.extend(there.map(|there| (task.id.clone(), Some(there))));
                }
                Record::Job(job) => {
                    let spec = &job.spec;
                    present.jobs.extend(self.jobs.get(spec.id).map(|there| (spec.id, Some(there.clone()))));
                    if let Some(fire) = spec.fire() {
                        let rival = self.jobs.of_fire(&fire);
                        present.fires.extend(rival.map(|rival| (fire, rival)));
                    }
                    if let Some(unique) = &spec.settings.unique_key {
                        let rival = self.jobs.of_key(&spec.task_id, &unique.key);
                        let place = (spec.task_id.clone(), unique.key.clone());
                        present.unique.extend(rival.map(|rival| (place, rival)));
                    }
                }
                Record::Log { job_id, line } => {
                    let Some(entry) = self.jobs.rows.get(job_id) else { continue };
                    present.owners.insert(*job_id);
                    let there = entry.logs.get(&(line.attempt, line.sequence)).cloned();
                    present.lines.extend(there.map(|there| ((*job_id, line.attempt, line.sequence), Some(there))));
                }
                Record::Schedule(schedule) => {
                    let there = self.schedules.get(&schedule.id).cloned();
                    present.schedules.extend(there.map(|there| (schedule.id.clone(), Some(there))));
                }
                Record::KvBucket { name, .. } => {
                    let there = self.kv.buckets.get(name);
                    present.buckets.extend(there.map(|there| (name.clone(), there.revision)));
                }
                Record::KvEntry { bucket, key, .. } => {
                    let place = (bucket.clone(), key.clone());
                    let there = self.kv.entries.get(&place).cloned();
                    present.entries.extend(there.map(|there| (place, Some(there))));
                }
            }
        }
        present
    }

    fn see_plugin(&self, name: &crate::model::PluginName, present: &mut Present) {
        for (key, version) in self.catalog.versions.iter().filter(|((owner, _), _)| owner == name) {
            let is_current = self.catalog.current.get(name) == Some(&key.1);
            let rollout = self.catalog.rollouts.get(name).filter(|rollout| rollout.digest == key.1).cloned();
            present.versions.insert(key.clone(), (Some(version.clone()), is_current, rollout));
        }
    }

    fn restore(&mut self, request: Restore) -> Result<Vec<Restored>, StoreError> {
        let Plan { restored, jobs_gone } = plan(&request, &self.present(&request.records))?;
        if request.dry_run {
            return Ok(restored);
        }
        jobs_gone.into_iter().for_each(|id| self.jobs.remove(id));
        let mut has_changed_catalog = false;
        for (record, done) in request.records.into_iter().zip(&restored) {
            if !done.is_written() {
                continue;
            }
            match record {
                Record::Plugin(plugin) => {
                    self.restore_plugin(plugin, *done);
                    self.jobs.follow(&self.catalog.tasks);
                    has_changed_catalog = true;
                }
                Record::Task(task) => {
                    self.catalog.tasks.insert(task.id.clone(), *task);
                    self.jobs.follow(&self.catalog.tasks);
                    has_changed_catalog = true;
                }
                Record::Job(job) => self.jobs.restore(*job, request.now),
                Record::Log { job_id, line } => {
                    if let Some(entry) = self.jobs.rows.get_mut(&job_id) {
                        entry.logs.insert((line.attempt, line.sequence), line);
                    }
                }
                Record::Schedule(schedule) => {
                    self.schedules.remove(&schedule.id);
                    // Nothing has this id any more.
                    self.schedules.add(AddSchedule { schedule: *schedule, conflict: ConflictPolicy::Error })?;
                }
                Record::KvBucket { name, revision } => {
                    let mut writing = self.kv.writing([(&name, None)].into_iter());
                    writing.restore_bucket(name, revision);
                    self.kv.store(writing);
                }
                Record::KvEntry { bucket, key, entry } => {
                    let mut writing = self.kv.writing([(&bucket, Some(&key))].into_iter());
                    writing.restore(bucket, key, entry);
                    self.kv.store(writing);
                }
            }
        }
        self.catalog.revision += i64::from(has_changed_catalog);
        Ok(restored)
    }

    fn restore_plugin(&mut self, plugin: StoredPlugin, done: Restored) {
        if plugin.is_current {
            self.settle_running(&plugin.version.name);
        }
        let catalog = &mut self.catalog;
        let (name, digest) = (plugin.version.name.clone(), plugin.version.digest);
        if plugin.is_current {
            catalog.current.insert(name.clone(), digest);
            if done == Restored::Replaced {
                for id in tasks_lost(&plugin, catalog.tasks.values()) {
                    catalog.tasks.remove(&id);
                }
            }
        } else if catalog.current.get(&name) == Some(&digest) {
            catalog.current.remove(&name);
        }
        match plugin.rollout {
            Some(rollout) => {
                catalog.rollouts.insert(name.clone(), rollout);
            }
            None => catalog.rollouts.retain(|of, rollout| *of != name || rollout.digest != digest),
        }
        catalog.bytes.entry(digest).or_insert_with(|| Arc::clone(&plugin.bytes));
        catalog.versions.insert((name, digest), plugin.version);
    }
}

#[async_trait]
impl Transfer for MemoryStore {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.with(|state| Ok(Box::new(MemorySnapshot(state.records().into_iter())) as Box<dyn Snapshot>))
    }

    async fn restore(&self, request: Restore) -> Result<Vec<Restored>, StoreError> {
        self.with(|state| state.restore(request))
    }
}
