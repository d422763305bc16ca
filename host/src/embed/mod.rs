//! A host inside of a program: its own functions as tasks, plugins beside them, and a scheduler that runs while the program does.
//!
//! ```
//! use std::time::Duration;
//!
//! use host::Host;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let host = Host::builder().task("double", |n: i64| async move { anyhow::Ok(n * 2) }).start().await?;
//! host.every("double", "hourly", Duration::from_secs(3600), (21,)).await?;
//! let result: i64 = host.run("double", (21,)).await?;
//! assert_eq!(result, 42);
//! host.close().await;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! * [`Builder`] says what the host is made of: a store by its URL, or parts of the program's own; tasks, plugins, identity, role, limits.
//! * [`Builder::open`] gives a [`Host`] that does no work: it schedules, submits, waits and lists, while others do the work.
//!   [`Host::start`] begins to work in the background, [`Host::run_until_stopped`] works until a signal comes, [`Host::stop`] (also from
//!   inside of a job) ends that in order.
//! * A [`Host`] is a handle. It can be cloned and shared; the last one that is dropped stops the work in order.
//! * Everything else that the command line can do is in [`App`](crate::app::App), which [`Host::app`] gives.
//! * [`blocking`](mod@self::blocking) is the same for programs without async.
//!
//! A future of this module that is dropped leaves nothing half done: what it asked for is done whole, or not at all.

pub mod blocking;
mod builder;
mod error;
mod host;
mod task;
mod work;

pub use self::builder::Builder;
pub use self::error::RunError;
pub use self::host::{EventGuard, Host};
pub use self::task::{Blocking, BoxError, CallArguments, CallResult, Handler, Task, TaskContext, blocking};
pub use self::work::State;
