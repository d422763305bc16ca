//! Rollouts: a new version of a plugin gets a part of the jobs, until it has shown that it can have all of them.

use super::plugins::plugin_events;
use super::versions::VersionPlan;
use super::{App, AppError, AppResult};
use crate::model::{EventKind, Percent, PluginName, Rollout, TaskName};
use crate::store::{EndRollout, PutRollout, RolloutEnded};

/// How a rollout is to begin, or to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRollout {
    /// The part of the jobs that the version gets.
    pub share: Percent,
    /// The part of its attempts that may fail; `None`: as it is, or [the default](crate::store::ERROR_RATE_MAX_DEFAULT).
    pub error_rate_max: Option<Percent>,
    /// From how many attempts on the rate is looked at; `None`: as it is, or [what fits the rate](Rollout::attempts_min_of).
    pub attempts_min: Option<u32>,
}

/// A rollout that has begun.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutBegun {
    /// The rollout.
    pub rollout: Rollout,
    /// Tasks that its version does not offer: their jobs stay with the current one.
    pub not_offered: Vec<TaskName>,
}

impl App {
    /// The plugin's latest rollout, whether it is under way or has ended.
    ///
    /// # Errors
    /// [`AppError::NotFound`] lists the plugins there are.
    pub async fn rollout_get(&self, name: &PluginName) -> AppResult<Option<Rollout>> {
        // Of a plugin that is not there nothing is known either.
        self.plugin_get(name).await?;
        Ok(self.store.rollout_get(name).await?)
    }

    /// Begins the rollout of a version, or changes it where it is under way: then it keeps what was counted.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where it would get no jobs; [`AppError::Refused`] where it is the current one, where another one's rollout is
    /// under way, and where the plugin is no longer as it was planned.
    pub async fn rollout_start(&self, plan: VersionPlan, new: NewRollout) -> AppResult<RolloutBegun> {
        let NewRollout { share, error_rate_max, attempts_min } = new;
        if share.hundredths() == 0 {
            return Err(AppError::invalid("a rollout of 0% gives the version no jobs")
                .with_hint("`--abort` ends a rollout; a small one is 0.01%"));
        }
        let reviewed = Some(plan.reviewed());
        let VersionPlan { version, current, review } = plan;
        let (name, digest) = (version.name, version.digest);
        if current.is_some_and(|current| current.digest == digest) {
            return Err(AppError::refused(format!("version {digest} of plugin `{name}` is the current one")).with_hint(
                "`host plugins rollback` goes back to the one before; `host register --inactive` leaves that current from the start",
            ));
        }
        let now = self.now().await?;
        let request = PutRollout { name: name.clone(), digest, share, error_rate_max, attempts_min, now, reviewed };
        let rollout = match self.store.rollout_put(request).await {
            Ok(rollout) => rollout,
            Err(error) => return Err(self.version_error(&name, error, |other| other.digest != digest).await),
        };
        self.publish(vec![changed(&name, &rollout)]).await;
        Ok(RolloutBegun { rollout, not_offered: review.tasks_removed })
    }

    /// Ends the rollout that is under way: with `finish`, its version becomes the current one; without, the current one gets all jobs again.
    /// Jobs that have begun stay on the version that they have begun with.
    ///
    /// # Errors
    /// [`AppError::NotFound`] lists the plugins there are; [`AppError::Refused`] where no rollout is under way.
    pub async fn rollout_end(&self, name: &PluginName, finish: bool) -> AppResult<Rollout> {
        let Some(rollout) = self.rollout_get(name).await?.filter(Rollout::is_active) else {
            return Err(AppError::refused(format!("plugin `{name}` has no rollout under way"))
                .with_hint(format!("`host plugins rollout {name} --to DIGEST --percent 5` begins one")));
        };
        let digest = rollout.digest;
        let version = self.plugin_version(name, &digest.to_string()).await?;
        let finish = finish.then(|| self.tasks_of(&version));
        let now = self.now().await?;
        let request = EndRollout { name: name.clone(), digest, finish, now };
        let RolloutEnded { rollout, changes } = self.store.rollout_end(request).await?;
        let mut events = vec![changed(name, &rollout)];
        events.extend(changes.iter().flat_map(|changes| plugin_events(&version, changes)));
        self.publish(events).await;
        Ok(rollout)
    }
}

fn changed(name: &PluginName, rollout: &Rollout) -> EventKind {
    EventKind::PluginRolloutChanged { plugin: name.clone(), digest: rollout.digest, state: rollout.state() }
}
