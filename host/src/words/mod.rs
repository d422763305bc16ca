//! Texts about what is stored, for people: what the terminal and the browser show alike.
//!
//! What others have named or written stands in them as it is. Whoever shows them sees to it that nothing of that is obeyed.

mod fire;
mod job;
mod rights;
mod settings;
mod text;

pub(crate) use fire::{what, why};
pub(crate) use job::{ending, readable, usage};
#[cfg(feature = "cli")]
pub(crate) use job::{http_usage, progress};
pub(crate) use rights::{PURE, asks, granted};
pub(crate) use settings::{executor_of, grace_time, layer_of_task, run_settings, schedule_settings, state_of_schedule};
#[cfg(feature = "cli")]
pub(crate) use text::time_or_dash;
pub(crate) use text::{plural, short, shortened, time};
