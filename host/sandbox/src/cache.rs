//! Compiled code on disk, so that a plugin is compiled once on a machine and not once in every process.
//!
//! Compiled code is trusted like the host's own. Only what this host wrote itself is loaded again: each file carries a
//! message authentication code under a key that lives beside it, readable by the owner alone, and is bound to the
//! component's digest and to everything about the engine that shapes code. A file that does not fit in any way is
//! compiled anew and replaced.
//!
//! The cache is a convenience: a full or read-only disk costs a warning and the next process some time, nothing else. So does whatever else
//! is found where a file or the folder should be: a pipe, a device, a link. The folder is opened once, and everything is done inside the
//! folder that was opened.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, linkat, openat, renameat, statat, unlinkat};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use wasmtime::Engine;

use super::code::CompiledCode;
use super::compiler::CODE_BYTES_MAX;
use crate::model::Digest;

/// Length of a message authentication code and of its key.
const CODE_BYTES: usize = 32;
/// The first bytes that are authenticated: a change of this form of file makes old files strange.
const FORM: &[u8] = b"host compiled code 2";
/// Files kept; the oldest beyond that are removed.
const FILES_MAX: usize = 256;
/// Most entries of the folder that are looked at: whoever else fills it does not make every compilation slow.
const ENTRIES_MAX: usize = 10_000;
const KEY: &str = "key";

/// The cache of compiled code; without a folder it keeps nothing.
#[derive(Debug)]
pub(super) struct CodeCache(Option<Folder>);

#[derive(Debug)]
struct Folder {
    /// The folder itself, whatever its name stands for by now.
    dir: File,
    /// For messages.
    path: PathBuf,
    key: [u8; CODE_BYTES],
}

impl CodeCache {
    /// The cache in `folder`, which is made where it is missing. `None` keeps nothing, and so does a folder that cannot be
    /// used, after a warning.
    pub(super) fn open(folder: Option<PathBuf>) -> CodeCache {
        CodeCache(folder.and_then(|path| {
            Folder::open(&path)
                .inspect_err(|error| {
                    tracing::warn!(folder = %path.display(), %error, "no cache of compiled code: plugins are compiled anew");
                })
                .ok()
        }))
    }

    /// The compiled component of that digest, where it is there and sound. Blocks for the file system.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<CompiledCode> {
        let folder = self.0.as_ref()?;
        let name = name_of(engine, digest);
        match folder.read(&name, engine, digest) {
            Ok(code) => Some(CompiledCode::from_compiler(code)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %folder.path.join(name).display(), %error, "cached code refused: compiling anew");
                None
            }
        }
    }

    /// Keeps compiled code. Blocks for the file system; a failure is a warning.
    pub(super) fn store(&self, engine: &Engine, digest: &Digest, code: &CompiledCode) {
        let Some(folder) = &self.0 else { return };
        let name = name_of(engine, digest);
        match folder.write(&name, engine, digest, code.as_bytes()) {
            Ok(()) => folder.remove_oldest(),
            Err(error) => {
                tracing::warn!(file = %folder.path.join(name).display(), %error, "compiled code could not be kept");
            }
        }
    }
}

/// Named by the component and by the engine, so that two versions of the host can share a folder.
fn name_of(engine: &Engine, digest: &Digest) -> String {
    format!("{digest}-{}.code", &compatibility_text(engine)[..16])
}

impl Folder {
    fn open(path: &Path) -> io::Result<Folder> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let dir = private_folder(path)?;
        let key = key(&dir)?;
        Ok(Folder { dir, path: path.to_owned(), key })
    }

    fn code_over(&self, engine: &Engine, digest: &Digest, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key may have any length");
        mac.update(FORM);
        mac.update(digest.as_bytes());
        mac.update(&compatibility(engine));
        mac.update(code);
        mac
    }

    fn read(&self, name: &str, engine: &Engine, digest: &Digest) -> io::Result<Vec<u8>> {
        let file = open_file(&self.dir, name)?;
        let bytes_max = CODE_BYTES_MAX + CODE_BYTES as u64;
        let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len().min(bytes_max)).unwrap_or(0));
        file.take(bytes_max).read_to_end(&mut bytes)?;
        let (code, mac) =
            bytes.split_last_chunk::<CODE_BYTES>().ok_or_else(|| io::Error::other("the file is too short"))?;
        self.code_over(engine, digest, code)
            .verify_slice(mac)
            .map_err(|_| io::Error::other("the file was not written by this host, or was changed"))?;
        bytes.truncate(code.len());
        Ok(bytes)
    }

    /// Writes beside the file and renames: a reader sees the old file or the new one, never half of it.
    fn write(&self, name: &str, engine: &Engine, digest: &Digest, code: &[u8]) -> io::Result<()> {
        let mac = self.code_over(engine, digest, code).finalize().into_bytes();
        let temporary = write_temporary(&self.dir, name, &[code, &mac])?;
        renameat(&self.dir, &temporary, &self.dir, name).map_err(|error| {
            let _gone = remove(&self.dir, &temporary);
            error.into()
        })
    }

    /// Removes the files that were written longest ago, beyond the number that is kept.
    fn remove_oldest(&self) {
        let Ok(entries) = Dir::read_from(&self.dir) else { return };
        let mut files: Vec<_> = entries
            .take(ENTRIES_MAX)
            .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned))
            .filter(|name| name.ends_with(".code"))
            .filter_map(|name| {
                let found = statat(&self.dir, &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
                Some((found.st_mtime, name))
            })
            .collect();
        files.sort();
        for (_, name) in &files[..files.len().saturating_sub(FILES_MAX)] {
            // Another process may have removed it already.
            let _gone = remove(&self.dir, name);
        }
    }
}

/// Opens a folder that is this user's alone. One that others can enter is closed to them, unless a link leads to it: what a link leads to
/// may be there for something else, and is used as it is or not at all.
fn private_folder(path: &Path) -> io::Result<File> {
    let open = |flags: OFlags| OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let (folder, is_linked) = match open(OFlags::DIRECTORY | OFlags::NOFOLLOW) {
        Ok(folder) => (folder, false),
        Err(_link_or_worse) => (open(OFlags::DIRECTORY)?, true),
    };
    let metadata = folder.metadata()?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("the folder belongs to another user"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        if is_linked {
            return Err(io::Error::other("this is a link to a folder that others can enter; close that to them first"));
        }
        folder.set_permissions(Permissions::from_mode(0o700))?;
    }
    Ok(folder)
}

/// Opens a regular file of the folder for reading; anything else that has its name is refused, without waiting for it and without following
/// it.
fn open_file(dir: &File, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(dir, name, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("this is no regular file")) }
}

fn remove(dir: &File, name: &str) -> rustix::io::Result<()> {
    unlinkat(dir, name, AtFlags::empty())
}

/// The key of the folder, made where there is none. Of two processes that make one at the same time, the first wins.
fn key(dir: &File) -> io::Result<[u8; CODE_BYTES]> {
    match read_key(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    // Random UUIDs come from the system's generator, 122 bits each; the hash makes an even key of four of them.
    let random = (0..4).fold(Sha256::new(), |hash, _| hash.chain_update(Uuid::new_v4().as_bytes()));
    let fresh: [u8; CODE_BYTES] = random.finalize().into();
    let temporary = write_temporary(dir, KEY, &[&fresh])?;
    let linked = linkat(dir, &temporary, dir, KEY, AtFlags::empty()).map_err(io::Error::from);
    remove(dir, &temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read_key(dir),
    }
}

fn read_key(dir: &File) -> io::Result<[u8; CODE_BYTES]> {
    let unusable = |what: &str| io::Error::other(format!("the file `{KEY}` {what}; remove it, and a new one is made"));
    let file = open_file(dir, KEY).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => error,
        _ => unusable(&format!("cannot be used: {error}")),
    })?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(unusable("can be read or written by others"));
    }
    let mut bytes = Vec::new();
    file.take(CODE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    bytes.try_into().map_err(|_| unusable("has the wrong length"))
}

fn write_temporary(dir: &File, name: &str, parts: &[&[u8]]) -> io::Result<String> {
    let temporary = format!("{name}.{}.new", Uuid::new_v4().simple());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(openat(dir, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
    written.map(|()| temporary.clone()).inspect_err(|_| {
        let _gone = remove(dir, &temporary);
    })
}

/// The whole of [`compatibility`] in hexadecimal digits.
pub(super) fn compatibility_text(engine: &Engine) -> String {
    compatibility(engine).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash over everything that shapes compiled code: version, settings, processor.
fn compatibility(engine: &Engine) -> [u8; 32] {
    struct Sha256Hasher(Sha256);

    impl Hasher for Sha256Hasher {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            let digest: [u8; 32] = self.0.clone().finalize().into();
            digest.iter().take(8).fold(0, |value, &byte| (value << 8) | u64::from(byte))
        }
    }

    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}
