//! The Gregorian calendar as plain numbers: dates, day numbers, weekdays and ISO weeks.
//!
//! Searching for a fire time looks at many dates and at few instants, so it works on small integers and turns the one
//! that matched into an instant at the end.

use std::fmt;

/// Seconds of a civil day.
pub(super) const DAY_SECONDS: i64 = 86_400;
/// The first year that a date may have.
pub(super) const FIRST_YEAR: i32 = 1;
/// The last year that a date may have.
pub(super) const LAST_YEAR: i32 = 9999;
/// After so many years weekdays and leap days repeat.
pub(super) const CYCLE_YEARS: i32 = 400;

/// A date between the years 1 and 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Date {
    pub(super) year: i32,
    pub(super) month: u8,
    pub(super) day: u8,
}

impl Date {
    /// The date, or `None` where there is no such day.
    pub(super) fn new(year: i32, month: u8, day: u8) -> Option<Date> {
        let exists = (FIRST_YEAR..=LAST_YEAR).contains(&year)
            && (1..=12).contains(&month)
            && (1..=month_length(year, month)).contains(&day);
        exists.then_some(Date { year, month, day })
    }

    /// Days since 1970-01-01.
    pub(super) fn day_number(self) -> i32 {
        // Years begin in March here, so that the leap day is the last one of its year.
        let month = i32::from(self.month);
        let year = if month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(CYCLE_YEARS);
        let year_of_era = year.rem_euclid(CYCLE_YEARS);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i32::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The date `day_number` days after 1970-01-01. The year may lie outside 1 to 9999; see [`Date::in_range`].
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "month and day are below 32")]
    pub(super) fn from_day_number(day_number: i32) -> Date {
        let shifted = day_number + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Date { year: year_of_era + era * CYCLE_YEARS + i32::from(month <= 2), month: month as u8, day: day as u8 }
    }

    /// This date, unless its year lies outside 1 to 9999.
    pub(super) fn in_range(self) -> Option<Date> {
        (FIRST_YEAR..=LAST_YEAR).contains(&self.year).then_some(self)
    }
}

/// `YYYY-MM-DD`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Whether `year` has a 29 February.
pub(super) fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The number of days of a month.
pub(super) fn month_length(year: i32, month: u8) -> u8 {
    match month {
        2 => 28 + u8::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The weekday of a day number: 0 is Monday, 6 is Sunday.
#[expect(clippy::cast_possible_truncation, reason = "a remainder of 7")]
pub(super) fn weekday(day_number: i32) -> u8 {
    (day_number + 3).rem_euclid(7) as u8
}

/// The ISO 8601 week number, 1 to 53, of a day.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a week number is below 54")]
pub(super) fn iso_week(day_number: i32) -> u8 {
    // A week belongs to the year that holds its Thursday.
    let thursday = day_number - i32::from(weekday(day_number)) + 3;
    let first_day = Date { year: Date::from_day_number(thursday).year, month: 1, day: 1 }.day_number();
    ((thursday - first_day) / 7 + 1) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Datelike;

    #[test]
    fn every_day_of_the_years_1_to_9999_agrees_with_chrono() {
        let mut expected = chrono::NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
        let first = Date::new(1, 1, 1).unwrap().day_number();
        let last = Date::new(9999, 12, 31).unwrap().day_number();
        for number in first..=last {
            let date = Date::from_day_number(number);
            assert_eq!(
                (date.year, date.month.into(), date.day.into()),
                (expected.year(), expected.month(), expected.day())
            );
            assert_eq!(date.day_number(), number);
            assert_eq!(u32::from(weekday(number)), expected.weekday().num_days_from_monday());
            assert_eq!(u32::from(iso_week(number)), expected.iso_week().week(), "{date:?}");
            expected = expected.succ_opt().unwrap();
        }
        assert_eq!(expected, chrono::NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap());
    }

    #[test]
    fn a_date_that_does_not_exist_is_none() {
        assert_eq!(Date::new(2026, 2, 29), None);
        assert!(Date::new(2024, 2, 29).is_some());
        assert_eq!(Date::new(1900, 2, 29), None);
        assert_eq!(Date::new(2026, 13, 1), None);
        assert_eq!(Date::new(0, 1, 1), None);
    }
}
