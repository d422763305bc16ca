//! What a scheduler is made of and how it is set.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::{Caps, Role};
use crate::executor::Executor;
use crate::model::limits;
use crate::model::{ExecutorName, SchedulerId, Target};
use crate::store::Store;

/// What a scheduler works with. All of it may be shared with other schedulers and with the program around them.
#[derive(Clone)]
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// How it hears of changes, and tells of its own.
    pub broker: Arc<dyn Broker>,
    /// What runs the jobs.
    pub executors: Executors,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The executors of a scheduler, by name.
#[derive(Clone, Default)]
pub struct Executors {
    by_name: HashMap<ExecutorName, Arc<dyn Executor>>,
}

impl Executors {
    /// The name of the executor that runs plugins where a job names none.
    pub const WASM: &'static str = "wasm";
    /// The name of the executor that runs native functions where a job names none.
    pub const INLINE: &'static str = "inline";

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
    /// How long its leases last. They are extended at a third of this; when it dies, others wait for this long.
    pub lease_duration: Duration,
    /// How often finished jobs and schedules are cleaned up.
    pub cleanup_interval: Duration,
    /// How long stopping waits for running jobs before it interrupts them.
    pub drain_timeout: Duration,
    /// How often it looks into the store although nobody told it to.
    pub poll_interval: Duration,
    /// How long a job that was asked to stop may take for that before it is stopped.
    pub cancel_grace: Duration,
    /// Most jobs that one missed stretch of a schedule creates under `coalesce: all`.
    pub catch_up_max: usize,
    /// What the operator allows at most, whatever a job asks for.
    pub caps: Caps,
}

/// Least pause between two looks at the store, so that no setting makes a loop spin.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(50);

/// Shortest lease: it is extended three times before it ends.
const LEASE_MIN: Duration = Duration::from_millis(150);

impl Options {
    /// These options with the floors that keep loops from spinning.
    pub(super) fn with_floors(self) -> Options {
        Options {
            poll_interval: self.poll_interval.max(LOOK_AGAIN_MIN),
            lease_duration: self.lease_duration.max(LEASE_MIN),
            max_concurrent_jobs: self.max_concurrent_jobs.max(1),
            ..self
        }
    }

    /// How long to wait before looking again at what could not be had: others may hold it for long.
    pub(super) fn look_again(&self) -> Duration {
        (self.poll_interval / 8).max(LOOK_AGAIN_MIN)
    }

    /// The usual settings for a scheduler of that identity.
    pub fn new(identity: SchedulerId) -> Options {
        Options {
            identity,
            role: Role::Both,
            max_concurrent_jobs: 100,
            lease_duration: Duration::from_secs(15),
            cleanup_interval: Duration::from_secs(15 * 60),
            drain_timeout: Duration::from_secs(30),
            poll_interval: Duration::from_secs(1),
            cancel_grace: Duration::from_secs(5),
            catch_up_max: limits::CATCH_UP_MAX,
            caps: Caps::default(),
        }
    }
}
