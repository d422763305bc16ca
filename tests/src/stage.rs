//! A stage for schedulers: a memory store, a clock that is moved by hand, and an executor that does what the test says.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use host::broker::local::LocalBroker;
use host::broker::{Broker, BrokerError, Subscription};
use host::clock::{Clock, ManualClock};
use host::executor::{Executor, Finished, Invocation, Offers, Retry, RunControl, Verdict};
use host::model::{
    Coalesce, ConflictPolicy, ErrorKind, Event, Job, JobError, JobId, JobIdSource, JobSpec, JobState, Parallelism,
    Payload, Schedule, ScheduleId, ScheduleLife, SchedulerId, Settings, Target, Task, TaskId, TaskName, Timestamp,
};
use host::scheduler::{Executors, Handle, Options, Parts, Scheduler, StopReport};
use host::store::memory::MemoryStore;
use host::store::store_clock::StoreClock;
use host::store::{AddSchedule, Store};
use host::trigger::Trigger;
use tokio_util::sync::CancellationToken;

use crate::wait::wait_for;

/// What a scripted function does with an attempt.
pub type Script = Arc<dyn Fn(Invocation, RunControl) -> BoxFuture<'static, Verdict> + Send + Sync>;

/// An executor that does what the test says.
#[derive(Default)]
pub struct ScriptedExecutor {
    scripts: Mutex<HashMap<TaskName, Script>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
    attempts: Mutex<Vec<(JobId, u32)>>,
}

impl ScriptedExecutor {
    /// The attempts that were begun, in order.
    pub fn attempts(&self) -> Vec<(JobId, u32)> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most attempts that ran at the same time.
    pub fn most_running(&self) -> usize {
        self.most_running.load(Ordering::SeqCst)
    }

    /// The attempts that run now.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

/// Counts an attempt for as long as it lives, also when it is dropped in the middle.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Executor for ScriptedExecutor {
    async fn run(&self, invocation: Invocation, control: RunControl) -> Finished {
        if !control.may_begin.ask() {
            return Finished::of(Verdict::Cancelled);
        }
        let now_running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _counted = Counted(&self.running);
        self.most_running.fetch_max(now_running, Ordering::SeqCst);
        let begun = (invocation.job.spec.id, invocation.job.attempt);
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).push(begun);
        let function = invocation.runnable.target.function().clone();
        let script = self.scripts.lock().unwrap_or_else(PoisonError::into_inner).get(&function).cloned();
        let script = script.unwrap_or_else(|| panic!("the test has no script for {function}"));
        let verdict = script(invocation, control).await;
        Finished::of(verdict)
    }

    fn offers(&self) -> Offers {
        Offers::Functions(self.scripts.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect())
    }
}

/// Ends well at once.
pub fn succeed() -> Script {
    Arc::new(|_, _| Box::pin(async { Verdict::Success(Payload::json(&serde_json::json!("done"))) }))
}

/// Fails at once.
pub fn fail(retry: Retry) -> Script {
    Arc::new(move |invocation, _| {
        let error = JobError::new(ErrorKind::GuestError, format!("attempt {} failed", invocation.job.attempt));
        Box::pin(async move { Verdict::Failure { error, retry } })
    })
}

/// Runs until it is asked to stop, and then says that it was.
pub fn run_until_cancelled() -> Script {
    Arc::new(|_, control| {
        Box::pin(async move {
            control.cancel.cancelled().await;
            Verdict::Cancelled
        })
    })
}

/// Runs until it is killed, whatever it is asked.
pub fn run_until_killed() -> Script {
    Arc::new(|_, control| {
        Box::pin(async move {
            control.kill.cancelled().await;
            Verdict::Cancelled
        })
    })
}

/// Runs until the test opens the gate.
pub fn run_until(gate: &Arc<tokio::sync::Semaphore>) -> Script {
    run_until_either(gate, |control| control.kill.clone())
}

/// Runs until the test opens the gate, or it is asked to stop.
pub fn run_until_cancelled_or(gate: &Arc<tokio::sync::Semaphore>) -> Script {
    run_until_either(gate, |control| control.cancel.clone())
}

fn run_until_either(gate: &Arc<tokio::sync::Semaphore>, stop: fn(&RunControl) -> CancellationToken) -> Script {
    let gate = Arc::clone(gate);
    Arc::new(move |_, control| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            tokio::select! {
                permit = gate.acquire() => permit.expect("a gate is never closed").forget(),
                () = stop(&control).cancelled_owned() => return Verdict::Cancelled,
            }
            Verdict::Success(Payload::no_args())
        })
    })
}

/// A broker that delivers nothing to anyone.
pub struct SilentBroker {
    // Kept, so that subscriptions stay open and silent.
    senders: Mutex<Vec<tokio::sync::mpsc::Sender<host::broker::Delivery>>>,
}

#[async_trait]
impl Broker for SilentBroker {
    async fn publish(&self, _events: Vec<Event>) -> Result<(), BrokerError> {
        Ok(())
    }

    fn subscribe(&self) -> Subscription {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Subscription::new(receiver)
    }

    async fn reaches_other_processes(&self) -> bool {
        false
    }

    async fn close(&self) {}
}

/// Where schedulers of a test play.
pub struct Stage {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The clock.
    pub clock: ManualClock,
    /// What runs the jobs of the schedulers that [`Stage::start`] starts.
    pub executor: Arc<ScriptedExecutor>,
    ids: Mutex<JobIdSource>,
}

/// When every test begins.
pub const NOON: &str = "2026-05-01T12:00:00Z";

impl Default for Stage {
    fn default() -> Self {
        let clock = ManualClock::new(NOON.parse().expect("a time"));
        let store = Arc::new(MemoryStore::with_clock(Arc::new(clock.clone())));
        Stage { clock, ..Stage::with_store(store) }
    }
}

impl Stage {
    /// A stage on another store.
    pub fn with_store(store: Arc<dyn Store>) -> Stage {
        Stage {
            store,
            broker: Arc::new(LocalBroker::new()),
            clock: ManualClock::new(NOON.parse().expect("a time")),
            executor: Arc::new(ScriptedExecutor::default()),
            ids: Mutex::new(JobIdSource::new(fastrand::Rng::with_seed(1))),
        }
    }

    /// The same by another clock.
    #[must_use]
    pub fn by(self, clock: ManualClock) -> Stage {
        Stage { clock, ..self }
    }

    /// The same clock and executor with another store in front, and a broker of its own.
    #[must_use]
    pub fn with_same_players(&self, store: Arc<dyn Store>) -> Stage {
        Stage { clock: self.clock.clone(), executor: Arc::clone(&self.executor), ..Stage::with_store(store) }
    }

    /// The same with a broker that delivers nothing.
    #[must_use]
    pub fn silent(self) -> Stage {
        Stage { broker: Arc::new(SilentBroker { senders: Mutex::new(Vec::new()) }), ..self }
    }

    /// The usual options for a scheduler of that identity, all of which runs on the runtime of the test.
    pub fn options(identity: &str) -> Options {
        let options = Options::new(SchedulerId::new(identity).expect("an identity"));
        Options { has_lease_thread: false, spare_slots: Some(0), ..options }
    }

    /// What schedulers on this stage work with, and this executor.
    pub fn parts(&self, executor: Arc<ScriptedExecutor>) -> Parts {
        Parts {
            store: Arc::clone(&self.store),
            broker: Arc::clone(&self.broker),
            executors: Executors::default().with(Executors::INLINE.parse().expect("a name"), executor),
            time: Arc::new(StoreClock::new(Arc::new(self.clock.clone()))),
        }
    }

    /// Starts a scheduler.
    pub async fn start(&self, options: Options) -> Handle {
        let started = Scheduler::start(self.parts(Arc::clone(&self.executor)), options).await;
        settle().await;
        started.expect("the scheduler starts")
    }

    /// Puts a task into the store, and what it does into the executor.
    pub async fn task(&self, name: &str, settings: Settings, script: Script) -> TaskId {
        let function = TaskName::new(name).expect("a name");
        self.executor.scripts.lock().unwrap_or_else(PoisonError::into_inner).insert(function.clone(), script);
        let task = Task {
            id: TaskId::new(name).expect("an id"),
            target: Target::Native { function },
            description: String::new(),
            args_schema: None,
            result_schema: None,
            example_args: None,
            configured: settings,
            declared: Settings::default(),
            defaults: Settings::default(),
        };
        self.store.task_put(task.clone()).await.expect("the store takes a task");
        task.id
    }

    /// A job of a task, not queued yet.
    pub async fn job(&self, task_id: &TaskId) -> JobSpec {
        let task = self.store.task_get(task_id).await.expect("the store answers").expect("the task exists").task;
        let now = self.clock.now();
        let id = self.ids.lock().unwrap_or_else(PoisonError::into_inner).next(now);
        JobSpec::direct(id, task_id.clone(), Payload::no_args(), task.resolved().for_job(&Payload::no_args()), now)
    }

    /// Queues a job and tells everyone.
    pub async fn submit(&self, job: JobSpec) -> JobId {
        let (job_id, task_id) = (job.id, job.task_id.clone());
        self.store.job_add(vec![job]).await.expect("the store takes a job");
        let kind = host::model::EventKind::JobAdded { job_id, task_id, schedule_id: None };
        self.broker.publish(vec![Event { at: self.clock.now(), kind }]).await.expect("the broker takes an event");
        job_id
    }

    /// Puts a schedule into the store.
    pub async fn schedule(&self, id: &str, task_id: &TaskId, trigger: &str, coalesce: Coalesce) -> ScheduleId {
        self.schedule_with(id, task_id, trigger, coalesce, Settings::default()).await
    }

    /// The same with settings of its own.
    pub async fn schedule_with(
        &self,
        id: &str,
        task_id: &TaskId,
        trigger: &str,
        coalesce: Coalesce,
        settings: Settings,
    ) -> ScheduleId {
        let created_at = self.clock.now();
        let trigger = Trigger::from_json(trigger, created_at).expect("a trigger");
        let schedule = Schedule {
            id: ScheduleId::new(id).expect("an id"),
            life: ScheduleLife::default(),
            task_id: task_id.clone(),
            trigger: trigger.to_json().to_string(),
            trigger_state: trigger.initial_state().to_json(),
            args: Payload::no_args(),
            coalesce,
            max_jitter: Duration::ZERO,
            settings,
            pause: None,
            next_fire_time: Some(trigger.first_fire().expect("it fires").at),
            last_fire_time: None,
            overruns_since: None,
            fire_count: 0,
            failures: 0,
            created_at,
        };
        let id = schedule.id.clone();
        self.store.schedule_add(AddSchedule { schedule, conflict: ConflictPolicy::Error }).await.expect("a new id");
        id
    }

    /// The job as it is stored.
    pub async fn stored(&self, id: JobId) -> Job {
        self.store.job_get(id).await.expect("the store answers").expect("the job exists")
    }

    /// Waits until the job has finished; the clock stands still.
    pub async fn finished(&self, id: JobId) -> Job {
        wait_for("the job to finish", || async {
            Some(self.stored(id).await).filter(|job| job.state == JobState::Finished)
        })
        .await
    }

    /// Moves the clock on in steps until the condition holds.
    pub async fn advance_until<F: Future<Output = bool>>(
        &self,
        what: &str,
        step: Duration,
        mut condition: impl FnMut() -> F,
    ) {
        wait_for(what, || {
            let holds = condition();
            async move {
                if holds.await {
                    return Some(());
                }
                self.clock.advance(step);
                None
            }
        })
        .await;
    }

    /// Lets `span` pass, at least five seconds, and waits until every lease of a living worker was extended and every scheduler has been
    /// seen again: for a test in which nobody is to be late.
    pub async fn pass(&self, span: Duration) {
        self.pass_by(|| self.clock.advance(span)).await;
    }

    /// The same, where the test has clocks of its own.
    pub async fn pass_by(&self, advance: impl FnOnce()) {
        settle().await;
        let before = (self.leases().await, self.heard_of().await);
        advance();
        wait_for("leases to be extended and schedulers to be seen", || async {
            let (leases, heard_of) = (self.leases().await, self.heard_of().await);
            // A job that has ended meanwhile has no lease any more.
            let is_extended = before.0.iter().all(|(id, end)| leases.get(id).is_none_or(|now| now != end));
            let is_heard = before.1.iter().all(|(id, at)| heard_of.get(id).is_none_or(|now| now != at));
            (is_extended && is_heard).then_some(())
        })
        .await;
    }

    /// Lets `span` pass, at least five seconds, and waits until every scheduler has been seen again.
    pub async fn pass_heard(&self, span: Duration) {
        settle().await;
        let before = self.heard_of().await;
        self.clock.advance(span);
        wait_for("schedulers to be seen", || async {
            let heard_of = self.heard_of().await;
            before.iter().all(|(id, at)| heard_of.get(id).is_none_or(|now| now != at)).then_some(())
        })
        .await;
    }

    /// The ends of the leases that schedulers hold which were seen.
    async fn leases(&self) -> HashMap<JobId, Timestamp> {
        let alive = self.heard_of().await;
        let leases = self.jobs().await.into_iter().filter_map(|job| Some((job.spec.id, job.lease?)));
        leases
            .filter(|(_, lease)| alive.contains_key(&lease.holder))
            .map(|(id, lease)| (id, lease.expires_at))
            .collect()
    }

    /// When the schedulers that have not stopped were last seen.
    async fn heard_of(&self) -> HashMap<SchedulerId, Timestamp> {
        let rows = self.store.scheduler_list().await.expect("the store answers").rows;
        rows.into_iter().filter(|row| row.stopped_at.is_none()).map(|row| (row.id, row.seen_at)).collect()
    }

    /// Stops a scheduler while the clock goes on, a second at a time.
    pub async fn stop_in_time(&self, scheduler: Handle) -> StopReport {
        let is_over = AtomicBool::new(false);
        let stopping = async {
            let report = scheduler.stop().await;
            is_over.store(true, Ordering::SeqCst);
            report
        };
        let time =
            self.advance_until("stopping to end", Duration::from_secs(1), || async { is_over.load(Ordering::SeqCst) });
        futures_util::future::join(stopping, time).await.0
    }

    /// Takes back what that scheduler holds, as if it had come back.
    pub async fn take_back_from(&self, identity: &str) {
        let now = self.clock.now();
        let holder = Some(SchedulerId::new(identity).expect("an identity"));
        let request = host::store::Recover { now, over_at: now, spared: Vec::new(), holder, limit: 10 };
        self.store.recover(request).await.expect("the store answers");
    }

    /// All jobs, oldest first.
    pub async fn jobs(&self) -> Vec<Job> {
        let filter = host::store::JobFilter { limit: host::model::limits::PAGE_ROWS_MAX, ..Default::default() };
        let mut rows = self.store.job_list(filter).await.expect("the store answers").rows;
        rows.reverse();
        rows
    }
}

/// Lets everything on this thread go on until it waits for the clock or for the test: where the store is in memory, each task needs but a
/// few turns for that.
pub async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// A layer that only says how many jobs may run at once.
pub fn at_most(count: u32) -> Settings {
    Settings { max_running_jobs: NonZeroU32::new(count).map(Parallelism::AtMost), ..Settings::default() }
}

/// A layer that allows any number of jobs at once.
pub fn unlimited() -> Settings {
    Settings { max_running_jobs: Some(Parallelism::Unlimited), ..Settings::default() }
}

/// A time of the test's day.
pub fn at(time: &str) -> Timestamp {
    format!("2026-05-01T{time}Z").parse().expect("a time of day")
}
