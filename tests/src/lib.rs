//! Test support.

pub mod artifacts;
pub mod stage;
pub mod wait;
