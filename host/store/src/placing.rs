//! What becomes of records that are restored, given what is in their places: decided here for every store alike.

use std::collections::{HashMap, HashSet};

use super::record::taken;
use super::{Record, Restore, Restored, StoreError, StoredPlugin, rules};
use crate::model::{
    ConflictPolicy, Digest, Job, JobId, LogLine, PluginName, PluginVersion, Schedule, ScheduleId, Task, TaskId,
    Timestamp,
};

/// A version of a plugin in a store; `None` where it cannot be read. And whether it is current.
pub(super) type Version = (Option<PluginVersion>, bool);

/// The key of a log line.
pub(super) type LineKey = (JobId, u32, u32);

/// What a store holds in the places of some records. What is there but cannot be read is `None`.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// All versions of the plugins that the records name.
    pub(super) versions: HashMap<(PluginName, Digest), Version>,
    pub(super) tasks: HashMap<TaskId, Option<Task>>,
    pub(super) jobs: HashMap<JobId, Option<Job>>,
    /// The jobs of the fires that the records name.
    pub(super) fires: HashMap<(ScheduleId, Timestamp), JobId>,
    /// Those of the jobs named by log lines that are there.
    pub(super) owners: HashSet<JobId>,
    pub(super) lines: HashMap<LineKey, Option<LogLine>>,
    pub(super) schedules: HashMap<ScheduleId, Option<Schedule>>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// For each record.
    pub(super) restored: Vec<Restored>,
    /// Jobs that go, with their log lines, before others come.
    pub(super) jobs_gone: Vec<JobId>,
}

/// What is in the place of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Empty,
    Same,
    Other,
}

fn compare<T: PartialEq>(there: Option<&Option<T>>, new: &T) -> Place {
    match there {
        None => Place::Empty,
        Some(Some(old)) if old == new => Place::Same,
        Some(_) => Place::Other,
    }
}

impl Present {
    fn current(&self, name: &PluginName) -> Option<&Version> {
        self.versions.iter().find(|((owner, _), (_, is_current))| owner == name && *is_current).map(|(_, found)| found)
    }

    fn plugin(&self, new: &StoredPlugin) -> Place {
        match self.versions.get(&(new.version.name.clone(), new.version.digest)) {
            None if new.is_current && self.current(&new.version.name).is_some() => Place::Other,
            None => Place::Empty,
            Some((Some(old), is_current)) if *old == new.version && *is_current == new.is_current => Place::Same,
            Some(_) => Place::Other,
        }
    }

    fn task(&self, new: &Task, conflict: ConflictPolicy) -> Place {
        let place = compare(self.tasks.get(&new.id), new);
        // Where the plugin's own version stays, a task that it does not offer would run nothing.
        let is_stranded = || {
            let current =
                new.target.plugin().filter(|_| rules::is_offered(new)).and_then(|plugin| self.current(plugin));
            let offers = |version: &PluginVersion| version.tasks.iter().any(|task| task.name == *new.target.function());
            current.is_some_and(|(version, _)| !version.as_ref().is_some_and(offers))
        };
        if place == Place::Empty && conflict == ConflictPolicy::Skip && is_stranded() { Place::Other } else { place }
    }

    /// The place of a job, and what goes if it is replaced.
    fn job(&self, new: &Job) -> (Place, Vec<JobId>) {
        let id = new.spec.id;
        let fire = new.spec.schedule_id.clone().zip(new.spec.scheduled_fire_time);
        let rival = fire.and_then(|fire| self.fires.get(&fire)).copied().filter(|rival| *rival != id);
        let place = compare(self.jobs.get(&id), new);
        let gone = self.jobs.get(&id).map(|_| id).into_iter().chain(rival).collect();
        (if rival.is_some() { Place::Other } else { place }, gone)
    }
}

/// Decides what becomes of each record.
///
/// # Errors
/// `Conflict` where something else is in the place of one, under [`ConflictPolicy::Error`].
pub(super) fn plan(request: &Restore, present: &Present) -> Result<Plan, StoreError> {
    let mut plan = Plan::default();
    // What this call does to jobs whose lines come after them.
    let mut jobs: HashMap<JobId, Restored> = HashMap::new();
    for record in &request.records {
        let mut gone = Vec::new();
        let place = match record {
            Record::Plugin(plugin) => present.plugin(plugin),
            Record::Task(task) => present.task(task, request.conflict),
            Record::Schedule(schedule) => compare(present.schedules.get(&schedule.id), schedule),
            Record::Job(job) => {
                let (place, rivals) = present.job(job);
                gone = rivals;
                place
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
        let restored = match (place, request.conflict) {
            (Place::Empty, _) => Restored::Added,
            (Place::Same, _) => Restored::Unchanged,
            (Place::Other, ConflictPolicy::Skip) => Restored::Kept,
            (Place::Other, ConflictPolicy::Replace) => Restored::Replaced,
            (Place::Other, ConflictPolicy::Error) => return Err(taken(record)),
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
