//! `host status`, `host cleanup`, `host migrate`, `host completions`.

use clap::Args;
use clap_complete::Shell;
use serde_json::json;

use super::context::Context;
use super::exit::Outcomes;
use super::output::{plural, time, time_or_dash};
use crate::app::Status;
use crate::assemble::{Migrating, Migrations};
use crate::config::units::format_size;
use crate::model::MemoryLoad;
use crate::wire;

pub(super) async fn status(context: &mut Context) -> Outcomes {
    let status = context.app().await?.status().await?;
    let config = context.config()?;
    let store = config.store.to_string();
    if context.out.json {
        let mut answer = json!(wire::status(&status));
        answer["store"] = store.into();
        answer["data_dir"] = config.data_dir.display().to_string().into();
        return Ok(context.out.json(&answer)?);
    }
    let mut pairs = vec![
        ("store", store),
        ("data folder", config.data_dir.display().to_string()),
        ("plugins", format!("{} with {}", status.plugins, plural(status.tasks, "task"))),
    ];
    pairs.extend(state(&status));
    Ok(context.out.pairs(&pairs)?)
}

/// How jobs, schedules and schedulers stand, and what is wrong.
pub(super) fn state(status: &Status) -> Vec<(&'static str, String)> {
    let jobs = status.jobs;
    let schedulers = status.schedulers.iter().map(|scheduler| match scheduler.stopped_at {
        Some(stopped) => format!("{} ({}), stopped {}", scheduler.id, scheduler.role, time(stopped)),
        None => {
            let memory = scheduler.memory.map(memory).unwrap_or_default();
            format!("{} ({}), last seen {}{memory}", scheduler.id, scheduler.role, time(scheduler.seen_at))
        }
    });
    let schedulers = schedulers.collect::<Vec<_>>().join("\n");
    let unserved = status.unserved.iter().map(|it| format!("{}, {}", plural_jobs(it.jobs), it.waits_for));
    let unserved = unserved.collect::<Vec<_>>().join("\n");
    let clock = status.store_clock_ahead_ms.map(|ahead| format!("{ahead} ms ahead of this host's"));
    vec![
        ("schedules", format!("{}, {} of them paused", status.schedules, status.schedules_paused)),
        ("next due", time_or_dash(status.next_due)),
        ("jobs", format!("{} queued, {} running, {} finished", jobs.queued, jobs.running, jobs.finished)),
        ("nobody runs", unserved),
        ("schedulers", if schedulers.is_empty() { "none".to_owned() } else { schedulers }),
        ("unreadable", status.unreadable.lines().join("\n")),
        ("store's clock", clock.unwrap_or_default()),
    ]
}

fn plural_jobs(count: u64) -> String {
    plural(usize::try_from(count).unwrap_or(usize::MAX), "job")
}

/// What the jobs of a scheduler have of the memory that they may have together.
fn memory(memory: MemoryLoad) -> String {
    let MemoryLoad { total_bytes, reserved_bytes, waiting } = memory;
    let waiting = match waiting {
        0 => String::new(),
        waiting => format!(", and {} for some", plural(waiting, "job") + if waiting == 1 { " waits" } else { " wait" }),
    };
    format!("; jobs have {} of {}{waiting}", format_size(reserved_bytes), format_size(total_bytes))
}

pub(super) async fn cleanup(context: &mut Context) -> Outcomes {
    let app = context.app().await?;
    let cleaned = app.cleanup().await?;
    let serve = context.config()?.serve;
    app.history_trim(serve.history_ttl, serve.history_max).await?;
    if context.out.json {
        let ids = |ids: &[crate::model::JobId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        return Ok(context.out.json(&json!({
            "removed_jobs": ids(&cleaned.jobs),
            "removed_schedules": cleaned.schedules.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
            "requeued_jobs": ids(&cleaned.requeued),
            "ended_jobs": ids(&cleaned.ended),
        }))?);
    }
    let (jobs, schedules) = (plural(cleaned.jobs.len(), "job"), plural(cleaned.schedules.len(), "schedule"));
    context.out.line(&format!("removed {jobs} and {schedules}"))?;
    if !cleaned.requeued.is_empty() || !cleaned.ended.is_empty() {
        let (requeued, ended) = (plural(cleaned.requeued.len(), "job"), plural(cleaned.ended.len(), "job"));
        context.out.line(&format!("of workers that vanished: {requeued} queued again, {ended} ended"))?;
    }
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Show the statements that would be run (also without any flag)
    #[arg(long, conflicts_with = "apply")]
    plan: bool,
    /// Do it
    #[arg(long)]
    apply: bool,
}

pub(super) async fn migrate(context: &mut Context, args: MigrateArgs) -> Outcomes {
    let migrating = if args.apply { Migrating::Apply } else { Migrating::Plan };
    let config = context.config()?;
    let migrations = context.machine.migrate(&config, migrating).await?;
    let Migrations { current, wanted, steps } = migrations;
    if context.out.json {
        let steps = steps.iter().map(|step| json!({"version": step.version, "name": step.name, "sql": step.text}));
        let steps: Vec<_> = steps.collect();
        return Ok(context
            .out
            .json(&json!({"current": current, "wanted": wanted, "applied": args.apply, "steps": steps}))?);
    }
    if steps.is_empty() {
        return Ok(context.out.line(&format!("the schema is up to date, at version {current}"))?);
    }
    for step in &steps {
        let (version, name) = (step.version, &step.name);
        if args.apply {
            context.out.line(&format!("applied {version:04} {name}"))?;
        } else {
            context.out.own_text(&format!("-- {version:04} {name}\n{}", step.text.trim_end()))?;
        }
    }
    if !args.apply {
        let count = plural(steps.len(), "step");
        context.out.note(&format!(
            "{count} to be applied, from version {current} to {wanted}; `host migrate --apply` does it"
        ))?;
    }
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(context: &mut Context, args: &CompletionsArgs, mut command: clap::Command) -> Outcomes {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "host", &mut script);
    Ok(context.out.own_text(String::from_utf8_lossy(&script).trim_end())?)
}
