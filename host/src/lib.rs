//! A job runtime whose tasks are sandboxed WebAssembly components.
//!
//! An author writes functions with `#[task]` (crate `guest-sdk`) and builds a component. An operator registers it and puts its tasks on
//! schedules. Each job runs in a fresh instance with limits on fuel, time and memory, and with no rights but those that were granted.
//!
//! This crate is the runtime and its command line, `host`. Everything that the command line does, a program can do by embedding the
//! crate: the operations are in [`app`], and what does the work is a [`scheduler`].
//!
//! # Floors
//!
//! Imports go down only. Between crates the compiler holds that, inside of them a test.
//!
//! | crate | modules | what they are |
//! |---|---|---|
//! | `host` | [`cli`] | words to operations, answers to words |
//! | | [`embed`] | a host inside of a program |
//! | | [`api`] | requests over HTTP to operations, answers to JSON, and the dashboard |
//! | | [`assemble`] | the composition root: from settings to working parts, and the only place that names concrete stores, brokers and executors |
//! | | [`app`] | the operations: register, schedule, submit, cancel, inspect |
//! | | [`scheduler`] | the loops over the ports, and the pure planning |
//! | | [`broker`], and [`executor::inline`] | the port to the brokers and its adapters; tasks that are closures |
//! | `host-store` | [`store`] | the port to the stores, and its adapters: memory and SQL |
//! | `host-sandbox` | [`executor::wasm`] | the sandbox |
//! | `host-core` | [`executor`] | the port to what runs attempts |
//! | | [`trigger`], [`clock`], [`config`], [`files`] | pure rules, the only source of time, plain settings, files opened with care |
//! | | [`model`] | the nouns and their laws: no I/O, no async, no clock |
//!
//! A program that embeds `host` compiles what it uses. All features are on unless it says `default-features = false`:
//!
//! | feature | gives |
//! |---|---|
//! | `wasm` | the sandbox; without it, tasks are closures of the program |
//! | `sqlite`, `postgres`, `mysql` | the store in that database; that in memory is always there. With the first two comes their event broker |
//! | `redis`, `mqtt`, `nats` | the event broker over such a server |
//! | `api` | the HTTP interface |
//! | `cli` | the command line, and the program `host` |
//!
//! # What holds everywhere
//!
//! * **Nothing is lost and nothing is done twice by accident.** A fire makes its jobs, moves its trigger and ends its lease in one
//!   transaction; a job's end stores its result and frees its slot in one. Delivery is at least once: a job whose worker died runs
//!   again.
//! * **Claims end by themselves.** Whoever works on something holds a lease with a token, and every write shows it. A late one changes
//!   nothing.
//! * **Wake-ups are hints.** With a broker that delivers nothing, every job still runs, because everyone looks again after a while.
//! * **A guest is bounded three ways at once**: fuel and interruption, memory, wall clock. Whatever it does comes back as an outcome.
//! * **Time and chance are passed in**, so that tests can hold them still.
//!
//! # Embedding
//!
//! A program that runs functions of its own as tasks, beside plugins or without any, and works together with other programs and `host`
//! processes on the same store:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let host = host::Host::builder().task("double", |n: i64| async move { anyhow::Ok(n * 2) }).start().await?;
//! assert_eq!(host.run::<i64>("double", (21,)).await?, 42);
//! # host.close().await;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! [`embed`] says more. Who wants to put the parts together in another way finds them in [`app::Parts`] and [`scheduler::Parts`].

#[cfg(feature = "api")]
pub mod api;
pub mod app;
pub mod assemble;
pub mod broker;
#[cfg(feature = "cli")]
pub mod cli;
pub mod embed;
pub mod executor;
pub mod scheduler;
#[cfg(any(feature = "api", feature = "cli"))]
mod wire;
#[cfg(any(feature = "api", feature = "cli"))]
mod words;

pub use embed::Host;
pub use host_core::{clock, config, files, model, trigger};
pub use host_store as store;

/// The Rust of the README is compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
