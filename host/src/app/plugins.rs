//! Plugins: register, list, remove, verify.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::error::candidates;
use super::grants::check_grants;
use super::overlap::overlaps;
use super::review::{Approval, Review};
use super::{App, AppError, AppResult};
use crate::executor::{Footprint, InspectError, Inspection, PluginInspector};
use crate::model::limits::COMPONENT_BYTES_MAX;
use crate::model::{
    Digest, EventKind, Grant, PluginName, PluginVersion, ScheduleId, Settings, Target, Task, TaskDeclaration, TaskId,
};
use crate::store::{Page, PluginPut, Put, PutPlugin, Reviewed, ScheduleFilter, StagePlugin, StoreError};

/// A component that is to become a plugin, or a version of one.
#[derive(Debug, Clone)]
pub struct RegisterPlugin {
    /// The plugin's name.
    pub name: PluginName,
    /// A WebAssembly component of at most `limits::COMPONENT_BYTES_MAX`.
    pub component: Vec<u8>,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// What its digest must be, where the operator knows.
    pub expected_digest: Option<Digest>,
    /// Settings that the operator gives to each of its tasks, over what they have.
    pub settings: Settings,
    /// What somebody has approved: then it is refused unless that covers it.
    pub approval: Option<Approval>,
    /// The component's signature, as minisign writes it.
    pub signature: Option<String>,
    /// Leave the current version current: for a rollout, or to be made current later.
    pub inactive: bool,
}

impl RegisterPlugin {
    /// A component without rights.
    pub fn new(name: PluginName, component: Vec<u8>) -> RegisterPlugin {
        let (grants, settings) = (Vec::new(), Settings::default());
        RegisterPlugin {
            name,
            component,
            grants,
            expected_digest: None,
            settings,
            approval: None,
            signature: None,
            inactive: false,
        }
    }
}

/// A component that was checked and is ready to be stored.
#[derive(Debug, Clone)]
pub struct PluginPlan {
    /// What registering it would do.
    pub registration: Registration,
    component: Vec<u8>,
    signature: Option<String>,
    configure: Settings,
}

/// What registering did, or (planned) would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// As it is stored, with what it may do and the tasks it offers.
    pub version: PluginVersion,
    /// The version that was current before.
    pub previous: Option<PluginVersion>,
    /// How the version differs from that one; empty where there was none.
    pub review: Review,
    /// The version's tasks with all their layers.
    pub tasks: Vec<Task>,
    /// What its memory costs every job.
    pub footprint: Footprint,
    /// What whoever registers it should know, a sentence each: where its folders and those of other plugins reach each other, what its
    /// author declared beyond what authors may, and which of its secrets nobody has set.
    pub notes: Vec<String>,
    /// Whether the current version stays current.
    pub is_inactive: bool,
    /// What the store changed; `None` where this was a plan.
    pub changes: Option<PluginPut>,
}

/// What removing a plugin did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRemoved {
    /// The tasks that went with it.
    pub tasks: Vec<TaskId>,
    /// Schedules that have no task now.
    pub orphans: Vec<ScheduleId>,
}

/// Whether a plugin is still what was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The plugin.
    pub name: PluginName,
    /// Its current version, where that can be read.
    pub digest: Option<Digest>,
    /// What is wrong; empty where nothing is.
    pub faults: Vec<String>,
}

impl App {
    /// Registers a component: checks it, asks it for its tasks under limits, stores it, and makes it the plugin's current version.
    ///
    /// The digest is compared before any of the component's code runs. Registering the same component again is safe; it changes the grants
    /// and settings to what is given now.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where the component or the settings are not acceptable; [`AppError::Refused`] where the digest is another one.
    pub async fn plugin_register(&self, request: RegisterPlugin) -> AppResult<Registration> {
        let plan = self.plugin_plan(request).await?;
        self.plugin_carry_out(plan).await
    }

    /// Stores what was planned: for callers who look at the plan, or let somebody look, before they go on.
    ///
    /// # Errors
    /// [`AppError::Refused`] where the plugin has another current version by now, or with other rights, than the plan was compared with, and
    /// where a rollout is under way. Those of the store.
    pub async fn plugin_carry_out(&self, plan: PluginPlan) -> AppResult<Registration> {
        let PluginPlan { mut registration, component, signature, configure } = plan;
        if let Some(signature) = &signature {
            self.keep_signature(&registration.version.digest, signature).await?;
        }
        let (version, tasks) = (registration.version.clone(), registration.tasks.clone());
        let (name, bytes) = (version.name.clone(), component);
        let reviewed = Some(Reviewed { current: registration.previous.clone(), grants: None });
        let changes = if registration.is_inactive {
            match self.store.plugin_stage(StagePlugin { version, bytes, reviewed }).await {
                Ok(put) => {
                    PluginPut { put, tasks_added: Vec::new(), tasks_updated: Vec::new(), tasks_removed: Vec::new() }
                }
                Err(error) => return Err(self.version_error(&name, error, |_| false).await),
            }
        } else {
            match self.store.plugin_put(PutPlugin { version, bytes, tasks, configure, reviewed }).await {
                Ok(changes) => changes,
                Err(error) => return Err(self.version_error(&name, error, |_| true).await),
            }
        };
        // Afterwards, so that a version that is refused makes none. Whatever keeps them from being made, the first write does it.
        self.kv_make_granted(&registration.version.grants).await?;
        self.publish(plugin_events(&registration.version, &changes)).await;
        registration.changes = Some(changes);
        Ok(registration)
    }

    /// Does everything that [`App::plugin_register`] does, short of storing it.
    ///
    /// # Errors
    /// As [`App::plugin_register`].
    pub async fn plugin_plan(&self, request: RegisterPlugin) -> AppResult<PluginPlan> {
        let RegisterPlugin { name, component, grants, expected_digest, settings, approval, signature, inactive } =
            request;
        self.check_settings(&settings)?;
        check_grants(&grants)?;
        match &approval {
            Some(approval) => approval.check(&name, &digest_of(component.clone()).await?, &grants)?,
            None if self.requires_approval => {
                return Err(AppError::refused(format!("plugin `{name}` cannot be registered: nobody has approved it"))
                    .with_hint("`host plugins approve FILE` writes an approval; register it with --approval"));
            }
            None => {}
        }
        let about_signature = self.check_signature(&name, &component, signature.as_deref()).await?;
        let size_bytes = component.len() as u64;
        let inspection = self.inspect(component.clone(), &grants, expected_digest).await?;
        let previous = readable(self.store.plugin_get(&name).await)?;
        if inactive {
            check_inactive(&inspection.digest, previous.as_ref(), &settings)?;
        }
        let mut notes: Vec<String> = Vec::new();
        let mut tasks = Vec::with_capacity(inspection.tasks.len());
        for declaration in &inspection.tasks {
            let (mut task, cut) = self.task_of(&name, declaration);
            notes.extend(cut.into_iter().map(|what| format!("{}: {what}", task.id)));
            let known = readable(self.store.task_get(&task.id).await)?;
            task.configured = settings.over(&known.map(|row| row.task.configured).unwrap_or_default());
            tasks.push(task);
        }
        let overlaps = overlaps(&name, &grants, &self.store.plugin_list().await?.rows);
        notes.extend(overlaps.iter().map(ToString::to_string));
        #[cfg(feature = "wasm")]
        notes.extend(self.unset_secrets(&grants).await?);
        notes.extend(about_signature);
        let Inspection { digest, imports, tasks: declarations, footprint } = inspection;
        let version = PluginVersion {
            name,
            digest,
            size_bytes,
            imports,
            grants,
            tasks: declarations,
            registered_at: self.now().await?,
        };
        let review = previous.as_ref().map(|previous| Review::of(previous, &version)).unwrap_or_default();
        let is_inactive = inactive;
        let registration =
            Registration { version, previous, review, tasks, footprint, notes, is_inactive, changes: None };
        Ok(PluginPlan { registration, component, signature, configure: settings })
    }

    /// Looks into a component, with these rights, for somebody who is to approve them. Nothing is stored.
    ///
    /// # Errors
    /// As [`App::plugin_register`].
    pub async fn plugin_inspect(&self, component: Vec<u8>, grants: &[Grant]) -> AppResult<Inspection> {
        check_grants(grants)?;
        self.inspect(component, grants, None).await
    }

    /// The current versions of all plugins, by name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn plugin_list(&self) -> AppResult<Page<PluginVersion>> {
        Ok(self.store.plugin_list().await?)
    }

    /// The plugins whose current version is [pure](PluginVersion::is_pure).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn plugins_pure(&self) -> AppResult<BTreeSet<PluginName>> {
        let versions = self.store.plugin_list().await?.rows.into_iter();
        Ok(versions.filter(PluginVersion::is_pure).map(|version| version.name).collect())
    }

    /// The current version of a plugin.
    ///
    /// # Errors
    /// [`AppError::NotFound`] lists the plugins there are.
    pub async fn plugin_get(&self, name: &PluginName) -> AppResult<PluginVersion> {
        match self.store.plugin_get(name).await? {
            Some(version) => Ok(version),
            None => Err(self.unknown_plugin(name).await?),
        }
    }

    /// Removes a plugin with all its versions and tasks. Schedules and jobs stay; what they start fails as `plugin_unavailable`.
    ///
    /// # Errors
    /// [`AppError::NotFound`] lists the plugins there are.
    pub async fn plugin_remove(&self, name: &PluginName) -> AppResult<PluginRemoved> {
        let Some(tasks) = self.store.plugin_remove(name).await? else {
            return Err(self.unknown_plugin(name).await?);
        };
        let mut events = vec![EventKind::PluginRemoved { plugin: name.clone() }];
        events.extend(tasks.iter().cloned().map(|task_id| EventKind::TaskRemoved { task_id }));
        self.publish(events).await;
        let orphans = self.schedules_of(&tasks).await?;
        Ok(PluginRemoved { tasks, orphans })
    }

    /// Looks whether plugins (all, or the one named) are still what was registered: the bytes are there, have the digest that names them, and
    /// offer the tasks that are stored.
    ///
    /// # Errors
    /// As [`App::plugin_get`]. What is wrong with a plugin is no error of this operation.
    pub async fn plugin_verify(&self, name: Option<&PluginName>) -> AppResult<Vec<Verified>> {
        let versions = match name {
            Some(name) => Page::whole([Ok(self.plugin_get(name).await?)]),
            None => self.plugin_list().await?,
        };
        let mut verified = Vec::with_capacity(versions.rows.len());
        for version in versions.rows {
            let mut faults = self.faults_of(&version).await?;
            faults.extend(self.signature_fault(&version.digest).await?);
            verified.push(Verified { name: version.name, digest: Some(version.digest), faults });
        }
        for bad in versions.unreadable {
            let faults = vec![format!("what is stored of it cannot be read: {}", bad.defect)];
            verified.extend(bad.id.parse().ok().map(|name| Verified { name, digest: None, faults }));
        }
        Ok(verified)
    }

    /// The ids of the schedules of `tasks`.
    pub(super) async fn schedules_of(&self, tasks: &[TaskId]) -> AppResult<Vec<ScheduleId>> {
        let mut ids = Vec::new();
        for task_id in tasks {
            let filter = ScheduleFilter { task_id: Some(task_id.clone()), ..ScheduleFilter::default() };
            let (schedules, _) = self.schedule_list_all(filter).await?;
            ids.extend(schedules.into_iter().map(|schedule| schedule.id));
        }
        Ok(ids)
    }

    async fn faults_of(&self, version: &PluginVersion) -> AppResult<Vec<String>> {
        let Some(bytes) = self.store.plugin_bytes(&version.digest).await? else {
            return Ok(vec!["the store does not have its bytes".to_owned()]);
        };
        let found = digest_of(bytes.clone()).await?;
        if found != version.digest {
            return Ok(vec![format!("the stored bytes have the digest {found}")]);
        }
        match self.inspector()?.inspect(bytes, &version.grants).await {
            Err(error) => Ok(vec![error.reason]),
            Ok(inspection) if inspection.tasks != version.tasks => {
                Ok(vec!["it offers other tasks than when it was registered".to_owned()])
            }
            Ok(_) => Ok(Vec::new()),
        }
    }

    async fn inspect(
        &self,
        component: Vec<u8>,
        grants: &[Grant],
        expected_digest: Option<Digest>,
    ) -> AppResult<Inspection> {
        check_size(component.len())?;
        if let Some(expected) = expected_digest {
            let found = digest_of(component.clone()).await?;
            if found != expected {
                return Err(AppError::refused(format!(
                    "the component is not the expected one: its SHA-256 is {found}"
                ))
                .with_hint("compare with the digest that its author published, or leave out --sha256"));
            }
        }
        Ok(self.inspector()?.inspect(component, grants).await?)
    }

    fn inspector(&self) -> AppResult<&dyn PluginInspector> {
        self.inspector.as_deref().ok_or_else(|| AppError::refused("this program takes no plugins"))
    }

    /// What a declared task is, stored, before anybody configured it; and what its author declared beyond what authors may.
    pub(super) fn task_of(&self, plugin: &PluginName, declaration: &TaskDeclaration) -> (Task, Vec<String>) {
        let mut declared = declaration.settings.clone();
        let cut = self.caps.declared.cut(&mut declared);
        let task = Task {
            id: TaskId::of_plugin(plugin, &declaration.name),
            target: Target::Plugin { plugin: plugin.clone(), function: declaration.name.clone() },
            description: declaration.description.clone(),
            args_schema: declaration.args_schema.clone(),
            result_schema: declaration.result_schema.clone(),
            example_args: declaration.example_args.clone(),
            configured: Settings::default(),
            declared,
            defaults: (*self.task_defaults).clone(),
        };
        (task, cut)
    }

    pub(super) async fn unknown_plugin(&self, name: &PluginName) -> AppResult<AppError> {
        let known = self.store.plugin_list().await?;
        let names = known.rows.iter().map(|version| version.name.as_str());
        let names: Vec<&str> = names.chain(known.unreadable.iter().map(|bad| bad.id.as_str())).collect();
        let error = AppError::not_found("plugin", name);
        Ok(if names.is_empty() {
            error.with_hint("no plugin is registered yet; `host register FILE` registers one")
        } else {
            error.with_hint(format!("plugins: {}", candidates(name.as_str(), names)))
        })
    }
}

/// What stands where something is to be put; nothing where it is damaged and will be replaced.
pub(super) fn readable<T>(found: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Err(StoreError::Unreadable { defect, .. }) if !defect.is_newer() => Ok(None),
        found => found,
    }
}

/// The digest of a component, computed apart from the async threads.
///
/// # Errors
/// [`AppError::Unexpected`] where the computation was torn down.
pub async fn digest_of(component: Vec<u8>) -> AppResult<Digest> {
    let hash = tokio::task::spawn_blocking(move || Digest::from_bytes(Sha256::digest(&component).into()));
    hash.await.map_err(|error| AppError::unexpected("the digest was not computed", error))
}

/// Whether a component can be stored beside the current version.
fn check_inactive(digest: &Digest, current: Option<&PluginVersion>, settings: &Settings) -> AppResult<()> {
    match current {
        None => Err(AppError::refused("there is no version yet that could stay the current one")
            .with_hint("register the first one without --inactive")),
        Some(current) if current.digest == *digest => Err(AppError::refused("this is the current version already")),
        Some(_) if *settings != Settings::default() => {
            Err(AppError::invalid("the limits of tasks are changed together with the current version")
                .with_hint("set them later, with `host tasks configure`"))
        }
        Some(_) => Ok(()),
    }
}

fn check_size(bytes: usize) -> AppResult<()> {
    match bytes {
        0 => Err(AppError::invalid("the component is empty")),
        1..=COMPONENT_BYTES_MAX => Ok(()),
        _ => Err(AppError::invalid(format!("the component has {bytes} bytes, and may have {COMPONENT_BYTES_MAX}"))),
    }
}

pub(super) fn plugin_events(version: &PluginVersion, changes: &PluginPut) -> Vec<EventKind> {
    let mut events = Vec::new();
    if changes.put != Put::Unchanged {
        events.push(EventKind::PluginRegistered { plugin: version.name.clone(), digest: version.digest });
    }
    events.extend(changes.tasks_added.iter().cloned().map(|task_id| EventKind::TaskAdded { task_id }));
    events.extend(changes.tasks_updated.iter().cloned().map(|task_id| EventKind::TaskUpdated { task_id }));
    events.extend(changes.tasks_removed.iter().cloned().map(|task_id| EventKind::TaskRemoved { task_id }));
    events
}

impl From<InspectError> for AppError {
    fn from(error: InspectError) -> AppError {
        AppError::Invalid { what: error.reason, causes: error.context, hint: error.hint }
    }
}
