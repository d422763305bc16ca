//! Workers that vanish, leases that run out, stores that fail.

use std::sync::Arc;
use std::time::Duration;

use host::model::{JobState, Outcome, Settings};
use host::store::memory::MemoryStore;
use host::store::{AcquireJobs, Store};
use tests::doubles::faulty::{Faults, Faulty};
use tests::stage::{Stage, run_until_killed, succeed, unlimited};
use tests::wait::wait_for;

/// Leases the next job to a worker that is never seen again.
pub(super) async fn lease_and_vanish(stage: &Stage, identity: &str) -> host::model::Job {
    let now = host::clock::Clock::now(&stage.clock);
    let request = AcquireJobs {
        holder: identity.parse().expect("an identity"),
        token: host::model::LeaseToken::from_bytes([9; 16]),
        now,
        lease: Duration::from_secs(15),
        limit: 1,
        queues: vec![tests::factory::served("default", 1)],
        abilities: stage.parts(std::sync::Arc::clone(&stage.executor)).executors.abilities(),
        choice: host::store::Choice::InOrder,
    };
    stage.store.job_acquire(request).await.expect("the store answers").jobs.remove(0)
}

#[tokio::test]
async fn the_job_of_a_worker_that_vanished_runs_elsewhere_once_its_lease_is_over() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), succeed()).await;
    let id = stage.submit(stage.job(&task).await).await;
    lease_and_vanish(&stage, "dead").await;
    let scheduler = stage.start(Stage::options("alive")).await;
    stage.clock.advance(Duration::from_secs(14));
    assert_eq!(stage.stored(id).await.state, JobState::Running, "the lease still holds");
    // Before each step everything has happened that was to happen by then.
    for _ in 0..30 {
        tests::stage::settle().await;
        stage.clock.advance(Duration::from_millis(500));
    }
    stage.finished(id).await;
    let job = stage.stored(id).await;
    assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 2, 1));
    assert!(host::clock::Clock::now(&stage.clock) < tests::stage::at("12:00:30"), "it was looked for in time");
    scheduler.stop().await;
}

#[tokio::test]
async fn a_scheduler_that_comes_back_under_its_identity_takes_its_jobs_back_at_once() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), succeed()).await;
    let id = stage.submit(stage.job(&task).await).await;
    lease_and_vanish(&stage, "phoenix").await;
    let scheduler = stage.start(Stage::options("phoenix")).await;
    // The clock stands still: the lease has not run out.
    assert_eq!(stage.finished(id).await.outcome, Some(Outcome::Success));
    scheduler.stop().await;
}

#[tokio::test]
async fn a_job_that_kills_its_workers_is_abandoned_in_the_end() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), succeed()).await;
    let id = stage.submit(stage.job(&task).await).await;
    for _ in 0..2 {
        lease_and_vanish(&stage, "phoenix").await;
        stage.take_back_from("phoenix").await;
    }
    let job = stage.stored(id).await;
    assert_eq!((job.state, job.outcome, job.crashes), (JobState::Finished, Some(Outcome::Abandoned), 2));
}

#[tokio::test]
async fn whoever_runs_beside_a_job_that_kills_its_workers_is_not_ended_for_it() {
    let stage = Stage::default();
    let killer = stage.task("killer", Settings::default(), run_until_killed()).await;
    let killer = stage.submit(stage.job(&killer).await).await;
    // The innocent ones are running when the worker dies first, and end well when they are tried again.
    let innocent: tests::stage::Script = Arc::new(|invocation, control| {
        Box::pin(async move {
            if invocation.job.attempt == 1 {
                control.kill.cancelled().await;
            }
            host::executor::Verdict::Success(host::model::Payload::no_args())
        })
    });
    let task = stage.task("innocent", unlimited(), innocent).await;
    let mut innocents = Vec::new();
    for _ in 0..5 {
        innocents.push(stage.submit(stage.job(&task).await).await);
    }
    let scheduler = stage.start(Stage::options("first")).await;
    wait_for("all of them to run", || async { (stage.executor.running() == 6).then_some(()) }).await;
    let dies = |holder: &str| {
        let now = host::clock::Clock::now(&stage.clock);
        let holder = Some(holder.parse().expect("an identity"));
        let recover = host::store::Recover { now, over_at: now, spared: Vec::new(), holder, limit: 10 };
        stage.store.recover(recover)
    };
    assert_eq!(dies("first").await.expect("the store answers").requeued.len(), 6);
    stage.stop_in_time(scheduler).await;
    let scheduler = stage.start(Stage::options("second")).await;
    stage
        .advance_until("the killer to run", Duration::from_millis(50), || async {
            stage.executor.attempts().contains(&(killer, 2))
        })
        .await;
    assert_eq!(stage.executor.running(), 1, "it runs alone");
    let died = dies("second").await.expect("the store answers");
    assert_eq!(died.abandoned.iter().map(|job| job.id).collect::<Vec<_>>(), [killer]);
    stage
        .advance_until("all of them to end", Duration::from_millis(100), || async {
            stage.jobs().await.iter().all(|job| job.state == JobState::Finished)
        })
        .await;
    for id in innocents {
        let job = stage.stored(id).await;
        assert_eq!((job.outcome, job.crashes), (Some(Outcome::Success), 1), "{job:?}");
    }
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn a_long_job_keeps_its_lease_for_as_long_as_its_worker_lives() {
    let stage = Stage::default();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let task = stage.task("t", Settings::default(), tests::stage::run_until(&gate)).await;
    let schedulers = [stage.start(Stage::options("one")).await, stage.start(Stage::options("two")).await];
    let id = stage.submit(stage.job(&task).await).await;
    wait_for("the job to run", || async { (stage.executor.running() == 1).then_some(()) }).await;
    for _ in 0..100 {
        let before = stage.stored(id).await.lease.expect("it runs").expires_at;
        stage.clock.advance(Duration::from_secs(5));
        wait_for("the lease to be extended", || async {
            stage.stored(id).await.lease.filter(|lease| lease.expires_at > before)
        })
        .await;
    }
    gate.add_permits(1);
    assert_eq!(stage.finished(id).await.attempt, 1);
    assert_eq!(stage.executor.attempts().len(), 1);
    for scheduler in schedulers {
        scheduler.stop().await;
    }
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_stops_the_attempt_and_writes_nothing() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), run_until_killed()).await;
    let scheduler = stage.start(Stage::options("slow")).await;
    let id = stage.submit(stage.job(&task).await).await;
    wait_for("the job to run", || async { (stage.executor.running() == 1).then_some(()) }).await;
    // Somebody else believes it dead: takes the job back and ends it.
    stage.take_back_from("slow").await;
    stage.store.job_cancel(id, None, host::clock::Clock::now(&stage.clock)).await.expect("it is queued");
    stage
        .advance_until("the attempt to be stopped", Duration::from_secs(1), || async { stage.executor.running() == 0 })
        .await;
    let job = stage.stored(id).await;
    assert_eq!((job.outcome, job.attempt), (Some(Outcome::Cancelled), 1));
    scheduler.stop().await;
}

#[tokio::test]
async fn on_a_store_that_fails_every_tenth_time_every_job_still_ends_well() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let calm = Stage::with_store(Arc::clone(&inner));
    // A lost answer to an acquisition costs the lease's time and counts as a crash, so there are attempts for many of them.
    let settings = Settings { max_attempts: Some(100), ..unlimited() };
    let task = calm.task("t", settings, succeed()).await;
    calm.schedule("s", &task, r#"{"type":"interval","seconds":10}"#, host::model::Coalesce::All).await;
    for _ in 0..100 {
        calm.submit(calm.job(&task).await).await;
    }
    let faults = Faults { before_percent: 5, after_percent: 5, lose_any_answer: true };
    let stage = calm.with_same_players(Arc::new(Faulty::new(inner, faults, seed)));
    // Starting may fail as well; a supervisor would try again.
    let scheduler = wait_for("the scheduler to start", || async {
        let parts = stage.parts(Arc::clone(&stage.executor));
        host::scheduler::Scheduler::start(parts, Stage::options("stubborn")).await.ok()
    })
    .await;
    calm.advance_until("all jobs to finish", Duration::from_millis(300), || async {
        let jobs = calm.jobs().await;
        jobs.len() >= 110 && jobs.iter().all(|job| job.state == JobState::Finished)
    })
    .await;
    let jobs = calm.jobs().await;
    for job in &jobs {
        assert_eq!(job.outcome, Some(Outcome::Success), "{job:?}");
    }
    let mut fires: Vec<_> = jobs.iter().filter_map(|job| job.spec.scheduled_fire_time).collect();
    fires.sort();
    fires.windows(2).for_each(|pair| assert_eq!(pair[1].saturating_since(pair[0]), Duration::from_secs(10)));
    // A write that failed is tried again after a pause, so time goes on while the scheduler stops.
    stage.stop_in_time(scheduler).await;
}
