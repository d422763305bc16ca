//! The JSON that programs read: what the command line prints with `--json`. Types of their own, so that a change inside never changes what
//! scripts read.
//!
//! The keys are a contract. Times are RFC 3339 in UTC with microseconds, spans are whole milliseconds (`_ms`) or microseconds (`_us`), and what
//! is not there is `null`, never a missing key. Lists are arrays of the plain objects; `show` prints the same object with details beside it.

mod backfill;
mod event;
mod fire;
mod job;
mod kv;
mod payload;
mod plugin;
mod queue;
mod schedule;
mod schedule_change;
mod settings;
mod status;
mod task;
#[cfg(feature = "api")]
mod token;
#[cfg(feature = "cli")]
mod transfer;

pub(crate) use backfill::BackfilledWire;
pub(crate) use event::event;
pub(crate) use fire::FireLineWire;
#[cfg(feature = "cli")]
pub(crate) use job::UsageWire;
pub(crate) use job::{JobDetails, JobErrorWire, JobWire, LogLineWire};
#[cfg(feature = "api")]
pub(crate) use kv::{BucketWire, KeyWire, ValueWire};
pub(crate) use kv::{kv_bucket, kv_key, kv_value};
pub(crate) use payload::payload_value;
#[cfg(feature = "api")]
pub(crate) use plugin::ReviewWire;
pub(crate) use plugin::{PluginDetails, PluginWire, RegistrationWire, RolloutWire, VersionWire};
#[cfg(feature = "api")]
pub(crate) use queue::QueueWire;
pub(crate) use queue::queue;
#[cfg(feature = "api")]
pub(crate) use schedule::ScheduleDetails;
pub(crate) use schedule::{KnownTasks, ScheduleState, ScheduleWire, coalesce_name, describe, settings_of};
#[cfg(feature = "api")]
pub(crate) use schedule_change::ScheduleChangedWire;
pub(crate) use schedule_change::schedule_changed;
#[cfg(feature = "cli")]
pub(crate) use schedule_change::schedule_differences;
pub(crate) use status::status;
#[cfg(feature = "api")]
pub(crate) use status::{SchedulerWire, StatusWire, scheduler};
pub(crate) use task::{TaskDetails, TaskWire};
#[cfg(feature = "api")]
pub(crate) use token::{CreatedTokenWire, TokenWire, created_token, token};
#[cfg(feature = "cli")]
pub(crate) use transfer::CountsWire;

use std::time::Duration;

use crate::model::GraceTime;

/// Whole milliseconds.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Whole microseconds.
fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Whole milliseconds; `None` is without end.
fn grace_millis(grace: GraceTime) -> Option<u64> {
    match grace {
        GraceTime::Unlimited => None,
        GraceTime::Within(span) => Some(millis(span)),
    }
}
