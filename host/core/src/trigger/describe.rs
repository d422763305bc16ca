//! Triggers in English, and what a reader should know about them.

use super::calendar::CalendarTrigger;
use super::combine::THRESHOLD_DEFAULT;
use super::interval::IntervalTrigger;
use super::zone::{DstFold, DstGap, DstPolicy};
use super::{Fire, Trigger};

/// An interval shorter than this, in microseconds, is told as what it is: many of them are slips of the keyboard.
const SHORT_MICROS: i64 = 100_000;

impl Trigger {
    /// What the trigger does, in English: `every 5 minutes from 09:00 to 17:55 on Monday to Friday, Europe/Berlin`.
    pub fn describe(&self) -> String {
        match self {
            Trigger::Date(fire) => format!("once, {}", readable(*fire)),
            Trigger::Interval(interval) => describe_interval(interval),
            Trigger::Cron(cron) => cron.describe(),
            Trigger::Calendar(calendar) => describe_calendar(calendar),
            Trigger::And(and) => {
                let parts: Vec<_> = and.children.iter().map(|child| format!("({})", child.describe())).collect();
                let within = match and.threshold {
                    0 => "at the same instant".to_owned(),
                    THRESHOLD_DEFAULT => "within a second".to_owned(),
                    micros => format!("within {}", elapsed(micros)),
                };
                format!("whenever all of these fire {within}: {}", parts.join(" and "))
            }
            Trigger::Or(or) => {
                let parts: Vec<_> = or.children.iter().map(|child| format!("({})", child.describe())).collect();
                format!("whenever any of these fires: {}", parts.join(" or "))
            }
        }
    }

    /// What somebody who creates a schedule with this trigger should be told: where its text means something else than
    /// one might expect.
    pub fn notes(&self) -> Vec<String> {
        match self {
            Trigger::Cron(cron) if cron.demands_day_and_weekday() => vec![
                "both the day of the month and the weekday must match; classic cron would fire when either does. For \
                 either, say --day-or-weekday, or \"day_match\":\"or\" in JSON"
                    .to_owned(),
            ],
            Trigger::Interval(interval) if interval.length() < SHORT_MICROS => vec![format!(
                "that is about {} times a second; `m` stands for minutes and `ms` for milliseconds",
                1_000_000 / interval.length()
            )],
            Trigger::And(super::AndTrigger { children, .. }) | Trigger::Or(super::OrTrigger { children }) => {
                let mut notes: Vec<String> = children.iter().flat_map(Trigger::notes).collect();
                notes.dedup();
                notes
            }
            _ => Vec::new(),
        }
    }

    /// Why a trigger has no fire at all, in words.
    pub(super) fn why_never(&self) -> String {
        match self {
            Trigger::Cron(cron) => cron.why_never(),
            Trigger::Calendar(_) => "its time of day does not exist on any of its dates".to_owned(),
            Trigger::And(_) => "its parts have no time in common".to_owned(),
            _ => "all of its times lie outside its start and end or the years 1 to 9999".to_owned(),
        }
    }
}

fn describe_interval(interval: &IntervalTrigger) -> String {
    let mut text = format!("every {}", each(&elapsed(interval.length())));
    text.push_str(&format!(", counted from {}", readable(interval.start())));
    if let Some(end) = interval.end() {
        text.push_str(&format!(", until {}", readable(end)));
    }
    text
}

fn describe_calendar(calendar: &CalendarTrigger) -> String {
    let CalendarTrigger { step, time, zone, start, end, policy } = calendar;
    let parts = [(step.years, "year"), (step.months, "month"), (step.weeks, "week"), (step.days, "day")];
    let parts: Vec<_> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, unit)| counted(count.into(), unit)).collect();
    let clock = time_of_day(time.hour, time.minute, time.second);
    let mut text = format!("every {} at {clock}, counted from {start}", each(&list(&parts, "and")));
    text.push_str(&calendar.passed_over());
    if let Some(end) = end {
        text.push_str(&format!(", until {end}"));
    }
    text.push_str(&format!(", {}", zone.name()));
    text.push_str(&policy_text(*policy));
    text
}

/// The policies, where they are not the default ones.
pub(super) fn policy_text(policy: DstPolicy) -> String {
    let mut text = String::new();
    if policy.gap == DstGap::Skip {
        text.push_str(", left out when the clock skips it");
    }
    match policy.fold {
        DstFold::First => {}
        DstFold::Last => text.push_str(", the second time when it comes twice"),
        DstFold::Both => text.push_str(", both times when it comes twice"),
    }
    text
}

/// A point in time for readers.
pub(super) fn readable(fire: Fire) -> String {
    fire.to_string().replacen('T', " ", 1).replace("+00:00", " UTC")
}

/// A length of time in its units.
fn elapsed(micros: i64) -> String {
    let units = [
        (604_800_000_000, "week"),
        (86_400_000_000, "day"),
        (3_600_000_000, "hour"),
        (60_000_000, "minute"),
        (1_000_000, "second"),
        (1_000, "millisecond"),
        (1, "microsecond"),
    ];
    let mut left = micros;
    let mut parts = Vec::new();
    for (length, unit) in units {
        // Weeks only where they say it all: `every 10 days` is easier to read than `every week and 3 days`.
        if unit == "week" && left % length != 0 {
            continue;
        }
        if left >= length {
            parts.push(counted(left / length, unit));
            left %= length;
        }
    }
    if parts.is_empty() { "no time".to_owned() } else { list(&parts, "and") }
}

/// `every 1 minute` is said as `every minute`.
fn each(text: &str) -> &str {
    let rest = text.strip_prefix("1 ").filter(|rest| !rest.contains(' '));
    rest.unwrap_or(text)
}

fn counted(count: i64, unit: &str) -> String {
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// `09:30`, or `09:30:15` where seconds matter.
pub(super) fn time_of_day(hour: u8, minute: u8, second: u8) -> String {
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

/// `a, b and c`.
pub(super) fn list(parts: &[String], last: &str) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [before @ .., end] => format!("{} {last} {end}", before.join(", ")),
    }
}
