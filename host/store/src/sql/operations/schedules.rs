//! Schedules.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{fires, ledger};
use crate::model::{ConflictPolicy, FireLine, Schedule, ScheduleId, Task, TaskId, Timestamp};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{Arg, args, list, values};
use crate::sql::time::Time;
use crate::sql::{SqlStore, read_with, write_with};
use crate::{
    AcquireSchedules, AcquiredSchedules, AddSchedule, FireSchedule, Fired, LeasedSchedule, Page, PauseSchedule,
    ReadHistory, RemovedSchedule, ScheduleAdded, ScheduleCounts, ScheduleFilter, ScheduleQueue, SetSchedule,
    StoreError, Subject, UnpauseSchedule, Unreadable, rules,
};

fn not_found(id: &ScheduleId) -> Fault {
    StoreError::NotFound(Subject::Schedule(id.clone())).into()
}

pub(in crate::sql) async fn add(tx: &mut Tx, request: &AddSchedule) -> Result<ScheduleAdded, Fault> {
    let (id, row) = (&request.schedule.id, row::new_schedule(&request.schedule));
    if tx.execute(q::schedule_insert, vec![Arg::Rows(vec![row.clone()])]).await? > 0 {
        return Ok(ScheduleAdded::Added);
    }
    match request.conflict {
        ConflictPolicy::Error => Err(StoreError::AlreadyExists(Subject::Schedule(id.clone())).into()),
        ConflictPolicy::Skip => Ok(ScheduleAdded::Skipped),
        ConflictPolicy::Replace => {
            ledger::replace(tx, id, request.schedule.created_at).await?;
            tx.execute(q::schedule_put, vec![Arg::Rows(vec![row])]).await?;
            Ok(ScheduleAdded::Replaced)
        }
    }
}

async fn add_all(tx: &mut Tx, requests: &Vec<AddSchedule>) -> Result<Vec<ScheduleAdded>, Fault> {
    let mut added = Vec::with_capacity(requests.len());
    for request in requests {
        added.push(add(tx, request).await?);
    }
    Ok(added)
}

async fn get(tx: &mut Tx, id: &ScheduleId) -> Result<Option<Schedule>, Fault> {
    let found = tx.fetch_one(q::schedule_get, args![id]).await?.map(row::schedule).transpose();
    Ok(found.map_err(row::unreadable(Subject::Schedule(id.clone())))?)
}

async fn list_page(tx: &mut Tx, filter: &ScheduleFilter) -> Result<Page<Schedule>, Fault> {
    let limit = rules::page_limit(filter.limit);
    let after = filter.after.as_deref().unwrap_or_default();
    let rows_max = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let rows = match &filter.task_id {
        Some(task) => tx.fetch(q::schedule_list_task, args![task, after, rows_max]).await?,
        None => tx.fetch(q::schedule_list, args![after, rows_max]).await?,
    };
    let rows = rows.into_iter().map(row::schedule).collect();
    Ok(rules::page(rows, limit, |schedule: &Schedule| schedule.id.to_string()))
}

async fn remove(tx: &mut Tx, id: &ScheduleId) -> Result<Option<RemovedSchedule>, Fault> {
    // Locked first, so that of two removals only one answers it.
    if lock(tx, [id.as_str()]).await?.is_empty() {
        return Ok(None);
    }
    let Some(row) = tx.fetch_one(q::schedule_get, args![id]).await? else { return Ok(None) };
    ledger::remove(tx, [id]).await?;
    tx.execute(q::schedule_delete, vec![list([id])]).await?;
    let mut parts = row.clone();
    let task_id = parts.text().and_then(|_id| parts.int()).and_then(|_life| parts.task_id()).ok();
    Ok(Some(RemovedSchedule { task_id, schedule: row::schedule(row) }))
}

/// What a change of a schedule has to know of it.
struct LockedSchedule {
    id: String,
    is_paused: bool,
    next_fire_time: Option<Timestamp>,
}

/// Locks schedules and reads what a change has to know.
async fn lock<'a>(tx: &mut Tx, ids: impl IntoIterator<Item = &'a str>) -> Result<Vec<LockedSchedule>, Fault> {
    let mut locked = Vec::new();
    for mut row in tx.fetch(q::schedule_lock, vec![list(ids)]).await? {
        locked.push(LockedSchedule {
            id: row.text()?,
            is_paused: row.flag()?,
            // Whoever changes it has read the schedule; nobody else needs to know.
            next_fire_time: row.maybe_time().ok().flatten(),
        });
    }
    Ok(locked)
}

async fn pause(tx: &mut Tx, request: &PauseSchedule) -> Result<Schedule, Fault> {
    let (_, reason) = row::pause(Some(&request.reason));
    // A paused one keeps its reason, and has no lease to end.
    tx.execute(q::schedule_pause, args![reason, &request.id]).await?;
    get(tx, &request.id).await?.ok_or_else(|| not_found(&request.id))
}

async fn unpause(tx: &mut Tx, request: &UnpauseSchedule) -> Result<Schedule, Fault> {
    let schedule = lock(tx, [request.id.as_str()]).await?.pop().ok_or_else(|| not_found(&request.id))?;
    // One that cannot be read is not woken.
    get(tx, &request.id).await?;
    let resume = request.resume.as_ref();
    if resume.is_some_and(|resume| resume.expected_next_fire_time != schedule.next_fire_time) {
        return Err(rules::schedule_changed(&request.id, schedule.next_fire_time).into());
    }
    if schedule.is_paused || resume.is_some() {
        let next = resume.map_or(schedule.next_fire_time, |resume| resume.next_fire_time);
        let state = resume.map(|resume| resume.trigger_state.as_str());
        tx.execute(q::schedule_unpause, args![state, next, next, &request.id]).await?;
        if let Some((resume, passed)) = resume.and_then(|resume| Some((resume, resume.passed.as_ref()?))) {
            ledger::pass(tx, &request.id, resume.at, passed).await?;
        }
    }
    get(tx, &request.id).await?.ok_or_else(|| not_found(&request.id))
}

async fn set(tx: &mut Tx, request: &SetSchedule) -> Result<(), Fault> {
    let SetSchedule { expected, schedule, at, passed } = request;
    let locked = lock(tx, [expected.id.as_str()]).await?.pop().ok_or_else(|| not_found(&expected.id))?;
    if get(tx, &expected.id).await?.as_ref() != Some(expected) {
        return Err(rules::schedule_changed(&expected.id, locked.next_fire_time).into());
    }
    tx.execute(q::schedule_put, vec![Arg::Rows(vec![row::new_schedule(schedule)])]).await?;
    match passed {
        Some(passed) => ledger::pass(tx, &expected.id, *at, passed).await,
        None => Ok(()),
    }
}

async fn acquire(tx: &mut Tx, (time, request): &(Arc<Time>, AcquireSchedules)) -> Result<AcquiredSchedules, Fault> {
    let AcquireSchedules { holder, token, now, lease, limit } = request;
    let now = time.now(tx, *now).await?;
    let mut rows = tx.fetch(q::schedule_leased, args![holder, *token]).await?;
    if rows.is_empty() {
        let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
        let due = tx.fetch(q::schedule_due_select, args![now.due, limit]).await?;
        let mut ids = Vec::with_capacity(due.len());
        for mut row in due {
            ids.push(row.text()?);
        }
        if ids.is_empty() {
            return Ok(AcquiredSchedules { now: now.due, schedules: Vec::new(), unreadable: Vec::new() });
        }
        let (lease_until, leased_until) = (now.leases.saturating_add(*lease), now.due.saturating_add(*lease));
        let mut arguments = args![holder, *token, lease_until, leased_until, leased_until];
        arguments.push(list(ids));
        tx.execute(q::schedule_lease, arguments).await?;
        rows = tx.fetch(q::schedule_leased, args![holder, *token]).await?;
    }
    let (mut schedules, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match row::schedule(row) {
            Ok(schedule) => schedules.push(schedule),
            Err(bad) => unreadable.push(bad),
        }
    }
    quarantine(tx, &unreadable, now.due).await?;
    with_tasks(tx, now.due, schedules, unreadable).await
}

/// Pauses schedules that are damaged, and puts off those that a newer version has written.
async fn quarantine(tx: &mut Tx, unreadable: &[Unreadable], now: Timestamp) -> Result<(), Fault> {
    let (newer, damaged): (Vec<_>, Vec<_>) = unreadable.iter().partition(|bad| bad.defect.is_newer());
    for bad in damaged {
        let reason = format!("what is stored of it cannot be read: {}", bad.defect);
        tx.execute(q::schedule_pause, args![reason, bad.id.as_str()]).await?;
    }
    if newer.is_empty() {
        return Ok(());
    }
    let locked = lock(tx, newer.iter().map(|bad| bad.id.as_str())).await?;
    let put_off = |schedule: LockedSchedule| {
        let since = schedule.next_fire_time.unwrap_or(now);
        values![schedule.id, rules::put_off(now, since)]
    };
    tx.execute_rows(q::schedule_put_off, locked.into_iter().map(put_off).collect()).await.map(|_| ())
}

async fn with_tasks(
    tx: &mut Tx,
    now: Timestamp,
    schedules: Vec<Schedule>,
    unreadable: Vec<Unreadable>,
) -> Result<AcquiredSchedules, Fault> {
    let mut ids: Vec<&TaskId> = schedules.iter().map(|schedule| &schedule.task_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut tasks: HashMap<String, Result<Task, Unreadable>> = HashMap::new();
    if !ids.is_empty() {
        for mut row in tx.fetch(q::task_select, vec![list(ids)]).await? {
            let task = row::task(&mut row);
            tasks.insert(task.as_ref().map_or_else(|bad| bad.id.clone(), |task| task.id.to_string()), task);
        }
    }
    let leased = |schedule: Schedule| {
        let task = tasks.get(schedule.task_id.as_str()).cloned().transpose();
        LeasedSchedule { task, schedule }
    };
    Ok(AcquiredSchedules { now, schedules: schedules.into_iter().map(leased).collect(), unreadable })
}

async fn next_due(tx: &mut Tx) -> Result<Option<Timestamp>, Fault> {
    let row = tx.fetch_one(q::schedule_next_due, Vec::new()).await?;
    // A time that is none is found, and quarantined, by whoever acquires next.
    Ok(row.and_then(|mut row| row.maybe_time().ok().flatten()))
}

async fn counts(tx: &mut Tx) -> Result<ScheduleCounts, Fault> {
    let Some(mut row) = tx.fetch_one(q::schedule_counts, Vec::new()).await? else {
        return Ok(ScheduleCounts::default());
    };
    let (firing, resting, paused): (u64, u64, u64) = (row.small()?, row.small()?, row.small()?);
    Ok(ScheduleCounts { all: firing + resting, paused })
}

#[async_trait]
impl ScheduleQueue for SqlStore {
    async fn schedule_add(&self, request: AddSchedule) -> Result<ScheduleAdded, StoreError> {
        write_with!(self, "schedule_add", request, add)
    }

    async fn schedule_add_all(&self, requests: Vec<AddSchedule>) -> Result<Vec<ScheduleAdded>, StoreError> {
        write_with!(self, "schedule_add_all", requests, add_all)
    }

    async fn schedule_get(&self, id: &ScheduleId) -> Result<Option<Schedule>, StoreError> {
        read_with!(self, "schedule_get", get, id)
    }

    async fn schedule_list(&self, filter: ScheduleFilter) -> Result<Page<Schedule>, StoreError> {
        read_with!(self, "schedule_list", list_page, &filter)
    }

    async fn schedule_remove(&self, id: &ScheduleId) -> Result<Option<RemovedSchedule>, StoreError> {
        write_with!(self, "schedule_remove", id.clone(), remove)
    }

    async fn schedule_pause(&self, request: PauseSchedule) -> Result<Schedule, StoreError> {
        write_with!(self, "schedule_pause", request, pause)
    }

    async fn schedule_unpause(&self, request: UnpauseSchedule) -> Result<Schedule, StoreError> {
        write_with!(self, "schedule_unpause", request, unpause)
    }

    async fn schedule_set(&self, request: SetSchedule) -> Result<(), StoreError> {
        write_with!(self, "schedule_set", request, set)
    }

    async fn schedule_acquire(&self, request: AcquireSchedules) -> Result<AcquiredSchedules, StoreError> {
        write_with!(self, "schedule_acquire", (Arc::clone(&self.time), request), acquire)
    }

    async fn schedule_fire(&self, fires: Vec<FireSchedule>) -> Result<Vec<Fired>, StoreError> {
        write_with!(self, "schedule_fire", (Arc::clone(&self.time), fires), fires::fire)
    }

    async fn schedule_history(&self, request: ReadHistory) -> Result<Page<FireLine>, StoreError> {
        read_with!(self, "schedule_history", ledger::history, &request)
    }

    async fn schedule_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        read_with!(self, "schedule_next_due", next_due,)
    }

    async fn schedule_counts(&self) -> Result<ScheduleCounts, StoreError> {
        read_with!(self, "schedule_counts", counts,)
    }
}
