//! Test support.

pub mod stage;
pub mod wait;
