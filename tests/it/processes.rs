//! Several processes on one store, and processes that are killed: this program starts itself as the workers.
//!
//! `TEST_BACKENDS` chooses the stores, as for the conformance suite; the memory store is left out, as no two processes share it.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use host::clock::{Stopwatch, SystemClock};
use host::model::{ErrorKind, JobError, JobId, JobState};
use host::store::retrying::Retrying;
use host::store::{AcquireJobs, Ending, JobFilter, Recover, ReleaseJobs, Released, Store};
use libtest_mimic::{Arguments, Trial};
use tests::backends::{Backend, OwnServer, open, stop_all};
use tests::conformance::store::opening::OpeningCase;
use tests::factory::{Factory, recover, release, scheduler, success, t, task};

/// Jobs that the processes share.
const JOBS: usize = 2_000;

/// The tasks, and how many of each may run at once.
const TASKS: [(&str, Option<u32>); 4] =
    [("p:one", Some(1)), ("p:three", Some(3)), ("p:ten", Some(10)), ("p:free", None)];

/// How long a run may take before it counts as hanging.
const HANGS_AFTER: Duration = Duration::from_secs(240);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let ended = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "worker", url, name] => block_on(share(url, name)).map(|()| ExitCode::SUCCESS),
        [_, "victim", url, seed] => block_on(work_until_killed(url, seed)).map(|()| ExitCode::SUCCESS),
        _ => run(),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let enabled = Backend::enabled()?;
    let mut trials = Vec::new();
    for backend in [Backend::Sqlite, Backend::Postgres, Backend::Mysql] {
        let ignored = !enabled.contains(&backend);
        let cases: [(&str, OpeningCase); 2] = [
            ("jobs_shared_by_processes_run_once_each_and_within_their_limits", processes_share_jobs),
            ("what_a_killed_process_was_told_is_stored_is_stored_and_every_job_ends", a_killed_process_loses_nothing),
        ];
        for (name, case) in cases {
            let trial = Trial::test(format!("processes::{backend}::{name}"), move || {
                case(backend).map_err(|error| format!("{error:#}").into())
            });
            trials.push(trial.with_ignored_flag(ignored));
        }
        if backend != Backend::Sqlite {
            let name = format!("processes::{backend}::what_a_server_has_stored_outlives_its_crash_and_work_goes_on");
            let run =
                move || block_on(a_crashed_server_loses_nothing(backend)).map_err(|error| format!("{error:#}").into());
            trials.push(Trial::test(name, run).with_ignored_flag(ignored));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    stop_all();
    Ok(conclusion.exit_code())
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime starts").block_on(future)
}

/// The store as a scheduler has it: calls that collide with another process are made again.
async fn connect(url: &str) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(Retrying::new(open(url).await?, Arc::new(SystemClock), fastrand::Rng::new())))
}

fn start(role: &str, url: &str, name: &str) -> Result<Child> {
    let this = std::env::current_exe()?;
    Command::new(this).args([role, url, name]).stdout(Stdio::piped()).spawn().context("a worker does not start")
}

/// Says a line to the process that watches; told at once, so that a kill cannot take it back.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn processes_share_jobs(backend: Backend) -> Result<()> {
    let place = backend.place()?.context("the store has a place")?;
    let make = Factory::new(1);
    let jobs: Vec<_> = (0..JOBS).map(|at| make.job(TASKS[at % TASKS.len()].0)).collect();
    let expected: HashSet<String> = jobs.iter().map(|job| job.id.to_string()).collect();
    block_on(async {
        let store = connect(&place.url).await?;
        for (id, limit) in TASKS {
            store.task_put(task(id, limit)).await?;
        }
        store.job_add(jobs).await?;
        store.close().await;
        anyhow::Ok(())
    })?;
    let workers = (0..4).map(|at| start("worker", &place.url, &format!("worker-{at}"))).collect::<Result<Vec<_>>>()?;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for worker in workers {
        let output = worker.wait_with_output()?;
        ensure!(output.status.success(), "a worker failed");
        for line in String::from_utf8(output.stdout)?.lines() {
            *seen.entry(line.to_owned()).or_default() += 1;
        }
    }
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(twice.is_empty(), "run more than once: {twice:?}");
    ensure!(seen.keys().all(|id| expected.contains(id)) && seen.len() == JOBS, "{} of {JOBS} jobs ran", seen.len());
    Ok(())
}

/// Acquires and releases until all jobs are finished, and says which it ran.
async fn share(url: &str, name: &str) -> Result<()> {
    let (store, make, watch) = (connect(url).await?, Factory::new(fastrand::u64(..)), Stopwatch::start());
    while store.job_counts().await?.finished < JOBS as u64 {
        ensure!(watch.elapsed() < HANGS_AFTER, "not done after {HANGS_AFTER:?}");
        let request = AcquireJobs { holder: scheduler(name), ..make.acquire(0, 20) };
        let token = request.token;
        let jobs = store.job_acquire(request).await?.jobs;
        for row in store.task_list().await? {
            let limit = TASKS.iter().find(|(id, _)| *id == row.task.id.as_str()).and_then(|(_, limit)| *limit);
            let running = row.running_jobs;
            ensure!(limit.is_none_or(|limit| running <= u64::from(limit)), "{running} jobs of {} at once", row.task.id);
        }
        let releases: Vec<_> = jobs.iter().map(|job| release(job.spec.id, token, success(9))).collect();
        let released = store.job_release(ReleaseJobs { now: t(1), releases }).await?;
        ensure!(released.iter().all(|released| *released == Released::Stored), "a lease was lost");
        jobs.iter().try_for_each(|job| say(&job.spec.id.to_string()))?;
    }
    store.close().await;
    Ok(())
}

fn a_killed_process_loses_nothing(backend: Backend) -> Result<()> {
    for round in 0..5_u64 {
        let seed = fastrand::u64(..);
        kill_once(backend, round, seed).with_context(|| format!("round {round}, seed {seed:#x}"))?;
    }
    Ok(())
}

fn kill_once(backend: Backend, round: u64, seed: u64) -> Result<()> {
    let place = backend.place()?.context("the store has a place")?;
    // The schema is there before the process that is killed: what is tested is the work, not the start.
    block_on(async { open(&place.url).await.map(|store| async move { store.close().await }) }).map(block_on)?;
    let mut victim = start("victim", &place.url, &format!("{seed}"))?;
    let told = BufReader::new(victim.stdout.take().context("its output is piped")?);
    let enough = 40 + usize::try_from(seed % 160)? + usize::try_from(round)?;
    let mut lines = Vec::new();
    for line in told.lines() {
        lines.push(line?);
        if lines.len() == enough {
            // In the middle of whatever it does now; lines that it had said before still arrive.
            victim.kill()?;
        }
    }
    victim.wait()?;
    ensure!(lines.len() >= enough, "the process ended by itself after {} of {enough} operations", lines.len());
    block_on(check(&place.url, &lines))
}

async fn a_crashed_server_loses_nothing(backend: Backend) -> Result<()> {
    let mut server = OwnServer::start(backend == Backend::Postgres)?;
    let url = server.url();
    let store = connect(&url).await?;
    store.task_put(task("p:two", Some(2))).await?;
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..4 {
        callers.spawn(work_through_a_crash(Arc::clone(&store), caller, Arc::clone(&told)));
    }
    for crash in 1..=2 {
        // In the middle of the work: after so many acknowledged operations.
        let watch = Stopwatch::start();
        while told.lock().expect("not poisoned").len() < crash * 150 {
            ensure!(watch.elapsed() < HANGS_AFTER, "no work is done");
            tokio::task::yield_now().await;
        }
        server = tokio::task::spawn_blocking(move || server.crash_and_restart().map(|()| server)).await??;
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    let told = std::mem::take(&mut *told.lock().expect("not poisoned"));
    ensure!(told.len() >= 600, "only {} operations were acknowledged", told.len());
    check(&url, &told).await
}

/// Adds, acquires and releases, and notes what was acknowledged. Calls that fail are made again by the store's decorator.
async fn work_through_a_crash(store: Arc<dyn Store>, caller: u64, told: Arc<Mutex<Vec<String>>>) -> Result<()> {
    let make = Factory::new(caller);
    for _ in 0..100 {
        let job = make.job(["p:two", "p:free"][make.below(2)]);
        store.job_add(vec![job.clone()]).await?;
        told.lock().expect("not poisoned").push(format!("added {}", job.id));
        let request = AcquireJobs { holder: scheduler("victim"), ..make.acquire(1, 2) };
        let token = request.token;
        for job in store.job_acquire(request).await?.jobs {
            let id = job.spec.id;
            // A release whose answer was lost is answered `LeaseLost` when it is made again: stored it is in any case.
            store.job_release(ReleaseJobs { now: t(2), releases: vec![release(id, token, success(9_000))] }).await?;
            told.lock().expect("not poisoned").push(format!("finished {id}"));
        }
    }
    Ok(())
}

/// Everything that was told is there, nothing is torn, and every job can still come to its end.
async fn check(url: &str, told: &[String]) -> Result<()> {
    let store = connect(url).await?;
    for line in told {
        let (what, id) = line.split_once(' ').context("a word and an id")?;
        let id: JobId = id.parse()?;
        let job = store.job_get(id).await?.with_context(|| format!("{line}: the job is gone"))?;
        ensure!(what != "finished" || job.state == JobState::Finished, "{line}: but it is {}", job.state);
        let is_whole = (job.state == JobState::Running) == job.lease.is_some()
            && (job.state == JobState::Finished) == job.outcome.is_some();
        ensure!(is_whole, "torn: {job:?}");
    }
    store.recover(Recover { holder: Some(scheduler("victim")), limit: 100_000, ..recover(0) }).await?;
    let make = Factory::new(fastrand::u64(..));
    loop {
        let request = make.acquire(1_000, 500);
        let token = request.token;
        let jobs = store.job_acquire(request).await?.jobs;
        if jobs.is_empty() {
            break;
        }
        let releases = jobs.iter().map(|job| release(job.spec.id, token, success(2_000))).collect();
        store.job_release(ReleaseJobs { now: t(1_001), releases }).await?;
    }
    let counts = store.job_counts().await?;
    ensure!(counts.queued == 0 && counts.running == 0, "not every job ended: {counts:?}");
    let page = store.job_list(JobFilter { limit: 1_000, ..JobFilter::default() }).await?;
    ensure!(page.unreadable.is_empty(), "unreadable: {:?}", page.unreadable);
    store.close().await;
    Ok(())
}

/// Adds, acquires, releases, cancels at random, and says what it was told is stored.
async fn work_until_killed(url: &str, seed: &str) -> Result<()> {
    let (store, make) = (connect(url).await?, Factory::new(seed.parse()?));
    store.task_put(task("p:two", Some(2))).await?;
    loop {
        let jobs: Vec<_> = (0..=make.below(4)).map(|at| make.job(["p:two", "p:free"][at % 2])).collect();
        store.job_add(jobs.clone()).await?;
        jobs.iter().try_for_each(|job| say(&format!("added {}", job.id)))?;
        if make.below(5) == 0 {
            let id = jobs[0].id;
            store.job_cancel(id, t(1)).await?;
            say(&format!("finished {id}"))?;
        }
        let request = AcquireJobs { holder: scheduler("victim"), ..make.acquire(1, 3) };
        let token = request.token;
        let acquired = store.job_acquire(request).await?.jobs;
        for job in acquired.iter().filter(|_| make.below(4) > 0) {
            let id = job.spec.id;
            let is_retried = make.below(4) == 0;
            let error = JobError::new(ErrorKind::GuestError, "again");
            let ending = if is_retried { Ending::Retry { due_at: t(5), error } } else { success(9_000) };
            store.job_release(ReleaseJobs { now: t(2), releases: vec![release(id, token, ending)] }).await?;
            say(&format!("{} {id}", if is_retried { "retried" } else { "finished" }))?;
        }
    }
}
