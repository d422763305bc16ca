//! What the dialects add to crontab's fields: Quartz's `L`, `L-3`, `LW`, `15W`, `5#2`, `5L` and `?`.

use super::super::error::Invalid;
use super::dialect::Dialect;
use super::field::{Field, Parser, Values};

/// `L-n` counts back over at most so many days: further is no day of any month.
const BEFORE_LAST_MAX: u32 = 30;

impl Parser {
    /// Reads an item that only the dialects know. Whether it was one of these.
    pub(super) fn special_item(&self, item: &str, at: usize, values: &mut Values) -> Result<bool, Box<Invalid>> {
        let upper = item.to_ascii_uppercase();
        match self.field {
            Field::Day | Field::DayOfWeek if upper == "?" => {
                values.bits |= if self.field == Field::Day { 0xffff_fffe } else { 0x7f };
                Ok(true)
            }
            Field::Day => self.special_day(item, &upper, at, values),
            Field::DayOfWeek => self.special_weekday(item, &upper, at, values),
            _ if upper == "?" => {
                let fault = self.fault(item, at, "has a meaning in the fields day and day_of_week alone");
                Err(fault.suggestion(Some("*".to_owned())))
            }
            _ => Ok(false),
        }
    }

    /// `L`, `L-3`, `LW`, `L-3W`, `15W`.
    fn special_day(&self, item: &str, upper: &str, at: usize, values: &mut Values) -> Result<bool, Box<Invalid>> {
        let (day, is_workday) = upper.strip_suffix('W').map_or((upper, false), |day| (day, true));
        if let Some(rest) = day.strip_prefix('L') {
            let before = match rest.strip_prefix('-') {
                None if rest.is_empty() => 0,
                None => return Ok(false),
                Some(number) => {
                    digits(number).filter(|number| (1..=BEFORE_LAST_MAX).contains(number)).ok_or_else(|| {
                        let fault = self.fault(item, at, "does not name a day before the last of the month");
                        fault.allowed(format!("`L`, `L-1` to `L-{BEFORE_LAST_MAX}`, and `LW`"))
                    })?
                }
            };
            let days = if is_workday { &mut values.workdays_from_last } else { &mut values.days_from_last };
            *days |= 1 << before;
            return Ok(true);
        }
        if !is_workday {
            return Ok(false);
        }
        let number = digits(day).filter(|number| (1..=31).contains(number)).ok_or_else(|| {
            let fault = self.fault(item, at, "does not name the day that the weekday is to be nearest to");
            fault.allowed("`1W` to `31W`, and `LW`")
        })?;
        values.workdays |= 1 << number;
        Ok(true)
    }

    /// `5#2`, `fri#2`, `5L`, `friL`; in Quartz also `L`.
    fn special_weekday(&self, item: &str, upper: &str, at: usize, values: &mut Values) -> Result<bool, Box<Invalid>> {
        if upper == "L" {
            if self.dialect == Dialect::Quartz {
                values.bits |= 1 << 5;
                return Ok(true);
            }
            let fault = self.fault(item, at, "does not say which weekday's last one is meant");
            return Err(
                fault.allowed("`0L` to `7L`, or `sunL` to `satL`; the last day of the month is `L` in the field day")
            );
        }
        if let Some((weekday, number)) = item.split_once('#') {
            let place = at + weekday.chars().count() + 1;
            let index = digits(number).filter(|number| (1..=5).contains(number)).ok_or_else(|| {
                self.fault(number, place, "does not say which of a month's weekdays is meant").allowed("1 to 5")
            })?;
            values.positions[index as usize - 1] |= 1 << self.weekday(self.atom(weekday, at)?.value);
            return Ok(true);
        }
        // No name of a weekday ends with this letter.
        let Some(weekday) = upper.ends_with('L').then(|| &item[..item.len() - 1]) else { return Ok(false) };
        values.positions[5] |= 1 << self.weekday(self.atom(weekday, at)?.value);
        Ok(true)
    }
}

fn digits(text: &str) -> Option<u32> {
    let are_digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    Some(text).filter(|_| are_digits).and_then(|text| text.parse().ok())
}
