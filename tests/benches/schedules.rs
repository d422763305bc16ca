//! Schedules in numbers: a herd of them that are due at one instant, until the last of their jobs has started; and how long the state of the
//! whole takes with a million of them.
//!
//! `cargo xtask bench schedules`; `TEST_BACKENDS` chooses the stores, as for the conformance suite.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use host::app::{NewSchedule, RegisterPlugin};
use host::assemble::{Machine, Opened};
use host::clock::{Clock as _, Stopwatch};
use host::config::Config;
use host::model::{ConflictPolicy, JobState, Schedule, Settings, Timestamp};
use host::scheduler::{Options, Scheduler};
use host::store::{AddSchedule, JobFilter, Store};
use host::trigger::Trigger;
use tests::backends::{Backend, stop_all};

/// Schedules that are due at one instant.
const HERD: usize = 10_000;

/// Schedules beside which the state of the whole is asked for.
const MANY: usize = 1_000_000;

/// In which time the herd is stored, before it is due.
const AHEAD: Duration = Duration::from_secs(20);

/// How often the state of the whole is asked for; the best counts.
const LOOKS: usize = 5;

/// Schedules of one call.
const BATCH: usize = 1_000;

/// How often is looked whether the herd has run.
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for backend in Backend::enabled()? {
        let place = backend.place()?;
        let url = place.as_ref().map_or_else(|| "memory".to_owned(), |place| place.url.clone());
        runtime.block_on(Box::pin(measure(backend, &url)))?;
    }
    stop_all();
    Ok(())
}

async fn measure(backend: Backend, url: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = Config {
        task_defaults: Settings { max_running_jobs: Some(host::model::Parallelism::Unlimited), ..Settings::default() },
        auto_migrate: true,
        ..Config::new(url.parse()?, folder.path())
    };
    let opened = Machine.open(&config).await?;
    let component = std::fs::read(tests::artifacts::plugin("noop"))?;
    opened.app.plugin_register(RegisterPlugin::new("noop".parse()?, component)).await?;
    let late = herd(&opened).await?;
    println!("{backend}: {HERD} schedules due at once: the last one started after {:.2} s", late.as_secs_f64());
    let look = status(&opened).await?;
    println!("{backend}: the state of the whole with {MANY} schedules: {:.1} ms", look.as_secs_f64() * 1e3);
    opened.app.close().await;
    Ok(())
}

/// A schedule that fires once an hour from then on. It is not stored under this id.
async fn hourly(opened: &Opened, from: Timestamp, id: &str) -> Result<Schedule> {
    let json = format!(r#"{{"type":"interval","hours":1,"start_time":"{from}"}}"#);
    let new = NewSchedule { id: Some(id.parse()?), ..NewSchedule::new("noop", Trigger::from_json(&json, from)?) };
    opened.app.schedule_add(new).await?;
    let schedule = opened.app.schedule_get(&id.parse()?).await?;
    opened.app.schedule_remove(&schedule.id).await?;
    Ok(schedule)
}

/// Stores so many schedules like that one.
async fn add(store: &dyn Store, like: &Schedule, prefix: &str, count: usize) -> Result<()> {
    for first in (0..count).step_by(BATCH) {
        let one = |at| {
            let id = format!("{prefix}{at}").parse()?;
            Ok(AddSchedule { schedule: Schedule { id, ..like.clone() }, conflict: ConflictPolicy::Error })
        };
        store.schedule_add_all((first..first + BATCH).map(one).collect::<Result<_>>()?).await?;
    }
    Ok(())
}

/// How long after the instant at which all are due the last one has started.
async fn herd(opened: &Opened) -> Result<Duration> {
    let parts = opened.app.scheduler_parts(opened.executors.clone());
    let (store, clock) = (Arc::clone(&parts.store), Arc::clone(&parts.time));
    let due = clock.now().saturating_add(AHEAD);
    add(&*store, &hourly(opened, due, "like").await?, "herd", HERD).await?;
    ensure!(clock.now() < due, "adding {HERD} schedules took longer than {AHEAD:?}");
    let scheduler = Scheduler::start(parts, Options::new("bench".parse()?)).await?;
    clock.sleep_until(due).await;
    loop {
        clock.sleep(LOOK_EVERY).await;
        if store.job_counts().await?.finished == HERD as u64 {
            break;
        }
    }
    scheduler.stop().await;
    let mut filter = JobFilter { state: Some(JobState::Finished), limit: BATCH, ..JobFilter::default() };
    let mut last = due;
    loop {
        let page = store.job_list(filter.clone()).await?;
        last = page.rows.iter().filter_map(|job| job.started_at).fold(last, Timestamp::max);
        let Some(next) = page.next else { break };
        filter.after = Some(next);
    }
    Ok(last.saturating_since(due))
}

/// How long the state of the whole takes.
async fn status(opened: &Opened) -> Result<Duration> {
    let parts = opened.app.scheduler_parts(opened.executors.clone());
    let far = parts.time.now().saturating_add(Duration::from_secs(1_000_000));
    let like = hourly(opened, far, "like").await?;
    add(&*parts.store, &like, "many", MANY).await?;
    let mut best = Duration::MAX;
    for _ in 0..LOOKS {
        let watch = Stopwatch::start();
        opened.app.status().await.context("the state of the whole")?;
        best = best.min(watch.elapsed());
    }
    Ok(best)
}
