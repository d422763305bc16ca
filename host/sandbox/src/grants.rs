//! Grants made ready: folders opened, variables looked up.
//!
//! A folder is opened once for a plugin version and its grants, and every job is handed that open folder: nobody can put
//! another folder in its place by moving names around, and no job pays for the opening. A folder that was removed is opened
//! again by its name, so that an operator who replaces one need not restart anything.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use wasmtime_wasi::filesystem::Dir;
use wasmtime_wasi::{FsPerms, OpenMode};

use crate::model::{DirAccess, Grant};

/// The grants of one plugin version, ready to be handed to instances.
#[derive(Default)]
pub(super) struct OpenGrants {
    folders: Vec<Folder>,
    variables: Vec<Variable>,
}

/// A granted folder, open.
pub(super) struct Folder {
    /// The open folder, with what may be done in it.
    pub(super) dir: Dir,
    /// What the guest calls it.
    pub(super) guest: String,
    /// Whether the guest may not write there.
    pub(super) is_read_only: bool,
}

struct Variable {
    name: String,
    fixed: Option<String>,
}

/// A granted folder that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the granted folder {}", path.display())]
pub(super) struct FolderUnavailable {
    path: PathBuf,
    source: std::io::Error,
}

impl OpenGrants {
    /// Opens every granted folder. Blocks for the file system.
    ///
    /// # Errors
    /// The first folder that cannot be opened.
    pub(super) fn open(grants: &[Grant]) -> Result<OpenGrants, FolderUnavailable> {
        let mut open = OpenGrants::default();
        for grant in grants {
            match grant {
                Grant::Dir { host, guest, access } => open.folders.push(Folder::open(host, guest, *access)?),
                Grant::Env { name, value } => {
                    open.variables.push(Variable { name: name.clone(), fixed: value.clone() });
                }
            }
        }
        Ok(open)
    }

    /// The granted folders.
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

    /// Whether every folder still exists. One system call for each; none without folders.
    pub(super) fn are_alive(&self) -> bool {
        // A removed folder has no links left. One that was moved is still the folder that was granted.
        self.folders.iter().all(|folder| folder.dir.dir.metadata().is_ok_and(|metadata| metadata.nlink() > 0))
    }
}

impl Folder {
    fn open(host: &Path, guest: &str, access: DirAccess) -> Result<Folder, FolderUnavailable> {
        let dir = cap_std::fs::Dir::open_ambient_dir(host, ambient_authority())
            .map_err(|source| FolderUnavailable { path: host.to_owned(), source })?
            .into_std_file();
        let (permissions, mode) = match access {
            DirAccess::ReadOnly => (FsPerms::ReadOnly, OpenMode::READ),
            DirAccess::ReadWrite => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
        };
        // File operations block; with `false` they go to the blocking pool instead of holding a guest's thread.
        Ok(Folder {
            dir: Dir::new(dir, permissions, mode, false),
            guest: guest.to_owned(),
            is_read_only: access == DirAccess::ReadOnly,
        })
    }
}
