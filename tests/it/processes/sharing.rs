//! Processes that share a queue of twenty thousand jobs.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use host::clock::{Clock as _, Stopwatch, SystemClock};
use host::model::JobSpec;
use host::store::{AcquireJobs, ReleaseJobs, Released, Store};
use tests::backends::Backend;
use tests::factory::{Factory, release, scheduler, success, t, task};

use crate::{HANGS_AFTER, block_on, connect, say, start};

/// The tasks, how many jobs of each may run at once, and how many there are. Of a task that runs one at a time there are as many as keep
/// its slot busy to the end while the others run, and not so many that the test waits for nothing else.
const TASKS: [(&str, Option<u32>, usize); 4] =
    [("p:one", Some(1), 100), ("p:three", Some(3), 400), ("p:ten", Some(10), 1_500), ("p:free", None, 18_000)];

/// Jobs in all.
const JOBS: usize = 20_000;

/// Jobs that a worker asks for at once.
const BATCH: usize = 100;

/// Workers look at the store's own count of running jobs once in so many batches.
const BATCHES_PER_LOOK: usize = 10;

/// What a worker says of a job that it ran: between these two moments, by the machine's clock, it certainly held the lease.
struct Ran {
    task: String,
    from: i64,
    until: i64,
}

pub(crate) fn processes_share_jobs(backend: Backend) -> Result<()> {
    let place = backend.place()?.context("the store has a place")?;
    let jobs = jobs();
    let mut left: HashMap<String, String> =
        jobs.iter().map(|job| (job.id.to_string(), job.task_id.to_string())).collect();
    ensure!(left.len() == JOBS, "{} jobs", left.len());
    block_on(async {
        let store = connect(&place.url).await?;
        for (id, limit, _) in TASKS {
            store.task_put(task(id, limit)).await?;
        }
        store.job_add(jobs).await?;
        store.close().await;
        anyhow::Ok(())
    })?;
    // On one SQLite file as many as make sense: there one writes at a time.
    let count = if backend == Backend::Sqlite { 4 } else { 8 };
    let workers: Vec<_> =
        (0..count).map(|at| start("worker", &place.url, &format!("worker-{at}"))).collect::<Result<_>>()?;
    let (mut ran, mut busy) = (Vec::with_capacity(JOBS), 0);
    for worker in workers {
        let output = worker.wait_with_output()?;
        ensure!(output.status.success(), "a worker failed");
        let text = String::from_utf8(output.stdout)?;
        busy += usize::from(!text.trim().is_empty());
        for line in text.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, from, until] = words[..] else { anyhow::bail!("a worker said `{line}`") };
            let task = left.remove(id).with_context(|| format!("job {id} ran twice, or was never added"))?;
            ran.push(Ran { task, from: from.parse()?, until: until.parse()? });
        }
    }
    ensure!(left.is_empty(), "{} jobs never ran", left.len());
    // That each of them gets some is a matter of luck, and no promise of the store's.
    ensure!(busy > 1, "one of {count} workers ran all: nothing was shared");
    TASKS.iter().try_for_each(|(task, limit, _)| within_limit(&ran, task, *limit))
}

/// The jobs, those of the limited tasks spread among the others.
fn jobs() -> Vec<JobSpec> {
    let make = Factory::new(1);
    let mut tasks: Vec<&str> = TASKS.iter().flat_map(|(task, _, count)| vec![*task; *count]).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut tasks);
    tasks.into_iter().map(|task| make.job(task)).collect()
}

/// Never were more leases of a task certainly held than its limit, and the limit was reached.
fn within_limit(ran: &[Ran], task: &str, limit: Option<u32>) -> Result<()> {
    let Some(limit) = limit.map(i64::from) else { return Ok(()) };
    let of_task = ran.iter().filter(|ran| ran.task == task);
    // An end comes before a beginning of the same microsecond: it was told later than it was so.
    let mut moments: Vec<(i64, i64)> = of_task.flat_map(|ran| [(ran.from, 1), (ran.until, -1)]).collect();
    moments.sort_unstable();
    let (mut held, mut most) = (0, 0);
    for (_, change) in moments {
        held += change;
        most = most.max(held);
    }
    ensure!(most <= limit, "{most} jobs of {task} ran at once, {limit} may");
    ensure!(most == limit, "at most {most} jobs of {task} ran at once: the limit of {limit} was not put to the test");
    Ok(())
}

/// Acquires and releases until all jobs are finished, and says which it ran and when.
pub(crate) async fn share(url: &str, name: &str) -> Result<()> {
    let (store, make, watch) = (connect(url).await?, Factory::new(fastrand::u64(..)), Stopwatch::start());
    let (mut batches, mut ran) = (0_usize, Vec::new());
    loop {
        ensure!(watch.elapsed() < HANGS_AFTER, "not done after {HANGS_AFTER:?}");
        let request = AcquireJobs { holder: scheduler(name), ..make.acquire(0, BATCH) };
        let token = request.token;
        let jobs = store.job_acquire(request).await?.jobs;
        let from = SystemClock.now().as_micros();
        if jobs.is_empty() {
            if store.job_counts().await?.finished == JOBS as u64 {
                break;
            }
            // Others hold the slots of all tasks that are left.
            std::thread::sleep(std::time::Duration::from_millis(2));
            continue;
        }
        if batches.is_multiple_of(BATCHES_PER_LOOK) {
            look(&*store).await?;
        }
        batches += 1;
        // The work. Without any, no two workers would ever be seen to hold jobs at the same time.
        std::thread::sleep(std::time::Duration::from_millis(2));
        let until = SystemClock.now().as_micros();
        let releases: Vec<_> = jobs.iter().map(|job| release(job.spec.id, token, success(9))).collect();
        let released = store.job_release(ReleaseJobs { now: t(1), releases }).await?;
        ensure!(released.iter().all(|released| *released == Released::Stored), "a lease was lost");
        ran.extend(jobs.iter().map(|job| format!("{} {from} {until}", job.spec.id)));
    }
    store.close().await;
    // At the end, because nobody reads it before: a full pipe would stop the worker.
    say(&ran.join("\n"))
}

/// The store itself counts no more running jobs of a task than may run.
async fn look(store: &dyn Store) -> Result<()> {
    for row in store.task_list().await?.rows {
        let limit = TASKS.iter().find(|(id, ..)| *id == row.task.id.as_str()).and_then(|(_, limit, _)| *limit);
        let running = row.running_jobs;
        ensure!(limit.is_none_or(|limit| running <= u64::from(limit)), "{running} jobs of {} at once", row.task.id);
    }
    Ok(())
}
