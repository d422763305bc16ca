//! A store with a call that takes its time, for tests: by a clock that the test moves, which this call moves too.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::decorate::{Call, Repeat, decorate};
use super::*;
use crate::clock::ManualClock;

/// Passes calls on; those of one name move the clock and are counted.
pub struct Slow {
    inner: Arc<dyn Store>,
    clock: ManualClock,
    name: &'static str,
    takes: Duration,
    calls: AtomicUsize,
}

impl Slow {
    /// Wraps a store. Every call of `name`, such as `job_acquire`, takes as long as `takes`.
    pub fn new(inner: Arc<dyn Store>, clock: ManualClock, name: &'static str, takes: Duration) -> Slow {
        Slow { inner, clock, name, takes, calls: AtomicUsize::new(0) }
    }

    /// How many calls of that name have ended.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn call<R, W, F>(&self, call: Call, work: W) -> Result<R, StoreError>
    where
        R: Send,
        W: FnOnce(Arc<dyn Store>) -> F + Send,
        F: Future<Output = Result<R, StoreError>> + Send,
    {
        let answer = work(Arc::clone(&self.inner)).await;
        if call.name == self.name {
            self.clock.advance(self.takes);
            self.calls.fetch_add(1, Ordering::SeqCst);
        }
        answer
    }

    async fn shut(&self) {
        self.inner.close().await;
    }
}

decorate!(Slow, once);
