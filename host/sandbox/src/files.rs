//! Files as a guest sees them: WASI's own implementation, behind what the host adds to it.
//!
//! * A guest begins with the granted folders, and with one called `/` that holds nothing. Whatever path it asks for outside
//!   of the granted folders thus reaches the host, which remembers what was refused. To the guest it looks as if there were
//!   nothing, as it would without that folder.
//! * A folder hands out regular files and folders. A FIFO, a socket or a device is refused, and found out without being
//!   opened: an open FIFO would hold a thread until somebody writes to it, and reading a device may do anything.
//! * What a folder granted for reading refuses to write is remembered as well.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_primitives::fs::{FileType, FileTypeExt as _, Metadata, OpenOptions};
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, Dir, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode,
    Filesize, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};
use wasmtime_wasi::runtime::spawn_blocking;
use wasmtime_wasi::{FsPerms, OpenMode};

use super::denials::named;
use super::state::Guest;

/// What the folder that holds nothing is called.
const NOWHERE: &str = "/";

/// Takes the place of what WASI's own implementation added under the same names.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    types::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

/// Where a descriptor comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The granted folder of that number.
    Folder(usize),
    /// The folder that holds nothing.
    Nowhere,
}

/// The descriptors that a guest holds, and where they come from.
#[derive(Default)]
pub(super) struct Origins(HashMap<u32, Origin>);

/// Hands over the granted folders as they were opened, instead of opening them again by path.
impl preopens::Host for Guest {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let grants = Arc::clone(&self.grants);
        let mut directories = Vec::with_capacity(grants.folders().len() + 1);
        for (number, folder) in grants.folders().iter().enumerate() {
            let descriptor = self.keep(Descriptor::Dir(folder.dir.clone()), Origin::Folder(number))?;
            directories.push((descriptor, folder.guest.clone()));
        }
        if grants.folders().iter().all(|folder| folder.guest != NOWHERE) {
            let nowhere = Dir::new(nowhere()?, FsPerms::ReadOnly, OpenMode::READ, false);
            directories.push((self.keep(Descriptor::Dir(nowhere), Origin::Nowhere)?, NOWHERE.to_owned()));
        }
        Ok(directories)
    }
}

/// What stands for the folder that holds nothing. It is none, so that nothing could be opened in it by mistake.
fn nowhere() -> io::Result<File> {
    File::open("/dev/null")
}

impl Guest {
    fn keep(&mut self, descriptor: Descriptor, origin: Origin) -> wasmtime::Result<Resource<Descriptor>> {
        let resource = self.resources.push(descriptor)?;
        self.origins.0.insert(resource.rep(), origin);
        Ok(resource)
    }

    /// The granted folder that a descriptor comes from; a refusal to use `path` for the one that holds nothing.
    fn folder_of(&mut self, fd: &Resource<Descriptor>, path: &str) -> FsResult<usize> {
        match self.origins.0.get(&fd.rep()) {
            Some(Origin::Folder(number)) => Ok(*number),
            Some(Origin::Nowhere) | None => {
                self.denials.refused(format!(
                    "`/{}` is in no granted folder; `--allow-dir HOST::GUEST:ro` grants one",
                    named(path.trim_start_matches('/'))
                ));
                Err(ErrorCode::NoEntry.into())
            }
        }
    }

    /// As [`Guest::folder_of`], without counting it as a denial: programs look for what they can do without.
    fn look_in(&self, fd: &Resource<Descriptor>) -> FsResult<()> {
        match self.origins.0.get(&fd.rep()) {
            Some(Origin::Folder(_)) => Ok(()),
            Some(Origin::Nowhere) | None => Err(ErrorCode::NoEntry.into()),
        }
    }

    /// As [`Guest::folder_of`], for something that changes the folder.
    fn write_in(&mut self, fd: &Resource<Descriptor>, path: &str) -> FsResult<usize> {
        let number = self.folder_of(fd, path)?;
        let folder = &self.grants.folders()[number];
        if folder.dir.perms == FsPerms::ReadOnly {
            let guest = &folder.guest;
            self.denials.refused(format!(
                "writing `{}` is denied: `{guest}` is granted for reading only; `--allow-dir HOST::{guest}:rw` grants writing",
                named(path)
            ));
            return Err(ErrorCode::NotPermitted.into());
        }
        Ok(number)
    }

    fn dir(&self, fd: &Resource<Descriptor>) -> FsResult<&Dir> {
        match self.resources.get(fd)? {
            Descriptor::Dir(dir) => Ok(dir),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// A call that needs a right was made.
    fn done<T>(&mut self, result: FsResult<T>) -> FsResult<T> {
        if result.is_ok() {
            self.denials.allowed();
        }
        result
    }
}

/// How a guest wants something opened.
struct OpenRequest {
    options: OpenOptions,
    follow: FollowSymlinks,
    mode: OpenMode,
    wants_directory: bool,
}

/// What was found.
enum Opened {
    Directory(File),
    File(File),
    NotDirectory,
    /// Something that is no file and no folder, by its name.
    Special(&'static str),
}

impl OpenRequest {
    /// As WASI's own implementation understands the flags.
    fn new(path_flags: PathFlags, open_flags: OpenFlags, flags: DescriptorFlags) -> Result<OpenRequest, ErrorCode> {
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

    /// Opens `path` below `start`. Blocks for the file system, and for nothing else.
    fn open(&self, start: &File, path: &Path) -> io::Result<Opened> {
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
fn is_escape(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

impl HostDescriptor for Guest {
    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let request = OpenRequest::new(path_flags, open_flags, flags)?;
        let number = match request.mode.contains(OpenMode::WRITE) {
            true => self.write_in(&fd, &path)?,
            false => self.folder_of(&fd, &path)?,
        };
        let dir = self.dir(&fd)?.clone();
        let (start, name, mode) = (Arc::clone(&dir.dir), path.clone(), request.mode);
        let opened = spawn_blocking(move || request.open(&start, Path::new(&name))).await;
        let guest = &self.grants.folders()[number].guest;
        let descriptor = match opened {
            Ok(Opened::Directory(opened)) => Descriptor::Dir(Dir::new(opened, dir.perms, mode, false)),
            Ok(Opened::File(opened)) => {
                Descriptor::File(wasmtime_wasi::filesystem::File::new(opened, dir.perms, mode, false))
            }
            Ok(Opened::NotDirectory) => return Err(ErrorCode::NotDirectory.into()),
            Ok(Opened::Special(what)) => {
                let path = named(&path);
                self.denials.refused(format!(
                    "`{path}` in `{guest}` is {what}: a granted folder hands out regular files and folders only"
                ));
                return Err(ErrorCode::NotPermitted.into());
            }
            Err(error) => {
                if is_escape(&error) {
                    let path = named(&path);
                    self.denials.refused(format!(
                        "`{path}` leads out of `{guest}`; `--allow-dir HOST::GUEST:ro` grants the folder that it leads to"
                    ));
                }
                return Err(error.into());
            }
        };
        self.denials.allowed();
        self.keep(descriptor, Origin::Folder(number)).map_err(FsError::trap)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.origins.0.remove(&fd.rep());
        HostDescriptor::drop(&mut self.filesystem(), fd)
    }

    async fn read_directory(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        self.folder_of(&fd, "")?;
        let result = self.filesystem().read_directory(fd).await;
        self.done(result)
    }

    async fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        self.look_in(&fd)?;
        self.filesystem().stat_at(fd, path_flags, path).await
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.look_in(&fd)?;
        self.filesystem().readlink_at(fd, path).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        self.look_in(&fd)?;
        self.filesystem().metadata_hash_at(fd, path_flags, path).await
    }

    async fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.write_in(&fd, &path)?;
        let result = self.filesystem().create_directory_at(fd, path).await;
        self.done(result)
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.write_in(&fd, &path)?;
        let result = self.filesystem().set_times_at(fd, path_flags, path, accessed, modified).await;
        self.done(result)
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        to: Resource<Descriptor>,
        to_path: String,
    ) -> FsResult<()> {
        self.write_in(&fd, &path)?;
        self.write_in(&to, &to_path)?;
        let result = self.filesystem().link_at(fd, path_flags, path, to, to_path).await;
        self.done(result)
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
        to: Resource<Descriptor>,
        to_path: String,
    ) -> FsResult<()> {
        self.write_in(&fd, &path)?;
        self.write_in(&to, &to_path)?;
        let result = self.filesystem().rename_at(fd, path, to, to_path).await;
        self.done(result)
    }

    async fn symlink_at(&mut self, fd: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        self.write_in(&fd, &path)?;
        let result = self.filesystem().symlink_at(fd, target, path).await;
        self.done(result)
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.write_in(&fd, &path)?;
        let result = self.filesystem().unlink_file_at(fd, path).await;
        self.done(result)
    }

    async fn remove_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.write_in(&fd, &path)?;
        let result = self.filesystem().remove_directory_at(fd, path).await;
        self.done(result)
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        self.write_in(&fd, "a file")?;
        self.filesystem().set_size(fd, size).await
    }

    async fn set_times(
        &mut self,
        fd: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.write_in(&fd, "a file")?;
        self.filesystem().set_times(fd, accessed, modified).await
    }

    async fn write(&mut self, fd: Resource<Descriptor>, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        self.write_in(&fd, "a file")?;
        self.filesystem().write(fd, bytes, offset).await
    }

    fn write_via_stream(&mut self, fd: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynOutputStream>> {
        self.write_in(&fd, "a file")?;
        self.filesystem().write_via_stream(fd, offset)
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        self.write_in(&fd, "a file")?;
        self.filesystem().append_via_stream(fd)
    }

    // What follows works on what is open already.

    async fn advise(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
        length: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        self.filesystem().advise(fd, offset, length, advice).await
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.look_in(&fd)?;
        self.filesystem().sync_data(fd).await
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.look_in(&fd)?;
        self.filesystem().sync(fd).await
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        self.filesystem().get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorType> {
        self.filesystem().get_type(fd).await
    }

    async fn read(
        &mut self,
        fd: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.filesystem().read(fd, length, offset).await
    }

    fn read_via_stream(&mut self, fd: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        self.filesystem().read_via_stream(fd, offset)
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        self.filesystem().stat(fd).await
    }

    async fn is_same_object(
        &mut self,
        fd: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.filesystem().is_same_object(fd, other).await
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        self.filesystem().metadata_hash(fd).await
    }
}

impl HostDirectoryEntryStream for Guest {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.filesystem().read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.filesystem(), stream)
    }
}

impl types::Host for Guest {
    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.filesystem().filesystem_error_code(error)
    }

    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}
