//! Plugins.

use serde::Serialize;

use crate::model::{DirAccess, Grant, Import, PluginVersion};

#[derive(Serialize)]
pub(crate) struct PluginWire {
    pub(crate) name: String,
    pub(crate) digest: String,
    /// The names that the author gave them.
    pub(crate) tasks: Vec<String>,
    pub(crate) imports: Vec<ImportWire>,
    pub(crate) grants: Vec<GrantWire>,
    pub(crate) registered_at: String,
}

#[derive(Serialize)]
pub(crate) struct ImportWire {
    interface: String,
    by_adapter: bool,
}

/// A grant. The value of a variable is not shown: it may be a secret.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum GrantWire {
    Dir { host: String, guest: String, access: &'static str, max_bytes: Option<u64>, max_files: Option<u64> },
    Env { name: String, has_value: bool },
    Http { pattern: String },
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
        }
    }
}
