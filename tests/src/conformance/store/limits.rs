//! How many jobs of a task, and of a concurrency key, run at once.

use host::model::{Job, JobId, JobSettings, JobSpec, LeaseToken, Parallelism, Settings, Task};
use host::store::{AcquireJobs, Choice, Ending, Recover, SchedulerRow};

use super::{Rig, cases, ids};
use crate::factory::{heard_of, incarnation, recover, release, releases, scheduler, served, success, t, task, task_id};

cases![
    the_next_job_of_a_limited_task_starts_when_one_has_ended,
    an_urgent_job_starts_before_one_that_is_next_and_has_not_begun,
    an_older_job_that_is_tried_again_comes_before_younger_ones,
    a_retry_that_is_not_yet_due_leaves_its_place_to_the_next,
    a_job_given_back_keeps_its_turn,
    a_job_that_is_put_off_leaves_its_place_to_the_next,
    a_cancelled_job_lets_the_next_one_start,
    a_missed_job_lets_the_next_one_start,
    a_job_whose_worker_vanished_leaves_no_place_taken,
    a_higher_limit_lets_more_start_at_once,
    a_lower_limit_holds_back_what_has_not_begun,
    a_limit_that_is_new_counts_what_runs,
    a_limit_that_is_gone_holds_nothing_back,
    jobs_with_the_same_key_run_so_many_at_once_and_others_beside_them,
    a_key_and_its_task_limit_together,
    a_saturated_key_holds_up_no_other_key,
    an_urgent_job_of_a_key_starts_before_one_that_has_not_begun,
    a_job_without_a_key_is_limited_by_none,
    keys_of_different_tasks_are_different,
    a_new_limit_per_key_holds_for_what_waits_and_runs,
    a_job_that_is_asked_for_by_its_id_overtakes_what_has_not_begun_but_no_limit,
    a_job_queued_again_by_hand_waits_for_its_place,
    a_job_that_nobody_runs_keeps_no_other_of_its_task_from_starting,
    a_job_that_nobody_ran_waits_for_its_place_when_a_worker_comes,
    a_paused_queue_keeps_no_job_of_another_from_starting,
];

impl Rig {
    async fn limited(&self, limit: Option<u32>, per_key: Option<u32>) {
        let number = |limit: Option<u32>| {
            limit.and_then(std::num::NonZeroU32::new).map_or(Parallelism::Unlimited, Parallelism::AtMost)
        };
        let configured = Settings {
            max_running_jobs: Some(number(limit)),
            max_running_per_key: Some(number(per_key)),
            ..Settings::default()
        };
        self.a.task_put(Task { configured, ..task("p:work", None) }).await.expect("stored");
    }

    async fn keyed(&self, key: &str, priority: i32) -> JobId {
        let job = self.make.urgent("p:work", priority);
        let settings = JobSettings { concurrency_key: Some(key.to_owned()), ..job.settings };
        self.add(JobSpec { settings, ..job }).await.id
    }

    async fn queued(&self, priority: i32) -> JobId {
        self.add(self.make.urgent("p:work", priority)).await.id
    }

    async fn end(&self, job: &Job, ending: Ending) {
        let token = token(job);
        self.b.job_release(releases(1, release(job.spec.id, token, ending))).await.expect("released");
    }
}

fn token(job: &Job) -> LeaseToken {
    job.lease.as_ref().expect("a running job has a lease").token
}

fn failed(due: i64) -> Ending {
    Ending::Retry { due_at: t(due), error: host::model::JobError::new(host::model::ErrorKind::GuestError, "no") }
}

async fn the_next_job_of_a_limited_task_starts_when_one_has_ended(rig: Rig) {
    rig.limited(Some(2), None).await;
    let jobs = [rig.queued(0).await, rig.queued(0).await, rig.queued(0).await, rig.queued(0).await];
    let running = rig.acquire(0, 9).await;
    assert_eq!(ids(&running), jobs[..2]);
    assert!(rig.acquire(0, 9).await.is_empty());
    rig.end(&running[0], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [jobs[2]]);
    rig.end(&running[1], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [jobs[3]]);
}

async fn an_urgent_job_starts_before_one_that_is_next_and_has_not_begun(rig: Rig) {
    rig.limited(Some(1), None).await;
    let usual = rig.queued(0).await;
    let urgent = rig.queued(5).await;
    let running = rig.acquire(0, 9).await;
    assert_eq!(ids(&running), [urgent]);
    rig.end(&running[0], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [usual]);
}

async fn an_older_job_that_is_tried_again_comes_before_younger_ones(rig: Rig) {
    rig.limited(Some(1), None).await;
    let old = rig.queued(0).await;
    rig.queued(0).await;
    let running = rig.acquire(0, 9).await;
    rig.end(&running[0], failed(1)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [old]);
}

async fn a_retry_that_is_not_yet_due_leaves_its_place_to_the_next(rig: Rig) {
    rig.limited(Some(1), None).await;
    let (first, second) = (rig.queued(0).await, rig.queued(0).await);
    let running = rig.acquire(0, 9).await;
    assert_eq!(ids(&running), [first]);
    rig.end(&running[0], failed(50)).await;
    let next = rig.acquire(2, 9).await;
    assert_eq!(ids(&next), [second]);
    assert!(rig.acquire(60, 9).await.is_empty(), "it is due, and waits for its place");
    rig.end(&next[0], success(99)).await;
    assert_eq!(ids(&rig.acquire(60, 9).await), [first]);
}

async fn a_job_given_back_keeps_its_turn(rig: Rig) {
    rig.limited(Some(1), None).await;
    let first = rig.queued(0).await;
    rig.queued(0).await;
    let running = rig.acquire(0, 9).await;
    rig.end(&running[0], Ending::Requeued { not_before: None }).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [first]);
}

async fn a_job_that_is_put_off_leaves_its_place_to_the_next(rig: Rig) {
    rig.limited(Some(1), Some(1)).await;
    let (first, second) = (rig.keyed("a", 0).await, rig.keyed("a", 0).await);
    let running = rig.acquire(0, 9).await;
    rig.end(&running[0], Ending::Requeued { not_before: Some(t(50)) }).await;
    let next = rig.acquire(2, 9).await;
    assert_eq!(ids(&next), [second]);
    rig.end(&next[0], success(99)).await;
    assert_eq!(ids(&rig.acquire(60, 9).await), [first]);
}

async fn a_cancelled_job_lets_the_next_one_start(rig: Rig) {
    rig.limited(Some(1), None).await;
    let (first, second, third) = (rig.queued(0).await, rig.queued(0).await, rig.queued(0).await);
    rig.b.job_cancel(second, None, t(0)).await.expect("cancelled");
    rig.b.job_cancel(first, None, t(0)).await.expect("cancelled");
    assert_eq!(ids(&rig.acquire(0, 9).await), [third]);
}

async fn a_missed_job_lets_the_next_one_start(rig: Rig) {
    rig.limited(Some(1), None).await;
    rig.add(JobSpec { start_deadline: Some(t(5)), ..rig.make.job("p:work") }).await;
    let second = rig.queued(0).await;
    assert_eq!(ids(&rig.acquire(6, 9).await), [second]);
}

async fn a_job_whose_worker_vanished_leaves_no_place_taken(rig: Rig) {
    rig.limited(Some(1), Some(1)).await;
    let (first, second) = (rig.keyed("acme", 0).await, rig.keyed("acme", 0).await);
    for round in 0..2 {
        assert_eq!(ids(&rig.acquire(round * 20, 9).await), [first]);
        rig.b.recover(recover(round * 20 + 15)).await.expect("recovered");
    }
    let last = rig.acquire(40, 9).await;
    assert_eq!(ids(&last), [second], "the first one is abandoned after its second crash");
    let mine = Recover { holder: Some(scheduler("one")), ..recover(41) };
    rig.b.recover(mine).await.expect("recovered");
    assert_eq!(ids(&rig.acquire(41, 9).await), [second]);
}

async fn a_higher_limit_lets_more_start_at_once(rig: Rig) {
    rig.limited(Some(1), None).await;
    let jobs = [rig.queued(0).await, rig.queued(0).await, rig.queued(0).await, rig.queued(0).await];
    assert_eq!(ids(&rig.acquire(0, 9).await), jobs[..1]);
    rig.limited(Some(3), None).await;
    assert_eq!(ids(&rig.acquire(0, 9).await), jobs[1..3]);
}

async fn a_lower_limit_holds_back_what_has_not_begun(rig: Rig) {
    rig.limited(Some(3), None).await;
    let jobs = [rig.queued(0).await, rig.queued(0).await, rig.queued(0).await];
    let first = rig.acquire(0, 1).await;
    rig.limited(Some(1), None).await;
    assert!(rig.acquire(0, 9).await.is_empty());
    rig.end(&first[0], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [jobs[1]]);
}

async fn a_limit_that_is_new_counts_what_runs(rig: Rig) {
    rig.limited(None, None).await;
    let jobs = [rig.queued(0).await, rig.queued(0).await, rig.queued(0).await];
    let running = rig.acquire(0, 2).await;
    rig.limited(Some(2), None).await;
    assert!(rig.acquire(0, 9).await.is_empty());
    rig.end(&running[0], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [jobs[2]]);
}

async fn a_limit_that_is_gone_holds_nothing_back(rig: Rig) {
    rig.limited(Some(1), None).await;
    let jobs = [rig.queued(0).await, rig.queued(0).await, rig.queued(0).await];
    let running = rig.acquire(0, 9).await;
    rig.limited(None, None).await;
    assert_eq!(ids(&rig.acquire(0, 9).await), jobs[1..]);
    rig.end(&running[0], success(9)).await;
    rig.limited(Some(3), None).await;
    let last = [rig.queued(0).await, rig.queued(0).await];
    assert_eq!(ids(&rig.acquire(1, 9).await), last[..1], "two run");
    rig.a.task_remove(&task_id("p:work")).await.expect("removed");
    assert_eq!(ids(&rig.acquire(1, 9).await), last[1..]);
}

async fn jobs_with_the_same_key_run_so_many_at_once_and_others_beside_them(rig: Rig) {
    rig.limited(None, Some(2)).await;
    let acme = [rig.keyed("acme", 0).await, rig.keyed("acme", 0).await, rig.keyed("acme", 0).await];
    let globex = rig.keyed("globex", 0).await;
    let running = rig.acquire(0, 9).await;
    assert_eq!(ids(&running), [acme[0], acme[1], globex]);
    assert!(rig.acquire(0, 9).await.is_empty());
    rig.end(&running[2], success(9)).await;
    assert!(rig.acquire(1, 9).await.is_empty(), "that was another key's place");
    rig.end(&running[1], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [acme[2]]);
}

async fn a_key_and_its_task_limit_together(rig: Rig) {
    rig.limited(Some(2), Some(1)).await;
    let (a1, a2) = (rig.keyed("a", 0).await, rig.keyed("a", 0).await);
    let (b1, c1) = (rig.keyed("b", 0).await, rig.keyed("c", 0).await);
    let running = rig.acquire(0, 9).await;
    assert_eq!(ids(&running), [a1, b1]);
    rig.end(&running[1], success(9)).await;
    let next = rig.acquire(1, 9).await;
    assert_eq!(ids(&next), [c1], "the second of a waits for its key, and takes no place of the task meanwhile");
    rig.end(&running[0], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [a2]);
    assert!(rig.acquire(1, 9).await.is_empty());
    rig.end(&next[0], success(9)).await;
}

async fn a_saturated_key_holds_up_no_other_key(rig: Rig) {
    rig.limited(Some(50), Some(1)).await;
    for _ in 0..40 {
        rig.keyed("flooded", 9).await;
    }
    let others: Vec<JobId> = [rig.keyed("x", 0).await, rig.keyed("y", 0).await, rig.queued(0).await].into();
    let running = ids(&rig.acquire(0, 60).await);
    assert_eq!(running.len(), 4);
    assert!(others.iter().all(|id| running.contains(id)));
}

async fn an_urgent_job_of_a_key_starts_before_one_that_has_not_begun(rig: Rig) {
    rig.limited(Some(1), Some(1)).await;
    let usual = rig.keyed("acme", 0).await;
    let urgent = rig.keyed("acme", 7).await;
    let running = rig.acquire(0, 9).await;
    assert_eq!(ids(&running), [urgent]);
    rig.end(&running[0], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [usual]);
}

async fn a_job_without_a_key_is_limited_by_none(rig: Rig) {
    rig.limited(None, Some(1)).await;
    let jobs = [rig.queued(0).await, rig.queued(0).await];
    assert_eq!(ids(&rig.acquire(0, 9).await), jobs);
}

async fn keys_of_different_tasks_are_different(rig: Rig) {
    rig.limited(None, Some(1)).await;
    rig.a.task_put(Task { id: task_id("p:other"), ..task("p:other", None) }).await.expect("stored");
    let mine = rig.keyed("acme", 0).await;
    let job = rig.make.job("p:other");
    let settings = JobSettings { concurrency_key: Some("acme".to_owned()), ..job.settings };
    let theirs = rig.add(JobSpec { settings, ..job }).await.id;
    assert_eq!(ids(&rig.acquire(0, 9).await), [mine, theirs]);
}

async fn a_new_limit_per_key_holds_for_what_waits_and_runs(rig: Rig) {
    rig.limited(None, None).await;
    let jobs = [rig.keyed("a", 0).await, rig.keyed("a", 0).await, rig.keyed("a", 0).await, rig.keyed("b", 0).await];
    let running = rig.acquire(0, 1).await;
    rig.limited(None, Some(2)).await;
    assert_eq!(ids(&rig.acquire(0, 9).await), [jobs[1], jobs[3]]);
    rig.limited(None, Some(1)).await;
    rig.end(&running[0], success(9)).await;
    assert!(rig.acquire(1, 9).await.is_empty());
    rig.limited(None, None).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [jobs[2]]);
}

async fn a_job_that_is_asked_for_by_its_id_overtakes_what_has_not_begun_but_no_limit(rig: Rig) {
    rig.limited(Some(1), Some(1)).await;
    let first = rig.keyed("a", 0).await;
    let (mine, last) = (rig.keyed("a", 0).await, rig.keyed("b", 0).await);
    let ask = |only| AcquireJobs { choice: Choice::Only(only), ..rig.make.acquire(0, 1) };
    let running = rig.a.job_acquire(ask(mine)).await.expect("asked").jobs;
    assert_eq!(ids(&running), [mine]);
    assert!(rig.b.job_acquire(ask(last)).await.expect("asked").jobs.is_empty());
    assert!(rig.acquire(0, 9).await.is_empty());
    rig.end(&running[0], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [first]);
}

async fn a_job_queued_again_by_hand_waits_for_its_place(rig: Rig) {
    rig.limited(Some(1), None).await;
    let first = rig.queued(0).await;
    let running = rig.acquire(0, 9).await;
    rig.end(&running[0], success(9)).await;
    let second = rig.queued(0).await;
    let running = rig.acquire(1, 9).await;
    assert_eq!(ids(&running), [second]);
    rig.b.job_retry(first, t(1)).await.expect("queued again");
    assert!(rig.acquire(1, 9).await.is_empty());
    rig.end(&running[0], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [first]);
}

/// Says that a worker lives, and what it has.
async fn worker(rig: &Rig, queues: &[&str], abilities: &[&str]) {
    let row = SchedulerRow {
        id: scheduler("one"),
        role: "worker".to_owned(),
        started_at: t(0),
        seen_at: t(0),
        stopped_at: None,
        incarnation: incarnation("first"),
        memory: None,
        queues: queues.iter().map(|queue| queue.parse().expect("a queue")).collect(),
        abilities: abilities.iter().map(|ability| ability.parse().expect("an ability")).collect(),
    };
    rig.a.scheduler_put(heard_of(row)).await.expect("stored");
}

impl Rig {
    async fn for_executor(&self, executor: &str) -> JobId {
        let job = self.make.job("p:work");
        let executor = Some(executor.parse().expect("a name"));
        self.add(JobSpec { settings: JobSettings { executor, ..job.settings }, ..job }).await.id
    }

    async fn acquire_with(&self, ability: &str) -> Vec<Job> {
        let abilities = vec![ability.parse().expect("an ability")];
        let request = AcquireJobs { abilities, ..self.make.acquire(0, 9) };
        self.b.job_acquire(request).await.expect("acquired").jobs
    }
}

async fn a_job_that_nobody_runs_keeps_no_other_of_its_task_from_starting(rig: Rig) {
    rig.limited(Some(1), Some(1)).await;
    let job = rig.make.job("p:work");
    let settings = JobSettings {
        executor: Some("gpu".parse().expect("a name")),
        concurrency_key: Some("a".to_owned()),
        ..job.settings
    };
    rig.add(JobSpec { settings, ..job }).await;
    let (also_special, usual) = (rig.for_executor("gpu").await, rig.keyed("a", 0).await);
    worker(&rig, &["default"], &["wasm"]).await;
    rig.a.recover(recover(0)).await.expect("recovered");
    assert_eq!(ids(&rig.acquire(0, 9).await), [usual]);
    assert_eq!(rig.job(also_special).await.attempt, 0);
}

async fn a_job_that_nobody_ran_waits_for_its_place_when_a_worker_comes(rig: Rig) {
    rig.limited(Some(1), None).await;
    let (special, usual) = (rig.for_executor("gpu").await, rig.queued(0).await);
    worker(&rig, &["default"], &["wasm"]).await;
    rig.a.recover(recover(0)).await.expect("recovered");
    let running = rig.acquire(0, 9).await;
    assert_eq!(ids(&running), [usual]);
    assert!(rig.acquire_with("gpu").await.is_empty(), "one runs, and one may");
    let next = rig.queued(0).await;
    rig.end(&running[0], success(9)).await;
    assert!(rig.acquire(0, 9).await.is_empty(), "the older one is next");
    let running = rig.acquire_with("gpu").await;
    assert_eq!(ids(&running), [special]);
    rig.end(&running[0], success(9)).await;
    assert_eq!(ids(&rig.acquire(1, 9).await), [next]);
}

async fn a_paused_queue_keeps_no_job_of_another_from_starting(rig: Rig) {
    rig.limited(Some(1), None).await;
    let job = rig.make.job("p:work");
    let settings = JobSettings { queue: "mail".parse().expect("a queue"), ..job.settings };
    let mail = rig.add(JobSpec { settings, ..job }).await.id;
    let usual = rig.queued(0).await;
    worker(&rig, &["default", "mail"], &["wasm"]).await;
    rig.a.queue_pause("mail".parse().expect("a queue"), true).await.expect("paused");
    rig.a.recover(recover(0)).await.expect("recovered");
    let running = rig.acquire(0, 9).await;
    assert_eq!(ids(&running), [usual]);
    rig.a.queue_pause("mail".parse().expect("a queue"), false).await.expect("resumed");
    rig.end(&running[0], success(9)).await;
    let request = AcquireJobs { queues: vec![served("mail", 9)], ..rig.make.acquire(1, 9) };
    assert_eq!(ids(&rig.b.job_acquire(request).await.expect("acquired").jobs), [mail]);
}
