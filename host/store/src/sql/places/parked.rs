//! Jobs that nobody runs at present: they are parked, so that they keep no others from starting.

use super::order::hold;
use super::{Places, Touched, enter, settle};
use crate::model::{JobId, TaskId, Timestamp};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::operations::job_rows::{lock, paused_queues};
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{args, list};
use crate::{SchedulerRow, rules};

/// Has jobs that no live worker would claim give their places back, so that the next ones get them, up to a bound.
pub(in crate::sql) async fn park(tx: &mut Tx, now: Timestamp) -> Result<(), Fault> {
    let unserved = unserved(tx, now).await?;
    if unserved.is_empty() {
        return Ok(());
    }
    for _ in 0..rules::PARK_ROUNDS_MAX {
        let (mut ids, mut places) = (Vec::new(), Vec::new());
        let keys = || list(unserved.iter().map(String::as_str));
        for mut row in tx.fetch(q::job_idle_select, vec![keys(), keys()]).await? {
            let (id, task): (JobId, TaskId) = (row.job_id()?, row.task_id()?);
            ids.push(id);
            places.push((id, task, row.maybe_text()?));
        }
        if ids.is_empty() {
            return Ok(());
        }
        let held = hold(tx, ids).await?;
        let (mut rows, mut touched) = (Vec::new(), Touched::default());
        for (id, task, key) in &places {
            if let Some(had) = held.get(id).filter(|had| had.key == Some(true) || had.task == Some(true)) {
                touched.left(task, key.as_deref(), *had);
                rows.push(Places { is_parked: true, ..had.again() }.row(*id));
            }
        }
        if rows.is_empty() {
            // Somebody else has locked them.
            return Ok(());
        }
        tx.execute_rows(q::job_place, rows).await?;
        settle(tx, touched).await?;
    }
    Ok(())
}

/// Lets jobs that were parked wait for their places again, since a worker has come upon them.
pub(in crate::sql) async fn unpark(tx: &mut Tx, ids: Vec<JobId>) -> Result<(), Fault> {
    let jobs = lock(tx, ids).await?;
    let mut touched = Touched::default();
    enter(tx, jobs.into_iter().map(|job| (job.id, Some(job.task_id), job.key)).collect(), &mut touched).await?;
    settle(tx, touched).await
}

/// By what jobs may be claimed at present, and no live worker claims.
async fn unserved(tx: &mut Tx, now: Timestamp) -> Result<Vec<String>, Fault> {
    let schedulers = tx.fetch(q::scheduler_list, Vec::new()).await?;
    let schedulers: Vec<SchedulerRow> = schedulers.into_iter().filter_map(|row| row::scheduler(row).ok()).collect();
    let paused = paused_queues(tx).await?;
    let mut unserved = Vec::new();
    for mut row in tx.fetch(q::job_ready_keys, args![rules::READY_KEYS_MAX]).await? {
        let key = row.text()?;
        if rules::is_unserved(&key, &schedulers, &paused, now) {
            unserved.push(key);
        }
    }
    Ok(unserved)
}
