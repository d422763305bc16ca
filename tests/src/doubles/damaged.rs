//! A store in which some things are damaged, or were written by a newer version, or are refused, as a test says.
//!
//! What stands in a database can be changed behind the store's back; what stands in memory cannot. So this stands before any
//! store, and answers of those things as a store in a database would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use host::model::{
    BucketName, Digest, ErrorKind, FireLine, Job, JobError, JobId, JobSpec, KvEntry, LeaseToken, Outcome, Overlap,
    Pause, PluginName, PluginVersion, QueueName, Rollout, Schedule, ScheduleId, Task, TaskId, Timestamp,
};
use host::store::*;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The database does not take it.
    Rejected,
    /// The connection broke.
    Transient,
}

/// What is wrong with a store.
#[derive(Debug, Default)]
pub struct Damage {
    /// Tasks that cannot be read.
    pub tasks: BTreeMap<TaskId, Defect>,
    /// Plugins that cannot be read.
    pub plugins: BTreeMap<PluginName, Defect>,
    /// Jobs that cannot be read.
    pub jobs: BTreeMap<JobId, Defect>,
    /// Schedules that cannot be read.
    pub schedules: BTreeMap<ScheduleId, Defect>,
    /// Schedules whose jobs are not taken.
    pub refused_fires: BTreeMap<ScheduleId, Refusal>,
    /// Jobs whose results are not taken.
    pub refused_results: BTreeMap<JobId, Refusal>,
    /// How many questions for a task fail before one is answered.
    pub failing_lookups: usize,
    /// Schedules that somebody else has locked.
    pub locked: BTreeSet<ScheduleId>,
    /// How often each call was made.
    pub calls: BTreeMap<&'static str, usize>,
}

/// Passes calls on, and what is damaged as such.
pub struct Damaged {
    inner: Arc<dyn Store>,
    damage: Mutex<Damage>,
}

fn refused(operation: &'static str, refusal: Refusal) -> StoreError {
    let source = Arc::new(std::io::Error::other("a failure that the test asked for"));
    match refusal {
        Refusal::Rejected => StoreError::Rejected { operation, source },
        Refusal::Transient => {
            StoreError::Backend { operation, certainty: Certainty::NotApplied, transient: true, source }
        }
    }
}

impl Damaged {
    /// A store that is sound so far.
    pub fn new(inner: Arc<dyn Store>) -> Damaged {
        Damaged { inner, damage: Mutex::default() }
    }

    /// What is wrong with it, to be changed.
    pub fn damage(&self) -> MutexGuard<'_, Damage> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a call was made.
    pub fn calls(&self, name: &str) -> usize {
        self.damage().calls.get(name).copied().unwrap_or(0)
    }

    fn count(&self, name: &'static str) {
        *self.damage().calls.entry(name).or_insert(0) += 1;
    }

    fn task(&self, task: Task) -> Result<Task, Unreadable> {
        match self.damage().tasks.get(&task.id) {
            Some(defect) => Err(Unreadable { id: task.id.to_string(), defect: defect.clone() }),
            None => Ok(task),
        }
    }

    fn plugin(&self, version: PluginVersion) -> Result<PluginVersion, Unreadable> {
        match self.damage().plugins.get(&version.name) {
            Some(defect) => Err(Unreadable { id: version.name.to_string(), defect: defect.clone() }),
            None => Ok(version),
        }
    }

    fn job(&self, job: Job) -> Result<Job, Unreadable> {
        match self.damage().jobs.get(&job.spec.id) {
            Some(defect) => Err(Unreadable { id: job.spec.id.to_string(), defect: defect.clone() }),
            None => Ok(job),
        }
    }

    fn schedule(&self, schedule: Schedule) -> Result<Schedule, Unreadable> {
        match self.damage().schedules.get(&schedule.id) {
            Some(defect) => Err(Unreadable { id: schedule.id.to_string(), defect: defect.clone() }),
            None => Ok(schedule),
        }
    }

    /// Refuses a call that carries a result which is not taken.
    fn check_results(&self, operation: &'static str, request: &ReleaseJobs) -> Result<(), StoreError> {
        let has_result =
            |release: &&ReleaseJob| matches!(release.ending, Ending::Finished { outcome: Outcome::Success, .. });
        let damage = self.damage();
        let mut results = request.releases.iter().filter(has_result);
        let refusal = results.find_map(|release| damage.refused_results.get(&release.id).copied());
        refusal.map_or(Ok(()), |refusal| Err(refused(operation, refusal)))
    }

    /// Quarantines those of the leased jobs that cannot be read.
    async fn readable(&self, mut acquired: AcquiredJobs, now: Timestamp) -> Result<AcquiredJobs, StoreError> {
        for job in std::mem::take(&mut acquired.jobs) {
            match self.job(job.clone()) {
                Ok(job) => acquired.jobs.push(job),
                Err(bad) => {
                    self.quarantine(&job, &bad.defect, now).await?;
                    acquired.unreadable.push(bad);
                }
            }
        }
        Ok(acquired)
    }

    /// What becomes of a job that was leased and cannot be read.
    async fn quarantine(&self, job: &Job, defect: &Defect, now: Timestamp) -> Result<(), StoreError> {
        let Some(lease) = &job.lease else { return Ok(()) };
        let ending = if defect.is_newer() {
            Ending::Requeued { not_before: Some(rules::put_off(now, job.spec.due_at)) }
        } else {
            let expires_at = now.saturating_add(job.spec.settings.result_ttl);
            let error = Some(JobError::new(ErrorKind::HostError, defect.to_string()));
            Ending::Finished { outcome: Outcome::DeserializationFailed, result: None, error, expires_at }
        };
        let release = crate::factory::release(job.spec.id, lease.token, ending);
        self.inner.job_release(ReleaseJobs { now, releases: vec![release] }).await.map(|_| ())
    }
}

fn page<T, R>(page: Page<T>, read: impl Fn(T) -> Result<R, Unreadable>) -> Page<R> {
    let Page { rows, unreadable, next } = page;
    let mut read = Page::whole(rows.into_iter().map(read));
    read.unreadable.extend(unreadable);
    Page { next, ..read }
}

fn about(subject: Subject) -> impl FnOnce(Unreadable) -> StoreError {
    |bad| StoreError::Unreadable { subject, defect: bad.defect }
}

#[async_trait]
impl Catalog for Damaged {
    async fn plugin_put(&self, request: PutPlugin) -> Result<PluginPut, StoreError> {
        self.inner.plugin_put(request).await
    }

    async fn plugin_get(&self, name: &PluginName) -> Result<Option<PluginVersion>, StoreError> {
        let found = self.inner.plugin_get(name).await?.map(|version| self.plugin(version)).transpose();
        found.map_err(about(Subject::Plugin(name.clone())))
    }

    async fn plugin_list(&self) -> Result<Page<PluginVersion>, StoreError> {
        Ok(page(self.inner.plugin_list().await?, |version| self.plugin(version)))
    }

    async fn plugin_history(&self, name: &PluginName) -> Result<Page<PluginVersion>, StoreError> {
        self.inner.plugin_history(name).await
    }

    async fn plugin_activate(&self, request: ActivatePlugin) -> Result<PluginPut, StoreError> {
        self.inner.plugin_activate(request).await
    }

    async fn plugin_stage(&self, request: StagePlugin) -> Result<Put, StoreError> {
        self.inner.plugin_stage(request).await
    }

    async fn rollout_get(&self, name: &PluginName) -> Result<Option<Rollout>, StoreError> {
        self.inner.rollout_get(name).await
    }

    async fn rollout_put(&self, request: PutRollout) -> Result<Rollout, StoreError> {
        self.inner.rollout_put(request).await
    }

    async fn rollout_end(&self, request: EndRollout) -> Result<RolloutEnded, StoreError> {
        self.inner.rollout_end(request).await
    }

    async fn rollout_count(&self, request: CountRollout) -> Result<Option<Rollout>, StoreError> {
        self.inner.rollout_count(request).await
    }

    async fn plugin_prune(&self, request: PrunePlugin) -> Result<Pruned, StoreError> {
        self.inner.plugin_prune(request).await
    }

    async fn plugin_remove(&self, name: &PluginName) -> Result<Option<Vec<TaskId>>, StoreError> {
        self.inner.plugin_remove(name).await
    }

    async fn plugin_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.plugin_bytes(digest).await
    }

    async fn task_put(&self, task: Task) -> Result<Put, StoreError> {
        self.inner.task_put(task).await
    }

    async fn task_get(&self, id: &TaskId) -> Result<Option<TaskRow>, StoreError> {
        self.count("task_get");
        {
            let mut damage = self.damage();
            if damage.failing_lookups > 0 {
                damage.failing_lookups -= 1;
                return Err(refused("task_get", Refusal::Transient));
            }
        }
        let Some(TaskRow { task, running_jobs }) = self.inner.task_get(id).await? else { return Ok(None) };
        let task = self.task(task).map_err(about(Subject::Task(id.clone())))?;
        Ok(Some(TaskRow { task, running_jobs }))
    }

    async fn task_list(&self) -> Result<Page<TaskRow>, StoreError> {
        let read = |row: TaskRow| self.task(row.task).map(|task| TaskRow { task, running_jobs: row.running_jobs });
        Ok(page(self.inner.task_list().await?, read))
    }

    async fn task_remove(&self, id: &TaskId) -> Result<bool, StoreError> {
        self.inner.task_remove(id).await
    }

    async fn catalog_revision(&self) -> Result<i64, StoreError> {
        self.inner.catalog_revision().await
    }
}

#[async_trait]
impl ScheduleQueue for Damaged {
    async fn schedule_add(&self, request: AddSchedule) -> Result<ScheduleAdded, StoreError> {
        self.inner.schedule_add(request).await
    }

    async fn schedule_add_all(&self, requests: Vec<AddSchedule>) -> Result<Vec<ScheduleAdded>, StoreError> {
        self.inner.schedule_add_all(requests).await
    }

    async fn schedule_get(&self, id: &ScheduleId) -> Result<Option<Schedule>, StoreError> {
        let found = self.inner.schedule_get(id).await?.map(|schedule| self.schedule(schedule)).transpose();
        found.map_err(about(Subject::Schedule(id.clone())))
    }

    async fn schedule_list(&self, filter: ScheduleFilter) -> Result<Page<Schedule>, StoreError> {
        Ok(page(self.inner.schedule_list(filter).await?, |schedule| self.schedule(schedule)))
    }

    async fn schedule_remove(&self, id: &ScheduleId) -> Result<Option<RemovedSchedule>, StoreError> {
        self.inner.schedule_remove(id).await
    }

    async fn schedule_pause(&self, request: PauseSchedule) -> Result<Schedule, StoreError> {
        self.inner.schedule_pause(request).await
    }

    async fn schedule_unpause(&self, request: UnpauseSchedule) -> Result<Schedule, StoreError> {
        self.inner.schedule_unpause(request).await
    }

    async fn schedule_set(&self, request: SetSchedule) -> Result<(), StoreError> {
        self.inner.schedule_set(request).await
    }

    async fn schedule_acquire(&self, request: AcquireSchedules) -> Result<AcquiredSchedules, StoreError> {
        self.count("schedule_acquire");
        if !self.damage().locked.is_empty() {
            return Ok(AcquiredSchedules { now: request.now, schedules: Vec::new(), unreadable: Vec::new() });
        }
        let (now, token) = (request.now, request.token);
        let mut acquired = self.inner.schedule_acquire(request).await?;
        for leased in std::mem::take(&mut acquired.schedules) {
            let LeasedSchedule { schedule, task } = leased;
            let task = match task {
                Ok(Some(task)) => self.task(task).map(Some),
                other => other,
            };
            let bad = match self.schedule(schedule.clone()) {
                Ok(schedule) => {
                    acquired.schedules.push(LeasedSchedule { schedule, task });
                    continue;
                }
                Err(bad) => bad,
            };
            let since = schedule.next_fire_time.unwrap_or(now);
            let then = if bad.defect.is_newer() {
                AfterFire::PutOff { until: rules::put_off(now, since) }
            } else {
                AfterFire::Pause(Pause::Failed(bad.defect.to_string()))
            };
            let fire = FireSchedule {
                id: schedule.id,
                token,
                jobs: Vec::new(),
                trigger_state: schedule.trigger_state,
                next_fire_time: schedule.next_fire_time,
                last_fire_time: None,
                at: now,
                overlap: Overlap::default(),
                max_fires: None,
                continues: false,
                passed: None,
                then,
            };
            self.inner.schedule_fire(vec![fire]).await?;
            acquired.unreadable.push(bad);
        }
        Ok(acquired)
    }

    async fn schedule_history(&self, request: ReadHistory) -> Result<Page<FireLine>, StoreError> {
        self.inner.schedule_history(request).await
    }

    async fn schedule_fire(&self, fires: Vec<FireSchedule>) -> Result<Vec<Fired>, StoreError> {
        self.count("schedule_fire");
        let refusal = {
            let damage = self.damage();
            let mut with_jobs = fires.iter().filter(|fire| !fire.jobs.is_empty());
            with_jobs.find_map(|fire| damage.refused_fires.get(&fire.id).copied())
        };
        match refusal {
            Some(refusal) => Err(refused("schedule_fire", refusal)),
            None => self.inner.schedule_fire(fires).await,
        }
    }

    async fn schedule_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.schedule_next_due().await
    }

    async fn schedule_counts(&self) -> Result<ScheduleCounts, StoreError> {
        self.inner.schedule_counts().await
    }
}

#[async_trait]
impl JobQueue for Damaged {
    fn lease_line(&self) -> Box<dyn LeaseLine> {
        self.inner.lease_line()
    }

    async fn job_add(&self, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, StoreError> {
        self.inner.job_add(jobs).await
    }

    async fn job_add_unique(&self, jobs: Vec<JobSpec>) -> Result<Vec<JobId>, StoreError> {
        self.inner.job_add_unique(jobs).await
    }

    async fn job_get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let found = self.inner.job_get(id).await?.map(|job| self.job(job)).transpose();
        found.map_err(about(Subject::Job(id)))
    }

    async fn job_list(&self, filter: JobFilter) -> Result<Page<Job>, StoreError> {
        Ok(page(self.inner.job_list(filter).await?, |job| self.job(job)))
    }

    async fn job_acquire(&self, request: AcquireJobs) -> Result<AcquiredJobs, StoreError> {
        self.count("job_acquire");
        let now = request.now;
        let acquired = self.inner.job_acquire(request).await?;
        self.readable(acquired, now).await
    }

    async fn job_extend(&self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError> {
        self.inner.job_extend(request).await
    }

    async fn job_report(&self, reports: Vec<JobReport>) -> Result<(), StoreError> {
        self.inner.job_report(reports).await
    }

    async fn job_release(&self, request: ReleaseJobs) -> Result<Vec<Released>, StoreError> {
        self.count("job_release");
        self.check_results("job_release", &request)?;
        self.inner.job_release(request).await
    }

    async fn job_exchange(&self, request: ExchangeJobs) -> Result<ExchangedJobs, StoreError> {
        self.count("job_exchange");
        self.check_results("job_exchange", &request.release)?;
        let now = request.acquire.now;
        let ExchangedJobs { released, acquired } = self.inner.job_exchange(request).await?;
        Ok(ExchangedJobs { released, acquired: self.readable(acquired, now).await? })
    }

    async fn job_cancel(&self, id: JobId, grace: Option<Duration>, now: Timestamp) -> Result<Cancelled, StoreError> {
        self.inner.job_cancel(id, grace, now).await
    }

    async fn job_cancel_asked(&self, leases: Vec<(JobId, LeaseToken)>) -> Result<Vec<CancelAsked>, StoreError> {
        self.inner.job_cancel_asked(leases).await
    }

    async fn job_retry(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        self.inner.job_retry(id, now).await
    }

    async fn job_logs(&self, request: ReadLogs) -> Result<LogPage, StoreError> {
        self.inner.job_logs(request).await
    }

    async fn job_next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.inner.job_next_due(now).await
    }

    async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        self.inner.job_counts().await
    }

    async fn queue_list(&self) -> Result<Vec<QueueRow>, StoreError> {
        self.inner.queue_list().await
    }

    async fn queues_paused(&self) -> Result<Vec<QueueName>, StoreError> {
        self.inner.queues_paused().await
    }

    async fn queue_pause(&self, queue: QueueName, pause: bool) -> Result<bool, StoreError> {
        self.inner.queue_pause(queue, pause).await
    }
}

#[async_trait]
impl Housekeeping for Damaged {
    async fn recover(&self, request: Recover) -> Result<Recovered, StoreError> {
        self.inner.recover(request).await
    }

    async fn trim_history(&self, request: TrimHistory) -> Result<Option<String>, StoreError> {
        self.inner.trim_history(request).await
    }

    async fn cleanup(&self, now: Timestamp, limit: usize) -> Result<CleanedUp, StoreError> {
        self.inner.cleanup(now, limit).await
    }

    async fn scheduler_put(&self, request: PutScheduler) -> Result<SchedulerPut, StoreError> {
        self.inner.scheduler_put(request).await
    }

    async fn scheduler_list(&self) -> Result<Page<SchedulerRow>, StoreError> {
        self.inner.scheduler_list().await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn store_clock(&self) -> Result<StoreTime, StoreError> {
        self.inner.store_clock().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl KeyValue for Damaged {
    async fn kv_buckets(&self) -> Result<Vec<KvBucket>, StoreError> {
        self.inner.kv_buckets().await
    }

    async fn kv_create(&self, buckets: Vec<BucketName>) -> Result<(), StoreError> {
        self.inner.kv_create(buckets).await
    }

    async fn kv_get(&self, request: GetKv) -> Result<Option<KvEntry>, StoreError> {
        self.inner.kv_get(request).await
    }

    async fn kv_list(&self, request: ListKv) -> Result<KvPage, StoreError> {
        self.inner.kv_list(request).await
    }

    async fn kv_write(&self, request: WriteKv) -> Result<(), StoreError> {
        self.inner.kv_write(request).await
    }
}

#[async_trait]
impl Transfer for Damaged {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.inner.snapshot().await
    }

    async fn restore(&self, request: Restore) -> Result<Vec<Restored>, StoreError> {
        self.inner.restore(request).await
    }
}
