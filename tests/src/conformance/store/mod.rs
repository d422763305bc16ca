//! What every data store must do, whatever it is made of: back end × wrapping × case.
//!
//! Bodies know only the traits and the [`Rig`], and are private: one that is not listed is dead code, and the compiler says so.
//! To add a case: write it in the file of its group, list it there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::doubles::faulty::{Faults, Faulty};
use host::clock::SystemClock;
use host::model::{Job, JobId, JobSpec, LeaseToken};
use host::store::Store;
use host::store::detached::Detached;
use host::store::retrying::Retrying;

use crate::factory::Factory;

mod cleanup;
mod concurrency;
mod endings;
mod exchange;
mod hooks;
mod jobs;
mod kv;
mod leases;
mod ledger;
mod limits;
mod lists;
mod model_based;
pub mod moving;
pub mod opening;
mod overlap;
mod queues;
mod recovery;
mod results;
mod rollouts;
mod schedules;
mod shares;
mod tasks;
mod text;
mod time;
mod transfer;
mod unique;
mod versions;

/// Everything a case may touch.
pub struct Rig {
    /// A store.
    pub a: Arc<dyn Store>,
    /// Another handle on the same data: what one writes the other sees.
    pub b: Arc<dyn Store>,
    /// Makes what is stored.
    pub make: Factory,
    /// What chance follows from; printed with a failure.
    pub seed: u64,
    /// Whether a failure may have swallowed what a call reports beside its effect, such as which jobs it found missed.
    pub is_exact: bool,
}

impl Rig {
    /// Adds a job and answers it.
    async fn add(&self, job: JobSpec) -> JobSpec {
        self.a.job_add(vec![job.clone()]).await.expect("a job can be added");
        job
    }

    /// Acquires up to `limit` jobs at `t(now)`.
    async fn acquire(&self, now: i64, limit: usize) -> Vec<Job> {
        self.a.job_acquire(self.make.acquire(now, limit)).await.expect("jobs can be acquired").jobs
    }

    /// Acquires one job, and answers its id and token.
    async fn acquire_one(&self, now: i64) -> (JobId, LeaseToken) {
        let job = self.acquire(now, 1).await.pop().expect("a job is due");
        (job.spec.id, job.lease.expect("an acquired job has a lease").token)
    }

    /// Reads a job that exists.
    async fn job(&self, id: JobId) -> Job {
        self.b.job_get(id).await.expect("a job can be read").expect("the job exists")
    }
}

/// The ids of jobs.
fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.spec.id).collect()
}

/// A case and its name.
pub struct Case {
    /// The name, a sentence that could be false.
    pub name: &'static str,
    /// What runs.
    pub run: fn(Rig) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(super) const CASES: &[super::Case] =
            &[$(super::Case { name: stringify!($name), run: |rig| Box::pin($name(rig)) }),*];
    };
}
use cases;

/// Every group with its cases.
pub const GROUPS: &[(&str, &[Case])] = &[
    ("tasks", tasks::CASES),
    ("versions", versions::CASES),
    ("rollouts", rollouts::CASES),
    ("schedules", schedules::CASES),
    ("overlap", overlap::CASES),
    ("ledger", ledger::CASES),
    ("endings", endings::CASES),
    ("hooks", hooks::CASES),
    ("jobs", jobs::CASES),
    ("queues", queues::CASES),
    ("shares", shares::CASES),
    ("limits", limits::CASES),
    ("lists", lists::CASES),
    ("leases", leases::CASES),
    ("exchange", exchange::CASES),
    ("results", results::CASES),
    ("kv", kv::CASES),
    ("recovery", recovery::CASES),
    ("cleanup", cleanup::CASES),
    ("text", text::CASES),
    ("time", time::CASES),
    ("transfer", transfer::CASES),
    ("unique", unique::CASES),
    ("concurrency", concurrency::CASES),
    ("model_based", model_based::CASES),
];

/// What stands between a case and the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// Nothing.
    Plain,
    /// Each call on a task of its own.
    Detached,
    /// A store that fails often, and a decorator that tries again.
    FaultyRetrying,
}

impl Wrapping {
    /// Every wrapping.
    pub const ALL: [Wrapping; 3] = [Wrapping::Plain, Wrapping::Detached, Wrapping::FaultyRetrying];

    /// Wraps a store.
    pub fn wrap(self, store: Arc<dyn Store>, seed: u64) -> Arc<dyn Store> {
        match self {
            Wrapping::Plain => store,
            Wrapping::Detached => Arc::new(Detached::new(store, Arc::new(SystemClock))),
            Wrapping::FaultyRetrying => {
                let faults = Faults { before_percent: 15, after_percent: 10, lose_any_answer: false };
                let faulty = Arc::new(Faulty::new(store, faults, seed));
                Arc::new(Retrying::new(faulty, Arc::new(SystemClock), fastrand::Rng::with_seed(seed)))
            }
        }
    }
}

impl fmt::Display for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wrapping::Plain => "plain",
            Wrapping::Detached => "detached",
            Wrapping::FaultyRetrying => "faulty_retrying",
        })
    }
}
