//! The queue: order, limits, deadlines, lists.

use std::time::Duration;

use host::model::{JobSettings, JobSpec, JobState, Metadata, Outcome, Payload};
use host::store::{AcquireJobs, Cancelled, Choice, JobCounts, JobFilter, StoreError};

use super::{Rig, cases, ids};
use crate::factory::{release, releases, schedule_id, success, t, task, task_id};

cases![
    a_job_is_read_back_as_it_was,
    adding_a_job_twice_adds_it_once,
    one_fire_of_a_schedule_makes_one_job,
    jobs_start_by_priority_and_then_by_age,
    no_more_jobs_are_acquired_than_asked_for,
    a_job_is_not_started_before_it_is_due,
    acquiring_counts_the_attempt_and_says_who_runs_it,
    acquiring_again_with_the_same_token_answers_the_same_jobs,
    a_limited_task_runs_no_more_than_its_limit,
    a_saturated_task_blocks_no_other,
    the_limit_holds_within_one_acquisition,
    the_default_limit_is_one,
    a_task_without_a_limit_runs_everything,
    lifting_a_limit_frees_the_jobs_that_wait,
    setting_a_limit_holds_for_jobs_that_wait_already,
    priorities_hold_across_tasks_with_and_without_limits,
    a_job_past_its_start_deadline_ends_as_missed,
    the_start_deadline_itself_is_still_in_time,
    a_job_that_waits_for_its_task_is_missed_too,
    one_job_can_be_asked_for_by_id,
    asking_for_one_job_respects_the_limit_of_its_task,
    asking_for_one_job_respects_its_deadline,
    a_queued_job_is_cancelled_at_once,
    a_finished_job_cannot_be_cancelled,
    a_job_that_does_not_exist_cannot_be_cancelled,
    the_next_due_time_is_that_of_the_first_job_to_come,
    jobs_are_listed_youngest_first_in_pages,
    jobs_are_listed_by_state_outcome_task_and_schedule,
    a_cursor_that_no_list_gave_out_is_refused,
    jobs_are_counted_by_state,
    a_thousand_jobs_are_added_and_acquired_in_one_call_each,
];

async fn a_job_is_read_back_as_it_was(rig: Rig) {
    let metadata = serde_json::json!({"who": "me", "n": [1, 2.5, null]});
    let settings = JobSettings {
        priority: -3,
        timeout: Duration::from_micros(1_234_567),
        fuel: u64::MAX,
        executor: Some(host::model::ExecutorName::new("wasm").expect("valid")),
        metadata: Metadata(metadata.as_object().expect("an object").clone()),
        ..rig.make.job("p:work").settings
    };
    let spec = JobSpec {
        settings,
        jitter: Duration::from_millis(1),
        start_deadline: Some(t(50)),
        due_at: t(7),
        args: Payload::json(&serde_json::json!({"a": 1})),
        ..rig.make.fired("s", 3)
    };
    let spec = rig.add(spec).await;
    let job = rig.job(spec.id).await;
    assert_eq!(job.spec, spec);
    assert_eq!((job.state, job.attempt, job.crashes, job.outcome), (JobState::Queued, 0, 0, None));
    assert_eq!(rig.b.job_get(rig.make.job_id()).await.expect("read"), None);
}

async fn adding_a_job_twice_adds_it_once(rig: Rig) {
    let job = rig.add(rig.make.job("p:work")).await;
    let changed = JobSpec { due_at: t(9), ..job.clone() };
    rig.b.job_add(vec![changed, rig.make.job("p:work")]).await.expect("added");
    assert_eq!(rig.job(job.id).await.spec, job);
    assert_eq!(rig.a.job_counts().await.expect("counted").queued, 2);
}

async fn one_fire_of_a_schedule_makes_one_job(rig: Rig) {
    let first = rig.add(rig.make.fired("s", 5)).await;
    rig.b.job_add(vec![rig.make.fired("s", 5), rig.make.fired("s", 6), rig.make.fired("r", 5)]).await.expect("added");
    assert_eq!(rig.a.job_counts().await.expect("counted").queued, 3);
    assert_eq!(rig.job(first.id).await.spec, first);
}

async fn jobs_start_by_priority_and_then_by_age(rig: Rig) {
    let mut jobs = Vec::new();
    for priority in [0, 5, -5, 5, 0] {
        jobs.push(rig.add(rig.make.urgent("p:work", priority)).await.id);
    }
    assert_eq!(ids(&rig.acquire(0, 9).await), [jobs[1], jobs[3], jobs[0], jobs[4], jobs[2]]);
}

async fn no_more_jobs_are_acquired_than_asked_for(rig: Rig) {
    for _ in 0..5 {
        rig.add(rig.make.job("p:work")).await;
    }
    assert_eq!(rig.acquire(0, 2).await.len(), 2);
    assert_eq!(rig.acquire(0, 0).await.len(), 0);
    assert_eq!(rig.acquire(0, 9).await.len(), 3);
}

async fn a_job_is_not_started_before_it_is_due(rig: Rig) {
    let job = rig.add(JobSpec { due_at: t(10), ..rig.make.job("p:work") }).await;
    assert!(rig.acquire(9, 1).await.is_empty());
    assert_eq!(ids(&rig.acquire(10, 1).await), [job.id]);
}

async fn acquiring_counts_the_attempt_and_says_who_runs_it(rig: Rig) {
    let spec = rig.add(rig.make.job("p:work")).await;
    let request = rig.make.acquire(3, 1);
    let acquired = rig.a.job_acquire(request.clone()).await.expect("acquired");
    let job = &acquired.jobs[0];
    assert_eq!((job.state, job.attempt, job.started_at), (JobState::Running, 1, Some(t(3))));
    assert_eq!(job.scheduler_id.as_ref(), Some(&request.holder));
    let lease = job.lease.as_ref().expect("leased");
    assert_eq!((&lease.holder, lease.token, lease.expires_at), (&request.holder, request.token, t(13)));
    assert_eq!(&rig.job(spec.id).await, job);
    assert_eq!(acquired.catalog_revision, rig.b.catalog_revision().await.expect("read"));
}

async fn acquiring_again_with_the_same_token_answers_the_same_jobs(rig: Rig) {
    for priority in [0, 1, 2, 3] {
        rig.add(rig.make.urgent("p:work", priority)).await;
    }
    let request = rig.make.acquire(0, 3);
    let first = rig.a.job_acquire(request.clone()).await.expect("acquired").jobs;
    let second = rig.b.job_acquire(request).await.expect("acquired").jobs;
    assert_eq!((first.len(), &first), (3, &second));
}

async fn a_limited_task_runs_no_more_than_its_limit(rig: Rig) {
    rig.a.task_put(task("p:work", Some(2))).await.expect("stored");
    for _ in 0..4 {
        rig.add(rig.make.job("p:work")).await;
    }
    let (first, token) = rig.acquire_one(0).await;
    assert_eq!(rig.acquire(0, 9).await.len(), 1);
    assert!(rig.acquire(0, 9).await.is_empty());
    rig.b.job_release(releases(1, release(first, token, success(100)))).await.expect("released");
    assert_eq!(rig.acquire(1, 9).await.len(), 1, "a released slot is free at once");
}

async fn a_saturated_task_blocks_no_other(rig: Rig) {
    rig.a.task_put(task("p:full", Some(1))).await.expect("stored");
    for _ in 0..20 {
        rig.add(rig.make.urgent("p:full", 9)).await;
    }
    let other = rig.add(rig.make.job("p:other")).await;
    assert_eq!(rig.acquire(0, 1).await[0].spec.task_id, task_id("p:full"));
    assert_eq!(ids(&rig.acquire(0, 5).await), [other.id]);
}

async fn the_limit_holds_within_one_acquisition(rig: Rig) {
    rig.a.task_put(task("p:a", Some(2))).await.expect("stored");
    rig.a.task_put(task("p:b", Some(3))).await.expect("stored");
    for _ in 0..5 {
        rig.add(rig.make.job("p:a")).await;
        rig.add(rig.make.job("p:b")).await;
    }
    let acquired = rig.acquire(0, 100).await;
    let of = |id: &str| acquired.iter().filter(|job| job.spec.task_id == task_id(id)).count();
    assert_eq!((of("p:a"), of("p:b")), (2, 3));
}

async fn the_default_limit_is_one(rig: Rig) {
    let task = host::model::Task { configured: host::model::Settings::default(), ..task("p:work", None) };
    rig.a.task_put(task).await.expect("stored");
    rig.add(rig.make.job("p:work")).await;
    rig.add(rig.make.job("p:work")).await;
    assert_eq!(rig.acquire(0, 9).await.len(), 1);
}

async fn a_task_without_a_limit_runs_everything(rig: Rig) {
    rig.a.task_put(task("p:work", None)).await.expect("stored");
    for _ in 0..50 {
        rig.add(rig.make.job("p:work")).await;
    }
    assert_eq!(rig.acquire(0, 100).await.len(), 50);
}

async fn lifting_a_limit_frees_the_jobs_that_wait(rig: Rig) {
    rig.a.task_put(task("p:work", Some(1))).await.expect("stored");
    for _ in 0..3 {
        rig.add(rig.make.job("p:work")).await;
    }
    assert_eq!(rig.acquire(0, 9).await.len(), 1);
    rig.b.task_put(task("p:work", None)).await.expect("stored");
    assert_eq!(rig.acquire(0, 9).await.len(), 2);
}

async fn setting_a_limit_holds_for_jobs_that_wait_already(rig: Rig) {
    for _ in 0..3 {
        rig.add(rig.make.job("p:work")).await;
    }
    rig.add(JobSpec { due_at: t(5), ..rig.make.job("p:work") }).await;
    rig.b.task_put(task("p:work", Some(2))).await.expect("stored");
    assert_eq!(rig.acquire(6, 9).await.len(), 2);
    assert!(rig.acquire(6, 9).await.is_empty());
}

async fn priorities_hold_across_tasks_with_and_without_limits(rig: Rig) {
    rig.a.task_put(task("p:limited", Some(2))).await.expect("stored");
    let low = rig.add(rig.make.urgent("p:limited", 1)).await.id;
    let free = rig.add(rig.make.urgent("p:free", 2)).await.id;
    let high = rig.add(rig.make.urgent("p:limited", 3)).await.id;
    let last = rig.add(rig.make.urgent("p:free", 0)).await.id;
    assert_eq!(ids(&rig.acquire(0, 9).await), [high, free, low, last]);
}

async fn a_job_past_its_start_deadline_ends_as_missed(rig: Rig) {
    let spec = rig.add(JobSpec { start_deadline: Some(t(5)), ..rig.make.job("p:work") }).await;
    let acquired = rig.a.job_acquire(rig.make.acquire(6, 9)).await.expect("acquired");
    assert!(acquired.jobs.is_empty());
    assert!(!rig.is_exact || acquired.missed.iter().any(|missed| missed.id == spec.id));
    let job = rig.job(spec.id).await;
    assert_eq!((job.state, job.outcome), (JobState::Finished, Some(Outcome::MissedStartDeadline)));
    assert_eq!((job.finished_at, job.expires_at, job.attempt), (Some(t(6)), Some(t(3_606)), 0));
}

async fn the_start_deadline_itself_is_still_in_time(rig: Rig) {
    let spec = rig.add(JobSpec { start_deadline: Some(t(5)), ..rig.make.job("p:work") }).await;
    assert_eq!(ids(&rig.acquire(5, 9).await), [spec.id]);
}

async fn a_job_that_waits_for_its_task_is_missed_too(rig: Rig) {
    rig.a.task_put(task("p:work", Some(1))).await.expect("stored");
    rig.add(rig.make.job("p:work")).await;
    let waiting = rig.add(JobSpec { start_deadline: Some(t(5)), ..rig.make.job("p:work") }).await;
    rig.acquire(0, 1).await;
    rig.acquire(6, 1).await;
    assert_eq!(rig.job(waiting.id).await.outcome, Some(Outcome::MissedStartDeadline));
}

async fn one_job_can_be_asked_for_by_id(rig: Rig) {
    rig.add(rig.make.urgent("p:work", 9)).await;
    let mine = rig.add(rig.make.job("p:work")).await.id;
    let request = AcquireJobs { choice: Choice::Only(mine), ..rig.make.acquire(0, 1) };
    assert_eq!(ids(&rig.a.job_acquire(request.clone()).await.expect("acquired").jobs), [mine]);
    let again = AcquireJobs { token: rig.make.token(), ..request };
    assert!(rig.b.job_acquire(again).await.expect("asked").jobs.is_empty());
    let later = rig.add(JobSpec { due_at: t(5), ..rig.make.job("p:work") }).await.id;
    let early = AcquireJobs { choice: Choice::Only(later), ..rig.make.acquire(4, 1) };
    assert!(rig.a.job_acquire(early).await.expect("asked").jobs.is_empty(), "it is not due");
    let due = AcquireJobs { choice: Choice::Only(later), ..rig.make.acquire(5, 1) };
    assert_eq!(ids(&rig.a.job_acquire(due).await.expect("acquired").jobs), [later]);
}

async fn asking_for_one_job_respects_the_limit_of_its_task(rig: Rig) {
    rig.a.task_put(task("p:work", Some(1))).await.expect("stored");
    rig.add(rig.make.job("p:work")).await;
    let mine = rig.add(rig.make.job("p:work")).await.id;
    let (first, token) = rig.acquire_one(0).await;
    let request = AcquireJobs { choice: Choice::Only(mine), ..rig.make.acquire(0, 1) };
    assert!(rig.a.job_acquire(request.clone()).await.expect("asked").jobs.is_empty());
    rig.a.job_release(releases(1, release(first, token, success(9)))).await.expect("released");
    assert_eq!(ids(&rig.b.job_acquire(request).await.expect("acquired").jobs), [mine]);
}

async fn asking_for_one_job_respects_its_deadline(rig: Rig) {
    let other = rig.add(JobSpec { start_deadline: Some(t(2)), ..rig.make.job("p:work") }).await.id;
    let mine = rig.add(JobSpec { start_deadline: Some(t(5)), ..rig.make.job("p:work") }).await.id;
    let request = AcquireJobs { choice: Choice::Only(mine), ..rig.make.acquire(6, 1) };
    assert!(rig.a.job_acquire(request).await.expect("asked").jobs.is_empty());
    assert_eq!(rig.job(mine).await.outcome, Some(Outcome::MissedStartDeadline));
    assert_eq!(rig.job(other).await.state, JobState::Queued, "nobody asked about the other one");
}

async fn a_queued_job_is_cancelled_at_once(rig: Rig) {
    let spec = rig.add(rig.make.job("p:work")).await;
    assert_eq!(rig.a.job_cancel(spec.id, None, t(4)).await.expect("cancelled"), Cancelled::Ended);
    let job = rig.job(spec.id).await;
    assert_eq!((job.state, job.outcome, job.finished_at), (JobState::Finished, Some(Outcome::Cancelled), Some(t(4))));
    assert!(rig.acquire(5, 1).await.is_empty());
}

async fn a_finished_job_cannot_be_cancelled(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, token) = rig.acquire_one(0).await;
    rig.a.job_release(releases(1, release(id, token, success(9)))).await.expect("released");
    assert_eq!(rig.b.job_cancel(id, None, t(2)).await.expect("asked"), Cancelled::AlreadyFinished);
    assert_eq!(rig.job(id).await.outcome, Some(Outcome::Success));
}

async fn a_job_that_does_not_exist_cannot_be_cancelled(rig: Rig) {
    let answer = rig.a.job_cancel(rig.make.job_id(), None, t(0)).await;
    assert!(matches!(answer, Err(StoreError::NotFound(_))), "{answer:?}");
}

async fn the_next_due_time_is_that_of_the_first_job_to_come(rig: Rig) {
    assert_eq!(rig.a.job_next_due(t(0)).await.expect("read"), None);
    for due in [30, 20, 40] {
        rig.add(JobSpec { due_at: t(due), ..rig.make.job("p:work") }).await;
    }
    rig.add(rig.make.job("p:work")).await;
    assert_eq!(rig.b.job_next_due(t(0)).await.expect("read"), Some(t(20)));
    rig.acquire(25, 9).await;
    assert_eq!(rig.b.job_next_due(t(25)).await.expect("read"), Some(t(30)));
}

async fn jobs_are_listed_youngest_first_in_pages(rig: Rig) {
    let mut added = Vec::new();
    for _ in 0..7 {
        added.push(rig.add(rig.make.job("p:work")).await.id);
    }
    added.reverse();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = rig.b.job_list(JobFilter { after, limit: 3, ..JobFilter::default() }).await.expect("listed");
        seen.extend(ids(&page.rows));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, added);
}

async fn jobs_are_listed_by_state_outcome_task_and_schedule(rig: Rig) {
    let running = rig.add(rig.make.urgent("p:a", 5)).await.id;
    rig.acquire(0, 1).await;
    let cancelled = rig.add(rig.make.job("p:a")).await.id;
    rig.a.job_cancel(cancelled, None, t(1)).await.expect("cancelled");
    let queued = rig.add(rig.make.job("p:b")).await.id;
    let fired = rig.add(rig.make.fired("s", 5)).await.id;
    let list = async |filter: JobFilter| {
        let page = rig.b.job_list(JobFilter { limit: 10, ..filter }).await.expect("listed");
        ids(&page.rows)
    };
    let all = JobFilter::default;
    assert_eq!(list(all()).await, [fired, queued, cancelled, running]);
    assert_eq!(list(JobFilter { state: Some(JobState::Queued), ..all() }).await, [fired, queued]);
    assert_eq!(list(JobFilter { state: Some(JobState::Running), ..all() }).await, [running]);
    assert_eq!(list(JobFilter { state: Some(JobState::Finished), ..all() }).await, [cancelled]);
    assert_eq!(list(JobFilter { outcome: Some(Outcome::Cancelled), ..all() }).await, [cancelled]);
    assert_eq!(list(JobFilter { outcome: Some(Outcome::Success), ..all() }).await, []);
    assert_eq!(list(JobFilter { task_id: Some(task_id("p:a")), ..all() }).await, [cancelled, running]);
    assert_eq!(list(JobFilter { schedule_id: Some(schedule_id("s")), ..all() }).await, [fired]);
    let both = JobFilter { task_id: Some(task_id("p:a")), state: Some(JobState::Running), ..all() };
    assert_eq!(list(both).await, [running]);
}

async fn a_cursor_that_no_list_gave_out_is_refused(rig: Rig) {
    let filter = JobFilter { after: Some("nonsense".into()), limit: 1, ..JobFilter::default() };
    assert!(matches!(rig.a.job_list(filter).await, Err(StoreError::Conflict { .. })));
}

async fn jobs_are_counted_by_state(rig: Rig) {
    assert_eq!(rig.a.job_counts().await.expect("counted"), JobCounts::default());
    for _ in 0..4 {
        rig.add(rig.make.job("p:work")).await;
    }
    rig.add(JobSpec { due_at: t(100), ..rig.make.job("p:work") }).await;
    let (id, token) = rig.acquire_one(0).await;
    rig.acquire(0, 2).await;
    rig.a.job_release(releases(1, release(id, token, success(9)))).await.expect("released");
    assert_eq!(rig.b.job_counts().await.expect("counted"), JobCounts { queued: 2, running: 2, finished: 1 });
}

async fn a_thousand_jobs_are_added_and_acquired_in_one_call_each(rig: Rig) {
    let jobs: Vec<JobSpec> = (0..1_000).map(|_| rig.make.job("p:work")).collect();
    let expected: Vec<_> = jobs.iter().map(|job| job.id).collect();
    rig.a.job_add(jobs).await.expect("added");
    let request = rig.make.acquire(0, 1_000);
    let token = request.token;
    assert_eq!(ids(&rig.b.job_acquire(request).await.expect("acquired").jobs), expected);
    let done = expected.iter().map(|id| release(*id, token, success(9))).collect();
    let request = host::store::ReleaseJobs { now: t(1), releases: done };
    let released = rig.a.job_release(request).await.expect("released");
    assert!(released.iter().all(|released| *released == host::store::Released::Stored));
    assert_eq!(rig.b.job_counts().await.expect("counted").finished, 1_000);
}
