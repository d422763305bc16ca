//! What goes into the calls about versions of plugins, and what comes out.

use super::Put;
use crate::model::{Digest, Grant, Percent, PluginName, PluginVersion, Rollout, Settings, Task, TaskId, Timestamp};

/// What somebody has looked at who then agreed to a change: if it is no longer so, the change is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Reviewed {
    /// The current version of the plugin; `None` where there was none that could be read.
    pub current: Option<PluginVersion>,
    /// The rights of the stored version that is to get jobs, where it is not part of the change itself.
    pub grants: Option<Vec<Grant>>,
}

/// See [`Catalog::plugin_put`](super::Catalog::plugin_put).
#[derive(Debug, Clone)]
pub struct PutPlugin {
    /// The version; its `tasks` are the declarations that are shown and kept with it.
    pub version: PluginVersion,
    /// The component.
    pub bytes: Vec<u8>,
    /// The version's tasks as they are to be stored. Their `configured` layer is used only for ids that are not there yet.
    pub tasks: Vec<Task>,
    /// Settings that are laid over the `configured` layer of each of these tasks, whether it is there already or not.
    pub configure: Settings,
    /// What must still be so.
    pub reviewed: Option<Reviewed>,
}

/// See [`Catalog::plugin_activate`](super::Catalog::plugin_activate).
#[derive(Debug, Clone)]
pub struct ActivatePlugin {
    /// The plugin.
    pub name: PluginName,
    /// The version to make current.
    pub digest: Digest,
    /// That version's tasks.
    pub tasks: Vec<Task>,
    /// What must still be so.
    pub reviewed: Option<Reviewed>,
}

/// What making a version current changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginPut {
    /// What was current before: nothing, another version, or the same.
    pub put: Put,
    /// Tasks that came into being.
    pub tasks_added: Vec<TaskId>,
    /// Tasks that stayed, perhaps with another definition.
    pub tasks_updated: Vec<TaskId>,
    /// Tasks that the new version does not offer.
    pub tasks_removed: Vec<TaskId>,
}

/// See [`Catalog::plugin_stage`](super::Catalog::plugin_stage).
#[derive(Debug, Clone)]
pub struct StagePlugin {
    /// The version.
    pub version: PluginVersion,
    /// The component.
    pub bytes: Vec<u8>,
    /// What must still be so.
    pub reviewed: Option<Reviewed>,
}

/// See [`Catalog::rollout_put`](super::Catalog::rollout_put).
#[derive(Debug, Clone)]
pub struct PutRollout {
    /// The plugin.
    pub name: PluginName,
    /// The version that gets a part of the jobs.
    pub digest: Digest,
    /// That part.
    pub share: Percent,
    /// The part of its attempts that may fail; `None`: what holds where its rollout is under way, else [`ERROR_RATE_MAX_DEFAULT`].
    pub error_rate_max: Option<Percent>,
    /// From how many attempts on the rate is looked at; `None`: what holds where its rollout is under way, else
    /// [what fits the rate](Rollout::attempts_min_of).
    pub attempts_min: Option<u32>,
    /// The time.
    pub now: Timestamp,
    /// What must still be so.
    pub reviewed: Option<Reviewed>,
}

/// The part of a version's attempts that may fail, where nobody says otherwise.
pub const ERROR_RATE_MAX_DEFAULT: Percent = match Percent::from_hundredths(100) {
    Some(one_percent) => one_percent,
    None => unreachable!(),
};

/// See [`Catalog::rollout_end`](super::Catalog::rollout_end).
#[derive(Debug, Clone)]
pub struct EndRollout {
    /// The plugin.
    pub name: PluginName,
    /// The version whose rollout it is.
    pub digest: Digest,
    /// The version's tasks, where it is to become the current one.
    pub finish: Option<Vec<Task>>,
    /// The time.
    pub now: Timestamp,
}

/// What ending a rollout did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutEnded {
    /// The rollout.
    pub rollout: Rollout,
    /// What making its version current changed.
    pub changes: Option<PluginPut>,
}

/// See [`Catalog::rollout_count`](super::Catalog::rollout_count).
#[derive(Debug, Clone)]
pub struct CountRollout {
    /// The plugin.
    pub name: PluginName,
    /// The version that ran.
    pub digest: Digest,
    /// Attempts that have ended.
    pub attempts: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// The time.
    pub now: Timestamp,
}

/// See [`Catalog::plugin_prune`](super::Catalog::plugin_prune).
#[derive(Debug, Clone)]
pub struct PrunePlugin {
    /// The plugin.
    pub name: PluginName,
    /// How many of its versions stay in any case, counted from the one that was registered last.
    pub keep: usize,
    /// Change nothing, and answer what would be done.
    pub dry_run: bool,
}

/// Which versions of a plugin were removed, and which ones stayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Those that are gone.
    pub removed: Vec<Digest>,
    /// The others.
    pub kept: Vec<(Digest, KeptVersion)>,
}

/// Why a version of a plugin stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptVersion {
    /// It is the current one.
    Current,
    /// A job that has not ended is pinned to it, or has begun with it.
    Job,
    /// A schedule is pinned to it.
    Schedule,
    /// Its rollout is under way.
    Rollout,
    /// It is among the last ones.
    Recent,
}
