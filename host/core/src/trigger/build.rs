//! Triggers as people write them on a command line: crontab strings and nicknames, durations, points in time, and
//! phrases such as `2 months at 10:00`.

use std::time::Duration;

use super::Trigger;
use super::calendar::{CalendarTrigger, PART_MAX, Step, TimeOfDay};
use super::civil::{DAY_SECONDS, Date};
use super::codec::first_date;
use super::cron::{Bounds, CronTrigger, DayMatch, Dialect, Reading, nickname, words};
use super::error::{Invalid, TriggerError, nearest};
use super::fire::{Fire, MICROS};
use super::interval::{IntervalTrigger, Parts};
use super::zone::{DstPolicy, Zone};
use crate::model::Timestamp;

/// Where and when a rule holds, for the constructors of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleOptions {
    /// An IANA name such as `Europe/Berlin`; `None` is UTC, or what a cron expression names itself. Of no meaning for intervals.
    pub timezone: Option<String>,
    /// The first instant that counts; `None` is the time of creation.
    pub start: Option<Fire>,
    /// The last instant that counts.
    pub end: Option<Fire>,
    /// What becomes of wall-clock times that do not exist or come twice. Of no meaning for intervals.
    pub dst: DstPolicy,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The dialect of a cron expression.
    pub dialect: Dialect,
    /// How the day of the month and the weekday of a cron expression work together.
    pub day_match: DayMatch,
    /// What the `H` of a cron expression takes its value from: the ID of the schedule. The value stays as it is when the schedule is
    /// renamed; only the numbers are kept with the trigger.
    pub hash_key: Option<String>,
}

impl RuleOptions {
    /// UTC, from `created_at` on without end, default policies; cron expressions in [`Dialect::Extended`], days and weekdays both demanded,
    /// no `H`.
    pub fn new(created_at: Timestamp) -> Self {
        RuleOptions {
            timezone: None,
            start: None,
            end: None,
            dst: DstPolicy::default(),
            created_at,
            dialect: Dialect::Extended,
            day_match: DayMatch::And,
            hash_key: None,
        }
    }

    fn start(&self) -> Fire {
        self.start.unwrap_or_else(|| Fire::utc(self.created_at))
    }

    fn zone(&self) -> Result<Zone, Box<Invalid>> {
        self.timezone.as_deref().map_or_else(|| Ok(Zone::utc()), |name| Zone::parse("timezone", name))
    }
}

/// The longest phrase that is read.
const PHRASE_MAX: usize = 200;

impl Trigger {
    /// A cron rule from an expression of [`RuleOptions::dialect`]: five crontab fields (`minute hour day month day_of_week`), six (seconds
    /// first), seven (year last), or a nickname such as `@daily`. `@every 5m` is an interval. `CRON_TZ=` or `TZ=` and a zone may stand in front.
    ///
    /// # Errors
    /// [`TriggerError::Invalid`], with the token, its position in the string and what is allowed.
    pub fn from_cron_expression(expression: &str, options: &RuleOptions) -> Result<Trigger, TriggerError> {
        const KEY: &str = "cron";
        let mut words = words(expression);
        let named = words.first().and_then(|(at, word)| zone_prefix(*at, word));
        let zone = match named {
            None => options.zone()?,
            Some((at, name)) => {
                words.remove(0);
                let zone = Zone::parse(KEY, name).map_err(|invalid| invalid.position(at + 1))?;
                if options.timezone.is_some() && options.zone()? != zone {
                    let other = options.timezone.as_deref().unwrap_or_default();
                    let problem = format!("is another time zone than `{other}`, which is named beside the expression");
                    return Err(Invalid::new(KEY, problem).token(name).position(at + 1).into());
                }
                zone
            }
        };
        let bounds = Bounds { zone, start: options.start(), end: options.end, policy: options.dst };
        let reading = Reading { dialect: options.dialect, day_match: options.day_match };
        let classic = Reading { dialect: Dialect::Classic, ..reading };
        if let [(at, first), rest @ ..] = words.as_slice()
            && first.starts_with('@')
        {
            if first.eq_ignore_ascii_case("@every") {
                return every(KEY, rest, options);
            }
            let fields = nickname(KEY, first).map_err(|invalid| invalid.position(at + 1))?;
            if let [(at, more), ..] = rest {
                return Err(Invalid::new(KEY, "is more than belongs behind a nickname")
                    .token(*more)
                    .position(at + 1)
                    .into());
            }
            return Ok(Trigger::Cron(Box::new(CronTrigger::from_expression(KEY, fields, classic, None, bounds)?)));
        }
        let hash_key = options.hash_key.as_deref();
        let cron = CronTrigger::from_words(KEY, expression, &words, reading, hash_key, bounds)?;
        Ok(Trigger::Cron(Box::new(cron)))
    }

    /// Fires at the start and then every `length` of elapsed time.
    ///
    /// # Errors
    /// [`TriggerError::Invalid`] if the length is below a microsecond or the end is before the start.
    pub fn every(length: Duration, options: &RuleOptions) -> Result<Trigger, TriggerError> {
        let too_long = || Invalid::new("interval", "is too long").token(format!("{length:?}"));
        let seconds = i64::try_from(length.as_secs()).map_err(|_| too_long())?;
        let parts = Parts {
            weeks: 0,
            days: seconds / 86_400,
            hours: seconds % 86_400 / 3_600,
            minutes: seconds % 3_600 / 60,
            // Below 60, so the conversion is exact.
            seconds: f64::from(i32::try_from(seconds % 60).unwrap_or_default()),
            microseconds: length.subsec_micros().into(),
        };
        Ok(Trigger::Interval(IntervalTrigger::new(parts, options.start(), options.end)?))
    }

    /// Fires once, at an instant.
    pub fn at(run_time: impl Into<Fire>) -> Trigger {
        Trigger::Date(run_time.into())
    }

    /// A calendar interval from a phrase: `2 months at 10:00`, `1 year`, `week at 09:30`, `1 month and 3 days at 10:00:30`.
    ///
    /// Without a time of day it fires at midnight. The first date is the first one whose time is not before the start.
    ///
    /// # Errors
    /// [`TriggerError::Invalid`], with the word that is not understood.
    pub fn from_calendar_phrase(phrase: &str, options: &RuleOptions) -> Result<Trigger, TriggerError> {
        if phrase.len() > PHRASE_MAX {
            return Err(Invalid::new("calendar", format!("is longer than {PHRASE_MAX} bytes")).into());
        }
        let (length, time) = match phrase.split_once(" at ") {
            Some((length, time)) => (length, time_of_day(time.trim())?),
            None => (phrase, TimeOfDay::default()),
        };
        let zone = options.zone()?;
        let calendar = CalendarTrigger {
            step: step(length)?,
            time,
            zone,
            start: first_date(zone, time, options.start().at),
            end: options.end.map(|end| last_date(zone, time, end.at)),
            policy: options.dst,
        };
        Ok(Trigger::Calendar(Box::new(calendar.checked()?)))
    }
}

/// The place and the name of the zone in `CRON_TZ=Europe/Berlin` or `TZ=Europe/Berlin`.
fn zone_prefix(at: usize, word: &str) -> Option<(usize, &str)> {
    let (variable, zone) = word.split_once('=')?;
    matches!(variable, "CRON_TZ" | "TZ").then_some((at + variable.len() + 1, zone))
}

/// `@every 5m`, of which `rest` is what follows the first word.
fn every(key: &str, rest: &[(usize, &str)], options: &RuleOptions) -> Result<Trigger, TriggerError> {
    const ALLOWED: &str = "a duration such as 30s, 5m or 1h30m";
    let [(at, length)] = rest else {
        let problem = if rest.is_empty() { "lacks how often" } else { "takes one duration" };
        return Err(Invalid::new(key, problem).token("@every").allowed(ALLOWED).into());
    };
    let wrong = || Invalid::new(key, "is not a duration").token(*length).position(at + 1).allowed(ALLOWED);
    Trigger::every(duration(length).ok_or_else(wrong)?, options)
}

/// `1h30m`, `90s`, `500ms`: whole numbers, each with its unit.
fn duration(text: &str) -> Option<Duration> {
    let mut length = Duration::ZERO;
    let mut rest = text;
    loop {
        let (number, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len()));
        let count: u64 = number.parse().ok()?;
        length = length.checked_add(match unit {
            "d" => Duration::from_secs(count.checked_mul(86_400)?),
            "h" => Duration::from_secs(count.checked_mul(3_600)?),
            "m" => Duration::from_secs(count.checked_mul(60)?),
            "s" => Duration::from_secs(count),
            "ms" => Duration::from_millis(count),
            _ => return None,
        })?;
        if after.is_empty() {
            return Some(length);
        }
        rest = after;
    }
}

/// The last date of a zone whose time of day is not after `end`.
fn last_date(zone: Zone, time: TimeOfDay, end: Timestamp) -> Date {
    let seconds = end.as_micros().div_euclid(MICROS);
    let local = seconds + i64::from(zone.offset_at(seconds));
    let today = i32::try_from(local.div_euclid(DAY_SECONDS)).unwrap_or_default();
    let yet_to_come = local.rem_euclid(DAY_SECONDS) < time.seconds();
    Date::from_day_number(today - i32::from(yet_to_come))
}

/// `2 months`, `month`, `1 year, 2 weeks and 3 days`.
fn step(text: &str) -> Result<Step, Box<Invalid>> {
    const UNITS: [&str; 4] = ["years", "months", "weeks", "days"];
    const ALLOWED: &str = "a number of years, months, weeks and days, as in `2 months at 10:00`";
    let mut step = Step::default();
    let mut count = None;
    let mut empty = true;
    for word in text.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        if matches!(word, "every" | "and") && count.is_none() {
            continue;
        }
        let refused = |problem: &str| Invalid::new("calendar", problem).token(word).allowed(ALLOWED);
        if word.bytes().all(|byte| byte.is_ascii_digit()) && count.is_none() {
            let number = word.parse().ok().filter(|count| (1..=PART_MAX).contains(count));
            count = Some(number.ok_or_else(|| refused("is not a number of years, months, weeks or days"))?);
            continue;
        }
        if word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit())) {
            return Err(refused("is negative"));
        }
        let unit = UNITS.iter().position(|unit| word == *unit || word == &unit[..unit.len() - 1]);
        let slot = match unit {
            Some(0) => &mut step.years,
            Some(1) => &mut step.months,
            Some(2) => &mut step.weeks,
            Some(3) => &mut step.days,
            _ => return Err(refused("is not a unit").suggestion(nearest(word, UNITS))),
        };
        if *slot != 0 {
            return Err(refused("comes twice"));
        }
        *slot = count.take().unwrap_or(1);
        empty = false;
    }
    if empty || count.is_some() {
        return Err(Invalid::new("calendar", "does not say how long the interval is").token(text).allowed(ALLOWED));
    }
    Ok(step)
}

/// `10:00` or `10:00:30`.
fn time_of_day(text: &str) -> Result<TimeOfDay, Box<Invalid>> {
    let wrong = || {
        Invalid::new("calendar", "is not a time of day")
            .token(text)
            .allowed("HH:MM or HH:MM:SS, from 00:00 to 23:59:59")
    };
    let parts: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return Err(wrong());
    }
    let mut numbers = [0; 3];
    for ((number, part), last) in numbers.iter_mut().zip(&parts).zip([23, 59, 59]) {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = Some(part).filter(|_| digits).and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
        if *number > last {
            return Err(wrong());
        }
    }
    Ok(TimeOfDay { hour: numbers[0], minute: numbers[1], second: numbers[2] })
}
