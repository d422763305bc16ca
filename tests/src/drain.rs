//! The end of a test about a store that went through something: all that is left can still be done.

use anyhow::{Result, ensure};
use host::store::{ReleaseJobs, Store};

use crate::factory::{Factory, release, success, t};

/// Takes and ends every job that is due `at` so many seconds; fails where one is left queued or running.
///
/// # Errors
/// The store's, and where a job is left.
pub async fn every_job_ends(store: &dyn Store, at: i64) -> Result<()> {
    let make = Factory::new(fastrand::u64(..));
    loop {
        let request = make.acquire(at, 500);
        let token = request.token;
        let jobs = store.job_acquire(request).await?.jobs;
        if jobs.is_empty() {
            break;
        }
        let releases = jobs.iter().map(|job| release(job.spec.id, token, success(at + 10_000))).collect();
        store.job_release(ReleaseJobs { now: t(at + 1), releases }).await?;
    }
    let counts = store.job_counts().await?;
    ensure!(counts.queued == 0 && counts.running == 0, "not every job ended: {counts:?}");
    Ok(())
}
