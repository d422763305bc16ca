//! Versions of a plugin that come and go while its jobs run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host::model::{Digest, Percent, PluginName, Settings, TaskDeclaration, TaskId, Timestamp};
use host::store::{ActivatePlugin, EndRollout, PutPlugin, PutRollout, StagePlugin, Store, StoreError};
use tests::factory::{plugin, task, task_id};

use super::history::History;

/// What somebody does about the versions of the plugin. Some of it is refused, as by then it makes no sense.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// Registers another version.
    Register,
    /// Begins the rollout of a new version, or gives the one that is rolled out another part of the jobs.
    Rollout { percent: u16 },
    /// Ends the rollout.
    End { is_finished: bool },
    /// Makes the first version current again.
    Back,
}

impl Change {
    pub(super) fn draw(random: &mut fastrand::Rng) -> Change {
        match random.u8(0..8) {
            0..3 => Change::Register,
            3..6 => Change::Rollout { percent: [1, 20, 60, 100][random.usize(..4)] },
            6 => Change::End { is_finished: random.bool() },
            _ => Change::Back,
        }
    }
}

/// The plugin's only task.
pub(super) fn versioned() -> TaskId {
    task_id("p:work")
}

/// The plugin in the store.
pub(super) struct Versions {
    store: Arc<dyn Store>,
    /// How many there have been.
    count: Mutex<u8>,
}

impl Versions {
    pub(super) async fn new(store: &Arc<dyn Store>, now: Timestamp) -> Versions {
        let versions = Versions { store: Arc::clone(store), count: Mutex::new(0) };
        versions.store.plugin_put(versions.next(now)).await.expect("the store takes a plugin");
        versions
    }

    fn next(&self, now: Timestamp) -> PutPlugin {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        version(*count, now)
    }

    pub(super) async fn change(&self, change: Change, now: Timestamp, history: &History) {
        let done = self.try_to(change, now).await;
        history.note(format_args!("{change:?}: {done:?}"));
    }

    async fn try_to(&self, change: Change, now: Timestamp) -> Result<(), StoreError> {
        let PutPlugin { version: first, tasks, .. } = version(1, now);
        let name: PluginName = first.name;
        let active = self.store.rollout_get(&name).await?.filter(host::model::Rollout::is_active);
        match change {
            Change::Register => self.store.plugin_put(self.next(now)).await.map(|_| ()),
            Change::Rollout { percent } => {
                let digest = match active {
                    Some(active) => active.digest,
                    None => {
                        let PutPlugin { version, bytes, .. } = self.next(now);
                        let digest: Digest = version.digest;
                        self.store.plugin_stage(StagePlugin { version, bytes, reviewed: None }).await?;
                        digest
                    }
                };
                let share = Percent::from_hundredths(percent * 100).expect("a part");
                let (error_rate_max, attempts_min) = (Percent::from_hundredths(2_000), Some(3));
                let put = PutRollout { name, digest, share, error_rate_max, attempts_min, now, reviewed: None };
                self.store.rollout_put(put).await.map(|_| ())
            }
            Change::End { is_finished } => {
                let Some(active) = active else { return Ok(()) };
                let finish = is_finished.then_some(tasks);
                self.store.rollout_end(EndRollout { name, digest: active.digest, finish, now }).await.map(|_| ())
            }
            Change::Back => {
                let back = ActivatePlugin { name, digest: first.digest, tasks, reviewed: None };
                self.store.plugin_activate(back).await.map(|_| ())
            }
        }
    }
}

/// One version of the plugin; its component is that byte.
fn version(number: u8, now: Timestamp) -> PutPlugin {
    let task = task(versioned().as_str(), None);
    let declared = TaskDeclaration {
        name: task.target.function().clone(),
        description: String::new(),
        args_schema: None,
        result_schema: None,
        example_args: None,
        settings: Settings::default(),
    };
    let mut put = plugin(&[number], vec![task]);
    (put.version.tasks, put.version.registered_at) = (vec![declared], now);
    // Nothing is cleaned up, whatever is done to the clocks.
    let result_ttl = Some(Duration::from_secs(365 * 24 * 3_600));
    put.configure = Settings { max_attempts: Some(3), result_ttl, ..Settings::default() };
    put
}
