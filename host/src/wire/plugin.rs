//! Plugins.

use serde::Serialize;

use crate::app::{Registration, Review, TaskChange};
use crate::model::{DirAccess, Grant, Import, PluginName, PluginVersion, Rollout};

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Plugin"))]
pub(crate) struct PluginWire {
    pub(crate) name: String,
    pub(crate) digest: String,
    /// The names that the author gave them.
    pub(crate) tasks: Vec<String>,
    pub(crate) imports: Vec<ImportWire>,
    pub(crate) grants: Vec<GrantWire>,
    pub(crate) registered_at: String,
    /// Whether its tasks can do nothing but compute, log and return.
    pub(crate) pure: bool,
}

/// What `plugins show` prints beside the plugin itself.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "PluginDetails"))]
pub(crate) struct PluginDetails {
    #[serde(flatten)]
    pub(crate) plugin: PluginWire,
    /// The latest rollout, under way or not.
    pub(crate) rollout: Option<RolloutWire>,
}

/// A rollout. Percentages are numbers, 100 being all.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Rollout"))]
pub(crate) struct RolloutWire {
    plugin: String,
    digest: String,
    state: &'static str,
    percent: f64,
    max_error_rate_percent: f64,
    min_attempts: u32,
    attempts: u64,
    failed: u64,
    started_at: String,
    ended_at: Option<String>,
}

impl RolloutWire {
    pub(crate) fn new(plugin: &PluginName, rollout: &Rollout) -> RolloutWire {
        RolloutWire {
            plugin: plugin.to_string(),
            digest: rollout.digest.to_string(),
            state: rollout.state().as_str(),
            percent: rollout.share.as_number(),
            max_error_rate_percent: rollout.error_rate_max.as_number(),
            min_attempts: rollout.attempts_min,
            attempts: rollout.attempts,
            failed: rollout.failed,
            started_at: rollout.started_at.to_string(),
            ended_at: rollout.end.map(|end| end.at.to_string()),
        }
    }
}

/// What `plugins history` prints beside the plugin itself.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "PluginVersion"))]
pub(crate) struct VersionWire {
    #[serde(flatten)]
    pub(crate) plugin: PluginWire,
    /// Whether jobs run it unless they are pinned to another one, or have begun with another one.
    pub(crate) current: bool,
}

/// What `register` prints beside the plugin itself.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Registration"))]
pub(crate) struct RegistrationWire {
    #[serde(flatten)]
    pub(crate) plugin: PluginWire,
    /// The digest of the version that was current before.
    pub(crate) previous: Option<String>,
    pub(crate) changes: ReviewWire,
    pub(crate) notes: Vec<String>,
}

/// How a version differs from the one that was current before.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Review"))]
pub(crate) struct ReviewWire {
    tasks_added: Vec<String>,
    tasks_removed: Vec<String>,
    tasks_changed: Vec<TaskChangeWire>,
    imports_added: Vec<ImportWire>,
    imports_removed: Vec<ImportWire>,
    rights_added: Vec<GrantWire>,
    rights_removed: Vec<GrantWire>,
    rights_grow: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "TaskDifference"))]
struct TaskChangeWire {
    name: String,
    parts: Vec<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Import"))]
pub(crate) struct ImportWire {
    interface: String,
    by_adapter: bool,
}

/// A grant. The value of a variable is not shown: it may be a secret.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "Grant"))]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum GrantWire {
    Dir { host: String, guest: String, access: &'static str, max_bytes: Option<u64>, max_files: Option<u64> },
    Env { name: String, has_value: bool },
    Http { pattern: String },
    Kv { bucket: String, access: &'static str },
    Secret { name: String, reveal: bool, requests: Option<String> },
}

impl From<&PluginVersion> for PluginWire {
    fn from(version: &PluginVersion) -> PluginWire {
        PluginWire {
            name: version.name.to_string(),
            digest: version.digest.to_string(),
            tasks: version.tasks.iter().map(|task| task.name.to_string()).collect(),
            imports: version.imports.iter().map(ImportWire::from).collect(),
            grants: version.grants.iter().map(GrantWire::from).collect(),
            registered_at: version.registered_at.to_string(),
            pure: version.is_pure(),
        }
    }
}

impl From<&Registration> for RegistrationWire {
    fn from(registration: &Registration) -> RegistrationWire {
        RegistrationWire {
            plugin: PluginWire::from(&registration.version),
            previous: registration.previous.as_ref().map(|previous| previous.digest.to_string()),
            changes: ReviewWire::from(&registration.review),
            notes: registration.notes.clone(),
        }
    }
}

impl From<&Review> for ReviewWire {
    fn from(review: &Review) -> ReviewWire {
        let changed =
            |change: &TaskChange| TaskChangeWire { name: change.name.to_string(), parts: change.parts.clone() };
        ReviewWire {
            tasks_added: review.tasks_added.iter().map(ToString::to_string).collect(),
            tasks_removed: review.tasks_removed.iter().map(ToString::to_string).collect(),
            tasks_changed: review.tasks_changed.iter().map(changed).collect(),
            imports_added: review.imports_added.iter().map(ImportWire::from).collect(),
            imports_removed: review.imports_removed.iter().map(ImportWire::from).collect(),
            rights_added: review.rights_added.iter().map(GrantWire::from).collect(),
            rights_removed: review.rights_removed.iter().map(GrantWire::from).collect(),
            rights_grow: review.rights_grow(),
        }
    }
}

impl From<&Import> for ImportWire {
    fn from(import: &Import) -> ImportWire {
        ImportWire { interface: import.interface.clone(), by_adapter: import.by_adapter }
    }
}

impl From<&Grant> for GrantWire {
    fn from(grant: &Grant) -> GrantWire {
        match grant {
            Grant::Dir { host, guest, access, quota, .. } => GrantWire::Dir {
                host: host.display().to_string(),
                guest: guest.clone(),
                access: match access {
                    DirAccess::ReadOnly => "ro",
                    DirAccess::ReadWrite => "rw",
                },
                max_bytes: quota.bytes,
                max_files: quota.files,
            },
            Grant::Env { name, value } => GrantWire::Env { name: name.clone(), has_value: value.is_some() },
            Grant::Http(pattern) => GrantWire::Http { pattern: pattern.to_string() },
            Grant::Kv { bucket, access } => GrantWire::Kv { bucket: bucket.to_string(), access: access.as_str() },
            Grant::Secret(secret) => GrantWire::Secret {
                name: secret.name.to_string(),
                reveal: secret.reveal,
                requests: secret.requests.as_ref().map(ToString::to_string),
            },
        }
    }
}
