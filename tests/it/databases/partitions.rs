//! Jobs that wait in the wrong partition, as they do when they were queued by one process while another changed their task's limit.

use anyhow::{Context as _, Result, ensure};
use tests::backends::{Backend, open};
use tests::factory::{Factory, recover, task};

use crate::{ask, block_on};

pub(crate) fn lost_ones_are_emptied(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("the store has a place")?;
        let (store, make) = (open(&place.url).await?, Factory::new(1));
        store.task_put(task("p:work", Some(1))).await?;
        store.job_add((0..3).map(|_| make.job("p:work")).collect()).await?;
        // Behind the store's back, which would have moved the jobs.
        ask::rows(&place.url, "UPDATE host_tasks SET max_running = NULL").await?;
        store.recover(recover(0)).await?;
        let acquired = store.job_acquire(make.acquire(0, 10)).await?.jobs.len();
        store.close().await;
        ensure!(acquired == 3, "{acquired} of 3 jobs are found in the partition of a task that has lost its limit");
        Ok(())
    })
}

pub(crate) fn shared_one_does_not_pass_limits(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("the store has a place")?;
        let (store, make) = (open(&place.url).await?, Factory::new(1));
        store.task_put(task("p:work", None)).await?;
        store.job_add((0..3).map(|_| make.job("p:work")).collect()).await?;
        ask::rows(&place.url, "UPDATE host_tasks SET max_running = 1").await?;
        let mut acquired = 0;
        for _ in 0..3 {
            acquired += store.job_acquire(make.acquire(0, 10)).await?.jobs.len();
        }
        store.close().await;
        ensure!(acquired == 1, "{acquired} jobs run of a task that may run one");
        Ok(())
    })
}
