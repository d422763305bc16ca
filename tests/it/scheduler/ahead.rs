//! Jobs that are taken before there are slots for them, and ends that go to the store together with the wish for the next jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host::executor::Verdict;
use host::model::{Job, JobState, Outcome, Payload, TaskId};
use host::scheduler::{Handle, Options};
use tests::doubles::damaged::{Damaged, Refusal};
use tests::stage::{Script, Stage, run_until, succeed, unlimited};
use tests::wait::wait_for;

/// A stage whose store counts its calls.
fn counting() -> (Stage, Arc<Damaged>) {
    let calm = Stage::default();
    let store = Arc::new(Damaged::new(Arc::clone(&calm.store)));
    (calm.with_same_players(Arc::clone(&store) as _), store)
}

/// Ends well after a millisecond, by the clock of the stage, which it moves.
fn short(stage: &Stage) -> Script {
    let clock = stage.clock.clone();
    Arc::new(move |_, _| {
        clock.advance(Duration::from_millis(1));
        Box::pin(async { Verdict::Success(Payload::no_args()) })
    })
}

/// The first `count` attempts do the one thing, the others the other one.
fn first_then(count: usize, first: Script, then: Script) -> Script {
    let begun = AtomicUsize::new(0);
    Arc::new(move |job, control| {
        let script = if begun.fetch_add(1, Ordering::Relaxed) < count { &first } else { &then };
        script(job, control)
    })
}

async fn submit(stage: &Stage, task: &TaskId, count: usize) {
    for _ in 0..count {
        stage.submit(stage.job(task).await).await;
    }
}

async fn in_state(stage: &Stage, state: JobState) -> Vec<Job> {
    stage.jobs().await.into_iter().filter(|job| job.state == state).collect()
}

async fn all_finish(stage: &Stage) {
    let finished = || async { stage.jobs().await.iter().all(|job| job.state == JobState::Finished).then_some(()) };
    wait_for("all jobs to finish", finished).await;
}

#[tokio::test]
async fn an_end_and_the_wish_for_the_next_job_go_to_the_store_in_one_call() {
    let (stage, store) = counting();
    let task = stage.task("t", unlimited(), succeed()).await;
    submit(&stage, &task, 30).await;
    let scheduler = stage.start(Options { max_concurrent_jobs: 1, ..Stage::options("one") }).await;
    all_finish(&stage).await;
    let calls = ["job_exchange", "job_acquire", "job_release"].map(|name| store.calls(name));
    assert!(calls[0] >= 29 && calls[1] <= 3 && calls[2] <= 1, "{calls:?}");
    scheduler.stop().await;
}

#[tokio::test]
async fn an_end_that_the_store_refuses_keeps_no_job_from_being_taken_with_it() {
    let (stage, store) = counting();
    let task = stage.task("t", unlimited(), succeed()).await;
    submit(&stage, &task, 10).await;
    let first = stage.jobs().await[0].spec.id;
    store.damage().refused_results.insert(first, Refusal::Rejected);
    let scheduler = stage.start(Options { max_concurrent_jobs: 1, ..Stage::options("one") }).await;
    all_finish(&stage).await;
    let outcomes = stage.jobs().await.into_iter().map(|job| (job.spec.id == first, job.outcome, job.attempt));
    for (is_refused, outcome, attempt) in outcomes {
        let expected = if is_refused { Outcome::Error } else { Outcome::Success };
        assert_eq!((outcome, attempt), (Some(expected), 1));
    }
    scheduler.stop().await;
}

#[tokio::test]
async fn short_jobs_are_taken_ahead_in_few_calls_and_start_in_order() {
    let (stage, store) = counting();
    let task = stage.task("t", unlimited(), short(&stage)).await;
    submit(&stage, &task, 500).await;
    let scheduler = stage.start(Options { max_concurrent_jobs: 2, ..Stage::options("one") }).await;
    all_finish(&stage).await;
    let calls = store.calls("job_exchange") + store.calls("job_acquire");
    assert!(calls < 100, "{calls} calls for 500 jobs, two at a time");
    let begun: Vec<_> = stage.executor.attempts().into_iter().map(|(id, _)| id).collect();
    assert!(begun.is_sorted(), "the oldest first");
    assert!(stage.executor.most_running() <= 2);
    scheduler.stop().await;
}

/// A scheduler with two slots, both of which run a job that waits for the gate, and with others that it has taken ahead.
async fn with_jobs_taken_ahead(stage: &Stage, gate: &Arc<tokio::sync::Semaphore>) -> Handle {
    let task = stage.task("t", unlimited(), first_then(200, short(stage), run_until(gate))).await;
    submit(stage, &task, 240).await;
    let scheduler = stage.start(Options { max_concurrent_jobs: 2, ..Stage::options("one") }).await;
    let are_taken = || async {
        let is_full = stage.executor.running() == 2;
        (is_full && in_state(stage, JobState::Finished).await.len() == 200).then_some(())
    };
    wait_for("the long jobs to begin", are_taken).await;
    assert!(in_state(stage, JobState::Running).await.len() > 2, "some are taken ahead");
    scheduler
}

#[tokio::test]
async fn what_was_taken_ahead_is_given_back_when_the_scheduler_stops_and_loses_no_attempt() {
    let stage = Stage::default();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let scheduler = with_jobs_taken_ahead(&stage, &gate).await;
    let others = async {
        let only_two_run = || async { (in_state(&stage, JobState::Running).await.len() == 2).then_some(()) };
        wait_for("the others to be given back", only_two_run).await;
        gate.add_permits(40);
    };
    let (report, ()) = futures_util::future::join(scheduler.stop(), others).await;
    assert_eq!(report.interrupted, 0);
    let queued = in_state(&stage, JobState::Queued).await;
    assert_eq!((queued.len(), in_state(&stage, JobState::Running).await.len()), (38, 0));
    assert!(queued.iter().all(|job| (job.attempt, job.crashes, job.started_at) == (0, 0, None)));
}

#[tokio::test]
async fn what_was_taken_ahead_and_finds_no_slot_is_left_to_others_after_a_while() {
    let stage = Stage::default();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let scheduler = with_jobs_taken_ahead(&stage, &gate).await;
    let only_two_run = || async { in_state(&stage, JobState::Running).await.len() == 2 };
    stage.advance_until("the others to be given back", Duration::from_millis(100), only_two_run).await;
    let other = stage.start(Options { max_concurrent_jobs: 20, ..Stage::options("two") }).await;
    let run_elsewhere = || async { stage.executor.running() == 22 };
    stage.advance_until("the other one to run them", Duration::from_millis(100), run_elsewhere).await;
    gate.add_permits(40);
    all_finish(&stage).await;
    assert!(stage.jobs().await.iter().all(|job| job.attempt == 1));
    scheduler.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn the_leases_of_jobs_that_wait_for_a_slot_are_kept() {
    let stage = Stage::default();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    // So long that nothing is given back.
    let options = Options { take_ahead: Duration::from_secs(10), max_concurrent_jobs: 2, ..Stage::options("one") };
    let clock = stage.clock.clone();
    let seconds: Script = Arc::new(move |_, _| {
        clock.advance(Duration::from_secs(1));
        Box::pin(async { Verdict::Success(Payload::no_args()) })
    });
    let task = stage.task("t", unlimited(), first_then(40, seconds, run_until(&gate))).await;
    submit(&stage, &task, 50).await;
    let scheduler = stage.start(options).await;
    let is_full = || async {
        let finished = in_state(&stage, JobState::Finished).await.len();
        (stage.executor.running() == 2 && finished == 40).then_some(())
    };
    wait_for("the long jobs to begin", is_full).await;
    let taken: Vec<_> = in_state(&stage, JobState::Running).await.into_iter().map(|job| job.spec.id).collect();
    assert!(taken.len() > 2, "some are taken ahead");
    for _ in 0..8 {
        stage.pass(Duration::from_secs(5)).await;
    }
    let still: Vec<_> = in_state(&stage, JobState::Running).await.into_iter().map(|job| job.spec.id).collect();
    assert_eq!(taken, still);
    gate.add_permits(10);
    all_finish(&stage).await;
    assert!(stage.jobs().await.iter().all(|job| (job.attempt, job.crashes) == (1, 0)));
    scheduler.stop().await;
}
