//! What becomes of jobs and schedules whose scheduler vanished.

use host::model::{ErrorKind, JobSettings, JobSpec, JobState, Outcome};
use host::store::{AcquireJobs, Recover, SchedulerRow};

use super::{Rig, cases, ids};
use crate::factory::{add, recover, schedule, scheduler, t, task};

cases![
    a_lease_that_has_not_run_out_is_left_alone,
    a_job_whose_worker_vanished_is_queued_again_at_once,
    a_second_crash_abandons_a_job_with_one_attempt,
    attempts_that_are_left_outlast_crashes,
    a_job_asked_to_stop_ends_as_cancelled_when_its_worker_vanishes,
    a_restarted_scheduler_takes_back_what_it_left,
    a_recovered_slot_is_free,
    recovery_takes_at_most_as_many_jobs_as_asked,
    recovery_frees_schedules,
    recovering_twice_finds_nothing,
    a_job_taken_back_is_not_missed_for_its_start_deadline,
    schedulers_are_listed_as_they_last_reported,
];

async fn a_lease_that_has_not_run_out_is_left_alone(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    rig.acquire_one(0).await;
    let done = rig.b.recover(recover(9)).await.expect("recovered");
    assert!(done.requeued.is_empty() && done.abandoned.is_empty() && done.cancelled.is_empty());
}

async fn a_job_whose_worker_vanished_is_queued_again_at_once(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, _) = rig.acquire_one(0).await;
    let done = rig.b.recover(recover(10)).await.expect("recovered");
    assert_eq!(done.requeued.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
    let job = rig.job(id).await;
    assert_eq!((job.state, job.attempt, job.crashes, job.spec.due_at), (JobState::Queued, 1, 1, t(10)));
    assert_eq!(job.error.expect("the reason").kind, ErrorKind::HostError);
    assert_eq!(rig.acquire(10, 1).await[0].attempt, 2);
}

async fn a_second_crash_abandons_a_job_with_one_attempt(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, _) = rig.acquire_one(0).await;
    rig.a.recover(recover(10)).await.expect("recovered");
    rig.acquire_one(11).await;
    let done = rig.b.recover(recover(21)).await.expect("recovered");
    assert_eq!(done.abandoned.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
    let job = rig.job(id).await;
    assert_eq!((job.state, job.outcome, job.crashes), (JobState::Finished, Some(Outcome::Abandoned), 2));
    assert_eq!((job.finished_at, job.expires_at, job.lease), (Some(t(21)), Some(t(3_621)), None));
}

async fn attempts_that_are_left_outlast_crashes(rig: Rig) {
    let settings = JobSettings { max_attempts: 3, crash_retries: 0, ..rig.make.job("p:work").settings };
    let id = rig.add(JobSpec { settings, ..rig.make.job("p:work") }).await.id;
    for crash in 1..=3 {
        rig.acquire_one(crash * 100).await;
        rig.a.recover(recover(crash * 100 + 10)).await.expect("recovered");
    }
    let job = rig.job(id).await;
    assert_eq!((job.attempt, job.crashes, job.outcome), (3, 3, Some(Outcome::Abandoned)));
}

async fn a_job_asked_to_stop_ends_as_cancelled_when_its_worker_vanishes(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    let (id, _) = rig.acquire_one(0).await;
    rig.a.job_cancel(id, t(1)).await.expect("asked");
    let done = rig.b.recover(recover(10)).await.expect("recovered");
    assert_eq!(done.cancelled.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
    assert_eq!(rig.job(id).await.outcome, Some(Outcome::Cancelled));
}

async fn a_restarted_scheduler_takes_back_what_it_left(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    rig.add(rig.make.job("p:work")).await;
    let (mine, _) = rig.acquire_one(0).await;
    let others = AcquireJobs { holder: scheduler("two"), ..rig.make.acquire(0, 1) };
    let other = ids(&rig.a.job_acquire(others).await.expect("acquired").jobs)[0];
    let request = Recover { holder: Some(scheduler("one")), ..recover(1) };
    let done = rig.b.recover(request).await.expect("recovered");
    assert_eq!(done.requeued.iter().map(|job| job.id).collect::<Vec<_>>(), [mine]);
    assert_eq!(rig.job(other).await.state, JobState::Running);
}

async fn a_recovered_slot_is_free(rig: Rig) {
    rig.a.task_put(task("p:work", Some(1))).await.expect("stored");
    rig.add(rig.make.job("p:work")).await;
    rig.add(rig.make.job("p:work")).await;
    rig.acquire_one(0).await;
    assert!(rig.acquire(10, 1).await.is_empty(), "a late worker still fills its slot");
    rig.a.recover(recover(10)).await.expect("recovered");
    assert_eq!(rig.acquire(10, 9).await.len(), 1);
}

async fn recovery_takes_at_most_as_many_jobs_as_asked(rig: Rig) {
    for _ in 0..5 {
        rig.add(rig.make.job("p:work")).await;
    }
    rig.acquire(0, 5).await;
    let done = rig.a.recover(Recover { limit: 2, ..recover(10) }).await.expect("recovered");
    assert_eq!(done.requeued.len(), 2);
    assert_eq!(rig.a.recover(recover(10)).await.expect("recovered").requeued.len(), 3);
}

async fn recovery_frees_schedules(rig: Rig) {
    rig.a.schedule_add(add(schedule("s", 5))).await.expect("added");
    rig.a.schedule_acquire(rig.make.acquire_schedules(5, 1)).await.expect("acquired");
    assert_eq!(rig.b.recover(recover(14)).await.expect("recovered").schedules, 0);
    let back = Recover { holder: Some(scheduler("one")), ..recover(6) };
    assert_eq!(rig.b.recover(back).await.expect("recovered").schedules, 1);
    assert_eq!(rig.b.schedule_next_due().await.expect("read"), Some(t(5)));
}

async fn recovering_twice_finds_nothing(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    rig.acquire_one(0).await;
    rig.a.recover(recover(10)).await.expect("recovered");
    assert_eq!(rig.b.recover(recover(10)).await.expect("recovered"), host::store::Recovered::default());
}

async fn a_job_taken_back_is_not_missed_for_its_start_deadline(rig: Rig) {
    rig.add(JobSpec { start_deadline: Some(t(2)), ..rig.make.job("p:work") }).await;
    let (id, _) = rig.acquire_one(0).await;
    rig.a.recover(recover(10)).await.expect("recovered");
    assert_eq!(ids(&rig.acquire(10, 1).await), [id]);
}

async fn schedulers_are_listed_as_they_last_reported(rig: Rig) {
    let row = |id: &str, seen, stopped: Option<i64>| SchedulerRow {
        id: scheduler(id),
        role: "both".into(),
        started_at: t(0),
        seen_at: t(seen),
        stopped_at: stopped.map(t),
    };
    rig.a.scheduler_put(row("b", 1, None)).await.expect("put");
    rig.a.scheduler_put(row("a", 2, None)).await.expect("put");
    rig.b.scheduler_put(row("b", 3, Some(3))).await.expect("put");
    assert_eq!(rig.a.scheduler_list().await.expect("listed").rows, [row("a", 2, None), row("b", 3, Some(3))]);
}
