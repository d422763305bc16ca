//! `host schedules set`: change one thing about a schedule and keep the rest.

use std::time::Duration;

use clap::{ArgGroup, Args};

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::flags::{ArgumentArgs, SettingsArgs, StopArgs};
use super::tasks::UnsetArg;
use super::when::{CoalesceArg, OverlapArg, WhenArgs};
use crate::app::{App, ScheduleChange, SettingName};
use crate::config::units::parse_duration;
use crate::config::words::parse_grace_time;
use crate::model::{GraceTime, ScheduleId, Settings};
use crate::trigger::Fire;
use crate::wire::{schedule_changed, schedule_differences};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("rule").args(["interval", "cron", "at", "calendar", "trigger"])))]
pub(super) struct SetArgs {
    /// The schedule
    id: ScheduleId,
    #[command(flatten)]
    when: WhenArgs,
    /// Fire without end
    #[arg(long, conflicts_with = "end")]
    no_end: bool,
    #[command(flatten)]
    arguments: ArgumentArgs,
    /// Which of several missed fire times become jobs
    #[arg(long, value_name = "P", value_enum)]
    coalesce: Option<CoalesceArg>,
    /// How late a job may start, or `none` for no limit
    #[arg(long, value_name = "D", value_parser = parse_grace_time)]
    misfire_grace_time: Option<GraceTime>,
    /// What it does where it fires while an earlier job of its own waits or runs
    #[arg(long, value_name = "P", value_enum)]
    overlap: Option<OverlapArg>,
    #[command(flatten)]
    stop: StopArgs,
    /// Start each job up to this much later, at random
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    max_jitter: Option<Duration>,
    /// Take a setting back, so that what the task says holds again; may be repeated
    #[arg(long, value_name = "SETTING")]
    unset: Vec<UnsetArg>,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl SetArgs {
    fn change(&self, context: &Context) -> Outcomes<ScheduleChange> {
        let mut trigger = self.when.edit(context.machine.clock().now(), self.id.as_str())?;
        if self.no_end {
            trigger.end = Some(None);
        }
        let change = ScheduleChange {
            trigger,
            args: self.arguments.arguments()?,
            coalesce: self.coalesce.map(Into::into),
            max_jitter: self.max_jitter,
            settings: Settings {
                misfire_grace_time: self.misfire_grace_time,
                overlap: self.overlap.map(Into::into),
                ..self.stop.put_into(self.settings.settings()?)
            },
            unset: self.unset.iter().copied().map(SettingName::from).collect(),
            unchecked: self.arguments.unchecked,
        };
        if change.is_empty() {
            return Err(Failure::usage(
                "nothing is said that is to be different",
                "add a flag, such as --cron or --arg",
            ));
        }
        Ok(change)
    }
}

pub(super) async fn run(context: &mut Context, app: &App, args: SetArgs) -> Outcomes {
    let change = args.change(context)?;
    let changed = app.schedule_set(&args.id, &change).await?;
    let differences = schedule_differences(&changed);
    let texts = |fires: &[Fire]| fires.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (before, after) = (texts(&changed.fires_before), texts(&changed.fires_after));
    if context.out.json {
        return Ok(context.out.json(&schedule_changed(&changed))?);
    }
    if differences.is_empty() {
        return Ok(context.out.line(&format!("schedule `{}` is as it was", args.id))?);
    }
    for (what, difference) in &differences {
        context.out.line(&format!("{what}: {difference}"))?;
    }
    if before == after {
        return Ok(context.out.line("the next fire times stay as they are")?);
    }
    let cell = |times: &[String], at: usize| times.get(at).cloned().unwrap_or_else(|| "-".to_owned());
    let rows = (0..before.len().max(after.len())).map(|at| vec![cell(&before, at), cell(&after, at)]).collect();
    context.out.table(&["NEXT BEFORE", "NEXT NOW"], rows)?;
    if changed.after.pause.is_some() {
        context.out.note("the schedule is paused")?;
    }
    Ok(())
}
