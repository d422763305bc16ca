//! A job runtime whose tasks are sandboxed WebAssembly components.

pub mod app;
pub mod assemble;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod executor;
pub mod model;
pub mod scheduler;
pub mod store;
pub mod trigger;
