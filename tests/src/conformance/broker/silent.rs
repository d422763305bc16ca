//! Events are hints: with a broker that delivers nothing, everything is done all the same.

use std::time::Duration;

use anyhow::{Result, ensure};
use host::config::Role;
use host::model::{Coalesce, JobState, Outcome};
use host::scheduler::Options;

use crate::backends::Backend;
use crate::stage::{Stage, succeed, unlimited};
use crate::trials::block_on;

/// Jobs that are submitted.
const JOBS: usize = 30;
/// Jobs that a schedule makes.
const FIRES: usize = 3;

/// On this kind of store.
///
/// # Errors
/// A job does not run, or does not end well.
pub fn case(backend: Backend) -> Result<()> {
    block_on(async {
        let pair = backend.open().await?;
        // Who fires and who runs have a handle each, and receive nothing from each other.
        let fires = Stage::with_store(pair.a.clone()).silent();
        let runs = fires.with_same_players(pair.b.clone()).silent();
        let task = fires.task("t", unlimited(), succeed()).await;
        let role = |identity: &str, role| Options { role, ..Stage::options(identity) };
        let firing = fires.start(role("fires", Role::Scheduler)).await;
        let running = runs.start(role("runs", Role::Worker)).await;
        let every_minute = r#"{"type":"interval","minutes":1}"#;
        fires.schedule("s", &task, every_minute, Coalesce::All).await;
        for _ in 0..JOBS {
            fires.submit(fires.job(&task).await).await;
        }
        let is_done = || async {
            let jobs = fires.jobs().await;
            jobs.len() >= JOBS + FIRES && jobs.iter().all(|job| job.state == JobState::Finished)
        };
        fires.advance_until("every job to run", Duration::from_millis(500), is_done).await;
        let jobs = fires.jobs().await;
        ensure!(jobs.iter().all(|job| job.outcome == Some(Outcome::Success)), "{jobs:?}");
        fires.stop_in_time(running).await;
        fires.stop_in_time(firing).await;
        pair.a.close().await;
        pair.b.close().await;
        Ok(())
    })
}
