//! What a due schedule leads to: which jobs, and where its trigger stands afterwards. Pure: the time and chance are arguments.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::triggers::Triggers;
use crate::model::{
    Coalesce, EventKind, Fate, GraceTime, JobIdSource, JobSpec, LeaseToken, Overlap, Pause, Schedule, ScheduleId,
    Settings, Task, TaskId, Timestamp,
};
use crate::store::record::BATCH_BYTES_MAX;
use crate::store::{AfterFire, FireSchedule, LeasedSchedule, PassedFires, PayloadBytes as _, rules};
use crate::trigger::{CatchUp, Fire, Keep, Skipped, Trigger, TriggerError, TriggerState};

/// Most jobs that one part of a fire carries.
const PART_JOBS_MAX: usize = 500;

/// What planning needs besides the schedule.
pub(super) struct Planner<'a> {
    pub(super) now: Timestamp,
    /// How long a lease lasts that is kept between the parts of a fire.
    pub(super) lease: Duration,
    pub(super) ids: &'a mut JobIdSource,
    pub(super) triggers: &'a mut Triggers,
    pub(super) random: &'a mut fastrand::Rng,
    /// Most jobs under [`Coalesce::All`].
    pub(super) catch_up_max: usize,
}

/// What a due schedule leads to.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schedule_id: ScheduleId,
    pub(super) task_id: TaskId,
    /// What to store, one part after the other.
    pub(super) parts: VecDeque<FireSchedule>,
    /// Where the trigger stands in the store until the next part is there.
    pub(super) standing: Standing,
    /// What to publish once all parts are stored.
    pub(super) event: Option<EventKind>,
    /// Fires that passed without a job.
    pub(super) skipped: Skipped,
    /// Why the schedule is put off, where it is.
    pub(super) put_off: Option<String>,
}

/// Where a trigger stands.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    trigger_state: String,
    next_fire_time: Option<Timestamp>,
}

impl Plan {
    /// One that does nothing yet.
    fn of(schedule: &Schedule) -> Plan {
        Plan {
            schedule_id: schedule.id.clone(),
            task_id: schedule.task_id.clone(),
            parts: VecDeque::new(),
            standing: standing(schedule),
            event: None,
            skipped: Skipped::default(),
            put_off: None,
        }
    }

    /// Leaves a schedule as it is, for whoever looks next.
    pub(super) fn untouched(schedule: &Schedule, token: LeaseToken, now: Timestamp) -> Plan {
        let standing = standing(schedule);
        let parts = VecDeque::from([standing.fire(&schedule.id, token, now, AfterFire::Free)]);
        Plan { parts, ..Plan::of(schedule) }
    }
}

impl Standing {
    /// Where the trigger stands once that part is stored.
    pub(super) fn after(part: &FireSchedule) -> Standing {
        Standing { trigger_state: part.trigger_state.clone(), next_fire_time: part.next_fire_time }
    }

    /// A fire that makes no jobs and leaves the trigger where it is.
    pub(super) fn fire(&self, id: &ScheduleId, token: LeaseToken, at: Timestamp, then: AfterFire) -> FireSchedule {
        FireSchedule {
            id: id.clone(),
            token,
            at,
            jobs: Vec::new(),
            overlap: Overlap::default(),
            max_fires: None,
            continues: false,
            passed: None,
            trigger_state: self.trigger_state.clone(),
            next_fire_time: self.next_fire_time,
            last_fire_time: None,
            then,
        }
    }
}

/// Why a schedule cannot be planned.
enum PlanError {
    /// What is stored of its trigger is damaged.
    Damaged(TriggerError),
    /// Its trigger, or its task, says something that this version does not understand.
    Newer(String),
    /// Its trigger failed.
    Failed(TriggerError),
}

/// A trigger and the state that a schedule has it in.
struct Stored {
    trigger: Arc<Trigger>,
    state: TriggerState,
}

impl Planner<'_> {
    /// Whether planning this schedule may take long.
    pub(super) fn may_be_costly(&mut self, schedule: &Schedule) -> bool {
        self.triggers.read(schedule).is_ok_and(|trigger| trigger.can_give_up())
    }

    /// Plans a schedule that is leased under `token`. A trigger that fails pauses its schedule, with the reason.
    pub(super) fn plan(&mut self, leased: &LeasedSchedule, token: LeaseToken) -> Plan {
        let schedule = &leased.schedule;
        let planned = task_of(leased).and_then(|task| Ok((task, self.catch_up(schedule)?)));
        match planned {
            Ok((task, (stored, caught_up))) => self.fires(schedule, task, token, &stored, caught_up),
            Err(error) => self.without_fires(schedule, token, &error),
        }
    }

    fn catch_up(&mut self, schedule: &Schedule) -> Result<(Stored, CatchUp), PlanError> {
        let trigger = self.triggers.read(schedule).map_err(|error| unreadable(&schedule.trigger, error))?;
        let state = TriggerState::from_json(&schedule.trigger_state)
            .map_err(|error| unreadable(&schedule.trigger_state, error))?;
        let keep = match schedule.coalesce {
            Coalesce::Latest => Keep::Latest,
            Coalesce::Earliest => Keep::Earliest,
            Coalesce::All => Keep::All { at_most: self.catch_up_max },
        };
        let caught_up = trigger.catch_up(&state, self.now, keep).map_err(PlanError::Failed)?;
        Ok((Stored { trigger, state }, caught_up))
    }

    fn fires(
        &mut self,
        schedule: &Schedule,
        task: Option<&Task>,
        token: LeaseToken,
        stored: &Stored,
        caught_up: CatchUp,
    ) -> Plan {
        let passed = self.passed(schedule.coalesce, &caught_up);
        let CatchUp { fires, skipped, state, next, is_cut_short, .. } = caught_up;
        let inherited = task.map(Task::layered).unwrap_or_default();
        let settings = schedule.settings.over(&inherited);
        let last_fire_time = fires.last().map(|fire| fire.at);
        let (next_fire_time, failure) = match next {
            Ok(next) => (next.map(|fire| fire.at), None),
            // What was due has fired. Whoever unpauses the schedule has it looked at again at once.
            Err(error) => (last_fire_time.or(schedule.next_fire_time), Some(super::chain(&error))),
        };
        let jobs: Vec<JobSpec> = fires
            .iter()
            .enumerate()
            .map(|(index, fire)| {
                let following = fires.get(index + 1).map(|fire| fire.at).or(next_fire_time).filter(|at| *at > fire.at);
                self.job(schedule, &settings, *fire, following)
            })
            .collect();
        let last = FireSchedule {
            id: schedule.id.clone(),
            token,
            at: self.now,
            jobs,
            overlap: settings.overlap.unwrap_or_default(),
            max_fires: settings.max_fires,
            continues: false,
            passed,
            trigger_state: state.to_json(),
            next_fire_time,
            last_fire_time,
            then: failure.clone().map_or(AfterFire::Free, |reason| AfterFire::Pause(Pause::Failed(reason))),
        };
        let schedule_id = schedule.id.clone();
        let event = match failure {
            // It is due still, and told of when the rest has fired.
            None if is_cut_short => None,
            None => Some(EventKind::ScheduleUpdated { schedule_id, task_id: schedule.task_id.clone(), next_fire_time }),
            Some(message) => Some(EventKind::ScheduleFailed { schedule_id, message }),
        };
        let parts = self.parts(stored, last);
        Plan { parts, event, skipped, ..Plan::of(schedule) }
    }

    /// The due times that get no jobs of their own.
    fn passed(&self, coalesce: Coalesce, caught_up: &CatchUp) -> Option<PassedFires> {
        let (first, last) = caught_up.skipped_between?;
        let Skipped { count, or_more } = caught_up.skipped;
        let (fate, reason) = match coalesce {
            Coalesce::Latest => (Fate::Coalesced, "the job is that of the latest".to_owned()),
            Coalesce::Earliest => (Fate::Coalesced, "the job is that of the earliest".to_owned()),
            Coalesce::All => {
                let most = self.catch_up_max;
                (Fate::CatchUp, format!("what is missed at once gets {most} jobs at most"))
            }
        };
        Some(PassedFires { first: first.at, last: last.at, count, or_more, fate, reason })
    }

    /// Cuts a fire into parts that one call can carry. After each the trigger stands where that part ends.
    fn parts(&self, stored: &Stored, whole: FireSchedule) -> VecDeque<FireSchedule> {
        // All jobs of a fire are of one size.
        let job_bytes = whole.jobs.first().map_or(0, |job| job.payload_bytes());
        let jobs_max = BATCH_BYTES_MAX.checked_div(job_bytes).unwrap_or(PART_JOBS_MAX).clamp(1, PART_JOBS_MAX);
        let mut last = whole;
        let mut state = stored.state.clone();
        let mut parts = VecDeque::new();
        while last.jobs.len() > jobs_max {
            // They were found on this very way, so they are found on it again.
            let is_there = (0..jobs_max).all(|_| matches!(stored.trigger.next(&mut state), Ok(Some(_))));
            if !is_there {
                break;
            }
            let rest = last.jobs.split_off(jobs_max);
            let jobs = std::mem::replace(&mut last.jobs, rest);
            parts.push_back(FireSchedule {
                id: last.id.clone(),
                token: last.token,
                at: last.at,
                overlap: last.overlap,
                max_fires: last.max_fires,
                continues: last.continues,
                passed: None,
                trigger_state: state.to_json(),
                next_fire_time: last.jobs.first().and_then(|job| job.scheduled_fire_time),
                last_fire_time: jobs.last().and_then(|job| job.scheduled_fire_time),
                jobs,
                then: AfterFire::Keep { now: self.now, lease: self.lease },
            });
            last.continues = true;
        }
        parts.push_back(last);
        parts
    }

    /// A plan that makes no jobs: the schedule is paused with the reason, or put off.
    fn without_fires(&self, schedule: &Schedule, token: LeaseToken, error: &PlanError) -> Plan {
        let schedule_id = schedule.id.clone();
        let mut put_off = None;
        let (then, event) = match error {
            PlanError::Newer(reason) => {
                put_off = Some(reason.clone());
                let since = schedule.next_fire_time.unwrap_or(self.now);
                (AfterFire::PutOff { until: rules::put_off(self.now, since) }, None)
            }
            PlanError::Damaged(error) => {
                let message = super::chain(error);
                let pause = AfterFire::Pause(Pause::Failed(message.clone()));
                (pause, Some(EventKind::ScheduleDeserializationFailed { schedule_id, message }))
            }
            PlanError::Failed(error) => {
                let message = super::chain(error);
                let pause = AfterFire::Pause(Pause::Failed(message.clone()));
                (pause, Some(EventKind::ScheduleFailed { schedule_id, message }))
            }
        };
        let standing = standing(schedule);
        let parts = VecDeque::from([standing.fire(&schedule.id, token, self.now, then)]);
        Plan { parts, event, put_off, ..Plan::of(schedule) }
    }

    /// The job for one fire. Its deadline counts from the jittered time: jitter delays a job, it does not make it late.
    fn job(&mut self, schedule: &Schedule, settings: &Settings, fire: Fire, following: Option<Timestamp>) -> JobSpec {
        let jitter = self.jitter(schedule.max_jitter, fire.at, following);
        let due_at = fire.at.saturating_add(jitter);
        let settings = settings.resolve();
        let start_deadline = match settings.misfire_grace_time {
            GraceTime::Unlimited => None,
            GraceTime::Within(grace) => Some(due_at.saturating_add(grace)),
        };
        JobSpec {
            id: self.ids.next(self.now),
            task_id: schedule.task_id.clone(),
            schedule_id: Some(schedule.id.clone()),
            schedule_life: schedule.life,
            scheduled_fire_time: Some(fire.at),
            jitter,
            args: schedule.args.clone(),
            settings: settings.for_job(&schedule.args),
            due_at,
            start_deadline,
            created_at: self.now,
        }
    }

    /// A random delay up to `max`, that ends before the following fire.
    fn jitter(&mut self, max: Duration, fire: Timestamp, following: Option<Timestamp>) -> Duration {
        let room = following.map_or(max, |following| {
            following.saturating_since(fire).saturating_sub(Duration::from_micros(1)).min(max)
        });
        let room_micros = u64::try_from(room.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.u64(0..=room_micros))
    }
}

fn standing(schedule: &Schedule) -> Standing {
    Standing { trigger_state: schedule.trigger_state.clone(), next_fire_time: schedule.next_fire_time }
}

/// The task that the jobs inherit from. One that is damaged is as good as gone: the jobs are made, and say what is wrong.
fn task_of(leased: &LeasedSchedule) -> Result<Option<&Task>, PlanError> {
    match &leased.task {
        Ok(task) => Ok(task.as_ref()),
        Err(bad) if bad.defect.is_newer() => Err(PlanError::Newer(format!("task `{}`: {}", bad.id, bad.defect))),
        Err(_) => Ok(None),
    }
}

/// What was stored was valid for whoever stored it. Where it is still well formed, it was a newer version.
fn unreadable(text: &str, error: TriggerError) -> PlanError {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(_) => PlanError::Newer(super::chain(&error)),
        Err(_) => PlanError::Damaged(error),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
