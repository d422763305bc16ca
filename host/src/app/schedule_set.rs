//! Changing a schedule in one respect.

use std::num::NonZeroU32;
use std::time::Duration;

use super::arguments::Callee;
use super::check::check_span;
use super::schedules::{coming_fires, passed_before, stored_trigger, updated};
use super::{App, AppError, AppResult, Arguments, SettingName};
use crate::model::{Coalesce, Fate, Metadata, Schedule, ScheduleId, Settings, Timestamp};
use crate::store::{PassedFires, SetSchedule, StoreError};
use crate::trigger::{Fire, TriggerEdit};

/// What is to be different about a schedule. What says nothing stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ScheduleChange {
    /// When it fires.
    pub trigger: TriggerEdit,
    /// Arguments: [`Arguments::Typed`] ones take the place of those of the same names, others that of all.
    pub args: Arguments,
    /// Which of several missed fire times become jobs.
    pub coalesce: Option<Coalesce>,
    /// How much later than its fire time a job may start.
    pub max_jitter: Option<Duration>,
    /// Settings, over those that it has. Metadata are put in by their keys.
    pub settings: Settings,
    /// Settings that it no longer says anything about.
    pub unset: Vec<SettingName>,
    /// Hand the arguments to the task as they are, without comparing them with its schema.
    pub unchecked: bool,
}

impl ScheduleChange {
    /// Whether nothing is to be different.
    pub fn is_empty(&self) -> bool {
        self.trigger.is_empty()
            && self.args == Arguments::Absent
            && self.coalesce.is_none()
            && self.max_jitter.is_none()
            && self.settings == Settings::default()
            && self.unset.is_empty()
    }
}

/// What changing a schedule did.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleChanged {
    /// As it was.
    pub before: Schedule,
    /// As it is.
    pub after: Schedule,
    /// The next fire times that it would have had, as many as [`FIRES_SHOWN`] or all.
    pub fires_before: Vec<Fire>,
    /// The next fire times that it has, likewise.
    pub fires_after: Vec<Fire>,
}

/// How many fire times tell what a change does.
pub const FIRES_SHOWN: usize = 5;

/// How often it is looked at again when the schedule changes under one's hands.
const TRIES: usize = 10;

impl App {
    /// Changes a schedule and keeps what nothing is said about. Fires and other changes at the same time are not lost: what is changed is what
    /// the schedule says at that moment, and a fire under way is made by the new content.
    ///
    /// Where the trigger becomes another, or another bound on its fires lets a finished schedule go on, it goes on with its first fire time
    /// from now on. Jobs that were made already stay as they are.
    ///
    /// # Errors
    /// [`AppError::NotFound`]; [`AppError::Invalid`] for what is not acceptable, as for a new schedule; [`AppError::Refused`] where the trigger
    /// would have no fire time from now on, or the schedule changed again and again meanwhile.
    pub async fn schedule_set(&self, id: &ScheduleId, change: &ScheduleChange) -> AppResult<ScheduleChanged> {
        self.check_job_settings(&change.settings)?;
        change.max_jitter.map_or(Ok(()), |jitter| check_span("max_jitter", jitter))?;
        let mut tries = 0;
        loop {
            let before = self.schedule_get(id).await?;
            let now = self.now().await?;
            let (after, passed) = self.changed(&before, change, now).await?;
            let fires_before = coming_fires(&before, FIRES_SHOWN)?.fires;
            let fires_after = coming_fires(&after, FIRES_SHOWN)?.fires;
            tries += 1;
            if after != before {
                let request = SetSchedule { expected: before.clone(), schedule: after.clone(), at: now, passed };
                match self.store.schedule_set(request).await {
                    Ok(()) => self.publish(vec![updated(&after)]).await,
                    Err(StoreError::Conflict { .. }) if tries < TRIES => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            return Ok(ScheduleChanged { before, after, fires_before, fires_after });
        }
    }

    /// The schedule as it is to be, and what was due by its old rule and is passed over.
    async fn changed(
        &self,
        before: &Schedule,
        change: &ScheduleChange,
        now: Timestamp,
    ) -> AppResult<(Schedule, Option<PassedFires>)> {
        let mut after = before.clone();
        if change.args != Arguments::Absent {
            let task = self.task_resolve(before.task_id.as_str()).await?.task;
            let callee = Callee::of(&task, change.unchecked);
            after.args = change.args.payload_over(&before.args, callee, &self.caps)?;
        }
        after.coalesce = change.coalesce.unwrap_or(before.coalesce);
        after.max_jitter = change.max_jitter.unwrap_or(before.max_jitter);
        change.unset.iter().for_each(|name| name.unset(&mut after.settings));
        let mut settings = change.settings.clone();
        self.check_hooks(&mut settings.hooks, &before.task_id).await?;
        after.settings = settings.over(&after.settings);
        if change.settings.metadata != Metadata::default() {
            self.check_job_settings(&after.settings)?;
        }
        if let Some(max) = change.settings.max_fires.filter(|max| before.fire_count >= u64::from(max.get())) {
            let what =
                format!("schedule `{}` has made {} jobs already, and max_fires is {max}", before.id, before.fire_count);
            return Err(AppError::invalid(what).with_hint("give it a larger number, or remove the schedule"));
        }
        if before.next_fire_time.is_none() && bounds(before) != bounds(&after) {
            go_on(&mut after, now)?;
        }
        let passed = if change.trigger.is_empty() { None } else { self.move_trigger(before, &mut after, change, now)? };
        Ok((after, passed))
    }

    fn move_trigger(
        &self,
        before: &Schedule,
        after: &mut Schedule,
        change: &ScheduleChange,
        now: Timestamp,
    ) -> AppResult<Option<PassedFires>> {
        let (old, old_state) = stored_trigger(before)?;
        let new = old.edited(&change.trigger, now)?;
        if new == old {
            return Ok(None);
        }
        let mut state = new.initial_state();
        let after_last = before.last_fire_time.map(|last| last.saturating_add(Duration::from_micros(1)));
        let from = after_last.map_or(now, |after_last| after_last.max(now));
        let passed = passed_before(&old, &old_state, from, Fate::Changed, "its rule was changed".to_owned())?;
        new.skip_to(&mut state, from)?;
        let Some(next) = new.peek(&state)? else {
            new.first_fire()?;
            return Err(AppError::refused(format!("schedule `{}` would have no fire time from now on", before.id))
                .with_hint("give it times to come, or remove it"));
        };
        after.trigger = new.to_json();
        after.trigger_state = state.to_json();
        after.next_fire_time = Some(next.at);
        Ok(passed)
    }
}

/// What finishes a schedule before its trigger does.
fn bounds(schedule: &Schedule) -> (Option<bool>, Option<NonZeroU32>) {
    (schedule.settings.until_success, schedule.settings.max_fires)
}

/// Lets a schedule that was finished by such a bound fire again, from `now` on, if its trigger has more fire times.
fn go_on(schedule: &mut Schedule, now: Timestamp) -> AppResult<()> {
    let (trigger, mut state) = stored_trigger(schedule)?;
    trigger.skip_to(&mut state, now)?;
    schedule.next_fire_time = trigger.peek(&state)?.map(|next| next.at);
    schedule.trigger_state = state.to_json();
    Ok(())
}
