//! What a guest asks the runtime for while it runs.

use super::{ConflictPolicy, JobSpec, KvWrites, Schedule};

/// Jobs, schedules and writes that a guest asked for. They come into being together with its success, so that a retry leaves no orphans.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Jobs to queue.
    pub jobs: Vec<JobSpec>,
    /// Schedules to add.
    pub schedules: Vec<AddSchedule>,
    /// Keys to write.
    pub kv: KvWrites,
}

/// A schedule to be added.
#[derive(Debug, Clone)]
pub struct AddSchedule {
    /// Complete, with its trigger where that begins.
    pub schedule: Schedule,
    /// What to do where its id is taken.
    pub conflict: ConflictPolicy,
}
