//! The jobs that hooks make.

use std::collections::HashMap;

use crate::EndedJob;
use crate::hooks;
use crate::model::{HookCall, JobId, JobSettings, JobSpec, Outcome, Task, TaskId, Timestamp};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::Encode as _;
use crate::sql::places::Touched;
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{args, list};

use super::job_rows::add;

/// The jobs for calls, with the settings that their tasks have now.
pub(super) async fn jobs(
    tx: &mut Tx,
    calls: impl IntoIterator<Item = HookCall>,
    now: Timestamp,
) -> Result<Vec<JobSpec>, Fault> {
    let mut tasks: HashMap<TaskId, Option<Task>> = HashMap::new();
    let mut jobs = Vec::new();
    for call in calls {
        if !tasks.contains_key(&call.task_id) {
            let found = tx.fetch_one(q::task_get, args![&call.task_id]).await?;
            tasks.insert(call.task_id.clone(), found.and_then(|mut row| row::task(&mut row).ok()));
        }
        let task = tasks.get(&call.task_id).and_then(Option::as_ref);
        jobs.push(call.job(task, now));
    }
    Ok(jobs)
}

/// Whether a job has hooks. One that cannot be read has none.
pub(super) fn has_hooks(settings: &str) -> bool {
    JobSettings::from_json(settings).is_ok_and(|settings| !settings.hooks.is_empty())
}

/// Makes the jobs of the hooks that these jobs call, which were ended here. Answers what was made; the groups of it are the caller's to settle.
pub(super) async fn ended(
    tx: &mut Tx,
    jobs: Vec<JobId>,
    outcome: Outcome,
    now: Timestamp,
    touched: &mut Touched,
) -> Result<Vec<EndedJob>, Fault> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.fetch(q::job_select, vec![list(jobs)]).await?;
    let ended = rows.into_iter().filter_map(|row| row::job(row).ok());
    let calls: Vec<HookCall> =
        ended.filter_map(|job| hooks::ended_by_store(&job, outcome, job.error.as_ref(), now)).collect();
    let made = calls.iter().map(hooks::made).collect();
    let jobs = self::jobs(tx, calls, now).await?;
    add(tx, &jobs.iter().collect::<Vec<_>>(), touched).await?;
    Ok(made)
}
