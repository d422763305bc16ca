//! What every part of the runtime stands on: the nouns and their laws, the rules of triggers, the only source of time, plain settings,
//! and the port to what runs attempts.
//!
//! | floor | modules | what they are |
//! |---|---|---|
//! | 2 | [`executor`] | a port: traits, requests, errors, and the contract in prose |
//! | 1 | [`trigger`], [`clock`], [`config`], [`files`] | pure rules, the only source of time, plain settings, files opened with care |
//! | 0 | [`model`] | the nouns and their laws: no I/O, no async, no clock |
//!
//! The port to the stores is in the crate of the stores, which nothing but the host itself stands on. The port to the executors is here,
//! so that a program whose tasks are native need not compile the sandbox.

pub mod clock;
pub mod config;
pub mod executor;
pub mod files;
pub mod model;
pub mod trigger;
