//! Schedulers: the processes that fire schedules and run jobs, any number of them on one store.
//!
//! ```text
//!    broker ──hints──► wake ──────────────┐ look again
//!                                         ▼
//!    store ──due──► schedule loop ──► plan (pure) ──► firing: jobs + trigger state + end of lease, one transaction
//!                                         │
//!                   job loop ──► runner (one for each attempt) ──► executor
//!                    ▲    │ ▲         │ lines, progress, end
//!                    │    │ └─ slot ──┤
//!                jobs│    └─ ask ─────┴──► writer ──► store: ends and the next jobs in one call; events
//!                    └────────────────────────┘
//!
//!    lease keeper, on a thread of its own: extends the leases of running attempts, stops those that it cannot
//!    housekeeping: recovers, cleans up, says "I am alive"
//! ```
//!
//! Everything is decided from what is stored: hints only say when to look, and looking twice does no harm, so the path after a
//! crash and the ordinary path are the same. Nothing here knows which store, broker or executor it works with.
//!
//! # Stopping
//!
//! [`Handle::stop`] goes through phases: take nothing new; wait for running jobs (`drain_timeout`); ask the rest to stop; kill those
//! that did not (`cancel_grace`) and give their jobs back; write what is to be written; say goodbye. A scheduler that is killed
//! instead loses nothing: its leases run out and others, or itself under the same identity, take its jobs back.

mod acquisition;
mod apart;
mod batch;
mod buffer;
mod cancellation;
mod catalog;
mod core;
mod firing;
mod handle;
mod housekeeping;
mod identity;
mod incarnation;
mod job_loop;
mod lease;
pub mod metrics;
mod notifier;
mod options;
mod overlaps;
mod plan;
mod queues;
mod recovery;
mod rollout;
mod run_one;
mod runner;
mod running;
mod schedule_loop;
mod shares;
mod skipped;
mod stopped;
mod throttle;
mod triggers;
mod wake;
mod writer;

use std::time::Duration;

pub use crate::config::{Caps, QueueLimit, Role};
pub use handle::{Handle, Meter, Scheduler, StartError, StopReport};
pub use options::{Executors, Options, Parts};
pub use run_one::run_one;

use crate::clock::Clock as _;
use crate::store::error::chain;

/// Logs a failure of a store call that a loop tries again. A store that does not answer is told once by whoever watches it
/// ([`crate::store::watched`]); what else fails is a line of its own each time.
macro_rules! log_failure {
    ($error:expr, $message:literal) => {{
        let error: &$crate::store::StoreError = $error;
        let text = $crate::scheduler::chain(error);
        if error.is_transient() {
            tracing::debug!(error = %text, $message);
        } else {
            tracing::warn!(error = %text, $message);
        }
    }};
}
use log_failure;

/// Waits for `span`, or until stopping begins.
async fn pause(core: &core::Core, span: Duration) {
    tokio::select! {
        biased;
        () = core.stop_taking.cancelled() => {}
        () = core.time.sleep(span) => {}
    }
}

/// Waits until then; for ever where there is no such time.
async fn sleep_until(core: &core::Core, instant: Option<crate::clock::Instant>) {
    match instant {
        Some(instant) => crate::clock::sleep_until_instant(&core.time, instant).await,
        None => std::future::pending().await,
    }
}

/// Waits until that time of the store; for ever where there is none.
async fn due(core: &core::Core, at: Option<crate::model::Timestamp>) {
    match at {
        Some(at) => core.time.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
