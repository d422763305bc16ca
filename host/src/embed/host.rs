//! The handle of an embedded host.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::error::RunError;
use super::work::{State, Work};
use crate::app::{
    App, AppError, AppResult, Arguments, CancelJob, EventFilter, EventStream, NewJob, NewSchedule, Received,
    ScheduleCreated,
};
use crate::assemble::Opened;
use crate::assemble::signals::Signals;
use crate::clock::Clock;
use crate::config::Role;
use crate::model::{ConflictPolicy, Encoding, Event, Job, JobId, Outcome, Payload, ScheduleId, SchedulerId};
use crate::scheduler::{Executors, Options, StopReport};
use crate::trigger::{RuleOptions, Trigger};

/// A host inside of a program. See the [module](self::super).
///
/// It is a handle: clones are the same host. When the last one is dropped, running jobs are given the drain timeout, and what they come to
/// is stored, as long as the program's tokio runtime lives; [`Host::close`] waits for that. A task that keeps a clone keeps the host
/// from being dropped: [`TaskContext::host`](super::TaskContext::host) does not.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    opened: Opened,
    owned: Owned,
    clock: Arc<dyn Clock>,
    work: Arc<Work>,
    subscribers: TaskTracker,
}

/// What was opened for the host, and is closed with it. What the program brought along, others may use as well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owned {
    pub(super) store: bool,
    pub(super) broker: bool,
}

/// A host that may be gone.
#[derive(Clone, Default)]
pub(super) struct WeakHost(Weak<Inner>);

impl WeakHost {
    pub(super) fn upgrade(&self) -> Option<Host> {
        self.0.upgrade().map(Host)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.work.stop();
    }
}

impl Host {
    /// A host over what is opened, whose executors may keep the weak handle that `opened` is given.
    pub(super) fn over(owned: Owned, clock: Arc<dyn Clock>, opened: impl FnOnce(WeakHost) -> Opened) -> Host {
        Host(Arc::new_cyclic(|weak| Inner {
            opened: opened(WeakHost(weak.clone())),
            owned,
            clock,
            work: Arc::default(),
            subscribers: TaskTracker::new(),
        }))
    }

    /// All operations on the store: what the command line can do.
    pub fn app(&self) -> &App {
        &self.0.opened.app
    }

    /// The identity of its scheduler.
    pub fn identity(&self) -> &SchedulerId {
        &self.options().identity
    }

    /// Which part of the work it does while it runs.
    pub fn role(&self) -> Role {
        self.options().role
    }

    /// The settings of its scheduler.
    pub fn options(&self) -> &Options {
        &self.0.opened.options
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.0.work.state()
    }

    /// Begins to work in the background, on the tokio runtime of the caller, and returns once it does. A host that was stopped may be
    /// started again.
    ///
    /// # Errors
    /// [`AppError::Refused`] where it is working already, or another scheduler of its identity is; those of
    /// the store. It does not work then.
    pub async fn start(&self) -> AppResult<()> {
        self.0.work.start(&self.0.opened).await
    }

    /// Asks the work to end: nothing new is taken, running jobs have the drain timeout, and are then interrupted and given back. Returns at
    /// once, so that a task can stop the host that runs it. Without effect where no work is under way.
    pub fn stop(&self) {
        self.0.work.stop();
    }

    /// Waits until the work has ended; at once where none is under way.
    ///
    /// # Errors
    /// [`AppError::Unexpected`] where it ended without being asked to.
    pub async fn wait_until_stopped(&self) -> AppResult<StopReport> {
        self.0.work.stopped().await
    }

    /// Works until it is stopped, by [`Host::stop`], or by a signal that asks the process to end (SIGINT, SIGTERM). Starts where it was not
    /// started.
    ///
    /// Dropping the future stops nothing.
    ///
    /// # Errors
    /// As [`Host::start`] and [`Host::wait_until_stopped`].
    pub async fn run_until_stopped(&self) -> AppResult<StopReport> {
        let mut signals = Signals::listen()?;
        if self.state() == State::Stopped {
            self.start().await?;
        }
        tokio::select! {
            report = self.wait_until_stopped() => report,
            _ = signals.next() => {
                self.stop();
                self.wait_until_stopped().await
            }
        }
    }

    /// Stops, waits for the end, and closes the store and the broker, unless the program brought them along. Operations fail from then on,
    /// those of other handles too.
    pub async fn close(&self) -> StopReport {
        self.stop();
        let report = self.wait_until_stopped().await.unwrap_or_default();
        let Owned { store, broker } = self.0.owned;
        let parts = self.app().scheduler_parts(Executors::default());
        if broker {
            parts.broker.close().await;
        }
        if store {
            parts.store.close().await;
        }
        report
    }

    /// Queues a job and waits for its result, wherever it is run. `args` is serialized: a struct or map gives arguments by name, a tuple or
    /// list gives them by position, `()` gives none.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run<T: DeserializeOwned>(&self, task: &str, args: impl Serialize) -> Result<T, RunError> {
        let id = self.submit(task, args).await?;
        self.result(id).await
    }

    /// Queues a job, with arguments as in [`Host::run`].
    ///
    /// # Errors
    /// [`RunError::App`], [`RunError::Arguments`].
    pub async fn submit(&self, task: &str, args: impl Serialize) -> Result<JobId, RunError> {
        let args = arguments(args)?;
        Ok(self.app().job_submit(NewJob { args, ..NewJob::new(task) }).await?)
    }

    /// Waits for the end of a job, and reads what it returned.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn result<T: DeserializeOwned>(&self, id: JobId) -> Result<T, RunError> {
        let job = self.app().job_wait(id).await?;
        read_result(job)
    }

    /// Cancels a job, wherever it is run: one that is queued ends at once, and one that runs is asked to stop, and stopped when it has not
    /// within `grace`. `None` leaves that to its worker.
    ///
    /// A native task is stopped where it awaits; what it does between two awaits nobody can interrupt. See
    /// [`TaskContext::cancelled`](super::TaskContext::cancelled).
    ///
    /// # Errors
    /// As [`App::job_cancel`].
    pub async fn cancel(&self, id: JobId, grace: Option<Duration>) -> AppResult<CancelJob> {
        self.app().job_cancel(id, grace).await
    }

    /// Adds a schedule.
    ///
    /// # Errors
    /// As [`App::schedule_add`].
    pub async fn schedule(&self, new: NewSchedule) -> AppResult<ScheduleCreated> {
        self.app().schedule_add(new).await
    }

    /// Adds a schedule that fires every `period`, from now on, with arguments as in [`Host::run`]. Where there is one of that ID, it stays
    /// as it is, so that a program may say this whenever it starts.
    ///
    /// # Errors
    /// As [`App::schedule_add`], and [`RunError::Arguments`].
    pub async fn every(
        &self,
        task: &str,
        id: &str,
        period: Duration,
        args: impl Serialize,
    ) -> Result<ScheduleCreated, RunError> {
        let args = arguments(args)?;
        let id = ScheduleId::new(id).map_err(|error| AppError::invalid(error.to_string()))?;
        let now = self.app().now().await?;
        let trigger = Trigger::every(period, &RuleOptions::new(now)).map_err(AppError::from)?;
        let new = NewSchedule { id: Some(id), args, conflict: ConflictPolicy::Skip, ..NewSchedule::new(task, trigger) };
        Ok(self.schedule(new).await?)
    }

    /// Events from now on, as a stream to read from.
    pub fn events(&self, filter: EventFilter) -> EventStream {
        self.app().events(filter)
    }

    /// Calls `callback` for what passes the filter, until the guard is dropped or the broker is closed. It is called on the program's tokio
    /// runtime, one event after the other, and must not block; events that arrive meanwhile wait, up to
    /// [`SUBSCRIBER_EVENTS_MAX`](crate::broker::SUBSCRIBER_EVENTS_MAX) of them.
    pub fn on_event(&self, filter: EventFilter, mut callback: impl FnMut(Received) + Send + 'static) -> EventGuard {
        let mut events = self.events(filter);
        EventGuard(self.0.subscribers.spawn(async move {
            while let Some(received) = events.next().await {
                callback(received);
            }
        }))
    }

    /// Calls `callback` for the first event that passes the filter, and no more. Dropping the guard before takes that back.
    pub fn once(&self, filter: EventFilter, callback: impl FnOnce(Event) + Send + 'static) -> EventGuard {
        let mut events = self.events(filter);
        EventGuard(self.0.subscribers.spawn(async move {
            if let Some(event) = next_of(&mut events).await {
                callback(event);
            }
        }))
    }

    /// The next event that passes the filter; `None` where none came within `limit`, or the broker is closed.
    pub async fn next_event(&self, filter: EventFilter, limit: Duration) -> Option<Event> {
        let mut events = self.events(filter);
        tokio::select! {
            event = next_of(&mut events) => event,
            () = self.0.clock.sleep(limit) => None,
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("identity", self.identity())
            .field("role", &self.role())
            .field("state", &self.state())
            .field("executors", &self.0.opened.executors)
            .finish_non_exhaustive()
    }
}

/// Keeps a callback subscribed until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct EventGuard(JoinHandle<()>);

impl Drop for EventGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn next_of(events: &mut EventStream) -> Option<Event> {
    loop {
        if let Received::Event(event) = events.next().await? {
            return Some(event);
        }
    }
}

fn arguments(args: impl Serialize) -> Result<Arguments, RunError> {
    match serde_json::to_value(args) {
        Ok(Value::Null) => Ok(Arguments::Absent),
        Ok(value) => Ok(Arguments::Json(value)),
        Err(error) => Err(RunError::Arguments { reason: error.to_string() }),
    }
}

fn read_result<T: DeserializeOwned>(job: Job) -> Result<T, RunError> {
    let id = job.spec.id;
    match (job.outcome, job.result) {
        (Some(Outcome::Success), Some(Payload { encoding, data })) => {
            let read = match encoding {
                Encoding::Json => serde_json::from_slice(&data).map_err(|error| error.to_string()),
                Encoding::Cbor => ciborium::from_reader(&*data).map_err(|error| error.to_string()),
            };
            read.map_err(|reason| RunError::Result { id, reason })
        }
        (Some(Outcome::Success), None) => Err(RunError::NotKept { id }),
        // Whoever waits for a job's end gets no job that has none.
        (outcome, _) => Err(RunError::Ended { id, outcome: outcome.unwrap_or(Outcome::Error), error: job.error }),
    }
}
