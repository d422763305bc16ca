//! Test support.

pub mod artifacts;
