//! Plugins: registered components, what they offer, and what an operator lets them do.

use std::fmt;
use std::path::PathBuf;

use super::Timestamp;
use super::http::HttpPattern;
use super::id::{BucketName, Digest, PluginName, TaskName};
use super::secret::SecretGrant;
use super::settings::Settings;

/// One version of a plugin, as it was registered. Versions are named by the digest of their bytes and never change.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginVersion {
    /// The plugin's name.
    pub name: PluginName,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// What the component imports, interface by interface.
    pub imports: Vec<Import>,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// The tasks it offers.
    pub tasks: Vec<TaskDeclaration>,
    /// When it was registered.
    pub registered_at: Timestamp,
}

/// An interface that a component imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The interface with its version, such as `wasi:filesystem/types@0.2.3`.
    pub interface: String,
    /// Whether the author's code asked for it, or the WASI adapter did, which always imports the same few.
    pub by_adapter: bool,
}

/// What a component may import and still be pure.
const PURE_INTERFACES: [&str; 3] = ["jobs:plugin/types", "jobs:plugin/context", "jobs:plugin/log"];

impl PluginVersion {
    /// Whether its tasks are pure: see nothing but their arguments and the job that they are, and do nothing but log and return. That holds
    /// whatever is granted, because a component can call only what it imports; what the WASI adapter imports counts as well.
    pub fn is_pure(&self) -> bool {
        self.imports.iter().all(|import| PURE_INTERFACES.contains(&import.name()))
    }
}

impl Import {
    /// The interface without its version: one in a newer version is no new wish.
    pub fn name(&self) -> &str {
        self.interface.split_once('@').map_or(&*self.interface, |(name, _)| name)
    }
}

/// A task as the plugin's author declared it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDeclaration {
    /// What the plugin calls it.
    pub name: TaskName,
    /// What it does, for people; may be empty.
    pub description: String,
    /// JSON Schema of the arguments, as JSON text.
    pub args_schema: Option<String>,
    /// JSON Schema of the result, as JSON text.
    pub result_schema: Option<String>,
    /// Arguments that work, as JSON text.
    pub example_args: Option<String>,
    /// The settings the author asks for.
    pub settings: Settings,
}

impl TaskDeclaration {
    /// A task without settings, of which nothing but its name is known.
    pub fn new(name: TaskName) -> TaskDeclaration {
        TaskDeclaration {
            name,
            description: String::new(),
            args_schema: None,
            result_schema: None,
            example_args: None,
            settings: Settings::default(),
        }
    }
}

/// A right that an operator gave to a plugin at registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// A folder of the host, shown to the guest under another name.
    Dir {
        /// The folder on the host, absolute.
        host: PathBuf,
        /// Its name inside the guest.
        guest: String,
        /// Whether the guest may write there.
        access: DirAccess,
        /// Which folder that was when it was granted; `None` in a grant that is older than this field.
        identity: Option<FolderIdentity>,
        /// What one attempt may write there.
        quota: WriteQuota,
    },
    /// An environment variable. Without a value, the one the host process has when the job runs.
    Env {
        /// The variable's name.
        name: String,
        /// Its value, where the operator fixed one.
        value: Option<String>,
    },
    /// HTTP requests.
    Http(HttpPattern),
    /// Keys and values that outlive jobs.
    Kv {
        /// Where they are.
        bucket: BucketName,
        /// Whether the guest may write there.
        access: KvAccess,
    },
    /// The use of a secret.
    Secret(SecretGrant),
}

/// What a guest may do in a granted bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvAccess {
    /// Read values and list keys.
    ReadOnly,
    /// Also write and delete.
    ReadWrite,
}

impl KvAccess {
    /// In the words of the flag.
    pub fn as_str(self) -> &'static str {
        match self {
            KvAccess::ReadOnly => "ro",
            KvAccess::ReadWrite => "rw",
        }
    }
}

impl Grant {
    /// Whether the two stand for the same thing inside the guest, so that a plugin can have only one of them.
    pub fn clashes_with(&self, other: &Grant) -> bool {
        match (self, other) {
            (Grant::Dir { guest: a, .. }, Grant::Dir { guest: b, .. }) => a == b,
            (Grant::Env { name: a, .. }, Grant::Env { name: b, .. }) => a == b,
            (Grant::Http(a), Grant::Http(b)) => a == b,
            (Grant::Kv { bucket: a, .. }, Grant::Kv { bucket: b, .. }) => a == b,
            (Grant::Secret(a), Grant::Secret(b)) => a.name == b.name,
            _ => false,
        }
    }

    /// Whether whoever has this right may do all that `other` would let them do.
    ///
    /// A folder covers those in it, by their paths and whatever they are called inside the guest. A variable that the host has covers one
    /// with a fixed value, not the other way round; which value was fixed is not looked at, because it is the operator's own.
    pub fn covers(&self, other: &Grant) -> bool {
        match (self, other) {
            (
                Grant::Dir { host, access, quota, .. },
                Grant::Dir { host: other_host, access: other_access, quota: other_quota, .. },
            ) => {
                let is_enough = match other_access {
                    DirAccess::ReadOnly => true,
                    DirAccess::ReadWrite => *access == DirAccess::ReadWrite && quota.covers(*other_quota),
                };
                is_enough && other_host.starts_with(host)
            }
            (Grant::Env { name, value }, Grant::Env { name: other_name, value: other_value }) => {
                name == other_name && (value.is_none() || other_value.is_some())
            }
            (Grant::Http(pattern), Grant::Http(other)) => pattern.covers(other),
            (Grant::Kv { bucket, access }, Grant::Kv { bucket: other, access: other_access }) => {
                bucket == other && (*access == KvAccess::ReadWrite || *other_access == KvAccess::ReadOnly)
            }
            (Grant::Secret(secret), Grant::Secret(other)) => secret.covers(other),
            _ => false,
        }
    }
}

impl WriteQuota {
    fn covers(self, other: WriteQuota) -> bool {
        let is_within = |bound: Option<u64>, other: Option<u64>| match (bound, other) {
            (None, _) => true,
            (Some(bound), Some(other)) => other <= bound,
            (Some(_), None) => false,
        };
        is_within(self.bytes, other.bytes) && is_within(self.files, other.files)
    }
}

/// What one attempt may write into a folder. What is not set has no bound but the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteQuota {
    /// Bytes, also those that are written over others.
    pub bytes: Option<u64>,
    /// New files, folders and links.
    pub files: Option<u64>,
}

/// What a folder is known by, so that another one in its place is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderIdentity {
    /// The machine on which the rest means something: another has a folder of its own at the same path.
    pub machine: String,
    /// The number of the file system.
    pub device: u64,
    /// The number of the folder in its file system.
    pub inode: u64,
    /// When the folder was made, where the file system knows.
    pub born: Option<Timestamp>,
}

impl FolderIdentity {
    /// Whether `found`, on the same machine, is this folder.
    ///
    /// A folder's number is used again after it was removed, and a file system may get another number when it is mounted again, so the time
    /// of birth decides where it is known.
    pub fn is_same_folder(&self, found: &FolderIdentity) -> bool {
        self.inode == found.inode
            && match (self.born, found.born) {
                (Some(born), Some(found)) => born == found,
                _ => self.device == found.device,
            }
    }
}

/// What a guest may do in a granted folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirAccess {
    /// Read files and list folders.
    ReadOnly,
    /// Also create, change and remove.
    ReadWrite,
}

/// In the words of the flag that gives it, so that it can be copied: `--allow-dir /srv/in::in:ro`.
/// The value of a variable is left out: it may be a secret.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grant::Dir { host, guest, access, quota, .. } => {
                let access = match access {
                    DirAccess::ReadOnly => "ro",
                    DirAccess::ReadWrite => "rw",
                };
                write!(f, "--allow-dir {}::{guest}:{access}", host.display())?;
                quota.bytes.iter().try_for_each(|bytes| write!(f, ",max={bytes}"))?;
                quota.files.iter().try_for_each(|files| write!(f, ",files={files}"))
            }
            Grant::Env { name, value: None } => write!(f, "--allow-env {name}"),
            Grant::Env { name, value: Some(_) } => write!(f, "--allow-env {name}=…"),
            Grant::Http(pattern) => write!(f, "--allow-http '{pattern}'"),
            Grant::Kv { bucket, access } => write!(f, "--allow-kv {bucket}:{}", access.as_str()),
            Grant::Secret(secret) => write!(f, "--allow-secret '{secret}'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(host: &str, access: DirAccess, bytes: Option<u64>) -> Grant {
        let quota = WriteQuota { bytes, files: None };
        Grant::Dir { host: host.into(), guest: "in".to_owned(), access, identity: None, quota }
    }

    fn env(name: &str, value: Option<&str>) -> Grant {
        Grant::Env { name: name.to_owned(), value: value.map(str::to_owned) }
    }

    fn kv(bucket: &str, access: KvAccess) -> Grant {
        Grant::Kv { bucket: BucketName::new(bucket).expect("valid"), access }
    }

    #[test]
    fn a_right_covers_what_lets_a_plugin_do_no_more() {
        use DirAccess::{ReadOnly, ReadWrite};
        let covers = [
            (dir("/srv", ReadOnly, None), dir("/srv", ReadOnly, None)),
            (dir("/srv", ReadOnly, None), dir("/srv/in", ReadOnly, None)),
            (dir("/srv", ReadWrite, None), dir("/srv", ReadWrite, Some(5))),
            (dir("/srv", ReadWrite, Some(5)), dir("/srv", ReadOnly, None)),
            (dir("/srv", ReadWrite, Some(5)), dir("/srv", ReadWrite, Some(5))),
            (env("A", None), env("A", None)),
            (env("A", None), env("A", Some("1"))),
            (env("A", Some("1")), env("A", Some("2"))),
            (kv("a", KvAccess::ReadWrite), kv("a", KvAccess::ReadOnly)),
            (kv("a", KvAccess::ReadOnly), kv("a", KvAccess::ReadOnly)),
        ];
        for (has, asks) in covers {
            assert!(has.covers(&asks), "{has} covers {asks}");
        }
        let grows = [
            (dir("/srv/in", ReadOnly, None), dir("/srv", ReadOnly, None)),
            (dir("/srv", ReadOnly, None), dir("/srv2", ReadOnly, None)),
            (dir("/srv", ReadOnly, None), dir("/srv", ReadWrite, Some(1))),
            (dir("/srv", ReadWrite, Some(5)), dir("/srv", ReadWrite, Some(6))),
            (dir("/srv", ReadWrite, Some(5)), dir("/srv", ReadWrite, None)),
            (env("A", Some("1")), env("A", None)),
            (env("A", None), env("B", None)),
            (env("A", None), dir("/srv", ReadOnly, None)),
            (kv("a", KvAccess::ReadOnly), kv("a", KvAccess::ReadWrite)),
            (kv("a", KvAccess::ReadWrite), kv("b", KvAccess::ReadOnly)),
        ];
        for (has, asks) in grows {
            assert!(!has.covers(&asks), "{has} does not cover {asks}");
        }
    }

    #[test]
    fn a_component_is_pure_if_it_can_call_nothing_but_context_and_log() {
        let version = |interfaces: &[&str]| PluginVersion {
            name: PluginName::new("p").expect("valid"),
            digest: Digest::from_bytes([0; 32]),
            size_bytes: 1,
            imports: interfaces.iter().map(|it| Import { interface: (*it).to_owned(), by_adapter: true }).collect(),
            grants: Vec::new(),
            tasks: Vec::new(),
            registered_at: Timestamp::EPOCH,
        };
        assert!(version(&[]).is_pure());
        assert!(version(&["jobs:plugin/types@0.1.0", "jobs:plugin/context@0.1.0", "jobs:plugin/log@0.2.0"]).is_pure());
        for more in ["jobs:plugin/scheduler@0.1.0", "wasi:random/random@0.2.0", "jobs:plugin/logger@0.1.0"] {
            assert!(!version(&["jobs:plugin/log@0.1.0", more]).is_pure(), "{more}");
        }
    }
}
