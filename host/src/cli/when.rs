//! Flags that say when a schedule fires and what it does then.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::exit::{Failure, Outcomes};
use super::flags::{ArgumentArgs, SettingsArgs, StopArgs, pinned};
use crate::app::{App, NewSchedule};
use crate::config::units::parse_duration;
use crate::config::words::parse_grace_time;
use crate::model::{Coalesce, ConflictPolicy, GraceTime, Overlap, ScheduleId, Settings, Timestamp};
use crate::trigger::{
    DayMatch, Dialect, DstFold, DstGap, DstPolicy, Fire, LocalTime, Rule, RuleOptions, Trigger, TriggerEdit,
    TriggerError,
};

/// When a schedule fires.
#[derive(Debug, Args)]
pub(super) struct WhenArgs {
    /// Fire every so often, such as `30s` or `1h30m`; the first time at once
    #[arg(long, value_name = "D", value_parser = parse_duration, help_heading = "When (one of)")]
    interval: Option<Duration>,
    /// Fire by crontab: five fields, six with seconds first, seven with the year last, or a name such as `@daily`
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true, help_heading = "When (one of)")]
    pub(super) cron: Option<String>,
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
    pub(super) dialect: DialectArgs,
    /// Time zone of --cron, --calendar and local times, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub(super) timezone: Option<String>,
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
}

/// What a schedule does when it fires.
#[derive(Debug, Args)]
pub(super) struct WhatArgs {
    /// The schedule's ID [default: made from the task's]
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<ScheduleId>,
    #[command(flatten)]
    pub(super) arguments: ArgumentArgs,
    /// Which of several missed fire times become jobs
    #[arg(long, value_name = "P", value_enum, default_value_t)]
    coalesce: CoalesceArg,
    /// How late a job may start, or `none` for no limit [default: the task's]
    #[arg(long, value_name = "D", value_parser = parse_grace_time)]
    misfire_grace_time: Option<GraceTime>,
    /// What it does where it fires while an earlier job of its own waits or runs [default: the task's]
    #[arg(long, value_name = "P", value_enum)]
    overlap: Option<OverlapArg>,
    #[command(flatten)]
    stop: StopArgs,
    /// Start each job up to this much later, at random
    #[arg(long, value_name = "D", value_parser = parse_duration, default_value = "0s")]
    max_jitter: Duration,
    /// Let it rest until it is unpaused
    #[arg(long)]
    pub(super) paused: bool,
    /// Have its jobs run this version of the plugin, whichever is current: the beginning of its digest
    #[arg(long, value_name = "DIGEST")]
    version: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl WhatArgs {
    /// Refuses all of them but `--paused` where each line of a file says these things itself.
    pub(super) fn only_in_lines(&self) -> Outcomes {
        let Self {
            id,
            arguments,
            coalesce,
            misfire_grace_time,
            overlap,
            stop,
            max_jitter,
            paused: _,
            version,
            settings,
        } = self;
        let is_said = id.is_some()
            || *arguments != ArgumentArgs::default()
            || *coalesce != CoalesceArg::default()
            || misfire_grace_time.is_some()
            || overlap.is_some()
            || *stop != StopArgs::default()
            || !max_jitter.is_zero()
            || version.is_some()
            || settings.settings()? != Settings::default();
        if is_said {
            let what = "beside --from-crontab, no flag but --paused says what the schedules do";
            return Err(Failure::usage(what, "write it into the line of the file, behind the task"));
        }
        Ok(())
    }

    /// The schedule with the version of the plugin that its jobs are to be pinned to, where one is named.
    pub(super) async fn pinned(&self, app: &App, new: NewSchedule) -> Outcomes<NewSchedule> {
        let version = pinned(app, &new.task, self.version.clone()).await?;
        Ok(NewSchedule { settings: Settings { version, ..new.settings }, ..new })
    }

    /// A schedule of that task with what these say, but for the version.
    pub(super) fn schedule(&self, task: &str, trigger: Trigger, conflict: ConflictPolicy) -> Outcomes<NewSchedule> {
        Ok(NewSchedule {
            id: self.id.clone(),
            task: task.to_owned(),
            trigger,
            args: self.arguments.arguments()?,
            coalesce: self.coalesce.into(),
            max_jitter: self.max_jitter,
            settings: Settings {
                misfire_grace_time: self.misfire_grace_time,
                overlap: self.overlap.map(Into::into),
                ..self.stop.put_into(self.settings.settings()?)
            },
            paused: self.paused,
            conflict,
            unchecked: self.arguments.unchecked,
        })
    }
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
        Err(Failure::usage(format!("{flag} has no meaning without --cron"), "leave it out; JSON has keys for it"))
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
pub(super) enum TimeArg {
    Instant(Fire),
    Local(LocalTime),
}

impl TimeArg {
    /// The instant that the value of a flag means.
    pub(super) fn instant(self, flag: &str, timezone: Option<&str>, dst: DstPolicy) -> Outcomes<Fire> {
        match (self, timezone) {
            (TimeArg::Instant(fire), _) => Ok(fire),
            (TimeArg::Local(local), Some(zone)) => local.in_zone(zone, dst).map_err(|error| {
                Failure::usage(format!("{flag}: {error}"), "give the time with an offset, or another time")
            }),
            (TimeArg::Local(local), None) => Err(Failure::usage(
                format!("{flag}: `{local}` does not say in which time zone"),
                "name it with --timezone, or write an offset behind the time: Z for UTC, +02:00 and the like",
            )),
        }
    }
}

impl std::str::FromStr for TimeArg {
    type Err = TriggerError;

    fn from_str(text: &str) -> Result<TimeArg, TriggerError> {
        let instant = text.parse().map(TimeArg::Instant);
        // Whoever gave no offset is told of RFC 3339 only where it is no local time either.
        instant.or_else(|error| text.parse().map(TimeArg::Local).map_err(|_| error))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum CoalesceArg {
    /// One job, for the latest
    #[default]
    Latest,
    /// One job, for the earliest
    Earliest,
    /// A job for each, up to a bound
    All,
}

impl From<CoalesceArg> for Coalesce {
    fn from(arg: CoalesceArg) -> Coalesce {
        match arg {
            CoalesceArg::Latest => Coalesce::Latest,
            CoalesceArg::Earliest => Coalesce::Earliest,
            CoalesceArg::All => Coalesce::All,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OverlapArg {
    /// Queue the new job behind them
    Queue,
    /// Make no job while one of them waits or runs
    Skip,
    /// Make no job while one of them waits
    QueueOne,
    /// Cancel those that wait, ask those that run to stop, and queue the new job
    CancelRunning,
    /// Cancel those that wait, and queue the new job
    ReplaceQueued,
}

impl From<OverlapArg> for Overlap {
    fn from(arg: OverlapArg) -> Overlap {
        match arg {
            OverlapArg::Queue => Overlap::Queue,
            OverlapArg::Skip => Overlap::Skip,
            OverlapArg::QueueOne => Overlap::QueueOne,
            OverlapArg::CancelRunning => Overlap::CancelRunning,
            OverlapArg::ReplaceQueued => Overlap::ReplaceQueued,
        }
    }
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

impl WhenArgs {
    /// The trigger that the flags describe.
    pub(super) fn trigger(&self, now: Timestamp, id: &str) -> Outcomes<Trigger> {
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

    /// What the flags say about the trigger of a schedule that is there.
    pub(super) fn edit(&self, now: Timestamp, id: &str) -> Outcomes<TriggerEdit> {
        self.dialect.only_with(self.cron.as_deref())?;
        let rule = if let Some(length) = self.interval {
            self.only_where("--interval", &["--start", "--end"])?;
            Some(Rule::Every(length))
        } else if let Some(expression) = &self.cron {
            let RuleOptions { dialect, day_match, .. } = self.dialect.put_into(RuleOptions::new(now));
            Some(Rule::Cron { expression: expression.clone(), dialect, day_match })
        } else if let Some(phrase) = &self.calendar {
            Some(Rule::Calendar(phrase.clone()))
        } else if let Some(at) = self.instant("--at", self.at)? {
            self.only_where("--at", &[])?;
            Some(Rule::Whole(Trigger::at(at)))
        } else if let Some(json) = &self.trigger {
            self.only_where("--trigger", &[])?;
            Some(Rule::Whole(Trigger::from_json(json, now).map_err(trigger_fault)?))
        } else {
            None
        };
        // Beside a local time they say which one is meant, and nothing about the rule that is there.
        let are_of_times = rule.is_none() && self.has_local_time();
        let of_rule = |is_given: bool| is_given && !are_of_times;
        Ok(TriggerEdit {
            rule,
            timezone: self.timezone.clone().filter(|_| of_rule(true)),
            start: self.instant("--start", self.start)?,
            end: self.instant("--end", self.end)?.map(Some),
            dst_gap: of_rule(self.dst_gap.is_some()).then(|| self.dst().gap),
            dst_fold: of_rule(self.dst_fold.is_some()).then(|| self.dst().fold),
            hash_key: Some(id.to_owned()),
        })
    }

    fn has_local_time(&self) -> bool {
        [self.at, self.start, self.end].into_iter().any(|time| matches!(time, Some(TimeArg::Local(_))))
    }

    pub(super) fn dst(&self) -> DstPolicy {
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
        time.map(|time| time.instant(flag, self.timezone.as_deref(), self.dst())).transpose()
    }

    /// Refuses flags that say nothing beside `flag`, instead of ignoring them.
    pub(super) fn only_where(&self, flag: &str, allowed: &[&str]) -> Outcomes {
        let has_local_time = self.has_local_time();
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
            "--from-crontab" => "leave it out",
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
