//! What goes into the calls of a store and what comes out.

use std::num::NonZeroU32;
use std::time::Duration;

use super::defect::Defect;
use super::ends::StoppedSchedule;
use super::hooks::HookedJob;
use super::ledger::PassedFires;
use crate::model::{
    Ability, CancelRequest, ConcernedSchedule, Digest, Incarnation, JobError, JobId, JobState, LeaseToken, Outcome,
    Overlap, Pause, Payload, PluginName, Progress, QueueName, Schedule, ScheduleId, SchedulerId, Task, TaskId,
    Timestamp, Usage,
};
pub use crate::model::{AddSchedule, Effects, JobSpec, KvRefusal, LogLine, MemoryLoad};

/// One page of a list, or a whole list that comes without pages.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// Those that can be read, in the order of the list.
    pub rows: Vec<T>,
    /// Rows whose content cannot be read: what they are and why.
    pub unreadable: Vec<Unreadable>,
    /// Pass it as `after` for the next page; `None` at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A whole list.
    pub fn whole(rows: impl IntoIterator<Item = Result<T, Unreadable>>) -> Page<T> {
        let mut page = Page { rows: Vec::new(), unreadable: Vec::new(), next: None };
        for row in rows {
            match row {
                Ok(row) => page.rows.push(row),
                Err(bad) => page.unreadable.push(bad),
            }
        }
        page
    }
}

/// A stored thing that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// As a text, for one may be damaged too.
    pub id: String,
    /// What is wrong with it.
    pub defect: Defect,
}

/// What storing something found in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Nothing.
    Added,
    /// Another one.
    Replaced,
    /// The same.
    Unchanged,
}

/// A task with what the store counts.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// The task.
    pub task: Task,
    /// Its jobs that are running, over all schedulers.
    pub running_jobs: u64,
}

/// What adding a schedule did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleAdded {
    /// It is new.
    Added,
    /// It took the place of another.
    Replaced,
    /// The other stayed.
    Skipped,
}

/// Which schedules to list.
#[derive(Debug, Clone, Default)]
pub struct ScheduleFilter {
    /// Only those of this task.
    pub task_id: Option<TaskId>,
    /// Only those after this place, see [`Page::next`].
    pub after: Option<String>,
    /// At most this many, 1 to [`PAGE_ROWS_MAX`](crate::model::limits::PAGE_ROWS_MAX).
    pub limit: usize,
}

/// How many schedules there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScheduleCounts {
    /// All.
    pub all: u64,
    /// Those that are paused.
    pub paused: u64,
}

/// See [`ScheduleQueue::schedule_pause`](super::ScheduleQueue::schedule_pause).
#[derive(Debug, Clone)]
pub struct PauseSchedule {
    /// The schedule.
    pub id: ScheduleId,
    /// Why.
    pub reason: Pause,
}

/// See [`ScheduleQueue::schedule_unpause`](super::ScheduleQueue::schedule_unpause).
#[derive(Debug, Clone)]
pub struct UnpauseSchedule {
    /// The schedule.
    pub id: ScheduleId,
    /// Where to put the trigger; `None` leaves it where it is.
    pub resume: Option<ResumeFrom>,
}

/// Where a schedule goes on.
#[derive(Debug, Clone)]
pub struct ResumeFrom {
    /// The next fire time that the caller saw; another one means that the schedule has changed since.
    pub expected_next_fire_time: Option<Timestamp>,
    /// The trigger's new state.
    pub trigger_state: String,
    /// The trigger's new next fire time.
    pub next_fire_time: Option<Timestamp>,
    /// When that was decided.
    pub at: Timestamp,
    /// What was due and is passed over.
    pub passed: Option<PassedFires>,
}

/// See [`ScheduleQueue::schedule_acquire`](super::ScheduleQueue::schedule_acquire).
#[derive(Debug, Clone)]
pub struct AcquireSchedules {
    /// Who leases.
    pub holder: SchedulerId,
    /// The token of the leases; a new one for each call that is not a retry.
    pub token: LeaseToken,
    /// The time, for a store that has none of its own.
    pub now: Timestamp,
    /// How long the leases last.
    pub lease: Duration,
    /// At most this many.
    pub limit: usize,
}

/// What leasing schedules found.
#[derive(Debug, Clone)]
pub struct AcquiredSchedules {
    /// The time by which it was decided what is due.
    pub now: Timestamp,
    /// The leased ones, with the task of each, where it exists.
    pub schedules: Vec<LeasedSchedule>,
    /// Those that cannot be read. Damaged ones are paused now; those of a newer version are put off, see [`rules::put_off`].
    ///
    /// [`rules::put_off`]: super::rules::put_off
    pub unreadable: Vec<Unreadable>,
}

/// A leased schedule.
#[derive(Debug, Clone)]
pub struct LeasedSchedule {
    /// The schedule.
    pub schedule: Schedule,
    /// Its task; `None` where there is none of that id (any more).
    pub task: Result<Option<Task>, Unreadable>,
}

/// See [`ScheduleQueue::schedule_fire`](super::ScheduleQueue::schedule_fire).
#[derive(Debug, Clone)]
pub struct FireSchedule {
    /// The schedule.
    pub id: ScheduleId,
    /// The token of the lease on it.
    pub token: LeaseToken,
    /// When it was decided what is due.
    pub at: Timestamp,
    /// The jobs to queue, as far as the overlap policy lets them be made.
    pub jobs: Vec<JobSpec>,
    /// What to do about earlier jobs of the schedule that have not ended.
    pub overlap: Overlap,
    /// After how many fires that have made a job the schedule is finished.
    pub max_fires: Option<NonZeroU32>,
    /// Whether earlier parts of the same fire were stored before: their jobs do not mean that the schedule overruns.
    pub continues: bool,
    /// Due times without jobs of their own, which come after those of the jobs, or share the only one.
    pub passed: Option<PassedFires>,
    /// The trigger's new state.
    pub trigger_state: String,
    /// The next fire time; `None`: there are no more.
    pub next_fire_time: Option<Timestamp>,
    /// The latest fire time so far; `None` leaves what is stored.
    pub last_fire_time: Option<Timestamp>,
    /// What becomes of the schedule.
    pub then: AfterFire,
}

/// What becomes of a schedule after a fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterFire {
    /// It is free, and due again at its next fire time.
    Free,
    /// It stays leased under the same token, because more of the same fire follows.
    Keep {
        /// The time, for a store that has none of its own.
        now: Timestamp,
        /// How long the lease lasts from now on.
        lease: Duration,
    },
    /// It is free, but nobody looks at it for a while.
    PutOff {
        /// Not before this time.
        until: Timestamp,
    },
    /// It is paused.
    Pause(Pause),
}

/// What firing a schedule did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fired {
    /// Everything is stored.
    Stored {
        /// The jobs that were left out, because their fire had a job already, by the overlap policy, or by the bound on fires.
        left_out: Vec<JobId>,
        /// Whether the schedule has reached the bound on its fires.
        is_finished: bool,
        /// What it did about earlier jobs.
        overlapped: Overlapped,
    },
    /// The lease was no longer held; nothing has changed.
    LeaseLost,
}

/// What a fire did about earlier jobs of its schedule that had not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlapped {
    /// Jobs that waited and were cancelled.
    pub cancelled: Vec<EndedJob>,
    /// Jobs that run and were asked to stop.
    pub asked: Vec<JobId>,
    /// The youngest job that had not ended, where the fire before found none: the schedule overruns from now on.
    pub began_with: Option<JobId>,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those that ended this way.
    pub outcome: Option<Outcome>,
    /// Only those of this task.
    pub task_id: Option<TaskId>,
    /// Only those of this schedule.
    pub schedule_id: Option<ScheduleId>,
    /// Only those of this group.
    pub group: Option<String>,
    /// Only those after this place, see [`Page::next`].
    pub after: Option<String>,
    /// At most this many, 1 to [`PAGE_ROWS_MAX`](crate::model::limits::PAGE_ROWS_MAX).
    pub limit: usize,
}

/// A job that ended inside the store, for the event that tells so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedJob {
    /// The job.
    pub id: JobId,
    /// Its task.
    pub task_id: TaskId,
}

/// See [`JobQueue::job_extend`](super::JobQueue::job_extend).
#[derive(Debug, Clone)]
pub struct ExtendJobs {
    /// The jobs and the tokens of their leases.
    pub leases: Vec<(JobId, LeaseToken)>,
    /// The time, for a store that has none of its own.
    pub now: Timestamp,
    /// How long the leases last from now on.
    pub lease: Duration,
}

/// What extending a lease found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    /// The job.
    pub id: JobId,
    /// The token that was shown.
    pub token: LeaseToken,
    /// Whether the lease is held.
    pub hold: Hold,
    /// That somebody asked the job to stop, where somebody did.
    pub cancel_requested: Option<CancelRequest>,
}

/// A running job that somebody asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelAsked {
    /// The job.
    pub id: JobId,
    /// The token that was shown.
    pub token: LeaseToken,
    /// What was asked.
    pub request: CancelRequest,
}

/// Whether a lease is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is, and was extended.
    Extended,
    /// It is, but somebody else is changing the job at this moment: it lasts as long as it did. To be tried again.
    Busy,
    /// It is not.
    Lost,
}

/// See [`JobQueue::job_report`](super::JobQueue::job_report).
#[derive(Debug, Clone)]
pub struct JobReport {
    /// The job.
    pub id: JobId,
    /// The token of the lease on it.
    pub token: LeaseToken,
    /// New log lines.
    pub lines: Vec<LogLine>,
    /// The latest progress, where there is news.
    pub progress: Option<Progress>,
}

/// See [`JobQueue::job_release`](super::JobQueue::job_release).
#[derive(Debug, Clone)]
pub struct ReleaseJobs {
    /// By the caller's clock; a store with a clock of its own goes by that.
    pub now: Timestamp,
    /// The attempts that ended.
    pub releases: Vec<ReleaseJob>,
}

/// One attempt that ended.
#[derive(Debug, Clone)]
pub struct ReleaseJob {
    /// The job.
    pub id: JobId,
    /// The token of the lease on it.
    pub token: LeaseToken,
    /// What becomes of the job.
    pub ending: Ending,
    /// What the attempt cost, where it began.
    pub usage: Option<Usage>,
    /// The version of the plugin that ran.
    pub plugin_digest: Option<Digest>,
    /// When the attempt began, where it began.
    pub started_at: Option<Timestamp>,
    /// Log lines that were not reported yet.
    pub lines: Vec<LogLine>,
    /// The latest progress, where it was not reported yet.
    pub progress: Option<Progress>,
    /// The schedule of the job, where how the job ends concerns it.
    pub concerned: Option<ConcernedSchedule>,
    /// The job itself, where it has hooks.
    pub hooked: Option<HookedJob>,
    /// What the guest asked for, stored in the same transaction when the job finishes as a success, and else dropped.
    pub effects: Effects,
}

/// What becomes of a job whose attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// It is finished.
    Finished {
        /// How.
        outcome: Outcome,
        /// What it returned.
        result: Option<Payload>,
        /// Why it failed.
        error: Option<JobError>,
        /// When it may be cleaned up.
        expires_at: Timestamp,
    },
    /// It is tried again.
    Retry {
        /// Not before this time.
        due_at: Timestamp,
        /// Why the attempt failed.
        error: JobError,
    },
    /// The attempt was given back and does not count: the worker is stopping, or could not begin it.
    Requeued {
        /// Nobody takes the job before this time. It stays due since when it was.
        not_before: Option<Timestamp>,
    },
}

/// What releasing a job did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// Everything is stored.
    Stored,
    /// Everything is stored, and the schedule of the job was stopped by its end.
    StoredAndStopped(StoppedSchedule),
    /// The lease was no longer held; nothing has changed.
    LeaseLost,
    /// What the guest wrote cannot be stored; nothing has changed, and the lease is held as it was.
    Refused(KvRefusal),
}

impl Released {
    /// A release that is stored, and what it did to the schedule of the job.
    pub(crate) fn stored(stopped: Option<StoppedSchedule>) -> Released {
        stopped.map_or(Released::Stored, Released::StoredAndStopped)
    }

    /// Whether everything is stored.
    pub fn is_stored(&self) -> bool {
        matches!(self, Released::Stored | Released::StoredAndStopped(_))
    }
}

/// What cancelling a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It was queued and has ended.
    Ended,
    /// It is running and was asked to stop.
    Asked,
    /// It had finished before.
    AlreadyFinished,
}

/// See [`JobQueue::job_logs`](super::JobQueue::job_logs).
#[derive(Debug, Clone)]
pub struct ReadLogs {
    /// The job.
    pub id: JobId,
    /// Only lines after this (attempt, sequence).
    pub after: Option<(u32, u32)>,
    /// At most this many.
    pub limit: usize,
}

/// Log lines of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The lines, in order.
    pub lines: Vec<LogLine>,
    /// Lines among them that cannot be read: which they are and why.
    pub unreadable: Vec<Unreadable>,
    /// Pass it as `after` for the lines that follow; `None` where there were none at all.
    pub last: Option<(u32, u32)>,
}

/// How many jobs there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "one for each state")]
pub struct JobCounts {
    pub queued: u64,
    pub running: u64,
    pub finished: u64,
}

/// See [`Housekeeping::recover`](super::Housekeeping::recover).
#[derive(Debug, Clone)]
pub struct Recover {
    /// The time.
    pub now: Timestamp,
    /// Leases that were over at this time, by the clock that leases are measured by
    /// ([`StoreTime::leases`], and where the store has none, the caller's). Read before the call, so that a request that lies in a buffer
    /// while everything stands still takes nothing that was held when it was made. A time that has not come yet by that clock counts as now.
    pub over_at: Timestamp,
    /// Jobs that are left alone: those that the caller runs itself.
    pub spared: Vec<JobId>,
    /// Also take back what this identity holds, whether its leases have run out or not.
    pub holder: Option<SchedulerId>,
    /// At most this many jobs.
    pub limit: usize,
}

/// What time it is for a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreTime {
    /// The time by its own clock. `None`: the caller's time of day is as good.
    pub now: Option<Timestamp>,
    /// The time that leases are measured by. `None`: the caller's time of day.
    pub leases: Option<Timestamp>,
}

/// What recovery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Jobs that are queued again.
    pub requeued: Vec<EndedJob>,
    /// Jobs that ended as abandoned.
    pub abandoned: Vec<EndedJob>,
    /// Jobs that ended as cancelled, as somebody had asked.
    pub cancelled: Vec<EndedJob>,
    /// Rollouts that have ended because of these crashes: the plugin and the version.
    pub returned: Vec<(PluginName, Digest)>,
    /// Schedules that were stopped by the end of one of these jobs.
    pub stopped: Vec<StoppedSchedule>,
    /// Jobs that were made by hooks because one of these jobs ended.
    pub hooked: Vec<EndedJob>,
    /// Jobs that ended because nothing can be told of how they stand.
    pub unreadable: Vec<Unreadable>,
    /// Schedules that are free again.
    pub schedules: u64,
}

/// What clean-up removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanedUp {
    /// Jobs.
    pub jobs: Vec<JobId>,
    /// Schedules.
    pub schedules: Vec<EndedSchedule>,
    /// Whether there is more to remove now.
    pub has_more: bool,
}

/// A schedule that was removed.
#[derive(Debug, Clone, PartialEq)]
pub struct RemovedSchedule {
    /// Its task, where that can be read.
    pub task_id: Option<TaskId>,
    /// What it was, or why that cannot be told.
    pub schedule: Result<Schedule, Unreadable>,
}

/// A schedule that ended, for the event that tells so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSchedule {
    /// The schedule.
    pub id: ScheduleId,
    /// Its task.
    pub task_id: TaskId,
}

/// A scheduler process, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerRow {
    /// Kept over restarts, where the operator has given it a name.
    pub id: SchedulerId,
    /// `both`, `scheduler` or `worker`.
    pub role: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Renewed every few seconds while it lives.
    pub seen_at: Timestamp,
    /// When it left in good order, where it did.
    pub stopped_at: Option<Timestamp>,
    /// The queues whose jobs it runs; none if it runs no jobs.
    pub queues: Vec<QueueName>,
    /// What it can run.
    pub abilities: Vec<Ability>,
    /// Which of the schedulers that have had this identity it is.
    pub incarnation: Incarnation,
    /// The memory that its jobs have together, where that is bounded.
    pub memory: Option<MemoryLoad>,
}

/// See [`Housekeeping::scheduler_put`](super::Housekeeping::scheduler_put).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutScheduler {
    /// The scheduler.
    pub scheduler: SchedulerRow,
    /// The incarnation in whose place it comes.
    pub replaces: Option<Incarnation>,
}

/// What a scheduler found under its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchedulerPut {
    /// Nothing, itself, or the one that it replaces: its row is stored.
    Stored,
    /// Another one; nothing has changed.
    Taken(SchedulerRow),
}
