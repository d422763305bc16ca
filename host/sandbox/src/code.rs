//! Compiled code: the bytes that a component is made of again, trusted like this program itself.

use wasmtime::Engine;
use wasmtime::component::Component;

/// The output of the compiler, unchanged since.
///
/// Who holds one has it from the compiler, or has checked that it comes from there. Nothing else may make one: what is in it runs in this
/// process.
pub(super) struct CompiledCode(Vec<u8>);

impl CompiledCode {
    /// `bytes` as they came from the compiler: just now, or from a cache that can tell.
    pub(super) fn from_compiler(bytes: Vec<u8>) -> CompiledCode {
        CompiledCode(bytes)
    }

    /// The bytes, for a cache to keep.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The component.
    ///
    /// # Errors
    /// It was compiled for another engine, or needs more than this one has.
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` trusts its bytes to be the unchanged output of the compiler. They come from one of two places. The one is
        // the compiler, run by this process in itself or in a child of its own program, which answers through a pipe that nobody else holds.
        // The other is a file that carries a valid authentication code under a key that only this host's owner can read, made over
        // exactly these bytes together with the digest of the component and the engine's compatibility hash. Whoever can forge one can
        // read the owner's files and needs no forgery. The bytes are in memory of our own: the file may change now.
        #[expect(unsafe_code, reason = "the one place where compiled code is loaded")]
        let component = unsafe { Component::deserialize(engine, &self.0) };
        component
    }
}
