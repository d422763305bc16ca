//! The store's time, as a clock.
//!
//! Hosts on one store must agree on what time it is, and the clock that they share is the database's. A host whose own clock is wrong, or
//! is set while it works, is told so and does no harm.
//!
//! A server is asked for its time in one plain round trip, and what it answers is kept together with the monotonic instant of the answer:
//! from there on the time goes on by the monotonic clock. An answer that took long says little about when it was true, so it changes
//! nothing. What is decided inside the database (which job is due, which lease is over) is decided by its own clock and needs none of
//! this; here is what a host shows, plans and waits by.
//!
//! A store without a clock of its own is on this machine or in this process: its time is the machine's time of day.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Store, StoreError};
use crate::clock::{Clock, Instant, StepWatch, both};
use crate::model::Timestamp;

/// A difference between clocks that is worth a warning: more than clocks drift in days, and more than the usual error of measuring.
const SUSPICIOUS: Duration = Duration::from_secs(1);

/// How often the first reading is tried for one that is quick.
const FIRST_TRIES: u32 = 3;

/// The store's time.
#[derive(Debug)]
pub struct StoreClock {
    machine: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct State {
    /// The store's time at an instant; `None` where it has no clock of its own, or was not asked yet.
    reading: Option<Reading>,
    /// The last instant at which the store answered.
    asked_at: Option<Instant>,
    machine: StepWatch,
    is_difference_reported: bool,
}

/// What a store's clock showed.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    time: Timestamp,
    /// By how much it may be wrong.
    error: Duration,
}

impl Reading {
    fn time_at(self, instant: Instant) -> Timestamp {
        self.time.saturating_add(instant.saturating_since(self.at)).saturating_sub(self.at.saturating_since(instant))
    }
}

/// What asking the store for its time has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// When the store was asked.
    pub asked_at: Instant,
    /// When it had answered.
    pub answered_at: Instant,
    /// Whether the clock that the store goes by was set since the last time.
    pub was_set: bool,
    /// The time by which the store measures leases; `None`: the caller's time of day.
    pub leases: Option<Timestamp>,
}

impl StoreClock {
    /// A clock that shows the machine's time until the store is asked.
    pub fn new(machine: Arc<dyn Clock>) -> StoreClock {
        let watch = StepWatch::start(&*machine);
        let state = State { reading: None, asked_at: None, machine: watch, is_difference_reported: false };
        StoreClock { machine, state: Mutex::new(state) }
    }

    /// A clock of the same store for someone else, who learns of each later step by asking for himself. It starts with what this one knows, and
    /// does not repeat what was told.
    #[must_use]
    pub fn fork(&self) -> StoreClock {
        StoreClock { machine: Arc::clone(&self.machine), state: Mutex::new(self.state().clone()) }
    }

    /// The clock of the machine, for spans.
    pub fn machine(&self) -> &Arc<dyn Clock> {
        &self.machine
    }

    /// Asks the store for its time. A round trip longer than `quick` changes the time only where nothing is known yet.
    ///
    /// # Errors
    /// The store's; nothing has changed then.
    pub async fn measure(&self, store: &dyn Store, quick: Duration) -> Result<Measured, StoreError> {
        let (mut measured, mut reading) = self.ask(store).await?;
        let is_first = self.state().reading.is_none();
        for _ in 1..FIRST_TRIES {
            let Some(best) = reading.filter(|_| is_first && measured.took() > quick) else { break };
            let (again, other) = self.ask(store).await?;
            reading = other.filter(|other| other.error < best.error).or(reading);
            measured = Measured { asked_at: measured.asked_at, ..again };
        }
        let mut state = self.state();
        state.asked_at = Some(measured.answered_at);
        let step = match reading {
            Some(reading) => state.take(reading, measured, quick),
            None => state.machine.step_micros(&*self.machine),
        };
        measured.was_set = is_suspicious(step);
        let unreported_difference = state.unreported_difference(&*self.machine);
        drop(state);
        if measured.was_set {
            let by_ms = step / 1_000;
            // Fire times are never planned twice, so schedules do not go back with the clock.
            let then = match step < 0 {
                true => {
                    "; a schedule that fired by the earlier time waits for its next fire time, which `host schedules` shows"
                }
                false => "",
            };
            tracing::warn!(
                by_ms,
                "the clock that the data store goes by was set; what is due follows the new time{then}"
            );
        }
        if let Some(offset_ms) = unreported_difference {
            tracing::warn!(offset_ms, "the clock of this host differs from the data store's, whose time is used");
        }
        Ok(measured)
    }

    /// As [`StoreClock::measure`], where the store was not asked for longer than `at_most`.
    ///
    /// # Errors
    /// As [`StoreClock::measure`].
    pub async fn refresh(&self, store: &dyn Store, at_most: Duration, quick: Duration) -> Result<(), StoreError> {
        let asked_at = self.state().asked_at;
        let is_fresh = asked_at.is_some_and(|at| self.machine.monotonic().saturating_since(at) <= at_most);
        if is_fresh { Ok(()) } else { self.measure(store, quick).await.map(|_| ()) }
    }

    async fn ask(&self, store: &dyn Store) -> Result<(Measured, Option<Reading>), StoreError> {
        let asked_at = self.machine.monotonic();
        let answer = store.store_clock().await?;
        let answered_at = self.machine.monotonic();
        let measured = Measured { asked_at, answered_at, was_set: false, leases: answer.leases };
        let error = measured.took() / 2;
        let reading = answer.now.map(|time| Reading { at: asked_at.saturating_add(error), time, error });
        Ok((measured, reading))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Between any two statements under this lock the state is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measured {
    /// How long the round trip took.
    pub fn took(&self) -> Duration {
        self.answered_at.saturating_since(self.asked_at)
    }
}

impl State {
    /// Takes a new reading, where it says more than what is known, and answers by how many microseconds the store's clock was set.
    fn take(&mut self, new: Reading, measured: Measured, quick: Duration) -> i64 {
        let Some(old) = self.reading else {
            self.reading = Some(new);
            return 0;
        };
        // The store showed this at some moment of the round trip. Where that is what was expected, the old reading stands.
        let (earliest, latest) = (old.time_at(measured.asked_at), old.time_at(measured.answered_at));
        let early = i64::min(0, new.time.as_micros().saturating_sub(earliest.as_micros()));
        let late = i64::max(0, new.time.as_micros().saturating_sub(latest.as_micros()));
        let step = early + late;
        if measured.took() <= quick {
            if step != 0 || new.error < old.error {
                self.reading = Some(new);
            }
        } else if is_suspicious(step) {
            // An answer that took long says little of the time, but that the clock was set it does say, and by how much at least.
            let by = Duration::from_micros(step.unsigned_abs());
            let time = if step < 0 { old.time.saturating_sub(by) } else { old.time.saturating_add(by) };
            self.reading = Some(Reading { time, ..old });
        } else {
            return 0;
        }
        step
    }

    /// How many milliseconds the store's clock is ahead of the machine's, where that is much and nobody was told.
    fn unreported_difference(&mut self, machine: &dyn Clock) -> Option<i64> {
        let reading = self.reading?;
        let (instant, now) = both(machine);
        let offset = reading.time_at(instant).as_micros().saturating_sub(now.as_micros());
        let was_reported = std::mem::replace(&mut self.is_difference_reported, is_suspicious(offset));
        (self.is_difference_reported && !was_reported).then_some(offset / 1_000)
    }
}

fn is_suspicious(micros: i64) -> bool {
    Duration::from_micros(micros.unsigned_abs()) > SUSPICIOUS
}

#[async_trait]
impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        let reading = self.state().reading;
        reading.map_or_else(|| self.machine.now(), |reading| reading.time_at(self.machine.monotonic()))
    }

    fn monotonic(&self) -> Instant {
        self.machine.monotonic()
    }

    async fn sleep(&self, span: Duration) {
        self.machine.sleep(span).await;
    }

    async fn sleep_until(&self, time: Timestamp) {
        /// How often a long wait looks at the time again, which another reading may have changed.
        const LOOK_AGAIN: Duration = Duration::from_secs(1);
        loop {
            if self.state().reading.is_none() {
                return self.machine.sleep_until(time).await;
            }
            let left = time.saturating_since(self.now());
            if left.is_zero() {
                return;
            }
            self.machine.sleep(left.min(LOOK_AGAIN)).await;
        }
    }

    fn monotonic_origin(&self) -> Option<u64> {
        self.machine.monotonic_origin()
    }
}
