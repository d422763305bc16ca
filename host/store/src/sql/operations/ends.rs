//! The ends of jobs that concern their schedules.

use std::collections::BTreeMap;

use super::ledger;
use crate::ends::{JobEnd, Standing, finished_line};
use crate::model::{ConcernedSchedule, JobId, Outcome, ScheduleId, ScheduleLife, Settings, TaskId, Timestamp};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::Encode as _;
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{Row, args, list};
use crate::{Defect, ScheduleStop, StoppedSchedule};

/// Schedules that ends of their jobs may stop, locked.
#[derive(Default)]
pub(super) struct Schedules(BTreeMap<ScheduleId, Locked>);

struct Locked {
    task_id: TaskId,
    /// How it stood, and how it stands.
    before: u32,
    standing: Standing,
    /// How many lines its ledger has had.
    lines: u64,
    /// The fire time that was due when it was finished.
    due: Option<Timestamp>,
    stop: Option<(ScheduleStop, JobId, Timestamp)>,
}

impl Schedules {
    /// Locks schedules, before their jobs, as fires do. Those that are gone or cannot be read are not concerned.
    pub(super) async fn lock<'a>(
        tx: &mut Tx,
        concerned: impl IntoIterator<Item = &'a ConcernedSchedule>,
    ) -> Result<Schedules, Fault> {
        let mut ids: Vec<&ScheduleId> = concerned.into_iter().map(|schedule| &schedule.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut locked = Schedules::default();
        if !ids.is_empty() {
            let rows = tx.fetch(q::schedule_end_lock, vec![list(ids)]).await?;
            locked.0.extend(rows.into_iter().filter_map(|row| read(row).ok()));
        }
        Ok(locked)
    }

    /// Tells a schedule of the end of one of its jobs at `now`. Answers whether that stops it.
    pub(super) fn end(&mut self, end: &JobEnd<'_>, now: Timestamp) -> Option<StoppedSchedule> {
        let (id, schedule) = (&end.schedule.id, self.0.get_mut(&end.schedule.id)?);
        let stop = schedule.standing.end(end)?;
        match stop {
            ScheduleStop::Paused(_) => schedule.standing.is_paused = true,
            ScheduleStop::Finished => {
                schedule.due = schedule.standing.next_fire_time.take().filter(|next| *next <= now)
            }
        }
        schedule.stop = Some((stop.clone(), end.id, now));
        Some(StoppedSchedule { id: id.clone(), task_id: schedule.task_id.clone(), stop })
    }

    /// Writes what has become of them.
    pub(super) async fn store(self, tx: &mut Tx) -> Result<(), Fault> {
        for (id, schedule) in self.0 {
            let Locked { before, standing, lines, due, stop, .. } = schedule;
            if standing.failures != before {
                tx.execute(q::schedule_failures_set, args![standing.failures, &id]).await?;
            }
            match stop {
                Some((ScheduleStop::Paused(reason), ..)) => {
                    tx.execute(q::schedule_pause, args![reason, &id]).await?;
                }
                Some((ScheduleStop::Finished, job, now)) => {
                    if let Some(next) = due {
                        ledger::write(tx, &id, lines, &[finished_line(next, now, job)]).await?;
                    }
                    tx.execute(q::schedule_finish, args![&id]).await?;
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// Tells the schedules of these jobs that they were abandoned. Answers those that are stopped by it.
pub(super) async fn abandoned(tx: &mut Tx, jobs: Vec<JobId>, now: Timestamp) -> Result<Vec<StoppedSchedule>, Fault> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.fetch(q::job_select, vec![list(jobs)]).await?;
    let jobs: Vec<(JobId, ConcernedSchedule)> = rows
        .into_iter()
        .filter_map(|row| row::job(row).ok())
        .filter_map(|job| Some((job.spec.id, job.spec.concerned()?)))
        .collect();
    let mut schedules = Schedules::lock(tx, jobs.iter().map(|(_, schedule)| schedule)).await?;
    let outcome = Outcome::Abandoned;
    let stopped = jobs.iter().filter_map(|(id, schedule)| schedules.end(&JobEnd { id: *id, schedule, outcome }, now));
    let stopped = stopped.collect();
    schedules.store(tx).await?;
    Ok(stopped)
}

fn read(mut row: Row) -> Result<(ScheduleId, Locked), Defect> {
    let (id, life, task_id) = (row.schedule_id()?, ScheduleLife::from_number(row.int()?), row.task_id()?);
    let settings = Settings::from_json(&row.text()?)?;
    let (failures, is_paused, next_fire_time) = (row.small()?, row.flag()?, row.maybe_time()?);
    let standing = Standing { life, settings, failures, is_paused, next_fire_time };
    Ok((id, Locked { task_id, before: failures, standing, lines: row.small()?, due: None, stop: None }))
}
