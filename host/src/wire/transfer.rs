//! What export and import print.

use serde::Serialize;

use crate::store::archive::Counts;

/// How many records of each kind.
#[derive(Serialize)]
pub(crate) struct CountsWire {
    plugins: u64,
    tasks: u64,
    jobs: u64,
    log_lines: u64,
    schedules: u64,
    kv_buckets: u64,
    kv_entries: u64,
}

impl From<Counts> for CountsWire {
    fn from(counts: Counts) -> CountsWire {
        let Counts { plugins, tasks, jobs, log_lines, schedules, kv_buckets, kv_entries } = counts;
        CountsWire { plugins, tasks, jobs, log_lines, schedules, kv_buckets, kv_entries }
    }
}
