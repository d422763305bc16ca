//! The ledger of fires: its lines, written with what they tell of, read by people, and trimmed.

use crate::ledger::{self, PassedFires, ReadHistory, TrimHistory};
use crate::model::{Fate, FireLine, ScheduleId, Timestamp};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::known;
use crate::sql::statements::query::q;
use crate::sql::statements::value::{Row, Value, args, list, values};
use crate::{Defect, Page, Unreadable, rules};

/// The rows of new lines of a schedule that has had `count` before.
pub(super) fn rows(id: &ScheduleId, count: u64, lines: &[FireLine]) -> Vec<Vec<Value>> {
    let row = |(number, line): (u64, &FireLine)| {
        let due = values![id, number, line.first, line.last, line.count, line.or_more, line.at, line.fate.as_str()];
        let reason = (!line.reason.is_empty()).then_some(line.reason.as_str());
        [due, values![ledger::job_bytes(&line.jobs), reason, line.is_end]].concat()
    };
    (count + 1..).zip(lines).map(row).collect()
}

/// Writes the line of due times that were passed over by a change of their schedule at `at`.
pub(super) async fn pass(tx: &mut Tx, id: &ScheduleId, at: Timestamp, passed: &PassedFires) -> Result<(), Fault> {
    let Some(mut row) = tx.fetch_one(q::schedule_fires_lock, args![id]).await? else { return Ok(()) };
    let count: u64 = row.small()?;
    write(tx, id, count, &[passed.line(at)]).await
}

/// Writes the line of a schedule that is replaced at `at`, if it is due.
pub(super) async fn replace(tx: &mut Tx, id: &ScheduleId, at: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = tx.fetch_one(q::schedule_fires_lock, args![id]).await? else { return Ok(()) };
    let (count, next) = (row.small()?, row.maybe_time().ok().flatten());
    match next.filter(|next| *next <= at) {
        Some(next) => write(tx, id, count, &[ledger::replaced_line(next, at)]).await,
        None => Ok(()),
    }
}

pub(super) async fn write(tx: &mut Tx, id: &ScheduleId, count: u64, lines: &[FireLine]) -> Result<(), Fault> {
    tx.execute_rows(q::fire_insert, rows(id, count, lines)).await?;
    tx.execute(q::schedule_fires_set, args![count + lines.len() as u64, id]).await.map(|_| ())
}

/// Removes the lines of schedules that are removed.
pub(super) async fn remove<'a>(tx: &mut Tx, ids: impl IntoIterator<Item = &'a ScheduleId>) -> Result<(), Fault> {
    tx.execute(q::fire_delete, vec![list(ids)]).await.map(|_| ())
}

/// See [`ScheduleQueue::schedule_history`](crate::ScheduleQueue::schedule_history).
pub(super) async fn history(tx: &mut Tx, request: &ReadHistory) -> Result<Page<FireLine>, Fault> {
    let limit = rules::page_limit(request.limit);
    let (before, rows_max) = (request.before.unwrap_or(u64::MAX), i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let rows = tx.fetch(q::fire_list, args![&request.id, before, rows_max]).await?;
    let rows = rows.into_iter().map(line).collect();
    Ok(rules::page(rows, limit, |line: &FireLine| line.number.to_string()))
}

fn line(mut row: Row) -> Result<FireLine, Unreadable> {
    let number = row.small().map_err(|defect| Unreadable { id: String::new(), defect })?;
    read(number, &mut row).map_err(|defect| Unreadable { id: format!("{number}"), defect })
}

fn read(number: u64, row: &mut Row) -> Result<FireLine, Defect> {
    Ok(FireLine {
        number,
        first: row.time()?,
        last: row.time()?,
        count: row.small()?,
        or_more: row.flag()?,
        at: row.time()?,
        fate: known("fate of a fire", &row.text()?, Fate::from_name)?,
        jobs: match row.maybe_bytes()? {
            Some(bytes) => ledger::jobs_in(&bytes).ok_or_else(|| Defect::damaged("the ids of jobs are cut short"))?,
            None => Vec::new(),
        },
        reason: row.maybe_text()?.unwrap_or_default(),
        is_end: row.flag()?,
    })
}

/// The schedules that have lines to be removed, with the number of the last one that goes for its number, in the order of their ids.
pub(super) async fn trimmable(tx: &mut Tx, request: &TrimHistory) -> Result<Vec<(String, u64)>, Fault> {
    let TrimHistory { before, keep, after, limit } = request;
    let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
    let rows =
        tx.fetch(q::fire_trim_select, args![after.as_deref().unwrap_or_default(), *keep, *before, limit]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for mut row in rows {
        let (id, count): (String, u64) = (row.text()?, row.small()?);
        found.push((id, count.saturating_sub(*keep)));
    }
    Ok(found)
}

/// Removes lines of schedules.
pub(super) async fn trim(tx: &mut Tx, (before, found): &(Timestamp, Vec<(String, u64)>)) -> Result<(), Fault> {
    for (id, number) in found {
        tx.execute(q::fire_trim, args![id.as_str(), *number, *before]).await?;
    }
    Ok(())
}
