//! What becomes of jobs and schedules whose scheduler vanished.

use host::model::{ErrorKind, JobSettings, JobSpec, JobState, MemoryLoad, Outcome};
use host::store::{AcquireJobs, PutScheduler, Recover, SchedulerPut, SchedulerRow};

use super::{Rig, cases, ids};
use crate::factory::{add, heard_of, incarnation, recover, schedule, scheduler, t, task};

cases![
    a_lease_that_has_not_run_out_is_left_alone,
    a_job_whose_worker_vanished_is_queued_again_at_once,
    a_second_crash_abandons_a_job_with_one_attempt,
    a_job_that_was_not_alone_is_not_ended_for_a_crash,
    a_job_that_must_not_be_tried_again_is_ended_also_where_it_was_not_alone,
    a_job_waits_longer_after_each_crash,
    attempts_that_are_left_outlast_crashes,
    a_job_asked_to_stop_ends_as_cancelled_when_its_worker_vanishes,
    a_restarted_scheduler_takes_back_what_it_left,
    a_recovered_slot_is_free,
    recovery_takes_at_most_as_many_jobs_as_asked,
    recovery_frees_schedules,
    recovering_twice_finds_nothing,
    a_job_taken_back_is_not_missed_for_its_start_deadline,
    schedulers_are_listed_as_they_last_reported,
    an_identity_belongs_to_one_incarnation_until_another_says_that_it_replaces_it,
    of_many_that_claim_an_identity_at_once_one_has_it,
    jobs_that_are_spared_are_left_alone_however_few_are_asked_for,
    what_was_held_when_recovery_was_asked_for_is_left_alone_whenever_it_comes,
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

async fn a_job_that_was_not_alone_is_not_ended_for_a_crash(rig: Rig) {
    for _ in 0..3 {
        rig.add(rig.make.job("p:work")).await;
    }
    for crash in 1..=4 {
        let jobs = rig.acquire(crash * 100, 3).await;
        assert_eq!(jobs.len(), 3, "crash {crash}");
        // One of the leases runs out earlier than the others.
        let first = rig.b.recover(Recover { limit: 1, ..recover(crash * 100 + 10) }).await.expect("recovered");
        assert_eq!((first.requeued.len(), first.abandoned.len()), (1, 0), "crash {crash}");
        let others = rig.b.recover(recover(crash * 100 + 10)).await.expect("recovered");
        assert_eq!((others.requeued.len(), others.abandoned.len()), (2, 0), "crash {crash}");
    }
    // Alone, it is to blame.
    let alone = rig.acquire(1_000, 1).await[0].spec.id;
    let done = rig.b.recover(recover(1_010)).await.expect("recovered");
    assert_eq!(done.abandoned.iter().map(|job| job.id).collect::<Vec<_>>(), [alone]);
}

async fn a_job_that_must_not_be_tried_again_is_ended_also_where_it_was_not_alone(rig: Rig) {
    let settings = JobSettings { crash_retries: 0, ..rig.make.job("p:work").settings };
    for _ in 0..2 {
        rig.add(JobSpec { settings: settings.clone(), ..rig.make.job("p:work") }).await;
    }
    rig.acquire(0, 2).await;
    assert_eq!(rig.b.recover(recover(10)).await.expect("recovered").abandoned.len(), 2);
}

async fn a_job_waits_longer_after_each_crash(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    rig.add(rig.make.job("p:work")).await;
    let mut now = 0;
    for pause in [0, 1, 4, 16] {
        assert_eq!(rig.acquire(now, 2).await.len(), 2, "at {now}");
        rig.b.recover(recover(now + 10)).await.expect("recovered");
        now += 10 + pause;
        assert!(pause == 0 || rig.acquire(now - 1, 2).await.is_empty(), "at {}", now - 1);
    }
    assert_eq!(rig.acquire(now, 2).await.len(), 2);
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
    rig.a.job_cancel(id, None, t(1)).await.expect("asked");
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
        queues: vec!["default".parse().expect("a queue"), id.parse().expect("a queue")],
        abilities: vec!["wasm".parse().expect("an ability"), "inline:add".parse().expect("an ability")],
        incarnation: incarnation("first"),
        memory: stopped.map(|waiting| MemoryLoad {
            total_bytes: u64::MAX >> 1,
            reserved_bytes: 1 << 20,
            waiting: usize::try_from(waiting).unwrap_or(0),
        }),
    };
    for row in [row("b", 1, None), row("a", 2, None), row("b", 3, Some(3))] {
        assert_eq!(rig.b.scheduler_put(heard_of(row)).await.expect("put"), SchedulerPut::Stored);
    }
    assert_eq!(rig.a.scheduler_list().await.expect("listed").rows, [row("a", 2, None), row("b", 3, Some(3))]);
}

async fn an_identity_belongs_to_one_incarnation_until_another_says_that_it_replaces_it(rig: Rig) {
    let row = |life: &str, seen| SchedulerRow {
        id: scheduler("one"),
        role: "both".into(),
        started_at: t(0),
        seen_at: t(seen),
        stopped_at: None,
        incarnation: incarnation(life),
        queues: Vec::new(),
        abilities: Vec::new(),
        memory: None,
    };
    assert_eq!(rig.a.scheduler_put(heard_of(row("first", 1))).await.expect("put"), SchedulerPut::Stored);
    let taken = rig.b.scheduler_put(heard_of(row("second", 2))).await.expect("put");
    assert_eq!(taken, SchedulerPut::Taken(row("first", 1)));
    // Whoever is to be replaced must still be the one that was seen.
    let wrong = PutScheduler { scheduler: row("second", 2), replaces: Some(incarnation("other")) };
    assert_eq!(rig.b.scheduler_put(wrong).await.expect("put"), SchedulerPut::Taken(row("first", 1)));
    let right = PutScheduler { scheduler: row("second", 2), replaces: Some(incarnation("first")) };
    assert_eq!(rig.b.scheduler_put(right).await.expect("put"), SchedulerPut::Stored);
    // The first one learns of it.
    let taken = rig.a.scheduler_put(heard_of(row("first", 3))).await.expect("put");
    assert_eq!(taken, SchedulerPut::Taken(row("second", 2)));
    assert_eq!(rig.a.scheduler_list().await.expect("listed").rows, [row("second", 2)]);
}

async fn of_many_that_claim_an_identity_at_once_one_has_it(rig: Rig) {
    let put = |n: usize| {
        let scheduler = SchedulerRow {
            id: scheduler("one"),
            role: "both".into(),
            started_at: t(0),
            seen_at: t(0),
            stopped_at: None,
            incarnation: incarnation(&format!("life-{n}")),
            queues: Vec::new(),
            abilities: Vec::new(),
            memory: None,
        };
        let store = if n.is_multiple_of(2) { &rig.a } else { &rig.b };
        store.scheduler_put(heard_of(scheduler))
    };
    let answers = futures_util::future::join_all((0..8).map(put)).await;
    let stored = answers.into_iter().filter(|answer| matches!(answer, Ok(SchedulerPut::Stored))).count();
    assert_eq!(stored, 1);
}

async fn jobs_that_are_spared_are_left_alone_however_few_are_asked_for(rig: Rig) {
    for _ in 0..5 {
        rig.add(rig.make.job("p:work")).await;
    }
    let jobs = ids(&rig.acquire(0, 5).await);
    let request = Recover { spared: jobs[..3].to_vec(), limit: 1, ..recover(10) };
    assert_eq!(rig.b.recover(request.clone()).await.expect("recovered").requeued.len(), 1);
    assert_eq!(rig.b.recover(request.clone()).await.expect("recovered").requeued.len(), 1);
    assert_eq!(rig.b.recover(request).await.expect("recovered").requeued.len(), 0);
    for id in &jobs[..3] {
        assert_eq!((rig.job(*id).await.state, rig.job(*id).await.crashes), (JobState::Running, 0));
    }
}

async fn what_was_held_when_recovery_was_asked_for_is_left_alone_whenever_it_comes(rig: Rig) {
    rig.add(rig.make.job("p:work")).await;
    rig.acquire_one(0).await;
    // Asked at 9, and carried out much later: by a server that was stopped meanwhile.
    let late = Recover { now: t(60), ..recover(9) };
    assert!(rig.b.recover(late).await.expect("recovered").requeued.is_empty());
}
