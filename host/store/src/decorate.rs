//! What all decorators of a store share: the list of every call, written once.
//!
//! A decorator has three methods. `call(&self, what: Call, work)` passes a call on: `work` makes it on the store it is given. `line(&self)`
//! answers [`JobQueue::lease_line`](crate::JobQueue::lease_line), and `shut(&self)` closes. The macro [`decorate!`](crate::decorate!) turns
//! them into the six traits; its list says for each call what a second one does ([`Repeat`]), as the traits document it. Where it is used,
//! everything of this crate and of the model has to be in scope.

/// A call that a decorator passes on.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The method's name.
    pub name: &'static str,
    /// What happens when it is made again after an answer that was lost.
    pub repeat: Repeat,
}

/// What a second, identical call does where the first one took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing more, and it answers the same.
    SameAnswer,
    /// Nothing more, but the answer tells what it found: that the work was done already.
    OtherAnswer,
    /// It fails, or does it again.
    Never,
    /// It answers for another moment: whoever asks wants to know how long the answer took.
    AtOnce,
}

/// Implements the six traits for a decorator. `once`: `work` is made from the arguments themselves and runs once;
/// `each`: it clones them for every run. Arguments after the semicolon go by reference.
#[macro_export]
macro_rules! decorate {
    ($type:ident, $mode:ident) => {
        $crate::decorate! { @trait $type, $mode, Catalog,
            plugin_put(request: PutPlugin;) -> PluginPut = OtherAnswer;
            plugin_get(; name: PluginName) -> Option<PluginVersion> = SameAnswer;
            plugin_list(;) -> Page<PluginVersion> = SameAnswer;
            plugin_history(; name: PluginName) -> Page<PluginVersion> = SameAnswer;
            plugin_activate(request: ActivatePlugin;) -> PluginPut = OtherAnswer;
            plugin_stage(request: StagePlugin;) -> Put = OtherAnswer;
            rollout_get(; name: PluginName) -> Option<Rollout> = SameAnswer;
            rollout_put(request: PutRollout;) -> Rollout = SameAnswer;
            rollout_end(request: EndRollout;) -> RolloutEnded = Never;
            rollout_count(request: CountRollout;) -> Option<Rollout> = Never;
            plugin_prune(request: PrunePlugin;) -> Pruned = OtherAnswer;
            plugin_remove(; name: PluginName) -> Option<Vec<TaskId>> = OtherAnswer;
            plugin_bytes(; digest: Digest) -> Option<Vec<u8>> = SameAnswer;
            task_put(task: Task;) -> Put = OtherAnswer;
            task_get(; id: TaskId) -> Option<TaskRow> = SameAnswer;
            task_list(;) -> Page<TaskRow> = SameAnswer;
            task_remove(; id: TaskId) -> bool = OtherAnswer;
            catalog_revision(;) -> i64 = SameAnswer;
        }
        $crate::decorate! { @trait $type, $mode, ScheduleQueue,
            schedule_add(request: AddSchedule;) -> ScheduleAdded = Never;
            schedule_add_all(requests: Vec<AddSchedule>;) -> Vec<ScheduleAdded> = Never;
            schedule_get(; id: ScheduleId) -> Option<Schedule> = SameAnswer;
            schedule_list(filter: ScheduleFilter;) -> Page<Schedule> = SameAnswer;
            schedule_remove(; id: ScheduleId) -> Option<RemovedSchedule> = OtherAnswer;
            schedule_pause(request: PauseSchedule;) -> Schedule = SameAnswer;
            schedule_unpause(request: UnpauseSchedule;) -> Schedule = Never;
            schedule_set(request: SetSchedule;) -> () = Never;
            schedule_acquire(request: AcquireSchedules;) -> AcquiredSchedules = SameAnswer;
            schedule_fire(fires: Vec<FireSchedule>;) -> Vec<Fired> = OtherAnswer;
            schedule_history(request: ReadHistory;) -> Page<FireLine> = SameAnswer;
            schedule_next_due(;) -> Option<Timestamp> = SameAnswer;
            schedule_counts(;) -> ScheduleCounts = SameAnswer;
        }
        $crate::decorate! { @trait $type, $mode, JobQueue,
            job_add(jobs: Vec<JobSpec>;) -> Vec<JobId> = SameAnswer;
            job_add_unique(jobs: Vec<JobSpec>;) -> Vec<JobId> = SameAnswer;
            job_get(id: JobId;) -> Option<Job> = SameAnswer;
            job_list(filter: JobFilter;) -> Page<Job> = SameAnswer;
            job_acquire(request: AcquireJobs;) -> AcquiredJobs = SameAnswer;
            job_extend(request: ExtendJobs;) -> Vec<Extended> = SameAnswer;
            job_report(reports: Vec<JobReport>;) -> () = SameAnswer;
            job_release(request: ReleaseJobs;) -> Vec<Released> = OtherAnswer;
            job_exchange(request: ExchangeJobs;) -> ExchangedJobs = OtherAnswer;
            job_cancel(id: JobId, grace: Option<std::time::Duration>, now: Timestamp;) -> Cancelled = OtherAnswer;
            job_cancel_asked(leases: Vec<(JobId, LeaseToken)>;) -> Vec<CancelAsked> = SameAnswer;
            job_retry(id: JobId, now: Timestamp;) -> Job = Never;
            job_logs(request: ReadLogs;) -> LogPage = SameAnswer;
            job_next_due(now: Timestamp;) -> Option<Timestamp> = SameAnswer;
            job_counts(;) -> JobCounts = SameAnswer;
            queue_list(;) -> Vec<QueueRow> = SameAnswer;
            queues_paused(;) -> Vec<QueueName> = SameAnswer;
            queue_pause(queue: QueueName, pause: bool;) -> bool = OtherAnswer;
            @also
            fn lease_line(&self) -> Box<dyn LeaseLine> {
                self.line()
            }
        }
        $crate::decorate! { @trait $type, $mode, Housekeeping,
            recover(request: Recover;) -> Recovered = OtherAnswer;
            cleanup(now: Timestamp, limit: usize;) -> CleanedUp = OtherAnswer;
            trim_history(request: TrimHistory;) -> Option<String> = OtherAnswer;
            scheduler_put(request: PutScheduler;) -> SchedulerPut = SameAnswer;
            scheduler_list(;) -> Page<SchedulerRow> = SameAnswer;
            check(;) -> () = SameAnswer;
            store_clock(;) -> StoreTime = AtOnce;
            @also
            async fn close(&self) {
                self.shut().await;
            }
        }
        $crate::decorate! { @trait $type, $mode, KeyValue,
            kv_buckets(;) -> Vec<KvBucket> = SameAnswer;
            kv_create(buckets: Vec<BucketName>;) -> () = SameAnswer;
            kv_get(request: GetKv;) -> Option<KvEntry> = SameAnswer;
            kv_list(request: ListKv;) -> KvPage = SameAnswer;
            kv_write(request: WriteKv;) -> () = Never;
        }
        // A snapshot itself is not passed through the decorator: it changes nothing, so it may be dropped at any time, and one that
        // failed cannot go on.
        $crate::decorate! { @trait $type, $mode, Transfer,
            snapshot(;) -> Box<dyn Snapshot> = SameAnswer;
            restore(request: Restore;) -> Vec<Restored> = OtherAnswer;
        }
    };
    (@trait $type:ident, $mode:ident, $trait:ident, $(
        $name:ident($($arg:ident: $kind:ty),*; $($lent:ident: $lent_kind:ty)?) -> $answer:ty = $repeat:ident;
    )* $(@also $($more:tt)*)?) => {
        #[async_trait::async_trait]
        impl $crate::$trait for $type {
            $(
                async fn $name(&self, $($arg: $kind,)* $($lent: &$lent_kind)?) -> Result<$answer, StoreError> {
                    let call = Call { name: stringify!($name), repeat: Repeat::$repeat };
                    $(let $lent = $lent.clone();)?
                    self.call(call, move |store| {
                        $(let $arg = $crate::decorate!(@take $mode, $arg);)*
                        $(let $lent = $crate::decorate!(@take $mode, $lent);)?
                        async move { store.$name($($arg,)* $(&$lent)?).await }
                    })
                    .await
                }
            )*
            $($($more)*)?
        }
    };
    (@take once, $arg:ident) => { $arg };
    (@take each, $arg:ident) => { $arg.clone() };
}
pub use decorate;
