//! Stopping, in all its phases.

use std::sync::Arc;

use host::model::{JobState, Outcome, Settings};
use host::scheduler::{Options, StopReport};
use tests::stage::{Stage, run_until, run_until_killed, succeed, unlimited};
use tests::wait::wait_for;

#[tokio::test]
async fn stopping_waits_for_running_jobs_and_takes_no_new_ones() {
    let stage = Stage::default();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let task = stage.task("t", unlimited(), run_until(&gate)).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let first = stage.submit(stage.job(&task).await).await;
    wait_for("the job to run", || async { (stage.executor.running() == 1).then_some(()) }).await;
    // Of two joined futures the first is polled first: what the second queues comes after stopping has begun.
    let (report, late) = futures_util::future::join(scheduler.stop(), async {
        let late = stage.submit(stage.job(&task).await).await;
        gate.add_permits(2);
        late
    })
    .await;
    assert_eq!(report, StopReport::default());
    assert_eq!(stage.stored(first).await.outcome, Some(Outcome::Success));
    assert_eq!(stage.stored(late).await.state, JobState::Queued);
}

#[tokio::test]
async fn a_job_that_outlasts_the_drain_timeout_is_interrupted_and_given_back_uncounted() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), run_until_killed()).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let id = stage.submit(stage.job(&task).await).await;
    wait_for("the job to run", || async { (stage.executor.running() == 1).then_some(()) }).await;
    let report = stage.stop_in_time(scheduler).await;
    assert_eq!(report, StopReport { interrupted: 1, left_behind: 0 });
    let job = stage.stored(id).await;
    assert_eq!((job.state, job.attempt), (JobState::Queued, 0));
    let rows = stage.store.scheduler_list().await.expect("the store answers").rows;
    assert!(rows[0].stopped_at.is_some());
}

#[tokio::test]
async fn starting_and_stopping_many_schedulers_at_once_loses_no_job() {
    let stage = Arc::new(Stage::default());
    let task = stage.task("t", unlimited(), succeed()).await;
    let mut ids = Vec::new();
    for _ in 0..300 {
        ids.push(stage.submit(stage.job(&task).await).await);
    }
    let rounds = (0..10).map(|worker| {
        let stage = Arc::clone(&stage);
        async move {
            for round in 0..10 {
                let options = Options { max_concurrent_jobs: 2, ..Stage::options(&format!("{worker}-{round}")) };
                stage.start(options).await.stop().await;
            }
        }
    });
    futures_util::future::join_all(rounds).await;
    let last = stage.start(Stage::options("last")).await;
    for id in ids {
        let job = stage.finished(id).await;
        assert_eq!((job.outcome, job.crashes), (Some(Outcome::Success), 0));
    }
    last.stop().await;
}
