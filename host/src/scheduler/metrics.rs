//! What a scheduler counts of its work since it started, for whoever measures it. Counting takes a lock for a moment, once for each attempt
//! that ends and for each schedule that fires.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::{ErrorKind, MemoryLoad, TaskId, Usage};
use crate::store::{Ending, FireSchedule, ReleaseJob};

/// Most tasks that are counted apart; all others are counted together, so that what is measured does not grow with the names that people
/// give.
const TASKS_MAX: usize = 200;

/// Longest spans of the buckets of [`Spans`]; longer ones come into one more.
pub const SPAN_BUCKETS: [Duration; 14] = [
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(300),
    Duration::from_secs(3_600),
];

/// How many spans there were, by their length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans {
    /// How many fell into each of [`SPAN_BUCKETS`] and no earlier one, and last how many were longer.
    pub counts: [u64; SPAN_BUCKETS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Spans {
    fn note(&mut self, span: Duration) {
        let at = SPAN_BUCKETS.partition_point(|bucket| *bucket < span);
        self.counts[at] += 1;
        self.sum = self.sum.saturating_add(span);
    }
}

/// What was counted of the attempts of one task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskMetrics {
    /// Attempts by how they ended: the outcome of the job, `retry` or `requeued`.
    pub ends: BTreeMap<&'static str, u64>,
    /// From the time at which a job was due to the beginning of the attempt.
    pub queued: Spans,
    /// From there to its end.
    pub run: Spans,
    /// Fuel that was used.
    pub fuel: u64,
    /// The most memory that an attempt has had.
    pub peak_memory_bytes: u64,
}

/// What a scheduler has counted since it started, and what it has at the moment.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// By task; `None` are all those that are not counted apart.
    pub tasks: Vec<(Option<TaskId>, TaskMetrics)>,
    /// Attempts that failed, by the kind of error.
    pub errors: BTreeMap<&'static str, u64>,
    /// Fires that were stored, by how late they were.
    pub lateness: Spans,
    /// Jobs that fires have made.
    pub jobs_made: u64,
    /// Attempts that were stopped, or whose end was not stored, because their lease was over.
    pub leases_lost: u64,
    /// Attempts that run.
    pub running: usize,
    /// How many may.
    pub slots: usize,
    /// Their memory, where an executor bounds it.
    pub memory: Option<MemoryLoad>,
}

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    tasks: HashMap<TaskId, TaskMetrics>,
    other_tasks: Option<TaskMetrics>,
    errors: BTreeMap<&'static str, u64>,
    lateness: Spans,
    jobs_made: u64,
    leases_lost: u64,
}

impl Counted {
    fn task(&mut self, id: &TaskId) -> &mut TaskMetrics {
        if self.tasks.len() >= TASKS_MAX && !self.tasks.contains_key(id) {
            return self.other_tasks.get_or_insert_default();
        }
        self.tasks.entry(id.clone()).or_default()
    }
}

impl Metrics {
    fn counted(&self) -> MutexGuard<'_, Counted> {
        // Counters are whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of an attempt is stored.
    pub(super) fn attempt_ended(&self, task: &TaskId, release: &ReleaseJob) {
        let (end, error) = match &release.ending {
            Ending::Finished { outcome, error, .. } => (outcome.as_str(), error.as_ref()),
            Ending::Retry { error, .. } => ("retry", Some(error)),
            Ending::Requeued { .. } => ("requeued", None),
        };
        let mut counted = self.counted();
        if let Some(error) = error {
            *counted.errors.entry(ErrorKind::as_str(error.kind)).or_default() += 1;
        }
        let task = counted.task(task);
        *task.ends.entry(end).or_default() += 1;
        if let Some(Usage { fuel, peak_memory_bytes, queued, wall, .. }) = &release.usage {
            task.queued.note(*queued);
            task.run.note(*wall);
            task.fuel = task.fuel.saturating_add(*fuel);
            task.peak_memory_bytes = task.peak_memory_bytes.max(*peak_memory_bytes);
        }
    }

    /// The lease of an attempt was over before it had ended.
    pub(super) fn leases_lost(&self, count: usize) {
        self.counted().leases_lost += count as u64;
    }

    /// Jobs of a schedule are stored, `made` of those that were planned.
    pub(super) fn fired(&self, part: &FireSchedule, made: usize) {
        let mut counted = self.counted();
        counted.jobs_made += made as u64;
        if let Some(last) = part.jobs.last().and_then(|job| job.scheduled_fire_time) {
            counted.lateness.note(part.at.saturating_since(last));
        }
    }

    /// What was counted, with nothing of what there is at the moment.
    pub(super) fn measured(&self) -> Measured {
        let counted = self.counted();
        let mut tasks: Vec<_> = counted.tasks.iter().map(|(id, task)| (Some(id.clone()), task.clone())).collect();
        tasks.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        tasks.extend(counted.other_tasks.clone().map(|task| (None, task)));
        Measured {
            tasks,
            errors: counted.errors.clone(),
            lateness: counted.lateness.clone(),
            jobs_made: counted.jobs_made,
            leases_lost: counted.leases_lost,
            ..Measured::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_counted_in_the_first_bucket_that_it_fits_into() {
        let mut spans = Spans::default();
        for span in [Duration::ZERO, Duration::from_millis(1), Duration::from_micros(1_001), Duration::from_secs(7_200)]
        {
            spans.note(span);
        }
        assert_eq!((spans.counts[0], spans.counts[1], spans.counts[SPAN_BUCKETS.len()]), (2, 1, 1));
        assert_eq!(spans.counts.iter().sum::<u64>(), 4);
        assert!(SPAN_BUCKETS.is_sorted());
    }

    #[test]
    fn tasks_beyond_the_most_are_counted_together() {
        let mut counted = Counted::default();
        for at in 0..TASKS_MAX + 7 {
            let id = TaskId::new(&format!("task {at}")).expect("valid");
            counted.task(&id).fuel += 1;
            counted.task(&id).fuel += 1;
        }
        assert_eq!(counted.tasks.len(), TASKS_MAX);
        assert!(counted.tasks.values().all(|task| task.fuel == 2));
        assert_eq!(counted.other_tasks.map(|task| task.fuel), Some(14));
    }
}
