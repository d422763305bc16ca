//! Schedules: add, list, pause, unpause, remove, preview.

use std::time::Duration;

use super::arguments::Callee;
use super::check::{check_new_id, check_span};
use super::error::candidates;
use super::jobs::job_settings;
use super::{App, AppError, AppResult, Arguments};
use crate::model::limits::PAGE_ROWS_MAX;
use crate::model::{
    Coalesce, ConflictPolicy, EventKind, Fate, JobId, JobSpec, Pause, Schedule, ScheduleId, Settings, TaskId, Timestamp,
};
use crate::store::{
    AddSchedule, PassedFires, PauseSchedule, RemovedSchedule, ResumeFrom, ScheduleAdded, ScheduleFilter, StoreError,
    UnpauseSchedule, Unreadable,
};
use crate::trigger::{Fire, Keep, Skipped, Trigger, TriggerError, TriggerState};

/// A schedule that is to be added.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// Its id; `None`: one is made from the task's name.
    pub id: Option<ScheduleId>,
    /// The task, by id or bare name.
    pub task: String,
    /// When it fires.
    pub trigger: Trigger,
    /// The arguments of its jobs.
    pub args: Arguments,
    /// Which of several missed fire times become jobs.
    pub coalesce: Coalesce,
    /// How much later than its fire time a job may start, drawn at random.
    pub max_jitter: Duration,
    /// Its own settings, over its task's.
    pub settings: Settings,
    /// Whether it is to rest until it is unpaused.
    pub paused: bool,
    /// What to do where its id is taken.
    pub conflict: ConflictPolicy,
    /// Hand the arguments to the task as they are, without comparing them with its schema.
    pub unchecked: bool,
}

impl NewSchedule {
    /// A schedule of that task without arguments, with the task's settings, under a generated id.
    pub fn new(task: impl Into<String>, trigger: Trigger) -> NewSchedule {
        NewSchedule {
            id: None,
            task: task.into(),
            trigger,
            args: Arguments::Absent,
            coalesce: Coalesce::default(),
            max_jitter: Duration::ZERO,
            settings: Settings::default(),
            paused: false,
            conflict: ConflictPolicy::default(),
            unchecked: false,
        }
    }
}

/// What adding a schedule did.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleCreated {
    /// The schedule that stands under the id now.
    pub schedule: Schedule,
    /// Whether that is the new one.
    pub added: ScheduleAdded,
    /// The one in whose place it was put, as it was shortly before.
    pub replaced: Option<Schedule>,
}

/// A schedule that was looked at and can be added. See [`App::schedule_check`].
#[derive(Debug, Clone)]
pub struct CheckedSchedule(AddSchedule);

impl CheckedSchedule {
    /// The schedule as it is to be.
    pub fn schedule(&self) -> &Schedule {
        &self.0.schedule
    }
}

/// Where a schedule goes on after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeAt {
    /// With the first fire time from now on.
    Now,
    /// With the first fire time from this time on.
    Time(Timestamp),
}

/// The coming fire times of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulePreview {
    /// The times, the first one being the schedule's next.
    pub fires: Vec<Fire>,
    /// Whether there are no more than these, although more were asked for.
    pub is_exhausted: bool,
}

/// How often [`App::schedule_unpause`] looks again when the schedule changes under its hands.
const UNPAUSE_TRIES: usize = 5;

impl App {
    /// Adds a schedule.
    ///
    /// # Errors
    /// [`AppError::NotFound`] for the task and for the version it is pinned to; [`AppError::Invalid`] for a trigger that never fires, for settings that are not acceptable, and for
    /// arguments that do not fit the task's schema, with the path of each fault; [`AppError::Refused`] where the id is taken and the policy is
    /// to refuse.
    pub async fn schedule_add(&self, new: NewSchedule) -> AppResult<ScheduleCreated> {
        let checked = self.schedule_check(new).await?;
        let before = self.replaced_by(&checked.0).await;
        let added = match self.store.schedule_add(checked.0.clone()).await {
            Err(error @ StoreError::AlreadyExists(_)) => return Err(id_is_taken(error)),
            added => added?,
        };
        self.schedule_created(checked.0.schedule, added, before).await
    }

    /// Everything about a new schedule that can be looked at before it is added; whether its ID is free is not among it.
    ///
    /// # Errors
    /// As [`App::schedule_add`].
    pub async fn schedule_check(&self, mut new: NewSchedule) -> AppResult<CheckedSchedule> {
        self.check_job_settings(&new.settings)?;
        check_span("max_jitter", new.max_jitter)?;
        if let Some(id) = &new.id {
            check_new_id("schedule id", id.as_str())?;
        }
        let first = new.trigger.first_fire()?;
        let task = self.task_resolve(&new.task).await?.task;
        let task = self.task_pinned(task, new.settings.version).await?;
        self.check_hooks(&mut new.settings.hooks, &task.id).await?;
        let args = new.args.payload(Callee::of(&task, new.unchecked), &self.caps)?;
        let task_id = task.id;
        let id = match new.id {
            Some(id) => id,
            None => self.generated_id(&task_id)?,
        };
        let schedule = Schedule {
            id,
            life: self.new_life(),
            task_id,
            trigger: new.trigger.to_json(),
            trigger_state: new.trigger.initial_state().to_json(),
            args,
            coalesce: new.coalesce,
            max_jitter: new.max_jitter,
            settings: new.settings,
            pause: new.paused.then_some(Pause::Asked),
            next_fire_time: Some(first.at),
            last_fire_time: None,
            overruns_since: None,
            fire_count: 0,
            failures: 0,
            created_at: self.now().await?,
        };
        Ok(CheckedSchedule(AddSchedule { schedule, conflict: new.conflict }))
    }

    /// Adds schedules, all of them or none.
    ///
    /// # Errors
    /// [`AppError::Refused`] for the first one whose ID is taken where the policy is to refuse.
    pub async fn schedules_add(&self, checked: Vec<CheckedSchedule>) -> AppResult<Vec<ScheduleCreated>> {
        let mut before = Vec::with_capacity(checked.len());
        for CheckedSchedule(request) in &checked {
            before.push(self.replaced_by(request).await);
        }
        let requests = checked.iter().map(|checked| checked.0.clone()).collect();
        let added = match self.store.schedule_add_all(requests).await {
            Err(error @ StoreError::AlreadyExists(_)) => return Err(id_is_taken(error)),
            added => added?,
        };
        let mut created = Vec::with_capacity(added.len());
        for ((checked, added), before) in checked.into_iter().zip(added).zip(before) {
            created.push(self.schedule_created(checked.0.schedule, added, before).await?);
        }
        Ok(created)
    }

    /// Whether there is a schedule of that ID, whether it can be read or not.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn schedule_exists(&self, id: &ScheduleId) -> AppResult<bool> {
        match self.store.schedule_get(id).await {
            Ok(found) => Ok(found.is_some()),
            Err(StoreError::Unreadable { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// The schedule in whose place another one is to be put.
    async fn replaced_by(&self, request: &AddSchedule) -> Option<Schedule> {
        match request.conflict {
            // One that cannot be read is replaced all the same.
            ConflictPolicy::Replace => self.store.schedule_get(&request.schedule.id).await.ok().flatten(),
            ConflictPolicy::Error | ConflictPolicy::Skip => None,
        }
    }

    /// Tells everybody what adding a schedule has done.
    async fn schedule_created(
        &self,
        schedule: Schedule,
        added: ScheduleAdded,
        before: Option<Schedule>,
    ) -> AppResult<ScheduleCreated> {
        let (schedule_id, task_id) = (schedule.id.clone(), schedule.task_id.clone());
        let next_fire_time = schedule.next_fire_time;
        match added {
            ScheduleAdded::Added => {
                self.publish(vec![EventKind::ScheduleAdded { schedule_id, task_id, next_fire_time }]).await;
                Ok(ScheduleCreated { schedule, added, replaced: None })
            }
            ScheduleAdded::Replaced => {
                self.publish(vec![EventKind::ScheduleUpdated { schedule_id, task_id, next_fire_time }]).await;
                Ok(ScheduleCreated { schedule, added, replaced: before })
            }
            // The old one may have gone in the meantime; the answer is then what would have stood there.
            ScheduleAdded::Skipped => {
                let kept = self.store.schedule_get(&schedule_id).await?;
                Ok(ScheduleCreated { schedule: kept.unwrap_or(schedule), added, replaced: None })
            }
        }
    }

    /// The schedule of that id.
    ///
    /// # Errors
    /// [`AppError::NotFound`] lists some schedules there are.
    pub async fn schedule_get(&self, id: &ScheduleId) -> AppResult<Schedule> {
        match self.store.schedule_get(id).await? {
            Some(schedule) => Ok(schedule),
            None => Err(self.unknown_schedule(id).await?),
        }
    }

    /// Schedules by id, at most `limit`, and those that cannot be read. `filter.limit` is this method's business.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn schedule_list(
        &self,
        mut filter: ScheduleFilter,
        limit: usize,
    ) -> AppResult<(Vec<Schedule>, Vec<Unreadable>)> {
        let (mut schedules, mut unreadable) = (Vec::new(), Vec::new());
        while schedules.len() < limit {
            filter.limit = (limit - schedules.len()).min(PAGE_ROWS_MAX);
            let page = self.store.schedule_list(filter.clone()).await?;
            schedules.extend(page.rows);
            unreadable.extend(page.unreadable);
            match page.next {
                Some(next) => filter.after = Some(next),
                None => break,
            }
        }
        Ok((schedules, unreadable))
    }

    /// All schedules that pass `filter`.
    pub(super) async fn schedule_list_all(
        &self,
        filter: ScheduleFilter,
    ) -> AppResult<(Vec<Schedule>, Vec<Unreadable>)> {
        self.schedule_list(filter, usize::MAX).await
    }

    /// Lets a schedule rest.
    ///
    /// # Errors
    /// As [`App::schedule_get`].
    pub async fn schedule_pause(&self, id: &ScheduleId) -> AppResult<Schedule> {
        match self.store.schedule_pause(PauseSchedule { id: id.clone(), reason: Pause::Asked }).await {
            Ok(schedule) => {
                self.publish(vec![updated(&schedule)]).await;
                Ok(schedule)
            }
            Err(StoreError::NotFound(_)) => Err(self.unknown_schedule(id).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// Wakes a schedule that rests, and forgets how many of its jobs have failed. With `resume`, the fire times before that time are passed over; without, those that were missed count
    /// as missed, and coalesce.
    ///
    /// # Errors
    /// As [`App::schedule_get`]; [`AppError::Refused`] where the trigger has no fire time from there on, or the schedule changed again and
    /// again meanwhile.
    pub async fn schedule_unpause(&self, id: &ScheduleId, resume: Option<ResumeAt>) -> AppResult<Schedule> {
        let mut tries = 0;
        loop {
            let resume = match resume {
                None => None,
                Some(at) => Some(self.resume_from(&self.schedule_get(id).await?, at).await?),
            };
            tries += 1;
            match self.store.schedule_unpause(UnpauseSchedule { id: id.clone(), resume }).await {
                Ok(schedule) => {
                    self.publish(vec![updated(&schedule)]).await;
                    return Ok(schedule);
                }
                Err(StoreError::NotFound(_)) => return Err(self.unknown_schedule(id).await?),
                Err(StoreError::Conflict { .. }) if tries < UNPAUSE_TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes a schedule, whether it can be read or not. Its jobs stay.
    ///
    /// # Errors
    /// As [`App::schedule_get`].
    pub async fn schedule_remove(&self, id: &ScheduleId) -> AppResult<RemovedSchedule> {
        let Some(removed) = self.store.schedule_remove(id).await? else {
            return Err(self.unknown_schedule(id).await?);
        };
        if let Some(task_id) = removed.task_id.clone() {
            let schedule_id = id.clone();
            self.publish(vec![EventKind::ScheduleRemoved { schedule_id, task_id, finished: false }]).await;
        }
        Ok(removed)
    }

    /// Queues a job of a schedule now, whether that is paused or not: with its task, arguments and settings, but for no fire time, so that it
    /// takes the place of none. Answers the job.
    ///
    /// # Errors
    /// As [`App::schedule_get`]; [`AppError::NotFound`] where its task is gone.
    pub async fn schedule_run(&self, id: &ScheduleId) -> AppResult<JobId> {
        let schedule = self.schedule_get(id).await?;
        let task = self.task_resolve(schedule.task_id.as_str()).await?.task;
        let settings = job_settings(&schedule.settings.over(&task.layered()), &schedule.args);
        let now = self.now().await?;
        let job = JobSpec {
            schedule_id: Some(schedule.id.clone()),
            schedule_life: schedule.life,
            ..JobSpec::direct(self.next_job_id(), task.id.clone(), schedule.args, settings, now)
        };
        let job_id = job.id;
        self.store.job_add(vec![job]).await?;
        self.publish(vec![EventKind::JobAdded { job_id, task_id: task.id, schedule_id: Some(schedule.id) }]).await;
        Ok(job_id)
    }

    /// The next `count` fire times of a schedule, as if it were not paused.
    ///
    /// # Errors
    /// As [`App::schedule_get`]; [`AppError::Unexpected`] where what is stored of the trigger cannot be used.
    pub async fn schedule_preview(&self, id: &ScheduleId, count: usize) -> AppResult<SchedulePreview> {
        let schedule = self.schedule_get(id).await?;
        coming_fires(&schedule, count)
    }

    async fn resume_from(&self, schedule: &Schedule, at: ResumeAt) -> AppResult<ResumeFrom> {
        let time = match at {
            ResumeAt::Now => self.now().await?,
            ResumeAt::Time(time) => time,
        };
        let (trigger, mut state) = stored_trigger(schedule)?;
        let reason = match &schedule.pause {
            Some(Pause::Failed(why)) => format!("paused, because {why}; unpaused to go on from {time}"),
            Some(Pause::Asked) | None => format!("unpaused to go on from {time}"),
        };
        let passed = passed_before(&trigger, &state, time, Fate::Paused, reason)?;
        trigger.skip_to(&mut state, time)?;
        let Some(next) = trigger.peek(&state)? else {
            return Err(AppError::refused(format!("schedule `{}` has no fire time from {time} on", schedule.id))
                .with_hint("unpause it without --resume-from, or remove it"));
        };
        Ok(ResumeFrom {
            expected_next_fire_time: schedule.next_fire_time,
            trigger_state: state.to_json(),
            next_fire_time: Some(next.at),
            at: self.now().await?,
            passed,
        })
    }

    /// An ID for a new schedule of a task, for those who have to know it before the schedule is made.
    ///
    /// # Errors
    /// [`AppError::NotFound`] for the task.
    pub async fn schedule_new_id(&self, task: &str) -> AppResult<ScheduleId> {
        self.generated_id(&self.task_resolve(task).await?.task.id)
    }

    fn generated_id(&self, task_id: &TaskId) -> AppResult<ScheduleId> {
        // Task ids may be as long as schedule ids; the suffix must fit behind them.
        let stem: String = task_id.as_str().chars().take(80).collect();
        let id = format!("{}-{}", stem.trim_end(), self.random_suffix());
        ScheduleId::new(&id).map_err(|error| AppError::unexpected("no schedule id was made", error))
    }

    pub(super) async fn unknown_schedule(&self, id: &ScheduleId) -> AppResult<AppError> {
        let (known, _) = self.schedule_list(ScheduleFilter::default(), PAGE_ROWS_MAX).await?;
        let error = AppError::not_found("schedule", id);
        Ok(if known.is_empty() {
            error.with_hint("there are no schedules; `host schedule TASK --interval 30s` adds one")
        } else {
            let ids = known.iter().map(|schedule| schedule.id.as_str());
            error.with_hint(format!("schedules: {}", candidates(id.as_str(), ids)))
        })
    }
}

fn id_is_taken(error: StoreError) -> AppError {
    AppError::from(error)
        .with_hint("`--conflict replace` puts the new one in its place, `--conflict skip` keeps the old one")
}

/// The next `count` fire times of a schedule, as if it were not paused and each made a job.
pub(super) fn coming_fires(schedule: &Schedule, count: usize) -> AppResult<SchedulePreview> {
    let (trigger, mut state) = stored_trigger(schedule)?;
    let left = match (schedule.next_fire_time, schedule.settings.max_fires) {
        (None, _) => 0,
        (Some(_), None) => u64::MAX,
        (Some(_), Some(max)) => u64::from(max.get()).saturating_sub(schedule.fire_count),
    };
    let mut fires = Vec::new();
    while fires.len() < count {
        let next = if fires.len() as u64 == left { None } else { trigger.next(&mut state)? };
        match next {
            Some(fire) => fires.push(fire),
            None => return Ok(SchedulePreview { fires, is_exhausted: true }),
        }
    }
    Ok(SchedulePreview { fires, is_exhausted: false })
}

/// The trigger of a stored schedule and where it stands.
pub(super) fn stored_trigger(schedule: &Schedule) -> AppResult<(Trigger, TriggerState)> {
    let unreadable = |error| AppError::unexpected(format!("stored schedule `{}` is unreadable", schedule.id), error);
    let trigger = Trigger::from_json(&schedule.trigger, schedule.created_at).map_err(unreadable)?;
    let state = TriggerState::from_json(&schedule.trigger_state).map_err(unreadable)?;
    Ok((trigger, state))
}

/// What the trigger has to fire before that time.
pub(super) fn passed_before(
    trigger: &Trigger,
    state: &TriggerState,
    time: Timestamp,
    fate: Fate,
    reason: String,
) -> AppResult<Option<PassedFires>> {
    let before = time.saturating_sub(Duration::from_micros(1));
    let due = trigger.catch_up(state, before, Keep::All { at_most: 0 })?;
    let Skipped { count, or_more } = due.skipped;
    Ok(due.skipped_between.map(|(first, last)| PassedFires {
        first: first.at,
        last: last.at,
        count,
        or_more,
        fate,
        reason,
    }))
}

pub(super) fn updated(schedule: &Schedule) -> EventKind {
    EventKind::ScheduleUpdated {
        schedule_id: schedule.id.clone(),
        task_id: schedule.task_id.clone(),
        next_fire_time: schedule.next_fire_time,
    }
}

impl From<TriggerError> for AppError {
    fn from(error: TriggerError) -> AppError {
        match &error {
            TriggerError::State { .. } => AppError::unexpected("a stored trigger cannot be used", error),
            _ => AppError::invalid(error.to_string()),
        }
    }
}
