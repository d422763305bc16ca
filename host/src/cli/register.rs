//! `host register`.

use std::path::PathBuf;

use clap::Args;

use super::component::{plugin_name, read_component};
use super::context::Context;
use super::exit::Outcomes;
use super::flags::{GrantArgs, LimitArgs};
use super::output::{plural, shortened};
use super::rights::{asks, granted};
use crate::app::{RegisterPlugin, Registration};
use crate::config::units::{format_duration, format_size};
use crate::model::{Digest, Parallelism, PluginName, Task};
use crate::store::Put;
use crate::wire::PluginWire;

#[derive(Debug, Args)]
pub(super) struct RegisterArgs {
    /// The component: a .wasm file
    file: PathBuf,
    /// The plugin's name [default: the file's]
    #[arg(long, value_name = "N")]
    name: Option<PluginName>,
    /// Refuse the file unless this is its SHA-256
    #[arg(long, value_name = "HEX")]
    sha256: Option<Digest>,
    /// Check and report, but change nothing
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(
        flatten,
        next_help_heading = "Limits of its tasks (default: what the author asks for, within this host's caps)"
    )]
    limits: LimitArgs,
}

pub(super) async fn run(context: &mut Context, args: RegisterArgs) -> Outcomes {
    let grants = args.grants.grants()?;
    let component = read_component(&args.file).await?;
    let name = plugin_name(args.name, &args.file)?;
    let app = context.app().await?;
    let request =
        RegisterPlugin { name, component, grants, expected_digest: args.sha256, settings: args.limits.settings() };
    let registration = match args.plan {
        true => app.plugin_plan(request).await?,
        false => app.plugin_register(request).await?,
    };
    if context.out.json {
        for overlap in &registration.overlaps {
            context.out.note(&format!("note: {overlap}"))?;
        }
        return Ok(context.out.json(&PluginWire::from(&registration.version))?);
    }
    for line in report(&registration) {
        context.out.line(&line)?;
    }
    Ok(())
}

/// What an operator should know about what was registered.
fn report(registration: &Registration) -> Vec<String> {
    let version = &registration.version;
    let mut lines = vec![headline(registration)];
    lines.push(format!("  SHA-256 {}, {}", version.digest, format_size(version.size_bytes)));
    lines.push(String::new());
    lines.push(plural(registration.tasks.len(), "task") + ":");
    lines.extend(registration.tasks.iter().map(|task| format!("  {}", task_line(task))));
    if let Some(changes) = &registration.changes {
        lines.extend(changes.tasks_removed.iter().map(|id| format!("  {id} is gone: this version does not offer it")));
    }
    lines.push(String::new());
    lines.push("It asks to:".to_owned());
    lines.extend(asks(&version.imports, &version.grants).into_iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.push(if version.grants.is_empty() {
        "It may use: nothing of this host".to_owned()
    } else {
        "It may use:".to_owned()
    });
    lines.extend(version.grants.iter().map(|grant| format!("  {}", granted(grant))));
    lines.extend(registration.overlaps.iter().map(|overlap| format!("  note: {overlap}")));
    lines.extend(new_imports(registration));
    lines.push(String::new());
    lines.push(footprint(registration));
    lines
}

fn headline(registration: &Registration) -> String {
    let name = &registration.version.name;
    match (registration.changes.as_ref().map(|changes| changes.put), &registration.previous) {
        (None, None) => format!("plugin `{name}` is fit to be registered (nothing was changed)"),
        (None, Some(_)) => format!("plugin `{name}` is fit to be registered as a new version (nothing was changed)"),
        (Some(Put::Added), _) => format!("plugin `{name}` is registered"),
        (Some(Put::Replaced), _) => format!("plugin `{name}` has a new version"),
        (Some(Put::Unchanged), _) => format!("plugin `{name}` is registered already, just like this"),
    }
}

fn task_line(task: &Task) -> String {
    let settings = task.resolved();
    let parallel = match settings.max_running_jobs {
        Parallelism::Unlimited => "any number at once".to_owned(),
        Parallelism::AtMost(count) => format!("{count} at once"),
    };
    let limits = format!("{}, {}, {parallel}", format_duration(settings.timeout), format_size(settings.memory_bytes));
    let about = task.description.lines().next().unwrap_or("");
    match about {
        "" => format!("{}  ({limits})", task.id),
        _ => format!("{}  {}  ({limits})", task.id, shortened(about, 80)),
    }
}

/// What this version imports and the one before did not: the thing to look at in an update.
fn new_imports(registration: &Registration) -> Vec<String> {
    let Some(previous) = registration.previous.as_ref().filter(|old| old.digest != registration.version.digest) else {
        return Vec::new();
    };
    // Without the version: an interface in a newer version is no new wish.
    let bare = |interface: &str| interface.split('@').next().unwrap_or(interface).to_owned();
    let known: Vec<String> = previous.imports.iter().map(|import| bare(&import.interface)).collect();
    let news = registration.version.imports.iter().filter(|import| !known.contains(&bare(&import.interface)));
    let news: Vec<String> = news.map(|import| format!("  {}", import.interface)).collect();
    if news.is_empty() {
        return Vec::new();
    }
    [vec![String::new(), "New since the version before:".to_owned()], news].concat()
}

/// Memory above which the cost of wiping it for every job is worth a word: what a plugin with the stack that `host new` sets has.
const MEMORY_WORTH_A_WORD: u64 = 512 * 1024;

fn footprint(registration: &Registration) -> String {
    let memory = registration.footprint.initial_memory_bytes;
    let cost = format!("Each job starts with {} of memory", format_size(memory));
    if memory > MEMORY_WORTH_A_WORD {
        format!(
            "{cost}, which is made ready and wiped every time; a smaller stack (-C link-arg=-zstack-size=65536) makes jobs cheaper"
        )
    } else {
        cost
    }
}
