//! The first jobs of tasks which others keep from starting, see [`Choice::EachTask`](crate::Choice::EachTask).

use std::collections::{BTreeSet, HashSet};

use crate::model::{JobId, TaskId};
use crate::rules::{self, Order};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::statements::query::q;
use crate::sql::statements::value::{Row, args, list, values};
use crate::{AcquireJobs, ServedQueue};

/// The first ready job of each task by the caller's keys that are open, locked: their ids and places. No other task's jobs are looked at.
pub(super) async fn first_of_each_task(
    tx: &mut Tx,
    request: &AcquireJobs,
    open: &HashSet<String>,
    except: &BTreeSet<TaskId>,
) -> Result<Vec<Row>, Fault> {
    let mut queues: Vec<(usize, Vec<Order>)> = Vec::new();
    for (ServedQueue { limit, .. }, keys) in rules::ready_keys(request) {
        let mut candidates = Vec::new();
        for key in keys.iter().filter(|key| open.contains(*key)) {
            candidates.extend(candidates_of(tx, key, except).await?);
        }
        candidates.sort_unstable();
        queues.push((*limit, candidates));
    }
    let chosen: Vec<JobId> = rules::take_turns(queues, request.limit).into_iter().map(|(_, id)| id).collect();
    if chosen.is_empty() { Ok(Vec::new()) } else { tx.fetch(q::job_ready_lock, vec![list(chosen)]).await }
}

async fn candidates_of(tx: &mut Tx, key: &str, except: &BTreeSet<TaskId>) -> Result<Vec<Order>, Fault> {
    let limit = i64::try_from(rules::SHARING_TASKS_MAX).unwrap_or(i64::MAX);
    let mut tasks = Vec::new();
    for mut row in tx.fetch(q::job_ready_tasks, args![key, key, limit]).await? {
        let name = row.text()?;
        // One that is no name of a task is damaged, and is found by whoever takes jobs in order.
        if name.parse::<TaskId>().is_ok_and(|task| !except.contains(&task)) {
            tasks.push(values![key, name]);
        }
    }
    let mut candidates = Vec::new();
    if !tasks.is_empty() {
        for mut row in tx.fetch_rows(q::job_task_candidates, tasks).await? {
            candidates.push((row.int()?, row.job_id()?));
        }
    }
    Ok(candidates)
}
