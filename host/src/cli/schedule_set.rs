//! `host schedules set`: change one thing about a schedule and keep the rest.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::flags::{ArgumentArgs, SettingsArgs, StopArgs, parse_grace_time};
use super::show::{describe, pause_after};
use super::tasks::UnsetArg;
use super::when::{CoalesceArg, OverlapArg, WhenArgs};
use crate::app::{App, Arguments, ScheduleChange, ScheduleChanged, SettingName};
use crate::config::units::{format_duration, parse_duration};
use crate::model::{GraceTime, Overlap, PauseAfter, ScheduleId, Settings};
use crate::trigger::Fire;
use crate::wire::coalesce_name;

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
        let says_nothing = change.trigger.is_empty()
            && change.args == Arguments::Absent
            && change.coalesce.is_none()
            && change.max_jitter.is_none()
            && change.settings == Settings::default()
            && change.unset.is_empty();
        if says_nothing {
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
    let differences = differences(&changed);
    let texts = |fires: &[Fire]| fires.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (before, after) = (texts(&changed.fires_before), texts(&changed.fires_after));
    if context.out.json {
        return Ok(context.out.json(&serde_json::json!({
            "id": args.id.as_str(),
            "changed": differences.iter().map(|(what, _)| what).collect::<Vec<_>>(),
            "fires_before": before,
            "fires_after": after,
        }))?);
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

/// What is different, by name, in words.
fn differences(changed: &ScheduleChanged) -> Vec<(&'static str, String)> {
    let ScheduleChanged { before, after, .. } = changed;
    let mut differences = Vec::new();
    if before.trigger != after.trigger {
        differences.push(("trigger", format!("{} (it was: {})", describe(after), describe(before))));
    }
    if before.args != after.args {
        differences.push(("arguments", "others".to_owned()));
    }
    if before.coalesce != after.coalesce {
        let (new, old) = (coalesce_name(after.coalesce), coalesce_name(before.coalesce));
        differences.push(("coalesce", format!("{new} (it was: {old})")));
    }
    if before.max_jitter != after.max_jitter {
        let (new, old) = (format_duration(after.max_jitter), format_duration(before.max_jitter));
        differences.push(("max jitter", format!("{new} (it was: {old})")));
    }
    if before.settings.overlap != after.settings.overlap {
        let shown =
            |policy: Option<Overlap>| policy.map_or_else(|| "the task's".to_owned(), |policy| policy.to_string());
        let (new, old) = (shown(after.settings.overlap), shown(before.settings.overlap));
        differences.push(("overlap", format!("{new} (it was: {old})")));
    }
    let (new, old) = (&after.settings, &before.settings);
    if new.pause_after != old.pause_after {
        let shown = |limit: Option<PauseAfter>| limit.map_or_else(|| "as the task says".to_owned(), pause_after);
        differences.push(("pause after", format!("{} (it was: {})", shown(new.pause_after), shown(old.pause_after))));
    }
    if new.until_success != old.until_success {
        let shown = |until: Option<bool>| if until == Some(true) { "yes" } else { "no" };
        differences
            .push(("until success", format!("{} (it was: {})", shown(new.until_success), shown(old.until_success))));
    }
    if new.max_fires != old.max_fires {
        let shown = |max: Option<NonZeroU32>| max.map_or_else(|| "any number".to_owned(), |max| max.to_string());
        differences.push(("max fires", format!("{} (it was: {})", shown(new.max_fires), shown(old.max_fires))));
    }
    let others = |settings: &Settings| Settings {
        overlap: None,
        pause_after: None,
        until_success: None,
        max_fires: None,
        ..settings.clone()
    };
    if others(new) != others(old) {
        differences.push(("settings", "others; `host schedules show` shows them".to_owned()));
    }
    differences
}
