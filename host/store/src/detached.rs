//! Finishes store calls whose caller is gone.
//!
//! A future that is dropped inside a transaction leaves the call half way, and with some database drivers the connection
//! unusable. Here every call runs on a task of its own: dropping the caller's future only stops the waiting.

use std::future::Future;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::decorate::{Call, Repeat, decorate};
use super::*;
use crate::model::*;

/// Passes every call on, on a tracked task of its own.
pub struct Detached {
    inner: Arc<dyn Store>,
    calls: TaskTracker,
}

impl Detached {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>) -> Detached {
        Detached { inner, calls: TaskTracker::new() }
    }

    async fn call<R, W, F>(&self, call: Call, work: W) -> Result<R, StoreError>
    where
        R: Send + 'static,
        W: FnOnce(Arc<dyn Store>) -> F + Send,
        F: Future<Output = Result<R, StoreError>> + Send + 'static,
    {
        if self.calls.is_closed() {
            return Err(StoreError::Closed);
        }
        let task = self.calls.spawn(work(Arc::clone(&self.inner)));
        task.await.unwrap_or_else(|gone| {
            // The call panicked, or its runtime is shutting down under it.
            let (operation, certainty) = (call.name, Certainty::Unknown);
            Err(StoreError::Backend { operation, certainty, transient: false, source: Arc::new(gone) })
        })
    }

    /// Waits for every call under way, then closes the store. Later calls answer [`StoreError::Closed`].
    async fn shut(&self) {
        self.calls.close();
        self.calls.wait().await;
        self.inner.close().await;
    }
}

decorate!(Detached, once);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn a_call_whose_caller_is_gone_is_finished_before_the_store_closes() {
        let memory = MemoryStore::new();
        let look = memory.handle();
        let store = Detached::new(Arc::new(memory));
        let id = SchedulerId::new("left").expect("valid");
        let now = Timestamp::EPOCH;
        let row = SchedulerRow { id, role: "both".into(), started_at: now, seen_at: now, stopped_at: None };
        {
            let mut call = Box::pin(store.scheduler_put(row.clone()));
            // Polled once, so that it has begun, and dropped.
            let began = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
            assert!(began);
        }
        store.close().await;
        assert_eq!(look.scheduler_list().await.expect("open").rows, [row]);
        assert!(matches!(store.scheduler_list().await, Err(StoreError::Closed)));
    }
}
