//! Schedules that fire.

use std::time::Duration;

use host::broker::Delivery;
use host::model::{Coalesce, EventKind, JobState, Outcome, Overlap, Pause, Settings};
use host::scheduler::{Options, Role};
use tests::stage::{Stage, at, run_until_cancelled, succeed, unlimited};
use tests::wait::wait_for;

#[tokio::test]
async fn a_schedule_fires_at_its_times_and_each_fire_runs_once() {
    let stage = Stage::default();
    let task = stage.task("t", unlimited(), succeed()).await;
    stage.schedule("s", &task, r#"{"type":"interval","seconds":10}"#, Coalesce::All).await;
    // Two schedulers on one store: neither doubles a fire of the other.
    let schedulers = [stage.start(Stage::options("one")).await, stage.start(Stage::options("two")).await];
    stage
        .advance_until("seven jobs to finish", Duration::from_secs(1), || async {
            stage.jobs().await.iter().filter(|job| job.state == JobState::Finished).count() >= 7
        })
        .await;
    let mut times: Vec<_> = stage.jobs().await.iter().filter_map(|job| job.spec.scheduled_fire_time).collect();
    times.sort();
    let expected: Vec<_> =
        (0..times.len() as u64).map(|n| at("12:00:00").saturating_add(Duration::from_secs(10 * n))).collect();
    assert_eq!(times, expected);
    for scheduler in schedulers {
        scheduler.stop().await;
    }
}

#[tokio::test]
async fn after_a_long_absence_one_job_is_made_for_the_latest_missed_fire() {
    let stage = Stage::default();
    let task = stage.task("t", unlimited(), succeed()).await;
    let id = stage.schedule("s", &task, r#"{"type":"interval","seconds":1}"#, Coalesce::Latest).await;
    stage.clock.advance(Duration::from_secs(366 * 24 * 60 * 60));
    let now = host::clock::Clock::now(&stage.clock);
    let scheduler = stage.start(Stage::options("one")).await;
    wait_for("the schedule to fire", || async {
        let schedule = stage.store.schedule_get(&id).await.expect("the store answers").expect("it exists");
        schedule.last_fire_time
    })
    .await;
    let jobs = stage.jobs().await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].spec.scheduled_fire_time, Some(now));
    scheduler.stop().await;
}

#[tokio::test]
async fn a_scheduler_without_the_worker_role_fires_but_runs_nothing_and_a_worker_the_reverse() {
    let stage = Stage::default();
    let task = stage.task("t", unlimited(), succeed()).await;
    let schedules_only = stage.start(Options { role: Role::Scheduler, ..Stage::options("scheduler") }).await;
    stage.schedule("s", &task, r#"{"type":"interval","seconds":10}"#, Coalesce::All).await;
    stage
        .advance_until("the schedule to fire", Duration::from_millis(100), || async { !stage.jobs().await.is_empty() })
        .await;
    stage.clock.advance(Duration::from_secs(60));
    wait_for("more fires", || async { (stage.jobs().await.len() == 7).then_some(()) }).await;
    assert!(stage.executor.attempts().is_empty());
    schedules_only.stop().await;

    let worker = stage.start(Options { role: Role::Worker, ..Stage::options("worker") }).await;
    wait_for("the worker to run what was queued", || async {
        stage.jobs().await.iter().all(|job| job.outcome == Some(Outcome::Success)).then_some(())
    })
    .await;
    stage.clock.advance(Duration::from_secs(60));
    // The worker looks around several times without a fire being made.
    wait_for("the worker to be alive", || async {
        let rows = stage.store.scheduler_list().await.expect("the store answers").rows;
        stage.clock.advance(Duration::from_secs(1));
        rows.iter().any(|row| row.role == "worker" && row.seen_at > at("12:02:00")).then_some(())
    })
    .await;
    assert_eq!(stage.jobs().await.len(), 7);
    worker.stop().await;
}

#[tokio::test]
async fn a_schedule_whose_trigger_cannot_be_read_rests_with_the_reason_and_harms_no_other() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), succeed()).await;
    let bad = stage.schedule("bad", &task, r#"{"type":"interval","seconds":10}"#, Coalesce::Latest).await;
    let mut broken = stage.store.schedule_get(&bad).await.expect("the store answers").expect("it exists");
    broken.trigger = r#"{"type":"interval","sec"#.to_owned();
    let replace = host::store::AddSchedule { schedule: broken, conflict: host::model::ConflictPolicy::Replace };
    stage.store.schedule_add(replace).await.expect("it is replaced");
    stage.schedule("good", &task, r#"{"type":"interval","seconds":10}"#, Coalesce::Latest).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let pause = wait_for("the schedule to be paused", || async {
        stage.store.schedule_get(&bad).await.expect("the store answers").expect("it exists").pause
    })
    .await;
    assert!(matches!(&pause, Pause::Failed(reason) if reason.contains("trigger")), "{pause:?}");
    wait_for("the other one to fire", || async { (stage.jobs().await.len() == 1).then_some(()) }).await;
    scheduler.stop().await;
}

#[tokio::test]
async fn a_job_that_outlasts_the_interval_is_stopped_for_the_next_one_and_that_is_reported() {
    let stage = Stage::default();
    let settings = Settings { overlap: Some(Overlap::CancelRunning), ..unlimited() };
    let task = stage.task("t", settings, run_until_cancelled()).await;
    let id = stage.schedule("s", &task, r#"{"type":"interval","seconds":10}"#, Coalesce::Latest).await;
    let mut events = stage.broker.subscribe();
    let scheduler = stage.start(Stage::options("one")).await;
    stage
        .advance_until("three jobs to be cancelled", Duration::from_secs(1), || async {
            stage.jobs().await.iter().filter(|job| job.outcome == Some(Outcome::Cancelled)).count() >= 3
        })
        .await;
    let running = stage.jobs().await.iter().filter(|job| job.state == JobState::Running).count();
    assert!(running <= 1, "{running} run");
    let stored = stage.store.schedule_get(&id).await.expect("the store answers").expect("it exists");
    assert_eq!(stored.overruns_since, Some(at("12:00:10")));
    stage.stop_in_time(scheduler).await;
    let (mut told, mut asked) = (0, 0);
    // The subscription ends behind what was told before.
    stage.broker.close().await;
    while let Some(Delivery::Event(event)) = events.next().await {
        match event.kind {
            EventKind::ScheduleOverrun { schedule_id, .. } if schedule_id == id => told += 1,
            EventKind::JobCancelRequested { .. } => asked += 1,
            _ => {}
        }
    }
    assert_eq!(told, 1, "once for the whole stretch");
    assert!(asked >= 3, "{asked}");
}
