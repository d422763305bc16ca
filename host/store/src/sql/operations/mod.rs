//! What each call does, in statements.

mod acquire;
pub(in crate::sql) mod catalog;
mod catalog_rows;
mod ends;
mod exchange;
mod fires;
mod hooks;
pub(in crate::sql) mod housekeeping;
pub(in crate::sql) mod job_rows;
pub(in crate::sql) mod jobs;
mod kv;
mod ledger;
pub(in crate::sql) mod release;
pub(in crate::sql) mod rollouts;
pub(in crate::sql) mod schedules;
mod shares;
pub(in crate::sql) mod snapshot;
mod take;
pub(in crate::sql) mod transfer;
pub(in crate::sql) mod versions;
