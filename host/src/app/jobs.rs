//! Jobs: submit, look at, wait for, cancel, retry.

use std::time::Duration;

use super::arguments::Callee;
use super::check::{check_new_id, check_span};
use super::{App, AppError, AppResult, Arguments};
use crate::broker::{Delivery, Subscription};
use crate::model::limits::{GROUP_BYTES_MAX, PAGE_ROWS_MAX, UNIQUE_KEY_BYTES_MAX};
use crate::model::{
    EventKind, Job, JobId, JobSettings, JobSpec, JobState, LogLine, Outcome, Payload, ReleasedJob, Settings, Task,
    Timestamp, UniqueKey,
};
use crate::store::{Cancelled, JobFilter, ReadLogs, StoreError, Unreadable};

/// A job that is to be queued.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The task, by id or bare name.
    pub task: String,
    /// Compared with the task's schema, unless `unchecked` is set.
    pub args: Arguments,
    /// Its own settings, over its task's.
    pub settings: Settings,
    /// Hand the arguments to the task as they are, without comparing them with its schema.
    pub unchecked: bool,
    /// When it may start.
    pub start: JobStart,
    /// The group that it is put into, to be listed, cancelled and tried again with the others.
    pub group: Option<String>,
}

/// A key that keeps a second job of the same task from being queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key.
    pub key: String,
    /// For how long; `None`: as long as the job is kept, which is until its result expires. A job is kept for that long at least.
    pub within: Option<Duration>,
}

/// What asking for a job with a unique key found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The job that has the key.
    pub id: JobId,
    /// Whether it was queued by this call.
    pub is_new: bool,
}

/// When a job may start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JobStart {
    /// At once.
    #[default]
    Now,
    /// Not before this time. One that has passed is as good as now.
    At(Timestamp),
    /// So much later than it is queued, by the store's clock.
    In(Duration),
}

impl NewJob {
    /// A job of that task without arguments, with the task's settings.
    pub fn new(task: impl Into<String>) -> NewJob {
        NewJob {
            task: task.into(),
            args: Arguments::Absent,
            settings: Settings::default(),
            unchecked: false,
            start: JobStart::Now,
            group: None,
        }
    }
}

/// A page of jobs, youngest first.
#[derive(Debug, Clone, PartialEq)]
pub struct JobList {
    /// Those that can be read.
    pub jobs: Vec<Job>,
    /// Those that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Where the next page begins, in `filter.after`; `None` where there are no more.
    pub next: Option<String>,
}

/// What cancelling a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelJob {
    /// It was queued and has ended.
    Ended,
    /// It is running and was asked to stop.
    Asked,
}

/// What a job wrote since one looked last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLines {
    /// The lines, in order.
    pub lines: Vec<LogLine>,
    /// Lines among them that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Where to go on reading.
    pub next: Option<(u32, u32)>,
}

impl NewLines {
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.unreadable.is_empty()
    }
}

/// How often waiting looks into the store although nobody told it to: a hint may be lost.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl App {
    /// Queues a job.
    ///
    /// # Errors
    /// [`AppError::NotFound`] for the task and for the version it is pinned to; [`AppError::Invalid`] for settings that are not acceptable and for arguments that do not fit the
    /// task's schema, with the path of each fault.
    pub async fn job_submit(&self, new: NewJob) -> AppResult<JobId> {
        let spec = self.job_spec(new).await?;
        let (id, task_id) = (spec.id, spec.task_id.clone());
        self.store.job_add(vec![spec]).await?;
        self.publish(vec![EventKind::JobAdded { job_id: id, task_id, schedule_id: None }]).await;
        Ok(id)
    }

    /// Queues a job, unless its task has one with that key, and answers the one that has it. However many ask at the same time, one is queued.
    ///
    /// # Errors
    /// As [`App::job_submit`]; [`AppError::Invalid`] also for a key that is empty, too long, or has characters that do not show.
    pub async fn job_submit_unique(&self, new: NewJob, unique: Unique) -> AppResult<Submitted> {
        let task = self.task_for(&new).await?;
        let spec = self.job_spec_of(task, new, Some(unique)).await?;
        let (own, task_id) = (spec.id, spec.task_id.clone());
        let answers = self.store.job_add_unique(vec![spec]).await?;
        let id = answers.first().copied().unwrap_or(own);
        if id == own {
            self.publish(vec![EventKind::JobAdded { job_id: id, task_id, schedule_id: None }]).await;
        }
        Ok(Submitted { id, is_new: id == own })
    }

    /// The job that is asked for.
    async fn job_spec(&self, new: NewJob) -> AppResult<JobSpec> {
        let task = self.task_for(&new).await?;
        self.job_spec_of(task, new, None).await
    }

    /// The task of a job, in the version that the job is pinned to.
    pub(super) async fn task_for(&self, new: &NewJob) -> AppResult<Task> {
        let task = self.task_resolve(&new.task).await?.task;
        self.task_pinned(task, new.settings.version).await
    }

    /// The job that is asked for, of a task that was looked up.
    pub(super) async fn job_spec_of(&self, task: Task, mut new: NewJob, unique: Option<Unique>) -> AppResult<JobSpec> {
        self.check_job_settings(&new.settings)?;
        self.check_hooks(&mut new.settings.hooks, &task.id).await?;
        if let JobStart::In(span) = new.start {
            check_span("the delay", span)?;
        }
        unique.as_ref().map_or(Ok(()), check_unique)?;
        new.group.as_deref().map_or(Ok(()), check_group)?;
        let args = new.args.payload(Callee::of(&task, new.unchecked), &self.caps)?;
        let settings = job_settings(&new.settings.over(&task.layered()), &args);
        let now = self.now().await?;
        let due_at = match new.start {
            JobStart::Now => now,
            JobStart::At(time) => time.max(now),
            JobStart::In(span) => now.saturating_add(span),
        };
        let mut spec = JobSpec { due_at, ..JobSpec::direct(self.next_job_id(), task.id, args, settings, now) };
        spec.settings.group = new.group;
        if let Some(Unique { key, within }) = unique {
            let until = within.map(|within| now.saturating_add(within));
            // Whoever asks within that time is to find the job.
            spec.settings.result_ttl = spec.settings.result_ttl.max(within.unwrap_or_default());
            spec.settings.unique_key = Some(UniqueKey { key, until });
        }
        Ok(spec)
    }

    /// The job of that id.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn job_get(&self, id: JobId) -> AppResult<Job> {
        self.store.job_get(id).await?.ok_or_else(|| unknown_job(id))
    }

    /// Jobs that pass `filter`, youngest first, at most `limit`. `filter.limit` is this method's business.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn job_list(&self, mut filter: JobFilter, limit: usize) -> AppResult<JobList> {
        let mut list = JobList { jobs: Vec::new(), unreadable: Vec::new(), next: None };
        loop {
            filter.limit = (limit - list.jobs.len()).clamp(1, PAGE_ROWS_MAX);
            let page = self.store.job_list(filter.clone()).await?;
            list.jobs.extend(page.rows);
            list.unreadable.extend(page.unreadable);
            list.next = page.next;
            if list.next.is_none() || list.jobs.len() >= limit {
                return Ok(list);
            }
            filter.after = list.next.clone();
        }
    }

    /// Waits until a job has ended, however that is, and answers it.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also where the job is cleaned up while one waits.
    pub async fn job_wait(&self, id: JobId) -> AppResult<Job> {
        self.job_wait_within(id, None).await
    }

    /// As [`App::job_wait`], but for no longer than `limit`. The job that is answered then has not ended.
    ///
    /// # Errors
    /// As [`App::job_wait`].
    pub async fn job_wait_within(&self, id: JobId, limit: Option<Duration>) -> AppResult<Job> {
        // Subscribed before the first look, so that an end between the two is heard.
        let mut hints = self.broker.subscribe();
        let began = self.clock.monotonic();
        loop {
            let job = self.job_get(id).await?;
            let waited = self.clock.monotonic().saturating_since(began);
            let left = limit.map_or(LOOK_AGAIN, |limit| limit.saturating_sub(waited).min(LOOK_AGAIN));
            if job.state == JobState::Finished || left.is_zero() {
                return Ok(job);
            }
            self.wait_for_news(&mut hints, id, left).await;
        }
    }

    /// Cancels a job, whether it can be read or not: a queued one ends at once, a running one is asked to stop, and
    /// stopped when it has not within `grace`; `None` leaves that to its worker, see [`Options::cancel_grace`](crate::scheduler::Options).
    /// Whoever asks again with another grace period is heeded.
    ///
    /// Code in the sandbox is stopped wherever it is. A native task is stopped where it awaits: code of it that computes, or blocks its
    /// thread, goes on, while its job has ended or its lease runs out.
    ///
    /// # Errors
    /// [`AppError::NotFound`]; [`AppError::Refused`] where it has ended; [`AppError::Invalid`] for a grace period that is too long.
    pub async fn job_cancel(&self, id: JobId, grace: Option<Duration>) -> AppResult<CancelJob> {
        grace.map_or(Ok(()), |grace| check_span("the grace period", grace))?;
        let task_id = match self.store.job_get(id).await {
            Ok(Some(job)) => Some(job.spec.task_id),
            Ok(None) => return Err(unknown_job(id)),
            // It can be ended nevertheless. Nobody hears of that, as an event names the task.
            Err(StoreError::Unreadable { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        match self.store.job_cancel(id, grace, self.now().await?).await? {
            Cancelled::AlreadyFinished => Err(AppError::refused(format!("job {id} has ended already"))),
            Cancelled::Asked => {
                self.publish(vec![EventKind::JobCancelRequested { job_id: id }]).await;
                Ok(CancelJob::Asked)
            }
            Cancelled::Ended => {
                let released = |task_id| ReleasedJob::new(id, task_id, Some(Outcome::Cancelled)).into();
                self.publish(task_id.map(released).into_iter().collect()).await;
                Ok(CancelJob::Ended)
            }
        }
    }

    /// Puts a job that has ended back into the queue for one more attempt, on the version of its plugin that is current then, unless it is
    /// pinned to one.
    ///
    /// # Errors
    /// [`AppError::NotFound`]; [`AppError::Refused`] where it has not ended.
    pub async fn job_retry(&self, id: JobId) -> AppResult<Job> {
        let job = self.store.job_retry(id, self.now().await?).await?;
        let (task_id, schedule_id) = (job.spec.task_id.clone(), job.spec.schedule_id.clone());
        self.publish(vec![EventKind::JobAdded { job_id: id, task_id, schedule_id }]).await;
        Ok(job)
    }

    /// The log lines of a job after a place; `None` is the beginning.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn job_logs(&self, id: JobId, after: Option<(u32, u32)>) -> AppResult<NewLines> {
        self.job_get(id).await?;
        let page = self.store.job_logs(ReadLogs { id, after, limit: PAGE_ROWS_MAX }).await?;
        Ok(NewLines { lines: page.lines, unreadable: page.unreadable, next: page.last.or(after) })
    }

    /// As [`App::job_logs`], but waits for lines to come. `None` once the job has ended and everything it wrote has been read.
    ///
    /// # Errors
    /// As [`App::job_logs`].
    pub async fn job_logs_follow(&self, id: JobId, after: Option<(u32, u32)>) -> AppResult<Option<NewLines>> {
        let mut hints = self.broker.subscribe();
        loop {
            // Read in this order: what a job wrote is stored with its end, so lines that come after an end do not exist.
            let has_ended = self.job_get(id).await?.state == JobState::Finished;
            let news = self.job_logs(id, after).await?;
            match (news.is_empty(), has_ended) {
                (false, _) => return Ok(Some(news)),
                (true, true) => return Ok(None),
                (true, false) => self.wait_for_news(&mut hints, id, LOOK_AGAIN).await,
            }
        }
    }

    /// Waits for an event about a job, for a hint, or for that long, whatever comes first.
    async fn wait_for_news(&self, hints: &mut Subscription, id: JobId, at_most: Duration) {
        let timer = self.clock.sleep(at_most);
        tokio::pin!(timer);
        loop {
            let delivery = tokio::select! {
                delivery = hints.next() => delivery,
                () = &mut timer => return,
            };
            match delivery {
                Some(Delivery::Event(event)) if !is_about(&event.kind, id) => {}
                Some(_) => return,
                // The broker is closed; only the timer is left.
                None => return timer.await,
            }
        }
    }
}

fn check_unique(unique: &Unique) -> AppResult<()> {
    let Unique { key, within } = unique;
    if key.is_empty() || key.len() > UNIQUE_KEY_BYTES_MAX || key.trim() != key {
        let what = format!(
            "the unique key `{key}` is empty, longer than {UNIQUE_KEY_BYTES_MAX} bytes, or has blanks around it"
        );
        return Err(AppError::invalid(what).with_hint("take an order's number, a message's ID, or a checksum"));
    }
    check_new_id("unique key", key)?;
    within.map_or(Ok(()), |within| check_span("the time of the unique key", within))
}

fn check_group(group: &str) -> AppResult<()> {
    if group.is_empty() || group.len() > GROUP_BYTES_MAX || group.trim() != group {
        let what =
            format!("the group `{group}` is empty, longer than {GROUP_BYTES_MAX} bytes, or has blanks around it");
        return Err(AppError::invalid(what).with_hint("take a short name, such as `import-2026-05-01`"));
    }
    check_new_id("group", group)
}

/// The settings that a job carries, from the layers of its task and its own laid over each other.
pub(super) fn job_settings(layers: &Settings, args: &Payload) -> JobSettings {
    layers.resolve().for_job(args)
}

fn is_about(kind: &EventKind, id: JobId) -> bool {
    match kind {
        EventKind::JobReleased(job) => job.job_id == id,
        EventKind::JobAcquired { job_id, .. }
        | EventKind::JobRemoved { job_id }
        | EventKind::JobDeserializationFailed { job_id, .. } => *job_id == id,
        _ => false,
    }
}

fn unknown_job(id: JobId) -> AppError {
    AppError::not_found("job", id).with_hint("`host jobs` lists jobs; a job is removed when its result expires")
}
