//! Fires due schedules: acquire, plan, store.
//!
//! Planning a schedule is computing, and with a trigger that is made of others it may take as long as a second. So those come last, what is
//! planned is stored as soon as planning has taken a moment, and what is not planned while the leases hold is left to the next round.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::firing::{self, LoopState};
use super::log_failure;
use super::plan::{Plan, Planner};
use super::triggers::Triggers;
use crate::clock::Clock as _;
use crate::model::{EventKind, JobIdSource, LeaseToken};
use crate::store::{AcquireSchedules, StoreError, Unreadable};

/// Most schedules that one round leases and fires.
const ACQUIRE_MAX: usize = 1_000;

/// How long planning goes on before what was planned is stored, and other tasks of the thread have their turn.
const PLANNING_MAX: Duration = Duration::from_millis(100);

/// What a round came to.
struct Round {
    /// Whether there may be more that is due.
    is_full: bool,
    /// Whether anything was done: looking again finds something else.
    has_progress: bool,
}

/// Fires schedules until stopping begins.
pub(super) async fn run(core: Arc<Core>) {
    let mut ids = JobIdSource::new(fastrand::Rng::new());
    let mut state = LoopState::default();
    let mut triggers = Triggers::default();
    while !core.stop_taking.is_cancelled() {
        for (id, sum) in state.skipped.overdue(core.time.now()) {
            firing::report_skipped(&id, sum);
        }
        match round(&core, &mut ids, &mut triggers, &mut state).await {
            Ok(Round { is_full: true, has_progress: true }) => {}
            Ok(round) => wait(&core, round.has_progress).await,
            Err(error) => {
                log_failure!(&error, "due schedules could not be fired; trying again");
                super::pause(&core, core.options.poll_interval).await;
            }
        }
    }
    for (id, sum) in state.skipped.rest(core.time.now()) {
        firing::report_skipped(&id, sum);
    }
}

/// Fires what is due, up to [`ACQUIRE_MAX`].
async fn round(
    core: &Core,
    ids: &mut JobIdSource,
    triggers: &mut Triggers,
    state: &mut LoopState,
) -> Result<Round, StoreError> {
    let now = core.time.now();
    let token = LeaseToken::random(&mut fastrand::Rng::new());
    let (holder, lease) = (core.options.identity.clone(), core.options.lease_duration);
    let request = AcquireSchedules { holder, token, now, lease, limit: ACQUIRE_MAX };
    let asked_at = core.time.monotonic();
    let acquired = core.store.schedule_acquire(request).await?;
    acquired.unreadable.iter().for_each(|bad| publish_unreadable(core, bad));
    // By the time at which they were found due, so that what is due has a fire.
    let mut planner = Planner {
        now: acquired.now,
        lease,
        ids,
        triggers,
        random: &mut fastrand::Rng::new(),
        catch_up_max: core.options.catch_up_max,
    };
    let found = acquired.schedules.len() + acquired.unreadable.len();
    let (plain, costly): (Vec<_>, Vec<_>) =
        acquired.schedules.iter().partition(|leased| !planner.may_be_costly(&leased.schedule));
    let (mut plans, mut stored) = (Vec::new(), 0);
    let mut since = core.time.monotonic();
    // Storing what was planned takes time as well.
    let plan_until = asked_at.saturating_add(lease / 3);
    let mut left = plain.into_iter().chain(costly);
    for leased in left.by_ref() {
        plans.push(planner.plan(leased, token));
        let now = core.time.monotonic();
        if now.saturating_since(since) >= PLANNING_MAX {
            stored += firing::store(core, state, std::mem::take(&mut plans)).await?;
            tokio::task::yield_now().await;
            since = core.time.monotonic();
        }
        if now >= plan_until {
            break;
        }
    }
    let planned = plans.len();
    plans.extend(left.map(|leased| Plan::untouched(&leased.schedule, token, acquired.now)));
    let is_cut_short = plans.len() > planned;
    stored += firing::store(core, state, plans).await?;
    let is_full = found >= ACQUIRE_MAX || is_cut_short;
    Ok(Round { is_full, has_progress: stored + acquired.unreadable.len() > 0 })
}

fn publish_unreadable(core: &Core, bad: &Unreadable) {
    let (id, reason) = (bad.id.as_str(), bad.defect.to_string());
    if bad.defect.is_newer() {
        if let Some(times) = core.throttle.note(core.time.now(), "newer schedule", id, 1) {
            tracing::warn!(schedule.id = id, reason, times, "a schedule is left to newer schedulers");
        }
        return;
    }
    tracing::error!(schedule.id = id, reason, "a stored schedule cannot be read; it is paused");
    if let Ok(schedule_id) = id.parse() {
        core.notifier.publish([EventKind::ScheduleDeserializationFailed { schedule_id, message: reason }]);
    }
}

/// Waits until there may be something due: a hint, the next fire time, or the poll interval. Where something is due that could not be had,
/// because somebody else holds it, looking again at once would find it as it is.
async fn wait(core: &Core, has_progress: bool) {
    let poll = core.time.sleep(core.options.poll_interval);
    let floor = core.time.sleep(if has_progress { Duration::ZERO } else { core.options.retry_pause() });
    let due_at = core.store.schedule_next_due().await.unwrap_or_else(|error| {
        log_failure!(&error, "the next due schedule could not be asked for; polling");
        None
    });
    let due = async {
        super::due(core, due_at).await;
        floor.await;
    };
    tokio::select! {
        biased;
        () = core.stop_taking.cancelled() => {}
        () = core.schedules_changed.notified() => {}
        () = due => {}
        () = poll => {}
    }
}
