//! Hosts whose clocks are wrong, on a server that has the right time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use host::clock::{Clock, Instant, SystemClock};
use host::executor::Verdict;
use host::executor::inline::{InlineExecutor, NativeContext, NativeError};
use host::model::{Coalesce, Job, JobState, Outcome, Payload, Settings, TaskName, Timestamp};
use host::scheduler::{Options, Parts, Scheduler};
use host::store::store_clock::StoreClock;
use serde_json::Value;
use tests::backends::{Backend, open_as_programs};
use tests::stage::{Script, Stage, unlimited};
use tests::wait::wait_for;

use crate::block_on;

/// A clock that is wrong by this much.
#[derive(Debug)]
struct WrongBy {
    seconds: i64,
}

impl WrongBy {
    fn shift(&self, time: Timestamp, sign: i64) -> Timestamp {
        let seconds = self.seconds * sign;
        let span = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { time.saturating_sub(span) } else { time.saturating_add(span) }
    }
}

#[async_trait]
impl Clock for WrongBy {
    fn now(&self) -> Timestamp {
        self.shift(SystemClock.now(), 1)
    }

    fn monotonic(&self) -> Instant {
        SystemClock.monotonic()
    }

    async fn sleep(&self, span: Duration) {
        SystemClock.sleep(span).await;
    }

    async fn sleep_until(&self, time: Timestamp) {
        SystemClock.sleep_until(self.shift(time, -1)).await;
    }
}

/// The leases of the schedulers.
const LEASE: Duration = Duration::from_secs(3);

/// Longer than a lease, so that it must be extended by whoever runs the job, and is looked at by all others.
const JOB: Duration = Duration::from_secs(5);

fn long_job() -> Script {
    Arc::new(|_, _| -> BoxFuture<'static, Verdict> {
        Box::pin(async {
            SystemClock.sleep(JOB).await;
            Verdict::Success(Payload::no_args())
        })
    })
}

/// Those of a task that one of the schedulers runs, with a time limit that is kept.
fn limited(executor: &str) -> Result<Settings> {
    Ok(Settings { executor: Some(executor.parse()?), timeout: Some(Duration::from_secs(60)), ..unlimited() })
}

async fn brief_job(_: NativeContext, _: Value) -> Result<Value, NativeError> {
    SystemClock.sleep(Duration::from_millis(10)).await;
    Ok(Value::Null)
}

/// Three schedulers, one with the right time: every job runs once, none is taken from another, and no fire comes early.
pub(crate) fn an_hour_wrong(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("the store has a place")?;
        let store = open_as_programs(&place.url).await?;
        let stage = Stage::with_store(store);
        let began = SystemClock.now();
        stage.clock.set(began);
        let task = stage.task("long", unlimited(), long_job()).await;
        let trigger = r#"{"type":"interval","seconds":1}"#;
        stage.schedule("s", &task, trigger, Coalesce::All).await;
        for _ in 0..6 {
            stage.submit(stage.job(&task).await).await;
        }
        let mut schedulers = Vec::new();
        for (name, seconds) in [("ahead", 3_600), ("behind", -3_600), ("right", 0)] {
            // A few jobs each at most, so that all of them get some.
            let options = Options { lease_duration: LEASE, max_concurrent_jobs: 4, ..Stage::options(name) };
            let clock: Arc<dyn Clock> = Arc::new(WrongBy { seconds });
            let brief = stage.task(&format!("brief_{name}"), limited(name)?, long_job()).await;
            stage.submit(stage.job(&brief).await).await;
            let executor = InlineExecutor::new(Arc::clone(&clock)).with(TaskName::new(brief.as_str())?, brief_job);
            let parts = stage.parts(Arc::clone(&stage.executor));
            let executors = parts.executors.with(name.parse()?, Arc::new(executor));
            let parts =
                Parts { time: Arc::new(StoreClock::new(clock)), executors, ..stage.parts(Arc::clone(&stage.executor)) };
            schedulers.push(Scheduler::start(parts, options).await?);
        }
        let enough = wait_for("jobs to end", || async {
            let jobs = stage.jobs().await;
            Some(jobs).filter(|jobs| jobs.iter().filter(|job| job.state == JobState::Finished).count() >= 12)
        });
        enough.await;
        // One after the other: the last one still works while the first drains.
        for scheduler in schedulers {
            scheduler.stop().await;
        }
        let ended = SystemClock.now();
        let jobs = stage.jobs().await;
        jobs.iter().try_for_each(|job| harmless(job, began, ended))?;
        let is_done = |job: &&Job| job.outcome == Some(Outcome::Success);
        let brief = jobs.iter().filter(|job| job.spec.settings.executor.is_some());
        ensure!(brief.filter(is_done).count() == 3, "time limits are not kept by the hosts' clocks: {jobs:?}");
        let of_schedule = jobs.iter().filter(|job| job.spec.schedule_id.is_some()).count();
        let elapsed = usize::try_from(ended.saturating_since(began).as_secs())?;
        ensure!((2..=elapsed + 40).contains(&of_schedule), "{of_schedule} fires in {elapsed} s");
        let workers: std::collections::BTreeSet<_> = jobs.iter().filter_map(|job| job.scheduler_id.as_ref()).collect();
        ensure!(workers.len() == 3, "only {workers:?} worked");
        stage.store.close().await;
        Ok(())
    })
}

/// It ran once, and not before its time.
fn harmless(job: &Job, began: Timestamp, ended: Timestamp) -> Result<()> {
    ensure!(job.crashes == 0 && job.attempt <= 1, "it was taken from its worker: {job:?}");
    ensure!(job.outcome.is_none_or(|outcome| outcome == Outcome::Success), "{job:?}");
    let slack = Duration::from_secs(1);
    let times = [job.started_at, job.finished_at].into_iter().flatten();
    for time in times {
        let is_right = time >= began.saturating_sub(slack) && time <= ended.saturating_add(slack);
        ensure!(is_right, "not by the store's time: {job:?}");
    }
    if let (Some(fire), Some(started)) = (job.spec.scheduled_fire_time, job.started_at) {
        ensure!(started.saturating_add(slack) >= fire, "before its time: {job:?}");
    }
    Ok(())
}
