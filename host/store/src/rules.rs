//! Decisions that every store makes alike, kept in one place so that no two stores can differ in them.

use std::time::Duration;

use super::{Page, ReleaseJob, StoreError, Subject, Unreadable};
use crate::model::limits::PAGE_ROWS_MAX;
use crate::model::{Digest, ErrorKind, JobError, Outcome, PluginVersion, SchedulerId, Task, TaskId, Timestamp};
use crate::store::{Ending, Put};

/// Most jobs that one call of `job_acquire` ends because their start deadline has passed; the next call takes the next ones.
pub const MISSED_MAX: usize = 1_000;

/// Most jobs that one call of `job_acquire` moves from "queued, not yet due" to "due", earliest first. Where more become due
/// at one instant (a store that slept for long), priorities hold among those moved so far.
pub const WOKEN_MAX: usize = 10_000;

/// Most log lines that one call of `cleanup` removes: a job may have many thousands.
pub const LOG_LINES_REMOVED_MAX: usize = 10_000;

/// For how long something is put off that this version cannot read: as long again as it has waited `since`, within these bounds.
pub const PUT_OFF: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// Until when something is put off at `now` that a newer version has written, and that has been due since then. Each time it is found it
/// waits longer, so that it costs little while nobody is there who can read it, and loses little where somebody is.
pub fn put_off(now: Timestamp, since: Timestamp) -> Timestamp {
    now.saturating_add(now.saturating_since(since).clamp(*PUT_OFF.start(), *PUT_OFF.end()))
}

/// How long the row of a scheduler that left, or fell silent, is kept.
pub const SCHEDULERS_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Whether a job whose worker vanished is queued again: `attempt` begun so far and `crashes` among them, this one included.
///
/// A job may begin `max_attempts` attempts, and one more for each crash up to `crash_retries`.
pub fn survives_crash(attempt: u32, crashes: u32, max_attempts: u32, crash_retries: u32) -> bool {
    attempt < max_attempts.saturating_add(crashes.min(crash_retries))
}

/// What stands on a job whose worker vanished.
pub fn crash_error(holder: &SchedulerId) -> JobError {
    JobError::new(ErrorKind::HostError, format!("scheduler `{holder}`, which ran it, vanished"))
}

/// When a job that ends inside the store at `now` may be cleaned up.
pub fn expiry(now: Timestamp, result_ttl: Duration) -> Timestamp {
    now.saturating_add(result_ttl)
}

/// Whether what the guest asked for is to be stored with this release.
pub fn effects_apply(release: &ReleaseJob) -> bool {
    matches!(release.ending, Ending::Finished { outcome: Outcome::Success, .. })
}

/// Whether the task is the plugin's own function, rather than derived from one by configuration.
pub fn is_offered(task: &Task) -> bool {
    task.target.plugin().is_some_and(|plugin| TaskId::of_plugin(plugin, task.target.function()) == task.id)
}

/// What making `new` current means where `current` was.
pub fn plugin_put(current: Option<&PluginVersion>, new: &PluginVersion) -> Put {
    match current {
        None => Put::Added,
        // Registered again with nothing changed: the time of registration stays the first one.
        Some(old) if PluginVersion { registered_at: old.registered_at, ..new.clone() } == *old => Put::Unchanged,
        Some(_) => Put::Replaced,
    }
}

/// The rows of a page out of up to `limit + 1` that were read.
pub fn page<T>(mut rows: Vec<Result<T, Unreadable>>, limit: usize, place: impl Fn(&T) -> String) -> Page<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().map(|row| row.as_ref().map_or_else(|bad| bad.id.clone(), &place));
    Page { next: last.filter(|_| more), ..Page::whole(rows) }
}

/// A page size within its bounds.
pub fn page_limit(asked: usize) -> usize {
    asked.clamp(1, PAGE_ROWS_MAX)
}

/// The answer to a cursor that no list gave out.
pub fn bad_cursor(cursor: &str) -> StoreError {
    let shown: String = cursor.chars().take(64).collect();
    StoreError::Conflict {
        subject: Subject::Other(format!("page cursor `{shown}`")),
        state: "is not one that a list gave out".into(),
    }
}

/// The answer where a plugin has no version of that digest.
pub fn no_version(name: &crate::model::PluginName, digest: Digest) -> StoreError {
    StoreError::NotFound(Subject::Other(format!("version {digest} of plugin `{name}`")))
}

/// The answer to an unpause that saw another state of the schedule.
pub fn schedule_changed(id: &crate::model::ScheduleId, next: Option<Timestamp>) -> StoreError {
    let state = match next {
        Some(next) => format!("has changed meanwhile: it fires next at {next}"),
        None => "has changed meanwhile: it has no more fire times".to_owned(),
    };
    StoreError::Conflict { subject: Subject::Schedule(id.clone()), state }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_off_again_and_again_waits_longer_within_bounds() {
        let due = Timestamp::EPOCH;
        let (mut now, mut pauses) = (due, Vec::new());
        for _ in 0..9 {
            let until = put_off(now, due);
            pauses.push(until.saturating_since(now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_crash_costs_an_attempt_unless_it_is_forgiven() {
        // One attempt, one crash forgiven: the second crash ends it.
        assert!(survives_crash(1, 1, 1, 1));
        assert!(!survives_crash(2, 2, 1, 1));
        // Nothing forgiven.
        assert!(!survives_crash(1, 1, 1, 0));
        // Three attempts, none forgiven: the third crash ends it.
        assert!(survives_crash(2, 2, 3, 0));
        assert!(!survives_crash(3, 3, 3, 0));
    }
}
