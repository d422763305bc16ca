//! Fires of schedules: the jobs that they make, and what they do about earlier ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::job_rows::{add_fires, lock as lock_jobs};
use super::ledger;
use crate::model::{FireLine, JobId, JobSpec, JobState, LeaseToken, Outcome, Overlap, Timestamp};
use crate::overlap::{self, Decision, EARLIER_MAX, Place, Unfinished, Verdict};
use crate::sql::drivers::tx::{Fault, Tx};
use crate::sql::encoding::known;
use crate::sql::places::{self, Touched};
use crate::sql::statements::query::q;
use crate::sql::statements::row;
use crate::sql::statements::value::{Value, args, list, values};
use crate::sql::time::{Now, Time};
use crate::{AfterFire, EndedJob, FireSchedule, Fired, Overlapped};

/// What a fire has to know of its schedule.
struct LockedSchedule {
    token: Option<Vec<u8>>,
    next_fire_time: Option<Timestamp>,
    /// How many lines its ledger has had.
    lines: u64,
    overruns_since: Option<Timestamp>,
    /// How many of its fires have made a job.
    fire_count: u64,
    /// The youngest of its jobs that has not ended.
    unfinished: Option<JobId>,
}

impl LockedSchedule {
    fn holds(&self, token: LeaseToken) -> bool {
        self.token.as_deref() == Some(token.as_bytes())
    }

    fn place(&self) -> Place {
        Place { fire_count: self.fire_count, next_fire_time: self.next_fire_time }
    }
}

/// Locks schedules. What the jobs of one look like may be older than the lock, but not older than its last fire: whoever stored that
/// had the lease.
async fn lock(tx: &mut Tx, fires: &[FireSchedule]) -> Result<HashMap<String, LockedSchedule>, Fault> {
    let mut locked = HashMap::with_capacity(fires.len());
    for mut row in tx.fetch(q::schedule_fire_lock, vec![list(fires.iter().map(|fire| &fire.id))]).await? {
        let (id, token) = (row.text()?, row.maybe_bytes()?);
        // One that cannot be read belongs to a schedule that nobody fires.
        let next_fire_time = row.maybe_time().ok().flatten();
        let lines = row.small()?;
        let overruns_since = row.maybe_time().ok().flatten();
        let fire_count = row.small()?;
        let unfinished = row.maybe_bytes()?.and_then(|bytes| bytes.try_into().ok()).map(JobId::from_bytes);
        locked.insert(id, LockedSchedule { token, next_fire_time, lines, overruns_since, fire_count, unfinished });
    }
    Ok(locked)
}

/// A fire whose lease is held, and what it does.
struct Held<'a> {
    fire: &'a FireSchedule,
    schedule: LockedSchedule,
    decision: Decision,
    overruns_since: Option<Timestamp>,
    overlapped: Overlapped,
    /// How many fires of the schedule have made a job, those of this fire included.
    fire_count: u64,
    /// What is written into the ledger.
    lines: Vec<FireLine>,
}

impl Held<'_> {
    /// The jobs that are made.
    fn made(&self) -> impl Iterator<Item = &JobSpec> {
        let verdicts = self.fire.jobs.iter().zip(&self.decision.verdicts);
        verdicts.filter(|(_, verdict)| **verdict == Verdict::Made).map(|(job, _)| job)
    }

    fn row(&self, now: Option<Now>) -> Vec<Value> {
        let fire = self.fire;
        let next = overlap::next_fire_time(fire, self.fire_count);
        let (pause, run_at, lease_until) = match &fire.then {
            AfterFire::Free => (None, next, None),
            AfterFire::Keep { now: told, lease } => {
                let Now { due, leases } = now.unwrap_or(Now { due: *told, leases: *told });
                let leased_until = due.saturating_add(*lease);
                (None, next.map(|next| next.max(leased_until)), Some(leases.saturating_add(*lease)))
            }
            AfterFire::PutOff { until } => (None, next.map(|next| next.max(*until)), None),
            AfterFire::Pause(reason) => (Some(reason), None, None),
        };
        let (paused, reason) = row::pause(pause);
        let lines = self.schedule.lines + self.lines.len() as u64;
        let place = values![&fire.id, fire.trigger_state.as_str(), next, fire.last_fire_time];
        [place, values![paused, reason, run_at, lease_until, self.overruns_since, lines, self.fire_count]].concat()
    }
}

/// See [`ScheduleQueue::schedule_fire`](crate::ScheduleQueue::schedule_fire).
pub(super) async fn fire(tx: &mut Tx, (time, fires): &(Arc<Time>, Vec<FireSchedule>)) -> Result<Vec<Fired>, Fault> {
    if fires.is_empty() {
        return Ok(Vec::new());
    }
    let told = fires.iter().find_map(|fire| match &fire.then {
        AfterFire::Keep { now, .. } => Some(*now),
        _ => None,
    });
    let now = match told {
        Some(told) => Some(time.now(tx, told).await?),
        None => None,
    };
    // The second of two fires of one schedule in a call comes after the end of the lease.
    let mut locked = lock(tx, fires).await?;
    let mut held = Vec::with_capacity(fires.len());
    for fire in fires {
        held.push(match locked.remove(fire.id.as_str()).filter(|schedule| schedule.holds(fire.token)) {
            Some(schedule) => Some(decide(tx, fire, schedule).await?),
            None => None,
        });
    }
    let mut touched = Touched::default();
    replace_earlier(tx, &mut held, &mut touched).await?;
    let jobs: Vec<&JobSpec> = held.iter().flatten().flat_map(Held::made).collect();
    let known = add_fires(tx, &jobs, &mut touched).await?;
    for held in held.iter_mut().flatten() {
        held.fire_count = held.decision.fire_count(held.fire, held.schedule.place(), &known);
        let (next, is_end) =
            (held.schedule.next_fire_time, overlap::next_fire_time(held.fire, held.fire_count).is_none());
        held.lines = crate::ledger::lines(held.fire, &held.decision, &known, &held.overlapped, next, is_end);
    }
    let lines = held.iter().flatten().flat_map(|held| ledger::rows(&held.fire.id, held.schedule.lines, &held.lines));
    tx.execute_rows(q::fire_insert, lines.collect()).await?;
    tx.execute_rows(q::schedule_fire, held.iter().flatten().map(|held| held.row(now)).collect()).await?;
    places::settle(tx, touched).await?;
    Ok(held.into_iter().map(|held| held.map_or(Fired::LeaseLost, |held| answer(held, &known))).collect())
}

fn answer(held: Held<'_>, known: &HashSet<JobId>) -> Fired {
    let made: HashSet<JobId> = held.made().map(|job| job.id).filter(|id| !known.contains(id)).collect();
    let left_out = held.fire.jobs.iter().map(|job| job.id).filter(|id| !made.contains(id)).collect();
    let is_finished = overlap::is_finished(held.fire, held.fire_count);
    Fired::Stored { left_out, is_finished, overlapped: held.overlapped }
}

async fn decide<'a>(tx: &mut Tx, fire: &'a FireSchedule, schedule: LockedSchedule) -> Result<Held<'a>, Fault> {
    let planned: Vec<JobId> = fire.jobs.iter().map(|job| job.id).collect();
    // A fire that is stored a second time finds jobs of its own.
    let earlier = match schedule.unfinished {
        Some(_) if overlap::asks_for_each(fire.overlap) && !planned.is_empty() => {
            unfinished(tx, fire, &planned).await?
        }
        Some(id) if !planned.contains(&id) => vec![Unfinished { id, is_running: true }],
        _ => Vec::new(),
    };
    let youngest = earlier.first().map(|job| job.id);
    let overruns_since = overlap::overruns_since(fire, youngest, schedule.overruns_since);
    let began_with = youngest.filter(|_| overruns_since.is_some() && schedule.overruns_since.is_none());
    let overlapped = Overlapped { began_with, ..Overlapped::default() };
    let fire_count = schedule.fire_count;
    let decision = overlap::decide(fire.overlap, &earlier, &planned).within(fire, schedule.place());
    Ok(Held { fire, schedule, decision, overruns_since, overlapped, fire_count, lines: Vec::new() })
}

/// The earlier jobs of a schedule that have not ended, the youngest first.
async fn unfinished(tx: &mut Tx, fire: &FireSchedule, planned: &[JobId]) -> Result<Vec<Unfinished>, Fault> {
    let rows_max = i64::try_from(EARLIER_MAX).unwrap_or(i64::MAX);
    let mut earlier = Vec::new();
    for mut row in tx.fetch(q::job_unfinished_select, args![&fire.id, rows_max]).await? {
        let (id, state) = (row.job_id()?, row.text()?);
        if planned.contains(&id) {
            continue;
        }
        // One that is damaged is nobody's to replace; whoever comes upon it ends it.
        let is_running = known("state", &state, JobState::from_name).is_ok_and(|state| state == JobState::Running);
        earlier.push(Unfinished { id, is_running });
    }
    Ok(earlier)
}

/// Cancels the jobs that are replaced, and asks those of them to stop that run.
async fn replace_earlier(tx: &mut Tx, held: &mut [Option<Held<'_>>], touched: &mut Touched) -> Result<(), Fault> {
    let mut places: BTreeMap<JobId, usize> = BTreeMap::new();
    for (place, held) in held.iter().enumerate() {
        let replaced = held.iter().flat_map(|held| &held.decision.replaced);
        places.extend(replaced.map(|job| (job.id, place)));
    }
    let ids: Vec<JobId> = places.keys().copied().collect();
    let mut ended = Vec::new();
    for ids in ids.chunks(EARLIER_MAX) {
        for job in lock_jobs(tx, ids.iter().copied()).await? {
            let held = places.get(&job.id).and_then(|place| held.get_mut(*place)).and_then(Option::as_mut);
            let Some(held) = held else { continue };
            match job.state {
                JobState::Queued => {
                    ended.push(job.ended(Outcome::Cancelled, held.fire.at, None));
                    job.leave(touched);
                    held.overlapped.cancelled.push(EndedJob { id: job.id, task_id: job.task_id.clone() });
                }
                // It may have begun since it was found waiting.
                JobState::Running if held.fire.overlap == Overlap::CancelRunning && !job.cancel_requested => {
                    tx.execute(q::job_cancel_ask, args![None::<i64>, job.id]).await?;
                    held.overlapped.asked.push(job.id);
                }
                JobState::Running | JobState::Finished => {}
            }
        }
    }
    tx.execute_rows(q::job_end, ended).await.map(|_| ())
}
