//! What a new version of a plugin changes, for whoever decides whether it may.

use super::grants::check_grants;
use super::{AppError, AppResult};
use crate::model::{Digest, Grant, Import, PluginName, PluginVersion, TaskDeclaration, TaskName};

/// The difference between the version that is current and one that is to be registered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Review {
    /// Tasks that the current version does not offer.
    pub tasks_added: Vec<TaskName>,
    /// Tasks that only the current version offers.
    pub tasks_removed: Vec<TaskName>,
    /// Tasks that both offer, and what is different.
    pub tasks_changed: Vec<TaskChange>,
    /// What only the new version imports, leaving versions of interfaces out of account.
    pub imports_added: Vec<Import>,
    /// What only the current version imports.
    pub imports_removed: Vec<Import>,
    /// Rights that no right of the current version covers.
    pub rights_added: Vec<Grant>,
    /// Rights of the current version that no right of the new one covers.
    pub rights_removed: Vec<Grant>,
}

/// A task that two versions declare differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskChange {
    /// The task.
    pub name: TaskName,
    /// What is different about it, in words.
    pub parts: Vec<&'static str>,
}

impl Review {
    /// Compares two versions.
    pub fn of(current: &PluginVersion, new: &PluginVersion) -> Review {
        let named = |tasks: &[TaskDeclaration], name: &TaskName| tasks.iter().any(|task| task.name == *name);
        let only = |tasks: &[TaskDeclaration], others: &[TaskDeclaration]| {
            let only = tasks.iter().filter(|task| !named(others, &task.name));
            only.map(|task| task.name.clone()).collect()
        };
        let changed = new.tasks.iter().filter_map(|task| {
            let old = current.tasks.iter().find(|old| old.name == task.name)?;
            let parts = changes(old, task);
            (!parts.is_empty()).then(|| TaskChange { name: task.name.clone(), parts })
        });
        let imports = |version: &PluginVersion, other: &PluginVersion| {
            let only = version.imports.iter().filter(|it| other.imports.iter().all(|has| has.name() != it.name()));
            only.cloned().collect()
        };
        Review {
            tasks_added: only(&new.tasks, &current.tasks),
            tasks_removed: only(&current.tasks, &new.tasks),
            tasks_changed: changed.collect(),
            imports_added: imports(new, current),
            imports_removed: imports(current, new),
            rights_added: uncovered(&new.grants, &current.grants),
            rights_removed: uncovered(&current.grants, &new.grants),
        }
    }

    /// Whether the new version may do more than the current one.
    pub fn rights_grow(&self) -> bool {
        !self.rights_added.is_empty()
    }

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        *self == Review::default()
    }
}

/// What is different about a task, in words.
fn changes(old: &TaskDeclaration, new: &TaskDeclaration) -> Vec<&'static str> {
    let parts = [
        (old.description != new.description, "description"),
        (old.args_schema != new.args_schema, "arguments"),
        (old.result_schema != new.result_schema, "result"),
        (old.example_args != new.example_args, "example"),
        (old.settings != new.settings, "settings"),
    ];
    parts.into_iter().filter(|(differs, _)| *differs).map(|(_, part)| part).collect()
}

/// Those of `grants` that none of `others` covers.
fn uncovered(grants: &[Grant], others: &[Grant]) -> Vec<Grant> {
    grants.iter().filter(|grant| !others.iter().any(|other| other.covers(grant))).cloned().collect()
}

/// Rights that somebody has approved for one component: bound to its digest, so that they hold for no other.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// The plugin.
    pub plugin: PluginName,
    /// The component.
    pub digest: Digest,
    /// What it may do. A variable with a value stands for any value: that is given when the plugin is registered, and an approval is read by
    /// more people than may know it.
    pub grants: Vec<Grant>,
}

impl Approval {
    /// The rights to register the component with: those that are approved, except where one of `asked` stands for the same thing.
    ///
    /// # Errors
    /// [`AppError::Refused`] where something asked for is not approved; [`AppError::Invalid`] where a value is approved and not given.
    pub fn grants(&self, asked: Vec<Grant>) -> AppResult<Vec<Grant>> {
        check_grants(&asked)?;
        let mut grants = Vec::with_capacity(self.grants.len());
        for approved in &self.grants {
            let is_asked = asked.iter().any(|grant| grant.clashes_with(approved));
            match approved {
                _ if is_asked => {}
                Grant::Env { name, value: Some(_) } => {
                    let what = format!("the approval gives it the variable {name} with a value, and there is none");
                    return Err(AppError::invalid(what).with_hint(format!("add --allow-env {name}=VALUE")));
                }
                _ => grants.push(approved.clone()),
            }
        }
        grants.extend(asked);
        self.check_rights(&grants)?;
        Ok(grants)
    }

    /// Whether it is about this plugin and this component, and covers these rights.
    ///
    /// # Errors
    /// [`AppError::Refused`] says what it does not cover.
    pub(super) fn check(&self, plugin: &PluginName, digest: &Digest, grants: &[Grant]) -> AppResult<()> {
        if self.plugin != *plugin {
            return Err(AppError::refused(format!("the approval is for plugin `{}`, not for `{plugin}`", self.plugin)));
        }
        if self.digest != *digest {
            let what = format!("the approval is for another component: this one has the SHA-256 {digest}");
            let hint = format!("it was approved with {}; have this one approved (`host plugins approve`)", self.digest);
            return Err(AppError::refused(what).with_hint(hint));
        }
        self.check_rights(grants)
    }

    fn check_rights(&self, grants: &[Grant]) -> AppResult<()> {
        match grants.iter().find(|grant| !self.grants.iter().any(|approved| approved.covers(grant))) {
            None => Ok(()),
            Some(grant) => Err(AppError::refused(format!("the approval does not cover `{grant}`"))
                .with_hint("leave it out, or have it approved (`host plugins approve`)")),
        }
    }
}
