//! What moves between stores: everything that one holds, record by record.

use std::sync::Arc;

use async_trait::async_trait;

use super::{PayloadBytes as _, StoreError, Subject, Unreadable};
use crate::model::{
    BucketName, ConflictPolicy, Job, JobId, KvEntry, KvKey, LogLine, PluginVersion, Rollout, Schedule, Task, Timestamp,
};

/// Most records that a batch of a snapshot holds, and that a call of [`Transfer::restore`](super::Transfer::restore) should carry.
pub const BATCH_RECORDS_MAX: usize = 500;

/// How many bytes of payloads a batch of a snapshot holds at most, unless its only record is larger; and a call of
/// [`Transfer::restore`](super::Transfer::restore) should carry. Servers bound what a client sends at once (MariaDB: 16 MiB).
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One thing that a store holds, with all that is stored of it.
///
/// The claims on schedules are no part of it: a fire that was under way in one store has not happened in the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A version of a plugin with its component.
    Plugin(StoredPlugin),
    /// A task.
    Task(Box<Task>),
    /// A job in whatever state. One that was running is still held by the one who ran it, until that lease ends.
    Job(Box<Job>),
    /// A log line of a job.
    Log {
        /// The job.
        job_id: JobId,
        /// The line.
        line: LogLine,
    },
    /// A schedule.
    Schedule(Box<Schedule>),
    /// A bucket, which may be empty.
    KvBucket {
        /// Its name.
        name: BucketName,
        /// The last version that a key of it got.
        revision: u64,
    },
    /// A value in a bucket.
    KvEntry {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: KvKey,
        /// What is stored under it.
        entry: KvEntry,
    },
}

/// A version of a plugin, its component, and whether it is the one that runs.
///
/// The component is here as a whole, because a version without all of its bytes must never be seen in a store; what it may weigh is
/// bounded by [`COMPONENT_BYTES_MAX`](crate::model::limits::COMPONENT_BYTES_MAX).
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPlugin {
    /// The version.
    pub version: PluginVersion,
    /// Whether it is the plugin's current one.
    pub is_current: bool,
    /// The plugin's latest rollout, where that is of this version.
    pub rollout: Option<Rollout>,
    /// The component.
    pub bytes: Arc<[u8]>,
}

impl Record {
    /// What it is, for people.
    pub fn subject(&self) -> Subject {
        match self {
            Record::Plugin(plugin) => version_subject(&plugin.version),
            Record::Task(task) => Subject::Task(task.id.clone()),
            Record::Job(job) => Subject::Job(job.spec.id),
            Record::Log { job_id, line } => log_subject(*job_id, line.attempt, line.sequence),
            Record::Schedule(schedule) => Subject::Schedule(schedule.id.clone()),
            Record::KvBucket { name, .. } => Subject::Other(format!("bucket `{name}`")),
            Record::KvEntry { bucket, key, .. } => kv_subject(bucket, key.as_str()),
        }
    }

    /// About how many bytes it takes: those parts of it that may be long.
    pub fn weight(&self) -> usize {
        match self {
            Record::Plugin(plugin) => plugin.bytes.len(),
            Record::Task(task) => task.payload_bytes(),
            Record::Job(job) => job.payload_bytes(),
            Record::Log { line, .. } => line.payload_bytes(),
            Record::Schedule(schedule) => schedule.payload_bytes(),
            Record::KvBucket { .. } => 0,
            Record::KvEntry { key, entry, .. } => key.as_str().len() + entry.value.len(),
        }
    }
}

/// A version of a plugin, for people.
pub(super) fn version_subject(version: &PluginVersion) -> Subject {
    Subject::Other(format!("version {} of plugin `{}`", version.digest, version.name))
}

/// A log line, for people.
pub(super) fn log_subject(job: JobId, attempt: u32, sequence: u32) -> Subject {
    Subject::Other(format!("log line {sequence} of attempt {attempt} of job {job}"))
}

/// A key in a bucket, for people.
pub(super) fn kv_subject(bucket: &BucketName, key: &str) -> Subject {
    Subject::Other(format!("key `{key}` of bucket `{bucket}`"))
}

/// A part of a snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SnapshotBatch {
    /// The records.
    pub records: Vec<Record>,
    /// What cannot be read and is missing among them: what it is, in words, and why.
    pub unreadable: Vec<Unreadable>,
}

/// A store as it was at one instant.
///
/// # Order
///
/// Versions of plugins by name and digest, tasks by id, jobs by id with the log lines of each right after it, schedules by id, buckets by name
/// with the keys of each right after it:
/// what is restored in this order never finds a schedule that fires where the jobs it has made are still missing.
///
/// # Dropping it
///
/// Nothing was changed, so nothing is left half done; a connection in the middle of it is closed. A snapshot holds a connection of its
/// store's, and closing the store waits for it.
#[async_trait]
pub trait Snapshot: Send {
    /// The next part: at most [`BATCH_RECORDS_MAX`] records; `None` once everything was read. A part may be empty.
    ///
    /// Retry: not possible. A snapshot that failed is over, because the state that it has seen is gone with its connection.
    async fn next(&mut self) -> Result<Option<SnapshotBatch>, StoreError>;
}

/// See [`Transfer::restore`](super::Transfer::restore).
#[derive(Debug, Clone)]
pub struct Restore {
    /// The time: a queued job that is due by then waits among those that may start.
    pub now: Timestamp,
    /// What is to be stored, in the order of a [`Snapshot`]; log lines whose job came in an earlier call may stand first.
    pub records: Vec<Record>,
    /// What to do where something else is in the place of a record.
    pub conflict: ConflictPolicy,
    /// Change nothing, and answer what would be done.
    pub dry_run: bool,
}

/// What restoring a record did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Restored {
    /// Its place was empty.
    Added,
    /// It is there instead of what was there before.
    Replaced,
    /// The very same was there already.
    Unchanged,
    /// Something else is there, and stayed.
    Kept,
}

/// The answer where something else is in the place of a record, and may not be replaced.
pub(super) fn taken(record: &Record) -> StoreError {
    StoreError::Conflict { subject: record.subject(), state: "is in the store already, with other content".into() }
}
