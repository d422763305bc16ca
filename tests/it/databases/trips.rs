//! How often the hot calls ask the database, with the beginning and the end of their transactions.

use anyhow::{Context as _, Result, ensure};
use host::store::sql::SqlStore;
use host::store::{AcquireJobs, Catalog as _, ExchangeJobs, Housekeeping as _, JobQueue as _, ReleaseJobs};
use tests::backends::{Backend, options};
use tests::factory::{Factory, release, served, success, t, task};

use crate::block_on;

/// Jobs in one call: few enough for one statement of every database.
const JOBS: usize = 64;

/// The trips of a call that takes jobs, one that ends them, and one that does both; then those of the last one for a task with a limit.
#[derive(Debug, PartialEq, Eq)]
struct Trips {
    acquire: u64,
    release: u64,
    exchange: u64,
    exchange_limited: u64,
}

pub(crate) fn are_few(backend: Backend) -> Result<()> {
    let found = block_on(count(backend))?;
    let most = match backend {
        // Begin, what it says, commit. What a limit has to settle comes between.
        Backend::Postgres => Trips { acquire: 3, release: 3, exchange: 4, exchange_limited: 10 },
        _ => Trips { acquire: 6, release: 4, exchange: 8, exchange_limited: 15 },
    };
    ensure!(found.acquire <= most.acquire && found.release <= most.release, "{found:?} instead of {most:?}");
    ensure!(found.exchange <= most.exchange, "{found:?} instead of {most:?}");
    ensure!(found.exchange_limited <= most.exchange_limited, "{found:?} instead of {most:?}");
    Ok(())
}

async fn count(backend: Backend) -> Result<Trips> {
    let place = backend.place()?.context("the store has a place")?;
    let store = SqlStore::open(&place.url.parse()?, options(true)).await?;
    let make = Factory::new(1);
    store.task_put(task("p:work", None)).await?;
    store.task_put(task("p:limited", Some(u32::try_from(JOBS)?))).await?;
    let mut trips = Trips { acquire: 0, release: 0, exchange: 0, exchange_limited: 0 };
    for id in ["p:work", "p:limited"] {
        store.job_add((0..3 * JOBS).map(|_| make.job(id)).collect()).await?;
        let ask =
            || AcquireJobs { queues: vec![served("default", JOBS), served("other", JOBS)], ..make.acquire(1, JOBS) };
        let (request, before) = (ask(), store.round_trips());
        let mut token = request.token;
        let mut jobs = store.job_acquire(request).await?.jobs;
        trips.acquire = trips.acquire.max(store.round_trips() - before);
        ensure!(jobs.len() == JOBS, "{} jobs", jobs.len());
        let ends = |jobs: &[host::model::Job], token| ReleaseJobs {
            now: t(2),
            releases: jobs.iter().map(|job| release(job.spec.id, token, success(9))).collect(),
        };
        let request = ExchangeJobs { release: ends(&jobs, token), acquire: ask() };
        token = request.acquire.token;
        let before = store.round_trips();
        jobs = store.job_exchange(request).await?.acquired.jobs;
        let exchange = store.round_trips() - before;
        ensure!(jobs.len() == JOBS, "{} jobs", jobs.len());
        let before = store.round_trips();
        store.job_release(ends(&jobs, token)).await?;
        let ended = store.round_trips() - before;
        if id == "p:work" {
            (trips.exchange, trips.release) = (exchange, ended);
        } else {
            trips.exchange_limited = exchange;
        }
        // What is left is of no use to the other task.
        let rest = ask();
        let token = rest.token;
        let jobs = store.job_acquire(rest).await?.jobs;
        store.job_release(ends(&jobs, token)).await?;
    }
    store.close().await;
    Ok(trips)
}
