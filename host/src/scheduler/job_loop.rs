//! Takes due jobs, and starts their attempts as slots become free.
//!
//! ```text
//!    slots, pace ──► ask ──► writer ──► store: ends stored and jobs leased in one call
//!                                         │
//!    attempt ◄── slot ◄── buffer ◄────────┘ answer
//! ```
//!
//! There is one ask at a time, and while it is under way what is in the buffer starts. What waits there for too long, or when the worker
//! stops or must leave the others to somebody else, is given back, and loses no attempt.
//!
//! While the slots are taken, some asks are for those tasks that the others keep from starting ([`super::shares`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::acquisition::{Ask, Leased};
use super::apart::PUT_BACK_FOR;
use super::buffer::{BUFFERED_MAX, Buffer, Buffered, Pace};
use super::catalog::{CatalogCache, Found, Resolved, Unresolved};
use super::core::Core;
use super::log_failure;
use super::queues::Queues;
use super::runner::{self, Held};
use super::shares::Shares;
use super::writer::{Ended, Subject, Write};
use crate::clock::{Clock as _, Instant};
use crate::model::{Effects, Job, LeaseToken, MemoryLoad, Timestamp};
use crate::store::{Choice, Ending, ReleaseJob, StoreError};

/// Most jobs that one call leases.
const ASK_MAX: usize = 1_000;

/// How often is looked whether there is memory for more jobs, and whether what is in the way of others has gone.
const LOOK_FOR_MEMORY_EVERY: Duration = Duration::from_millis(50);

/// How often at most a job that waits for its turn is looked at by [`super::run_one`].
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A job in the buffer that has not begun after so many times the span for which jobs are taken ahead is given back.
const WAITED_MAX: u32 = 10;

/// Takes jobs until stopping begins. `writes` goes to every attempt; the writer ends when the last of them has.
pub(super) async fn run(core: Arc<Core>, writes: mpsc::Sender<Write>) {
    let mut taker = Taker {
        slots: Arc::new(Semaphore::new(core.options.max_concurrent_jobs)),
        catalog: CatalogCache::new(Arc::clone(&core.store)),
        queues: Queues::new(&core.options.queues),
        buffer: Buffer::default(),
        pace: Pace::new(core.time.monotonic(), core.options.take_ahead),
        shares: Shares::new(core.options.spare_slots(), core.time.monotonic()),
        started: 0,
        asked: None,
        rest: Rest::None,
        core,
        writes,
    };
    while !taker.core.stop_taking.is_cancelled() {
        taker.start_what_can_start();
        taker.ask().await;
        match taker.wait().await {
            Step::Stop => break,
            Step::Answered(limit, answer) => taker.take(limit, answer).await,
            Step::AnsweredForOthers(answer) => taker.take_for_others(answer).await,
            Step::Slot(permit) => taker.start_next(permit),
            Step::WaitedTooLong(by) => {
                let old = taker.buffer.older_than(by);
                taker.give_back_buffered(old, None).await;
            }
            Step::CheckOthers => {}
            Step::Poll => taker.rest = Rest::None,
            Step::PollSoon => taker.poll_soon(),
        }
    }
    taker.give_everything_back().await;
}

struct Taker {
    core: Arc<Core>,
    writes: mpsc::Sender<Write>,
    slots: Arc<Semaphore>,
    catalog: CatalogCache,
    queues: Queues,
    buffer: Buffer,
    pace: Pace,
    shares: Shares,
    /// Attempts in slots so far, without those in spare ones.
    started: u64,
    asked: Option<Asked>,
    rest: Rest,
}

/// What the store is being asked for.
struct Asked {
    limit: usize,
    is_for_others: bool,
    answer: oneshot::Receiver<Result<Leased, StoreError>>,
}

/// Until when the store is not asked.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// It may be asked now.
    None,
    /// There was nothing more: until something may have changed. With the time by which that was found, until it was asked what becomes due
    /// next.
    UntilChange { found_at: Option<Timestamp>, due_at: Option<Timestamp>, poll_at: Instant },
    /// Something is in the way that does not tell when it is gone.
    For { until: Instant },
}

/// What the loop waits for.
enum Step {
    Stop,
    Answered(usize, Result<Leased, StoreError>),
    AnsweredForOthers(Result<Leased, StoreError>),
    Slot(OwnedSemaphorePermit),
    WaitedTooLong(Instant),
    CheckOthers,
    Poll,
    /// There may be new jobs.
    PollSoon,
}

impl Taker {
    /// Asks the store for jobs, where there is room for more.
    async fn ask(&mut self) {
        if self.asked.is_some() {
            return;
        }
        let is_due = self.core.time.monotonic() >= self.shares.next_check();
        if is_due && self.is_pressed() && self.may_claim_for_others() && self.room_for_others() > 0 {
            return self.ask_for_others().await;
        }
        if !matches!(self.rest, Rest::None) || self.room() == 0 {
            return;
        }
        if self.is_short_of_memory() {
            // Another worker may run the next ones.
            let buffered = self.buffer.drain();
            self.give_back_buffered(buffered, None).await;
            self.rest = Rest::For { until: self.core.time.monotonic().saturating_add(LOOK_FOR_MEMORY_EVERY) };
            return;
        }
        self.leave_to_others().await;
        let limit = self.room();
        if limit == 0 || self.core.stop_taking.is_cancelled() {
            return;
        }
        self.send(limit, Choice::InOrder).await;
    }

    /// There may be new jobs. What is in the way otherwise stays there.
    fn poll_soon(&mut self) {
        self.shares.hurry();
        if matches!(self.rest, Rest::UntilChange { .. }) {
            self.rest = Rest::None;
        }
    }

    async fn send(&mut self, limit: usize, choice: Choice) {
        let is_for_others = choice != Choice::InOrder;
        let queues = self.queues.turn(limit, |queue| self.buffer.of_queue(queue));
        let (reply, answer) = oneshot::channel();
        // The writer ends after the last sender, and this is one.
        let _closed = self.writes.send(Write::Acquire(Ask { limit, queues, choice, reply })).await;
        self.asked = Some(Asked { limit, is_for_others, answer });
    }

    /// Whether there may be tasks that others keep from starting.
    fn is_pressed(&self) -> bool {
        let is_full = self.slots.available_permits() == 0 || !self.buffer.is_empty() || self.is_short_of_memory();
        is_full && self.core.options.spare_slots() > 0 && !self.core.stop_taking.is_cancelled()
    }

    /// Whether nothing else is in the way of those tasks. Nobody tells when that changes.
    fn may_claim_for_others(&self) -> bool {
        !self.buffer.has_suspect()
            && !self.core.apart.has_turn()
            && self.core.executors.memory_load().is_none_or(MemoryLoad::has_room_for_others)
    }

    fn room_for_others(&mut self) -> usize {
        (self.slots.available_permits() + self.shares.spare_slots() + self.ahead()).min(ASK_MAX)
    }

    async fn ask_for_others(&mut self) {
        let except = self.shares.check(self.core.time.monotonic());
        let limit = self.room_for_others();
        self.send(limit, Choice::EachTask { except }).await;
    }

    /// Waits while a job runs alone: another worker may run the next ones.
    async fn leave_to_others(&mut self) {
        let core = Arc::clone(&self.core);
        if core.apart.has_turn() {
            let buffered = self.buffer.drain();
            self.give_back_buffered(buffered, None).await;
        }
        tokio::select! {
            biased;
            () = core.stop_taking.cancelled() => {}
            () = core.apart.is_over() => {}
        }
    }

    fn is_short_of_memory(&self) -> bool {
        self.core.executors.memory_load().is_some_and(|load| load.waiting > 0)
    }

    /// How many more jobs to ask for: as many as there are free slots, and some ahead when half of those have gone.
    fn room(&mut self) -> usize {
        let (free, buffered) = (self.slots.available_permits(), self.buffer.len());
        // Whoever may be to blame for a crash starts before anything else is taken.
        if self.buffer.has_suspect() {
            return 0;
        }
        let ahead = self.ahead();
        if buffered >= free && buffered - free > ahead / 2 {
            return 0;
        }
        (free + ahead).saturating_sub(buffered).min(ASK_MAX).min((free + BUFFERED_MAX).saturating_sub(buffered))
    }

    /// How many jobs to take before there are slots for them.
    fn ahead(&mut self) -> usize {
        let running = self.core.options.max_concurrent_jobs - self.slots.available_permits();
        let ended = self.started.saturating_sub(running as u64);
        self.pace.ahead(self.core.time.monotonic(), ended)
    }

    async fn wait(&mut self) -> Step {
        self.find_next_due().await;
        let wants_check = self.asked.is_none() && self.is_pressed();
        let check_at = (wants_check && self.room_for_others() > 0).then(|| {
            let again_at = self.core.time.monotonic().saturating_add(LOOK_FOR_MEMORY_EVERY);
            if self.may_claim_for_others() { self.shares.next_check() } else { again_at }
        });
        let core = &self.core;
        let wants_slot = !self.buffer.is_empty() || self.asked.is_none() && matches!(self.rest, Rest::None);
        let waited_max = core.options.take_ahead.saturating_mul(WAITED_MAX);
        let give_back_at = self.buffer.since().map(|since| since.saturating_add(waited_max));
        let (rest, is_asking) = (self.rest, self.asked.is_some());
        let answer = async {
            match &mut self.asked {
                Some(Asked { limit, is_for_others, answer }) => {
                    // The writer answers everyone, also on its way out.
                    let answer = answer.await.unwrap_or(Err(StoreError::Closed));
                    if *is_for_others { Step::AnsweredForOthers(answer) } else { Step::Answered(*limit, answer) }
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = core.stop_taking.cancelled() => Step::Stop,
            step = answer => step,
            Ok(permit) = Arc::clone(&self.slots).acquire_owned(), if wants_slot => Step::Slot(permit),
            () = super::sleep_until(core, check_at) => Step::CheckOthers,
            () = self.shares.spare_slot_is_free(), if wants_check && check_at.is_none() => Step::CheckOthers,
            () = core.jobs_changed.notified(), if check_at.is_some() => Step::PollSoon,
            () = rest.is_over(core), if !is_asking => Step::Poll,
            () = super::sleep_until(core, give_back_at) => {
                Step::WaitedTooLong(core.time.monotonic().saturating_sub(waited_max))
            }
        }
    }

    /// Finds out until when there is nothing to be had.
    async fn find_next_due(&mut self) {
        if !self.buffer.is_empty() {
            return;
        }
        let Rest::UntilChange { found_at, due_at, .. } = &mut self.rest else { return };
        let Some(now) = found_at.take() else { return };
        *due_at = self.core.store.job_next_due(now).await.unwrap_or_else(|error| {
            log_failure!(&error, "the next due job could not be asked for; polling");
            None
        });
    }

    /// Takes an answer: what there are slots for starts, the rest goes into the buffer.
    async fn take(&mut self, limit: usize, answer: Result<Leased, StoreError>) {
        let now = self.core.time.monotonic();
        let Some(Leased { acquired, held_until }) = self.answered(answer) else { return };
        let found_at = acquired.now;
        let is_full = acquired.jobs.len() == limit || !acquired.unreadable.is_empty();
        let Found { resolved, unresolved } =
            self.catalog.resolve(acquired.jobs, acquired.catalog_revision, self.core.time.now()).await;
        if resolved.is_empty() && !unresolved.is_empty() {
            self.rest = Rest::For { until: now.saturating_add(self.core.options.retry_pause()) };
        } else if !is_full {
            let poll_at = now.saturating_add(self.core.options.poll_interval);
            self.rest = Rest::UntilChange { found_at: Some(found_at), due_at: None, poll_at };
        }
        let (resolved, suspects) = resolved.into_iter().partition(|(job, _): &(Job, Resolved)| job.crashes == 0);
        self.hold(resolved, held_until);
        self.start_what_can_start();
        self.hold_suspect(suspects, held_until).await;
        give_back(&self.core, unresolved, &self.writes).await;
    }

    /// What was leased. After a failure there is a pause.
    fn answered(&mut self, answer: Result<Leased, StoreError>) -> Option<Leased> {
        self.asked = None;
        answer
            .inspect_err(|error| {
                log_failure!(error, "jobs could not be acquired; trying again");
                let until = self.core.time.monotonic().saturating_add(self.core.options.poll_interval);
                self.rest = Rest::For { until };
                self.shares.put_off(until);
            })
            .ok()
    }

    /// Takes jobs of tasks that others keep from starting: they start before what is in the buffer, as far as there are slots.
    async fn take_for_others(&mut self, answer: Result<Leased, StoreError>) {
        let Some(Leased { acquired, held_until }) = self.answered(answer) else { return };
        self.shares.found(acquired.jobs.len());
        let Found { resolved, unresolved } =
            self.catalog.resolve(acquired.jobs, acquired.catalog_revision, self.core.time.now()).await;
        let (resolved, suspects): (Vec<_>, Vec<_>) = resolved.into_iter().partition(|(job, _)| job.crashes == 0);
        for (job, resolved) in resolved {
            let Some(held) = runner::hold(&self.core, job, held_until) else { continue };
            if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
                self.started += 1;
                self.start(held, resolved, permit);
            } else if let Some(permit) = self.shares.spare_slot() {
                self.start(held, resolved, permit);
            } else {
                self.buffer.add_first(Buffered { held, resolved, since: self.core.time.monotonic() });
            }
        }
        self.tell_backlog();
        self.hold_suspect(suspects, held_until).await;
        give_back(&self.core, unresolved, &self.writes).await;
    }

    fn hold(&mut self, jobs: Vec<(Job, Resolved)>, held_until: Instant) {
        let since = self.core.time.monotonic();
        for (job, resolved) in jobs {
            if let Some(held) = runner::hold(&self.core, job, held_until) {
                self.buffer.add(Buffered { held, resolved, since });
            }
        }
        self.tell_backlog();
    }

    /// Of jobs that may have killed a worker only one stays, and starts after those that have slots. Everything else that waits is put back
    /// until it has run for a while. None of them loses an attempt.
    async fn hold_suspect(&mut self, mut suspects: Vec<(Job, Resolved)>, held_until: Instant) {
        if suspects.is_empty() {
            return;
        }
        let until = self.core.time.now().saturating_add(PUT_BACK_FOR);
        let others = suspects.split_off(1);
        let waiting = self.buffer.drain();
        self.hold(suspects, held_until);
        self.start_what_can_start();
        self.give_back_buffered(waiting, Some(until)).await;
        for (job, _) in others {
            give_back_until(Some(until), &job, &self.writes).await;
        }
    }

    fn start_what_can_start(&mut self) {
        while !self.buffer.is_empty()
            && let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned()
        {
            self.start_next(permit);
        }
    }

    fn start_next(&mut self, permit: OwnedSemaphorePermit) {
        let Some(Buffered { held, resolved, .. }) = self.buffer.next() else { return };
        self.started += 1;
        self.start(held, resolved, permit);
    }

    /// Starts an attempt. It holds its slot until its end is on its way to the store.
    fn start(&mut self, held: Held, resolved: Resolved, permit: OwnedSemaphorePermit) {
        let share = self.shares.start(&held.job.spec.task_id);
        let queue_permit = self.queues.slot(&held.job.spec.settings.queue);
        let place = self.core.apart.place(held.job.crashes);
        let attempt = runner::run(Arc::clone(&self.core), held, place, resolved, self.writes.clone());
        self.core.attempts.spawn(async move {
            drop(attempt.await);
            drop((permit, queue_permit, share));
        });
        self.tell_backlog();
    }

    /// Tells the writer whether more ends will follow at once.
    fn tell_backlog(&self) {
        self.core.has_backlog.store(!self.buffer.is_empty(), Ordering::Relaxed);
    }

    async fn give_back_buffered(&mut self, jobs: Vec<Buffered>, until: Option<Timestamp>) {
        self.tell_backlog();
        for Buffered { held, .. } in jobs {
            give_back_until(until, &held.job, &self.writes).await;
        }
    }

    /// Gives back what was taken and has not begun, and what is being taken.
    async fn give_everything_back(&mut self) {
        let buffered = self.buffer.drain();
        self.give_back_buffered(buffered, None).await;
        let Some(Asked { answer, .. }) = self.asked.take() else { return };
        if let Ok(Ok(Leased { acquired, .. })) = answer.await {
            for job in acquired.jobs {
                give_back_until(None, &job, &self.writes).await;
            }
        }
    }
}

impl Rest {
    async fn is_over(self, core: &Core) {
        match self {
            Rest::None => std::future::pending().await,
            Rest::For { until } => super::sleep_until(core, Some(until)).await,
            Rest::UntilChange { due_at, poll_at, .. } => tokio::select! {
                biased;
                () = core.jobs_changed.notified() => {}
                () = super::due(core, due_at) => {}
                () = super::sleep_until(core, Some(poll_at)) => {}
            },
        }
    }
}

/// Puts jobs back whose tasks cannot be looked up now. They wait, and lose no attempt.
pub(super) async fn give_back(core: &Core, jobs: Vec<(Job, Unresolved)>, writes: &mpsc::Sender<Write>) {
    for (job, Unresolved { until, reason, is_away }) in jobs {
        let task_id = &job.spec.task_id;
        if is_away {
            tracing::debug!(task.id = %task_id, reason, "a job waits: its task cannot be looked up");
        } else if let Some(jobs) = core.throttle.note(core.time.now(), "unresolved", task_id.as_str(), 1) {
            tracing::warn!(task.id = %task_id, jobs, reason, "jobs wait: it cannot be told what their task runs");
        }
        give_back_until(Some(until), &job, writes).await;
    }
}

async fn give_back_until(not_before: Option<Timestamp>, job: &Job, writes: &mpsc::Sender<Write>) {
    let Some(lease) = &job.lease else { return };
    let release = given_back(job, lease.token, not_before);
    // The writer ends after the last sender, and this is one.
    let ended = Ended { release, subject: Subject::of(job), rolled_out: None, if_refused: None };
    let _closed = writes.send(Write::Release(Box::new(ended))).await;
}

fn given_back(job: &Job, token: LeaseToken, not_before: Option<Timestamp>) -> ReleaseJob {
    ReleaseJob {
        id: job.spec.id,
        token,
        ending: Ending::Requeued { not_before },
        usage: None,
        // An attempt that was given back may have begun before, on this version.
        plugin_digest: job.plugin_digest,
        started_at: None,
        lines: Vec::new(),
        progress: None,
        concerned: None,
        hooked: None,
        effects: Effects::default(),
    }
}
