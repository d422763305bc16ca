//! `host invoke`.

use std::path::PathBuf;
use std::sync::OnceLock;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::answer::log_line;
use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::flags::{ArgumentArgs, GrantArgs, LimitArgs};
use crate::app::{Invoke, InvokeReport, invoke, plugin_name, read_component};
use crate::assemble::signals::Signals;
use crate::config::units::{format_duration, format_size};
use crate::executor::Verdict;
use crate::model::{Outcome, PluginName};
use crate::wire::{JobErrorWire, LogLineWire, UsageWire, payload_value};
use crate::words::http_usage;

#[derive(Debug, Args)]
pub(super) struct InvokeArgs {
    /// The component: a .wasm file
    file: PathBuf,
    /// The task, by the name its author gave it
    task: String,
    /// The plugin's name [default: the file's]
    #[arg(long, value_name = "N")]
    name: Option<PluginName>,
    #[command(flatten)]
    arguments: ArgumentArgs,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Runs one attempt. Asked to end by a signal, it asks the guest to stop and reports; asked again, it leaves.
pub(super) async fn run(context: &mut Context, args: InvokeArgs) -> Outcomes {
    let mut signals = Signals::listen()?;
    let arguments = args.arguments.arguments()?;
    let grants = args.grants.grants()?;
    let component = read_component(&args.file).await?;
    let name = plugin_name(args.name, &args.file)?;
    let config = context.config()?;
    let sandbox = context.machine.sandbox(&config, &component).await?;
    let request = Invoke {
        name,
        component,
        task: args.task,
        args: arguments,
        unchecked: args.arguments.unchecked,
        grants,
        settings: args.limits.settings(),
        task_defaults: config.task_defaults,
        caps: config.caps,
    };
    let cancel = CancellationToken::new();
    let asked = OnceLock::new();
    let cancelling = async {
        let signal = signals.next().await;
        asked.get_or_init(|| signal);
        cancel.cancel();
        signals.next().await
    };
    let report = tokio::select! {
        report = invoke(&sandbox, request, cancel.clone()) => report?,
        again = cancelling => return Err(Failure::Interrupted(again)),
    };
    if context.out.json {
        print_json(context, &report)?
    } else {
        print_words(context, &report)?
    }
    match (report.finished.verdict, asked.get()) {
        (Verdict::Success(_), _) => Ok(()),
        (Verdict::Cancelled, Some(signal)) => Err(Failure::Interrupted(*signal)),
        (Verdict::Cancelled, None) => Err(Failure::Job { outcome: Outcome::Cancelled, error: None }),
        (Verdict::Failure { error, .. }, _) => Err(Failure::Job { outcome: Outcome::Error, error: Some(error) }),
    }
}

fn print_json(context: &mut Context, report: &InvokeReport) -> Outcomes {
    let (outcome, result, error) = match &report.finished.verdict {
        Verdict::Success(result) => (Outcome::Success, payload_value(result).ok(), None),
        Verdict::Failure { error, .. } => (Outcome::Error, None, Some(JobErrorWire::from(error))),
        Verdict::Cancelled => (Outcome::Cancelled, None, None),
    };
    let limits = report.limits;
    Ok(context.out.json(&json!({
        "task": report.task.name.as_str(),
        "digest": report.inspection.digest.to_string(),
        "outcome": outcome.as_str(),
        "result": result,
        "error": error,
        "usage": UsageWire::from(&report.finished.usage),
        "limits": {
            "timeout_ms": u64::try_from(limits.timeout.as_millis()).unwrap_or(u64::MAX),
            "fuel": limits.fuel,
            "memory_bytes": limits.memory_bytes,
        },
        "logs": report.lines.iter().map(LogLineWire::from).collect::<Vec<_>>(),
    }))?)
}

/// The result on standard output, everything else beside it.
fn print_words(context: &mut Context, report: &InvokeReport) -> Outcomes {
    for line in &report.lines {
        context.out.note(&log_line(line))?;
    }
    if let Verdict::Success(result) = &report.finished.verdict {
        match payload_value(result) {
            Ok(value) => context.out.json(&value)?,
            Err(fault) => context.out.note(&format!("the result is {fault}"))?,
        }
    }
    let (usage, limits) = (report.finished.usage, report.limits);
    let share = |used: u128, limit: u128| {
        // In tenths of a percent, rounded up: what is used must not look smaller than it is.
        let tenths = (used * 1_000).div_ceil(limit.max(1));
        format!("{}.{} % of", tenths / 10, tenths % 10)
    };
    let wall = share(usage.wall.as_micros(), limits.timeout.as_micros());
    let fuel = share(usage.fuel.into(), limits.fuel.into());
    let memory = share(usage.peak_memory_bytes.into(), limits.memory_bytes.into());
    let micros = usage.wall.as_micros();
    for line in [
        format!("time    {}.{:03} ms, {wall} {}", micros / 1_000, micros % 1_000, format_duration(limits.timeout)),
        format!("fuel    {}, {fuel} {}", usage.fuel, limits.fuel),
        format!("memory  {}, {memory} {}", format_size(usage.peak_memory_bytes), format_size(limits.memory_bytes)),
    ] {
        context.out.note(&line)?;
    }
    if let Some(http) = http_usage(&usage.http) {
        context.out.note(&format!("http    {http}"))?;
    }
    if let Some(progress) = &report.progress {
        context.out.note(&format!("progress {} {}", progress.done, progress.note))?;
    }
    Ok(())
}
