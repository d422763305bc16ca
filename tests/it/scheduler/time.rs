//! Clocks that are set, forward and back, while schedulers work.

use std::sync::Arc;
use std::time::Duration;

use host::clock::{Clock as _, ManualClock};
use host::model::{Coalesce, JobState, Outcome, Settings};
use host::scheduler::{Options, Parts, Scheduler};
use host::store::Store;
use host::store::memory::MemoryStore;
use host::store::store_clock::StoreClock;
use tests::logs::Logs;
use tests::stage::{Stage, at, run_until, run_until_killed, settle, succeed, unlimited};
use tests::wait::wait_for;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// What somebody does to the time of day.
type Step = fn(&ManualClock);

const STEPS: [(&str, Step); 3] = [
    ("set back ten minutes", |clock| clock.step_back(10 * MINUTE)),
    ("set forward two hours", |clock| clock.step_forward(2 * HOUR)),
    ("set forward and back", |clock| {
        clock.step_forward(2 * HOUR);
        clock.step_back(2 * HOUR + 10 * MINUTE);
    }),
];

#[tokio::test]
async fn jobs_stay_with_their_workers_when_the_time_of_day_is_set() {
    for (what, step) in STEPS {
        let stage = Stage::default();
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let task = stage.task("t", unlimited(), run_until(&gate)).await;
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(stage.submit(stage.job(&task).await).await);
        }
        let options = |name| Options { max_concurrent_jobs: 2, ..Stage::options(name) };
        let schedulers = [stage.start(options("one")).await, stage.start(options("two")).await];
        wait_for("the jobs to run", || async { (stage.executor.running() == 4).then_some(()) }).await;
        step(&stage.clock);
        // Three leases long: whoever could not extend, or believed another dead, has shown it by then.
        for _ in 0..9 {
            stage.pass(5 * SECOND).await;
        }
        gate.add_permits(4);
        for id in ids {
            let job = stage.finished(id).await;
            assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 1, 0), "{what}");
        }
        assert_eq!(stage.executor.attempts().len(), 4, "{what}: each began once");
        for scheduler in schedulers {
            stage.stop_in_time(scheduler).await;
        }
    }
}

#[tokio::test]
async fn the_job_of_a_dead_worker_is_taken_over_in_time_although_the_clock_was_set_back() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), succeed()).await;
    let id = stage.submit(stage.job(&task).await).await;
    stage.clock.step_forward(2 * HOUR);
    super::crashes::lease_and_vanish(&stage, "dead").await;
    let scheduler = stage.start(Stage::options("alive")).await;
    stage.clock.step_back(2 * HOUR);
    let began = stage.clock.monotonic();
    while stage.stored(id).await.crashes == 0 {
        stage.pass(3 * SECOND).await;
    }
    let took = stage.clock.monotonic().saturating_since(began);
    assert!(took < 30 * SECOND, "it took {took:?}");
    assert_eq!(stage.finished(id).await.attempt, 2);
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn work_is_found_by_polling_also_after_the_clock_was_set_back() {
    let stage = Stage::default().silent();
    let task = stage.task("t", unlimited(), succeed()).await;
    let scheduler = stage.start(Stage::options("one")).await;
    stage.clock.step_back(HOUR);
    let id = stage.submit(stage.job(&task).await).await;
    let began = stage.clock.monotonic();
    stage
        .advance_until("the job to be taken", Duration::from_millis(250), || async {
            stage.stored(id).await.state != JobState::Queued
        })
        .await;
    let took = stage.clock.monotonic().saturating_since(began);
    assert!(took < MINUTE, "it took {took:?}");
    stage.finished(id).await;
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn stopping_ends_in_time_although_the_clock_is_set_back() {
    let stage = Stage::default();
    let task = stage.task("t", Settings::default(), run_until_killed()).await;
    let scheduler = stage.start(Stage::options("one")).await;
    stage.submit(stage.job(&task).await).await;
    wait_for("the job to run", || async { (stage.executor.running() == 1).then_some(()) }).await;
    let began = stage.clock.monotonic();
    let (_report, ()) = futures_util::future::join(stage.stop_in_time(scheduler), async {
        stage.clock.step_back(HOUR);
    })
    .await;
    let took = stage.clock.monotonic().saturating_since(began);
    assert!(took < 2 * MINUTE, "it took {took:?}");
}

#[tokio::test]
async fn a_schedule_makes_each_fire_once_however_often_the_clock_is_set() {
    let stage = Stage::default();
    let task = stage.task("t", unlimited(), succeed()).await;
    stage.schedule("s", &task, r#"{"type":"interval","seconds":10}"#, Coalesce::All).await;
    let scheduler = stage.start(Stage::options("one")).await;
    let fires = |count: usize| {
        let stage = &stage;
        stage.advance_until("fires", SECOND, move || async move { stage.jobs().await.len() >= count })
    };
    fires(3).await;
    stage.clock.step_back(25 * SECOND);
    fires(5).await;
    stage.clock.step_forward(35 * SECOND);
    fires(10).await;
    let mut times: Vec<_> = stage.jobs().await.iter().filter_map(|job| job.spec.scheduled_fire_time).collect();
    times.sort();
    let expected: Vec<_> =
        (0..u32::try_from(times.len()).expect("few")).map(|n| at("12:00:00").saturating_add(10 * SECOND * n)).collect();
    assert_eq!(times, expected);
    stage.stop_in_time(scheduler).await;
}

#[tokio::test]
async fn the_operator_is_told_once_that_the_clock_was_set() {
    let logs = Logs::of_this_thread();
    let stage = Stage::default();
    let scheduler = stage.start(Stage::options("one")).await;
    stage.clock.step_back(10 * MINUTE);
    for _ in 0..6 {
        stage.pass(5 * SECOND).await;
    }
    stage.stop_in_time(scheduler).await;
    assert_eq!(logs.warnings_about("was set"), 1, "{logs}");
    assert_eq!(logs.warnings(), 1, "{logs}");
}

/// The operations ask for the store's time before a scheduler does; see `App::scheduler_parts`.
#[tokio::test]
async fn a_host_whose_clock_is_wrong_says_so_once_however_many_parts_of_it_ask() {
    let logs = Logs::of_this_thread();
    let server = ManualClock::new(at("12:00:00"));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::server(Arc::new(server.clone())));
    let stage = Stage::with_store(store).by(server.clone());
    let host = ManualClock::new(at("11:00:00"));
    let time = Arc::new(StoreClock::new(Arc::new(host.clone())));
    time.measure(&*stage.store, SECOND).await.expect("the store answers");
    assert_eq!(logs.warnings_about("differs"), 1, "{logs}");
    let parts = Parts { time, ..stage.parts(Arc::clone(&stage.executor)) };
    let scheduler = Scheduler::start(parts, Stage::options("one")).await.expect("it starts");
    settle().await;
    stop_with(scheduler, |span| [&server, &host].into_iter().for_each(|clock| clock.advance(span))).await;
    assert_eq!(logs.warnings(), 1, "{logs}");
}

/// A server with a clock of its own, and a scheduler on a host whose time of day differs and is set as it likes.
#[tokio::test]
async fn a_host_whose_clock_is_wrong_and_is_set_fires_by_the_servers_time_and_harms_nobody() {
    for (what, step) in STEPS {
        let server = ManualClock::new(at("12:00:00"));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::server(Arc::new(server.clone())));
        let stage = Stage::with_store(store).by(server.clone());
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let long = stage.task("long", unlimited(), run_until(&gate)).await;
        let short = stage.task("short", unlimited(), succeed()).await;
        stage.schedule("s", &short, r#"{"type":"interval","seconds":10}"#, Coalesce::All).await;
        let id = stage.submit(stage.job(&long).await).await;
        let hosts = [ManualClock::new(at("11:00:00")), ManualClock::new(at("12:30:00"))];
        let mut schedulers = Vec::new();
        for (name, host) in ["behind", "ahead"].into_iter().zip(&hosts) {
            let parts = Parts {
                time: Arc::new(StoreClock::new(Arc::new(host.clone()))),
                ..stage.parts(Arc::clone(&stage.executor))
            };
            schedulers.push(Scheduler::start(parts, Stage::options(name)).await.expect("it starts"));
        }
        settle().await;
        let advance = |span: Duration| hosts.iter().chain([&server]).for_each(|clock| clock.advance(span));
        for round in 0..12 {
            if round == 4 {
                hosts.iter().for_each(step);
            }
            stage.pass_by(|| advance(5 * SECOND)).await;
            for job in stage.jobs().await.iter().filter(|job| job.spec.schedule_id.is_some()) {
                assert!(job.spec.scheduled_fire_time <= Some(server.now()), "{what}: before its time: {job:?}");
            }
        }
        wait_for("the fires of a minute", || async { (stage.jobs().await.len() == 1 + 7).then_some(()) }).await;
        gate.add_permits(1);
        let job = stage.finished(id).await;
        assert_eq!((job.outcome, job.attempt, job.crashes), (Some(Outcome::Success), 1, 0), "{what}");
        for scheduler in schedulers {
            stop_with(scheduler, advance).await;
        }
    }
}

/// Stops a scheduler while its clocks go on.
async fn stop_with(scheduler: host::scheduler::Handle, advance: impl Fn(Duration)) {
    let mut stopping = std::pin::pin!(scheduler.stop());
    wait_for("the scheduler to stop", || {
        advance(SECOND);
        let stopped = futures_util::FutureExt::now_or_never(&mut stopping);
        async move { stopped }
    })
    .await;
}
