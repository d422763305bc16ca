//! The text of one cron field, read into the set of values that it allows.

use super::super::error::{Invalid, nearest};

/// The fields of a cron trigger, from the most significant to the least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::trigger) enum Field {
    Year,
    Month,
    Day,
    Week,
    DayOfWeek,
    Hour,
    Minute,
    Second,
}

pub(super) const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
pub(super) const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
pub(super) const POSITIONS: [&str; 6] = ["1st", "2nd", "3rd", "4th", "5th", "last"];

/// The longest text a field may have: more than every value written out.
pub(super) const FIELD_LENGTH_MAX: usize = 1_000;

impl Field {
    pub(in crate::trigger) const ALL: [Field; 8] = [
        Field::Year,
        Field::Month,
        Field::Day,
        Field::Week,
        Field::DayOfWeek,
        Field::Hour,
        Field::Minute,
        Field::Second,
    ];

    /// The field's key in the JSON form.
    pub(in crate::trigger) fn name(self) -> &'static str {
        match self {
            Field::Year => "year",
            Field::Month => "month",
            Field::Day => "day",
            Field::Week => "week",
            Field::DayOfWeek => "day_of_week",
            Field::Hour => "hour",
            Field::Minute => "minute",
            Field::Second => "second",
        }
    }

    /// The least and the greatest number that may be written.
    pub(super) fn bounds(self) -> (u16, u16) {
        match self {
            Field::Year => (1970, 9999),
            Field::Month => (1, 12),
            Field::Day => (1, 31),
            Field::Week => (1, 53),
            Field::DayOfWeek => (0, 7),
            Field::Hour => (0, 23),
            Field::Minute | Field::Second => (0, 59),
        }
    }

    /// What stands for a field that is not given although a more significant one is: its first value, or anything for
    /// those that only narrow the days down.
    pub(super) fn default_text(self) -> &'static str {
        match self {
            Field::Year | Field::Week | Field::DayOfWeek => "*",
            Field::Month | Field::Day => "1",
            Field::Hour | Field::Minute | Field::Second => "0",
        }
    }

    fn allowed(self) -> String {
        let (first, last) = self.bounds();
        match self {
            Field::Month => format!(
                "`*`, {first} to {last}, jan to dec, ranges such as `3-5` or `mar-may`, steps such as `*/3`, and lists of these"
            ),
            Field::Day => format!(
                "`*`, {first} to {last}, `last`, `1st mon` to `5th sun`, `last fri`, ranges, steps such as `*/2`, and lists of these"
            ),
            Field::DayOfWeek => {
                "`*`, 0 to 7 (0 and 7 are Sunday), mon to sun, ranges such as `mon-fri` or `fri-mon`, steps such as `1-5/2`, and lists of these"
                    .to_owned()
            }
            _ => format!("`*`, {first} to {last}, ranges such as `a-b`, steps such as `*/n` or `a-b/n`, and lists of these"),
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Field::Month => &MONTHS,
            Field::DayOfWeek => &WEEKDAYS,
            _ => &[],
        }
    }
}

/// The values that a field allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trigger) struct Values {
    /// A bit for each value below 64; weekdays count from Monday, which is 0. Unused for years.
    pub(super) bits: u64,
    /// Years, as first, last and step. Empty means every year.
    pub(super) years: Vec<(u16, u16, u16)>,
    /// Days only: the weekdays that count as the first to fifth, and, at 5, as the last of their month.
    pub(super) positions: [u8; 6],
    /// Days only: the last day of the month.
    pub(super) last_day: bool,
}

/// One number or name of an item, with the text it came from.
#[derive(Clone, Copy)]
struct Atom<'a> {
    value: u16,
    named: bool,
    text: &'a str,
}

/// Reads the text of one field. `at` is where the text begins in what the user wrote, counted from 0 in characters.
pub(super) fn parse(field: Field, text: &str, at: usize) -> Result<Values, Box<Invalid>> {
    Parser { field }.list(text, at)
}

struct Parser {
    field: Field,
}

impl Parser {
    fn list(&self, text: &str, at: usize) -> Result<Values, Box<Invalid>> {
        let mut values = Values { bits: 0, years: Vec::new(), positions: [0; 6], last_day: false };
        if text.len() > FIELD_LENGTH_MAX {
            return Err(self.fault("", at, format!("is longer than {FIELD_LENGTH_MAX} bytes")));
        }
        let mut at = at;
        let mut every_year = false;
        for part in text.split(',') {
            // Blanks are allowed around items and nowhere else.
            let item = part.trim_start_matches([' ', '\t']);
            let start = at + part.chars().count() - item.chars().count();
            let item = item.trim_end_matches([' ', '\t']);
            every_year |= self.field == Field::Year && item == "*";
            self.item(item, start, &mut values)?;
            at += part.chars().count() + 1;
        }
        if every_year {
            values.years.clear();
        }
        Ok(values)
    }

    fn item(&self, item: &str, at: usize, values: &mut Values) -> Result<(), Box<Invalid>> {
        if item.is_empty() {
            return Err(self.fault(item, at, "is an empty item: a value is missing"));
        }
        if self.field == Field::Day && self.day_item(item, at, values)? {
            return Ok(());
        }
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => {
                let at = at + range.chars().count() + 1;
                (range, Some((self.step(step, at)?, step, at)))
            }
        };
        let (low, high) = self.field.bounds();
        let whole = |value| Atom { value, named: false, text: range };
        let (first, last) = if range == "*" {
            (whole(low), whole(high))
        } else if let Some((first, last)) = range.split_once('-').filter(|(first, _)| !first.is_empty()) {
            (self.atom(first, at)?, self.atom(last, at + first.chars().count() + 1)?)
        } else {
            let first = self.atom(range, at)?;
            (first, if step.is_some() { whole(high) } else { first })
        };
        if first.named != last.named && last.text != range {
            return Err(self.fault(range, at, "mixes a number with a name"));
        }
        if self.field == Field::DayOfWeek {
            return self.weekdays(range, first, last, step, values);
        }
        if first.value > last.value {
            let (from, to) = match self.field.names() {
                [from, .., to] if first.named => ((*from).to_owned(), (*to).to_owned()),
                _ => (low.to_string(), high.to_string()),
            };
            let wrapping = format!("{}-{to},{from}-{}", first.text, last.text);
            return Err(self.fault(range, at, "is a range that ends before it begins").suggestion(Some(wrapping)));
        }
        let step = self.checked_step(step, last.value - first.value)?;
        self.insert(first.value, last.value, step, values);
        Ok(())
    }

    fn insert(&self, first: u16, last: u16, step: u16, values: &mut Values) {
        if self.field == Field::Year {
            values.years.push((first, last, step));
        } else {
            for value in (first..=last).step_by(step.into()) {
                values.bits |= 1 << value;
            }
        }
    }

    /// Weekdays: numbers are those of crontab, a range may run over the end of the week, and `*/n` counts from Monday.
    fn weekdays(
        &self,
        range: &str,
        first: Atom<'_>,
        last: Atom<'_>,
        step: Option<(u16, &str, usize)>,
        values: &mut Values,
    ) -> Result<(), Box<Invalid>> {
        let (start, span) = if range == "*" {
            // Seven days, but a step of seven is still allowed by the field's bounds: it means Mondays.
            let step = self.checked_step(step, 7)?;
            (0, (6, step))
        } else {
            // Names count from Monday as 1, and without an end they run to Sunday, as numbers do.
            let (a, b) = (first.value, last.value);
            let span = if a <= b { b - a } else { b + 7 - a };
            ((a + 6) % 7, (span, self.checked_step(step, span)?))
        };
        for value in (start..=start + span.0).step_by(span.1.into()) {
            values.bits |= 1 << (value % 7);
        }
        Ok(())
    }

    /// `last`, `2nd fri`, `last fri`. Whether the item was one of these.
    fn day_item(&self, item: &str, at: usize, values: &mut Values) -> Result<bool, Box<Invalid>> {
        let (position, rest) = item.split_at(item.find([' ', '\t']).unwrap_or(item.len()));
        let Some(index) = POSITIONS.iter().position(|name| name.eq_ignore_ascii_case(position)) else {
            return Ok(false);
        };
        if rest.is_empty() && POSITIONS[index] == "last" {
            values.last_day = true;
            return Ok(true);
        }
        let Some(weekday) = rest.split([' ', '\t']).find(|word| !word.is_empty()) else {
            return Err(self.fault(item, at, "is not complete: a weekday must follow, as in `2nd fri`"));
        };
        let after = position.len() + rest.find(weekday).unwrap_or_default();
        let at = at + item[..after].chars().count();
        let Some(day) = WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(weekday)) else {
            return Err(self
                .fault(weekday, at, "is not the name of a weekday")
                .allowed("mon, tue, wed, thu, fri, sat, sun")
                .suggestion(nearest(weekday, WEEKDAYS)));
        };
        let end = after + weekday.len();
        if end != item.len() {
            return Err(self.fault(&item[end..], at + weekday.chars().count(), "is more than belongs here"));
        }
        values.positions[index] |= 1 << day;
        Ok(true)
    }

    fn atom<'a>(&self, text: &'a str, at: usize) -> Result<Atom<'a>, Box<Invalid>> {
        let (low, high) = self.field.bounds();
        if text.is_empty() {
            return Err(self.fault(text, at, "is missing a number"));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let value = text.parse().ok().filter(|value| (low..=high).contains(value));
            return value.map(|value| Atom { value, named: false, text }).ok_or_else(|| {
                let number = text.trim_start_matches('0');
                let below = number.len() < 5 && number.parse().unwrap_or(0) < low;
                let (side, bound) = if below { ("below", low) } else { ("above", high) };
                self.fault(text, at, format!("is {side} {bound}"))
            });
        }
        let index = self.field.names().iter().position(|name| name.eq_ignore_ascii_case(text));
        match index.and_then(|index| u16::try_from(index).ok()) {
            Some(index) => Ok(Atom { value: index + 1, named: true, text }),
            None => Err(self.unknown(text, at)),
        }
    }

    fn unknown(&self, text: &str, at: usize) -> Box<Invalid> {
        let problem = match self.field {
            Field::Month => "is not a month",
            Field::DayOfWeek => "is not a weekday",
            _ => "is not a number",
        };
        let upper = text.to_ascii_uppercase();
        let hint = match (self.field, upper.as_str()) {
            (_, "?") => Some("*".to_owned()),
            (Field::Day, "L") => Some("last".to_owned()),
            (_, text) if text.starts_with("*/") || text.starts_with("**") => Some("*".to_owned()),
            _ => nearest(text, self.field.names().iter().copied()),
        };
        let invalid = self.fault(text, at, problem);
        let day = upper.split_once('#').is_some() || upper.ends_with('W') || upper.ends_with('L');
        let invalid = if self.field == Field::DayOfWeek && day {
            invalid.allowed("single weekdays here; the second Friday is `2nd fri` in the field `day`")
        } else {
            invalid
        };
        invalid.suggestion(hint)
    }

    fn step(&self, text: &str, at: usize) -> Result<u16, Box<Invalid>> {
        if text.is_empty() {
            return Err(self.fault("/", at.saturating_sub(1), "has no step after it"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.fault(text, at, "is not a step").allowed("a whole number from 1"));
        }
        // A number too long for the type is certainly larger than any range.
        match text.parse().unwrap_or(u16::MAX) {
            0 => Err(self.fault(text, at, "is not a step").allowed("a whole number from 1")),
            step => Ok(step),
        }
    }

    fn checked_step(&self, step: Option<(u16, &str, usize)>, span: u16) -> Result<u16, Box<Invalid>> {
        match step {
            None => Ok(1),
            Some((step, _, _)) if step <= span => Ok(step),
            Some((_, text, at)) => {
                let allowed = if span == 0 {
                    "no step: there is nothing to step over".to_owned()
                } else {
                    format!("1 to {span}")
                };
                Err(self.fault(text, at, "is a step larger than the range it steps over").allowed(allowed))
            }
        }
    }

    fn fault(&self, token: &str, at: usize, problem: impl Into<String>) -> Box<Invalid> {
        let invalid = Invalid::new(self.field.name(), problem).allowed(self.field.allowed()).position(at + 1);
        // A long token is cut: the place says where it is.
        invalid.token(token.chars().take(40).collect::<String>())
    }
}
