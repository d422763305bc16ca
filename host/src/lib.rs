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
//! A program that runs closures of its own as tasks, here on a store that lives as long as the process. With another store, and the
//! sandbox beside the closures, it works together with `host` processes on the same data. [`assemble::Machine`] makes all of that from
//! [settings](config::Config), as the program does.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use host::app::{App, NewJob, NewSchedule};
//! use host::broker::local::LocalBroker;
//! use host::clock::{Clock, SystemClock};
//! use host::executor::inline::InlineExecutor;
//! use host::model::{ExecutorName, Outcome, Settings, SchedulerId, TaskId, TaskName};
//! use host::scheduler::{Executors, Options, Scheduler};
//! use host::store::memory::MemoryStore;
//! use host::trigger::{RuleOptions, Trigger};
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let clock = Arc::new(SystemClock);
//! let app = App::new(host::app::Parts {
//!     store: Arc::new(MemoryStore::new()),
//!     broker: Arc::new(LocalBroker::new()),
//!     inspector: None, // it takes no plugins
//!     clock: clock.clone(),
//!     random: fastrand::Rng::new(),
//!     task_defaults: Settings::default(),
//!     caps: host::config::Caps::default(),
//! });
//!
//! // A task is a function with a name and settings.
//! let double = TaskName::new("double")?;
//! let native = InlineExecutor::new(clock.clone()).with(double.clone(), |_context, args| async move {
//!     Ok(json!(args["n"].as_i64().unwrap_or(0) * 2))
//! });
//! app.task_add_native(TaskId::new("double")?, double, Settings::default()).await?;
//!
//! // A scheduler does the work, in this process or in any number of others.
//! let executors = Executors::default().with(ExecutorName::new(Executors::INLINE)?, Arc::new(native));
//! let options = Options::new(SchedulerId::new("example")?);
//! let scheduler = Scheduler::start(app.scheduler_parts(executors), options).await?;
//!
//! // A schedule makes jobs…
//! let every_hour = Trigger::every(Duration::from_secs(3600), &RuleOptions::new(clock.now()))?;
//! let hourly = NewSchedule { args: json!({"n": 4}).into(), ..NewSchedule::new("double", every_hour) };
//! let schedule = app.schedule_add(hourly).await?.schedule;
//! assert!(schedule.next_fire_time.is_some());
//!
//! // …and so does whoever asks for one.
//! let id = app.job_submit(NewJob { args: json!({"n": 21}).into(), ..NewJob::new("double") }).await?;
//! let job = app.job_wait(id).await?;
//! assert_eq!(job.outcome, Some(Outcome::Success));
//! assert_eq!(&*job.result.expect("results are kept for a day").data, b"42");
//!
//! scheduler.stop().await;
//! app.close().await;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! A program that runs plugins as well begins its `main` with [`executor::wasm::serve_if_asked`]: then they are compiled in a child process
//! with limits, which is the program itself, and not in the process that runs everything else.

pub mod app;
pub mod assemble;
pub mod broker;
#[cfg(feature = "cli")]
pub mod cli;
pub mod executor;
pub mod scheduler;
#[cfg(feature = "cli")]
mod wire;

pub use host_core::{clock, config, files, model, trigger};
pub use host_store as store;
