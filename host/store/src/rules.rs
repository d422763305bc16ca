//! Decisions that every store makes alike, kept in one place so that no two stores can differ in them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AcquireJobs, Page, QueueRow, ReleaseJob, SchedulerRow, ServedQueue, StoreError, Subject, Unreadable};
use crate::model::limits::PAGE_ROWS_MAX;
use crate::model::{
    Ability, Backoff, Digest, ErrorKind, Grant, JobError, JobId, JobSpec, Outcome, PluginVersion, QueueName, Rollout,
    SchedulerId, Task, TaskId, Timestamp,
};
use crate::{Ending, KeptVersion, Pruned, Put, PutScheduler, Reviewed};

/// Most jobs that one call of `job_acquire` ends because their start deadline has passed; the next call takes the next ones.
pub const MISSED_MAX: usize = 1_000;

/// Most jobs that one call of `job_acquire` moves from "queued, not yet due" to "due", earliest first. Where more become due
/// at one instant (a store that slept for long), priorities hold among those moved so far.
pub const WOKEN_MAX: usize = 10_000;

/// Most tasks of one kind of jobs that are looked at for [`Choice::EachTask`](super::Choice::EachTask).
pub const SHARING_TASKS_MAX: usize = 1_000;

/// Most log lines that one call of `cleanup` removes: a job may have many thousands.
pub const LOG_LINES_REMOVED_MAX: usize = 10_000;

/// Most lines of the histories of schedules that one call of `cleanup` removes with those, unless it is one schedule that has more.
pub const HISTORY_LINES_REMOVED_MAX: u64 = 10_000;

/// How many of the first schedules are removed together that have had so many lines.
pub fn removed_together(lines: impl IntoIterator<Item = u64>) -> usize {
    let mut sum = 0_u64;
    let is_within = |(place, lines): &(usize, u64)| {
        sum = sum.saturating_add(*lines);
        *place == 0 || sum <= HISTORY_LINES_REMOVED_MAX
    };
    lines.into_iter().enumerate().take_while(is_within).count()
}

/// For how long something is put off that this version cannot read: as long again as it has waited `since`, within these bounds.
pub const PUT_OFF: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// Until when something is put off at `now` that a newer version has written, and that has been due since then. Each time it is found it
/// waits longer, so that it costs little while nobody is there who can read it, and loses little where somebody is.
pub fn put_off(now: Timestamp, since: Timestamp) -> Timestamp {
    now.saturating_add(now.saturating_since(since).clamp(*PUT_OFF.start(), *PUT_OFF.end()))
}

/// How long the row of a scheduler that left, or fell silent, is kept.
pub const SCHEDULERS_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A scheduler that was not seen for longer counts as gone.
pub const ALIVE_WITHIN: Duration = Duration::from_secs(15);

/// How often one call of `recover` looks for jobs that nobody runs; each time the next ones in order come to light.
pub const PARK_ROUNDS_MAX: usize = 20;

/// How often one call of `job_acquire` looks again after it has come upon jobs that were parked.
pub const UNPARK_ROUNDS_MAX: usize = 3;

/// By how many keys one call of `recover` looks for jobs that nobody runs.
pub const READY_KEYS_MAX: i64 = 1_000;

/// Whether a scheduler is at work.
pub fn is_alive(scheduler: &SchedulerRow, now: Timestamp) -> bool {
    scheduler.stopped_at.is_none() && now.saturating_since(scheduler.seen_at) <= ALIVE_WITHIN
}

/// Whether it would run a job of that queue that needs this.
pub fn serves(scheduler: &SchedulerRow, queue: &QueueName, needs: &Ability) -> bool {
    scheduler.queues.contains(queue) && can_run(scheduler, needs)
}

/// Whether it could run a job that needs this, in whatever queue.
pub fn can_run(scheduler: &SchedulerRow, needs: &Ability) -> bool {
    needs.is_met_by(&scheduler.abilities)
}

/// Whether no live scheduler would run jobs that are claimed by that [`ready_key`].
pub fn is_unserved(key: &str, schedulers: &[SchedulerRow], paused: &[QueueName], now: Timestamp) -> bool {
    read_ready_key(key).is_none_or(|(queue, needs)| {
        let mut alive = schedulers.iter().filter(|scheduler| is_alive(scheduler, now));
        paused.contains(&queue) || !alive.any(|scheduler| serves(scheduler, &queue, &needs))
    })
}

/// The place of a due job in the order of starting: its priority with the sign turned, and its id.
pub type Order = (i64, JobId);

/// That of a job.
pub fn order(spec: &JobSpec) -> Order {
    (-i64::from(spec.settings.priority), spec.id)
}

/// What a job is claimed by: its queue and what it needs, as one text. A worker asks for those that it serves.
pub fn ready_key(queue: &QueueName, ability: &Ability) -> String {
    format!("{queue}/{ability}")
}

/// The parts of a [`ready_key`].
pub fn read_ready_key(key: &str) -> Option<(QueueName, Ability)> {
    let (queue, ability) = key.split_once('/')?;
    Some((queue.parse().ok()?, ability.parse().ok()?))
}

/// The keys that a worker may claim by, a list for each of its queues.
pub fn ready_keys(request: &AcquireJobs) -> Vec<(&ServedQueue, Vec<String>)> {
    let abilities = || request.abilities.iter().chain([&Ability::Any]);
    let keys = |served: &ServedQueue| abilities().map(|ability| ready_key(&served.queue, ability)).collect();
    request.queues.iter().filter(|served| served.limit > 0).map(|served| (served, keys(served))).collect()
}

/// Chooses `limit` jobs out of the first ones of several queues, each sorted: the queues take turns, so that none waits for another.
/// `limit` of a queue: at most this many of it.
pub fn take_turns<T>(queues: Vec<(usize, Vec<T>)>, limit: usize) -> Vec<T> {
    let mut queues: Vec<_> = queues.into_iter().map(|(limit, jobs)| jobs.into_iter().take(limit)).collect();
    let mut chosen = Vec::new();
    while chosen.len() < limit {
        let before = chosen.len();
        for queue in &mut queues {
            if chosen.len() < limit {
                chosen.extend(queue.next());
            }
        }
        if chosen.len() == before {
            break;
        }
    }
    chosen
}

/// Gathers what there is of each queue.
#[derive(Debug, Default)]
pub struct QueueCounts(BTreeMap<QueueName, QueueRow>);

impl QueueCounts {
    fn row(&mut self, queue: QueueName) -> &mut QueueRow {
        self.0.entry(queue.clone()).or_insert_with(|| QueueRow::idle(queue))
    }

    /// Notes that a queue is paused.
    pub fn pause(&mut self, queue: QueueName) {
        self.row(queue).is_paused = true;
    }

    /// Adds due jobs that are claimed by that key.
    pub fn waiting(&mut self, key: &str, count: u64) {
        if let Some((queue, ability)) = read_ready_key(key) {
            self.row(queue).waiting.push((ability, count));
        }
    }

    /// Adds running jobs that were claimed by that key.
    pub fn running(&mut self, key: &str, count: u64) {
        if let Some((queue, _)) = read_ready_key(key) {
            self.row(queue).running += count;
        }
    }

    /// The queues by name, what waits by ability.
    pub fn rows(self) -> Vec<QueueRow> {
        let mut rows: Vec<QueueRow> = self.0.into_values().collect();
        rows.iter_mut().for_each(|row| row.waiting.sort());
        rows
    }
}

/// The end of a worker, as one of its jobs knows it.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    /// Attempts at the job begun so far.
    pub attempt: u32,
    /// Crashes among them, this one included.
    pub crashes: u32,
    /// Whether the worker ran nothing else, so that nothing else can be to blame.
    pub was_alone: bool,
}

/// Whether a job whose worker vanished is queued again.
///
/// A job may begin `max_attempts` attempts, and one more for each crash up to `crash_retries`. A crash that others may be to blame for does
/// not end it, unless it must not be tried again after any (`crash_retries` 0).
pub fn survives_crash(crash: Crash, max_attempts: u32, crash_retries: u32) -> bool {
    let is_cleared = !crash.was_alone && crash_retries > 0;
    is_cleared || crash.attempt < max_attempts.saturating_add(crash.crashes.min(crash_retries))
}

/// Whether a crash is the fault of what the job ran: not the first one, for which somebody may have ended the worker or another job may be to
/// blame, but one after which it was run alone.
pub fn is_to_blame(crash: Crash) -> bool {
    crash.crashes > 1 && crash.was_alone
}

/// How long a job waits after its `crashes`th crash until it is tried again: not at all after the first, as most workers that vanish were
/// ended by somebody, and then longer each time.
pub fn pause_after_crash(crashes: u32) -> Duration {
    const PAUSES: Backoff = Backoff {
        initial: Duration::from_secs(1),
        max: Duration::from_secs(60 * 60),
        factor_percent: 400,
        jitter_percent: 0,
    };
    if crashes < 2 { Duration::ZERO } else { PAUSES.delay(crashes - 1, 0.5) }
}

/// Whether the row under a scheduler's identity belongs to another one.
pub fn is_another(there: &SchedulerRow, request: &PutScheduler) -> bool {
    there.incarnation != request.scheduler.incarnation && Some(&there.incarnation) != request.replaces.as_ref()
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

/// Whether a plugin is still what somebody looked at who agreed to a change of it. `grants`: the rights of the stored version that is to get jobs.
///
/// # Errors
/// `Conflict` where it is not.
pub fn is_as_reviewed(
    name: &crate::model::PluginName,
    reviewed: Option<&Reviewed>,
    current: Option<&PluginVersion>,
    grants: Option<&[Grant]>,
) -> Result<(), StoreError> {
    let is_same = |seen: &Reviewed| {
        seen.current.as_ref() == current && seen.grants.as_deref().is_none_or(|seen| grants == Some(seen))
    };
    match reviewed.is_none_or(is_same) {
        true => Ok(()),
        false => {
            let state = "has another version, or other rights, than when this was reviewed".to_owned();
            Err(StoreError::Conflict { subject: Subject::Plugin(name.clone()), state })
        }
    }
}

/// Whether a version may be stored without becoming current.
///
/// # Errors
/// `NotFound` where none is current; `Conflict` where this one is.
pub fn may_stage(version: &PluginVersion, current: Option<Digest>) -> Result<(), StoreError> {
    let subject = Subject::Plugin(version.name.clone());
    match current {
        None => Err(StoreError::NotFound(subject)),
        Some(current) if current == version.digest => {
            Err(StoreError::Conflict { subject, state: "has this version as the current one".to_owned() })
        }
        Some(_) => Ok(()),
    }
}

/// Which versions of a plugin, the newest registration first, are removed and which ones stay, and why.
pub fn prune(
    versions: &[Digest],
    current: Digest,
    keep: usize,
    is_needed_by_job: impl Fn(Digest) -> bool,
    is_needed_by_schedule: impl Fn(Digest) -> bool,
    rollout: Option<&Rollout>,
) -> Pruned {
    let rolled_out = rollout.filter(|rollout| rollout.is_active()).map(|rollout| rollout.digest);
    let mut pruned = Pruned::default();
    for (place, &version) in versions.iter().enumerate() {
        let reason = match version {
            _ if version == current => KeptVersion::Current,
            _ if Some(version) == rolled_out => KeptVersion::Rollout,
            _ if is_needed_by_job(version) => KeptVersion::Job,
            _ if is_needed_by_schedule(version) => KeptVersion::Schedule,
            _ if place < keep => KeptVersion::Recent,
            _ => {
                pruned.removed.push(version);
                continue;
            }
        };
        pruned.kept.push((version, reason));
    }
    pruned
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
    fn queues_take_turns_within_their_limits() {
        let queues = || vec![(9, vec!["a1", "a2", "a3", "a4"]), (1, vec!["b1", "b2"]), (9, vec![])];
        assert_eq!(take_turns(queues(), 3), ["a1", "b1", "a2"]);
        assert_eq!(take_turns(queues(), 9), ["a1", "b1", "a2", "a3", "a4"]);
        assert_eq!(take_turns(queues(), 0), [""; 0]);
    }

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
    fn schedules_are_removed_together_as_far_as_the_bound_on_their_lines_goes() {
        assert_eq!(removed_together([]), 0);
        assert_eq!(removed_together([1, 0, 5]), 3);
        assert_eq!(removed_together([9_999, 1, 1]), 2);
        assert_eq!(removed_together([1_000_000, 0]), 1, "one that has more goes alone");
    }

    #[test]
    fn a_crash_costs_an_attempt_unless_it_is_forgiven() {
        let alone = |attempt, crashes| Crash { attempt, crashes, was_alone: true };
        // One attempt, one crash forgiven: the second crash ends it.
        assert!(survives_crash(alone(1, 1), 1, 1));
        assert!(!survives_crash(alone(2, 2), 1, 1));
        // Nothing forgiven.
        assert!(!survives_crash(alone(1, 1), 1, 0));
        // Three attempts, none forgiven: the third crash ends it.
        assert!(survives_crash(alone(2, 2), 3, 0));
        assert!(!survives_crash(alone(3, 3), 3, 0));
    }

    #[test]
    fn a_crash_that_others_may_be_to_blame_for_ends_no_job_that_may_be_tried_again() {
        let among_others = |attempt, crashes| Crash { attempt, crashes, was_alone: false };
        assert!(survives_crash(among_others(2, 2), 1, 1) && survives_crash(among_others(50, 50), 1, 1));
        assert!(!survives_crash(among_others(1, 1), 1, 0));
    }

    #[test]
    fn each_crash_after_the_first_lets_a_job_wait_longer_within_a_bound() {
        let pauses: Vec<u64> = (0..10).map(|crashes| pause_after_crash(crashes).as_secs()).collect();
        assert_eq!(pauses, [0, 0, 1, 4, 16, 64, 256, 1_024, 3_600, 3_600]);
        assert_eq!(pause_after_crash(u32::MAX).as_secs(), 3_600);
    }
}
