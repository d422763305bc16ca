//! A worker that is stopped for longer than its leases last, and goes on.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use host::broker::local::LocalBroker;
use host::clock::{Clock, SystemClock};
use host::executor::inline::{InlineExecutor, NativeContext, NativeError};
use host::model::{JobId, JobSpec, JobState, Outcome, Payload, Settings, Target, Task, TaskName};
use host::scheduler::{Executors, Options, Parts, Scheduler};
use host::store::JobFilter;
use host::store::store_clock::StoreClock;
use serde_json::Value;
use std::sync::Arc;
use tests::backends::{Backend, open};
use tests::factory::{Factory, task, task_id};

use crate::{HANGS_AFTER, block_on, say, start};

/// How long a lease lasts.
const LEASE: Duration = Duration::from_secs(2);

/// Jobs, and how many of them a worker runs at once.
const JOBS: usize = 6;

const TASK: &str = "waits";

/// Says that an attempt is over, also when it is dropped in the middle.
struct Over(JobId);

impl Drop for Over {
    fn drop(&mut self) {
        // Nobody to hear it is no reason to fail.
        let _heard = say(&format!("over {}", self.0)).is_ok();
    }
}

/// The worker: runs jobs that end when a file is there.
pub(crate) async fn work(url: &str, name: &str, gate: &str) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let gate = Arc::<Path>::from(Path::new(gate));
    let runs = move |context: NativeContext, _| {
        let (gate, clock, id) = (Arc::clone(&gate), SystemClock, context.job().spec.id);
        async move {
            let _over = Over(id);
            let told = say(&format!("begins {id}"));
            told.map_err(|error| NativeError::permanent(error.to_string()))?;
            while !gate.exists() {
                clock.sleep(Duration::from_millis(20)).await;
            }
            Ok::<Value, NativeError>(Value::Null)
        }
    };
    let executor = InlineExecutor::new(Arc::clone(&clock)).with(TaskName::new(TASK)?, runs);
    let parts = Parts {
        store: open(url).await?,
        broker: Arc::new(LocalBroker::new()),
        executors: Executors::default().with(Executors::INLINE.parse()?, Arc::new(executor)),
        time: Arc::new(StoreClock::new(clock)),
    };
    let options = Options { lease_duration: LEASE, max_concurrent_jobs: JOBS, ..Options::new(name.parse()?) };
    let scheduler = Scheduler::start(parts, options).await?;
    scheduler.failed().await;
    bail!("the scheduler has failed")
}

/// A worker, with what it says.
struct Worker {
    process: Child,
    said: Receiver<String>,
}

impl Worker {
    fn start(url: &str, name: &str, gate: &Path) -> Result<Worker> {
        let mut process = start("waiter", url, name, &[gate.to_str().context("UTF-8")?])?;
        let told = BufReader::new(process.stdout.take().context("its output is piped")?);
        let (sender, said): (Sender<String>, _) = channel();
        std::thread::spawn(move || told.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Worker { process, said })
    }

    /// The jobs of the next `count` lines, each of which must begin with `word`.
    fn hears(&self, word: &str, count: usize) -> Result<BTreeSet<JobId>> {
        let next = || {
            let line = self.said.recv_timeout(HANGS_AFTER).context("a worker says nothing")?;
            let (said, id) = line.split_once(' ').context("two words")?;
            ensure!(said == word, "`{line}` instead of `{word}`");
            Ok(id.parse()?)
        };
        (0..count).map(|_| next()).collect()
    }

    fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status()?;
        ensure!(sent.success(), "the signal was not sent");
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _gone_already = self.process.kill().is_err();
        let _waited_for = self.process.wait().is_err();
    }
}

/// Other workers take its jobs when their leases are over. When it goes on, it ends what it runs of them before anything else.
pub(crate) fn costs_its_jobs_one_crash(backend: Backend) -> Result<()> {
    let place = backend.place()?.context("the store has a place")?;
    let folder = tempfile::tempdir()?;
    let gate = folder.path().join("gate");
    block_on(async {
        let store = open(&place.url).await?;
        let native = Target::Native { function: TaskName::new(TASK)? };
        let configured =
            Settings { max_running_jobs: task(TASK, None).configured.max_running_jobs, ..Settings::default() };
        let waits = Task { target: native, configured, ..task(TASK, None) };
        let settings = waits.resolved().for_job(&Payload::no_args());
        store.task_put(waits).await?;
        let (make, now) = (Factory::new(7), SystemClock.now());
        let job = |_| JobSpec::direct(make.job_id(), task_id(TASK), Payload::no_args(), settings.clone(), now);
        store.job_add((0..JOBS).map(job).collect()).await?;
        store.close().await;
        anyhow::Ok(())
    })?;
    let stopped = Worker::start(&place.url, "stopped", &gate)?;
    let jobs = stopped.hears("begins", JOBS)?;
    stopped.signal("-STOP")?;
    let other = Worker::start(&place.url, "other", &gate)?;
    // One after the other: they were running in a worker that is gone.
    ensure!(other.hears("begins", JOBS)? == jobs, "the other one runs something else");
    stopped.signal("-CONT")?;
    // The gate is closed, so nothing ends of itself.
    ensure!(stopped.hears("over", JOBS)? == jobs, "the one that was stopped runs on");
    std::fs::write(&gate, "")?;
    ensure!(other.hears("over", JOBS)? == jobs, "not all of them end");
    let ended = block_on(async {
        let store = open(&place.url).await?;
        let all = || JobFilter { limit: 100, ..JobFilter::default() };
        let ended = tests::wait::wait_for("all jobs to be stored", || async {
            let page = store.job_list(all()).await.ok()?;
            page.rows.iter().all(|job| job.state == JobState::Finished).then_some(page.rows)
        });
        let ended = ended.await;
        store.close().await;
        anyhow::Ok(ended)
    })?;
    for job in ended {
        let is_right = (job.outcome, job.attempt, job.crashes) == (Some(Outcome::Success), 2, 1);
        ensure!(is_right, "{job:?}");
    }
    Ok(())
}
