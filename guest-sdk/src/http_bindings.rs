//! What `wit-bindgen` makes of WASI's interface to HTTP. Generated code, as in [`crate::bindings`]; what a plugin does not use of it does not
//! become an import of the component.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    dead_code,
    clippy::pedantic,
    clippy::nursery,
    clippy::or_fun_call,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "wit",
    world: "http-client",
    generate_all,
});
