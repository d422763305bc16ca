//! The suites that hold every adapter of a port to the port's contract.

pub mod broker;
pub mod store;
