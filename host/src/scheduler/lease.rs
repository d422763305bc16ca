//! Keeps the leases of running attempts alive, apart from everything that could starve it.
//!
//! It has a thread of its own, which no task can hold, and a line of its own to the store, on which no other call waits. What it could not
//! renew in time is stopped before the lease ends, whatever the call to the store is doing: afterwards another worker may begin the job
//! anew. So a lease counts from the moment at which it was asked for, never from when the answer came, and by the monotonic clock.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::{log_failure, sleep_until};
use crate::clock::{Clock as _, Instant, sleep_until_instant};
use crate::store::{ExtendJobs, Extended, Hold};

/// Longest pause before a renewal that failed is tried again.
const TRY_AGAIN_MAX: Duration = Duration::from_secs(1);

/// Shortest pause between two renewals that events ask for: whoever may publish could send any number of those.
const EVENT_PAUSE: Duration = Duration::from_millis(50);

/// How much of a lease is left when an attempt is stopped because the lease could not be renewed: the time that stopping may take.
pub(super) fn margin(lease: Duration) -> Duration {
    lease / 10
}

/// Extends leases at a third of their duration, and where a job may have been cancelled, until serving ends.
pub(super) async fn run(core: Arc<Core>) {
    let duration = core.options.lease_duration;
    let (third, try_again) = (duration / 3, (duration / 30).min(TRY_AGAIN_MAX));
    let mut line = core.store.lease_line();
    let mut renew_at = core.time.monotonic().saturating_add(third);
    let mut not_before = core.time.monotonic();
    loop {
        let event = async {
            core.running.renewal.notified().await;
            sleep_until_instant(&core.time, not_before).await;
        };
        let due = async {
            tokio::select! {
                biased;
                () = sleep_until_instant(&core.time, renew_at) => {}
                () = event => {}
            }
        };
        if on_watch(&core, due).await.is_none() {
            return;
        }
        let asked_at = core.time.monotonic();
        let leases = core.running.leases();
        if leases.is_empty() {
            renew_at = asked_at.saturating_add(third);
            continue;
        }
        let request = ExtendJobs { now: core.time.now(), leases, lease: duration };
        // The one store call that is given up: nothing else waits on its line, which is closed with it.
        let call = async {
            tokio::select! {
                biased;
                answer = line.extend(request) => Some(answer),
                () = core.time.sleep(third) => None,
            }
        };
        let Some(answer) = on_watch(&core, call).await else { return };
        let is_settled = match answer {
            Some(Ok(extended)) => take(&core, &extended, asked_at.saturating_add(duration)),
            Some(Err(error)) => {
                log_failure!(&error, "leases could not be extended; trying again");
                false
            }
            None => {
                tracing::debug!("leases were not extended in time; trying on another connection");
                line = core.store.lease_line();
                false
            }
        };
        let now = core.time.monotonic();
        (renew_at, not_before) = if is_settled {
            (asked_at.saturating_add(third), now.saturating_add(EVENT_PAUSE))
        } else {
            (now.saturating_add(try_again), now.saturating_add(try_again))
        };
    }
}

/// Waits for `work`, and meanwhile stops the attempts whose leases are about to run out. `None` once serving ends.
async fn on_watch<T>(core: &Core, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    loop {
        // From then on the lease that ends first must not be relied on.
        let stop_at = core.running.first_end().map(|end| end.saturating_sub(margin(core.options.lease_duration)));
        tokio::select! {
            biased;
            () = core.stop_serving.cancelled() => return None,
            () = sleep_until(core, stop_at) => {}
            done = &mut work => return Some(done),
            // An attempt has begun whose lease may be the first to end.
            () = core.running.changed.notified() => {}
        }
        let stopped =
            core.running.stop_those_that_end(core.time.monotonic().saturating_add(margin(core.options.lease_duration)));
        if stopped > 0 {
            // That the store does not answer is told by whoever watches it.
            core.metrics.leases_lost(stopped);
            tracing::info!(count = stopped, "attempts are stopped: their leases could not be renewed in time");
        }
    }
}

/// Notes what the store has said of each lease; `false` where one of them is to be tried again soon.
fn take(core: &Core, extended: &[Extended], held_until: Instant) -> bool {
    let mut is_settled = true;
    for Extended { id, token, hold, cancel_requested } in extended {
        match hold {
            Hold::Extended => core.running.extended(*id, *token, held_until),
            Hold::Busy => is_settled = false,
            Hold::Lost => core.running.interrupt_lease(*id, *token),
        }
        if let Some(request) = cancel_requested.filter(|_| *hold != Hold::Lost) {
            core.running.cancel(*id, *token, request);
        }
    }
    is_settled
}
