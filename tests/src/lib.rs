//! Test support: the conformance suites, the servers they run against, builders of test data, plugins built for tests.

pub mod api;
pub mod artifacts;
pub mod backends;
pub mod brokers;
pub mod certificates;
pub mod cli;
pub mod conformance;
pub mod content;
pub mod doubles;
pub mod drain;
pub mod factory;
pub mod logs;
pub mod stage;
pub mod trials;
pub mod wait;
pub mod web;
