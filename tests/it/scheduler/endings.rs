//! Schedules that are paused or finished by how their jobs end, or by the number of their fires.

use std::num::NonZeroU32;
use std::time::Duration;

use host::broker::Delivery;
use host::executor::Retry;
use host::model::{Coalesce, EventKind, HookSettings, JobState, Pause, PauseAfter, Schedule, ScheduleId, Settings};
use tests::stage::{Stage, fail, succeed, unlimited};

const EVERY_TEN_SECONDS: &str = r#"{"type":"interval","seconds":10}"#;

async fn stored(stage: &Stage, id: &ScheduleId) -> Schedule {
    stage.store.schedule_get(id).await.expect("the store answers").expect("it exists")
}

/// Waits until everything that was queued has ended.
async fn all_ended(stage: &Stage) -> bool {
    stage.jobs().await.iter().all(|job| job.state == JobState::Finished)
}

#[tokio::test]
async fn a_schedule_whose_jobs_fail_is_paused_as_its_task_says_and_that_is_told_once() {
    let stage = Stage::default();
    let settings = Settings { pause_after: NonZeroU32::new(3).map(PauseAfter::Failures), ..unlimited() };
    let task = stage.task("t", settings, fail(Retry::Never)).await;
    let id = stage.schedule("s", &task, EVERY_TEN_SECONDS, Coalesce::Latest).await;
    let mut events = stage.broker.subscribe();
    let scheduler = stage.start(Stage::options("one")).await;
    stage
        .advance_until("the schedule to be paused", Duration::from_secs(10), || async {
            all_ended(&stage).await && stored(&stage, &id).await.pause.is_some()
        })
        .await;
    let paused = stored(&stage, &id).await;
    let Some(Pause::Failed(reason)) = &paused.pause else { panic!("{paused:?}") };
    assert!(reason.starts_with("3 jobs failed one after the other"), "{reason}");
    assert_eq!((paused.failures, stage.jobs().await.len()), (3, 3));
    stage.pass(Duration::from_secs(60)).await;
    assert_eq!(stage.jobs().await.len(), 3, "it rests");
    stage.stop_in_time(scheduler).await;
    stage.broker.close().await;
    let mut told = Vec::new();
    while let Some(Delivery::Event(event)) = events.next().await {
        if let EventKind::ScheduleFailed { schedule_id, message } = event.kind {
            told.push((schedule_id, message));
        }
    }
    assert_eq!(told, [(id, reason.clone())]);
}

#[tokio::test]
async fn a_schedule_fires_as_often_as_it_may_also_by_a_scheduler_that_takes_over() {
    let stage = Stage::default();
    let task = stage.task("t", unlimited(), succeed()).await;
    let settings = Settings { max_fires: NonZeroU32::new(4), ..Settings::default() };
    let id = stage.schedule_with("s", &task, EVERY_TEN_SECONDS, Coalesce::All, settings).await;
    let first = stage.start(Stage::options("one")).await;
    stage
        .advance_until("two fires", Duration::from_secs(10), || async { stored(&stage, &id).await.fire_count >= 2 })
        .await;
    stage.stop_in_time(first).await;
    // More is missed than is left.
    stage.clock.advance(Duration::from_secs(600));
    let second = stage.start(Stage::options("two")).await;
    stage
        .advance_until("the last fire", Duration::from_secs(1), || async {
            stored(&stage, &id).await.next_fire_time.is_none()
        })
        .await;
    assert_eq!((stored(&stage, &id).await.fire_count, stage.jobs().await.len()), (4, 4));
    stage.stop_in_time(second).await;
}

#[tokio::test]
async fn the_first_success_is_the_end_of_a_schedule_that_waits_for_it() {
    let stage = Stage::default();
    let task = stage.task("t", unlimited(), succeed()).await;
    let settings = Settings { until_success: Some(true), ..Settings::default() };
    let id = stage.schedule_with("s", &task, EVERY_TEN_SECONDS, Coalesce::Latest, settings).await;
    let scheduler = stage.start(Stage::options("one")).await;
    stage
        .advance_until("the schedule to be finished", Duration::from_millis(100), || async {
            stored(&stage, &id).await.next_fire_time.is_none()
        })
        .await;
    stage.pass(Duration::from_secs(60)).await;
    assert_eq!(stage.jobs().await.len(), 1);
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn hooks_are_called_once_for_each_end_and_call_none_themselves() {
    let stage = Stage::default();
    let hooks = |task: &str| HookSettings {
        on_failure: Some(task.parse().expect("a hook")),
        on_missed: Some(task.parse().expect("a hook")),
        ..HookSettings::default()
    };
    let failing = Settings { hooks: hooks("alert"), max_attempts: Some(2), ..unlimited() };
    let task = stage.task("t", failing, fail(Retry::Backoff)).await;
    // It fails as well, and its own hook would call it for ever.
    let alert = stage.task("alert", Settings { hooks: hooks("alert"), ..unlimited() }, fail(Retry::Never)).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let failed = stage.submit(stage.job(&task).await).await;
    let late = host::model::JobSpec { start_deadline: Some(host::model::Timestamp::EPOCH), ..stage.job(&task).await };
    let late = stage.submit(late).await;
    stage
        .advance_until("both hooks to have ended", Duration::from_secs(5), || async {
            stage.jobs().await.len() == 4 && all_ended(&stage).await
        })
        .await;
    stage.pass(Duration::from_secs(60)).await;
    let jobs = stage.jobs().await;
    assert_eq!(jobs.len(), 4, "the job of a hook calls none");
    let mut told = Vec::new();
    for job in jobs.iter().filter(|job| job.spec.task_id == alert) {
        let args: serde_json::Value = serde_json::from_slice(&job.spec.args.data).expect("JSON");
        told.push((args["job"]["id"].clone(), args["job"]["outcome"].clone(), args["job"]["attempt"].clone()));
    }
    for expected in [(failed, "error", 2), (late, "missed_start_deadline", 0)] {
        let (id, outcome, attempt) = expected;
        assert!(told.contains(&(id.to_string().into(), outcome.into(), attempt.into())), "{told:?}");
    }
    stage.stop_in_time(scheduler).await;
}
