//! What all loops of one scheduler share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::apart::Apart;
use super::incarnation::Life;
use super::metrics::Metrics;
use super::notifier::Notifier;
use super::running::Running;
use super::throttle::Throttle;
use super::{Executors, Options};
use crate::store::Store;
use crate::store::store_clock::StoreClock;

/// What all loops of one scheduler share.
pub(super) struct Core {
    pub(super) store: Arc<dyn Store>,
    pub(super) executors: Executors,
    pub(super) options: Options,
    /// Which of the schedulers that have this identity one after the other it is.
    pub(super) life: Life,
    /// The store's time, and the monotonic time for spans.
    pub(super) time: StoreClock,
    pub(super) running: Running,
    /// Which of them may run beside each other.
    pub(super) apart: Apart,
    /// Whether jobs that were taken wait for slots: more ends will follow soon.
    pub(super) has_backlog: AtomicBool,
    /// What would be written to the log again and again.
    pub(super) throttle: Throttle,
    /// What is counted of its work.
    pub(super) metrics: Metrics,
    /// Events on their way to the broker.
    pub(super) notifier: Notifier,
    /// Look for due schedules again.
    pub(super) schedules_changed: Notify,
    /// Look for due jobs again.
    pub(super) jobs_changed: Notify,
    /// Stopping has begun: take nothing new.
    pub(super) stop_taking: CancellationToken,
    /// The attempts are over: the loops that serve them end.
    pub(super) stop_serving: CancellationToken,
    /// Something that cannot be mended has happened.
    pub(super) fatal: CancellationToken,
    pub(super) attempts: TaskTracker,
    pub(super) loops: TaskTracker,
    /// The writer, which ends by itself after the last attempt.
    pub(super) writer: TaskTracker,
}

impl Core {
    /// How quick an answer must be to tell the time by: a fraction of what leases may be wrong by.
    pub(super) fn quick(&self) -> Duration {
        (self.options.lease_duration / 10).min(Duration::from_millis(500))
    }

    /// Tells whoever runs the scheduler that it must be stopped, and takes nothing new from now on.
    pub(super) fn fail(&self) {
        self.fatal.cancel();
        self.stop_taking.cancel();
    }

    /// Starts a loop on a thread of its own, which nothing else can hold.
    pub(super) fn spawn_apart(self: &Arc<Self>, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let (core, token) = (Arc::clone(self), self.loops.token());
        // Whoever gathers what this thread logs gathers that as well.
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let started = runtime.and_then(|runtime| {
            let run = move || {
                let work = core.guarded(name, work);
                tracing::dispatcher::with_default(&dispatch, || runtime.block_on(work));
                drop(token);
            };
            std::thread::Builder::new().name(name.to_owned()).spawn(run)
        });
        if let Err(error) = started {
            // Going on without would be worse than a lease that a task can keep from being renewed.
            tracing::error!(%error, name, "the system gives no thread for a loop of the scheduler; stopping");
            self.fail();
        }
    }

    /// A loop that panics has a bug that may have left anything undone, so the whole scheduler stops.
    async fn guarded(self: Arc<Self>, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let work = std::panic::AssertUnwindSafe(work);
        if futures_util::FutureExt::catch_unwind(work).await.is_err() {
            tracing::error!(name, "a loop of the scheduler panicked; stopping");
            self.fail();
        }
    }

    /// Starts a loop.
    pub(super) fn spawn_loop(self: &Arc<Self>, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&self.loops, name, work);
    }

    /// The same, counted by that tracker.
    pub(super) fn spawn_on(
        self: &Arc<Self>,
        tracker: &TaskTracker,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        tracker.spawn(Arc::clone(self).guarded(name, work));
    }
}
