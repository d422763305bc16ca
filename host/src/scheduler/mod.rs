//! Schedulers: the processes that fire schedules and run jobs, any number of them on one store.
//!
//! ```text
//!    broker ──hints──► wake ──────────────┐ look again
//!                                         ▼
//!    store ──due──► schedule loop ──► plan (pure) ──► firing: jobs + trigger state + end of lease, one transaction
//!                                         │
//!    store ──due──► job loop ──► runner (one for each attempt) ──► executor
//!                      ▲              │ lines, progress, end
//!                      └── slot ──────┴──► writer ──► batched writes, events
//!
//!    lease keeper: extends the leases of running attempts     housekeeping: recovers, cleans up, says "I am alive"
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

mod batch;
mod catalog;
mod core;
mod firing;
mod handle;
mod housekeeping;
mod job_loop;
mod lease;
mod notifier;
mod options;
mod plan;
mod run_one;
mod runner;
mod running;
mod schedule_loop;
mod skipped;
mod throttle;
mod time;
mod wake;
mod writer;

use std::time::Duration;

pub use crate::config::{Caps, Role};
pub use handle::{Handle, Scheduler, StartError, StopReport};
pub use options::{Executors, Options, Parts};
pub use run_one::run_one;

/// An error with its causes in one line, for logs and for messages that are stored.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Waits for `span`, or until stopping begins.
async fn pause(core: &core::Core, span: Duration) {
    tokio::select! {
        () = core.stop_taking.cancelled() => {}
        () = core.time.sleep(span) => {}
    }
}
