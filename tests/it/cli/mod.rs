//! The `host` program from outside: what it prints, where, and how it ends.

mod answers;
mod backfill;
mod bad_input;
mod batch;
mod crontab;
mod granted_secrets;
mod help;
mod interrupts;
mod kv;
mod new;
mod queues;
mod review;
mod rollouts;
mod schedules;
mod secrets;
pub(crate) mod serving;
mod settings;
mod transfer;
mod triggers;
mod versions;
