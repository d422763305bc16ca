//! Keeps the leases of running attempts alive, apart from everything that could starve it.

use std::sync::Arc;

use super::core::Core;
use super::running::Interrupt;
use crate::model::Timestamp;
use crate::store::ExtendJobs;

/// Extends leases at a third of their duration until serving ends.
///
/// A holder must not trust a lease that it could not extend: when the store has been away for so long that the leases may have run
/// out, the attempts are killed, since another worker may have begun them anew.
pub(super) async fn run(core: Arc<Core>) {
    let duration = core.options.lease_duration;
    let margin = duration / 10;
    let mut confirmed_until = core.time.now().saturating_add(duration);
    loop {
        tokio::select! {
            () = core.stop_serving.cancelled() => return,
            () = core.time.sleep(duration / 3) => {}
        }
        // The lease counts from when the request began, never from when the answer came.
        let asked_at = core.time.now();
        match extend(&core, asked_at.saturating_add(duration)).await {
            Ok(()) => confirmed_until = asked_at.saturating_add(duration),
            Err(error) => {
                tracing::warn!(error = %super::chain(&error), "leases could not be extended; trying again");
                if core.time.now().saturating_add(margin) >= confirmed_until {
                    core.running.interrupt_all(Interrupt::LeaseLost);
                }
            }
        }
    }
}

async fn extend(core: &Core, lease_until: Timestamp) -> Result<(), crate::store::StoreError> {
    let leases = core.running.leases();
    if leases.is_empty() {
        return Ok(());
    }
    for extended in core.store.job_extend(ExtendJobs { leases, lease_until }).await? {
        if !extended.held {
            core.running.interrupt(extended.id, Interrupt::LeaseLost);
        } else if extended.cancel_requested {
            core.running.interrupt(extended.id, Interrupt::Cancelled);
        }
    }
    Ok(())
}
