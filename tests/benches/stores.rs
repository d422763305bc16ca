//! How fast the stores are: enqueue, acquire and release, at batches of 1, 10 and 100 and with 1 and 4 callers, on an empty store and
//! behind what must not matter: 100,000 jobs of one saturated task, and (with `--large`) a million finished ones.
//!
//! `TEST_BACKENDS` chooses the stores, as for the conformance suite. Figures are only worth something beside each other, from one
//! run: the floor is the same rows written through the bare driver.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use host::clock::Stopwatch;
use host::model::{JobSpec, LeaseToken};
use host::store::{AcquireJobs, ReleaseJobs, Store};
use tests::backends::{Backend, stop_all};
use tests::factory::{Factory, release, scheduler, success, t, task};

/// How long one figure is measured.
const LONG_ENOUGH: Duration = Duration::from_millis(700);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let is_large = std::env::args().any(|argument| argument == "--large");
    let measured = runtime.block_on(async {
        for backend in Backend::enabled()? {
            println!("{backend}");
            floor(backend).await?;
            rates(backend).await?;
            behind_a_backlog(backend, 100_000, "100,000 jobs of a saturated task", |make, count| {
                (0..count).map(|_| make.urgent("p:full", 9)).collect()
            })
            .await?;
            behind_a_backlog(backend, 100_000, "100,000 jobs that are not due", |make, count| {
                (0..count).map(|_| JobSpec { due_at: t(1_000_000), ..make.urgent("p:work", 9) }).collect()
            })
            .await?;
            if is_large {
                behind_finished(backend, 1_000_000).await?;
            }
        }
        Ok(())
    });
    stop_all();
    measured
}

/// Jobs a second through the bare driver: a row inserted and later marked as finished, nothing else.
macro_rules! bare {
    ($pool:expr, $insert:literal, $update:literal, $batch:expr, $make:expr) => {{
        let pool = $pool;
        let watch = Stopwatch::start();
        let mut count = 0_u32;
        while watch.elapsed() < LONG_ENOUGH {
            let ids: Vec<Vec<u8>> = (0..$batch).map(|_| $make.job_id().as_bytes().to_vec()).collect();
            let mut transaction = pool.begin().await?;
            for id in &ids {
                sqlx::query($insert).bind(id.as_slice()).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            let mut transaction = pool.begin().await?;
            for id in &ids {
                sqlx::query($update).bind(id.as_slice()).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            count += $batch;
        }
        let rate = f64::from(count) / watch.elapsed().as_secs_f64();
        pool.close().await;
        rate
    }};
}

/// What the database does for a bare row, with a commit for each and one for a hundred: what the rates below are to be held against.
async fn floor(backend: Backend) -> Result<()> {
    let make = Factory::new(7);
    for batch in [1, 100] {
        let Some(place) = backend.place()? else { return Ok(()) };
        // In the store's own schema, so that the same indexes are kept.
        tests::backends::open(&place.url).await?.close().await;
        let rate = match backend {
            Backend::Memory => return Ok(()),
            Backend::Sqlite => {
                let options: sqlx::sqlite::SqliteConnectOptions = place.url.parse()?;
                let options = options.synchronous(sqlx::sqlite::SqliteSynchronous::Full);
                bare!(
                    sqlx::SqlitePool::connect_with(options).await?,
                    "INSERT INTO jobs (id, task_id, jitter, args_encoding, args, settings, place, result_ttl, due_at, created_at, lane)
                     VALUES (?, 'p:work', 0, 'json', x'7b7d', '{}', 0, 0, 0, 0, '')",
                    "UPDATE jobs SET state = 'finished', outcome = 'success', lane = NULL WHERE id = ?",
                    batch,
                    make
                )
            }
            Backend::Postgres => bare!(
                sqlx::PgPool::connect(&place.url).await?,
                "INSERT INTO jobs (id, task_id, jitter, args_encoding, args, settings, place, result_ttl, due_at, created_at, lane)
                 VALUES ($1, 'p:work', 0, 'json', '{}', '{}', 0, 0, 0, 0, '')",
                "UPDATE jobs SET state = 'finished', outcome = 'success', lane = NULL WHERE id = $1",
                batch,
                make
            ),
            Backend::Mysql => bare!(
                sqlx::MySqlPool::connect(&place.url).await?,
                "INSERT INTO jobs (id, task_id, jitter, args_encoding, args, settings, place, result_ttl, due_at, created_at, lane)
                 VALUES (?, 'p:work', 0, 'json', '{}', '{}', 0, 0, 0, 0, '')",
                "UPDATE jobs SET state = 'finished', outcome = 'success', lane = NULL WHERE id = ?",
                batch,
                make
            ),
        };
        println!("  floor: {rate:.0} bare rows a second inserted and updated, {batch} a commit, one caller");
    }
    Ok(())
}

/// Jobs a second of each step, by batch and callers.
async fn rates(backend: Backend) -> Result<()> {
    println!("  {:>6} {:>8} {:>12} {:>12} {:>12}", "batch", "callers", "enqueue/s", "acquire/s", "release/s");
    for callers in [1, 4] {
        for batch in [1, 10, 100] {
            let pair = backend.open().await?;
            let enqueued = measure(&pair.a, callers, move |store, make| async move {
                let jobs = (0..batch).map(|_| make.job("p:work")).collect();
                store.job_add(jobs).await.expect("added");
                (batch, make)
            })
            .await;
            let taken = Arc::new(std::sync::Mutex::new(Vec::new()));
            let keep = Arc::clone(&taken);
            let acquired = measure(&pair.a, callers, move |store, make| {
                let taken = Arc::clone(&keep);
                async move {
                    let (token, ids) = acquire(&store, &make, batch).await;
                    let count = ids.len();
                    // The last call of a caller finds nothing; there is nothing to release for it.
                    if count > 0 {
                        taken.lock().expect("not poisoned").push((token, ids));
                    }
                    (count, make)
                }
            })
            .await;
            let released = measure(&pair.a, callers, move |store, make| {
                let next = taken.lock().expect("not poisoned").pop();
                async move {
                    let Some((token, ids)) = next else { return (0, make) };
                    let count = ids.len();
                    let releases = ids.into_iter().map(|id| release(id, token, success(9))).collect();
                    store.job_release(ReleaseJobs { now: t(1), releases }).await.expect("released");
                    (count, make)
                }
            })
            .await;
            println!("  {batch:>6} {callers:>8} {enqueued:>12.0} {acquired:>12.0} {released:>12.0}");
            pair.a.close().await;
            pair.b.close().await;
        }
    }
    Ok(())
}

async fn acquire(store: &Arc<dyn Store>, make: &Factory, batch: usize) -> (LeaseToken, Vec<host::model::JobId>) {
    let request = AcquireJobs { holder: scheduler("bench"), ..make.acquire(0, batch) };
    let token = request.token;
    let jobs = store.job_acquire(request).await.expect("acquired").jobs;
    (token, jobs.into_iter().map(|job| job.spec.id).collect())
}

/// Repeats `step` on `callers` tasks until it has nothing to do or the time is up; answers how many jobs a second that made.
async fn measure<F>(
    store: &Arc<dyn Store>,
    callers: u64,
    step: impl Fn(Arc<dyn Store>, Factory) -> F + Clone + Send + 'static,
) -> f64
where
    F: Future<Output = (usize, Factory)> + Send,
{
    let watch = Stopwatch::start();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (store, step) = (Arc::clone(store), step.clone());
        tasks.spawn(async move {
            let (mut all, mut make) = (0, Factory::new(fastrand::u64(..)));
            while watch.elapsed() < LONG_ENOUGH {
                let (count, back) = step(Arc::clone(&store), make).await;
                make = back;
                if count == 0 {
                    break;
                }
                all += count;
            }
            all
        });
    }
    let all: usize = tasks.join_all().await.into_iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let all = all as f64;
    all / watch.elapsed().as_secs_f64()
}

/// The time of one acquire and release of ten jobs.
async fn round_trip(store: &Arc<dyn Store>, make: &Factory) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..30 {
        store.job_add((0..10).map(|_| make.job("p:work")).collect()).await?;
        let watch = Stopwatch::start();
        let (token, ids) = acquire(store, make, 10).await;
        assert_eq!(ids.len(), 10, "the jobs behind the backlog are found");
        let releases = ids.into_iter().map(|id| release(id, token, success(9))).collect();
        store.job_release(ReleaseJobs { now: t(1), releases }).await?;
        times.push(watch.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

async fn behind_a_backlog(
    backend: Backend,
    count: usize,
    what: &str,
    jobs: impl Fn(&Factory, usize) -> Vec<JobSpec>,
) -> Result<()> {
    let pair = backend.open().await?;
    let make = Factory::new(1);
    pair.a.task_put(task("p:full", Some(1))).await?;
    pair.a.job_add(vec![make.urgent("p:full", 10)]).await?;
    acquire(&pair.a, &make, 1).await;
    let before = round_trip(&pair.a, &make).await?;
    for chunk in jobs(&make, count).chunks(5_000) {
        pair.a.job_add(chunk.to_vec()).await?;
    }
    let behind = round_trip(&pair.a, &make).await?;
    println!("  acquire and release ten: {before:?}; behind {what}: {behind:?}");
    pair.a.close().await;
    pair.b.close().await;
    Ok(())
}

async fn behind_finished(backend: Backend, count: usize) -> Result<()> {
    let pair = backend.open().await?;
    let make = Factory::new(1);
    let before = round_trip(&pair.a, &make).await?;
    let mut left = count;
    while left > 0 {
        let batch = left.min(5_000);
        pair.a.job_add((0..batch).map(|_| make.job("p:work")).collect()).await?;
        let (token, ids) = acquire(&pair.a, &make, batch).await;
        let releases = ids.into_iter().map(|id| release(id, token, success(9))).collect();
        pair.a.job_release(ReleaseJobs { now: t(1), releases }).await?;
        left -= batch;
    }
    let behind = round_trip(&pair.a, &make).await?;
    let watch = Stopwatch::start();
    let filter = host::store::JobFilter { limit: 50, ..host::store::JobFilter::default() };
    pair.a.job_list(filter).await?;
    println!(
        "  acquire and release ten: {before:?}; beside {count} finished: {behind:?}; a page of the list: {:?}",
        watch.elapsed()
    );
    pair.a.close().await;
    pair.b.close().await;
    Ok(())
}
