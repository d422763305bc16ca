//! The store in memory: the reference that every other one is compared with, and the store for tests and for programs that
//! can afford to forget.
//!
//! One lock around plain maps. Every call takes it once, does everything, and lets go; nothing waits inside. The indexes
//! beside the map of jobs are kept by two functions, `jobs::Jobs::index` and its opposite, and by nobody else.

mod catalog;
mod fires;
mod gate;
mod history;
mod housekeeping;
mod jobs;
mod kv;
mod places;
mod queue;
mod schedules;
mod transfer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::timekeeping::LeaseClock;
use super::{StoreError, StoreTime};
use crate::clock::Clock;
use crate::model::Timestamp;

/// A data store that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    time: Time,
    closed: AtomicBool,
}

/// By which clock it decides, see [`super::timekeeping`].
#[derive(Debug, Clone, Default)]
enum Time {
    /// By the `now` of the call.
    #[default]
    Caller,
    /// What is due by the `now` of the call, leases by this clock.
    Process(LeaseClock),
    /// Everything by this clock.
    #[cfg(any(test, feature = "test-util"))]
    Server(Arc<dyn Clock>),
}

/// The time of one call.
#[derive(Debug, Clone, Copy)]
struct Now {
    /// What is due.
    due: Timestamp,
    /// Which lease is over.
    leases: Timestamp,
}

/// Everything that is stored.
#[derive(Debug, Default)]
struct State {
    catalog: catalog::Plugins,
    schedules: schedules::Schedules,
    jobs: jobs::Jobs,
    kv: kv::Buckets,
    schedulers: std::collections::BTreeMap<crate::model::SchedulerId, super::SchedulerRow>,
    paused_queues: std::collections::BTreeSet<crate::model::QueueName>,
}

impl MemoryStore {
    /// An empty store that goes by what its callers say of the time, for leases as well.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// An empty store that measures leases by the monotonic time of `clock`, so that nobody ends them by setting the time of day.
    pub fn with_clock(clock: Arc<dyn Clock>) -> MemoryStore {
        MemoryStore { time: Time::Process(LeaseClock::begin(clock)), ..MemoryStore::default() }
    }

    /// An empty store that goes by a clock of its own, as a server does, for tests.
    #[cfg(any(test, feature = "test-util"))]
    pub fn server(clock: Arc<dyn Clock>) -> MemoryStore {
        MemoryStore { time: Time::Server(clock), ..MemoryStore::default() }
    }

    /// Another handle on the same data, closed apart from this one: what a second scheduler in the same process holds.
    #[must_use]
    pub fn handle(&self) -> MemoryStore {
        MemoryStore { state: Arc::clone(&self.state), time: self.time.clone(), closed: AtomicBool::new(false) }
    }

    /// The time of a call whose caller says that it is `now`.
    fn time(&self, now: Timestamp) -> Now {
        match &self.time {
            Time::Caller => Now { due: now, leases: now },
            Time::Process(leases) => Now { due: now, leases: leases.now() },
            #[cfg(any(test, feature = "test-util"))]
            Time::Server(clock) => Now { due: clock.now(), leases: clock.now() },
        }
    }

    /// The time as it is told to callers.
    fn shown(&self) -> StoreTime {
        match &self.time {
            Time::Caller => StoreTime::default(),
            Time::Process(leases) => StoreTime { now: None, leases: Some(leases.now()) },
            #[cfg(any(test, feature = "test-util"))]
            Time::Server(clock) => StoreTime { now: Some(clock.now()), leases: Some(clock.now()) },
        }
    }

    /// Runs `work` on the state, alone.
    fn with<R>(&self, work: impl FnOnce(&mut State) -> Result<R, StoreError>) -> Result<R, StoreError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(StoreError::Closed);
        }
        // A panic inside `work` is a bug of this module; what it left half done must not stop the other jobs of the process.
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
