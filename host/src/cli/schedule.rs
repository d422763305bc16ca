//! `host schedule`: put a task on a schedule.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::context::Context;
use super::crontab::{self, Import};
use super::exit::Outcomes;
use super::flags::ConflictArg;
use super::output::time;
use super::when::{WhatArgs, WhenArgs};
use crate::app::NewSchedule;
use crate::model::{Schedule, ScheduleId, Timestamp};
use crate::store::ScheduleAdded;
use crate::trigger::Trigger;
use crate::wire::ScheduleWire;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("when").required(true).args(["interval", "cron", "at", "calendar", "trigger", "from_crontab"])))]
pub(super) struct ScheduleArgs {
    /// The task: `plugin:task`, or the bare name where one plugin offers it
    #[arg(required_unless_present = "from_crontab", conflicts_with = "from_crontab")]
    task: Option<String>,
    #[command(flatten)]
    when: WhenArgs,
    /// Schedule every line of a crontab file, `-` for standard input: all of them or, with --partial, those that can be; in place of the
    /// command stands a task with flags of this command, such as `0 9 * * * greet --arg name=Ada`
    #[arg(long, value_name = "FILE", help_heading = "When (one of)")]
    from_crontab: Option<PathBuf>,
    /// Of --from-crontab, schedule the lines that can be, whatever the others are
    #[arg(long, requires = "from_crontab")]
    partial: bool,
    /// What to do where the ID is taken
    #[arg(long, value_name = "P", value_enum, default_value_t)]
    conflict: ConflictArg,
    #[command(flatten)]
    what: WhatArgs,
}

pub(super) async fn run(context: &mut Context, args: ScheduleArgs) -> Outcomes {
    let ScheduleArgs { task, when, from_crontab, partial, conflict, what } = args;
    let Some(task) = task else {
        let file = from_crontab.unwrap_or_default();
        return crontab::run(context, &file, Import { when, what, conflict: conflict.into(), partial }).await;
    };
    // Looked at before anything is opened; what counts from now counts from the store's time.
    let given = what.id.as_ref().map_or("", ScheduleId::as_str);
    what.schedule(&task, when.trigger(context.machine.clock().now(), given)?, conflict.into())?;
    let app = context.app().await?;
    let now = app.now().await?;
    // The `H` of a cron expression takes its value from the ID.
    let id = match what.id.clone() {
        None if when.cron.is_some() => Some(app.schedule_new_id(&task).await?),
        id => id,
    };
    let trigger = when.trigger(now, id.as_ref().map_or("", ScheduleId::as_str))?;
    let new = what.pinned(&app, what.schedule(&task, trigger.clone(), conflict.into())?).await?;
    let created = app.schedule_add(NewSchedule { id, ..new }).await?;
    let schedule = created.schedule;
    if created.added == ScheduleAdded::Skipped {
        context.out.note(&format!("schedule `{}` exists already and was kept as it is", schedule.id))?;
    } else {
        let next = schedule.next_fire_time.map_or_else(|| "never".to_owned(), time);
        let rest = if schedule.pause.is_some() { "; it is paused" } else { "" };
        context.out.note(&format!("{}: {}; first {next}{rest}", schedule.task_id, trigger.describe()))?;
        let mut notes = notes(&trigger, schedule.next_fire_time, now);
        if let Some(replaced) = &created.replaced {
            notes.extend(replacement_notes(replaced, &schedule));
        }
        for note in notes {
            context.out.note(&format!("note: {note}"))?;
        }
    }
    if context.out.json {
        let task = app.task_resolve(schedule.task_id.as_str()).await.ok();
        return Ok(context.out.json(&ScheduleWire::new(&schedule, task.as_ref().map(|row| &row.task)))?);
    }
    Ok(context.out.line(schedule.id.as_str())?)
}

/// What somebody should know who made a schedule with this trigger.
fn notes(trigger: &Trigger, first: Option<Timestamp>, now: Timestamp) -> Vec<String> {
    let mut notes = trigger.notes();
    if let (Trigger::Date(_), Some(first)) = (trigger, first)
        && first < now
    {
        notes.push("that time has passed; the job starts as soon as a server sees it".to_owned());
    }
    notes
}

/// What somebody should know who put `new` in the place of `old`.
fn replacement_notes(old: &Schedule, new: &Schedule) -> Vec<String> {
    let mut notes = Vec::new();
    if old.pause.is_some() && new.pause.is_none() {
        notes.push(
            "the schedule that it replaces was paused, and this one is not; --paused leaves it paused".to_owned(),
        );
    }
    notes
}
