//! The way out: what the SDK asks of whoever runs the task.
//!
//! In a component that is the host, behind the imports of the WIT package. In native tests it is the fake host of
//! [`crate::testing`]. Both offer the same functions, and nothing above this module knows which one it talks to.

#[cfg(target_family = "wasm")]
mod http;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(target_family = "wasm")]
pub(crate) use http::{Body, http_send};
#[cfg(not(target_family = "wasm"))]
pub(crate) use native::*;
#[cfg(target_family = "wasm")]
pub(crate) use wasm::*;
