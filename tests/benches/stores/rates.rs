//! Jobs a second of each step.

use std::sync::Arc;

use anyhow::Result;
use host::clock::Stopwatch;
use host::model::LeaseToken;
use host::store::{AcquireJobs, ReleaseJobs, Store};
use tests::backends::Backend;
use tests::factory::{Factory, release, scheduler, success, t};

use crate::LONG_ENOUGH;
use crate::floor::Floor;

/// Measures each step by batch and callers. `all`: a job queued, taken and ended, one step after the other.
pub(crate) async fn measure_all(backend: Backend, floor: Option<&Floor>) -> Result<()> {
    let columns = ["batch", "callers", "enqueue/s", "acquire/s", "release/s", "all/s", "of floor"];
    println!("  {}", columns.map(|column| format!("{column:>9}")).join(" "));
    for callers in [1, 4, 16] {
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
            let all = 1.0 / (1.0 / enqueued + 1.0 / acquired + 1.0 / released);
            let beside = floor.map(|floor| if batch == 1 { floor.alone } else { floor.by_the_hundred });
            let of_floor = beside.map_or_else(String::new, |floor| format!("{:.0} %", 100.0 * all / floor));
            println!(
                "  {batch:>9} {callers:>9} {enqueued:>9.0} {acquired:>9.0} {released:>9.0} {all:>9.0} {of_floor:>9}"
            );
            pair.a.close().await;
            pair.b.close().await;
        }
    }
    Ok(())
}

pub(crate) async fn acquire(
    store: &Arc<dyn Store>,
    make: &Factory,
    batch: usize,
) -> (LeaseToken, Vec<host::model::JobId>) {
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
