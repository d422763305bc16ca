//! The archive: everything that a store holds as text, one JSON object a line, for backup and for moving to another kind of store.
//!
//! ```text
//! {"format":"host-export","version":2,"exported_at":"2026-05-01T12:00:00.000000Z"}
//! {"plugin":{"name":"hello","digest":"9f…","size_bytes":1500000,"current":true,…}}
//! {"plugin_bytes":"AGFzbQ0AAQ…"}                       as many as the component needs, in order
//! {"task":{"id":"hello:greet",…}}
//! {"job":{"id":"0198c5b2-…","state":"finished",…}}
//! {"log":{"job_id":"0198c5b2-…","attempt":1,"sequence":0,…}}   right after their job
//! {"schedule":{"id":"nightly",…}}
//! {"kv_bucket":{"name":"cursors","revision":7}}
//! {"kv_entry":{"bucket":"cursors","key":"orders",…}}           right after their bucket
//! {"end":{"plugins":1,"tasks":1,"jobs":1,"log_lines":1,"schedules":1,"kv_buckets":1,"kv_entries":1,"sha256":"5c…"}}
//! ```
//!
//! The order is that of a [`Snapshot`](super::Snapshot), and within each kind that of the ids, so that nothing can be there twice. The last
//! line counts what was before it and carries the digest of all lines before it: an archive that is cut off or damaged is found out before
//! any of it is used. (Whoever changes one by hand takes `sha256` out.)
//!
//! Times are RFC 3339 in UTC with microseconds, spans whole microseconds. Payloads are text where they are valid UTF-8, else base64.
//! Triggers and their states are texts in which the trigger module's JSON stands as it was stored.
//!
//! # Versions
//!
//! [`VERSION`] grows when a reader of the version before could not read, or would lose, what is written. A reader reads every version up
//! to its own; an archive of each is among the test fixtures. Version 2 added buckets.

mod line;
mod read;
mod write;

use super::{Record, Restored};
use crate::model::JobState;

pub use read::{ArchiveError, Reader};
pub use write::Encoder;

/// The name of the format, in the first line.
pub const FORMAT: &str = "host-export";

/// The version that is written.
pub const VERSION: u32 = 2;

/// Longest line, in bytes: arguments and a result of many times what a job may have, and what they grow by when they are escaped.
pub const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of a component in one line.
const PART_BYTES: usize = 768 * 1024;

/// How many records of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "one for each kind")]
pub struct Counts {
    /// Versions of plugins.
    pub plugins: u64,
    pub tasks: u64,
    pub jobs: u64,
    pub log_lines: u64,
    pub schedules: u64,
    /// Buckets of keys and values.
    pub kv_buckets: u64,
    pub kv_entries: u64,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, record: &Record) {
        let count = match record {
            Record::Plugin(_) => &mut self.plugins,
            Record::Task(_) => &mut self.tasks,
            Record::Job(_) => &mut self.jobs,
            Record::Log { .. } => &mut self.log_lines,
            Record::Schedule(_) => &mut self.schedules,
            Record::KvBucket { .. } => &mut self.kv_buckets,
            Record::KvEntry { .. } => &mut self.kv_entries,
        };
        *count += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        let Counts { plugins, tasks, jobs, log_lines, schedules, kv_buckets, kv_entries } = *self;
        plugins + tasks + jobs + log_lines + schedules + kv_buckets + kv_entries
    }
}

/// What restoring did, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoredCounts {
    /// Their places were empty.
    pub added: Counts,
    /// They took the place of something else.
    pub replaced: Counts,
    /// They were there already.
    pub unchanged: Counts,
    /// Something else stayed in their place.
    pub kept: Counts,
}

impl RestoredCounts {
    /// Counts what became of a record.
    pub fn add(&mut self, record: &Record, restored: Restored) {
        match restored {
            Restored::Added => self.added.add(record),
            Restored::Replaced => self.replaced.add(record),
            Restored::Unchanged => self.unchanged.add(record),
            Restored::Kept => self.kept.add(record),
        }
    }
}

/// What must hold of a record beyond its form, when it is written and when it is read: what stores rely on, and what not all of them can keep.
fn check(record: &Record) -> Result<(), String> {
    let mut texts: Vec<&str> = Vec::new();
    match record {
        Record::Plugin(_) | Record::KvBucket { .. } | Record::KvEntry { .. } => {}
        Record::Task(task) => {
            texts.push(&task.description);
            texts.extend(
                [&task.args_schema, &task.result_schema, &task.example_args].into_iter().flatten().map(|s| &**s),
            );
        }
        Record::Job(job) => {
            let (state, outcome) = (job.state, job.outcome.is_some());
            if outcome != (state == JobState::Finished) {
                return Err(format!("it is {state}, and has {} outcome", if outcome { "an" } else { "no" }));
            }
            if job.lease.is_some() != (state == JobState::Running) {
                return Err(format!("it is {state}, and has {} lease", if job.lease.is_some() { "a" } else { "no" }));
            }
        }
        Record::Log { line, .. } => texts.extend([&*line.target, &*line.message]),
        Record::Schedule(schedule) => {
            texts.extend([&*schedule.trigger, &*schedule.trigger_state]);
            if let Some(crate::model::Pause::Failed(reason)) = &schedule.pause {
                texts.push(reason);
            }
        }
    }
    if texts.iter().any(|text| text.contains('\0')) {
        return Err("one of its texts has a NUL character, which not every store can keep".to_owned());
    }
    Ok(())
}
