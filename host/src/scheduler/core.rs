//! What all loops of one scheduler share.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::notifier::Notifier;
use super::running::Running;
use super::throttle::Throttle;
use super::time::StoreTime;
use super::{Executors, Options};
use crate::store::Store;

/// What all loops of one scheduler share.
pub(super) struct Core {
    pub(super) store: Arc<dyn Store>,
    pub(super) executors: Executors,
    pub(super) options: Options,
    pub(super) time: StoreTime,
    /// The attempts that run here.
    pub(super) running: Running,
    /// What would be written to the log again and again.
    pub(super) throttle: Throttle,
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
    /// The attempts.
    pub(super) attempts: TaskTracker,
    /// The loops.
    pub(super) loops: TaskTracker,
    /// The writer, which ends by itself after the last attempt.
    pub(super) writer: TaskTracker,
}

impl Core {
    /// Starts a loop. One that panics has a bug that may have left anything undone, so the whole scheduler stops.
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
        let core = Arc::clone(self);
        tracker.spawn(async move {
            let work = std::panic::AssertUnwindSafe(work);
            if futures_util::FutureExt::catch_unwind(work).await.is_err() {
                tracing::error!(name, "a loop of the scheduler panicked; stopping");
                core.fatal.cancel();
                core.stop_taking.cancel();
            }
        });
    }
}
