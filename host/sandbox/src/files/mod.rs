//! Files as a guest sees them: WASI's own implementation, behind what the host adds to it.
//!
//! * A guest begins with the granted folders, and with one called `/` that holds nothing. Whatever path it asks for outside
//!   of the granted folders thus reaches the host, which remembers what was refused. To the guest it looks as if there were
//!   nothing, as it would without that folder.
//! * A folder hands out regular files and folders. A FIFO, a socket or a device is refused, and found out without being
//!   opened: an open FIFO would hold a thread until somebody writes to it, and reading a device may do anything.
//! * What a folder granted for reading refuses to write is remembered as well.
//! * Everything has a bound: what may be open at once, in one attempt and in all of them, what may be written, and what the
//!   host keeps in its memory for listings and streams.

mod opening;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
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

use self::opening::{Listing, OpenRequest, Opened, is_escape};
use super::denials::named;
use super::memory::Kept;
use super::open_files::{HeldDescriptor, Origin};
use super::quota::Quota;
use super::state::Guest;
use super::streams::{Reading, STREAM_BYTES, Writing};
use super::work::{ENTRY, FILE_CALL};
use crate::model::DirAccess;

/// What the folder that holds nothing is called.
const NOWHERE: &str = "/";

/// Longest path, in bytes, as on most systems.
const PATH_BYTES_MAX: usize = 4_096;

/// Takes the place of what WASI's own implementation added under the same names.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    types::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

/// A file that is about to be made.
struct NewFile {
    quota: Quota,
    is_made: bool,
}

impl NewFile {
    fn made(mut self) {
        self.is_made = true;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_made {
            self.quota.give_back_file();
        }
    }
}

/// Hands over the granted folders as they were opened, instead of opening them again by path.
impl preopens::Host for Guest {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let grants = Arc::clone(&self.grants);
        let mut directories = Vec::with_capacity(grants.folders().len() + 1);
        for (number, folder) in grants.folders().iter().enumerate() {
            let descriptor = self.hold(Descriptor::Dir(folder.dir.clone()), Origin::Folder(number), None)?;
            directories.push((descriptor, folder.guest.clone()));
        }
        if grants.folders().iter().all(|folder| folder.guest != NOWHERE) {
            let nowhere = Dir::new(nowhere()?, FsPerms::ReadOnly, OpenMode::READ, false);
            directories.push((self.hold(Descriptor::Dir(nowhere), Origin::Nowhere, None)?, NOWHERE.to_owned()));
        }
        Ok(directories)
    }
}

/// Refuses a path that is too long before it is copied to where files are opened.
fn check_path(path: &str) -> FsResult<()> {
    if path.len() > PATH_BYTES_MAX { Err(ErrorCode::NameTooLong.into()) } else { Ok(()) }
}

/// What stands for the folder that holds nothing. It is none, so that nothing could be opened in it by mistake.
fn nowhere() -> io::Result<File> {
    File::open("/dev/null")
}

/// As `--allow-dir` takes it.
fn word_of(access: DirAccess) -> &'static str {
    match access {
        DirAccess::ReadOnly => "ro",
        DirAccess::ReadWrite => "rw",
    }
}

impl Guest {
    fn hold(
        &mut self,
        descriptor: Descriptor,
        origin: Origin,
        place: Option<OwnedSemaphorePermit>,
    ) -> wasmtime::Result<Resource<Descriptor>> {
        let resource = self.resources.push(descriptor)?;
        self.files.descriptors.insert(resource.rep(), HeldDescriptor { origin, place });
        Ok(resource)
    }

    fn origin_of(&self, fd: &Resource<Descriptor>) -> Origin {
        self.files.descriptors.get(&fd.rep()).map_or(Origin::Nowhere, |held| held.origin)
    }

    /// A place for one more open file, in this attempt and among all of them.
    fn place(&mut self) -> FsResult<OwnedSemaphorePermit> {
        let max = self.open_files;
        let open = self.files.descriptors.values().filter(|held| held.place.is_some()).count();
        if open >= max {
            self.denials.refused(format!(
                "a job may have {max} files open at the same time; `open_files` under [caps] allows more"
            ));
            return Err(ErrorCode::InsufficientMemory.into());
        }
        Arc::clone(&self.file_places).try_acquire_owned().map_err(|_none_free| {
            self.denials.refused("all jobs together have as many files open as this process may have".to_owned());
            ErrorCode::InsufficientMemory.into()
        })
    }

    /// Counts what the host is about to keep for the guest.
    fn keep(&mut self, bytes: u64) -> FsResult<Kept> {
        self.memory.keep(bytes).ok_or_else(|| ErrorCode::InsufficientMemory.into())
    }

    /// Takes bytes from what may be written into a granted folder.
    fn spend_bytes(&self, folder: usize, bytes: u64) -> FsResult<()> {
        if self.quotas[folder].take_bytes(bytes) { Ok(()) } else { Err(ErrorCode::InsufficientSpace.into()) }
    }

    /// Takes a file from what may be made in a granted folder, until it turns out that none was made.
    fn spend_file(&self, folder: usize) -> FsResult<NewFile> {
        let quota = self.quotas[folder].clone();
        if quota.take_file() { Ok(NewFile { quota, is_made: false }) } else { Err(ErrorCode::InsufficientSpace.into()) }
    }

    /// The granted folder that a descriptor comes from; a refusal to use `path` for the one that holds nothing, with the access that would
    /// allow it.
    fn folder_of(&mut self, fd: &Resource<Descriptor>, path: &str, access: DirAccess) -> FsResult<usize> {
        self.work.note(FILE_CALL);
        check_path(path)?;
        match self.origin_of(fd) {
            Origin::Folder(number) => Ok(number),
            Origin::Nowhere => {
                let (path, access) = (named(path.trim_start_matches('/')), word_of(access));
                self.denials.refused(format!(
                    "`/{path}` is in no granted folder; `--allow-dir HOST::GUEST:{access}` grants one"
                ));
                Err(ErrorCode::NoEntry.into())
            }
        }
    }

    /// As [`Guest::folder_of`], without counting it as a denial: programs look for what they can do without.
    fn resolve_quietly(&mut self, fd: &Resource<Descriptor>, path: &str) -> FsResult<()> {
        self.work.note(FILE_CALL);
        check_path(path)?;
        match self.origin_of(fd) {
            Origin::Folder(_) => Ok(()),
            Origin::Nowhere => Err(ErrorCode::NoEntry.into()),
        }
    }

    /// As [`Guest::folder_of`], for something that changes the folder.
    fn write_in(&mut self, fd: &Resource<Descriptor>, path: &str) -> FsResult<usize> {
        let number = self.folder_of(fd, path, DirAccess::ReadWrite)?;
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

    /// Puts the bounds of a granted folder around a stream that writes into it.
    fn bounded_writing(
        &mut self,
        stream: Resource<DynOutputStream>,
        folder: usize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let inner = self.resources.delete(stream)?;
        let kept = self.keep(STREAM_BYTES)?;
        let (work, quota) = (self.work.clone(), self.quotas[folder].clone());
        let bounded: DynOutputStream = Box::new(Writing { inner, work, quota, _kept: kept });
        Ok(self.resources.push(bounded)?)
    }

    /// A call that makes something new was made.
    fn made<T>(&mut self, new_file: NewFile, folder: usize, path: &str, result: FsResult<T>) -> FsResult<T> {
        if result.is_ok() {
            new_file.made();
        }
        self.done(folder, path, result)
    }

    /// A call that needs a right was made, for `path` in a granted folder.
    fn done<T>(&mut self, folder: usize, path: &str, result: FsResult<T>) -> FsResult<T> {
        match &result {
            Ok(_) => self.denials.allowed(),
            Err(error) if matches!(error.downcast_ref(), Some(ErrorCode::NotPermitted)) => {
                let guest = &self.grants.folders()[folder].guest;
                self.denials.refused(format!(
                    "`{}` leads out of `{guest}`, or the system does not permit the host to change it",
                    named(path)
                ));
            }
            Err(_) => {}
        }
        result
    }
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
        let access = if request.mode.contains(OpenMode::WRITE) { DirAccess::ReadWrite } else { DirAccess::ReadOnly };
        let number = match access {
            DirAccess::ReadWrite => self.write_in(&fd, &path)?,
            DirAccess::ReadOnly => self.folder_of(&fd, &path, access)?,
        };
        let dir = self.dir(&fd)?.clone();
        let place = self.place()?;
        let is_new = open_flags.contains(OpenFlags::CREATE) && !request.exists(&dir.dir, &path).await;
        let new_file = if is_new { Some(self.spend_file(number)?) } else { None };
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
                        "`{path}` leads out of `{guest}`; `--allow-dir HOST::GUEST:{}` grants the folder that it leads to",
                        word_of(access)
                    ));
                }
                return Err(error.into());
            }
        };
        self.denials.allowed();
        new_file.into_iter().for_each(NewFile::made);
        self.hold(descriptor, Origin::Folder(number), Some(place)).map_err(FsError::trap)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.files.descriptors.remove(&fd.rep());
        HostDescriptor::drop(&mut self.filesystem(), fd)
    }

    async fn read_directory(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        let folder = self.folder_of(&fd, "", DirAccess::ReadOnly)?;
        let dir = Arc::clone(&self.dir(&fd)?.dir);
        let room = self.memory.room();
        let listing = spawn_blocking(move || Listing::of(&dir, room)).await?;
        self.work.note(listing.entries.saturating_mul(ENTRY));
        let kept = self.keep(listing.bytes)?;
        let result = self.filesystem().read_directory(fd).await;
        let stream = self.done(folder, "", result)?;
        self.files.listings.insert(stream.rep(), kept);
        Ok(stream)
    }

    async fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        self.resolve_quietly(&fd, &path)?;
        self.filesystem().stat_at(fd, path_flags, path).await
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.resolve_quietly(&fd, &path)?;
        self.filesystem().readlink_at(fd, path).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        self.resolve_quietly(&fd, &path)?;
        self.filesystem().metadata_hash_at(fd, path_flags, path).await
    }

    async fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        let folder = self.write_in(&fd, &path)?;
        let new_file = self.spend_file(folder)?;
        let result = self.filesystem().create_directory_at(fd, path.clone()).await;
        self.made(new_file, folder, &path, result)
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let folder = self.write_in(&fd, &path)?;
        let result = self.filesystem().set_times_at(fd, path_flags, path.clone(), accessed, modified).await;
        self.done(folder, &path, result)
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        to: Resource<Descriptor>,
        to_path: String,
    ) -> FsResult<()> {
        let from = self.write_in(&fd, &path)?;
        let folder = self.write_in(&to, &to_path)?;
        let new_file = self.spend_file(folder)?;
        let result = self.filesystem().link_at(fd, path_flags, path.clone(), to, to_path).await;
        self.made(new_file, from, &path, result)
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
        to: Resource<Descriptor>,
        to_path: String,
    ) -> FsResult<()> {
        let from = self.write_in(&fd, &path)?;
        self.write_in(&to, &to_path)?;
        let result = self.filesystem().rename_at(fd, path.clone(), to, to_path).await;
        self.done(from, &path, result)
    }

    async fn symlink_at(&mut self, fd: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        let folder = self.write_in(&fd, &path)?;
        check_path(&target)?;
        let new_file = self.spend_file(folder)?;
        let result = self.filesystem().symlink_at(fd, target.clone(), path).await;
        self.made(new_file, folder, &target, result)
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        let folder = self.write_in(&fd, &path)?;
        let result = self.filesystem().unlink_file_at(fd, path.clone()).await;
        self.done(folder, &path, result)
    }

    async fn remove_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        let folder = self.write_in(&fd, &path)?;
        let result = self.filesystem().remove_directory_at(fd, path.clone()).await;
        self.done(folder, &path, result)
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        let folder = self.write_in(&fd, "a file")?;
        let before = self.filesystem().stat(Resource::new_borrow(fd.rep())).await?.size;
        self.spend_bytes(folder, size.saturating_sub(before))?;
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
        let folder = self.write_in(&fd, "a file")?;
        self.work.note_bytes(bytes.len());
        self.spend_bytes(folder, bytes.len() as u64)?;
        let _kept = self.keep(bytes.len() as u64)?;
        self.filesystem().write(fd, bytes, offset).await
    }

    fn write_via_stream(&mut self, fd: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynOutputStream>> {
        let folder = self.write_in(&fd, "a file")?;
        let stream = self.filesystem().write_via_stream(fd, offset)?;
        self.bounded_writing(stream, folder)
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        let folder = self.write_in(&fd, "a file")?;
        let stream = self.filesystem().append_via_stream(fd)?;
        self.bounded_writing(stream, folder)
    }

    // What follows works on what is open already.

    async fn advise(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
        length: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        self.work.note(FILE_CALL);
        self.filesystem().advise(fd, offset, length, advice).await
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.resolve_quietly(&fd, "")?;
        self.filesystem().sync_data(fd).await
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.resolve_quietly(&fd, "")?;
        self.filesystem().sync(fd).await
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        self.work.note(FILE_CALL);
        self.filesystem().get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorType> {
        self.work.note(FILE_CALL);
        self.filesystem().get_type(fd).await
    }

    async fn read(
        &mut self,
        fd: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.work.note(FILE_CALL);
        let _kept = self.keep(length.min(STREAM_BYTES))?;
        let read = self.filesystem().read(fd, length, offset).await;
        self.work.note_bytes(read.as_ref().map_or(0, |(bytes, _)| bytes.len()));
        read
    }

    fn read_via_stream(&mut self, fd: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let kept = self.keep(STREAM_BYTES)?;
        let stream = self.filesystem().read_via_stream(fd, offset)?;
        let inner = self.resources.delete(stream)?;
        let bounded: DynInputStream = Box::new(Reading { inner, work: self.work.clone(), _kept: kept });
        Ok(self.resources.push(bounded)?)
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        self.work.note(FILE_CALL);
        self.filesystem().stat(fd).await
    }

    async fn is_same_object(
        &mut self,
        fd: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.work.note(FILE_CALL);
        self.filesystem().is_same_object(fd, other).await
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        self.work.note(FILE_CALL);
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
        self.files.listings.remove(&stream.rep());
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
