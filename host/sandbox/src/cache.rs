//! Compiled code on disk, so that a plugin is compiled once on a machine and not once in every process.
//!
//! Compiled code is trusted like the host's own. Only what this host wrote itself is loaded again: each file carries a
//! message authentication code under a key that lives beside it, readable by the owner alone, and is bound to the
//! component's digest and to everything about the engine that shapes code. A file that does not fit in any way is
//! compiled anew and replaced.
//!
//! The cache is a convenience: a full or read-only disk costs a warning and the next process some time, nothing else.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::model::Digest;

/// Length of a message authentication code and of its key.
const CODE_BYTES: usize = 32;
/// The first bytes that are authenticated: a change of this form of file makes old files strange.
const FORM: &[u8] = b"host compiled code 1";
/// Files kept; the oldest beyond that are removed.
const FILES_MAX: usize = 256;
/// Largest file that is read: compiled code is a few times larger than the component.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The cache of compiled code; without a folder it keeps nothing.
#[derive(Debug)]
pub(super) struct CodeCache(Option<Folder>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    key: [u8; CODE_BYTES],
}

impl CodeCache {
    /// The cache in `folder`, which is made where it is missing. `None` keeps nothing, and so does a folder that cannot be
    /// used, after a warning.
    pub(super) fn open(folder: Option<PathBuf>) -> CodeCache {
        CodeCache(folder.and_then(|path| {
            Folder::open(path.clone())
                .inspect_err(|error| {
                    tracing::warn!(folder = %path.display(), %error, "no cache of compiled code: plugins are compiled anew");
                })
                .ok()
        }))
    }

    /// The compiled component of that digest, where it is there and sound. Blocks for the file system.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let folder = self.0.as_ref()?;
        let path = folder.file_of(engine, digest);
        let code = match folder.read(&path, engine, digest) {
            Ok(code) => code,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cached code refused: compiling anew");
                return None;
            }
        };
        // SAFETY: `deserialize` trusts its bytes to be the unchanged output of `Component::serialize`. These carry a valid
        // authentication code under a key that only this host's owner can read, made over exactly these bytes together with
        // the digest and the engine's compatibility hash, and nothing but `store` below makes such codes. Whoever can forge
        // one can read the owner's files and needs no forgery. The bytes are in memory of our own: the file may change now.
        #[expect(unsafe_code, reason = "the one place where compiled code is loaded")]
        let component = unsafe { Component::deserialize(engine, &code) };
        component.inspect_err(|error| tracing::warn!(file = %path.display(), %error, "cached code refused")).ok()
    }

    /// Keeps a compiled component. Blocks for the file system; a failure is a warning.
    pub(super) fn store(&self, engine: &Engine, digest: &Digest, component: &Component) {
        let Some(folder) = &self.0 else { return };
        let path = folder.file_of(engine, digest);
        let stored = component
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))
            .and_then(|code| folder.write(&path, engine, digest, &code));
        match stored {
            Ok(()) => folder.remove_oldest(),
            Err(error) => tracing::warn!(file = %path.display(), %error, "compiled code could not be kept"),
        }
    }
}

impl Folder {
    fn open(path: PathBuf) -> io::Result<Folder> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let metadata = fs::metadata(&path)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        }
        let key = key(&path.join("key"))?;
        Ok(Folder { path, key })
    }

    /// Named by the component and by the engine, so that two versions of the host can share a folder.
    fn file_of(&self, engine: &Engine, digest: &Digest) -> PathBuf {
        let compatibility = compatibility(engine);
        let short: String = compatibility[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        self.path.join(format!("{digest}-{short}.code"))
    }

    fn code_over(&self, engine: &Engine, digest: &Digest, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key may have any length");
        mac.update(FORM);
        mac.update(digest.as_bytes());
        mac.update(&compatibility(engine));
        mac.update(code);
        mac
    }

    fn read(&self, path: &Path, engine: &Engine, digest: &Digest) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len().min(FILE_BYTES_MAX)).unwrap_or(0));
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        let (code, mac) =
            bytes.split_last_chunk::<CODE_BYTES>().ok_or_else(|| io::Error::other("the file is too short"))?;
        self.code_over(engine, digest, code)
            .verify_slice(mac)
            .map_err(|_| io::Error::other("the file was not written by this host, or was changed"))?;
        bytes.truncate(code.len());
        Ok(bytes)
    }

    fn write(&self, path: &Path, engine: &Engine, digest: &Digest, code: &[u8]) -> io::Result<()> {
        let mac = self.code_over(engine, digest, code).finalize().into_bytes();
        write_atomically(path, &[code, &mac])
    }

    /// Removes the files that were written longest ago, beyond the number that is kept.
    fn remove_oldest(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        let mut files: Vec<_> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "code"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        for (_, path) in &files[..files.len().saturating_sub(FILES_MAX)] {
            // Another process may have removed it already.
            let _gone = fs::remove_file(path);
        }
    }
}

/// The key in `path`, made where there is none. Of two processes that make one at the same time, the first wins.
fn key(path: &Path) -> io::Result<[u8; CODE_BYTES]> {
    match read_key(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    // Random UUIDs come from the system's generator, 122 bits each; the hash makes an even key of four of them.
    let random = (0..4).fold(Sha256::new(), |hash, _| hash.chain_update(Uuid::new_v4().as_bytes()));
    let fresh: [u8; CODE_BYTES] = random.finalize().into();
    let temporary = write_temporary(path, &[&fresh])?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read_key(path),
    }
}

fn read_key(path: &Path) -> io::Result<[u8; CODE_BYTES]> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other(
            "the file `key` can be read or written by others; remove it, and a new one is made",
        ));
    }
    let mut bytes = Vec::new();
    file.take(CODE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    bytes
        .try_into()
        .map_err(|_| io::Error::other("the file `key` has the wrong length; remove it, and a new one is made"))
}

/// Writes beside `path` and renames: a reader sees the old file or the new one, never half of it.
fn write_atomically(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = write_temporary(path, parts)?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _gone = fs::remove_file(&temporary);
    })
}

fn write_temporary(path: &Path, parts: &[&[u8]]) -> io::Result<PathBuf> {
    let temporary = path.with_extension(format!("{}.new", Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
    written.map(|()| temporary.clone()).inspect_err(|_| {
        let _gone = fs::remove_file(&temporary);
    })
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
