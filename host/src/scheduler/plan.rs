//! What a due schedule leads to: which jobs, and where its trigger stands afterwards. Pure: the time and chance are arguments.

use std::time::Duration;

use crate::model::{
    Coalesce, EventKind, GraceTime, JobIdSource, JobSettings, JobSpec, LeaseToken, Pause, Schedule, Settings, Task,
    Timestamp,
};
use crate::store::FireSchedule;
use crate::trigger::{CatchUp, Fire, Keep, Skipped, Trigger, TriggerError, TriggerState};

/// What planning needs besides the schedule.
pub(super) struct Planner<'a> {
    pub(super) now: Timestamp,
    pub(super) ids: &'a mut JobIdSource,
    pub(super) random: &'a mut fastrand::Rng,
    /// Most jobs under [`Coalesce::All`].
    pub(super) catch_up_max: usize,
}

/// What a due schedule leads to.
#[derive(Debug)]
pub(super) struct Plan {
    /// What to store.
    pub(super) fire: FireSchedule,
    /// What to tell once that is stored.
    pub(super) event: EventKind,
    /// Fires that passed without a job.
    pub(super) skipped: Skipped,
}

/// Why a schedule cannot be planned.
enum PlanError {
    Unreadable(TriggerError),
    Failed(TriggerError),
}

impl Planner<'_> {
    /// Plans a schedule that is leased under `token`. A trigger that fails pauses its schedule, with the reason.
    pub(super) fn plan(&mut self, schedule: &Schedule, task: Option<&Task>, token: LeaseToken) -> Plan {
        match self.catch_up(schedule) {
            Ok(caught_up) => self.fires(schedule, task, token, caught_up),
            Err(error) => paused(schedule, token, &error),
        }
    }

    fn catch_up(&self, schedule: &Schedule) -> Result<CatchUp, PlanError> {
        let trigger = Trigger::from_json(&schedule.trigger, schedule.created_at).map_err(PlanError::Unreadable)?;
        let state = TriggerState::from_json(&schedule.trigger_state).map_err(PlanError::Unreadable)?;
        let keep = match schedule.coalesce {
            Coalesce::Latest => Keep::Latest,
            Coalesce::Earliest => Keep::Earliest,
            Coalesce::All => Keep::All { at_most: self.catch_up_max },
        };
        trigger.catch_up(&state, self.now, keep).map_err(PlanError::Failed)
    }

    fn fires(&mut self, schedule: &Schedule, task: Option<&Task>, token: LeaseToken, caught_up: CatchUp) -> Plan {
        let CatchUp { fires, skipped, state, next } = caught_up;
        let inherited = task.map(Task::layered).unwrap_or_default();
        let settings = schedule.settings.over(&inherited);
        let next_fire_time = next.map(|fire| fire.at);
        let jobs = fires
            .iter()
            .enumerate()
            .map(|(index, fire)| {
                let following = fires.get(index + 1).map(|fire| fire.at).or(next_fire_time);
                self.job(schedule, &settings, *fire, following)
            })
            .collect();
        let fire = FireSchedule {
            id: schedule.id.clone(),
            token,
            jobs,
            trigger_state: state.to_json(),
            next_fire_time,
            last_fire_time: fires.last().map(|fire| fire.at),
            pause: None,
        };
        let event = EventKind::ScheduleUpdated {
            schedule_id: schedule.id.clone(),
            task_id: schedule.task_id.clone(),
            next_fire_time,
        };
        Plan { fire, event, skipped }
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
            scheduled_fire_time: Some(fire.at),
            jitter,
            args: schedule.args.clone(),
            settings: JobSettings::from(settings),
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

fn paused(schedule: &Schedule, token: LeaseToken, error: &PlanError) -> Plan {
    let schedule_id = schedule.id.clone();
    let (message, event): (_, fn(_, _) -> _) = match error {
        PlanError::Unreadable(error) => (super::chain(error), |schedule_id, message| {
            EventKind::ScheduleDeserializationFailed { schedule_id, message }
        }),
        PlanError::Failed(error) => {
            (super::chain(error), |schedule_id, message| EventKind::ScheduleFailed { schedule_id, message })
        }
    };
    let fire = FireSchedule {
        id: schedule.id.clone(),
        token,
        jobs: Vec::new(),
        trigger_state: schedule.trigger_state.clone(),
        next_fire_time: schedule.next_fire_time,
        last_fire_time: None,
        pause: Some(Pause::Failed(message.clone())),
    };
    Plan { fire, event: event(schedule_id, message), skipped: Skipped::default() }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
