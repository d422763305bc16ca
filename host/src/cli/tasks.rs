//! `host tasks`.

use std::collections::BTreeSet;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::context::Context;
use super::exit::Outcomes;
use super::flags::{HookArgs, SettingsArgs};
use super::output::{printable, shortened};
use super::when::OverlapArg;
use crate::app::{ConfigureTask, RemovedTask, SettingName};
use crate::config::units::{format_duration, format_size};
use crate::config::words::{parse_grace_time, parse_parallelism, parse_pause_after};
use crate::model::{GraceTime, Parallelism, PauseAfter, Payload, PluginName, Settings, Target};
use crate::store::{Page, TaskRow};
use crate::wire::{TaskDetails, TaskWire};
use crate::words::PURE;
use crate::words::{grace_time, layer_of_task, run_settings};

#[derive(Debug, Args)]
pub(super) struct TasksArgs {
    #[command(subcommand)]
    command: Option<TasksCommand>,
}

#[derive(Debug, Subcommand)]
enum TasksCommand {
    /// List tasks (also without any subcommand)
    List,
    /// One task: its settings, the schema of its arguments, an example
    Show {
        /// The task: `plugin:task`, or the bare name where one plugin offers it
        id: String,
    },
    /// Set what is configured for a task, or make a second task over the same function
    Configure(Box<ConfigureArgs>),
    /// Remove a task that was made by `configure --from`
    Remove {
        /// The task
        id: String,
    },
}

#[derive(Debug, Args)]
struct ConfigureArgs {
    /// The task; with --from, the ID of the task to be made
    id: String,
    /// Make a second task over the function of this one
    #[arg(long, value_name = "ID")]
    from: Option<String>,
    /// What it does, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Most jobs of the task that run at once over all schedulers, or `none` for no limit
    #[arg(long, value_name = "N", value_parser = parse_parallelism)]
    max_running_jobs: Option<Parallelism>,
    /// Most jobs that run at once of those with the same concurrency key, or `none` for no limit [default: 1]
    #[arg(long, value_name = "N", value_parser = parse_parallelism)]
    max_running_per_key: Option<Parallelism>,
    /// How late a scheduled job may start, or `none` for no limit
    #[arg(long, value_name = "D", value_parser = parse_grace_time)]
    misfire_grace_time: Option<GraceTime>,
    /// What its schedules do that fire while an earlier job of theirs waits or runs [default: queue]
    #[arg(long, value_name = "P", value_enum)]
    overlap: Option<OverlapArg>,
    /// Pause its schedules when so many of their jobs have failed one after the other, or `none` for never [default: none]
    #[arg(long, value_name = "N", value_parser = parse_pause_after)]
    pause_after: Option<PauseAfter>,
    #[command(flatten)]
    hooks: HookArgs,
    /// Take a setting back, so that what the author or the host says holds again; may be repeated
    #[arg(long, value_name = "SETTING")]
    unset: Vec<UnsetArg>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// A setting that can be taken back: named as its flag.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum UnsetArg {
    MaxRunningJobs,
    MaxRunningPerKey,
    ConcurrencyKey,
    Queue,
    MisfireGraceTime,
    Overlap,
    PauseAfter,
    UntilSuccess,
    MaxFires,
    OnFailure,
    OnSuccess,
    OnMissed,
    Executor,
    Timeout,
    Fuel,
    Memory,
    MaxAttempts,
    Backoff,
    Priority,
    ResultTtl,
    Metadata,
}

impl From<UnsetArg> for SettingName {
    fn from(arg: UnsetArg) -> SettingName {
        match arg {
            UnsetArg::MaxRunningJobs => SettingName::MaxRunningJobs,
            UnsetArg::MaxRunningPerKey => SettingName::MaxRunningPerKey,
            UnsetArg::ConcurrencyKey => SettingName::ConcurrencyKey,
            UnsetArg::Queue => SettingName::Queue,
            UnsetArg::MisfireGraceTime => SettingName::MisfireGraceTime,
            UnsetArg::Overlap => SettingName::Overlap,
            UnsetArg::PauseAfter => SettingName::PauseAfter,
            UnsetArg::UntilSuccess => SettingName::UntilSuccess,
            UnsetArg::MaxFires => SettingName::MaxFires,
            UnsetArg::OnFailure => SettingName::OnFailure,
            UnsetArg::OnSuccess => SettingName::OnSuccess,
            UnsetArg::OnMissed => SettingName::OnMissed,
            UnsetArg::Executor => SettingName::Executor,
            UnsetArg::Timeout => SettingName::Timeout,
            UnsetArg::Fuel => SettingName::Fuel,
            UnsetArg::Memory => SettingName::Memory,
            UnsetArg::MaxAttempts => SettingName::MaxAttempts,
            UnsetArg::Backoff => SettingName::Backoff,
            UnsetArg::Priority => SettingName::Priority,
            UnsetArg::ResultTtl => SettingName::ResultTtl,
            UnsetArg::Metadata => SettingName::Metadata,
        }
    }
}

pub(super) async fn run(context: &mut Context, args: TasksArgs) -> Outcomes {
    match args.command.unwrap_or(TasksCommand::List) {
        TasksCommand::List => list(context).await,
        TasksCommand::Show { id } => {
            let row = context.app().await?.task_resolve(&id).await?;
            print(context, &row).await
        }
        TasksCommand::Configure(args) => configure(context, *args).await,
        TasksCommand::Remove { id } => {
            let removed = context.app().await?.task_remove(&id).await?;
            print_removed(context, &removed)
        }
    }
}

fn print_removed(context: &mut Context, RemovedTask { id, defect }: &RemovedTask) -> Outcomes {
    let Some(reason) = defect.as_ref().map(ToString::to_string) else {
        if context.out.json {
            return Ok(context.out.json(&json!({"id": id.as_str()}))?);
        }
        return Ok(context.out.line(&format!("task `{id}` is removed"))?);
    };
    if context.out.json {
        return Ok(context.out.json(&json!({"id": id.as_str(), "unreadable": reason}))?);
    }
    Ok(context.out.line(&printable(&format!("task `{id}` is removed; it was unreadable: {reason}")))?)
}

async fn list(context: &mut Context) -> Outcomes {
    let Page { rows, unreadable, .. } = context.app().await?.task_list().await?;
    context.out.unreadable("task", &unreadable)?;
    if context.out.json {
        let pure = context.app().await?.plugins_pure().await?;
        let wire = |row: &TaskRow| TaskWire::new(row, is_pure(row, &pure));
        return Ok(context.out.json(&rows.iter().map(wire).collect::<Vec<_>>())?);
    }
    if rows.is_empty() && unreadable.is_empty() {
        return Ok(context.out.note("no tasks; `host register FILE` registers a plugin with its tasks")?);
    }
    let row = |row: &TaskRow| {
        let settings = row.task.resolved();
        let about = shortened(row.task.description.lines().next().unwrap_or(""), 60);
        let running = format!("{}/{}", row.running_jobs, parallelism(settings.max_running_jobs));
        vec![
            row.task.id.to_string(),
            running,
            format_duration(settings.timeout),
            format_size(settings.memory_bytes),
            about,
        ]
    };
    let rows = rows.iter().map(row).collect();
    Ok(context.out.table(&["TASK", "RUNNING", "TIMEOUT", "MEMORY", "DESCRIPTION"], rows)?)
}

async fn configure(context: &mut Context, args: ConfigureArgs) -> Outcomes {
    let settings = Settings {
        max_running_jobs: args.max_running_jobs,
        max_running_per_key: args.max_running_per_key,
        misfire_grace_time: args.misfire_grace_time,
        overlap: args.overlap.map(Into::into),
        pause_after: args.pause_after,
        hooks: args.hooks.hooks(),
        ..args.settings.settings()?
    };
    let request = ConfigureTask {
        id: args.id,
        from: args.from,
        description: args.description,
        settings,
        unset: args.unset.into_iter().map(SettingName::from).collect(),
    };
    let row = context.app().await?.task_configure(request).await?;
    print(context, &row).await
}

fn is_pure(row: &TaskRow, pure: &BTreeSet<PluginName>) -> bool {
    row.task.target.plugin().is_some_and(|plugin| pure.contains(plugin))
}

async fn print(context: &mut Context, row: &TaskRow) -> Outcomes {
    let is_pure = is_pure(row, &context.app().await?.plugins_pure().await?);
    if context.out.json {
        return Ok(context.out.json(&TaskDetails::new(row, is_pure))?);
    }
    let task = &row.task;
    let settings = task.resolved();
    let runs = match &task.target {
        Target::Plugin { plugin, function } => format!("`{function}` of plugin {plugin}"),
        Target::Native { function } => format!("`{function}` of the embedding program"),
    };
    let layer = |sets| layer_of_task(task, sets);
    let per_key = settings.concurrency_key.as_ref().map_or_else(String::new, |key| {
        let from = layer(|layer| layer.concurrency_key.is_some());
        format!("{} at once with the same {key}{from}", parallelism(settings.max_running_per_key))
    });
    let parallelism = parallelism(settings.max_running_jobs);
    let mut pairs = vec![
        ("task", task.id.to_string()),
        ("runs", runs),
        ("description", task.description.clone()),
        ("pure", if is_pure { PURE.to_owned() } else { String::new() }),
        (
            "running",
            format!("{} of at most {parallelism}{}", row.running_jobs, layer(|layer| layer.max_running_jobs.is_some())),
        ),
        ("per key", per_key),
        (
            "misfire grace time",
            grace_time(settings.misfire_grace_time) + layer(|layer| layer.misfire_grace_time.is_some()),
        ),
        ("overlap", settings.overlap.to_string() + layer(|layer| layer.overlap.is_some())),
        ("pause after", settings.pause_after.to_string() + layer(|layer| layer.pause_after.is_some())),
    ];
    pairs.extend(run_settings(&TaskWire::new(row, is_pure).executor, &settings.for_job(&Payload::no_args()), layer));
    pairs.extend([
        ("example", task.example_args.clone().unwrap_or_default()),
        ("arguments", task.args_schema.clone().unwrap_or_default()),
        ("result", task.result_schema.clone().unwrap_or_default()),
    ]);
    Ok(context.out.pairs(&pairs)?)
}

fn parallelism(parallelism: Parallelism) -> String {
    match parallelism {
        Parallelism::Unlimited => "any number".to_owned(),
        Parallelism::AtMost(count) => count.to_string(),
    }
}
