//! Plugins: registered components, what they offer, and what an operator lets them do.

use std::fmt;
use std::path::PathBuf;

use super::Timestamp;
use super::http::HttpPattern;
use super::id::{Digest, PluginName, TaskName};
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
        }
    }
}
