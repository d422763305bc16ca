//! Jobs: order, limits, retries, cancellation.

use std::sync::Arc;
use std::time::Duration;

use host::executor::Retry;
use host::model::{Backoff, EventKind, ExecutorName, JobState, Outcome, Settings};
use host::scheduler::{Executors, Options, Scheduler};
use tests::stage::{
    Stage, at_most, fail, run_until, run_until_cancelled, run_until_cancelled_or, run_until_killed, succeed, unlimited,
};
use tests::wait::wait_for;

/// No spread, so that times can be told.
fn steady_backoff() -> Backoff {
    Backoff { jitter_percent: 0, ..Backoff::default() }
}

#[tokio::test]
async fn a_submitted_job_runs_at_once_and_its_result_is_kept() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), succeed()).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let id = stage.submit(stage.job(&task).await).await;
    let job = stage.finished(id).await;
    assert_eq!(job.outcome, Some(Outcome::Success));
    assert_eq!(job.result.map(|result| result.data.to_vec()), Some(b"\"done\"".to_vec()));
    assert_eq!(job.scheduler_id.map(|id| id.to_string()), Some("one".to_owned()));
    scheduler.stop().await;
}

#[tokio::test]
async fn what_a_scheduler_has_done_is_counted_by_task_and_by_how_it_ended() {
    let stage = Stage::default();
    let good = stage.task("good", unlimited(), succeed()).await;
    let bad = stage
        .task(
            "bad",
            Settings { max_attempts: Some(2), backoff: Some(steady_backoff()), ..unlimited() },
            fail(Retry::Backoff),
        )
        .await;
    let scheduler = stage.start(Stage::options("one")).await;
    for _ in 0..3 {
        let id = stage.submit(stage.job(&good).await).await;
        stage.finished(id).await;
    }
    let id = stage.submit(stage.job(&bad).await).await;
    stage
        .advance_until("both attempts", Duration::from_secs(1), || async { stage.stored(id).await.attempt == 2 })
        .await;
    stage.finished(id).await;
    stage.schedule("s", &good, r#"{"type":"interval","seconds":10}"#, Default::default()).await;
    let fired = || async { stage.jobs().await.len() >= 6 };
    stage.advance_until("two fires", Duration::from_secs(1), fired).await;
    let measured = wait_for("their ends to be counted", || async {
        let measured = scheduler.measured();
        (measured.tasks.iter().map(|(_, task)| task.queued.counts.iter().sum::<u64>()).sum::<u64>() >= 7)
            .then_some(measured)
    })
    .await;
    let ends = |task| {
        let found = measured.tasks.iter().find(|(id, _)| id.as_ref() == Some(task));
        found.map(|(_, task)| task.ends.clone().into_iter().collect::<Vec<_>>()).unwrap_or_default()
    };
    assert_eq!(ends(&bad), [("error", 1), ("retry", 1)]);
    assert_eq!(ends(&good)[0].0, "success");
    assert_eq!(measured.errors.values().sum::<u64>(), 2, "{:?}", measured.errors);
    assert!(measured.jobs_made >= 2 && measured.lateness.counts.iter().sum::<u64>() >= 2, "{measured:?}");
    assert_eq!((measured.running, measured.leases_lost), (0, 0));
    scheduler.stop().await;
}

#[tokio::test]
async fn every_job_runs_although_the_broker_delivers_nothing() {
    let stage = Stage::default().silent();
    let task = stage.task("t", unlimited(), succeed()).await;
    let scheduler = stage.start(Stage::options("one")).await;
    stage.schedule("s", &task, r#"{"type":"interval","seconds":10}"#, Default::default()).await;
    for _ in 0..20 {
        stage.submit(stage.job(&task).await).await;
    }
    stage
        .advance_until("all jobs to finish by polling", Duration::from_millis(300), || async {
            let jobs = stage.jobs().await;
            jobs.len() >= 23 && jobs.iter().all(|job| job.state == JobState::Finished)
        })
        .await;
    scheduler.stop().await;
}

#[tokio::test]
async fn a_retryable_failure_is_tried_again_after_its_backoff_until_attempts_run_out() {
    let stage = Stage::default();
    let settings = Settings { max_attempts: Some(3), backoff: Some(steady_backoff()), ..Settings::default() };
    let task = stage.task("t", settings, fail(Retry::Backoff)).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let id = stage.submit(stage.job(&task).await).await;
    for (attempt, pause) in [(1, 1), (2, 2)] {
        let job = wait_for("the attempt to fail", || async {
            let job = stage.stored(id).await;
            (job.state == JobState::Queued && job.attempt == attempt).then_some(job)
        })
        .await;
        assert_eq!(job.error.expect("it says why").message, format!("attempt {attempt} failed"));
        stage.clock.advance(Duration::from_secs(pause));
    }
    let job = stage.finished(id).await;
    assert_eq!((job.outcome, job.attempt), (Some(Outcome::Error), 3));
    scheduler.stop().await;
}

#[tokio::test]
async fn a_permanent_failure_is_not_tried_again() {
    let stage = Stage::default();
    let settings = Settings { max_attempts: Some(3), ..Settings::default() };
    let task = stage.task("t", settings, fail(Retry::Never)).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let id = stage.submit(stage.job(&task).await).await;
    let job = stage.finished(id).await;
    assert_eq!((job.outcome, job.attempt), (Some(Outcome::Error), 1));
    scheduler.stop().await;
}

#[tokio::test]
async fn a_guest_may_choose_its_own_pause() {
    let stage = Stage::default();
    let settings = Settings { max_attempts: Some(2), ..Settings::default() };
    let task = stage.task("t", settings, fail(Retry::After(Duration::from_secs(90)))).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let id = stage.submit(stage.job(&task).await).await;
    let job = wait_for("the first attempt to fail", || async {
        Some(stage.stored(id).await).filter(|job| job.state == JobState::Queued && job.attempt == 1)
    })
    .await;
    assert_eq!(job.spec.due_at, tests::stage::at("12:01:30"));
    scheduler.stop().await;
}

#[tokio::test]
async fn a_saturated_task_never_runs_more_than_it_may_and_blocks_nobody() {
    let stage = Stage::default();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let narrow = stage.task("narrow", at_most(2), run_until(&gate)).await;
    let wide = stage.task("wide", unlimited(), succeed()).await;
    let schedulers = [stage.start(Stage::options("one")).await, stage.start(Stage::options("two")).await];
    let mut blocked = Vec::new();
    for _ in 0..20 {
        blocked.push(stage.submit(stage.job(&narrow).await).await);
    }
    wait_for("two jobs of the narrow task to run", || async { (stage.executor.running() == 2).then_some(()) }).await;
    let free = stage.submit(stage.job(&wide).await).await;
    stage.finished(free).await;
    assert_eq!(stage.executor.running(), 2);
    gate.add_permits(20);
    for id in blocked {
        assert_eq!(stage.finished(id).await.outcome, Some(Outcome::Success));
    }
    // The two of the narrow task, and the one of the wide.
    assert!(stage.executor.most_running() <= 3, "{} ran at once", stage.executor.most_running());
    for scheduler in schedulers {
        scheduler.stop().await;
    }
}

#[tokio::test]
async fn a_scheduler_never_runs_more_jobs_than_it_has_slots() {
    let stage = Stage::default();
    let task = stage.task("t", unlimited(), succeed()).await;
    for _ in 0..200 {
        stage.submit(stage.job(&task).await).await;
    }
    let scheduler = stage.start(Options { max_concurrent_jobs: 3, ..Stage::options("one") }).await;
    wait_for("all jobs to finish", || async {
        stage.jobs().await.iter().all(|job| job.state == JobState::Finished).then_some(())
    })
    .await;
    assert!(stage.executor.most_running() <= 3, "{} ran at once", stage.executor.most_running());
    assert_eq!(stage.executor.attempts().len(), 200);
    scheduler.stop().await;
}

#[tokio::test]
async fn jobs_start_by_priority_then_by_age() {
    let stage = Stage::default();
    let task = stage.task("t", unlimited(), succeed()).await;
    let mut ids = Vec::new();
    for priority in [0, 5, 0, -1, 5] {
        let mut job = stage.job(&task).await;
        job.settings.priority = priority;
        ids.push(stage.submit(job).await);
    }
    let scheduler = stage.start(Options { max_concurrent_jobs: 1, ..Stage::options("one") }).await;
    for id in &ids {
        stage.finished(*id).await;
    }
    let order: Vec<_> = stage.executor.attempts().into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, [ids[1], ids[4], ids[0], ids[2], ids[3]]);
    scheduler.stop().await;
}

#[tokio::test]
async fn a_running_job_that_is_cancelled_is_asked_and_ends_as_cancelled() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), run_until_cancelled()).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let id = stage.submit(stage.job(&task).await).await;
    wait_for("the job to run", || async { (stage.executor.running() == 1).then_some(()) }).await;
    cancel(&stage, id).await;
    assert_eq!(stage.finished(id).await.outcome, Some(Outcome::Cancelled));
    scheduler.stop().await;
}

#[tokio::test]
async fn an_event_alone_cancels_no_job() {
    let stage = Stage::default();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let task = stage.task("t", unlimited(), run_until_cancelled_or(&gate)).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let (made_up, cancelled) = (stage.submit(stage.job(&task).await).await, stage.submit(stage.job(&task).await).await);
    wait_for("the jobs to run", || async { (stage.executor.running() == 2).then_some(()) }).await;
    publish_cancel(&stage, made_up).await;
    // Events are received in order, so that the first one has been looked into when the second one has stopped its job.
    cancel(&stage, cancelled).await;
    assert_eq!(stage.finished(cancelled).await.outcome, Some(Outcome::Cancelled));
    gate.add_permits(1);
    assert_eq!(stage.finished(made_up).await.outcome, Some(Outcome::Success));
    scheduler.stop().await;
}

#[tokio::test]
async fn a_job_that_does_not_listen_is_stopped_after_its_grace_period() {
    let stage = Stage::default().silent();
    let task = stage.task("t", Settings::default(), run_until_killed()).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let id = stage.submit(stage.job(&task).await).await;
    stage.advance_until("the job to run", Duration::from_millis(100), || async { stage.executor.running() == 1 }).await;
    // Nobody tells the worker: it learns of it when it looks.
    stage.store.job_cancel(id, None, host::clock::Clock::now(&stage.clock)).await.expect("the job exists");
    stage
        .advance_until("the job to be killed", Duration::from_millis(100), || async {
            stage.stored(id).await.state == JobState::Finished
        })
        .await;
    assert_eq!(stage.stored(id).await.outcome, Some(Outcome::Cancelled));
    scheduler.stop().await;
}

/// Cancels a job that listens to nothing while the broker delivers nothing, and answers how long it takes until its end is stored.
async fn killed_within(stage: &Stage, id: host::model::JobId, grace: Option<Duration>) -> Duration {
    let began = host::clock::Clock::monotonic(&stage.clock);
    stage.store.job_cancel(id, grace, host::clock::Clock::now(&stage.clock)).await.expect("the job exists");
    stage
        .advance_until("the job to be killed", Duration::from_millis(20), || async {
            stage.stored(id).await.state == JobState::Finished
        })
        .await;
    assert_eq!(stage.stored(id).await.outcome, Some(Outcome::Cancelled));
    host::clock::Clock::monotonic(&stage.clock).saturating_since(began)
}

#[tokio::test]
async fn a_job_is_stopped_within_the_grace_period_that_whoever_cancels_it_gives_and_without_one_within_a_second() {
    let stage = Stage::default().silent();
    let task = stage.task("t", unlimited(), run_until_killed()).await;
    let options = Options { lease_duration: Duration::from_secs(600), ..Stage::options("one") };
    let scheduler = stage.start(options).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(stage.submit(stage.job(&task).await).await);
    }
    stage.advance_until("the jobs to run", Duration::from_millis(20), || async { stage.executor.running() == 3 }).await;
    let now = killed_within(&stage, ids[0], Some(Duration::ZERO)).await;
    assert!(now < Duration::from_secs(1), "{now:?}");
    let soon = killed_within(&stage, ids[1], Some(Duration::from_secs(2))).await;
    assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&soon), "{soon:?}");
    // Asked to stop in its own time first, and then told that it has none.
    stage
        .store
        .job_cancel(ids[2], Some(Duration::from_secs(3_600)), host::clock::Clock::now(&stage.clock))
        .await
        .expect("asked");
    for _ in 0..100 {
        stage.clock.advance(Duration::from_millis(20));
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.stored(ids[2]).await.state, JobState::Running);
    let after_all = killed_within(&stage, ids[2], Some(Duration::ZERO)).await;
    assert!(after_all < Duration::from_secs(1), "{after_all:?}");
    scheduler.stop().await;
}

#[tokio::test]
async fn a_job_past_its_start_deadline_never_starts() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), succeed()).await;
    let mut job = stage.job(&task).await;
    job.start_deadline = Some(tests::stage::at("12:00:10"));
    let id = stage.submit(job).await;
    stage.clock.advance(Duration::from_secs(11));
    let scheduler = stage.start(Stage::options("one")).await;
    let job = stage.finished(id).await;
    assert_eq!((job.outcome, job.attempt), (Some(Outcome::MissedStartDeadline), 0));
    assert!(stage.executor.attempts().is_empty());
    scheduler.stop().await;
}

#[tokio::test]
async fn a_job_that_needs_another_executor_waits_while_others_run_and_starts_once_somebody_has_it() {
    let stage = Stage::default();
    let gpu: ExecutorName = "gpu".parse().expect("a name");
    let special = Settings { executor: Some(gpu.clone()), ..unlimited() };
    let special = stage.task("special", special, succeed()).await;
    let plain = stage.task("plain", unlimited(), succeed()).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let waiting = stage.submit(stage.job(&special).await).await;
    for _ in 0..10 {
        let id = stage.submit(stage.job(&plain).await).await;
        assert_eq!(stage.finished(id).await.outcome, Some(Outcome::Success));
    }
    let job = stage.stored(waiting).await;
    assert_eq!((job.state, job.attempt, job.error), (JobState::Queued, 0, None), "it is not ended, nor begun");
    let mut parts = stage.parts(Arc::clone(&stage.executor));
    parts.executors = Executors::default().with(gpu, stage.executor.clone());
    let other = Scheduler::start(parts, Stage::options("other")).await.expect("it starts");
    let job = stage.finished(waiting).await;
    assert_eq!((job.outcome, job.attempt), (Some(Outcome::Success), 1));
    assert_eq!(job.scheduler_id.map(|id| id.to_string()), Some("other".to_owned()));
    scheduler.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_worker_runs_only_jobs_of_its_queues_and_of_each_no_more_than_its_limit() {
    let stage = Stage::default();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let settings = |queue: &str| Settings { queue: Some(queue.parse().expect("a queue")), ..unlimited() };
    let narrow = stage.task("narrow", settings("narrow"), run_until(&gate)).await;
    let other = stage.task("other", settings("other"), succeed()).await;
    let usual = stage.task("usual", unlimited(), succeed()).await;
    let queues = ["default", "narrow=2"].map(|text| text.parse().expect("a queue")).to_vec();
    let scheduler = stage.start(Options { queues, ..Stage::options("one") }).await;
    let elsewhere = stage.submit(stage.job(&other).await).await;
    let mut gated = Vec::new();
    for _ in 0..5 {
        gated.push(stage.submit(stage.job(&narrow).await).await);
    }
    wait_for("two of the narrow queue to run", || async { (stage.executor.running() == 2).then_some(()) }).await;
    let id = stage.submit(stage.job(&usual).await).await;
    assert_eq!(stage.finished(id).await.outcome, Some(Outcome::Success), "the full queue holds up no other");
    assert_eq!(stage.executor.running(), 2);
    gate.add_permits(5);
    for id in gated {
        assert_eq!(stage.finished(id).await.outcome, Some(Outcome::Success));
    }
    assert!(stage.executor.most_running() <= 3, "{} ran at once", stage.executor.most_running());
    assert_eq!(stage.stored(elsewhere).await.state, JobState::Queued, "nobody serves its queue");
    scheduler.stop().await;
}

#[tokio::test]
async fn run_one_runs_that_job_here_with_all_its_attempts_and_leaves_the_others() {
    let stage = Stage::default();
    let settings = Settings {
        max_attempts: Some(2),
        backoff: Some(Backoff { initial: Duration::ZERO, ..steady_backoff() }),
        ..unlimited()
    };
    let task = stage.task("t", settings, fail(Retry::Backoff)).await;
    let other = stage.submit(stage.job(&task).await).await;
    let id = stage.submit(stage.job(&task).await).await;
    let parts = stage.parts(Arc::clone(&stage.executor));
    let job = host::scheduler::run_one(&parts, Stage::options("here"), id).await.expect("the job exists");
    assert_eq!((job.outcome, job.attempt), (Some(Outcome::Error), 2));
    assert_eq!(stage.stored(other).await.state, JobState::Queued);
}

async fn cancel(stage: &Stage, id: host::model::JobId) {
    let now = host::clock::Clock::now(&stage.clock);
    stage.store.job_cancel(id, None, now).await.expect("the job exists");
    publish_cancel(stage, id).await;
}

async fn publish_cancel(stage: &Stage, id: host::model::JobId) {
    let now = host::clock::Clock::now(&stage.clock);
    let event = host::model::Event { at: now, kind: EventKind::JobCancelRequested { job_id: id } };
    stage.broker.publish(vec![event]).await.expect("the broker takes an event");
}
