//! Queues, and what a job waits for.

use std::collections::{BTreeSet, HashMap};

use super::{App, AppResult};
use crate::model::{Ability, ExecutorName, Job, JobId, JobState, QueueName, Target, TaskId};
use crate::store::{QueueRow, SchedulerRow, rules};

/// A queue and who serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// With its due and running jobs, counted.
    pub row: QueueRow,
    /// How many live workers serve it.
    pub workers: usize,
}

/// Due jobs that no live worker runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    /// Their queue.
    pub queue: QueueName,
    /// What they need.
    pub needs: Ability,
    /// How many they are.
    pub jobs: u64,
    /// What they wait for, for people.
    pub waits_for: String,
}

impl App {
    /// The queues: those that have due or running jobs, are paused, or are served.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn queue_list(&self) -> AppResult<Vec<QueueState>> {
        let workers = self.workers_alive().await?;
        let mut rows = self.store.queue_list().await?;
        let mut idle: BTreeSet<QueueName> = workers.iter().flat_map(|worker| &worker.queues).cloned().collect();
        idle.retain(|queue| rows.iter().all(|row| row.queue != *queue));
        rows.extend(idle.into_iter().map(QueueRow::idle));
        rows.sort_by(|a, b| a.queue.cmp(&b.queue));
        let count = |row: &QueueRow| workers.iter().filter(|worker| worker.queues.contains(&row.queue)).count();
        Ok(rows.into_iter().map(|row| QueueState { workers: count(&row), row }).collect())
    }

    /// Pauses a queue, so that none of its jobs is started, or lets it go on. Workers learn of it when they look for jobs next, within a
    /// second. Answers whether it was otherwise before.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn queue_pause(&self, queue: &QueueName, pause: bool) -> AppResult<bool> {
        Ok(self.store.queue_pause(queue.clone(), pause).await?)
    }

    /// Due jobs that none of these workers runs, by queue and need.
    pub(super) async fn unserved(&self, workers: &[SchedulerRow]) -> AppResult<Vec<Unserved>> {
        let mut unserved = Vec::new();
        for row in self.store.queue_list().await? {
            for (needs, jobs) in row.waiting {
                if let Some(waits_for) = missing(workers, &row.queue, &needs) {
                    unserved.push(Unserved { queue: row.queue.clone(), needs, jobs, waits_for });
                }
            }
        }
        Ok(unserved)
    }

    /// What those of the jobs wait for that nobody would run at the moment: a worker that can, or that their queue goes on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn jobs_wait_for(&self, jobs: &[Job]) -> AppResult<HashMap<JobId, String>> {
        let mut waits = HashMap::new();
        let now = self.now().await?;
        let due: Vec<&Job> =
            jobs.iter().filter(|job| job.state == JobState::Queued && job.spec.due_at <= now).collect();
        if due.is_empty() {
            return Ok(waits);
        }
        let workers = self.workers_alive().await?;
        let paused = self.store.queues_paused().await?;
        let mut targets: HashMap<TaskId, Option<Target>> = HashMap::new();
        for job in due {
            let (task, settings) = (&job.spec.task_id, &job.spec.settings);
            if paused.contains(&settings.queue) {
                waits.insert(job.spec.id, format!("queue `{}` is paused", settings.queue));
                continue;
            }
            if !targets.contains_key(task) {
                let target = self.store.task_get(task).await?.map(|row| row.task.target);
                targets.insert(task.clone(), target);
            }
            let needs = Ability::needed(targets.get(task).and_then(Option::as_ref), settings.executor.as_ref());
            waits.extend(missing(&workers, &settings.queue, &needs).map(|text| (job.spec.id, text)));
        }
        Ok(waits)
    }
}

/// What is missing for such a job to be run; `None` where somebody can.
fn missing(workers: &[SchedulerRow], queue: &QueueName, needs: &Ability) -> Option<String> {
    if workers.iter().any(|worker| rules::serves(worker, queue, needs)) {
        return None;
    }
    let is_able = workers.iter().any(|worker| rules::can_run(worker, needs));
    let is_plain = workers.is_empty() && *queue == QueueName::default();
    let serving = if is_plain { String::new() } else { format!(" that serves queue `{queue}`") };
    if workers.is_empty() || *needs == Ability::Any || is_able {
        return Some(format!("waiting for a worker{serving}"));
    }
    Some(format!("waiting for a worker with {}", needed(needs)))
}

fn needed(needs: &Ability) -> String {
    let executor = |name: &ExecutorName| format!("executor `{name}`");
    match needs {
        Ability::Any => "any executor".to_owned(),
        Ability::Executor(name) => executor(name),
        Ability::Function(name, function) => format!("{} and native function `{function}`", executor(name)),
    }
}
