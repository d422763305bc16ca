//! Counts how attempts end on versions that are being rolled out.
//!
//! Counted after the ends are stored, and apart from them: no job waits for the lock on a rollout, and what a process that dies has not counted
//! yet is missing. What a death costs the version counts when its jobs are taken back.

use std::collections::BTreeMap;

use super::core::Core;
use super::log_failure;
use crate::model::{Digest, EventKind, Outcome, PluginName, RolloutState, Timestamp};
use crate::store::{CountRollout, Ending, ReleaseJob};

/// What there is to count of ends that are stored, each with the plugin.
pub(super) fn counts<'a>(
    now: Timestamp,
    ends: impl Iterator<Item = (&'a PluginName, &'a ReleaseJob)>,
) -> Vec<CountRollout> {
    let mut counts: BTreeMap<(PluginName, Digest), (u64, u64)> = BTreeMap::new();
    for (name, release) in ends {
        let (Some(digest), Some(has_failed)) = (release.plugin_digest, has_failed(&release.ending)) else { continue };
        let (attempts, failed) = counts.entry((name.clone(), digest)).or_default();
        *attempts += 1;
        *failed += u64::from(has_failed);
    }
    let count = |((name, digest), (attempts, failed))| CountRollout { name, digest, attempts, failed, now };
    counts.into_iter().map(count).collect()
}

/// Whether an attempt failed; `None` where that says nothing about the version.
fn has_failed(ending: &Ending) -> Option<bool> {
    match ending {
        Ending::Retry { .. } | Ending::Finished { outcome: Outcome::Error, .. } => Some(true),
        Ending::Finished { outcome: Outcome::Success, .. } => Some(false),
        Ending::Finished { .. } | Ending::Requeued { .. } => None,
    }
}

/// Stores what was counted, and tells everyone where a rollout has ended for it.
pub(super) async fn store(core: &Core, counts: Vec<CountRollout>) {
    for count in counts {
        let (name, digest) = (count.name.clone(), count.digest);
        match core.store.rollout_count(count).await {
            Ok(Some(rollout)) if !rollout.is_active() => {
                let (attempts, failed) = (rollout.attempts, rollout.failed);
                tracing::warn!(plugin = %name, %digest, attempts, failed, "a rollout has ended: too many attempts failed");
                returned(core, [(name, digest)]);
            }
            Ok(_) => {}
            Err(error) => log_failure!(&error, "ended attempts could not be counted for a rollout"),
        }
    }
}

/// Tells everyone of rollouts that have ended because too many attempts failed.
pub(super) fn returned(core: &Core, rollouts: impl IntoIterator<Item = (PluginName, Digest)>) {
    let state = RolloutState::Returned;
    let event = |(plugin, digest)| EventKind::PluginRolloutChanged { plugin, digest, state };
    core.notifier.publish(rollouts.into_iter().map(event));
}
