//! Files that hold what is nobody else's business: arguments, results, grants with their secrets.
//!
//! New ones are readable for their owner alone, whatever the umask. One that is there already and can be read by others is narrowed, and
//! that is told: earlier versions left the rights to the umask, so they are nobody's decision, and a warning that has to be acted upon
//! would leave the secrets open until somebody does. Folders that are there already are left alone: they may hold other things.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;

const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_FOLDER: u32 = 0o700;
const OTHERS: u32 = 0o077;

/// Makes an empty file for its owner alone, unless there is one by that name already.
///
/// The file is made without being opened. SQLite's locks belong to the process and not to a file handle, so that closing one here would
/// release those of another connection to the same file.
///
/// # Errors
/// The file cannot be made.
pub fn create_private_file(path: &Path) -> io::Result<()> {
    match rustix::fs::mknodat(CWD, path, FileType::RegularFile, Mode::from_raw_mode(OWNER_ONLY), 0) {
        // The umask may have taken rights from the owner too.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY)),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes the rights that others have to an SQLite database and to the files that SQLite keeps beside it; tells either that it was done, or
/// that it could not be. To be called once it is known to be a database of the host.
///
/// SQLite gives the files beside a database the rights that the database has.
pub fn narrow_database(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        narrow(Path::new(&file));
    }
}

fn narrow(path: &Path) {
    let Ok(metadata) = fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() || mode & OTHERS == 0 {
        return;
    }
    let (file, mode_was) = (path.display(), format!("{mode:04o}"));
    match fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS)) {
        Ok(()) => tracing::warn!(%file, mode_was, "others had rights to a file of the host; now only its owner has"),
        Err(error) => {
            tracing::warn!(%file, mode_was, %error, "others have rights to a file of the host, and keep them")
        }
    }
}

/// Sees to it that there is a folder. One that is made here is its owner's alone.
///
/// # Errors
/// The folder cannot be made.
pub fn ensure_private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(OWNER_ONLY_FOLDER).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY_FOLDER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_owners_alone_and_one_that_was_wider_becomes_so() {
        let folder = std::env::temp_dir().join(format!("host-private-{}-{:x}", std::process::id(), fastrand::u64(..)));
        ensure_private_folder(&folder).expect("made");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        assert_eq!(mode(&folder), 0o700);
        let file = folder.join("file");
        create_private_file(&file).expect("made");
        assert_eq!((mode(&file), fs::read(&file).expect("readable")), (0o600, Vec::new()));
        fs::write(&file, "kept").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
        create_private_file(&file).expect("there");
        assert_eq!(mode(&file), 0o644, "a file that was there is left alone until it is known to be ours");
        narrow_database(&file);
        assert_eq!((mode(&file), fs::read(&file).expect("readable")), (0o600, b"kept".to_vec()));
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("set");
        ensure_private_folder(&folder).expect("there");
        assert_eq!(mode(&folder), 0o755, "a folder that was there is left alone");
        fs::remove_dir_all(&folder).expect("removed");
    }
}
