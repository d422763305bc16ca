//! The days that a cron trigger allows, and the search for the next one.
//!
//! Which days of a month match depends only on the month's length and first weekday, so there is a table of 28 masks.
//! With ISO weeks it depends on the date as well. A search looks at months that the rule names, one mask each; if two
//! years held nothing, it looks at kinds of years instead, of which there are 28, so that a rule that can never match
//! is found out in microseconds however far the years go.

use super::super::civil::{self, CYCLE_YEARS, Date, LAST_YEAR};
use super::field::Values;

/// The first year of the field `year`.
const FIRST_YEAR: i32 = 1970;
const EVERY_WEEK: u64 = ((1 << 54) - 1) & !1;
/// Months looked at one by one before the search turns to kinds of years.
const MONTHS_BEFORE_KINDS: u32 = 24;

/// The days that match the fields year, month, day, week and day_of_week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days {
    /// Bit `m` for month `m`.
    months: u16,
    /// Bit `d` for day `d`, by the weekday of the first and the length of the month above 28.
    masks: [[u32; 4]; 7],
    /// Bit `w` for ISO week `w`.
    weeks: u64,
    /// A bit for each year from 1970; `None` allows every year.
    years: Option<Box<[u64]>>,
}

impl Days {
    /// With `either`, a day counts that matches `day` or `day_of_week`; otherwise it must match both.
    #[expect(clippy::cast_possible_truncation, reason = "months and days have fewer bits than the narrower types")]
    pub(super) fn new(
        year: &Values,
        month: &Values,
        day: &Values,
        week: &Values,
        day_of_week: &Values,
        either: bool,
    ) -> Days {
        let mut masks = [[0; 4]; 7];
        for (first_weekday, row) in masks.iter_mut().enumerate() {
            for (extra, mask) in row.iter_mut().enumerate() {
                let length = 28 + extra;
                let days = day.bits as u32
                    | counted_back(day.days_from_last, length)
                    | workdays(day, first_weekday, length)
                    | positioned(&day.positions, first_weekday, length);
                // The weekdays of days 1 to 31: the seven bits, turned so that day 1 has the month's first weekday.
                let turned = ((day_of_week.bits | day_of_week.bits << 7) >> first_weekday) & 0x7f;
                let weekdays = (0..5).fold(0_u64, |bits, week| bits | turned << (1 + 7 * week)) as u32
                    | positioned(&day_of_week.positions, first_weekday, length);
                let matching = if either { days | weekdays } else { days & weekdays };
                *mask = matching & ((1_u32 << length << 1).wrapping_sub(2));
            }
        }
        Days { months: month.bits as u16, masks, weeks: week.bits & EVERY_WEEK, years: years(&year.years) }
    }

    /// Whether a day matches.
    pub(super) fn matches(&self, date: Date) -> bool {
        self.has_year(date.year)
            && self.months >> date.month & 1 == 1
            && self.month_mask(date.year, date.month) >> date.day & 1 == 1
    }

    /// The first matching day from `from` on, if it is not after the day number `limit`.
    pub(super) fn next(&self, from: Date, limit: i32) -> Option<i32> {
        let last_year = if limit >= DAY_LIMIT { LAST_YEAR } else { Date::from_day_number(limit).year };
        let (mut year, mut month, mut day) = (from.year, from.month, from.day);
        let mut looked_at = 0;
        loop {
            let allowed = self.next_year(year)?;
            if allowed > last_year {
                return None;
            }
            if allowed != year {
                (year, month, day) = (allowed, 1, 1);
            }
            let months = self.months >> month << month;
            if months == 0 {
                (year, month, day) = (year + 1, 1, 1);
                continue;
            }
            if looked_at == MONTHS_BEFORE_KINDS && month == 1 && day == 1 {
                year = self.year_with_a_day(year, last_year)?;
            }
            let next = low_bit(months.into());
            if next != month {
                (month, day) = (next, 1);
            }
            let mask = self.month_mask(year, month) >> day << day;
            if mask != 0 {
                let found = Date { year, month, day: low_bit(mask) }.day_number();
                return (found <= limit).then_some(found);
            }
            looked_at = (looked_at + 1).min(MONTHS_BEFORE_KINDS);
            (month, day) = (month + 1, 1);
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    /// The first year from `year` on that has a matching day.
    fn year_with_a_day(&self, year: i32, last_year: i32) -> Option<i32> {
        let mut kinds = [None; 28];
        let mut year = year;
        // The calendar repeats, and with every year allowed so does the rule.
        let last_year = if self.years.is_none() { last_year.min(year + CYCLE_YEARS) } else { last_year };
        loop {
            year = self.next_year(year)?;
            if year > last_year {
                return None;
            }
            let first = Date { year, month: 1, day: 1 }.day_number();
            // The weeks at the start of January belong to the year before, so its length matters too.
            let kind = usize::from(civil::weekday(first)) * 4
                + usize::from(civil::is_leap(year)) * 2
                + usize::from(civil::is_leap(year - 1));
            let has_day = *kinds[kind].get_or_insert_with(|| {
                (1..=12).any(|month| self.months >> month & 1 == 1 && self.month_mask(year, month) != 0)
            });
            if has_day {
                return Some(year);
            }
            year += 1;
        }
    }

    /// The matching days of a month, as bits 1 to 31.
    fn month_mask(&self, year: i32, month: u8) -> u32 {
        let first = Date { year, month, day: 1 }.day_number();
        let length = civil::month_length(year, month);
        let weekday = civil::weekday(first);
        let mask = self.masks[usize::from(weekday)][usize::from(length - 28)];
        if self.weeks == EVERY_WEEK || mask == 0 { mask } else { mask & self.week_mask(first, weekday, length) }
    }

    /// The days of a month that lie in one of the weeks.
    fn week_mask(&self, first: i32, weekday: u8, length: u8) -> u32 {
        let mut mask = 0;
        let (mut day, mut ends) = (1, 7 - weekday);
        while day <= length {
            if self.weeks >> civil::iso_week(first + i32::from(day) - 1) & 1 == 1 {
                // Bits `day` to `ends`; a week may end after the month, whose own mask has no bits there.
                mask |= (2_u64 << ends) - (1_u64 << day);
            }
            day = ends + 1;
            ends += 7;
        }
        u32::try_from(mask & u64::from(u32::MAX)).unwrap_or_default()
    }

    fn has_year(&self, year: i32) -> bool {
        self.next_year(year) == Some(year)
    }

    fn next_year(&self, year: i32) -> Option<i32> {
        let year = year.max(FIRST_YEAR);
        if year > LAST_YEAR {
            return None;
        }
        let Some(years) = &self.years else { return Some(year) };
        let index = usize::try_from(year - FIRST_YEAR).ok()?;
        let mut word = index / 64;
        let mut bits = years.get(word)? >> (index % 64) << (index % 64);
        while bits == 0 {
            word += 1;
            bits = *years.get(word)?;
        }
        let found = word * 64 + usize::try_from(bits.trailing_zeros()).ok()?;
        Some(FIRST_YEAR + i32::try_from(found).ok()?)
    }
}

/// The day number after the last date.
const DAY_LIMIT: i32 = 2_932_897;

/// A limit for [`Days::next`] that limits nothing.
pub(super) const NO_LIMIT: i32 = i32::MAX;

#[expect(clippy::cast_possible_truncation, reason = "a bit's number is below 32")]
fn low_bit(bits: u32) -> u8 {
    bits.trailing_zeros() as u8
}

/// The days of a month that are so many days before its last one, as bits 1 to 31.
fn counted_back(before: u32, length: usize) -> u32 {
    (0..length).filter(|back| before >> back & 1 == 1).fold(0, |days, back| days | 1 << (length - back))
}

/// The days from Monday to Friday that are nearest to certain days of a month that has them.
fn workdays(day: &Values, first_weekday: usize, length: usize) -> u32 {
    let wanted = day.workdays | counted_back(day.workdays_from_last, length);
    if wanted == 0 {
        return 0;
    }
    (1..=length).filter(|day| wanted >> day & 1 == 1).fold(0, |days, day| {
        let nearest = match (first_weekday + day - 1) % 7 {
            // The month is not left: from a Saturday on the 1st it goes forward, from a Sunday on the last day back.
            5 if day == 1 => 3,
            5 => day - 1,
            6 if day == length => day - 2,
            6 => day + 1,
            _ => day,
        };
        days | 1 << nearest
    })
}

/// The days that are the first to fifth or the last of their weekday in a month.
fn positioned(positions: &[u8; 6], first_weekday: usize, length: usize) -> u32 {
    if positions.iter().all(|weekdays| *weekdays == 0) {
        return 0;
    }
    let mut days = 0;
    for weekday in 0..7 {
        let first = 1 + (weekday + 7 - first_weekday) % 7;
        for (index, weekdays) in positions.iter().enumerate() {
            if weekdays >> weekday & 1 == 1 {
                let day = if index < 5 { first + 7 * index } else { first + (length - first) / 7 * 7 };
                days |= 1_u64 << day;
            }
        }
    }
    // Days past the month's end are cut off by the month's own mask.
    u32::try_from(days & u64::from(u32::MAX)).unwrap_or_default()
}

/// The years as a set, or `None` for all of them.
fn years(ranges: &[(u16, u16, u16)]) -> Option<Box<[u64]>> {
    if ranges.is_empty() {
        return None;
    }
    let mut words = vec![0_u64; 126];
    for &(first, last, step) in ranges {
        for year in (first..=last).step_by(step.into()) {
            let index = usize::from(year - 1970);
            words[index / 64] |= 1 << (index % 64);
        }
    }
    Some(words.into())
}
