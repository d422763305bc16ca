//! An embedded host for programs without async: the same methods, each of which blocks its thread until it is done.
//!
//! ```
//! use host::Host;
//! use host::embed::blocking;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::builder().task("double", blocking(|n: i64| anyhow::Ok(n * 2))).start_blocking()?;
//! let result: i64 = host.run("double", (21,))?;
//! assert_eq!(result, 42);
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Handle, Runtime};

use super::builder::Builder;
use super::error::RunError;
use super::host::EventGuard;
use super::work::State;
use crate::app::{App, AppError, AppResult, CancelJob, EventFilter, NewSchedule, Received, ScheduleCreated};
use crate::model::{Event, JobId};
use crate::scheduler::StopReport;

/// How long the threads of a host may take to end once everything on them has.
const THREADS_END_WITHIN: Duration = Duration::from_secs(1);

/// A host with threads of its own. Dropping it stops the work in order, and waits for that.
///
/// # Panics
/// Its methods block, and so panic where they are called from async code, which has [`embed::Host`](super::Host) instead. Dropping it
/// works everywhere.
#[derive(Debug)]
pub struct Host {
    host: super::Host,
    threads: Handle,
    /// What `threads` belongs to; `None` while this is dropped.
    runtime: Option<Runtime>,
}

impl Builder {
    /// As [`Builder::open`], for a program without async.
    ///
    /// # Errors
    /// As [`Builder::open`], and where no thread can be started.
    pub fn open_blocking(self) -> AppResult<Host> {
        Host::over(self)
    }

    /// As [`Builder::start`], for a program without async: it works on threads of its own.
    ///
    /// # Errors
    /// As [`Builder::start`], and where no thread can be started.
    pub fn start_blocking(self) -> AppResult<Host> {
        let host = Host::over(self)?;
        host.start()?;
        Ok(host)
    }
}

impl Host {
    fn over(builder: Builder) -> AppResult<Host> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("host").build();
        let runtime = runtime.map_err(|error| AppError::unexpected("the host's threads cannot be started", error))?;
        let host = runtime.block_on(builder.open())?;
        Ok(Host { host, threads: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// The host for async code, such as closures of tasks.
    pub fn handle(&self) -> &super::Host {
        &self.host
    }

    /// All operations on the store, whose futures [`Host::block_on`] runs.
    pub fn app(&self) -> &App {
        self.host.app()
    }

    /// Waits for a future, on the host's threads.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.threads.block_on(future)
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.host.state()
    }

    /// See [`embed::Host::start`](super::Host::start).
    ///
    /// # Errors
    /// As there.
    pub fn start(&self) -> AppResult<()> {
        self.block_on(self.host.start())
    }

    /// See [`embed::Host::stop`](super::Host::stop): it returns at once.
    pub fn stop(&self) {
        self.host.stop();
    }

    /// See [`embed::Host::wait_until_stopped`](super::Host::wait_until_stopped).
    ///
    /// # Errors
    /// As there.
    pub fn wait_until_stopped(&self) -> AppResult<StopReport> {
        self.block_on(self.host.wait_until_stopped())
    }

    /// See [`embed::Host::run_until_stopped`](super::Host::run_until_stopped).
    ///
    /// # Errors
    /// As there.
    pub fn run_until_stopped(&self) -> AppResult<StopReport> {
        self.block_on(self.host.run_until_stopped())
    }

    /// See [`embed::Host::run`](super::Host::run).
    ///
    /// # Errors
    /// As there.
    pub fn run<T: DeserializeOwned>(&self, task: &str, args: impl Serialize) -> Result<T, RunError> {
        self.block_on(self.host.run(task, args))
    }

    /// See [`embed::Host::submit`](super::Host::submit).
    ///
    /// # Errors
    /// As there.
    pub fn submit(&self, task: &str, args: impl Serialize) -> Result<JobId, RunError> {
        self.block_on(self.host.submit(task, args))
    }

    /// See [`embed::Host::result`](super::Host::result).
    ///
    /// # Errors
    /// As there.
    pub fn result<T: DeserializeOwned>(&self, id: JobId) -> Result<T, RunError> {
        self.block_on(self.host.result(id))
    }

    /// See [`embed::Host::cancel`](super::Host::cancel).
    ///
    /// # Errors
    /// As there.
    pub fn cancel(&self, id: JobId, grace: Option<Duration>) -> AppResult<CancelJob> {
        self.block_on(self.host.cancel(id, grace))
    }

    /// See [`embed::Host::schedule`](super::Host::schedule).
    ///
    /// # Errors
    /// As there.
    pub fn schedule(&self, new: NewSchedule) -> AppResult<ScheduleCreated> {
        self.block_on(self.host.schedule(new))
    }

    /// See [`embed::Host::every`](super::Host::every).
    ///
    /// # Errors
    /// As there.
    pub fn every(
        &self,
        task: &str,
        id: &str,
        period: Duration,
        args: impl Serialize,
    ) -> Result<ScheduleCreated, RunError> {
        self.block_on(self.host.every(task, id, period, args))
    }

    /// See [`embed::Host::on_event`](super::Host::on_event): it is called on the host's threads.
    pub fn on_event(&self, filter: EventFilter, callback: impl FnMut(Received) + Send + 'static) -> EventGuard {
        self.block_on(async { self.host.on_event(filter, callback) })
    }

    /// See [`embed::Host::next_event`](super::Host::next_event).
    pub fn next_event(&self, filter: EventFilter, limit: Duration) -> Option<Event> {
        self.block_on(self.host.next_event(filter, limit))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let host = self.host.clone();
        let end = move || {
            runtime.block_on(host.close());
            // A function that blocks its thread and does not look at its context would keep the program from ending.
            runtime.shutdown_timeout(THREADS_END_WITHIN);
        };
        // On a thread of its own, because this may be dropped where blocking is not allowed.
        if let Ok(thread) = std::thread::Builder::new().name("host-stop".to_owned()).spawn(end) {
            let _panicked = thread.join();
        }
    }
}
