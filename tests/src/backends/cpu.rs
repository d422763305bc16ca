//! The processor time of other processes, for measurements.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// How the system counts for programs, on every architecture: `USER_HZ`, proc_pid_stat(5).
const TICKS_PER_SECOND: u64 = 100;

/// The fields of a process in `/proc/ID/stat` that follow its name, which may hold anything.
pub(super) fn fields_of(process: u32) -> Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], at: std::ops::Range<usize>) -> Result<Duration> {
    let ticks = fields.get(at).context("a process has fields for its time")?;
    let sum = ticks.iter().map(|ticks| ticks.parse::<u64>()).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(sum * 1_000 / TICKS_PER_SECOND))
}

/// The processor time that a process has used.
///
/// # Errors
/// There is none of that id.
pub fn cpu_time(process: u32) -> Result<Duration> {
    ticks(&fields_of(process)?, 11..13)
}

/// The processor time that a process has used with those of its children that have ended.
pub(super) fn cpu_time_with_ended(process: u32) -> Result<Duration> {
    ticks(&fields_of(process)?, 11..15)
}
