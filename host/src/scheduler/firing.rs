//! Stores planned fires, so that no schedule is kept from firing by another whose fires cannot be stored.
//!
//! A fire that is large is stored in parts, one after the other, under the same lease: the trigger stands after each part
//! where that part ends, so a crash between two of them loses nothing and doubles nothing.
//!
//! What the store refuses for what it holds would be refused again, so its schedule is paused with the reason. What fails
//! in some other way, alone and again and again, is put back with growing pauses; it is paused once the store has shown
//! with others that it takes fires.

use std::collections::HashMap;
use std::time::Duration;

use super::batch::{NotStored, store_each};
use super::core::Core;
use super::overlaps;
use super::plan::{Plan, Standing};
use super::skipped::SkippedFires;
use crate::clock::Clock as _;
use crate::model::{Backoff, EventKind, JobId, Pause, ScheduleId};
use crate::store::{AfterFire, FireSchedule, Fired, PayloadBytes as _, StoreError};
use crate::trigger::Skipped;

/// How often a fire may fail alone, for a reason that may pass, before its schedule is paused.
const FAILURES_MAX: u32 = 5;

/// Most schedules whose failures are remembered; what is forgotten begins to count anew.
const SUSPECTS_MAX: usize = 1_000;

/// The pauses after which a schedule whose fire failed is looked at again.
fn pauses() -> Backoff {
    Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(60), factor_percent: 200, jitter_percent: 20 }
}

/// What the loop remembers from one round to the next.
#[derive(Debug, Default)]
pub(super) struct LoopState {
    suspects: Suspects,
    /// Fire times without a job, as far as they were not told yet.
    pub(super) skipped: SkippedFires,
}

/// Schedules whose fires could not be stored.
#[derive(Debug, Default)]
struct Suspects {
    by_id: HashMap<ScheduleId, Suspect>,
    /// Fires with jobs that were stored, of any schedule.
    stored: u64,
}

#[derive(Debug)]
struct Suspect {
    failures: u32,
    /// How many fires had been stored when this one failed first.
    stored_before: u64,
}

impl Suspects {
    /// Notes a failure; answers how many there were, and whether others were stored since the first.
    fn failed(&mut self, id: &ScheduleId) -> (u32, bool) {
        if !self.by_id.contains_key(id) && self.by_id.len() >= SUSPECTS_MAX {
            self.by_id.clear();
        }
        let stored = self.stored;
        let suspect = self.by_id.entry(id.clone()).or_insert(Suspect { failures: 0, stored_before: stored });
        suspect.failures += 1;
        (suspect.failures, stored > suspect.stored_before)
    }

    fn has(&self, id: &ScheduleId) -> bool {
        self.by_id.contains_key(id)
    }

    fn succeeded(&mut self, id: &ScheduleId, has_jobs: bool) {
        self.by_id.remove(id);
        self.stored += u64::from(has_jobs);
    }
}

/// Stores what was planned, in bounded calls, and tells of it. Answers how many schedules were stored.
///
/// # Errors
/// The store's, where it takes nothing at all; the leases of what is left run out.
pub(super) async fn store(core: &Core, state: &mut LoopState, plans: Vec<Plan>) -> Result<usize, StoreError> {
    let LoopState { suspects, skipped } = state;
    let (mut stored, mut left) = (0, plans);
    // A part of each at a time: whoever has much to catch up with comes after the first fire of everybody else.
    while !left.is_empty() {
        let (mut parts, mut plans) = (Vec::new(), HashMap::new());
        for mut plan in left.drain(..) {
            let Some(part) = plan.parts.pop_front() else { continue };
            plans.insert(part.id.clone(), plan);
            parts.push(part);
        }
        let fire = |parts| core.store.schedule_fire(parts);
        let (suspected, trusted): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| suspects.has(&part.id));
        let mut done = store_each(&*core.store, trusted, FireSchedule::payload_bytes, fire).await;
        // Each alone, so that nobody has to be looked for among others again.
        for part in suspected {
            done.extend(store_each(&*core.store, vec![part], FireSchedule::payload_bytes, fire).await);
        }
        let mut away = None;
        for (part, answer) in done {
            let Some(mut plan) = plans.remove(&part.id) else { continue };
            match answer {
                Ok(Fired::Stored { left_out, is_finished, overlapped }) => {
                    suspects.succeeded(&part.id, !part.jobs.is_empty());
                    publish_jobs(core, &part, &left_out);
                    overlaps::publish(core, &plan, overlapped);
                    if let (true, Some(EventKind::ScheduleUpdated { next_fire_time, .. })) =
                        (is_finished, &mut plan.event)
                    {
                        *next_fire_time = None;
                    }
                    if plan.parts.is_empty() {
                        stored += 1;
                        publish_fired(core, skipped, plan, &part);
                    } else {
                        plan.standing = Standing::after(&part);
                        left.push(plan);
                    }
                }
                Ok(Fired::LeaseLost) => {
                    tracing::info!(schedule.id = %part.id, "the lease on a schedule was lost before its fires were stored");
                }
                Err(NotStored::Away(error)) => away = Some(error),
                Err(NotStored::Alone(error)) => pause_or_put_off(core, suspects, &plan, &part, &error).await,
            }
        }
        if let Some(error) = away {
            return Err(error);
        }
    }
    Ok(stored)
}

/// Pauses a schedule whose fire cannot be stored, or puts it back.
async fn pause_or_put_off(core: &Core, suspects: &mut Suspects, plan: &Plan, part: &FireSchedule, error: &StoreError) {
    let schedule_id = part.id.clone();
    let (failures, is_taken_from_others) = suspects.failed(&schedule_id);
    let is_final = matches!(error, StoreError::Rejected { .. }) || failures >= FAILURES_MAX && is_taken_from_others;
    let message = format!("its fire cannot be stored: {}", super::chain(error));
    let then = if is_final {
        AfterFire::Pause(Pause::Failed(message.clone()))
    } else {
        let pause = pauses().delay(failures, fastrand::f64());
        AfterFire::PutOff { until: core.time.now().saturating_add(pause) }
    };
    let standing = plan.standing.fire(&part.id, part.token, part.at, then);
    match core.store.schedule_fire(vec![standing]).await {
        Ok(answers) if answers.iter().any(|answer| *answer != Fired::LeaseLost) => {}
        // Somebody else has it, or will once the lease is over.
        _ => return,
    }
    if is_final {
        tracing::error!(schedule.id = %schedule_id, error = message, "a fire cannot be stored; its schedule is paused");
        core.notifier.publish([EventKind::ScheduleFailed { schedule_id, message }]);
    } else if let Some(failures) = core.throttle.note(core.time.now(), "not stored", schedule_id.as_str(), 1) {
        tracing::warn!(schedule.id = %schedule_id, failures, error = message, "a fire could not be stored; trying again");
    }
}

fn publish_jobs(core: &Core, part: &FireSchedule, left_out: &[JobId]) {
    let made: Vec<_> = part.jobs.iter().filter(|job| !left_out.contains(&job.id)).collect();
    if made.is_empty() {
        return;
    }
    core.metrics.fired(part, made.len());
    core.notifier.publish(made.into_iter().map(|job| EventKind::JobAdded {
        job_id: job.id,
        task_id: job.task_id.clone(),
        schedule_id: job.schedule_id.clone(),
    }));
    core.jobs_changed.notify_one();
}

fn publish_fired(core: &Core, skipped: &mut SkippedFires, plan: Plan, last: &FireSchedule) {
    let (now, id) = (core.time.now(), &last.id);
    if let AfterFire::Pause(reason) = &last.then {
        tracing::error!(schedule.id = %id, ?reason, "a trigger failed; its schedule is paused");
    }
    if let Some(reason) = plan.put_off
        && let Some(times) = core.throttle.note(now, "newer schedule", id.as_str(), 1)
    {
        tracing::warn!(schedule.id = %id, reason, times, "a schedule is left to newer schedulers");
    }
    if let Some(sum) = skipped.add(id, plan.skipped, now) {
        report_skipped(id, sum);
    }
    core.notifier.publish(plan.event);
}

/// Tells of fire times that passed without a job of their own.
pub(super) fn report_skipped(id: &ScheduleId, sum: Skipped) {
    let Skipped { count, or_more } = sum;
    tracing::warn!(schedule.id = %id, count, or_more, "fire times passed without a job of their own");
}
