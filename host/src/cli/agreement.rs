//! What somebody has to agree to before a version of a plugin gets more rights than the current one has.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::Args;

use super::approval::read_approval;
use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::output::short;
use crate::app::{AppError, Approval, Review, TaskChange, VersionPlan};
use crate::model::{PluginName, PluginVersion, TaskName};
use crate::words::granted;

/// How somebody agrees beforehand to what a stored version may do.
#[derive(Debug, Args)]
pub(super) struct AgreementArgs {
    /// Agree that the version may do more than the current one
    #[arg(long)]
    yes: bool,
    /// What `plugins approve` has written: the version is refused unless it is the one that was approved, with no more rights than that
    #[arg(long, value_name = "FILE")]
    approval: Option<PathBuf>,
}

impl AgreementArgs {
    /// The version whose digest begins like that, or the one before the current one, if somebody agrees to what it may do.
    pub(super) async fn plan(
        &self,
        context: &mut Context,
        name: &PluginName,
        beginning: Option<&str>,
    ) -> Outcomes<VersionPlan> {
        let approval: Option<Approval> = match &self.approval {
            Some(path) => Some(read_approval(path).await?),
            None => None,
        };
        let app = context.app().await?;
        let plan = app.plugin_version_plan(name, beginning, approval.as_ref()).await?;
        if !self.yes && approval.is_none() && plan.review.rights_grow() {
            let report = differences(&plan.version, plan.current.as_ref(), &plan.review);
            agree(context, &plan.version, &plan.review, &report, "Give it jobs with these rights?").await?;
        }
        Ok(plan)
    }
}

/// Asks whoever sits at the terminal whether a version may have more rights than the current one; where nobody does, the answer is no.
pub(super) async fn agree(
    context: &mut Context,
    version: &PluginVersion,
    review: &Review,
    report: &[String],
    question: &str,
) -> Outcomes {
    let refusal = || Failure::RightsGrow {
        what: format!("this version of plugin `{}` would have rights that the current one does not have", version.name),
        rights: review.rights_added.iter().map(granted).collect(),
    };
    if context.out.json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refusal());
    }
    for line in report {
        context.out.note(line)?;
    }
    context.out.question(&format!("{question} [y/N] "))?;
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(|error| Failure::App(AppError::unexpected("nothing was answered", error)))??;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(refusal()) }
}

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 1_000;

/// How a version differs from the current one: the thing to look at in an update.
pub(super) fn differences(version: &PluginVersion, current: Option<&PluginVersion>, review: &Review) -> Vec<String> {
    let Some(current) = current else { return Vec::new() };
    let mut lines = vec![String::new(), format!("Compared with version {}:", short(&current.digest))];
    if review.is_empty() {
        lines.push(match version.digest == current.digest {
            true => "  nothing is different".to_owned(),
            false => "  the same tasks, imports and rights".to_owned(),
        });
        return lines;
    }
    let id = |name: &TaskName| format!("{}:{name}", version.name);
    lines.extend(review.tasks_added.iter().map(|name| format!("  {} is new", id(name))));
    lines.extend(
        review.tasks_removed.iter().map(|name| format!("  {} is gone: this version does not offer it", id(name))),
    );
    let parts = |change: &TaskChange| change.parts.join(", ");
    lines.extend(
        review.tasks_changed.iter().map(|it| format!("  {} is declared otherwise: {}", id(&it.name), parts(it))),
    );
    lines.extend(review.imports_added.iter().map(|import| format!("  asks for {}", import.interface)));
    lines.extend(review.imports_removed.iter().map(|import| format!("  asks no longer for {}", import.interface)));
    lines.extend(review.rights_added.iter().map(|grant| format!("  MAY NOW: {}", granted(grant))));
    lines.extend(review.rights_removed.iter().map(|grant| format!("  may no longer: {}", granted(grant))));
    if !review.rights_grow() {
        lines.push("  its rights do not grow".to_owned());
    }
    lines
}
