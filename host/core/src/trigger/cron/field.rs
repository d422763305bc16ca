//! The text of one cron field, read into the set of values that it allows.

use super::super::error::{Invalid, nearest};
use super::dialect::Dialect;

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

    fn allowed(self, dialect: Dialect) -> String {
        let (first, last) = self.bounds();
        match (self, dialect) {
            (Field::Month, _) => format!(
                "`*`, {first} to {last}, jan to dec, ranges such as `3-5` or `mar-may`, steps such as `*/3`, and lists of these"
            ),
            (Field::Day, Dialect::Classic) => format!(
                "`*`, {first} to {last}, `last`, `1st mon` to `5th sun`, `last fri`, ranges, steps such as `*/2`, and lists of these"
            ),
            (Field::Day, _) => format!(
                "`*`, `?`, {first} to {last}, `L`, `L-3`, `LW`, `15W`, ranges, steps such as `*/2`, and lists of these"
            ),
            (Field::DayOfWeek, Dialect::Classic) => {
                "`*`, 0 to 7 (0 and 7 are Sunday), mon to sun, ranges such as `mon-fri` or `fri-mon`, steps such as `1-5/2`, and lists of these"
                    .to_owned()
            }
            (Field::DayOfWeek, Dialect::Extended) => {
                "`*`, `?`, 0 to 7 (0 and 7 are Sunday), mon to sun, `5#2` (the second Friday), `5L` (the last one), ranges such as `mon-fri`, \
                 steps such as `1-5/2`, and lists of these"
                    .to_owned()
            }
            (Field::DayOfWeek, Dialect::Quartz) => {
                "`*`, `?`, 1 (Sunday) to 7 (Saturday), mon to sun, `6#2` (the second Friday), `6L` (the last one), ranges such as `mon-fri`, \
                 steps such as `2-6/2`, and lists of these"
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
    /// Days and weekdays only: the weekdays that count as the first to fifth, and, at 5, as the last of their month.
    pub(super) positions: [u8; 6],
    /// Days only: bit `n` for the day `n` days before the last of the month.
    pub(super) days_from_last: u32,
    /// Days only: bit `n` for the day from Monday to Friday that is nearest to day `n`, in the same month.
    pub(super) workdays: u32,
    /// Days only: bit `n` for the day from Monday to Friday that is nearest to the day `n` days before the last, in the same month.
    pub(super) workdays_from_last: u32,
    /// Whether crontab's own fields cannot say this.
    pub(super) needs_dialect: bool,
}

/// One number or name of an item, with the text it came from.
#[derive(Clone, Copy)]
pub(super) struct Atom<'a> {
    pub(super) value: u16,
    named: bool,
    text: &'a str,
}

/// Reads the text of one field. `at` is where the text begins in what the user wrote, counted from 0 in characters.
pub(super) fn parse(field: Field, text: &str, at: usize, dialect: Dialect) -> Result<Values, Box<Invalid>> {
    Parser { field, dialect }.list(text, at)
}

pub(super) struct Parser {
    pub(super) field: Field,
    pub(super) dialect: Dialect,
}

impl Parser {
    fn list(&self, text: &str, at: usize) -> Result<Values, Box<Invalid>> {
        let mut values = Values {
            bits: 0,
            years: Vec::new(),
            positions: [0; 6],
            days_from_last: 0,
            workdays: 0,
            workdays_from_last: 0,
            needs_dialect: false,
        };
        if text.len() > FIELD_LENGTH_MAX {
            return Err(self.fault("", at, format!("is longer than {FIELD_LENGTH_MAX} bytes")));
        }
        if self.dialect != Dialect::Classic && text.contains('?') && text.trim() != "?" {
            let place = at + text[..text.find('?').unwrap_or_default()].chars().count();
            return Err(self.fault("?", place, "stands alone in its field or not at all"));
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
        if self.dialect != Dialect::Classic && self.special_item(item, at, values)? {
            values.needs_dialect = true;
            return Ok(());
        }
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => {
                let at = at + range.chars().count() + 1;
                (range, Some((self.step(step, at)?, step, at)))
            }
        };
        let (low, high) = self.bounds();
        let whole = |value| Atom { value, named: false, text: range };
        let is_quartz = self.dialect == Dialect::Quartz;
        let (first, last) = if range == "*" || is_quartz && range.is_empty() && step.is_some() {
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
        if first.value > last.value && is_quartz && self.field != Field::Year {
            // Over the end of the field and on from its beginning.
            let span = last.value + (high - low + 1) - first.value;
            let step = self.checked_step(step, span)?;
            for value in (first.value..=first.value + span).step_by(step.into()) {
                values.bits |= 1 << (low + (value - low) % (high - low + 1));
            }
            return Ok(());
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

    /// The least and the greatest number that may be written.
    fn bounds(&self) -> (u16, u16) {
        match (self.field, self.dialect) {
            (Field::DayOfWeek, Dialect::Quartz) => (1, 7),
            (field, _) => field.bounds(),
        }
    }

    /// The weekday, from Monday, which is 0, that a number or name in the field stands for.
    pub(super) fn weekday(&self, value: u16) -> u16 {
        if self.dialect == Dialect::Quartz { (value + 5) % 7 } else { (value + 6) % 7 }
    }

    /// Weekdays: a range may run over the end of the week. Without a beginning or an end, steps count from Monday to Sunday, in Quartz
    /// from Sunday to Saturday.
    fn weekdays(
        &self,
        range: &str,
        first: Atom<'_>,
        last: Atom<'_>,
        step: Option<(u16, &str, usize)>,
        values: &mut Values,
    ) -> Result<(), Box<Invalid>> {
        let (start, span) = if matches!(range, "*" | "") {
            // Seven days, but a step of seven is still allowed by the field's bounds: it means the first day of the week.
            let step = self.checked_step(step, 7)?;
            (if self.dialect == Dialect::Quartz { self.weekday(1) } else { 0 }, (6, step))
        } else {
            // Names are numbered as the dialect does, and without an end they run to the last number, as numbers do.
            let (a, b) = (first.value, last.value);
            let span = if a <= b { b - a } else { b + 7 - a };
            (self.weekday(a), (span, self.checked_step(step, span)?))
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
            values.days_from_last |= 1;
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

    pub(super) fn atom<'a>(&self, text: &'a str, at: usize) -> Result<Atom<'a>, Box<Invalid>> {
        let (low, high) = self.bounds();
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
            // In Quartz Monday has the number 2, and Sunday 1.
            Some(index) if self.field == Field::DayOfWeek && self.dialect == Dialect::Quartz => {
                Ok(Atom { value: (index + 1) % 7 + 1, named: true, text })
            }
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
        let invalid = if self.field == Field::DayOfWeek && day && self.dialect == Dialect::Classic {
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

    pub(super) fn fault(&self, token: &str, at: usize, problem: impl Into<String>) -> Box<Invalid> {
        let allowed = self.field.allowed(self.dialect);
        let invalid = Invalid::new(self.field.name(), problem).allowed(allowed).position(at + 1);
        // A long token is cut: the place says where it is.
        invalid.token(token.chars().take(40).collect::<String>())
    }
}
