//! `host register`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::agreement::{agree, differences};
use super::approval::read_approval;
use super::context::Context;
use super::exit::Outcomes;
use super::flags::{GrantArgs, LimitArgs};
use super::input::read_text;
use super::output::{plural, short, shortened};
use crate::app::{RegisterPlugin, Registration, plugin_name, read_component};
use crate::config::units::{format_duration, format_size};
use crate::model::limits::SIGNATURE_BYTES_MAX;
use crate::model::{Digest, Parallelism, PluginName, Task};
use crate::store::Put;
use crate::wire::RegistrationWire;
use crate::words::{asks, granted};

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
    /// Leave the current version current: for `plugins rollout`, or `plugins rollback --to`
    #[arg(long)]
    inactive: bool,
    /// Agree that this version may do more than the current one
    #[arg(long)]
    yes: bool,
    /// What `plugins approve` has written: the component gets these rights, and is refused if it is another one; the flags below may narrow them and give values
    #[arg(long, value_name = "FILE")]
    approval: Option<PathBuf>,
    /// The component's signature, as `minisign -Sm` writes it [default: the component's file with `.minisig` after it, if there is one]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(
        flatten,
        next_help_heading = "Limits of its tasks (default: what the author asks for, within this host's caps)"
    )]
    limits: LimitArgs,
}

pub(super) async fn run(context: &mut Context, args: RegisterArgs) -> Outcomes {
    let mut grants = args.grants.grants()?;
    let approval = match &args.approval {
        Some(path) => Some(read_approval(path).await?),
        None => None,
    };
    if let Some(approval) = &approval {
        grants = approval.grants(grants)?;
    }
    let component = read_component(&args.file).await?;
    let signature = signature(&args.file, args.signature).await?;
    let name = plugin_name(args.name, &args.file)?;
    let app = context.app().await?;
    let is_agreed = args.yes || approval.is_some();
    let (expected_digest, settings, inactive) = (args.sha256, args.limits.settings(), args.inactive);
    let request = RegisterPlugin {
        grants,
        expected_digest,
        settings,
        approval,
        signature,
        inactive,
        ..RegisterPlugin::new(name, component)
    };
    let plan = app.plugin_plan(request).await?;
    if args.plan {
        return print(context, &plan.registration);
    }
    if !is_agreed && plan.registration.review.rights_grow() {
        let Registration { version, review, .. } = &plan.registration;
        agree(context, version, review, &report(&plan.registration), "Register it with these rights?").await?;
    }
    print(context, &app.plugin_carry_out(plan).await?)
}

/// The signature of a component: the one that is named, or the one beside it.
async fn signature(component: &Path, named: Option<PathBuf>) -> Outcomes<Option<String>> {
    let file = match named {
        Some(file) => file,
        None => {
            let mut beside = component.as_os_str().to_owned();
            beside.push(".minisig");
            match Path::new(&beside).try_exists() {
                Ok(true) => PathBuf::from(beside),
                _ => return Ok(None),
            }
        }
    };
    Ok(Some(read_text(&file, SIGNATURE_BYTES_MAX as u64).await?))
}

fn print(context: &mut Context, registration: &Registration) -> Outcomes {
    if context.out.json {
        for note in &registration.notes {
            context.out.note(&format!("note: {note}"))?;
        }
        return Ok(context.out.json(&RegistrationWire::from(registration))?);
    }
    for line in report(registration) {
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
    if version.is_pure() {
        lines.push("They are pure: they can only compute, log and return".to_owned());
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
    lines.extend(registration.notes.iter().map(|note| format!("  note: {note}")));
    lines.extend(differences(version, registration.previous.as_ref(), &registration.review));
    lines.push(String::new());
    lines.push(footprint(registration));
    lines
}

fn headline(registration: &Registration) -> String {
    let name = &registration.version.name;
    match (registration.changes.as_ref().map(|changes| changes.put), &registration.previous) {
        (None, None) => format!("plugin `{name}` is fit to be registered (nothing was changed)"),
        (None, Some(_)) => format!("plugin `{name}` is fit to be registered as a new version (nothing was changed)"),
        (Some(Put::Unchanged), _) => format!("plugin `{name}` is registered already, just like this"),
        (Some(_), Some(current)) if registration.is_inactive => {
            format!("plugin `{name}` has another version; {} stays the current one", short(&current.digest))
        }
        (Some(Put::Added), _) => format!("plugin `{name}` is registered"),
        (Some(Put::Replaced), _) => format!("plugin `{name}` has a new version"),
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
