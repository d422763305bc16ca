//! Jobs on their way to their places: when they become due, when the rules of their task change, and when a count is wrong.

use super::{Places, TaskRules, Touched, lock, settle, task_rules};
use crate::model::{Ability, JobId, JobSettings, TaskId};
use crate::rules;
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::statements::query::q;
use crate::sql::statements::value::{args, values};

/// Lets jobs that were not yet due wait for their turn.
pub(in crate::sql) async fn enter(
    tx: &mut Tx,
    jobs: Vec<(JobId, Option<TaskId>, Option<String>)>,
    touched: &mut Touched,
) -> Result<(), Fault> {
    let known = task_rules(tx, jobs.iter().filter_map(|(_, task, _)| task.as_ref()).collect()).await?;
    let mut rows = Vec::with_capacity(jobs.len());
    for (id, task, key) in &jobs {
        let Some(task) = task else {
            rows.push(Places::default().row(*id));
            continue;
        };
        let rules = known.get(task).cloned().unwrap_or_default();
        rows.push(rules.entry(key.as_deref()).row(*id));
        touched.entered(task, key.as_deref(), &rules);
    }
    tx.execute_rows(q::job_place, rows).await.map(|_| ())
}

/// Brings the jobs of a task into line with its new rules. The task itself is written, and locked by that, already. `old`: what held
/// before; `None` if nobody knows.
pub(in crate::sql) async fn follow(
    tx: &mut Tx,
    task: &TaskId,
    old: Option<&TaskRules>,
    new: &TaskRules,
) -> Result<(), Fault> {
    if old == Some(new) {
        return Ok(());
    }
    if old.is_none_or(|old| old.target != new.target) {
        rekey(tx, task, new).await?;
    }
    let is_limited = |rules: &TaskRules| (rules.max_running.is_some(), rules.max_running_per_key.is_some());
    if old.is_none_or(|old| is_limited(old) != is_limited(new)) {
        return regroup(tx, task, new).await;
    }
    // Another number only.
    for (limit, is_whole) in [(new.max_running, 1_i64), (new.max_running_per_key, 0)] {
        if let Some(limit) = limit {
            tx.execute(q::group_limit, args![limit, task, is_whole]).await?;
        }
    }
    let mut keys = Vec::new();
    for mut row in tx.fetch(q::group_list_task, args![task]).await? {
        keys.push(row.text()?);
    }
    settle(tx, Touched::all(task, keys)).await
}

/// Writes anew what the task's jobs are claimed by, also those that run: they may be queued again.
async fn rekey(tx: &mut Tx, task: &TaskId, rules: &TaskRules) -> Result<(), Fault> {
    use crate::encoding::Encode as _;
    const PAGE: i64 = 1_000;
    let mut after = Vec::new();
    loop {
        let jobs = tx.fetch(q::task_jobs, args![task, after.as_slice(), PAGE]).await?;
        let mut rows = Vec::new();
        for mut row in jobs {
            let id = row.job_id()?;
            after = id.as_bytes().to_vec();
            // Settings that cannot be read: the job ends as soon as anybody claims it.
            let key = match JobSettings::from_json(&row.text()?) {
                Ok(settings) => rules.claim_key(&settings),
                Err(_) => rules::ready_key(&Default::default(), &Ability::Any),
            };
            rows.push(values![id, key]);
        }
        if rows.is_empty() {
            return Ok(());
        }
        tx.execute_rows(q::job_claim_key, rows).await?;
    }
}

/// Counts the places of a task anew, and lets all its jobs that do not run wait for them again.
async fn regroup(tx: &mut Tx, task: &TaskId, rules: &TaskRules) -> Result<(), Fault> {
    let (per_key, whole) = (rules.max_running_per_key.is_some(), rules.max_running.is_some());
    tx.execute(q::job_regroup, args![per_key, whole, per_key, whole, per_key, task]).await?;
    tx.execute(q::group_delete_task, args![task]).await?;
    let (mut groups, mut keys) = (Vec::new(), Vec::new());
    for mut row in tx.fetch(q::group_of_jobs, args![task, task]).await? {
        let (key, taken) = (row.maybe_text()?.unwrap_or_default(), row.int()?);
        let limit = if key.is_empty() { rules.max_running } else { rules.max_running_per_key };
        if let Some(limit) = limit {
            groups.push(values![task, key.as_str(), limit, taken]);
            keys.push(key);
        }
    }
    tx.execute_rows(q::group_insert, groups).await?;
    settle(tx, Touched::all(task, keys)).await
}

/// Looks for groups whose count is wrong, or that hold jobs back although there is room, and mends them.
pub(in crate::sql) async fn mend(tx: &mut Tx) -> Result<(), Fault> {
    for mut row in tx.fetch(q::group_check, Vec::new()).await? {
        let (task, key) = (row.task_id()?, row.text()?);
        let group = (task.to_string(), key.clone());
        let rooms = lock(tx, vec![&group]).await?;
        // Counted again under the lock: what was seen before may have been half of a change.
        let counted = tx.fetch_one(q::group_count, args![key.as_str(), &task, &task, key.as_str()]).await?;
        let counted = counted.map(|mut row| row.int()).transpose()?.unwrap_or_default();
        if let Some(room) = rooms.get(&group)
            && room.taken != counted
        {
            let taken = room.taken;
            tracing::error!(task.id = %task, key, taken, counted, "places were counted wrongly; the count is mended");
            tx.execute_rows(q::group_update, vec![values![&task, key.as_str(), counted]]).await?;
        }
        settle(tx, Touched::all(&task, [key])).await?;
    }
    Ok(())
}

/// Forgets groups of concurrency keys that no job has.
pub(in crate::sql) async fn forget_idle(tx: &mut Tx) -> Result<(), Fault> {
    tx.execute(q::group_delete_idle, Vec::new()).await.map(|_| ())
}
