//! A move from one store to another, as an operator makes it: export, import, and the work goes on.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use host::app::{App, Import, Imported};
use host::clock::{Clock as _, SystemClock};
use host::executor::inline::InlineExecutor;
use host::model::{ConflictPolicy, ExecutorName, JobState, Outcome, TaskName};
use host::scheduler::{Executors, Options, Scheduler};
use host::store::{JobFilter, ReadLogs, Store};

use crate::backends::{Backend, Pair};
use crate::content::{Content, GOES_ON, app, archive};
use crate::factory::{Factory, schedule_id, scheduler};
use crate::wait::wait_for;

/// Fills a store of one kind, moves what is in it to one of the other, compares, and lets the jobs run there.
///
/// # Errors
/// What went wrong.
pub fn case(from: Backend, to: Backend, seed: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (from, to) = (from.open().await?, to.open().await?);
        // On a task of its own, so that a panic does not skip the closing of connections.
        let mut moving = tokio::task::JoinSet::new();
        moving.spawn(move_over(from.a.clone(), to.a.clone(), seed));
        let moved = moving.join_next().await.context("the case has not run")?;
        for Pair { a, b, .. } in [from, to] {
            a.close().await;
            b.close().await;
        }
        moved.context("the case panicked")?
    })
}

async fn export(app: &App) -> Result<String> {
    Ok(String::from_utf8(archive(app).await?)?)
}

async fn import(app: &App, archive: &str) -> Result<Imported> {
    let archive = Box::new(Cursor::new(archive.to_owned().into_bytes()));
    Ok(app.import(Import { archive, conflict: ConflictPolicy::Error, dry_run: false }).await?)
}

/// The lines between the first, which tells the time of the export, and the last, which has the digest of all.
fn records(archive: &str) -> Vec<&str> {
    let lines: Vec<&str> = archive.lines().collect();
    lines[1..lines.len() - 1].to_vec()
}

async fn move_over(from: Arc<dyn Store>, to: Arc<dyn Store>, seed: u64) -> Result<()> {
    let began = SystemClock.now();
    Content {
        store: &*from,
        make: &Factory::new(seed),
        base: began.saturating_sub(Duration::from_secs(8)),
        component_bytes: 5_000_000,
    }
    .fill()
    .await;
    let (from, target) = (app(Arc::clone(&from)), app(Arc::clone(&to)));
    let archive = export(&from).await?;
    let imported = import(&target, &archive).await?;
    let lines = records(&archive).len() as u64;
    ensure!(imported.restored.added.total() <= lines && imported.restored.added.jobs > 15, "{imported:?}");
    let again = export(&target).await?;
    for (original, copy) in records(&archive).into_iter().zip(records(&again)) {
        ensure!(original == copy, "moved:\n{original}\nread back:\n{copy}");
    }
    ensure!(records(&archive).len() == records(&again).len(), "records are missing");
    // An import that is made again, as after one that was interrupted, finds everything in its place.
    let repeated = import(&target, &archive).await?.restored;
    ensure!(repeated.unchanged == imported.restored.added && repeated.added.total() == 0, "{repeated:?}");
    work_goes_on(&to, &target, began).await
}

/// Everything that was not finished ends in the new store, and its schedules go on firing.
async fn work_goes_on(store: &Arc<dyn Store>, app: &App, began: host::model::Timestamp) -> Result<()> {
    let unfinished = async |state| -> Result<Vec<host::model::Job>> {
        Ok(store.job_list(JobFilter { state: Some(state), limit: 1_000, ..JobFilter::default() }).await?.rows)
    };
    let mut moved = unfinished(JobState::Queued).await?;
    moved.extend(unfinished(JobState::Running).await?);
    ensure!(moved.len() > 10, "only {} unfinished jobs were moved", moved.len());
    let clock = Arc::new(SystemClock);
    let native = InlineExecutor::new(clock)
        .with(TaskName::new("native")?, |_context, _args| async move { Ok(serde_json::json!("done")) });
    let executors = Executors::default().with(ExecutorName::new(Executors::INLINE)?, Arc::new(native));
    // The one who held the running jobs comes back, and so takes them back at once; else they would wait for the end of its leases.
    let worker = Scheduler::start(app.scheduler_parts(executors), Options::new(scheduler("gone, 行った"))).await?;
    for job in &moved {
        let id = job.spec.id;
        let ended = wait_for("a job that was moved to end", || async {
            let job = store.job_get(id).await.expect("the store answers").expect("the job is there");
            (job.state == JobState::Finished).then_some(job)
        })
        .await;
        let is_native = ["native", "one at a time"].contains(&ended.spec.task_id.as_str());
        if is_native && job.cancel_requested.is_none() {
            ensure!(ended.outcome == Some(Outcome::Success), "{ended:?}");
        }
        let lines = store.job_logs(ReadLogs { id, after: None, limit: 100 }).await?.lines;
        ensure!(lines.is_empty() || lines.len() == 5, "log lines were lost or doubled: {lines:?}");
    }
    wait_for("a schedule to fire in its new store", || async {
        let filter = JobFilter { schedule_id: Some(schedule_id(GOES_ON)), limit: 1_000, ..JobFilter::default() };
        let rows = store.job_list(filter).await.expect("the store answers").rows;
        let is_new = |job: &host::model::Job| job.spec.scheduled_fire_time.is_some_and(|at| at > began);
        rows.into_iter().find(|job| is_new(job) && job.state == JobState::Finished)
    })
    .await;
    worker.stop().await;
    Ok(())
}
