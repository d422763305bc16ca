//! `host schedule`: put a task on a schedule.

use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::flags::{ArgumentArgs, ConflictArg, SettingsArgs, parse_grace_time};
use super::output::time;
use crate::app::NewSchedule;
use crate::config::units::parse_duration;
use crate::model::{Coalesce, GraceTime, Schedule, ScheduleId, Settings, Timestamp};
use crate::store::ScheduleAdded;
use crate::trigger::{
    DayMatch, Dialect, DstFold, DstGap, DstPolicy, Fire, LocalTime, RuleOptions, Trigger, TriggerError,
};
use crate::wire::ScheduleWire;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("when").required(true).args(["interval", "cron", "at", "calendar", "trigger"])))]
pub(super) struct ScheduleArgs {
    /// The task: `plugin:task`, or the bare name where one plugin offers it
    task: String,
    /// Fire every so often, such as `30s` or `1h30m`; the first time at once
    #[arg(long, value_name = "D", value_parser = parse_duration, help_heading = "When (one of)")]
    interval: Option<Duration>,
    /// Fire by crontab: five fields, six with seconds first, seven with the year last, or a name such as `@daily`
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true, help_heading = "When (one of)")]
    cron: Option<String>,
    /// Fire once, at an RFC 3339 time, or at a local time such as 2026-12-01T10:00 of --timezone
    #[arg(long, value_name = "TIME", help_heading = "When (one of)")]
    at: Option<TimeArg>,
    /// Fire by the calendar, such as "2 months at 10:00"
    #[arg(long, value_name = "PHRASE", help_heading = "When (one of)")]
    calendar: Option<String>,
    /// Fire by a trigger in its JSON form
    #[arg(long, value_name = "JSON", help_heading = "When (one of)")]
    trigger: Option<String>,

    #[command(flatten)]
    dialect: DialectArgs,
    /// Time zone of --cron, --calendar and local times, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Not before this time (as for --at) [default: now]
    #[arg(long, value_name = "T")]
    start: Option<TimeArg>,
    /// Not after this time (as for --at)
    #[arg(long, value_name = "T")]
    end: Option<TimeArg>,
    /// What a fixed time does on a day that does not have it, because the clock is put forward [default: run-after]
    #[arg(long, value_name = "P")]
    dst_gap: Option<DstGapArg>,
    /// What a fixed time does on a day that has it twice, because the clock is put back [default: first]
    #[arg(long, value_name = "P")]
    dst_fold: Option<DstFoldArg>,

    /// The schedule's ID [default: made from the task's]
    #[arg(long, value_name = "ID")]
    id: Option<ScheduleId>,
    /// What to do where the ID is taken
    #[arg(long, value_name = "P", value_enum, default_value_t)]
    conflict: ConflictArg,
    #[command(flatten)]
    arguments: ArgumentArgs,
    /// Which of several missed fire times become jobs
    #[arg(long, value_name = "P", value_enum, default_value_t)]
    coalesce: CoalesceArg,
    /// How late a job may start, or `none` for no limit [default: the task's]
    #[arg(long, value_name = "D", value_parser = parse_grace_time)]
    misfire_grace_time: Option<GraceTime>,
    /// Start each job up to this much later, at random
    #[arg(long, value_name = "D", value_parser = parse_duration, default_value = "0s")]
    max_jitter: Duration,
    /// Let it rest until it is unpaused
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// How the expression of `--cron` is read.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct DialectArgs {
    /// How --cron is read; weekday 5 is Friday in crontab and Thursday in Quartz
    #[arg(long, value_name = "D", value_enum)]
    dialect: Option<DialectArg>,
    /// Of day and weekday in --cron, let either match, as classic cron does [default: both must]
    #[arg(long)]
    day_or_weekday: bool,
}

impl DialectArgs {
    /// Refuses them where there is no cron expression. The parser of flags would not, beside a flag that excludes `--cron`.
    pub(super) fn only_with(self, cron: Option<&str>) -> Outcomes {
        let flag = match (self.dialect, self.day_or_weekday) {
            _ if cron.is_some() => return Ok(()),
            (None, false) => return Ok(()),
            (Some(_), _) => "--dialect",
            (None, true) => "--day-or-weekday",
        };
        Err(Failure::usage(format!("{flag} has no meaning without --cron"), "leave it out, or say it inside the JSON"))
    }

    /// The options of a rule with these in them.
    pub(super) fn put_into(self, options: RuleOptions) -> RuleOptions {
        RuleOptions {
            dialect: match self.dialect {
                None | Some(DialectArg::Extended) => Dialect::Extended,
                Some(DialectArg::Quartz) => Dialect::Quartz,
            },
            day_match: if self.day_or_weekday { DayMatch::Or } else { DayMatch::And },
            ..options
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DialectArg {
    /// Crontab's fields, with L, LW, 15W, 5#2, 5L, ? and H (the default)
    Extended,
    /// Quartz's six or seven fields; weekdays count from 1, which is Sunday
    Quartz,
}

/// A point in time, or one on the clock of a zone that is named beside it.
#[derive(Debug, Clone, Copy)]
enum TimeArg {
    Instant(Fire),
    Local(LocalTime),
}

impl std::str::FromStr for TimeArg {
    type Err = TriggerError;

    fn from_str(text: &str) -> Result<TimeArg, TriggerError> {
        let instant = text.parse().map(TimeArg::Instant);
        // Whoever gave no offset is told of RFC 3339 only where it is no local time either.
        instant.or_else(|error| text.parse().map(TimeArg::Local).map_err(|_| error))
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum CoalesceArg {
    /// One job, for the latest
    #[default]
    Latest,
    /// One job, for the earliest
    Earliest,
    /// A job for each, up to a bound
    All,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DstGapArg {
    /// It fires at the first instant after the gap
    #[value(alias = "run_after")]
    RunAfter,
    /// It does not fire
    Skip,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DstFoldArg {
    /// It fires the first time
    First,
    /// It fires the second time
    Last,
    /// It fires both times
    Both,
}

pub(super) async fn run(context: &mut Context, args: ScheduleArgs) -> Outcomes {
    // Looked at before anything is opened; what counts from now counts from the store's time.
    args.trigger(context.machine.clock().now(), args.id.as_ref().map_or("", ScheduleId::as_str))?;
    let arguments = args.arguments.arguments()?;
    let settings = Settings { misfire_grace_time: args.misfire_grace_time, ..args.settings.settings()? };
    let app = context.app().await?;
    let now = app.now().await?;
    // The `H` of a cron expression takes its value from the ID.
    let id = match args.id.clone() {
        None if args.cron.is_some() => Some(app.schedule_new_id(&args.task).await?),
        id => id,
    };
    let trigger = args.trigger(now, id.as_ref().map_or("", ScheduleId::as_str))?;
    let created = app
        .schedule_add(NewSchedule {
            id,
            task: args.task,
            trigger: trigger.clone(),
            args: arguments,
            coalesce: match args.coalesce {
                CoalesceArg::Latest => Coalesce::Latest,
                CoalesceArg::Earliest => Coalesce::Earliest,
                CoalesceArg::All => Coalesce::All,
            },
            max_jitter: args.max_jitter,
            settings,
            paused: args.paused,
            conflict: args.conflict.into(),
            unchecked: args.arguments.unchecked,
        })
        .await?;
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

impl ScheduleArgs {
    /// The trigger that the flags describe.
    fn trigger(&self, now: Timestamp, id: &str) -> Outcomes<Trigger> {
        self.dialect.only_with(self.cron.as_deref())?;
        let options = self.dialect.put_into(RuleOptions {
            timezone: self.timezone.clone(),
            start: self.instant("--start", self.start)?,
            end: self.instant("--end", self.end)?,
            dst: self.dst(),
            hash_key: Some(id.to_owned()),
            ..RuleOptions::new(now)
        });
        let trigger = if let Some(length) = self.interval {
            self.only_where("--interval", &["--start", "--end"])?;
            Trigger::every(length, &options)
        } else if let Some(expression) = &self.cron {
            if expression.contains("@every") {
                self.only_where("@every", &["--start", "--end"])?;
            }
            return Trigger::from_cron_expression(expression, &options).map_err(|error| cron_fault(expression, &error));
        } else if let Some(phrase) = &self.calendar {
            Trigger::from_calendar_phrase(phrase, &options)
        } else if let Some(at) = self.instant("--at", self.at)? {
            self.only_where("--at", &[])?;
            Ok(Trigger::at(at))
        } else {
            self.only_where("--trigger", &[])?;
            Trigger::from_json(self.trigger.as_deref().unwrap_or_default(), now)
        };
        trigger.map_err(trigger_fault)
    }

    fn dst(&self) -> DstPolicy {
        DstPolicy {
            gap: match self.dst_gap {
                None | Some(DstGapArg::RunAfter) => DstGap::RunAfter,
                Some(DstGapArg::Skip) => DstGap::Skip,
            },
            fold: match self.dst_fold {
                None | Some(DstFoldArg::First) => DstFold::First,
                Some(DstFoldArg::Last) => DstFold::Last,
                Some(DstFoldArg::Both) => DstFold::Both,
            },
        }
    }

    /// The instant that a flag means.
    fn instant(&self, flag: &str, time: Option<TimeArg>) -> Outcomes<Option<Fire>> {
        match (time, &self.timezone) {
            (None, _) => Ok(None),
            (Some(TimeArg::Instant(fire)), _) => Ok(Some(fire)),
            (Some(TimeArg::Local(local)), Some(zone)) => local.in_zone(zone, self.dst()).map(Some).map_err(|error| {
                Failure::usage(format!("{flag}: {error}"), "give the time with an offset, or another time")
            }),
            (Some(TimeArg::Local(local)), None) => Err(Failure::usage(
                format!("{flag}: `{local}` does not say in which time zone"),
                "name it with --timezone, or write an offset behind the time: Z for UTC, +02:00 and the like",
            )),
        }
    }

    /// Refuses flags that say nothing beside `flag`, instead of ignoring them.
    fn only_where(&self, flag: &str, allowed: &[&str]) -> Outcomes {
        let has_local_time =
            [self.at, self.start, self.end].into_iter().any(|time| matches!(time, Some(TimeArg::Local(_))));
        let given = [
            ("--timezone", self.timezone.is_some() && !has_local_time),
            ("--start", self.start.is_some()),
            ("--end", self.end.is_some()),
            ("--dst-gap", self.dst_gap.is_some() && !has_local_time),
            ("--dst-fold", self.dst_fold.is_some() && !has_local_time),
        ];
        let idle: Vec<&str> = given
            .iter()
            .filter(|(name, is_given)| *is_given && !allowed.contains(name))
            .map(|(name, _)| *name)
            .collect();
        if idle.is_empty() {
            return Ok(());
        }
        let have = if idle.len() == 1 { "has" } else { "have" };
        let what = format!("{} {have} no meaning with {flag}", idle.join(" and "));
        let hint = match flag {
            "--trigger" => "say it inside the JSON",
            _ => "leave it out, or use --cron or --calendar",
        };
        Err(Failure::usage(what, hint))
    }
}

/// A fault in a cron expression. What other crons take and this one has no place for is answered with where it belongs.
pub(super) fn cron_fault(expression: &str, error: &TriggerError) -> Failure {
    if expression.trim().eq_ignore_ascii_case("@reboot") {
        let hint = "a job for each start of a machine is `host submit` in one of its start-up scripts";
        return Failure::usage(error.to_string(), hint);
    }
    Failure::usage(
        error.to_string(),
        "`host trigger next --cron EXPR -n 5` shows what an expression does before it is used",
    )
}

/// A fault in a trigger that somebody typed.
pub(super) fn trigger_fault(error: TriggerError) -> Failure {
    Failure::usage(error.to_string(), "`host trigger next JSON -n 5` shows what a trigger does before it is used")
}
