//! Places: how many jobs of a task, and of one concurrency key of a task, may run at once.
//!
//! A limit is a group with a number of places. A due job of a limited task needs a place of its key's group, if it has a key, and
//! then one of its task's group. With all of its places it is ready: it stands in the index that workers claim from. Without, it
//! waits in the order of the group whose place it lacks, where no claim looks. A place is held while the job is ready and while it
//! runs, so a claim counts nothing and locks no group; whoever ends, returns or takes back a job, or adds one, settles its groups
//! in the same transaction, and then the first that wait get what has become free.
//!
//! So the ready jobs of a group are always its first ones in order: a job that arrives before one that is ready, and not yet
//! claimed, takes its place.
//!
//! A job that has a place and that no live worker would claim (it is [unserved](rules::is_unserved)) would keep others of its task from
//! starting. Such jobs are parked every few seconds: they give their places back, stay in the index, and wait for places again as
//! soon as a worker comes upon them there.
//!
//! `ready_key` alone says that a job may be claimed, and by whom. A version that adds a state in which jobs must not be claimed leaves it
//! null in that state; older versions that run on the same store then let those jobs be.
//!
//! # Locks
//!
//! Jobs first, by id, then groups, by task and key, and last jobs that wait or are ready, without waiting for those that somebody
//! else has locked. Where one of those is next in line it is waited for; should that be a collision, with a change of the task's limits
//! or with whoever ends that very job, the transaction runs again.

mod follow;
mod order;
mod parked;

use std::collections::{BTreeMap, HashMap, HashSet};

pub(super) use self::follow::{enter, follow, forget_idle, mend};
pub(super) use self::order::overtake;
use self::order::{Stage, exchange, fill};
pub(super) use self::parked::{park, unpark};
use crate::model::{Ability, JobId, JobSettings, PluginName, Target, TaskId, TaskName};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::statements::query::q;
use crate::sql::statements::value::{Row, Value, list, values};
use crate::{Defect, rules};

/// What matters of a task to its jobs on their way to a worker.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TaskRules {
    /// `None`: there is no such task.
    pub(super) target: Option<Target>,
    pub(super) max_running: Option<i64>,
    pub(super) max_running_per_key: Option<i64>,
}

impl TaskRules {
    pub(super) fn claim_key(&self, settings: &JobSettings) -> String {
        rules::ready_key(&settings.queue, &Ability::needed(self.target.as_ref(), settings.executor.as_ref()))
    }

    /// Where a job begins that becomes due.
    pub(super) fn entry(&self, key: Option<&str>) -> Places {
        if key.is_some() && self.max_running_per_key.is_some() {
            return Places { key: Some(false), ..Places::default() };
        }
        Places { task: self.max_running.map(|_| false), ..Places::default() }
    }

    /// What a job has that runs.
    pub(super) fn running(&self, key: Option<&str>) -> Places {
        let key = key.and(self.max_running_per_key).map(|_| true);
        Places { key, task: self.max_running.map(|_| true), is_parked: false }
    }
}

/// Reads the rules of tasks, and keeps them from changing until the transaction ends. Tasks that are not there are not in the answer.
pub(super) async fn task_rules(tx: &mut Tx, tasks: Vec<&TaskId>) -> Result<HashMap<TaskId, TaskRules>, Fault> {
    let tasks: HashSet<&TaskId> = tasks.into_iter().collect();
    let mut found = HashMap::new();
    if tasks.is_empty() {
        return Ok(found);
    }
    for mut row in tx.fetch(q::task_rules, vec![list(tasks)]).await? {
        let id = row.task_id()?;
        let (plugin, function) = (row.maybe_text()?, row.text()?);
        let plugin = plugin.map(|plugin| PluginName::new(&plugin)).transpose();
        // Of a target that cannot be read nothing is known, as if the task were not there.
        let target = match (plugin, TaskName::new(&function)) {
            (Ok(Some(plugin)), Ok(function)) => Some(Target::Plugin { plugin, function }),
            (Ok(None), Ok(function)) => Some(Target::Native { function }),
            _ => None,
        };
        let rules = TaskRules { target, max_running: row.maybe_int()?, max_running_per_key: row.maybe_int()? };
        found.insert(id, rules);
    }
    Ok(found)
}

/// The places of a job: `None` where it needs none (yet), else whether it has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) key: Option<bool>,
    pub(super) task: Option<bool>,
    /// Whether it is parked: it needs a place that it does not have, and may be found by a worker all the same.
    pub(super) is_parked: bool,
}

/// What stands in `key_place` or `task_place` of a job that is parked.
const PARKED: i64 = 2;

impl Places {
    /// From the columns `key_place` and `task_place`.
    pub(super) fn read(row: &mut Row) -> Result<Places, Defect> {
        let (key, task) = (row.maybe_int()?, row.maybe_int()?);
        let is_parked = key == Some(PARKED) || task == Some(PARKED);
        Ok(Places { key: key.map(|place| place == 1), task: task.map(|place| place == 1), is_parked })
    }

    /// Whether the job may be claimed, provided it is due and queued.
    pub(super) fn are_had(self) -> bool {
        self.key != Some(false) && self.task != Some(false)
    }

    /// Those of a job that is queued again and due: it waits like one that has just become due.
    pub(super) fn again(self) -> Places {
        match self.key {
            Some(_) => Places { key: Some(false), ..Places::default() },
            None => Places { task: self.task.map(|_| false), ..Places::default() },
        }
    }

    /// The row of `job_place`.
    fn row(self, id: JobId) -> Vec<Value> {
        let place = |has: bool| if self.is_parked && !has { PARKED } else { i64::from(has) };
        values![id, self.key.map(place), self.task.map(place), self.are_had() || self.is_parked]
    }
}

/// A task and a concurrency key of its jobs; the empty key stands for the task as a whole.
type Group = (String, String);

/// What a transaction has done to a group.
#[derive(Debug, Default)]
struct Change {
    /// Places that jobs have given back.
    freed: i64,
    /// How many may run, where a job has entered; the group is made if it is not there.
    limit: Option<i64>,
}

/// The groups that a transaction has to settle.
#[derive(Debug, Default)]
pub(super) struct Touched {
    groups: BTreeMap<Group, Change>,
    /// Whether jobs have entered, which may come before those that are ready.
    has_entered: bool,
}

impl Touched {
    fn change(&mut self, task: &TaskId, key: &str) -> &mut Change {
        self.groups.entry((task.to_string(), key.to_owned())).or_default()
    }

    /// Whether there is nothing to settle.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// A job is where it was no longer: it has given back what it had.
    pub(super) fn left(&mut self, task: &TaskId, key: Option<&str>, places: Places) {
        if let (Some(has_place), Some(key)) = (places.key, key) {
            self.change(task, key).freed += i64::from(has_place);
        }
        // Who leaves a key lets others go on to the task.
        if places.key.is_some() || places.task.is_some() {
            self.change(task, "").freed += i64::from(places.task == Some(true));
        }
    }

    /// A job has become due, at the entry that these rules name.
    pub(super) fn entered(&mut self, task: &TaskId, key: Option<&str>, rules: &TaskRules) {
        if let (Some(limit), Some(key)) = (rules.max_running_per_key, key) {
            self.change(task, key).limit = Some(limit);
            self.has_entered = true;
        }
        if let Some(limit) = rules.max_running {
            self.change(task, "").limit = Some(limit);
            self.has_entered = true;
        }
    }

    /// A job has these places although nobody gave them to it.
    pub(super) fn took(&mut self, task: &TaskId, key: Option<&str>, places: Places) {
        if let (Some(true), Some(key)) = (places.key, key) {
            self.change(task, key).freed -= 1;
        }
        if places.task == Some(true) {
            self.change(task, "").freed -= 1;
        }
    }

    /// A job waits again at the beginning, as one that has just become due.
    pub(super) fn returned(&mut self, task: &TaskId, key: Option<&str>, before: Places) {
        self.left(task, key, before);
        self.has_entered |= before != Places::default();
    }

    /// All groups of a task are to be looked at.
    fn all(task: &TaskId, keys: impl IntoIterator<Item = String>) -> Touched {
        let mut touched = Touched { has_entered: true, ..Touched::default() };
        for key in keys {
            touched.change(task, &key);
        }
        touched.change(task, "");
        touched
    }
}

/// A group under lock.
#[derive(Debug)]
struct Room {
    max: i64,
    taken: i64,
    stored: i64,
}

impl Room {
    fn free(&self) -> i64 {
        self.max.saturating_sub(self.taken).max(0)
    }
}

type Rooms = BTreeMap<Group, Room>;

/// Locks those of the groups that are there, in order.
async fn lock(tx: &mut Tx, groups: Vec<&Group>) -> Result<Rooms, Fault> {
    let rows = groups.into_iter().map(|(task, key)| values![task.as_str(), key.as_str()]).collect();
    let mut rooms = Rooms::new();
    for mut row in tx.fetch_rows(q::group_lock, rows).await? {
        let group = (row.text()?, row.text()?);
        let (max, taken) = (row.int()?, row.int()?);
        rooms.insert(group, Room { max, taken, stored: taken });
    }
    Ok(rooms)
}

/// Gives places that are free to the first who wait. Every change of jobs that have or need places ends with this.
pub(super) async fn settle(tx: &mut Tx, touched: Touched) -> Result<(), Fault> {
    let Touched { groups, has_entered } = touched;
    if groups.is_empty() {
        return Ok(());
    }
    let mut rooms = lock(tx, groups.keys().collect()).await?;
    let new = groups.iter().filter(|(group, _)| !rooms.contains_key(*group));
    let new: Vec<_> = new
        .filter_map(|((task, key), change)| Some(values![task.as_str(), key.as_str(), change.limit?, 0_i64]))
        .collect();
    if !new.is_empty() {
        tx.execute_rows(q::group_insert, new).await?;
        rooms = lock(tx, groups.keys().collect()).await?;
    }
    for (group, change) in &groups {
        match rooms.get_mut(group) {
            Some(room) => room.taken -= change.freed,
            // Cleaned up between the two statements.
            None if change.limit.is_some() => return Err(Fault::Again),
            None => {}
        }
    }
    let of_keys: Vec<Group> = rooms.keys().filter(|(_, key)| !key.is_empty()).cloned().collect();
    let of_tasks: Vec<Group> = rooms.keys().filter(|(_, key)| key.is_empty()).cloned().collect();
    let has_passed = fill(tx, Stage::Key, &of_keys, &mut rooms).await?;
    if has_entered {
        exchange(tx, Stage::Key, &of_keys, &mut rooms).await?;
    }
    fill(tx, Stage::Task, &of_tasks, &mut rooms).await?;
    if has_entered || has_passed {
        exchange(tx, Stage::Task, &of_tasks, &mut rooms).await?;
    }
    store(tx, &rooms).await
}

async fn store(tx: &mut Tx, rooms: &Rooms) -> Result<(), Fault> {
    let changed = rooms.iter().filter(|(_, room)| room.taken != room.stored);
    let rows = changed.map(|((task, key), room)| values![task.as_str(), key.as_str(), room.taken]).collect();
    tx.execute_rows(q::group_update, rows).await.map(|_| ())
}

/// A row of `job_place`, for the test of plans.
#[cfg(any(test, feature = "test-util"))]
pub(super) fn example_row(id: JobId) -> Vec<Value> {
    Places { task: Some(true), ..Places::default() }.row(id)
}
