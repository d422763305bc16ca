//! A store that stands still on request, for tests: as a server that was stopped, or a network that swallows what is sent.
//!
//! Calls that are held take effect when the store goes on, also those whose callers have given up meanwhile: a request that lies in a
//! server's buffer is read and carried out, whoever is still there for the answer.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use host::model::*;
use host::store::decorate;
use host::store::decorate::{Call, Repeat};
use host::store::*;

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// Requests, before they take effect.
    Requests,
    /// Answers, after the requests took effect.
    Answers,
}

/// Passes calls on, and holds them for as long as the test says.
pub struct Stalling {
    inner: Arc<dyn Store>,
    gate: Gate,
    calls: TaskTracker,
}

/// What calls pass through twice.
#[derive(Clone)]
struct Gate(Arc<watch::Sender<Held>>);

#[derive(Debug, Default)]
struct Held {
    stall: Option<Stall>,
    /// Only calls of this name; of all names where there is none.
    only: Option<&'static str>,
    /// How many calls of each name wait.
    waiting: HashMap<&'static str, usize>,
}

impl Held {
    fn holds(&self, at: Stall, name: &'static str) -> bool {
        self.stall == Some(at) && self.only.is_none_or(|only| only == name)
    }
}

impl Gate {
    async fn wait_for(&self, holds: impl FnMut(&Held) -> bool) {
        let mut receiver = self.0.subscribe();
        // The sender is in `self`, so the channel is open.
        let _open = receiver.wait_for(holds).await.is_ok();
    }

    /// Waits while calls of that name are held there.
    async fn pass(&self, at: Stall, name: &'static str) {
        if !self.0.borrow().holds(at, name) {
            return;
        }
        self.0.send_modify(|held| *held.waiting.entry(name).or_default() += 1);
        self.wait_for(|held| !held.holds(at, name)).await;
        self.0.send_modify(|held| {
            let count = held.waiting.entry(name).or_default();
            *count = count.saturating_sub(1);
        });
    }
}

impl Stalling {
    /// Wraps a store, which goes on for now.
    pub fn new(inner: Arc<dyn Store>) -> Stalling {
        Stalling { inner, gate: Gate(Arc::new(watch::Sender::new(Held::default()))), calls: TaskTracker::new() }
    }

    /// Holds every call from now on.
    pub fn stall(&self, stall: Stall) {
        self.gate.0.send_modify(|held| (held.stall, held.only) = (Some(stall), None));
    }

    /// Holds calls of that name from now on, such as `job_acquire`.
    pub fn stall_only(&self, name: &'static str, stall: Stall) {
        self.gate.0.send_modify(|held| (held.stall, held.only) = (Some(stall), Some(name)));
    }

    /// Lets everything go on.
    pub fn go_on(&self) {
        self.gate.0.send_modify(|held| held.stall = None);
    }

    /// Waits until that many calls of a name are held.
    pub async fn reached(&self, name: &'static str, count: usize) {
        let reached = |held: &Held| held.waiting.get(name).copied().unwrap_or(0) >= count;
        self.gate.wait_for(reached).await;
    }

    async fn call<R, W, F>(&self, call: Call, work: W) -> Result<R, StoreError>
    where
        R: Send + 'static,
        W: FnOnce(Arc<dyn Store>) -> F + Send,
        F: Future<Output = Result<R, StoreError>> + Send + 'static,
    {
        let (gate, work) = (self.gate.clone(), work(Arc::clone(&self.inner)));
        self.detached(call.name, async move {
            gate.pass(Stall::Requests, call.name).await;
            let answer = work.await;
            gate.pass(Stall::Answers, call.name).await;
            answer
        })
        .await
    }

    /// Runs a call to its end, whether its caller waits for that or not.
    async fn detached<R: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<R, StoreError>> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.calls.spawn(call).await.unwrap_or_else(|gone| {
            let (certainty, source) = (Certainty::Unknown, Arc::new(gone));
            Err(StoreError::Backend { operation, certainty, transient: false, source })
        })
    }

    fn line(&self) -> Box<dyn LeaseLine> {
        let Stalling { inner, gate, calls } = self;
        Box::new(Line(Stalling { inner: Arc::clone(inner), gate: gate.clone(), calls: calls.clone() }))
    }

    async fn shut(&self) {
        self.inner.close().await;
    }
}

/// A line that stands still with everything else. What is given up on it takes effect later all the same.
struct Line(Stalling);

#[async_trait::async_trait]
impl LeaseLine for Line {
    async fn extend(&mut self, request: ExtendJobs) -> Result<Vec<Extended>, StoreError> {
        self.0.job_extend(request).await
    }
}

decorate!(Stalling, once);
