//! One scheduler for each identity.

use std::sync::Arc;
use std::time::Duration;

use host::clock::{Clock as _, SystemClock};
use host::model::{Outcome, Settings};
use host::scheduler::{Handle, Scheduler, StartError};
use host::store::{PutScheduler, SchedulerPut, SchedulerRow};
use tests::factory::incarnation;
use tests::stage::{Stage, run_until};
use tests::wait::{PATIENCE, wait_for};

const SECOND: Duration = Duration::from_secs(1);

/// Starts a scheduler while time passes; `meanwhile` is done before each step.
async fn start_while<F: Future<Output = ()>>(
    stage: &Stage,
    identity: &str,
    mut meanwhile: impl FnMut() -> F,
) -> Result<Handle, StartError> {
    let parts = stage.parts(Arc::clone(&stage.executor));
    let mut starting = std::pin::pin!(Scheduler::start(parts, Stage::options(identity)));
    for _ in 0..10_000 {
        meanwhile().await;
        stage.clock.advance(SECOND / 4);
        if let Some(started) = futures_util::FutureExt::now_or_never(&mut starting) {
            return started;
        }
        tests::stage::settle().await;
    }
    panic!("it neither starts nor refuses")
}

/// What another machine has stored of a scheduler.
fn elsewhere(stage: &Stage, identity: &str) -> SchedulerRow {
    let now = stage.clock.now();
    SchedulerRow {
        id: identity.parse().expect("an identity"),
        role: "both".to_owned(),
        started_at: now,
        seen_at: now,
        stopped_at: None,
        incarnation: incarnation("0123-1-2-3-4"),
        queues: Vec::new(),
        abilities: Vec::new(),
        memory: None,
    }
}

async fn put(stage: &Stage, scheduler: SchedulerRow) {
    let put = stage.store.scheduler_put(PutScheduler { scheduler, replaces: None }).await.expect("the store answers");
    assert_eq!(put, SchedulerPut::Stored);
}

fn is_refused(started: Result<Handle, StartError>, name: &str) -> bool {
    matches!(started, Err(StartError::IdentityInUse { identity, .. }) if identity.as_str() == name)
}

#[tokio::test]
async fn of_two_living_schedulers_of_one_identity_the_second_refuses_and_the_first_goes_on() {
    let stage = Stage::default();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let task = stage.task("t", Settings::default(), run_until(&gate)).await;
    let first = stage.start(Stage::options("twin")).await;
    let id = stage.submit(stage.job(&task).await).await;
    wait_for("the job to run", || async { (stage.executor.running() == 1).then_some(()) }).await;
    // Both are of this process, so that is known at once: the clock stands still.
    let second = Scheduler::start(stage.parts(Arc::clone(&stage.executor)), Stage::options("twin")).await;
    assert!(is_refused(second, "twin"));
    gate.add_permits(1);
    let job = stage.finished(id).await;
    assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 1, 0));
    stage.stop_in_time(first).await;
    // It has said goodbye, so its identity is free.
    let next = stage.start(Stage::options("twin")).await;
    // One that was dropped has not, and does no more either.
    drop(next);
    let last = stage.start(Stage::options("twin")).await;
    stage.stop_in_time(last).await;
}

#[tokio::test]
async fn a_scheduler_of_another_machine_that_is_heard_of_keeps_its_identity() {
    let stage = Stage::default();
    put(&stage, elsewhere(&stage, "far")).await;
    let heartbeat = || async {
        let row = SchedulerRow { seen_at: stage.clock.now(), ..elsewhere(&stage, "far") };
        // It says every three seconds that it lives.
        if stage.clock.monotonic().since_origin().as_millis() % 3_000 == 0 {
            put(&stage, row).await;
        }
    };
    assert!(is_refused(start_while(&stage, "far", heartbeat).await, "far"));
}

#[tokio::test]
async fn the_identity_of_a_scheduler_of_another_machine_that_fell_silent_is_taken_after_a_few_seconds() {
    let stage = Stage::default();
    put(&stage, elsewhere(&stage, "far")).await;
    let began = stage.clock.monotonic();
    let scheduler = start_while(&stage, "far", || async {}).await.expect("it starts");
    let took = stage.clock.monotonic().saturating_since(began);
    assert!(took >= 7 * SECOND && took < 10 * SECOND, "it took {took:?}");
    stage.stop_in_time(scheduler).await;
    // Silent for longer, at once.
    put(&stage, elsewhere(&stage, "long ago")).await;
    stage.clock.advance(60 * SECOND);
    let scheduler = stage.start(Stage::options("long ago")).await;
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn a_scheduler_that_is_replaced_under_its_identity_stops_by_itself() {
    let stage = Stage::default();
    let scheduler = stage.start(Stage::options("one")).await;
    let mut row = stage.store.scheduler_list().await.expect("the store answers").rows.remove(0);
    let own = std::mem::replace(&mut row.incarnation, incarnation("another"));
    let put = PutScheduler { scheduler: row, replaces: Some(own) };
    assert_eq!(stage.store.scheduler_put(put).await.expect("the store answers"), SchedulerPut::Stored);
    stage.clock.advance(5 * SECOND);
    tokio::select! {
        () = scheduler.failed() => {}
        () = SystemClock.sleep(PATIENCE) => panic!("it goes on"),
    }
    stage.stop_in_time(scheduler).await;
}
