//! The cron trigger: its fields, its zone, and the search for its next instant.

use super::super::civil::{DAY_SECONDS, Date};
use super::super::error::Invalid;
use super::super::fire::{Fire, MICROS};
use super::super::zone::{DstFold, DstGap, DstPolicy, Zone};
use super::clock::Clock;
use super::days::{Days, NO_LIMIT};
use super::field::{self, FIELD_LENGTH_MAX, Field, Values};
use crate::model::Timestamp;

/// The range of years that a fire time may have begins here: 1970-01-01, as a wall clock shows it.
const FIRST_LOCAL: i64 = 0;

/// Fires when the wall clock of a time zone matches eight fields. See the module's documentation for the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronTrigger {
    source: Source,
    bounds: Bounds,
    days: Days,
    clock: Clock,
}

/// How the rule was written, kept so that it is written back the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trigger) enum Source {
    /// The text of each field that was given.
    Fields(Box<[(Field, String)]>),
    /// Five crontab fields.
    Crontab(String),
}

/// Where and when a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trigger) struct Bounds {
    pub(in crate::trigger) zone: Zone,
    /// The first instant that counts.
    pub(in crate::trigger) start: Fire,
    /// The last instant that counts.
    pub(in crate::trigger) end: Option<Fire>,
    pub(in crate::trigger) policy: DstPolicy,
}

/// The fields of a crontab string, in its order.
const CRONTAB: [Field; 5] = [Field::Minute, Field::Hour, Field::Day, Field::Month, Field::DayOfWeek];
/// The same with the seconds in front.
const SIX_FIELDS: [Field; 6] = [Field::Second, Field::Minute, Field::Hour, Field::Day, Field::Month, Field::DayOfWeek];

impl CronTrigger {
    /// A rule by its fields; those not given get their defaults.
    pub(in crate::trigger) fn from_fields(fields: Vec<(Field, String)>, bounds: Bounds) -> Result<Self, Box<Invalid>> {
        let least = fields.iter().map(|(field, _)| *field).max();
        let read = |field: Field| {
            let given = fields.iter().find(|(given, _)| *given == field);
            let default = if least.is_some_and(|least| field < least) { "*" } else { field.default_text() };
            field::parse(field, given.map_or(default, |(_, text)| text), 0)
        };
        let values = Field::ALL.map(read);
        let mut all = Vec::with_capacity(values.len());
        for value in values {
            all.push(value?);
        }
        Ok(Self::of(&all, Source::Fields(fields.into()), bounds))
    }

    /// Five fields as crontab has them: minute, hour, day, month, day of week.
    pub(in crate::trigger) fn from_crontab(key: &str, expression: &str, bounds: Bounds) -> Result<Self, Box<Invalid>> {
        let words = words(expression);
        let count = words.len();
        if count != CRONTAB.len() || expression.len() > FIELD_LENGTH_MAX {
            return Err(wrong_count(key, expression, count, "five"));
        }
        let values = read_words(key, &CRONTAB, &words)?;
        Ok(Self::of(&values, Source::Crontab(expression.to_owned()), bounds))
    }

    /// Five fields as crontab has them, or six with the seconds first.
    pub(in crate::trigger) fn from_five_or_six_fields(
        key: &str,
        expression: &str,
        bounds: Bounds,
    ) -> Result<Self, Box<Invalid>> {
        let words = words(expression);
        let count = words.len();
        if count == CRONTAB.len() {
            return Self::from_crontab(key, expression, bounds);
        }
        if count != SIX_FIELDS.len() || expression.len() > FIELD_LENGTH_MAX {
            return Err(wrong_count(key, expression, count, "five, or six with the seconds first"));
        }
        let values = read_words(key, &SIX_FIELDS, &words)?;
        let mut given: Vec<_> =
            SIX_FIELDS.into_iter().zip(words).map(|(field, (_, word))| (field, word.to_owned())).collect();
        given.sort_by_key(|(field, _)| *field);
        Ok(Self::of(&values, Source::Fields(given.into()), bounds))
    }

    /// `values` in the order of [`Field::ALL`].
    fn of(values: &[Values], source: Source, bounds: Bounds) -> Self {
        let days = Days::new(&values[0], &values[1], &values[2], &values[3], &values[4]);
        let clock = Clock::new(&values[5], &values[6], &values[7]);
        CronTrigger { source, bounds, days, clock }
    }

    pub(in crate::trigger) fn source(&self) -> &Source {
        &self.source
    }

    pub(in crate::trigger) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the text restricts both the day of the month and the weekday, and is written as a crontab string, where classic
    /// cron would take either. Six fields from the seconds to the weekday are such a string as well; other rules by fields are not.
    pub(in crate::trigger) fn demands_day_and_weekday(&self) -> bool {
        let is_crontab = match &self.source {
            Source::Crontab(_) => true,
            Source::Fields(fields) => {
                fields.len() == SIX_FIELDS.len() && fields.iter().all(|(field, _)| SIX_FIELDS.contains(field))
            }
        };
        let restricts = |field| self.text(field).is_some_and(|text| !text.starts_with('*'));
        is_crontab && restricts(Field::Day) && restricts(Field::DayOfWeek)
    }

    /// The same rule at another place or time.
    pub(super) fn with_bounds(&self, bounds: Bounds) -> Self {
        CronTrigger { bounds, ..self.clone() }
    }

    /// The text that stands for a field, given or not.
    pub(super) fn effective_text(&self, field: Field) -> &str {
        self.text(field).unwrap_or_else(|| match &self.source {
            Source::Fields(fields) if fields.iter().all(|(given, _)| *given < field) => field.default_text(),
            _ => "*",
        })
    }

    /// The text of a field, if it was given.
    pub(super) fn text(&self, field: Field) -> Option<&str> {
        match &self.source {
            Source::Fields(fields) => fields.iter().find(|(given, _)| *given == field).map(|(_, text)| text.as_str()),
            Source::Crontab(expression) => {
                let index = CRONTAB.iter().position(|given| *given == field)?;
                words(expression).get(index).map(|(_, word)| *word)
            }
        }
    }

    /// The first fire after an instant; with `None` the first of all.
    pub(in crate::trigger) fn next_after(&self, after: Option<Timestamp>) -> Option<Fire> {
        let start = self.bounds.start.at.as_micros();
        let from = after.map_or(start, |after| after.as_micros().saturating_add(1).max(start));
        // The next whole second: a rule has no parts of seconds.
        let from = from.div_euclid(MICROS) + i64::from(from.rem_euclid(MICROS) != 0);
        let fire = self.first_from(from).and_then(|(instant, offset)| Fire::from_seconds(instant, offset))?;
        self.bounds.end.is_none_or(|end| fire.at <= end.at).then_some(fire)
    }

    /// The first instant from `from` on that fires, with its offset, both in seconds.
    ///
    /// Walks through the spans of constant offset. `next` is the next matching wall-clock time; it is turned into an
    /// instant by the first span that shows it.
    fn first_from(&self, from: i64) -> Option<(i64, i32)> {
        let table = self.bounds.zone.table();
        let fixed = !self.clock.runs_through_every_hour();
        let DstPolicy { gap, fold } = self.bounds.policy;
        let mut index = table.index(from);
        let mut offset = table.offset(index);
        let mut local = from + i64::from(offset);
        if fixed && index > 0 {
            let (start, before) = (table.start(index), table.offset(index - 1));
            if fold == DstFold::First {
                // What the clock showed before it was put back has fired already.
                local = local.max(start + i64::from(before));
            }
            if gap == DstGap::RunAfter
                && from == start
                && self.next_local(start + i64::from(before), start + i64::from(offset)).is_some()
            {
                return Some((start, offset));
            }
        }
        let mut next = self.next_local(local, i64::MAX);
        loop {
            let end = table.end(index);
            if end == i64::MAX {
                return next.map(|next| (next - i64::from(offset), offset));
            }
            let after = table.offset(index + 1);
            let (shown_until, shown_from) = (end + i64::from(offset), end + i64::from(after));
            let own_until = if fixed && fold == DstFold::Last { shown_until.min(shown_from) } else { shown_until };
            if let Some(next) = next.filter(|next| *next < own_until) {
                return Some((next - i64::from(offset), offset));
            }
            index += 1;
            offset = after;
            if shown_from < shown_until {
                // The clock is put back: what lies between the two comes again.
                if !fixed || fold != DstFold::First {
                    next = self.next_local(shown_from, shown_until).or(next);
                }
            } else if next.is_some_and(|next| next < shown_from) {
                if fixed && gap == DstGap::RunAfter {
                    return Some((end, offset));
                }
                next = self.next_local(shown_from, i64::MAX);
            }
        }
    }

    /// The first matching wall-clock time from `from` on and before `until`, in seconds since 1970.
    fn next_local(&self, from: i64, until: i64) -> Option<i64> {
        let from = from.max(FIRST_LOCAL);
        let day = i32::try_from(from.div_euclid(DAY_SECONDS)).ok()?;
        let second = u32::try_from(from.rem_euclid(DAY_SECONDS)).ok()?;
        let date = Date::from_day_number(day);
        let local = |day: i32, second: u32| i64::from(day) * DAY_SECONDS + i64::from(second);
        let today = if self.days.matches(date) { self.clock.at_or_after(second) } else { None };
        let found = match today {
            Some(second) => local(day, second),
            None => {
                let limit = i32::try_from(until.div_euclid(DAY_SECONDS)).unwrap_or(NO_LIMIT);
                local(self.days.next(Date::from_day_number(day + 1), limit)?, self.clock.first())
            }
        };
        (found < until).then_some(found)
    }
}

/// The words of a crontab string, each with its place in characters.
fn words(expression: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::with_capacity(6);
    let mut rest = expression;
    let mut at = 0;
    loop {
        let word = rest.trim_start_matches(|blank: char| blank.is_ascii_whitespace());
        at += rest.len() - word.len();
        if word.is_empty() {
            return words;
        }
        let length = word.find(|blank: char| blank.is_ascii_whitespace()).unwrap_or(word.len());
        words.push((at, &word[..length]));
        at += word[..length].chars().count();
        rest = &word[length..];
    }
}

/// The values of all fields, in the order of [`Field::ALL`], from words in the order of `order`. Of several faults the leftmost is told.
fn read_words(key: &str, order: &[Field], words: &[(usize, &str)]) -> Result<Vec<Values>, Box<Invalid>> {
    let mut read = Vec::with_capacity(order.len());
    for (field, (at, word)) in order.iter().zip(words) {
        let values = field::parse(*field, word, *at).map_err(|invalid| {
            let problem = format!("{}, in the field {}", invalid.problem, field.name());
            Box::new(Invalid { field: key.to_owned(), problem, ..*invalid })
        })?;
        read.push((*field, values));
    }
    let of_field = |field: Field| match read.iter().find(|(given, _)| *given == field) {
        Some((_, values)) => Ok(values.clone()),
        None => field::parse(field, if field == Field::Second { "0" } else { "*" }, 0),
    };
    Field::ALL.into_iter().map(of_field).collect()
}

fn wrong_count(key: &str, expression: &str, count: usize, wanted: &str) -> Box<Invalid> {
    let invalid = if expression.len() > FIELD_LENGTH_MAX {
        Invalid::new(key, format!("is longer than {FIELD_LENGTH_MAX} bytes"))
    } else if expression.trim_start().starts_with('@') {
        Invalid::new(key, "is a nickname, which this form does not know").token(expression)
    } else {
        let plural = if count == 1 { "" } else { "s" };
        Invalid::new(key, format!("has {count} field{plural} where a crontab string has {wanted}")).token(expression)
    };
    invalid.allowed("minute hour day month day_of_week, as in `*/5 9-17 * * mon-fri`")
}
