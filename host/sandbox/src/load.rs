//! From bytes to a plugin that is ready to be instantiated: looked into, compiled, linked.
//!
//! What can be refused is refused before the compiler sees it, with advice; compilers run a few at a time, because one takes a large
//! component seconds and much memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::abi::{self, v0_1};
use super::cache::CodeCache;
use super::compiler::Compiler;
use super::outline::Outline;
use super::refusal::{Refusal as _, refused};
use super::state::Guest;
use crate::clock::Stopwatch;
use crate::executor::InspectError;
use crate::model::Digest;

/// How many components are compiled at the same time. Each takes all the processors there are, and much memory.
const COMPILATIONS_MAX: usize = 2;

/// How long a refusal of the compiler holds: jobs of a component that cannot be compiled do not keep compilers busy one after the other.
const REFUSAL_KEPT: Duration = Duration::from_secs(60);
/// Most refusals that are remembered.
const REFUSALS_MAX: usize = 64;

/// A plugin version, compiled and linked. What all its instances have in common.
pub(super) struct Prepared {
    pub(super) digest: Digest,
    /// What an instance is made of.
    pub(super) plugin: v0_1::PluginPre<Guest>,
}

impl Prepared {
    /// What an instance needs to begin with at the least, in bytes: its largest memory.
    pub(super) fn smallest_memory_bytes(&self) -> u64 {
        const PAGE_BYTES: u64 = 64 * 1024;
        let resources = self.plugin.instance_pre().component().resources_required();
        resources.and_then(|resources| resources.max_initial_memory_size).unwrap_or(0).saturating_mul(PAGE_BYTES)
    }

    /// What an instance needs to begin with at the most, in bytes: as many of its largest memory as it has memories.
    pub(super) fn largest_memory_bytes(&self) -> u64 {
        let resources = self.plugin.instance_pre().component().resources_required();
        let memories = resources.map_or(0, |resources| resources.num_memories);
        self.smallest_memory_bytes().saturating_mul(u64::from(memories))
    }
}

/// SHA-256 of a component.
pub(super) fn digest_of(component: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(component).into())
}

/// Compiles and links.
pub(super) struct Loader {
    engine: Engine,
    linker: Linker<Guest>,
    cache: CodeCache,
    compiler: Compiler,
    compilations: Arc<Semaphore>,
    refusals: Mutex<Refusals>,
    blocking: Handle,
}

/// What the compiler has refused of late, oldest first.
#[derive(Default)]
struct Refusals(VecDeque<(Digest, Stopwatch, InspectError)>);

impl Refusals {
    fn of(&mut self, digest: &Digest) -> Option<InspectError> {
        self.0.retain(|(_, since, _)| since.elapsed() < REFUSAL_KEPT);
        self.0.iter().find(|(refused, ..)| refused == digest).map(|(_, _, error)| error.clone())
    }

    fn add(&mut self, digest: Digest, error: InspectError) {
        if self.0.len() >= REFUSALS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((digest, Stopwatch::start(), error));
    }
}

impl Loader {
    /// A loader for `engine`, with every interface that the host has.
    ///
    /// # Errors
    /// An interface is defined twice: a fault of this program.
    pub(super) fn new(
        engine: Engine,
        cache: CodeCache,
        compiler: Compiler,
        blocking: Handle,
    ) -> wasmtime::Result<Arc<Loader>> {
        let linker = linker(&engine)?;
        Ok(Arc::new(Loader {
            engine,
            linker,
            cache,
            compiler,
            compilations: Arc::new(Semaphore::new(COMPILATIONS_MAX)),
            refusals: Mutex::default(),
            blocking,
        }))
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        // The queue is whole between any two of its statements.
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plugin of that digest from the cache of compiled code, where it is there and sound.
    pub(super) async fn cached(self: &Arc<Self>, digest: Digest) -> Option<Prepared> {
        let loader = Arc::clone(self);
        let loading = self.blocking.spawn_blocking(move || {
            let component = loader.cached_component(&digest)?;
            loader
                .link(digest, &component)
                .inspect_err(|error| tracing::warn!(%digest, %error, "cached code unusable"))
                .ok()
        });
        loading.await.ok().flatten()
    }

    /// The plugin that `bytes` are, compiled unless it is in the cache.
    ///
    /// # Errors
    /// [`InspectError`] says why it is none, or why it cannot run here.
    pub(super) async fn load(self: &Arc<Self>, bytes: Vec<u8>) -> Result<(Prepared, Outline), InspectError> {
        let loader = Arc::clone(self);
        // Closed never: the semaphore lives as long as the loader.
        let permit = Arc::clone(&self.compilations).acquire_owned().await.ok();
        let loading = self.blocking.spawn_blocking(move || {
            let _permit = permit;
            loader.load_blocking(bytes)
        });
        loading.await.unwrap_or_else(|error| {
            let context = if error.is_panic() { "the host panicked" } else { "the host is stopping" };
            Err(refused("the component could not be made ready").because(context))
        })
    }

    fn load_blocking(&self, bytes: Vec<u8>) -> Result<(Prepared, Outline), InspectError> {
        let outline = Outline::of(&bytes)?;
        let digest = digest_of(&bytes);
        let component = match self.cached_component(&digest) {
            Some(component) => component,
            None => self.compile(bytes, &digest)?,
        };
        Ok((self.link(digest, &component)?, outline))
    }

    fn cached_component(&self, digest: &Digest) -> Option<Component> {
        let code = self.cache.load(&self.engine, digest)?;
        code.load(&self.engine).inspect_err(|error| tracing::warn!(%digest, %error, "cached code refused")).ok()
    }

    fn compile(&self, bytes: Vec<u8>, digest: &Digest) -> Result<Component, InspectError> {
        let size = bytes.len();
        tracing::debug!(%digest, bytes = size, "compiling a plugin");
        let time = Stopwatch::start();
        if let Some(refusal) = self.refusals().of(digest) {
            return Err(refusal);
        }
        let compiled = self.compiler.compile(&self.engine, bytes);
        let code = compiled.inspect_err(|refusal| self.refusals().add(*digest, refusal.clone()))?;
        let component = code
            .load(&self.engine)
            .map_err(|error| refused("the component needs more than the sandbox has").because_of(&error))?;
        tracing::info!(%digest, bytes = size, elapsed = ?time.elapsed(), "plugin compiled");
        self.cache.store(&self.engine, digest, &code);
        Ok(component)
    }

    fn link(&self, digest: Digest, component: &Component) -> Result<Prepared, InspectError> {
        let instance = self.linker.instantiate_pre(component).map_err(|error| {
            refused("the component imports something in another form than this host has it")
                .because_of(&error)
                .hint("build it with the WIT files of this host's version")
        })?;
        let plugin = v0_1::PluginPre::new(instance).map_err(|error| {
            refused(&format!("the component's `{}` is not the one of version {}", abi::TASKS_INTERFACE, abi::VERSION))
                .because_of(&error)
                .hint("build it with the WIT files of this host's version")
        })?;
        Ok(Prepared { digest, plugin })
    }
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    // Rights are checked, refusals remembered, and costs noted in front of WASI's own implementation.
    linker.allow_shadowing(true);
    super::files::add_to_linker(&mut linker)?;
    super::sockets::add_to_linker(&mut linker)?;
    super::random::add_to_linker(&mut linker)?;
    super::poll::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    super::http::interface::add_to_linker(&mut linker)?;
    v0_1::add_to_linker(&mut linker)?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_the_outline_accepts_is_linked() {
        let engine = super::super::engine::start(1).expect("an engine");
        let linker = linker(&engine).expect("a linker");
        for interface in super::super::outline::HOST_INTERFACES {
            // Opening an instance that exists and putting something new into it works either way; defining a module of the
            // same name fails exactly when the name is taken.
            let name = interface.full_name();
            let mut root = linker.clone();
            let empty = wasmtime::Module::new(&engine, b"\0asm\x01\0\0\0").expect("an empty module");
            assert!(root.root().module(&name, &empty).is_err(), "{name} is not linked");
        }
    }
}
