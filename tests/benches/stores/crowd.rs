//! What a job costs beside others that have nothing to do with it: cost must not grow with what is not due, finished or blocked.
//!
//! Ten jobs are queued, taken and ended, in turn on an empty store and on a crowded one, so that both meet the same noise.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use host::clock::Stopwatch;
use host::model::{ConflictPolicy, Job, JobSpec, JobState, Outcome};
use host::store::{JobFilter, Record, ReleaseJobs, Restore, Store};
use tests::backends::{Backend, Pair};
use tests::factory::{Factory, release, success, t, task};

use crate::rates::acquire;

/// Jobs of one task that may run one at a time and does.
const BLOCKED: usize = 100_000;
/// Jobs that pass through a store while an old snapshot is held.
const CHURN: usize = 20_000;
/// How often ten jobs are run for one figure.
const REPEATS: usize = 40;
/// Jobs or records in one call while a store is filled.
const FILL_BATCH: usize = 2_000;

/// The medians of what ten jobs cost.
#[derive(Clone, Copy)]
struct Cost {
    enqueue: Duration,
    acquire: Duration,
    release: Duration,
}

/// Prints what ten jobs cost in each crowd, beside what they cost alone.
pub(crate) async fn measure_all(backend: Backend) -> Result<()> {
    println!("  ten jobs queued / taken / ended, and each beside the same on an empty store");
    let empty = backend.open().await?;
    beside_others(backend, &empty).await?;
    behind_blocked(backend, &empty).await?;
    if backend == Backend::Postgres {
        under_a_held_snapshot(backend, &empty).await?;
    }
    close(empty).await;
    Ok(())
}

/// Beside jobs of which one half is finished and the other not yet due.
async fn beside_others(backend: Backend, empty: &Pair) -> Result<()> {
    let (crowded, make) = (backend.open().await?, Factory::new(3));
    let mut others = 0;
    for target in [100_000, 1_000_000] {
        let (more, begun) = ((target - others) / 2, Stopwatch::start());
        finished(&crowded.a, &make, more).await?;
        queue(&crowded.a, more, || JobSpec { due_at: t(1_000_000), ..make.urgent("p:work", 9) }).await?;
        others = target;
        let filled_in = begun.elapsed();
        compare(&format!("{others} others (stored in {filled_in:.1?})"), empty, &crowded).await?;
    }
    let page = Stopwatch::start();
    crowded.a.job_list(JobFilter { limit: 50, state: Some(JobState::Finished), ..JobFilter::default() }).await?;
    println!("    a page of the finished ones among {others}: {:.1?}", page.elapsed());
    close(crowded).await;
    Ok(())
}

/// Behind more urgent jobs of a task that has its slot taken.
async fn behind_blocked(backend: Backend, empty: &Pair) -> Result<()> {
    let (crowded, make) = (backend.open().await?, Factory::new(4));
    crowded.a.task_put(task("p:full", Some(1))).await?;
    crowded.a.job_add(vec![make.urgent("p:full", 10)]).await?;
    acquire(&crowded.a, &make, 1).await;
    queue(&crowded.a, BLOCKED, || make.urgent("p:full", 9)).await?;
    compare(&format!("{BLOCKED} of a blocked task in front"), empty, &crowded).await?;
    close(crowded).await;
    Ok(())
}

/// While another transaction sees the store as it was before many jobs passed through: what they left behind cannot be cleared away.
async fn under_a_held_snapshot(backend: Backend, empty: &Pair) -> Result<()> {
    for is_held in [false, true] {
        let (crowded, make) = (backend.open().await?, Factory::new(5));
        let url = crowded.place.as_ref().map(|place| place.url.clone()).unwrap_or_default();
        let pool = sqlx::PgPool::connect(&url).await?;
        let mut holder = pool.begin().await?;
        if is_held {
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *holder).await?;
            sqlx::query("SELECT COUNT(*) FROM host_jobs").execute(&mut *holder).await?;
        }
        for _ in 0..CHURN / 100 {
            crowded.a.job_add((0..100).map(|_| make.job("p:work")).collect()).await?;
            run(&crowded.a, &make, 100).await?;
        }
        let what = if is_held { ", under a snapshot from before" } else { "" };
        compare(&format!("{CHURN} that have passed{what}"), empty, &crowded).await?;
        holder.rollback().await?;
        pool.close().await;
        close(crowded).await;
    }
    Ok(())
}

/// Stores jobs that have ended.
async fn finished(store: &Arc<dyn Store>, make: &Factory, count: usize) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let batch = left.min(FILL_BATCH);
        left -= batch;
        let ended = |_| {
            let job = Job {
                state: JobState::Finished,
                attempt: 1,
                outcome: Some(Outcome::Success),
                started_at: Some(t(1)),
                finished_at: Some(t(2)),
                expires_at: Some(t(1_000_000)),
                ..Job::queued(make.job("p:work"))
            };
            Record::Job(Box::new(job))
        };
        let records = (0..batch).map(ended).collect();
        store.restore(Restore { now: t(0), records, conflict: ConflictPolicy::Error, dry_run: false }).await?;
    }
    Ok(())
}

async fn queue(store: &Arc<dyn Store>, count: usize, mut job: impl FnMut() -> JobSpec) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let batch = left.min(FILL_BATCH);
        left -= batch;
        store.job_add((0..batch).map(|_| job()).collect()).await?;
    }
    Ok(())
}

async fn close(pair: Pair) {
    pair.a.close().await;
    pair.b.close().await;
}

/// Takes `count` jobs and ends them; answers how long each took.
async fn run(store: &Arc<dyn Store>, make: &Factory, count: usize) -> Result<(Duration, Duration)> {
    let watch = Stopwatch::start();
    let (token, ids) = acquire(store, make, count).await;
    let taken_in = watch.elapsed();
    anyhow::ensure!(ids.len() == count, "{} of {count} jobs are found among the others", ids.len());
    let releases = ids.into_iter().map(|id| release(id, token, success(9))).collect();
    let watch = Stopwatch::start();
    store.job_release(ReleaseJobs { now: t(1), releases }).await?;
    Ok((taken_in, watch.elapsed()))
}

async fn compare(what: &str, empty: &Pair, crowded: &Pair) -> Result<()> {
    let stores = [&empty.a, &crowded.a];
    let mut times: [Vec<[Duration; 3]>; 2] = Default::default();
    for round in 0..REPEATS {
        for (store, times) in stores.into_iter().zip(&mut times) {
            let make = Factory::new(fastrand::u64(..));
            let watch = Stopwatch::start();
            store.job_add((0..10).map(|_| make.job("p:work")).collect()).await?;
            let queued_in = watch.elapsed();
            let (taken_in, ended_in) = run(store, &make, 10).await?;
            // The first rounds prepare statements and fill caches.
            if round >= REPEATS / 4 {
                times.push([queued_in, taken_in, ended_in]);
            }
        }
    }
    let [alone, beside] = times.map(|times| median(&times));
    let ratio = |of: fn(&Cost) -> Duration| of(&beside).as_secs_f64() / of(&alone).as_secs_f64();
    println!(
        "    {what}: {:.1?} / {:.1?} / {:.1?}, {:.2} / {:.2} / {:.2} times",
        beside.enqueue,
        beside.acquire,
        beside.release,
        ratio(|cost| cost.enqueue),
        ratio(|cost| cost.acquire),
        ratio(|cost| cost.release),
    );
    Ok(())
}

fn median(times: &[[Duration; 3]]) -> Cost {
    let [enqueue, acquire, release] = [0, 1, 2].map(|step| {
        let mut of_step: Vec<Duration> = times.iter().map(|steps| steps[step]).collect();
        of_step.sort_unstable();
        of_step[of_step.len() / 2]
    });
    Cost { enqueue, acquire, release }
}
