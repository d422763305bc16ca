//! Versions of plugins: which there are, going back to one, pinning jobs to one, removing those that nobody needs.

use super::plugins::plugin_events;
use super::review::{Approval, Review};
use super::{App, AppError, AppResult};
use crate::model::{Digest, PluginName, PluginVersion, Rollout, Task, TaskId};
use crate::store::{ActivatePlugin, Page, PrunePlugin, Pruned, Reviewed, StoreError};

/// A stored version of a plugin that is to get jobs, compared with the current one. Nothing has changed yet.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionPlan {
    /// The version.
    pub version: PluginVersion,
    /// The current one, where that can be read.
    pub current: Option<PluginVersion>,
    /// How the version differs from that one.
    pub review: Review,
}

impl VersionPlan {
    pub(super) fn reviewed(&self) -> Reviewed {
        Reviewed { current: self.current.clone(), grants: Some(self.version.grants.clone()) }
    }
}

impl App {
    /// All versions of a plugin, the newest registration first, and the digest of the current one, if that can be read.
    ///
    /// # Errors
    /// [`AppError::NotFound`] lists the plugins there are.
    pub async fn plugin_history(&self, name: &PluginName) -> AppResult<(Page<PluginVersion>, Option<Digest>)> {
        let current = match self.store.plugin_get(name).await {
            Ok(Some(version)) => Some(version.digest),
            Ok(None) => return Err(self.unknown_plugin(name).await?),
            Err(StoreError::Unreadable { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok((self.store.plugin_history(name).await?, current))
    }

    /// The version of a plugin whose digest begins with `beginning`.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also where the plugin is unknown; [`AppError::Invalid`] where several digests begin like that.
    pub async fn plugin_version(&self, name: &PluginName, beginning: &str) -> AppResult<PluginVersion> {
        let (Page { rows: versions, .. }, _) = self.plugin_history(name).await?;
        pick_version(name, &versions, beginning).cloned()
    }

    /// Compares a stored version with the current one, for [`App::plugin_rollback`] and [`App::rollout_start`]: the one whose digest begins
    /// with `beginning`, or the one registered before the current one.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::Invalid`] where several digests begin like that, [`AppError::Refused`] where there is no older
    /// version, and where the approval that is there or [needed](App::requiring_approval) for more rights does not cover it.
    pub async fn plugin_version_plan(
        &self,
        name: &PluginName,
        beginning: Option<&str>,
        approval: Option<&Approval>,
    ) -> AppResult<VersionPlan> {
        let (Page { rows: versions, .. }, digest) = self.plugin_history(name).await?;
        let version = match beginning {
            Some(beginning) => pick_version(name, &versions, beginning)?,
            None => {
                let older = match digest {
                    Some(current) => versions.iter().skip_while(|version| version.digest != current).nth(1),
                    // The current one is not among those that can be read.
                    None => versions.first(),
                };
                older.ok_or_else(|| {
                    AppError::refused(format!("plugin `{name}` has no version older than the current one"))
                })?
            }
        };
        let version = version.clone();
        self.check_stored_signature(name, &version.digest).await?;
        let current = versions.into_iter().find(|version| Some(version.digest) == digest);
        let review = current.as_ref().map(|current| Review::of(current, &version)).unwrap_or_default();
        match approval {
            Some(approval) => approval.check(name, &version.digest, &version.grants)?,
            None if self.requires_approval && review.rights_grow() => {
                let what = format!(
                    "version {} of plugin `{name}` would have rights that the current one does not have, and nobody has approved that",
                    version.digest
                );
                return Err(AppError::refused(what).with_hint(
                    "`host plugins approve FILE` writes an approval of that component; name it with --approval",
                ));
            }
            None => {}
        }
        Ok(VersionPlan { version, current, review })
    }

    /// Makes a stored version the current one. Jobs that have begun stay on the version that they have begun with.
    ///
    /// # Errors
    /// [`AppError::Refused`] where the plugin is no longer as it was planned, and where a rollout is under way.
    pub async fn plugin_rollback(&self, plan: VersionPlan) -> AppResult<PluginVersion> {
        let reviewed = Some(plan.reviewed());
        let version = plan.version;
        let (name, digest, tasks) = (version.name.clone(), version.digest, self.tasks_of(&version));
        match self.store.plugin_activate(ActivatePlugin { name: name.clone(), digest, tasks, reviewed }).await {
            Ok(changes) => self.publish(plugin_events(&version, &changes)).await,
            Err(error) => return Err(self.version_error(&name, error, |_| true).await),
        }
        Ok(version)
    }

    /// The error of a change of a plugin's versions, with what to do about it: end a rollout that is in the way, or look again at what has
    /// changed meanwhile.
    pub(super) async fn version_error(
        &self,
        name: &PluginName,
        error: StoreError,
        is_in_the_way: impl FnOnce(&Rollout) -> bool,
    ) -> AppError {
        if !matches!(error, StoreError::Conflict { .. }) {
            return error.into();
        }
        let rollout = self.store.rollout_get(name).await.ok().flatten().filter(Rollout::is_active);
        let hint = match rollout.is_some_and(|rollout| is_in_the_way(&rollout)) {
            true => format!("`host plugins rollout {name} --finish` or `--abort` ends a rollout"),
            false => format!("look at `host plugins show {name}`, and try again"),
        };
        AppError::from(error).with_hint(hint)
    }

    /// Removes all versions of a plugin but the `keep` registered last, the current one, and those that a schedule is pinned to or that a job
    /// which has not ended is pinned to or has begun with.
    ///
    /// # Errors
    /// [`AppError::NotFound`] lists the plugins there are.
    pub async fn plugin_prune(&self, name: &PluginName, keep: usize, dry_run: bool) -> AppResult<Pruned> {
        match self.store.plugin_prune(PrunePlugin { name: name.clone(), keep, dry_run }).await {
            Err(StoreError::NotFound(_)) => Err(self.unknown_plugin(name).await?),
            pruned => Ok(pruned?),
        }
    }

    /// The version of a task's plugin whose digest begins with `beginning`, to pin jobs to.
    ///
    /// # Errors
    /// As [`App::plugin_version`], and for the task; [`AppError::Invalid`] where the task is no plugin's.
    pub async fn task_version(&self, task: &str, beginning: &str) -> AppResult<Digest> {
        let task = self.task_resolve(task).await?.task;
        Ok(self.plugin_version(plugin_of(&task)?, beginning).await?.digest)
    }

    /// The task as that version of its plugin declares it, where jobs are to be pinned to one.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where the plugin has no such version; [`AppError::Refused`] where that does not offer the task.
    pub(super) async fn task_pinned(&self, task: Task, version: Option<Digest>) -> AppResult<Task> {
        let Some(digest) = version else { return Ok(task) };
        let plugin = plugin_of(&task)?;
        let version = self.plugin_version(plugin, &digest.to_string()).await?;
        let declared = version.tasks.into_iter().find(|declared| declared.name == *task.target.function());
        match declared {
            Some(declared) => Ok(Task {
                args_schema: declared.args_schema,
                result_schema: declared.result_schema,
                example_args: declared.example_args,
                ..task
            }),
            None => {
                let function = task.target.function();
                Err(AppError::refused(format!("version {digest} of plugin `{plugin}` does not offer `{function}`"))
                    .with_hint(format!("`host plugins history {plugin} --json` lists what each version offers")))
            }
        }
    }

    /// The tasks that a version offers, before anybody configured them.
    pub(super) fn tasks_of(&self, version: &PluginVersion) -> Vec<Task> {
        version.tasks.iter().map(|declaration| self.task_of(&version.name, declaration).0).collect()
    }
}

fn plugin_of(task: &Task) -> AppResult<&PluginName> {
    let no_versions = |id: &TaskId| AppError::invalid(format!("task `{id}` is no plugin's, and has no versions"));
    task.target.plugin().ok_or_else(|| no_versions(&task.id))
}

/// Fewest digits that name a version.
const DIGITS_MIN: usize = 4;

fn pick_version<'a>(name: &PluginName, versions: &'a [PluginVersion], beginning: &str) -> AppResult<&'a PluginVersion> {
    let hint = || format!("`host plugins history {name}` lists the versions");
    if beginning.len() < DIGITS_MIN || !beginning.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let what =
            format!("`{beginning}` is not the beginning of a digest: it has {DIGITS_MIN} hexadecimal digits or more");
        return Err(AppError::invalid(what).with_hint(hint()));
    }
    let beginning = beginning.to_ascii_lowercase();
    let fitting: Vec<_> =
        versions.iter().filter(|version| version.digest.to_string().starts_with(&beginning)).collect();
    match fitting[..] {
        [version] => Ok(version),
        [] => Err(AppError::not_found("version", beginning).with_hint(hint())),
        _ => Err(AppError::invalid(format!("`{beginning}` is the beginning of several digests")).with_hint(hint())),
    }
}
