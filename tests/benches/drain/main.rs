//! A queue of no-op sandboxed jobs on PostgreSQL, drained by one scheduler: beside graphile-worker with two processes, which runs functions
//! of its own process, on the same server and in turns with it. Then what a job costs, in processor time of both sides and in bytes of the
//! server's log.
//!
//! `cargo xtask bench drain`; the other one is measured where npm is there and reaches its registry.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use host::app::RegisterPlugin;
use host::assemble::{Machine, Opened};
use host::clock::{Clock as _, Stopwatch};
use host::config::Config;
use host::model::{JobIdSource, JobSpec, JobState, Payload, Settings, TaskId};
use host::scheduler::{Options, Parts, Scheduler};
use host::store::JobFilter;
use sqlx::PgPool;
use tests::backends::{OwnServer, cpu_time};

mod graphile;

use graphile::Peer;

/// Jobs of one round.
const JOBS: usize = 20_000;

/// Rounds of each; the median counts.
const ROUNDS: usize = 3;

/// How often is looked whether a round has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a round took.
#[derive(Debug, Default, Clone, Copy)]
struct Round {
    took: Duration,
    /// Of the processes that run the jobs.
    worker_cpu: Duration,
    server_cpu: Duration,
    log_bytes: i64,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Box::pin(measure()))
}

async fn measure() -> Result<()> {
    let server = OwnServer::start(true)?;
    let pool = PgPool::connect(&server.url()).await?;
    let folder = tempfile::tempdir()?;
    let opened = open(&server.url(), folder.path()).await?;
    let peer_folder = xtask::workspace().join("target/peers");
    std::fs::create_dir_all(&peer_folder)?;
    let peer = Peer::install(&peer_folder, &server.url());
    if let Err(reason) = &peer {
        println!("graphile-worker is not measured: {reason:#}");
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(round(&server, &pool, drain(&opened)).await?);
        if let Ok(peer) = &peer {
            theirs.push(round(&server, &pool, peer.drain(&pool, JOBS)).await?);
        }
    }
    println!("{JOBS} jobs that do nothing, from a queue on PostgreSQL; medians of {ROUNDS} rounds");
    let rate = tell("sandboxed jobs, one process", &ours);
    if !theirs.is_empty() {
        let other = tell("graphile-worker, two processes", &theirs);
        println!("ratio {:.2}", rate / other);
    }
    opened.app.close().await;
    Ok(())
}

async fn open(url: &str, folder: &std::path::Path) -> Result<Opened> {
    let config = Config {
        task_defaults: Settings { max_running_jobs: Some(host::model::Parallelism::Unlimited), ..Settings::default() },
        auto_migrate: true,
        ..Config::new(url.parse()?, folder)
    };
    let opened = Machine.open(&config).await?;
    let component = std::fs::read(tests::artifacts::plugin("noop"))?;
    opened.app.plugin_register(RegisterPlugin::new("noop".parse()?, component)).await?;
    Ok(opened)
}

/// A round, with what it cost the server.
async fn round(server: &OwnServer, pool: &PgPool, run: impl Future<Output = Result<Round>>) -> Result<Round> {
    // What earlier rounds have left is not this one's to clean up.
    sqlx::query("VACUUM").execute(pool).await?;
    sqlx::query("CHECKPOINT").execute(pool).await?;
    let position =
        || sqlx::query_scalar::<_, i64>("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetch_one(pool);
    let (log, cpu) = (position().await?, server.cpu_time()?);
    let round = run.await?;
    Ok(Round { server_cpu: server.cpu_time()?.saturating_sub(cpu), log_bytes: position().await? - log, ..round })
}

/// Queues [`JOBS`] jobs, then lets a scheduler run them all.
async fn drain(opened: &Opened) -> Result<Round> {
    let parts: Parts = opened.app.scheduler_parts(opened.executors.clone());
    let (store, clock) = (Arc::clone(&parts.store), Arc::clone(&parts.time));
    let task_id: TaskId = "noop:noop".parse()?;
    let task = store.task_get(&task_id).await?.context("the task is there")?.task;
    let settings = task.resolved().for_job(&Payload::no_args());
    let mut ids = JobIdSource::new(fastrand::Rng::new());
    for _ in 0..JOBS / 1_000 {
        let now = clock.now();
        let job = |_| JobSpec::direct(ids.next(now), task_id.clone(), Payload::no_args(), settings.clone(), now);
        store.job_add((0..1_000).map(job).collect()).await?;
    }
    let (watch, before) = (Stopwatch::start(), cpu_time(std::process::id())?);
    let scheduler = Scheduler::start(parts, Options::new("bench".parse()?)).await?;
    // Looked at by index, and rarely: whoever counts rows is measured too.
    for state in [JobState::Queued, JobState::Running] {
        let filter = JobFilter { state: Some(state), limit: 1, ..JobFilter::default() };
        while !store.job_list(filter.clone()).await?.rows.is_empty() {
            clock.sleep(LOOK_EVERY).await;
        }
    }
    let round = Round {
        took: watch.elapsed(),
        worker_cpu: cpu_time(std::process::id())?.saturating_sub(before),
        ..Round::default()
    };
    scheduler.stop().await;
    Ok(round)
}

/// Prints the medians of rounds, each figure by itself, and answers jobs a second.
fn tell(name: &str, rounds: &[Round]) -> f64 {
    let jobs = JOBS as f64;
    let micros = |of: fn(&Round) -> Duration| median(rounds.iter().map(|round| of(round).as_secs_f64() * 1e6 / jobs));
    let rate = median(rounds.iter().map(|round| jobs / round.took.as_secs_f64()));
    println!(
        "{name}: {rate:.0}/s; processor time of the workers {:.1} us a job, of the server {:.1} us; {:.0} bytes of its log",
        micros(|round| round.worker_cpu),
        micros(|round| round.server_cpu),
        median(rounds.iter().map(|round| round.log_bytes as f64 / jobs)),
    );
    rate
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
