//! Folders that are the ones they were taken for: opened without following a link, and known again by what the file system says of them.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::model::{FolderIdentity, Timestamp};

/// Why a folder was not opened.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A part of its path is a symbolic link.
    #[error("`{}` is a symbolic link", .0.display())]
    Link(PathBuf),
    /// The path does not begin at the root, or goes back.
    #[error("`{}` is no plain absolute path", .0.display())]
    NotPlain(PathBuf),
    /// The system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// For walking through a folder: searching it is all that is needed.
#[cfg(target_os = "linux")]
const WALK: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const WALK: OFlags = OFlags::RDONLY;

/// Opens a folder by its absolute path, part by part, and follows no symbolic link.
///
/// Each part is opened inside the folder that was opened before it, so that nobody can change the way while it is walked.
///
/// # Errors
/// [`FolderError`] says what is in the way.
pub fn open_folder(path: &Path) -> Result<File, FolderError> {
    let not_plain = || FolderError::NotPlain(path.to_owned());
    let mut parts = path.components();
    if parts.next() != Some(Component::RootDir) {
        return Err(not_plain());
    }
    let mut walked = PathBuf::from("/");
    let mut folder =
        openat(CWD, "/", WALK | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(io::Error::from)?;
    for part in parts {
        let Component::Normal(name) = part else { return Err(not_plain()) };
        walked.push(name);
        folder = step(&folder, name.as_ref(), WALK, &walked)?;
    }
    // Again, to read it.
    Ok(step(&folder, Path::new("."), OFlags::RDONLY, &walked)?.into())
}

fn step(folder: &OwnedFd, name: &Path, access: OFlags, walked: &Path) -> Result<OwnedFd, FolderError> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(folder.as_fd(), name, flags, Mode::empty()) {
        Ok(next) => Ok(next),
        Err(Errno::NOTDIR | Errno::LOOP) if is_link(folder, name) => Err(FolderError::Link(walked.to_owned())),
        Err(error) => Err(FolderError::Io(error.into())),
    }
}

fn is_link(folder: &OwnedFd, name: &Path) -> bool {
    statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

/// What an open folder is known by.
///
/// # Errors
/// The system does not say.
pub fn identity_of(folder: &File) -> io::Result<FolderIdentity> {
    let metadata = folder.metadata()?;
    // Not every file system knows; some that do not say 1970.
    let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let born = born.and_then(|age| i64::try_from(age.as_micros()).ok()).filter(|micros| *micros > 0);
    Ok(FolderIdentity {
        machine: machine().to_owned(),
        device: metadata.dev(),
        inode: metadata.ino(),
        born: born.and_then(Timestamp::from_micros),
    })
}

/// A name of this machine that stays the same over restarts, and in a container as long as the container is the same.
fn machine() -> &'static str {
    static MACHINE: OnceLock<String> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let read = |path| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
        let id = read("/etc/machine-id");
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id { id } else { read("/proc/sys/kernel/hostname") }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder that goes with the test, by its real path.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Place {
            let path = std::env::temp_dir().join(format!("host-folder-{}-{:x}", std::process::id(), fastrand::u64(..)));
            fs::create_dir_all(path.join("a/b")).expect("made");
            Place(path.canonicalize().expect("real"))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            // What is left over is the system's to clean up.
            let _removed = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn no_link_is_followed_on_the_way_and_none_at_its_end() {
        let place = Place::new();
        let inner = place.0.join("a/b");
        assert!(open_folder(&inner).is_ok());
        assert!(open_folder(Path::new("/")).is_ok());
        symlink("b", place.0.join("a/link")).expect("linked");
        symlink("a", place.0.join("other")).expect("linked");
        for (path, link) in [("a/link", "a/link"), ("other/b", "other"), ("a/link/c", "a/link")] {
            let error = open_folder(&place.0.join(path)).expect_err(path);
            assert!(matches!(&error, FolderError::Link(found) if *found == place.0.join(link)), "{path}: {error}");
        }
        fs::write(place.0.join("file"), "").expect("written");
        assert!(matches!(open_folder(&place.0.join("file")), Err(FolderError::Io(_))));
        for path in ["a", "./a", "/../a", "/a/../b"] {
            assert!(
                matches!(open_folder(Path::new(path)), Err(FolderError::NotPlain(_) | FolderError::Io(_))),
                "{path}"
            );
        }
    }

    #[test]
    fn a_folder_keeps_its_identity_and_another_in_its_place_has_another() {
        let place = Place::new();
        let identity = |path: &str| identity_of(&open_folder(&place.0.join(path)).expect("opened")).expect("known");
        let before = identity("a/b");
        fs::write(place.0.join("a/b/file"), "changed").expect("written");
        fs::rename(place.0.join("a/b"), place.0.join("moved")).expect("moved");
        assert!(before.is_same_folder(&identity("moved")));
        fs::create_dir(place.0.join("a/b")).expect("made");
        assert!(!before.is_same_folder(&identity("a/b")));
    }
}
