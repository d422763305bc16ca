//! `host plugins rollout`.

use clap::{ArgGroup, Args};

use super::agreement::AgreementArgs;
use super::context::Context;
use super::exit::Outcomes;
use super::output::{short, time};
use crate::app::NewRollout;
use crate::model::{Percent, PluginName, Rollout, RolloutState};
use crate::wire::RolloutWire;

#[derive(Debug, Args)]
#[command(mut_args(|arg| if ["yes", "approval"].contains(&arg.get_id().as_str()) { arg.requires("to") } else { arg }))]
#[command(group(ArgGroup::new("what").required(true).args(["to", "status", "finish", "abort"])))]
pub(super) struct RolloutArgs {
    /// The plugin
    name: PluginName,
    /// Give a part of the jobs to this version (the beginning of its digest); again for the same one, change that part
    #[arg(long, value_name = "DIGEST", requires = "percent")]
    to: Option<String>,
    /// The part of the jobs that the version gets, such as `5` or `0.5`
    #[arg(long, value_name = "P", requires = "to")]
    percent: Option<Percent>,
    /// End the rollout by itself where more of the version's attempts fail [default: as it is, or 1%]
    #[arg(long, value_name = "P", requires = "to")]
    max_error_rate: Option<Percent>,
    /// Look at the error rate from this number of attempts on, or as soon as it is bound to be too high by then [default: as it is, or so many that one failure is not too many, 100 for 1%]
    #[arg(long, value_name = "N", requires = "to")]
    min_attempts: Option<u32>,
    /// Show how the latest rollout stands, or how it ended
    #[arg(long)]
    status: bool,
    /// Make the version the current one
    #[arg(long)]
    finish: bool,
    /// Give all jobs to the current version again
    #[arg(long)]
    abort: bool,
    #[command(flatten)]
    agreement: AgreementArgs,
}

pub(super) async fn run(context: &mut Context, args: RolloutArgs) -> Outcomes {
    let app = context.app().await?;
    let name = args.name;
    let rollout = match (args.to, args.percent) {
        (Some(to), Some(share)) => {
            let (error_rate_max, attempts_min) = (args.max_error_rate, args.min_attempts);
            let plan = args.agreement.plan(context, &name, Some(&to)).await?;
            let begun = app.rollout_start(plan, NewRollout { share, error_rate_max, attempts_min }).await?;
            for task in begun.not_offered {
                context
                    .out
                    .note(&format!("note: the version does not offer `{task}`; its jobs stay with the current one"))?;
            }
            Some(begun.rollout)
        }
        _ if args.finish || args.abort => Some(app.rollout_end(&name, args.finish).await?),
        _ => app.rollout_get(&name).await?,
    };
    if context.out.json {
        return Ok(context.out.json(&rollout.map(|rollout| RolloutWire::new(&name, &rollout)))?);
    }
    match rollout {
        Some(rollout) => Ok(context.out.line(&format!("plugin `{name}`: {}", described(&rollout)))?),
        None => Ok(context.out.note(&format!("plugin `{name}` has had no rollout"))?),
    }
}

/// How a rollout stands, in words.
pub(super) fn described(rollout: &Rollout) -> String {
    let version = short(&rollout.digest);
    let ended = rollout.end.map(|end| time(end.at)).unwrap_or_default();
    let state = match rollout.state() {
        RolloutState::Active => format!("version {version} gets {} of the jobs", rollout.share),
        RolloutState::Finished => format!("version {version} is the current one since {ended}"),
        RolloutState::Aborted => format!("the rollout of version {version} was aborted at {ended}"),
        RolloutState::Returned => {
            format!("the rollout of version {version} ended by itself at {ended}: too many failed")
        }
    };
    let Rollout { attempts, failed, error_rate_max, attempts_min, .. } = rollout;
    format!("{state}; {failed} of {attempts} attempts failed, at most {error_rate_max} of {attempts_min} or more may")
}
