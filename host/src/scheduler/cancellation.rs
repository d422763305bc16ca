//! Looks whether running jobs were asked to stop.
//!
//! Where the broker delivers, an event has the leases renewed, which tells the same at once, and every renewal tells it. But a job that is to
//! be stopped now does not wait for a third of a lease because an event was lost.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use crate::clock::Clock as _;

/// How often. With it, a job without a grace period ends within a second of being cancelled, whatever the broker does; the question is one
/// read of rows by their primary key, for all jobs of the worker.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Looks until serving ends.
pub(super) async fn run(core: Arc<Core>) {
    loop {
        tokio::select! {
            biased;
            () = core.stop_serving.cancelled() => return,
            () = core.time.sleep(LOOK_EVERY) => {}
        }
        let leases = core.running.leases();
        if leases.is_empty() {
            continue;
        }
        match core.store.job_cancel_asked(leases).await {
            Ok(asked) => asked.iter().for_each(|asked| core.running.cancel(asked.id, asked.token, asked.request)),
            // Whoever watches the store tells that it does not answer.
            Err(error) => tracing::debug!(%error, "the store does not say which jobs were cancelled; asking again"),
        }
    }
}
