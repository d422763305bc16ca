//! Stores that stand still or answer late, processes that are stopped, tasks that hold threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host::clock::{Clock as _, ManualClock, SystemClock};
use host::executor::Verdict;
use host::model::{Coalesce, EventKind, JobState, Outcome, Payload, SchedulerId, Settings};
use host::scheduler::{Options, Parts, Scheduler};
use host::store::memory::MemoryStore;
use host::store::store_clock::StoreClock;
use host::store::watched::Watched;
use host::store::{Catalog as _, JobQueue as _, Store, guarded};
use tests::doubles::stalling::{Stall, Stalling};
use tests::logs::Logs;
use tests::stage::{Script, Stage, run_until, run_until_killed, settle, succeed, unlimited};
use tests::wait::wait_for;

const SECOND: Duration = Duration::from_secs(1);

/// A stage on a store that can be made to stand still, with the store.
fn stalling() -> (Stage, Arc<Stalling>) {
    let stage = Stage::default();
    let store = Arc::new(Stalling::new(Arc::clone(&stage.store)));
    let stage = stage.with_same_players(Arc::clone(&store) as Arc<dyn Store>);
    (stage, store)
}

/// Waits until so many attempts run.
async fn running(stage: &Stage, count: usize) {
    wait_for("attempts", || async { (stage.executor.running() == count).then_some(()) }).await;
}

#[tokio::test]
async fn an_attempt_is_stopped_before_its_lease_ends_whatever_the_store_is_doing() {
    for stall in [Stall::Requests, Stall::Answers] {
        let (stage, store) = stalling();
        let task = stage.task("t", Settings::default(), run_until_killed()).await;
        let scheduler = stage.start(Stage::options("one")).await;
        let id = stage.submit(stage.job(&task).await).await;
        running(&stage, 1).await;
        let lease_ends = stage.stored(id).await.lease.expect("it runs").expires_at;
        store.stall(stall);
        // Up to just before the lease ends by the store's clock; extensions that took effect unheard do not count.
        stage.clock.advance(14 * SECOND);
        running(&stage, 0).await;
        assert!(stage.clock.now() < lease_ends, "{stall:?}");
        store.go_on();
        // Nobody has it, so it goes back and costs nothing.
        wait_for("the job to begin again", || async { (stage.executor.attempts().len() == 2).then_some(()) }).await;
        let job = stage.stored(id).await;
        assert_eq!((job.attempt, job.crashes), (1, 0), "{stall:?}");
        stage.stop_in_time(scheduler).await;
    }
}

#[tokio::test]
async fn after_the_store_stood_still_no_job_is_taken_from_a_living_worker() {
    for seconds in [13, 45, 60] {
        let (stage, store) = stalling();
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let task = stage.task("t", unlimited(), run_until(&gate)).await;
        let options = |name| Options { max_concurrent_jobs: 2, ..Stage::options(name) };
        let schedulers = [stage.start(options("one")).await, stage.start(options("two")).await];
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(stage.submit(stage.job(&task).await).await);
        }
        running(&stage, 4).await;
        // Long enough that both may recover what they find expired.
        for _ in 0..4 {
            stage.pass(5 * SECOND).await;
        }
        store.stall(Stall::Requests);
        settle().await;
        stage.clock.advance(seconds * SECOND);
        if seconds > 15 {
            running(&stage, 0).await;
        }
        settle().await;
        store.go_on();
        running(&stage, 4).await;
        for _ in 0..6 {
            stage.pass(5 * SECOND).await;
        }
        gate.add_permits(4);
        for id in ids {
            let job = stage.finished(id).await;
            assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 1, 0), "{seconds} s");
        }
        for scheduler in schedulers {
            stage.stop_in_time(scheduler).await;
        }
    }
}

#[tokio::test]
async fn an_attempt_does_not_begin_on_a_lease_that_may_have_run_out() {
    let (stage, store) = stalling();
    let task = stage.task("t", Settings::default(), succeed()).await;
    let scheduler = stage.start(Stage::options("one")).await;
    store.stall_only("job_acquire", Stall::Answers);
    let id = stage.submit(stage.job(&task).await).await;
    store.reached("job_acquire", 1).await;
    wait_for("the job to be leased", || async { (stage.stored(id).await.state == JobState::Running).then_some(()) })
        .await;
    // As a process sees it that was stopped between taking the job and beginning it.
    stage.clock.advance(14 * SECOND);
    assert!(stage.executor.attempts().is_empty());
    store.go_on();
    let job = stage.finished(id).await;
    assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 1, 0));
    assert_eq!(stage.executor.attempts().len(), 1, "it did not begin on the old lease");
    assert!(job.started_at > Some(job.spec.created_at.saturating_add(13 * SECOND)));
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn nothing_fires_before_its_time_and_no_fire_is_lost_when_the_store_stands_still() {
    for stall in [Stall::Requests, Stall::Answers] {
        let server = ManualClock::new(Stage::default().clock.now());
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::server(Arc::new(server.clone())));
        let store = Arc::new(Stalling::new(memory));
        let stage = Stage::with_store(Arc::clone(&store) as Arc<dyn Store>).by(server);
        let task = stage.task("t", unlimited(), succeed()).await;
        stage.schedule("s", &task, r#"{"type":"interval","seconds":1}"#, Coalesce::All).await;
        let scheduler = stage.start(Stage::options("one")).await;
        for round in 0..12 {
            if round == 4 {
                store.stall(stall);
                stage.clock.advance(45 * SECOND);
                store.go_on();
            }
            stage.pass(5 * SECOND).await;
            for job in stage.jobs().await {
                let fire = job.spec.scheduled_fire_time.expect("a schedule made it");
                assert!(fire <= stage.clock.now(), "{stall:?}: before its time: {job:?}");
            }
        }
        wait_for("every fire to be made", || async { (stage.jobs().await.len() == 12 * 5 + 45 + 1).then_some(()) })
            .await;
        stage.stop_in_time(scheduler).await;
    }
}

#[tokio::test]
async fn stopping_ends_within_its_time_however_the_store_behaves() {
    for (what, jobs) in [("idle", 0), ("with a job that must be killed", 1)] {
        let (stage, store) = stalling();
        let task = stage.task("t", Settings::default(), run_until_killed()).await;
        let scheduler = stage.start(Stage::options("one")).await;
        for _ in 0..jobs {
            stage.submit(stage.job(&task).await).await;
        }
        running(&stage, jobs).await;
        store.stall(Stall::Requests);
        let mut stopping = std::pin::pin!(scheduler.stop());
        // As long as container runtimes give, in steps that leave every phase its own.
        let began = stage.clock.monotonic();
        let stopped = wait_for("the scheduler to stop", || {
            stage.clock.advance(SECOND / 4);
            let stopped = futures_util::FutureExt::now_or_never(&mut stopping);
            async move { stopped }
        });
        stopped.await;
        let took = stage.clock.monotonic().saturating_since(began);
        // The clock runs a hundred times as fast as the machine here, so a little is added for the work between the phases.
        assert!(took < 45 * SECOND, "{what}: it took {took:?}");
        store.go_on();
    }
}

#[tokio::test]
async fn a_scheduler_does_not_recover_what_it_runs_itself() {
    let (stage, store) = stalling();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let deaf: Script = {
        let gate = Arc::clone(&gate);
        // Code that nobody can stop.
        Arc::new(move |_, _| {
            let gate = Arc::clone(&gate);
            Box::pin(async move {
                gate.acquire().await.expect("a gate is never closed").forget();
                Verdict::Success(Payload::no_args())
            })
        })
    };
    let task = stage.task("t", Settings::default(), deaf).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let id = stage.submit(stage.job(&task).await).await;
    running(&stage, 1).await;
    store.stall_only("job_extend", Stall::Requests);
    // Far beyond the end of the lease, with every round of housekeeping in between.
    for _ in 0..12 {
        stage.pass_heard(5 * SECOND).await;
    }
    assert_eq!(stage.stored(id).await.state, JobState::Running);
    gate.add_permits(1);
    let job = stage.finished(id).await;
    assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 1, 0));
    assert_eq!(stage.executor.attempts().len(), 1);
    store.go_on();
    stage.stop_in_time(scheduler).await;
}

/// In real time: the threads of the runtime are held, which no clock can be moved for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_hold_every_thread_for_longer_than_a_lease_run_once() {
    let clock = Arc::new(SystemClock);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::with_clock(clock.clone()));
    let stage = Stage::with_store(store);
    let begun = Arc::new(AtomicUsize::new(0));
    let blocks: Script = {
        let begun = Arc::clone(&begun);
        Arc::new(move |_, _| {
            let begun = Arc::clone(&begun);
            Box::pin(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_secs(4));
                Verdict::Success(Payload::no_args())
            })
        })
    };
    let task = stage.task("t", unlimited(), blocks).await;
    let options = Options { lease_duration: SECOND, has_lease_thread: true, ..Stage::options("one") };
    let parts = Parts { time: Arc::new(StoreClock::new(clock)), ..stage.parts(Arc::clone(&stage.executor)) };
    let scheduler = Scheduler::start(parts, options).await.expect("it starts");
    let ids = [stage.submit(stage.job(&task).await).await, stage.submit(stage.job(&task).await).await];
    for id in ids {
        let job = stage.finished(id).await;
        assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 1, 0));
    }
    assert_eq!(begun.load(Ordering::SeqCst), 2);
    scheduler.stop().await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_reported_once_and_once_when_it_is_back() {
    let logs = Logs::of_this_thread();
    let (stage, store) = stalling();
    let clock = Arc::new(stage.clock.clone());
    let guarded = guarded(store.clone(), clock, fastrand::Rng::with_seed(1));
    let stage = stage.with_same_players(guarded);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let task = stage.task("t", unlimited(), run_until(&gate)).await;
    stage.schedule("s", &task, r#"{"type":"interval","seconds":5}"#, Coalesce::All).await;
    let scheduler = stage.start(Stage::options("one")).await;
    running(&stage, 1).await;
    store.stall(Stall::Requests);
    for _ in 0..60 {
        stage.clock.advance(SECOND);
        tests::wait::a_moment().await;
    }
    wait_for("the silence to be told", || async { (logs.warnings() > 0).then_some(()) }).await;
    store.go_on();
    wait_for("the answer to be told", || async { (logs.lines_about("answers again") > 0).then_some(()) }).await;
    for _ in 0..4 {
        stage.pass_heard(5 * SECOND).await;
    }
    assert_eq!((logs.warnings_about("does not answer"), logs.lines_about("answers again")), (1, 1), "{logs}");
    assert_eq!(logs.warnings(), 1, "{logs}");
    gate.add_permits(100);
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn a_store_that_answers_others_is_not_called_silent_for_one_long_call() {
    let logs = Logs::of_this_thread();
    let (stage, store) = stalling();
    let watched = Watched::new(store.clone(), Arc::new(stage.clock.clone()));
    store.stall_only("job_counts", Stall::Requests);
    let (counts, ()) = futures_util::future::join(watched.job_counts(), async {
        store.reached("job_counts", 1).await;
        for _ in 0..10 {
            stage.clock.advance(SECOND);
            watched.task_list().await.expect("it answers");
        }
        store.go_on();
    })
    .await;
    counts.expect("it answers");
    assert_eq!(logs.warnings(), 0, "{logs}");
}

#[tokio::test]
async fn a_store_is_not_called_silent_by_a_process_that_stood_still() {
    let logs = Logs::of_this_thread();
    let (stage, store) = stalling();
    let watched = Watched::new(store.clone(), Arc::new(stage.clock.clone()));
    store.stall_only("job_counts", Stall::Requests);
    let calls = futures_util::future::join(watched.job_counts(), watched.job_counts());
    let (counts, ()) = futures_util::future::join(calls, async {
        store.reached("job_counts", 2).await;
        stage.clock.advance(60 * SECOND);
        wait_for("that to be noticed", || async { (logs.lines_about("stood still") > 0).then_some(()) }).await;
        assert_eq!((logs.warnings(), logs.lines_about("stood still")), (0, 1), "{logs}");
        // If the store does not answer now either, it is silent.
        for _ in 0..3 {
            stage.clock.advance(SECOND);
            tests::wait::a_moment().await;
        }
        wait_for("the silence to be told", || async { (logs.warnings() == 1).then_some(()) }).await;
        store.go_on();
    })
    .await;
    assert!(counts.0.is_ok() && counts.1.is_ok());
    assert_eq!(logs.warnings_about("does not answer"), 1, "{logs}");
}

#[tokio::test]
async fn that_a_scheduler_has_started_is_reported_before_anything_that_it_does() {
    let stage = Stage::default();
    let task = stage.task("t", unlimited(), succeed()).await;
    stage.schedule("s", &task, r#"{"type":"interval","seconds":10}"#, Coalesce::Latest).await;
    stage.submit(stage.job(&task).await).await;
    super::crashes::lease_and_vanish(&stage, "one").await;
    let mut events = stage.broker.subscribe();
    let scheduler = stage.start(Stage::options("one")).await;
    let first = wait_for("an event", || {
        let event = futures_util::FutureExt::now_or_never(events.next());
        async move { event.flatten() }
    })
    .await;
    let expected = SchedulerId::new("one").expect("an identity");
    let host::broker::Delivery::Event(event) = first else { panic!("no event: {first:?}") };
    assert_eq!(event.kind, EventKind::SchedulerStarted { scheduler_id: expected });
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn what_has_expired_is_removed_when_a_scheduler_starts_not_only_after_a_while() {
    let stage = Stage::default();
    let settings = Settings { result_ttl: Some(SECOND), ..unlimited() };
    let task = stage.task("t", settings, succeed()).await;
    let first = stage.start(Stage::options("one")).await;
    let id = stage.submit(stage.job(&task).await).await;
    stage.finished(id).await;
    stage.stop_in_time(first).await;
    stage.clock.advance(60 * SECOND);
    let second = stage.start(Stage::options("two")).await;
    // The clock stands still.
    wait_for("the job to be removed", || async { stage.jobs().await.is_empty().then_some(()) }).await;
    stage.stop_in_time(second).await;
}
