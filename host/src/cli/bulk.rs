//! `host jobs cancel` and `host jobs retry` for all jobs that pass a filter.

use clap::Args;

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::filter::FilterArgs;
use super::output::plural;
use crate::app::{App, BulkAction, BulkDone};
use crate::model::JobId;

/// One job, or all that pass a filter.
#[derive(Debug, Args)]
pub(super) struct ChosenArgs {
    /// The job; without it, those that pass the filter
    id: Option<JobId>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Do it for all jobs that pass the filter
    #[arg(long, conflicts_with = "id")]
    yes: bool,
}

impl ChosenArgs {
    /// The one job that is named; else it is done here for those that pass the filter.
    pub(super) async fn one_or_do(
        self,
        context: &mut Context,
        app: &App,
        action: BulkAction,
    ) -> Outcomes<Option<JobId>> {
        let ChosenArgs { id, filter, yes } = self;
        if id.is_some() && !filter.is_empty() {
            return Err(Failure::usage("a job is named, and a filter beside it", "leave one of the two out"));
        }
        if id.is_some() {
            return Ok(id);
        }
        if filter.is_empty() {
            return Err(Failure::usage("no job is named", "name one, or a filter such as --group or --task"));
        }
        let ids = app.jobs_for(action, filter.filter(app).await?).await?;
        if !yes && !ids.is_empty() {
            let done = match action {
                BulkAction::Cancel { .. } => "cancels",
                BulkAction::Retry => "queues once more",
            };
            return Err(Failure::NeedsYes(format!("this {done} {}", plural(ids.len(), "job"))));
        }
        let done = app.jobs_do(action, &ids).await?;
        print(context, action, done)?;
        Ok(None)
    }
}

fn print(context: &mut Context, action: BulkAction, done: BulkDone) -> Outcomes {
    let BulkDone { done, asked, passed_over } = done;
    if context.out.json {
        return Ok(context.out.json(&match action {
            BulkAction::Cancel { .. } => {
                serde_json::json!({"cancelled": done - asked, "asked": asked, "passed_over": passed_over})
            }
            BulkAction::Retry => serde_json::json!({"queued": done, "passed_over": passed_over}),
        })?);
    }
    let text = match action {
        BulkAction::Cancel { .. } => {
            format!("{} cancelled, {} asked to stop", plural(done - asked, "job"), plural(asked, "running job"))
        }
        BulkAction::Retry => format!("{} queued for one more attempt", plural(done, "job")),
    };
    context.out.line(&text)?;
    if passed_over > 0 {
        context.out.note(&format!("{} had changed meanwhile", plural(passed_over, "job")))?;
    }
    Ok(())
}
