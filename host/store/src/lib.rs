//! The port to the data stores: six traits, split by who calls them.
//!
//! | trait | caller |
//! |---|---|
//! | [`Catalog`] | registering plugins, configuring tasks |
//! | [`ScheduleQueue`] | creating schedules, and the loop that fires them |
//! | [`JobQueue`] | submitting jobs, and the loop that runs them |
//! | [`Housekeeping`] | recovery of what a dead worker left, clean-up, the list of schedulers |
//! | [`KeyValue`] | reading what plugins keep between jobs, and an operator who writes there |
//! | [`Transfer`] | backup, and moving from one store to another |
//!
//! # The contract
//!
//! It holds for every call of every store, and the conformance suite in `tests/` enforces it.
//!
//! * **A call is atomic.** It takes effect as a whole or not at all, also when the process is killed inside it, and also
//!   when it carries a batch, unless its own documentation says that each element stands alone.
//! * **A call that returned `Ok` is durable** (in memory: as long as the process).
//! * **One clock decides.** What is due and which lease is over is decided by the store's own clock where it is a server, so that no
//!   host whose clock is wrong can take anything before its time; [`timekeeping`] says how the others do it. `now` is the caller's
//!   time of day, corrected by what the store has told of its own ([`store_clock::StoreClock`]): what is stamped on rows, and what a store
//!   without a clock decides by. How long a lease lasts is an argument, not when it ends.
//! * **Leases carry tokens.** A write that shows a token which no longer holds changes nothing and says so. A lease holds
//!   until it is over, and afterwards until somebody else takes the row: a late holder whom nobody missed may still write.
//! * **Errors tell what happened.** [`StoreError::certainty`] separates "not applied" from "unknown". Each method says what
//!   a retry does.
//! * **What cannot be read blocks nobody.** A row whose content is unreadable is reported, never guessed at, and the rest
//!   of the batch goes on. Lists answer such rows beside the others; a question for one answers [`StoreError::Unreadable`].
//!   What is [damaged](DefectKind::Damaged) is ended, or paused, by whoever was to work with it. What a
//!   [newer](DefectKind::Newer) version has written is left as it is: it is put off for a while ([`rules::put_off`]), so that
//!   one who can read it finds it.
//! * **Order.** Jobs of one queue are acquired by priority, highest first, then by age (job id). Lists are ordered by id.
//! * **Dropping a future** of these traits may leave the call half way, that is, "unknown". Callers go through
//!   the detached decorator, which finishes calls whose caller is gone.
//!
//! # To add an operation
//!
//! Request struct in [`request`] → method here with its atomicity and retry lines → its line in the list of the decorators
//! (`decorate.rs`) → the memory store → SQL → conformance cases.

// Modules below name what the crate offers as `crate::…`.
extern crate self as store;

pub mod archive;
pub mod decorate;
mod defect;
pub mod detached;
#[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "a part of it is for columns of databases only"))]
mod encoding;
pub mod ends;
pub mod error;
mod exchange;
mod hooks;
mod kv;
pub mod ledger;
pub mod memory;
pub mod open;
pub mod overlap;
mod plugin_encoding;
mod queues;
pub mod record;
pub mod request;
mod restoring;
pub mod retrying;
mod rollout;
pub mod rules;
mod schedule_set;
mod size;
#[cfg(feature = "sql")]
pub mod sql;
pub mod store_clock;
pub mod timekeeping;
pub mod versions;
pub mod watched;

use std::time::Duration;

use async_trait::async_trait;
#[cfg(feature = "sqlite")]
use host_core::files;
use host_core::{clock, config, model};

pub use defect::{Defect, DefectKind};
pub use ends::{ScheduleStop, StoppedSchedule};
pub use error::{Certainty, StoreError, Subject};
pub use exchange::{AcquireJobs, AcquiredJobs, Choice, ExchangeJobs, ExchangedJobs};
pub use hooks::HookedJob;
pub use kv::{GetKv, KeyValue, KvBucket, KvKeyRow, KvPage, ListKv, WriteKv};
pub use ledger::{PassedFires, ReadHistory, TrimHistory};
pub use open::{OpenOptions, guarded, open};
pub use queues::{QueueRow, ServedQueue};
pub use record::{Record, Restore, Restored, Snapshot, SnapshotBatch, StoredPlugin};
pub use request::*;
pub use schedule_set::SetSchedule;
pub use size::PayloadBytes;
pub use versions::*;

use crate::model::{
    BucketName, Digest, FireLine, Job, JobId, KvEntry, LeaseToken, PluginName, PluginVersion, QueueName, Rollout,
    Schedule, ScheduleId, Task, TaskId, Timestamp,
};

/// Plugins and tasks.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Stores a version of a plugin with its bytes, makes it the current one, and makes its tasks the plugin's tasks:
    /// tasks of the same id keep the layer that was configured, with [`PutPlugin::configure`] over it; tasks that the plugin no longer
    /// offers go (schedules and jobs of theirs stay and fail as `plugin_unavailable`). What stood there and is damaged is replaced.
    ///
    /// Running jobs whose [`plugin_digest`](Job::plugin_digest) nobody has written down yet get the digest of the version that was current
    /// before, so that they stay on it.
    ///
    /// Atomic. Retry: safe, the second call answers `Unchanged`. Errors: `Unreadable` where a newer version has configured one of
    /// the tasks; `Conflict` where a rollout of the plugin is under way.
    async fn plugin_put(&self, request: PutPlugin) -> Result<PluginPut, StoreError>;

    /// The current version of a plugin.
    async fn plugin_get(&self, name: &PluginName) -> Result<Option<PluginVersion>, StoreError>;

    /// The current versions of all plugins, by name, on one page.
    async fn plugin_list(&self) -> Result<Page<PluginVersion>, StoreError>;

    /// All versions of a plugin, the newest registration first, on one page. Unreadable ones are named by their digest.
    async fn plugin_history(&self, name: &PluginName) -> Result<Page<PluginVersion>, StoreError>;

    /// Makes an older version current again, with its tasks, as [`Catalog::plugin_put`] does.
    ///
    /// Atomic. Retry: safe. Errors: `NotFound` where the plugin has no such version; `Conflict` where a rollout of the plugin is under way.
    async fn plugin_activate(&self, request: ActivatePlugin) -> Result<PluginPut, StoreError>;

    /// Stores a version of a plugin with its bytes, and leaves the current one current: for a rollout, or to be made current later. One that is
    /// stored already gets the rights that are given now.
    ///
    /// Atomic. Retry: safe, the second call answers `Unchanged`. Errors: `NotFound` where the plugin has no version yet; `Conflict` where
    /// this one is the current one.
    async fn plugin_stage(&self, request: StagePlugin) -> Result<Put, StoreError>;

    /// The plugin's latest rollout, whether it is under way or has ended.
    async fn rollout_get(&self, name: &PluginName) -> Result<Option<Rollout>, StoreError>;

    /// Begins a rollout, in the place of one that has ended, or changes the one that is under way, which keeps what was counted. Meanwhile
    /// `plugin_put` and `plugin_activate` answer `Conflict` where they would change which version is current, or what it may do.
    ///
    /// Here, and wherever else it changes which version jobs begin with, running jobs are treated as by [`Catalog::plugin_put`].
    ///
    /// Atomic. Retry: safe. Errors: `NotFound` where the plugin has no such version; `Conflict` where that is the current one, or where
    /// another version's rollout is under way.
    async fn rollout_put(&self, request: PutRollout) -> Result<Rollout, StoreError>;

    /// Ends the rollout that is under way, and makes its version the current one, as [`Catalog::plugin_activate`] does, or not.
    ///
    /// Atomic. Retry: the second call answers `Conflict`. Errors: `NotFound` where there is no such plugin; `Conflict` where that version
    /// has no rollout under way.
    async fn rollout_end(&self, request: EndRollout) -> Result<RolloutEnded, StoreError>;

    /// Counts attempts that have ended, and ends the rollout where too many of them failed. Answers how it stands then; `None` where that
    /// version has no rollout under way, and nothing was counted.
    ///
    /// Atomic. Retry: counts twice.
    async fn rollout_count(&self, request: CountRollout) -> Result<Option<Rollout>, StoreError>;

    /// Removes versions of a plugin: all but the last ones, the current one, and those that schedules and unfinished jobs need.
    ///
    /// Atomic. Retry: safe, the second call finds less to remove. Errors: `NotFound`.
    async fn plugin_prune(&self, request: PrunePlugin) -> Result<Pruned, StoreError>;

    /// Removes a plugin with all versions and its tasks, and answers the ids of those. Tasks derived from it by configuration go too;
    /// schedules and jobs stay.
    ///
    /// Atomic. Retry: safe, the second call answers `None`.
    async fn plugin_remove(&self, name: &PluginName) -> Result<Option<Vec<TaskId>>, StoreError>;

    /// The bytes of a component.
    async fn plugin_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Stores a task that was configured explicitly, in place of one of the same id.
    ///
    /// Atomic. Retry: safe. Its running jobs go on and still count. Errors: `Unreadable` where a newer version has written that one.
    async fn task_put(&self, task: Task) -> Result<Put, StoreError>;

    /// One task.
    async fn task_get(&self, id: &TaskId) -> Result<Option<TaskRow>, StoreError>;

    /// All tasks, by id, on one page.
    async fn task_list(&self) -> Result<Page<TaskRow>, StoreError>;

    /// Removes a task. Its schedules and jobs stay. Retry: safe, the second call answers `false`.
    async fn task_remove(&self, id: &TaskId) -> Result<bool, StoreError>;

    /// A number that grows with every change of plugins and tasks, so that a worker can keep what it has read.
    async fn catalog_revision(&self) -> Result<i64, StoreError>;
}

/// Schedules.
#[async_trait]
pub trait ScheduleQueue: Send + Sync {
    /// Stores a schedule under the given conflict policy. Replacing one keeps its `created_at` and `last_fire_time` and ends the lease on it;
    /// the life is that of the new one.
    ///
    /// Atomic. Retry: under `Replace` and `Skip` safe; under `Error` the second call answers `AlreadyExists`.
    async fn schedule_add(&self, request: AddSchedule) -> Result<ScheduleAdded, StoreError>;

    /// Stores schedules, each as [`ScheduleQueue::schedule_add`] does, all of them or none. Of two with one id the second finds the first.
    ///
    /// Atomic. Retry: as there. Errors: `AlreadyExists` names the first one whose id is taken under `Error`.
    async fn schedule_add_all(&self, requests: Vec<AddSchedule>) -> Result<Vec<ScheduleAdded>, StoreError>;

    /// One schedule.
    async fn schedule_get(&self, id: &ScheduleId) -> Result<Option<Schedule>, StoreError>;

    /// A page of schedules, by id.
    async fn schedule_list(&self, filter: ScheduleFilter) -> Result<Page<Schedule>, StoreError>;

    /// Removes a schedule with its history, whether it can be read or not; its jobs stay. Answers what was removed. Retry: safe, the second call answers
    /// `None`.
    async fn schedule_remove(&self, id: &ScheduleId) -> Result<Option<RemovedSchedule>, StoreError>;

    /// Pauses a schedule, and ends the lease on it, so that a fire under way changes nothing any more.
    /// Pausing a paused one keeps the reason it has.
    ///
    /// Atomic. Retry: safe. Errors: `NotFound`.
    async fn schedule_pause(&self, request: PauseSchedule) -> Result<Schedule, StoreError>;

    /// Unpauses a schedule, forgets its failures and, where asked, puts its trigger to another place, provided it still is where the caller saw it.
    ///
    /// Atomic. Errors: `NotFound`; `Conflict` where `expected_next_fire_time` is not what is stored.
    async fn schedule_unpause(&self, request: UnpauseSchedule) -> Result<Schedule, StoreError>;

    /// Puts another content in the place of a schedule's, provided that it still is what the caller saw, and ends the lease on it, so that a
    /// fire under way changes nothing any more: it is made anew by what the schedule says then.
    ///
    /// Atomic. Errors: `NotFound`; `Conflict` where what is stored is not [`SetSchedule::expected`], also where it has fired since.
    async fn schedule_set(&self, request: SetSchedule) -> Result<(), StoreError>;

    /// Leases up to `limit` schedules that are due (`next_fire_time <= now`), not paused and not leased, earliest first.
    ///
    /// Atomic: a schedule is leased to one holder or none. Retry with the same token: answers what the first call leased.
    /// Schedules that cannot be read are paused with the reason, or put off, in the same transaction, and reported.
    async fn schedule_acquire(&self, request: AcquireSchedules) -> Result<AcquiredSchedules, StoreError>;

    /// For each element: adds the planned jobs, stores the trigger's new place and does with the lease as [`FireSchedule::then`] says. An
    /// element whose token no longer holds changes nothing. A job for a [fire](JobSpec::fire) that has one already is left out, and
    /// named in the answer: that fire has been made.
    ///
    /// Which of the jobs are made, and which earlier ones of the schedule end for them, is decided by the [overlap policy](overlap::decide)
    /// from the jobs that are stored at that moment. What holds a lease on the schedule keeps every other fire of it out, so that this is
    /// exact over all schedulers.
    ///
    /// A schedule with a [bound](FireSchedule::max_fires) on its fires is finished by the one that reaches it, and makes no more jobs.
    ///
    /// What becomes of each due time is written into the schedule's [history](ScheduleQueue::schedule_history).
    ///
    /// Atomic, per call. Retry: safe; the second call answers `LeaseLost` for what the first one did, or leaves out every job where the
    /// lease was kept. Errors: `Rejected` where the database does not take what one of them carries.
    async fn schedule_fire(&self, fires: Vec<FireSchedule>) -> Result<Vec<Fired>, StoreError>;

    /// A page of what became of the due times of a schedule, the latest first. Each due time is in one line, from when it was fired or passed
    /// over until the line is [trimmed](Housekeeping::trim_history) or the schedule removed.
    async fn schedule_history(&self, request: ReadHistory) -> Result<Page<FireLine>, StoreError>;

    /// The earliest time at which a schedule is to be looked at: the smallest `next_fire_time`, or end of lease, of those that
    /// are not paused. `None`: nothing to wait for.
    async fn schedule_next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// How many schedules there are, for `status`. Those that cannot be read are counted as well.
    async fn schedule_counts(&self) -> Result<ScheduleCounts, StoreError>;
}

/// Jobs.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Queues jobs. A job for a [fire](JobSpec::fire) that has one already is left out, and so is one whose
    /// [unique key](crate::model::JobSettings::unique_key) another job of its task has. Answers those, in the order of their ids.
    ///
    /// Atomic, per call. Retry: safe, jobs whose id is known are not queued again and count as queued.
    async fn job_add(&self, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, StoreError>;

    /// Queues jobs, each unless a job of its task has its unique key, and answers for each the one that has it. Of calls at the same time, from
    /// however many processes, one queues its job, and all answer that. A job whose [time with the key](crate::model::UniqueKey::until) is over
    /// no longer has it. A job without a key is queued.
    ///
    /// Atomic, per call. Retry: safe. Errors: `Conflict` where a key is taken and given back again and again meanwhile.
    async fn job_add_unique(&self, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, StoreError>;

    /// One job.
    async fn job_get(&self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// A page of jobs, youngest first.
    async fn job_list(&self, filter: JobFilter) -> Result<Page<Job>, StoreError>;

    /// Leases up to `limit` due jobs to the caller, counts the attempt, sets `started_at`, and ends those whose start deadline
    /// has passed. The deadline is about the first attempt: a job that has begun one is no longer ended by it.
    ///
    /// Only jobs that the caller can run are looked at: those of its queues, unless paused, whose [`Ability`](crate::model::Ability) it
    /// has, or that need none. Others wait. The queues take turns; within one, jobs start by priority, then by age.
    ///
    /// A job counts as running until it is released or [`Housekeeping::recover`] takes it back, so that a holder who is late but
    /// alive still fills its slot. Never are more jobs of one task leased than its `max_running_jobs`, nor more with one concurrency
    /// key than its `max_running_per_key`, over all holders; what is saturated delays nothing else. Atomic: a job is leased to one
    /// holder or none. Retry with the same token: answers what the first call leased.
    async fn job_acquire(&self, request: AcquireJobs) -> Result<AcquiredJobs, StoreError>;

    /// Extends leases that are still held, and says which of their jobs were asked to stop. Waits for nobody: a job that somebody else is
    /// changing is answered as [`Hold::Busy`].
    ///
    /// Each element stands alone. Retry: safe.
    async fn job_extend(&self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError>;

    /// A line of its own to the store, to extend leases on while every other call waits or fails.
    fn lease_line(&self) -> Box<dyn LeaseLine>;

    /// Stores what running jobs say while they run: log lines and progress.
    ///
    /// Each element stands alone; one whose token no longer holds changes nothing. Retry: safe, lines are told apart by (attempt, sequence).
    async fn job_report(&self, reports: Vec<JobReport>) -> Result<(), StoreError>;

    /// Ends attempts: stores the result and last log lines, frees the slot, finishes the job or puts it back into the queue.
    ///
    /// A job that somebody asked to stop does not go back into the queue: where the ending is a retry or the attempt was given
    /// back, it ends as cancelled, with the error of this attempt or none. A schedule among the effects whose id is taken under `ConflictPolicy::Error` is left out.
    ///
    /// Where the job [concerns](ReleaseJob::concerned) its schedule, the same transaction counts its failure, and pauses or finishes the
    /// schedule, see [`ends`]. That ends the lease on it, so that a fire under way changes nothing any more.
    ///
    /// Where the job has [hooks](ReleaseJob::hooked), the same transaction queues the job of the one that its end
    /// [calls](ReleaseJob::hook_call), with the settings that its task has at that moment. So do the other ends by which a job calls a hook,
    /// in [`JobQueue::job_acquire`] and [`Housekeeping::recover`].
    ///
    /// Each element stands alone; one whose token no longer holds changes nothing and is answered `LeaseLost`, and one whose
    /// [writes](Effects::kv) cannot be done changes nothing and is answered `Refused`: its lease is held as before. Retry:
    /// safe, the second call answers `LeaseLost` for what the first one did.
    async fn job_release(&self, request: ReleaseJobs) -> Result<Vec<Released>, StoreError>;

    /// Ends attempts, as [`job_release`](JobQueue::job_release) does, and then leases jobs, as [`job_acquire`](JobQueue::job_acquire) does:
    /// the slots that the ends have freed can be filled by the same call.
    ///
    /// Atomic as a whole; an end whose token no longer holds is left out of it and answered `LeaseLost`. Retry with the same token: safe,
    /// the second call answers `LeaseLost` for what the first one ended, and what the first one leased.
    async fn job_exchange(&self, request: ExchangeJobs) -> Result<ExchangedJobs, StoreError>;

    /// Ends a queued job as cancelled at once; marks a running one, whose holder learns it when it looks
    /// ([`job_cancel_asked`](JobQueue::job_cancel_asked)), or with its next extension. `grace`: how long a running one may take before it is
    /// stopped, see [`CancelRequest`](crate::model::CancelRequest).
    ///
    /// Atomic. Retry: safe. Errors: `NotFound`.
    async fn job_cancel(&self, id: JobId, grace: Option<Duration>, now: Timestamp) -> Result<Cancelled, StoreError>;

    /// Those of running jobs that somebody asked to stop, in no order. Jobs that are held under another token than the given one are not
    /// among them. Changes nothing, and waits for nobody.
    async fn job_cancel_asked(&self, leases: Vec<(JobId, LeaseToken)>) -> Result<Vec<CancelAsked>, StoreError>;

    /// Puts a finished job back into the queue for one more attempt, due at once and without a start deadline. What its last
    /// attempt cost and why it failed stays readable until the next one ends; which version of its plugin it ran does not: the next one runs
    /// the version that is current then, unless the job is pinned.
    ///
    /// Atomic. Errors: `NotFound`; `Conflict` where it is not finished.
    async fn job_retry(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError>;

    /// Log lines of a job after the given place, in order.
    async fn job_logs(&self, request: ReadLogs) -> Result<LogPage, StoreError>;

    /// The earliest `due_at` after `now` among the queued jobs: how long the job loop may sleep once it has acquired all that was to be
    /// had at `now`. Jobs that were due by then and are still queued wait for a slot of their task, not for a time. `None`: nothing
    /// will become due.
    async fn job_next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// How many jobs are in each state, for `status`; exact for queued and running.
    async fn job_counts(&self) -> Result<JobCounts, StoreError>;

    /// The queues that have due or running jobs, or are paused, by name.
    async fn queue_list(&self) -> Result<Vec<QueueRow>, StoreError>;

    /// The names of the paused queues, in order. It counts no jobs, as [`queue_list`](JobQueue::queue_list) does.
    async fn queues_paused(&self) -> Result<Vec<QueueName>, StoreError>;

    /// Pauses a queue, or lets it go on: no job of a paused one is started. Running ones go on.
    ///
    /// Atomic. Retry: safe. Answers whether it was otherwise before.
    async fn queue_pause(&self, queue: QueueName, pause: bool) -> Result<bool, StoreError>;
}

/// A line to the store on which leases are extended, and nothing else is done.
///
/// On a server it has a connection of its own, made when it is needed first and again after a failure. A line belongs to the runtime on
/// which it is used. Nothing is tried again in it: whoever keeps leases knows best how long that is of use.
#[async_trait]
pub trait LeaseLine: Send {
    /// As [`JobQueue::job_extend`]. The future may be dropped at any time: its connection goes with it, and whether the leases were extended
    /// is not known.
    async fn extend(&mut self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError>;
}

/// Recovery and clean-up. Every call is idempotent and may be made by any number of schedulers at once.
#[async_trait]
pub trait Housekeeping: Send + Sync {
    /// Ends the leases that were over at `over_at`, or that `holder` has (a scheduler that came back under its old identity, and
    /// holds nothing any more), except on jobs that are `spared`. Their jobs are queued again, at once after their first crash and later
    /// after further ones ([`rules::pause_after_crash`]), where an attempt or a crash retry is left or others may be to blame, and else
    /// end as abandoned ([`rules::survives_crash`]); a job that was asked to stop ends as cancelled. Those of which nobody has written down
    /// which version of their plugin they ran get the current one's [`plugin_digest`](Job::plugin_digest). What is abandoned is counted for its
    /// schedule as by [`JobQueue::job_release`]. Schedules simply become free.
    ///
    /// A job that could start, but that [no live scheduler would run](rules::is_unserved), from then on keeps no other of its task, or of
    /// its concurrency key, from starting.
    ///
    /// Each job stands alone. Retry: safe.
    async fn recover(&self, request: Recover) -> Result<Recovered, StoreError>;

    /// Removes finished jobs past their `expires_at` with their results and logs, schedules that have no more fire times, no jobs
    /// and no pause, and schedulers that were not seen for [`rules::SCHEDULERS_KEPT`].
    /// Removes at most `limit` of each, and at most [`rules::LOG_LINES_REMOVED_MAX`] log lines: a job with more of them goes with a later
    /// call. Answers what it removed. A finished schedule that cannot be read stays.
    ///
    /// Each removal stands alone. Retry: safe.
    async fn cleanup(&self, now: Timestamp, limit: usize) -> Result<CleanedUp, StoreError>;

    /// Removes lines of the histories of schedules by their age and number, those of some schedules with each call, in the order of their
    /// ids. Answers where to go on, see [`TrimHistory::after`]; `None` once all were looked at.
    ///
    /// Each removal stands alone. Retry: safe.
    async fn trim_history(&self, request: TrimHistory) -> Result<Option<String>, StoreError>;

    /// Says that a scheduler is alive, or (with `stopped`) that it left.
    ///
    /// The row under an identity belongs to the incarnation that is in it. Another one changes nothing and learns of it, unless it says
    /// that it `replaces` that one. A row that cannot be read is nobody's.
    ///
    /// Atomic. Retry: safe.
    async fn scheduler_put(&self, request: PutScheduler) -> Result<SchedulerPut, StoreError>;

    /// The schedulers that were seen, by identity, on one page.
    async fn scheduler_list(&self) -> Result<Page<SchedulerRow>, StoreError>;

    /// Whether the store takes writes at the moment: does everything that a write does, and changes nothing.
    async fn check(&self) -> Result<(), StoreError>;

    /// What time it is for the store. One plain round trip: a decorator does not try it again, because the answer is about the moment at
    /// which it was asked.
    async fn store_clock(&self) -> Result<StoreTime, StoreError>;

    /// Finishes what is under way and lets go of files and connections. Later calls answer [`StoreError::Closed`].
    async fn close(&self);
}

/// Reading everything that a store holds, and storing it in another one.
///
/// What is read from one store and restored into an empty one is the same again when it is read from there, whatever kinds the two are
/// of. Only the schedulers that were seen, and the claims on schedules, stay behind.
#[async_trait]
pub trait Transfer: Send + Sync {
    /// Begins to read everything as it is at one instant: nothing that is stored later is seen, and nothing is seen without what was
    /// stored together with it. A fire is there with its jobs and the new place of its trigger, or not at all.
    ///
    /// Readers and writers go on meanwhile. What a database must keep for the sake of a snapshot grows while it lasts.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// Stores records as they are, and answers for each what was done.
    ///
    /// A record's place is its id; of a job also its [fire](JobSpec::fire) and the unique key that it has, and of the current version of a plugin also being current.
    /// Where something else is in it, under `Error` nothing of the call is stored and the answer is `Conflict`; under `Skip` that
    /// something stays; under `Replace` it goes, a job with its log lines and a plugin with the tasks that the new version does not offer.
    /// Log lines of a job that is not there, or was kept in this call, are kept too.
    ///
    /// Atomic. Retry: safe, the second call answers `Unchanged` for what the first one did.
    async fn restore(&self, request: Restore) -> Result<Vec<Restored>, StoreError>;
}

/// Everything a data store does.
pub trait Store: Catalog + ScheduleQueue + JobQueue + Housekeeping + KeyValue + Transfer {}

impl<T: Catalog + ScheduleQueue + JobQueue + Housekeeping + KeyValue + Transfer> Store for T {}
