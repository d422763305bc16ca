//! `host plugins`.

use clap::{Args, Subcommand};

use super::agreement::AgreementArgs;
use super::approval::{ApproveArgs, approve};
use super::context::Context;
use super::exit::{Exit, Failure, Outcomes};
use super::output::{plural, short, time};
use super::rollout::{self, RolloutArgs, described};
use crate::app::VersionPlan;
use crate::config::units::format_size;
use crate::model::{PluginName, PluginVersion};
use crate::store::{KeptVersion, Page};
use crate::wire::{PluginDetails, PluginWire, RolloutWire, VersionWire};
use crate::words::{PURE, asks, granted};

#[derive(Debug, Args)]
pub(super) struct PluginsArgs {
    #[command(subcommand)]
    command: Option<PluginsCommand>,
}

#[derive(Debug, Subcommand)]
enum PluginsCommand {
    /// List plugins (also without any subcommand)
    List,
    /// One plugin: its tasks, what it asks for, what it may do
    Show {
        /// The plugin
        name: PluginName,
    },
    /// All versions of a plugin, the newest registration first
    History {
        /// The plugin
        name: PluginName,
    },
    /// Make an older version of a plugin current again
    Rollback {
        /// The plugin
        name: PluginName,
        /// The beginning of the version's digest [default: the version registered before the current one]
        #[arg(long, value_name = "DIGEST")]
        to: Option<String>,
        /// The same
        #[arg(hide = true, conflicts_with = "to")]
        digest: Option<String>,
        #[command(flatten)]
        agreement: AgreementArgs,
    },
    /// Give a part of the jobs to another version, and go back by itself where that fails too often
    Rollout(RolloutArgs),
    /// Remove old versions of a plugin; those that a schedule or an unfinished job needs stay
    Prune {
        /// The plugin
        name: PluginName,
        /// How many versions stay in any case, counted from the one registered last
        #[arg(long, value_name = "N", default_value_t = 5)]
        keep: usize,
        /// Say what would be removed, but change nothing
        #[arg(long)]
        plan: bool,
    },
    /// Remove a plugin with all its versions and tasks; its schedules and jobs stay
    Remove {
        /// The plugin
        name: PluginName,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// Write down the rights of a component for whoever has to approve them; `register --approval` takes what is printed
    Approve(ApproveArgs),
    /// Check that what is stored is what was registered
    Verify {
        /// The plugin [default: all]
        name: Option<PluginName>,
    },
}

pub(super) async fn run(context: &mut Context, args: PluginsArgs) -> Outcomes {
    match args.command.unwrap_or(PluginsCommand::List) {
        PluginsCommand::List => list(context).await,
        PluginsCommand::Show { name } => show(context, &name).await,
        PluginsCommand::History { name } => history(context, &name).await,
        PluginsCommand::Rollback { name, to, digest, agreement } => {
            let plan = agreement.plan(context, &name, to.or(digest).as_deref()).await?;
            rollback(context, plan).await
        }
        PluginsCommand::Rollout(args) => rollout::run(context, args).await,
        PluginsCommand::Prune { name, keep, plan } => prune(context, &name, keep, plan).await,
        PluginsCommand::Remove { name, yes } => remove(context, &name, yes).await,
        PluginsCommand::Approve(args) => approve(context, args).await,
        PluginsCommand::Verify { name } => verify(context, name.as_ref()).await,
    }
}

async fn list(context: &mut Context) -> Outcomes {
    let Page { rows: plugins, unreadable, .. } = context.app().await?.plugin_list().await?;
    context.out.unreadable("plugin", &unreadable)?;
    if context.out.json {
        return Ok(context.out.json(&plugins.iter().map(PluginWire::from).collect::<Vec<_>>())?);
    }
    if plugins.is_empty() && unreadable.is_empty() {
        return Ok(context.out.note("no plugins; `host register FILE` registers one")?);
    }
    let row = |plugin: &PluginVersion| {
        let tasks: Vec<_> = plugin.tasks.iter().map(|task| task.name.as_str()).collect();
        let (digest, registered) = (short(&plugin.digest), time(plugin.registered_at));
        vec![plugin.name.to_string(), digest, registered, plugin.grants.len().to_string(), tasks.join(", ")]
    };
    let rows = plugins.iter().map(row).collect();
    Ok(context.out.table(&["NAME", "VERSION", "REGISTERED", "GRANTS", "TASKS"], rows)?)
}

async fn show(context: &mut Context, name: &PluginName) -> Outcomes {
    let app = context.app().await?;
    let (plugin, rollout) = (app.plugin_get(name).await?, app.rollout_get(name).await?);
    if context.out.json {
        let rollout = rollout.as_ref().map(|rollout| RolloutWire::new(name, rollout));
        return Ok(context.out.json(&PluginDetails { plugin: PluginWire::from(&plugin), rollout })?);
    }
    let tasks: Vec<String> = plugin.tasks.iter().map(|task| format!("{name}:{}", task.name)).collect();
    let grants: Vec<String> = plugin.grants.iter().map(granted).collect();
    let grants = if grants.is_empty() { "nothing of this host".to_owned() } else { grants.join("\n") };
    Ok(context.out.pairs(&[
        ("name", name.to_string()),
        ("digest", plugin.digest.to_string()),
        ("size", format_size(plugin.size_bytes)),
        ("registered", time(plugin.registered_at)),
        ("rollout", rollout.as_ref().map(described).unwrap_or_default()),
        ("tasks", tasks.join("\n")),
        ("pure", if plugin.is_pure() { PURE.to_owned() } else { String::new() }),
        ("asks to", asks(&plugin.imports, &plugin.grants).join("\n")),
        ("may use", grants),
    ])?)
}

async fn history(context: &mut Context, name: &PluginName) -> Outcomes {
    let (Page { rows: versions, unreadable, .. }, current) = context.app().await?.plugin_history(name).await?;
    context.out.unreadable("version", &unreadable)?;
    if context.out.json {
        let wire = |version: &PluginVersion| VersionWire {
            plugin: PluginWire::from(version),
            current: Some(version.digest) == current,
        };
        return Ok(context.out.json(&versions.iter().map(wire).collect::<Vec<_>>())?);
    }
    let row = |version: &PluginVersion| {
        let mark = if Some(version.digest) == current { "current" } else { "" };
        let (digest, registered) = (short(&version.digest), time(version.registered_at));
        vec![digest, registered, format_size(version.size_bytes), version.tasks.len().to_string(), mark.to_owned()]
    };
    let rows = versions.iter().map(row).collect();
    Ok(context.out.table(&["VERSION", "REGISTERED", "SIZE", "TASKS", ""], rows)?)
}

async fn rollback(context: &mut Context, plan: VersionPlan) -> Outcomes {
    let version = context.app().await?.plugin_rollback(plan).await?;
    if context.out.json {
        return Ok(context.out.json(&PluginWire::from(&version))?);
    }
    let (name, registered) = (&version.name, time(version.registered_at));
    Ok(context.out.line(&format!("plugin `{name}` is at version {} of {registered}", short(&version.digest)))?)
}

async fn prune(context: &mut Context, name: &PluginName, keep: usize, plan: bool) -> Outcomes {
    let pruned = context.app().await?.plugin_prune(name, keep, plan).await?;
    if context.out.json {
        let removed: Vec<String> = pruned.removed.iter().map(ToString::to_string).collect();
        let kept = pruned.kept.iter().map(|(version, reason)| {
            serde_json::json!({"digest": version.to_string(), "reason": match reason {
                KeptVersion::Current => "current",
                KeptVersion::Job => "job",
                KeptVersion::Schedule => "schedule",
                KeptVersion::Recent => "recent",
                KeptVersion::Rollout => "rollout",
            }})
        });
        let kept: Vec<_> = kept.collect();
        return Ok(context.out.json(&serde_json::json!({"name": name.as_str(), "removed": removed, "kept": kept}))?);
    }
    for (version, reason) in &pruned.kept {
        let reason = match reason {
            KeptVersion::Current => "it is the current one",
            KeptVersion::Job => "a job that has not ended needs it",
            KeptVersion::Schedule => "a schedule is pinned to it",
            KeptVersion::Recent => "it is among the last ones",
            KeptVersion::Rollout => "its rollout is under way",
        };
        context.out.note(&format!("{} stays: {reason}", short(version)))?;
    }
    let count = plural(pruned.removed.len(), "version");
    let (verb, removed) = (if plan { "would go" } else { "removed" }, &pruned.removed);
    let digests: Vec<String> = removed.iter().map(short).collect();
    let list = if digests.is_empty() { String::new() } else { format!(": {}", digests.join(", ")) };
    Ok(context.out.line(&format!("plugin `{name}`: {count} {verb}{list}"))?)
}

async fn remove(context: &mut Context, name: &PluginName, yes: bool) -> Outcomes {
    let app = context.app().await?;
    if !yes {
        let (versions, _) = app.plugin_history(name).await?;
        let count = plural(versions.rows.len() + versions.unreadable.len(), "version");
        return Err(Failure::NeedsYes(format!("this removes plugin `{name}` with its {count} and its tasks")));
    }
    let removed = app.plugin_remove(name).await?;
    if context.out.json {
        let tasks: Vec<String> = removed.tasks.iter().map(ToString::to_string).collect();
        let orphans: Vec<String> = removed.orphans.iter().map(ToString::to_string).collect();
        return Ok(context
            .out
            .json(&serde_json::json!({"name": name.as_str(), "tasks": tasks, "orphaned_schedules": orphans}))?);
    }
    if !removed.orphans.is_empty() {
        let ids: Vec<&str> = removed.orphans.iter().map(|id| id.as_str()).collect();
        context.out.note(&format!("schedules without a task now: {}", ids.join(", ")))?;
    }
    let tasks = plural(removed.tasks.len(), "task");
    Ok(context.out.line(&format!("plugin `{name}` is removed with {tasks}"))?)
}

async fn verify(context: &mut Context, name: Option<&PluginName>) -> Outcomes {
    let verified = context.app().await?.plugin_verify(name).await?;
    if context.out.json {
        let wire = verified.iter().map(|plugin| {
            serde_json::json!({
                "name": plugin.name.as_str(), "digest": plugin.digest.map(|digest| digest.to_string()), "faults": plugin.faults,
            })
        });
        context.out.json(&wire.collect::<Vec<_>>())?;
    } else {
        for plugin in &verified {
            let state = if plugin.faults.is_empty() { "ok".to_owned() } else { plugin.faults.join("; ") };
            context.out.line(&format!("{}: {state}", plugin.name))?;
        }
    }
    let is_sound = verified.iter().all(|plugin| plugin.faults.is_empty());
    if is_sound { Ok(()) } else { Err(Failure::Silent(Exit::Unexpected)) }
}
