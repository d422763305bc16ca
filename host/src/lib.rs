//! A job runtime whose tasks are sandboxed WebAssembly components.

pub mod broker;
pub mod clock;
pub mod executor;
pub mod model;
pub mod scheduler;
pub mod store;
pub mod trigger;
