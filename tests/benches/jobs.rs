//! What a job costs from the queue to its stored result, through a whole scheduler, beside the bare loop that runs the same
//! plugin with nothing around it; and how long a lone job waits.
//!
//! `cargo xtask bench jobs`; `TEST_BACKENDS` chooses the stores, as for the conformance suite. The ratios are what counts, the
//! absolute figures are the machine's.

use std::sync::Arc;
use std::time::Duration;

use host::app::{App, NewJob, RegisterPlugin};
use host::assemble::{Machine, Opened};
use host::clock::{Clock as _, Stopwatch};
use host::config::Config;
use host::model::{JobSpec, JobState, Payload, Settings, TaskId};
use host::scheduler::{Handle, Options, Parts, Scheduler};
use host::store::JobFilter;
use tests::backends::{Backend, stop_all};

mod bare_loop;

use bare_loop::{BareLoop, round};

const TASK: &str = "noop";
/// Jobs of one round, and rounds; the best round counts, because other work on the machine only ever slows one down.
const JOBS: usize = 10_000;
const ROUNDS: usize = 3;
/// Lone jobs whose latency is measured.
const LONE_JOBS: usize = 200;

fn main() -> anyhow::Result<()> {
    let component = std::fs::read(tests::artifacts::plugin("noop"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bare = Arc::new(BareLoop::new(&component)?);
    let folder = tempfile::tempdir()?;
    println!("{JOBS} jobs of the plugin `noop`, best of {ROUNDS} rounds");
    for backend in Backend::enabled()? {
        let place = backend.place()?;
        let url = place.as_ref().map_or_else(|| "memory".to_owned(), |place| place.url.clone());
        runtime.block_on(measure(&backend.to_string(), &url, folder.path(), &component, &bare))?;
        if backend == Backend::Sqlite {
            let (name, url) = ("sqlite, synchronous=normal", format!("{url}-normal?synchronous=normal"));
            runtime.block_on(measure(name, &url, folder.path(), &component, &bare))?;
        }
    }
    stop_all();
    Ok(())
}

async fn measure(
    name: &str,
    url: &str,
    folder: &std::path::Path,
    component: &[u8],
    bare: &Arc<BareLoop>,
) -> anyhow::Result<()> {
    let config = Config {
        task_defaults: Settings { max_running_jobs: Some(host::model::Parallelism::Unlimited), ..Settings::default() },
        auto_migrate: true,
        ..Config::new(url.parse()?, folder)
    };
    let opened = Machine.open(&config).await?;
    register(&opened.app, component).await?;
    let (mut best_bare, mut best_ours, mut best_queued) = (Duration::MAX, Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let shared = Arc::clone(bare);
        let time = round(JOBS, 16, move || {
            let bare = Arc::clone(&shared);
            async move { bare.job(TASK).await }
        });
        best_bare = best_bare.min(time.await?);
        let (queued, ran) = batch(&opened).await?;
        best_queued = best_queued.min(queued);
        best_ours = best_ours.min(ran);
    }
    let per_second = |time: Duration| JOBS as f64 / time.as_secs_f64();
    println!(
        "{name}: queued {:.0}/s; run and stored {:.0}/s beside {:.0}/s of the bare loop: {:.0} %",
        per_second(best_queued),
        per_second(best_ours),
        per_second(best_bare),
        100.0 * best_bare.as_secs_f64() / best_ours.as_secs_f64(),
    );
    let mut waits = lone_jobs(&opened).await?;
    waits.sort();
    println!(
        "{name}: a lone job, from being asked for to its stored result: median {:.2} ms, 99th percentile {:.2} ms",
        waits[waits.len() / 2].as_secs_f64() * 1e3,
        waits[waits.len() * 99 / 100].as_secs_f64() * 1e3,
    );
    opened.app.close().await;
    Ok(())
}

async fn register(app: &App, component: &[u8]) -> anyhow::Result<()> {
    app.plugin_register(RegisterPlugin::new("noop".parse()?, component.to_vec())).await?;
    Ok(())
}

async fn start(opened: &Opened) -> anyhow::Result<Handle> {
    let options = Options::new("bench".parse()?);
    Ok(Scheduler::start(parts(opened), options).await?)
}

fn parts(opened: &Opened) -> Parts {
    opened.app.scheduler_parts(opened.executors.clone())
}

/// Queues [`JOBS`] jobs, then lets a scheduler run them all.
async fn batch(opened: &Opened) -> anyhow::Result<(Duration, Duration)> {
    let store = parts(opened).store;
    let task_id: TaskId = "noop:noop".parse()?;
    let task = store.task_get(&task_id).await?.ok_or_else(|| anyhow::anyhow!("the task is there"))?.task;
    let clock = parts(opened).time;
    let mut ids = host::model::JobIdSource::new(fastrand::Rng::new());
    let settings = task.resolved().for_job(&Payload::no_args());
    let job = |ids: &mut host::model::JobIdSource| {
        let now = clock.now();
        JobSpec::direct(ids.next(now), task_id.clone(), Payload::no_args(), settings.clone(), now)
    };
    let queueing = Stopwatch::start();
    for _ in 0..JOBS / 1_000 {
        store.job_add((0..1_000).map(|_| job(&mut ids)).collect()).await?;
    }
    let queued = queueing.elapsed();
    let running = Stopwatch::start();
    let scheduler = start(opened).await?;
    // Looked at rarely and by index: a watcher that counts rows would be measured too.
    for state in [JobState::Queued, JobState::Running] {
        let filter = JobFilter { state: Some(state), limit: 1, ..JobFilter::default() };
        while !store.job_list(filter.clone()).await?.rows.is_empty() {
            clock.sleep_until(clock.now().saturating_add(Duration::from_millis(5))).await;
        }
    }
    let ran = running.elapsed();
    scheduler.stop().await;
    Ok((queued, ran))
}

/// How long a job takes when nothing else is going on.
async fn lone_jobs(opened: &Opened) -> anyhow::Result<Vec<Duration>> {
    let scheduler = start(opened).await?;
    let mut waits = Vec::with_capacity(LONE_JOBS);
    for _ in 0..LONE_JOBS {
        let wait = Stopwatch::start();
        let id = opened.app.job_submit(NewJob::new("noop:noop")).await?;
        opened.app.job_wait(id).await?;
        waits.push(wait.elapsed());
    }
    scheduler.stop().await;
    Ok(waits)
}
