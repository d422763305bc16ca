//! Cron rules in English.

use super::super::describe::{list, policy_text, readable, time_of_day};
use super::dialect::DayMatch;
use super::field::{self, Field, MONTHS, Values, WEEKDAYS};
use super::rule::CronTrigger;

const MONTH_NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAY_NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// More times of day than this are told by their rule, not one by one.
const TIMES_LISTED: usize = 6;

impl CronTrigger {
    pub(in crate::trigger) fn describe(&self) -> String {
        let days = self.describe_days();
        let mut text = self.describe_times();
        if text.starts_with("at ") && days.is_empty() {
            text = format!("every day {text}");
        }
        text.push_str(&days);
        let bounds = self.bounds();
        if let Some(end) = bounds.end {
            text.push_str(&format!(", until {}", readable(end)));
        }
        text.push_str(&format!(", {}", bounds.zone.name()));
        if !self.clock().runs_through_every_hour() {
            text.push_str(&policy_text(bounds.policy));
        }
        text
    }

    pub(in crate::trigger) fn why_never(&self) -> String {
        let bounds = self.bounds();
        let mut free = *bounds;
        (free.end, free.start) = (None, crate::trigger::Fire::utc(crate::model::Timestamp::EPOCH));
        let ever = self.with_bounds(free).next_after(None);
        match (ever, bounds.end) {
            (None, _) => format!("no day from 1970 to 9999 matches{}", self.describe_days()),
            (Some(_), Some(end)) => {
                format!("it does not match between {} and {}", readable(bounds.start), readable(end))
            }
            (Some(_), None) => format!("it does not match after {}", readable(bounds.start)),
        }
    }

    fn describe_times(&self) -> String {
        let clock = self.clock();
        let (hours, minutes, seconds) =
            (bits(clock.hours().into(), 24), bits(clock.minutes(), 60), bits(clock.seconds(), 60));
        let count = hours.len() * minutes.len() * seconds.len();
        if count <= TIMES_LISTED {
            let mut times = Vec::with_capacity(count);
            for hour in &hours {
                for minute in &minutes {
                    for second in &seconds {
                        times.push(time_of_day(*hour, *minute, *second));
                    }
                }
            }
            return format!("at {}", list(&times, "and"));
        }
        let second = match seconds[..] {
            [0] => None,
            _ => Some(self.of_unit(&seconds, "second", 60)),
        };
        let every_hour = hours.len() == 24;
        // One minute of each hour: the hours are what repeats.
        if let ([minute], None) = (&minutes[..], &second) {
            let past = if *minute == 0 { String::new() } else { format!(" at minute {minute}") };
            if every_hour {
                return format!("every hour{past}");
            }
            if let Some((step, first, last)) = regular(&hours).filter(|_| hours.len() > 2) {
                let repeat = if step == 1 { "every hour".to_owned() } else { format!("every {step} hours") };
                let (from, to) = (time_of_day(first, *minute, 0), time_of_day(last, *minute, 0));
                return format!("{repeat} from {from} to {to}");
            }
            let times: Vec<_> = hours.iter().map(|hour| time_of_day(*hour, *minute, 0)).collect();
            return format!("at {}", list(&times, "and"));
        }
        let every_minute = minutes.len() == 60;
        let repeat = match second {
            None => self.of_unit(&minutes, "minute", 60),
            Some(seconds) if every_minute => {
                if seconds.starts_with("every") {
                    seconds
                } else {
                    format!("{seconds} of every minute")
                }
            }
            Some(seconds) => match minutes[..] {
                [minute] => format!("{seconds} of minute {minute}"),
                _ => match regular(&minutes) {
                    Some((step, 0, last)) if step > 1 && last + step == 60 => {
                        format!("{seconds} of every {} minute", ordinal(step))
                    }
                    _ => format!("{seconds} of {}", self.of_unit(&minutes, "minute", 60).replacen("at ", "", 1)),
                },
            },
        };
        let names_minutes = repeat.contains(" of minute");
        let spans_hour = (repeat.starts_with("every") || repeat.ends_with(" of every minute")) && !names_minutes;
        if every_hour {
            return if spans_hour { repeat } else { format!("{repeat} of every hour") };
        }
        match regular(&hours) {
            // A run of hours: from the first match to the last.
            Some((1, first, last)) => {
                let from = time_of_day(first, minutes[0], seconds[0]);
                let to = time_of_day(last, minutes[minutes.len() - 1], seconds[seconds.len() - 1]);
                format!("{repeat} from {from} to {to}")
            }
            _ => {
                let names: Vec<_> = hours.iter().map(|hour| format!("{hour:02}")).collect();
                let plural = if names.len() == 1 { "" } else { "s" };
                format!("{repeat} in the hour{plural} {}", list(&names, "and"))
            }
        }
    }

    /// `every 5 minutes`, `at minutes 5, 10 and 40`.
    fn of_unit(&self, values: &[u8], unit: &str, span: u8) -> String {
        match (regular(values), values) {
            (_, [only]) => format!("at {unit} {only}"),
            (Some((1, 0, last)), _) if last + 1 == span => format!("every {unit}"),
            // Only where the step goes on across the end: `*/45` is not every 45 minutes.
            (Some((step, 0, last)), _) if last + step == span => format!("every {step} {unit}s"),
            (Some((1, first, last)), _) => format!("at {unit}s {first} to {last}"),
            _ => {
                let names: Vec<_> = values.iter().map(ToString::to_string).collect();
                format!("at {unit}s {}", list(&names, "and"))
            }
        }
    }

    /// The days, from the weekday to the year, with a blank in front; empty where every day counts.
    fn describe_days(&self) -> String {
        let mut text = String::new();
        let weekdays = self.values(Field::DayOfWeek).map(|values| weekday_names(&values)).unwrap_or_default();
        let days = self.values(Field::Day).map_or_else(String::new, |values| day_names(&values));
        let either = self.reading().day_match == DayMatch::Or;
        match (days.is_empty(), weekdays.is_empty()) {
            (true, true) => {}
            (true, false) => text.push_str(&format!(" on {}", list(&weekdays, "and"))),
            (false, true) => text.push_str(&format!(" on {days}")),
            (false, false) if either => text.push_str(&format!(" on {days} as well as on {}", list(&weekdays, "and"))),
            (false, false) => {
                let article = if weekdays[0].starts_with("the ") { "" } else { "a " };
                text.push_str(&format!(" on {days} if it is {article}{}", list(&weekdays, "or")));
            }
        }
        // What follows holds for both, not for the weekdays alone.
        let within = if either { ", in" } else { " in" };
        if let Some(values) = self.values(Field::Month) {
            let months: Vec<_> = bits(values.bits, 13).iter().map(|month| usize::from(*month) - 1).collect();
            if months.len() < 12 {
                text.push_str(&format!("{within} {}", list(&runs(&months, &MONTH_NAMES), "and")));
            }
        }
        if let Some(values) = self.values(Field::Week) {
            let weeks = bits(values.bits, 54);
            if weeks.len() < 53 {
                let names: Vec<_> = weeks.iter().map(ToString::to_string).collect();
                let plural = if names.len() == 1 { "" } else { "s" };
                text.push_str(&format!("{within} ISO week{plural} {}", list(&names, "and")));
            }
        }
        if let Some(values) = self.values(Field::Year).filter(|values| !values.years.is_empty()) {
            let years: Vec<_> = values.years.iter().map(|range| years(*range)).collect();
            text.push_str(&format!("{within} {}", list(&years, "and")));
        }
        text
    }

    /// The values of a field that limits the days; `None` if it has no say.
    fn values(&self, field: Field) -> Option<Values> {
        let text = self.effective_text(field);
        (text != "*").then(|| field::parse(field, text, 0, self.reading().dialect).ok())?
    }
}

/// `2nd`, `5th`.
fn ordinal(number: impl Into<u16>) -> String {
    let number = number.into();
    let ending = match (number % 10, number / 10) {
        (1, tens) if tens != 1 => "st",
        (2, tens) if tens != 1 => "nd",
        (3, tens) if tens != 1 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// The numbers of the bits below `end` that are set.
fn bits(bits: u64, end: u8) -> Vec<u8> {
    (0..end).filter(|bit| bits >> bit & 1 == 1).collect()
}

/// Step, first and last of evenly spaced values.
fn regular(values: &[u8]) -> Option<(u8, u8, u8)> {
    let (first, last) = (*values.first()?, *values.last()?);
    let step = if values.len() > 1 { values[1] - first } else { 1 };
    values.windows(2).all(|pair| pair[1] - pair[0] == step).then_some((step, first, last))
}

/// Names, with three or more in a row as a range.
fn runs(indexes: &[usize], names: &[&str]) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = indexes;
    while let Some(&first) = rest.first() {
        let length = rest.iter().enumerate().take_while(|(index, value)| **value == first + index).count();
        if length >= 3 {
            parts.push(format!("{} to {}", names[first], names[first + length - 1]));
            rest = &rest[length..];
        } else {
            parts.push(names[first].to_owned());
            rest = &rest[1..];
        }
    }
    parts
}

/// `2026`, `2026 to 2030`, `every 2 years from 2026 on`.
fn years((first, last, step): (u16, u16, u16)) -> String {
    match (step, last) {
        _ if first == last => first.to_string(),
        (1, 9999) => format!("{first} and later"),
        (1, _) => format!("{first} to {last}"),
        (_, 9999) => format!("every {} year from {first} on", ordinal(step)),
        _ => format!("every {} year from {first} to {last}", ordinal(step)),
    }
}

/// The weekdays, and those that are the second or last of their month; none if every day counts.
fn weekday_names(values: &Values) -> Vec<String> {
    let days: Vec<_> = bits(values.bits, 7).into_iter().map(usize::from).collect();
    if days.len() == WEEKDAYS.len() {
        return Vec::new();
    }
    let mut names = runs(&days, &WEEKDAY_NAMES);
    names.extend(positions(values));
    names
}

/// `the 2nd Friday`, `the last Monday`.
fn positions(values: &Values) -> Vec<String> {
    let mut names = Vec::new();
    for (index, weekdays) in values.positions.iter().enumerate() {
        for weekday in bits((*weekdays).into(), 7) {
            names.push(format!("the {} {}", field::POSITIONS[index], WEEKDAY_NAMES[usize::from(weekday)]));
        }
    }
    names
}

fn day_names(values: &Values) -> String {
    let days = bits(values.bits, 32);
    if days.len() == 31 {
        return String::new();
    }
    let mut parts = Vec::new();
    if !days.is_empty() {
        let names: Vec<_> = days.iter().map(ToString::to_string).collect();
        let numbers = match regular(&days) {
            Some((1, first, last)) if days.len() > 2 => format!("{first} to {last}"),
            _ => list(&names, "and"),
        };
        parts.push(format!("day{} {numbers}", if days.len() == 1 { "" } else { "s" }));
    }
    parts.extend(positions(values));
    for day in bits(values.workdays.into(), 32) {
        parts.push(format!("the day from Monday to Friday nearest to day {day}"));
    }
    for before in bits(values.days_from_last.into(), 32) {
        parts.push(before_last(before));
    }
    for before in bits(values.workdays_from_last.into(), 32) {
        parts.push(match before {
            0 => "the last day from Monday to Friday of the month".to_owned(),
            _ => format!("the day from Monday to Friday nearest to {}", before_last(before)),
        });
    }
    list(&parts, "and")
}

/// The day that is so many days before the last one of its month.
fn before_last(days: u8) -> String {
    match days {
        0 => "the last day of the month".to_owned(),
        1 => "the day before the last day of the month".to_owned(),
        _ => format!("the day {days} days before the last day of the month"),
    }
}

const _: () = assert!(MONTHS.len() == MONTH_NAMES.len());
