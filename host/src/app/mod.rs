//! The operations of the runtime: what the command line does, and what a program that embeds the runtime can do as well.
//!
//! An [`App`] is made from the parts that the composition root (or an embedding program) chose. Each operation checks its input, changes the
//! store in one call where it can, and tells the broker afterwards: an event is never published for something that was not stored, and a
//! broker that takes no events changes nothing about what was stored.
//!
//! One file for each noun; the methods are named noun first, like those of the store.

mod arguments;
mod backfill;
mod bulk;
mod check;
mod component;
mod error;
mod events;
mod grants;
mod history;
mod hooks;
mod invoke;
mod jobs;
mod kv;
mod overlap;
mod plugins;
mod queues;
#[cfg(any(feature = "api", feature = "wasm"))]
mod reserved;
mod review;
mod rollouts;
mod run;
mod schedule_set;
mod schedules;
mod schema;
#[cfg(feature = "wasm")]
mod secrets;
mod signatures;
mod status;
mod tasks;
#[cfg(feature = "api")]
mod tokens;
mod transfer;
mod versions;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use arguments::Arguments;
pub use backfill::{BACKFILL_MAX, Backfill, Backfilled};
pub use bulk::{BatchSubmitted, BulkAction, BulkDone, CheckedJob, NewBatchJob};
pub use check::{SettingName, check_args, check_new_id, check_settings};
pub(crate) use component::{plugin_name, read_component};
pub use error::{AppError, AppResult};
pub use events::{EventFilter, EventStream, Received};
pub use grants::{
    check_grants, grant_dir, grant_env, grant_http, grant_kv, grant_secret, read_dir_grant, read_env_grant,
    read_kv_grant,
};
pub use history::ScheduleHistory;
pub use invoke::{Invoke, InvokeReport, Sandbox, invoke};
pub use jobs::{CancelJob, JobList, JobStart, NewJob, NewLines, Submitted, Unique};
pub use kv::{KvValue, SetKv};
pub use plugins::{PluginPlan, PluginRemoved, RegisterPlugin, Registration, Verified, digest_of};
pub use queues::{QueueState, Unserved};
pub use review::{Approval, Review, TaskChange};
pub use rollouts::{NewRollout, RolloutBegun};
pub use schedule_set::{FIRES_SHOWN, ScheduleChange, ScheduleChanged};
pub use schedules::{CheckedSchedule, NewSchedule, ResumeAt, ScheduleCreated, SchedulePreview};
#[cfg(feature = "wasm")]
pub use secrets::{SecretInfo, Vault};
pub use signatures::{Signer, TrustedKeys};
pub use status::{Cleaned, Figures, Status};
pub use tasks::{ConfigureTask, RemovedTask};
#[cfg(feature = "api")]
pub use tokens::{CreatedToken, NewToken, TokenInfo};
#[cfg(feature = "api")]
pub(crate) use tokens::{KnownTokens, Owner, TokenHash, fresh_token, hash_of, random_hex, same_hash};
pub use transfer::{Archive, Export, Import, Imported, Unreads};
pub use versions::VersionPlan;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::Caps;
use crate::executor::PluginInspector;
use crate::model::{Event, EventKind, JobId, JobIdSource, ScheduleLife, Settings, Timestamp};
use crate::store::Store;
use crate::store::store_clock::StoreClock;

/// What an [`App`] works with.
#[derive(Clone)]
pub struct Parts {
    /// Where everything is kept. An embedding program that races operations against timers should wrap it in the detached decorator.
    pub store: Arc<dyn Store>,
    /// Who is told of changes.
    pub broker: Arc<dyn Broker>,
    /// What looks into plugins before they are registered; `None` where the program takes none, and all of its tasks are native.
    pub inspector: Option<Arc<dyn PluginInspector>>,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where the random bits of ids come from.
    pub random: fastrand::Rng,
    /// Settings of tasks for which neither an operator nor the author said anything.
    pub task_defaults: Settings,
    /// What no job may exceed.
    pub caps: Caps,
}

/// How long the store's time is reckoned with before the store is asked for it again.
const TIME_KEPT: Duration = Duration::from_secs(60);

/// How quick the store must answer for its time to be taken anew.
const TIME_QUICK: Duration = Duration::from_millis(500);

/// The operations. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct App {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    inspector: Option<Arc<dyn PluginInspector>>,
    clock: Arc<dyn Clock>,
    time: Arc<StoreClock>,
    job_ids: Arc<Mutex<JobIdSource>>,
    random: Arc<Mutex<fastrand::Rng>>,
    task_defaults: Arc<Settings>,
    caps: Caps,
    requires_approval: bool,
    #[cfg(feature = "wasm")]
    vault: Option<Arc<Vault>>,
    trusted_keys: Option<Arc<TrustedKeys>>,
}

impl App {
    /// The operations over `parts`.
    pub fn new(mut parts: Parts) -> App {
        App {
            store: parts.store,
            broker: parts.broker,
            inspector: parts.inspector,
            time: Arc::new(StoreClock::new(Arc::clone(&parts.clock))),
            clock: parts.clock,
            job_ids: Arc::new(Mutex::new(JobIdSource::new(parts.random.fork()))),
            random: Arc::new(Mutex::new(parts.random)),
            task_defaults: Arc::new(parts.task_defaults),
            caps: parts.caps,
            requires_approval: false,
            #[cfg(feature = "wasm")]
            vault: None,
            trusted_keys: None,
        }
    }

    /// These operations, but plugins are registered only with an [`Approval`] that covers them.
    #[must_use]
    pub fn requiring_approval(self) -> App {
        App { requires_approval: true, ..self }
    }

    /// These operations, with those on secrets.
    #[cfg(feature = "wasm")]
    #[must_use]
    pub fn with_vault(self, vault: Arc<Vault>) -> App {
        App { vault: Some(vault), ..self }
    }

    /// The time by which schedules fire and jobs are due: the store's, whatever this host's clock shows. That the two differ is told in the
    /// log.
    ///
    /// # Errors
    /// Those of the store, which is asked when it was not for a while.
    pub async fn now(&self) -> AppResult<Timestamp> {
        self.time.refresh(&*self.store, TIME_KEPT, TIME_QUICK).await?;
        Ok(self.time.now())
    }

    /// What tells the time of this host.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// What no job may exceed.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Finishes what is under way and lets go of the broker and the store. Operations fail from then on.
    pub async fn close(&self) {
        self.broker.close().await;
        self.store.close().await;
    }

    /// Tells everyone what was stored. That nobody could be told is worth a line in the log and no more: whoever needs to know looks into the
    /// store again after a while.
    async fn publish(&self, kinds: Vec<EventKind>) {
        if kinds.is_empty() {
            return;
        }
        let at = self.time.now();
        let events = kinds.into_iter().map(|kind| Event { at, kind }).collect();
        if let Err(error) = self.broker.publish(events).await {
            let cause = error.source.to_string();
            tracing::warn!(broker = error.broker, cause, "the broker did not take the events");
        }
    }

    fn next_job_id(&self) -> JobId {
        // A panic while the lock was held cannot leave the source in a state that matters.
        self.job_ids.lock().unwrap_or_else(PoisonError::into_inner).next(self.time.now())
    }

    fn new_life(&self) -> ScheduleLife {
        ScheduleLife::random(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A few letters and digits that make a generated name unlike all others.
    fn random_suffix(&self) -> String {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        // Without the letters and digits that are read for one another.
        const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
        (0..8).map(|_| char::from(LETTERS[random.usize(..LETTERS.len())])).collect()
    }
}
