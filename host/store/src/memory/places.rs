//! Which due jobs may be claimed: those that pass the gate of their concurrency key and then that of their task.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::gate::{Gate, Passed};
use crate::model::{Ability, JobId, JobSettings, JobSpec, Parallelism, Target, Task, TaskId};
use crate::rules::{self, Order};

/// What matters of a task to its jobs on their way to a worker.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TaskRules {
    /// `None`: there is no such task.
    target: Option<Target>,
    max_running: Option<u32>,
    max_running_per_key: Option<u32>,
}

impl TaskRules {
    pub(super) fn of(task: Option<&Task>) -> TaskRules {
        let settings = task.map(Task::resolved);
        let limit = |limit: Option<Parallelism>| limit.and_then(Parallelism::limit);
        TaskRules {
            target: task.map(|task| task.target.clone()),
            max_running: limit(settings.as_ref().map(|settings| settings.max_running_jobs)),
            max_running_per_key: limit(settings.as_ref().map(|settings| settings.max_running_per_key)),
        }
    }

    /// Which limits there are.
    pub(super) fn is_limited(&self) -> (bool, bool) {
        (self.max_running.is_some(), self.max_running_per_key.is_some())
    }

    fn ready_key(&self, settings: &JobSettings) -> Arc<str> {
        let needed = Ability::needed(self.target.as_ref(), settings.executor.as_ref());
        Arc::from(rules::ready_key(&settings.queue, &needed))
    }
}

/// The gates of a task.
#[derive(Debug, Default)]
struct Gates {
    all: Option<Gate>,
    /// By concurrency key, if those are limited.
    keys: BTreeMap<String, Gate>,
}

#[derive(Debug, Default)]
pub(super) struct Places {
    rules: HashMap<TaskId, TaskRules>,
    gates: HashMap<TaskId, Gates>,
    /// What may be claimed, by what it is claimed by.
    pub(super) ready: BTreeMap<Arc<str>, Ready>,
}

/// What may be claimed by one key.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) jobs: BTreeSet<Order>,
    /// The same jobs by task.
    pub(super) tasks: BTreeMap<TaskId, BTreeSet<Order>>,
}

impl Ready {
    fn insert(&mut self, task: &TaskId, order: Order) {
        self.jobs.insert(order);
        match self.tasks.get_mut(task) {
            Some(jobs) => {
                jobs.insert(order);
            }
            None => {
                self.tasks.insert(task.clone(), BTreeSet::from([order]));
            }
        }
    }

    fn remove(&mut self, task: &TaskId, order: Order) {
        self.jobs.remove(&order);
        if let Some(jobs) = self.tasks.get_mut(task) {
            jobs.remove(&order);
            if jobs.is_empty() {
                self.tasks.remove(task);
            }
        }
    }
}

fn size(max: u32) -> usize {
    usize::try_from(max).unwrap_or(usize::MAX)
}

impl Places {
    pub(super) fn rules(&self, task: &TaskId) -> TaskRules {
        self.rules.get(task).cloned().unwrap_or_else(|| TaskRules::of(None))
    }

    /// The tasks whose rules are no longer those.
    pub(super) fn outdated(&self, tasks: &BTreeMap<TaskId, Task>) -> Vec<(TaskId, TaskRules)> {
        let known = self.rules.iter().map(|(id, rules)| (id, rules, TaskRules::of(tasks.get(id))));
        let mut outdated: Vec<_> =
            known.filter(|(_, old, new)| *old != new).map(|(id, _, new)| (id.clone(), new)).collect();
        let new = tasks.iter().filter(|(id, _)| !self.rules.contains_key(*id));
        outdated.extend(new.map(|(id, task)| (id.clone(), TaskRules::of(Some(task)))));
        outdated
    }

    /// Sets the rules of a task none of whose jobs is noted here at the moment.
    pub(super) fn set_rules(&mut self, task: &TaskId, rules: TaskRules) {
        let all = rules.max_running.map(|max| Gate::new(size(max)));
        self.gates.insert(task.clone(), Gates { all, keys: BTreeMap::new() });
        self.rules.insert(task.clone(), rules);
    }

    pub(super) fn ready_key(&self, spec: &JobSpec) -> Arc<str> {
        self.rules(&spec.task_id).ready_key(&spec.settings)
    }

    /// The gate of the job's key, if it has a limited one.
    fn key_gate(&mut self, spec: &JobSpec) -> Option<&mut Gate> {
        let max = self.rules.get(&spec.task_id)?.max_running_per_key?;
        let key = spec.settings.concurrency_key.as_ref()?;
        let gates = self.gates.entry(spec.task_id.clone()).or_default();
        Some(gates.keys.entry(key.clone()).or_insert_with(|| Gate::new(size(max))))
    }

    /// Notes, or forgets, a due job that waits.
    pub(super) fn wait(&mut self, spec: &JobSpec, key: &Arc<str>, is_there: bool) {
        let due = (rules::order(spec), Arc::clone(key));
        let passed = match (self.key_gate(spec), is_there) {
            (Some(gate), true) => gate.insert(due),
            (Some(gate), false) => gate.remove(&due),
            (None, true) => vec![Passed::In(due)],
            (None, false) => vec![Passed::Out(due)],
        };
        self.pass(&spec.task_id, passed);
        self.forget_idle(spec);
    }

    /// Notes, or forgets, a job that runs.
    pub(super) fn run(&mut self, spec: &JobSpec, is_there: bool) {
        let passed = self.key_gate(spec).map(|gate| gate.run(is_there)).unwrap_or_default();
        self.pass(&spec.task_id, passed);
        let gate = self.gates.get_mut(&spec.task_id).and_then(|gates| gates.all.as_mut());
        let passed = gate.map(|gate| gate.run(is_there)).unwrap_or_default();
        self.show(&spec.task_id, passed);
        self.forget_idle(spec);
    }

    /// Shows, or hides, a job that is parked: a worker may come upon it although it has passed no gate.
    pub(super) fn park(&mut self, spec: &JobSpec, key: &Arc<str>, is_there: bool) {
        let due = (rules::order(spec), Arc::clone(key));
        self.show(&spec.task_id, vec![if is_there { Passed::In(due) } else { Passed::Out(due) }]);
    }

    /// The jobs that have passed a gate and do not run, of those that are claimed by these keys.
    pub(super) fn idle(&self, keys: &BTreeSet<Arc<str>>) -> BTreeSet<JobId> {
        let gates = self.gates.values().flat_map(|gates| gates.all.iter().chain(gates.keys.values()));
        let idle = gates.flat_map(Gate::inside).filter(|(_, key)| keys.contains(key));
        idle.map(|((_, id), _)| *id).collect()
    }

    /// Whether the job may start, whatever waits before it.
    pub(super) fn has_room(&mut self, spec: &JobSpec) -> bool {
        let all = self.gates.get(&spec.task_id).and_then(|gates| gates.all.as_ref());
        all.is_none_or(Gate::has_room) && self.key_gate(spec).is_none_or(|gate| gate.has_room())
    }

    /// Passes on to the gate of the task what the gate of a key has let through.
    fn pass(&mut self, task: &TaskId, passed: Vec<Passed>) {
        let passed = match self.gates.get_mut(task).and_then(|gates| gates.all.as_mut()) {
            None => passed,
            Some(gate) => {
                let through = |passed| match passed {
                    Passed::In(due) => gate.insert(due),
                    Passed::Out(due) => gate.remove(&due),
                };
                passed.into_iter().flat_map(through).collect()
            }
        };
        self.show(task, passed);
    }

    fn show(&mut self, task: &TaskId, passed: Vec<Passed>) {
        for passed in passed {
            match passed {
                Passed::In((order, key)) => {
                    self.ready.entry(key).or_default().insert(task, order);
                }
                Passed::Out((order, key)) => {
                    if let Some(ready) = self.ready.get_mut(&key) {
                        ready.remove(task, order);
                        if ready.jobs.is_empty() {
                            self.ready.remove(&key);
                        }
                    }
                }
            }
        }
    }

    fn forget_idle(&mut self, spec: &JobSpec) {
        if let Some(key) = &spec.settings.concurrency_key
            && let Some(gates) = self.gates.get_mut(&spec.task_id)
            && gates.keys.get(key).is_some_and(Gate::is_idle)
        {
            gates.keys.remove(key);
        }
    }
}
