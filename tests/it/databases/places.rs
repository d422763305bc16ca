//! Places: what is counted of running jobs must be what the jobs say, after whatever has happened.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use host::model::{JobId, JobSettings, JobSpec, LeaseToken, Parallelism, Task};
use host::store::{AcquireJobs, Choice, Ending, ReleaseJobs, Store, StoreError};
use tests::backends::{Backend, open};
use tests::factory::{Factory, recover, release, scheduler, success, t, task};

use crate::{ask, block_on};

/// Steps of each of the callers.
const STEPS: usize = 150;
const CALLERS: u64 = 4;
const TASKS: [&str; 3] = ["p:one", "p:two", "p:keyed"];

/// Groups whose count is not what the jobs say, or that hold a job back although there is room.
const WRONG: &str = "SELECT task_id, concurrency_key FROM host_groups AS g WHERE
    taken <> CASE WHEN concurrency_key = ''
        THEN (SELECT COUNT(*) FROM host_jobs AS j WHERE j.task_id = g.task_id AND j.task_place = 1)
        ELSE (SELECT COUNT(*) FROM host_jobs AS j WHERE j.task_id = g.task_id AND j.concurrency_key = g.concurrency_key AND j.key_place = 1) END
    OR (taken < max_running AND EXISTS (SELECT 1 FROM host_jobs AS j WHERE j.task_id = g.task_id AND (
        (g.concurrency_key = '' AND j.task_place = 0) OR (j.concurrency_key = g.concurrency_key AND j.key_place = 0))))";

/// Jobs that stand in the index of ready jobs without the places that they need, or with them and not there, or that keep a place
/// although they have ended or are not yet due.
const MISPLACED: &str = "SELECT state, task_id FROM host_jobs WHERE
    (ready_key IS NOT NULL AND (state <> 'queued' OR key_place = 0 OR task_place = 0))
    OR (ready_key IS NULL AND state = 'queued' AND run_at IS NULL AND COALESCE(key_place, 1) = 1 AND COALESCE(task_place, 1) = 1)
    OR ((state = 'finished' OR run_at IS NOT NULL) AND (key_place IS NOT NULL OR task_place IS NOT NULL))
    OR (ready_key IS NULL AND (key_place = 2 OR task_place = 2))
    OR (state = 'running' AND (key_place <> 1 OR task_place <> 1))";

fn limited(id: &str, limit: Option<u32>, per_key: Option<u32>) -> Task {
    let mut task = task(id, limit);
    let per_key = per_key.and_then(NonZeroU32::new);
    task.configured.max_running_per_key = Some(per_key.map_or(Parallelism::Unlimited, Parallelism::AtMost));
    task
}

/// Does what comes to its mind.
struct Caller {
    store: Arc<dyn Store>,
    make: Factory,
    random: fastrand::Rng,
    name: String,
    leases: Vec<(JobId, LeaseToken)>,
    jobs: Vec<JobId>,
}

impl Caller {
    async fn step(&mut self) -> Result<()> {
        let (now, some_job) = (10, self.some_job());
        match self.random.u8(0..100) {
            0..30 => {
                let jobs = (0..self.random.usize(1..5)).map(|_| self.job()).collect::<Vec<_>>();
                self.jobs.extend(jobs.iter().map(|job| job.id));
                self.store.job_add(jobs).await?;
            }
            30..55 => {
                let holder = scheduler(&self.name);
                let choice = match self.random.u8(0..8) {
                    0 => Choice::Only(some_job),
                    1 => Choice::EachTask { except: BTreeSet::new() },
                    _ => Choice::InOrder,
                };
                let limit = self.random.usize(1..4);
                let request = AcquireJobs { holder, choice, ..self.make.acquire(now, limit) };
                let token = request.token;
                let acquired = self.store.job_acquire(request).await?;
                self.leases.extend(acquired.jobs.iter().map(|job| (job.spec.id, token)));
            }
            55..80 => {
                let count = self.random.usize(1..4).min(self.leases.len());
                let releases = self.leases.drain(..count).collect::<Vec<_>>();
                let releases = releases.into_iter().map(|(id, token)| release(id, token, self.ending())).collect();
                self.store.job_release(ReleaseJobs { now: t(now), releases }).await?;
            }
            80..88 => drop(self.store.job_cancel(some_job, None, t(now)).await),
            88..92 => {
                // Refused where it has not finished.
                if let Err(error @ StoreError::Backend { .. }) = self.store.job_retry(some_job, t(now)).await {
                    return Err(error.into());
                }
            }
            92..95 => drop(self.store.recover(recover(if self.random.bool() { now } else { 100 })).await?),
            _ => {
                let limit = |random: &mut fastrand::Rng| [None, Some(1), Some(2), Some(4)][random.usize(..4)];
                let id = TASKS[self.random.usize(..TASKS.len())];
                let (whole, per_key) = (limit(&mut self.random), limit(&mut self.random));
                self.store.task_put(limited(id, whole, per_key)).await?;
            }
        }
        Ok(())
    }

    fn job(&mut self) -> JobSpec {
        let job = self.make.urgent(TASKS[self.random.usize(..TASKS.len())], self.random.i32(-1..2));
        let concurrency_key = [None, Some("a"), Some("b"), Some("c")][self.random.usize(..4)].map(str::to_owned);
        let due_at = if self.random.u8(0..5) == 0 { t(10_000) } else { t(0) };
        JobSpec { settings: JobSettings { concurrency_key, ..job.settings }, due_at, ..job }
    }

    fn some_job(&mut self) -> JobId {
        if self.jobs.is_empty() { self.make.job_id() } else { self.jobs[self.random.usize(..self.jobs.len())] }
    }

    fn ending(&mut self) -> Ending {
        let error = || host::model::JobError::new(host::model::ErrorKind::GuestError, "no");
        match self.random.u8(0..6) {
            0 => Ending::Retry { due_at: t(10_000), error: error() },
            1 => Ending::Retry { due_at: t(0), error: error() },
            2 => Ending::Requeued { not_before: None },
            _ => success(9_999),
        }
    }
}

pub(crate) fn are_counted_rightly(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("the store has a place")?;
        let seed = fastrand::u64(..);
        let store = open(&place.url).await?;
        for id in TASKS {
            store.task_put(limited(id, Some(2), Some(1))).await?;
        }
        let mut callers = tokio::task::JoinSet::new();
        for at in 0..CALLERS {
            let (random, make) = (fastrand::Rng::with_seed(seed ^ at), Factory::new(seed ^ at));
            let name = format!("caller {at}");
            let mut caller =
                Caller { store: Arc::clone(&store), make, random, name, leases: Vec::new(), jobs: Vec::new() };
            callers.spawn(async move {
                for _ in 0..STEPS {
                    caller.step().await?;
                }
                Ok::<(), anyhow::Error>(())
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended?.with_context(|| format!("seed {seed:#x}"))?;
        }
        let (wrong, misplaced) = (ask::rows(&place.url, WRONG).await?, ask::rows(&place.url, MISPLACED).await?);
        store.close().await;
        ensure!(wrong.is_empty() && misplaced.is_empty(), "seed {seed:#x}: {wrong:?} {misplaced:?}");
        Ok(())
    })
}

pub(crate) fn are_mended(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("the store has a place")?;
        let (store, make) = (open(&place.url).await?, Factory::new(1));
        store.task_put(limited("p:one", Some(1), None)).await?;
        store.job_add(vec![make.job("p:one"), make.job("p:one")]).await?;
        // As a fault would leave it: the place is counted, and nobody has it.
        ask::rows(&place.url, "UPDATE host_jobs SET task_place = 0, ready_key = NULL").await?;
        ensure!(store.job_acquire(make.acquire(0, 9)).await?.jobs.is_empty(), "nothing is ready");
        let restarted = host::store::Recover { holder: Some(scheduler("one")), ..recover(0) };
        store.recover(restarted).await?;
        let acquired = store.job_acquire(make.acquire(0, 9)).await?.jobs.len();
        let wrong = ask::rows(&place.url, WRONG).await?;
        store.close().await;
        ensure!(acquired == 1 && wrong.is_empty(), "{acquired} jobs run of a task that may run one; {wrong:?}");
        Ok(())
    })
}
