//! Schedules in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::history::History;
use super::{MemoryStore, Now, State};
use crate::ends::{self, JobEnd, Standing};
use crate::ledger::{self, ReadHistory, TrimHistory};
use crate::model::{ConflictPolicy, FireLine, Lease, Pause, Schedule, ScheduleId, SchedulerId, Timestamp};
use crate::{
    AcquireSchedules, AcquiredSchedules, AddSchedule, AfterFire, EndedSchedule, FireSchedule, Fired, LeasedSchedule,
    Page, PauseSchedule, RemovedSchedule, ScheduleAdded, ScheduleCounts, ScheduleFilter, ScheduleQueue, ScheduleStop,
    SetSchedule, StoppedSchedule, StoreError, Subject, UnpauseSchedule, rules,
};

/// A schedule and the claim on it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) schedule: Schedule,
    pub(super) lease: Option<Lease>,
    /// Nobody looks at it earlier, although it is due: when the lease is over, by the time by which schedules are due, or else until when
    /// it is put off.
    pub(super) put_off_until: Option<Timestamp>,
    pub(super) history: History,
}

impl Entry {
    /// One that nobody claims.
    fn new(schedule: Schedule, history: History) -> Entry {
        Entry { schedule, lease: None, put_off_until: None, history }
    }

    /// When somebody is to look at it; `None` where nobody needs to.
    fn run_at(&self) -> Option<Timestamp> {
        let next = self.schedule.next_fire_time.filter(|_| self.schedule.pause.is_none())?;
        Some(self.put_off_until.map_or(next, |until| until.max(next)))
    }
}

#[derive(Debug, Default)]
pub(super) struct Schedules {
    rows: BTreeMap<ScheduleId, Entry>,
    /// By [`Entry::run_at`], so that acquiring costs nothing for what is not due.
    due: BTreeSet<(Timestamp, ScheduleId)>,
    /// Those that somebody claims.
    leased: BTreeSet<ScheduleId>,
}

impl Schedules {
    /// Changes a schedule and keeps the index. Every change goes through here.
    pub(super) fn change<R>(&mut self, id: &ScheduleId, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let entry = self.rows.get_mut(id)?;
        if let Some(at) = entry.run_at() {
            self.due.remove(&(at, id.clone()));
        }
        let changed = change(entry);
        if let Some(at) = entry.run_at() {
            self.due.insert((at, id.clone()));
        }
        if entry.lease.is_some() {
            self.leased.insert(id.clone());
        } else {
            self.leased.remove(id);
        }
        Some(changed)
    }

    pub(super) fn add(&mut self, request: AddSchedule) -> Result<ScheduleAdded, StoreError> {
        let AddSchedule { schedule, conflict } = request;
        let id = schedule.id.clone();
        if !self.rows.contains_key(&id) {
            // The index gets its entry from `change`, which sees it as a change of nothing.
            let resting = Schedule { next_fire_time: None, ..schedule.clone() };
            self.rows.insert(id.clone(), Entry::new(resting, History::default()));
            self.change(&id, |entry| entry.schedule = schedule);
            return Ok(ScheduleAdded::Added);
        }
        match conflict {
            ConflictPolicy::Error => Err(StoreError::AlreadyExists(Subject::Schedule(id))),
            ConflictPolicy::Skip => Ok(ScheduleAdded::Skipped),
            ConflictPolicy::Replace => {
                let at = schedule.created_at;
                self.change(&id, |entry| {
                    let Schedule { created_at, last_fire_time, .. } = entry.schedule;
                    let schedule = Schedule { created_at, last_fire_time, ..schedule };
                    if let Some(next) = entry.schedule.next_fire_time.filter(|next| *next <= at) {
                        entry.history.write([ledger::replaced_line(next, at)]);
                    }
                    *entry = Entry::new(schedule, std::mem::take(&mut entry.history));
                });
                Ok(ScheduleAdded::Replaced)
            }
        }
    }

    fn add_all(&mut self, requests: Vec<AddSchedule>) -> Result<Vec<ScheduleAdded>, StoreError> {
        let mut ids = BTreeSet::new();
        for AddSchedule { schedule, conflict } in &requests {
            let is_taken = !ids.insert(&schedule.id) || self.rows.contains_key(&schedule.id);
            if is_taken && *conflict == ConflictPolicy::Error {
                return Err(StoreError::AlreadyExists(Subject::Schedule(schedule.id.clone())));
            }
        }
        requests.into_iter().map(|request| self.add(request)).collect()
    }

    pub(super) fn entry(&self, id: &ScheduleId) -> Option<&Entry> {
        self.rows.get(id)
    }

    /// A page of the lines of a schedule, the latest first.
    fn history(&self, request: &ReadHistory) -> Page<FireLine> {
        let none = History::default();
        self.rows.get(&request.id).map_or(&none, |entry| &entry.history).page(request)
    }

    /// Removes lines of some schedules, and answers after which one to go on.
    pub(super) fn trim(&mut self, request: &TrimHistory) -> Option<String> {
        let after = request.after.as_deref().unwrap_or_default();
        let mut trimmed = 0;
        for (id, entry) in self.rows.iter_mut().filter(|(id, _)| id.as_str() > after) {
            trimmed += usize::from(entry.history.trim(request));
            if trimmed >= request.limit {
                return Some(id.to_string());
            }
        }
        None
    }

    pub(super) fn get(&self, id: &ScheduleId) -> Option<&Schedule> {
        self.rows.get(id).map(|entry| &entry.schedule)
    }

    /// All of them, by id.
    pub(super) fn all(&self) -> impl Iterator<Item = &Schedule> {
        self.rows.values().map(|entry| &entry.schedule)
    }

    pub(super) fn remove(&mut self, id: &ScheduleId) -> Option<Schedule> {
        let entry = self.rows.remove(id)?;
        if let Some(at) = entry.run_at() {
            self.due.remove(&(at, id.clone()));
        }
        self.leased.remove(id);
        Some(entry.schedule)
    }

    /// Those whose lease is as asked.
    fn leased(&self, wanted: impl Fn(&Lease) -> bool) -> Vec<&Entry> {
        let entries = self.leased.iter().filter_map(|id| self.rows.get(id));
        entries.filter(|entry| entry.lease.as_ref().is_some_and(&wanted)).collect()
    }

    /// Frees the schedules whose leases were over at that time or belong to `holder`, and counts them.
    pub(super) fn recover(&mut self, over_at: Timestamp, holder: Option<&SchedulerId>) -> u64 {
        let taken = |lease: &Lease| lease.expires_at <= over_at || Some(&lease.holder) == holder;
        let dead: Vec<ScheduleId> = self.leased(taken).into_iter().map(|entry| entry.schedule.id.clone()).collect();
        for id in &dead {
            self.change(id, |entry| (entry.lease, entry.put_off_until) = (None, None));
        }
        dead.len() as u64
    }

    /// Removes up to `limit` schedules that are over, and says whether there are more.
    pub(super) fn cleanup(
        &mut self,
        limit: usize,
        has_jobs: impl Fn(&ScheduleId) -> bool,
    ) -> (Vec<EndedSchedule>, bool) {
        let over = |entry: &&Entry| {
            let schedule = &entry.schedule;
            let at_rest = schedule.next_fire_time.is_none() && schedule.pause.is_none() && entry.lease.is_none();
            at_rest && !has_jobs(&schedule.id)
        };
        let over: Vec<&Entry> = self.rows.values().filter(over).take(limit).collect();
        let (found, together) = (over.len(), rules::removed_together(over.iter().map(|entry| entry.history.count)));
        let over = over.into_iter().take(together).map(|entry| &entry.schedule);
        let over: Vec<EndedSchedule> =
            over.map(|row| EndedSchedule { id: row.id.clone(), task_id: row.task_id.clone() }).collect();
        for schedule in &over {
            self.rows.remove(&schedule.id);
        }
        let has_more = found == limit || over.len() < found;
        (over, has_more)
    }
}

fn not_found(id: &ScheduleId) -> StoreError {
    StoreError::NotFound(Subject::Schedule(id.clone()))
}

impl State {
    /// Tells a schedule of the end of one of its jobs at `now`. Answers whether that stops it.
    pub(super) fn end_for_schedule(&mut self, end: &JobEnd<'_>, now: Timestamp) -> Option<StoppedSchedule> {
        let stopped = self.schedules.change(&end.schedule.id, |entry| {
            let Entry { schedule, history, .. } = entry;
            let mut standing = Standing {
                life: schedule.life,
                settings: schedule.settings.clone(),
                failures: schedule.failures,
                is_paused: schedule.pause.is_some(),
                next_fire_time: schedule.next_fire_time,
            };
            let stop = standing.end(end);
            schedule.failures = standing.failures;
            match stop.as_ref()? {
                ScheduleStop::Paused(reason) => schedule.pause = Some(Pause::Failed(reason.clone())),
                ScheduleStop::Finished => {
                    let due = schedule.next_fire_time.take().filter(|next| *next <= now);
                    history.write(due.map(|next| ends::finished_line(next, now, end.id)));
                }
            }
            let stopped = StoppedSchedule { id: schedule.id.clone(), task_id: schedule.task_id.clone(), stop: stop? };
            (entry.lease, entry.put_off_until) = (None, None);
            Some(stopped)
        });
        stopped.flatten()
    }

    fn leased(&self, id: &ScheduleId) -> Option<LeasedSchedule> {
        let schedule = self.schedules.rows.get(id)?.schedule.clone();
        let task = Ok(self.catalog.tasks.get(&schedule.task_id).cloned());
        Some(LeasedSchedule { schedule, task })
    }
}

#[async_trait]
impl ScheduleQueue for MemoryStore {
    async fn schedule_add(&self, request: AddSchedule) -> Result<ScheduleAdded, StoreError> {
        self.with(|state| state.schedules.add(request))
    }

    async fn schedule_add_all(&self, requests: Vec<AddSchedule>) -> Result<Vec<ScheduleAdded>, StoreError> {
        self.with(|state| state.schedules.add_all(requests))
    }

    async fn schedule_get(&self, id: &ScheduleId) -> Result<Option<Schedule>, StoreError> {
        self.with(|state| Ok(state.schedules.rows.get(id).map(|entry| entry.schedule.clone())))
    }

    async fn schedule_list(&self, filter: ScheduleFilter) -> Result<Page<Schedule>, StoreError> {
        self.with(|state| {
            let limit = rules::page_limit(filter.limit);
            let rows = state.schedules.rows.values().map(|entry| &entry.schedule);
            let rows = rows.filter(|row| filter.after.as_ref().is_none_or(|after| row.id.as_str() > after.as_str()));
            let rows = rows.filter(|row| filter.task_id.as_ref().is_none_or(|task| row.task_id == *task));
            let rows = rows.take(limit + 1).map(|row| Ok(row.clone())).collect();
            Ok(rules::page(rows, limit, |row: &Schedule| row.id.to_string()))
        })
    }

    async fn schedule_remove(&self, id: &ScheduleId) -> Result<Option<RemovedSchedule>, StoreError> {
        self.with(|state| {
            let removed = state.schedules.remove(id);
            Ok(removed.map(|it| RemovedSchedule { task_id: Some(it.task_id.clone()), schedule: Ok(it) }))
        })
    }

    async fn schedule_pause(&self, request: PauseSchedule) -> Result<Schedule, StoreError> {
        self.with(|state| {
            let paused = state.schedules.change(&request.id, |entry| {
                (entry.lease, entry.put_off_until) = (None, None);
                entry.schedule.pause.get_or_insert(request.reason);
                entry.schedule.clone()
            });
            paused.ok_or_else(|| not_found(&request.id))
        })
    }

    async fn schedule_unpause(&self, request: UnpauseSchedule) -> Result<Schedule, StoreError> {
        self.with(|state| {
            let Some(entry) = state.schedules.rows.get(&request.id) else {
                return Err(not_found(&request.id));
            };
            let next = entry.schedule.next_fire_time;
            if request.resume.as_ref().is_some_and(|resume| resume.expected_next_fire_time != next) {
                return Err(rules::schedule_changed(&request.id, next));
            }
            let unpaused = state.schedules.change(&request.id, |entry| {
                if entry.schedule.pause.take().is_some() || request.resume.is_some() {
                    entry.schedule.failures = 0;
                }
                if let Some(resume) = request.resume {
                    (entry.lease, entry.put_off_until) = (None, None);
                    entry.schedule.trigger_state = resume.trigger_state;
                    entry.schedule.next_fire_time = resume.next_fire_time;
                    entry.history.write(resume.passed.map(|passed| passed.line(resume.at)));
                }
                entry.schedule.clone()
            });
            unpaused.ok_or_else(|| not_found(&request.id))
        })
    }

    async fn schedule_set(&self, request: SetSchedule) -> Result<(), StoreError> {
        let SetSchedule { expected, schedule, at, passed } = request;
        self.with(|state| {
            let there = state.schedules.get(&expected.id).ok_or_else(|| not_found(&expected.id))?;
            if *there != expected {
                return Err(rules::schedule_changed(&expected.id, there.next_fire_time));
            }
            state.schedules.change(&expected.id, |there| {
                there.history.write(passed.map(|passed| passed.line(at)));
                *there = Entry::new(schedule, std::mem::take(&mut there.history));
            });
            Ok(())
        })
    }

    async fn schedule_acquire(&self, request: AcquireSchedules) -> Result<AcquiredSchedules, StoreError> {
        let now = self.time(request.now);
        self.with(|state| {
            let mut held = state.schedules.leased(|lease| lease.token == request.token);
            held.sort_by_key(|entry| entry.schedule.next_fire_time);
            let mut ids: Vec<ScheduleId> = held.into_iter().map(|entry| entry.schedule.id.clone()).collect();
            if ids.is_empty() {
                ids = state.lease_due(&request, now);
            }
            let schedules = ids.iter().filter_map(|id| state.leased(id)).collect();
            Ok(AcquiredSchedules { now: now.due, schedules, unreadable: Vec::new() })
        })
    }

    async fn schedule_fire(&self, fires: Vec<FireSchedule>) -> Result<Vec<Fired>, StoreError> {
        let now = |fire: &FireSchedule| match &fire.then {
            AfterFire::Keep { now, .. } => self.time(*now),
            // Nothing else asks for the time.
            _ => Now { due: Timestamp::MIN, leases: Timestamp::MIN },
        };
        self.with(|state| {
            Ok(fires.into_iter().map(|fire| (now(&fire), fire)).map(|(now, fire)| state.fire(fire, now)).collect())
        })
    }

    async fn schedule_counts(&self) -> Result<ScheduleCounts, StoreError> {
        self.with(|state| {
            let schedules = &state.schedules.rows;
            let paused = schedules.values().filter(|entry| entry.schedule.pause.is_some()).count();
            Ok(ScheduleCounts { all: schedules.len() as u64, paused: paused as u64 })
        })
    }

    async fn schedule_history(&self, request: ReadHistory) -> Result<Page<FireLine>, StoreError> {
        self.with(|state| Ok(state.schedules.history(&request)))
    }

    async fn schedule_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.with(|state| Ok(state.schedules.due.first().map(|(at, _)| *at)))
    }
}

impl State {
    /// Leases what is due, earliest fire time first.
    fn lease_due(&mut self, request: &AcquireSchedules, now: Now) -> Vec<ScheduleId> {
        let due = self.schedules.due.iter().take_while(|(at, _)| *at <= now.due).take(request.limit);
        let fire_time = |id: &ScheduleId| self.schedules.rows.get(id).and_then(|entry| entry.schedule.next_fire_time);
        let mut due: Vec<(Option<Timestamp>, ScheduleId)> = due.map(|(_, id)| (fire_time(id), id.clone())).collect();
        due.sort();
        let ids: Vec<ScheduleId> = due.into_iter().map(|(_, id)| id).collect();
        for id in &ids {
            self.schedules.change(id, |entry| {
                entry.lease = Some(Lease {
                    holder: request.holder.clone(),
                    token: request.token,
                    expires_at: now.leases.saturating_add(request.lease),
                });
                entry.put_off_until = Some(now.due.saturating_add(request.lease));
            });
        }
        ids
    }
}
