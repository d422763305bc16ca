//! Tells the operator when the store does not answer, once, and once when it answers again.
//!
//! Whoever calls has loops that try again, and each of them would have something to say about a store that is away. Here it is seen from
//! all calls of the process together: as long as one of them is answered, the store is there.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::decorate::{Call, Repeat, decorate};
use super::*;
use crate::clock::{Clock, Instant};

/// How long nothing is answered before that is told.
const SILENT_MAX: Duration = Duration::from_secs(2);

/// A timer that is late by more shows that this process, or its machine, stood still: the store may have answered in time.
const LATE_MAX: Duration = Duration::from_secs(2);

/// Failures that lie further apart are not of one silence, where nobody asked anything between them.
const FAILURES_APART: Duration = Duration::from_secs(5);

/// Passes every call on, and keeps an eye on the answers.
pub struct Watched {
    inner: Arc<dyn Store>,
    health: Arc<Health>,
}

/// What is known of the store from the calls of this process.
struct Health {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Calls that wait for an answer.
    waiting: usize,
    /// Since when something was asked and nothing was answered.
    silent_since: Option<Instant>,
    failed_at: Option<Instant>,
    is_reported: bool,
}

/// A call that waits for its answer, until it is dropped.
struct Waiting<'a>(&'a Health);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting = state.waiting.saturating_sub(1);
    }
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change under this lock is complete by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins.
    fn ask(&self) -> Waiting<'_> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let is_long_ago = state.failed_at.is_some_and(|at| now.saturating_since(at) > FAILURES_APART);
        if state.silent_since.is_none() || (state.waiting == 0 && is_long_ago) {
            state.silent_since = Some(now);
        }
        state.waiting += 1;
        Waiting(self)
    }

    /// How long from now the silence has lasted too long; `None` where that was told already.
    fn report_in(&self) -> Option<Duration> {
        let state = self.state();
        let silent = state.silent_since.map_or(Duration::ZERO, |since| self.clock.monotonic().saturating_since(since));
        (!state.is_reported).then(|| SILENT_MAX.saturating_sub(silent))
    }

    /// Begins to count the silence anew where the timer that was to end at `end` ended much later.
    fn woke(&self, end: Instant) {
        let now = self.clock.monotonic();
        let late = now.saturating_since(end);
        if late <= LATE_MAX {
            return;
        }
        let mut state = self.state();
        // Of several calls that wait the first one says it.
        if state.silent_since.is_none_or(|since| since >= end) {
            return;
        }
        state.silent_since = Some(now);
        drop(state);
        tracing::info!(for_ms = millis(late), "this process stood still");
    }

    /// Tells the silence where it has lasted too long.
    fn note(&self, operation: &'static str, error: Option<&StoreError>) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let silent = state.silent_since.map_or(Duration::ZERO, |since| now.saturating_since(since));
        if state.is_reported || silent < SILENT_MAX {
            return;
        }
        state.is_reported = true;
        drop(state);
        let for_ms = millis(silent);
        let error = error.map(|error| super::error::chain(error));
        tracing::warn!(operation, for_ms, error, "the data store does not answer; waiting for it");
    }

    /// A call has come back.
    fn came_back<R>(&self, operation: &'static str, answer: &Result<R, StoreError>) {
        let now = self.clock.monotonic();
        match answer {
            Err(error) if error.is_transient() => {
                self.state().failed_at = Some(now);
                self.note(operation, Some(error));
            }
            // Says nothing about the database.
            Err(StoreError::Closed) => {}
            // Also a refusal is an answer.
            Ok(_) | Err(_) => {
                let mut state = self.state();
                // This call is still counted.
                let others_wait = state.waiting > 1;
                let silent_since = std::mem::replace(&mut state.silent_since, others_wait.then_some(now));
                if std::mem::take(&mut state.is_reported) {
                    drop(state);
                    let after_ms = silent_since.map_or(0, |since| millis(now.saturating_since(since)));
                    tracing::info!(after_ms, "the data store answers again");
                }
            }
        }
    }

    /// Waits for the answer of a call.
    async fn watch<R>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<R, StoreError>>,
    ) -> Result<R, StoreError> {
        let _waiting = self.ask();
        let mut call = std::pin::pin!(call);
        let answer = loop {
            let silence = async {
                let Some(left) = self.report_in() else { return std::future::pending().await };
                let end = self.clock.monotonic().saturating_add(left);
                self.clock.sleep(left).await;
                end
            };
            // The call stays where it is: only the waiting ends.
            tokio::select! {
                biased;
                answer = &mut call => break answer,
                end = silence => {
                    self.woke(end);
                    self.note(operation, None);
                }
            }
        };
        self.came_back(operation, &answer);
        answer
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Watched {
    /// Wraps a store. `clock` measures how long it is silent.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Watched {
        Watched { inner, health: Arc::new(Health { clock, state: Mutex::default() }) }
    }

    async fn call<R, W, F>(&self, call: Call, work: W) -> Result<R, StoreError>
    where
        R: Send,
        W: FnOnce(Arc<dyn Store>) -> F + Send,
        F: Future<Output = Result<R, StoreError>> + Send,
    {
        self.health.watch(call.name, work(Arc::clone(&self.inner))).await
    }

    fn line(&self) -> Box<dyn LeaseLine> {
        Box::new(Line { inner: self.inner.lease_line(), health: Arc::clone(&self.health) })
    }

    async fn shut(&self) {
        self.inner.close().await;
    }
}

/// A line that is watched like every other call.
struct Line {
    inner: Box<dyn LeaseLine>,
    health: Arc<Health>,
}

#[async_trait]
impl LeaseLine for Line {
    async fn extend(&mut self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError> {
        self.health.watch("job_extend", self.inner.extend(request)).await
    }
}

decorate!(Watched, once);
