//! Tasks that others keep from starting.
//!
//! Jobs start by priority and age, so a task whose jobs fill the slots, or stand in a long line, would keep every other one from starting.
//! While that may be so, a worker asks now and then for one job of each task that has had less than its share here, and starts it beside
//! the others, in a spare slot where no other is free: the processors are shared between tasks, and memory is bounded, whatever the number
//! of attempts.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Instant;
use crate::model::TaskId;

/// Pause after a check that has found jobs, or when there are new ones.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Longest pause between two checks while the slots are taken.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What the tasks have had here, and when to check for those that have had too little.
#[derive(Debug)]
pub(super) struct Shares {
    spare: Arc<Semaphore>,
    running: Arc<Mutex<HashMap<TaskId, usize>>>,
    /// How many jobs have started since the last check.
    started: HashMap<TaskId, usize>,
    looked_at: Instant,
    pause: Duration,
    /// No check before this, whatever the pause.
    not_before: Instant,
}

/// A running attempt, counted for its task.
#[derive(Debug)]
pub(super) struct Share {
    running: Arc<Mutex<HashMap<TaskId, usize>>>,
    task: TaskId,
}

impl Shares {
    pub(super) fn new(spare_slots: usize, now: Instant) -> Shares {
        Shares {
            spare: Arc::new(Semaphore::new(spare_slots)),
            running: Arc::default(),
            started: HashMap::new(),
            looked_at: now,
            pause: PAUSE_MIN,
            not_before: now,
        }
    }

    pub(super) fn spare_slots(&self) -> usize {
        self.spare.available_permits()
    }

    pub(super) async fn spare_slot_is_free(&self) {
        // It is never closed.
        let _permit = self.spare.acquire().await;
    }

    pub(super) fn spare_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.spare).try_acquire_owned().ok()
    }

    /// Counts an attempt that starts, until the answer is dropped.
    pub(super) fn start(&mut self, task: &TaskId) -> Share {
        count_one(&mut self.started, task);
        count_one(&mut lock(&self.running), task);
        Share { running: Arc::clone(&self.running), task: task.clone() }
    }

    /// When to check next.
    pub(super) fn next_check(&self) -> Instant {
        self.looked_at.saturating_add(self.pause).max(self.not_before)
    }

    /// The store does not answer.
    pub(super) fn put_off(&mut self, until: Instant) {
        self.not_before = until;
    }

    /// There may be new jobs, so the next check is due soon.
    pub(super) fn hurry(&mut self) {
        self.pause = PAUSE_MIN;
    }

    /// A check begins: the tasks that have had their share, which is that of all who have had something and one more.
    pub(super) fn check(&mut self, now: Instant) -> BTreeSet<TaskId> {
        self.looked_at = now;
        let mut had = std::mem::take(&mut self.started);
        for (task, running) in lock(&self.running).iter() {
            let had = had.entry(task.clone()).or_default();
            *had = (*had).max(*running);
        }
        let share = (had.values().sum::<usize>() / (had.len() + 1)).max(1);
        had.into_iter().filter(|(_, had)| *had >= share).map(|(task, _)| task).collect()
    }

    /// A check has ended with so many jobs.
    pub(super) fn found(&mut self, jobs: usize) {
        self.pause = if jobs > 0 { PAUSE_MIN } else { (self.pause * 2).min(PAUSE_MAX) };
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut running = lock(&self.running);
        if let Some(count) = running.get_mut(&self.task) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.task);
            }
        }
    }
}

fn count_one(counts: &mut HashMap<TaskId, usize>, task: &TaskId) {
    match counts.get_mut(task) {
        Some(count) => *count += 1,
        None => {
            counts.insert(task.clone(), 1);
        }
    }
}

fn lock(counts: &Mutex<HashMap<TaskId, usize>>) -> MutexGuard<'_, HashMap<TaskId, usize>> {
    // Between any two statements under this lock the counts are sound.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::new(Duration::from_millis(millis))
    }

    fn task(name: &str) -> TaskId {
        format!("p:{name}").parse().expect("a task")
    }

    #[test]
    fn who_has_had_his_share_is_passed_over_and_who_has_had_less_is_not() {
        let mut shares = Shares::new(1, at(0));
        assert_eq!(shares.check(at(0)), BTreeSet::new());
        let many: Vec<Share> = (0..100).map(|_| shares.start(&task("many"))).collect();
        let few: Vec<Share> = (0..3).map(|_| shares.start(&task("few"))).collect();
        for _ in 0..2 {
            assert_eq!(shares.check(at(0)), BTreeSet::from([task("many")]));
        }
        drop(many);
        assert_eq!(shares.check(at(0)), BTreeSet::from([task("few")]), "nobody else runs");
        drop(few);
        assert_eq!(shares.check(at(0)), BTreeSet::new());
        for _ in 0..1_000 {
            drop(shares.start(&task("brief")));
        }
        drop(shares.start(&task("once")));
        assert_eq!(
            shares.check(at(0)),
            BTreeSet::from([task("brief")]),
            "jobs that have ended count until the next check"
        );
    }

    #[test]
    fn checks_that_find_nothing_become_rare_until_there_may_be_new_jobs() {
        let mut shares = Shares::new(1, at(0));
        let mut pauses = Vec::new();
        for _ in 0..7 {
            pauses.push(shares.next_check().saturating_since(at(0)).as_millis());
            shares.found(0);
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 500, 500]);
        shares.hurry();
        assert_eq!(shares.next_check(), at(20));
        shares.found(0);
        shares.found(1);
        assert_eq!(shares.next_check(), at(20));
        shares.put_off(at(1_000));
        shares.hurry();
        assert_eq!(shares.next_check(), at(1_000), "there is no use in asking a store that does not answer");
    }
}
