//! Write tasks for the job host as ordinary Rust functions.
//!
//! ```
//! use guest_sdk::{Context, TaskError, log, task};
//!
//! /// Counts the words of a text.
//! #[task(timeout = "10s", max_attempts = 3)]
//! fn count_words(
//!     ctx: &Context,
//!     /// What to count in.
//!     #[arg(example = "to be or not to be")]
//!     text: String,
//!     /// Shorter words do not count.
//!     #[arg(default = 1)]
//!     min_length: usize,
//! ) -> Result<usize, TaskError> {
//!     log::info!(attempt = ctx.attempt(), "counting words of at least {min_length} letters");
//!     if min_length == 0 {
//!         return Err(TaskError::invalid_args("a word has at least one letter"));
//!     }
//!     Ok(text.split_whitespace().filter(|word| word.chars().count() >= min_length).count())
//! }
//! ```
//!
//! A crate of `crate-type = ["cdylib"]` with such functions is a plugin: `cargo build --release --target wasm32-wasip2`
//! makes the component, and so does `cargo component build --release`. No WIT, no generated code and no list of tasks
//! is needed; `host new NAME` writes such a crate.
//!
//! # The function
//!
//! It stays what it was: a native unit test can call it. Its parameters are the job's arguments, by name (a JSON
//! object) or by position (a JSON array). A parameter must own its data and implement [`serde::Deserialize`] and
//! [`schemars::JsonSchema`]; the result must implement [`serde::Serialize`] and `JsonSchema`. The schemas travel with
//! the plugin, so the host can tell a wrong argument when a job is scheduled.
//!
//! - A `ctx: &`[`Context`] in front is the job being run: IDs, attempt, deadline, metadata, cancellation, progress.
//! - `Option<T>` need not be given, and is `None` then. The macro goes by the name `Option`.
//! - `#[arg(default)]`, `#[arg(default = VALUE)]`: need not be given either.
//! - `#[arg(name = "type")]`: another name than the parameter's.
//! - `#[arg(example = VALUE)]`: shown to those who want to run the task. VALUE is written as in JSON.
//! - A doc comment on a parameter becomes its description.
//!
//! It returns a value, or a `Result` whose error converts into [`TaskError`], which says what a plain error means and
//! how to say otherwise.
//!
//! # The attributes
//!
//! `#[task(…)]` takes what the author wishes for; the operator has the last word.
//!
//! | Attribute | Means |
//! |---|---|
//! | `name = "copy-files"` | the task's name, instead of the function's |
//! | `max_running_jobs = 4`, `= none` | jobs of this task at the same time; `none`: without limit |
//! | `misfire_grace_time = "30s"`, `= none` | how late a job may start; `none`: however late |
//! | `executor = "wasm"` | the job executor |
//! | `timeout = "5m"` | wall-clock time of an attempt |
//! | `fuel = 1_000_000` | fuel of an attempt, about one unit for each instruction |
//! | `memory = "64MiB"` | memory of an attempt |
//! | `max_attempts = 3` | attempts at a job |
//! | `backoff = "10s"`, `backoff(initial = "1s", max = "10m", factor = 2.0, jitter = 0.1)` | waits between attempts |
//! | `priority = 5` | greater goes first |
//! | `result_ttl = "1h"` | how long results are kept |
//! | `metadata(owner = "ops", tier = 2)` | the author's own values |
//!
//! All of them hold within the operator's caps. Unless the operator says otherwise, a task declares a priority of at most 0, ten attempts
//! with pauses of up to a day, and results that are kept for a week; what is beyond that is cut when the plugin is registered, and told.
//!
//! Durations are written as `500ms`, `30s`, `1h30m`, `2d`; sizes as `64KiB`, `64MiB`, `1GiB` or in bytes.
//!
//! # The world outside
//!
//! A component has what the operator granted: folders through [`std::fs`], variables through [`std::env`](mod@std::env), requests to servers through
//! [`http`], values that outlive a job through [`kv`], tokens of other servers through [`secrets`]. It has no sockets, so that clients from
//! crates.io that open some find none.
//!
//! # Limits of a component
//!
//! - Every attempt runs in a fresh instance: statics begin anew each time.
//! - A panic ends the attempt; its message, file and line reach the operator.
//! - Tasks of a library crate are found only if the plugin names the crate: `use that_crate as _;`.
//! - Two tasks of one name are refused at registration, with both places.

#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod convert;
#[cfg(target_family = "wasm")]
mod exports;
#[cfg(target_family = "wasm")]
mod http_bindings;

mod arguments;
mod context;
mod error;
mod host;
pub mod http;
pub mod kv;
pub mod log;
mod payload;
mod registry;
mod returned;
pub mod scheduler;
pub mod secrets;
mod settings;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use context::Context;
pub use error::{Cancelled, OrPermanent, TaskError};
pub use guest_sdk_macros::task;
pub use payload::{Encoding, Payload, PayloadError};
pub use settings::{Backoff, Grace, Limit, Settings};

/// For the code that `#[task]` writes. No promise covers what is in here.
#[doc(hidden)]
pub mod __private {
    pub use crate::arguments::{Arguments, Parameter, TaskArgument};
    pub use crate::registry::{Describer, TaskEntry};
    pub use crate::returned::{Plain, PlainType, ReturnType, Returned, finish};
    pub use inventory::submit;
    pub use serde_json::json;
}
