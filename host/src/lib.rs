//! A job runtime whose tasks are sandboxed WebAssembly components.

pub mod model;
