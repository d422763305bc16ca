//! Files that hold what is nobody else's business: arguments, results, grants with their secrets.
//!
//! New ones are readable for their owner alone, whatever the umask. One that is there already and can be read by others is narrowed, and
//! that is told: earlier versions left the rights to the umask, so they are nobody's decision, and a warning that has to be acted upon
//! would leave the secrets open until somebody does. Folders that are there already are left alone: they may hold other things.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
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

/// A file of secrets, and whether it kept them.
#[derive(Debug, PartialEq, Eq)]
pub enum PrivateFile {
    /// There is none by that name.
    Absent,
    /// Nobody but its owner had rights to it.
    Kept(Vec<u8>),
    /// Others have rights to it: what is in it may be known to them.
    Exposed,
}

/// Reads a file of at most `bytes_max` that its owner alone may read, and follows no symbolic link to it.
///
/// # Errors
/// It cannot be read, is larger, is no plain file, or belongs to another user.
pub fn read_private_file(path: &Path, bytes_max: u64) -> io::Result<PrivateFile> {
    // A pipe by that name must not hold the process up.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PrivateFile::Absent),
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(io::Error::other("it is a symbolic link"));
        }
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.mode() & OTHERS != 0 {
        return Ok(PrivateFile::Exposed);
    }
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    match content.len() as u64 > bytes_max {
        true => Err(io::Error::other(format!("it has more than {bytes_max} bytes"))),
        false => Ok(PrivateFile::Kept(content)),
    }
}

/// Writes a new file for its owner alone, so that nobody sees a part of it. `false`: there is one by that name already, and it is left alone.
///
/// # Errors
/// The file cannot be written.
pub fn write_private_file(path: &Path, content: &[u8]) -> io::Result<bool> {
    let mut name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.to_owned();
    name.push(format!(".{}-{:08x}", std::process::id(), fastrand::u32(..)));
    let unfinished = path.with_file_name(name);
    let written = write_new(&unfinished, content).and_then(|()| match fs::hard_link(&unfinished, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    });
    // Gone already where it could not be made.
    drop(fs::remove_file(&unfinished));
    written
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    // The umask may have taken rights from the owner too.
    file.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
    file.write_all(content)?;
    file.sync_all()
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
    fn a_secret_is_written_whole_and_once_and_one_that_others_can_read_is_not_taken() {
        let folder = std::env::temp_dir().join(format!("host-secret-{}-{:x}", std::process::id(), fastrand::u64(..)));
        ensure_private_folder(&folder).expect("made");
        let file = folder.join("file");
        assert_eq!(read_private_file(&file, 8).expect("looked"), PrivateFile::Absent);
        assert!(write_private_file(&file, b"secret").expect("written"));
        assert!(!write_private_file(&file, b"other").expect("looked"), "another was faster");
        assert_eq!(read_private_file(&file, 8).expect("read"), PrivateFile::Kept(b"secret".to_vec()));
        assert!(read_private_file(&file, 5).is_err(), "it is larger");
        assert_eq!(fs::read_dir(&folder).expect("listed").count(), 1, "nothing is left lying about");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("set");
        assert_eq!(read_private_file(&file, 8).expect("looked"), PrivateFile::Exposed);
        std::os::unix::fs::symlink(&file, folder.join("link")).expect("made");
        assert!(read_private_file(&folder.join("link"), 8).is_err(), "a link is not followed");
        assert!(read_private_file(&folder, 8).is_err(), "a folder is no file");
        fs::remove_dir_all(&folder).expect("removed");
    }

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
