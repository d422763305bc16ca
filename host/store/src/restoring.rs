//! What becomes of records that are restored, given what the store has under their keys: decided here for every store alike.

use std::collections::{HashMap, HashSet};

use super::kv::Place;
use super::record::taken;
use super::{Record, Restore, Restored, StoreError, StoredPlugin, rules};
use crate::model::{
    BucketName, ConflictPolicy, Digest, FireKey, Job, JobId, KvEntry, LogLine, PluginName, PluginVersion, Rollout,
    Schedule, ScheduleId, Task, TaskId, Timestamp,
};

/// A version of a plugin in a store; `None` where it cannot be read. And whether it is current, and its rollout.
pub(super) type Version = (Option<PluginVersion>, bool, Option<Rollout>);

/// The key of a log line.
pub(super) type LineKey = (JobId, u32, u32);

/// What a store holds under the keys of some records. What is there but cannot be read is `None`.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// All versions of the plugins that the records name.
    pub(super) versions: HashMap<(PluginName, Digest), Version>,
    pub(super) tasks: HashMap<TaskId, Option<Task>>,
    pub(super) jobs: HashMap<JobId, Option<Job>>,
    /// The jobs of the fires that the records name.
    pub(super) fires: HashMap<FireKey, JobId>,
    /// The jobs that have the unique keys that the records name.
    pub(super) unique: HashMap<(TaskId, String), JobId>,
    /// Those of the jobs named by log lines that are there.
    pub(super) owners: HashSet<JobId>,
    pub(super) lines: HashMap<LineKey, Option<LogLine>>,
    pub(super) schedules: HashMap<ScheduleId, Option<Schedule>>,
    /// The revisions of the buckets that the records name.
    pub(super) buckets: HashMap<BucketName, u64>,
    pub(super) entries: HashMap<Place, Option<KvEntry>>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// For each record.
    pub(super) restored: Vec<Restored>,
    /// Jobs that go, with their log lines, before others come.
    pub(super) jobs_gone: Vec<JobId>,
}

/// What the store has under the key of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Nothing,
    Same,
    Other,
}

fn compare<T: PartialEq>(there: Option<&Option<T>>, new: &T) -> Existing {
    match there {
        None => Existing::Nothing,
        Some(Some(old)) if old == new => Existing::Same,
        Some(_) => Existing::Other,
    }
}

impl Present {
    fn current(&self, name: &PluginName) -> Option<&Version> {
        self.versions
            .iter()
            .find(|((owner, _), (_, is_current, _))| owner == name && *is_current)
            .map(|(_, found)| found)
    }

    fn plugin(&self, new: &StoredPlugin) -> Existing {
        match self.versions.get(&(new.version.name.clone(), new.version.digest)) {
            None if new.is_current && self.current(&new.version.name).is_some() => Existing::Other,
            None => Existing::Nothing,
            Some((Some(old), is_current, rollout))
                if *old == new.version && *is_current == new.is_current && *rollout == new.rollout =>
            {
                Existing::Same
            }
            Some(_) => Existing::Other,
        }
    }

    fn task(&self, new: &Task, conflict: ConflictPolicy) -> Existing {
        let existing = compare(self.tasks.get(&new.id), new);
        // Where the plugin's own version stays, a task that it does not offer would run nothing.
        let is_stranded = || {
            let current =
                new.target.plugin().filter(|_| rules::is_offered(new)).and_then(|plugin| self.current(plugin));
            let offers = |version: &PluginVersion| version.tasks.iter().any(|task| task.name == *new.target.function());
            current.is_some_and(|(version, _, _)| !version.as_ref().is_some_and(offers))
        };
        if existing == Existing::Nothing && conflict == ConflictPolicy::Skip && is_stranded() {
            Existing::Other
        } else {
            existing
        }
    }

    /// What is stored under the keys of a job, and what goes if it is replaced.
    fn job(&self, new: &Job, now: Timestamp) -> (Existing, Vec<JobId>) {
        let id = new.spec.id;
        let of_fire = new.spec.fire().and_then(|fire| self.fires.get(&fire));
        let unique = new.spec.settings.unique_key.as_ref().filter(|unique| unique.holds_at(now));
        let of_key = unique.and_then(|unique| self.unique.get(&(new.spec.task_id.clone(), unique.key.clone())));
        let mut rivals: Vec<JobId> = of_fire.into_iter().chain(of_key).copied().filter(|rival| *rival != id).collect();
        rivals.dedup();
        let existing = if rivals.is_empty() { compare(self.jobs.get(&id), new) } else { Existing::Other };
        (existing, self.jobs.get(&id).map(|_| id).into_iter().chain(rivals).collect())
    }
}

/// Decides what becomes of each record.
///
/// # Errors
/// `Conflict` where the store has something else under the key of one, under [`ConflictPolicy::Error`].
pub(super) fn plan(request: &Restore, present: &Present) -> Result<Plan, StoreError> {
    let mut plan = Plan::default();
    // What this call does to jobs whose lines come after them.
    let mut jobs: HashMap<JobId, Restored> = HashMap::new();
    for record in &request.records {
        let mut gone = Vec::new();
        let existing = match record {
            Record::Plugin(plugin) => present.plugin(plugin),
            Record::Task(task) => present.task(task, request.conflict),
            Record::Schedule(schedule) => compare(present.schedules.get(&schedule.id), schedule),
            Record::KvBucket { name, revision } => match present.buckets.get(name) {
                None => Existing::Nothing,
                // Versions go on from the later of the two, and what is under its keys are records of their own.
                Some(there) if there >= revision => Existing::Same,
                Some(_) => Existing::Other,
            },
            Record::KvEntry { bucket, key, entry } => {
                compare(present.entries.get(&(bucket.clone(), key.clone())), entry)
            }
            Record::Job(job) => {
                let (existing, rivals) = present.job(job, request.now);
                gone = rivals;
                existing
            }
            Record::Log { job_id, line } => {
                let owner = jobs.get(job_id).copied();
                if owner == Some(Restored::Kept) || owner.is_none() && is_ownerless(request, present, *job_id) {
                    plan.restored.push(Restored::Kept);
                    continue;
                }
                // The lines of a job that is replaced go with it.
                let is_gone = owner == Some(Restored::Replaced);
                let old = present.lines.get(&(*job_id, line.attempt, line.sequence)).filter(|_| !is_gone);
                compare(old, line)
            }
        };
        let restored = match (existing, request.conflict) {
            (Existing::Nothing, _) => Restored::Added,
            (Existing::Same, _) => Restored::Unchanged,
            (Existing::Other, ConflictPolicy::Skip) => Restored::Kept,
            (Existing::Other, ConflictPolicy::Replace) => Restored::Replaced,
            (Existing::Other, ConflictPolicy::Error) => return Err(taken(record)),
        };
        if let Record::Job(job) = record {
            jobs.insert(job.spec.id, restored);
        }
        if restored == Restored::Replaced {
            plan.jobs_gone.extend(gone);
        }
        plan.restored.push(restored);
    }
    Ok(plan)
}

/// Whether the job of a line is not there. In a dry run it may be one that an earlier call would have added.
fn is_ownerless(request: &Restore, present: &Present, job: JobId) -> bool {
    !request.dry_run && !present.owners.contains(&job)
}

impl Restored {
    /// Whether something is written for it.
    pub(super) fn is_written(self) -> bool {
        matches!(self, Restored::Added | Restored::Replaced)
    }
}

/// The tasks that go with the version that was current: those that the new one does not offer.
pub(super) fn tasks_lost<'a>(plugin: &StoredPlugin, tasks: impl Iterator<Item = &'a Task>) -> Vec<TaskId> {
    let is_lost = |task: &&Task| {
        let is_own = task.target.plugin() == Some(&plugin.version.name) && rules::is_offered(task);
        is_own && plugin.version.tasks.iter().all(|offered| offered.name != *task.target.function())
    };
    tasks.filter(is_lost).map(|task| task.id.clone()).collect()
}
