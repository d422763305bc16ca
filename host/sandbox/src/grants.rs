//! Grants made ready: folders opened, variables looked up, requests to be held against patterns.
//!
//! A folder is opened once for a plugin version and its grants, and every job is handed that open folder: nobody can put
//! another folder in its place by moving names around, and no job pays for the opening.
//!
//! Whenever a folder is opened by its name (at registration, after a restart, after it was closed to make room), no
//! symbolic link is followed on the way, and what is found must be the folder that was granted. What a grant says of its
//! folder holds on the machine where it was given. On another one that works on the same store, and for a grant that is
//! older than identities, the first folder that is opened is taken for the right one as long as the process lives: by
//! then no link can lead anywhere else, and refusing would stop every plugin with folders on all machines but one.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use wasmtime_wasi::filesystem::Dir;
use wasmtime_wasi::{FsPerms, OpenMode};

use super::http::lookup::lookup_permits;
use crate::model::{DirAccess, FolderIdentity, Grant, HttpPattern, HttpTarget, KvAccess, SecretGrant, WriteQuota};
use host_core::files::{FolderError, identity_of, open_folder};

/// The grants of one plugin version, ready to be handed to instances.
pub(super) struct OpenGrants {
    folders: Vec<Folder>,
    variables: Vec<Variable>,
    requests: Vec<HttpPattern>,
    buckets: BTreeMap<String, KvAccess>,
    secrets: BTreeMap<String, SecretGrant>,
    /// The places for its lookups of names.
    lookups: Arc<Semaphore>,
}

/// A granted folder, open.
pub(super) struct Folder {
    /// The open folder, with what may be done in it.
    pub(super) dir: Dir,
    /// What the guest calls it.
    pub(super) guest: String,
    /// What one attempt may write there.
    pub(super) quota: WriteQuota,
}

impl Default for OpenGrants {
    /// None.
    fn default() -> OpenGrants {
        OpenGrants {
            folders: Vec::new(),
            variables: Vec::new(),
            requests: Vec::new(),
            buckets: BTreeMap::new(),
            secrets: BTreeMap::new(),
            lookups: lookup_permits(),
        }
    }
}

struct Variable {
    name: String,
    fixed: Option<String>,
}

/// A granted folder that cannot be handed out.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderUnavailable {
    /// It cannot be opened now.
    #[error("cannot open the granted folder `{}`", path.display())]
    Closed {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is there is not what was granted.
    #[error("the granted folder `{}` is not there any more: {found}", path.display())]
    Replaced {
        /// Its path.
        path: PathBuf,
        /// What is there.
        found: String,
    },
}

impl FolderUnavailable {
    /// Nobody looked, because the host is stopping.
    pub(super) fn stopping() -> FolderUnavailable {
        FolderUnavailable::Closed { path: PathBuf::new(), source: std::io::Error::other("the host is stopping") }
    }

    /// What to do about it.
    pub(super) fn way_out(&self) -> &'static str {
        match self {
            FolderUnavailable::Closed { .. } => "grant a folder that exists and that the host may read",
            FolderUnavailable::Replaced { .. } => {
                "put the folder back, or register the plugin again to grant what is there now"
            }
        }
    }
}

/// Opens granted folders, and remembers which they were where the grant does not say.
#[derive(Default)]
pub(super) struct Folders {
    first_seen: Mutex<HashMap<PathBuf, FolderIdentity>>,
}

impl Folders {
    /// Makes grants ready. Blocks for the file system.
    ///
    /// # Errors
    /// The first folder that cannot be handed out.
    pub(super) fn open(&self, grants: &[Grant]) -> Result<OpenGrants, FolderUnavailable> {
        let mut open = OpenGrants::default();
        for grant in grants {
            match grant {
                Grant::Dir { host, guest, access, identity, quota } => {
                    let dir = self.open_dir(host, identity.as_ref())?;
                    open.folders.push(Folder::new(dir, guest, *access, *quota));
                }
                Grant::Env { name, value } => {
                    open.variables.push(Variable { name: name.clone(), fixed: value.clone() });
                }
                Grant::Http(pattern) => open.requests.push(pattern.clone()),
                // One that came with an archive: no command grants it.
                Grant::Kv { bucket, .. } if bucket.is_reserved() => {}
                Grant::Kv { bucket, access } => {
                    open.buckets.insert(bucket.to_string(), *access);
                }
                Grant::Secret(secret) => {
                    open.secrets.insert(secret.name.to_string(), secret.clone());
                }
            }
        }
        Ok(open)
    }

    fn open_dir(&self, path: &Path, granted: Option<&FolderIdentity>) -> Result<std::fs::File, FolderUnavailable> {
        let closed = |source| FolderUnavailable::Closed { path: path.to_owned(), source };
        let replaced = |found: String| FolderUnavailable::Replaced { path: path.to_owned(), found };
        let dir = open_folder(path).map_err(|error| match error {
            FolderError::Io(error) => closed(error),
            FolderError::Link(_) | FolderError::NotPlain(_) => replaced(error.to_string()),
        })?;
        let found = identity_of(&dir).map_err(closed)?;
        let is_right = match granted.filter(|granted| granted.machine == found.machine) {
            Some(granted) => granted.is_same_folder(&found),
            None => self.is_first_seen(path, &found),
        };
        if is_right { Ok(dir) } else { Err(replaced("another folder is in its place".to_owned())) }
    }

    fn is_first_seen(&self, path: &Path, found: &FolderIdentity) -> bool {
        // The map is whole between any two of its statements.
        let mut first_seen = self.first_seen.lock().unwrap_or_else(PoisonError::into_inner);
        match first_seen.get(path) {
            Some(first) => first.is_same_folder(found),
            None => {
                tracing::info!(folder = %path.display(), "a granted folder is taken as it is found: the grant does not say which it is here");
                first_seen.insert(path.to_owned(), found.clone());
                true
            }
        }
    }
}

impl OpenGrants {
    pub(super) fn folders(&self) -> &[Folder] {
        &self.folders
    }

    /// The granted variables: fixed values, and those that the host process has now.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, String)> {
        self.variables.iter().filter_map(|variable| {
            let value = variable.fixed.clone().or_else(|| std::env::var(&variable.name).ok())?;
            Some((variable.name.as_str(), value))
        })
    }

    /// Whether a request is allowed, as far as its text goes.
    pub(super) fn allows(&self, target: &HttpTarget) -> bool {
        self.requests.iter().any(|pattern| pattern.allows(target))
    }

    /// Whether the same request to that very address is allowed.
    pub(super) fn allows_address(&self, target: &HttpTarget, address: IpAddr) -> bool {
        self.requests.iter().any(|pattern| pattern.allows_address(target, address))
    }

    /// What may be done in the bucket of that name, if anything.
    pub(super) fn bucket(&self, name: &str) -> Option<KvAccess> {
        self.buckets.get(name).copied()
    }

    /// What may be done with the secret of that name, if anything.
    pub(super) fn secret(&self, name: &str) -> Option<&SecretGrant> {
        self.secrets.get(name)
    }

    /// The places for its lookups of names.
    pub(super) fn lookups(&self) -> Arc<Semaphore> {
        Arc::clone(&self.lookups)
    }

    /// Whether every folder still exists. One system call for each; none without folders.
    pub(super) fn are_alive(&self) -> bool {
        // A removed folder has no links left. One that was moved is still the folder that was granted.
        self.folders.iter().all(|folder| folder.dir.dir.metadata().is_ok_and(|metadata| metadata.nlink() > 0))
    }
}

impl Folder {
    fn new(dir: std::fs::File, guest: &str, access: DirAccess, quota: WriteQuota) -> Folder {
        let (permissions, mode) = match access {
            DirAccess::ReadOnly => (FsPerms::ReadOnly, OpenMode::READ),
            DirAccess::ReadWrite => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
        };
        // File operations block; with `false` they go to the blocking pool instead of holding a guest's thread.
        Folder { dir: Dir::new(dir, permissions, mode, false), guest: guest.to_owned(), quota }
    }
}
