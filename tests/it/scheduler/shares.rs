//! Tasks whose jobs fill the slots, or stand in a long line, and the others.

use std::sync::Arc;
use std::time::Duration;

use host::executor::Verdict;
use host::model::{JobId, JobState, Payload, TaskId};
use host::scheduler::Options;
use tests::stage::{Script, Stage, run_until, succeed, unlimited};
use tokio::sync::Semaphore;

/// How the clock is moved while something is waited for.
const STEP: Duration = Duration::from_millis(10);

async fn submit(stage: &Stage, task: &TaskId, count: usize) -> Vec<JobId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(stage.submit(stage.job(task).await).await);
    }
    ids
}

async fn count(stage: &Stage, task: &TaskId, state: JobState) -> usize {
    stage.jobs().await.iter().filter(|job| job.spec.task_id == *task && job.state == state).count()
}

async fn until_running(stage: &Stage, task: &TaskId, jobs: usize) {
    stage.advance_until("jobs to run", STEP, || async { count(stage, task, JobState::Running).await == jobs }).await;
}

async fn until_finished(stage: &Stage, id: JobId) {
    let is_finished = || async { stage.stored(id).await.state == JobState::Finished };
    stage.advance_until("the job to finish", STEP, is_finished).await;
}

fn slots(max_concurrent_jobs: usize, spare_slots: Option<usize>) -> Options {
    Options { max_concurrent_jobs, spare_slots, ..Stage::options("one") }
}

#[tokio::test]
async fn a_task_whose_jobs_fill_the_slots_keeps_no_other_from_starting() {
    let stage = Stage::default();
    let gate = Arc::new(Semaphore::new(0));
    let long = stage.task("long", unlimited(), run_until(&gate)).await;
    let other = stage.task("other", unlimited(), succeed()).await;
    submit(&stage, &long, 10).await;
    let scheduler = stage.start(slots(4, Some(2))).await;
    for _ in 0..5 {
        let id = submit(&stage, &other, 1).await[0];
        until_finished(&stage, id).await;
    }
    assert_eq!(count(&stage, &long, JobState::Running).await, 4, "who fills the slots gets no spare ones");
    gate.add_permits(10);
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn a_task_with_a_long_line_of_jobs_keeps_no_other_waiting_for_its_end() {
    let stage = Stage::default();
    let clock = stage.clock.clone();
    let short: Script = Arc::new(move |_, _| {
        clock.advance(Duration::from_millis(1));
        Box::pin(async { Verdict::Success(Payload::no_args()) })
    });
    let flood = stage.task("flood", unlimited(), short).await;
    let other = stage.task("other", unlimited(), succeed()).await;
    let flood_ids = submit(&stage, &flood, 3_000).await;
    let id = submit(&stage, &other, 1).await[0];
    let scheduler = stage.start(slots(2, Some(1))).await;
    let last = stage.finished(flood_ids[2_999]).await;
    let other = stage.finished(id).await;
    assert!(other.finished_at < last.finished_at, "{other:?} {last:?}");
    scheduler.stop().await;
}

#[tokio::test]
async fn no_more_than_the_spare_slots_are_taken_beyond_the_others() {
    let stage = Stage::default();
    let gates: Vec<Arc<Semaphore>> = (0..4).map(|_| Arc::new(Semaphore::new(0))).collect();
    let mut tasks = Vec::new();
    for (name, gate) in ["a", "b", "c", "d"].into_iter().zip(&gates) {
        tasks.push(stage.task(name, unlimited(), run_until(gate)).await);
    }
    submit(&stage, &tasks[0], 5).await;
    let scheduler = stage.start(slots(2, Some(1))).await;
    until_running(&stage, &tasks[0], 2).await;
    for task in &tasks[1..] {
        submit(&stage, task, 2).await;
    }
    until_running(&stage, &tasks[1], 1).await;
    for _ in 0..200 {
        stage.clock.advance(STEP);
        tests::stage::settle().await;
    }
    assert_eq!(stage.executor.most_running(), 3);
    gates[1].add_permits(2);
    until_running(&stage, &tasks[2], 1).await;
    assert_eq!(
        count(&stage, &tasks[1], JobState::Running).await,
        0,
        "the oldest job of those that run nothing came next"
    );
    assert_eq!(stage.executor.most_running(), 3);
    gates.iter().for_each(|gate| gate.add_permits(10));
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn without_spare_slots_nothing_runs_beyond_the_others() {
    let stage = Stage::default();
    let gate = Arc::new(Semaphore::new(0));
    let long = stage.task("long", unlimited(), run_until(&gate)).await;
    let other = stage.task("other", unlimited(), succeed()).await;
    submit(&stage, &long, 5).await;
    let scheduler = stage.start(slots(2, Some(0))).await;
    until_running(&stage, &long, 2).await;
    let id = submit(&stage, &other, 1).await[0];
    for _ in 0..200 {
        stage.clock.advance(STEP);
        tests::stage::settle().await;
    }
    assert_eq!((stage.executor.most_running(), stage.stored(id).await.state), (2, JobState::Queued));
    gate.add_permits(10);
    stage.finished(id).await;
    stage.stop_in_time(scheduler).await;
}
