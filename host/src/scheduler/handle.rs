//! Starting and stopping.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::apart::Apart;
use super::core::Core;
use super::incarnation::Life;
use super::metrics::{Measured, Metrics};
use super::notifier::Notifier;
use super::running::{Interrupt, Running};
use super::throttle::Throttle;
use super::{
    Options, Parts, cancellation, housekeeping, identity, job_loop, lease, log_failure, schedule_loop, wake, writer,
};
use crate::clock::{Clock as _, Instant, sleep_until_instant};
use crate::model::{EventKind, SchedulerId, Timestamp};
use crate::store::{PutScheduler, StoreError};

/// How long a killed attempt may take to come back before stopping goes on without it. An executor that keeps its contract needs
/// milliseconds.
const KILLED_WITHIN: Duration = Duration::from_secs(1);

/// How long the rest of stopping may take once the attempts are over: writing what they came to, and saying goodbye. A store that does not
/// answer must not keep a process from ending.
const CLOSED_WITHIN: Duration = Duration::from_secs(3);

/// A scheduler that is about to start.
#[derive(Debug)]
pub struct Scheduler;

/// Why a scheduler did not start.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error("scheduler `{identity}` cannot start")]
    Store {
        /// Which one.
        identity: SchedulerId,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// Another one has its identity, and lives. It was left alone.
    #[error("another scheduler `{identity}` is alive: it was last seen at {seen_at}")]
    IdentityInUse {
        /// The identity.
        identity: SchedulerId,
        /// When the other one was last seen.
        seen_at: Timestamp,
    },
}

impl Scheduler {
    /// Starts a scheduler on the current tokio runtime. It first takes back what an earlier one of the same identity left. Whether that one
    /// lives is known at once if it has said goodbye, or was a process of this machine; otherwise it takes a few seconds.
    ///
    /// # Errors
    /// [`StartError`] when the store cannot be used, or another scheduler of this identity lives; nothing runs then.
    pub async fn start(parts: Parts, options: Options) -> Result<Handle, StartError> {
        let identity = options.identity.clone();
        let failed = |source| StartError::Store { identity: identity.clone(), source };
        let subscription = parts.broker.subscribe();
        let core = Arc::new(core_of(&parts, options));
        core.time.measure(&*core.store, core.quick()).await.map_err(failed)?;
        let started_at = core.time.now();
        identity::claim(&core, started_at).await?;
        // Told before anything that it does.
        core.notifier.publish([EventKind::SchedulerStarted { scheduler_id: core.options.identity.clone() }]);
        housekeeping::take_back_own(&core).await.map_err(failed)?;

        core.spawn_loop("wake", wake::run(Arc::clone(&core), subscription));
        core.spawn_loop("housekeeping", housekeeping::run(Arc::clone(&core), started_at));
        core.spawn_loop("cleanup", housekeeping::clean_up_regularly(Arc::clone(&core)));
        if core.options.role.fires_schedules() {
            core.spawn_loop("schedules", schedule_loop::run(Arc::clone(&core)));
        }
        let writes = serve_attempts(&core);
        if core.options.role.runs_jobs() {
            core.spawn_loop("jobs", job_loop::run(Arc::clone(&core), writes));
        }
        let stop_publishing = CancellationToken::new();
        let notifier = TaskTracker::new();
        notifier.spawn({
            let (core, stop_publishing) = (Arc::clone(&core), stop_publishing.clone());
            async move { core.notifier.run(parts.broker, stop_publishing).await }
        });
        let role = core.options.role.as_str();
        tracing::info!(scheduler.id = %core.options.identity, role, "scheduler started");
        Ok(Handle { core, started_at, notifier, stop_publishing })
    }
}

pub(super) fn core_of(parts: &Parts, options: Options) -> Core {
    let options = options.with_floors();
    Core {
        store: Arc::clone(&parts.store),
        executors: parts.executors.clone(),
        time: parts.time.fork(),
        running: Running::default(),
        apart: Apart::default(),
        has_backlog: AtomicBool::new(false),
        throttle: Throttle::default(),
        metrics: Metrics::default(),
        notifier: Notifier::new(Arc::clone(parts.time.machine())),
        schedules_changed: Notify::new(),
        jobs_changed: Notify::new(),
        stop_taking: CancellationToken::new(),
        stop_serving: CancellationToken::new(),
        fatal: CancellationToken::new(),
        attempts: TaskTracker::new(),
        loops: TaskTracker::new(),
        writer: TaskTracker::new(),
        options,
        life: Life::begin(),
    }
}

/// Starts what every attempt needs: the writer, whose entrance is the answer, and the lease keeper.
pub(super) fn serve_attempts(core: &Arc<Core>) -> mpsc::Sender<writer::Write> {
    let (writes, receiver) = mpsc::channel(writer::WRITES_MAX);
    core.spawn_on(&core.writer, "writer", writer::run(Arc::clone(core), receiver));
    core.writer.close();
    let keep = lease::run(Arc::clone(core));
    if core.options.has_lease_thread {
        core.spawn_apart("leases", keep);
    } else {
        core.spawn_loop("leases", keep);
    }
    core.spawn_loop("cancellation", cancellation::run(Arc::clone(core)));
    writes
}

/// A running scheduler. Dropping it without [`Handle::stop`] tells its loops to end and its attempts to stop, and waits for nothing.
pub struct Handle {
    core: Arc<Core>,
    started_at: Timestamp,
    notifier: TaskTracker,
    stop_publishing: CancellationToken,
}

/// What tells of a scheduler without keeping it. Cheap to clone.
#[derive(Clone)]
pub struct Meter(Weak<Core>);

impl Meter {
    /// See [`Handle::measured`]; `None` once the scheduler is gone.
    pub fn measured(&self) -> Option<Measured> {
        self.0.upgrade().map(|core| measured(&core))
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Meter").finish_non_exhaustive()
    }
}

fn measured(core: &Core) -> Measured {
    Measured {
        running: core.running.ids().len(),
        slots: core.options.max_concurrent_jobs,
        memory: core.executors.memory_load(),
        ..core.metrics.measured()
    }
}

/// How stopping went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StopReport {
    /// Attempts that were still running when the drain timeout was over, and were interrupted.
    pub interrupted: usize,
    /// Attempts that did not come back even after they were killed; their leases run out.
    pub left_behind: usize,
}

impl Handle {
    /// The scheduler's identity.
    pub fn identity(&self) -> &SchedulerId {
        &self.core.options.identity
    }

    /// What it has counted since it started, and what it has at the moment.
    pub fn measured(&self) -> Measured {
        measured(&self.core)
    }

    /// What tells the same for as long as the scheduler is there, and does not keep it.
    pub fn meter(&self) -> Meter {
        Meter(Arc::downgrade(&self.core))
    }

    /// Waits until the scheduler stops by itself, which only happens when one of its loops has panicked. Call [`Handle::stop`] then.
    pub async fn failed(&self) {
        self.core.fatal.cancelled().await;
    }

    /// Stops: takes nothing new, waits for running jobs up to the drain timeout, interrupts the rest and gives their jobs back.
    ///
    /// It takes no longer than drain timeout and grace period together and four seconds, whatever the store is doing.
    pub async fn stop(self) -> StopReport {
        let core = &self.core;
        core.stop_taking.cancel();
        core.attempts.close();
        let mut report = StopReport::default();
        if !wait_for(core, &core.attempts, core.options.drain_timeout).await {
            report.interrupted = core.attempts.len();
            tracing::info!(count = report.interrupted, "drain timeout is over; interrupting running jobs");
            core.running.interrupt_all(Interrupt::Stopping);
            if !wait_for(core, &core.attempts, core.options.cancel_grace.saturating_add(KILLED_WITHIN)).await {
                report.left_behind = core.attempts.len();
                tracing::error!(count = report.left_behind, "attempts did not stop; their leases will run out");
            }
        }
        let close_by = core.time.monotonic().saturating_add(CLOSED_WITHIN);
        if report.left_behind == 0 && before(core, close_by, core.writer.wait()).await.is_none() {
            tracing::error!("the store did not take the ends of all jobs; those run again");
        }
        core.stop_serving.cancel();
        core.loops.close();
        if report.left_behind == 0 {
            let _ended = before(core, close_by, core.loops.wait()).await;
        }
        let row = housekeeping::row(core, self.started_at, Some(core.time.now()));
        let goodbye = PutScheduler { scheduler: row, replaces: None };
        match before(core, close_by, core.store.scheduler_put(goodbye)).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => log_failure!(&error, "the store was not told that the scheduler stopped"),
            None => tracing::info!("the store was not told that the scheduler stopped: it does not answer"),
        }
        let error = core.fatal.is_cancelled().then(|| "a part of the scheduler ended by itself".to_owned());
        core.notifier.publish([EventKind::SchedulerStopped { scheduler_id: core.options.identity.clone(), error }]);
        self.stop_publishing.cancel();
        self.notifier.close();
        let _published = before(core, close_by, self.notifier.wait()).await;
        tracing::info!(scheduler.id = %core.options.identity, "scheduler stopped");
        report
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.stop_taking.cancel();
        self.core.running.interrupt_all(Interrupt::Stopping);
        self.core.stop_serving.cancel();
        self.core.life.end();
        self.stop_publishing.cancel();
    }
}

/// Waits for `work`, no longer than until `end`. Store calls that are given up here are finished by the detached store.
async fn before<T>(core: &Core, end: Instant, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = sleep_until_instant(&core.time, end) => None,
    }
}

/// Waits for everything that `tracker` counts to end; `false` when `span` was over first.
async fn wait_for(core: &Core, tracker: &TaskTracker, span: Duration) -> bool {
    before(core, core.time.monotonic().saturating_add(span), tracker.wait()).await.is_some()
}
