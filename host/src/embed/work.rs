//! The scheduler of an embedded host, from its start to its end.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{AppError, AppResult};
use crate::assemble::Opened;
use crate::scheduler::{Scheduler, StopReport};

/// What an embedded host is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It does no work. Everything else can be done with it.
    #[default]
    Stopped,
    /// It begins to work.
    Starting,
    /// It fires schedules and runs jobs, as its role says.
    Running,
    /// It takes nothing new and waits for running jobs.
    Stopping,
}

/// The state, as everyone who has a handle sees it, and the way to stop.
#[derive(Debug, Default)]
pub(super) struct Work {
    state: watch::Sender<Phase>,
    tasks: TaskTracker,
}

#[derive(Debug, Clone, Default)]
struct Phase {
    state: State,
    /// Ends the work that is under way.
    stop: CancellationToken,
    /// How the last work ended.
    report: StopReport,
    failed: bool,
}

impl Work {
    pub(super) fn state(&self) -> State {
        self.state.borrow().state
    }

    /// Begins to work, and returns once the work has begun. It goes on where the caller does not wait.
    pub(super) async fn start(self: &Arc<Self>, opened: &Opened) -> AppResult<()> {
        let stop = CancellationToken::new();
        let begins = self.state.send_if_modified(|phase| {
            let is_stopped = phase.state == State::Stopped;
            if is_stopped {
                *phase = Phase { state: State::Starting, stop: stop.clone(), ..Phase::default() };
            }
            is_stopped
        });
        if !begins {
            return Err(AppError::refused("the host is working already"));
        }
        let (started, is_started) = oneshot::channel();
        self.tasks.spawn(Arc::clone(self).work(opened.clone(), stop, started));
        is_started.await.unwrap_or_else(|_| {
            Err(AppError::Unexpected { what: "the host ended while it started".to_owned(), source: None })
        })
    }

    async fn work(self: Arc<Self>, opened: Opened, stop: CancellationToken, started: oneshot::Sender<AppResult<()>>) {
        // However this ends, those who wait for the end are told.
        let mut end = End { work: &self, report: StopReport::default(), failed: true };
        let parts = opened.app.scheduler_parts(opened.executors.clone());
        let handle = match Scheduler::start(parts, opened.options.clone()).await {
            Ok(handle) => handle,
            Err(error) => {
                drop(end);
                let _gone = started.send(Err(error.into()));
                return;
            }
        };
        self.enter(State::Running);
        let _gone = started.send(Ok(()));
        end.failed = tokio::select! {
            () = stop.cancelled() => false,
            () = handle.failed() => true,
        };
        self.enter(State::Stopping);
        end.report = handle.stop().await;
    }

    fn enter(&self, state: State) {
        self.state.send_modify(|phase| phase.state = state);
    }

    /// Asks the work to end. Returns at once.
    pub(super) fn stop(&self) {
        self.state.borrow().stop.cancel();
    }

    /// Waits until no work is under way.
    pub(super) async fn stopped(&self) -> AppResult<StopReport> {
        let mut seen = self.state.subscribe();
        // The sender is `self`, so there is always another state to come.
        let Ok(phase) = seen.wait_for(|phase| phase.state == State::Stopped).await else {
            return Ok(StopReport::default());
        };
        if phase.failed {
            let what = "the host stopped by itself; the log says why".to_owned();
            return Err(AppError::Unexpected { what, source: None });
        }
        Ok(phase.report)
    }
}

/// Says that the work is over when it is dropped: after the end, and where the task is cancelled or panics.
struct End<'a> {
    work: &'a Work,
    report: StopReport,
    failed: bool,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.work.state.send_modify(|phase| {
            *phase = Phase { state: State::Stopped, report: self.report, failed: self.failed, ..Phase::default() };
        });
    }
}
