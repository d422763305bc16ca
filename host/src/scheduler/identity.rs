//! One scheduler for each identity.
//!
//! A scheduler takes back at once what an earlier one of its identity has left. If that one lives, this would take the jobs out of its hands,
//! so before anything else it has to be known whether it does. On the same machine the process table tells, within the same process we know
//! it ourselves; otherwise one that lives is seen every few seconds.

use std::time::Duration;

use super::StartError;
use super::core::Core;
use super::housekeeping::{self, HEARTBEAT_MAX};
use super::incarnation::{Found, find, is_alive_here};
use crate::clock::Clock as _;
use crate::model::{Incarnation, Timestamp};
use crate::store::{PutScheduler, SchedulerPut, SchedulerRow};

/// One that was not seen for this long is gone: two heartbeats were missed, and some time is left for a slow store.
const SILENT_MAX: Duration = Duration::from_secs(2 * HEARTBEAT_MAX.as_secs() + 1);

/// How often it is checked whether the other one was seen.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is known of another incarnation without waiting for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Lives,
    Gone,
    Nothing,
}

fn judge(other: &SchedulerRow, now: Timestamp) -> Known {
    if other.stopped_at.is_some() {
        return Known::Gone;
    }
    match find(&other.incarnation) {
        Found::Ours if is_alive_here(&other.incarnation) => Known::Lives,
        Found::Ours | Found::Gone => Known::Gone,
        // A clock that was set back would make it look as if it had been seen in time to come.
        Found::Elsewhere if now.saturating_since(other.seen_at) > SILENT_MAX => Known::Gone,
        Found::Elsewhere => Known::Nothing,
    }
}

/// Makes the identity that of this scheduler; refused where another one has it that lives.
pub(super) async fn claim(core: &Core, started_at: Timestamp) -> Result<(), StartError> {
    let identity = &core.options.identity;
    let mut replaces: Option<Incarnation> = None;
    // The one that is waited for: when it was last seen, and since when that has not changed.
    let mut watched: Option<(Incarnation, Timestamp, crate::clock::Instant)> = None;
    loop {
        let scheduler = housekeeping::row(core, started_at, None);
        let request = PutScheduler { scheduler, replaces: replaces.take() };
        let put = core.store.scheduler_put(request).await;
        let other = match put.map_err(|source| StartError::Store { identity: identity.clone(), source })? {
            SchedulerPut::Stored => return Ok(()),
            SchedulerPut::Taken(other) => other,
        };
        let (seen_at, now) = (other.seen_at, core.time.monotonic());
        let refused = || StartError::IdentityInUse { identity: identity.clone(), seen_at };
        let is_gone = match (judge(&other, core.time.now()), &watched) {
            (Known::Lives, _) => return Err(refused()),
            (Known::Gone, _) => true,
            (Known::Nothing, Some((incarnation, seen, since))) if *incarnation == other.incarnation => {
                if *seen != seen_at {
                    return Err(refused());
                }
                now.saturating_since(*since) > SILENT_MAX
            }
            (Known::Nothing, _) => {
                tracing::info!(scheduler.id = %identity, "another scheduler has had this identity; looking whether it lives");
                watched = Some((other.incarnation.clone(), seen_at, now));
                false
            }
        };
        if is_gone {
            replaces = Some(other.incarnation);
        } else {
            core.time.sleep(LOOK_EVERY).await;
        }
    }
}
