//! The cron trigger: its fields, its zone, and the search for its next instant.

use std::borrow::Cow;

use super::super::civil::{DAY_SECONDS, Date};
use super::super::error::Invalid;
use super::super::fire::{Fire, MICROS};
use super::super::zone::{DstFold, DstGap, DstPolicy, Zone};
use super::clock::Clock;
use super::days::{Days, NO_LIMIT};
use super::dialect::{DayMatch, Dialect};
use super::expression::{words, wrong_count};
use super::field::{self, FIELD_LENGTH_MAX, Field, Values};
use super::hashed;
use crate::model::Timestamp;

/// The range of years that a fire time may have begins here: 1970-01-01, as a wall clock shows it.
const FIRST_LOCAL: i64 = 0;

/// Fires when the wall clock of a time zone matches eight fields. See the module's documentation for the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronTrigger {
    source: Source,
    reading: Reading,
    bounds: Bounds,
    days: Days,
    clock: Clock,
}

/// How the rule was written, kept so that it is written back the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trigger) enum Source {
    /// The text of each field that was given.
    Fields(Box<[(Field, String)]>),
    /// An expression of several words.
    Expression(String),
}

/// How a rule's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(in crate::trigger) struct Reading {
    pub(in crate::trigger) dialect: Dialect,
    /// Kept only where it makes a difference, as earlier versions of the host do not know it.
    pub(in crate::trigger) day_match: DayMatch,
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

impl CronTrigger {
    /// A rule by its fields; those not given get their defaults.
    pub(in crate::trigger) fn from_fields(
        fields: Vec<(Field, String)>,
        reading: Reading,
        bounds: Bounds,
    ) -> Result<Self, Box<Invalid>> {
        let least = fields.iter().map(|(field, _)| *field).max();
        let read = |field: Field| {
            let given = fields.iter().find(|(given, _)| *given == field);
            let default = if least.is_some_and(|least| field < least) { "*" } else { field.default_text() };
            field::parse(field, given.map_or(default, |(_, text)| text), 0, reading.dialect)
        };
        let values = Field::ALL.map(read);
        let mut all = Vec::with_capacity(values.len());
        for value in values {
            all.push(value?);
        }
        Ok(Self::of(&all, Source::Fields(fields.into()), reading, bounds))
    }

    /// A rule by an expression with the fields of the dialect.
    ///
    /// What `H` stands for is written down in its place; see [`hashed`].
    pub(in crate::trigger) fn from_expression(
        key: &str,
        expression: &str,
        reading: Reading,
        hash_key: Option<&str>,
        bounds: Bounds,
    ) -> Result<Self, Box<Invalid>> {
        let words = words(expression);
        Self::from_words(key, expression, &words, reading, hash_key, bounds)
    }

    /// A rule by the words of `expression`, or by its last ones.
    ///
    /// What needs no dialect is kept without one, so that earlier versions of the host can read it as well.
    pub(in crate::trigger) fn from_words(
        key: &str,
        expression: &str,
        words: &[(usize, &str)],
        reading: Reading,
        hash_key: Option<&str>,
        bounds: Bounds,
    ) -> Result<Self, Box<Invalid>> {
        if expression.len() > FIELD_LENGTH_MAX {
            let invalid = Invalid::new(key, format!("is longer than {FIELD_LENGTH_MAX} bytes"));
            return Err(invalid.allowed(format!("up to {FIELD_LENGTH_MAX} bytes")));
        }
        let dialect = reading.dialect;
        let order = dialect.order(words.len()).ok_or_else(|| wrong_count(key, expression, words.len(), dialect))?;
        let mut read = Vec::with_capacity(order.len());
        let mut texts = Vec::with_capacity(order.len());
        // Of several faults the leftmost is told.
        for (field, (at, word)) in order.iter().zip(words) {
            let told = |fault| in_word(key, *field, fault);
            let text = match dialect {
                Dialect::Classic => None,
                _ => hashed::resolve(*field, dialect, word, *at, hash_key).map_err(told)?,
            };
            let text = text.map_or(Cow::Borrowed(*word), Cow::Owned);
            read.push((*field, field::parse(*field, &text, *at, dialect).map_err(told)?));
            texts.push(text);
        }
        let of_field = |field: Field| match read.iter().find(|(given, _)| *given == field) {
            Some((_, values)) => Ok(values.clone()),
            None => field::parse(field, if field == Field::Second { "0" } else { "*" }, 0, dialect),
        };
        let mut values = Vec::with_capacity(Field::ALL.len());
        for field in Field::ALL {
            values.push(of_field(field)?);
        }
        let is_plain = dialect == Dialect::Extended && read.iter().all(|(_, values)| !values.needs_dialect);
        let reading = if is_plain { Reading { dialect: Dialect::Classic, ..reading } } else { reading };
        let source = if is_plain && order.len() > 5 {
            let given = order.iter().zip(texts).map(|(field, text)| (*field, text.into_owned()));
            let mut fields: Vec<_> = given.collect();
            fields.sort_by_key(|(field, _)| *field);
            Source::Fields(fields.into())
        } else if is_whole(expression, words) && texts.iter().all(|text| matches!(text, Cow::Borrowed(_))) {
            Source::Expression(expression.to_owned())
        } else {
            Source::Expression(texts.join(" "))
        };
        Ok(Self::of(&values, source, reading, bounds))
    }

    /// `values` in the order of [`Field::ALL`].
    fn of(values: &[Values], source: Source, reading: Reading, bounds: Bounds) -> Self {
        let clock = Clock::new(&values[5], &values[6], &values[7]);
        let days = |either| Days::new(&values[0], &values[1], &values[2], &values[3], &values[4], either);
        let mut trigger = CronTrigger { source, reading, bounds, days: days(false), clock };
        if reading.day_match == DayMatch::Or {
            if trigger.restricts_day_and_weekday() {
                trigger.days = days(true);
            } else {
                trigger.reading.day_match = DayMatch::And;
            }
        }
        trigger
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

    pub(in crate::trigger) fn reading(&self) -> Reading {
        self.reading
    }

    /// Whether both the day of the month and the weekday must match, and the rule is written as crontab strings are, where classic cron
    /// would take either. Six or seven fields from the seconds on are such a string as well; other rules by fields are not.
    pub(in crate::trigger) fn demands_day_and_weekday(&self) -> bool {
        let is_crontab = match &self.source {
            Source::Expression(_) => true,
            Source::Fields(fields) => [6, 7].into_iter().any(|count| {
                let order = Dialect::Extended.order(count).unwrap_or_default();
                fields.len() == count && fields.iter().all(|(field, _)| order.contains(field))
            }),
        };
        is_crontab && self.reading.day_match == DayMatch::And && self.restricts_day_and_weekday()
    }

    /// Whether neither the day of the month nor the weekday begins with a star, as classic cron asks.
    fn restricts_day_and_weekday(&self) -> bool {
        let restricts = |field| !self.effective_text(field).starts_with(['*', '?', '/']);
        restricts(Field::Day) && restricts(Field::DayOfWeek)
    }

    /// The same rule at another place or time.
    pub(in crate::trigger) fn with_bounds(&self, bounds: Bounds) -> Self {
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
            Source::Expression(expression) => {
                let words = words(expression);
                let index = self.reading.dialect.order(words.len())?.iter().position(|given| *given == field)?;
                words.get(index).map(|(_, word)| *word)
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

/// Whether the words are all that the expression has.
fn is_whole(expression: &str, words: &[(usize, &str)]) -> bool {
    let before = words.first().map_or(0, |(at, _)| *at);
    expression.chars().take(before).all(|blank| blank.is_ascii_whitespace())
}

/// A fault in one word of an expression.
fn in_word(key: &str, field: Field, mut invalid: Box<Invalid>) -> Box<Invalid> {
    invalid.problem = format!("{}, in the field {}", invalid.problem, field.name());
    key.clone_into(&mut invalid.field);
    invalid
}
