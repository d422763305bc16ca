//! The job executors: the port to them, and the adapters that there are.

pub mod inline;

pub use host_core::executor::*;
#[cfg(feature = "wasm")]
pub use host_sandbox as wasm;
