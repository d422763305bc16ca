//! Jobs in memory: the map, and the indexes that make acquiring cheap.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::places::Places;
use crate::model::{
    CancelRequest, Digest, FireKey, Job, JobId, JobSpec, JobState, LeaseToken, LogLine, Outcome, ScheduleId, Task,
    TaskId, Timestamp,
};
use crate::overlap::Unfinished;
use crate::{Cancelled, LogPage, rules};

/// A job and what belongs to it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) job: Job,
    /// Whether it is queued and was found due: what has not been found due yet waits in [`Jobs::waiting`].
    is_due: bool,
    /// Whether it is due and parked, since nobody runs it: it keeps no others from starting.
    pub(super) is_parked: bool,
    /// What it is claimed by.
    pub(super) ready_key: Arc<str>,
    /// Nobody takes it earlier, although it is due.
    not_before: Option<Timestamp>,
    pub(super) logs: BTreeMap<(u32, u32), LogLine>,
}

impl Entry {
    /// Whether it is queued and was found due.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_due && self.job.state == JobState::Queued
    }

    /// When a queued job may start.
    fn run_at(&self) -> Timestamp {
        let due_at = self.job.spec.due_at;
        self.not_before.map_or(due_at, |not_before| not_before.max(due_at))
    }

    fn is_due_at(&self, now: Timestamp) -> bool {
        self.job.state == JobState::Queued && self.run_at() <= now
    }
}

#[derive(Debug, Default)]
pub(super) struct Jobs {
    pub(super) rows: BTreeMap<JobId, Entry>,
    /// Queued and due, or running.
    pub(super) places: Places,
    /// How many are queued and due, by what they are claimed by.
    pub(super) due: BTreeMap<Arc<str>, u64>,
    /// Queued and not yet due.
    pub(super) waiting: BTreeSet<(Timestamp, JobId)>,
    /// Queued, not begun, with a start deadline.
    pub(super) deadlines: BTreeSet<(Timestamp, JobId)>,
    /// Running, by task.
    pub(super) running: BTreeMap<TaskId, BTreeSet<JobId>>,
    /// Running, by the token of the lease.
    leases: HashMap<LeaseToken, BTreeSet<JobId>>,
    /// Finished, by when they may go.
    expiring: BTreeSet<(Timestamp, JobId)>,
    /// The jobs that were made for fires.
    fires: HashMap<FireKey, JobId>,
    /// The jobs that have a unique key, by their task and that.
    unique: HashMap<(TaskId, String), JobId>,
    of_schedule: BTreeMap<ScheduleId, BTreeSet<JobId>>,
    /// Those of them that have not ended.
    unfinished: BTreeMap<ScheduleId, BTreeSet<JobId>>,
}

/// Adds to or takes from a set that exists only while it has members.
fn set<K: Ord + Clone, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: V, present: bool) {
    if present {
        map.entry(key.clone()).or_default().insert(value);
    } else if let Some(members) = map.get_mut(key) {
        members.remove(&value);
        if members.is_empty() {
            map.remove(key);
        }
    }
}

impl Jobs {
    /// Queues a job, unless its id, its fire or its unique key is known; then it answers `false`.
    pub(super) fn add(&mut self, spec: JobSpec) -> bool {
        if self.rows.contains_key(&spec.id)
            || spec.fire().is_some_and(|fire| self.fires.contains_key(&fire))
            || place_of(&spec).is_some_and(|place| self.unique.contains_key(&place))
        {
            return false;
        }
        let is_due = spec.due_at <= spec.created_at;
        self.unique.extend(place_of(&spec).map(|place| (place, spec.id)));
        self.insert(Job::queued(spec), is_due);
        true
    }

    /// Queues a job, unless another one has its unique key at that time, and answers the one that has it.
    pub(super) fn add_unique(&mut self, spec: JobSpec, now: Timestamp) -> JobId {
        let (id, place) = (spec.id, place_of(&spec));
        let has = |id: &JobId| {
            let unique = self.get(*id).and_then(|job| job.spec.settings.unique_key.as_ref());
            unique.is_some_and(|unique| unique.holds_at(now))
        };
        if let Some(place) = &place
            && !self.unique.get(place).is_some_and(has)
        {
            self.unique.remove(place);
        }
        self.add(spec);
        place.and_then(|place| self.unique.get(&place)).copied().unwrap_or(id)
    }

    /// The job that has a unique key.
    pub(super) fn of_key(&self, task: &TaskId, key: &str) -> Option<JobId> {
        self.unique.get(&(task.clone(), key.to_owned())).copied()
    }

    /// Stores a job whose id and fire are free, in whatever state it is.
    pub(super) fn restore(&mut self, job: Job, now: Timestamp) {
        let is_due = job.state == JobState::Queued && job.spec.due_at <= now;
        // A key whose time is over may be another job's.
        if job.spec.settings.unique_key.as_ref().is_some_and(|unique| unique.holds_at(now)) {
            self.unique.extend(place_of(&job.spec).map(|place| (place, job.spec.id)));
        }
        self.insert(job, is_due);
    }

    fn insert(&mut self, job: Job, is_due: bool) {
        let (id, spec) = (job.spec.id, &job.spec);
        self.fires.extend(spec.fire().map(|fire| (fire, id)));
        if let Some(schedule) = &spec.schedule_id {
            set(&mut self.of_schedule, schedule, id, true);
            set(&mut self.unfinished, schedule, id, job.state != JobState::Finished);
        }
        let ready_key = self.places.ready_key(&job.spec);
        let entry = Entry { job, is_due, is_parked: false, ready_key, not_before: None, logs: BTreeMap::new() };
        self.index(&entry, true);
        self.rows.insert(id, entry);
    }

    /// Removes a job with its log lines.
    pub(super) fn remove(&mut self, id: JobId) {
        let Some(entry) = self.rows.remove(&id) else { return };
        self.index(&entry, false);
        let spec = entry.job.spec;
        if let Some(schedule) = &spec.schedule_id {
            set(&mut self.of_schedule, schedule, id, false);
            set(&mut self.unfinished, schedule, id, false);
        }
        if let Some(fire) = spec.fire() {
            self.fires.remove(&fire);
        }
        if let Some(place) = place_of(&spec)
            && self.unique.get(&place) == Some(&id)
        {
            self.unique.remove(&place);
        }
    }

    /// The job that was made for a fire.
    pub(super) fn of_fire(&self, fire: &FireKey) -> Option<JobId> {
        self.fires.get(fire).copied()
    }

    /// Changes a job and keeps the indexes. `now` decides whether a job that is queued afterwards is due.
    pub(super) fn change<R>(&mut self, id: JobId, now: Timestamp, change: impl FnOnce(&mut Job) -> R) -> Option<R> {
        let mut entry = self.rows.remove(&id)?;
        self.index(&entry, false);
        let was_finished = entry.job.state == JobState::Finished;
        let changed = change(&mut entry.job);
        let is_finished = entry.job.state == JobState::Finished;
        if let Some(schedule) = entry.job.spec.schedule_id.as_ref().filter(|_| is_finished != was_finished) {
            set(&mut self.unfinished, schedule, id, !is_finished);
        }
        (entry.not_before, entry.is_parked) = (None, false);
        entry.is_due = entry.is_due_at(now);
        self.index(&entry, true);
        self.rows.insert(id, entry);
        Some(changed)
    }

    /// Has a queued job wait until `not_before`, although it is due.
    pub(super) fn put_off(&mut self, id: JobId, now: Timestamp, not_before: Timestamp) {
        let Some(mut entry) = self.rows.remove(&id) else { return };
        self.index(&entry, false);
        (entry.not_before, entry.is_parked) = (Some(not_before), false);
        entry.is_due = entry.is_due_at(now);
        self.index(&entry, true);
        self.rows.insert(id, entry);
    }

    /// Has a due job keep no others from starting, or lets it wait for its turn again.
    pub(super) fn park(&mut self, id: JobId, is_parked: bool) {
        let Some(mut entry) = self.rows.remove(&id) else { return };
        self.index(&entry, false);
        entry.is_parked = is_parked;
        self.index(&entry, true);
        self.rows.insert(id, entry);
    }

    /// Lets queued jobs that have become due wait for their turn, earliest first.
    pub(super) fn wake(&mut self, now: Timestamp) {
        for _ in 0..rules::WOKEN_MAX {
            match self.waiting.first() {
                Some(&(run_at, id)) if run_at <= now => self.change(id, now, |_| ()),
                _ => return,
            };
        }
    }

    /// The same for one job.
    pub(super) fn wake_one(&mut self, id: JobId, now: Timestamp) {
        if self.rows.get(&id).is_some_and(|entry| !entry.is_due && entry.is_due_at(now)) {
            self.change(id, now, |_| ());
        }
    }

    /// Takes over the rules of tasks that have changed, come or gone.
    pub(super) fn follow(&mut self, tasks: &BTreeMap<TaskId, Task>) {
        for (task, rules) in self.places.outdated(tasks) {
            let of_task = self.rows.iter().filter(|(_, entry)| entry.job.spec.task_id == task);
            let ids: Vec<JobId> = of_task.map(|(id, _)| *id).collect();
            let entries: Vec<Entry> = ids.iter().filter_map(|id| self.rows.remove(id)).collect();
            entries.iter().for_each(|entry| self.index(entry, false));
            let stays_parked = self.places.rules(&task).is_limited() == rules.is_limited();
            self.places.set_rules(&task, rules);
            for mut entry in entries {
                entry.ready_key = self.places.ready_key(&entry.job.spec);
                entry.is_parked &= stays_parked;
                self.index(&entry, true);
                self.rows.insert(entry.job.spec.id, entry);
            }
        }
    }

    /// Adds or takes away the entries of one job in every index.
    fn index(&mut self, entry: &Entry, present: bool) {
        let (job, id) = (&entry.job, entry.job.spec.id);
        let task = &job.spec.task_id;
        if job.state == JobState::Queued && entry.is_due {
            if entry.is_parked {
                self.places.park(&job.spec, &entry.ready_key, present);
            } else {
                self.places.wait(&job.spec, &entry.ready_key, present);
            }
            let due = self.due.entry(Arc::clone(&entry.ready_key)).or_default();
            *due = if present { *due + 1 } else { due.saturating_sub(1) };
            if *due == 0 {
                self.due.remove(&entry.ready_key);
            }
        }
        if job.state == JobState::Queued && !entry.is_due {
            member(&mut self.waiting, (entry.run_at(), id), present);
        }
        if let Some(deadline) = job.spec.start_deadline.filter(|_| job.state == JobState::Queued && job.attempt == 0) {
            member(&mut self.deadlines, (deadline, id), present);
        }
        if job.state == JobState::Running {
            set(&mut self.running, task, id, present);
            self.places.run(&job.spec, present);
        }
        if let Some(lease) = &job.lease {
            let held = self.leases.entry(lease.token).or_default();
            if present {
                held.insert(id);
            } else {
                held.remove(&id);
            }
            if held.is_empty() {
                self.leases.remove(&lease.token);
            }
        }
        if let Some(at) = job.expires_at {
            member(&mut self.expiring, (at, id), present);
        }
    }

    pub(super) fn get(&self, id: JobId) -> Option<&Job> {
        self.rows.get(&id).map(|entry| &entry.job)
    }

    /// The jobs under one lease.
    pub(super) fn leased(&self, token: LeaseToken) -> Vec<Job> {
        let ids = self.leases.get(&token).into_iter().flatten();
        ids.filter_map(|id| self.get(*id).cloned()).collect()
    }

    /// Writes down which version of its plugin a job has begun with, where nobody has yet. No index has that.
    pub(super) fn settle_version(&mut self, id: JobId, version: Digest) {
        if let Some(entry) = self.rows.get_mut(&id) {
            entry.job.plugin_digest.get_or_insert(version);
        }
    }

    /// How many jobs of the task are running.
    pub(super) fn running_of(&self, task: &TaskId) -> usize {
        self.running.get(task).map_or(0, BTreeSet::len)
    }

    pub(super) fn running_all(&self) -> usize {
        self.running.values().map(BTreeSet::len).sum()
    }

    pub(super) fn queued_all(&self) -> u64 {
        self.waiting.len() as u64 + self.due.values().sum::<u64>()
    }

    pub(super) fn has_schedule(&self, id: &ScheduleId) -> bool {
        self.of_schedule.contains_key(id)
    }

    /// The jobs of a schedule that have not ended, the youngest first.
    pub(super) fn unfinished(&self, schedule: &ScheduleId) -> impl Iterator<Item = Unfinished> {
        let jobs = self.unfinished.get(schedule).into_iter().flatten().rev().filter_map(|id| self.get(*id));
        jobs.map(|job| Unfinished { id: job.spec.id, is_running: job.state == JobState::Running })
    }

    /// Cancels a job that waits, or asks one that runs to stop.
    pub(super) fn cancel(&mut self, id: JobId, request: CancelRequest, now: Timestamp) -> Option<Cancelled> {
        self.change(id, now, |job| match job.state {
            JobState::Queued => {
                end(job, Outcome::Cancelled, now);
                Cancelled::Ended
            }
            JobState::Running => {
                job.cancel_requested = Some(request.after(job.cancel_requested));
                Cancelled::Asked
            }
            JobState::Finished => Cancelled::AlreadyFinished,
        })
    }

    /// Keeps log lines that are not known yet.
    pub(super) fn log(&mut self, id: JobId, lines: Vec<LogLine>) {
        if let Some(entry) = self.rows.get_mut(&id) {
            for line in lines {
                entry.logs.entry((line.attempt, line.sequence)).or_insert(line);
            }
        }
    }

    pub(super) fn logs(&self, id: JobId, after: Option<(u32, u32)>, limit: usize) -> LogPage {
        let after = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let lines = self.rows.get(&id).map(|entry| entry.logs.range((after, std::ops::Bound::Unbounded)));
        let lines: Vec<LogLine> = lines.into_iter().flatten().take(limit).map(|(_, line)| line.clone()).collect();
        LogPage { last: lines.last().map(|line| (line.attempt, line.sequence)), lines, unreadable: Vec::new() }
    }

    /// Removes up to `limit` finished jobs whose time is over, as far as the bound on log lines goes, and says whether there are more.
    pub(super) fn cleanup(&mut self, now: Timestamp, limit: usize) -> (Vec<JobId>, bool) {
        let over = self.expiring.iter().take_while(|(at, _)| *at <= now).take(limit).map(|(_, id)| *id);
        let mut over: Vec<JobId> = over.collect();
        over.sort_unstable();
        let has_more = over.len() == limit;
        let (mut removed, mut lines_left) = (Vec::new(), rules::LOG_LINES_REMOVED_MAX);
        for id in over {
            let Some(entry) = self.rows.get_mut(&id) else { continue };
            if entry.logs.len() >= lines_left {
                // The rest comes with the next call.
                for _ in 0..lines_left {
                    entry.logs.pop_first();
                }
                return (removed, true);
            }
            lines_left -= entry.logs.len();
            self.remove(id);
            removed.push(id);
        }
        (removed, has_more)
    }
}

/// The task and the unique key of a job.
fn place_of(spec: &JobSpec) -> Option<(TaskId, String)> {
    spec.settings.unique_key.as_ref().map(|unique| (spec.task_id.clone(), unique.key.clone()))
}

fn member(set: &mut BTreeSet<(Timestamp, JobId)>, value: (Timestamp, JobId), present: bool) {
    if present {
        set.insert(value);
    } else {
        set.remove(&value);
    }
}

/// Ends a job inside the store.
pub(super) fn end(job: &mut Job, outcome: Outcome, now: Timestamp) {
    job.state = JobState::Finished;
    job.lease = None;
    job.outcome = Some(outcome);
    job.finished_at = Some(now);
    job.expires_at = Some(rules::expiry(now, job.spec.settings.result_ttl));
}

/// Puts a job back into the queue.
pub(super) fn requeue(job: &mut Job, due_at: Timestamp) {
    job.state = JobState::Queued;
    job.lease = None;
    job.spec.due_at = due_at;
}
