//! Opening files and listing folders below a granted folder, with a look at what is there first.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_primitives::fs::{FileType, FileTypeExt as _, Metadata, OpenOptions};
use wasmtime_wasi::OpenMode;
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasmtime_wasi::runtime::spawn_blocking;

/// How a guest wants something opened.
pub(super) struct OpenRequest {
    options: OpenOptions,
    follow: FollowSymlinks,
    /// What may be done with what is opened.
    pub(super) mode: OpenMode,
    wants_directory: bool,
}

/// What was found.
pub(super) enum Opened {
    Directory(File),
    File(File),
    /// A file in the place of the folder that was wanted.
    NotDirectory,
    /// Something that is no file and no folder, by its name.
    Special(&'static str),
}

impl OpenRequest {
    /// As WASI's own implementation understands the flags.
    pub(super) fn new(
        path_flags: PathFlags,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<OpenRequest, ErrorCode> {
        let unsupported = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if flags.intersects(unsupported) {
            return Err(ErrorCode::Unsupported);
        }
        let wants_directory = open_flags.contains(OpenFlags::DIRECTORY);
        if wants_directory && open_flags.intersects(OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE) {
            return Err(ErrorCode::Invalid);
        }
        let mut options = OpenOptions::new();
        let mut mode = OpenMode::empty();
        if open_flags.contains(OpenFlags::CREATE) {
            match open_flags.contains(OpenFlags::EXCLUSIVE) {
                true => options.create_new(true),
                false => options.create(true),
            };
            mode |= OpenMode::WRITE;
        }
        if open_flags.contains(OpenFlags::TRUNCATE) {
            options.truncate(true);
            mode |= OpenMode::WRITE;
        }
        if flags.contains(DescriptorFlags::WRITE) {
            mode |= OpenMode::WRITE;
        }
        if flags.contains(DescriptorFlags::READ) || !flags.contains(DescriptorFlags::WRITE) {
            mode |= OpenMode::READ;
        }
        let follow = match path_flags.contains(PathFlags::SYMLINK_FOLLOW) {
            true => FollowSymlinks::Yes,
            false => FollowSymlinks::No,
        };
        options.read(mode.contains(OpenMode::READ)).write(mode.contains(OpenMode::WRITE));
        // What is no regular file has been told apart by then, unless somebody put it there in the last moment. Then opening
        // it does not wait.
        options.follow(follow).nonblock(true);
        Ok(OpenRequest { options, follow, mode, wants_directory })
    }

    /// Whether there is something at `path` below `start`.
    pub(super) async fn exists(&self, start: &Arc<File>, path: &str) -> bool {
        let (start, path, follow) = (Arc::clone(start), path.to_owned(), self.follow);
        spawn_blocking(move || cap_primitives::fs::stat(&start, Path::new(&path), follow).is_ok()).await
    }

    /// Opens `path` below `start`. Blocks for the file system, and for nothing else.
    pub(super) fn open(&self, start: &File, path: &Path) -> io::Result<Opened> {
        match cap_primitives::fs::stat(start, path, self.follow) {
            // A link that is not to be followed is refused by opening it.
            Ok(found) if !found.file_type().is_symlink() => {
                if let Some(name) = special(found.file_type()) {
                    return Ok(Opened::Special(name));
                }
            }
            Ok(_) => {}
            // It may be about to be created.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = cap_primitives::fs::open(start, path, &self.options)?;
        let file_type = Metadata::from_file(&file)?.file_type();
        Ok(match special(file_type) {
            Some(name) => Opened::Special(name),
            None if file_type.is_dir() => Opened::Directory(file),
            None if self.wants_directory => Opened::NotDirectory,
            None => Opened::File(file),
        })
    }
}

/// How much there is to list in a folder.
pub(super) struct Listing {
    pub(super) entries: u64,
    /// What the host keeps of them.
    pub(super) bytes: u64,
}

/// What the host keeps for an entry beside its name.
const ENTRY_BYTES: u64 = 64;

impl Listing {
    /// Counts, and stops where there is more than `room` bytes.
    pub(super) fn of(dir: &File, room: u64) -> io::Result<Listing> {
        let mut listing = Listing { entries: 0, bytes: 0 };
        for entry in cap_primitives::fs::read_base_dir(dir)? {
            listing.entries += 1;
            listing.bytes += ENTRY_BYTES + entry?.file_name().len() as u64;
            if listing.bytes > room {
                break;
            }
        }
        Ok(listing)
    }
}

/// What something is that is no file and no folder.
fn special(file_type: FileType) -> Option<&'static str> {
    if file_type.is_file() || file_type.is_dir() {
        None
    } else if file_type.is_fifo() {
        Some("a FIFO")
    } else if file_type.is_socket() {
        Some("a socket")
    } else if file_type.is_char_device() || file_type.is_block_device() {
        Some("a device")
    } else {
        Some("no regular file")
    }
}

/// Whether the path led out of the folder it began in: no system call says so, `cap-primitives` does.
pub(super) fn is_escape(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}
