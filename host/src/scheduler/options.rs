//! What a scheduler is made of and how it is set.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::config::{Caps, QueueLimit, Role, Serve};
use crate::executor::{Executor, Offers};
use crate::model::{Ability, ExecutorName, MemoryLoad, SchedulerId, Target, ability};
use crate::store::Store;
use crate::store::store_clock::StoreClock;

/// What a scheduler works with. All of it may be shared with other schedulers and with the program around them.
#[derive(Clone)]
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// How it hears of changes, and tells of its own.
    pub broker: Arc<dyn Broker>,
    /// What runs the jobs.
    pub executors: Executors,
    /// What tells the time. Each scheduler follows the store's clock by a fork of its own.
    pub time: Arc<StoreClock>,
}

/// The executors of a scheduler, by name.
#[derive(Clone, Default)]
pub struct Executors {
    by_name: HashMap<ExecutorName, Arc<dyn Executor>>,
}

impl Executors {
    /// The name of the executor that runs plugins where a job names none.
    pub const WASM: &'static str = ability::WASM;
    /// The name of the executor that runs native functions where a job names none.
    pub const INLINE: &'static str = ability::INLINE;

    /// These executors and one more, in place of one of the same name.
    #[must_use]
    pub fn with(mut self, name: ExecutorName, executor: Arc<dyn Executor>) -> Executors {
        self.by_name.insert(name, executor);
        self
    }

    /// The executor for a job: the one it names, else the usual one for what it runs. The error is the name that is unknown.
    pub(super) fn pick(&self, named: Option<&ExecutorName>, target: &Target) -> Result<&Arc<dyn Executor>, String> {
        let name = named.map_or(
            match target {
                Target::Plugin { .. } => Self::WASM,
                Target::Native { .. } => Self::INLINE,
            },
            ExecutorName::as_str,
        );
        self.by_name
            .iter()
            .find(|(known, _)| known.as_str() == name)
            .map(|(_, found)| found)
            .ok_or_else(|| name.to_owned())
    }

    /// What can be run with them.
    pub fn abilities(&self) -> Vec<Ability> {
        let mut abilities = Vec::new();
        for (name, executor) in &self.by_name {
            match executor.offers() {
                Offers::Plugins => abilities.push(Ability::Executor(name.clone())),
                Offers::Functions(functions) => {
                    abilities.extend(functions.into_iter().map(|function| Ability::Function(name.clone(), function)));
                }
            }
        }
        abilities.sort();
        abilities
    }

    /// The memory that the attempts of all of them have together, as far as they bound it.
    pub(super) fn memory_load(&self) -> Option<MemoryLoad> {
        self.by_name.values().filter_map(|executor| executor.memory_load()).reduce(|sum, load| MemoryLoad {
            total_bytes: sum.total_bytes.saturating_add(load.total_bytes),
            reserved_bytes: sum.reserved_bytes.saturating_add(load.reserved_bytes),
            waiting: sum.waiting + load.waiting,
        })
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> Vec<&ExecutorName> {
        let mut names: Vec<_> = self.by_name.keys().collect();
        names.sort();
        names
    }
}

impl fmt::Debug for Executors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// How a scheduler is set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its identity. One that comes back under the same identity takes back at once what it left.
    pub identity: SchedulerId,
    /// Which part of the work it does.
    pub role: Role,
    /// How many jobs it runs at the same time, at least 1.
    pub max_concurrent_jobs: usize,
    /// How many more jobs it runs at the same time, of tasks that others keep from starting; `None` or 0: none, and they are not
    /// looked for either.
    pub spare_slots: Option<usize>,
    /// The queues whose jobs it runs.
    pub queues: Vec<QueueLimit>,
    /// How long its leases last. They are extended at a third of this; when it dies, others wait for this long.
    pub lease_duration: Duration,
    /// How often finished jobs and schedules are cleaned up.
    pub cleanup_interval: Duration,
    /// How long stopping waits for running jobs before it interrupts them.
    pub drain_timeout: Duration,
    /// How often it looks into the store although nobody told it to.
    pub poll_interval: Duration,
    /// Jobs are taken before there are slots for them if they will begin within this span, by how many have ended lately.
    pub take_ahead: Duration,
    /// How long a job that was asked to stop may take for that before it is stopped, unless whoever cancelled it has said how long.
    pub cancel_grace: Duration,
    /// Most jobs that one missed stretch of a schedule creates under `coalesce: all`.
    pub catch_up_max: usize,
    /// For how long the lines of a schedule's history are kept.
    pub history_ttl: Duration,
    /// Most lines of a schedule's history that are kept.
    pub history_max: usize,
    /// What the operator allows at most, whatever a job asks for.
    pub caps: Caps,
    /// Whether leases are kept by a thread of their own, which no task can hold: always, except in tests in which one thread does
    /// everything in an order that follows from a seed.
    pub has_lease_thread: bool,
}

/// Least pause between two calls to the store, so that no setting makes a loop spin.
const RETRY_MIN: Duration = Duration::from_millis(50);

/// Shortest lease: it is extended three times before it ends.
const LEASE_MIN: Duration = Duration::from_millis(150);

impl Options {
    /// These options with the floors that keep loops from spinning.
    pub(super) fn with_floors(self) -> Options {
        Options {
            poll_interval: self.poll_interval.max(RETRY_MIN),
            lease_duration: self.lease_duration.max(LEASE_MIN),
            max_concurrent_jobs: self.max_concurrent_jobs.max(1),
            ..self
        }
    }

    pub(super) fn spare_slots(&self) -> usize {
        self.spare_slots.unwrap_or(0)
    }

    /// How long to wait before asking again for what could not be had: others may hold it for long.
    pub(super) fn retry_pause(&self) -> Duration {
        (self.poll_interval / 8).max(RETRY_MIN)
    }

    /// The usual settings for a scheduler of that identity.
    pub fn new(identity: SchedulerId) -> Options {
        Options::of(identity, &Serve::default())
    }

    /// The settings that `serve` has, and the usual ones for the rest.
    pub fn of(identity: SchedulerId, serve: &Serve) -> Options {
        Options {
            identity,
            role: serve.role,
            max_concurrent_jobs: serve.max_concurrent_jobs,
            spare_slots: serve.spare_slots,
            queues: serve.queues.clone(),
            lease_duration: serve.lease_duration,
            cleanup_interval: serve.cleanup_interval,
            drain_timeout: serve.drain_timeout,
            poll_interval: Duration::from_secs(1),
            take_ahead: Duration::from_millis(50),
            cancel_grace: Duration::from_secs(5),
            catch_up_max: serve.catch_up_max,
            history_ttl: serve.history_ttl,
            history_max: serve.history_max,
            caps: Caps::default(),
            has_lease_thread: true,
        }
    }
}
