//! Test support.

pub mod artifacts;
pub mod cli;
pub mod stage;
pub mod wait;
