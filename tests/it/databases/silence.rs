//! A server that stands still for a while, and one that is restarted, under two workers that run jobs and fire a schedule.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use host::clock::{Clock as _, SystemClock};
use host::model::{Coalesce, Job, JobState, Outcome, TaskId, Timestamp};
use host::scheduler::{Options, Parts, Scheduler};
use host::store::store_clock::StoreClock;
use tests::backends::{Backend, OwnServer, open_as_programs};
use tests::logs::Logs;
use tests::stage::{Stage, run_until, succeed, unlimited};
use tests::wait::wait_for;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::block_on;

/// How long the server stands still. Leases last for 15 s and are renewed every 5 s, so every lease is in doubt before it goes on, and
/// some are over soon afterwards.
const SILENCE: Duration = Duration::from_secs(13);

/// Silences that no lease outlasts.
const LONG_SILENCES: [Duration; 2] = [Duration::from_secs(45), Duration::from_secs(60)];

/// How long everything goes on as usual afterwards: longer than it takes until somebody looks for leases that are over.
const AFTERWARDS: Duration = Duration::from_secs(6);

/// Jobs that run all the time. A worker has fewer slots than there are of them, and together they have more.
const LONG_JOBS: usize = 4;
const SLOTS: usize = 3;

/// How far apart the fires are.
const EVERY: Duration = Duration::from_secs(1);

/// What a worker has told.
struct Told {
    /// Warnings that the store is silent.
    silent: usize,
    /// All warnings and errors.
    warnings: usize,
    text: String,
}

pub(crate) fn costs_nothing_and_is_reported_once(backend: Backend) -> Result<()> {
    stand_still(backend, SILENCE)
}

pub(crate) fn longer_than_leases(backend: Backend) -> Result<()> {
    let servers = LONG_SILENCES.map(|silence| thread::spawn(move || stand_still(backend, silence)));
    servers.into_iter().try_for_each(|server| server.join().map_err(|_| anyhow!("a test panicked"))?)
}

fn stand_still(backend: Backend, silence: Duration) -> Result<()> {
    let told = under_two_workers(backend, async |server: &mut OwnServer| {
        let still = server.stand_still()?;
        SystemClock.sleep(silence).await;
        drop(still);
        Ok(())
    })?;
    for Told { silent, warnings, text } in told {
        ensure!((silent, warnings) == (1, 1), "{silent} times told in {warnings} warnings:\n{text}");
    }
    Ok(())
}

pub(crate) fn a_restart_costs_nothing(backend: Backend) -> Result<()> {
    let told = under_two_workers(backend, async |server: &mut OwnServer| server.crash_and_restart())?;
    for Told { silent, warnings, text } in told {
        // One that is back soon enough is not worth a warning.
        ensure!(silent <= 1 && warnings == silent, "{silent} times told in {warnings} warnings:\n{text}");
    }
    Ok(())
}

/// Disturbs a server while two workers run jobs and fire a schedule on it, and looks whether that cost anything.
fn under_two_workers(backend: Backend, disturb: impl AsyncFnOnce(&mut OwnServer) -> Result<()>) -> Result<Vec<Told>> {
    let mut server = OwnServer::start(backend == Backend::Postgres)?;
    block_on(async {
        let url = server.url();
        let stage = Arc::new(Stage::with_store(open_as_programs(&url).await?));
        stage.clock.set(SystemClock.now());
        let gate = Arc::new(Semaphore::new(0));
        let long = stage.task("long", unlimited(), run_until(&gate)).await;
        let short = stage.task("short", unlimited(), succeed()).await;
        let stop = CancellationToken::new();
        let _stop_on_failure = stop.clone().drop_guard();
        let workers = ["one", "two"].map(|name| {
            let (url, stage, stop) = (url.clone(), Arc::clone(&stage), stop.clone());
            thread::spawn(move || work(&url, name, &stage, &stop))
        });
        for _ in 0..LONG_JOBS {
            stage.submit(stage.job(&long).await).await;
        }
        running(&stage, &long).await;
        stage.clock.set(SystemClock.now());
        stage.schedule("s", &short, r#"{"type":"interval","seconds":1}"#, Coalesce::All).await;
        fired_at(&stage, SystemClock.now().saturating_add(3 * EVERY)).await;

        disturb(&mut server).await?;

        fired_at(&stage, SystemClock.now().saturating_add(AFTERWARDS)).await;
        running(&stage, &long).await;
        gate.add_permits(2 * LONG_JOBS);
        wait_for("the jobs to end", || async { has_ended(&stage.jobs().await, &long).then_some(()) }).await;
        stop.cancel();
        let mut told = Vec::new();
        for worker in workers {
            told.push(worker.join().map_err(|_| anyhow!("a worker panicked"))??);
        }
        cost_nothing(&stage.jobs().await)?;
        stage.store.close().await;
        Ok(told)
    })
}

/// A worker as in a process of its own: with its own connections and a log of its own.
fn work(url: &str, name: &str, stage: &Stage, stop: &CancellationToken) -> Result<Told> {
    let logs = Logs::of_this_thread();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = open_as_programs(url).await?;
        let parts = stage.parts(Arc::clone(&stage.executor));
        let parts =
            Parts { store: Arc::clone(&store), time: Arc::new(StoreClock::new(Arc::new(SystemClock))), ..parts };
        let options = Options { max_concurrent_jobs: SLOTS, has_lease_thread: true, ..Stage::options(name) };
        let scheduler = Scheduler::start(parts, options).await?;
        tokio::select! {
            () = stop.cancelled() => {}
            () = scheduler.failed() => {}
        }
        ensure!(stop.is_cancelled(), "worker `{name}` stopped by itself:\n{logs}");
        scheduler.stop().await;
        store.close().await;
        Ok(Told { silent: logs.warnings_about("does not answer"), warnings: logs.warnings(), text: logs.to_string() })
    })
}

/// Waits until all long jobs run.
async fn running(stage: &Stage, long: &TaskId) {
    wait_for("the long jobs to run", || async {
        let jobs = stage.jobs().await;
        let running = jobs.iter().filter(|job| job.spec.task_id == *long && job.state == JobState::Running).count();
        (running == LONG_JOBS && stage.executor.running() >= LONG_JOBS).then_some(())
    })
    .await;
}

/// Waits until the schedule has made a fire of that time or later, and its job has ended.
async fn fired_at(stage: &Stage, time: Timestamp) {
    wait_for("the schedule to fire", || async {
        let jobs = stage.jobs().await;
        let is_later = |job: &Job| job.spec.scheduled_fire_time.is_some_and(|fire| fire >= time);
        jobs.iter().any(|job| is_later(job) && job.state == JobState::Finished).then_some(())
    })
    .await;
}

fn has_ended(jobs: &[Job], task: &TaskId) -> bool {
    jobs.iter().filter(|job| job.spec.task_id == *task).all(|job| job.state == JobState::Finished)
}

/// No job was taken from a worker that lives or has lost an attempt, no fire was early, and none is missing.
fn cost_nothing(jobs: &[Job]) -> Result<()> {
    let mut fires = Vec::new();
    for job in jobs {
        ensure!(job.crashes == 0 && job.attempt <= 1, "it was taken from its worker, or lost an attempt: {job:?}");
        ensure!(job.outcome.is_none_or(|outcome| outcome == Outcome::Success), "{job:?}");
        let Some(fire) = job.spec.scheduled_fire_time else { continue };
        ensure!(job.started_at.is_none_or(|started| started >= fire), "before its time: {job:?}");
        fires.push(fire);
    }
    fires.sort_unstable();
    let (first, last) = (fires.first().context("it has fired")?, fires.last().context("it has fired")?);
    let is_whole = fires.windows(2).all(|pair| pair[1] == pair[0].saturating_add(EVERY));
    ensure!(is_whole, "a fire from {first} to {last} is missing, or was made twice: {fires:?}");
    Ok(())
}
