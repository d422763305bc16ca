//! What `wit-bindgen` makes of the WIT package: the only generated code, and the only `unsafe` code, of the SDK.
//!
//! Nothing of it leaves the crate. The author's `cdylib` inherits the exports from here, so that a plugin needs no WIT
//! files, no generated code and no `unsafe` of its own, whether `cargo build` or `cargo component` builds it.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::pedantic,
    clippy::nursery,
    clippy::or_fun_call,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "generated code"
)]

use super::exports::Plugin;

wit_bindgen::generate!({
    // Beside this crate as long as both live in one repository. To publish the crate, the folder must be put inside it.
    path: "../wit",
    world: "plugin",
});

export!(Plugin with_types_in self);
