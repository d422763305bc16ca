//! The store in memory: the reference that every other one is compared with, and the store for tests and for programs that
//! can afford to forget.
//!
//! One lock around plain maps. Every call takes it once, does everything, and lets go; nothing waits inside. The indexes
//! beside the map of jobs are kept by two functions, `jobs::Jobs::index` and its opposite, and by nobody else.

mod catalog;
mod housekeeping;
mod jobs;
mod queue;
mod schedules;
mod transfer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::StoreError;

/// A data store that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    closed: AtomicBool,
}

/// Everything that is stored.
#[derive(Debug, Default)]
struct State {
    catalog: catalog::Plugins,
    schedules: schedules::Schedules,
    jobs: jobs::Jobs,
    schedulers: std::collections::BTreeMap<crate::model::SchedulerId, super::SchedulerRow>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// Another handle on the same data, closed apart from this one: what a second scheduler in the same process holds.
    #[must_use]
    pub fn handle(&self) -> MemoryStore {
        MemoryStore { state: Arc::clone(&self.state), closed: AtomicBool::new(false) }
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
